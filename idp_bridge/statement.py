"""Statements whose SQL is composed once: composing one costs peewee five times what running it costs SQLite.

For what runs with every request, reads (``Statement``) and writes of one row (``Table``) alike. What is seldom asked,
or differs with each question, is a peewee query as ever.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from peewee import (
    SQL,
    Field,
    ForeignKeyField,
    IntegerField,
    Model,
    NodeList,
    Select,
    SqliteDatabase,
    TextField,
    Value,
    fn,
)

from idp_bridge.db import apart, database, each, write

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class _Parameter:
    name: str
    convert: Convert | None


def parameter(name: str, column: Field | None = None) -> Any:
    """Where a value goes that is given with each run: one of ``column``, else one that the driver takes as it is."""
    return Value(_Parameter(name, None if column is None or _is_plain(column) else column.db_value), converter=False)


def among(column: Field, name: str) -> Any:
    """The condition that the column is one of the texts in a list, which is one parameter, so that one statement takes
    one of them or thousands. PostgreSQL gets an array: a JSON one it joins, loop in loop until it has statistics."""
    if isinstance(database.obj, SqliteDatabase):
        array = Value(_Parameter(name, _as_json), converter=False)
        return column.in_(Select([NodeList((fn.json_each(array), SQL("AS entry")))], [SQL("entry.value")]))
    return column == fn.ANY(Value(_Parameter(name, list), converter=False).cast("text[]"))


def gathered(query: Any, column: str) -> Any:
    """The texts of a query's one column, as an expression to be read along with a row that it refers to: ``texts``
    makes a list of what it gives."""
    found = query.alias("gathered")
    gather = fn.json_group_array if isinstance(database.obj, SqliteDatabase) else fn.json_agg
    return Select([found], [gather(getattr(found.c, column))])


def texts(gathered: str | None) -> list[str]:
    """What ``gathered`` has read."""
    return json.loads(gathered) if gathered else []


def _as_json(texts: Iterable[str]) -> str:
    return json.dumps(list(texts))


@dataclass
class Statement:
    """What ``query`` builds, once for each database that is opened.

    ``columns`` are what a SELECT selects, in order: fields, or expressions whose values are the driver's. ``apart``: it
    has nothing to do with the tables that a ``Table`` writes, and need not wait for those (db.apart).
    """

    columns: Sequence[Any]
    query: Callable[[], Any]
    apart: bool = False
    _composed: tuple[Any, str, list[Any], list[tuple[int, Convert]]] | None = field(
        default=None, init=False, repr=False
    )

    def __post_init__(self) -> None:
        read = [(place, _reader(column)) for place, column in enumerate(self.columns)]
        self._readers: list[tuple[int, Convert]] = [(place, convert) for place, convert in read if convert]
        self._parts = _parts(self.columns)

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """Run it. Each row holds Python values in the order of the columns."""
        found = self._execute(values).fetchall()
        return [self._read(row) for row in found] if self._readers else found

    def one(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""
        row = self._execute(values).fetchone()
        return None if row is None else self._read(row)

    def instances(self, **values: Any) -> list[tuple[Any, ...]]:
        """Run it. Each row holds one instance of each model whose columns are selected, in their order; None where an
        outer join found nothing. Expressions have their place among them."""
        return [tuple([part.read(row) for part in self._parts]) for row in self._execute(values).fetchall()]

    def first(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row of instances, or None."""
        row = self._execute(values).fetchone()
        return None if row is None else tuple([part.read(row) for part in self._parts])

    def run(self, **values: Any) -> None:
        """Run what is no SELECT."""
        self._execute(values)

    def each(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run what is no SELECT once for each of these sets of values."""
        bound = [self._bound(values) for values in rows]
        if bound:
            each(bound[0][0], [parameters for _, parameters in bound])

    def _read(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        read = list(row)
        for place, convert in self._readers:
            read[place] = convert(read[place])
        return tuple(read)

    def write(self, table: str, values: Mapping[str, Any], *, inserts: bool) -> None:
        """Run what writes one row of a table, whenever that is best in this transaction (db.write)."""
        write(table, *self._bound(values), inserts=inserts)

    def _execute(self, values: Mapping[str, Any]) -> Any:
        run = apart if self.apart else database.execute_sql
        return run(*self._bound(values))

    def _bound(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        composed = self._composed
        if composed is None or composed[0] is not database.obj:
            sql, parameters = database.get_sql_context().sql(self.query()).query()
            named = [(place, item) for place, item in enumerate(parameters) if isinstance(item, _Parameter)]
            converted = [(place, item.convert) for place, item in named if item.convert]
            composed = self._composed = (database.obj, sql, parameters, converted)
        _, sql, parameters, converted = composed
        bound = [values[item.name] if type(item) is _Parameter else item for item in parameters]
        for place, convert in converted:
            bound[place] = convert(bound[place])
        return sql, bound


class Table:
    """Writes of one row, by names of fields and Python values: a statement for each set of names, composed once."""

    def __init__(self, model: type[Model]) -> None:
        self._model: Any = model
        self._name: str = self._model._meta.table_name
        self._inserts: dict[tuple[str, ...], Statement] = {}
        self._updates: dict[tuple[str, ...], Statement] = {}

    def insert(self, **values: Any) -> None:
        """A new row; the model's defaults where a field is not named."""
        names = tuple(values)
        if names not in self._inserts:
            self._inserts[names] = Statement((), lambda: self._model.insert(self._parameters(names)))
        self._inserts[names].write(self._name, values, inserts=True)

    def add(self, row: Model) -> None:
        """INSERT this instance."""
        self.insert(**row.__data__)

    def update(self, key: str, **values: Any) -> None:
        """The row of that primary key has these values."""
        names = tuple(values)
        if names not in self._updates:
            self._updates[names] = Statement((), lambda: self._updating(names))
        self._updates[names].write(self._name, {"key": key, **values}, inserts=False)

    def save(self, row: Any, *names: str) -> None:
        """UPDATE just these fields of this instance."""
        self.update(row._pk, **{name: row.__data__[name] for name in names})

    def _updating(self, names: tuple[str, ...]) -> Any:
        return self._model.update(self._parameters(names)).where(self._model._meta.primary_key == parameter("key"))

    def _parameters(self, names: tuple[str, ...]) -> dict[Field, Any]:
        fields: Mapping[str, Field] = self._model._meta.fields
        return {fields[name]: parameter(name, fields[name]) for name in names}


@dataclass(frozen=True)
class _Part:
    """The columns of one model in a row, or the place of an expression."""

    model: type[Model] | None
    names: tuple[str, ...]
    begin: int
    end: int
    key: int | None  # where the primary key is, if it is selected
    readers: tuple[tuple[str, Convert], ...]

    def read(self, row: tuple[Any, ...]) -> Any:
        """The instance, without what peewee's own constructor does for defaults and relations. A column that reads
        itself when it is asked for keeps the driver's value."""
        if self.model is None:
            return row[self.begin]
        if self.key is not None and row[self.key] is None:
            return None
        made: Any = self.model.__new__(self.model)
        made.__data__ = data = dict(zip(self.names, row[self.begin : self.end], strict=True))
        made.__rel__, made._dirty = {}, set()
        for name, convert in self.readers:
            data[name] = convert(data[name])
        return made


def _parts(columns: Sequence[Any]) -> list[_Part]:
    parts: list[_Part] = []
    places = enumerate(columns)
    for model, group in groupby(places, lambda place: place[1].model if isinstance(place[1], Field) else None):
        found = list(group)
        if model is None:
            parts += [_Part(None, (), place, place + 1, None, ()) for place, _ in found]
            continue
        begin, fields = found[0][0], [column for _, column in found]
        key = next((place for place, column in found if column is model._meta.primary_key), None)
        eager = [column for column in fields if not hasattr(column, "is_read")]
        readers = tuple((column.name, convert) for column in eager if (convert := _reader(column)))
        parts.append(_Part(model, tuple(column.name for column in fields), begin, begin + len(fields), key, readers))
    return parts


def _is_plain(column: Field) -> bool:
    """Whether the driver gives and takes the very values that Python has."""
    while isinstance(column, ForeignKeyField):
        column = column.rel_field
    return isinstance(column, TextField | IntegerField)


def _reader(column: Any) -> Convert | None:
    """What makes a Python value of the driver's; None where it is one already."""
    if not isinstance(column, Field) or _is_plain(column):
        return None
    convert: Convert = column.python_value
    return convert
