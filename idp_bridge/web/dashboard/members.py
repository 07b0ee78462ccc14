"""A team member: who she is, why she may do what she may, and what is done to her. The list is member_list.py."""

from collections.abc import Iterable, Sequence
from typing import Any

from peewee import fn

from idp_bridge import (
    account_sessions,
    grants,
    identity_links,
    member_lifecycle,
    member_roles,
    members,
    password_changes,
    people,
    roles,
)
from idp_bridge.db import column
from idp_bridge.errors import Invalid
from idp_bridge.models import (
    Account,
    Credential,
    IdentityLink,
    IdentityProvider,
    Member,
    Person,
    Role,
)
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import sessions
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, base_url, guard


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


def ways_of(shown: Sequence[Member]) -> dict[str, list[str]]:
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
        sessions=sessions.listing(found),
        ends=account_sessions.ends_at,
        owned=Credential.select().where(Credential.member == found).count(),
        ways=ways_of([found])[found.id],
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
