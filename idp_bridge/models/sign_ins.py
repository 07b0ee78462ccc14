"""Sessions, the one-time ways in, and what a sign-in through a provider leaves."""

from __future__ import annotations

from peewee import BigAutoField, BlobField, BooleanField, CompositeKey, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.accounts import Account
from idp_bridge.models.connections import IdentityProvider
from idp_bridge.models.members import Member, Person
from idp_bridge.models.reference import reference


class Session(Base):
    """A signed-in browser; which memberships it reaches are rows of their own (SessionReach)."""

    digest = TextField(primary_key=True)
    person = reference(Person)
    person_id: str
    account = reference(Account)  # the account signed in to
    account_id: str
    identity_provider = reference(IdentityProvider, null=True, index=False)
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


class SessionReach(Base):
    """A membership that a session reaches, while ``epoch`` is the one that counts there (sessions.py): all that an
    account sees of a session, and can end. Ids ``sess_``."""

    id = TextField(primary_key=True)
    session = reference(Session)
    session_id: str
    member = reference(Member)
    member_id: str
    epoch = IntegerField()
    used_at = InstantField(null=True)  # for the first time; an account sees nothing of what was not used in it
    seen_at = InstantField(null=True)
    address = TextField(null=True)  # this and the next: of the first use, which mostly is the sign-in
    user_agent = TextField(default="")


class OneTimeLink(Base):
    """A link that lets a person in once: setting a password, break-glass."""

    digest = TextField(primary_key=True)
    purpose = TextField()  # password_setup | break_glass
    person = reference(Person)
    person_id: str
    account = reference(Account)
    account_id: str
    made_by_id = TextField(null=True)  # usr_ of an administrator; NULL for the operator and for what is older
    expires_at = InstantField()
    used_at = InstantField(null=True)


class SetUpLink(Base):
    """A link by which somebody without an account sets up one connection, once, in the name of the administrator who
    made it (set_up_links.py). Ids ``sul_``."""

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider)
    identity_provider_id: str
    made_by = reference(Member)
    made_by_id: str
    digest = TextField(unique=True)  # of the link's secret
    browser_digest = TextField(null=True, unique=True)  # of the secret that the browser got which opened it
    created_at = InstantField()
    expires_at = InstantField()  # of the link, and of what it opened
    opened_at = InstantField(null=True)
    revoked_at = InstantField(null=True)


class PasswordReset(Base):
    """Somebody asked for a new password at this address; ``digest`` is the mailed link's, once it is known to be of
    somebody here, and ``email`` then the spelling that is kept (password_changes.py)."""

    id = TextField(primary_key=True)
    email = TextField()
    email_key = TextField(index=True)
    digest = TextField(null=True, unique=True)
    asked_at = InstantField()
    answered_at = InstantField(null=True)
    expires_at = InstantField(index=True)
    used_at = InstantField(null=True)


class RecoveryCode(Base):
    """One of an administrator's ten one-time codes."""

    id = BigAutoField()
    member = reference(Member)
    member_id: str
    code_hash = TextField()
    used_at = InstantField(null=True)


class IdentityLink(Base):
    """Who a provider's NameID is: made at the first sign-in, followed ever after."""

    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    name_id_format = TextField()
    name_id = TextField()
    member = reference(Member)
    member_id: str
    created_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "name_id_format", "name_id")


class SignInFlow(Base):
    """One sign-in through an identity provider, from its first message to its outcome: the request that waits for its
    response, then the sign-in that waits for its browser, then what administrators read. Ids ``flow_``, looked for at
    their provider only; what a flow ended in is told by ids, which outlive the rows they name."""

    identity_provider = reference(IdentityProvider, index=False)
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

    identity_provider = reference(IdentityProvider, index=False)
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

    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    assertion_id = TextField()
    expires_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "assertion_id")


class SentLogout(Base):
    """A LogoutRequest of ours that the provider has not answered yet, or whose answer waits for its browser to come
    back same-site. The request's id doubles as the row's key."""

    id = TextField(primary_key=True)
    identity_provider = reference(IdentityProvider)
    identity_provider_id: str
    browser_digest = TextField()  # of the nonce in the browser that signed out
    complete = BooleanField(null=True)  # what the provider answered
    expires_at = InstantField()

    class Meta:
        indexes = ((("expires_at",), False),)


class ReceivedLogout(Base):
    """A LogoutRequest that was obeyed. It is obeyed once, and holds for assertions that were issued before it and come
    after it (Core 3.7.3.2)."""

    identity_provider = reference(IdentityProvider, index=False)
    identity_provider_id: str
    request_id = TextField()
    name_id = TextField()
    session_indexes = JsonField()  # [session index]; empty = all
    issued_at = InstantField()  # by the provider's clock
    expires_at = InstantField()

    class Meta:
        primary_key = CompositeKey("identity_provider", "request_id")
        indexes = ((("identity_provider", "name_id"), False), (("expires_at",), False))
