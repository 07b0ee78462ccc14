"""The outbox, each message written in the transaction of what it tells of; who asked for a new password; and which
member or bot user an invitation is from, so that it is worth no more than what they may do."""

from typing import Any

from peewee import ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class Mail(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, null=True, on_delete="CASCADE")
        kind = TextField()
        about = TextField(null=True, index=True)
        recipient = TextField()
        sealed = TextField(null=True)
        attempts = IntegerField()
        due_at = InstantField()
        expires_at = InstantField()
        sent_at = InstantField(null=True)
        error = TextField()
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "mail"

    class PasswordReset(Model):
        id = TextField(primary_key=True)
        email = TextField()
        email_key = TextField(index=True)
        digest = TextField(null=True, unique=True)
        asked_at = InstantField()
        answered_at = InstantField(null=True)
        expires_at = InstantField(index=True)
        used_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "password_reset"

    Mail.add_index(Mail.index(Mail.due_at, where=Mail.sealed.is_null(False), name="mail_waiting"))
    db.create_tables([Mail, PasswordReset])
    migrator.migrate(migrator.add_column("invitation", "invited_by_id", TextField(null=True)))


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE invitation DROP COLUMN invited_by_id")
    migrator.migrate(migrator.drop_table("password_reset"), migrator.drop_table("mail"))
