"""/api/identity_conflicts: who somebody is whom a provider speaks of, where no rule says it."""

from typing import Any

from flask import Response
from marshmallow import fields, validate

from idp_bridge import identity_conflicts
from idp_bridge.identity_conflicts import OPEN, STATES, Kind
from idp_bridge.models import IdentityConflict
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, merged
from idp_bridge.web.api.schemas import Answer, Body, Instant, Text, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint(
    "Identity conflicts",
    __name__,
    "Who somebody is whom a provider speaks of: questions that wait for an administrator.",
)


class IdentityConflictPage(Page):
    """The filter of the list."""

    state = fields.String(validate=validate.OneOf([*STATES, "all"]), load_default=OPEN)


class IdentityConflictResolution(Body):
    """Who it is."""

    member_id = Text(least=1, most=64, required=True, metadata={"description": "A member of the account."})


class IdentityConflictAnswer(Answer):
    """One question, however often it came up."""

    id = fields.String()
    uri = Uri("/api/identity_conflicts/{id}")
    kind = fields.String(validate=validate.OneOf([kind.value for kind in Kind]))
    state = fields.String(validate=validate.OneOf(STATES))
    identity_provider_id = fields.String()
    email = fields.String()
    name_id = fields.String(allow_none=True, metadata={"description": "Of an assertion."})
    name_id_format = fields.String(allow_none=True)
    user_name = fields.String(allow_none=True, metadata={"description": "Of a SCIM record."})
    candidates = fields.List(fields.String(), metadata={"description": "Ids of the members who could be meant."})
    member_id = fields.String(allow_none=True, metadata={"description": "Who it is, once that is said."})
    decided_by = fields.String()
    decided_at = Instant(allow_none=True)
    occurrences = fields.Integer()
    created_at = Instant()
    last_seen_at = Instant()


def _shown(row: IdentityConflict) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in IdentityConflictAnswer().fields if hasattr(row, name)}
    return {**facts, "last_seen_at": row.seen_at}


@blueprint.get("/identity_conflicts")
@guard(Permission.IDPS_READ)
@blueprint.arguments(IdentityConflictPage, location="query")
@blueprint.response(200, listing("identity_conflicts", IdentityConflictAnswer))
def list_identity_conflicts(asked: dict[str, Any]) -> dict[str, Any]:
    """Those that wait; with `state`, those that were decided, or all."""
    states = identity_conflicts.STATES if asked["state"] == "all" else [asked["state"]]
    parts = [identity_conflicts.of_account(actor().account, state=state) for state in states]
    found = merged("identity_conflicts", parts, IdentityConflict.id, asked)
    return {**found, "identity_conflicts": [_shown(row) for row in found["identity_conflicts"]]}


@blueprint.get("/identity_conflicts/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, IdentityConflictAnswer)
def get_identity_conflict(id: str) -> dict[str, Any]:
    """One question, decided or not."""
    return _shown(identity_conflicts.get(actor().account, id))


@blueprint.post("/identity_conflicts/<id:id>/resolve")
@guard(Permission.IDPS_WRITE)
@blueprint.arguments(IdentityConflictResolution)
@blueprint.response(200, IdentityConflictAnswer)
def resolve_identity_conflict(body: dict[str, Any], id: str) -> dict[str, Any]:
    """It is this member: she comes in by that NameID from now on, or that directory takes her over."""
    row = identity_conflicts.get(actor().account, id)
    identity_conflicts.resolve(actor(), row, body["member_id"])
    return _shown(row)


@blueprint.delete("/identity_conflicts/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def dismiss_identity_conflict(id: str) -> Response:
    """Nobody is meant. It is refused as before, and no longer waits."""
    identity_conflicts.dismiss(actor(), identity_conflicts.get(actor().account, id))
    return no_content()
