"""Tables, columns and indexes. No rules: those are in the modules named for the nouns.

Rows that a client may see have a typed id (ids.py) as their key. ``*_key`` columns hold the folded form of the column
beside them (text.fold), which is what unique indexes and lookups use. Deleting an account deletes all that hangs on it.

What depends on an owner's state is not copied but joined: a credential works while its owner is active, a member has a
role while a mapping and a membership say so. So a suspension or a removed group member takes effect with the one row
that changes, and nothing can be left half updated.
"""

from __future__ import annotations

from typing import Any

from peewee import SQL, BigAutoField, BlobField, BooleanField, CompositeKey, ForeignKeyField, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField


def _reference(model: Any, **options: Any) -> ForeignKeyField:
    """A foreign key that cascades; its raw value is ``<name>_id``, declared beside each for the types.

    ``index=False`` where a composite index or key below begins with the column.
    """
    return ForeignKeyField(model, on_delete=options.pop("on_delete", "CASCADE"), **options)


class Account(Base):
    """A customer: has a plan, seats and members; every other row belongs to one."""

    id = TextField(primary_key=True)
    slug = TextField(unique=True)
    name = TextField()
    plan = TextField()
    seats = IntegerField(null=True)  # the limit; NULL = none
    sso_mode = TextField(default="mixed")  # mixed | enforced
    password_sessions_after = InstantField(null=True)  # set by enforcing: older password sessions never reach it again
    extensions_version = IntegerField(default=0)  # one more with each change of its schema extensions; 0 = never any
    created_at = InstantField()


class SeatCount(Base):
    """How many active members an account has: a number beside them, because to count them takes longer the more there
    are. seats.py keeps it in the transaction that makes a member active or ends that (docs/decisions/0007)."""

    account = _reference(Account, primary_key=True)
    account_id: str
    used = IntegerField(default=0)


class Person(Base):
    """Somebody who can sign in by herself. ``email`` is what she signs in with, NULL where only an identity provider
    speaks of her. Two people may give one address: only a password shows that they are the same (people.py)."""

    id = TextField(primary_key=True)
    email = TextField(null=True)
    email_key = TextField(null=True)
    password_hash = TextField(null=True)
    created_at = InstantField()


# Most people are a provider's word only, and have no address of their own.
Person.add_index(Person.index(Person.email_key, where=Person.email_key.is_null(False), name="person_own_email"))


class IdentityProvider(Base):
    """One SAML connection of an account, and the directory that its SCIM tokens push to."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
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
    administrator_signed_in_at = InstantField(null=True)  # enforcement wants one later than changed_at
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

    class Meta:
        indexes = ((("account", "entity_id"), False),)


class ServiceProviderKey(Base):
    """A key pair of ours for one connection (sp_keys.py). Ids ``spk_``."""

    id = TextField(primary_key=True)
    identity_provider = _reference(IdentityProvider)
    identity_provider_id: str
    state = TextField()  # next | current | former
    private_key = TextField()  # sealed (keyring.py)
    certificate = TextField()  # PEM
    created_at = InstantField()
    changed_at = InstantField()  # when it came into its state


ServiceProviderKey.add_index(
    ServiceProviderKey.index(
        ServiceProviderKey.identity_provider,
        ServiceProviderKey.state,
        unique=True,
        where=SQL("state <> 'former'"),
        name="service_provider_key_one_in_its_state",
    )
)


class Member(Base):
    """A person's place in one account: the name, address and roles that count there. Ids ``usr_``.

    ``active`` is stored because seats go by it: ``not held and directory_active and removed_at IS NULL``.
    """

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    person = _reference(Person, index=False)
    person_id: str
    email = TextField()
    email_key = TextField()
    name = TextField(default="")
    first_name = TextField(default="")
    last_name = TextField(default="")
    managed_by = TextField()  # local | invite | jit | scim
    identity_provider = _reference(IdentityProvider, null=True, on_delete="SET NULL", index=False)
    identity_provider_id: str | None
    active = BooleanField(default=True)
    held = BooleanField(default=False)  # suspended by an administrator; a directory does not lift it
    directory_active = BooleanField(default=True)
    removed_at = InstantField(null=True)  # deleted by its directory; kept 30 days for undoing
    sessions_after = InstantField()  # sessions opened before this instant do not reach this membership
    last_login_at = InstantField(null=True)
    created_at = InstantField()
    holds_admin: bool | None = None  # no column: where members.hold has read it along with the row

    class Meta:
        indexes = (
            (("account", "email_key"), False),
            (("person", "account"), False),
        )


# The living come first, and the oldest of them, among whom an administrator is soonest found.
Member.add_index(Member.index(Member.account, Member.id, where=Member.active, name="member_active"))


class MemberRole(Base):
    """A role that a member holds for a reason of her own. Roles by directory groups are joined, not stored."""

    member = _reference(Member, index=False)
    member_id: str
    role = TextField()
    source = TextField()  # hand | default | claim
    mapping_id = TextField(default="")  # for a claim: the mapping that gave it
    created_at = InstantField()

    class Meta:
        primary_key = CompositeKey("member", "role", "source", "mapping_id")


class Role(Base):
    """An account's own role (enterprise). The built-in ones are a table in roles.py."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    name = TextField()
    name_key = TextField()
    description = TextField(default="")
    permissions = JsonField()
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "name_key"), True),)


class Invitation(Base):
    """An address asked to join. Pending ones reserve a seat."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    email = TextField()
    email_key = TextField()
    roles = JsonField()
    token_digest = TextField(unique=True)
    invited_by = TextField()
    expires_at = InstantField()
    accepted_at = InstantField(null=True)
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "email_key"), False),)


class BotUser(Base):
    """A service account: owns credentials, belongs to one account, cannot sign in, is never a seat."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    name = TextField()
    name_key = TextField()
    description = TextField(default="")
    metadata = TextField(default="")
    roles = JsonField()
    active = BooleanField(default=True)
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "name_key"), True),)


class Credential(Base):
    """An authtoken, API key or SSH public key of one member or one bot user, for ever of that one."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    kind = TextField()  # authtoken | api_key | ssh_public_key
    member = _reference(Member, null=True)
    member_id: str | None
    bot_user = _reference(BotUser, null=True)
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

    class Meta:
        indexes = ((("account", "kind", "id"), False),)


class OperatorKey(Base):
    """A key of the product's own edge: introspection and usage for every account, nothing else."""

    id = TextField(primary_key=True)
    name = TextField()
    token_digest = TextField(unique=True)
    created_at = InstantField()


class Session(Base):
    """A signed-in browser. ``reach`` is the one account that an identity provider's word opened, NULL = every
    mixed-mode account of the person."""

    digest = TextField(primary_key=True)
    person = _reference(Person)
    person_id: str
    account = _reference(Account)  # the account signed in to
    reach = _reference(Account, null=True)
    reach_id: str | None
    identity_provider = _reference(IdentityProvider, null=True, index=False)
    identity_provider_id: str | None
    method = TextField()  # saml | password | recovery_code | break_glass
    session_index = TextField(null=True)
    name_id = TextField(null=True)
    created_at = InstantField()
    seen_at = InstantField()
    expires_at = InstantField()
    name_id_format = TextField(null=True)  # this and the next two: a LogoutRequest names her as the assertion did
    name_qualifier = TextField(null=True)
    sp_name_qualifier = TextField(null=True)

    class Meta:
        indexes = ((("identity_provider", "name_id"), False),)


class OneTimeLink(Base):
    """A link that lets a person in once: setting a password, break-glass."""

    digest = TextField(primary_key=True)
    purpose = TextField()  # password_setup | break_glass
    person = _reference(Person)
    person_id: str
    account = _reference(Account)
    account_id: str
    expires_at = InstantField()
    used_at = InstantField(null=True)


class RecoveryCode(Base):
    """One of an administrator's ten one-time codes."""

    id = BigAutoField()
    member = _reference(Member)
    member_id: str
    code_hash = TextField()
    used_at = InstantField(null=True)


class ScimToken(Base):
    """A bearer token that opens one directory."""

    id = TextField(primary_key=True)
    identity_provider = _reference(IdentityProvider)
    identity_provider_id: str
    description = TextField(default="")
    token_digest = TextField(unique=True)
    ends_with = TextField()
    created_at = InstantField()
    expires_at = InstantField(null=True)
    last_used_at = InstantField(null=True)


class SchemaExtension(Base):
    """Attributes of an account's own, which its directories may push beside the standard ones (RFC 7643 §3.3)."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    urn = TextField()
    urn_key = TextField()
    name = TextField()
    description = TextField(default="")
    resource_type = TextField()  # User | Group
    attributes = JsonField()  # as RFC 7643 §7 writes them
    created_at = InstantField()
    changed_at = InstantField()

    class Meta:
        indexes = ((("account", "urn_key"), True),)


class DirectoryUser(Base):
    """A SCIM User as its directory pushed it, and the member it backs. Ids ``du_`` are the SCIM ids.

    ``resource`` is the whole canonical resource; the columns beside it are what is looked up or joined.
    """

    id = TextField(primary_key=True)
    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    member = _reference(Member, null=True, on_delete="SET NULL")
    member_id: str | None
    user_name = TextField()
    user_name_key = TextField()
    external_id = TextField(null=True)
    active = BooleanField(default=True)
    resource = JsonField()
    version = IntegerField(default=1)
    created_at = InstantField()
    modified_at = InstantField()
    deleted_at = InstantField(null=True)
    listed: str | None  # no column: her groups as JSON, where they were read along with the row


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
        DirectoryUser.deleted_at,  # always NULL: so that SQLite counts without looking at the rows
        where=DirectoryUser.deleted_at.is_null(),
        name="directory_user_live",
    )
)
DirectoryUser.add_index(
    DirectoryUser.index(
        DirectoryUser.identity_provider,
        DirectoryUser.modified_at,
        DirectoryUser.id,
        where=DirectoryUser.deleted_at.is_null(),
        name="directory_user_live_modified",
    )
)


class DirectoryEmail(Base):
    """An e-mail address of a directory's user, by which she is looked up (provisioning/emails.py); not the one that is
    her userName. A deleted user keeps hers: whoever asks joins the users who live."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    value_key = TextField()
    user = _reference(DirectoryUser)
    user_id: str

    class Meta:
        primary_key = CompositeKey("identity_provider", "value_key", "user")


class DirectorySpan(Base):
    """How many live users of a directory have an id from ``first_id`` to before ``next_id`` (spans.py)."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    first_id = TextField()  # "" for the first
    next_id = TextField(null=True)  # NULL for the last
    number = IntegerField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "first_id")


class DirectoryGroup(Base):
    """A SCIM Group. Ids ``grp_`` are the SCIM ids. ``resource`` holds all but the members."""

    id = TextField(primary_key=True)
    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    display_name = TextField()
    display_name_key = TextField()
    external_id = TextField(null=True)
    resource = JsonField()
    version = IntegerField(default=1)
    created_at = InstantField()
    modified_at = InstantField()

    class Meta:
        indexes = (
            (("identity_provider", "display_name_key"), True),
            (("identity_provider", "external_id", "id"), False),
            (("identity_provider", "id"), False),
            (("identity_provider", "modified_at", "id"), False),
        )


class GroupMember(Base):
    """A directory user's membership of a group, in the order pushed."""

    id = BigAutoField()
    group = _reference(DirectoryGroup, index=False)
    group_id: str
    user = _reference(DirectoryUser)
    user_id: str
    sent = JsonField(null=True)  # the member object as sent, where it says more than the value

    class Meta:
        indexes = ((("group", "user"), True),)


class RoleMapping(Base):
    """The members of a directory's group have a role. ``group`` is NULL until a group of that name is pushed."""

    id = TextField(primary_key=True)
    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    group = _reference(DirectoryGroup, null=True, on_delete="SET NULL")
    group_id: str | None
    group_display_name = TextField()
    group_key = TextField()
    role = TextField()
    created_at = InstantField()

    class Meta:
        indexes = ((("identity_provider", "group_key", "role"), True),)


class IdentityLink(Base):
    """Who a provider's NameID is: made at the first sign-in, followed ever after."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    name_id_format = TextField()
    name_id = TextField()
    member = _reference(Member)
    member_id: str
    created_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "name_id_format", "name_id")


class SignInFlow(Base):
    """One sign-in through an identity provider, from its first message to its outcome: the request that waits for its
    response, then the sign-in that waits for its browser, then what administrators read. Ids ``flow_``, looked for at
    their provider only; what a flow ended in is told by ids, which outlive the rows they name."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    id = TextField()
    kind = TextField()  # sp_initiated | idp_initiated | test
    started_at = InstantField()
    expires_at = InstantField()  # till when its next step can come
    answered_at = InstantField(null=True)  # a response has used it up
    finished_at = InstantField(null=True)
    reason = TextField(null=True)  # why it was refused
    decision = TextField(null=True)  # what the decision table said (sign_in.Outcome)
    event_id = TextField(null=True)
    member_id = TextField(null=True)
    session_digest = TextField(null=True)
    email = TextField(null=True)
    name_id = TextField(null=True)
    address = TextField(null=True)
    site = TextField(default="")  # of the address, what one client cannot change at will (rates.site)
    user_agent = TextField(default="")
    request_id = TextField(null=True)  # the AuthnRequest's, which begins with this row's id
    force_authn = BooleanField(default=False)  # what the request asked for
    browser_digest = TextField(null=True)  # of the nonce in the one browser that may finish it
    next_path = TextField(default="/")
    waiting = JsonField(null=True)  # what the next step needs of a verified assertion; gone when there is none
    warnings = JsonField(null=True)
    checks = JsonField(null=True)  # [[name, passed, got, want]] in the order made
    attributes = JsonField(null=True)  # {name: [value]}: of a test, and of what was refused after it was verified
    groups = JsonField(null=True)  # of a test
    roles = JsonField(null=True)  # of a test: those that she would have

    class Meta:
        primary_key = CompositeKey("identity_provider", "id")


SignInFlow.add_index(
    SignInFlow.index(
        SignInFlow.identity_provider,
        SignInFlow.id,
        where=SignInFlow.reason.is_null(False),
        name="sign_in_flow_refused",
    )
)
SignInFlow.add_index(
    SignInFlow.index(
        SignInFlow.identity_provider,
        SignInFlow.site,
        SignInFlow.id,
        where=SignInFlow.answered_at.is_null() & SignInFlow.finished_at.is_null(),
        name="sign_in_flow_unanswered",
    )
)


class SamlMessage(Base):
    """The XML of a flow's request or response, compressed; redacted where the provider's row says so."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    flow_id = TextField()
    direction = TextField()  # request | response
    at = InstantField()
    xml = BlobField()  # zlib
    note = TextField(null=True)  # what became of the rest: cut | redacted

    class Meta:
        primary_key = CompositeKey("identity_provider", "flow_id", "direction")


class UsedAssertion(Base):
    """Replay memory: an assertion id is accepted once for each provider, on all processes."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    assertion_id = TextField()
    expires_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "assertion_id")


class SentLogout(Base):
    """A LogoutRequest of ours that the provider has not answered yet, or whose answer waits for its browser to come
    back same-site. The request's id doubles as the row's key."""

    id = TextField(primary_key=True)
    identity_provider = _reference(IdentityProvider)
    identity_provider_id: str
    browser_digest = TextField()  # of the nonce in the browser that signed out
    complete = BooleanField(null=True)  # what the provider answered
    expires_at = InstantField()

    class Meta:
        indexes = ((("expires_at",), False),)


class ReceivedLogout(Base):
    """A LogoutRequest that was obeyed. It is obeyed once, and holds for assertions that were issued before it and come
    after it (Core 3.7.3.2)."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    request_id = TextField()
    name_id = TextField()
    session_indexes = JsonField()  # [session index]; empty = all
    issued_at = InstantField()  # by the provider's clock
    expires_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "request_id")
        indexes = ((("identity_provider", "name_id"), False), (("expires_at",), False))


class Event(Base):
    """What happened, who did it, and what the thing looked like then. Append-only."""

    id = TextField(primary_key=True)
    account = _reference(Account, index=False)
    account_id: str
    type = TextField()
    timestamp = InstantField()
    principal_id = TextField(null=True)
    principal_type = TextField()  # user | bot_user | identity_provider | operator | system
    principal_subject = TextField()
    source = TextField()  # dashboard | api | scim | saml | cli | system
    credential_id = TextField(null=True)
    object_id = TextField(null=True)
    object = JsonField()
    address = TextField(null=True)
    request_id = TextField(null=True)

    class Meta:
        indexes = (
            (("account", "id"), False),
            (("account", "object_id", "id"), False),
            (("account", "principal_id", "id"), False),
            (("account", "type", "id"), False),
        )


class ScimRequest(Base):
    """One request that a directory's provider sent, and what it was answered; what is secret is masked. Ids ``sr_``,
    looked for in their directory only. What is short stands first: a row is filtered without reading its bodies."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    id = TextField()
    token_id = TextField()
    timestamp = InstantField()  # when it came; the id sorts by when it was written down
    method = TextField()
    path = TextField()  # below /scim/v2
    query = TextField()
    status = IntegerField()
    microseconds = IntegerField()
    resource_id = TextField(null=True)
    resource_name = TextField(null=True)  # userName or displayName
    cause = TextField(null=True)  # the error without what is of this one request, so that equal ones can be counted
    error = TextField(null=True)
    scim_type = TextField(null=True)
    skipped = IntegerField(default=0)  # requests before this one that were counted and not kept
    address = TextField(null=True)
    user_agent = TextField()
    request_id = TextField(null=True)
    request_body = TextField(null=True)
    response_body = TextField(null=True)
    before = JsonField(null=True)  # top-level attributes that differ
    after = JsonField(null=True)

    class Meta:
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


class CertificateNotice(Base):
    """That a certificate of either side runs out in so many days was told (certificate_notices.py)."""

    identity_provider = _reference(IdentityProvider, index=False)
    identity_provider_id: str
    fingerprint_sha256 = TextField()
    days = IntegerField()
    noticed_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "fingerprint_sha256", "days")


class JobRun(Base):
    """When a background job is due next; whoever moves that time on runs it, once among all processes (jobs.py)."""

    name = TextField(primary_key=True)
    due_at = InstantField()


class RateCount(Base):
    """Requests of one key in its present window, over all processes (rates.py). A window is over at ``ends_at``; the
    next request begins a new one in the same row."""

    key = TextField(primary_key=True)
    number = IntegerField()
    ends_at = InstantField()


ALL = (
    Account, SeatCount, Person, IdentityProvider, ServiceProviderKey, Member, MemberRole, Role, Invitation, BotUser,
    Credential, OperatorKey, Session, OneTimeLink, RecoveryCode, ScimToken, SchemaExtension, DirectoryUser,
    DirectoryEmail, DirectorySpan, DirectoryGroup, GroupMember, RoleMapping, IdentityLink, SignInFlow, SamlMessage,
    UsedAssertion, SentLogout, ReceivedLogout, Event, ScimRequest, CertificateNotice, JobRun,
    RateCount,
)  # fmt: skip
