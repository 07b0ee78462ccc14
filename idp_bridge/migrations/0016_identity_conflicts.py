"""Questions of who somebody is that wait for an administrator, and when a provider last left a person's groups out."""

from typing import Any

from peewee import ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

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

    class IdentityConflict(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        kind = TextField()
        case_digest = TextField()
        email = TextField()
        name_id = TextField(null=True)
        name_id_format = TextField(null=True)
        user_name = TextField(null=True)
        candidates = JsonField()
        state = TextField(default="open")
        member = ForeignKeyField(Member, null=True, on_delete="SET NULL")
        decided_by = TextField(default="")
        decided_at = InstantField(null=True)
        occurrences = IntegerField(default=1)
        created_at = InstantField()
        seen_at = InstantField()

        class Meta:
            database = db
            table_name = "identity_conflict"
            indexes = ((("identity_provider", "case_digest"), True), (("account", "state", "id"), False))

    db.create_tables([IdentityConflict])
    migrator.migrate(migrator.add_column("identity_provider", "groups_overage_at", InstantField(null=True)))


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE identity_provider DROP COLUMN groups_overage_at")
    migrator.migrate(migrator.drop_table("identity_conflict"))
