"""What an account keeps of an identity provider: trust, keys, SCIM tokens, notices."""

from __future__ import annotations

from peewee import SQL, BooleanField, CompositeKey, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.reference import reference


class IdentityProvider(Base):
    """One SAML connection of an account, and the directory that its SCIM tokens push to."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    name = TextField()
    description = TextField(default="")
    entity_id = TextField()
    sso_url = TextField()
    sso_binding = TextField(default="redirect")  # redirect | post
    slo_url = TextField(null=True)
    certificates = JsonField()  # [{pem, fingerprint_sha256, not_before, not_after}]
    enabled = BooleanField(default=True)
    allow_idp_initiated = BooleanField(default=False)
    join_policy = TextField(default="invite_only")  # jit | invite_only
    default_roles = JsonField()  # [role name]
    domains = JsonField()  # [domain]; empty = any
    attribute_mapping = JsonField()  # {email, first_name, last_name, groups} -> attribute name, "NameID" or null
    may_grant_admin = BooleanField(default=False)
    strict_scim = BooleanField(default=False)
    sign_authn_requests = BooleanField(default=False)
    want_assertions_encrypted = BooleanField(default=False)
    force_authn = BooleanField(default=False)
    metadata_url = TextField(null=True)
    created_at = InstantField()
    changed_at = InstantField()  # of what a sign-in rests on
    administrator_signed_in_at = InstantField(null=True)  # began to; enforcement wants one later than changed_at
    slo_binding = TextField(default="redirect")  # redirect | post
    slo_response_url = TextField(null=True)  # where answers to its logout requests go, if elsewhere
    require_gcm = BooleanField(default=False)  # AES-CBC is refused
    allow_weak_signatures = BooleanField(default=False)  # SHA-1, and RSA keys under 2048 bits
    bounce_idp_initiated = BooleanField(default=False)  # such a sign-in only begins one of our own
    name_id_format = TextField(null=True)  # asked for in requests; NULL = none is asked for
    redact_sign_in_flows = BooleanField(default=False)  # messages are kept without what they say of people
    metadata_certificate = TextField(null=True)  # PEM: metadata signed by its key is taken without asking
    metadata_checked_at = InstantField(null=True)
    metadata_valid_until = InstantField(null=True)
    metadata_error = TextField(null=True)  # why the last refresh took nothing; for an administrator
    pending_trust = JsonField(null=True)  # what a refresh found and an administrator must accept
    off_by_plan = BooleanField(default=False)  # switched off by a plan without it, so back on with one that has it
    proven_by = TextField(null=True)  # usr_: who signed in then; it is a proof while she is an administrator
    trusted_with_administrators = BooleanField(default=True)  # an administrator stands behind what it is trusted by
    groups_overage_at = InstantField(null=True)  # when somebody last came whose groups were only linked to
    kind = TextField(null=True)  # of which product it was said to be (providers/); NULL: nobody said
    set_up_step = TextField(null=True)  # where its set-up was left; NULL: it is not being set up

    class Meta:
        indexes = ((("account", "entity_id"), False), (("account", "id"), False))


class ServiceProviderKey(Base):
    """A key pair of ours for one connection (sp_keys.py). Ids ``spk_``."""

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    state = TextField()  # next | current | former
    private_key = TextField()  # sealed (keyring.py)
    certificate = TextField()  # PEM
    created_at = InstantField()
    changed_at = InstantField()  # when it came into its state

    class Meta:
        indexes = ((("identity_provider", "id"), False),)


ServiceProviderKey.add_index(
    ServiceProviderKey.index(
        ServiceProviderKey.identity_provider,
        ServiceProviderKey.state,
        unique=True,
        where=SQL("state <> 'former'"),
        name="service_provider_key_one_in_its_state",
    )
)


class ScimToken(Base):
    """A bearer token that opens one directory."""

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    description = TextField(default="")
    token_digest = TextField(unique=True)
    ends_with = TextField()
    created_at = InstantField()
    expires_at = InstantField(null=True)
    last_used_at = InstantField(null=True)

    class Meta:
        indexes = ((("identity_provider", "id"), False),)


class CertificateNotice(Base):
    """That a certificate of either side runs out in so many days was told (certificate_notices.py)."""

    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    fingerprint_sha256 = TextField()
    days = IntegerField()
    noticed_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "fingerprint_sha256", "days")
