"""Sign-in flows: one row for each sign-in through an identity provider, from its first message to its outcome.

While it is under way the row is what holds the parts together: the request that a response must answer, the browser
that began it, what a verified response said. Afterwards it is what administrators read: every check with got and want,
the outcome, whose it was, which session it opened. The messages themselves are kept apart and shorter
(saml_messages.py).

How long rows are kept, and how many of what strangers can cause, is in flow_pruning.py.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import clock, db, flow_pruning, ids
from idp_bridge.errors import NotFound
from idp_bridge.flow_pruning import KEPT_FOR
from idp_bridge.models import Event, IdentityProvider, Session, SignInFlow, UsedAssertion
from idp_bridge.saml.errors import REASONS, Check, Reason
from idp_bridge.saml.redaction import MARK
from idp_bridge.saml.response import Assertion
from idp_bridge.sessions import IDLE
from idp_bridge.sign_in import Identity
from idp_bridge.statement import Statement, Table, parameter

SP_INITIATED, IDP_INITIATED, TEST = KINDS = ("sp_initiated", "idp_initiated", "test")
OUTCOMES = ("pending", "not_answered", "not_finished", "succeeded", "refused")

REQUEST_LIFETIME = timedelta(minutes=15)  # how long somebody may sit at the provider's own sign-in page
WAITING_LIFETIME = timedelta(minutes=5)  # a redirect takes a moment, a page to confirm a little longer
BOUNCE_REST = timedelta(minutes=1)  # how soon after a bounce that was not answered the same person's next is refused

#: Checks whose got and want are values of NameID or attributes.
PERSONAL_CHECKS = frozenset({"name_id", "attributes", "email", "groups"})


@dataclass(frozen=True)
class Caller:
    """The browser at the other end."""

    address: str | None
    user_agent: str


@dataclass(frozen=True)
class Said:
    """What the next step needs of a verified assertion. ``session`` are words for sessions.open_session."""

    identity: Identity
    session: Mapping[str, Any]
    attributes: Mapping[str, Sequence[str]]
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()

    def checked(self, check: Check) -> "Said":
        """With one check more."""
        return replace(self, checks=(*self.checks, check))

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        not_after = self.session["not_after"]
        return {
            "identity": asdict(self.identity),
            "session": {**self.session, "not_after": clock.rfc3339(not_after) if not_after else None},
            "attributes": dict(self.attributes),
            "checks": _rows(self.checks),
            "warnings": self.warnings,
        }

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Said":
        """From JSON."""
        identity, session = stored["identity"], stored["session"]
        groups = identity["groups"]
        return cls(
            identity=Identity(**{**identity, "groups": None if groups is None else tuple(groups)}),
            session={**session, "not_after": clock.parse(session["not_after"]) if session["not_after"] else None},
            attributes=stored["attributes"],
            checks=checks(stored["checks"]),
            warnings=tuple(stored["warnings"]),
        )


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a flow ended, and what is told of it. ``reason`` None: not refused."""

    checks: Sequence[Check] = ()
    event_id: str | None = None
    reason: str | None = None
    decision: str | None = None
    member_id: str | None = None
    session_digest: str | None = None
    email: str | None = None
    name_id: str | None = None
    warnings: Sequence[str] = ()
    attributes: Mapping[str, Sequence[str]] | None = None
    groups: Sequence[str] | None = None
    roles: Sequence[str] | None = None


# --- the request ------------------------------------------------------------------------------------------------


def new_request_id(flow_id: str) -> str:
    """The id of a flow's AuthnRequest, which is its RelayState too: the flow's own, and 128 random bits on top of its
    80, so that nobody who has not seen the request can name it (Core 1.3.4; Bindings 3.4.3 allows 80 bytes)."""
    return f"{flow_id}_{secrets.token_hex(16)}"


_REQUEST_ID = re.compile(r"flow_[0-9a-z]{26}_[0-9a-f]{32}")
_FLOW_ID = re.compile(r"flow_[0-9a-z]{26}")
_ID_LENGTH = len("flow_") + 26


def flow_id_of(request_id: str) -> str:
    """The flow whose request that would be, checked by whoever compares the whole; empty where it cannot be ours."""
    return request_id[:_ID_LENGTH] if _REQUEST_ID.fullmatch(request_id) else ""


def begin(
    provider: IdentityProvider,
    *,
    request_id: str,
    kind: str,
    caller: Caller,
    next_path: str = "/",
    browser_digest: str | None = None,
    waiting: Mapping[str, Any] | None = None,
) -> SignInFlow:
    """A flow whose request goes out, or will when its browser comes for it (``browser_digest`` None)."""
    moment = clock.now()
    flow = SignInFlow(
        identity_provider=provider.id,
        id=flow_id_of(request_id),
        kind=kind,
        started_at=moment,
        expires_at=moment + REQUEST_LIFETIME,
        request_id=request_id,
        force_authn=provider.force_authn,
        browser_digest=browser_digest,
        next_path=next_path,
        waiting=waiting,
        address=caller.address,
        user_agent=caller.user_agent[:255],
    )
    _FLOWS.add(flow)
    return flow


_FLOWS = Table(SignInFlow)


def claim(provider: IdentityProvider, request_id: str, *, browser_digest: str, caller: Caller) -> SignInFlow | None:
    """The flow that was prepared under this request's id becomes this browser's; once. None where there is none."""
    if not flow_id_of(request_id):
        return None
    moment = clock.now()
    claimed = (
        SignInFlow.update(
            browser_digest=browser_digest,
            started_at=moment,
            expires_at=moment + REQUEST_LIFETIME,
            force_authn=provider.force_authn,
            address=caller.address,
            user_agent=caller.user_agent[:255],
        )
        .where(_pending(provider, request_id), SignInFlow.browser_digest.is_null())
        .returning(SignInFlow)
    )
    return next(iter(claimed.execute()), None)


def named(provider: IdentityProvider, request_id: str | None) -> SignInFlow | None:
    """The flow that waits for a response to this request."""
    if request_id is None or not flow_id_of(request_id):
        return None
    return SignInFlow.get_or_none(_pending(provider, request_id))


def _pending(provider: IdentityProvider, request_id: str) -> Any:
    return (
        (SignInFlow.identity_provider == provider)
        & (SignInFlow.id == flow_id_of(request_id))
        & (SignInFlow.request_id == request_id)
        & SignInFlow.answered_at.is_null()
        & (SignInFlow.expires_at > clock.now())
    )


def bounced_in_vain(provider: IdentityProvider, name_id: str) -> bool:
    """Whether an unsolicited response for this person has just been turned into a request that was not answered: then
    the provider does not say what it answers, and to ask it again would go on for ever."""
    recent = SignInFlow.select(SignInFlow.waiting).where(
        SignInFlow.identity_provider == provider,
        _since(clock.now() - BOUNCE_REST),
        SignInFlow.kind == IDP_INITIATED,
        SignInFlow.answered_at.is_null(),
    )
    return any(flow.waiting and flow.waiting.get("bounced") == name_id for flow in recent)


# --- the response -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Used:
    """What using up a verified response found. ``flow`` None: no pending request of ours has that id."""

    flow: SignInFlow | None
    is_new: bool


def use_up(provider: IdentityProvider, assertion: Assertion) -> Used:
    """Consume the request that a verified response names, and its assertion's id, each once among all processes.

    In the caller's transaction, which must commit whatever comes next: a response that is refused from here on leaves
    neither to be used again.
    """
    flow = None
    moment = clock.now()
    if assertion.in_response_to is not None and (flow_id := flow_id_of(assertion.in_response_to)):
        answered = _ANSWER.first(
            provider=provider.id,
            id=flow_id,
            request_id=assertion.in_response_to,
            now=moment,
            until=moment + WAITING_LIFETIME,
        )
        flow = answered[0] if answered else None
    new = _REMEMBER.one(provider=provider.id, assertion=assertion.id, until=assertion.not_on_or_after)
    return Used(flow, new is not None)


def _answering() -> Any:
    now = parameter("now", SignInFlow.answered_at)
    return (
        SignInFlow.update(
            {
                SignInFlow.answered_at: now,
                SignInFlow.expires_at: parameter("until", SignInFlow.expires_at),
                SignInFlow.waiting: None,
            }
        )
        .where(
            SignInFlow.identity_provider == parameter("provider"),
            SignInFlow.id == parameter("id"),
            SignInFlow.request_id == parameter("request_id"),
            SignInFlow.answered_at.is_null(),
            SignInFlow.expires_at > now,
        )
        .returning(*_COLUMNS)
    )


_COLUMNS = tuple(SignInFlow._meta.sorted_fields)
_ANSWER = Statement(_COLUMNS, _answering)


def _remembering() -> Any:
    row = {
        UsedAssertion.identity_provider: parameter("provider"),
        UsedAssertion.assertion_id: parameter("assertion"),
        UsedAssertion.expires_at: parameter("until", UsedAssertion.expires_at),
    }
    return UsedAssertion.insert(row).on_conflict_ignore().returning(UsedAssertion.assertion_id)


_REMEMBER = Statement((UsedAssertion.assertion_id,), _remembering)


def unsolicited(
    provider: IdentityProvider, *, caller: Caller, next_path: str, browser_digest: str | None
) -> SignInFlow:
    """A flow that begins with its response."""
    moment = clock.now()
    flow = SignInFlow(
        identity_provider=provider.id,
        id=ids.new("flow"),
        kind=IDP_INITIATED,
        started_at=moment,
        expires_at=moment + WAITING_LIFETIME,
        answered_at=moment,
        browser_digest=browser_digest,
        next_path=next_path,
        address=caller.address,
        user_agent=caller.user_agent[:255],
    )
    _FLOWS.add(flow)
    return flow


def hold(flow: SignInFlow, waiting: Mapping[str, Any]) -> None:
    """Keep what the response said until its browser comes, in the caller's transaction."""
    _HOLD.run(provider=flow.identity_provider_id, id=flow.id, waiting=dict(waiting))


_HOLD = Statement(
    (),
    lambda: SignInFlow.update({SignInFlow.waiting: parameter("waiting", SignInFlow.waiting)}).where(
        SignInFlow.identity_provider == parameter("provider"), SignInFlow.id == parameter("id")
    ),
)


def held(provider: IdentityProvider, flow_id: str, *, browsers: Iterable[str]) -> SignInFlow | None:
    """The flow that waits for one of these browsers, which all are the one that asks."""
    if not _FLOW_ID.fullmatch(flow_id):
        return None
    return SignInFlow.get_or_none(
        (SignInFlow.identity_provider == provider)
        & (SignInFlow.id == flow_id)
        & SignInFlow.browser_digest.in_(list(browsers))
        & SignInFlow.answered_at.is_null(False)
        & SignInFlow.waiting.is_null(False)
        & (SignInFlow.expires_at > clock.now())
    )


def release(flow: SignInFlow) -> bool:
    """Take what the flow held, once; in a transaction that commits alone."""
    mine = (SignInFlow.identity_provider == flow.identity_provider_id) & (SignInFlow.id == flow.id)
    taken = SignInFlow.update(waiting=None).where(mine, SignInFlow.waiting.is_null(False)).execute()
    return bool(taken)


# --- the end ----------------------------------------------------------------------------------------------------


def end(provider: IdentityProvider, flow: SignInFlow, ended: Ended) -> None:
    """Write down how it ended, in the caller's transaction. A request that waits still may have been answered well
    meanwhile: then that is how it ended."""
    statement = _END_PENDING if flow.answered_at is None else _END
    values = _ended(provider, ended)
    statement.write("sign_in_flow", inserts=False, provider=provider.id, id=flow.id, **values)
    if ended.reason is not None:
        flow_pruning.bound_refused(provider)


def stray(provider: IdentityProvider, *, flow_id: str, kind: str, caller: Caller, ended: Ended) -> None:
    """A refused message that belongs to no flow of ours is one of its own; in the caller's transaction."""
    moment = clock.now()
    _FLOWS.insert(
        identity_provider=provider.id,
        id=flow_id,
        kind=kind,
        started_at=moment,
        expires_at=moment,
        address=caller.address,
        user_agent=caller.user_agent[:255],
        **_ended(provider, ended),
    )
    flow_pruning.bound_refused(provider)


def _ended(provider: IdentityProvider, ended: Ended) -> dict[str, Any]:
    told = ended if not provider.redact_sign_in_flows else _redacted(ended)
    return {
        "finished_at": clock.now(),
        "reason": told.reason,
        "decision": told.decision,
        "event_id": told.event_id,
        "member_id": told.member_id,
        "session_digest": told.session_digest,
        "email": told.email,
        "name_id": told.name_id,
        "waiting": None,
        "warnings": list(told.warnings) or None,
        "checks": _rows(told.checks),
        "attributes": None if told.attributes is None else {n: list(held) for n, held in told.attributes.items()},
        "groups": None if told.groups is None else list(told.groups),
        "roles": None if told.roles is None else list(told.roles),
    }


_ENDING = (
    "finished_at", "reason", "decision", "event_id", "member_id", "session_digest", "email", "name_id", "waiting",
    "warnings", "checks", "attributes", "groups", "roles",
)  # fmt: skip


def _ending(*more: Any) -> Any:
    columns = {name: SignInFlow._meta.fields[name] for name in _ENDING}
    return SignInFlow.update({column: parameter(name, column) for name, column in columns.items()}).where(
        SignInFlow.identity_provider == parameter("provider"), SignInFlow.id == parameter("id"), *more
    )


_END = Statement((), _ending)
_END_PENDING = Statement((), lambda: _ending(SignInFlow.answered_at.is_null()))


def _redacted(ended: Ended) -> Ended:
    """Without what NameID and attributes said; how many values there were stays."""
    attributes = ended.attributes
    return replace(
        ended,
        email=None,
        name_id=None,
        checks=[_without_values(check) for check in ended.checks],
        attributes=None if attributes is None else {name: [MARK] * len(held) for name, held in attributes.items()},
        groups=None if ended.groups is None else [MARK] * len(ended.groups),
    )


def _without_values(check: Check) -> Check:
    if check.name not in PERSONAL_CHECKS:
        return check
    return Check(check.name, check.passed, MARK if check.got else "", MARK if check.want else "")


def _rows(made: Iterable[Check]) -> list[list[Any]]:
    return [[check.name, check.passed, check.got, check.want] for check in made]


def checks(stored: Iterable[Sequence[Any]] | None) -> tuple[Check, ...]:
    """The checks of a row."""
    return tuple(Check(*row) for row in stored or ())


# --- reading ----------------------------------------------------------------------------------------------------


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
    return found if since is None else found.where(_since(since))


def _since(instant: datetime) -> Any:
    """A flow may begin after its row was made, and so its id: a test that waits for its browser."""
    return (SignInFlow.id >= ids.earliest("flow", instant - REQUEST_LIFETIME)) & (SignInFlow.started_at >= instant)


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
