"""The first schema: accounts, people, members, roles, providers, directories, credentials, sessions, events."""

# ruff: noqa: F403, F405 - the frozen tables below use peewee's names as its generator writes them
from typing import Any

from peewee import *

from idp_bridge.db import InstantField, JsonField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)
        slug = TextField(unique=True)
        name = TextField()
        plan = TextField()
        seats = IntegerField(null=True)
        sso_mode = TextField(default="mixed")
        password_sessions_after = InstantField(null=True)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "account"

    db.create_tables([Account])

    class IdentityProvider(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        name = TextField()
        description = TextField(default="")
        entity_id = TextField()
        sso_url = TextField()
        sso_binding = TextField(default="redirect")
        slo_url = TextField(null=True)
        certificates = JsonField()
        enabled = BooleanField(default=True)
        allow_idp_initiated = BooleanField(default=False)
        join_policy = TextField(default="invite_only")
        default_roles = JsonField()
        domains = JsonField()
        attribute_mapping = JsonField()
        may_grant_admin = BooleanField(default=False)
        strict_scim = BooleanField(default=False)
        sign_authn_requests = BooleanField(default=False)
        want_assertions_encrypted = BooleanField(default=False)
        force_authn = BooleanField(default=False)
        sp_key = TextField(null=True)
        sp_certificate = TextField(null=True)
        metadata_url = TextField(null=True)
        created_at = InstantField()
        changed_at = InstantField()
        administrator_signed_in_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "identity_provider"
            indexes = ((("account", "entity_id"), False),)

    db.create_tables([IdentityProvider])

    class AuthnRequest(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE")
        relay_state = TextField()
        browser_digest = TextField()
        next_path = TextField()
        expires_at = InstantField()
        used_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "authn_request"
            indexes = ((("expires_at",), False),)

    db.create_tables([AuthnRequest])

    class BotUser(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        name = TextField()
        name_key = TextField()
        description = TextField(default="")
        metadata = TextField(default="")
        roles = JsonField()
        active = BooleanField(default=True)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "bot_user"
            indexes = ((("account", "name_key"), True),)

    db.create_tables([BotUser])

    class Person(Model):
        id = TextField(primary_key=True)
        email = TextField(null=True)
        email_key = TextField(index=True, null=True)
        password_hash = TextField(null=True)
        vouched = BooleanField(default=False)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "person"

    db.create_tables([Person])

    class Member(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        person = ForeignKeyField(Person, on_delete="CASCADE", index=False)
        email = TextField()
        email_key = TextField()
        name = TextField(default="")
        first_name = TextField(default="")
        last_name = TextField(default="")
        managed_by = TextField()
        identity_provider = ForeignKeyField(IdentityProvider, null=True, on_delete="SET NULL")
        active = BooleanField(default=True)
        held = BooleanField(default=False)
        directory_active = BooleanField(default=True)
        removed_at = InstantField(null=True)
        sessions_after = InstantField()
        last_login_at = InstantField(null=True)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "member"
            indexes = (
                (("account", "email_key"), False),
                (("person", "account"), False),
                (("account", "active"), False),
            )

    db.create_tables([Member])

    class Credential(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        kind = TextField()
        member = ForeignKeyField(Member, null=True, on_delete="CASCADE")
        bot_user = ForeignKeyField(BotUser, null=True, on_delete="CASCADE")
        description = TextField(default="")
        metadata = TextField(default="")
        acl = JsonField()
        token_digest = TextField(unique=True, null=True)
        public_key = TextField(null=True)
        fingerprint = TextField(unique=True, null=True)
        created_at = InstantField()
        expires_at = InstantField(null=True)
        last_used_at = InstantField(null=True)
        last_used_address = TextField(null=True)

        class Meta:
            database = db
            table_name = "credential"
            indexes = ((("account", "kind", "id"), False),)

    db.create_tables([Credential])

    class DirectoryGroup(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        display_name = TextField()
        display_name_key = TextField()
        external_id = TextField(null=True)
        resource = JsonField()
        version = IntegerField(default=1)
        created_at = InstantField()
        modified_at = InstantField()

        class Meta:
            database = db
            table_name = "directory_group"
            indexes = (
                (("identity_provider", "display_name_key"), True),
                (("identity_provider", "external_id", "id"), False),
                (("identity_provider", "id"), False),
            )

    db.create_tables([DirectoryGroup])

    class DirectoryUser(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        member = ForeignKeyField(Member, null=True, on_delete="SET NULL")
        user_name = TextField()
        user_name_key = TextField()
        external_id = TextField(null=True)
        active = BooleanField(default=True)
        resource = JsonField()
        version = IntegerField(default=1)
        created_at = InstantField()
        modified_at = InstantField()
        deleted_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "directory_user"

    DirectoryUser.add_index(
        DirectoryUser.index(
            DirectoryUser.identity_provider,
            DirectoryUser.user_name_key,
            unique=True,
            where=DirectoryUser.deleted_at.is_null(),
            name="directory_user_live_user_name",
        )
    )
    DirectoryUser.add_index(
        DirectoryUser.index(
            DirectoryUser.identity_provider,
            DirectoryUser.user_name_key,
            where=DirectoryUser.deleted_at.is_null(False),
            name="directory_user_left_user_name",
        )
    )
    DirectoryUser.add_index(DirectoryUser.identity_provider, DirectoryUser.external_id, DirectoryUser.id)
    DirectoryUser.add_index(
        DirectoryUser.index(
            DirectoryUser.identity_provider,
            DirectoryUser.id,
            DirectoryUser.deleted_at,
            where=DirectoryUser.deleted_at.is_null(),
            name="directory_user_live",
        )
    )
    db.create_tables([DirectoryUser])

    class Event(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        type = TextField()
        timestamp = InstantField()
        principal_id = TextField(null=True)
        principal_type = TextField()
        principal_subject = TextField()
        source = TextField()
        credential_id = TextField(null=True)
        object_id = TextField(null=True)
        object = JsonField()
        address = TextField(null=True)
        request_id = TextField(null=True)

        class Meta:
            database = db
            table_name = "event"
            indexes = (
                (("account", "id"), False),
                (("account", "object_id", "id"), False),
                (("account", "principal_id", "id"), False),
                (("account", "type", "id"), False),
            )

    db.create_tables([Event])

    class GroupMember(Model):
        id = BigAutoField()
        group = ForeignKeyField(DirectoryGroup, on_delete="CASCADE", index=False)
        user = ForeignKeyField(DirectoryUser, on_delete="CASCADE")
        sent = JsonField(null=True)

        class Meta:
            database = db
            table_name = "group_member"
            indexes = ((("group", "user"), True),)

    db.create_tables([GroupMember])

    class IdentityLink(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        name_id_format = TextField()
        name_id = TextField()
        member = ForeignKeyField(Member, on_delete="CASCADE")
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "identity_link"
            primary_key = CompositeKey("identity_provider", "name_id_format", "name_id")

    db.create_tables([IdentityLink])

    class Invitation(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        email = TextField()
        email_key = TextField()
        roles = JsonField()
        token_digest = TextField(unique=True)
        invited_by = TextField()
        expires_at = InstantField()
        accepted_at = InstantField(null=True)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "invitation"
            indexes = ((("account", "email_key"), False),)

    db.create_tables([Invitation])

    class MemberRole(Model):
        member = ForeignKeyField(Member, on_delete="CASCADE", index=False)
        role = TextField()
        source = TextField()
        mapping_id = TextField(default="")
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "member_role"
            primary_key = CompositeKey("member", "role", "source", "mapping_id")

    db.create_tables([MemberRole])

    class OneTimeLink(Model):
        digest = TextField(primary_key=True)
        purpose = TextField()
        person = ForeignKeyField(Person, on_delete="CASCADE")
        account = ForeignKeyField(Account, on_delete="CASCADE")
        expires_at = InstantField()
        used_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "one_time_link"

    db.create_tables([OneTimeLink])

    class OperatorKey(Model):
        id = TextField(primary_key=True)
        name = TextField()
        token_digest = TextField(unique=True)
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "operator_key"

    db.create_tables([OperatorKey])

    class RecoveryCode(Model):
        id = BigAutoField()
        member = ForeignKeyField(Member, on_delete="CASCADE")
        code_hash = TextField()
        used_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "recovery_code"

    db.create_tables([RecoveryCode])

    class Role(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        name = TextField()
        name_key = TextField()
        description = TextField(default="")
        permissions = JsonField()
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "role"
            indexes = ((("account", "name_key"), True),)

    db.create_tables([Role])

    class RoleMapping(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        group = ForeignKeyField(DirectoryGroup, null=True, on_delete="SET NULL")
        group_display_name = TextField()
        group_key = TextField()
        role = TextField()
        created_at = InstantField()

        class Meta:
            database = db
            table_name = "role_mapping"
            indexes = ((("identity_provider", "group_key", "role"), True),)

    db.create_tables([RoleMapping])

    class ScimToken(Model):
        id = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE")
        description = TextField(default="")
        token_digest = TextField(unique=True)
        ends_with = TextField()
        created_at = InstantField()
        expires_at = InstantField(null=True)
        last_used_at = InstantField(null=True)

        class Meta:
            database = db
            table_name = "scim_token"

    db.create_tables([ScimToken])

    class Session(Model):
        digest = TextField(primary_key=True)
        person = ForeignKeyField(Person, on_delete="CASCADE")
        account = ForeignKeyField(Account, on_delete="CASCADE")
        reach = ForeignKeyField(Account, null=True, on_delete="CASCADE")
        identity_provider = ForeignKeyField(IdentityProvider, null=True, on_delete="CASCADE")
        method = TextField()
        session_index = TextField(null=True)
        name_id = TextField(null=True)
        created_at = InstantField()
        seen_at = InstantField()
        expires_at = InstantField()

        class Meta:
            database = db
            table_name = "session"

    db.create_tables([Session])

    class UsedAssertion(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        assertion_id = TextField()
        expires_at = InstantField()

        class Meta:
            database = db
            table_name = "used_assertion"
            primary_key = CompositeKey("identity_provider", "assertion_id")
            indexes = ((("expires_at",), False),)

    db.create_tables([UsedAssertion])

    class WaitingSignIn(Model):
        digest = TextField(primary_key=True)
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE")
        browser_digest = TextField()
        facts = JsonField()
        next_path = TextField()
        expires_at = InstantField()

        class Meta:
            database = db
            table_name = "waiting_sign_in"

    db.create_tables([WaitingSignIn])


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("waiting_sign_in"))
    migrator.migrate(migrator.drop_table("used_assertion"))
    migrator.migrate(migrator.drop_table("session"))
    migrator.migrate(migrator.drop_table("scim_token"))
    migrator.migrate(migrator.drop_table("role_mapping"))
    migrator.migrate(migrator.drop_table("role"))
    migrator.migrate(migrator.drop_table("recovery_code"))
    migrator.migrate(migrator.drop_table("operator_key"))
    migrator.migrate(migrator.drop_table("one_time_link"))
    migrator.migrate(migrator.drop_table("member_role"))
    migrator.migrate(migrator.drop_table("invitation"))
    migrator.migrate(migrator.drop_table("identity_link"))
    migrator.migrate(migrator.drop_table("group_member"))
    migrator.migrate(migrator.drop_table("event"))
    migrator.migrate(migrator.drop_table("directory_user"))
    migrator.migrate(migrator.drop_table("directory_group"))
    migrator.migrate(migrator.drop_table("credential"))
    migrator.migrate(migrator.drop_table("member"))
    migrator.migrate(migrator.drop_table("person"))
    migrator.migrate(migrator.drop_table("bot_user"))
    migrator.migrate(migrator.drop_table("authn_request"))
    migrator.migrate(migrator.drop_table("identity_provider"))
    migrator.migrate(migrator.drop_table("account"))
