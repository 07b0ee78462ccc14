"""What identity providers push over SCIM, and what hangs on it."""

from __future__ import annotations

from peewee import BigAutoField, BooleanField, CompositeKey, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.connections import IdentityProvider
from idp_bridge.models.members import Member
from idp_bridge.models.reference import reference


class SchemaExtension(Base):
    """Attributes of an account's own, which its directories may push beside the standard ones (RFC 7643 §3.3)."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
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
        indexes = ((("account", "urn_key"), True), (("account", "id"), False))


class DirectoryUser(Base):
    """A SCIM User as its directory pushed it, and the member it backs. Ids ``du_`` are the SCIM ids.

    ``resource`` is the whole canonical resource; the columns beside it are what is looked up or joined.
    """

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    member = reference(Member, null=True, on_delete="SET NULL")
    member_id: str | None
    user_name = TextField()
    user_name_key = TextField()
    external_id = TextField(null=True)
    active = BooleanField(default=True)
    resource = JsonField()
    version = IntegerField(default=1)
    created_at = InstantField()
    modified_at = InstantField()
    named_at = InstantField(null=True)  # when she was last given a userName or an address; None: see modified_at
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

    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    value_key = TextField()
    user = reference(DirectoryUser)
    user_id: str

    class Meta:
        primary_key = CompositeKey("identity_provider", "value_key", "user")


class DirectorySpan(Base):
    """How many live users of a directory have an id from ``first_id`` to before ``next_id`` (spans.py)."""

    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    first_id = TextField()  # "" for the first
    next_id = TextField(null=True)  # NULL for the last
    number = IntegerField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "first_id")


class DirectoryGroup(Base):
    """A SCIM Group. Ids ``grp_`` are the SCIM ids. ``resource`` holds all but the members."""

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider, index=False)
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
    group = reference(DirectoryGroup, index=False)
    group_id: str
    user = reference(DirectoryUser)
    user_id: str
    sent = JsonField(null=True)  # the member object as sent, where it says more than the value

    class Meta:
        indexes = ((("group", "user"), True),)


class RoleMapping(Base):
    """The members of a directory's group have a role. ``group`` is NULL until a group of that name is pushed."""

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    group = reference(DirectoryGroup, null=True, on_delete="SET NULL")
    group_id: str | None
    group_display_name = TextField()
    group_key = TextField()
    role = TextField()
    created_at = InstantField()

    class Meta:
        indexes = ((("identity_provider", "group_key", "role"), True), (("identity_provider", "id"), False))


class ScimRequest(Base):
    """One request that a directory's provider sent, and what it was answered; what is secret is masked. Ids ``sr_``,
    looked for in their directory only. What is short stands first: a row is filtered without reading its bodies."""

    identity_provider = reference(IdentityProvider, index=False)
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
