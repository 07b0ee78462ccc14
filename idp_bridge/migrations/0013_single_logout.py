"""Sessions know how the assertion named their person, and are found by it; logout messages, sent and received."""

from typing import Any

from peewee import BooleanField, CompositeKey, ForeignKeyField, Model, TextField

from idp_bridge.db import InstantField, JsonField

ADDED: dict[str, Any] = {
    "name_id_format": TextField(null=True),
    "name_qualifier": TextField(null=True),
    "sp_name_qualifier": TextField(null=True),
}


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        *(migrator.add_column("session", name, field) for name, field in ADDED.items()),
        migrator.drop_index("session", "session_identity_provider_id"),
        migrator.add_index("session", ("identity_provider_id", "name_id")),
    )
    # What a session of today lacks is known: a NameID of its provider has one format, or it is not told.
    db.execute_sql(
        "UPDATE session SET name_id_format = (SELECT MIN(link.name_id_format) FROM identity_link AS link"
        " WHERE link.identity_provider_id = session.identity_provider_id AND link.name_id = session.name_id"
        " GROUP BY link.name_id HAVING COUNT(*) = 1) WHERE name_id IS NOT NULL"
    )
    db.create_tables(_models(db))


def down(migrator: Any, db: Any) -> None:
    db.drop_tables(list(reversed(_models(db))))
    migrator.migrate(
        migrator.drop_index("session", "session_identity_provider_id_name_id"),
        migrator.add_index("session", ("identity_provider_id",)),
    )
    for name in reversed(ADDED):
        db.execute_sql(f"ALTER TABLE session DROP COLUMN {name}")


def _models(db: Any) -> list[type[Model]]:
    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            legacy_table_names = False

    class SentLogout(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE")
        browser_digest = TextField()
        complete = BooleanField(null=True)
        expires_at = InstantField(index=True)

        class Meta:
            database = db
            legacy_table_names = False

    class ReceivedLogout(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        request_id = TextField()
        name_id = TextField()
        session_indexes = JsonField()
        issued_at = InstantField()
        expires_at = InstantField(index=True)

        class Meta:
            database = db
            legacy_table_names = False
            primary_key = CompositeKey("identity_provider", "request_id")
            indexes = ((("identity_provider", "name_id"), False),)

    return [SentLogout, ReceivedLogout]
