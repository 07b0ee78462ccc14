"""One row for each sign-in through a provider, from its request to its outcome, in place of one for each step.

There is nothing to carry over: a request waits for 15 minutes at most, and the id of one from before does not name a
flow. Whoever is at her provider's sign-in page during this starts again.
"""

from typing import Any

from peewee import BlobField, BooleanField, CompositeKey, ForeignKeyField, Model, TextField

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.drop_table("authn_request"),
        migrator.drop_table("waiting_sign_in"),
        # What is over is looked for at one provider, whose rows the key lists.
        migrator.drop_index("used_assertion", "usedassertion_expires_at"),
    )
    provider = _provider(db)

    class SignInFlow(Model):
        identity_provider = ForeignKeyField(provider, on_delete="CASCADE", index=False)
        id = TextField()
        kind = TextField()
        started_at = InstantField()
        expires_at = InstantField()
        answered_at = InstantField(null=True)
        finished_at = InstantField(null=True)
        reason = TextField(null=True)
        decision = TextField(null=True)
        event_id = TextField(null=True)
        member_id = TextField(null=True)
        session_digest = TextField(null=True)
        email = TextField(null=True)
        name_id = TextField(null=True)
        address = TextField(null=True)
        user_agent = TextField(default="")
        request_id = TextField(null=True)
        force_authn = BooleanField(default=False)
        browser_digest = TextField(null=True)
        next_path = TextField(default="/")
        waiting = JsonField(null=True)
        warnings = JsonField(null=True)
        checks = JsonField(null=True)
        attributes = JsonField(null=True)
        groups = JsonField(null=True)
        roles = JsonField(null=True)

        class Meta:
            database = db
            table_name = "sign_in_flow"
            primary_key = CompositeKey("identity_provider", "id")

    SignInFlow.add_index(
        SignInFlow.index(
            SignInFlow.identity_provider,
            SignInFlow.id,
            where=SignInFlow.reason.is_null(False),
            name="sign_in_flow_refused",
        )
    )

    class SamlMessage(Model):
        identity_provider = ForeignKeyField(provider, on_delete="CASCADE", index=False)
        flow_id = TextField()
        direction = TextField()
        at = InstantField()
        xml = BlobField()
        note = TextField(null=True)

        class Meta:
            database = db
            table_name = "saml_message"
            primary_key = CompositeKey("identity_provider", "flow_id", "direction")

    db.create_tables([SignInFlow, SamlMessage])


def down(migrator: Any, db: Any) -> None:
    provider = _provider(db)

    class AuthnRequest(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(provider, on_delete="CASCADE")
        relay_state = TextField()
        browser_digest = TextField()
        next_path = TextField()
        expires_at = InstantField()
        used_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "authn_request"
            indexes = ((("expires_at",), False),)

    class WaitingSignIn(Model):
        digest = TextField(primary_key=True)
        identity_provider = ForeignKeyField(provider, on_delete="CASCADE")
        browser_digest = TextField()
        facts = JsonField()
        next_path = TextField()
        expires_at = InstantField()

        class Meta:
            database = db
            table_name = "waiting_sign_in"

    migrator.migrate(
        migrator.drop_table("saml_message"),
        migrator.drop_table("sign_in_flow"),
    )
    db.execute_sql('CREATE INDEX "usedassertion_expires_at" ON "used_assertion" ("expires_at")')
    db.create_tables([AuthnRequest, WaitingSignIn])


def _provider(db: Any) -> Any:
    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "identity_provider"

    return IdentityProvider
