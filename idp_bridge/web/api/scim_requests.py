"""/api/identity_providers/{id}/scim_requests: what a directory's provider sent over SCIM, and what it was answered."""

from typing import Any

from marshmallow import fields, validate

from idp_bridge import idps
from idp_bridge.models import ScimRequest
from idp_bridge.provisioning import request_log
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import ID, Answer, Instant, Text, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint(
    "SCIM requests", __name__, "What identity providers sent over SCIM. Passwords, secrets and tokens are masked."
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FILTERS = ("status", "method", "path", "resource_id", "error", "since")


class ScimRequestPage(Page):
    """The filters of the list; all that are given must fit."""

    status = Text(
        most=6,
        pattern=r"^([1-5][0-9]{2}|[1-5]xx|failed)$",
        metadata={"description": "One status, a class such as 4xx, or failed: 400 and above."},
    )
    method = fields.String(validate=validate.OneOf(METHODS))
    path = Text(least=1, most=255, metadata={"description": "A part of the path, or of the resource's name."})
    resource_id = Text(most=64, pattern=ID)
    error = Text(least=1, most=255, metadata={"description": "A part of the error's detail."})
    since = Instant(metadata={"description": "Inclusive."})


class ScimRequestAnswer(Answer):
    """One request, as it was kept: for 30 days."""

    id = fields.String()
    uri = Uri("/api/identity_providers/{identity_provider_id}/scim_requests/{id}")
    identity_provider_id = fields.String()
    token_id = fields.String()
    timestamp = Instant()
    method = fields.String()
    path = fields.String(metadata={"description": "Below /scim/v2."})
    query = fields.String()
    status = fields.Integer()
    ms = fields.Float(metadata={"description": "From the request's arrival to its answer, in milliseconds."})
    address = fields.String(allow_none=True)
    user_agent = fields.String()
    request_id = fields.String(allow_none=True, metadata={"description": "X-Request-Id of the answer."})
    resource_id = fields.String(allow_none=True)
    resource_name = fields.String(allow_none=True, metadata={"description": "userName or displayName."})
    request_body = fields.String(allow_none=True, metadata={"description": "Masked; the first 16 KiB."})
    response_body = fields.String(allow_none=True, metadata={"description": "Masked; the first 16 KiB, of reads 4."})
    error = fields.String(allow_none=True)
    scim_type = fields.String(allow_none=True)
    before = fields.Dict(keys=fields.String(), allow_none=True, metadata={"description": "Attributes that changed."})
    after = fields.Dict(keys=fields.String(), allow_none=True)
    skipped = fields.Integer(metadata={"description": "Requests before this one that were counted, but not kept."})


def _shown(row: ScimRequest) -> dict[str, Any]:
    stored = {name: getattr(row, name) for name in ScimRequestAnswer().fields if hasattr(row, name)}
    return {**stored, "ms": row.microseconds / 1000}


@blueprint.get("/identity_providers/<id:provider_id>/scim_requests")
@guard(Permission.IDPS_READ)
@blueprint.arguments(ScimRequestPage, location="query")
@blueprint.response(200, listing("scim_requests", ScimRequestAnswer))
def list_scim_requests(asked: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """The requests of the provider's directory, newest first."""
    provider = idps.get(actor().account, provider_id)
    wanted = {name: asked[name] for name in FILTERS if name in asked}
    found = page("scim_requests", request_log.of_directory(provider, **wanted), ScimRequest.id, asked)
    return {**found, "scim_requests": [_shown(row) for row in found["scim_requests"]]}


@blueprint.get("/identity_providers/<id:provider_id>/scim_requests/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, ScimRequestAnswer)
def get_scim_request(provider_id: str, id: str) -> dict[str, Any]:
    """One request."""
    return _shown(request_log.get(idps.get(actor().account, provider_id), id))
