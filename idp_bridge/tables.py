"""Whole tables, as they lie in the database, whatever they mean: to copy them all, and to put them back.

With db.py the only file that knows a difference between SQLite and PostgreSQL.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from itertools import islice
from typing import Any

import peewee
from peewee import SqliteDatabase

from idp_bridge import db
from idp_bridge.db import database


def tables() -> list[str]:
    """Every table but the runner's own, each after those that it refers to."""
    own = db.runner().table_name
    names = {name for name in database.get_tables() if name != own}
    refers = {name: {key.dest_table for key in database.get_foreign_keys(name)} - {name} for name in sorted(names)}
    return [name for name in TopologicalSorter(refers).static_order() if name in names]


def columns(table: str) -> list[str]:
    """The names of a table's columns."""
    return [column.name for column in database.get_columns(table)]


def dump(table: str, names: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Every row of a table: texts, numbers, bytes, True, False and None; instants as RFC 3339, documents as their text.
    In ``snapshot()``, and in constant memory."""
    if isinstance(database.obj, SqliteDatabase):
        yield from database.execute_sql(f"SELECT {_listed(names)} FROM {_quoted(table)}")  # noqa: S608 - names of ours
        return
    kinds = {column.name: column.data_type for column in database.get_columns(table)}
    read = ", ".join(_AS_TEXT.get(kinds[name], "{}").format(_quoted(name)) for name in names)
    with database.connection().cursor(name="dump") as cursor:
        cursor.itersize = 1000
        yield from cursor.execute(f"SELECT {read} FROM {_quoted(table)}")  # noqa: S608 - names of ours


_AS_TEXT = {"timestamp with time zone": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""}


def fill(table: str, names: Sequence[str], rows: Iterator[Sequence[Any]]) -> int:
    """Add rows as ``dump`` gave them, of either database; how many."""
    number = 0
    if isinstance(database.obj, SqliteDatabase):
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {_quoted(table)} ({_listed(names)}) VALUES ({marks})"  # noqa: S608 - names of ours
        while part := list(islice(rows, 1000)):
            db.each(insert, part)
            number += len(part)
        return number
    kinds = {column.name: column.data_type for column in database.get_columns(table)}
    truths = [place for place, name in enumerate(names) if kinds[name] == "boolean"]
    with (
        peewee.__exception_wrapper__,  # type: ignore[attr-defined]  # its types leave it out
        database.cursor().copy(f"COPY {_quoted(table)} ({_listed(names)}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(_with_truths(row, truths))
            number += 1
    return number


def _with_truths(row: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    """SQLite knows no booleans: there they are numbers."""
    read = list(row)
    for place in places:
        read[place] = None if read[place] is None else bool(read[place])
    return read


def empty(names: Sequence[str]) -> None:
    """Take every row away, of all these tables, which are all that refer to each other."""
    if isinstance(database.obj, SqliteDatabase):
        for name in reversed(names):
            database.execute_sql(f"DELETE FROM {_quoted(name)}")  # noqa: S608 - names of ours
        return
    database.execute_sql(f"TRUNCATE {_listed(names)}")


def count_on() -> None:
    """Numbers that the database gives itself go on after the highest that is there."""
    if isinstance(database.obj, SqliteDatabase):
        return
    numbered = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    for table, name in list(database.execute_sql(f"{numbered} AND column_default LIKE 'nextval(%%'")):
        sequence = "pg_get_serial_sequence(%s, %s)"
        highest = f"(SELECT max({_quoted(name)}) FROM {_quoted(table)})"  # noqa: S608 - names of ours
        database.execute_sql(
            f"SELECT setval({sequence}, coalesce({highest}, 1), {highest} IS NOT NULL)", (_quoted(table), name)
        )


@contextmanager
def without_triggers(*names: str) -> Iterator[None]:
    """In this block of a transaction nothing follows from a write to these tables, and nothing is refused by them."""
    if isinstance(database.obj, SqliteDatabase):
        marks = ", ".join("?" * len(names))
        found = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name"
        triggers = list(database.execute_sql(f"{found} IN ({marks})", names))
        before = [f"DROP TRIGGER {_quoted(name)}" for name, _ in triggers]
        after = [sql for _, sql in triggers]
    else:
        before, after = (
            [f"ALTER TABLE {_quoted(name)} {word} TRIGGER USER" for name in names] for word in ("DISABLE", "ENABLE")
        )
    for statement in before:
        database.execute_sql(statement)
    yield  # where it raises, the transaction undoes what was dropped
    for statement in after:
        database.execute_sql(statement)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(name: str) -> str:
    return f'"{name}"'


def has_rows(table: str) -> bool:
    """Whether there is any row in the table."""
    return bool(list(database.execute_sql(f"SELECT 1 FROM {_quoted(table)} LIMIT 1")))  # noqa: S608 - a name of ours
