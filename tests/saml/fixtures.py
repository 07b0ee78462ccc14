"""Writes the folders of `fixtures/saml/` that are missing, and all facts anew: `python -m tests.saml.fixtures`.

Keys are made for the run and thrown away (but for the one that must decrypt), so a folder is never written twice. To
make one anew, remove it first.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from idp_bridge.saml import Reason, Rejected

from . import idp
from .playing import FOLDER, case_of, play

TITLES = {
    "okta": "Okta: both signed, own prefixes, InclusiveNamespaces, typed values, base64 in lines",
    "entra": "Entra ID: assertion signed, no prefixes at all, seven digits of a second, claim URIs",
    "google": "Google Workspace: Response signed alone, values of type xs:anyType",
    "onelogin": "OneLogin: assertion signed, User.* attributes",
    "ping": "PingFederate: assertion signed, indented, base64 in lines",
    "adfs": "AD FS: assertion signed without prefixes, encrypted with AES-256-CBC",
    "keycloak": "Keycloak: Response signed alone, dsig prefix, namespace declared twice, KeyName and KeyValue",
    "simplesamlphp": "SimpleSAMLphp: both signed, all namespaces declared on the Response, qualified NameID",
    "jumpcloud": "JumpCloud: assertion signed, typed values, NameID of unspecified format",
    "shibboleth": "Shibboleth: Response signed, assertion encrypted with AES-128-GCM, attributes by OID",
    "auth0": "Auth0: assertion signed without a prefix, claim URIs",
    "lasso": "Lasso: both signed, encrypted with AES-128-CBC, EncryptedKey beside the EncryptedData",
}

Edit = Callable[[str], str]


def swapped(old: str, new: str) -> Edit:
    """The text with the first `old` replaced, which must be there."""

    def edit(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, 1)

    return edit


def cut(start: str, end: str) -> Edit:
    """The text without its first stretch from `start` to `end`, both included."""

    def edit(text: str) -> str:
        head, found, tail = text.partition(start)
        rest = tail.partition(end)
        assert found, start
        assert rest[1], end
        return head + rest[2]

    return edit


@dataclass(frozen=True)
class Bad:
    """The good case with one thing changed, by the provider before it signs or by somebody after that."""

    title: str
    before: Edit | None = None
    after: Edit | None = None
    shape: idp.Shape = idp.ENTRA
    case: Mapping[str, Any] = field(default_factory=dict)
    """What else of case.json is different."""
    trust: Mapping[str, Any] = field(default_factory=dict)
    by: Callable[[], idp.Pair] = idp.idp
    message: str | None = None
    """The form field as it was posted, where it is not the base64 of a document."""


A = idp.ENCRYPTED_CBC
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
NO_ASSERTION = cut("<Assertion", "</Assertion>")
SAYS_WHY = swapped(
    "</samlp:Status>",
    "<samlp:StatusMessage>The user is not assigned to this application.</samlp:StatusMessage></samlp:Status>",
)
SUBJECT, CONDITIONS = ("<Subject>", "</Subject>"), ("<Conditions ", "</Conditions>")
WINDOW = f'NotOnOrAfter="{idp.stamp(5, idp.ENTRA)}"'
OVER = f'NotOnOrAfter="{idp.stamp(-5, idp.ENTRA)}"'

BAD: dict[Reason, Bad] = {
    Reason.MESSAGE_TOO_LARGE: Bad("more than 256 KiB as posted", case={"padded_to": 200_000}),
    Reason.NOT_BASE64: Bad("an octet that is no base64", message="PHNhbWxwOlJlc3BvbnNl!"),
    Reason.NOT_XML: Bad("cut off in the middle", after=lambda text: text[: len(text) // 2]),
    Reason.NOT_A_RESPONSE: Bad(
        "a LogoutResponse", after=lambda text: text.replace("samlp:Response", "samlp:LogoutResponse")
    ),
    Reason.XML_ENCODING: Bad(
        "declared as Latin-1", after=lambda text: f'<?xml version="1.0" encoding="ISO-8859-1"?>{text}'
    ),
    Reason.XML_DOCTYPE: Bad("an empty document type", after=lambda text: f"<!DOCTYPE Response>{text}"),
    Reason.XML_COMMENT: Bad(
        "a comment in the NameID", after=swapped("ann@example.com<", "ann@example.com<!-- -->.attacker.example<")
    ),
    Reason.XML_NAMESPACE: Bad(
        "a relative namespace name", after=swapped("<samlp:Status>", '<samlp:Status xmlns:x="x">')
    ),
    Reason.XML_TOO_COMPLEX: Bad(
        "forty elements deep", before=swapped("<samlp:Status>", "<samlp:Status>" + "<x>" * 40 + "</x>" * 40)
    ),
    Reason.VERSION_UNSUPPORTED: Bad(
        "an assertion of SAML 1.1", before=lambda text: '"1.1"'.join(text.rsplit('"2.0"', 1))
    ),
    Reason.STRUCTURE: Bad("an element in a value", before=swapped("</Audience>", "<x/></Audience>")),
    Reason.ASSERTION_COUNT: Bad(
        "success without an assertion",
        before=NO_ASSERTION,
        shape=replace(idp.ENTRA, sign_response=True),
    ),
    Reason.ID_INVALID: Bad("an ID with a space", before=swapped("_assertion1", "_assertion 1")),
    Reason.ID_DUPLICATE: Bad("the assertion's ID a second time", before=swapped("_response1", "_assertion1")),
    Reason.SIGNATURE_PLACEMENT: Bad(
        "ds:Object in the Signature", after=swapped("</ds:Signature>", "<ds:Object/></ds:Signature>")
    ),
    Reason.SIGNATURE_STRUCTURE: Bad(
        "two References", after=swapped("</ds:Reference>", '</ds:Reference><ds:Reference URI=""/>')
    ),
    Reason.SIGNATURE_ALGORITHM: Bad(
        "an XPath transform", after=swapped(f'{idp.EXC}"/></ds:Transforms', f'{XPATH}"/></ds:Transforms')
    ),
    Reason.SIGNATURE_REFERENCE: Bad("a reference to the whole document", after=swapped('URI="#_assertion1"', 'URI=""')),
    Reason.SIGNATURE_MISSING: Bad("no Signature", after=cut("<ds:Signature ", "</ds:Signature>")),
    Reason.SIGNATURE_INVALID: Bad("signed with another key", by=idp.attacker),
    Reason.DIGEST_MISMATCH: Bad("another person after signing", after=swapped("ann@", "bob@")),
    Reason.SIGNATURE_WEAK: Bad(
        "an RSA key of 1024 bits", by=lambda: idp.pair("idp.example.com", "rsa1024"), case={"pinned": "signer"}
    ),
    Reason.CERTIFICATE_UNUSABLE: Bad("no certificate is pinned", trust={"certificates": []}),
    Reason.STATUS_NOT_SUCCESS: Bad(
        "refused by the provider, which says why",
        before=lambda text: NO_ASSERTION(swapped("status:Success", "status:Responder")(SAYS_WHY(text))),
        shape=replace(idp.ENTRA, sign_response=True),
    ),
    Reason.ENCRYPTION_REQUIRED: Bad("plain where encryption is demanded", trust={"want_encrypted": True}),
    Reason.ENCRYPTION_ALGORITHM: Bad("CBC where GCM is demanded", shape=A, trust={"require_gcm": True}),
    Reason.ENCRYPTION_PLACEMENT: Bad(
        "EncryptedData in the subject",
        before=swapped("</Subject>", f'<x:EncryptedData xmlns:x="{idp.XENC}"/></Subject>'),
    ),
    Reason.DECRYPTION_FAILED: Bad("encrypted for another service provider", shape=A, case={"decrypts": False}),
    Reason.ISSUER_MISMATCH: Bad(
        "another issuer of the same key", before=lambda text: text.replace(idp.IDP, idp.IDP + "/other")
    ),
    Reason.DESTINATION_MISMATCH: Bad(
        "another Destination, unsigned", after=swapped(f'Destination="{idp.ACS}"', f'Destination="{idp.ACS}2"')
    ),
    Reason.TIME_MALFORMED: Bad(
        "a time with an offset", before=swapped(WINDOW + "><Aud", 'NotOnOrAfter="2026-03-01T13:05:00+01:00"><Aud')
    ),
    Reason.CONDITIONS_MISSING: Bad("no Conditions", before=cut(*CONDITIONS)),
    Reason.CONDITION_UNKNOWN: Bad("an unknown condition", before=swapped("</Conditions>", "<Condition/></Conditions>")),
    Reason.NOT_YET_VALID: Bad("a minute before the time, tolerance and all", case={"now": "2026-03-01T11:52:00+00:00"}),
    Reason.EXPIRED: Bad("Conditions that are over", before=swapped(WINDOW + "><Aud", OVER + "><Aud")),
    Reason.AUDIENCE_MISSING: Bad("no audience", before=cut("<AudienceRestriction>", "</AudienceRestriction>")),
    Reason.AUDIENCE_MISMATCH: Bad(
        "for another service provider", before=swapped(f"<Audience>{idp.SP}", "<Audience>https://other.example.com")
    ),
    Reason.SUBJECT_MISSING: Bad("no Subject", before=cut(*SUBJECT)),
    Reason.NAME_ID_MISSING: Bad("no NameID", before=cut("<NameID ", "</NameID>")),
    Reason.NAME_ID_MALFORMED: Bad(
        "a NameID with a space before it", before=swapped(">ann@example.com</NameID", "> ann@example.com</NameID")
    ),
    Reason.NAME_ID_TRANSIENT: Bad(
        "a transient NameID", before=swapped(idp.EMAIL, "urn:oasis:names:tc:SAML:2.0:nameid-format:transient")
    ),
    Reason.CONFIRMATION_MISSING: Bad("confirmed as holder-of-key", before=swapped("cm:bearer", "cm:holder-of-key")),
    Reason.CONFIRMATION_INVALID: Bad("a bearer without an end", before=swapped(f" {WINDOW} Recipient", " Recipient")),
    Reason.RECIPIENT_MISMATCH: Bad(
        "for another ACS", before=swapped(f'Recipient="{idp.ACS}', 'Recipient="https://other.example.com/acs')
    ),
    Reason.CONFIRMATION_EXPIRED: Bad(
        "a confirmation that is over", before=swapped(f"{WINDOW} Recipient", f"{OVER} Recipient")
    ),
    Reason.IN_RESPONSE_TO_MISMATCH: Bad(
        "the envelope names another request", after=swapped(f'InResponseTo="{idp.REQUEST}"', 'InResponseTo="_other"')
    ),
    Reason.UNSOLICITED_NOT_ALLOWED: Bad(
        "nobody asked",
        before=lambda text: text.replace(f' InResponseTo="{idp.REQUEST}"', "").replace(
            f'InResponseTo="{idp.REQUEST}" ', ""
        ),
    ),
    Reason.AUTHN_STATEMENT_MISSING: Bad("nobody signed in", before=cut("<AuthnStatement ", "</AuthnStatement>")),
    Reason.SESSION_EXPIRED: Bad("a session that is over", before=swapped("T20:00:00", "T11:00:00")),
    Reason.ATTRIBUTE_MALFORMED: Bad("an attribute without a name", before=swapped('Name="email" ', "")),
    Reason.EMAIL_AMBIGUOUS: Bad(
        "two addresses",
        before=swapped(
            "ann@example.com</AttributeValue>",
            "ann@example.com</AttributeValue><AttributeValue>ann@example.org</AttributeValue>",
        ),
    ),
    Reason.EMAIL_MALFORMED: Bad(
        "no address",
        before=swapped("ann@example.com</AttributeValue>", "Ann Lee &lt;ann@example.com&gt;</AttributeValue>"),
    ),
}


def main() -> None:
    for shape in idp.PROVIDERS:
        document = idp.good(shape)
        write(FOLDER / "good" / shape.name, etree.tostring(document), good_case(shape))
    for reason, bad in BAD.items():
        folder = FOLDER / "bad" / reason.value
        write(folder, content(bad), bad_case(reason, bad))
        record_facts(folder)


def record_facts(folder: Path) -> None:
    """What an administrator is told beside the reason, as the door says it now: look at it before keeping it."""
    case = case_of(folder)
    try:
        play(folder)
    except Rejected as refusal:
        case["expect"]["facts"] = dict(refusal.facts)
    (folder / "case.json").write_text(json.dumps(case, indent=2) + "\n")


def content(bad: Bad) -> bytes:
    if bad.message is not None:
        return bad.message.encode()
    text = etree.tostring(idp.unsigned(bad.shape)).decode()
    signed = idp.finish(etree.fromstring(bad.before(text) if bad.before else text), bad.shape, bad.by())
    posted = etree.tostring(signed).decode()
    return (bad.after(posted) if bad.after else posted).encode()


def base_case(title: str, certificate: str, shape: idp.Shape) -> dict[str, Any]:
    case: dict[str, Any] = {
        "title": title,
        "now": idp.NOW.isoformat(),
        "trust": {"entity_id": idp.IDP, "certificates": [certificate]},
        "service_provider": {"entity_id": idp.SP, "acs_url": idp.ACS},
    }
    if shape.encrypt:
        case["service_provider"]["decryption_key"] = pem(idp.sp_keys())
    return case


def pem(pair: idp.Pair) -> str:
    return pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def good_case(shape: idp.Shape) -> dict[str, Any]:
    return base_case(TITLES[shape.name], idp.idp().certificate.base64_der, shape)


def bad_case(reason: Reason, bad: Bad) -> dict[str, Any]:
    """`pinned: signer` and `decrypts: false` are for here; the rest of `bad.case` goes into the file."""
    changes = dict(bad.case)
    pinned = bad.by() if changes.pop("pinned", None) else idp.idp()
    readable = changes.pop("decrypts", True)
    case = base_case(bad.title, pinned.certificate.base64_der, bad.shape)
    if not readable:
        case["service_provider"]["decryption_key"] = pem(idp.pair("other.example.com"))
    case["trust"] |= bad.trust
    return case | changes | {"expect": {"refused": reason.value}}


def write(folder: Path, octets: bytes, case: dict[str, Any]) -> None:
    """One folder, if it is not there. What a good message says is what the door reads: look at it before keeping it."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    (folder / ("response.xml" if octets.startswith(b"<") else "message.txt")).write_bytes(octets)
    (folder / "case.json").write_text(json.dumps(case, indent=2) + "\n")
    if "expect" not in case:
        (folder / "case.json").write_text(json.dumps(case | {"expect": play(folder)}, indent=2) + "\n")
    print(folder.relative_to(FOLDER))


if __name__ == "__main__":
    main()
