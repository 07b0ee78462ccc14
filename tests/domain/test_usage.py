"""Usage: each report counted once, totals that add up, each share of a limit told once, whoever reports at once."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from peewee import SqliteDatabase

from idp_bridge import accounts, bots, clock, credentials, db, mail, plan_changes, usage, usage_reports
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.models import Account, BotUser, UsageMonth, UsageReport, UsageTotal
from idp_bridge.plans import METRICS, Metric
from idp_bridge.usage import Days
from idp_bridge.usage_reports import LARGEST, LARGEST_TOTAL, Report
from tests.conftest import World
from tests.domain import cast
from tests.smtp import Mailbox

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MARCH = Days(date(2026, 3, 1), date(2026, 3, 31))
TOLD = "usage_threshold_reached.v0"


@pytest.fixture(autouse=True)
def _noon() -> Any:
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def bot(acme: World) -> BotUser:
    """Who uses something."""
    with db.transaction():
        return bots.create(acme.system, "deploy")


def report(key: str, owner: Any, amount: int = 1, metric: Metric = Metric.SESSIONS, **options: Any) -> Report:
    """A report of an owner."""
    return Report(idempotency_key=key, metric=metric, amount=amount, owner_id=owner.id, **options)


def count(*reports: Report, account: Account | None = None) -> usage_reports.Counted:
    """As one request counts them."""
    with db.transaction():
        return usage_reports.count(reports, account=account)


def used(world: World, metric: Metric = Metric.SESSIONS) -> tuple[int, int, int]:
    """The month's total of the account, by month, by days and by owners: three ways to one number."""
    by_month = {one.metric: one.used for one in usage.allowances(world.account, "2026-03")}[metric]
    by_day = sum(usage.by_day(world.account, MARCH)[metric].values())
    by_owner = sum(one.amounts[metric] for one in usage.by_owner(world.account, MARCH, limit=100))
    return by_month, by_day, by_owner


def on_plan(world: World, plan: str) -> None:
    """The account has that plan; who may sign in is none of our business here."""
    Account.update(plan=plan).where(Account.id == world.account.id).execute()
    world.account = accounts.find(world.account.id)


def told(world: World) -> list[tuple[str, int, int]]:
    """Of what the account's events tell, in their order."""
    return [(one.object["metric"], one.object["limit"], one.object["percent"]) for one in cast.happened(world, TOLD)]


# --- once -------------------------------------------------------------------------------------------------------


def test_a_repetition_changes_nothing_and_is_answered_as_the_first(acme: World, bot: BotUser) -> None:
    """In a request of its own, in one batch with others, and twice in one batch."""
    first = count(report("a", bot, 5))
    again = count(report("a", bot, 5), report("b", bot, 2), report("b", bot, 2))
    assert (first.new, again.new) == (1, 1)
    assert first.rows[0].__data__ == again.rows[0].__data__
    assert again.rows[1].__data__ == again.rows[2].__data__
    assert used(acme) == (7, 7, 7)


@pytest.mark.parametrize(
    "other",
    [{"amount": 6}, {"metric": Metric.ENDPOINTS}, {"day": NOON.date()}, {"credential": True}, {"owner": True}],
    ids=lambda other: next(iter(other)),
)
def test_a_key_that_came_with_another_report_is_a_conflict(acme: World, bot: BotUser, other: dict[str, Any]) -> None:
    """In a later request and in the same; and nothing of either batch is counted."""
    with db.transaction():
        key = credentials.issue(acme.system, credentials.API_KEY, bot).credential
    values: dict[str, Any] = {"amount": 5, "metric": Metric.SESSIONS, "owner_id": bot.id, "credential_id": None} | other
    if values.pop("credential", False):
        values |= {"owner_id": None, "credential_id": key.id}
    if values.pop("owner", False):
        values["owner_id"] = acme.owner.id
    second = Report(idempotency_key="a", **values)
    with pytest.raises(Conflict) as in_one:
        count(report("a", bot, 5), second)
    assert used(acme) == (0, 0, 0)
    count(report("a", bot, 5))
    with pytest.raises(Conflict) as later:
        count(report("b", bot, 3), second)
    assert {in_one.value.code, later.value.code} == {Code.IDEMPOTENCY_KEY_REUSED}
    assert list(later.value.fields) == ["reports.1.idempotency_key"]
    assert used(acme) == (5, 5, 5)


def test_a_key_is_the_account_s_own(acme: World, bot: BotUser) -> None:
    """Another account's reports may have the same."""
    other = cast.open_account("umbrella")
    counted = count(report("a", bot, 5), report("a", other.owner, 7))
    assert counted.new == 2
    assert (used(acme), used(other)) == ((5, 5, 5), (7, 7, 7))


def test_a_repetition_is_answered_although_what_it_named_is_gone(acme: World, bot: BotUser) -> None:
    """The reporter did not hear the first answer; its totals stay under the id."""
    with db.transaction():
        key = credentials.issue(acme.system, credentials.AUTHTOKEN, bot).credential
    by_key = Report(idempotency_key="k", metric=Metric.SESSIONS, amount=3, credential_id=key.id)
    count(report("a", bot, 5), by_key)
    with db.transaction():
        bots.delete(acme.system, bot)
    again = count(report("a", bot, 5), by_key)
    assert (again.new, {row.owner_id for row in again.rows}) == (0, {bot.id})
    (gone,) = usage.by_owner(acme.account, MARCH, limit=9, owner_id=bot.id)
    assert (gone.state, gone.name, gone.amounts[Metric.SESSIONS]) == ("deleted", None, 8)
    with pytest.raises(NotFound):
        count(report("new", bot))


def test_keys_are_forgotten_after_a_report_of_their_day_is_refused(acme: World, bot: BotUser) -> None:
    """So one that names its day is never counted twice."""
    old = report("a", bot, 5, day=NOON.date())
    count(old)
    with time_machine.travel(NOON + usage_reports.KEPT, tick=False):
        usage_reports.prune(clock.now())
        assert UsageReport.select().count() == 1
    with time_machine.travel(NOON + usage_reports.KEPT + timedelta(seconds=1), tick=False):
        usage_reports.prune(clock.now())
        assert UsageReport.select().count() == 0
        with pytest.raises(Invalid):
            count(old)


# --- of whom, and when ------------------------------------------------------------------------------------------


def test_what_a_credential_used_is_its_owner_s(acme: World, bot: BotUser) -> None:
    """A member's and a bot user's, whether they are active or not."""
    with db.transaction():
        keys = [credentials.issue(acme.system, credentials.API_KEY, owner).credential for owner in (bot, acme.owner)]
        bots.change(acme.system, bot, active=False)
    count(
        *[
            Report(idempotency_key=f"{n}", metric=Metric.SESSIONS, amount=n + 1, credential_id=k.id)
            for n, k in enumerate(keys)
        ]
    )
    owners = {one.id: one for one in usage.by_owner(acme.account, MARCH, limit=100)}
    assert {id: one.amounts[Metric.SESSIONS] for id, one in owners.items()} == {bot.id: 1, acme.owner.id: 2}
    assert (owners[bot.id].state, owners[bot.id].type, owners[bot.id].credentials["api_key"]) == (
        "inactive",
        "bot_user",
        1,
    )


def test_all_of_a_batch_is_counted_or_nothing(acme: World, bot: BotUser) -> None:
    """One that is not there, or not in the caller's account, is named by its place."""
    other = cast.open_account("umbrella")
    batch = [report("a", bot), report("b", other.owner), Report("c", Metric.SESSIONS, 1, credential_id="ak_nothing")]
    with pytest.raises(NotFound) as refused:
        count(*batch, account=acme.account)
    assert list(refused.value.fields) == ["reports.1.owner_id", "reports.2.credential_id"]
    assert UsageTotal.select().count() == UsageReport.select().count() == 0


def test_a_key_of_another_account_is_not_seen(acme: World, bot: BotUser) -> None:
    """Whoever reports for her own account alone learns nothing of what others have reported."""
    other = cast.open_account("umbrella")
    count(report("a", bot, 5))
    with pytest.raises(NotFound):
        count(report("a", bot, 5), account=other.account)


@pytest.mark.parametrize(("days", "accepted"), [(-8, False), (-7, True), (0, True), (1, False)])
def test_a_report_may_be_a_week_late(acme: World, bot: BotUser, days: int, accepted: bool) -> None:
    """And is counted in the month of its day; never in advance."""
    day = (NOON - timedelta(days=3) + timedelta(days=days)).date()
    with time_machine.travel(NOON - timedelta(days=3), tick=False):
        if accepted:
            assert count(report("a", bot, 5, day=day)).rows[0].day == day.isoformat()
            assert UsageMonth.get().month == day.isoformat()[:7]
        else:
            with pytest.raises(Invalid) as refused:
                count(report("a", bot, 5, day=day))
            assert list(refused.value.fields) == ["reports.0.day"]


def test_a_total_ends_where_json_is_exact(acme: World, bot: BotUser) -> None:
    """It stays there, and is never wrong the other way."""
    count(report("a", bot, LARGEST))
    UsageTotal.update(amount=LARGEST_TOTAL - 1).execute()
    UsageMonth.update(amount=LARGEST_TOTAL - 1).execute()
    count(report("b", bot, LARGEST))
    assert used(acme) == (LARGEST_TOTAL,) * 3


# --- limits -----------------------------------------------------------------------------------------------------


def test_each_share_of_a_limit_is_told_once(acme: World, bot: BotUser) -> None:
    """Not at 79 %, at 80 %, not again, at 100 %, and not beyond; in the next month anew."""
    on_plan(acme, "free")
    limit = METRICS[Metric.SESSIONS].included["free"]
    assert limit == 20_000
    steps = {"a": 15_999, "b": 1, "c": 3_999, "d": 1, "e": 50_000}
    seen = []
    for key, amount in steps.items():
        count(report(key, bot, amount))
        seen.append([percent for _, _, percent in told(acme)])
    assert seen == [[], [80], [80], [80, 100], [80, 100]]
    event = cast.happened(acme, TOLD)[0]
    assert (event.object_id, event.principal_type, event.object["month"]) == (acme.account.id, "system", "2026-03")
    assert [(one.used, one.overage) for one in usage.allowances(acme.account, "2026-03")][1] == (70_000, 50_000)
    with time_machine.travel(NOON + timedelta(days=31), tick=False):
        count(report("f", bot, 20_000))
    assert [percent for _, _, percent in told(acme)] == [80, 100, 80, 100]


def test_another_plan_s_limit_is_told_anew_and_no_limit_never(acme: World, bot: BotUser) -> None:
    """A larger limit that is not reached silences; it is told when it is."""
    count(report("none", bot, 500_000))
    assert told(acme) == []
    with db.transaction():
        plan_changes.set_plan(acme.system, "pro")
    count(report("more", bot, 300_000))
    assert told(acme) == [("sessions", 1_000_000, 80)]
    on_plan(acme, "free")
    count(report("down", bot))
    on_plan(acme, "pro")
    count(report("up", bot, 200_000))
    assert told(acme)[1:] == [("sessions", limit, percent) for limit in (20_000, 1_000_000) for percent in (80, 100)]


def test_a_smaller_plan_tells_what_is_over_its_limit_at_once(acme: World, bot: BotUser) -> None:
    """Not only with the next report; by whoever changed the plan, and once."""
    count(report("a", bot, 900_000))
    assert told(acme) == []
    for _ in range(2):
        with db.transaction():
            plan_changes.set_plan(acme.system, "pro")
    assert told(acme) == [("sessions", 1_000_000, 80)]
    count(report("b", bot))
    assert len(told(acme)) == 1


def test_administrators_get_one_letter_for_what_was_reached_at_once(
    acme: World, bot: BotUser, mailbox: Mailbox
) -> None:
    """The larger share; and one for each when they are reached one after the other."""
    on_plan(acme, "free")
    count(report("a", bot, 10**9, Metric.BANDWIDTH), report("b", bot, 16_000))
    count(report("c", bot, 4_000))
    mail.deliver(clock.now())
    subjects = sorted(message["Subject"] for message in mailbox.messages)
    assert subjects == [
        "Acme has used 100 % of its bytes of bandwidth for 2026-03",
        "Acme has used 100 % of its sessions for 2026-03",
        "Acme has used 80 % of its sessions for 2026-03",
    ]
    assert mailbox.link_to("owner@acme.test").endswith("/accounts/acme/usage?month=2026-03")


# --- at once ----------------------------------------------------------------------------------------------------


def test_whoever_reports_the_same_at_once_it_is_counted_once(acme: World, bot: BotUser) -> None:
    """The same batch in any order from everywhere: all are answered alike, one of them counts."""
    on_plan(acme, "free")
    batch = [report(f"k{n}", (bot, acme.owner)[n % 2], 2_000) for n in range(10)]
    works = [lambda batch=batch[n:] + batch[:n]: usage_reports.count(batch) for n in range(6)]
    results = cast.at_once(*works)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert sum(result.new for result in results) == 10
    assert used(acme) == (20_000,) * 3
    assert sorted(told(acme)) == [("sessions", 20_000, 80), ("sessions", 20_000, 100)]


def test_reports_at_once_add_up_and_pass_each_limit_once(acme: World, bot: BotUser) -> None:
    """Many owners, metrics and accounts in every order."""
    other = cast.open_account("umbrella", plan="free")
    on_plan(acme, "free")
    owners = [bot, acme.owner, other.owner]

    def batch(n: int) -> list[Report]:
        reports = [
            report(f"{n} {metric} {k}", owners[k], 1_000, metric) for metric in Metric for k in range(len(owners))
        ]
        return reports[n:] + reports[:n]

    results = cast.at_once(*[lambda n=n: usage_reports.count(batch(n)) for n in range(8)])  # type: ignore[misc]
    assert [result for result in results if isinstance(result, Exception)] == []
    for world, amount in ((acme, 16_000), (other, 8_000)):
        assert [used(world, metric) for metric in Metric] == [(amount,) * 3] * 3
        assert [one for one in told(world) if one[0] == "endpoints"] == [
            ("endpoints", 1_000, 80),
            ("endpoints", 1_000, 100),
        ]
    assert [one for one in told(acme) if one[0] == "sessions"] == [("sessions", 20_000, 80)]


# --- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bots_first", [False, True])
def test_a_page_of_owners_reads_no_more_than_its_owners_credentials(
    acme: World, bot: BotUser, bots_first: bool
) -> None:
    """Whoever has a credential is found through the owners, and never through all credentials of the account."""
    with db.transaction():
        for owner in (bot, acme.owner):
            credentials.issue(acme.system, credentials.API_KEY, owner)
    read: list[str] = []
    db.watch(0, lambda sql, _: read.append(sql))
    try:
        found = usage.by_owner(acme.account, MARCH, limit=10, bots_first=bots_first)
    finally:
        db.watch(None, lambda *_: None)
    assert {one.id for one in found} == {bot.id, acme.owner.id}
    assert [one.credentials["api_key"] for one in found] == [1, 1]
    assert not [sql for sql in read if "COALESCE" in sql.upper()]
    if isinstance(db.database.obj, SqliteDatabase):
        for sql in read:
            plan = db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", ("x",) * sql.count("?")).fetchall()
            steps = [str(step[3]) for step in plan if "credential" in str(step[3]) or " t2 " in str(step[3])]
            assert not [step for step in steps if "account_id=?" in step], plan


def test_owners_are_paged_by_id_and_those_with_a_credential_are_among_them(acme: World) -> None:
    """Newest first, or bot users first; each once."""
    with db.transaction():
        made = [bots.create(acme.system, f"bot {n}") for n in range(4)]
        credentials.issue(acme.system, credentials.AUTHTOKEN, made[0])
    count(*[report(f"{bot.id}", bot) for bot in made[1:3]], report("o", acme.owner))
    expected = [acme.owner.id, made[2].id, made[1].id, made[0].id]
    whole = [one.id for one in usage.by_owner(acme.account, MARCH, limit=100)]
    rest = [one.id for one in usage.by_owner(acme.account, MARCH, limit=2, before_id=made[2].id)]
    assert (whole, rest) == (expected, expected[2:])
    bots_first = [one.id for one in usage.by_owner(acme.account, MARCH, limit=100, bots_first=True)]
    assert bots_first == expected[::-1]


@pytest.mark.parametrize(
    ("day", "last"), [("2026-02-10", 28), ("2028-02-29", 29), ("2026-12-31", 31), ("2026-04-01", 30)]
)
def test_a_month_has_its_days(day: str, last: int) -> None:
    """From the first to the last."""
    days = Days.of_month(date.fromisoformat(day))
    assert (days.first.day, days.last.day, len(list(days))) == (1, last, last)
