"""Sessions: where one is signed in oneself, and signing a member out of the account."""

from typing import Any

from flask import g

from idp_bridge import account_sessions, members
from idp_bridge.models import Member
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard import table
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.table import Column, Listing, Table
from idp_bridge.web.guard import actor, guard, member_actor, require, signed_in

SESSIONS = Table(
    "dashboard.sessions",
    "session",
    (
        Column("browser", "Browser"),
        Column("by", "Came by"),
        Column("from", "From"),
        Column("since", "Signed in"),
        Column("seen", "Last seen"),
        Column("ends", "Ends"),
        Column("do", "Action", hidden=True),
    ),
    prefix="sessions_",
)


def listing(member: Member) -> Listing:
    """Where she is signed in."""
    return table.whole(SESSIONS.asked(), account_sessions.of_member(member))


@blueprint.get("/sessions", endpoint="sessions")
@guard()
def own_sessions() -> Any:
    """Yours: every browser in which you are signed in to this account."""
    return render("sessions.html", member=g.member, sessions=listing(g.member), ends=account_sessions.ends_at)


@blueprint.post("/sessions/end-others")
@refused_on(own_sessions)
@guard()
def end_other_sessions() -> Any:
    """Sign out everywhere else, in each account that this session reaches."""
    reached: list[Member] = signed_in()
    for member in reached:
        acting = member_actor(member, source="dashboard")
        account_sessions.end_everywhere(acting, member, keep=g.session)
    return done("You are signed out everywhere else.", "sessions")


@blueprint.post("/members/<member_id>/sessions/end")
@guard()
def end_sessions(member_id: str) -> Any:
    """Sign a member out of the account everywhere; the session that asks goes on."""
    member = _member(member_id)
    number = account_sessions.end_everywhere(actor(), member, keep=g.session)
    return done(f"{member.email} is signed out: {number} session{'' if number == 1 else 's'} ended.", **_back(member))


@blueprint.post("/members/<member_id>/sessions/<session_id>/end")
@guard()
def end_session(member_id: str, session_id: str) -> Any:
    """Sign a member out of the account in one browser."""
    member = _member(member_id)
    account_sessions.end(actor(), member, account_sessions.get(member, session_id))
    return done("That session is ended.", **_back(member))


def _member(member_id: str) -> Member:
    if member_id != actor().id:
        require(Permission.MEMBERS_WRITE)
    return members.get(actor().account, member_id)


def _back(member: Member) -> dict[str, Any]:
    """To the page that the form was on: one's own sessions, or the member's."""
    if member.id == actor().id:
        return {"endpoint": "sessions"}
    return {"endpoint": "member", "member_id": member.id}
