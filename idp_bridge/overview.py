"""What an account's first page tells: how far it is set up, and what went wrong or is about to.

Only reads, in a few statements whatever the account's size; each part is asked for by itself, so that nobody pays for
what she may not see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from peewee import SQL, fn

from idp_bridge import certificate_notices, clock, events, idps, ids, member_roles, sign_in_mode, sp_keys
from idp_bridge.events import Type
from idp_bridge.models import (
    Account,
    BotUser,
    Event,
    IdentityLink,
    IdentityProvider,
    Member,
    RecoveryCode,
    RoleMapping,
    ServiceProviderKey,
    SignInFlow,
)
from idp_bridge.provisioning import standing
from idp_bridge.provisioning.standing import Standing
from idp_bridge.saml.certificate import parse_certificate

REFUSALS_OF = timedelta(days=1)
REFUSALS_SHOWN = 5


class Task(StrEnum):
    """What there is to set up, in this order: enforcing comes after the codes that it asks for."""

    PROVIDER = "provider"
    TEST = "test"
    SCIM = "scim"
    MAPPING = "mapping"
    RECOVERY_CODES = "recovery_codes"
    ENFORCE = "enforce"
    BOTS = "bots"


# --- how far it is ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connections:
    """The account's identity providers, each with how its directory stands, and what else there is of them."""

    directories: list[Standing]
    signed_in_by: dict[str, SignInFlow]  # provider id -> the newest sign-in that it let in; a test is none
    tested: bool
    mappings: int

    @property
    def given(self) -> list[Standing]:
        """Those that are more than a draft."""
        return [one for one in self.directories if not idps.is_draft(one.provider)]

    @property
    def last_sign_in(self) -> SignInFlow | None:
        """The newest of all."""
        return max(self.signed_in_by.values(), key=lambda flow: flow.id, default=None)

    @property
    def last_heard(self) -> Standing | None:
        """The directory that was heard of last."""
        heard = [(one.heard_at, one) for one in self.directories if one.heard_at]
        return max(heard, key=lambda pair: pair[0])[1] if heard else None


def connections(account: Account) -> Connections:
    """All of them. Ten statements."""
    directories = standing.of_account(account)
    own = [one.provider.id for one in directories]
    flows, passed = _signed_in_by(own), _tested(own)
    mapped = RoleMapping.select().where(RoleMapping.identity_provider.in_(own)).count()
    return Connections(directories, flows, passed, mapped)


def _signed_in_by(providers: Sequence[str]) -> dict[str, SignInFlow]:
    other: Any = SignInFlow.alias()
    came_in = other.reason.is_null() & other.finished_at.is_null(False) & (other.kind != "test")
    own = other.select(other.id).where(other.identity_provider == IdentityProvider.id, came_in)
    last = IdentityProvider.select(own.order_by(other.id.desc()).limit(1)).where(IdentityProvider.id.in_(providers))
    found = SignInFlow.select().where(SignInFlow.identity_provider.in_(providers), SignInFlow.id.in_(last))
    return {flow.identity_provider_id: flow for flow in found}


def _tested(providers: Sequence[str]) -> bool:
    """Whether a sign-in has gone through at any of them, in a test or for real; of long ago the links tell."""
    passed = SignInFlow.select(SQL("1")).where(
        SignInFlow.identity_provider == IdentityProvider.id,
        SignInFlow.finished_at.is_null(False),
        SignInFlow.reason.is_null(),
    )
    linked = IdentityLink.select(SQL("1")).where(IdentityLink.identity_provider == IdentityProvider.id)
    proven = IdentityProvider.administrator_signed_in_at.is_null(False)
    known = proven | fn.EXISTS(linked) | fn.EXISTS(passed)
    return bool(IdentityProvider.select().where(IdentityProvider.id.in_(providers), known).exists())


@dataclass(frozen=True)
class Counted:
    """Whom the account has beside its active members, and what its administrators hold."""

    suspended: int
    bots: int
    recovery_codes: int  # of active administrators, not used up


def counted(account: Account) -> Counted:
    """Two statements."""
    unused = RecoveryCode.select(fn.COUNT(RecoveryCode.id)).where(
        RecoveryCode.member.in_(member_roles.administrators(account)), RecoveryCode.used_at.is_null()
    )
    suspended = Member.select(fn.COUNT(Member.id)).where(
        Member.account == account.id, ~Member.active, Member.removed_at.is_null()
    )
    bots = BotUser.select(fn.COUNT(BotUser.id)).where(BotUser.account == account.id)
    row: Any = Account.select(suspended, bots, unused).where(Account.id == account.id).tuples().get()
    return Counted(*row)


def done(account: Account, known: Connections, numbers: Counted) -> dict[Task, bool]:
    """Each task, and whether it is behind the account."""
    return {
        Task.PROVIDER: bool(known.given),
        Task.TEST: known.tested,
        Task.SCIM: known.last_heard is not None,
        Task.MAPPING: known.mappings > 0,
        Task.RECOVERY_CODES: numbers.recovery_codes > 0,
        Task.ENFORCE: sign_in_mode.of(account) == sign_in_mode.ENFORCED,
        Task.BOTS: numbers.bots > 0,
    }


# --- what wants somebody ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ending:
    """A certificate that runs out, or has. ``whose``: identity_provider, or service_provider for our own."""

    provider: IdentityProvider
    whose: certificate_notices.Side
    not_after: datetime


def ending_certificates(providers: Sequence[IdentityProvider], now: datetime | None = None) -> list[Ending]:
    """Those within the distances at which administrators are told, and those past their end; the first to end first.
    One statement."""
    moment = now or clock.now()
    by_id = {provider.id: provider for provider in providers if provider.enabled}
    public = (ServiceProviderKey.identity_provider, ServiceProviderKey.certificate)
    rows = ServiceProviderKey.select(*public).where(
        ServiceProviderKey.identity_provider.in_(list(by_id)), ServiceProviderKey.state == sp_keys.CURRENT
    )
    found = [
        Ending(provider, "identity_provider", clock.parse(one["not_after"]))
        for provider in by_id.values()
        for one in provider.certificates
    ]
    found += [
        Ending(by_id[row.identity_provider_id], "service_provider", parse_certificate(row.certificate).not_after)
        for row in rows
    ]
    return sorted((one for one in found if _is_near(one.not_after, moment)), key=lambda one: one.not_after)


def _is_near(end: datetime, now: datetime) -> bool:
    return end <= now or certificate_notices.distance(end, now) is not None


@dataclass(frozen=True)
class Refusals:
    """The refused sign-ins of the last day: how many, and the newest of them."""

    number: int
    newest: list[Event]


def refusals(account: Account, now: datetime | None = None) -> Refusals:
    """One statement where there is none, else two."""
    since = (now or clock.now()) - REFUSALS_OF
    refused = events.of_account(account, type=Type.SIGN_IN_REFUSED).where(Event.id >= ids.earliest("ev", since))
    newest = list(refused.order_by(Event.id.desc()).limit(REFUSALS_SHOWN))
    return Refusals(refused.count() if len(newest) == REFUSALS_SHOWN else len(newest), newest)


def failing_directories(known: Connections) -> Iterator[Standing]:
    """Those of which requests failed in the last day."""
    return (one for one in known.directories if one.failed)
