"""/api/roles: the built-in roles and the account's own, each with its permissions."""

from typing import Any

from flask import Response
from marshmallow import fields, validate

from idp_bridge import own_roles, roles
from idp_bridge.errors import NotFound
from idp_bridge.models import Role
from idp_bridge.own_roles import BUILT_IN_IDS
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, shown
from idp_bridge.web.api.schemas import Answer, Body, Instant, Patch, Text, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Roles", __name__, "What a role allows.")


class _Permissions(fields.List[str]):
    """Of the enum, in any order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fields.String(validate=validate.OneOf(list(Permission))), **options)


class _RoleFields(Body):
    description = Text(most=own_roles.LONGEST_DESCRIPTION, lines=True)


class RolePatch(_RoleFields, Patch):
    """What may be set of an own role. A new name is carried over to whatever holds the role."""

    name = Text(least=1, most=64, pattern=own_roles.NAME, words=own_roles.NAME_WORDS)
    permissions = _Permissions()


class RoleCreate(_RoleFields):
    """A new own role. Its permissions are among those that its maker has."""

    name = Text(least=1, most=64, pattern=own_roles.NAME, words=own_roles.NAME_WORDS, required=True)
    permissions = _Permissions(required=True)


class RoleAnswer(Answer):
    """A role. Other resources name it by its ``name``."""

    id = fields.String()
    uri = Uri("/api/roles/{id}")
    name = fields.String()
    description = fields.String()
    built_in = fields.Boolean()
    permissions = fields.List(fields.String())
    created_at = Instant(allow_none=True)


def _built_in() -> dict[str, dict[str, Any]]:
    """``role_<name>``; letters sort after the digits that a made id begins with, so in pages these come first."""
    return {
        id: {
            "id": id,
            "name": name,
            "description": "",
            "built_in": True,
            "permissions": sorted(roles.BUILT_IN[name]),
            "created_at": None,
        }
        for id, name in sorted(BUILT_IN_IDS.items(), reverse=True)
    }


def _own(row: Role) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in ("id", "name", "description", "created_at")}
    return {**facts, "built_in": False, "permissions": sorted(row.permissions)}


@blueprint.get("/roles")
@guard(Permission.ACCOUNT_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("roles", RoleAnswer))
def list_roles(asked: dict[str, Any]) -> dict[str, Any]:
    """The built-in roles, then the account's own, newest first."""
    before = asked.get("before_id")
    own = own_roles.of_account(actor().account).order_by(Role.id.desc()).limit(asked["limit"] + 1)
    if before is not None:
        own = own.where(Role.id < before)
    listed = [role for id, role in _built_in().items() if before is None or id < before]
    return shown("roles", [*listed, *(_own(row) for row in own)], asked)


@blueprint.post("/roles")
@guard(Permission.ROLES_WRITE, feature=Feature.OWN_ROLES)
@blueprint.arguments(RoleCreate)
@blueprint.response(201, RoleAnswer)
def create_role(body: dict[str, Any]) -> dict[str, Any]:
    """Make an own role. Its name is unique in the account without regard to case."""
    return _own(own_roles.create(actor(), body.pop("name"), **body))


@blueprint.get("/roles/<id:id>")
@guard(Permission.ACCOUNT_READ)
@blueprint.response(200, RoleAnswer)
def get_role(id: str) -> dict[str, Any]:
    """One role."""
    if built_in := _built_in().get(id):
        return built_in
    row = own_roles.of_account(actor().account).where(Role.id == id).get_or_none()
    if row is None:
        raise NotFound(f"There is no role {id} in this account.")
    return _own(row)


@blueprint.patch("/roles/<id:id>")
@guard(Permission.ROLES_WRITE, feature=Feature.OWN_ROLES)
@blueprint.arguments(RolePatch)
@blueprint.response(200, RoleAnswer)
def update_role(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Change an own role. It counts at once for everybody who holds it; a built-in one is 409."""
    row = own_roles.get(actor().account, id)
    own_roles.change(actor(), row, **body)
    return _own(row)


@blueprint.delete("/roles/<id:id>")
@guard(Permission.ROLES_WRITE)
@blueprint.response(204)
def delete_role(id: str) -> Response:
    """Delete an own role that nothing holds any more; one that is held, or built in, is 409."""
    own_roles.delete(actor(), own_roles.get(actor().account, id))
    return no_content()
