"""The SQL in which SQLite and PostgreSQL differ where JSON is looked into: a stored document, or an array of values
that is given to a statement as one parameter.

Two small tables of functions with the same names; ``functions()`` gives those of the open database. Every expression
is NULL where the document has not the value.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Protocol

from peewee import SQL, Database, Expression, NodeList, Select, SqliteDatabase, Value, fn

from idp_bridge.db import database
from scim.attributes import fold
from scim.resource import parse_datetime

#: One entry of a list, inside ``any_entry``.
ENTRY = SQL("entry.value")

TRUE, FALSE = SQL("TRUE"), SQL("FALSE")


class JsonSql(Protocol):
    """What a database must be able to say."""

    def text(self, document: Any, keys: Sequence[str]) -> Any:
        """The value at the keys as text; ENTRY without keys is the entry itself."""

    def flag(self, document: Any, keys: Sequence[str]) -> Any:
        """The boolean at the keys."""

    def number(self, document: Any, keys: Sequence[str]) -> Any:
        """The number at the keys."""

    def instant(self, document: Any, keys: Sequence[str]) -> Any:
        """The dateTime at the keys as microseconds since 1970, so that offsets do not matter."""

    def chosen(self, document: Any, keys: Sequence[str], value: Any, *, primary: bool) -> Any:
        """The value, written about ENTRY, of the primary entry of the list at the keys where entries can be that,
        else of the first."""

    def any_entry(self, document: Any, keys: Sequence[str], condition: Any) -> Any:
        """Whether the condition, written about ENTRY, holds for an entry of the list at the keys."""

    def without(self, document: Any, places: Sequence[Sequence[str]]) -> Any:
        """The document without the values at any of these keys; written flat, since a hundred may go at once."""

    def pairs(self, array: Any) -> tuple[Any, Any, Any]:
        """The source, the text and the document of an array of such pairs; NULL where the document is null."""

    def texts(self, array: Any) -> tuple[Any, Any]:
        """The source and the text of an array of texts."""

    def document(self, stored: Any) -> Any:
        """A stored document, to become a part of another."""

    def object(self, members: Mapping[str, Any]) -> Any:
        """The object with these members, in this order; a text of ours is written into the statement."""

    def array(self, rows: Any, column: str) -> Any:
        """The text of an array of the documents in a column, in the order of the rows; NULL or empty for none."""

    def folded(self, text: Any) -> Any:
        """The text without regard to case; both sides of a comparison must pass through here. What is equal by this
        is equal by ``scim.filter.fold``, too."""

    def lowered(self, text: Any) -> Any:
        """The text in lower case, letter by letter: the one mapping that both databases have, to sort by."""

    def ordered(self, text: Any) -> Any:
        """The text as something that sorts by code point."""

    def contains(self, text: Any, part: Any) -> Any:
        """Whether the text holds the part; no character is a wildcard."""


class _Sqlite:
    def text(self, document: Any, keys: Sequence[str]) -> Any:
        return fn.json_extract(document, _sqlite_path(keys)) if keys else document

    def flag(self, document: Any, keys: Sequence[str]) -> Any:
        return self.text(document, keys)  # JSON's true and false come out as 1 and 0, which is how SQLite has them

    def number(self, document: Any, keys: Sequence[str]) -> Any:
        return self.text(document, keys)

    def instant(self, document: Any, keys: Sequence[str]) -> Any:
        return fn.instant(self.text(document, keys))

    def chosen(self, document: Any, keys: Sequence[str], value: Any, *, primary: bool) -> Any:
        entries = _entries(fn.json_each(document, _sqlite_path(keys)))
        return _chosen(value, entries, self.flag(ENTRY, ("primary",)) if primary else FALSE)

    def any_entry(self, document: Any, keys: Sequence[str], condition: Any) -> Any:
        return _exists(fn.json_each(document, _sqlite_path(keys)), condition)

    def without(self, document: Any, places: Sequence[Sequence[str]]) -> Any:
        return fn.json_remove(document, *(_sqlite_path(keys) for keys in places))

    def pairs(self, array: Any) -> tuple[Any, Any, Any]:
        return _entries(fn.json_each(array)), fn.json_extract(ENTRY, "$[0]"), fn.json_extract(ENTRY, "$[1]")

    def texts(self, array: Any) -> tuple[Any, Any]:
        return _entries(fn.json_each(array)), ENTRY

    def document(self, stored: Any) -> Any:
        return stored

    def object(self, members: Mapping[str, Any]) -> Any:
        return fn.json_object(*_members(members))

    def array(self, rows: Any, column: str) -> Any:
        # json(), because what comes out of a subquery is plain text again.
        found = rows.alias("found")
        return Select([found], [fn.json_group_array(fn.json(getattr(found.c, column)))])

    def folded(self, text: Any) -> Any:
        return fn.fold(text)

    def lowered(self, text: Any) -> Any:
        return fn.lowered(text)

    def ordered(self, text: Any) -> Any:
        return text

    def contains(self, text: Any, part: Any) -> Any:
        return fn.instr(text, part) > 0


class _Postgresql:
    def text(self, document: Any, keys: Sequence[str]) -> Any:
        return fn.jsonb_extract_path_text(document, *keys) if keys else Expression(document, "#>>", SQL("'{}'"))

    def flag(self, document: Any, keys: Sequence[str]) -> Any:
        return self.text(document, keys).cast("boolean")

    def number(self, document: Any, keys: Sequence[str]) -> Any:
        return self.text(document, keys).cast("numeric")

    def instant(self, document: Any, keys: Sequence[str]) -> Any:
        # By hand: as a timestamptz it would depend on the session's zone, and not every offset be taken.
        text = self.text(document, keys)
        local = fn.substring(text, r"^.{19}(?:\.\d{1,6})?").cast("timestamp")
        offset = fn.coalesce(fn.substring(text, r"[+-]\d\d:\d\d$"), "0").cast("interval")
        return (NodeList((SQL("extract(epoch from"), local - offset, SQL(")"))) * 1_000_000).cast("bigint")

    def chosen(self, document: Any, keys: Sequence[str], value: Any, *, primary: bool) -> Any:
        entries = fn.jsonb_array_elements(fn.jsonb_extract_path(document, *keys))
        numbered = NodeList((entries, SQL("WITH ORDINALITY AS entry(value, key)")))
        return _chosen(value, numbered, self.flag(ENTRY, ("primary",)) if primary else FALSE)

    def any_entry(self, document: Any, keys: Sequence[str], condition: Any) -> Any:
        return _exists(fn.jsonb_array_elements(fn.jsonb_extract_path(document, *keys)), condition)

    def without(self, document: Any, places: Sequence[Sequence[str]]) -> Any:
        paths = (Value(list(keys), converter=False, unpack=False).cast("text[]") for keys in places)
        return NodeList((document, *paths), glue=" #- ", parens=True)

    def pairs(self, array: Any) -> tuple[Any, Any, Any]:
        document = fn.nullif(Expression(ENTRY, "->", SQL("1")), SQL("'null'::jsonb"))
        return _entries(fn.jsonb_array_elements(array.cast("jsonb"))), Expression(ENTRY, "->>", SQL("0")), document

    def texts(self, array: Any) -> tuple[Any, Any]:
        return _entries(fn.jsonb_array_elements_text(array.cast("jsonb"))), ENTRY

    def document(self, stored: Any) -> Any:
        return stored.cast("json")

    def object(self, members: Mapping[str, Any]) -> Any:
        return fn.json_build_object(*_members(members))

    def array(self, rows: Any, column: str) -> Any:
        found = rows.alias("found")
        return Select([found], [fn.json_agg(getattr(found.c, column))])

    def folded(self, text: Any) -> Any:
        # Some C libraries make a bare i of U+0130, which would let a look-alike through.
        return fn.lower(fn.replace(fn.normalize(text), "\u0130", "i\u0307"))

    def lowered(self, text: Any) -> Any:
        return self.folded(text)

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


def _members(members: Mapping[str, Any]) -> list[Any]:
    """PostgreSQL takes no parameter where the type could be any."""
    return [SQL(f"'{part}'") if isinstance(part, str) else part for part in chain.from_iterable(members.items())]


def _exists(function: Any, condition: Any) -> Any:
    return NodeList((SQL("EXISTS (SELECT 1 FROM"), _entries(function), SQL("WHERE"), condition, SQL(")")))


def _chosen(value: Any, entries: Any, primary: Any) -> Any:
    begin, order = SQL("(SELECT"), SQL("DESC, entry.key LIMIT 1)")
    return NodeList((begin, value, SQL("FROM"), entries, SQL("ORDER BY"), fn.coalesce(primary, FALSE), order))


def _entries(function: Any) -> Any:
    return NodeList((function, SQL("AS entry")))


def _sqlite_path(keys: Sequence[str]) -> str:
    """Names come from the schema alone, never from a client, so that none holds a quote."""
    return "$" + "".join(f'."{key}"' for key in keys)


def _fold(text: str | None) -> str | None:
    return None if text is None else fold(text)


def _lowered(text: str | None) -> str | None:
    """What PostgreSQL makes of it: the simple mapping of each letter, under which ``ß`` and ``Σ`` stay one letter."""
    if text is None or text.isascii():
        return text and text.lower()
    return "".join([letter.lower() for letter in unicodedata.normalize("NFC", text)])


def microseconds(text: str | None) -> int | None:
    """A dateTime as ``JsonSql.instant`` gives it."""
    instant = parse_datetime(text) if text else None
    return None if instant is None else (instant - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _add_functions(opened: Database) -> None:
    """SQLite's own lower() knows ASCII only, and its dates no offsets."""
    if isinstance(opened, SqliteDatabase):
        for name, function in (("fold", _fold), ("lowered", _lowered), ("instant", microseconds)):
            opened.register_function(function, name, 1, deterministic=True)


database.attach_callback(_add_functions)  # type: ignore[no-untyped-call]
