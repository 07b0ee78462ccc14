"""/api/users: the members of the account."""

from typing import Any

from flask import Response
from marshmallow import RAISE, Schema, fields, validate

from idp_bridge import groups, identity_links, member_lifecycle, member_roles, members, password_changes
from idp_bridge.member_roles import RoleSource
from idp_bridge.models import Member
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import ID, Answer, Flag, Instant, Name, Names, Patch, Text, Uri, listing
from idp_bridge.web.guard import actor, base_url, guard, require

blueprint = Blueprint("Users", __name__, "The members of the account, by hand, by invitation, by sign-in or by SCIM.")


class UserQuery(Page):
    """Which members are listed."""

    q = Text(most=255, metadata={"description": "How the name or the address begins."})
    state = fields.String(
        validate=validate.OneOf(list(members.State)),
        metadata={"description": "Without it, active and suspended ones; deprovisioned ones can still be restored."},
    )


class ExplanationQuery(Schema):
    """What is asked about what a member may do."""

    class Meta:
        unknown = RAISE

    permission = fields.String(
        validate=validate.OneOf(list(Permission)), metadata={"description": "Only why she may do this."}
    )
    without_group = Text(most=64, pattern=ID, metadata={"description": "What she would lose if she left this group."})
    without_mapping = Text(
        most=64, pattern=ID, metadata={"description": "What she would lose if this role mapping went."}
    )


class UserPatch(Patch):
    """What may be set of a member by hand. ``active`` false is a hold, which no directory lifts; ``name`` is one's own
    to set too, unless a directory or a provider's assertions own it."""

    name = Name()
    roles = Names()
    active = Flag()


class RoleSourceAnswer(Answer):
    """Why a member holds a role: who gave it and when, or by which group, mapping and provider she has it."""

    role = fields.String()
    source = fields.String(validate=validate.OneOf(["plan", "hand", "default", "claim", "group"]))
    mapping_id = fields.String(allow_none=True)
    group_id = fields.String(allow_none=True)
    group_display_name = fields.String(allow_none=True)
    identity_provider_id = fields.String(allow_none=True)
    identity_provider_name = fields.String(allow_none=True)
    given_by_id = fields.String(allow_none=True)
    given_by = fields.String(allow_none=True)
    given_at = Instant(allow_none=True)


class UserAnswer(Answer):
    """A member."""

    id = fields.String()
    uri = Uri("/api/users/{id}")
    email = fields.String()
    name = fields.String()
    active = fields.Boolean()
    held = fields.Boolean(metadata={"description": "Suspended by hand. Inactive and not held: her directory says so."})
    roles = fields.List(fields.String())
    role_sources = fields.List(fields.Nested(RoleSourceAnswer))
    managed_by = fields.String(validate=validate.OneOf(["local", "invite", "jit", "scim"]))
    identity_provider_id = fields.String(allow_none=True)
    last_login_at = Instant(allow_none=True)
    created_at = Instant()
    deprovisioned_at = Instant(allow_none=True, metadata={"description": "When her directory deleted her."})


class BecauseAnswer(Answer):
    """A permission, and every chain that gives it; no chain: she has it not."""

    permission = fields.String()
    because = fields.List(fields.Nested(RoleSourceAnswer))


class LossAnswer(Answer):
    """What only the group or mapping asked about gives her."""

    roles = fields.List(fields.String())
    permissions = fields.List(fields.String())


class ExplanationAnswer(Answer):
    """Why a member may do what she may. Inactive, she may do none of it until she is active again."""

    user_id = fields.String()
    active = fields.Boolean()
    roles = fields.List(fields.String())
    permissions = fields.List(fields.Nested(BecauseAnswer))
    would_lose = fields.Nested(LossAnswer, allow_none=True)


class PasswordSetupAnswer(Answer):
    """A link that sets a first password, once, within seven days. It is shown in this answer only."""

    password_setup_url = fields.String()


def _with_roles(rows: list[Member]) -> list[dict[str, Any]]:
    sources = member_roles.role_sources(actor().account, rows)
    return [_shown(row, sources[row.id]) for row in rows]


def _shown(row: Member, sources: list[RoleSource]) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in UserAnswer().fields if hasattr(row, name)}
    facts["deprovisioned_at"] = row.removed_at
    return {**facts, "roles": sorted({source.role for source in sources}), "role_sources": sources}


@blueprint.get("/users")
@guard(Permission.MEMBERS_READ)
@blueprint.arguments(UserQuery, location="query")
@blueprint.response(200, listing("users", UserAnswer))
def list_users(asked: dict[str, Any]) -> dict[str, Any]:
    """The members, suspended ones included, each with her roles and why she holds them."""
    state = members.State(asked["state"]) if "state" in asked else None
    found = page("users", members.search(actor().account, text=asked.get("q", ""), state=state), Member.id, asked)
    return {**found, "users": _with_roles(found["users"])}


@blueprint.get("/users/<id:id>")
@guard(Permission.MEMBERS_READ)
@blueprint.response(200, UserAnswer)
def get_user(id: str) -> dict[str, Any]:
    """One member."""
    return _with_roles([members.get(actor().account, id)])[0]


@blueprint.get("/users/<id:id>/explain")
@guard(Permission.MEMBERS_READ)
@blueprint.arguments(ExplanationQuery, location="query")
@blueprint.response(200, ExplanationAnswer)
def explain_user(asked: dict[str, Any], id: str) -> dict[str, Any]:
    """Why may she do this, and what would she lose without a group or a mapping?"""
    account = actor().account
    member = members.get(account, id)
    group_id, mapping_id = asked.get("without_group"), asked.get("without_mapping")
    if group_id is not None:
        groups.get(account, group_id)
    if mapping_id is not None:
        groups.mapping(account, mapping_id)
    explained = member_roles.explain(account, member)
    asked_for = [Permission(asked["permission"])] if "permission" in asked else explained.permissions
    return {
        "user_id": member.id,
        "active": member.active,
        "roles": sorted(explained.allowed),
        "permissions": [{"permission": one, "because": explained.why(one)} for one in asked_for],
        "would_lose": explained.without(group_id=group_id, mapping_id=mapping_id) if group_id or mapping_id else None,
    }


@blueprint.patch("/users/<id:id>")
@guard()
@blueprint.arguments(UserPatch)
@blueprint.response(200, UserAnswer)
def update_user(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Name a member, give her other roles, suspend her, or let her in again. Without the hold she is as her directory
    says. Everybody may set her own name; the rest needs `members:write`."""
    if id != actor().id or body.keys() != {"name"}:
        require(Permission.MEMBERS_WRITE)
    member = members.get(actor().account, id)
    if "name" in body:
        member_lifecycle.rename(actor(), member, body["name"])
    if "roles" in body:
        member_roles.set_roles(actor(), member, body["roles"])
    if "active" in body:
        (member_lifecycle.unsuspend if body["active"] else member_lifecycle.suspend)(actor(), member)
    return _with_roles([member])[0]


@blueprint.delete("/users/<id:id>")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(204)
def delete_user(id: str) -> Response:
    """Take a member out of the account, with every credential she owned here. One whom a directory owns is 409."""
    member_lifecycle.remove(actor(), members.get(actor().account, id))
    return no_content()


@blueprint.post("/users/<id:id>/restore")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(200, UserAnswer)
def restore_user(id: str) -> dict[str, Any]:
    """Undo the DELETE of a directory, within 30 days; memberships of groups do not come back."""
    member = members.deprovisioned(actor().account, id)
    member_lifecycle.restore(actor(), member)
    return _with_roles([member])[0]


@blueprint.post("/users/<id:id>/password_setup")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(201, PasswordSetupAnswer)
def create_password_setup(id: str) -> dict[str, str]:
    """Make a link by which a member without a password sets her first one; for administrators in a browser session, in
    mixed mode. The former link is dead."""
    token = password_changes.setup_link(actor(), members.get(actor().account, id))
    return {"password_setup_url": f"{base_url()}/login/password/{token}"}


@blueprint.delete("/users/<id:id>/identity_links")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(204)
def delete_identity_links(id: str) -> Response:
    """Forget what identity providers call a member, so that one who was made again there can sign in."""
    identity_links.forget(actor(), members.get(actor().account, id))
    return no_content()
