"""Events are sealed once each, in links that hold one another, whatever order their transactions end in."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest
from peewee import SqliteDatabase

from idp_bridge import clock, db, event_chain, event_sealing, events
from idp_bridge.event_chain import Head, Proof
from idp_bridge.events import Type
from idp_bridge.models import Account, Event, EventPending, EventSeal
from tests.conftest import World
from tests.domain import cast


def write(world: World, number: int = 1) -> list[str]:
    """So many events, in one transaction; their ids."""
    with db.transaction():
        return [events.record(world.system, Type.ACCOUNT_UPDATED, {"id": "acct_x", "number": n}) for n in range(number)]


def seal() -> None:
    event_sealing.seal(clock.now())


def proof(world: World, **options: Any) -> Proof:
    with db.snapshot():
        return event_chain.verify(world.account, **options)


def links(world: World) -> list[list[str]]:
    """The ids in the account's links."""
    found = EventSeal.select().where(EventSeal.account == world.account).order_by(EventSeal.number)
    return [[event_id for event_id, _ in row.events] for row in found]


def test_every_event_is_sealed_once(acme: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches, each account in a chain of its own; nothing waits any more, and nothing new makes no link."""
    monkeypatch.setattr(event_sealing, "BATCH", 4)
    other = cast.open_account("other")
    for world in (acme, other, acme):
        write(world, 5)
    seal()
    seal()
    for world in (acme, other):
        named = [event_id for batch in links(world) for event_id in batch]
        assert named == [event.id for event in cast.happened(world)]
        assert (proof(world).broken, proof(world).events, proof(world).pending) == (None, len(named), 0)
    assert EventPending.select().count() == 0
    assert len(links(acme)) > 2


def test_what_waits_is_counted_and_vouched_for_by_nothing_yet(acme: World) -> None:
    """An event that is not sealed is no fault."""
    seal()
    write(acme, 3)
    assert (proof(acme).broken, proof(acme).pending) == (None, 3)


def test_an_event_that_becomes_visible_late_is_in_a_later_link(acme: World) -> None:
    """Its transaction began first and ends last; its id is older than those that are sealed by then."""
    if isinstance(db.database.obj, SqliteDatabase):
        pytest.skip("SQLite has one writer at a time: nothing can be late")
    begun, end = Signal(), Signal()
    slow: list[str] = []

    def slowly() -> None:
        with db.connection(), db.transaction():
            slow.append(events.record(acme.system, Type.ACCOUNT_UPDATED, {"id": "acct_x"}))
            db.written()
            begun.set()
            assert end.wait(20)

    thread = Thread(target=slowly)
    thread.start()
    assert begun.wait(20)
    quick = write(acme)
    seal()
    assert slow[0] < quick[0]
    assert quick[0] in links(acme)[-1]
    assert proof(acme).broken is None
    end.set()
    thread.join()
    assert proof(acme).pending == 1
    seal()
    assert links(acme)[-1] == slow
    assert (proof(acme).broken, proof(acme).pending) == (None, 0)


def test_an_event_by_a_clock_that_is_behind_is_sealed_all_the_same(acme: World) -> None:
    """Ids are made from the clocks of many machines; the chain is in the order of writing."""
    seal()
    template = cast.happened(acme)[0].__data__
    with db.transaction():
        Event.insert({**template, "id": "ev_00000000000000000000000000"}).execute()
    assert proof(acme).pending == 1
    seal()
    assert links(acme)[-1] == ["ev_00000000000000000000000000"]
    assert proof(acme).broken is None


def test_many_sealers_seal_each_event_once(acme: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process has one."""
    monkeypatch.setattr(event_sealing, "BATCH", 3)
    write(acme, 30)
    assert cast.at_once(*[seal] * 6, transaction=nullcontext) == [None] * 6
    seal()
    named = [event_id for batch in links(acme) for event_id in batch]
    assert sorted(named) == sorted(event.id for event in cast.happened(acme))
    assert (proof(acme).broken, proof(acme).pending) == (None, 0)


def test_the_database_refuses_to_change_or_delete_an_event(acme: World) -> None:
    """Nor a link of the chain; whatever code asks for it."""
    seal()
    for model, column in ((Event, Event.source), (EventSeal, EventSeal.digest)):
        for statement in (model.update({column: "x"}), model.delete()):
            with pytest.raises(Exception, match=r"never (changed|deleted)"), db.transaction():
                statement.execute()
    assert proof(acme).broken is None


def test_no_other_word_for_it_changes_or_deletes_an_event_either(acme: World) -> None:
    """SQLite's REPLACE deletes a row without any trigger on DELETE, PostgreSQL's TRUNCATE without any on rows."""
    seal()
    sqlite = isinstance(db.database.obj, SqliteDatabase)
    for table in ("event_seal", "event"):
        copied = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"
        with pytest.raises(Exception, match=r"never (changed|deleted)"), db.transaction():
            db.database.execute_sql(copied if sqlite else f"TRUNCATE {table} CASCADE")
    assert proof(acme).broken is None


def test_an_event_that_is_gone_before_it_was_sealed_is_told(acme: World, caplog: pytest.LogCaptureFixture) -> None:
    """No chain can say so: it was never in one."""
    seal()
    (taken,) = write(acme)
    _tampered("DELETE FROM event WHERE id = ?", taken)
    seal()
    (said,) = [record for record in caplog.records if "gone before they were sealed" in record.getMessage()]
    assert said.__dict__["event_ids"] == [taken]


def test_events_go_with_their_account(acme: World) -> None:
    """Deleting it deletes all that hangs on it; the sealer forgets what was waiting."""
    write(acme)
    seal()
    write(acme)
    with db.transaction():
        Account.delete().where(Account.id == acme.account.id).execute()
    assert (Event.select().count(), EventSeal.select().count()) == (0, 0)
    seal()
    assert EventPending.select().count() == 0


@contextmanager
def tampering() -> Iterator[None]:
    """A transaction of somebody who may do anything in the database: the triggers that keep events do nothing."""
    kept = ("event", "event_seal")
    with db.transaction():
        if not isinstance(db.database.obj, SqliteDatabase):
            for table in kept:
                db.database.execute_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield
            for table in kept:
                db.database.execute_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            return
        triggers = db.database.execute_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (?, ?)", kept
        ).fetchall()
        for name, _ in triggers:
            db.database.execute_sql(f"DROP TRIGGER {name}")
        yield
        for _, sql in triggers:
            db.database.execute_sql(sql)


def _tampered(sql: str, *parameters: Any) -> None:
    with tampering():
        db.database.execute_sql(sql.replace("?", db.database.param), parameters)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE event SET principal_subject = 'nobody' WHERE id = ?", "the event was edited"),
        ("UPDATE event SET timestamp = '2020-01-01T00:00:00.000000Z' WHERE id = ?", "the event was edited"),
        ("DELETE FROM event WHERE id = ?", "the event was removed"),
    ],
)
def test_the_first_event_that_was_tampered_with_is_named(acme: World, sql: str, what: str) -> None:
    """With its link; the links before it hold."""
    seal()
    write(acme, 3)
    seal()
    _, second, third = write(acme, 3)
    seal()
    write(acme)
    seal()
    for event_id in (third, second):
        _tampered(sql, event_id)
    found = proof(acme)
    assert found.broken is not None
    assert (found.broken.what, found.broken.seal, found.broken.event_id) == (what, 3, second)
    assert found.seals == 2


def test_an_event_that_was_put_in_is_named(acme: World) -> None:
    """It is in no link, and does not wait for one."""
    seal()
    template = cast.happened(acme)[0].__data__
    with db.transaction():
        Event.insert({**template, "id": "ev_00000000000000000000000000"}).execute()
        EventPending.delete().execute()
    broken = proof(acme).broken
    assert broken is not None
    assert (broken.what, broken.event_id) == (
        "the event was put in beside the chain",
        "ev_00000000000000000000000000",
    )


@pytest.mark.parametrize(
    ("sql", "what", "seal_number"),
    [
        ("UPDATE event_seal SET events = '[]' WHERE number = 2", "the link was edited", 2),
        ("UPDATE event_seal SET sealed_at = '2020-01-01T00:00:00.000000Z' WHERE number = 2", "the link was edited", 2),
        ("UPDATE event_seal SET mac = digest WHERE number = 2", "the link was not made under this SECRET_KEY", 2),
        ("DELETE FROM event_seal WHERE number = 2", "link 2 is missing", 2),
        ("DELETE FROM event_seal WHERE number = 1", "link 1 is missing", 1),
    ],
)
def test_the_first_link_that_was_tampered_with_is_named(acme: World, sql: str, what: str, seal_number: int) -> None:
    """Edited, taken out, or made by somebody without the key."""
    for _ in range(3):
        write(acme, 2)
        seal()
    _tampered(sql)
    broken = proof(acme).broken
    assert broken is not None
    assert (broken.what, broken.seal) == (what, seal_number)


def test_events_in_another_order_break_the_link(acme: World) -> None:
    """The order of the chain is what was vouched for."""
    seal()
    write(acme, 2)
    seal()
    turned = EventSeal.get(EventSeal.number == 2).events[::-1]
    _tampered("UPDATE event_seal SET events = ? WHERE number = 2", db.encode(turned))
    broken = proof(acme).broken
    assert broken is not None
    assert (broken.what, broken.seal) == ("the link was edited", 2)


def test_a_chain_that_was_remade_or_cut_is_not_the_one_whose_head_was_kept(acme: World) -> None:
    """Whoever has the key and the database can remake it all; a head kept elsewhere says so."""
    seal()
    kept = proof(acme).head
    assert kept is not None
    write(acme)
    seal()
    assert proof(acme, expected=kept).broken is None
    assert Head.parse(str(kept)) == kept
    (first, second) = EventSeal.select().order_by(EventSeal.number)
    link = event_chain.link(acme.account.id, after=(0, ""), events=first.events, sealed_at=clock.now())
    _tampered("UPDATE event_seal SET digest = ? WHERE number = 1", link["digest"])
    remade = proof(acme, expected=kept).broken
    assert remade is not None
    with tampering():
        EventSeal.delete().execute()
        EventSeal.insert(link).execute()
        Event.delete().where(Event.id.in_([event_id for event_id, _ in second.events])).execute()
    assert proof(acme).broken is None
    again = proof(acme, expected=kept).broken
    assert again is not None
    assert again.what == "the chain was remade: this link is not the one that was kept"
    cut = proof(acme, expected=Head(2, second.digest)).broken
    assert cut is not None
    assert cut.what == "links are missing at the end: the one that was kept is not there"


def test_two_orders_of_many_events_are_compared_in_little_memory(acme: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and chain disagree all over, page after page."""
    monkeypatch.setattr(event_chain, "PAGE", 5)
    monkeypatch.setattr(event_sealing, "BATCH", 7)
    seal()
    template = cast.happened(acme)[0].__data__
    numbers = [number * 37 % 101 for number in range(101)]
    with db.transaction():
        for number in numbers:
            Event.insert({**template, "id": f"ev_{number:026d}"}).execute()
    seal()
    assert (proof(acme).broken, proof(acme).pending) == (None, 0)
    _tampered("DELETE FROM event WHERE id = ?", f"ev_{5:026d}")
    broken = proof(acme).broken
    assert broken is not None
    assert broken.event_id == f"ev_{5:026d}"


def test_canonical_json_is_the_same_for_the_same_facts() -> None:
    """Whatever order names were written in, and whatever database gave them back."""
    assert event_chain.canonical({"b": [1, True, None], "a": "é\n"}) == '{"a":"é\\n","b":[1,true,null]}'.encode()
