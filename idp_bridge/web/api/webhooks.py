"""/api/webhooks: URLs that are told of the account's events, and the log of what they were told."""

from typing import Any

from flask import Response
from marshmallow import fields, validate

from idp_bridge import webhooks
from idp_bridge.models import Webhook, WebhookDelivery
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import DESCRIPTION_BYTES, Answer, Body, Flag, Instant, Patch, Text, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Webhooks", __name__, "URLs that are told of events, signed as Standard Webhooks describes.")

PATTERN = r"^[a-z0-9_]*(\*|\.v[0-9]+)$"
WORDS = "Must be an event type, or the beginning of one and a *."


def _url(**options: Any) -> Text:
    return Text(least=9, most=2048, pattern=webhooks.URL, words="Must be an https:// URL.", **options)


class _Fields(Body):
    """What can be said of a webhook."""

    events = fields.List(
        Text(least=1, most=64, pattern=PATTERN, words=WORDS),
        validate=validate.Length(min=1, max=100),
        metadata={"description": "Which types; `user_*` stands for all that begin so, `*` for all."},
    )
    description = Text(most=DESCRIPTION_BYTES, lines=True)
    active = Flag()


class WebhookCreate(_Fields):
    """A new webhook; without `events` it is told of all."""

    url = _url(required=True)


class WebhookPatch(_Fields, Patch):
    """What is to change. Switched on again, a webhook begins anew."""

    url = _url()


class WebhookAnswer(Answer):
    """A webhook."""

    id = fields.String()
    uri = Uri("/api/webhooks/{id}")
    url = fields.String(metadata={"format": "uri"})
    events = fields.List(fields.String())
    description = fields.String()
    active = fields.Boolean()
    disabled_reason = fields.String(
        allow_none=True,
        validate=validate.OneOf([webhooks.FAILING, webhooks.GONE, None]),
        metadata={"description": "Why it was switched off by itself."},
    )
    failing_since = Instant(allow_none=True)
    secret = fields.String(
        allow_none=True,
        dump_default=None,
        metadata={"description": "In the answer to its creation and to its rotation, and never again."},
    )
    previous_secret_expires_at = Instant(allow_none=True, attribute="previous_until")
    created_at = Instant()


class AttemptAnswer(Answer):
    """One try."""

    at = Instant()
    milliseconds = fields.Integer()
    status = fields.Integer(allow_none=True, metadata={"description": "null: there was no answer."})
    error = fields.String()
    answer = fields.String(metadata={"description": "Its first 1024 bytes."})


class DeliveryAnswer(Answer):
    """An event that a webhook was told of, or is to be."""

    id = fields.String()
    uri = Uri("/api/webhooks/{webhook_id}/deliveries/{id}")
    webhook_id = fields.String()
    event_id = fields.String(metadata={"description": "The `webhook-id` of its request."})
    state = fields.String(validate=validate.OneOf([webhooks.WAITING, webhooks.DELIVERED, webhooks.GIVEN_UP]))
    attempts = fields.List(fields.Nested(AttemptAnswer))
    due_at = Instant(metadata={"description": "When it is tried next, where it waits."})
    finished_at = Instant(allow_none=True)
    created_at = Instant()


def _shown(row: Webhook, secret: str | None = None) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in ("failing_since", "previous_until", "created_at")}
    return {**webhooks.describe(row), **shown, "secret": secret}


def _webhook(id: str) -> Webhook:
    return webhooks.get(actor().account, id)


@blueprint.get("/webhooks")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("webhooks", WebhookAnswer))
def list_webhooks(asked: dict[str, Any]) -> dict[str, Any]:
    """The account's webhooks."""
    found = page("webhooks", webhooks.of_account(actor().account), Webhook.id, asked)
    return {**found, "webhooks": [_shown(row) for row in found["webhooks"]]}


@blueprint.post("/webhooks")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.arguments(WebhookCreate)
@blueprint.response(201, WebhookAnswer)
def create_webhook(body: dict[str, Any]) -> dict[str, Any]:
    """Tell a URL of events from now on. The answer alone holds the secret that signs."""
    return _shown(*webhooks.create(actor(), **body))


@blueprint.get("/webhooks/<id:id>")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.response(200, WebhookAnswer)
def get_webhook(id: str) -> dict[str, Any]:
    """One webhook."""
    return _shown(_webhook(id))


@blueprint.patch("/webhooks/<id:id>")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.arguments(WebhookPatch)
@blueprint.response(200, WebhookAnswer)
def update_webhook(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Change the URL, the types, the description, or whether it is told."""
    found = _webhook(id)
    webhooks.change(actor(), found, **body)
    return _shown(found)


@blueprint.delete("/webhooks/<id:id>")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.response(204)
def delete_webhook(id: str) -> Response:
    """Gone, with its log."""
    webhooks.delete(actor(), _webhook(id))
    return no_content()


@blueprint.post("/webhooks/<id:id>/rotate")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.response(201, WebhookAnswer)
def rotate_webhook_secret(id: str) -> dict[str, Any]:
    """A new secret; the one before signs too for 24 hours more."""
    found = _webhook(id)
    return _shown(found, webhooks.rotate(actor(), found))


@blueprint.post("/webhooks/<id:id>/test")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.response(201, DeliveryAnswer)
def test_webhook(id: str) -> WebhookDelivery:
    """Tell this webhook of an event of its own, `webhook_tested.v0`; the log shows what came of it."""
    return webhooks.test(actor(), _webhook(id))


@blueprint.get("/webhooks/<id:webhook_id>/deliveries")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("deliveries", DeliveryAnswer))
def list_webhook_deliveries(asked: dict[str, Any], webhook_id: str) -> dict[str, Any]:
    """What it was told in the last 30 days and is to be told."""
    return page("deliveries", webhooks.deliveries(_webhook(webhook_id)), WebhookDelivery.id, asked)


@blueprint.get("/webhooks/<id:webhook_id>/deliveries/<id:id>")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.response(200, DeliveryAnswer)
def get_webhook_delivery(webhook_id: str, id: str) -> WebhookDelivery:
    """One delivery, with each of its attempts."""
    return webhooks.delivery(_webhook(webhook_id), id)


@blueprint.post("/webhooks/<id:webhook_id>/deliveries/<id:id>/redeliver")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.response(201, DeliveryAnswer)
def redeliver_webhook_delivery(webhook_id: str, id: str) -> WebhookDelivery:
    """Try it again at once, with the same `webhook-id`."""
    found = _webhook(webhook_id)
    webhooks.redeliver(actor(), webhooks.delivery(found, id))
    return webhooks.delivery(found, id)
