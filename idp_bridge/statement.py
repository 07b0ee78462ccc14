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
    Database,
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

from idp_bridge.db import database

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class _Parameter:
    name: str
    convert: Convert | None

    def bound(self, values: Mapping[str, Any]) -> Any:
        value = values[self.name]
        return self.convert(value) if self.convert else value


def parameter(name: str, column: Field | None = None) -> Any:
    """Where a value goes that is given with each run: one of ``column``, else one that the driver takes as it is."""
    return Value(_Parameter(name, column.db_value if column else None), converter=False)


def among(column: Field, name: str) -> Any:
    """The condition that the column is one of the texts in a list, which is one parameter, so that one statement takes
    one of them or thousands. PostgreSQL gets an array: a JSON one it joins, loop in loop until it has statistics."""
    if isinstance(database.obj, SqliteDatabase):
        array = Value(_Parameter(name, _as_json), converter=False)
        return column.in_(Select([NodeList((fn.json_each(array), SQL("AS entry")))], [SQL("entry.value")]))
    return column == fn.ANY(Value(_Parameter(name, list), converter=False).cast("text[]"))


def _as_json(texts: Iterable[str]) -> str:
    return json.dumps(list(texts))


@dataclass
class Statement:
    """What ``query`` builds, once for each database that is opened.

    ``columns`` are what a SELECT selects, in order: fields, or expressions whose values are the driver's.
    """

    columns: Sequence[Any]
    query: Callable[[], Any]
    _composed: tuple[Database, str, tuple[Any, ...]] | None = field(default=None, init=False, repr=False)

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
        outer join found nothing."""
        return [tuple([part.instance(row) for part in self._parts]) for row in self.rows(**values)]

    def first(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row of instances, or None."""
        row = self.one(**values)
        return None if row is None else tuple([part.instance(row) for part in self._parts])

    def run(self, **values: Any) -> None:
        """Run what is no SELECT."""
        self._execute(values)

    def _read(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        read = list(row)
        for place, convert in self._readers:
            read[place] = convert(read[place])
        return tuple(read)

    def _execute(self, values: Mapping[str, Any]) -> Any:
        composed = self._composed
        if composed is None or composed[0] is not database.obj:
            sql, parameters = database.get_sql_context().sql(self.query()).query()
            composed = self._composed = (database.obj, sql, tuple(parameters))
        _, sql, parameters = composed
        bound = [item.bound(values) if isinstance(item, _Parameter) else item for item in parameters]
        return database.execute_sql(sql, bound)


class Table:
    """Writes of one row, by names of fields and Python values: a statement for each set of names, composed once."""

    def __init__(self, model: type[Model]) -> None:
        self._model: Any = model
        self._inserts: dict[tuple[str, ...], Statement] = {}
        self._updates: dict[tuple[str, ...], Statement] = {}

    def insert(self, **values: Any) -> None:
        """A new row; the model's defaults where a field is not named."""
        names = tuple(values)
        if names not in self._inserts:
            self._inserts[names] = Statement((), lambda: self._model.insert(self._parameters(names)))
        self._inserts[names].run(**values)

    def add(self, row: Model) -> None:
        """INSERT this instance."""
        self.insert(**row.__data__)

    def update(self, key: str, **values: Any) -> None:
        """The row of that primary key has these values."""
        names = tuple(values)
        if names not in self._updates:
            self._updates[names] = Statement((), lambda: self._updating(names))
        self._updates[names].run(key=key, **values)

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
    """The columns of one model in a row."""

    model: type[Model]
    names: tuple[str, ...]
    begin: int
    end: int
    key: int | None  # where the primary key is, if it is selected

    def instance(self, row: tuple[Any, ...]) -> Any:
        if self.key is not None and row[self.key] is None:
            return None
        made = self.model(__no_default__=True)
        made.__data__ = dict(zip(self.names, row[self.begin : self.end], strict=True))
        return made


def _parts(columns: Sequence[Any]) -> list[_Part]:
    parts, begin = [], 0
    for model, group in groupby(columns, lambda column: column.model if isinstance(column, Field) else None):
        fields = list(group)
        end = begin + len(fields)
        if model is not None:
            keys = [begin + place for place, column in enumerate(fields) if column is model._meta.primary_key]
            parts.append(_Part(model, tuple(column.name for column in fields), begin, end, next(iter(keys), None)))
        begin = end
    return parts


def _reader(column: Any) -> Convert | None:
    """What makes a Python value of the driver's; None where it is one already."""
    while isinstance(column, ForeignKeyField):
        column = column.rel_field
    if isinstance(column, TextField | IntegerField) or not isinstance(column, Field):
        return None
    convert: Convert = column.python_value
    return convert
