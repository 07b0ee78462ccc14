"""The database: SQLite for one machine, PostgreSQL for more. The only file that knows a difference between them.

``database`` is a proxy that ``open_database`` points at the real one. Reads run without a transaction; every write
runs inside ``transaction()``, which commits on return and rolls back on raise.
"""

import json
import math
import os
import secrets
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import peewee
from peewee import (
    SQL,
    Database,
    DatabaseProxy,
    EnclosedNodeList,
    Field,
    FieldAccessor,
    IntegrityError,
    JSONField,
    Model,
    ModelSelect,
    Node,
    NodeList,
    OperationalError,
    SqliteDatabase,
)
from playhouse.migrations import Runner
from playhouse.pool import PooledPostgresqlDatabase
from psycopg import Connection, adapters
from psycopg.adapt import AdaptersMap
from psycopg.errors import UniqueViolation
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader

from idp_bridge import clock
from idp_bridge.config import sqlite_path

MIGRATIONS = Path(__file__).with_name("migrations")

DEADLOCK = "40P01"  # PostgreSQL's SQLSTATE for transactions that waited for each other in a circle

Result = TypeVar("Result")

SQLITE_PRAGMAS = {
    "journal_mode": "wal",  # readers and the one writer do not wait for each other
    "foreign_keys": 1,
    "busy_timeout": 10_000,  # milliseconds a writer waits for the lock
    "synchronous": "normal",  # with WAL: safe when the process is killed, whole after a power cut
    "cache_size": -16_384,  # KiB, per connection
    # Pages of the log before they go into the file, so that what every write touches goes there once in a few hundred.
    "wal_autocheckpoint": 10_000,
    "temp_store": "memory",
}

database: DatabaseProxy = DatabaseProxy()


encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _ReadWhenAsked(FieldAccessor):
    """A column whose value stays as the database gave it until somebody asks: most requests ask for a few."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self.field
        value = instance.__data__.get(self.name)
        if value is not None and not self.field.is_read(value):
            value = instance.__data__[self.name] = self.field.python_value(value)
        return value


def stored(row: Any, name: str) -> Any:
    """A column of a row as it was read, for what can be passed on as it is."""
    return row.__data__[name]


class Base(Model):
    """Every table's base; names of tables are the model's in snake case."""

    class Meta:
        database = database
        legacy_table_names = False


class InstantField(Field):
    """An aware UTC datetime: ``timestamptz`` on PostgreSQL, fixed-width RFC 3339 text on SQLite; both sort by time."""

    field_type = "TIMESTAMPTZ"
    accessor_class = _ReadWhenAsked

    @staticmethod
    def is_read(value: Any) -> bool:
        """Whether the value is one of Python's already."""
        return getattr(value, "tzinfo", None) is UTC

    def db_value(self, value: datetime | str | None) -> str | None:
        return clock.rfc3339(value) if isinstance(value, datetime) else value

    def python_value(self, value: datetime | str | None) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC) if value is not None else None


class JsonField(JSONField):
    """An object or a list, never a text: ``jsonb`` on PostgreSQL, text on SQLite; written compact, in the order given.

    Both databases are given and give the document's text, so that what only passes through is never parsed.
    """

    accessor_class = _ReadWhenAsked

    @staticmethod
    def is_read(value: Any) -> bool:
        """Whether the value is one of Python's already."""
        return not isinstance(value, str)

    def db_value(self, value: Any) -> Any:
        """The text itself; peewee would wrap it in what makes it the text that it is already."""
        return value if value is None or isinstance(value, Node | str) else encode(value)

    def python_value(self, value: Any) -> Any:
        """What the text says."""
        return json.loads(value) if isinstance(value, str) else value


def open_database(url: str, *, max_connections: int = 20) -> Database:
    """Point ``database`` at ``url`` and return the real one. Connects lazily, once for each thread."""
    path = sqlite_path(url)
    if path is None:
        # Waiting for a free connection beats failing: our own server never has more threads than connections.
        real: Database = _Pool(
            url,
            max_connections=max_connections,
            stale_timeout=300,
            timeout=10,
            prefer_psycopg3=True,
            context=_documents_as_text(),
        )
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_private(path)
        real = _File(str(path), pragmas=SQLITE_PRAGMAS, lock_type="IMMEDIATE", check_same_thread=False)
    database.initialize(real)
    return real


def _make_private(path: Path) -> None:
    """A new file is its owner's alone; its -wal and -shm take the mode from it.

    One that is there is not opened: to close it would drop the locks of every connection that this process has to it,
    and another's end would then take the log away under them (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


@dataclass
class _Slow:
    """From how many seconds on a statement is told of, and to whom."""

    seconds: float = math.inf
    tell: Callable[[str, float], None] = lambda sql, seconds: None


_slow = _Slow()


def watch(seconds: float | None, tell: Callable[[str, float], None]) -> None:
    """``tell`` is given each statement that takes so long or longer, without its values; None: none is."""
    _slow.seconds, _slow.tell = math.inf if seconds is None else seconds, tell


def _timed(run: Callable[[str, Any], Result], sql: str, parameters: Any) -> Result:
    began = perf_counter()
    try:
        return run(sql, parameters)
    finally:
        took = perf_counter() - began
        if took >= _slow.seconds:
            _slow.tell(sql, took)


class _File(SqliteDatabase):
    """SQLite with its connections passed on, the last used one first: each has a cache of its own, which a write over
    another one empties, and requests that come one after the other would have a thread, and so a connection, each."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._idle: list[Any] = []
        super().__init__(*args, **options)

    def _connect(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return super()._connect()  # type: ignore[misc]  # peewee's types leave it out

    def _close(self, conn: Any) -> None:
        self._idle.append(conn)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """As peewee does, timed."""
        return _timed(super().execute_sql, sql, params)

    def close_all(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc]  # peewee's pool is untyped
    """A dead connection is noticed when it is next taken, so a restart of the server is survived."""

    def _is_closed(self, conn: Connection[Any]) -> bool:
        """Asking the server would be a round trip with every request. One that hangs up says so: then there is
        something to read although nobody has asked, and only then it is asked."""
        if not conn.closed and self._adapter.txn_status(conn) == self._adapter.txn_idle:
            poll = select.poll()
            poll.register(conn.fileno(), select.POLLIN)
            if not poll.poll(0):
                return False
        return bool(super()._is_closed(conn))

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Whatever is asked finds everything that was written before."""
        _waiting.send()
        return _timed(super().execute_sql, sql, params)


class _Waiting(threading.local):
    """Writes of this thread's transaction on PostgreSQL that wait for somebody who asks.

    To send one and await its answer costs more there than the write itself. So those that follow each other go as one
    statement, each a WITH clause of it. It sees no row that another clause of it writes, and says nothing of their
    order (PostgreSQL, "Data-Modifying Statements in WITH"): two for one table are never in one, unless both insert.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._writes: list[tuple[str, Sequence[Any]]] = []
        self._inserts: dict[str, bool] = {}

    def add(self, table: str, sql: str, parameters: Sequence[Any], *, inserts: bool) -> None:
        if not (inserts and self._inserts.get(table, True)) and table in self._inserts:
            self.send()
        self._inserts[table] = inserts
        self._writes.append((sql, parameters))

    def send(self) -> None:
        if self._writes:
            self.send_with(*self._writes.pop())

    def send_with(self, sql: str, parameters: Sequence[Any]) -> Any:
        before = self._writes
        self.clear()
        if not before:
            return database.execute_sql(sql, parameters)
        clauses = ", ".join(f"w{number} AS ({text})" for number, (text, _) in enumerate(before))
        return database.execute_sql(
            f"WITH {clauses} {sql}", [*chain.from_iterable(of for _, of in before), *parameters]
        )


_waiting = _Waiting()


def write(table: str, sql: str, parameters: Sequence[Any], *, inserts: bool) -> None:
    """INSERT or UPDATE one row, whose answer nobody wants. On PostgreSQL it may be sent later in the transaction: what
    is wrong with it is raised then, at the next statement that asks for something, ``written()`` or the end."""
    if _ending.works is None or isinstance(database.obj, SqliteDatabase):
        database.execute_sql(sql, parameters)
    else:
        _waiting.add(table, sql, parameters, inserts=inserts)


def apart(sql: str, parameters: Sequence[Any]) -> Any:
    """Run what neither reads nor writes a table that ``write`` is used for: those that wait go along with it."""
    return _waiting.send_with(sql, parameters)


def each(sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run one statement for each of these rows of parameters; on PostgreSQL they are sent without awaiting each."""
    _waiting.send()
    with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # its types leave it out
        _timed(database.cursor().executemany, sql, rows)


def written() -> None:
    """Everything is written now, or has raised."""
    _waiting.send()


def _documents_as_text() -> AdaptersMap:
    """psycopg would parse every document that it reads; JsonField does, where it is asked."""
    ours = AdaptersMap(adapters)
    for type in ("jsonb", "json"):
        ours.register_loader(type, TextLoader)
    return ours


class _Ending(threading.local):
    """What this thread's transaction has yet to do; None outside one."""

    works: list[tuple[Callable[[list[Any]], None], Any]] | None = None
    afterwards: list[Callable[[], None]] = []

    def run(self) -> None:
        while works := self.works:
            self.works = []  # one that asks for another has it too
            for work in dict.fromkeys(work for work, _ in works):
                work([item for of, item in works if of is work])


_ending = _Ending()


@contextmanager
def transaction() -> Iterator[None]:
    """One write transaction: returning commits, raising rolls back. Never nested.

    On SQLite it takes the write lock at BEGIN (IMMEDIATE): a transaction that reads first and writes later would
    otherwise fail with "database is locked" that no waiting can mend.
    """
    if database.in_transaction():
        raise RuntimeError("transaction() inside a transaction: the outer one could undo what the inner promises")
    with database.transaction():
        _ending.works, _ending.afterwards = [], []
        try:
            yield
            _ending.run()
            written()
            _check_sound()
        finally:
            _ending.works = None
            _waiting.clear()
    for work in dict.fromkeys(_ending.afterwards):
        work()


def commits() -> int | None:
    """What ``moved`` compares: taken before something is read that a later transaction goes by."""
    if not isinstance(database.obj, SqliteDatabase):
        return None
    # Past peewee, which would hand a cursor and its hooks to what takes SQLite two microseconds.
    return int(database.connection().execute("PRAGMA data_version").fetchone()[0])


def moved(before: int | None) -> bool:
    """Whether somebody else may have committed since ``commits`` said ``before``. In a transaction the answer holds
    until it ends on SQLite, which has one writer; PostgreSQL has no such count, so there it is always so."""
    return before is None or commits() != before


@contextmanager
def snapshot() -> Iterator[None]:
    """All that is read inside is of one moment, whatever others write meanwhile. Nothing is to be written."""
    if isinstance(database.obj, SqliteDatabase):
        with database.transaction("DEFERRED"):  # takes no lock: a reader of the log as it is now
            yield
        return
    with database.transaction():
        database.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _check_sound() -> None:
    """After a statement that failed, and an error that nobody passed on, PostgreSQL takes COMMIT for ROLLBACK and says
    nothing."""
    if getattr(getattr(database.connection(), "info", None), "transaction_status", None) is TransactionStatus.INERROR:
        raise RuntimeError("a statement of this transaction failed, and nothing of it can be kept")


def repeated(work: Callable[[], Result]) -> Result:
    """``work`` in a transaction; and again, twice at most, where PostgreSQL undid it because it and others waited for
    each other in a circle. What it does outside the database must bear repeating."""
    for _ in range(2):
        try:
            with transaction():
                return work()
        except OperationalError as error:
            if getattr(getattr(error, "orig", None), "sqlstate", None) != DEADLOCK:
                raise
        # Whom we stood in the way of wakes only now. Who comes back at once takes the same locks before her again.
        time.sleep(0.01 + secrets.randbelow(40) / 1000)
    with transaction():
        return work()


def at_end(work: Callable[[list[Any]], None], item: Any) -> None:
    """Last of all in the transaction ``work`` is called, once, with every item given for it; an undone savepoint's are
    not among them. For rows that many want: nobody goes on to other locks while holding them, so no circle can close.
    Outside a transaction it is called at once."""
    if _ending.works is None:
        work([item])
    else:
        _ending.works.append((work, item))


def after_commit(work: Callable[[], None]) -> None:
    """``work`` is called, once, when what this transaction wrote can be read by others; never where it is undone.
    Outside a transaction it is called at once."""
    if _ending.works is None:
        work()
    else:
        _ending.afterwards.append(work)


@contextmanager
def waiting_at_most(milliseconds: int) -> Iterator[None]:
    """A write in this block that finds SQLite's lock taken gives up after so long and raises OperationalError.

    On PostgreSQL a write waits for a row and never for all other writers, so nothing is changed there.
    """
    if not isinstance(database.obj, SqliteDatabase):
        yield
        return
    database.execute_sql(f"PRAGMA busy_timeout = {milliseconds:d}")
    try:
        yield
    finally:
        database.execute_sql(f"PRAGMA busy_timeout = {SQLITE_PRAGMAS['busy_timeout']}")


@contextmanager
def savepoint() -> Iterator[None]:
    """A part of a transaction that may fail alone: raising undoes what was done inside, and no more. Never nested.

    Our own SQL, because peewee leaves a savepoint open that was rolled back: a thousand of them would be that deep.
    """
    if not database.in_transaction():
        raise RuntimeError("savepoint() outside a transaction: its end would be a commit")
    database.execute_sql("SAVEPOINT part")
    works = _ending.works if _ending.works is not None else []
    before = len(works)
    try:
        yield
        written()
    except BaseException:
        _waiting.clear()
        del works[before:]
        database.execute_sql("ROLLBACK TO SAVEPOINT part")
        raise
    finally:
        database.execute_sql("RELEASE SAVEPOINT part")


@contextmanager
def unique(model: type[Model], taken: Callable[[], Exception]) -> Iterator[None]:
    """A unique index of ``model`` has the last word on what is written inside: two may bring the same at one moment.
    Raises what ``taken`` makes where it says no; what else is wrong stays what it is."""
    try:
        yield
        written()
    except IntegrityError as error:
        if _is_taken(error, model._meta.table_name):
            raise taken() from error
        raise


def _is_taken(error: IntegrityError, table: str) -> bool:
    refused = getattr(error, "orig", None)
    if isinstance(refused, UniqueViolation):
        return refused.diag.table_name == table
    return str(error).startswith(f"UNIQUE constraint failed: {table}.")


@contextmanager
def connection() -> Iterator[None]:
    """A connection for this thread, for as long as the outermost of such blocks; it is used again afterwards, since
    opening one costs more than the reads of a request."""
    opened = database.connect(reuse_if_open=True)
    try:
        yield
    finally:
        if opened and not database.is_closed():
            database.close()


def disconnect() -> None:
    """Close this thread's connection and all that nobody uses: before a fork, which none survives."""
    if not database.is_closed():
        database.close()
    database.obj.close_all()


def locked(query: "ModelSelect[Any]") -> "ModelSelect[Any]":
    """``query`` with its rows locked until the transaction ends. SQLite holds its one write lock already.

    NO KEY: an event or a member that another transaction just wrote refers to its account and so shares the account's
    key. Two that both wrote first and lock then would wait for each other for ever under a plain FOR UPDATE.
    """
    # peewee takes the clause's own words too, which its types do not say.
    return query.for_update("FOR NO KEY UPDATE") if database.for_update else query  # type: ignore[arg-type]


def unclaimed(query: "ModelSelect[Any]") -> "ModelSelect[Any]":
    """``query`` without the rows that another transaction holds, and the others locked: whoever asks waits for nobody,
    and so nobody waits for her in a circle."""
    return query.for_update("FOR NO KEY UPDATE SKIP LOCKED") if database.for_update else query  # type: ignore[arg-type]


def kept(query: "ModelSelect[Any]") -> "ModelSelect[Any]":
    """``query`` with its rows there until the transaction ends, changed or not. Waits only for who deletes one."""
    return query.for_update("FOR KEY SHARE") if database.for_update else query  # type: ignore[arg-type]


def shared(query: "ModelSelect[Any]", *, of: type[Model] | None = None) -> "ModelSelect[Any]":
    """``query`` with its rows, or those of one of its tables, kept as they are until the transaction ends, together
    with others who ask the same."""
    return query.for_update("FOR SHARE", of=of) if database.for_update else query  # type: ignore[arg-type]


def unindexed(condition: Any) -> Any:
    """The condition in a form that PostgreSQL holds against no index's own: until a table has statistics, an index of
    some of its rows looks tiny, and is read whole where another leads to the row."""
    return NodeList((EnclosedNodeList((condition,)), SQL("IS TRUE")))


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
