"""Uses of credentials by day; when an operator key was used last, and deleted."""

from typing import Any

from peewee import CompositeKey, ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class Credential(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "credential"

    class CredentialUse(Model):
        credential = ForeignKeyField(Credential, on_delete="CASCADE", index=False)
        day = TextField(index=True)
        number = IntegerField()
        address = TextField(null=True)

        class Meta:
            database = db
            table_name = "credential_use"
            primary_key = CompositeKey("credential", "day")

    db.create_tables([CredentialUse])
    migrator.migrate(
        migrator.add_column("operator_key", "last_used_at", InstantField(null=True)),
        migrator.add_column("operator_key", "deleted_at", InstantField(null=True)),
    )


def down(migrator: Any, db: Any) -> None:
    for name in ("last_used_at", "deleted_at"):
        db.execute_sql(f"ALTER TABLE operator_key DROP COLUMN {name}")
    migrator.migrate(migrator.drop_table("credential_use"))
