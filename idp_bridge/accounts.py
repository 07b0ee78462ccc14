"""Accounts: the customers, with their plan, seats and the mode in which their members sign in."""

import re
from datetime import timedelta
from typing import Any

from idp_bridge import actors, clock, db, events, ids, member_roles, plans, seats
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityLink, IdentityProvider, Member, RecoveryCode, Session
from idp_bridge.seats import begin as begin_counting_seats
from idp_bridge.seats import lock_anew

MODES = ("mixed", "enforced")
CERTIFICATE_GOOD_FOR = timedelta(days=14)  # enforcing on a certificate about to expire locks everybody out

RESERVED = frozenset({"recovery"})  # /login/recovery is a page of its own, /login/<slug> an account's

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def find(slug_or_id: str) -> Account:
    """Raises NotFound."""
    account = Account.get_or_none((Account.slug == slug_or_id) | (Account.id == slug_or_id))
    if account is None:
        raise NotFound(f"There is no account {slug_or_id}.")
    return account


def create(*, name: str, slug: str, plan: str = "free", seats: int | None = None, source: str = "cli") -> Account:
    """A new account; ``seats`` None takes the plan's number. Raises Invalid, Conflict (slug taken)."""
    chosen = plans.get(plan)
    if not _SLUG.fullmatch(slug):
        raise Invalid(
            "A slug has 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end.",
            fields={"slug": ["a-z, 0-9 and -"]},
        )
    if slug in RESERVED:
        raise Invalid(f"The slug {slug} is reserved; choose another.", fields={"slug": ["reserved"]})
    with db.unique(Account, lambda: _taken(slug)), db.savepoint():
        account = Account.create(
            id=ids.new("acct"),
            slug=slug,
            name=name,
            plan=chosen.name,
            seats=chosen.seats if seats is None else seats,
            created_at=clock.now(),
        )
        begin_counting_seats(account)
    events.record(actors.system(account, source=source), Type.ACCOUNT_CREATED, describe(account))
    return account


def _taken(slug: str) -> Conflict:
    return Conflict(f"The slug {slug} is taken.", code=Code.NAME_TAKEN, fields={"slug": ["taken"]})


def rename(actor: Actor, name: str) -> None:
    """Give the account another name."""
    _change(actor, name=name)


def set_plan(actor: Actor, plan: str, *, seat_limit: int | None = None) -> None:
    """Change the plan, and the seats with it. Leaving SSO behind turns the providers off, ends what they opened
    and goes back to mixed mode, so that passwords work; no member and no provider is deleted. Raises Invalid."""
    chosen = plans.get(plan)
    account = actor.account
    lock_anew(account)
    fields: dict[str, Any] = {"plan": chosen.name, "seats": chosen.seats if seat_limit is None else seat_limit}
    if plans.Feature.SSO not in chosen.features:
        fields["sso_mode"] = "mixed"
        providers = IdentityProvider.account == account
        IdentityProvider.update(enabled=False).where(providers).execute()
        opened = Session.identity_provider.in_(IdentityProvider.select(IdentityProvider.id).where(providers))
        Session.delete().where(opened).execute()
    _change(actor, **fields)


def set_sso_mode(actor: Actor, mode: str) -> None:
    """Mixed, or enforced: only through one of the account's enabled providers.

    Enforcing is refused until it is proven that it locks nobody out: Conflict naming each missing condition.
    Password sessions end at once.
    """
    account = actor.account
    if mode not in MODES:
        raise Invalid("sso_mode is mixed or enforced.", fields={"sso_mode": ["mixed or enforced"]})
    lock_anew(account)  # else a provider that is switched off meanwhile would still count as the way in
    if mode == account.sso_mode:
        return
    if mode == "mixed":
        _change(actor, sso_mode=mode)
        return
    plans.require(account, plans.Feature.SSO)
    missing = enforcement_gaps(account)
    if missing:
        raise Conflict(
            "Single sign-on cannot be enforced yet: " + "; ".join(missing) + ".", code=Code.ENFORCEMENT_CONDITIONS
        )
    _change(actor, sso_mode=mode, password_sessions_after=clock.now())


def enforcement_gaps(account: Account) -> list[str]:
    """What still stands against enforcing single sign-on, as sentences; empty when nothing does."""
    enabled = list(IdentityProvider.select().where(IdentityProvider.account == account, IdentityProvider.enabled))
    gaps = []
    if not enabled:
        gaps.append("there is no enabled identity provider")
    proven = [p for p in enabled if p.administrator_signed_in_at and p.administrator_signed_in_at >= p.changed_at]
    if enabled and not proven:
        gaps.append("no administrator has signed in through an enabled identity provider since it was last changed")
    if proven and not any(_good_for_a_while(provider) for provider in proven):
        gaps.append(f"the identity provider's certificate expires within {CERTIFICATE_GOOD_FOR.days} days")
    codes = (
        RecoveryCode.select()
        .where(RecoveryCode.member.in_(member_roles.administrators(account)), RecoveryCode.used_at.is_null())
        .exists()
    )
    if not codes:
        gaps.append("no administrator has made recovery codes")
    return gaps


def _good_for_a_while(provider: IdentityProvider) -> bool:
    limit = clock.rfc3339(clock.now() + CERTIFICATE_GOOD_FOR)
    return any(certificate["not_after"] > limit for certificate in provider.certificates)


def without_single_sign_on(account: Account) -> list[Member]:
    """Active members who have never signed in through a provider: whom enforcing would keep out, by name."""
    linked = IdentityLink.select(IdentityLink.member)
    return list(
        Member.select()
        .where(Member.account == account, Member.active, Member.id.not_in(linked), Member.managed_by != "scim")
        .order_by(Member.name, Member.email)
    )


def describe(account: Account) -> dict[str, Any]:
    """The account as the API and events show it."""
    counted = seats.count(account)
    return {
        "id": account.id,
        "slug": account.slug,
        "name": account.name,
        "plan": account.plan,
        "sso_mode": account.sso_mode,
        "seats": {"used": counted.used, "reserved": counted.reserved, "limit": counted.limit},
        "created_at": clock.rfc3339(account.created_at),
    }


def _change(actor: Actor, **fields: Any) -> None:
    account = actor.account
    changed = {name: value for name, value in fields.items() if getattr(account, name) != value}
    if not changed:
        return
    before = {name: getattr(account, name) for name in changed if name != "password_sessions_after"}
    for name, value in changed.items():
        setattr(account, name, value)
    account.save(only=[getattr(Account, name) for name in changed])
    events.record(actor, Type.ACCOUNT_UPDATED, {**describe(account), "before": before})
