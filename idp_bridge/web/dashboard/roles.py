"""Roles: what each allows and who holds it, and the account's own ones."""

from collections import Counter
from typing import Any

from idp_bridge import bots, groups, idps, invitations, member_roles, own_roles, roles
from idp_bridge.errors import NotFound
from idp_bridge.models import Account, Member, Role, RoleMapping
from idp_bridge.own_roles import BUILT_IN_IDS
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard.members import confirm
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard

P = Permission
LONGEST_LIST = 200

#: What a person may do with it.
MEANINGS = {
    P.ACCOUNT_READ: "See the account and its roles",
    P.ACCOUNT_WRITE: "Rename the account, choose its sign-in mode, have webhooks",
    P.MEMBERS_READ: "See members and invitations",
    P.MEMBERS_WRITE: "Invite, edit, suspend and remove members who are no administrators",
    P.GROUPS_READ: "See directory groups",
    P.EVENTS_READ: "Read the events",
    P.BOTS_READ: "See bot users",
    P.BOTS_WRITE: "Make, change and delete bot users",
    P.USAGE_READ: "See plan, seats and usage",
    P.USAGE_WRITE: "Report usage",
    P.CREDENTIALS_OWN: "Have credentials",
    P.CREDENTIALS_ALL: "See, describe and revoke everybody's credentials, but administrators'",
    P.INTROSPECT: "Ask whether a credential is good",
    P.BILLING_READ: "See bills",
    P.BILLING_WRITE: "Change plan and payment",
    P.IDPS_READ: "See identity providers and provisioning",
    P.IDPS_WRITE: "Change identity providers, SCIM tokens and role mappings",
    P.ROLES_WRITE: "Make, change and delete own roles",
}


class RoleForm(forms.Form):
    """Name, description and permissions of an own role."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")
    permissions = forms.Several()


def _rows(account: Account) -> list[dict[str, Any]]:
    """Every role with what it allows and how many of what hold it: the built-in ones first."""
    own = own_roles.of_account(account).order_by(Role.name_key)
    named = [(id, name, "", roles.BUILT_IN[name], True) for id, name in BUILT_IN_IDS.items()]
    named += [(row.id, row.name, row.description, frozenset(P(one) for one in row.permissions), False) for row in own]
    numbers, used = member_roles.numbers(account), own_roles.uses(account)
    return [
        {
            "id": id,
            "name": name,
            "description": description,
            "allowed": allowed,
            "built_in": built_in,
            "members": numbers.get(name, 0),
            "uses": Counter({what: number for what, number in used.get(name, {}).items() if what != "member"}),
        }
        for id, name, description, allowed, built_in in named
    ]


@blueprint.get("/roles", endpoint="roles")
@guard(Permission.ACCOUNT_READ)
def role_list() -> Any:
    """All roles side by side, and a form for one more."""
    return render(
        "roles.html",
        rows=_rows(actor().account),
        meanings=MEANINGS,
        administrative=roles.ADMINISTRATIVE,
        allowed_to_her=actor().permissions,
    )


@blueprint.post("/roles")
@refused_on(role_list)
@guard(Permission.ROLES_WRITE, feature=Feature.OWN_ROLES)
def create_role() -> Any:
    """A new own role."""
    form = forms.read(RoleForm)
    made = own_roles.create(
        actor(), form["name"], description=form["description"], permissions=form.get("permissions", [])
    )
    return done(f"The role {made.name} is made.", "role", role_id=made.id)


@blueprint.get("/roles/<role_id>")
@guard(Permission.ACCOUNT_READ)
def role(role_id: str) -> Any:
    """One role: what it allows, and everything that holds it."""
    account = actor().account
    row = next((row for row in _rows(account) if row["id"] == role_id), None)
    if row is None:
        raise NotFound(f"There is no role {role_id} in this account.")
    return render(
        "role.html",
        role=row,
        meanings=MEANINGS,
        administrative=roles.ADMINISTRATIVE,
        allowed_to_her=actor().permissions,
        holders=_holders(account, row["name"]),
    )


def _holders(account: Account, name: str) -> dict[str, Any]:
    """What holds the role, as far as the reader may see each kind."""
    may = actor().permissions
    holding = member_roles.holding(account, name).order_by(Member.name, Member.email).limit(LONGEST_LIST)
    mapping = groups.mappings(account).where(RoleMapping.role == name).order_by(RoleMapping.group_key)
    return {
        "members": list(holding) if P.MEMBERS_READ in may else [],
        "mappings": list(mapping) if P.GROUPS_READ in may else [],
        "invitations": [one for one in invitations.pending(account) if name in one.roles]
        if P.MEMBERS_READ in may
        else [],
        "bots": [bot for bot in bots.of_account(account) if name in bot.roles] if P.BOTS_READ in may else [],
        "providers": [provider for provider in idps.of_account(account) if name in provider.default_roles]
        if P.IDPS_READ in may
        else [],
    }


@blueprint.post("/roles/<role_id>")
@refused_on(role, "role_id")
@guard(Permission.ROLES_WRITE, feature=Feature.OWN_ROLES)
def change_role(role_id: str) -> Any:
    """Another name, description or set of permissions; it counts at once for everybody who holds the role."""
    row = own_roles.get(actor().account, role_id)
    form = forms.read(RoleForm)
    own_roles.change(actor(), row, **form)
    return done(f"The role {row.name} is saved.", "role", role_id=role_id)


@blueprint.post("/roles/<role_id>/delete")
@refused_on(role, "role_id")
@guard(Permission.ROLES_WRITE)
def delete_role(role_id: str) -> Any:
    """Gone, where nothing holds it."""
    row = own_roles.get(actor().account, role_id)
    confirm(row.name)
    own_roles.delete(actor(), row)
    return done(f"The role {row.name} is deleted.", "roles")
