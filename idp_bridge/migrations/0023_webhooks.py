"""Webhooks, what they are told, and the receipts of deactivations that wait for it."""

from typing import Any

from peewee import BigIntegerField, BooleanField, ForeignKeyField, Model, TextField

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class Event(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "event"

    class Webhook(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE")
        url = TextField()
        events = JsonField()
        description = TextField()
        active = BooleanField()
        disabled_reason = TextField()
        failing_since = InstantField(null=True)
        secret = TextField()
        previous_secret = TextField(null=True)
        previous_until = InstantField(null=True)
        busy_until = InstantField()
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "webhook"

    class WebhookDelivery(Model):
        id = TextField(primary_key=True)
        webhook = ForeignKeyField(Webhook, on_delete="CASCADE", index=False)
        event = ForeignKeyField(Event, on_delete="CASCADE")
        state = TextField()
        ordered_by = TextField(null=True)
        position = BigIntegerField()
        attempts = JsonField()
        due_at = InstantField()
        expires_at = InstantField()
        finished_at = InstantField(null=True)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "webhook_delivery"
            indexes = ((("webhook", "id"), False),)

    class Receipt(Model):
        event = ForeignKeyField(Event, primary_key=True, on_delete="CASCADE")
        due_at = InstantField()

        class Meta:
            database = db
            table_name = "receipt"

    WebhookDelivery.add_index(
        WebhookDelivery.index(
            WebhookDelivery.webhook,
            WebhookDelivery.ordered_by,
            WebhookDelivery.position,
            where=WebhookDelivery.state == "waiting",
            name="webhook_delivery_waiting",
        )
    )
    db.create_tables([Webhook, WebhookDelivery, Receipt])


def down(migrator: Any, db: Any) -> None:
    for table in ("receipt", "webhook_delivery", "webhook"):
        migrator.migrate(migrator.drop_table(table))
