"""People, their places in accounts, the roles held there, and who is asked to join."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.connections import IdentityProvider
from idp_bridge.models.reference import reference


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


class Member(Base):
    """A person's place in one account: the name, address and roles that count there. Ids ``usr_``.

    ``active`` is stored because seats go by it: ``not held and directory_active and removed_at IS NULL``.
    """

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    person = reference(Person, index=False)
    person_id: str
    email = TextField()
    email_key = TextField()
    name = TextField(default="")
    name_key = TextField(default="")  # what she is listed under: her name, else her address
    first_name = TextField(default="")
    last_name = TextField(default="")
    managed_by = TextField()  # local | invite | jit | scim
    identity_provider = reference(IdentityProvider, null=True, on_delete="SET NULL", index=False)
    identity_provider_id: str | None
    active = BooleanField(default=True)
    held = BooleanField(default=False)  # suspended by an administrator; a directory does not lift it
    directory_active = BooleanField(default=True)
    removed_at = InstantField(null=True)  # deleted by its directory; kept 30 days for undoing
    session_epoch = IntegerField(default=0)  # one more with whatever ends all sessions that reach it (sessions.py)
    last_login_at = InstantField(null=True)
    created_at = InstantField()
    holds_admin: bool | None = None  # no column: where members.hold has read it along with the row

    class Meta:
        indexes = (
            (("account", "email_key"), False),
            (("person", "account"), False),
        )


# One person, one living membership of an account, whoever brings her there and at whatever moment.
Member.add_index(
    Member.index(
        Member.person, Member.account, unique=True, where=Member.removed_at.is_null(), name="member_living_person"
    )
)
# Lists of the API go by the id. The oldest come first there, among whom an administrator is soonest found.
Member.add_index(Member.index(Member.account, Member.id, where=Member.removed_at.is_null(), name="member_living"))
Member.add_index(Member.index(Member.account, Member.id, where=~Member.active, name="member_out"))
# Those of the pages go by the name; those who are out, whom their filter looks for, are few.
Member.add_index(Member.index(Member.account, Member.name_key, Member.id, name="member_listed"))
Member.add_index(Member.index(Member.account, Member.name_key, Member.id, where=~Member.active, name="member_inactive"))


class MemberRole(Base):
    """A role that a member holds for a reason of her own. Roles by directory groups are joined, not stored."""

    member = reference(Member, index=False)
    member_id: str
    role = TextField()
    source = TextField()  # hand | default | claim
    mapping_id = TextField(default="")  # for a claim: the mapping that gave it
    given_by_id = TextField(null=True)  # who gave it: a member, a bot user, an identity provider; NULL = the service
    given_by = TextField(default="")  # what a person reads of that; "" = before this was kept
    created_at = InstantField()

    class Meta:
        primary_key = CompositeKey("member", "role", "source", "mapping_id")


class Invitation(Base):
    """An address asked to join. Pending ones reserve a seat."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    email = TextField()
    email_key = TextField()
    roles = JsonField()
    token_digest = TextField(unique=True)
    invited_by = TextField()
    invited_by_id = TextField(null=True)  # usr_ or bot_; NULL for the command line and for what is older
    expires_at = InstantField()
    accepted_at = InstantField(null=True)
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "email_key"), False),)


Invitation.add_index(
    Invitation.index(
        Invitation.account,
        Invitation.email_key,
        Invitation.id,
        where=Invitation.accepted_at.is_null(),
        name="invitation_waiting",
    )
)
Invitation.add_index(
    Invitation.index(
        Invitation.account, Invitation.id, where=Invitation.accepted_at.is_null(), name="invitation_pending"
    )
)
