"""The order of a list (RFC 7644 §3.4.2.3) as SQL, the same on both databases.

Texts are compared by code point, in lower case unless they are case exact; what has no value comes last. Equals are in
the order of their ids, so that the order is total, and ``descending`` is the whole of it reversed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from peewee import Field, Tuple, Value, fn

from idp_bridge import clock
from idp_bridge.models import DirectoryGroup, DirectoryUser
from idp_bridge.provisioning import json_sql
from idp_bridge.provisioning.json_sql import ENTRY, JsonSql, joined
from scim.attributes import Attribute, AttrPath
from scim.errors import InvalidValue
from scim.schemas import ResourceType
from scim.sorting import Sort

#: Characters of a text in a document that count: a cursor holds them, and has to fit into a URL.
SIGNIFICANT = 200


@dataclass(frozen=True)
class Position:
    """Where a resource stands in an order: its key, None for no value, and its id. Keys are what JSON can hold.

    ``back``: what is wanted lies before it.
    """

    key: str | int | float | None
    id: str
    back: bool = False

    @property
    def rank(self) -> tuple[Any, ...]:
        """By which positions of several types come into one ascending order: the one that a database has."""
        return self.key is None, self.key, self.id


def plain(key: Any) -> str | int | float | None:
    """What a database gives for a key, as a Position holds it and the database takes it back."""
    if isinstance(key, datetime):
        return clock.rfc3339(key)
    if isinstance(key, Decimal):
        return int(key) if key == key.to_integral_value() else float(key)
    found: str | int | float | None = key
    return found


@dataclass(frozen=True)
class Order:
    """An order of one type's records: by ``key``, which is NULL where there is no value, and then by id."""

    key: Any
    id: Field
    descending: bool
    nullable: bool

    def reversed(self) -> "Order":
        """The other way round."""
        return Order(self.key, self.id, not self.descending, self.nullable)

    def terms(self) -> list[Any]:
        """For ORDER BY."""
        if self.descending:
            return [self.key.desc(nulls="FIRST" if self.nullable else None), self.id.desc()]
        return [self.key.asc(nulls="LAST" if self.nullable else None), self.id.asc()]

    def beyond(self, position: Position) -> Any:
        """The condition that a record comes after the position."""
        absent = self.key.is_null()
        if position.key is None:
            further = joined([absent, self._later(self.id, position.id)], "AND")
            return joined([further, self.key.is_null(False)], "OR") if self.descending else further
        further = self._later(Tuple(self.key, self.id), Tuple(_literal(position.key), position.id))
        return joined([further, absent], "OR") if self.nullable and not self.descending else further

    def _later(self, one: Any, other: Any) -> Any:
        return one < other if self.descending else one > other


def order(sort: Sort | None, resource_type: ResourceType) -> Order:
    """The order asked for, or that of the ids. Raises InvalidValue for what cannot be sorted by."""
    table = _TABLES[resource_type.endpoint]
    if sort is None:
        return Order(table.id, table.id, descending=False, nullable=False)
    column = table.columns.get(sort.path.keys)
    if column is not None:
        return Order(column, table.id, sort.descending, nullable=False)
    return Order(_key(sort.path, table, resource_type), table.id, sort.descending, nullable=True)


# --- what is compared -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """A resource type's home: its ids, its document, and what always has a value in a column."""

    id: Field
    document: Field
    columns: Mapping[tuple[str, ...], Field]


def _table(model: Any, **more: Field) -> _Table:
    columns: dict[tuple[str, ...], Field] = {
        ("id",): model.id,
        ("meta", "created"): model.created_at,
        ("meta", "lastModified"): model.modified_at,
    }
    return _Table(model.id, model.resource, columns | {(name,): column for name, column in more.items()})


_TABLES = {"/Users": _table(DirectoryUser, userName=DirectoryUser.user_name_key), "/Groups": _table(DirectoryGroup)}

_DERIVED: dict[tuple[str, ...], Callable[[ResourceType], str]] = {
    ("schemas",): lambda resource_type: resource_type.schema.id,
    ("meta", "resourceType"): lambda resource_type: resource_type.name,
}


def _key(path: AttrPath, table: _Table, resource_type: ResourceType) -> Any:
    sql = json_sql.functions()
    if path.keys in _DERIVED:
        return _literal(_DERIVED[path.keys](resource_type)).cast("text")
    if path.keys[0] == "meta":
        raise InvalidValue(f"sortBy: {path} cannot be sorted by.")
    if not path.attribute.multi_valued:
        return _value(path.leaf, table.document, path.keys, sql)
    list_ = AttrPath(path.schema_urn, path.attribute).keys
    entry = _value(path.leaf, ENTRY, path.keys[len(list_) :], sql)
    return sql.chosen(table.document, list_, entry, primary=path.attribute.sub_attribute("primary") is not None)


def _value(attribute: Attribute, document: Any, keys: tuple[str, ...], sql: JsonSql) -> Any:
    """The value at the keys as something that sorts as its type does."""
    if attribute.type in _TYPED:
        return _TYPED[attribute.type](sql)(document, keys)
    text = sql.text(document, keys)
    exact = attribute.case_exact or attribute.type == "binary"
    return sql.ordered(fn.substr(text if exact else sql.lowered(text), 1, SIGNIFICANT))


_TYPED: dict[str, Callable[[JsonSql], Callable[[Any, tuple[str, ...]], Any]]] = {
    "boolean": lambda sql: sql.flag,
    "integer": lambda sql: sql.number,
    "decimal": lambda sql: sql.number,
    "dateTime": lambda sql: sql.instant,
}


def _literal(value: Any) -> Value:
    return Value(value, converter=False)
