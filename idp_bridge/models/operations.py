"""What the service keeps for its own work: events, jobs, mail, rates."""

from __future__ import annotations

from peewee import BigAutoField, CompositeKey, IntegerField, TextField

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


class EventPending(Base):
    """An event that is not sealed yet; a trigger writes it with the event. ``number`` is the order in which they were
    written, whatever the clocks of several machines say."""

    number = BigAutoField()
    event_id = TextField()


class EventSeal(Base):
    """A link of an account's chain (event_chain.py): a batch of its events with their digests, and the link before."""

    account = reference(Account, index=False)
    account_id: str
    number = IntegerField()  # 1, 2, ... in the account
    events = JsonField()  # [[id, digest], ...] in the order of the chain
    previous = TextField()  # the digest of the link before, "" for the first
    digest = TextField()  # of all above
    mac = TextField()  # of the digest, under SECRET_KEY
    sealed_at = InstantField()

    class Meta:
        primary_key = CompositeKey("account", "number")


class JobRun(Base):
    """When a background job is due next; whoever moves that time on runs it, once among all processes (jobs.py)."""

    name = TextField(primary_key=True)
    due_at = InstantField()


class Mail(Base):
    """A message that is to be sent, or was (mail.py). What it says is sealed, and forgotten when it is done with."""

    id = TextField(primary_key=True)
    account = reference(Account, null=True)
    account_id: str | None
    kind = TextField()  # invitation | password_reset | ..., for whoever reads the log
    about = TextField(null=True, index=True)  # the id of what it tells of, so that it can be taken back
    recipient = TextField()
    sealed = TextField(null=True)
    attempts = IntegerField(default=0)
    due_at = InstantField()
    expires_at = InstantField()  # after this it is not worth sending any more
    sent_at = InstantField(null=True)
    error = TextField(default="")  # what the server said last
    created_at = InstantField()


# What was sent is only kept for a while; what waits is few.
Mail.add_index(Mail.index(Mail.due_at, where=Mail.sealed.is_null(False), name="mail_waiting"))


class RateCount(Base):
    """Requests of one key in its present window, over all processes (rates.py). A window is over at ``ends_at``; the
    next request begins a new one in the same row."""

    key = TextField(primary_key=True)
    number = IntegerField()
    ends_at = InstantField()


class IdempotentAnswer(Base):
    """What was answered under an idempotency key (idempotency.py). ``status`` and ``sealed`` are there once the
    transaction that took the key has ended."""

    id = TextField(primary_key=True)  # digest of account, caller and key
    account = reference(Account)
    account_id: str
    said = TextField()  # digest of the request
    status = IntegerField(null=True)
    sealed = TextField(null=True)  # the body: it may show a secret
    expires_at = InstantField(index=True)
