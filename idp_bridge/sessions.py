"""Browser sessions: an opaque token in a cookie, its digest in a row, and which memberships it reaches.

A session that an identity provider opened reaches that provider's account alone. One opened with the person's own
password reaches every account in mixed mode that she is active in when she signs in. An account other than the one
signed in to sees nothing of it before it is used there. Each such reach is a row with the
membership's epoch as it was then; whatever ends sessions moves the epoch on, in the row that it changes anyway. A
session reaches a membership while the two are equal: so what was ended stays dead whatever comes after, and one that
was about to be opened in the same instant is dead at birth. No clock is compared and no lock is taken for that
(docs/decisions/0014).

What a provider opened that is not trusted with administrators reaches no administrator: that is looked at with each
use, since she may have become one, and the provider may have lost that trust, after it was opened.

Who may see and end the sessions of a member is in account_sessions.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import JOIN, SQL, Case, fn

from idp_bridge import clock, db, ids, plans, roles, sign_in_mode, tokens
from idp_bridge.errors import Forbidden
from idp_bridge.models import Account, IdentityProvider, Member, Person, Session, SessionReach
from idp_bridge.statement import Statement, Table, among, parameter

ABSOLUTE = timedelta(days=7)
IDLE = timedelta(hours=24)
SEEN_STEP = timedelta(minutes=1)  # how exactly the last use is kept: a write a minute, not one a request

PASSWORD = "password"  # noqa: S105 - the method whose sessions reach several accounts
LONGEST_USER_AGENT = 255


@dataclass(frozen=True)
class Came:
    """From where, and by which browser."""

    address: str | None
    user_agent: str = ""


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
    password_hash: str | None = None,
    address: str | None = None,
    user_agent: str = "",
) -> Opened:
    """Open a session for a member who has just proven who she is.

    ``method``: saml, password, recovery_code or break_glass. ``not_after``: the provider's SessionNotOnOrAfter. The
    five after it are the assertion's own words, by which either side names the session when it is to end.
    ``password_hash``: the one that her password was found right by. Raises Forbidden where she, or the way that she
    came, was shut while she came, or her password was changed.
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
        created_at=moment,
        seen_at=moment,
        expires_at=min(expires_at, not_after) if not_after else expires_at,
    )
    came_in = _COME_IN.one(member=member.id, now=moment)
    if came_in is None:
        raise Forbidden("Your membership was suspended or ended at this moment. Ask an administrator.")
    _TABLE.add(session)
    here = Came(address, user_agent)
    if method == PASSWORD:
        _reach_all(session, member, here, password_hash)
    elif identity_provider_id is None:
        _REACHES.insert(**_reach(session, member.id, came_in[0], here))
    elif _REACH_BY.one(provider=identity_provider_id, **_reach(session, member.id, came_in[0], here)) is None:
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


def _reach(session: Session, member_id: str, epoch: int, came: Came | None = None) -> dict[str, Any]:
    """``came``: where it is used there from now on."""
    reach = {"id": ids.new("sess"), "session": session.digest, "member": member_id, "epoch": epoch}
    return {**reach, **(_first_use(session.created_at, came) if came else {})}


def _first_use(moment: datetime, came: Came) -> dict[str, Any]:
    agent = came.user_agent[:LONGEST_USER_AGENT]
    return {"used_at": moment, "seen_at": moment, "address": came.address, "user_agent": agent}


def _reach_all(session: Session, member: Member, came: Came, password_hash: str | None) -> None:
    """A password's session reaches all of hers in mixed mode. Raises Forbidden where this one is not among them.

    It was found right before the transaction, since that is slow. Whoever changes it holds her memberships, one of
    which was just written here: so that change is seen now, or sees this session and ends it."""
    asked = {"person": member.person_id, "now": session.created_at}
    if password_hash is None:
        reached = _MIXED.rows(**asked)
    elif not (reached := _MIXED_BY_HASH.rows(**asked, password_hash=password_hash)) and _MIXED.rows(**asked):
        raise Forbidden("Your password was changed at this moment. Sign in with the new one.")
    if member.id not in {member_id for member_id, _ in reached}:
        raise Forbidden("This account takes single sign-on only. Choose your identity provider.")
    for member_id, epoch in reached:
        _REACHES.insert(**_reach(session, member_id, epoch, came if member_id == member.id else None))


def _mixed() -> Any:
    hers = (Member.person == parameter("person")) & Member.active
    reached = Member.select(Member.id, Member.session_epoch + Account.password_epoch).join(Account)
    return reached.where(hers, sign_in_mode.is_mixed(parameter("now", Account.enforced_until)))


def _mixed_by_hash() -> Any:
    known = Person.password_hash == parameter("password_hash")
    return _mixed().switch(Member).join(Person).where(known)


_MIXED = Statement((Member.id, SQL("")), _mixed)
_MIXED_BY_HASH = Statement((Member.id, SQL("")), _mixed_by_hash)


def _by_provider() -> Any:
    """While the provider is on, and it stays so until the session is there: whoever switches it off then ends this one
    too."""
    columns = [
        *(SessionReach.id, SessionReach.session, SessionReach.member, SessionReach.epoch),
        *(SessionReach.used_at, SessionReach.seen_at, SessionReach.address, SessionReach.user_agent),
    ]
    row = [parameter(column.name, column) for column in columns]
    on = IdentityProvider.select(*row).where(IdentityProvider.id == parameter("provider"), IdentityProvider.enabled)
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
        & _may_speak_for_her()
    )


_OPENED_BY: Any = IdentityProvider.alias("opened_by")


def _may_speak_for_her() -> Any:
    """Nobody is an administrator by the word of a provider that is not trusted with them."""
    everybody = Account.plan.in_(
        [name for name, plan in plans.PLANS.items() if plans.Feature.ROLES not in plan.features]
    )
    administrator = everybody | roles.holds_admin()
    return Session.identity_provider.is_null() | _OPENED_BY.trusted_with_administrators | ~administrator


def moments() -> dict[str, datetime]:
    """What a query of living sessions needs of the clock."""
    moment = clock.now()
    return {"now": moment, "idle_since": moment - IDLE}


def memberships(token: str) -> list[Member]:
    """The memberships that a session token reaches now, the account signed in to first; empty for a dead token.

    Each comes with its ``account``, and with the rows as ``member.session`` and ``member.reach``.
    """
    found = _REACHED.instances(digest=tokens.digest(token), **moments())
    for member, account, session, reach in found:
        member.account, member.session, member.reach = account, session, reach
    return sorted((member for member, *_ in found), key=_signed_in_first)


_REACHED_COLUMNS = (
    *(*Member._meta.sorted_fields, *Account._meta.sorted_fields),
    *(*Session._meta.sorted_fields, *SessionReach._meta.sorted_fields),
)


def _joined(*columns: Any, **moments: datetime) -> Any:
    joined = SessionReach.select(*columns).join(Session)
    joined = joined.join(_OPENED_BY, JOIN.LEFT_OUTER, on=(Session.identity_provider == _OPENED_BY.id))
    return joined.switch(SessionReach).join(Member).join(Account).where(_lives(**moments))


_REACHED = Statement(
    _REACHED_COLUMNS, lambda: _joined(*_REACHED_COLUMNS).where(SessionReach.session == parameter("digest"))
)


def _signed_in_first(member: Any) -> tuple[bool, str]:
    return (member.account_id != member.session.account_id, member.account.name)


def of_member(member: Member) -> list[SessionReach]:
    """The live sessions that reach this membership and were used there, newest first; each with its ``session``."""
    found = []
    for reach, session in _OF_MEMBER.instances(member=member.id, **moments()):
        reach.session, reach.member = session, member
        found.append(reach)
    return found


_OF_MEMBER_COLUMNS = (*SessionReach._meta.sorted_fields, *Session._meta.sorted_fields)
_OF_MEMBER = Statement(
    _OF_MEMBER_COLUMNS,
    lambda: (
        _joined(*_OF_MEMBER_COLUMNS)
        .where(SessionReach.member == parameter("member"), SessionReach.used_at.is_null(False))
        .order_by(SessionReach.id.desc())
    ),
)


def seen(member: Any) -> None:
    """Note a use of the session in this membership's account (see memberships)."""
    moment, session, reach = clock.now(), member.session, member.reach
    if moment - session.seen_at > SEEN_STEP:
        _TABLE.update(session.digest, seen_at=moment)
    if reach.seen_at is not None and moment - reach.seen_at > SEEN_STEP:
        _REACHES.update(reach.id, seen_at=moment)


def first_used(member: Any, came: Came) -> bool:
    """Whether the session is used in this membership's account for the first time, which is once whoever asks at the
    same moment. It is to her and to the account what a sign-in is, and all that they see of the session."""
    if member.reach.used_at is not None:
        return False
    moment = clock.now()
    if _FIRST_USE.one(id=member.reach.id, **_first_use(moment, came)) is None:
        return False
    return _COME_IN.one(member=member.id, now=moment) is not None


_FIRST_USE = Statement(
    (SessionReach.id,),
    lambda: (
        SessionReach.update(
            {
                column: parameter(column.name, column)
                for column in (
                    *(SessionReach.used_at, SessionReach.seen_at),
                    *(SessionReach.address, SessionReach.user_agent),
                )
            }
        )
        .where(SessionReach.id == parameter("id"), SessionReach.used_at.is_null())
        .returning(SessionReach.id)
    ),
)


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
        _go_on(keep, Member.id == member.id)


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
    """After what ended the sessions that reach this account, by one step of its epoch: the one that did it goes on, no
    longer than ``until``; unless it had been ended before that."""
    _go_on(session, Member.account == account)
    if until is not None:
        Session.update(expires_at=until).where(Session.digest == session.digest, Session.expires_at > until).execute()


def _go_on(session: Session, moved: Any) -> None:
    """At the memberships whose epoch was ``moved``, and nowhere else: another's one step is somebody else's doing."""
    now = Member.select(_epoch()).join(Session, on=(Session.person == Member.person)).switch(Member).join(Account)
    now = now.where(Session.digest == session.digest, Member.id == SessionReach.member)
    SessionReach.update(epoch=SessionReach.epoch + 1).where(
        SessionReach.session == session.digest,
        SessionReach.member.in_(Member.select(Member.id).where(moved)),
        SessionReach.epoch + 1 == now,
    ).execute()


def end_by_password(person_id: str, *, keep: Session | None = None) -> int:
    """The password is another one: end what the former one opened; how many sessions that were."""
    opened = (Session.person == person_id) & (Session.method == PASSWORD)
    if keep is not None:
        opened &= Session.digest != keep.digest
    return int(Session.delete().where(opened).execute())


def number_by_password(account: Account, *, besides: Session | None = None) -> int:
    """How many live sessions that a password opened are used in the account, ``besides`` this one: what enforcing
    ends, as far as the account may know of it."""
    used = SessionReach.used_at.is_null(False) & (Member.account == account)
    opened = _joined(SessionReach.session, **moments()).where(Session.method == PASSWORD, used)
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
