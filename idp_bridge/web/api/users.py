"""/api/users: the members of the account."""

from typing import Any

from flask import Response
from marshmallow import fields, validate

from idp_bridge import identity_links, member_lifecycle, member_roles, members
from idp_bridge.member_roles import RoleSource
from idp_bridge.models import Member
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import Answer, Flag, Instant, Names, Patch, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Users", __name__, "The members of the account, by hand, by invitation, by sign-in or by SCIM.")


class UserPatch(Patch):
    """What may be set of a member by hand."""

    roles = Names()
    active = Flag()


class RoleSourceAnswer(Answer):
    """Why a member holds a role."""

    role = fields.String()
    source = fields.String(validate=validate.OneOf(["plan", "hand", "default", "claim", "group"]))
    mapping_id = fields.String(allow_none=True)
    group_id = fields.String(allow_none=True)
    group_display_name = fields.String(allow_none=True)
    identity_provider_id = fields.String(allow_none=True)


class UserAnswer(Answer):
    """A member."""

    id = fields.String()
    uri = Uri("/api/users/{id}")
    email = fields.String()
    name = fields.String()
    active = fields.Boolean()
    roles = fields.List(fields.String())
    role_sources = fields.List(fields.Nested(RoleSourceAnswer))
    managed_by = fields.String(validate=validate.OneOf(["local", "invite", "jit", "scim"]))
    identity_provider_id = fields.String(allow_none=True)
    last_login_at = Instant(allow_none=True)
    created_at = Instant()


def _with_roles(rows: list[Member]) -> list[dict[str, Any]]:
    sources = member_roles.role_sources(actor().account, rows)
    return [_shown(row, sources[row.id]) for row in rows]


def _shown(row: Member, sources: list[RoleSource]) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in UserAnswer().fields if hasattr(row, name)}
    return {**facts, "roles": sorted({source.role for source in sources}), "role_sources": sources}


@blueprint.get("/users")
@guard(Permission.MEMBERS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("users", UserAnswer))
def list_users(asked: dict[str, Any]) -> dict[str, Any]:
    """The members, suspended ones included, each with her roles and why she holds them."""
    found = page("users", members.of_account(actor().account), Member.id, asked)
    return {**found, "users": _with_roles(found["users"])}


@blueprint.get("/users/<id:id>")
@guard(Permission.MEMBERS_READ)
@blueprint.response(200, UserAnswer)
def get_user(id: str) -> dict[str, Any]:
    """One member."""
    return _with_roles([members.get(actor().account, id)])[0]


@blueprint.patch("/users/<id:id>")
@guard(Permission.MEMBERS_WRITE)
@blueprint.arguments(UserPatch)
@blueprint.response(200, UserAnswer)
def update_user(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Give a member other roles, suspend her, or let her in again."""
    member = members.get(actor().account, id)
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


@blueprint.delete("/users/<id:id>/identity_links")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(204)
def delete_identity_links(id: str) -> Response:
    """Forget what identity providers call a member, so that one who was made again there can sign in."""
    identity_links.forget(actor(), members.get(actor().account, id))
    return no_content()
