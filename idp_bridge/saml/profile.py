"""What the Web Browser SSO profile demands of an assertion that is already verified (Profiles 4.1.4.2-3, Core 2).

One small function per rule. Each takes the element and the value that is wanted, and raises `Rejected` with what it
got. Identifiers are compared as exact strings: nothing is stripped, folded or normalised.
"""

import re
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta

from lxml import etree

from idp_bridge.saml.errors import NOTHING, Reason, Rejected, fact
from idp_bridge.saml.invisible import all_visible
from idp_bridge.saml.xml import SAML, SAMLP, at_most_one, local, only, text

CLOCK_SKEW = timedelta(seconds=120)

SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

_CONDITIONS = frozenset({f"{{{SAML}}}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")})
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# Core 1.3.3: UTC only. Python's own reader also takes week dates, spaces and bare dates. Any number of digits in
# the fraction: Entra sends three, .NET may send seven.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z", re.ASCII)
_NAME_ID_OCTETS = 1024  # of each of its four parts: value and format are the key of a row, and an index has its limit
_END_OF_TIME = datetime.max.replace(tzinfo=UTC) - CLOCK_SKEW  # some providers write the year 9999 for "never"


@dataclass(frozen=True)
class NameId:
    value: str
    format: str
    name_qualifier: str | None
    sp_name_qualifier: str | None

    @property
    def told(self) -> str:
        return self.format


@dataclass(frozen=True)
class Session:
    index: str | None
    not_on_or_after: datetime | None
    authn_instant: datetime
    authn_context: str | None

    @property
    def told(self) -> str:
        return f"signed in at {fact(self.authn_instant)}, until {fact(self.not_on_or_after or 'no end')}"


def check_version(element: etree._Element) -> str:
    """Core 2.3.3, 3.2.2: no other version is read."""
    if element.get("Version") != "2.0":
        raise Rejected(Reason.VERSION_UNSUPPORTED, got=element.get("Version"), want="2.0")
    return "2.0"


def check_status(response: etree._Element) -> str:
    """Core 3.2.2: Success, or the codes and the message go to the log."""
    status = only(response, f"{{{SAMLP}}}Status")
    code = only(status, f"{{{SAMLP}}}StatusCode")
    if code.get("Value") != SUCCESS:
        codes = [item.get("Value") for item in status.iter(f"{{{SAMLP}}}StatusCode")]
        message = status.findtext(f"{{{SAMLP}}}StatusMessage")
        raise Rejected(Reason.STATUS_NOT_SUCCESS, got=" ".join(filter(None, codes)), want=SUCCESS, message=message)
    return SUCCESS


def check_issuers(response: etree._Element, assertion: etree._Element, *, want: str) -> str:
    """Core 2.2.5, 3.2.2: the assertion's issuer is the one configured; the Response names the same or none."""
    outer = at_most_one(response, f"{{{SAML}}}Issuer")
    inner = only(assertion, f"{{{SAML}}}Issuer")
    if text(inner) != want:
        raise Rejected(Reason.ISSUER_MISMATCH, element="Assertion", got=text(inner), want=want)
    if outer is not None and text(outer) != want:
        raise Rejected(Reason.ISSUER_MISMATCH, element="Response", got=text(outer), want=want)
    return text(inner)


def check_destination(response: etree._Element, *, want: str, signed: bool) -> str | None:
    """Bindings 3.5.5.2: a signed Response must name our ACS URL; an unsigned one may stay silent."""
    got = response.get("Destination")
    if got != want and (signed or got is not None):
        raise Rejected(Reason.DESTINATION_MISMATCH, got=got, want=want)
    return got


def conditions(assertion: etree._Element) -> etree._Element:
    """Core 2.5.1: they are there, once, and none is of a kind that is not known."""
    found = only(assertion, f"{{{SAML}}}Conditions", reason=Reason.CONDITIONS_MISSING)
    for condition in found:
        if condition.tag not in _CONDITIONS:
            want = ", ".join(sorted(map(local, _CONDITIONS)))
            raise Rejected(Reason.CONDITION_UNKNOWN, got=condition.tag, want=want)
    return found


def check_audience(conditions: etree._Element, *, want: str) -> str:
    """Core 2.5.1.4: every AudienceRestriction names us, and there is one."""
    restrictions = conditions.findall(f"{{{SAML}}}AudienceRestriction")
    if not restrictions:
        raise Rejected(Reason.AUDIENCE_MISSING, got="no AudienceRestriction", want=want)
    for restriction in restrictions:  # several restrictions: and; several audiences in one: or
        audiences = [text(item) for item in restriction.findall(f"{{{SAML}}}Audience")]
        if want not in audiences:
            raise Rejected(Reason.AUDIENCE_MISMATCH, got=" ".join(audiences), want=want)
    return want


def check_window(element: etree._Element, now: datetime) -> str:
    """Core 2.5.1.1-2, with the skew on both sides: at NotBefore it begins, at NotOnOrAfter it is over."""
    not_before, not_on_or_after = moment(element, "NotBefore"), moment(element, "NotOnOrAfter")
    if not_before is not None and now + CLOCK_SKEW < not_before:
        raise too_early(Reason.NOT_YET_VALID, not_before, now)
    if not_on_or_after is not None and now - CLOCK_SKEW >= not_on_or_after:
        raise too_late(Reason.EXPIRED, not_on_or_after, now)
    return f"from {fact(not_before or 'always')} to {fact(not_on_or_after or 'no end')}, it is {fact(now)}"


def name_id(assertion: etree._Element) -> NameId:
    """A lasting, printable NameID without surrounding whitespace: two spellings must never be one person."""
    subject = only(assertion, f"{{{SAML}}}Subject", reason=Reason.SUBJECT_MISSING)
    found = named(subject)
    if not found.value or found.value != found.value.strip() or not all_visible(found.value):
        raise _malformed_name(found.value)
    if found.format == TRANSIENT:
        raise Rejected(Reason.NAME_ID_TRANSIENT, got=found.format, want="a lasting one: emailAddress, persistent")
    return found


def named(parent: etree._Element) -> NameId:
    """The one NameID in it (Core 2.2.3), as it is written, and no longer than can be kept."""
    element = only(parent, f"{{{SAML}}}NameID", reason=Reason.NAME_ID_MISSING)
    found = NameId(
        text(element),
        element.get("Format", UNSPECIFIED),
        element.get("NameQualifier"),
        element.get("SPNameQualifier"),
    )
    for part in filter(None, astuple(found)):
        if len(part.encode()) > _NAME_ID_OCTETS:
            raise _malformed_name(part)
    return found


def _malformed_name(got: str) -> Rejected:
    want = f"printable, no blanks around it, {_NAME_ID_OCTETS} octets at most"
    return Rejected(Reason.NAME_ID_MALFORMED, got=ascii(got), want=want)


def confirmation(assertion: etree._Element, *, acs_url: str, in_response_to: str | None, now: datetime) -> datetime:
    """Profiles 4.1.4.2: one bearer confirmation for our ACS that belongs to the Response's request, in time.

    Returns the last moment at which any bearer confirmation could still be accepted; also of one that was refused this
    time: the Response's InResponseTo may be outside the signature, so the same assertion could come with another one.
    """
    confirmations = assertion.findall(f"{{{SAML}}}Subject/{{{SAML}}}SubjectConfirmation")
    bearers = [item for item in confirmations if item.get("Method") == BEARER]
    if not bearers:
        methods = " ".join(filter(None, (item.get("Method") for item in confirmations)))
        raise Rejected(Reason.CONFIRMATION_MISSING, got=methods, want=BEARER)
    refusals: list[Rejected] = []
    ends: list[datetime] = []
    for bearer in bearers:
        try:
            data, end = _for_us(bearer, acs_url=acs_url)
            ends.append(end)
            _check_bearer(data, end, in_response_to=in_response_to, now=now)
        except Rejected as refusal:
            refusals.append(refusal.with_traceback(None))
    if len(refusals) == len(bearers):
        raise refusals[0]
    return min(max(ends), _END_OF_TIME) + CLOCK_SKEW


def _for_us(bearer: etree._Element, *, acs_url: str) -> tuple[etree._Element, datetime]:
    """What it says, and until when: of one that our ACS could accept, now or later."""
    data = only(bearer, f"{{{SAML}}}SubjectConfirmationData", reason=Reason.CONFIRMATION_INVALID)
    end = moment(data, "NotOnOrAfter")
    if end is None or data.get("NotBefore") is not None:
        got = "no NotOnOrAfter" if end is None else "a NotBefore"
        raise Rejected(Reason.CONFIRMATION_INVALID, got=got, want="a NotOnOrAfter, and no NotBefore")
    if data.get("Recipient") != acs_url:
        raise Rejected(Reason.RECIPIENT_MISMATCH, got=data.get("Recipient"), want=acs_url)
    return data, end


def _check_bearer(data: etree._Element, end: datetime, *, in_response_to: str | None, now: datetime) -> None:
    if now - CLOCK_SKEW >= end:
        raise too_late(Reason.CONFIRMATION_EXPIRED, end, now)
    # The Response's attribute may be outside the signature: it counts only where the assertion says the same. An empty
    # one names no request, and must not pass for an absent one in whoever asks for its truth.
    if data.get("InResponseTo") != in_response_to or in_response_to == "":
        raise Rejected(
            Reason.IN_RESPONSE_TO_MISMATCH,
            got=data.get("InResponseTo"),
            response=in_response_to or NOTHING,
            want="the same request in assertion and Response",
        )


def check_solicited(in_response_to: str | None, *, allow_unsolicited: bool) -> str:
    """Profiles 4.1.5: what nobody asked for is accepted only where the connection says so."""
    if in_response_to is None and not allow_unsolicited:
        raise Rejected(Reason.UNSOLICITED_NOT_ALLOWED, got="no InResponseTo", want="an answer to a request of ours")
    return in_response_to or "begun at the identity provider"


def check_fresh(authn_instant: datetime, *, asked_at: datetime, now: datetime) -> None:
    """Core 3.4.1, ForceAuthn: she signed in after it was asked for, and before now; an older sign-in is not what was
    asked for, and one to come would count as fresh for ever."""
    if now + CLOCK_SKEW < authn_instant:
        raise too_early(Reason.NOT_YET_VALID, authn_instant, now)
    if authn_instant < asked_at - CLOCK_SKEW:
        raise Rejected(Reason.AUTHENTICATION_STALE, got=authn_instant, want=f"from {fact(asked_at)}")


def session(assertion: etree._Element, now: datetime) -> Session:
    """Core 2.7.2: somebody did sign in, and no session named here is over. The earliest time counts."""
    statements = assertion.findall(f"{{{SAML}}}AuthnStatement")
    if not statements:
        raise Rejected(Reason.AUTHN_STATEMENT_MISSING, got="no AuthnStatement", want="an AuthnStatement")
    instants = [instant for item in statements if (instant := moment(item, "AuthnInstant")) is not None]
    if len(instants) != len(statements):
        raise malformed_time("AuthnInstant")
    ends = [end for item in statements if (end := moment(item, "SessionNotOnOrAfter")) is not None]
    if ends and now - CLOCK_SKEW >= min(ends):
        raise too_late(Reason.SESSION_EXPIRED, min(ends), now)
    context = statements[0].find(f"{{{SAML}}}AuthnContext/{{{SAML}}}AuthnContextClassRef")
    return Session(
        index=statements[0].get("SessionIndex"),
        not_on_or_after=min(ends, default=None),
        authn_instant=min(instants),
        authn_context=None if context is None else text(context),
    )


def attributes(assertion: etree._Element) -> dict[str, tuple[str, ...]]:
    """Every attribute by its exact Name, FriendlyName ignored; one Name twice is one attribute with all values.

    Values are verbatim. A nil value says nothing, and a value that holds elements (eduPersonTargetedID) is no text:
    both are left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for attribute in assertion.iterfind(f"{{{SAML}}}AttributeStatement/{{{SAML}}}Attribute"):
        name = attribute.get("Name")
        if not name:
            raise Rejected(Reason.ATTRIBUTE_MALFORMED, got="an Attribute without a Name", want="a Name for each")
        values = attribute.findall(f"{{{SAML}}}AttributeValue")
        texts = (text(value) for value in values if not len(value) and value.get(_NIL) not in ("true", "1"))
        found[name] = found.get(name, ()) + tuple(texts)
    return found


def issued(element: etree._Element) -> datetime:
    """IssueInstant (Core 2.3.3, 3.2.2), by the provider's own clock: every message and assertion has one."""
    found = moment(element, "IssueInstant")
    if found is None:
        raise malformed_time("IssueInstant")
    return found


def moment(element: etree._Element, attribute: str) -> datetime | None:
    """A SAML time in UTC, cut to the second; None where the attribute is absent."""
    value = element.get(attribute)
    if value is None:
        return None
    match = _TIME.fullmatch(value)
    try:
        return datetime.fromisoformat(match[1] if match else "").replace(tzinfo=UTC)
    except ValueError:
        raise malformed_time(attribute, value) from None


def malformed_time(attribute: str, got: str | None = None) -> Rejected:
    """A time that cannot be read, or is not there."""
    return Rejected(Reason.TIME_MALFORMED, attribute=attribute, got=got, want="a time such as 2026-01-31T12:00:00Z")


def too_early(reason: Reason, got: datetime, now: datetime) -> Rejected:
    """It begins later than the tolerance allows; with our own clock, which may be the one that is wrong."""
    return Rejected(reason, got=got, want=f"{fact(now + CLOCK_SKEW)} at the latest", now=now)


def too_late(reason: Reason, got: datetime, now: datetime) -> Rejected:
    """It was over earlier than the tolerance allows; likewise."""
    return Rejected(reason, got=got, want=f"later than {fact(now - CLOCK_SKEW)}", now=now)
