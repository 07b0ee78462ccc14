"""/api/events: what happened, by whom, and what the thing looked like then."""

from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from idp_bridge import events
from idp_bridge.models import Event
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import ID, Answer, Instant, Text, listing
from idp_bridge.web.guard import actor, base_url, guard

blueprint = Blueprint("Events", __name__, "What happened in the account.")

FILTERS = ("type", "actor_id", "object_id", "since")
JSON_LINES = "application/x-ndjson"


class EventFilters(Schema):
    """Which events; all that are given must fit."""

    type = Text(least=1, most=64, pattern=r"^[a-z0-9_.]+$")
    actor_id = Text(most=64, pattern=ID)
    object_id = Text(most=64, pattern=ID)
    since = Instant(metadata={"description": "Inclusive."})


class EventPage(Page, EventFilters):
    """A page of them."""


class CredentialReference(Answer):
    """The credential that was used."""

    id = fields.String()
    uri = fields.String(metadata={"format": "uri"}, allow_none=True)


class PrincipalAnswer(Answer):
    """Who did it, and by which way."""

    id = fields.String(allow_none=True)
    type = fields.String(validate=validate.OneOf(["user", "bot_user", "identity_provider", "operator", "system"]))
    subject = fields.String()
    source = fields.String(validate=validate.OneOf(["dashboard", "api", "scim", "saml", "cli", "system"]))
    credential = fields.Nested(CredentialReference, allow_none=True)


class EventAnswer(Answer):
    """One event."""

    event_id = fields.String()
    uri = fields.String(metadata={"format": "uri"})
    event_type = fields.String()
    event_timestamp = Instant()
    account_id = fields.String()
    principal = fields.Nested(PrincipalAnswer)
    object = fields.Dict(keys=fields.String())
    address = fields.String(allow_none=True, metadata={"description": "From which it was asked for."})
    request_id = fields.String(allow_none=True)


def principal(id: str | None, type: str, subject: str, source: str, credential_id: str | None) -> dict[str, Any]:
    """Who acts, as events and whoami show it."""
    return events.principal(id, type, subject, source, credential_id, base_url=base_url())


def _shown(row: Event) -> dict[str, Any]:
    return events.describe(row, base_url=base_url())


@blueprint.get("/events")
@guard(Permission.EVENTS_READ)
@blueprint.arguments(EventPage, location="query")
@blueprint.response(200, listing("events", EventAnswer))
def list_events(asked: dict[str, Any]) -> dict[str, Any]:
    """The events, newest first."""
    wanted = {name: asked[name] for name in FILTERS if name in asked}
    found = page("events", events.of_account(actor().account, **wanted), Event.id, asked)
    return {**found, "events": [_shown(row) for row in found["events"]]}


@blueprint.get("/events/export")
@guard(Permission.EVENTS_READ)
@blueprint.arguments(EventFilters, location="query")
@blueprint.response(200, {"type": "string"}, content_type=JSON_LINES)
def export_events(asked: dict[str, Any]) -> Response:
    """All events that fit, oldest first, one JSON object a line."""
    account = actor().account
    lines = events.lines(account, base_url=base_url(), **asked)
    named = {"Content-Disposition": f'attachment; filename="events-{account.slug}.jsonl"'}
    return Response(lines, mimetype=JSON_LINES, headers=named)


@blueprint.get("/events/<id:id>")
@guard(Permission.EVENTS_READ)
@blueprint.response(200, EventAnswer)
def get_event(id: str) -> dict[str, Any]:
    """One event."""
    return _shown(events.get(actor().account, id))
