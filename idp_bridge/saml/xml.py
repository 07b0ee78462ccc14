"""The one hardened parser: bytes in; a plain tree out, or a refusal. No other code here parses foreign XML.

Two readers that see one document differently are the root of most SAML break-ins (CVE-2025-25291, "The Fragile
Lock"). So there is one reader, and what readers disagree about is refused before or right after it: document types,
entities, other encodings, comments, processing instructions, relative namespace names. Sizes are capped because
canonicalisation of a strange tree is expensive.
"""

import base64
import re
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from lxml import etree

from idp_bridge.saml.errors import NotSaml, Reason, Rejected

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECLARATION = re.compile(
    rb"""\A<\?xml\s+version=(["'])1\.0\1(\s+encoding=(["'])utf-8\3)?(\s+standalone=(["'])(yes|no)\5)?\s*\?>""",
    re.IGNORECASE,
)
_DOCUMENT_TYPE = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


@dataclass(frozen=True)
class Limits:
    """Caps on one document; far above what any identity provider sends."""

    octets: int
    elements: int
    depth: int
    declarations: int
    """Namespace declarations in the whole document: some providers repeat two on every attribute value."""
    in_scope: int
    """Declarations in scope at one element: the factor that makes canonicalisation quadratic."""
    name: int = 255
    """Characters of a namespace name: canonicalisation may write it again for every element that uses it."""
    attributes: int = 64
    """Of one element: canonicalisation sorts them, and takes a second for twenty thousand."""
    comments: bool = False
    """Drop comments and processing instructions instead of refusing them: only for unsigned reading."""


MESSAGE = Limits(octets=192 * 1024, elements=10_000, depth=32, declarations=8_000, in_scope=64)
METADATA = Limits(octets=1024 * 1024, elements=20_000, depth=48, declarations=8_000, in_scope=64, comments=True)


def parse(document: bytes, *, limits: Limits = MESSAGE) -> etree._Element:
    """The root of a document that holds nothing strange. Raises `NotSaml` or `Rejected`."""
    if len(document) > limits.octets:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got=len(document), want=limits.octets)
    document = document.removeprefix(_BYTE_ORDER_MARK)
    _check_octets(document)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=limits.comments,
        remove_pis=limits.comments,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise NotSaml(Reason.NOT_XML, detail=f"line {error.position[0]}, column {error.position[1]}") from None
    if root.getprevious() is not None or root.getnext() is not None:
        raise Rejected(Reason.XML_COMMENT, where="beside the root")
    _check_tree(root, limits)
    return root


def parse_in_context(fragment: bytes, context: etree._Element) -> etree._Element:
    """One element that was cut out of a document, in a frame with the namespaces in scope at `context`.

    XML Encryption 4.4: a plaintext is read where its ciphertext stood. Keycloak leaves declarations outside of it.
    The frame cannot be broken out of: what closes it early leaves a second root, which is no XML.
    """
    declarations = "".join(
        f" xmlns{':' if prefix else ''}{prefix or ''}={quoteattr(uri)}" for prefix, uri in context.nsmap.items()
    )
    body = _DECLARATION.sub(b"", fragment.removeprefix(_BYTE_ORDER_MARK), count=1)
    frame = parse(f"<_{declarations}>".encode() + body + b"</_>")
    if len(frame) != 1 or (frame.text or "").strip() or (frame[0].tail or "").strip():
        raise Rejected(Reason.STRUCTURE, detail="more or less than one element")
    return frame[0]


def reparse(octets: bytes) -> etree._Element:
    """A tree anew from bytes that this package itself wrote out of a tree that `parse` let in. Raises `Rejected`."""
    try:
        return etree.fromstring(octets, etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        raise Rejected(Reason.NOT_XML, detail="not the second time") from None


def detach(element: etree._Element) -> bytes:
    """The element as a document of its own, with the namespaces in scope.

    Plain serialisation on purpose: inclusive c14n of a sub-element invents `xmlns=""` on its descendants. In UTF-8,
    because a name beyond ASCII cannot be written as a character reference.
    """
    return etree.tostring(element, encoding="utf-8", with_tail=False)


def only(parent: etree._Element, tag: str, *, reason: Reason = Reason.STRUCTURE) -> etree._Element:
    """The one direct child of this tag; none and two are refused alike, so that no reader has a choice."""
    found = parent.findall(tag)
    if len(found) != 1:
        raise Rejected(reason, element=tag, got=len(found), want=1)
    return found[0]


def at_most_one(parent: etree._Element, tag: str) -> etree._Element | None:
    return only(parent, tag) if parent.find(tag) is not None else None


def text(element: etree._Element) -> str:
    """The whole text, verbatim. An element inside a value is refused: readers cut text at it."""
    if len(element):
        raise Rejected(Reason.STRUCTURE, element=element.tag, detail="a value holds elements")
    return element.text or ""


def from_base64(encoded: str | bytes) -> bytes:
    """Strict base64, perhaps in lines: only what would be written the same way again. Raises `ValueError`."""
    written = b"".join((encoded.encode("ascii") if isinstance(encoded, str) else encoded).split())
    octets = base64.b64decode(written)
    if base64.b64encode(octets) != written:
        raise ValueError("not as base64 is written")
    return octets


def _check_octets(document: bytes) -> None:
    try:
        document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotSaml(Reason.XML_ENCODING, detail=f"not UTF-8 at octet {error.start}") from None
    if document.startswith(_BYTE_ORDER_MARK):
        raise NotSaml(Reason.XML_ENCODING, detail="a second byte order mark")
    if b"\x00" in document:
        raise NotSaml(Reason.XML_ENCODING, detail="NUL")
    if document.startswith(b"<?xml") and not _DECLARATION.match(document):
        raise NotSaml(Reason.XML_ENCODING, detail="the XML declaration names something else than XML 1.0 in UTF-8")
    if _DOCUMENT_TYPE.search(document):
        raise Rejected(Reason.XML_DOCTYPE)


def _check_tree(root: etree._Element, limits: Limits) -> None:
    if root.getroottree().docinfo.internalDTD is not None:  # the octets said that there is none
        raise Rejected(Reason.XML_DOCTYPE)
    elements = declarations = depth = in_scope = 0
    for event, item in etree.iterwalk(root, events=("start", "end", "start-ns", "end-ns", "comment", "pi")):
        if event == "start":
            elements, depth = elements + 1, depth + 1
            if elements > limits.elements or depth > limits.depth:
                raise Rejected(Reason.XML_TOO_COMPLEX, elements=elements, depth=depth)
            if len(item.attrib) > limits.attributes:
                raise Rejected(Reason.XML_TOO_COMPLEX, attributes=len(item.attrib))
        elif event == "end":
            depth -= 1
        elif event == "start-ns":
            declarations, in_scope = declarations + 1, in_scope + 1
            if declarations > limits.declarations or in_scope > limits.in_scope:
                raise Rejected(Reason.XML_TOO_COMPLEX, declarations=declarations, in_scope=in_scope)
            if len(item[1]) > limits.name:
                raise Rejected(Reason.XML_TOO_COMPLEX, namespace_name=len(item[1]))
            # libxml2 cannot canonicalise relative namespace names: the digest would be that of nothing.
            if item[1] and not _ABSOLUTE_URI.fullmatch(item[1]):
                raise Rejected(Reason.XML_NAMESPACE, got=item[1])
        elif event == "end-ns":
            in_scope -= 1
        else:
            raise Rejected(Reason.XML_COMMENT, where=f"line {item.sourceline}")
