"""The sessions of members as their account sees and ends them.

An account sees of a session that it reaches one of its members, from its first use there on, and ends that reach
alone: where a password's session reaches other accounts too, it goes on there, and whoever sees or ends it here learns
nothing of them: not when and from where it was opened, nor that it was opened elsewhere.
"""

from datetime import datetime

from idp_bridge import events, sessions
from idp_bridge.actors import Actor
from idp_bridge.errors import NotFound
from idp_bridge.events import Type
from idp_bridge.member_roles import check_touch
from idp_bridge.models import Member, Session, SessionReach


def of_member(member: Member) -> list[SessionReach]:
    """Her live sessions, newest first; each with its ``session``."""
    return sessions.of_member(member)


def get(member: Member, reach_id: str) -> SessionReach:
    """One of them. Raises NotFound."""
    for reach in sessions.of_member(member):
        if reach.id == reach_id:
            return reach
    raise NotFound(f"{member.email} has no live session {reach_id} here.")


def ends_at(reach: SessionReach) -> datetime:
    """When it ends at the latest. Of one that was opened in another account, exactly would be when it was opened."""
    session: Session = reach.session
    if session.account_id == reach.member.account_id:
        return session.expires_at
    return reach.used_at + sessions.ABSOLUTE


def end(actor: Actor, member: Member, reach: SessionReach) -> None:
    """This one reaches her membership no more. Raises Forbidden."""
    _check(actor, member)
    sessions.end_reach(reach)
    told = {"id": member.id, "reason": "ended", "sessions_ended": 1, "session_id": reach.id}
    events.record(actor, Type.SESSION_ENDED, told)


def end_everywhere(actor: Actor, member: Member, *, keep: Session | None = None) -> int:
    """Sign her out of this account in every browser, but for ``keep``; how many sessions that ended. Also what is being
    opened at this moment is dead. Raises Forbidden."""
    _check(actor, member)
    kept = keep.digest if keep is not None else None
    ended = [reach.session_id for reach in sessions.of_member(member) if reach.session_id != kept]
    sessions.end_all(member, keep=keep)
    sessions.end_reaching(member.id, ended)
    facts = {"id": member.id, "reason": "everywhere", "sessions_ended": len(ended)}
    events.record(actor, Type.SESSION_ENDED, facts)
    return len(ended)


def _check(actor: Actor, member: Member) -> None:
    """Everybody ends her own; only administrators end administrators'."""
    if actor.id != member.id:
        check_touch(actor, member)
