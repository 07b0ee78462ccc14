"""A connection begins as a draft and is set up in steps; a link lets somebody without an account do that.

Of those that are there nobody has said which product they are of, and none is being set up.
"""

from typing import Any

from peewee import ForeignKeyField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.add_column("identity_provider", "kind", TextField(null=True)),
        migrator.add_column("identity_provider", "set_up_step", TextField(null=True)),
    )

    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "identity_provider"

    class Member(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "member"

    class SetUpLink(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE")
        made_by = ForeignKeyField(Member, on_delete="CASCADE")
        digest = TextField(unique=True)
        browser_digest = TextField(null=True, unique=True)
        created_at = InstantField()
        expires_at = InstantField()
        opened_at = InstantField(null=True)
        revoked_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "set_up_link"

    db.create_tables([SetUpLink])


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("set_up_link"))
    for name in ("set_up_step", "kind"):
        db.execute_sql(f"ALTER TABLE identity_provider DROP COLUMN {name}")
