"""Webhooks: who is told of events, what has been told, and which receipts wait for that."""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.operations import Event
from idp_bridge.models.reference import reference


class Webhook(Base):
    """A URL of the account's own that is told of its events (webhooks.py). Its secrets are sealed, not digested: they
    sign."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    url = TextField()
    events = JsonField()  # which types, a * at the end of one stands for the rest
    description = TextField(default="")
    active = BooleanField(default=True)
    disabled_reason = TextField(default="")  # failing | gone: why we switched it off
    failing_since = InstantField(null=True)
    secret = TextField()
    previous_secret = TextField(null=True)
    previous_until = InstantField(null=True)
    busy_until = InstantField()  # a process is at it
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "id"), False),)


class WebhookDelivery(Base):
    """An event that a webhook is to be told of, or was."""

    id = TextField(primary_key=True)
    webhook = reference(Webhook, index=False)
    webhook_id: str
    event = reference(Event)
    event_id: str
    state = TextField(default="waiting")  # waiting | delivered | given_up
    ordered_by = TextField(null=True)  # the object of the event: what is told of one object is told in order
    position = BigIntegerField(default=0)  # in that order: the chain's
    attempts = JsonField(default=list)  # [{at, milliseconds, status, error, answer}, ...]
    due_at = InstantField()
    expires_at = InstantField()
    finished_at = InstantField(null=True)
    created_at = InstantField()

    class Meta:
        indexes = ((("webhook", "id"), False),)


# What was delivered is only looked at; what waits is many where a receiver was away.
for _name, _columns in {
    "webhook_delivery_next": (WebhookDelivery.webhook, WebhookDelivery.position, WebhookDelivery.id),
    "webhook_delivery_due": (WebhookDelivery.webhook, WebhookDelivery.due_at),
    "webhook_delivery_expiring": (WebhookDelivery.expires_at,),
}.items():
    WebhookDelivery.add_index(WebhookDelivery.index(*_columns, where=WebhookDelivery.state == "waiting", name=_name))


class Receipt(Base):
    """A deactivation of which a receipt is still to be written (receipts.py), at the latest at ``due_at``."""

    event = reference(Event, primary_key=True)
    event_id: str
    due_at = InstantField()
