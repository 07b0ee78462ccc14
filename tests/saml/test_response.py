"""The door as a whole: what honest identity providers send gets in, and each rule refuses when it alone is broken."""

import base64
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from idp_bridge.saml import CLOCK_SKEW, REASONS, Assertion, NotSaml, Reason, Rejected, profile, verify
from idp_bridge.saml.checks import CHECKS
from idp_bridge.saml.errors import LOGOUT_REASONS, fact

from . import idp

BY_THE_CALLER = {
    Reason.EMAIL_MISSING,
    Reason.REQUEST_UNKNOWN,
    Reason.OTHER_BROWSER,
    Reason.ASSERTION_REPLAYED,
    Reason.REQUEST_NOT_NAMED,
}
BY_THE_CLAIMS = {Reason.EMAIL_AMBIGUOUS, Reason.EMAIL_MALFORMED}
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"

Change = Callable[[etree._Element], Any]


def accept(message: etree._Element | bytes | str, *, after: timedelta = timedelta(), **trust: object) -> Assertion:
    field_value = message if isinstance(message, str) else idp.post(message)
    return verify(field_value, trust=idp.trust(**trust), sp=idp.service_provider(), now=idp.NOW + after)


def one(root: etree._Element, name: str) -> etree._Element:
    return next(root.iter(f"{{*}}{name}"))


def put(name: str, attribute: str, value: str | None) -> Change:
    def change(root: etree._Element) -> None:
        element = root if name == "Response" else one(root, name)
        if value is None:
            del element.attrib[attribute]
        else:
            element.set(attribute, value)

    return change


def say(name: str, text: str) -> Change:
    return lambda root: setattr(one(root, name), "text", text)


def drop(name: str) -> Change:
    def change(root: etree._Element) -> None:
        element = one(root, name)
        element.getparent().remove(element)  # type: ignore[union-attr]

    return change


def add(parent: str, text: str) -> Change:
    declared = f'xmlns:saml="{idp.SAML}" xmlns:samlp="{idp.SAMLP}" xmlns:xenc="{idp.XENC}" xmlns:ds="{idp.DS}"'
    return lambda root: (root if parent == "Response" else one(root, parent)).append(
        etree.fromstring(text.replace(" ", f" {declared} ", 1) if " " in text else text.replace("/>", f" {declared}/>"))
    )


def twice(name: str) -> Change:
    def change(root: etree._Element) -> None:
        element = one(root, name)
        element.addnext(etree.fromstring(etree.tostring(element, with_tail=False)))

    return change


@dataclass(frozen=True)
class Row:
    """The good case with one thing changed before it was signed: the provider itself says something wrong."""

    rule: str
    reason: Reason
    change: Change = lambda root: None
    shape: idp.Shape = idp.OKTA
    trust: dict[str, Any] = field(default_factory=dict)
    after: timedelta = timedelta()


def into_extensions(root: etree._Element) -> None:
    etree.SubElement(root, f"{{{idp.SAMLP}}}Extensions").append(idp.assertion_of(root))


def of_another_namespace(root: etree._Element) -> None:
    idp.assertion_of(root).tag = "{urn:x}Assertion"


def empty_request(root: etree._Element) -> None:
    put("Response", "InResponseTo", "")(root)
    put("SubjectConfirmationData", "InResponseTo", "")(root)


S, E = timedelta(seconds=1), idp.ENTRA
OTHER_AUDIENCE = (
    "<saml:AudienceRestriction ><saml:Audience>https://other.example.com</saml:Audience></saml:AudienceRestriction>"
)
ROWS = [
    Row("version of the Response", Reason.VERSION_UNSUPPORTED, put("Response", "Version", "1.1")),
    Row("version of the assertion", Reason.VERSION_UNSUPPORTED, put("Assertion", "Version", "1.1")),
    Row("a Response without an ID", Reason.ID_INVALID, put("Response", "ID", None), shape=E),
    Row("a Response of no time", Reason.TIME_MALFORMED, put("Response", "IssueInstant", None), shape=E),
    Row("an assertion of no time", Reason.TIME_MALFORMED, put("Assertion", "IssueInstant", None)),
    Row("an assertion of a strange time", Reason.TIME_MALFORMED, put("Assertion", "IssueInstant", "yesterday")),
    Row("a Response in the Response", Reason.STRUCTURE, add("Response", "<samlp:Response />")),
    Row("no status", Reason.STRUCTURE, drop("Status")),
    Row("two statuses", Reason.STRUCTURE, twice("Status")),
    Row("two issuers", Reason.STRUCTURE, twice("Issuer"), shape=E),
    Row("an element inside a value", Reason.STRUCTURE, add("Audience", "<saml:x />")),
    Row("no assertion in a success", Reason.ASSERTION_COUNT, drop("Assertion")),
    Row("two assertions", Reason.ASSERTION_COUNT, twice("Assertion")),
    Row(
        "an assertion in Advice",
        Reason.ASSERTION_COUNT,
        add("Assertion", "<saml:Advice ><saml:Assertion/></saml:Advice>"),
    ),
    Row("an assertion of another namespace", Reason.ASSERTION_COUNT, add("Status", '<x:Assertion xmlns:x="urn:x"/>')),
    Row("an assertion in Extensions only", Reason.ASSERTION_COUNT, into_extensions, shape=E),
    Row("only an assertion of another namespace", Reason.ASSERTION_COUNT, of_another_namespace, shape=E),
    Row("an ID twice", Reason.ID_DUPLICATE, put("Status", "ID", "_assertion1")),
    Row("an Id twice, spelt otherwise", Reason.ID_DUPLICATE, put("Status", "iD", "_assertion1")),
    Row("an Id with a prefix", Reason.ID_INVALID, put("Status", "{urn:x}Id", "_other")),
    Row("an xml:id", Reason.ID_INVALID, put("Status", "{http://www.w3.org/XML/1998/namespace}id", "_other")),
    Row("no ID to sign", Reason.ID_INVALID, put("Assertion", "ID", "_a b")),
    Row("no ID below a signed Response", Reason.ID_INVALID, put("Assertion", "ID", None), shape=idp.RESPONSE_ONLY),
    Row("ds:Object anywhere", Reason.SIGNATURE_PLACEMENT, add("Status", "<ds:Object />")),
    Row("a Signature elsewhere", Reason.SIGNATURE_PLACEMENT, add("Subject", "<ds:Signature />")),
    Row("a refusal by the provider", Reason.STATUS_NOT_SUCCESS, put("StatusCode", "Value", "urn:x:AuthnFailed")),
    Row("a comment", Reason.XML_COMMENT, lambda root: one(root, "NameID").append(etree.Comment("x"))),
    Row("an instruction", Reason.XML_COMMENT, lambda root: root.append(etree.ProcessingInstruction("x"))),
    Row("plain where encrypted is wanted", Reason.ENCRYPTION_REQUIRED, trust={"want_encrypted": True}),
    Row("an encrypted NameID", Reason.ENCRYPTION_PLACEMENT, add("Subject", "<xenc:EncryptedData />")),
    Row("issuer of the assertion", Reason.ISSUER_MISMATCH, lambda root: say("Issuer", "urn:x")(one(root, "Assertion"))),
    Row("issuer of the Response", Reason.ISSUER_MISMATCH, say("Issuer", "urn:x")),
    Row("issuer with a space", Reason.ISSUER_MISMATCH, say("Issuer", idp.IDP + " ")),
    Row("destination", Reason.DESTINATION_MISMATCH, put("Response", "Destination", idp.ACS + "/x")),
    Row("destination, unsigned", Reason.DESTINATION_MISMATCH, put("Response", "Destination", idp.ACS + "/x"), shape=E),
    Row("no destination, signed", Reason.DESTINATION_MISMATCH, put("Response", "Destination", None)),
    Row("no conditions", Reason.CONDITIONS_MISSING, drop("Conditions")),
    Row("two conditions", Reason.CONDITIONS_MISSING, twice("Conditions")),
    Row("an unknown condition", Reason.CONDITION_UNKNOWN, add("Conditions", "<saml:Condition />")),
    Row("not before", Reason.NOT_YET_VALID, put("Conditions", "NotBefore", idp.stamp(5))),
    Row("not on or after", Reason.EXPIRED, put("Conditions", "NotOnOrAfter", idp.stamp(-5))),
    Row("time with an offset", Reason.TIME_MALFORMED, put("Conditions", "NotBefore", "2026-03-01T12:00:00+00:00")),
    Row("a date", Reason.TIME_MALFORMED, put("Conditions", "NotBefore", "2026-03-01")),
    Row("a week date", Reason.TIME_MALFORMED, put("Conditions", "NotBefore", "2026-W09-7T12:00:00Z")),
    Row("a day that is none", Reason.TIME_MALFORMED, put("Conditions", "NotBefore", "2026-02-30T12:00:00Z")),
    Row("no audience restriction", Reason.AUDIENCE_MISSING, drop("AudienceRestriction")),
    Row("another audience", Reason.AUDIENCE_MISMATCH, say("Audience", "https://other.example.com")),
    Row("an audience with a space", Reason.AUDIENCE_MISMATCH, say("Audience", " " + idp.SP)),
    Row("a second restriction, foreign", Reason.AUDIENCE_MISMATCH, add("Conditions", OTHER_AUDIENCE)),
    Row("an empty restriction", Reason.AUDIENCE_MISMATCH, drop("Audience")),
    Row("no subject", Reason.SUBJECT_MISSING, drop("Subject")),
    Row("two subjects", Reason.SUBJECT_MISSING, twice("Subject")),
    Row("no NameID", Reason.NAME_ID_MISSING, drop("NameID")),
    Row("two NameIDs", Reason.NAME_ID_MISSING, twice("NameID")),
    Row("an empty NameID", Reason.NAME_ID_MALFORMED, say("NameID", "")),
    Row("a NameID with a space around", Reason.NAME_ID_MALFORMED, say("NameID", "ann@example.com ")),
    Row("a NameID with a line break", Reason.NAME_ID_MALFORMED, say("NameID", "ann@example\n.com")),
    Row("a NameID with an invisible letter", Reason.NAME_ID_MALFORMED, say("NameID", "ann\u200b@example.com")),
    Row("a NameID of a filler", Reason.NAME_ID_MALFORMED, say("NameID", "ann\u3164@example.com")),
    Row("a NameID of an initial filler", Reason.NAME_ID_MALFORMED, say("NameID", "\u115fann@example.com")),
    Row("a NameID without end", Reason.NAME_ID_MALFORMED, say("NameID", "a" * 1025)),
    Row("a NameID of many octets", Reason.NAME_ID_MALFORMED, say("NameID", "\u738b" * 342)),
    Row("a format without end", Reason.NAME_ID_MALFORMED, put("NameID", "Format", "urn:" + "f" * 1021)),
    Row("a qualifier without end", Reason.NAME_ID_MALFORMED, put("NameID", "NameQualifier", "q" * 1025)),
    Row("a NameID for this session only", Reason.NAME_ID_TRANSIENT, put("NameID", "Format", TRANSIENT)),
    Row("no confirmation", Reason.CONFIRMATION_MISSING, drop("SubjectConfirmation")),
    Row("another method", Reason.CONFIRMATION_MISSING, put("SubjectConfirmation", "Method", "urn:x:sender-vouches")),
    Row("no confirmation data", Reason.CONFIRMATION_INVALID, drop("SubjectConfirmationData")),
    Row("no end of confirmation", Reason.CONFIRMATION_INVALID, put("SubjectConfirmationData", "NotOnOrAfter", None)),
    Row("a start", Reason.CONFIRMATION_INVALID, put("SubjectConfirmationData", "NotBefore", idp.stamp(-9))),
    Row("recipient", Reason.RECIPIENT_MISMATCH, put("SubjectConfirmationData", "Recipient", idp.ACS + "2")),
    Row("no recipient", Reason.RECIPIENT_MISMATCH, put("SubjectConfirmationData", "Recipient", None)),
    Row("end", Reason.CONFIRMATION_EXPIRED, put("SubjectConfirmationData", "NotOnOrAfter", idp.stamp(-2))),
    Row("requests differ", Reason.IN_RESPONSE_TO_MISMATCH, put("Response", "InResponseTo", "_other")),
    Row(
        "requests differ, unsigned", Reason.IN_RESPONSE_TO_MISMATCH, put("Response", "InResponseTo", "_other"), shape=E
    ),
    Row("request only outside", Reason.IN_RESPONSE_TO_MISMATCH, put("SubjectConfirmationData", "InResponseTo", None)),
    Row("request only inside", Reason.IN_RESPONSE_TO_MISMATCH, put("Response", "InResponseTo", None), shape=E),
    Row("an empty request", Reason.IN_RESPONSE_TO_MISMATCH, empty_request, trust={"allow_idp_initiated": True}),
    Row("no authentication", Reason.AUTHN_STATEMENT_MISSING, drop("AuthnStatement")),
    Row("no authentication time", Reason.TIME_MALFORMED, put("AuthnStatement", "AuthnInstant", None)),
    Row("session over", Reason.SESSION_EXPIRED, put("AuthnStatement", "SessionNotOnOrAfter", idp.stamp(-2))),
    Row("an attribute without a name", Reason.ATTRIBUTE_MALFORMED, put("Attribute", "Name", None)),
    Row("conditions over", Reason.EXPIRED, after=timedelta(minutes=5) + CLOCK_SKEW),
    Row("conditions not yet", Reason.NOT_YET_VALID, after=-timedelta(minutes=5) - CLOCK_SKEW - S),
    Row("no usable certificate", Reason.CERTIFICATE_UNUSABLE, trust={"certificates": ()}),
    Row("another certificate", Reason.SIGNATURE_INVALID, trust={"certificates": (idp.attacker().certificate,)}),
    Row("an elliptic one", Reason.SIGNATURE_INVALID, trust={"certificates": (idp.pair("x", "ec").certificate,)}),
]


def refusal(message: etree._Element | bytes | str, **kwargs: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        accept(message, **kwargs)
    return caught.value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
def test_each_rule_refuses_alone(row: Row) -> None:
    """A message that is well signed and wrong in one point is refused for exactly that point."""
    response = idp.unsigned(row.shape)
    row.change(response)
    refused = refusal(idp.finish(response, row.shape), after=row.after, **row.trust)
    assert refused.reason is row.reason, refused.facts
    assert not isinstance(refused, NotSaml)
    assert [check.passed for check in refused.checks] == [True] * (len(refused.checks) - 1) + [False]
    assert [check.name for check in refused.checks if check.name not in CHECKS] == []


def no_saml(name: str, message: str | bytes, reason: Reason) -> Any:
    return pytest.param(message, reason, id=name)


FOREIGN = [
    no_saml("empty", "", Reason.NOT_XML),
    no_saml("no base64", "<x/>", Reason.NOT_BASE64),
    no_saml("letters beyond ASCII", "\u00e4\u00f6", Reason.NOT_BASE64),
    no_saml("octets that are no base64", b"\xff\xfe", Reason.NOT_BASE64),
    no_saml("too long", "A" * (256 * 1024 + 4), Reason.MESSAGE_TOO_LARGE),
    no_saml("no XML", idp.post(b"{}"), Reason.NOT_XML),
    no_saml("deflated", idp.post(b"\x00\x01\x02"), Reason.XML_ENCODING),
    no_saml("another root", idp.post(b"<x/>"), Reason.NOT_A_RESPONSE),
    no_saml("NUL", idp.post(b"<x/>\x00"), Reason.XML_ENCODING),
    no_saml("another encoding", idp.post(b'<?xml version="1.0" encoding="UTF-7"?><x/>'), Reason.XML_ENCODING),
    no_saml("a document type", idp.post(b"<!DOCTYPE x><x/>"), Reason.XML_DOCTYPE),
    no_saml("a comment before", idp.post(b"<!--x--><x/>"), Reason.XML_COMMENT),
    no_saml("a comment after", idp.post(b"<x/><!--x-->"), Reason.XML_COMMENT),
    no_saml("a relative namespace", idp.post(b'<x xmlns="y"/>'), Reason.XML_NAMESPACE),
    no_saml("padding too much", idp.post(b"<x/>") + "====", Reason.NOT_BASE64),
    no_saml("padding too little", idp.post(b"<xy/>").rstrip("="), Reason.NOT_BASE64),
    no_saml("bits that say nothing", idp.post(b"<xy/>").replace("PHh5Lz4=", "PHh5Lz5="), Reason.NOT_BASE64),
    no_saml("a byte order mark twice", idp.post(b"\xef\xbb\xbf" * 2 + b"<x/>"), Reason.XML_ENCODING),
    no_saml(
        "too many attributes",
        idp.post(b"<x " + b" ".join(b'a%d=""' % n for n in range(65)) + b"/>"),
        Reason.XML_TOO_COMPLEX,
    ),
    no_saml("too deep", idp.post(b"<x>" * 40 + b"</x>" * 40), Reason.XML_TOO_COMPLEX),
    no_saml("too many declarations", idp.post(b'<x xmlns:a="a:a">' * 65 + b"</x>" * 65), Reason.XML_TOO_COMPLEX),
]


@pytest.mark.parametrize(("message", "reason"), FOREIGN)
def test_what_is_no_saml_is_refused_before_anything_is_read(message: str | bytes, reason: Reason) -> None:
    """Size, base64, octets and tree are checked in this order; what is no SAML at all can be told from bad SAML."""
    with pytest.raises(Rejected) as caught:
        verify(message, trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    assert caught.value.reason is reason
    assert not caught.value.checks[-1].passed
    assert isinstance(caught.value, NotSaml) == (
        reason
        in {
            Reason.MESSAGE_TOO_LARGE,
            Reason.NOT_BASE64,
            Reason.XML_ENCODING,
            Reason.NOT_XML,
            Reason.NOT_A_RESPONSE,
        }
    )


@pytest.mark.parametrize("shape", idp.SHAPES, ids=lambda shape: shape.name)
def test_honest_response_is_accepted(shape: idp.Shape) -> None:
    """Each product's form yields the same person with the same attributes."""
    said = accept(idp.good(shape))
    assert (said.id, said.issuer, said.name_id) == ("_assertion1", idp.IDP, "ann@example.com")
    assert (said.name_id_format, said.name_qualifier, said.sp_name_qualifier) == (idp.EMAIL, None, None)
    assert dict(said.attributes) == idp.ATTRIBUTES
    assert (said.in_response_to, said.session_index) == (idp.REQUEST, "_session1")
    assert said.session_not_on_or_after == idp.NOW + timedelta(hours=8)
    assert said.authn_instant == idp.NOW - timedelta(minutes=1)
    assert said.authn_context == "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
    assert said.not_on_or_after == idp.NOW + timedelta(minutes=5) + CLOCK_SKEW
    assert said.warnings == ()


def changed(change: Change, shape: idp.Shape = idp.ENTRA) -> etree._Element:
    response = idp.unsigned(shape)
    change(response)
    return idp.finish(response, shape)


LENIENT = [
    pytest.param(changed(put("Response", "Destination", None)), id="no Destination, unsigned"),
    pytest.param(changed(drop("Issuer")), id="no Issuer in an unsigned Response"),
    pytest.param(changed(add("Conditions", "<saml:OneTimeUse />")), id="OneTimeUse"),
    pytest.param(
        changed(add("AudienceRestriction", "<saml:Audience >urn:x</saml:Audience>")), id="one of two audiences"
    ),
    pytest.param(changed(put("AuthnStatement", "SessionNotOnOrAfter", None)), id="no session end"),
    pytest.param(changed(put("Conditions", "NotBefore", None)), id="no start"),
    pytest.param(changed(put("Conditions", "NotOnOrAfter", None)), id="no end of conditions"),
    pytest.param(changed(put("NameID", "Format", None)), id="no NameID format"),
    pytest.param(changed(drop("AuthnContext")), id="no context"),
    pytest.param(changed(drop("AttributeStatement")), id="no attributes"),
    pytest.param(b"\xef\xbb\xbf" + etree.tostring(idp.good(idp.ENTRA)), id="byte order mark"),
    pytest.param(b'<?xml version="1.0" encoding="UTF-8"?>\r\n' + etree.tostring(idp.good(idp.ENTRA)), id="declaration"),
    pytest.param(base64.encodebytes(etree.tostring(idp.good(idp.ENTRA))).decode(), id="base64 in lines"),
]


@pytest.mark.parametrize("message", LENIENT)
def test_what_the_standard_leaves_open_is_accepted(message: etree._Element | bytes | str) -> None:
    """Optional parts may be absent, and transport may wrap lines."""
    assert accept(message).name_id == "ann@example.com"


def test_clock_skew_is_120_seconds_on_every_edge() -> None:
    """One second inside the skew is accepted, the skew itself at an end is not."""
    late = timedelta(minutes=5) + CLOCK_SKEW
    early = -timedelta(minutes=5) - CLOCK_SKEW
    document = idp.good(idp.SIMPLESAMLPHP)
    assert accept(document, after=late - S)
    assert accept(document, after=early)
    assert refusal(document, after=late).reason is Reason.EXPIRED
    assert refusal(document, after=early - S).reason is Reason.NOT_YET_VALID


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("Conditions", "NotOnOrAfter", Reason.EXPIRED),
        ("SubjectConfirmationData", "NotOnOrAfter", Reason.CONFIRMATION_EXPIRED),
        ("AuthnStatement", "SessionNotOnOrAfter", Reason.SESSION_EXPIRED),
    ],
)
def test_each_end_by_itself(name: str, attribute: str, reason: Reason) -> None:
    """At the end plus the skew it is over; one second before, it is not. With each of the three ends."""
    document = changed(put(name, attribute, idp.stamp(2, idp.SIMPLESAMLPHP)), idp.SIMPLESAMLPHP)
    end = timedelta(minutes=2) + CLOCK_SKEW
    assert accept(document, after=end - S)
    assert refusal(document, after=end).reason is reason
    assert refusal(document, after=end).facts == {
        "got": fact(idp.NOW + timedelta(minutes=2)),
        "want": f"later than {fact(idp.NOW + timedelta(minutes=2))}",
        "now": fact(idp.NOW + end),
    }


def test_replay_row_outlives_the_last_moment() -> None:
    """`not_on_or_after` is the first moment at which the very same message is refused for its age."""
    document = changed(put("Conditions", "NotOnOrAfter", None), idp.SIMPLESAMLPHP)
    said = accept(document)
    assert accept(document, after=said.not_on_or_after - S - idp.NOW)
    assert refusal(document, after=said.not_on_or_after - idp.NOW).reason is Reason.CONFIRMATION_EXPIRED


@pytest.mark.parametrize(
    ("asked_before", "fresh"),
    [
        (timedelta(minutes=5), True),
        (timedelta(), True),
        (-CLOCK_SKEW, True),
        (-CLOCK_SKEW - timedelta(microseconds=1), False),
        (-timedelta(hours=1), False),
    ],
)
def test_fresh_sign_in_is_one_after_it_was_asked_for(asked_before: timedelta, fresh: bool) -> None:
    """ForceAuthn: an AuthnInstant before the request, skew included, is somebody's old session."""
    instant, asked_at = idp.NOW, idp.NOW - asked_before
    if fresh:
        profile.check_fresh(instant, asked_at=asked_at, now=idp.NOW)
        return
    with pytest.raises(Rejected) as caught:
        profile.check_fresh(instant, asked_at=asked_at, now=idp.NOW)
    assert caught.value.reason is Reason.AUTHENTICATION_STALE
    assert caught.value.facts == {"got": fact(instant), "want": f"from {fact(asked_at)}"}


@pytest.mark.parametrize(
    ("instant", "reason"),
    [
        (idp.NOW + CLOCK_SKEW + S, Reason.NOT_YET_VALID),
        (datetime.max.replace(tzinfo=UTC), Reason.NOT_YET_VALID),
        (datetime.min.replace(tzinfo=UTC), Reason.AUTHENTICATION_STALE),
    ],
)
def test_sign_in_to_come_is_none(instant: datetime, reason: Reason) -> None:
    """It would be fresh for every request until then; and no arithmetic on what a provider wrote may overflow."""
    with pytest.raises(Rejected) as caught:
        profile.check_fresh(instant, asked_at=idp.NOW, now=idp.NOW)
    assert caught.value.reason is reason


def test_name_of_the_longest_kind_is_read() -> None:
    """Each part of a NameID may have 1024 octets."""

    def longest(root: etree._Element) -> None:
        say("NameID", "\u738b" * 341 + "a")(root)
        put("NameID", "Format", "urn:" + "f" * 1020)(root)

    said = accept(changed(longest))
    assert (len(said.name_id.encode()), len(said.name_id_format)) == (1024, 1024)


def test_earliest_of_several_sign_ins_counts() -> None:
    """Two AuthnStatements: the older instant, the nearer end, the first one's index."""

    def two(root: etree._Element) -> None:
        twice("AuthnStatement")(root)
        second = list(root.iter("{*}AuthnStatement"))[1]
        second.set("AuthnInstant", idp.stamp(-30))
        second.set("SessionNotOnOrAfter", idp.stamp(60))
        second.set("SessionIndex", "_other")

    said = accept(changed(two))
    assert said.authn_instant == idp.NOW - timedelta(minutes=30)
    assert said.session_not_on_or_after == idp.NOW + timedelta(minutes=60)
    assert said.session_index == "_session1"


def test_year_9999_is_a_time_like_any_other() -> None:
    """No arithmetic on what a provider wrote may overflow."""
    never = "9999-12-31T23:59:59Z"

    def forever(root: etree._Element) -> None:
        for name in ("Conditions", "SubjectConfirmationData"):
            put(name, "NotOnOrAfter", never)(root)
        put("AuthnStatement", "SessionNotOnOrAfter", never)(root)

    said = accept(changed(forever))
    assert said.not_on_or_after.year == 9999
    assert said.session_not_on_or_after == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_unsolicited_needs_the_switch() -> None:
    """Without any InResponseTo the message is IdP-initiated: accepted only where an administrator allowed that."""

    def unsolicited(root: etree._Element) -> None:
        put("Response", "InResponseTo", None)(root)
        put("SubjectConfirmationData", "InResponseTo", None)(root)

    document = changed(unsolicited, idp.OKTA)
    assert refusal(document).reason is Reason.UNSOLICITED_NOT_ALLOWED
    assert accept(document, allow_idp_initiated=True).in_response_to is None


def test_one_of_several_bearer_confirmations_is_enough() -> None:
    """The replay row must live as long as the longest confirmation that could be used."""

    def three(root: etree._Element) -> None:
        twice("SubjectConfirmation")(root)
        twice("SubjectConfirmation")(root)
        data = list(root.iter("{*}SubjectConfirmationData"))
        data[0].set("Recipient", "https://other.example.com")
        data[1].set("NotOnOrAfter", idp.stamp(60))

    assert accept(changed(three)).not_on_or_after == idp.NOW + timedelta(minutes=60) + CLOCK_SKEW


def test_confirmation_that_is_refused_now_may_be_accepted_later() -> None:
    """Whoever carries an unsigned Response may leave InResponseTo out: then the other confirmation counts, for longer.

    The replay row must outlive that as well, whichever of the two the first post was accepted for.
    """

    def two(root: etree._Element) -> None:
        twice("SubjectConfirmation")(root)
        other = list(root.iter("{*}SubjectConfirmationData"))[1]
        del other.attrib["InResponseTo"]
        other.set("NotOnOrAfter", idp.stamp(240))
        put("Conditions", "NotOnOrAfter", idp.stamp(240))(root)

    document = changed(two)
    later = idp.NOW + timedelta(minutes=240) + CLOCK_SKEW
    assert accept(document, allow_idp_initiated=True).not_on_or_after == later
    del document.attrib["InResponseTo"]
    assert accept(document, allow_idp_initiated=True).not_on_or_after == later


def test_provider_that_says_no_is_quoted_in_the_facts_only() -> None:
    """A failure without an assertion keeps its own reason; its words are private."""

    def failure(root: etree._Element) -> None:
        drop("Assertion")(root)
        put("StatusCode", "Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")(root)
        add("StatusCode", '<samlp:StatusCode Value="urn:x:AuthnFailed"/>')(root)
        add("Status", "<samlp:StatusMessage >user is not assigned</samlp:StatusMessage>")(root)

    refused = refusal(changed(failure, idp.OKTA))
    assert refused.reason is Reason.STATUS_NOT_SUCCESS
    assert "AuthnFailed" in refused.facts["got"]
    assert refused.facts["message"] == "user is not assigned"
    assert "assigned to you" in refused.text.public
    assert str(refused) == "status_not_success"


def test_attributes_are_read_by_exact_name_and_merged() -> None:
    """FriendlyName is ignored, a name twice is merged, commas separate nothing, nil and structures are no text."""

    def more(root: etree._Element) -> None:
        xsi = "http://www.w3.org/2001/XMLSchema-instance"
        for value in (
            "<saml:AttributeValue >Sales</saml:AttributeValue>",
            f'<saml:AttributeValue xmlns:xsi="{xsi}" xsi:nil="true"/>',
            "<saml:AttributeValue ><saml:NameID>opaque</saml:NameID></saml:AttributeValue>",
            "<saml:AttributeValue />",
        ):
            add("AttributeStatement", f'<saml:Attribute Name="groups">{value}</saml:Attribute>')(root)

    said = accept(changed(more))
    assert said.attributes["groups"] == ("Engineering", "On call, EU", "Sales", "")
    assert "role" not in said.attributes


def test_any_pinned_certificate_verifies() -> None:
    """During a rotation two certificates stand side by side."""
    for certificates in ((idp.attacker().certificate, idp.idp().certificate), (idp.idp().certificate,) * 2):
        assert accept(idp.good(), certificates=certificates).warnings == ()


def test_small_key_needs_the_switch_and_warns() -> None:
    """RSA under 2048 bits is refused, also beside strong ones, unless this one connection allows it."""
    small = idp.pair("small", "rsa1024")
    certificates = (small.certificate, idp.idp().certificate)
    signed = idp.finish(idp.unsigned(idp.OKTA), idp.OKTA, small)
    for pinned in (certificates, certificates[:1]):
        assert refusal(signed, certificates=pinned).reason is Reason.SIGNATURE_WEAK
        assert accept(signed, certificates=pinned, allow_weak_signatures=True).warnings == ("weak_rsa_key",)
    assert accept(idp.good(), certificates=certificates, allow_weak_signatures=True).warnings == ()


@pytest.mark.parametrize(
    ("valid", "warning"), [((-400, -30), "certificate_expired"), ((30, 400), "certificate_not_yet_valid")]
)
def test_certificate_dates_warn_and_do_not_refuse(valid: tuple[int, int], warning: str) -> None:
    """A pinned certificate is only a bag for its key; its dates are for the administrator's eyes."""
    old = idp.pair("old", "rsa2048", valid)
    document = idp.finish(idp.unsigned(idp.OKTA), idp.OKTA, old)
    assert accept(document, certificates=(old.certificate,)).warnings == (warning,)


@pytest.mark.parametrize("method", [name for name in idp.METHODS if "hmac" not in name and "sha1" not in name])
def test_modern_signature_methods_are_accepted(method: str) -> None:
    """RSA, RSA-PSS and ECDSA with SHA-256 to SHA-512."""
    by = idp.pair("ec", "ec") if "ecdsa" in method else idp.idp()
    response = idp.unsigned(idp.ENTRA)
    signed = idp.sign(idp.assertion_of(response), by, method=method, digest=f"{idp.XENC}sha512")
    idp.swap(idp.assertion_of(response), signed)
    assert accept(response, certificates=(by.certificate,)).name_id == "ann@example.com"


@pytest.mark.parametrize("digest", [name for name in idp.DIGESTS if "sha1" not in name])
def test_modern_digests_are_accepted(digest: str) -> None:
    """SHA-256 to SHA-512, whatever the signature's own is."""
    response = idp.unsigned(idp.ENTRA)
    idp.swap(idp.assertion_of(response), idp.sign(idp.assertion_of(response), digest=digest))
    assert accept(response).warnings == ()


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        (f"{idp.DS}rsa-sha1", f"{idp.DS}sha1"),
        (f"{idp.MORE}rsa-sha256", f"{idp.DS}sha1"),
        (f"{idp.DS}rsa-sha1", f"{idp.XENC}sha256"),
    ],
)
def test_sha1_needs_the_switch_and_warns(method: str, digest: str) -> None:
    """SHA-1 anywhere in a signature is refused unless this one connection allows it."""
    response = idp.unsigned(idp.ENTRA)
    idp.swap(idp.assertion_of(response), idp.sign(idp.assertion_of(response), method=method, digest=digest))
    assert refusal(response).reason is Reason.SIGNATURE_WEAK
    assert accept(response, allow_weak_signatures=True).warnings == ("sha1_signature",)


def test_warnings_of_both_signatures_are_told_once() -> None:
    """What is wrong with the Response's and with the assertion's, each name once and the Response's first."""
    old = idp.pair("old", "rsa2048", (-400, -30))
    response = idp.unsigned(idp.OKTA)
    assertion = idp.sign(idp.assertion_of(response), old, method=f"{idp.DS}rsa-sha1")
    idp.swap(idp.assertion_of(response), assertion)
    for by, names in ((old, "certificate_expired sha1_signature"), (idp.idp(), "sha1_signature certificate_expired")):
        said = accept(
            idp.sign(response, by),
            certificates=(old.certificate, idp.idp().certificate),
            allow_weak_signatures=True,
        )
        assert said.warnings == tuple(names.split())


@pytest.mark.parametrize(
    ("outer", "inner"), [(True, False), (False, True), (True, True)], ids=["response", "assertion", "both"]
)
def test_it_is_told_whose_keys_signed(outer: bool, inner: bool) -> None:
    """By fingerprint, each once and the Response's first, so that whoever waits can ask later whether they still
    count. Another pinned key is none of them."""
    first, second = idp.pair("first"), idp.pair("second")
    response = idp.unsigned(idp.OKTA)
    if inner:
        idp.swap(idp.assertion_of(response), idp.sign(idp.assertion_of(response), second))
    message = idp.sign(response, first) if outer else response
    signers = [pair.certificate.fingerprint_sha256 for pair, signs in ((first, outer), (second, inner)) if signs]
    pinned = tuple(pair.certificate for pair in (idp.idp(), second, first))
    assert accept(message, certificates=pinned).signed_by == tuple(signers)


def test_one_key_for_both_signatures_is_told_once() -> None:
    """As most providers that sign both do."""
    assert accept(idp.good(idp.OKTA)).signed_by == (idp.idp().certificate.fingerprint_sha256,)


def test_signature_without_a_canonicalisation_transform() -> None:
    """Only `enveloped-signature`: the digest is over inclusive canonical XML (XML Signature 4.4.3.2)."""
    response = idp.unsigned(replace(idp.ENTRA, saml="saml"))
    signed = idp.sign(idp.assertion_of(response), transforms=(idp.ENVELOPED,), inclusive=True)
    idp.swap(idp.assertion_of(response), signed)
    assert accept(response).name_id == "ann@example.com"


def test_content_changed_after_signing_has_its_own_reason() -> None:
    """A good signature over something else: the message was changed on its way."""
    document = idp.good(idp.ENTRA)
    one(document, "NameID").text = "victim@example.com"
    assert refusal(document).reason is Reason.DIGEST_MISMATCH


def test_result_is_frozen() -> None:
    """Nobody can change what was said, not even an attribute."""
    said = accept(idp.good())
    with pytest.raises(FrozenInstanceError):
        said.name_id = "victim@example.com"  # type: ignore[misc]
    with pytest.raises(TypeError):
        said.attributes["email"] = ()  # type: ignore[index]


def test_every_reason_is_tested() -> None:
    """Each reason of the door is raised by a row here or by a test that names it."""
    tested = {row.reason for row in ROWS} | {param.values[1] for param in FOREIGN}
    named = {
        Reason.AUTHENTICATION_STALE,
        Reason.SIGNATURE_WEAK,
        Reason.SIGNATURE_STRUCTURE,
        Reason.SIGNATURE_REFERENCE,
        Reason.SIGNATURE_ALGORITHM,
        Reason.SIGNATURE_MISSING,
        Reason.DIGEST_MISMATCH,
        Reason.UNSOLICITED_NOT_ALLOWED,
        Reason.ENCRYPTION_ALGORITHM,
        Reason.DECRYPTION_FAILED,
    }
    assert tested | named | BY_THE_CALLER | BY_THE_CLAIMS | LOGOUT_REASONS == set(Reason)
    assert set(REASONS) == set(Reason)


DOCUMENTS = {shape.name: etree.tostring(idp.good(shape)) for shape in idp.PLAIN_SHAPES}
EXPECTED = {name: accept(octets) for name, octets in DOCUMENTS.items()}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_edit_of_a_good_message_changes_what_is_read(data: st.DataObject) -> None:
    """Cut, copied and overwritten anywhere, a message is either refused or says exactly what was signed."""
    name = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    octets = DOCUMENTS[name]
    start = data.draw(st.integers(0, len(octets) - 1))
    end = data.draw(st.integers(start, min(len(octets), start + 400)))
    source = data.draw(st.integers(0, len(octets) - 1))
    patch = data.draw(st.one_of(st.just(octets[source : source + end - start]), st.binary(max_size=8), st.just(b"")))
    edited = octets[:start] + patch + octets[end:]
    try:
        said = accept(edited, allow_idp_initiated=True)
    except Rejected:
        return
    assert said == EXPECTED[name]
