"""The SQL in which SQLite and PostgreSQL differ where JSON is looked into: a stored document, or an array of values
that is given to a statement as one parameter.

Two small tables of functions with the same names; ``functions()`` gives those of the open database. Every expression
is NULL where the document has not the value.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from peewee import SQL, Database, Expression, NodeList, SqliteDatabase, fn

from idp_bridge.db import database
from idp_bridge.text import fold

#: One entry of a list, inside ``any_entry``.
ENTRY = SQL("entry.value")


class JsonSql(Protocol):
    """What a database must be able to say."""

    def text(self, document: Any, keys: Sequence[str]) -> Any:
        """The value at the keys as text."""

    def flag(self, document: Any, keys: Sequence[str]) -> Any:
        """The boolean at the keys."""

    def any_entry(self, document: Any, keys: Sequence[str], condition: Any) -> Any:
        """Whether the condition, written about ENTRY, holds for an entry of the list at the keys."""

    def pairs(self, array: Any) -> tuple[Any, Any, Any]:
        """The source, the text and the document of an array of such pairs; NULL where the document is null."""

    def folded(self, text: Any) -> Any:
        """The text without regard to case; both sides of a comparison must pass through here."""

    def ordered(self, text: Any) -> Any:
        """The text as something that sorts by code point."""

    def contains(self, text: Any, part: Any) -> Any:
        """Whether the text holds the part; no character is a wildcard."""


class _Sqlite:
    def text(self, document: Any, keys: Sequence[str]) -> Any:
        return fn.json_extract(document, _sqlite_path(keys))

    def flag(self, document: Any, keys: Sequence[str]) -> Any:
        return self.text(document, keys)  # JSON's true and false come out as 1 and 0, which is how SQLite has them

    def any_entry(self, document: Any, keys: Sequence[str], condition: Any) -> Any:
        return _exists(fn.json_each(document, _sqlite_path(keys)), condition)

    def pairs(self, array: Any) -> tuple[Any, Any, Any]:
        return _entries(fn.json_each(array)), fn.json_extract(ENTRY, "$[0]"), fn.json_extract(ENTRY, "$[1]")

    def folded(self, text: Any) -> Any:
        return fn.fold(text)

    def ordered(self, text: Any) -> Any:
        return text

    def contains(self, text: Any, part: Any) -> Any:
        return fn.instr(text, part) > 0


class _Postgresql:
    def text(self, document: Any, keys: Sequence[str]) -> Any:
        return fn.jsonb_extract_path_text(document, *keys)

    def flag(self, document: Any, keys: Sequence[str]) -> Any:
        return self.text(document, keys).cast("boolean")

    def any_entry(self, document: Any, keys: Sequence[str], condition: Any) -> Any:
        return _exists(fn.jsonb_array_elements(fn.jsonb_extract_path(document, *keys)), condition)

    def pairs(self, array: Any) -> tuple[Any, Any, Any]:
        document = fn.nullif(Expression(ENTRY, "->", SQL("1")), SQL("'null'::jsonb"))
        return _entries(fn.jsonb_array_elements(array.cast("jsonb"))), Expression(ENTRY, "->>", SQL("0")), document

    def folded(self, text: Any) -> Any:
        return fn.lower(fn.normalize(text))

    def ordered(self, text: Any) -> Any:
        return NodeList((text, SQL('COLLATE "C"')))

    def contains(self, text: Any, part: Any) -> Any:
        return fn.strpos(text, part) > 0


_SQLITE, _POSTGRESQL = _Sqlite(), _Postgresql()


def functions() -> JsonSql:
    """Those of the open database."""
    return _SQLITE if isinstance(database.obj, SqliteDatabase) else _POSTGRESQL


def is_not_true(condition: Any) -> Any:
    """The negation under which NULL, a value that is not there, counts as false."""
    return NodeList((SQL("("), condition, SQL(") IS NOT TRUE")))


def joined(conditions: Sequence[Any], by: str) -> Any:
    """Joined flat by AND or OR: one pair of brackets for each would overflow SQLite's parser at a hundred."""
    return NodeList(tuple(conditions), glue=f" {by} ", parens=True)


def _exists(function: Any, condition: Any) -> Any:
    return NodeList((SQL("EXISTS (SELECT 1 FROM"), _entries(function), SQL("WHERE"), condition, SQL(")")))


def _entries(function: Any) -> Any:
    return NodeList((function, SQL("AS entry")))


def _sqlite_path(keys: Sequence[str]) -> str:
    """Names come from the schema alone, never from a client, so that none holds a quote."""
    return "$" + "".join(f'."{key}"' for key in keys)


def _fold(text: str | None) -> str | None:
    return None if text is None else fold(text)


def _add_fold(opened: Database) -> None:
    """SQLite's own lower() knows ASCII only."""
    if isinstance(opened, SqliteDatabase):
        opened.register_function(_fold, "fold", 1, deterministic=True)


database.attach_callback(_add_fold)  # type: ignore[no-untyped-call]
