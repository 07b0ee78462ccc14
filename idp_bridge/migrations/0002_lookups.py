"""What providers look up is found by index: users by e-mail address, by position, and by what has changed since."""

import unicodedata
from typing import Any

from peewee import CompositeKey, ForeignKeyField, IntegerField, Model, TextField, chunked

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "identity_provider"

    class DirectoryUser(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        user_name_key = TextField()
        resource = JsonField()
        modified_at = InstantField()
        deleted_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "directory_user"

    class DirectoryGroup(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        modified_at = InstantField()

        class Meta:
            database = db
            table_name = "directory_group"

    class DirectoryEmail(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        value_key = TextField()
        user = ForeignKeyField(DirectoryUser, on_delete="CASCADE")

        class Meta:
            database = db
            table_name = "directory_email"
            primary_key = CompositeKey("identity_provider", "value_key", "user")

    class DirectorySpan(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        first_id = TextField()
        next_id = TextField(null=True)
        number = IntegerField()

        class Meta:
            database = db
            table_name = "directory_span"
            primary_key = CompositeKey("identity_provider", "first_id")

    db.create_tables([DirectoryEmail, DirectorySpan])
    db.execute(
        DirectoryUser.index(
            DirectoryUser.identity_provider,
            DirectoryUser.modified_at,
            DirectoryUser.id,
            where=DirectoryUser.deleted_at.is_null(),
            name="directory_user_live_modified",
        )
    )
    db.execute(DirectoryGroup.index(DirectoryGroup.identity_provider, DirectoryGroup.modified_at, DirectoryGroup.id))
    _fill_emails(DirectoryUser, DirectoryEmail)
    db.execute_sql(_FILL_SPANS)


_FILL_SPANS = """
INSERT INTO directory_span (identity_provider_id, first_id, next_id, number)
SELECT identity_provider_id,
       CASE WHEN place = 0 THEN '' ELSE start_id END,
       LEAD(start_id) OVER (PARTITION BY identity_provider_id ORDER BY place),
       number
FROM (
    SELECT identity_provider_id, place, MIN(id) AS start_id, COUNT(*) AS number
    FROM (
        SELECT identity_provider_id, id,
               (ROW_NUMBER() OVER (PARTITION BY identity_provider_id ORDER BY id) - 1) / 500 AS place
        FROM directory_user
        WHERE deleted_at IS NULL
    ) AS numbered
    GROUP BY identity_provider_id, place
) AS cut
"""


def _fill_emails(users: Any, emails: Any) -> None:
    last = ""
    page = users.select(users.id, users.identity_provider, users.user_name_key, users.resource).order_by(users.id)
    while found := list(page.where(users.id > last).limit(1000).tuples()):
        rows = [
            {"identity_provider": directory, "value_key": key, "user": user_id}
            for user_id, directory, user_name_key, resource in found
            for key in sorted(_keys(resource) - {user_name_key})
        ]
        for batch in chunked(rows, 200):
            emails.insert_many(batch).execute()
        last = found[-1][0]


def _keys(resource: Any) -> set[str]:
    return {_folded(entry["value"])[:320] for entry in resource.get("emails", ()) if entry.get("value")}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.drop_index("directory_group", "directorygroup_identity_provider_id_modified_at_id"),
        migrator.drop_index("directory_user", "directory_user_live_modified"),
        migrator.drop_table("directory_span"),
        migrator.drop_table("directory_email"),
    )
