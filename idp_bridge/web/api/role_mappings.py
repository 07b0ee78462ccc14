"""/api/role_mappings: the members of a directory's group have a role."""

from typing import Any

from flask import Response
from marshmallow import fields

from idp_bridge import groups, idps
from idp_bridge.models import RoleMapping
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, merged
from idp_bridge.web.api.schemas import Answer, Body, Instant, Patch, Text, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Role mappings", __name__, "Which role the members of a directory group have.")


class RoleMappingPatch(Patch):
    """What may be set of a mapping."""

    role = Text(least=1, most=64, required=True)


class RoleMappingCreate(Body):
    """A group by its id, or by the name that it has or will have."""

    identity_provider_id = Text(least=1, most=64, required=True)
    group_id = Text(least=1, most=64, allow_none=True)
    group_display_name = Text(least=1, most=1024, allow_none=True)
    role = Text(least=1, most=64, required=True)


class RoleMappingAnswer(Answer):
    """A mapping. ``group_id`` is null until a group of that name is pushed."""

    id = fields.String()
    uri = Uri("/api/role_mappings/{id}")
    identity_provider_id = fields.String()
    group_id = fields.String(allow_none=True)
    group_display_name = fields.String()
    role = fields.String()
    created_at = Instant()


def _shown(row: RoleMapping) -> dict[str, Any]:
    return {**groups.describe_mapping(row), "created_at": row.created_at}


@blueprint.get("/role_mappings")
@guard(Permission.IDPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("role_mappings", RoleMappingAnswer))
def list_role_mappings(asked: dict[str, Any]) -> dict[str, Any]:
    """The mappings of all directories of the account."""
    account = actor().account
    parts = groups.of_each_provider(account, groups.mappings(account))
    found = merged("role_mappings", parts, RoleMapping.id, asked)
    return {**found, "role_mappings": [_shown(row) for row in found["role_mappings"]]}


@blueprint.post("/role_mappings")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
@blueprint.arguments(RoleMappingCreate)
@blueprint.response(201, RoleMappingAnswer)
def create_role_mapping(body: dict[str, Any]) -> dict[str, Any]:
    """Map a group to a role. Its members have the role at once."""
    provider = idps.get(actor().account, body.pop("identity_provider_id"))
    return _shown(groups.map_role(actor(), provider, **body))


@blueprint.get("/role_mappings/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, RoleMappingAnswer)
def get_role_mapping(id: str) -> dict[str, Any]:
    """One mapping."""
    return _shown(groups.mapping(actor().account, id))


@blueprint.patch("/role_mappings/<id:id>")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
@blueprint.arguments(RoleMappingPatch)
@blueprint.response(200, RoleMappingAnswer)
def update_role_mapping(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Let a mapping give another role."""
    row = groups.mapping(actor().account, id)
    groups.change_mapping(actor(), row, body["role"])
    return _shown(row)


@blueprint.delete("/role_mappings/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def delete_role_mapping(id: str) -> Response:
    """Take a mapping away, and with it what only it gave."""
    groups.unmap(actor(), groups.mapping(actor().account, id))
    return no_content()
