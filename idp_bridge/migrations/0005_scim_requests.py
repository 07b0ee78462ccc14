"""The request log of each directory. There is nothing to fill it from: it begins with the first request after this."""

from typing import Any

from peewee import CompositeKey, ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "identity_provider"

    class ScimRequest(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        id = TextField()
        token_id = TextField()
        timestamp = InstantField()
        method = TextField()
        path = TextField()
        query = TextField()
        status = IntegerField()
        microseconds = IntegerField()
        resource_id = TextField(null=True)
        resource_name = TextField(null=True)
        cause = TextField(null=True)
        error = TextField(null=True)
        scim_type = TextField(null=True)
        skipped = IntegerField(default=0)
        address = TextField(null=True)
        user_agent = TextField()
        request_id = TextField(null=True)
        request_body = TextField(null=True)
        response_body = TextField(null=True)
        before = JsonField(null=True)
        after = JsonField(null=True)

        class Meta:
            database = db
            table_name = "scim_request"
            primary_key = CompositeKey("identity_provider", "id")

    ScimRequest.add_index(
        ScimRequest.index(
            ScimRequest.identity_provider,
            ScimRequest.id,
            ScimRequest.cause,
            where=ScimRequest.cause.is_null(False),
            name="scim_request_failed",
        )
    )
    db.create_tables([ScimRequest])


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("scim_request"))
