"""Single logout (SAML Profiles 4.4): a session here ends with the provider's, and the provider's with the one here.

Ours always ends first, by itself; the provider is told afterwards. What a provider asks for is obeyed once for each
message: a copy of an old one, sent later, ends nothing. The messages themselves are `saml.logout`'s.
"""

from datetime import datetime, timedelta

from idp_bridge import clock, events, idps, sessions, sp_keys
from idp_bridge.actors import Actor
from idp_bridge.events import Type
from idp_bridge.models import IdentityProvider, ReceivedLogout, SentLogout, Session
from idp_bridge.saml import logout, metadata
from idp_bridge.saml.errors import Reason, Rejected, fact
from idp_bridge.saml.logout import LogoutRequest, LogoutResponse
from idp_bridge.saml.profile import UNSPECIFIED, NameId
from idp_bridge.saml.response import CLOCK_SKEW, Trust
from idp_bridge.saml.sending import Sent
from idp_bridge.statement import Statement, parameter

SENT_LIFETIME = timedelta(minutes=15)  # how long the provider may take with its other applications
REMEMBERED = timedelta(days=1)  # how long a sign-out holds for what was issued before it, and how old that may be


def trust(provider: IdentityProvider) -> Trust:
    """Whose logout messages count: those of the keys that sign people in."""
    return Trust(
        entity_id=provider.entity_id,
        certificates=idps.certificates(provider),
        allow_weak_signatures=provider.allow_weak_signatures,
    )


# --- from our side ----------------------------------------------------------------------------------------------


def told(session: Session) -> IdentityProvider | None:
    """The provider that is told when this session ends; None where there is nobody to tell, or no way to."""
    if session.identity_provider_id is None or session.name_id is None:
        return None
    provider = IdentityProvider.get_or_none(IdentityProvider.id == session.identity_provider_id)
    return provider if provider is not None and provider.enabled and provider.slo_url else None


def begin(provider: IdentityProvider, session: Session, *, browser_digest: str, base_url: str) -> Sent:
    """The LogoutRequest for a session that has ended here, in the caller's transaction."""
    sent = logout.logout_request(
        sp_entity_id=idps.urls(provider.id, base_url)["sp_entity_id"],
        slo=_endpoint(provider),
        name_id=NameId(
            value=session.name_id or "",
            format=session.name_id_format or UNSPECIFIED,
            name_qualifier=session.name_qualifier,
            sp_name_qualifier=session.sp_name_qualifier,
        ),
        session_index=session.session_index,
        now=clock.now(),
        signing_key=sp_keys.signing(provider),
    )
    SentLogout.create(
        id=sent.id,
        identity_provider=provider,
        browser_digest=browser_digest,
        expires_at=clock.now() + SENT_LIFETIME,
    )
    return sent


def note(provider: IdentityProvider, response: LogoutResponse) -> None:
    """Keep the provider's answer for the browser that signed out, in the caller's transaction. Raises `Rejected` where
    nothing was asked, or it was answered before."""
    waiting = (
        (SentLogout.id == response.in_response_to)
        & (SentLogout.identity_provider == provider)
        & SentLogout.complete.is_null()
        & (SentLogout.expires_at > clock.now())
    )
    if not SentLogout.update(complete=response.complete).where(waiting).execute():
        raise Rejected(Reason.LOGOUT_UNKNOWN, in_response_to=response.in_response_to)


def outcome(provider: IdentityProvider, request_id: str, *, browser_digest: str | None) -> bool | None:
    """Whether the provider has signed this browser out everywhere; told once, in the caller's transaction. None where
    it has not answered, or another browser asks."""
    answered = (
        (SentLogout.id == request_id)
        & (SentLogout.identity_provider == provider)
        & (SentLogout.browser_digest == (browser_digest or ""))
        & SentLogout.complete.is_null(False)
    )
    row = SentLogout.get_or_none(answered)
    return row.complete if row is not None and SentLogout.delete().where(answered).execute() else None


# --- from the provider's side -----------------------------------------------------------------------------------


def obey(actor: Actor, provider: IdentityProvider, request: LogoutRequest) -> int:
    """End the sessions that the request names, in the caller's transaction; how many those were.

    Only this provider's own. Qualifiers are not compared: a NameID here is (provider, format, value), as for sign-ins;
    and a request without a format, such as Entra's, means whatever format the session has.
    """
    if not _first_time(provider, request):
        return 0
    named = request.name_id
    ended = sessions.end_named(
        provider.id,
        name_id=named.value,
        name_id_format=None if named.format == UNSPECIFIED else named.format,
        session_indexes=request.session_indexes,
    )
    for member in ended:
        facts = {"id": member.id, "reason": "provider", "identity_provider_id": provider.id}
        events.record(actor, Type.SESSION_ENDED, facts)
    return len(ended)


def check_not_ended(
    provider: IdentityProvider, *, name_id: str, session_index: str | None, issued_at: datetime
) -> None:
    """An assertion that was issued before a LogoutRequest about it, and comes after it, opens nothing (Core 3.7.3.2).
    Of one that is older than what is remembered of sign-outs nobody knows that, whatever it says of its own life.

    Raises `Rejected`. Both times are the provider's own.
    """
    first = clock.now() - REMEMBERED
    if issued_at < first:
        raise Rejected(Reason.EXPIRED, got=f"issued at {fact(issued_at)}", want=f"not before {fact(first)}")
    for ended_at, indexes in _ENDED.rows(provider=provider.id, name_id=name_id, issued_at=issued_at):
        if not indexes or session_index is None or session_index in indexes:
            raise Rejected(
                Reason.SESSION_EXPIRED,
                got=f"issued at {fact(issued_at)}",
                want=f"after {fact(ended_at)}, when she was signed out",
            )


_ENDED = Statement(
    (ReceivedLogout.issued_at, ReceivedLogout.session_indexes),
    lambda: ReceivedLogout.select(ReceivedLogout.issued_at, ReceivedLogout.session_indexes).where(
        ReceivedLogout.identity_provider == parameter("provider"),
        ReceivedLogout.name_id == parameter("name_id"),
        ReceivedLogout.issued_at > parameter("issued_at", ReceivedLogout.issued_at),
    ),
)


def answer(provider: IdentityProvider, request: LogoutRequest, *, base_url: str) -> Sent | None:
    """The LogoutResponse, in the caller's transaction; None where the provider has no address for it."""
    if not provider.slo_url:
        return None
    return logout.logout_response(
        sp_entity_id=idps.urls(provider.id, base_url)["sp_entity_id"],
        slo=_endpoint(provider),
        request=request,
        now=clock.now(),
        signing_key=sp_keys.signing(provider),
    )


def clean_up() -> int:
    """Forget messages that could not be accepted any more; how many."""
    moment = clock.now()
    return sum(
        int(table.delete().where(table.expires_at <= moment).execute()) for table in (SentLogout, ReceivedLogout)
    )


def _first_time(provider: IdentityProvider, request: LogoutRequest) -> bool:
    """Use the message up, once among all processes.

    It was issued ``CLOCK_SKEW`` from now at the latest, so this outlives each assertion that it can be about, and the
    message itself.
    """
    row = ReceivedLogout.insert(
        identity_provider=provider,
        request_id=request.id,
        name_id=request.name_id.value,
        session_indexes=list(request.session_indexes),
        issued_at=request.issue_instant,
        expires_at=clock.now() + REMEMBERED + CLOCK_SKEW,
    )
    return bool(row.on_conflict_ignore().as_rowcount().execute())


def _endpoint(provider: IdentityProvider) -> metadata.Endpoint:
    binding = metadata.POST if provider.slo_binding == "post" else metadata.REDIRECT
    return metadata.Endpoint(binding, provider.slo_url or "", provider.slo_response_url)
