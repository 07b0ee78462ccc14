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
    """Declarations in scope at one element."""
    scopes: int
    """Declarations in scope, summed up over all elements: canonicalisation looks at each of them at each element."""
    name: int = 255
    """Characters of a namespace name: canonicalisation may write it again for every element that uses it."""
    attributes: int = 64
    """Of one element: canonicalisation sorts them, and takes a second for twenty thousand."""
    comments: bool = False
    """Drop comments and processing instructions instead of refusing them: only for unsigned reading."""


MESSAGE = Limits(octets=192 * 1024, elements=10_000, depth=32, declarations=8_000, in_scope=64, scopes=100_000)
METADATA = Limits(
    octets=1024 * 1024, elements=20_000, depth=48, declarations=8_000, in_scope=64, scopes=400_000, comments=True
)


def parse(document: bytes, *, limits: Limits = MESSAGE) -> etree._Element:
    """The root of a document that holds nothing strange. Raises `NotSaml` or `Rejected`."""
    if len(document) > limits.octets:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got=f"{len(document)} octets", want=f"{limits.octets} at most")
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
        line, column = error.position
        raise NotSaml(Reason.NOT_XML, got=f"not XML at line {line}, column {column}", want="well-formed XML") from None
    if root.getprevious() is not None or root.getnext() is not None:
        raise _comment("beside the root")
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
        raise Rejected(Reason.STRUCTURE, got="more or less than one element", want="one element")
    return frame[0]


def reparse(octets: bytes) -> etree._Element:
    """A tree anew from bytes that this package itself wrote out of a tree that `parse` let in. Raises `Rejected`."""
    try:
        return etree.fromstring(octets, etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        raise Rejected(Reason.NOT_XML, got="not XML the second time", want="well-formed XML") from None


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
        name = local(tag)
        raise Rejected(reason, got=f"{len(found) or 'no'} {name}", want=f"one {name}")
    return found[0]


def at_most_one(parent: etree._Element, tag: str) -> etree._Element | None:
    return only(parent, tag) if parent.find(tag) is not None else None


def text(element: etree._Element) -> str:
    """The whole text, verbatim. An element inside a value is refused: readers cut text at it."""
    if len(element):
        raise Rejected(Reason.STRUCTURE, element=local(element.tag), got="elements in a value", want="text alone")
    return element.text or ""


def local(tag: str) -> str:
    """The name of a tag without its namespace: for administrators, never to compare with."""
    return tag.rpartition("}")[2]


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
        raise _encoding(f"something else at octet {error.start}") from None
    if document.startswith(_BYTE_ORDER_MARK):
        raise _encoding("a second byte order mark")
    if b"\x00" in document:
        raise _encoding("a NUL")
    if document.startswith(b"<?xml") and not _DECLARATION.match(document):
        raise _encoding("an XML declaration of something else")
    if _DOCUMENT_TYPE.search(document):
        raise _document_type()


def _check_tree(root: etree._Element, limits: Limits) -> None:
    if root.getroottree().docinfo.internalDTD is not None:  # the octets said that there is none
        raise _document_type()
    elements = declarations = depth = in_scope = scopes = 0
    for event, item in etree.iterwalk(root, events=("start", "end", "start-ns", "end-ns", "comment", "pi")):
        if event == "start":
            elements, depth, scopes = elements + 1, depth + 1, scopes + in_scope
            if elements > limits.elements or depth > limits.depth:
                raise _complex(f"{elements} elements, {depth} deep", f"{limits.elements} elements, {limits.depth} deep")
            if scopes > limits.scopes:
                raise _complex(f"{scopes} namespace declarations in the scopes of all elements", limits.scopes)
            if len(item.attrib) > limits.attributes:
                raise _complex(f"{len(item.attrib)} attributes of one element", limits.attributes)
        elif event == "end":
            depth -= 1
        elif event == "start-ns":
            declarations, in_scope = declarations + 1, in_scope + 1
            if declarations > limits.declarations or in_scope > limits.in_scope:
                raise _complex(
                    f"{declarations} namespace declarations, {in_scope} in scope",
                    f"{limits.declarations}, {limits.in_scope} in scope",
                )
            _check_namespace(item[1], limits)
        elif event == "end-ns":
            in_scope -= 1
        else:
            raise _comment(f"line {item.sourceline}")


def _check_namespace(name: str, limits: Limits) -> None:
    if len(name) > limits.name:
        raise _complex(f"a namespace name of {len(name)} characters", limits.name)
    # libxml2 cannot canonicalise relative namespace names: the digest would be that of nothing.
    if name and not _ABSOLUTE_URI.fullmatch(name):
        raise Rejected(Reason.XML_NAMESPACE, got=name, want="an absolute URI")


def _encoding(got: str) -> NotSaml:
    return NotSaml(Reason.XML_ENCODING, got=got, want="XML 1.0 in UTF-8")


def _document_type() -> Rejected:
    return Rejected(Reason.XML_DOCTYPE, got="a document type or an entity", want="none")


def _comment(where: str) -> Rejected:
    return Rejected(Reason.XML_COMMENT, got=f"a comment or processing instruction, {where}", want="none")


def _complex(got: str, want: object) -> Rejected:
    return Rejected(Reason.XML_TOO_COMPLEX, got=got, want=f"{want} at most")
