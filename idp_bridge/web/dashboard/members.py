"""Team members: who is in the account, why they may do what they may, and inviting more."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from flask import request
from peewee import fn

from idp_bridge import (
    account_sessions,
    bots,
    grants,
    identity_links,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    password_changes,
    people,
    roles,
    seats,
)
from idp_bridge.db import column
from idp_bridge.errors import Invalid
from idp_bridge.models import (
    Account,
    Credential,
    IdentityLink,
    IdentityProvider,
    Invitation,
    Member,
    Person,
    Role,
    SessionReach,
)
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, base_url, guard

PAGE = 50

#: The filter of the list, and what it is called.
STATES: dict[str, str] = {
    "": "Everybody",
    members.State.ACTIVE: "Active",
    members.State.SUSPENDED: "Suspended",
    members.State.DEPROVISIONED: "Deleted by a directory",
}


class RolesForm(forms.Form):
    """The roles of a member."""

    roles = forms.Several()


class ConfirmForm(forms.Form):
    """What is typed to show that a removal is meant."""

    confirm = forms.Text(load_default="")


class NameForm(forms.Form):
    """What a member is called."""

    name = forms.Text(required=True)


def role_names(account: Account) -> list[str]:
    """The roles of this account: the built-in ones, then its own."""
    return [*roles.BUILT_IN, *column(Role.select(Role.name).where(Role.account == account).order_by(Role.name))]


def grantable(*, held: Iterable[str] = ()) -> list[str]:
    """The roles that a form offers the actor: those that she may give, and those that are held."""
    names = role_names(actor().account)
    offered = {*grants.open_to(actor(), names), *held}
    return [name for name in names if name in offered]


@blueprint.get("/members", endpoint="members")
@guard(Permission.MEMBERS_READ)
def members_list() -> Any:
    """The list of the account's members, and its pending invitations."""
    return list_page()


def list_page(*, invited: Sequence[invitations.Sent] = ()) -> Any:
    """The list; with the links of those who have just been invited, where nothing was mailed."""
    account = actor().account
    found = _search(account)
    total = found.count()
    number = min(max(request.args.get("page", 1, type=int), 1), max(-(-total // PAGE), 1))
    shown = list(found.order_by(fn.LOWER(Member.name), Member.email_key, Member.id).paginate(number, PAGE))
    return render(
        "members.html",
        status=201 if invited else 200,
        members=shown,
        sources=member_roles.role_sources(account, shown),
        ways=_ways(shown),
        seen=_last_seen(shown),
        not_counted=_not_counted(account),
        providers=_provider_names(account),
        total=total,
        number=number,
        pages=max(-(-total // PAGE), 1),
        states=STATES,
        **_invitations(account),
        invited=invited,
        base_url=base_url(),
        seats=seats.count(account),
        role_names=grantable(),
    )


def _invitations(account: Account) -> dict[str, Any]:
    """A page of the pending ones, the newest first."""
    pending = invitations.pending(account)
    total = pending.count()
    pages = max(-(-total // PAGE), 1)
    number = min(max(request.args.get("invitations", 1, type=int), 1), pages)
    shown = list(pending.order_by(Invitation.id.desc()).paginate(number, PAGE))
    return {
        "invitations": shown,
        "lapsed": invitations.lapsed(account, shown),
        "mails": invitations.mails(shown),
        "invitations_at": {"number": number, "pages": pages, "total": total},
    }


def _search(account: Account) -> Any:
    asked = request.args.get("state", "")
    state = members.State(asked) if asked and asked in STATES else None
    return members.search(account, text=request.args.get("q", "").strip(), state=state)


def _ways(shown: Sequence[Member]) -> dict[str, list[str]]:
    """How each member comes in: by her password, and by which providers, the one that manages her before she ever came.
    Two statements however many members."""
    ids = [member.id for member in shown]
    with_password = Member.select(Member.id).join(Person)
    by_password = set(column(with_password.where(Member.id.in_(ids), Person.password_hash.is_null(False))))
    linked: Any = IdentityLink.select(IdentityLink.member).where(IdentityLink.member == Member.id)
    by_provider: Any = (
        Member.select(Member.id, IdentityProvider.name)
        .join(
            IdentityProvider,
            on=(IdentityProvider.id == Member.identity_provider)
            | fn.EXISTS(linked.where(IdentityLink.identity_provider == IdentityProvider.id)),
        )
        .where(Member.id.in_(ids), IdentityProvider.enabled)
    )
    found = {id: ["Password"] if id in by_password else [] for id in ids}
    for id, name in by_provider.order_by(IdentityProvider.name).tuples():
        found[id].append(name)
    return found


def _last_seen(shown: Sequence[Member]) -> dict[str, datetime | None]:
    """When a session of each was last used here; else when she last signed in."""
    found = {member.id: member.last_login_at for member in shown}
    reaching: Any = SessionReach.select(SessionReach.member, SessionReach.seen_at)
    used = SessionReach.member.in_(list(found)) & SessionReach.used_at.is_null(False)
    for id, moment in reaching.where(used).tuples():
        found[id] = max(moment, found[id] or moment)
    return found


def _not_counted(account: Account) -> dict[str, int]:
    """Who takes no seat."""
    return {
        "suspended": members.search(account, state=members.State.SUSPENDED).count(),
        "bots": bots.of_account(account).count(),
    }


def _provider_names(account: Account) -> dict[str, str]:
    return {provider.id: provider.name for provider in idps.of_account(account)}


@blueprint.get("/members/<member_id>")
@guard(Permission.MEMBERS_READ)
def member(member_id: str) -> Any:
    """One member: her roles with the reason for each, her state, her sessions."""
    return _member_page(members.get(actor().account, member_id))


def _member_page(found: Member, *, password_link: str | None = None) -> Any:
    account = actor().account
    explained = member_roles.explain(account, found)
    may_touch = actor().administrator or roles.ADMIN not in explained.allowed
    provider = found.identity_provider_id and IdentityProvider.get_by_id(found.identity_provider_id)
    return render(
        "member.html",
        status=201 if password_link else 200,
        member=found,
        explained=explained,
        losses=_losses(explained),
        provider=provider or None,
        may_touch=may_touch,
        name_owner=members.name_owner(found),
        role_names=grantable(held=explained.allowed),
        sessions=account_sessions.of_member(found),
        ends=account_sessions.ends_at,
        owned=Credential.select().where(Credential.member == found).count(),
        ways=_ways([found])[found.id],
        links=list(identity_links.of_member(found)),
        may_set_up=actor().administrator and password_changes.may_setup(account, found),
        password_link=password_link,
        password_link_days=people.LIFETIME[people.PASSWORD_SETUP].days,
    )


def _losses(explained: member_roles.Explanation) -> list[tuple[str, member_roles.Loss]]:
    """What she would lose without each group that gives her a role, and without each mapping."""
    groups = {one.group_id: one.group_display_name for one in explained.sources if one.group_id}
    mappings = {one.mapping_id: one for one in explained.sources if one.mapping_id}
    return [
        *((f"the group {name}", explained.without(group_id=id)) for id, name in groups.items()),
        *(
            (f"the mapping of {one.group_display_name} to {one.role}", explained.without(mapping_id=id))
            for id, one in mappings.items()
        ),
    ]


@blueprint.post("/members/<member_id>/password-link")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def make_password_link(member_id: str) -> Any:
    """A link by which a member without a password sets one; shown once."""
    found = members.get(actor().account, member_id)
    link = password_changes.setup_link(actor(), found)
    return _member_page(found, password_link=f"{base_url()}/login/password/{link}")


@blueprint.post("/members/<member_id>/restore")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def restore(member_id: str) -> Any:
    """Undo a directory's DELETE."""
    found = members.deprovisioned(actor().account, member_id)
    member_lifecycle.restore(actor(), found)
    return done(f"{found.email} is a member again.", "member", member_id=member_id)


@blueprint.post("/members/<member_id>/unlink")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def unlink(member_id: str) -> Any:
    """Forget what identity providers call her."""
    identity_links.forget(actor(), members.get(actor().account, member_id))
    return done("The next sign-in with this address is linked anew.", "member", member_id=member_id)


@blueprint.post("/members/<member_id>/name")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def rename_member(member_id: str) -> Any:
    """What she is called, where no directory and no provider says it."""
    member_lifecycle.rename(actor(), members.get(actor().account, member_id), forms.read(NameForm)["name"])
    return done("The name is saved.", "member", member_id=member_id)


@blueprint.post("/members/<member_id>/roles")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def change_roles(member_id: str) -> Any:
    """Make her roles those that are ticked."""
    found = members.get(actor().account, member_id)
    member_roles.set_roles(actor(), found, forms.read(RolesForm)["roles"])
    return done("The roles are saved.", "member", member_id=member_id)


@blueprint.post("/members/<member_id>/suspend")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def suspend(member_id: str) -> Any:
    """Sessions end and credentials stop; undone by reactivating."""
    found = members.get(actor().account, member_id)
    member_lifecycle.suspend(actor(), found)
    return done(f"{found.email} is suspended.", "member", member_id=member_id)


@blueprint.post("/members/<member_id>/reactivate")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def reactivate(member_id: str) -> Any:
    """Lift the hold."""
    found = members.get(actor().account, member_id)
    member_lifecycle.unsuspend(actor(), found)
    words = "is active again" if found.active else "is not suspended by hand any more, and inactive by the directory"
    return done(f"{found.email} {words}.", "member", member_id=member_id)


@blueprint.post("/members/<member_id>/remove")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def remove(member_id: str) -> Any:
    """Out of the account for good, with the credentials she owns."""
    found = members.get(actor().account, member_id)
    confirm(found.email)
    member_lifecycle.remove(actor(), found)
    return done(f"{found.email} is removed.", "members")


def confirm(name: str) -> None:
    """The danger zones ask to type the name of what goes. Raises Invalid."""
    if forms.read(ConfirmForm)["confirm"] != name:
        raise Invalid(f"Type {name} to show that you mean it.", fields={"confirm": [f"Type exactly: {name}"]})
