"""Last uses: noted in memory, written together, never backwards, never lost at a clean stop."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from idp_bridge import clock, credentials, db, last_uses, operator_keys, scim_tokens
from idp_bridge.models import Credential, CredentialUse, OperatorKey, ScimToken
from tests.bench.statements import recorded
from tests.conftest import World
from tests.domain import cast

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_noted() -> Iterator[None]:
    """What other tests noted is of other databases."""
    last_uses._take()
    yield
    last_uses._take()


def _keys(world: World, number: int) -> list[Credential]:
    with db.transaction():
        return [credentials.issue(world.system, credentials.API_KEY, world.owner).credential for _ in range(number)]


def _at(moment: datetime, *keys: Credential, address: str | None = None) -> None:
    with time_machine.travel(moment, tick=False):
        for key in keys:
            credentials.used(key, address)


def _days(key: Credential) -> list[tuple[str, int, str | None]]:
    query: Any = CredentialUse.select(CredentialUse.day, CredentialUse.number, CredentialUse.address)
    return list(query.where(CredentialUse.credential == key).order_by(CredentialUse.day).tuples())


def test_a_use_costs_no_statement_until_all_are_written_together(acme: World) -> None:
    """The last time and address, and the number of the day."""
    used, unused = _keys(acme, 2)
    with recorded(db.database.obj) as statements:
        _at(NOON, used, address="192.0.2.1")
        _at(NOON + timedelta(seconds=3), used, address="192.0.2.2")
    assert statements == []
    last_uses.write()
    row = cast.again(used)
    assert (row.last_used_at, row.last_used_address) == (NOON + timedelta(seconds=3), "192.0.2.2")
    assert _days(used) == [("2026-03-01", 2, "192.0.2.2")]
    assert (cast.again(unused).last_used_at, _days(unused)) == (None, [])


def test_a_use_of_this_moment_is_told_of_before_it_is_written(acme: World) -> None:
    """Whoever asks whether a credential is in use hears of it; once, also after it is written."""
    key, other = _keys(acme, 2)
    moment = clock.now()
    _at(moment - timedelta(days=1), key, address="192.0.2.1")
    last_uses.write()
    told = []
    for address in ("192.0.2.2", "192.0.2.3"):
        _at(moment, key, address=address)
        told.append(credentials.uses_of([key, other]))
        last_uses.write()
    told.append(credentials.uses_of([key, other]))
    assert [(uses[0].total, uses[1].total) for uses in told] == [(2, 0), (3, 0), (3, 0)]
    today = [uses[0].days[0] for uses in told]
    assert [(day.number, day.address) for day in today] == [(1, "192.0.2.2"), (2, "192.0.2.3"), (2, "192.0.2.3")]


def test_however_many_were_used_the_statements_are_few(acme: World) -> None:
    """One SELECT that locks them, and one UPDATE and one count for all of a batch."""
    keys = _keys(acme, 40)
    _at(NOON, *keys)
    with recorded(db.database.obj) as statements:
        last_uses.write()
    assert len(statements) == 1  # what is sent for many is not recorded: it is one call for each of two statements
    assert all(cast.again(key).last_used_at == NOON for key in keys)


def test_a_later_time_wins_whoever_writes_last(acme: World) -> None:
    """Another process may have written a later one already; its uses are added all the same."""
    (key,) = _keys(acme, 1)
    _at(NOON, key, address="192.0.2.9")
    last_uses.write()
    _at(NOON - timedelta(minutes=1), key, address="192.0.2.1")
    last_uses.write()
    row = cast.again(key)
    assert (row.last_used_at, row.last_used_address) == (NOON, "192.0.2.9")
    assert [number for _, number, _ in _days(key)] == [2]


def test_days_are_counted_apart(acme: World) -> None:
    """By UTC, and of the last thirty days only; the older are forgotten."""
    (key,) = _keys(acme, 1)
    for days in (0, 0, 1, 29, 30, 31):
        _at(NOON - timedelta(days=days), key)
    last_uses.write()
    told = {row.day: row.number for row in last_uses.of_month([key.id], NOON)[key.id]}
    assert told == {"2026-03-01": 2, "2026-02-28": 1, "2026-01-31": 1}
    last_uses.prune(NOON)
    assert [day for day, _, _ in _days(key)] == ["2026-01-30", "2026-01-31", "2026-02-28", "2026-03-01"]


def test_every_kind_of_credential_has_its_last_use(sso: World) -> None:
    """SCIM tokens and operator keys too, which have no count of days."""
    assert sso.provider is not None
    with db.transaction():
        token = scim_tokens.issue(sso.system, sso.provider).row
        operator = operator_keys.issue("edge").row
    with time_machine.travel(NOON, tick=False):
        last_uses.note(ScimToken, token.id)
        last_uses.note(OperatorKey, operator.id, "192.0.2.1")
    last_uses.write()
    assert (cast.again(token).last_used_at, cast.again(operator).last_used_at) == (NOON, NOON)


def test_what_was_deleted_meanwhile_is_forgotten(acme: World) -> None:
    """Neither an error nor a note for ever."""
    gone, kept = _keys(acme, 2)
    _at(NOON, gone, kept)
    with db.transaction():
        credentials.delete(acme.system, gone)
    last_uses.write()
    assert cast.again(kept).last_used_at == NOON
    assert last_uses._take() == {}


def test_what_cannot_be_written_stays_noted(acme: World) -> None:
    """The database is away for a moment; the uses of before and after are written together."""
    (key,) = _keys(acme, 1)
    _at(NOON, key)
    run = db.database.obj.execute_sql

    def away(*_: object, **__: object) -> object:
        raise RuntimeError("away")

    db.database.obj.execute_sql = away
    try:
        with pytest.raises(RuntimeError, match="away"):
            last_uses.write()
    finally:
        db.database.obj.execute_sql = run
    _at(NOON + timedelta(seconds=1), key)
    last_uses.write()
    assert _days(key) == [("2026-03-01", 2, None)]


def test_a_row_that_somebody_changes_is_not_waited_for(acme: World) -> None:
    """On PostgreSQL, where a row is locked and not the file: the note waits, and at the end it is waited for."""
    if not db.database.for_update:
        pytest.skip("SQLite has one writer")
    held, free = _keys(acme, 2)
    _at(NOON, held, free)

    def write_meanwhile() -> None:
        list(db.locked(Credential.select().where(Credential.id == held.id)))
        (raised,) = cast.at_once(last_uses.write, transaction=_no_transaction)
        assert raised is None
        assert cast.again(free).last_used_at == NOON

    with db.transaction():
        write_meanwhile()
    assert cast.again(held).last_used_at is None
    last_uses.write(ending=True)
    assert _days(held) == [("2026-03-01", 1, None)]


def _no_transaction() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_threads_lose_no_use(acme: World) -> None:
    """Noted by eight at once while a ninth writes."""
    (key,) = _keys(acme, 1)

    def use() -> None:
        for _ in range(200):
            credentials.used(key, "192.0.2.1")

    def write() -> None:
        for _ in range(5):
            last_uses.write()

    assert cast.at_once(*[use] * 8, write, transaction=_no_transaction) == [None] * 9
    last_uses.write(ending=True)
    assert sum(number for _, number, _ in _days(key)) == 1600


def test_a_process_that_stops_writes_what_it_has(acme: World) -> None:
    """However long its next turn would have been away."""
    (key,) = _keys(acme, 1)
    writer = last_uses.Writer(pause=timedelta(hours=1))
    writer.start()
    credentials.used(key, None)
    writer.stop()
    assert cast.again(key).last_used_at > clock.now() - timedelta(minutes=1)


def test_a_process_that_goes_on_writes_every_few_seconds(acme: World) -> None:
    """Without being told to."""
    (key,) = _keys(acme, 1)
    writer = last_uses.Writer(pause=timedelta(milliseconds=10))
    writer.start()
    try:
        credentials.used(key, None)
        deadline = clock.now() + timedelta(seconds=20)
        while cast.again(key).last_used_at is None:
            assert clock.now() < deadline
    finally:
        writer.stop()
