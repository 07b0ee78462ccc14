"""What the service keeps for its own work: events, jobs, rates."""

from __future__ import annotations

from peewee import IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.reference import reference


class Event(Base):
    """What happened, who did it, and what the thing looked like then. Append-only."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
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
