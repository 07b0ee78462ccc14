"""Bot users, and the secrets that machines show."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.members import Member
from idp_bridge.models.reference import reference


class BotUser(Base):
    """A service account: owns credentials, belongs to one account, cannot sign in, is never a seat."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    name = TextField()
    name_key = TextField()
    description = TextField(default="")
    metadata = TextField(default="")
    roles = JsonField()
    active = BooleanField(default=True)
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "name_key"), True), (("account", "id"), False))


class Credential(Base):
    """An authtoken, API key or SSH public key of one member or one bot user, for ever of that one."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    kind = TextField()  # authtoken | api_key | ssh_public_key
    member = reference(Member, null=True, index=False)
    member_id: str | None
    bot_user = reference(BotUser, null=True, index=False)
    bot_user_id: str | None
    description = TextField(default="")
    metadata = TextField(default="")
    acl = JsonField()
    token_digest = TextField(null=True, unique=True)
    public_key = TextField(null=True)
    fingerprint = TextField(null=True, unique=True)  # SHA256:... as ssh-keygen prints it
    created_at = InstantField()
    expires_at = InstantField(null=True)
    last_used_at = InstantField(null=True)
    last_used_address = TextField(null=True)
    made_through = TextField(null=True)  # idp_: whose word opened the session that it was made in; may be gone

    class Meta:
        indexes = (
            (("account", "kind", "id"), False),
            (("member", "kind", "id"), False),
            (("bot_user", "kind", "id"), False),
        )


class OperatorKey(Base):
    """A key of the product's own edge: introspection and usage for every account, nothing else. It has no account whose
    events could tell of it, so the row itself stays when the key is deleted."""

    id = TextField(primary_key=True)
    name = TextField()
    token_digest = TextField(unique=True)
    created_at = InstantField()
    last_used_at = InstantField(null=True)
    deleted_at = InstantField(null=True)


class CredentialUse(Base):
    """How often a credential was used on one day (UTC), and from where last: kept for a month (last_uses.py)."""

    credential = reference(Credential, index=False)
    credential_id: str
    day = TextField(index=True)  # 2026-11-25
    number = IntegerField()
    address = TextField(null=True)

    class Meta:
        primary_key = CompositeKey("credential", "day")
