"""The first answers to requests that carry an idempotency key."""

from typing import Any

from peewee import ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class IdempotentAnswer(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE")
        said = TextField()
        status = IntegerField(null=True)
        sealed = TextField(null=True)
        expires_at = InstantField(index=True)

        class Meta:
            database = db
            table_name = "idempotent_answer"

    db.create_tables([IdempotentAnswer])


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("idempotent_answer"))
