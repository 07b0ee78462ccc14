"""Browser sessions: an opaque token in a cookie, its digest in a row, and which memberships it reaches.

A session that an identity provider opened reaches that provider's account alone. One opened with the person's own
password reaches every account she is in that is in mixed mode. Whether a session still reaches a membership is decided
at each request by one query, so a suspension, a removal or a change of mode takes effect with the row that changes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import clock, tokens
from idp_bridge.models import Account, Member, Person, Session
from idp_bridge.statement import Statement, Table, among, parameter

ABSOLUTE = timedelta(days=7)
IDLE = timedelta(hours=24)
SEEN_STEP = timedelta(minutes=1)  # how exactly the last use is kept: a write a minute, not one a request


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
) -> Opened:
    """Open a session for a member who has just proven who she is.

    ``method``: saml, password, recovery_code or break_glass. ``not_after``: the provider's SessionNotOnOrAfter. The
    last five are the assertion's own words, by which either side names the session when it is to end.
    """
    token = tokens.new(tokens.Kind.SESSION)
    moment = clock.now()
    expires_at = moment + ABSOLUTE
    session = Session(
        digest=tokens.digest(token),
        person=member.person_id,
        account=member.account_id,
        reach=None if method == "password" else member.account_id,
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
    _TABLE.add(session)
    _MEMBERS.update(member.id, last_login_at=moment)
    return Opened(token, session)


_TABLE, _MEMBERS = Table(Session), Table(Member)


def memberships(token: str) -> list[Member]:
    """The memberships that a session token reaches now, the account signed in to first; empty for a dead token.

    Each comes with its ``account`` and with the row as ``member.session``.
    """
    moment = clock.now()
    found = _REACHED.instances(digest=tokens.digest(token), now=moment, idle_since=moment - IDLE)
    for member, account, session in found:
        member.account, member.session = account, session
    return sorted((member for member, _, _ in found), key=_signed_in_first)


_REACHED_COLUMNS = (*Member._meta.sorted_fields, *Account._meta.sorted_fields, *Session._meta.sorted_fields)


def _reached() -> Any:
    mixed = (Account.sso_mode == "mixed") & (
        Account.password_sessions_after.is_null() | (Account.password_sessions_after < Session.created_at)
    )
    return (
        Member.select(*_REACHED_COLUMNS)
        .join(Session, on=(Session.person == Member.person))
        .switch(Member)
        .join(Account)
        .where(
            Session.digest == parameter("digest"),
            Session.expires_at > parameter("now", Session.expires_at),
            Session.seen_at > parameter("idle_since", Session.seen_at),
            Member.active,
            Member.sessions_after < Session.created_at,
            Session.reach.is_null() | (Session.reach == Member.account),
            (Session.method != "password") | mixed,
        )
    )


_REACHED = Statement(_REACHED_COLUMNS, _reached)


def _signed_in_first(member: Any) -> tuple[bool, str]:
    return (member.account_id != member.session.account_id, member.account.name)


def seen(session: Session) -> None:
    """Note a use of the session."""
    moment = clock.now()
    if moment - session.seen_at > SEEN_STEP:
        _TABLE.update(session.digest, seen_at=moment)


def end(session: Session) -> None:
    """Sign out: this session is gone."""
    Session.delete().where(Session.digest == session.digest).execute()


def end_found(found: Iterable[tuple[str, str | None]]) -> None:
    """Delete those of these sessions, each a digest and its reach, that reach one account only."""
    only_here = [digest for digest, reach in found if reach is not None]
    if only_here:
        _END.run(digests=only_here)


def reaching(*columns: Any) -> Any:
    """The query of the sessions that reach a membership; its parameters are ``person``, ``account`` and ``now``."""
    return Session.select(*columns).where(
        Session.person == parameter("person"),
        Session.expires_at > parameter("now", Session.expires_at),
        Session.reach.is_null() | (Session.reach == parameter("account")),
    )


_END = Statement((), lambda: Session.delete().where(among(Session.digest, "digests")))


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


def of_person(person: Person, account: Account) -> list[Session]:
    """The live sessions of a person that reach an account, newest first."""
    return list(
        Session.select()
        .where(
            Session.person == person,
            Session.expires_at > clock.now(),
            Session.reach.is_null() | (Session.reach == account),
        )
        .order_by(Session.created_at.desc())
    )
