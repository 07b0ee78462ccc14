"""Team members: who is in the account, why they may do what they may, and inviting more."""

from typing import Any

from flask import request
from peewee import fn

from idp_bridge import groups as directory_groups
from idp_bridge import (
    identity_links,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    roles,
    seats,
    sessions,
)
from idp_bridge.db import column
from idp_bridge.errors import Invalid
from idp_bridge.models import Account, IdentityProvider, Invitation, Member, Role
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, base_url, guard

PAGE = 50

#: The filter of the list -> the rows that it keeps.
STATES = {
    "": ("Everybody", None),
    "active": ("Active", Member.active),
    "suspended": ("Suspended", ~Member.active),
}


class InviteForm(forms.Form):
    """One address, with the roles it will have."""

    email = forms.Email(required=True)
    roles = forms.Several()


class RolesForm(forms.Form):
    """The roles of a member."""

    roles = forms.Several()


class ConfirmForm(forms.Form):
    """What is typed to show that a removal is meant."""

    confirm = forms.Text(load_default="")


def role_names(account: Account) -> list[str]:
    """The roles that can be granted in this account: the built-in ones, then its own."""
    return [*roles.BUILT_IN, *column(Role.select(Role.name).where(Role.account == account).order_by(Role.name))]


@blueprint.get("/members", endpoint="members")
@guard(Permission.MEMBERS_READ)
def members_list() -> Any:
    """The list of the account's members, and its pending invitations."""
    return _page()


def _page(*, invited: invitations.Sent | None = None) -> Any:
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
        providers=_provider_names(account),
        total=total,
        number=number,
        pages=max(-(-total // PAGE), 1),
        states=STATES,
        invitations=list(invitations.pending(account).order_by(Invitation.id.desc())),
        accept_url=f"{base_url()}/invitations/{invited.token}" if invited else None,
        invited=invited.invitation if invited else None,
        seats=seats.count(account),
        role_names=role_names(account),
    )


def _search(account: Account) -> Any:
    found = Member.select().where(Member.account == account, Member.removed_at.is_null())
    text = request.args.get("q", "").strip()
    if text:
        found = found.where(Member.name.contains(text) | Member.email.contains(text))
    _, kept = STATES.get(request.args.get("state", ""), STATES[""])
    return found if kept is None else found.where(kept)


def _provider_names(account: Account) -> dict[str, str]:
    return {provider.id: provider.name for provider in idps.of_account(account)}


@blueprint.post("/members/invitations")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def invite() -> Any:
    """Ask an address to join; the link is shown once."""
    form = forms.read(InviteForm)
    names = form["roles"] or roles.DEFAULT
    return _page(invited=invitations.create(actor(), form["email"], role_names=names))


@blueprint.post("/members/invitations/<invitation_id>/cancel")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def cancel_invitation(invitation_id: str) -> Any:
    """The link stops working, the seat is free."""
    found = invitations.get(actor().account, invitation_id)
    invitations.cancel(actor(), found)
    return done(f"The invitation of {found.email} is cancelled.", "members")


@blueprint.get("/members/<member_id>")
@guard(Permission.MEMBERS_READ)
def member(member_id: str) -> Any:
    """One member: her roles with the reason for each, her state, her sessions."""
    account = actor().account
    found = members.get(account, member_id)
    provider = found.identity_provider_id and IdentityProvider.get_by_id(found.identity_provider_id)
    return render(
        "member.html",
        member=found,
        sources=member_roles.role_sources(account, [found])[found.id],
        provider=provider or None,
        role_names=role_names(account),
        sessions=sessions.of_person(found.person, account) if found.active else [],
        mapped={row.id: row for row in directory_groups.mappings(account)},
        links=list(identity_links.of_member(found)),
    )


@blueprint.post("/members/<member_id>/unlink")
@refused_on(member, "member_id")
@guard(Permission.MEMBERS_WRITE)
def unlink(member_id: str) -> Any:
    """Forget what identity providers call her."""
    identity_links.forget(actor(), members.get(actor().account, member_id))
    return done("The next sign-in with this address is linked anew.", "member", member_id=member_id)


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
    return done(f"{found.email} is active again.", "member", member_id=member_id)


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
