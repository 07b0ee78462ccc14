"""Schema extensions of an account's own, and the version by which their readers notice a change."""

from typing import Any

from peewee import ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("account", "extensions_version", IntegerField(default=0)))

    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class SchemaExtension(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        urn = TextField()
        urn_key = TextField()
        name = TextField()
        description = TextField(default="")
        resource_type = TextField()
        attributes = JsonField()
        created_at = InstantField()
        changed_at = InstantField()

        class Meta:
            database = db
            table_name = "schema_extension"
            indexes = ((("account", "urn_key"), True),)

    db.create_tables([SchemaExtension])


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("schema_extension"))
    migrator.migrate(migrator.drop_column("account", "extensions_version"))
