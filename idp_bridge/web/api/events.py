"""/api/events: what happened, by whom, and what the thing looked like then."""

from typing import Any

from marshmallow import fields, validate

from idp_bridge import events
from idp_bridge.models import Event
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import ID, Answer, Instant, Text, Uri, listing
from idp_bridge.web.guard import actor, base_url, guard

blueprint = Blueprint("Events", __name__, "What happened in the account.")

#: Where a credential is found, by the prefix of its id.
_CREDENTIALS = {
    "ak": "/api/api_keys/{id}",
    "cr": "/api/credentials/{id}",
    "tok": "/api/identity_providers/{principal_id}/scim_tokens/{id}",
}


class EventPage(Page):
    """The filters of the list; all that are given must fit."""

    type = Text(least=1, most=64, pattern=r"^[a-z0-9_.]+$")
    actor_id = Text(most=64, pattern=ID)
    object_id = Text(most=64, pattern=ID)
    since = Instant(metadata={"description": "Inclusive."})


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
    uri = Uri("/api/events/{event_id}")
    event_type = fields.String()
    event_timestamp = Instant()
    account_id = fields.String()
    principal = fields.Nested(PrincipalAnswer)
    object = fields.Dict(keys=fields.String())


def principal(id: str | None, type: str, subject: str, source: str, credential_id: str | None) -> dict[str, Any]:
    """Who acts, as events and whoami show it."""
    return {
        "id": id,
        "type": type,
        "subject": subject,
        "source": source,
        "credential": _credential(credential_id, id) if credential_id else None,
    }


def _credential(id: str, principal_id: str | None) -> dict[str, Any]:
    path = _CREDENTIALS.get(id.partition("_")[0])
    return {"id": id, "uri": base_url() + path.format(id=id, principal_id=principal_id) if path else None}


def _shown(row: Event) -> dict[str, Any]:
    return {
        "event_id": row.id,
        "event_type": row.type,
        "event_timestamp": row.timestamp,
        "account_id": row.account_id,
        "principal": principal(
            row.principal_id, row.principal_type, row.principal_subject, row.source, row.credential_id
        ),
        "object": row.object,
    }


@blueprint.get("/events")
@guard(Permission.EVENTS_READ)
@blueprint.arguments(EventPage, location="query")
@blueprint.response(200, listing("events", EventAnswer))
def list_events(asked: dict[str, Any]) -> dict[str, Any]:
    """The events, newest first."""
    wanted = {name: asked[name] for name in ("type", "actor_id", "object_id", "since") if name in asked}
    found = page("events", events.of_account(actor().account, **wanted), Event.id, asked)
    return {**found, "events": [_shown(row) for row in found["events"]]}


@blueprint.get("/events/<id:id>")
@guard(Permission.EVENTS_READ)
@blueprint.response(200, EventAnswer)
def get_event(id: str) -> dict[str, Any]:
    """One event."""
    return _shown(events.get(actor().account, id))
