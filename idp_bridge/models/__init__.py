"""Tables, columns and indexes. No rules: those are in the modules named for the nouns.

Rows that a client may see have a typed id (ids.py) as their key. ``*_key`` columns hold the folded form of the column
beside them (text.fold), which is what unique indexes and lookups use. Deleting an account deletes all that hangs on it.

What depends on an owner's state is not copied but joined: a credential works while its owner is active, a member has a
role while a mapping and a membership say so. So a suspension or a removed group member takes effect with the one row
that changes, and nothing can be left half updated.
"""

from idp_bridge.models.accounts import Account, Role, SeatCount
from idp_bridge.models.conflicts import IdentityConflict
from idp_bridge.models.connections import CertificateNotice, IdentityProvider, ScimToken, ServiceProviderKey
from idp_bridge.models.credentials import BotUser, Credential, CredentialUse, OperatorKey
from idp_bridge.models.directories import (
    DirectoryEmail,
    DirectoryGroup,
    DirectorySpan,
    DirectoryUser,
    GroupMember,
    RoleMapping,
    SchemaExtension,
    ScimRequest,
)
from idp_bridge.models.members import Invitation, Member, MemberRole, Person
from idp_bridge.models.operations import Event, EventPending, EventSeal, IdempotentAnswer, JobRun, Mail, RateCount
from idp_bridge.models.sign_ins import (
    IdentityLink,
    OneTimeLink,
    PasswordReset,
    ReceivedLogout,
    RecoveryCode,
    SamlMessage,
    SentLogout,
    Session,
    SessionReach,
    SetUpLink,
    SignInFlow,
    UsedAssertion,
)
from idp_bridge.models.usage import UsageMonth, UsageReport, UsageTotal
from idp_bridge.models.webhooks import Receipt, Webhook, WebhookDelivery

ALL = (
    Account, SeatCount, Person, IdentityProvider, ServiceProviderKey, Member, MemberRole, Role, Invitation, BotUser,
    Credential, CredentialUse, OperatorKey, Session, SessionReach, OneTimeLink, PasswordReset, RecoveryCode, ScimToken,
    SchemaExtension, DirectoryUser, DirectoryEmail, DirectorySpan, DirectoryGroup, GroupMember, RoleMapping,
    IdentityLink, SignInFlow, SamlMessage, UsedAssertion, SentLogout, ReceivedLogout, Event, EventPending, EventSeal,
    Webhook, WebhookDelivery, Receipt, ScimRequest, CertificateNotice, JobRun, Mail, RateCount, IdentityConflict,
    UsageTotal, UsageMonth, UsageReport,
    IdempotentAnswer, SetUpLink,
)  # fmt: skip

__all__ = [
    "ALL",
    "Account",
    "BotUser",
    "CertificateNotice",
    "Credential",
    "CredentialUse",
    "DirectoryEmail",
    "DirectoryGroup",
    "DirectorySpan",
    "DirectoryUser",
    "Event",
    "EventPending",
    "EventSeal",
    "GroupMember",
    "IdempotentAnswer",
    "IdentityConflict",
    "IdentityLink",
    "IdentityProvider",
    "Invitation",
    "JobRun",
    "Mail",
    "Member",
    "MemberRole",
    "OneTimeLink",
    "OperatorKey",
    "PasswordReset",
    "Person",
    "RateCount",
    "Receipt",
    "ReceivedLogout",
    "RecoveryCode",
    "Role",
    "RoleMapping",
    "SamlMessage",
    "SchemaExtension",
    "ScimRequest",
    "ScimToken",
    "SeatCount",
    "SentLogout",
    "ServiceProviderKey",
    "Session",
    "SessionReach",
    "SetUpLink",
    "SignInFlow",
    "UsageMonth",
    "UsageReport",
    "UsageTotal",
    "UsedAssertion",
    "Webhook",
    "WebhookDelivery",
]
