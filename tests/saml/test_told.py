"""What an administrator is told of a refusal: what came and what was wanted, and how to mend it, in whole sentences."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from idp_bridge import providers
from idp_bridge.saml import Check, Rejected, verify
from idp_bridge.saml.checks import Checks

from . import idp
from .playing import FOLDER, case_of, play

DOOR = Path(__file__).parents[2] / "idp_bridge" / "saml"
FINGERPRINT = re.compile(r"[0-9a-f]{16,64}")
STATUS = "urn:oasis:names:tc:SAML:2.0:status"

#: The check that failed, what came, what was wanted; a fingerprint is written as F.
TOLD = {
    "assertion_count": ("structure", "no Assertion", "one, directly in the Response"),
    "attribute_malformed": ("attributes", "an Attribute without a Name", "a Name for each"),
    "audience_mismatch": ("audience", "https://other.example.com", "https://sp.example.com/saml/idp_1/metadata"),
    "audience_missing": ("audience", "no AudienceRestriction", "https://sp.example.com/saml/idp_1/metadata"),
    "authn_statement_missing": ("authentication", "no AuthnStatement", "an AuthnStatement"),
    "certificate_unusable": (
        "assertion_signature",
        "0 pinned, none usable",
        "RSA from 2048 bits or ECDSA from 256 bits",
    ),
    "condition_unknown": (
        "conditions",
        "{urn:oasis:names:tc:SAML:2.0:assertion}Condition",
        "AudienceRestriction, OneTimeUse, ProxyRestriction",
    ),
    "conditions_missing": ("conditions", "no Conditions", "one Conditions"),
    "confirmation_expired": (
        "confirmation",
        "2026-03-01T11:55:00Z (now: 2026-03-01T12:00:00Z)",
        "later than 2026-03-01T11:58:00Z",
    ),
    "confirmation_invalid": ("confirmation", "no NotOnOrAfter", "a NotOnOrAfter, and no NotBefore"),
    "confirmation_missing": (
        "confirmation",
        "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key",
        "urn:oasis:names:tc:SAML:2.0:cm:bearer",
    ),
    "decryption_failed": ("decryption", "no key of ours opens it (cause: key)", "encrypted to a key of ours"),
    "destination_mismatch": (
        "destination",
        "https://sp.example.com/saml/idp_1/acs2",
        "https://sp.example.com/saml/idp_1/acs",
    ),
    "digest_mismatch": (
        "assertion_signature",
        "other content than was signed (certificate: F)",
        "the content that was signed",
    ),
    "email_ambiguous": ("email", "ann@example.com ann@example.org", "one address"),
    "email_malformed": ("email", "'Ann Lee <ann@example.com>'", "an address such as name@example.com"),
    "encryption_algorithm": (
        "decryption",
        "http://www.w3.org/2001/04/xmlenc#aes128-cbc (element: EncryptedData)",
        "AES-GCM",
    ),
    "encryption_placement": ("encryption", "an encrypted part of the Assertion", "the whole Assertion, or nothing"),
    "encryption_required": ("encryption", "a plain Assertion", "an EncryptedAssertion"),
    "expired": ("validity", "2026-03-01T11:55:00Z (now: 2026-03-01T12:00:00Z)", "later than 2026-03-01T11:58:00Z"),
    "id_duplicate": ("structure", "_assertion1 twice", "each ID once"),
    "id_invalid": ("assertion_signature", "_assertion 1", "letters, digits, _ . - (256 at most)"),
    "in_response_to_mismatch": (
        "confirmation",
        "_request1 (response: _other)",
        "the same request in assertion and Response",
    ),
    "issuer_mismatch": (
        "issuer",
        "https://idp.example.com/entity/other (element: Assertion)",
        "https://idp.example.com/entity",
    ),
    "message_too_large": ("message", "266668 characters", "262144 at most"),
    "name_id_malformed": ("name_id", "' ann@example.com'", "printable, no blanks around it, 1024 octets at most"),
    "name_id_missing": ("name_id", "no NameID", "one NameID"),
    "name_id_transient": (
        "name_id",
        "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
        "a lasting one: emailAddress, persistent",
    ),
    "not_a_response": (
        "response",
        "{urn:oasis:names:tc:SAML:2.0:protocol}LogoutResponse",
        "{urn:oasis:names:tc:SAML:2.0:protocol}Response",
    ),
    "not_base64": ("message", "21 characters of something else", "base64"),
    "not_xml": ("xml", "not XML at line 1, column 2011", "well-formed XML"),
    "not_yet_valid": (
        "validity",
        "2026-03-01T11:55:00Z (now: 2026-03-01T11:52:00Z)",
        "2026-03-01T11:54:00Z at the latest",
    ),
    "recipient_mismatch": ("confirmation", "https://other.example.com/acs", "https://sp.example.com/saml/idp_1/acs"),
    "session_expired": (
        "authentication",
        "2026-03-01T11:00:00Z (now: 2026-03-01T12:00:00Z)",
        "later than 2026-03-01T11:58:00Z",
    ),
    "signature_algorithm": (
        "assertion_signature",
        "http://www.w3.org/TR/1999/REC-xpath-19991116 (element: Transform)",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
    ),
    "signature_invalid": ("assertion_signature", "by none of the pinned keys (tried: F)", "by a pinned key"),
    "signature_missing": ("assertion_signature", "no Signature", "one, of the Assertion or the Response"),
    "signature_placement": ("structure", "an Object in a Signature", "none"),
    "signature_reference": ("assertion_signature", "an empty URI, the whole document", "#_assertion1"),
    "signature_structure": ("assertion_signature", "2 Reference", "one Reference"),
    "signature_weak": ("assertion_signature", "RSA, 1024 bits (certificate: F)", "RSA, 2048 bits or more"),
    "status_not_success": (
        "status",
        "urn:oasis:names:tc:SAML:2.0:status:Responder (message: The user is not assigned to this application.)",
        "urn:oasis:names:tc:SAML:2.0:status:Success",
    ),
    "structure": ("audience", "elements in a value (element: Audience)", "text alone"),
    "subject_missing": ("name_id", "no Subject", "one Subject"),
    "time_malformed": (
        "validity",
        "2026-03-01T13:05:00+01:00 (attribute: NotOnOrAfter)",
        "a time such as 2026-01-31T12:00:00Z",
    ),
    "unsolicited_not_allowed": ("solicited", "no InResponseTo", "an answer to a request of ours"),
    "version_unsupported": ("version", "1.1", "2.0"),
    "xml_comment": ("xml", "a comment or processing instruction, line 1", "none"),
    "xml_doctype": ("xml", "a document type or an entity", "none"),
    "xml_encoding": ("xml", "an XML declaration of something else", "XML 1.0 in UTF-8"),
    "xml_namespace": ("xml", "x", "an absolute URI"),
    "xml_too_complex": ("xml", "34 elements, 33 deep", "10000 elements, 32 deep at most"),
}
FOLDERS = [pytest.param(folder, id=folder.name) for folder in sorted((FOLDER / "bad").iterdir())]
OURS = {name: f"https://sp.example.com/{name}" for name in providers.VALUES}


def failed(folder: Path) -> Check:
    """The check that failed; one that the caller asks behind the door is made here."""
    with pytest.raises(Rejected) as caught:
        Checks().ask("email", play, folder) if folder.name.startswith("email") else play(folder)
    return caught.value.checks[-1]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_refusal_tells_what_came_and_what_was_wanted(folder: Path) -> None:
    """In the record of the sign-in, with the element, the attribute or the words that belong to it."""
    check = failed(folder)
    assert (check.name, FINGERPRINT.sub("F", check.got), check.want) == TOLD[folder.name]
    assert not check.passed


def test_the_table_is_whole() -> None:
    """Every reason that has a fixture stands in it, and both columns say something."""
    assert set(TOLD) == {folder.name for folder in (FOLDER / "bad").iterdir()}
    assert all(got and want and "None" not in got + want for _, got, want in TOLD.values())


def without(name: str, attribute: str, shape: idp.Shape) -> Callable[[], etree._Element]:
    def response() -> etree._Element:
        document = idp.unsigned(shape)
        del next(document.iter(f"{{*}}{name}")).attrib[attribute]
        return idp.finish(document, shape)

    return response


@pytest.mark.parametrize(
    ("response", "got", "want"),
    [
        (without("Response", "Destination", idp.OKTA), "nothing", idp.ACS),
        (without("SubjectConfirmationData", "Recipient", idp.ENTRA), "nothing", idp.ACS),
        (without("Assertion", "Version", idp.ENTRA), "nothing", "2.0"),
        (
            without("AuthnStatement", "AuthnInstant", idp.ENTRA),
            "nothing (attribute: AuthnInstant)",
            "a time such as 2026-01-31T12:00:00Z",
        ),
        (
            without("SubjectConfirmationData", "InResponseTo", idp.ENTRA),
            f"nothing (response: {idp.REQUEST})",
            "the same request in assertion and Response",
        ),
        (
            without("Response", "InResponseTo", idp.ENTRA),
            f"{idp.REQUEST} (response: nothing)",
            "the same request in assertion and Response",
        ),
        (without("StatusCode", "Value", idp.ENTRA), "nothing", f"{STATUS}:Success"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_there_is_called_nothing(response: Callable[[], etree._Element], got: str, want: str) -> None:
    """An attribute that is missing reads as that, and never as a word of the program's own."""
    with pytest.raises(Rejected) as caught:
        verify(idp.post(response()), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    assert (caught.value.checks[-1].got, caught.value.checks[-1].want) == (got, want)
    assert "None" not in "".join(caught.value.facts.values())


def changed_after(name: str, change: Callable[[etree._Element], object]) -> Callable[[], etree._Element]:
    def response() -> etree._Element:
        document = idp.good(idp.ENTRA)
        change(next(document.iter(f"{{*}}{name}")))
        return document

    return response


@pytest.mark.parametrize(
    ("response", "got", "want"),
    [
        (
            changed_after("SignatureValue", lambda found: found.getparent().remove(found)),
            "no SignatureValue",
            "one SignatureValue",
        ),
        (
            changed_after("Transforms", lambda found: found.clear()),
            "nothing (element: Transforms)",
            "Transform or Transform Transform",
        ),
        (
            changed_after("DigestMethod", lambda found: etree.SubElement(found, "x")),
            "x (element: DigestMethod)",
            "nothing",
        ),
        (changed_after("Reference", lambda found: found.attrib.pop("URI")), "no URI", "#_assertion1"),
    ],
    ids=["no value", "no transforms", "a parameter", "no reference"],
)
def test_a_signature_of_another_shape_is_told(response: Callable[[], etree._Element], got: str, want: str) -> None:
    """By what stands in it and what may."""
    test_what_is_not_there_is_called_nothing(response, got, want)


@pytest.mark.parametrize("kind", providers.KINDS)
def test_every_fix_reads_as_a_sentence(kind: str) -> None:
    """For every bad message and every provider: no placeholder stays empty, and nothing of the program shows."""
    for folder in sorted((FOLDER / "bad").iterdir()):
        check = failed(folder)
        text = providers.fix(kind, case_of(folder)["expect"]["refused"])
        assert text, folder.name
        facts = {**OURS, "got": check.got, "want": check.want}
        named = {name for name in providers.PLACEHOLDERS if f"{{{name}}}" in text}
        assert all(providers.values(facts)[name] not in ("", providers.NOTHING) for name in named), folder.name
        said = providers.plain(text, facts)
        assert not re.search(r"None|[{}*`]|  |\(\)|\.\.", re.sub(r"\{urn:[^}]*\}", "", said)), said


@pytest.mark.parametrize("module", sorted(DOOR.glob("*.py")), ids=lambda path: path.stem)
def test_no_refusal_is_without_got_and_want(module: Path) -> None:
    """Also those that no fixture shows: each call in the door names both, or passes on what it was given."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Rejected", "NotSaml"):
            names = {keyword.arg for keyword in node.keywords}
            assert names >= {"got", "want"} or None in names, f"{module.name}:{node.lineno}"
