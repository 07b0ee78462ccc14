"""One message, three verifiers: what may differ between them, and what would be a hole or a refusal without need."""

from collections.abc import Iterator
from random import Random

from lxml import etree

from idp_bridge.saml import Certificate, Reason, Rejected, verify

from . import idp
from .attacks import Attack, Base, forgeries, variants
from .others import Said, answers, said

#: What the suite looks at; `make fuzz` takes others.
SEED, CASES = 4, 320

#: Forms that another verifier does not know or refuses by a rule of its own: (verifier, its words) -> why ours differs.
UNKNOWN_TO = {
    ("python3-saml", "Not match the saml-schema-protocol-2.0.xsd"): "The schemas fix an order that one real provider "
    "does not keep (Signature last), and know no xenc11:MGF. We demand what signatures need, not the schemas.",
    ("python3-saml", "No KeyInfo present"): "EncryptedKey beside EncryptedData (XML Encryption 3.5).",
    ("python3-saml", "The Assertion must include an AuthnStatement"): "Several statements are legal (Core 2.3.3).",
    ("pygamlastan", "Undeclared namespace prefix"): "It cuts the EncryptedAssertion out of what declares its prefix.",
    ("pygamlastan", "SubjectConfirmation NotOnOrAfter"): "One good bearer is enough (Profiles 4.1.4.3); it wants all.",
    ("pygamlastan", "SubjectConfirmation Recipient"): "The same.",
    ("pygamlastan", "SubjectConfirmationData Recipient"): "The same.",
    ("pygamlastan", "illegal CDATA sections"): "CDATA is text like any other (XML 2.7); canonicalisation writes it so.",
}

#: What we refuse although both others accept it, in messages that no honest provider sends.
STRICTER = {
    Reason.MESSAGE_TOO_LARGE: "Caps on size.",
    Reason.NOT_BASE64: "Both skip letters that are no base64. Bindings 3.5.4 knows none.",
    Reason.XML_ENCODING: "A declaration that lies about the encoding is a difference between readers (CVE-2025-25291).",
    Reason.XML_COMMENT: "Comments and instructions are outside of the digest (CVE-2017-11427).",
    Reason.XML_DOCTYPE: "No document type at all (CVE-2025-25292).",
    Reason.XML_NAMESPACE: "Relative namespace names make libxml2's canonicalisation fail (CVE-2025-66568).",
    Reason.XML_TOO_COMPLEX: "Caps on size, depth and declarations.",
    Reason.ASSERTION_COUNT: "No second Assertion of any namespace anywhere, not even where nobody reads it.",
    Reason.STRUCTURE: "No element inside a value, and no second Response anywhere.",
    Reason.SIGNATURE_STRUCTURE: "KeyInfo and the rest may hold what the grammar names, and nothing else.",
    Reason.SIGNATURE_PLACEMENT: "No ds:Object, and no Signature but directly in what it signs.",
    Reason.ID_DUPLICATE: "IDs are unique however they are spelt, also where no schema makes them IDs.",
    Reason.ISSUER_MISMATCH: "Both read an empty Issuer as none. It is one, and not the provider's (Core 2.2.5).",
    Reason.DESTINATION_MISMATCH: "Addresses are compared as they are; both forgive a slash at the end.",
    Reason.DECRYPTION_FAILED: "The same rules inside of a ciphertext, under one name.",
}


def complaint_about_honesty(document: etree._Element, by: idp.Pair) -> str | None:
    """What an honest provider says is accepted here, or by neither of the others; all who accept it read the same."""
    field = idp.post(document)
    ours, theirs = _ours(field, by.certificate), answers(field, by.certificate)
    if isinstance(ours, Reason):
        return f"refused here with {ours}: {theirs}"
    return _complaint(ours, theirs)


def complaint_about_forgery(message: str | bytes, certificate: Certificate) -> str | None:
    """What both refuse is refused here; what we alone refuse, we refuse for a reason that is known."""
    field = message if isinstance(message, str) else idp.post(message)
    ours, theirs = _ours(field, certificate), answers(field, certificate)
    if not isinstance(ours, Reason):
        return _complaint(ours, theirs)
    if all(isinstance(answer, Said) for answer in theirs.values()) and ours not in STRICTER:
        return f"refused here with {ours}, which no row of STRICTER explains: {theirs}"
    return None


def _ours(field: str, certificate: Certificate) -> Said | Reason:
    try:
        assertion = verify(field, trust=idp.trust(certificates=(certificate,)), sp=idp.service_provider(), now=idp.NOW)
    except Rejected as refusal:
        return refusal.reason
    return said(assertion)


def _complaint(ours: Said, theirs: dict[str, Said | str]) -> str | None:
    understood = {name: answer for name, answer in theirs.items() if isinstance(answer, Said)}
    for name, answer in understood.items():
        if answer != ours:
            return f"{name} reads {answer}, we read {ours}"
    unexplained = {name: words for name, words in theirs.items() if isinstance(words, str) and not _known(name, words)}
    if not understood and unexplained:
        return f"accepted here, refused by both: {unexplained}"
    return None


def _known(verifier: str, words: str) -> bool:
    return any(name == verifier and part in words for name, part in UNKNOWN_TO)


def sampled(base: Base, random: Random, *, one_in: int) -> Iterator[Attack]:
    """About one in so many of all that can be made of this message."""
    for made in (forgeries, variants):
        yield from (attack for attack in made(base) if not random.randrange(one_in))
