"""The database: SQLite for one machine, PostgreSQL for more. The only file that knows a difference between them.

``database`` is a proxy that ``open_database`` points at the real one. Reads run without a transaction; every write
runs inside ``transaction()``, which commits on return and rolls back on raise.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peewee import Database, DatabaseProxy, Field, JSONField, Model, ModelSelect, Node, SqliteDatabase
from playhouse.migrations import Runner
from playhouse.pool import PooledPostgresqlDatabase

from idp_bridge import clock
from idp_bridge.config import sqlite_path

MIGRATIONS = Path(__file__).with_name("migrations")

SQLITE_PRAGMAS = {
    "journal_mode": "wal",  # readers and the one writer do not wait for each other
    "foreign_keys": 1,
    "busy_timeout": 10_000,  # milliseconds a writer waits for the lock
    "synchronous": "normal",  # with WAL: safe when the process is killed, whole after a power cut
    "cache_size": -16_384,  # KiB, per connection
    "temp_store": "memory",
}

database: DatabaseProxy = DatabaseProxy()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Base(Model):
    """Every table's base; names of tables are the model's in snake case."""

    class Meta:
        database = database
        legacy_table_names = False


class InstantField(Field):
    """An aware UTC datetime: ``timestamptz`` on PostgreSQL, fixed-width RFC 3339 text on SQLite; both sort by time."""

    field_type = "TIMESTAMPTZ"

    def db_value(self, value: datetime | str | None) -> str | None:
        return clock.rfc3339(value) if isinstance(value, datetime) else value

    def python_value(self, value: datetime | str | None) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC) if value is not None else None


class JsonField(JSONField):
    """``jsonb`` on PostgreSQL, text on SQLite; written compact, in the order given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(dumps=_encode, **options)

    def db_value(self, value: Any) -> Any:
        """For SQLite the text itself: peewee would have json() make it what it is already, and so no parameter."""
        if value is None or isinstance(value, Node) or not isinstance(database.obj, SqliteDatabase):
            return super().db_value(value)  # type: ignore[no-untyped-call]
        return _encode(value)

    def python_value(self, value: Any) -> Any:
        """Objects and lists, never a text: psycopg has read them already, SQLite gives them as written."""
        return json.loads(value) if isinstance(value, str) else value


def open_database(url: str, *, max_connections: int = 20) -> Database:
    """Point ``database`` at ``url`` and return the real one. Connects lazily, once for each thread."""
    path = sqlite_path(url)
    if path is None:
        # A dead connection is noticed when it is next taken from the pool, so a restart of the server is survived.
        # Waiting for a free one beats failing: there are never more threads than connections in our own server.
        real: Database = PooledPostgresqlDatabase(
            url, max_connections=max_connections, stale_timeout=300, timeout=10, prefer_psycopg3=True
        )
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its -wal and -shm take the mode from it
        real = SqliteDatabase(str(path), pragmas=SQLITE_PRAGMAS, lock_type="IMMEDIATE", check_same_thread=False)
    database.initialize(real)
    return real


@contextmanager
def transaction() -> Iterator[None]:
    """One write transaction: returning commits, raising rolls back. Never nested.

    On SQLite it takes the write lock at BEGIN (IMMEDIATE): a transaction that reads first and writes later would
    otherwise fail with "database is locked" that no waiting can mend.
    """
    if database.in_transaction():
        raise RuntimeError("transaction() inside a transaction: the outer one could undo what the inner promises")
    with database.transaction():
        yield


@contextmanager
def connection() -> Iterator[None]:
    """A connection for this thread. PostgreSQL's goes back to the pool; SQLite's stays, since opening one costs more
    than the reads of a request."""
    database.connect(reuse_if_open=True)
    try:
        yield
    finally:
        if not isinstance(database.obj, SqliteDatabase) and not database.is_closed():
            database.close()


def locked(query: "ModelSelect[Any]") -> "ModelSelect[Any]":
    """``query`` with its rows locked until the transaction ends. SQLite holds its one write lock already.

    NO KEY: an event or a member that another transaction just wrote refers to its account and so shares the account's
    key. Two that both wrote first and lock then would wait for each other for ever under a plain FOR UPDATE.
    """
    # peewee takes the clause's own words too, which its types do not say.
    return query.for_update("FOR NO KEY UPDATE") if database.for_update else query  # type: ignore[arg-type]


def column(query: Any) -> list[Any]:
    """The values of a query of one column."""
    return [value for (value,) in query.tuples()]


def migrate() -> list[str]:
    """Bring the schema to the newest version; the names of the migrations applied."""
    with connection(), _migration_lock():
        applied: list[str] = runner().up()
        return applied


def pending_migrations() -> list[str]:
    """The migrations not applied yet, oldest first; empty means the schema is the one this code was written for."""
    return [migration.name for migration in runner().status() if migration.path and not migration.applied]


def runner() -> Runner:
    """peewee's migration runner over our numbered files."""
    return Runner(database.obj, MIGRATIONS)


@contextmanager
def _migration_lock() -> Iterator[None]:
    """Two replicas that start together must not both migrate (PostgreSQL; SQLite has one machine and one lock)."""
    if isinstance(database.obj, SqliteDatabase):
        yield
        return
    database.execute_sql("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
    try:
        yield
    finally:
        database.execute_sql("SELECT pg_advisory_unlock(%s)", (_MIGRATION_LOCK,))


_MIGRATION_LOCK = 0x1D9B_61D6
