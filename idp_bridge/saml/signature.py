"""Verify what you consume: a signed element goes in; the re-parsed bytes whose digest was checked come out.

What it refuses to do: look anywhere but directly below the element, follow a reference to anything but that element,
run a transform or an algorithm that is not on the lists, take a key from the message, and hand back a single node of
the tree it was given. The order is fixed, and each step rests on the one before:

1. one Signature of one shape, and SignedInfo in canonical form;
2. every rule about SignedInfo, asked of those canonical bytes: shape, algorithms, the reference to the parent;
3. the signature over the same bytes, by a pinned key (`pinned.signer`): only now is what they say known to be said;
4. the digest of the element's canonical bytes without its Signature;
5. those bytes, parsed anew: the result.

Canonical XML is libxml2's, by lxml; keys are `cryptography`'s. docs/decisions/0008 says why no library stands between.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from idp_bridge.saml import pinned
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.xml import DS, XENC, detach, from_base64, local, only, reparse, text

_EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
_EXC = frozenset({_EXC_C14N, _EXC_C14N + "WithComments"})  # alike here: no accepted document holds comments
_ENVELOPED = f"{DS}enveloped-signature"
_INCLUSIVE_NAMESPACES = f"{{{_EXC_C14N}}}InclusiveNamespaces"
_SHA2 = "SHA-256, SHA-384 or SHA-512"
_PLACES = "directly in the Response or the Assertion"
_DEFAULT = "#default"  # the default namespace in a list of prefixes (Exclusive XML Canonicalization 1.0, section 4)
_MOST_PREFIXES = 16  # each is looked up at every element before anything is known to be signed

DIGESTS: Mapping[str, str] = {
    f"{XENC}sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    f"{XENC}sha512": "sha512",
    f"{DS}sha1": "sha1",
}
WEAK_DIGESTS = frozenset({f"{DS}sha1"})


def _ds(name: str) -> str:
    return f"{{{DS}}}{name}"


# The whole grammar of an accepted Signature: element -> the child sequences it may have (XML Signature 4).
_SHAPES = {
    _ds(name): tuple(tuple(_ds(child) for child in shape.split()) for shape in shapes)
    for name, shapes in {
        "Signature": ("SignedInfo SignatureValue", "SignedInfo SignatureValue KeyInfo"),
        "SignedInfo": ("CanonicalizationMethod SignatureMethod Reference",),
        "Reference": ("Transforms DigestMethod DigestValue",),
        "Transforms": ("Transform", "Transform Transform"),
        "SignatureMethod": ("",),
        "DigestMethod": ("",),
        "DigestValue": ("",),
        "SignatureValue": ("",),
    }.items()
}
_SINGLE = ("Signature", "SignedInfo", "SignatureValue", "SignatureMethod", "Reference", "Transforms", "DigestValue")
# An ID is an NCName (Core 1.3.4); a leading digit is let through because some providers send bare UUIDs.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}", re.ASCII)


@dataclass(frozen=True)
class Verified:
    """An element that holds signed content only. Its enveloped Signature is gone."""

    element: etree._Element
    warnings: tuple[str, ...]
    told: str = ""
    """By which method and certificate, in words for an administrator."""
    signed_by: tuple[str, ...] = ()
    """Fingerprints of the pinned certificates whose keys vouch for it."""


@dataclass(frozen=True)
class _SignedInfo:
    """A SignedInfo, read from its own canonical bytes; every name in it is on a list."""

    octets: bytes
    method: str
    digest: str
    digest_value: bytes
    prefixes: Sequence[str] | None
    """How the element is canonicalised: exclusively, but for these; None where no transform says how."""


def check_ids(root: etree._Element) -> None:
    """Every ID is unique, however it is spelt, and in no namespace: a reference can mean one element only."""
    seen: set[str] = set()
    for element in root.iter():
        for name, value in element.items():
            space, _, bare = str(name).rpartition("}")
            if bare.lower() != "id":
                continue
            if space:
                raise Rejected(Reason.ID_INVALID, got=name, want="ID, in no namespace")
            if value in seen:
                raise Rejected(Reason.ID_DUPLICATE, got=f"{value} twice", want="each ID once")
            seen.add(str(value))


def identifier(element: etree._Element) -> str:
    """The element's own ID, which must be there: a reference and a replay row need one."""
    value = element.get("ID", "")
    if not _ID.fullmatch(value):
        raise Rejected(Reason.ID_INVALID, got=value, want="letters, digits, _ . - (256 at most)")
    return value


def check_placement(root: etree._Element, *signable: etree._Element) -> None:
    """A Signature is a direct child of a signable element, at most one each; ds:Object is nowhere."""
    if next(root.iter(_ds("Object")), None) is not None:
        raise Rejected(Reason.SIGNATURE_PLACEMENT, got="an Object in a Signature", want="none")
    for found in root.iter(_ds("Signature")):
        if found.getparent() not in signable:
            where = local(next(found.iterancestors(), found).tag)
            raise Rejected(Reason.SIGNATURE_PLACEMENT, got=f"a Signature in {where}", want=_PLACES)
    for element in signable:
        if len(element.findall(_ds("Signature"))) > 1:
            raise Rejected(Reason.SIGNATURE_PLACEMENT, got=f"two Signatures in {local(element.tag)}", want="one")


def is_signed(element: etree._Element) -> bool:
    return element.find(_ds("Signature")) is not None


def verified(
    element: etree._Element, *, certificates: Sequence[Certificate], now: datetime, allow_weak: bool = False
) -> Verified:
    """Exactly what a pinned key signed of this element, as a new tree (Core 5.4). Raises `Rejected`."""
    document = reparse(detach(element))  # a copy to take apart
    signature = only(document, _ds("Signature"), reason=Reason.SIGNATURE_PLACEMENT)
    _check_shape(signature)
    info = _signed_info(signature, uri=f"#{identifier(document)}", allow_weak=allow_weak)
    certificate = pinned.signer(
        info.octets, _octets(signature[1]), method=info.method, certificates=certificates, allow_weak=allow_weak
    )
    _cut(document, signature)
    content = canonical(document, info.prefixes)
    if hashlib.new(DIGESTS[info.digest], content).digest() != info.digest_value:
        raise Rejected(
            Reason.DIGEST_MISMATCH,
            certificate=certificate.fingerprint_sha256[:16],
            got="other content than was signed",
            want="the content that was signed",
        )
    weak = info.method in pinned.WEAK_METHODS or info.digest in WEAK_DIGESTS
    told = f"{_short(info.method)}, {_short(info.digest)}, certificate {certificate.fingerprint_sha256[:16]}"
    return Verified(
        element=reparse(content),
        warnings=pinned.warnings(certificate, now=now, sha1=weak),
        told=told,
        signed_by=(certificate.fingerprint_sha256,),
    )


def _check_shape(signature: etree._Element) -> None:
    names = Counter(element.tag for element in signature.iter())
    for name in _SINGLE:
        if names[_ds(name)] != 1:
            raise Rejected(Reason.SIGNATURE_STRUCTURE, got=f"{names[_ds(name)] or 'no'} {name}", want=f"one {name}")
    # Each name stands once and each parent's children are spelled out: so each stands in its one place.
    for element in signature.iter(*_SHAPES):
        if tuple(child.tag for child in element) not in _SHAPES[element.tag]:
            raise Rejected(
                Reason.SIGNATURE_STRUCTURE,
                element=local(element.tag),
                got=_named(child.tag for child in element),
                want=" or ".join(map(_named, _SHAPES[element.tag])) or "nothing",
            )


def _signed_info(signature: etree._Element, *, uri: str, allow_weak: bool) -> _SignedInfo:
    """The rules about SignedInfo, asked of its canonical bytes: the very bytes that the signature covers."""
    octets = canonical(signature[0], _check_canonicalisation(signature[0][0]))
    _, method, reference = reparse(octets)
    transforms, digest, value = reference
    if reference.get("URI") != uri:
        got = reference.get("URI", "no URI") or "an empty URI, the whole document"
        raise Rejected(Reason.SIGNATURE_REFERENCE, got=got, want=uri)
    return _SignedInfo(
        octets=octets,
        method=pinned.check_method(method.get("Algorithm", ""), allow_weak=allow_weak),
        digest=_check_digest(digest.get("Algorithm", ""), allow_weak=allow_weak),
        digest_value=_octets(value),
        prefixes=_check_transforms(list(transforms)),
    )


def _check_digest(name: str, *, allow_weak: bool) -> str:
    if name not in DIGESTS:
        raise Rejected(Reason.SIGNATURE_ALGORITHM, element="DigestMethod", got=name, want=_SHA2)
    if name in WEAK_DIGESTS and not allow_weak:
        raise Rejected(Reason.SIGNATURE_WEAK, element="DigestMethod", got=name, want=_SHA2)
    return name


def _check_transforms(transforms: Sequence[etree._Element]) -> Sequence[str] | None:
    """The element's own Signature is left out; then at most exclusive canonicalisation (Core 5.4.4)."""
    enveloped, *others = transforms
    if enveloped.get("Algorithm") != _ENVELOPED or len(enveloped):
        raise _transform("Transform", enveloped.get("Algorithm"), want=_ENVELOPED)
    return _check_canonicalisation(others[0]) if others else None


def _check_canonicalisation(element: etree._Element) -> Sequence[str]:
    """Exclusive canonicalisation, with a list of prefixes and nothing else as its parameter: those."""
    name, got = local(element.tag), element.get("Algorithm")
    if got not in _EXC:
        raise _transform(name, got, want=_EXC_C14N)
    parameters = [child.tag for child in element.iterdescendants()]
    prefixes = element[0].get("PrefixList", "").split() if parameters else []
    if parameters not in ([], [_INCLUSIVE_NAMESPACES]) or len(prefixes) > _MOST_PREFIXES:
        raise _transform(name, "parameters", want=f"a list of {_MOST_PREFIXES} prefixes at most")
    return prefixes


def canonical(element: etree._Element, prefixes: Sequence[str] | None = None) -> bytes:
    """Canonical bytes: exclusive, but for these prefixes; inclusive where nothing says how (XML Signature 4.4.3.2)."""
    if prefixes and _DEFAULT in prefixes:
        # lxml drops each prefix that its dictionary does not hold, as one that is declared nowhere; no prefix has this
        # name, so it would not be there.
        etree.fromstring(f'<_ xmlns:_="{_DEFAULT}"/>')
    listed = list(prefixes or ()) or None
    try:
        return etree.tostring(
            element,
            method="c14n",
            exclusive=prefixes is not None,
            with_comments=False,
            inclusive_ns_prefixes=listed,
        )
    except etree.C14NError:  # libxml2 will not: a digest of nothing must never be compared
        raise Rejected(Reason.SIGNATURE_STRUCTURE, got="no canonical form", want="a canonical form") from None


def _cut(parent: etree._Element, signature: etree._Element) -> None:
    """The enveloped-signature transform: the Signature goes, the text behind it stays where it was."""
    before, tail = signature.getprevious(), signature.tail or ""
    parent.remove(signature)
    if before is None:
        parent.text = (parent.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail


def _octets(element: etree._Element) -> bytes:
    try:
        octets = from_base64(text(element))
    except ValueError:
        octets = b""
    if not octets:
        raise Rejected(Reason.SIGNATURE_STRUCTURE, element=local(element.tag), got="no base64", want="base64")
    return octets


def _transform(element: str, got: str | None, *, want: str) -> Rejected:
    return Rejected(Reason.SIGNATURE_ALGORITHM, element=element, got=got, want=want)


def _named(tags: Iterable[str]) -> str:
    return " ".join(map(local, tags)) or "nothing"


def _short(uri: str) -> str:
    return uri.rpartition("#")[2]
