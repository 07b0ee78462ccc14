"""Our keys are rows of their own: several for one connection, so that they can be rolled over."""

from typing import Any

from peewee import SQL, ForeignKeyField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "identity_provider"

    class ServiceProviderKey(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE")
        state = TextField()
        private_key = TextField()
        certificate = TextField()
        created_at = InstantField()
        changed_at = InstantField()

        class Meta:
            database = db
            table_name = "service_provider_key"

    db.create_tables([ServiceProviderKey])
    db.execute(
        ServiceProviderKey.index(
            ServiceProviderKey.identity_provider,
            ServiceProviderKey.state,
            unique=True,
            where=SQL("state <> 'former'"),
            name="service_provider_key_one_in_its_state",
        )
    )
    db.execute_sql(_CARRY_OVER)
    for column in ("sp_key", "sp_certificate"):
        db.execute_sql(f"ALTER TABLE identity_provider DROP COLUMN {column}")


_CARRY_OVER = """
INSERT INTO service_provider_key (id, identity_provider_id, state, private_key, certificate, created_at, changed_at)
SELECT 'spk_' || substr(id, 5), id, 'current', sp_key, sp_certificate, created_at, created_at
FROM identity_provider WHERE sp_key IS NOT NULL
"""


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.add_column("identity_provider", "sp_key", TextField(null=True)),
        migrator.add_column("identity_provider", "sp_certificate", TextField(null=True)),
    )
    for column, kept in (("sp_key", "private_key"), ("sp_certificate", "certificate")):
        db.execute_sql(_CARRY_BACK.format(column=column, kept=kept))
    migrator.migrate(migrator.drop_table("service_provider_key"))


_CARRY_BACK = """
UPDATE identity_provider SET {column} = (
    SELECT {kept} FROM service_provider_key
    WHERE identity_provider_id = identity_provider.id AND state = 'current'
)
"""
