"""The list of team members: found by how a name or an address begins, narrowed, sorted, downloaded, and dealt with
several at a time; beside it the pending invitations (invitations.py)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import url_for

from idp_bridge import bots, idps, invitations, member_lifecycle, member_roles, members, seats
from idp_bridge.models import Account, Invitation, Member, SessionReach
from idp_bridge.roles import Permission
from idp_bridge.text import fold
from idp_bridge.web.dashboard import bulk, table
from idp_bridge.web.dashboard.bulk import Outcome, Several, Verb
from idp_bridge.web.dashboard.members import grantable, ways_of
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.table import Asked, Column, Filter, Key, Step, Steps, Table
from idp_bridge.web.guard import actor, base_url, guard

#: The filter of the list, and what it is called.
STATES: dict[str, str] = {
    "": "Everybody",
    members.State.ACTIVE: "Active",
    members.State.SUSPENDED: "Suspended",
    members.State.DEPROVISIONED: "Deleted by a directory",
}
SOURCES = {"": "Any way", "scim": "SCIM", "jit": "Just-in-time", "invite": "Invitation", "local": "Made here"}

MEMBERS = Table(
    "dashboard.members",
    "member",
    (
        Column("name", "Name", (Member.name_key, Member.id)),
        Column("email", "Address", (Member.email_key, Member.id)),
        Column("roles", "Roles"),
        Column("source", "Came by, comes in by"),
        Column("state", "State"),
        Column("seen", "Last seen"),
    ),
    (
        Filter("q", "Search by name or address", type="search", placeholder="ana…, usr_…"),
        Filter("state", "State", STATES),
        Filter("source", "Came by", SOURCES),
    ),
    export="dashboard.export_members",
    hint="The search finds how a name or an address begins, whatever its case, and an id.",
)

INVITATIONS = Table(
    "dashboard.members",
    "invitation",
    (
        Column("email", "Address", (Invitation.email_key, Invitation.id)),
        Column("roles", "Roles"),
        Column("by", "Invited by"),
        Column("ends", "Ends"),
        Column("do", "Action", hidden=True),
    ),
    (Filter("q", "Search by address", type="search", placeholder="gil…"),),
    export="dashboard.export_invitations",
    prefix="invitations_",
)


@blueprint.get("/members", endpoint="members")
@guard(Permission.MEMBERS_READ)
def members_list() -> Any:
    """The list of the account's members, and its pending invitations."""
    return list_page()


def list_page(*, invited: Sequence[invitations.Sent] = ()) -> Any:
    """The list; with the links of those who have just been invited, where nothing was mailed."""
    account, asked = actor().account, MEMBERS.asked()
    listing = table.page(asked, _steps(account, asked), by_match="q" in asked.wanted)
    pending = table.page(INVITATIONS.asked(), pending_steps(account, INVITATIONS.asked()))
    shown = listing.rows
    return render(
        "members.html",
        status=201 if invited else 200,
        members=listing,
        sources=member_roles.role_sources(account, shown),
        ways=ways_of(shown),
        seen=_last_seen(shown),
        not_counted=not_counted(account),
        providers=_provider_names(account),
        invitations=pending,
        lapsed=invitations.lapsed(account, pending.rows),
        mails=invitations.mails(pending.rows),
        invited=invited,
        base_url=base_url(),
        seats=seats.count(account),
        role_names=grantable(),
    )


@blueprint.get("/members.csv")
@guard(Permission.MEMBERS_READ)
def export_members() -> Any:
    """All members that the filter leaves, in the order that was chosen."""
    account, asked = actor().account, MEMBERS.asked()
    providers = _provider_names(account)

    def cells(rows: list[Member]) -> Iterator[Sequence[Any]]:
        held = member_roles.role_sources(account, rows)
        for row in rows:
            roles = sorted({source.role for source in held[row.id]})
            came_by = (row.managed_by, providers.get(row.identity_provider_id or ""))
            yield (row.id, row.name, row.email, roles, *came_by, _state(row), row.last_login_at, row.created_at)

    head = ("id", "name", "email", "roles", "managed_by", "identity_provider", "state", "last_login_at", "created_at")
    return table.download(f"members-{account.slug}", head, _steps(account, asked), cells)


def _steps(account: Account, asked: Asked) -> Steps:
    """The members who are asked for. What is typed is found at the beginning of a name or an address, each by its
    index; or it is an id."""
    text, source = asked.wanted.get("q", ""), asked.wanted.get("source")
    state = asked.wanted.get("state")
    found, sparse = members.listed(account, members.State(state) if state else None)
    sparse = [*sparse, *([Member.managed_by == source] if source else [])]
    by, descending = asked.column.by, asked.descending
    if text.startswith("usr_"):
        found = found.where(Member.id == text)
    elif text:
        return lambda after, limit: _matching(found, text, after, limit, sparse)
    return lambda after, limit: table.step(found, by, after=after, limit=limit, descending=descending, sparse=sparse)


def _matching(found: Any, text: str, after: Key | None, limit: int, sparse: Sequence[Any]) -> Step:
    """By what matched, in its order; whoever matches by name and by address comes once, where she comes first."""
    keys, within = (Member.name_key, Member.email_key), members.beginning(text)
    parts = [
        table.step(found, (key, Member.id), after=after, limit=limit, within=within, sparse=sparse) for key in keys
    ]
    step, begins = table.merged(parts, limit), fold(text)
    first = {row.id: min(k for k in (row.name_key, row.email_key) if k.startswith(begins)) for row in step.rows}
    once = {key: row for key, row in step.entries if key[0] == first[row.id]}
    return Step(list(once.items()), step.following)


def pending_steps(account: Account, asked: Asked) -> Steps:
    """The invitations that can still be accepted."""
    found = Invitation.select().where(Invitation.account == account, Invitation.accepted_at.is_null())
    by, descending = asked.column.by, asked.descending
    within = members.beginning(asked.wanted["q"]) if "q" in asked.wanted else None
    live = [invitations.not_expired()]
    return lambda after, limit: table.step(
        found, by, after=after, limit=limit, descending=descending, within=within, sparse=live
    )


def _last_seen(shown: Sequence[Member]) -> dict[str, datetime | None]:
    """When a session of each was last used here; else when she last signed in."""
    found = {member.id: member.last_login_at for member in shown}
    reaching: Any = SessionReach.select(SessionReach.member, SessionReach.seen_at)
    used = SessionReach.member.in_(list(found)) & SessionReach.used_at.is_null(False)
    for id, moment in reaching.where(used).tuples():
        found[id] = max(moment, found[id] or moment)
    return found


def not_counted(account: Account) -> dict[str, str]:
    """Who takes no seat, and how many of them there are."""
    return {
        "suspended": table.counted(members.search(account, state=members.State.SUSPENDED)),
        "bots": table.counted(bots.of_account(account)),
    }


def _provider_names(account: Account) -> dict[str, str]:
    return {provider.id: provider.name for provider in idps.of_account(account)}


def _state(member: Member) -> str:
    if member.active:
        return "active"
    if member.removed_at is not None:
        return "deprovisioned"
    return "suspended" if member.held else "inactive by the directory"


@blueprint.post("/members/<member_id>/restore")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def restore(member_id: str) -> Any:
    """Undo a directory's DELETE."""
    found = members.deprovisioned(actor().account, member_id)
    member_lifecycle.restore(actor(), found)
    return done(f"{found.email} is a member again.", "member", member_id=member_id)


# --- several at a time ------------------------------------------------------------------------------------------


@blueprint.post("/members/bulk")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def change_members() -> Any:
    """Suspend, reactivate or remove those that were ticked."""
    return bulk.answer(
        Several(
            "member",
            "ticked",
            url_for("dashboard.change_members"),
            url_for("dashboard.members"),
            MEMBERS.id,
            {
                "suspend": Verb("Suspend", _each(_suspend)),
                "reactivate": Verb("Reactivate", _each(_reactivate)),
                "remove": Verb(
                    "Remove",
                    _each(_remove),
                    "Their sessions end, and the credentials that they own here are deleted for good. "
                    "Programs that use them stop; a bot user would go on.",
                ),
            },
            _addresses,
        )
    )


def _addresses(ids: Sequence[str]) -> Mapping[str, str]:
    rows: Any = Member.select(Member.id, Member.email)
    return dict(rows.where(Member.account == actor().account, Member.id.in_(list(ids))).tuples())


def _each(change: Callable[[Member], str]) -> Callable[[str], Outcome]:
    def work(id: str) -> Outcome:
        member = members.get(actor().account, id)
        if id == actor().id:
            return Outcome(member.email, "That is you. Do it on your own page, where you see what it does.", good=False)
        return Outcome(member.email, change(member))

    return work


def _suspend(member: Member) -> str:
    if member.held:
        return "was suspended already"
    member_lifecycle.suspend(actor(), member)
    return "is suspended"


def _reactivate(member: Member) -> str:
    if member.active:
        return "was active already"
    member_lifecycle.unsuspend(actor(), member)
    return "is active again" if member.active else "is not suspended by hand any more, and inactive by the directory"


def _remove(member: Member) -> str:
    member_lifecycle.remove(actor(), member)
    return "is removed"
