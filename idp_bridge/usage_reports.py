"""Reports of usage: what the product tells an owner or a credential has used, counted once however often it is told.

A report is known by its idempotency key in the account, and knows who sent it. All of a batch is counted in one
transaction, or none of it: the reports, the totals of days, those of months, and the events of what a plan's limit was
passed by. Rows are written in the order of their keys, and those that all reports of an account want come last, so that
nobody waits in a circle.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from peewee import EXCLUDED, Case

from idp_bridge import clock, db, events, notices, plans
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, BotUser, Credential, Member, UsageMonth, UsageReport, UsageTotal
from idp_bridge.notices import Notice
from idp_bridge.plans import Metric
from idp_bridge.usage import month_of, today

LARGEST = 10**12  # of one report: a terabyte
LARGEST_TOTAL = 2**53 - 1  # what every reader of JSON keeps exact; a total that gets there stays there
MOST = 1000  # reports in one request
DAYS_BACK = 7  # that a report may be late
KEPT = timedelta(days=14)  # longer than a report may be late: one that names its day is never counted twice
THRESHOLDS = (80, 100)  # percent of a limit
BATCH = 500  # keys that one transaction forgets


@dataclass(frozen=True)
class Report:
    """As it was sent: of an owner or of a credential, on a day or, where it names none, today."""

    idempotency_key: str
    metric: Metric
    amount: int
    owner_id: str | None = None
    credential_id: str | None = None
    day: date | None = None

    @property
    def named(self) -> str:
        """The id of what has used it."""
        return self.credential_id or self.owner_id or ""

    def is_told_by(self, row: UsageReport) -> bool:
        """Whether this is the report that was counted under its key."""
        return (row.metric, row.amount, _named(row), row.day if row.dated else None) == (
            self.metric,
            self.amount,
            self.named,
            self.day and self.day.isoformat(),
        )


@dataclass(frozen=True)
class Reporter:
    """Who reports: a member or bot user of the account, or an operator key, which may do so for all of them and take
    back what was reported wrongly. ``credential_id``: what it came by; None for a session."""

    id: str | None
    type: str
    subject: str
    source: str = "api"
    credential_id: str | None = None
    address: str | None = None
    request_id: str | None = None

    def acting_in(self, account: Account) -> Actor:
        """Whom an event of that account names."""
        return Actor(account=account, **vars(self))


SERVICE = Reporter(None, "system", "usage", source="system")


@dataclass(frozen=True)
class Counted:
    """The rows of the reports, in their order; ``new`` is how many were not known before."""

    rows: list[UsageReport]
    new: int


@dataclass(frozen=True)
class _Owner:
    id: str
    account_id: str


def count(reports: Sequence[Report], *, account: Account | None = None, by: Reporter = SERVICE) -> Counted:
    """Count those that were not counted yet, in the caller's transaction; of ``account``, or of whatever account where
    that is None. A negative amount takes back what was reported before.

    Raises Invalid (a day too long ago or to come), Forbidden (only the operator takes back), NotFound (an owner or a
    credential), Conflict (a key that came with another report before, or more taken back than there is). ``fields``
    name each by its place: ``reports.3.owner_id``.
    """
    _check_days(reports)
    _check_may_take_back(reports, by)
    before = _counted_before(reports, account)
    others = {place: one for place, one in enumerate(reports) if (one.idempotency_key, one.named) not in before}
    owners = _owners(others.values(), account)
    _check_there(others, owners)
    rows: dict[tuple[str, str], UsageReport] = {}
    for one in others.values():
        owner = owners[one.named]
        rows.setdefault((owner.account_id, one.idempotency_key), _row(one, owner, by))
    new = _insert(rows)
    rows |= _stored(rows.keys() - new)
    answered = [
        before.get((one.idempotency_key, one.named)) or rows[owners[one.named].account_id, one.idempotency_key]
        for one in reports
    ]
    _check_same(reports, answered)
    _add([rows[key] for key in new], by)
    return Counted(answered, len(new))


def look_again(actor: Actor) -> None:
    """After a change of the account's plan: what has been used this month may be over the share of another limit."""
    this_month = (UsageMonth.account == actor.account) & (UsageMonth.month == month_of(today().isoformat()))
    by = Reporter(
        actor.id, actor.type, actor.subject, actor.source, actor.credential_id, actor.address, actor.request_id
    )
    _tell(list(db.locked(UsageMonth.select().where(this_month).order_by(UsageMonth.metric))), by)


# --- what a report is of ----------------------------------------------------------------------------------------


def _check_days(reports: Sequence[Report]) -> None:
    last = today()
    first = last - timedelta(days=DAYS_BACK)
    wrong = [place for place, one in enumerate(reports) if one.day is not None and not first <= one.day <= last]
    if wrong:
        words = f"From {first} to {last}, by UTC."
        raise Invalid(
            f"A report is of a day from {first} to {last}; nothing was counted.",
            fields={f"reports.{place}.day": [words] for place in wrong},
        )


def _check_may_take_back(reports: Sequence[Report], by: Reporter) -> None:
    wrong = [place for place, one in enumerate(reports) if one.amount < 0]
    if wrong and by.type not in {"operator", "system"}:
        raise Forbidden(
            "Only the operator takes back what was reported, with an operator key; nothing was counted.",
            fields={f"reports.{place}.amount": ["Must be 1 or more."] for place in wrong},
        )


def _counted_before(reports: Sequence[Report], account: Account | None) -> dict[tuple[str, str], UsageReport]:
    """By key and by what was named: a repetition is answered as the first was, although that has gone meanwhile."""
    query = UsageReport.select().where(UsageReport.key.in_([one.idempotency_key for one in reports]))
    if account is not None:
        query = query.where(UsageReport.account == account)
    return {(row.key, _named(row)): row for row in query}


def _named(row: UsageReport) -> str:
    named: str = row.credential_id or row.owner_id
    return named


def _owners(reports: Iterable[Report], account: Account | None) -> dict[str, _Owner]:
    """Whose each named id is, active or not: what was used before a suspension counts."""
    owner_ids = sorted({one.owner_id for one in reports if one.owner_id})
    credential_ids = sorted({one.credential_id for one in reports if one.credential_id})
    found: dict[str, _Owner] = {}
    for model in (Member, BotUser) if owner_ids else ():
        named: Any = model.select(model.id, model.account).where(model.id.in_(owner_ids))
        found |= {row.id: _Owner(row.id, row.account_id) for row in named}
    if credential_ids:
        for row in Credential.select().where(Credential.id.in_(credential_ids)):
            found[row.id] = _Owner(row.member_id or row.bot_user_id or "", row.account_id)
    return {id: owner for id, owner in found.items() if account is None or owner.account_id == account.id}


def _check_there(reports: Mapping[int, Report], owners: Mapping[str, _Owner]) -> None:
    missing = {place: one for place, one in reports.items() if one.named not in owners}
    if missing:
        kind = {place: "credential_id" if one.credential_id else "owner_id" for place, one in missing.items()}
        raise NotFound(
            f"There is no {next(iter(missing.values())).named} here to count usage of; nothing was counted.",
            fields={f"reports.{place}.{kind[place]}": [f"There is no {one.named}."] for place, one in missing.items()},
        )


# --- once -------------------------------------------------------------------------------------------------------


def _row(report: Report, owner: _Owner, by: Reporter) -> UsageReport:
    return UsageReport(
        key=report.idempotency_key,
        account=owner.account_id,
        owner_id=owner.id,
        credential_id=report.credential_id,
        metric=report.metric.value,
        amount=report.amount,
        day=(report.day or today()).isoformat(),
        dated=report.day is not None,
        reported_by=by.id,
        reported_with=by.credential_id,
        created_at=clock.now(),
    )


def _insert(rows: Mapping[tuple[str, str], UsageReport]) -> set[tuple[str, str]]:
    """The keys of those that nobody has counted before. Whoever counts the same at this moment is waited for."""
    if not rows:
        return set()
    values = [row.__data__ for _, row in sorted(rows.items())]
    query = UsageReport.insert_many(values).on_conflict_ignore().returning(UsageReport.account, UsageReport.key)
    return set(query.tuples().execute())


def _stored(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], UsageReport]:
    wanted = set(keys)
    query = UsageReport.select().where(UsageReport.key.in_(sorted({key for _, key in wanted})))
    found = {(row.account_id, row.key): row for row in query} if wanted else {}
    return {key: row for key, row in found.items() if key in wanted}


def _check_same(reports: Sequence[Report], rows: Sequence[UsageReport]) -> None:
    pairs = enumerate(zip(reports, rows, strict=True))
    wrong = [place for place, (report, row) in pairs if not report.is_told_by(row)]
    if wrong:
        raise Conflict(
            f"The idempotency key {reports[wrong[0]].idempotency_key} came with another report before; nothing was "
            "counted.",
            code=Code.IDEMPOTENCY_KEY_REUSED,
            fields={f"reports.{place}.idempotency_key": ["came with another report"] for place in wrong},
        )


def prune(now: datetime) -> None:
    """Keys of longer ago are forgotten; a transaction for each batch, so that nobody waits long for the lock."""
    old = UsageReport.created_at < now - KEPT
    while keys := db.column(UsageReport.select(UsageReport.key).where(old).limit(BATCH)):
        with db.transaction():
            UsageReport.delete().where(UsageReport.key.in_(keys), old).execute()


# --- the totals -------------------------------------------------------------------------------------------------


def _add(rows: Sequence[UsageReport], by: Reporter) -> None:
    days: Counter[tuple[str, ...]] = Counter()
    months: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        days[row.account_id, row.day, row.owner_id, row.metric] += row.amount
        months[row.account_id, month_of(row.day), row.metric] += row.amount
    _check_not_less_than_nothing(_upsert(UsageTotal, days))
    _tell(_upsert(UsageMonth, months), by)


def _check_not_less_than_nothing(totals: Sequence[UsageTotal]) -> None:
    for total in totals:
        if total.amount < 0:
            raise Conflict(
                f"More would be taken back than {total.owner_id} has used of {total.metric} on {total.day}; nothing "
                "was counted."
            )


def _upsert(model: Any, amounts: Mapping[tuple[str, ...], int]) -> list[Any]:
    """Add these to the rows of their keys; the rows, as they are now and stay until the transaction ends."""
    if not amounts:
        return []
    names = model._meta.primary_key.field_names
    rows = [{**dict(zip(names, key, strict=True)), "amount": amount} for key, amount in sorted(amounts.items())]
    total = model.amount + EXCLUDED.amount
    query = model.insert_many(rows).on_conflict(
        conflict_target=[getattr(model, name) for name in names],
        update={model.amount: Case(None, [(total > LARGEST_TOTAL, LARGEST_TOTAL)], total)},
    )
    return list(query.returning(model).execute())


def _tell(months: Sequence[UsageMonth], by: Reporter) -> None:
    """Each share of a limit that is used up now, once for that limit in that month: the row says what was told, and
    nobody else has it."""
    ids = {month.account_id for month in months}
    accounts = {account.id: account for account in Account.select().where(Account.id.in_(ids))} if ids else {}
    for month in months:
        account = accounts[month.account_id]
        limit = plans.included(account, Metric(month.metric))
        if limit is None:
            continue
        told = month.told_percent if month.told_limit == limit else 0
        reached = [percent for percent in THRESHOLDS if percent > told and month.amount * 100 >= limit * percent]
        if reached:
            _tell_of(by.acting_in(account), month, limit, reached)


def _tell_of(actor: Actor, month: UsageMonth, limit: int, reached: Sequence[int]) -> None:
    account = actor.account
    UsageMonth.update(told_percent=reached[-1], told_limit=limit).where(
        UsageMonth.account == account, UsageMonth.month == month.month, UsageMonth.metric == month.metric
    ).execute()
    facts = {"metric": month.metric, "month": month.month, "amount": month.amount, "limit": limit, "plan": account.plan}
    for percent in reached:
        events.record(actor, Type.USAGE_THRESHOLD_REACHED, {"id": account.id, "percent": percent, **facts})
    notices.to_administrators(
        account,
        Notice.USAGE_THRESHOLD_REACHED,
        percent=reached[-1],
        month=month.month,
        plan=account.plan.capitalize(),
        what=plans.METRICS[Metric(month.metric)].label.lower(),
        amount=f"{month.amount:,}",
        limit=f"{limit:,}",
    )
