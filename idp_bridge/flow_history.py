"""Sign-in flows as administrators read them: which there are, how each ended, and whose side has to act.

The rows are written by sign_in_flows.py and thrown away by flow_pruning.py.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from idp_bridge import clock, db, flow_pruning
from idp_bridge.errors import NotFound
from idp_bridge.flow_pruning import KEPT_FOR
from idp_bridge.models import Event, IdentityProvider, Session, SignInFlow
from idp_bridge.saml.errors import REASONS, Reason
from idp_bridge.sessions import IDLE
from idp_bridge.sign_in_flows import begun_since

OUTCOMES = ("pending", "not_answered", "not_finished", "succeeded", "refused")


def of_provider(
    provider: IdentityProvider,
    *,
    outcome: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    email: str | None = None,
    name_id: str | None = None,
    event_id: str | None = None,
) -> Any:
    """The flows of a provider that fit all that is given, as a query; ``email`` and ``name_id`` are parts of what
    stands there, ``since`` is inclusive, ``event_id`` is the reference on a person's page."""
    found = SignInFlow.select().where(SignInFlow.identity_provider == provider)
    if outcome:
        found = found.where(_OUTCOMES[outcome]())
    if kind:
        found = found.where(SignInFlow.kind == kind)
    if email:
        found = found.where(SignInFlow.email.contains(email))
    if name_id:
        found = found.where(SignInFlow.name_id.contains(name_id))
    if event_id:
        found = found.where(SignInFlow.id == _of_event(provider, event_id))
    return found if since is None else found.where(begun_since(since))


_OUTCOMES: Mapping[str, Callable[[], Any]] = {
    "pending": lambda: SignInFlow.finished_at.is_null() & (SignInFlow.expires_at > clock.now()),
    "not_answered": lambda: flow_pruning.over() & SignInFlow.answered_at.is_null(),
    "not_finished": lambda: flow_pruning.over() & SignInFlow.answered_at.is_null(False),
    "succeeded": lambda: SignInFlow.finished_at.is_null(False) & SignInFlow.reason.is_null(),
    "refused": lambda: SignInFlow.reason.is_null(False),
}


def outcome(flow: SignInFlow) -> str:
    """One of ``OUTCOMES``: ``not_answered`` where no response came, ``not_finished`` where its browser did not."""
    if flow.finished_at is not None:
        return "succeeded" if flow.reason is None else "refused"
    if flow.expires_at > clock.now():
        return "pending"
    return "not_answered" if flow.answered_at is None else "not_finished"


def side(reason: str) -> str:
    """Who has to act after a refusal: identity_provider, service_provider (the connection's settings here), person, or
    administrator where somebody was named and may not come in."""
    return REASONS[Reason(reason)].side if reason in REASONS else "administrator"


def _of_event(provider: IdentityProvider, event_id: str) -> str:
    event = Event.get_or_none((Event.id == event_id) & (Event.account == provider.account_id))
    return str(event.object.get("flow_id", "")) if event else ""


def get(provider: IdentityProvider, flow_id: str) -> SignInFlow:
    """One flow of this provider. Raises NotFound."""
    found = of_provider(provider).where(SignInFlow.id == flow_id).get_or_none()
    if found is None:
        raise NotFound(
            f"There is no sign-in flow {flow_id} of this identity provider; they are kept for {KEPT_FOR.days} days."
        )
    flow: SignInFlow = found
    return flow


def session_is_live(flow: SignInFlow) -> bool | None:
    """Whether the session that it opened still lets somebody in; None where it opened none."""
    return None if flow.session_digest is None else flow.session_digest in live_sessions([flow])


def live_sessions(flows: Iterable[SignInFlow]) -> frozenset[str]:
    """The digests of those of their sessions that still let somebody in."""
    moment = clock.now()
    digests = [flow.session_digest for flow in flows if flow.session_digest]
    live = Session.digest.in_(digests) & (Session.expires_at > moment) & (Session.seen_at > moment - IDLE)
    return frozenset(db.column(Session.select(Session.digest).where(live)) if digests else ())
