"""Limits of rates, on both databases. Two objects of one limit are two processes: only the database joins them."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from peewee import OperationalError

from idp_bridge import db, rates
from idp_bridge.config import Config
from idp_bridge.errors import TooManyRequests
from idp_bridge.models import RateCount
from idp_bridge.rates import MINUTE, SECOND, Limit, Rates, SharedCounts
from tests.bench.statements import recorded
from tests.domain import cast

NOON = datetime(2026, 11, 25, 12, 0, 0, 250_000, tzinfo=UTC)
REFUSAL = "{amount} are allowed, wait {seconds}"


@pytest.fixture(autouse=True)
def _nothing_counted(database: None) -> None:
    RateCount.delete().execute()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until it is moved."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def a_minute(amount: int, *, exact: bool = False) -> Limit:
    return Limit("test", amount, MINUTE, refusal=REFUSAL, exact=exact)


def taken(limit: Limit, key: str = "tok_a") -> bool:
    try:
        limit.take(key)
    except TooManyRequests:
        return False
    return True


def passed(limits: list[Limit], rounds: int) -> int:
    """How many get through where the processes take turns."""
    return sum(taken(limit) for _ in range(rounds) for limit in limits)


def most(amount: int, processes: int) -> int:
    """What the documentation promises: two batches more for each process."""
    return amount + processes * 2 * (max(1, amount // rates.REPORTS) - 1)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("amount", [1, 10, 63])
def test_a_small_limit_is_exact_over_all_processes(amount: int, exact: bool) -> None:
    """Each request is counted in the database, whoever answers it."""
    assert passed([a_minute(amount, exact=exact) for _ in range(3)], amount) == amount


@pytest.mark.parametrize("amount", [64, 200, 500])
def test_a_large_limit_is_exceeded_by_two_batches_a_process_at_most(amount: int) -> None:
    """That is what a process lets through before it tells."""
    assert amount <= passed([a_minute(amount) for _ in range(2)], amount) <= most(amount, 2)


def test_a_process_alone_is_exact() -> None:
    """Its own requests it knows all."""
    assert passed([a_minute(500)], 600) == 500


def test_keys_are_counted_apart() -> None:
    """One tenant's storm is nobody else's."""
    limit = a_minute(2)
    assert [taken(limit, key) for key in ("tok_a", "tok_a", "tok_a", "tok_b")] == [True, True, False, True]


def test_a_slow_client_costs_no_statement() -> None:
    """Only a full batch is one, and a limit that is never reached never has one."""
    limit, batch = a_minute(640), 20
    with recorded(db.database.obj) as statements:
        assert all(taken(limit) for _ in range(batch - 1))
        assert all(taken(a_minute(1_000_000_000)) for _ in range(100))
        assert statements == []
        assert taken(limit)
    assert [sql.split()[0] for sql in statements if not sql.startswith("PRAGMA")] == ["INSERT"]


def test_what_is_refused_for_sure_costs_no_statement() -> None:
    """A client that does not stop is answered out of memory."""
    limit = a_minute(3, exact=True)
    assert [taken(limit) for _ in range(4)] == [True, True, True, False]
    with recorded(db.database.obj) as statements:
        assert not any(taken(limit) for _ in range(100))
    assert statements == []


def test_a_refusal_says_how_many_and_when(clock: time_machine.Traveller) -> None:
    """Whole seconds, rounded up: whoever waits so long is let in."""
    limit = a_minute(1)
    limit.take("tok_a")
    clock.shift(timedelta(seconds=17.5))
    with pytest.raises(TooManyRequests, match="1 are allowed, wait 43") as refused:
        limit.take("tok_a")
    assert refused.value.retry_after == 43
    clock.shift(timedelta(seconds=refused.value.retry_after))
    limit.take("tok_a")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_window_begins_with_its_first_request_and_the_next_with_the_first_after_it(
    clock: time_machine.Traveller, processes: int
) -> None:
    """Not with the clock's minute, in which attempts shortly before and after the full one were twice as many."""
    limits = [a_minute(5) for _ in range(processes)]
    for _ in range(3):
        clock.shift(timedelta(seconds=47))
        assert passed(limits, 5) == 5
        clock.shift(timedelta(seconds=59.9))
        assert passed(limits, 5) == 0
        clock.shift(timedelta(seconds=0.1))


def test_a_second_is_a_second(clock: time_machine.Traveller) -> None:
    """The rates of the API and of SCIM."""
    limit = Limit("test", 2, SECOND, refusal=REFUSAL)
    for _ in range(3):
        assert passed([limit], 3) == 2
        clock.shift(timedelta(seconds=1))


def test_a_clock_that_was_set_back_shuts_nobody_out(clock: time_machine.Traveller) -> None:
    """Neither in the process that counted nor in another."""
    limits = [a_minute(1), a_minute(1)]
    assert passed(limits, 1) == 1
    clock.shift(timedelta(hours=-1))
    assert passed(limits, 1) == 1


def test_memory_is_bounded_and_forgetting_lets_nobody_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process forgets of an exact limit, the database knows."""
    monkeypatch.setattr(rates, "MOST_KEYS", 10)
    counts = SharedCounts(MINUTE, batch=1, patience=None)
    for number in range(100):
        counts.add(f"address {number}")
        assert len(counts._windows) <= 10
    assert counts.known("address 0") == (0, 0.0)
    assert counts.add("address 0") == 2


def test_windows_that_are_over_leave_the_memory(clock: time_machine.Traveller) -> None:
    """With the next one that begins."""
    counts = SharedCounts(MINUTE, batch=10, patience=None)
    for number in range(50):
        counts.add(f"old {number}")
    clock.shift(timedelta(seconds=60))
    counts.add("new")
    assert list(counts._windows) == ["new"]


def test_rows_of_windows_that_are_over_are_deleted_on_the_way(clock: time_machine.Traveller) -> None:
    """No job is needed, and what still counts stays."""
    counts = SharedCounts(MINUTE, batch=1, patience=None)
    counts.add("old")
    clock.shift(timedelta(seconds=50))
    counts.add("live")
    clock.shift(timedelta(seconds=20))
    counts.add("new")
    assert sorted(row.key for row in RateCount.select()) == ["live", "new"]


@pytest.mark.parametrize(("amount", "exact"), [(20, True), (20, False), (500, False)])
def test_requests_at_once_do_not_pass_the_limit(amount: int, exact: bool) -> None:
    """Two processes of four threads each, all at once."""
    limits = [a_minute(amount, exact=exact) for _ in range(2)]

    def storm(limit: Limit) -> Callable[[], int]:
        return lambda: sum(taken(limit) for _ in range(amount // 2))

    results = cast.at_once(*[storm(limit) for limit in limits * 4], transaction=nullcontext)
    assert amount <= sum(results) <= most(amount, 2)


def _write_lock() -> closing[sqlite3.Connection]:
    """SQLite's one write lock, held by somebody else."""
    other = sqlite3.connect(db.database.obj.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return closing(other)


def _skip_without_a_lock_for_all() -> None:
    if db.database.for_update:
        pytest.skip("PostgreSQL has no lock that all writers share")


def test_a_busy_database_holds_up_no_request_and_nothing_is_lost() -> None:
    """The process goes on by its own count, and tells all of it when it can."""
    _skip_without_a_lock_for_all()
    first, second = a_minute(10), a_minute(10)
    with _write_lock():
        assert passed([first], 8) == 8
        assert RateCount.select().count() == 0
    assert taken(first)
    assert passed([second], 5) == 1
    assert db.database.execute_sql("PRAGMA busy_timeout").fetchone() == (db.SQLITE_PRAGMAS["busy_timeout"],)


def test_a_busy_database_lets_no_sign_in_attempt_through_uncounted() -> None:
    """It fails, as the sign-in itself would."""
    _skip_without_a_lock_for_all()
    db.database.execute_sql("PRAGMA busy_timeout = 20")
    with _write_lock(), pytest.raises(OperationalError, match="locked"):
        a_minute(10, exact=True).take("192.0.2.1")


# --- policy -----------------------------------------------------------------------------------------------------


def policy(login_rate: int = 20) -> Rates:
    return Rates.of(Config(database_url="", base_url="", secret_key="", login_rate=login_rate))


def attempts(policy: Rates, *pairs: tuple[str, str], way: str = "password") -> list[bool]:
    """Which of the attempts, each an address and an e-mail address, are let through."""

    def let_through(address: str, email: str) -> bool:
        try:
            policy.attempt(address, way, email)
        except TooManyRequests:
            return False
        return True

    return [let_through(*pair) for pair in pairs]


@pytest.mark.parametrize(("rate", "by_person"), [(20, 10), (3, 1), (1, 1)])
def test_a_person_gets_half_of_what_an_address_gets(rate: int, by_person: int) -> None:
    """From wherever the attempts come; one at least."""
    everywhere = [(f"192.0.2.{number}", "ana@acme.test") for number in range(by_person + 1)]
    assert attempts(policy(rate), *everywhere) == [True] * by_person + [False]


def test_an_address_is_limited_over_all_people() -> None:
    """Trying one password on everybody is guessing too."""
    crowd = [("192.0.2.1", f"p{number}@acme.test") for number in range(21)]
    assert attempts(policy(), *crowd) == [True] * 20 + [False]


def test_what_an_address_was_refused_counts_for_nobody() -> None:
    """One attacker's surplus does not shut anybody's password."""
    limits = policy(4)
    assert attempts(limits, *[("192.0.2.1", f"p{number}@acme.test") for number in range(4)]) == [True] * 4
    assert attempts(limits, *[("192.0.2.1", "ana@acme.test")] * 5) == [False] * 5
    assert attempts(limits, ("192.0.2.2", "ana@acme.test")) == [True]


def test_guesses_at_a_password_leave_the_recovery_codes_open() -> None:
    """Whoever shuts the one does not shut the other."""
    limits = policy(2)
    assert attempts(limits, ("192.0.2.1", "ana@acme.test"), ("192.0.2.2", "ana@acme.test")) == [True, False]
    assert attempts(limits, ("192.0.2.3", "ana@acme.test"), way="recovery_code") == [True]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unix:"),
    ],
)
def test_addresses_that_one_client_can_choose_among_are_one(one: str, other: str) -> None:
    """An IPv6 client has 2^64 of them."""
    assert attempts(policy(1), (one, "a@acme.test"), (other, "b@acme.test")) == [True, False]


@pytest.mark.parametrize(("one", "other"), [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("192.0.2.1", "192.0.2.2")])
def test_addresses_of_two_clients_are_two(one: str, other: str) -> None:
    """Neighbours do not pay for each other."""
    assert attempts(policy(1), (one, "a@acme.test"), (other, "b@acme.test")) == [True, True]


def test_a_spelling_of_the_address_is_the_same_person() -> None:
    """As everywhere (text.fold)."""
    assert attempts(policy(2), ("192.0.2.1", "Ana@Acme.test"), ("192.0.2.2", "ana@ACME.test")) == [True, False]


def test_no_address_of_a_person_is_stored() -> None:
    """Who was tried is nobody's business; a digest counts as well."""
    attempts(policy(), ("192.0.2.1", "ana@acme.test"))
    assert not [row.key for row in RateCount.select() if "ana" in row.key]
    assert RateCount.select().count() == 2
