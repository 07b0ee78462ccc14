"""Verify what you consume: a signed element goes in; the re-parsed bytes whose digest was checked come out.

The order is fixed. Structure first (one place, one shape, one reference to the parent), then the algorithm lists,
then cryptography by signxml with the pinned certificates, and only then is anything read, from the result.
Everything that is not exactly the expected shape is refused before a library sees it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.xml import DS, detach, only, text

_EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
_EXC = frozenset({_EXC_C14N, _EXC_C14N + "WithComments"})  # alike here: no accepted document holds comments
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_INCLUSIVE_NAMESPACES = f"{{{_EXC_C14N}}}InclusiveNamespaces"

SIGNATURE_METHODS = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
DIGEST_ALGORITHMS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
# Only behind a per-connection switch that is off: collisions are affordable, and the result carries a warning.
SHA1_METHODS = frozenset({SignatureMethod.RSA_SHA1})
SHA1_DIGESTS = frozenset({DigestAlgorithm.SHA1})


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
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
# An ID is an NCName (Core 1.3.4); a leading digit is let through because some providers send bare UUIDs.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}", re.ASCII)

CERTIFICATE_EXPIRED = "certificate_expired"
CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
SHA1_SIGNATURE = "sha1_signature"

_Result = VerifyResult | list[VerifyResult]


@dataclass(frozen=True)
class Verified:
    """An element that holds signed content only. Its enveloped Signature is gone."""

    element: etree._Element
    warnings: tuple[str, ...]


def check_ids(root: etree._Element) -> None:
    """Every ID is unique, however it is spelt and prefixed: a reference can mean one element only."""
    seen: set[str] = set()
    for element in root.iter():
        for name, value in element.items():
            if str(name).rpartition("}")[2].lower() != "id":
                continue
            if value in seen:
                raise Rejected(Reason.ID_DUPLICATE, id=value)
            seen.add(str(value))


def identifier(element: etree._Element) -> str:
    """The element's own ID, which must be there: a reference and a replay row need one."""
    value = element.get("ID", "")
    if not _ID.fullmatch(value):
        raise Rejected(Reason.ID_INVALID, id=value)
    return value


def check_placement(root: etree._Element, *signable: etree._Element) -> None:
    """A Signature is a direct child of a signable element, at most one each; ds:Object is nowhere."""
    if next(root.iter(_ds("Object")), None) is not None:
        raise Rejected(Reason.SIGNATURE_PLACEMENT, element="Object")
    for found in root.iter(_ds("Signature")):
        if found.getparent() not in signable:
            raise Rejected(Reason.SIGNATURE_PLACEMENT, detail="not below the Response or the Assertion")
    for element in signable:
        if len(element.findall(_ds("Signature"))) > 1:
            raise Rejected(Reason.SIGNATURE_PLACEMENT, detail="two signatures on one element")


def is_signed(element: etree._Element) -> bool:
    return element.find(_ds("Signature")) is not None


def verified(
    element: etree._Element, *, certificates: Sequence[Certificate], now: datetime, allow_sha1: bool = False
) -> Verified:
    """Exactly what a pinned key signed of this element, as a new tree (Core 5.4). Raises `Rejected`."""
    signature = only(element, _ds("Signature"), reason=Reason.SIGNATURE_PLACEMENT)
    _check_shape(signature)
    _check_reference(element, signature)
    _check_algorithms(signature, allow_sha1=allow_sha1)
    tree, certificate = _by_any(element, certificates, now=now, allow_sha1=allow_sha1)
    return Verified(tree, _warnings(signature, certificate, now))


def _check_shape(signature: etree._Element) -> None:
    names = Counter(element.tag for element in signature.iter())
    for name in _SINGLE:
        if names[_ds(name)] != 1:
            raise Rejected(Reason.SIGNATURE_STRUCTURE, element=name, got=names[_ds(name)], want=1)
    # Each name stands once and each parent's children are spelled out: so each stands in its one place.
    for element in signature.iter(*_SHAPES):
        if tuple(child.tag for child in element) not in _SHAPES[element.tag]:
            raise Rejected(Reason.SIGNATURE_STRUCTURE, element=etree.QName(element).localname)
    for value in signature.iter(_ds("DigestValue"), _ds("SignatureValue")):
        if not _BASE64.fullmatch("".join(text(value).split())):
            raise Rejected(Reason.SIGNATURE_STRUCTURE, detail="not base64")


def _check_reference(element: etree._Element, signature: etree._Element) -> None:
    wanted = f"#{identifier(element)}"
    for reference in signature.iter(_ds("Reference")):
        if reference.get("URI") != wanted:
            raise Rejected(Reason.SIGNATURE_REFERENCE, got=reference.get("URI"), want=wanted)


def _check_algorithms(signature: etree._Element, *, allow_sha1: bool) -> None:
    methods, digests = _allowed(allow_sha1=allow_sha1)
    transforms = [element.get("Algorithm") for element in signature.iter(_ds("Transform"))]
    named = {
        "CanonicalizationMethod": _EXC,
        "SignatureMethod": frozenset(method.value for method in methods),
        "DigestMethod": frozenset(digest.value for digest in digests),
    }
    for name, allowed in named.items():
        for element in signature.iter(_ds(name)):
            if element.get("Algorithm") not in allowed:
                raise Rejected(Reason.SIGNATURE_ALGORITHM, element=name, got=element.get("Algorithm"))
    if transforms[0] != _ENVELOPED or not _EXC.issuperset(transforms[1:]):
        raise Rejected(Reason.SIGNATURE_ALGORITHM, element="Transforms", got=" ".join(map(str, transforms)))
    for element in signature.iter(_ds("CanonicalizationMethod"), _ds("Transform")):
        parameters = [child.tag for child in element.iterdescendants()]
        if parameters and (parameters != [_INCLUSIVE_NAMESPACES] or element.get("Algorithm") not in _EXC):
            raise Rejected(Reason.SIGNATURE_ALGORITHM, element=etree.QName(element).localname, got="parameters")


def _allowed(*, allow_sha1: bool) -> tuple[frozenset[SignatureMethod], frozenset[DigestAlgorithm]]:
    if allow_sha1:
        return SIGNATURE_METHODS | SHA1_METHODS, DIGEST_ALGORITHMS | SHA1_DIGESTS
    return SIGNATURE_METHODS, DIGEST_ALGORITHMS


def _by_any(
    element: etree._Element, certificates: Sequence[Certificate], *, now: datetime, allow_sha1: bool
) -> tuple[etree._Element, Certificate]:
    usable = [certificate for certificate in certificates if certificate.usable]
    if not usable:
        raise Rejected(Reason.CERTIFICATE_UNUSABLE, pinned=len(certificates))
    octets = _without_key_info(element)
    failures = []
    for certificate in usable:
        try:
            result = _by_one(octets, certificate, now=now, allow_sha1=allow_sha1)
            return _signed_tree(result, element), certificate
        except InvalidDigest:
            raise Rejected(Reason.DIGEST_MISMATCH, certificate=certificate.fingerprint_sha256) from None
        except Exception as error:  # signxml lets TypeError, KeyError and more through; none of them is a yes
            failures.append(f"{certificate.fingerprint_sha256[:16]}: {type(error).__name__}")
    raise Rejected(Reason.SIGNATURE_INVALID, tried=", ".join(failures))


def _by_one(octets: bytes, certificate: Certificate, *, now: datetime, allow_sha1: bool) -> _Result:
    methods, digests = _allowed(allow_sha1=allow_sha1)
    configuration = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=methods,
        digest_algorithms=digests,
        ignore_ambiguous_key_info=True,
        # The dates of a pinned certificate are reported, not enforced (see the certificate module).
        verification_time=min(max(now, certificate.not_before), certificate.not_after),
        # What XML Signature 4.4.3.2 says where no transform names a canonicalisation.
        default_reference_c14n_method=CanonicalizationMethod.CANONICAL_XML_1_0,
    )
    return XMLVerifier().verify(
        octets,
        x509_cert=x509.load_pem_x509_certificate(certificate.pem.encode("ascii")),
        validate_schema=False,  # _SHAPES is stricter, and needs no file
        expect_config=configuration,
    )


def _signed_tree(result: _Result, element: etree._Element) -> etree._Element:
    """The reference rule has settled all this; asked again of the result, because everything after rests on it."""
    tree = None if isinstance(result, list) else result.signed_xml
    if tree is None or (tree.tag, tree.get("ID")) != (element.tag, element.get("ID")):
        raise TypeError("signxml verified something else than this element")
    return tree


def _without_key_info(element: etree._Element) -> bytes:
    """A key in the message must not even be visible to the library. KeyInfo is outside SignedInfo: nothing breaks."""
    copy = etree.fromstring(detach(element), etree.XMLParser(resolve_entities=False, no_network=True))
    for signature in copy.findall(_ds("Signature")):
        for key_info in signature.findall(_ds("KeyInfo")):
            signature.remove(key_info)
    return detach(copy)


def _warnings(signature: etree._Element, certificate: Certificate, now: datetime) -> tuple[str, ...]:
    sha1 = {method.value for method in SHA1_METHODS} | {digest.value for digest in SHA1_DIGESTS}
    facts = {
        SHA1_SIGNATURE: any(element.get("Algorithm") in sha1 for element in signature.iter()),
        CERTIFICATE_EXPIRED: now > certificate.not_after,
        CERTIFICATE_NOT_YET_VALID: now < certificate.not_before,
    }
    return tuple(name for name, is_so in facts.items() if is_so)
