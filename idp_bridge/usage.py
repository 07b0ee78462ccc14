"""Usage: what an account has used of each metric, by day and by owner, against the limits of its plan.

It only reads: what the product reports is added in usage_reports.py. Limits are of a calendar month in UTC. An owner
that is gone keeps its totals, under its id; the credentials are counted as they are now.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from peewee import SQL, fn

from idp_bridge import clock, db, plans
from idp_bridge.models import Account, BotUser, Credential, Member, UsageMonth, UsageTotal
from idp_bridge.plans import Metric

CREDENTIALS = ("authtoken", "api_key", "ssh_public_key")


@dataclass(frozen=True)
class Days:
    """From the first to the last day, both among them."""

    first: date
    last: date

    @classmethod
    def of_month(cls, day: date) -> "Days":
        """The month of that day."""
        return cls(day.replace(day=1), (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1))

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1))


@dataclass(frozen=True)
class Allowance:
    """What the account has used of a metric in a month, and how much its plan includes; None = no limit."""

    metric: Metric
    month: str
    used: int
    limit: int | None

    @property
    def overage(self) -> int:
        """How much more than the plan includes."""
        return 0 if self.limit is None else max(0, self.used - self.limit)

    @property
    def percent(self) -> int | None:
        """Of the limit, rounded down."""
        return None if self.limit is None else self.used * 100 // self.limit


@dataclass
class OwnerUsage:
    """An owner with what it has used, and how many credentials of each kind it has now. ``name`` is None and ``state``
    ``deleted`` where it is gone."""

    id: str
    name: str | None = None
    state: str = "deleted"
    amounts: dict[Metric, int] = field(default_factory=lambda: dict.fromkeys(Metric, 0))
    credentials: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CREDENTIALS, 0))

    @property
    def type(self) -> str:
        """``bot_user`` or ``user``, which its id says."""
        return "bot_user" if self.id.startswith("bot_") else "user"


def today() -> date:
    """By UTC, as all days here are."""
    return clock.now().date()


def month_of(day: str) -> str:
    """The month of a stored day, as it is stored."""
    return day[:7]


def allowances(account: Account, month: str) -> list[Allowance]:
    """One for each metric."""
    rows = UsageMonth.select().where(UsageMonth.account == account, UsageMonth.month == month)
    used = {row.metric: row.amount for row in rows}
    return [Allowance(metric, month, used.get(metric, 0), plans.included(account, metric)) for metric in Metric]


def by_day(account: Account, days: Days, *, owner_id: str | None = None) -> dict[Metric, dict[str, int]]:
    """The totals of each day that has any, by metric."""
    rows = _totals(account, days, owner_id).select(UsageTotal.metric, UsageTotal.day, fn.SUM(UsageTotal.amount))
    found: dict[Metric, dict[str, int]] = {metric: {} for metric in Metric}
    for metric, day, amount in rows.group_by(UsageTotal.metric, UsageTotal.day).order_by(UsageTotal.day).tuples():
        found[Metric(metric)][day] = int(amount)
    return found


def by_owner(
    account: Account,
    days: Days,
    *,
    limit: int,
    owner_id: str | None = None,
    before_id: str | None = None,
    bots_first: bool = False,
) -> list[OwnerUsage]:
    """Those who have used something in these days or have a credential, the newest first and members before bot users;
    or the other way round. At most ``limit`` of them; what it costs does not grow with the number of credentials."""
    parts = [
        *_having(account, owner_id),
        (_totals(account, days, owner_id).select(UsageTotal.owner_id).distinct(), UsageTotal.owner_id),
    ]
    ids: set[str] = set()
    for query, own_id in parts:
        further = query.where(own_id < before_id) if before_id else query
        ids.update(db.column(further.order_by(own_id.asc() if bots_first else own_id.desc()).limit(limit)))
    page = sorted(ids, reverse=not bots_first)[:limit]
    found = {id: OwnerUsage(id) for id in page}
    _add_amounts(account, days, found)
    _add_credentials(account, found)
    _add_names(account, found)
    return list(found.values())


def _having(account: Account, owner_id: str | None) -> list[tuple[Any, Any]]:
    """Who has a credential, as queries that walk the owners in the order of an index; each with its id."""
    parts = []
    for model, of_it, some in (
        (BotUser, Credential.bot_user, BotUser.account == account),
        (Member, Credential.member, (Member.account == account) & Member.removed_at.is_null()),
        (Member, Credential.member, (Member.account == account) & ~Member.active & Member.removed_at.is_null(False)),
    ):
        query: Any = model.select(model.id).where(some, fn.EXISTS(Credential.select(SQL("1")).where(of_it == model.id)))
        parts.append((query.where(model.id == owner_id) if owner_id else query, model.id))
    return parts


def _totals(account: Account, days: Days, owner_id: str | None = None) -> Any:
    within = UsageTotal.day.between(days.first.isoformat(), days.last.isoformat())
    query = UsageTotal.select().where(UsageTotal.account == account, within)
    return query.where(UsageTotal.owner_id == owner_id) if owner_id else query


def _add_amounts(account: Account, days: Days, found: dict[str, OwnerUsage]) -> None:
    rows = _totals(account, days).where(UsageTotal.owner_id.in_(list(found)))
    rows = rows.select(UsageTotal.owner_id, UsageTotal.metric, fn.SUM(UsageTotal.amount))
    for id, metric, amount in rows.group_by(UsageTotal.owner_id, UsageTotal.metric).tuples():
        found[id].amounts[Metric(metric)] = int(amount)


def _add_credentials(account: Account, found: dict[str, OwnerUsage]) -> None:
    """By the kind of owner, each of which has an index: with OR, SQLite reads all of the account's."""
    for owner in (Credential.member, Credential.bot_user):
        rows: Any = Credential.select(owner, Credential.kind, fn.COUNT(Credential.id))
        rows = rows.where(owner.in_(list(found)), db.unindexed(Credential.account == account))
        for id, kind, number in rows.group_by(owner, Credential.kind).tuples():
            found[id].credentials[kind] = number


def _add_names(account: Account, found: dict[str, OwnerUsage]) -> None:
    for bot in BotUser.select().where(BotUser.account == account, BotUser.id.in_(list(found))):
        found[bot.id].name, found[bot.id].state = bot.name, _state(bot.active)
    for member in Member.select().where(Member.account == account, Member.id.in_(list(found))):
        if member.removed_at is None:
            found[member.id].name, found[member.id].state = member.email, _state(member.active)


def _state(active: bool) -> str:
    return "active" if active else "inactive"
