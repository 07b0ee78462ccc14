"""Transactions, locks and the types of columns, on both databases."""

import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from peewee import IntegrityError

from idp_bridge import db, ids
from idp_bridge.models import MemberRole, Person
from tests.conftest import World


def _person(**columns: object) -> Person:
    return Person.create(id=ids.new("per"), **{"created_at": datetime(2026, 1, 1, tzinfo=UTC), **columns})


def test_returning_commits_and_raising_rolls_back(database: None) -> None:
    """Both halves of the one rule about writes."""
    with db.transaction():
        kept = _person()

    def fail() -> None:
        with db.transaction():
            _person()
            raise LookupError("after the write")

    with pytest.raises(LookupError):
        fail()
    assert db.column(Person.select(Person.id)) == [kept.id]


def test_what_is_to_follow_a_commit_follows_it_once(database: None) -> None:
    """When others can read what was written; not where it was undone; outside a transaction at once."""
    seen: list[int] = []

    def look() -> None:
        assert not db.database.in_transaction()
        seen.append(Person.select().count())

    def fail() -> None:
        with db.transaction():
            db.after_commit(look)
            raise LookupError

    with db.transaction():
        _person()
        db.after_commit(look)
        db.after_commit(look)
        assert seen == []
    assert seen == [1]
    with pytest.raises(LookupError):
        fail()
    with db.transaction():
        _person()
    assert seen == [1]
    db.after_commit(look)
    assert seen == [1, 2]


def test_a_transaction_is_never_nested(database: None) -> None:
    """The inner one would promise what the outer one may undo."""
    with db.transaction(), pytest.raises(RuntimeError, match="inside a transaction"), db.transaction():
        pass


def test_a_part_of_a_transaction_fails_alone(database: None) -> None:
    """What the database itself refuses included, after which PostgreSQL would do nothing more without it."""

    def fail() -> None:
        with db.savepoint():
            _person()
            Person.create(id=kept[0].id, created_at=kept[0].created_at)

    with db.transaction():
        kept = [_person()]
        for _ in range(3):
            with pytest.raises(IntegrityError):
                fail()
            with db.savepoint():
                kept.append(_person())
    assert sorted(db.column(Person.select(Person.id))) == sorted(person.id for person in kept)


def test_a_part_goes_with_its_transaction(database: None) -> None:
    """Its end commits nothing, and outside a transaction there is none."""

    def fail() -> None:
        with db.transaction():
            with db.savepoint():
                _person()
            raise LookupError("after the part")

    with pytest.raises(LookupError):
        fail()
    assert db.column(Person.select(Person.id)) == []
    with pytest.raises(RuntimeError, match="outside a transaction"), db.savepoint():
        pass


def test_what_is_for_the_end_comes_last_and_once(database: None) -> None:
    """With every item given for it, but for those of a part that failed; before the commit, which it can still undo."""
    done: list[tuple[bool, list[str]]] = []

    def work(items: list[str]) -> None:
        done.append((db.database.in_transaction(), items))

    def fail() -> None:
        with db.savepoint():
            db.at_end(work, "undone")
            raise LookupError("in the part")

    with db.transaction():
        with pytest.raises(LookupError):
            fail()
        db.at_end(work, "first")
        with db.savepoint():
            db.at_end(work, "second")
        assert done == []
    assert done == [(True, ["first", "second"])]

    def fail_whole() -> None:
        with db.transaction():
            db.at_end(work, "never")
            raise LookupError("in the transaction")

    with pytest.raises(LookupError):
        fail_whole()
    db.at_end(work, "at once")
    assert done[1:] == [(False, ["at once"])]


def test_an_end_that_fails_undoes_the_transaction(database: None) -> None:
    """It belongs to it."""

    def fail(_: list[None]) -> None:
        raise LookupError("at the end")

    def change() -> None:
        with db.transaction():
            _person()
            db.at_end(fail, None)

    with pytest.raises(LookupError):
        change()
    assert Person.select().count() == 0


def test_what_waits_in_a_circle_is_done_again(database: None, database_url: str) -> None:
    """PostgreSQL undoes one of two transactions that wait for each other; SQLite's writers come one by one."""
    with db.transaction():
        people = [_person(), _person()]
    both = threading.Barrier(1 if database_url.startswith("sqlite") else 2)
    runs: list[int] = []

    def change(first: Person, second: Person) -> None:
        begun = 0

        def work() -> int:
            nonlocal begun
            begun += 1
            Person.update(email="changed").where(Person.id == first.id).execute()
            if begun == 1:
                both.wait()
            Person.update(email="changed").where(Person.id == second.id).execute()
            return begun

        with db.connection():
            runs.append(db.repeated(work))

    threads = [threading.Thread(target=change, args=pair) for pair in (people, people[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(runs) == ([1, 1] if both.parties == 1 else [1, 2])


def test_an_instant_comes_back_aware_and_exact(database: None) -> None:
    """To the microsecond and in UTC, whatever offset it was given with."""
    there = datetime(2026, 7, 1, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=-7)))
    stored = Person.get_by_id(_person(created_at=there).id).created_at
    assert stored == there
    assert stored.tzinfo is UTC


def test_instants_compare_as_times(database: None) -> None:
    """Also across a whole second, where a text without a fraction would sort wrongly."""
    moment = datetime(2026, 7, 1, 3, 4, 5, tzinfo=UTC)
    early, late = _person(created_at=moment), _person(created_at=moment + timedelta(microseconds=1))
    assert db.column(Person.select(Person.id).where(Person.created_at > moment)) == [late.id]
    assert db.column(Person.select(Person.id).where(Person.created_at <= moment)) == [early.id]


def test_foreign_keys_are_kept(acme: World) -> None:
    """SQLite keeps them only where it is told to."""
    with pytest.raises(IntegrityError), db.transaction():
        MemberRole.insert(
            member="usr_nobody", role="viewer", source="hand", created_at=datetime(2026, 1, 1, tzinfo=UTC)
        ).execute()
    assert MemberRole.select().count() == 1


def test_a_snapshot_is_of_one_moment(database: None) -> None:
    """What others commit meanwhile is not in it, and they do not wait for it."""

    def add() -> None:
        with db.connection():
            with db.transaction():
                _person()
            if not db.database.is_closed():
                db.database.close()

    with db.snapshot():
        before = Person.select().count()
        writer = threading.Thread(target=add)
        writer.start()
        writer.join(timeout=20)
        assert not writer.is_alive()
        assert Person.select().count() == before
    assert Person.select().count() == before + 1


def test_a_migrated_database_has_nothing_pending(database: None) -> None:
    """And migrating again does nothing."""
    assert db.pending_migrations() == []
    assert db.migrate() == []


def test_opening_a_file_again_leaves_its_locks(tmp_path: Path) -> None:
    """To close any descriptor of the file would drop the locks of this process, and the next process to leave would
    take the log away: what is written after that would be written into nothing."""
    url, script = f"sqlite:///{tmp_path}/x.db", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute({!r})"
    first = db.open_database(url)
    try:
        db.migrate()
        with db.connection():
            reads = script.format("SELECT count(*) FROM person")
            subprocess.run([sys.executable, "-c", reads, f"{tmp_path}/x.db"], check=True, timeout=30)
            db.open_database(url).close_all()
            subprocess.run([sys.executable, "-c", reads, f"{tmp_path}/x.db"], check=True, timeout=30)
            assert (tmp_path / "x.db-wal").exists()
        assert stat.S_IMODE((tmp_path / "x.db").stat().st_mode) == 0o600
    finally:
        first.close_all()
