"""The record of a verification: in the order made, complete, and without the person or the document."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from idp_bridge.saml import Assertion, Check, Reason, Rejected, verify
from idp_bridge.saml.checks import CHECKS, Checks
from idp_bridge.saml.profile import SUCCESS

from . import idp

S = timedelta(seconds=1)
FINGERPRINT = idp.idp().certificate.fingerprint_sha256[:16]
READ = (
    "assertion_id version issued issuer destination conditions validity audience name_id confirmation solicited "
    "authentication attributes"
)


def read(response: etree._Element, *, after: timedelta = timedelta(), **trust: Any) -> Assertion:
    return verify(idp.post(response), trust=idp.trust(**trust), sp=idp.service_provider(), now=idp.NOW + after)


def refused(response: etree._Element, **kwargs: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(response, **kwargs)
    return caught.value


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        (idp.OKTA, "message xml response structure response_signature status encryption assertion_signature"),
        (idp.ENTRA, "message xml response structure status encryption assertion_signature"),
        (idp.RESPONSE_ONLY, "message xml response structure response_signature status encryption assertion_signature"),
        (idp.ENCRYPTED_GCM, "message xml response structure response_signature status decryption"),
        (idp.ENCRYPTED_CBC, "message xml response structure status decryption"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_check_is_recorded_in_its_order(shape: idp.Shape, first: str) -> None:
    """What an accepted message went through."""
    checks = read(idp.good(shape)).checks
    assert [check.name for check in checks] == f"{first} {READ}".split()
    assert all(check.passed for check in checks)


def test_names_have_a_sentence_each() -> None:
    """Every name that is recorded stands in the table, and the table holds no other."""
    recorded = {check.name for shape in idp.SHAPES for check in read(idp.good(shape)).checks}
    assert recorded == set(CHECKS)
    assert list(CHECKS)[-13:] == READ.split()


def test_got_and_wanted_are_told() -> None:
    """What came and what the connection wants, side by side."""
    signed = f"rsa-sha256, sha256, certificate {FINGERPRINT}"
    told = {check.name: (check.got, check.want) for check in read(idp.good(idp.SIMPLESAMLPHP)).checks}
    session = "signed in at 2026-03-01T11:59:00Z, until 2026-03-01T20:00:00Z"
    assert told == {
        "message": ("", ""),
        "xml": ("", ""),
        "response": ("", ""),
        "structure": ("", ""),
        "response_signature": (signed, ""),
        "status": ("urn:oasis:names:tc:SAML:2.0:status:Success", ""),
        "encryption": ("", ""),
        "assertion_signature": (signed, ""),
        "assertion_id": ("_assertion1", ""),
        "version": ("2.0", ""),
        "issued": ("2026-03-01T12:00:00Z", ""),
        "issuer": (idp.IDP, idp.IDP),
        "destination": (idp.ACS, idp.ACS),
        "conditions": ("", ""),
        "validity": (
            "from 2026-03-01T11:55:00Z to 2026-03-01T12:05:00Z, it is 2026-03-01T12:00:00Z",
            "",
        ),
        "audience": (idp.SP, idp.SP),
        "name_id": (idp.EMAIL, ""),
        "confirmation": ("2026-03-01T12:07:00Z", ""),
        "solicited": (idp.REQUEST, ""),
        "authentication": (session, ""),
        "attributes": ("", ""),
    }


def test_what_vouches_is_told() -> None:
    """By which signature an assertion stands, and how it was encrypted."""
    by = {
        shape.name: read(idp.good(shape)).checks for shape in (idp.RESPONSE_ONLY, idp.ENCRYPTED_CBC, idp.ENCRYPTED_GCM)
    }
    told = {(name, check.name): check.got for name, checks in by.items() for check in checks}
    assert told["response_only", "assertion_signature"] == "covered by the signature of the Response"
    signed = f"rsa-sha256, sha256, certificate {FINGERPRINT}"
    assert told["encrypted_cbc", "decryption"] == f"aes128-cbc, {signed}"
    assert told["encrypted_gcm", "decryption"] == f"aes256-gcm, {signed}"


def test_refusal_ends_with_the_check_that_failed() -> None:
    """The same record up to there, with what was got and wanted, and nothing behind it."""
    checks = refused(idp.good(idp.ENTRA), entity_id="urn:other").checks
    assert checks[-1] == Check("issuer", False, f"{idp.IDP} (element: Assertion)", "urn:other")
    assert checks[:-1] == tuple(read(idp.good(idp.ENTRA)).checks[: len(checks) - 1])


def test_what_else_is_known_stands_beside_what_came() -> None:
    """Every fact of a refusal is in the record: by how much it was late, and in which element it stood."""
    late = refused(idp.good(idp.SIMPLESAMLPHP), after=timedelta(minutes=7))
    assert late.reason is Reason.EXPIRED
    came = "2026-03-01T12:05:00Z (now: 2026-03-01T12:07:00Z)"
    assert late.checks[-1] == Check("validity", False, came, "later than 2026-03-01T12:05:00Z")
    status = idp.unsigned(idp.ENTRA)
    next(status.iter("{*}StatusCode")).set("Value", "x" * 290)
    etree.SubElement(next(status.iter("{*}Status")), f"{{{idp.SAMLP}}}StatusMessage").text = "y" * 300
    assert refused(status).checks[-1].got == f"{'x' * 290} (message:"


def test_a_provider_that_says_no_is_recorded_as_that() -> None:
    """Its answer is well-formed without an assertion: what failed is the status, and its own words stand there."""
    response = idp.unsigned(idp.ENTRA)
    response.remove(idp.assertion_of(response))
    status = next(response.iter("{*}StatusCode"))
    status.set("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
    assert [check.name for check in refused(response).checks] == ["message", "xml", "response", "status"]
    assert refused(response).checks[-1].got == "urn:oasis:names:tc:SAML:2.0:status:Responder"
    status.set("Value", SUCCESS)
    succeeded = refused(response)
    assert (succeeded.reason, succeeded.checks[-1].name) == (Reason.ASSERTION_COUNT, "structure")
    assert succeeded.checks[-2] == Check("status", True, SUCCESS, "")


@pytest.mark.parametrize("shape", idp.SHAPES, ids=lambda shape: shape.name)
def test_record_does_not_say_who_it_was(shape: idp.Shape) -> None:
    """No NameID, no attribute, no piece of the document: settings only, and each of them short."""
    response = idp.good(shape)
    for check in read(response).checks:
        assert "ann@" not in check.got + check.want
        assert "Engineering" not in check.got
        assert "<" not in check.got
        assert max(len(check.got), len(check.want)) <= 300


def test_long_words_of_a_message_are_cut() -> None:
    """What a stranger writes fills no table."""
    response = idp.unsigned(idp.ENTRA)
    next(response.iter("{*}Audience")).text = "x" * 5000
    check = refused(idp.finish(response, idp.ENTRA)).checks[-1]
    assert check == Check("audience", False, "x" * 300, idp.SP)


def test_record_is_frozen() -> None:
    """Nobody writes into it later."""
    check = read(idp.good()).checks[0]
    with pytest.raises(FrozenInstanceError):
        check.passed = False  # type: ignore[misc]


def test_two_verifications_keep_two_records() -> None:
    """Each begins with nothing."""
    one, other = Checks(), Checks()
    assert one.ask("message", lambda: "x" * 301) == "x" * 301
    assert one.made == (Check("message", True, "x" * 300, ""),)
    assert other.made == ()
