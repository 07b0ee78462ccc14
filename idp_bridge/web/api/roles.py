"""/api/roles: the built-in roles and the account's own, each with its permissions."""

from typing import Any

from marshmallow import fields

from idp_bridge import roles
from idp_bridge.errors import NotFound
from idp_bridge.models import Role
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, shown
from idp_bridge.web.api.schemas import Answer, Instant, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Roles", __name__, "What a role allows.")


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
        f"role_{name}": {
            "id": f"role_{name}",
            "name": name,
            "description": "",
            "built_in": True,
            "permissions": sorted(allowed),
            "created_at": None,
        }
        for name, allowed in sorted(roles.BUILT_IN.items(), reverse=True)
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
    own = Role.select().where(Role.account == actor().account).order_by(Role.id.desc()).limit(asked["limit"] + 1)
    if before is not None:
        own = own.where(Role.id < before)
    listed = [role for id, role in _built_in().items() if before is None or id < before]
    return shown("roles", [*listed, *(_own(row) for row in own)], asked)


@blueprint.get("/roles/<id:id>")
@guard(Permission.ACCOUNT_READ)
@blueprint.response(200, RoleAnswer)
def get_role(id: str) -> dict[str, Any]:
    """One role."""
    if built_in := _built_in().get(id):
        return built_in
    row = Role.get_or_none(Role.id == id, Role.account == actor().account)
    if row is None:
        raise NotFound(f"There is no role {id} in this account.")
    return _own(row)
