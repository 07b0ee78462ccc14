"""Sign-in flows: one row for each sign-in through an identity provider, from its first message to its outcome.

While it is under way the row is what holds the parts together: the request that a response must answer, the browser
that began it, what a verified response said. Then it is what administrators read (flow_history.py): every check with
got and want, the outcome, whose it was, which session it opened. The messages themselves are kept apart and shorter
(saml_messages.py).

How long rows are kept, and how many of what strangers can cause, is in flow_pruning.py.
"""

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import clock, idps, ids, keyring
from idp_bridge.errors import Code, Conflict
from idp_bridge.keyring import Purpose, WrongSecretKey
from idp_bridge.models import IdentityProvider, SignInFlow, UsedAssertion
from idp_bridge.rates import site
from idp_bridge.saml.errors import Check
from idp_bridge.saml.redaction import MARK
from idp_bridge.saml.response import Assertion
from idp_bridge.sign_in import Identity
from idp_bridge.statement import Statement, Table, parameter

SP_INITIATED, IDP_INITIATED, TEST = KINDS = ("sp_initiated", "idp_initiated", "test")

REQUEST_LIFETIME = timedelta(minutes=15)  # how long somebody may sit at the provider's own sign-in page
WAITING_LIFETIME = timedelta(minutes=5)  # a redirect takes a moment, a page to confirm a little longer
BOUNCE_REST = timedelta(minutes=1)  # how soon after a bounce that was not answered the same person's next is refused

#: Checks whose got and want are values of NameID or attributes.
PERSONAL_CHECKS = frozenset({"status", "name_id", "attributes", "email", "groups"})


@dataclass(frozen=True)
class Caller:
    """The browser at the other end."""

    address: str | None
    user_agent: str

    @property
    def row(self) -> dict[str, Any]:
        """What a flow keeps of it."""
        return {"address": self.address, "site": site(self.address), "user_agent": self.user_agent[:255]}


@dataclass(frozen=True)
class Said:
    """What the next step needs of a verified assertion. ``session`` are words for sessions.open_session, ``signed_by``
    the fingerprints of the certificates that stood for it."""

    identity: Identity
    session: Mapping[str, Any]
    attributes: Mapping[str, Sequence[str]]
    issued_at: datetime
    signed_by: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()

    def checked(self, *made: Check) -> "Said":
        """With these checks more."""
        return replace(self, checks=(*self.checks, *made))

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        not_after = self.session["not_after"]
        return {
            "identity": asdict(self.identity),
            "session": {**self.session, "not_after": clock.rfc3339(not_after) if not_after else None},
            "attributes": dict(self.attributes),
            "issued_at": clock.rfc3339(self.issued_at),
            "signed_by": self.signed_by,
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
            issued_at=clock.parse(stored["issued_at"]),
            signed_by=tuple(stored["signed_by"]),
            checks=checks(stored["checks"]),
            warnings=tuple(stored["warnings"]),
        )


@dataclass(frozen=True)
class Held:
    """A flow that waits for its browser, and what it waits with."""

    flow: SignInFlow
    said: Said
    to_confirm: bool


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
_REQUEST_ID_WITHIN = re.compile(rb"\b" + _REQUEST_ID.pattern.encode() + rb"\b")
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
    bounced: str | None = None,
) -> SignInFlow:
    """A flow whose request goes out, or will when its browser comes for it (``browser_digest`` None). ``bounced``: the
    NameID of the response that it is sent instead of. Raises Conflict for the test of a draft, which has nowhere to
    send anybody."""
    if kind == TEST and idps.is_draft(provider):
        raise Conflict(
            "This connection is a draft: nothing is known of the identity provider yet. Give its metadata, then test.",
            code=Code.DRAFT_CONNECTION,
        )
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
        waiting=None if bounced is None else {"bounced": _sealed(bounced)},
        **caller.row,
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
            **caller.row,
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


def named_within(provider: IdentityProvider, document: bytes) -> SignInFlow | None:
    """The flow whose request stands somewhere in a document that is not verified: only the browser that began it, and
    the provider, can have written that there."""
    found = _REQUEST_ID_WITHIN.search(document)
    return named(provider, found.group().decode()) if found else None


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
        begun_since(clock.now() - BOUNCE_REST),
        SignInFlow.kind == IDP_INITIATED,
        SignInFlow.answered_at.is_null(),
    )
    return any(flow.waiting and _opened(flow.waiting["bounced"]) == name_id for flow in recent)


def begun_since(instant: datetime) -> Any:
    """The condition that a flow began then or later: perhaps a while after its row was made, and so its id, as a test
    that waits for its browser."""
    return (SignInFlow.id >= ids.earliest("flow", instant - REQUEST_LIFETIME)) & (SignInFlow.started_at >= instant)


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
        **caller.row,
    )
    _FLOWS.add(flow)
    return flow


def hold(provider: IdentityProvider, flow: SignInFlow, said: Said, *, to_confirm: bool = False) -> None:
    """Keep what the response said until its browser comes, in the caller's transaction; and what administrators are
    told if it never does. A message that was refused before it is not what the flow came to any more."""
    told = _told(provider, Ended(checks=said.checks, email=said.identity.email, name_id=said.identity.name_id))
    _HOLD.run(
        provider=provider.id,
        id=flow.id,
        waiting={"said": _sealed(json.dumps(said.stored())), "to_confirm": to_confirm},
        email=told.email,
        name_id=told.name_id,
        checks=_rows(told.checks),
        warnings=list(said.warnings) or None,
    )


def _holding() -> Any:
    given = {name: SignInFlow._meta.fields[name] for name in ("waiting", "email", "name_id", "checks", "warnings")}
    former = (
        SignInFlow.finished_at,
        SignInFlow.reason,
        SignInFlow.decision,
        SignInFlow.event_id,
        SignInFlow.attributes,
    )
    return SignInFlow.update(
        {column: parameter(name, column) for name, column in given.items()} | dict.fromkeys(former)
    ).where(SignInFlow.identity_provider == parameter("provider"), SignInFlow.id == parameter("id"))


_HOLD = Statement((), _holding)


def _sealed(text: str) -> str:
    """NameID and attributes are nobody's to read meanwhile, also where administrators are shown neither."""
    return keyring.seal(text, Purpose.SIGN_INS)


def _opened(sealed: str) -> str | None:
    """None where the operator has changed the SECRET_KEY since: then whoever waits starts again."""
    try:
        return keyring.unseal(sealed, Purpose.SIGN_INS)
    except WrongSecretKey:
        return None


def held(provider: IdentityProvider, flow_id: str, *, browsers: Iterable[str]) -> Held | None:
    """The flow that waits for one of these browsers, which all are the one that asks."""
    if not _FLOW_ID.fullmatch(flow_id):
        return None
    flow = SignInFlow.get_or_none(
        (SignInFlow.identity_provider == provider)
        & (SignInFlow.id == flow_id)
        & SignInFlow.browser_digest.in_(list(browsers))
        & SignInFlow.answered_at.is_null(False)
        & SignInFlow.waiting.is_null(False)
        & (SignInFlow.expires_at > clock.now())
    )
    if flow is None or (stored := _opened(flow.waiting["said"])) is None:
        return None
    return Held(flow, Said.read(json.loads(stored)), to_confirm=flow.waiting["to_confirm"])


def seen(provider: IdentityProvider, flow_id: str) -> SignInFlow | None:
    """The flow that has been answered, whether it waits or not."""
    if not _FLOW_ID.fullmatch(flow_id):
        return None
    return SignInFlow.get_or_none(
        (SignInFlow.identity_provider == provider) & (SignInFlow.id == flow_id) & SignInFlow.answered_at.is_null(False)
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
    values = {"provider": provider.id, "id": flow.id, **_ended(provider, ended)}
    statement.write("sign_in_flow", values, inserts=False)


def stray(
    provider: IdentityProvider, *, flow_id: str, kind: str, caller: Caller, ended: Ended, verified: bool = False
) -> None:
    """A refused message that belongs to no flow of ours is one of its own; in the caller's transaction. One that was
    ``verified`` has been used up, and counts as answered: what strangers send does not."""
    moment = clock.now()
    _FLOWS.insert(
        identity_provider=provider.id,
        id=flow_id,
        kind=kind,
        started_at=moment,
        expires_at=moment,
        answered_at=moment if verified else None,
        **caller.row,
        **_ended(provider, ended),
    )


def _ended(provider: IdentityProvider, ended: Ended) -> dict[str, Any]:
    told = _told(provider, ended)
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


def _told(provider: IdentityProvider, ended: Ended) -> Ended:
    return _redacted(ended) if provider.redact_sign_in_flows else ended


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
