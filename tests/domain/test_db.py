"""Transactions, locks and the types of columns, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

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


def test_a_transaction_is_never_nested(database: None) -> None:
    """The inner one would promise what the outer one may undo."""
    with db.transaction(), pytest.raises(RuntimeError, match="inside a transaction"), db.transaction():
        pass


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


def test_a_migrated_database_has_nothing_pending(database: None) -> None:
    """And migrating again does nothing."""
    assert db.pending_migrations() == []
    assert db.migrate() == []
