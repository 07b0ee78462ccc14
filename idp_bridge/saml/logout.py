"""Single logout (Profiles 4.4, Core 3.7): LogoutRequest and LogoutResponse, read and built.

What is read was signed by a pinned key, in whichever way its binding signs, or it is refused: whoever can make a
browser open a link could sign people out otherwise. Everything taken comes from the octets that the signature covers.
An EncryptedID is not opened, and refused for what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree
from saml2 import saml, samlp

from idp_bridge.saml import profile, redirect, xml
from idp_bridge.saml.apart import apart
from idp_bridge.saml.errors import NotSaml, Reason, Rejected
from idp_bridge.saml.metadata import Endpoint
from idp_bridge.saml.profile import CLOCK_SKEW, SUCCESS, NameId
from idp_bridge.saml.response import Trust
from idp_bridge.saml.sending import Sent, SigningKey, instant, new_id, send
from idp_bridge.saml.signature import check_ids, check_placement, identifier, is_signed, verified

__all__ = ["LogoutRequest", "LogoutResponse", "from_form", "from_query", "logout_request", "logout_response"]

LIFETIME = timedelta(minutes=5)  # from IssueInstant: a browser carries it at once
LARGEST_POST = 96 * 1024  # of base64

PARTIAL = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
BY_THE_PERSON = "urn:oasis:names:tc:SAML:2.0:logout:user"

_ROOTS = {"SAMLRequest": f"{{{xml.SAMLP}}}LogoutRequest", "SAMLResponse": f"{{{xml.SAMLP}}}LogoutResponse"}


@dataclass(frozen=True, kw_only=True)
class LogoutRequest:
    """The provider wants sessions ended."""

    id: str
    issue_instant: datetime
    not_on_or_after: datetime
    """The last moment, skew included, at which it would be accepted again: remember its id till then."""
    name_id: NameId
    session_indexes: tuple[str, ...]
    """Which of her sessions; empty: all of them (Core 3.7.1)."""
    relay_state: str | None
    """To be sent back as it came (Bindings 3.4.3, 3.5.3)."""


@dataclass(frozen=True, kw_only=True)
class LogoutResponse:
    """What the provider made of a LogoutRequest of ours."""

    in_response_to: str
    complete: bool
    """Everywhere signed out; False where the provider could not, or not at all of its other applications."""
    status: tuple[str, ...]
    """Its status codes, from the outside in."""


Message = LogoutRequest | LogoutResponse


# --- reading ----------------------------------------------------------------------------------------------------


@apart
def from_query(query: bytes, *, trust: Trust, slo_url: str, now: datetime) -> Message:
    """A message by HTTP-Redirect: the raw query string in. Nothing is inflated or parsed before the signature holds.

    Raises `Rejected`, or `NotSaml` where it is no logout message.
    """
    came = redirect.read(query)
    redirect.signed_by(came, certificates=trust.certificates, allow_weak=trust.allow_weak_signatures)
    root = _parsed(redirect.inflate(came.message), came.name)
    if is_signed(root):  # Bindings 3.4.4.1: that signature is to be removed, so nobody is to wonder which one counts
        raise Rejected(Reason.SIGNATURE_PLACEMENT, got="a Signature inside as well", want="that of the query alone")
    return _read(root, relay_state=came.relay_state, trust=trust, slo_url=slo_url, now=now)


@apart
def from_form(fields: Mapping[str, str], *, trust: Trust, slo_url: str, now: datetime) -> Message:
    """A message by HTTP-POST. Raises as `from_query` does."""
    names = [name for name in _ROOTS if name in fields]
    if len(names) != 1:
        raise NotSaml(Reason.NOT_A_LOGOUT_MESSAGE, got=" ".join(names), want=" or ".join(_ROOTS))
    root = _parsed(_from_base64(fields[names[0]]), names[0])
    if not is_signed(root):
        raise Rejected(Reason.SIGNATURE_MISSING, got="no Signature", want="one, of the whole message")
    signed = verified(root, certificates=trust.certificates, now=now, allow_weak=trust.allow_weak_signatures)
    return _read(signed.element, relay_state=fields.get("RelayState"), trust=trust, slo_url=slo_url, now=now)


def _from_base64(field: str) -> bytes:
    if len(field) > LARGEST_POST:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got=f"{len(field)} characters", want=f"{LARGEST_POST} at most")
    try:
        return xml.from_base64(field)
    except ValueError:
        raise NotSaml(Reason.NOT_BASE64, got=f"{len(field)} characters of something else", want="base64") from None


def _parsed(document: bytes, name: str) -> etree._Element:
    root = xml.parse(document)
    if root.tag != _ROOTS[name]:
        raise NotSaml(Reason.NOT_A_LOGOUT_MESSAGE, got=root.tag, want=_ROOTS[name])
    check_ids(root)
    check_placement(root, root)
    return root


def _read(root: etree._Element, *, relay_state: str | None, trust: Trust, slo_url: str, now: datetime) -> Message:
    profile.check_version(root)
    _check_issuer(root, want=trust.entity_id)
    profile.check_destination(root, want=slo_url, signed=True)
    issued, end = _lifetime(root, now)
    if root.tag == _ROOTS["SAMLResponse"]:
        return _response(root)
    return LogoutRequest(
        id=identifier(root),
        issue_instant=issued,
        not_on_or_after=end,
        name_id=_name_id(root),
        session_indexes=tuple(xml.text(item) for item in root.findall(f"{{{xml.SAMLP}}}SessionIndex")),
        relay_state=relay_state,
    )


def _check_issuer(root: etree._Element, *, want: str) -> None:
    """Profiles 4.4.4.1: the issuer is there, and is the provider of this connection."""
    issuer = xml.text(xml.only(root, f"{{{xml.SAML}}}Issuer"))
    if issuer != want:
        raise Rejected(Reason.ISSUER_MISMATCH, element=etree.QName(root).localname, got=issuer, want=want)


def _lifetime(root: etree._Element, now: datetime) -> tuple[datetime, datetime]:
    """When it was issued, and until when it counts: what it says itself (NotOnOrAfter), and never long."""
    issued = profile.moment(root, "IssueInstant")
    if issued is None:
        raise profile.malformed_time("IssueInstant")
    if now + CLOCK_SKEW < issued:
        raise profile.too_early(Reason.NOT_YET_VALID, issued, now)
    profile.check_window(root, now)
    if now - CLOCK_SKEW >= issued + LIFETIME:
        raise profile.too_late(Reason.EXPIRED, issued + LIFETIME, now)
    return issued, issued + LIFETIME + CLOCK_SKEW


def _name_id(root: etree._Element) -> NameId:
    """Whom it is about: compared with what an assertion named, so its form is its sender's business."""
    if root.find(f"{{{xml.SAML}}}EncryptedID") is not None:
        raise Rejected(Reason.ENCRYPTED_ID, got="an EncryptedID", want="a NameID")
    return profile.named(root)


def _response(root: etree._Element) -> LogoutResponse:
    status = xml.only(root, f"{{{xml.SAMLP}}}Status")
    xml.only(status, f"{{{xml.SAMLP}}}StatusCode")
    codes = tuple(item.get("Value", "") for item in status.iter(f"{{{xml.SAMLP}}}StatusCode"))
    return LogoutResponse(
        in_response_to=root.get("InResponseTo", ""),
        complete=codes[0] == SUCCESS and PARTIAL not in codes,
        status=codes,
    )


# --- building ---------------------------------------------------------------------------------------------------


def logout_request(
    *,
    sp_entity_id: str,
    slo: Endpoint,
    name_id: NameId,
    session_index: str | None,
    now: datetime,
    signing_key: SigningKey,
) -> Sent:
    """Ask the provider to end its session and all others that hang on it, for whom the assertion named so."""
    request = samlp.LogoutRequest(
        id=new_id(),
        version="2.0",
        issue_instant=instant(now),
        not_on_or_after=instant(now + LIFETIME),
        destination=slo.url,
        reason=BY_THE_PERSON,
        issuer=saml.Issuer(text=sp_entity_id),
        name_id=saml.NameID(
            text=name_id.value,
            format=name_id.format,
            name_qualifier=name_id.name_qualifier,
            sp_name_qualifier=name_id.sp_name_qualifier,
        ),
        session_index=[samlp.SessionIndex(text=session_index)] if session_index is not None else None,
    )
    return send(
        request, name="SAMLRequest", binding=slo.binding, url=slo.url, relay_state=None, signing_key=signing_key
    )


def logout_response(
    *, sp_entity_id: str, slo: Endpoint, request: LogoutRequest, now: datetime, signing_key: SigningKey
) -> Sent:
    """Tell the provider that its sessions here are ended; at its response URL where it has one (Metadata 2.2.2)."""
    url = slo.response_url or slo.url
    response = samlp.LogoutResponse(
        id=new_id(),
        version="2.0",
        issue_instant=instant(now),
        in_response_to=request.id,
        destination=url,
        issuer=saml.Issuer(text=sp_entity_id),
        status=samlp.Status(status_code=samlp.StatusCode(value=SUCCESS)),
    )
    return send(
        response,
        name="SAMLResponse",
        binding=slo.binding,
        url=url,
        relay_state=request.relay_state,
        signing_key=signing_key,
    )
