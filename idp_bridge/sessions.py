"""Browser sessions: an opaque token in a cookie, its digest in a row, and which memberships it reaches.

A session that an identity provider opened reaches that provider's account alone. One opened with the person's own
password reaches every account in mixed mode that she is active in when she signs in. Each such reach is a row with the
membership's epoch as it was then; whatever ends sessions moves the epoch on, in the row that it changes anyway. A
session reaches a membership while the two are equal: so what was ended stays dead whatever comes after, and one that
was about to be opened in the same instant is dead at birth. No clock is compared and no lock is taken for that
(docs/decisions/0014).

Who may see and end the sessions of a member is in account_sessions.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import SQL, Case, fn

from idp_bridge import clock, db, ids, sign_in_mode, tokens
from idp_bridge.errors import Forbidden
from idp_bridge.models import Account, IdentityProvider, Member, Session, SessionReach
from idp_bridge.statement import Statement, Table, among, parameter

ABSOLUTE = timedelta(days=7)
IDLE = timedelta(hours=24)
SEEN_STEP = timedelta(minutes=1)  # how exactly the last use is kept: a write a minute, not one a request

PASSWORD = "password"  # noqa: S105 - the method whose sessions reach several accounts
LONGEST_USER_AGENT = 255


@dataclass(frozen=True)
class Opened:
    """A new session: ``token`` goes into the cookie and nowhere else."""

    token: str
    session: Session


def open_session(
    member: Member,
    *,
    method: str,
    identity_provider_id: str | None = None,
    not_after: datetime | None = None,
    name_id: str | None = None,
    name_id_format: str | None = None,
    name_qualifier: str | None = None,
    sp_name_qualifier: str | None = None,
    session_index: str | None = None,
    address: str | None = None,
    user_agent: str = "",
) -> Opened:
    """Open a session for a member who has just proven who she is.

    ``method``: saml, password, recovery_code or break_glass. ``not_after``: the provider's SessionNotOnOrAfter. The
    five after it are the assertion's own words, by which either side names the session when it is to end. Raises
    Forbidden where she, or the way that she came, was shut while she came.
    """
    token = tokens.new(tokens.Kind.SESSION)
    moment = clock.now()
    expires_at = moment + ABSOLUTE
    session = Session(
        digest=tokens.digest(token),
        person=member.person_id,
        account=member.account_id,
        identity_provider=identity_provider_id,
        method=method,
        session_index=session_index,
        name_id=name_id,
        name_id_format=name_id_format,
        name_qualifier=name_qualifier,
        sp_name_qualifier=sp_name_qualifier,
        address=address,
        user_agent=user_agent[:LONGEST_USER_AGENT],
        created_at=moment,
        seen_at=moment,
        expires_at=min(expires_at, not_after) if not_after else expires_at,
    )
    came_in = _COME_IN.one(member=member.id, now=moment)
    if came_in is None:
        raise Forbidden("Your membership was suspended or ended at this moment. Ask an administrator.")
    _TABLE.add(session)
    if method == PASSWORD:
        _reach_all(session, member)
    elif identity_provider_id is None:
        _REACHES.insert(**_reach(session, member.id, came_in[0]))
    elif _REACH_BY.one(provider=identity_provider_id, **_reach(session, member.id, came_in[0])) is None:
        raise Forbidden("This identity provider was switched off at this moment. Ask an administrator.")
    return Opened(token, session)


_TABLE, _REACHES = Table(Session), Table(SessionReach)


# One statement says that she is active and at which epoch. A suspension that has not ended yet is waited for; one that
# comes later moves on from the epoch that was read.
_COME_IN = Statement(
    (Member.session_epoch,),
    lambda: (
        Member.update(last_login_at=parameter("now", Member.last_login_at))
        .where(Member.id == parameter("member"), Member.active)
        .returning(Member.session_epoch)
    ),
)


def _reach(session: Session, member_id: str, epoch: int) -> dict[str, Any]:
    return {"id": ids.new("sess"), "session": session.digest, "member": member_id, "epoch": epoch}


def _reach_all(session: Session, member: Member) -> None:
    """A password's session reaches all of hers in mixed mode. Raises Forbidden where this one is not among them."""
    reached = _MIXED.rows(person=member.person_id, now=session.created_at)
    if member.id not in {member_id for member_id, _ in reached}:
        raise Forbidden("This account takes single sign-on only. Choose your identity provider.")
    for member_id, epoch in reached:
        _REACHES.insert(**_reach(session, member_id, epoch))


_MIXED = Statement(
    (Member.id, SQL("")),
    lambda: (
        Member.select(Member.id, Member.session_epoch + Account.password_epoch)
        .join(Account)
        .where(
            Member.person == parameter("person"),
            Member.active,
            sign_in_mode.is_mixed(parameter("now", Account.enforced_until)),
        )
    ),
)


def _by_provider() -> Any:
    """While the provider is on, and it stays so until the session is there: whoever switches it off then ends this one
    too."""
    row = [parameter(name) for name in ("id", "session", "member", "epoch")]
    on = IdentityProvider.select(*row).where(IdentityProvider.id == parameter("provider"), IdentityProvider.enabled)
    columns = [SessionReach.id, SessionReach.session, SessionReach.member, SessionReach.epoch]
    return SessionReach.insert_from(db.shared(on), columns).returning(SessionReach.id)


_REACH_BY = Statement((SessionReach.id,), _by_provider)


def _epoch() -> Any:
    """What a reach's epoch must be to count. Both numbers only grow, so their sum stands still only while both do."""
    return Member.session_epoch + Case(None, ((Session.method == PASSWORD, Account.password_epoch),), 0)


def _lives(now: Any = None, idle_since: Any = None) -> Any:
    """The condition on a reach to count at that moment, which is the statement's own where none is given."""
    return (
        (Session.expires_at > (now or parameter("now", Session.expires_at)))
        & (Session.seen_at > (idle_since or parameter("idle_since", Session.seen_at)))
        & (SessionReach.epoch == _epoch())
        & (Session.person == Member.person)
        & Member.active
    )


def moments() -> dict[str, datetime]:
    """What a query of living sessions needs of the clock."""
    moment = clock.now()
    return {"now": moment, "idle_since": moment - IDLE}


def memberships(token: str) -> list[Member]:
    """The memberships that a session token reaches now, the account signed in to first; empty for a dead token.

    Each comes with its ``account`` and with the row as ``member.session``.
    """
    found = _REACHED.instances(digest=tokens.digest(token), **moments())
    for member, account, session in found:
        member.account, member.session = account, session
    return sorted((member for member, _, _ in found), key=_signed_in_first)


_REACHED_COLUMNS = (*Member._meta.sorted_fields, *Account._meta.sorted_fields, *Session._meta.sorted_fields)


def _joined(*columns: Any, **moments: datetime) -> Any:
    joined = SessionReach.select(*columns).join(Session).switch(SessionReach).join(Member).join(Account)
    return joined.where(_lives(**moments))


_REACHED = Statement(
    _REACHED_COLUMNS, lambda: _joined(*_REACHED_COLUMNS).where(SessionReach.session == parameter("digest"))
)


def _signed_in_first(member: Any) -> tuple[bool, str]:
    return (member.account_id != member.session.account_id, member.account.name)


def of_member(member: Member) -> list[SessionReach]:
    """The live sessions that reach this membership, newest first; each with its ``session``."""
    found = []
    for reach, session in _OF_MEMBER.instances(member=member.id, **moments()):
        reach.session = session
        found.append(reach)
    return found


_OF_MEMBER_COLUMNS = (*SessionReach._meta.sorted_fields, *Session._meta.sorted_fields)
_OF_MEMBER = Statement(
    _OF_MEMBER_COLUMNS,
    lambda: (
        _joined(*_OF_MEMBER_COLUMNS).where(SessionReach.member == parameter("member")).order_by(SessionReach.id.desc())
    ),
)


def seen(session: Session) -> None:
    """Note a use of the session."""
    moment = clock.now()
    if moment - session.seen_at > SEEN_STEP:
        _TABLE.update(session.digest, seen_at=moment)


def end(session: Session) -> None:
    """Sign out: this session is gone."""
    Session.delete().where(Session.digest == session.digest).execute()


def end_reach(reach: SessionReach) -> None:
    """The session does not reach this membership any more; where that was all it reached, it is gone."""
    SessionReach.delete().where(SessionReach.id == reach.id).execute()
    end_reaching(reach.member_id, [reach.session_id])


def end_all(member: Member, *, keep: Session | None = None) -> None:
    """No session that was opened before reaches this membership any more, but for ``keep``."""
    Member.update(session_epoch=Member.session_epoch + 1).where(Member.id == member.id).execute()
    if keep is not None:
        go_on(keep, member.account)


def end_reaching(member_id: str, digests: Iterable[str]) -> None:
    """After the membership's epoch has moved on: delete those of these sessions that reach nothing else."""
    found = list(digests)
    if found:
        _END.run(digests=found, member=member_id)


def _ending() -> Any:
    elsewhere = SessionReach.select(SQL("1")).where(
        SessionReach.session == Session.digest, SessionReach.member != parameter("member")
    )
    return Session.delete().where(among(Session.digest, "digests"), ~fn.EXISTS(elsewhere))


_END = Statement((), _ending)


def reaching(*columns: Any) -> Any:
    """The query of the sessions that reach a membership; its parameters are ``member``, ``now`` and ``idle_since``."""
    return _joined(*columns).where(SessionReach.member == parameter("member"))


def go_on(session: Session, account: Account, *, until: datetime | None = None) -> None:
    """After what ended the sessions that reach this account, by one step of an epoch: the one that did it goes on, no
    longer than ``until``; unless it had been ended before that."""
    now = Member.select(_epoch()).join(Session, on=(Session.person == Member.person)).switch(Member).join(Account)
    now = now.where(Session.digest == session.digest, Member.id == SessionReach.member)
    here = Member.select(Member.id).where(Member.account == account)
    SessionReach.update(epoch=SessionReach.epoch + 1).where(
        SessionReach.session == session.digest, SessionReach.member.in_(here), SessionReach.epoch + 1 == now
    ).execute()
    if until is not None:
        Session.update(expires_at=until).where(Session.digest == session.digest, Session.expires_at > until).execute()


def end_by_password(person_id: str, *, keep: Session | None = None) -> int:
    """The password is another one: end what the former one opened; how many sessions that were."""
    opened = (Session.person == person_id) & (Session.method == PASSWORD)
    if keep is not None:
        opened &= Session.digest != keep.digest
    return int(Session.delete().where(opened).execute())


def number_by_password(account: Account, *, besides: Session | None = None) -> int:
    """How many live sessions that a password opened reach the account, ``besides`` this one: what enforcing ends."""
    opened = _joined(SessionReach.session, **moments()).where(Session.method == PASSWORD, Member.account == account)
    return int((opened if besides is None else opened.where(Session.digest != besides.digest)).count())


def end_all_by(identity_provider_id: str) -> int:
    """End what this provider opened; how many sessions that were."""
    return Session.delete().where(Session.identity_provider == identity_provider_id).execute()


def end_named(
    identity_provider_id: str, *, name_id: str, name_id_format: str | None = None, session_indexes: Sequence[str] = ()
) -> list[Member]:
    """End what this provider opened for this NameID; the members whose sessions those were, one for each session.

    ``name_id_format`` None: of any format. ``session_indexes``: only these, and those that have none; empty: all.
    """
    named = (Session.identity_provider == identity_provider_id) & (Session.name_id == name_id)
    if name_id_format is not None:
        named &= Session.name_id_format.is_null() | (Session.name_id_format == name_id_format)
    if session_indexes:
        named &= Session.session_index.is_null() | Session.session_index.in_(session_indexes)
    theirs = (Session.person == Member.person) & (Session.account == Member.account)
    alive = Session.expires_at > clock.now()
    ended = list(Member.select(Member).join(Session, on=theirs).where(named, alive))
    Session.delete().where(named).execute()
    return ended


def clean_up() -> int:
    """Forget sessions that are over; how many."""
    moment = clock.now()
    over = (Session.expires_at <= moment) | (Session.seen_at <= moment - IDLE)
    return int(Session.delete().where(over).execute())
