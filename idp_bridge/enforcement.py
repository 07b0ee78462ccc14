"""Enforcing single sign-on: only where it is proven to lock nobody out, on trial where one likes, and back again.

What the mode is at a moment says sign_in_mode.py; here is what changes it. A trial that nobody confirms is over by the
clock; the job, or whoever changes the mode next, brings the row after it, with its event and notice.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Any

from peewee import SQL, fn

from idp_bridge import (
    accounts,
    actors,
    clock,
    db,
    idps,
    member_roles,
    notices,
    plans,
    roles,
    seats,
    sessions,
    sign_in_mode,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Invalid
from idp_bridge.models import Account, IdentityLink, IdentityProvider, Member, RecoveryCode, Session
from idp_bridge.notices import Notice
from idp_bridge.sign_in_mode import ENFORCED, MIXED

CERTIFICATE_GOOD_FOR = timedelta(days=14)  # enforcing on a certificate about to expire locks everybody out
TRIAL = (1, 1440)  # minutes
SPARED_FOR = timedelta(hours=1)  # the session that enforced goes on so long: to prove that it works, or to undo it


class Gap(StrEnum):
    """What stands against enforcing; the value is its name in the API."""

    PROVIDER = "no_enabled_identity_provider"
    TRUST = "no_trusted_identity_provider"
    PROOF = "no_administrator_signed_in"
    CERTIFICATE = "certificate_expiring"
    RECOVERY_CODES = "no_recovery_codes"


GAPS: Mapping[Gap, str] = {
    Gap.PROVIDER: "there is no enabled identity provider",
    Gap.TRUST: "no enabled identity provider is trusted with administrators",
    Gap.PROOF: "no administrator has signed in through an enabled identity provider since it was last changed",
    Gap.CERTIFICATE: f"the identity provider's certificate expires within {CERTIFICATE_GOOD_FOR.days} days",
    Gap.RECOVERY_CODES: "no administrator has made recovery codes",
}


# --- what it would do -------------------------------------------------------------------------------------------


def gaps(account: Account) -> list[Gap]:
    """What still stands against enforcing single sign-on; empty when nothing does."""
    enabled = list(idps.of_account(account).where(IdentityProvider.enabled))
    proven = [provider for provider in enabled if idps.is_proven(provider)]
    found = {
        Gap.PROVIDER: not enabled,
        Gap.TRUST: bool(enabled) and not any(provider.trusted_with_administrators for provider in enabled),
        Gap.PROOF: bool(enabled) and not proven,
        Gap.CERTIFICATE: bool(proven) and not any(_good_for_a_while(provider) for provider in proven),
        Gap.RECOVERY_CODES: not _recovery_codes(account),
    }
    return [gap for gap, stands in found.items() if stands]


def _good_for_a_while(provider: IdentityProvider) -> bool:
    """Any pinned one counts, also one that does not sign yet. The end of a certificate refuses no sign-in: what it
    foretells is that the provider will sign by another, and whose next one is pinned already is ready for that."""
    limit = clock.now() + CERTIFICATE_GOOD_FOR
    return any(one.not_after >= limit for one in idps.usable_certificates(provider))


def _recovery_codes(account: Account) -> bool:
    """Whether an active administrator has one left."""
    unused = RecoveryCode.member.in_(member_roles.administrators(account)) & RecoveryCode.used_at.is_null()
    return bool(RecoveryCode.select().where(unused).exists())


def unable_to_sign_in(account: Account) -> Any:
    """The active members whom no enabled provider is known to let in, as a query."""
    enabled = idps.of_account(account).where(IdentityProvider.enabled)
    active = (Member.account == account) & Member.active & Member.removed_at.is_null()
    return Member.select().where(active, ~known_to_let_in(enabled))


def known_to_let_in(providers: Iterable[IdentityProvider]) -> Any:
    """The condition on a member that one of these providers is known to let her in: she has come in by it or is in its
    directory, its domains allow her address (sign_in.identify.may_assert, as SQL: there may be thousands), and an
    administrator it is trusted with."""
    known = (_knows(provider) & _may_assert(provider) & _is_trusted_with(provider) for provider in providers)
    return reduce(or_, known, SQL("1 = 0"))


def _is_trusted_with(provider: IdentityProvider) -> Any:
    """A plan with single sign-on has roles."""
    return SQL("1 = 1") if provider.trusted_with_administrators else ~roles.holds_admin()


def _knows(provider: IdentityProvider) -> Any:
    linked = IdentityLink.select(SQL("1")).where(
        IdentityLink.member == Member.id, IdentityLink.identity_provider == provider.id
    )
    # Without IS NOT NULL, NOT would leave out everybody whom no provider manages.
    managed = Member.identity_provider.is_null(False) & (Member.identity_provider == provider.id)
    return fn.EXISTS(linked) | (managed & (Member.managed_by == "scim"))


def _may_assert(provider: IdentityProvider) -> Any:
    ends = (Member.email_key.endswith(f"@{domain}") for domain in provider.domains)
    return reduce(or_, ends) if provider.domains else SQL("1 = 1")


# --- changing it ------------------------------------------------------------------------------------------------


def enforce(actor: Actor, *, fall_back_minutes: int | None = None, session: Session | None = None) -> None:
    """Only through one of the account's enabled providers from now on. Password sessions end at once, but for
    ``session``, the one that asks for it, which has ``SPARED_FOR``.

    ``fall_back_minutes``: back to mixed mode by itself, unless an administrator signs in through an enabled provider
    before. Where it is enforced already, that is all that changes. Raises Conflict naming each missing condition,
    Forbidden (plan), Invalid.
    """
    until = _fall_back_at(fall_back_minutes)
    account = actor.account
    seats.lock_anew(account)  # else a provider that is switched off meanwhile would still count as the way in
    settle(account)
    plans.require(account, plans.Feature.SSO)
    if account.sso_mode == ENFORCED:
        trial = {"enforced_until": until, "enforced_at": clock.now()}
        if until is not None and accounts.change(actor, {"reason": "on_trial"}, **trial):
            _tell(actor, "enforced")
        return
    missing = gaps(account)
    if missing:
        raise Conflict(
            f"Single sign-on cannot be enforced yet: {'; '.join(GAPS[gap] for gap in missing)}.",
            code=Code.ENFORCEMENT_CONDITIONS,
            fields={gap.value: [f"{GAPS[gap].capitalize()}."] for gap in missing},
        )
    spared = session if session is not None and session.method == sessions.PASSWORD else None
    _enforce(actor, "enforced", until, spared)
    if spared is not None:
        sessions.go_on(spared, account, until=clock.now() + SPARED_FOR)
    _tell(actor, "enforced")


def _enforce(actor: Actor, reason: str, until: datetime | None, spared: Session | None) -> None:
    account = actor.account
    told = {"reason": reason, "sessions_ended": sessions.number_by_password(account, besides=spared)}
    accounts.change(
        actor,
        told,
        sso_mode=ENFORCED,
        enforced_until=until,
        enforced_at=clock.now(),
        enforced_before=False,
        password_epoch=account.password_epoch + 1,
    )


def _fall_back_at(minutes: int | None) -> datetime | None:
    least, most = TRIAL
    if minutes is not None and not least <= minutes <= most:
        words = f"From {least} to {most} minutes."
        raise Invalid(words, fields={"sso_fallback_minutes": [words]})
    return None if minutes is None else clock.now() + timedelta(minutes=minutes)


def relax(actor: Actor) -> None:
    """Back to mixed mode: asks for nothing, since it locks nobody out. What enforcing ended stays ended."""
    seats.lock_anew(actor.account)
    settle(actor.account)
    was = actor.account.sso_mode
    # Who says mixed while the plan has nothing else means it for when the plan is back.
    accounts.change(actor, {"reason": "mixed"}, sso_mode=MIXED, enforced_until=None, enforced_before=False)
    if was != MIXED:
        _tell(actor, "mixed")


def restore(actor: Actor) -> list[Gap] | None:
    """The plan is back: enforced again if it was before and every condition holds. What is missing, else; None where
    it was not enforced before. The caller holds the account."""
    account = actor.account
    if not account.enforced_before:
        return None
    missing = gaps(account)
    if missing:
        told = {"reason": "not_restored", "missing": [gap.value for gap in missing]}
        accounts.change(actor, told, enforced_before=False)
        _tell(actor, "not_restored", missing)
        return missing
    _enforce(actor, "restored", None, None)
    _tell(actor, "restored")
    return []


def _tell(actor: Actor, change: str, missing: list[Gap] | None = None) -> None:
    until = actor.account.enforced_until
    notices.to_administrators(
        actor.account,
        Notice.ENFORCEMENT_CHANGED,
        change=change,
        by=actor.subject,
        falls_back_at=until and clock.rfc3339(until),
        missing=[GAPS[gap] for gap in missing or ()],
    )


# --- the trial --------------------------------------------------------------------------------------------------


def administrator_came_in(actor: Actor, provider: IdentityProvider, member: Member, *, began_at: datetime) -> None:
    """An administrator has signed in through the provider, which ``began_at`` that time: it is proven to work as it was
    then, and a trial that had begun by then is over.

    Where one runs, the account is taken before the provider's row, as by everybody who changes both.
    """
    account = actor.account
    on_trial = account.enforced_until is not None
    if on_trial:
        seats.lock_anew(account, provider)
    proven = IdentityProvider.update(administrator_signed_in_at=began_at, proven_by=member.id)
    proven.where(IdentityProvider.id == provider.id, _proves_more(account, began_at)).execute()
    if on_trial and provider.enabled and provider.trusted_with_administrators and _confirms(account, began_at):
        told = {"reason": "confirmed", "confirmed_by": member.id, "identity_provider_id": provider.id}
        # Her session at the switch was spared for this; now nobody is in by password any more.
        accounts.change(actor, told, enforced_until=None, password_epoch=account.password_epoch + 1)
        _tell(actor, "confirmed")


def _proves_more(account: Account, began_at: datetime) -> Any:
    """The condition on a provider that what began then says more than what is noted: it began later, or holds where the
    noted one does not. Who began before a change, and ends after somebody who has proven it since, undoes no proof."""
    noted, by = IdentityProvider.administrator_signed_in_at, IdentityProvider.proven_by
    void = by.is_null() | by.not_in(member_roles.administrators(account))
    return noted.is_null() | (noted < began_at) | (void & (IdentityProvider.changed_at <= began_at))


def _confirms(account: Account, began_at: datetime) -> bool:
    """Whether a trial runs, and what began then shows that it can be survived: what began before it shows nothing."""
    if account.enforced_until is None or sign_in_mode.trial_is_over(account):
        return False
    return account.enforced_at is None or began_at >= account.enforced_at


def settle(account: Account) -> None:
    """A trial that is over is written down. The caller holds the account."""
    if account.sso_mode != ENFORCED or not sign_in_mode.trial_is_over(account):
        return
    actor = actors.system(account, subject="single sign-on on trial")
    told = {"reason": "fell_back", "fell_back_at": clock.rfc3339(account.enforced_until)}
    accounts.change(actor, told, sso_mode=MIXED, enforced_until=None)
    _tell(actor, "fell_back")


def settle_all(now: datetime) -> None:
    """The job: each trial that is over, written down once among all processes."""
    over = Account.select().where(Account.sso_mode == ENFORCED, Account.enforced_until <= now)
    for account in list(over):
        with db.transaction():
            seats.lock_anew(account)
            settle(account)
