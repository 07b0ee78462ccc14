"""Accounts: the customers, with their name, their plan and their seats. How the plan and the sign-in mode change is in
plan_changes.py and enforcement.py."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from idp_bridge import actors, clock, db, events, ids, plans, seats, sign_in_mode
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account
from idp_bridge.seats import begin as begin_counting_seats

RESERVED = frozenset({"recovery", "forgot"})  # pages of their own below /login, where /login/<slug> is an account's

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def find(slug_or_id: str) -> Account:
    """Raises NotFound."""
    account = Account.get_or_none((Account.slug == slug_or_id) | (Account.id == slug_or_id))
    if account is None:
        raise NotFound(f"There is no account {slug_or_id}.")
    return account


def create(*, name: str, slug: str, plan: str = "free", seats: int | None = None) -> Account:
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
    events.record(actors.operator(account), Type.ACCOUNT_CREATED, describe(account))
    return account


def _taken(slug: str) -> Conflict:
    return Conflict(f"The slug {slug} is taken.", code=Code.NAME_TAKEN, fields={"slug": ["taken"]})


def rename(actor: Actor, name: str) -> None:
    """Give the account another name."""
    change(actor, name=name)


def describe(account: Account) -> dict[str, Any]:
    """The account as the API and events show it."""
    counted = seats.count(account)
    return {
        "id": account.id,
        "slug": account.slug,
        "name": account.name,
        "plan": account.plan,
        "sso_mode": sign_in_mode.of(account),
        "sso_falls_back_at": _falls_back_at(account),
        "seats": {"used": counted.used, "reserved": counted.reserved, "limit": counted.limit},
        "created_at": clock.rfc3339(account.created_at),
    }


def _falls_back_at(account: Account) -> str | None:
    until = account.enforced_until
    return None if until is None or sign_in_mode.trial_is_over(account) else clock.rfc3339(until)


#: What a change is told of with what was there before, and by which name; the rest is how it is kept.
_TOLD = {name: name for name in ("name", "plan", "seats", "sso_mode")} | {"enforced_until": "sso_falls_back_at"}


def change(actor: Actor, facts: Mapping[str, Any] | None = None, **fields: Any) -> bool:
    """Set these columns, and tell what was there before, and ``facts``; whether anything changed. Who decides by what
    is there holds the account (seats.lock_anew)."""
    account = actor.account
    changed = {name: value for name, value in fields.items() if getattr(account, name) != value}
    if not changed:
        return False
    before = {_TOLD[name]: _plain(getattr(account, name)) for name in changed if name in _TOLD}
    for name, value in changed.items():
        setattr(account, name, value)
    account.save(only=[getattr(Account, name) for name in changed])
    events.record(actor, Type.ACCOUNT_UPDATED, {**describe(account), "before": before, **(facts or {})})
    return True


def _plain(value: Any) -> Any:
    return clock.rfc3339(value) if isinstance(value, datetime) else value
