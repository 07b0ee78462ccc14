"""What a provider says of somebody and no rule can settle: it waits for an administrator."""

from __future__ import annotations

from peewee import IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.connections import IdentityProvider
from idp_bridge.models.members import Member
from idp_bridge.models.reference import reference


class IdentityConflict(Base):
    """One question of who somebody is (identity_conflicts.py), asked again with each sign-in or request that raises it.
    Ids ``conf_``."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    kind = TextField()  # ambiguous | identity_changed | another_provider | second_directory | look_alike
    case_digest = TextField()  # of what makes it the same question
    email = TextField()
    name_id = TextField(null=True)  # this and the next: of an assertion
    name_id_format = TextField(null=True)
    user_name = TextField(null=True)  # of a SCIM record
    candidates = JsonField()  # [member id] that could be meant
    state = TextField(default="open")  # open | resolved | dismissed
    member = reference(Member, null=True, on_delete="SET NULL")  # who it is, as an administrator said
    member_id: str | None
    decided_by = TextField(default="")  # what a person reads of who said so
    decided_at = InstantField(null=True)
    occurrences = IntegerField(default=1)
    created_at = InstantField()
    seen_at = InstantField()

    class Meta:
        indexes = ((("identity_provider", "case_digest"), True), (("account", "state", "id"), False))
