"""A filter's tree as a condition of the database (RFC 7644 §3.4.2.2), for both of them.

By allow-list: a name is a column, a joined table or a value in the stored document, and everything else is
InvalidFilter, never a condition that is left out and so lets more through. NULL, a value that is not there, counts
as false; ``ne`` and ``not`` are true for it (``is_not_true``), as they are for an entry of a list without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import OP, SQL, Expression, Field, Value, fn

from idp_bridge.models import DirectoryGroup, DirectoryUser, GroupMember
from idp_bridge.provisioning import json_sql
from idp_bridge.provisioning.json_sql import ENTRY, JsonSql, is_not_true, joined, microseconds
from idp_bridge.text import fold
from scim.attributes import Attribute, AttrPath
from scim.errors import InvalidFilter
from scim.filter import And, Compare, Filter, Not, Or, Present, ValuePath, matches
from scim.resource import parse_datetime
from scim.schemas import Catalogue, ResourceType

TRUE, FALSE = SQL("TRUE"), SQL("FALSE")


def condition(filter_: Filter, resource_type: ResourceType) -> Any:
    """The WHERE condition on DirectoryUser or DirectoryGroup. Raises InvalidFilter."""
    return _compiled(filter_, _Row(_TABLES[resource_type.endpoint], resource_type, json_sql.functions()))


def key(filter_: Filter, resource_type: ResourceType) -> tuple[Field, str] | None:
    """``userName eq "…"`` and its like: the column to look in and the value as it lies there. None for any filter
    that is more than one such comparison."""
    if not isinstance(filter_, Compare) or filter_.op != "eq" or not isinstance(filter_.value, str):
        return None
    column = _TABLES[resource_type.endpoint].columns.get(filter_.path.keys)
    return (column.sql, column.literal(filter_.value)) if column and not column.sortable else None


@dataclass(frozen=True)
class EveryType:
    """The names of every resource type at once (RFC 7644 §3.4.2.1): the attribute that one lacks has no value there,
    since nothing is in its documents under that name."""

    catalogue: Catalogue
    name: str = "any resource"

    def resolve(self, text: str) -> AttrPath | None:
        """What a name means to the first type that knows it."""
        return self.catalogue.user.resolve(text) or self.catalogue.group.resolve(text)


# --- what names mean --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """A column, and how a literal is made comparable with it. ``sortable``: already in the order that counts."""

    sql: Any
    literal: Callable[[Any], Any]
    sortable: bool = False


def _same(literal: Any) -> Any:
    return literal


@dataclass(frozen=True)
class _Table:
    """A resource type's home: its document, what lies in columns, and the lists that are rows of another table."""

    document: Any
    columns: Mapping[tuple[str, ...], _Column]
    rows: Mapping[str, "_Rows"]


@dataclass(frozen=True)
class _Rows:
    """A multi-valued attribute kept as rows: ``owner`` is the row's reference to the resource with the list."""

    query: Callable[[], Any]
    owner: Any
    resource_id: Any
    columns: Mapping[tuple[str, ...], _Column]
    document: Any = None


_USERS = _Table(
    DirectoryUser.resource,
    {
        ("id",): _Column(DirectoryUser.id, _same),
        ("userName",): _Column(DirectoryUser.user_name_key, fold),
        ("externalId",): _Column(DirectoryUser.external_id, _same),
        ("active",): _Column(DirectoryUser.active, _same),
        ("meta", "created"): _Column(DirectoryUser.created_at, parse_datetime, sortable=True),
        ("meta", "lastModified"): _Column(DirectoryUser.modified_at, parse_datetime, sortable=True),
    },
    {
        "groups": _Rows(
            lambda: GroupMember.select(GroupMember.user).join(DirectoryGroup),
            GroupMember.user,
            DirectoryUser.id,
            {
                ("value",): _Column(GroupMember.group, _same),
                ("display",): _Column(DirectoryGroup.display_name_key, fold),
                ("type",): _Column(SQL("'direct'"), fold),
            },
        ),
    },
)

_GROUPS = _Table(
    DirectoryGroup.resource,
    {
        ("id",): _Column(DirectoryGroup.id, _same),
        ("displayName",): _Column(DirectoryGroup.display_name_key, fold),
        ("externalId",): _Column(DirectoryGroup.external_id, _same),
        ("meta", "created"): _Column(DirectoryGroup.created_at, parse_datetime, sortable=True),
        ("meta", "lastModified"): _Column(DirectoryGroup.modified_at, parse_datetime, sortable=True),
    },
    {
        "members": _Rows(
            lambda: GroupMember.select(GroupMember.group),
            GroupMember.group,
            DirectoryGroup.id,
            {("value",): _Column(GroupMember.user, _same)},
            GroupMember.sent,
        ),
    },
)

_TABLES = {"/Users": _USERS, "/Groups": _GROUPS}


@dataclass(frozen=True)
class _Row:
    """The scope of names outside brackets, and inside those of a single complex value (``prefix``)."""

    table: _Table
    resource_type: ResourceType
    sql: JsonSql
    prefix: tuple[str, ...] = ()

    def column(self, path: AttrPath) -> _Column:
        """What the path's value is compared with."""
        keys = (*self.prefix, *path.keys)
        if keys in self.table.columns:
            return self.table.columns[keys]
        if keys[0] in ("id", "meta", "schemas"):
            raise InvalidFilter(f"{path} cannot be filtered by.")
        return _document_column(self.sql, self.table.document, keys, path.leaf)

    def entries(self, path: AttrPath) -> "_Entries | None":
        """The list that the path's attribute is; None where it is a single value."""
        if not path.attribute.multi_valued:
            return None
        keys = (*self.prefix, *AttrPath(path.schema_urn, path.attribute).keys)
        rows = self.table.rows.get(keys[0])
        if rows:
            return _Joined(rows, self.sql)
        return _Listed(self.table.document, keys, self.sql, simple=path.attribute.type != "complex")

    def constant(self, term: Compare | Present) -> Any | None:
        """``schemas`` and ``meta.resourceType`` follow from the type and from which extensions are present."""
        keys = (*self.prefix, *term.path.keys)
        resource_type = self.resource_type
        if keys == ("meta",):  # only `pr` gets here: a complex attribute is compared by its parts
            return TRUE
        if keys == ("meta", "resourceType"):
            inner = {"resourceType": resource_type.name}
            return TRUE if matches(term, inner if self.prefix else {"meta": inner}) else FALSE
        if keys != ("schemas",):
            return None
        present = [
            self.sql.text(self.table.document, (urn,)).is_null(False)
            for urn in (extension.id for extension in resource_type.extensions)
            if matches(term, {"schemas": [urn]})
        ]
        return TRUE if matches(term, {"schemas": [resource_type.schema.id]}) else joined([FALSE, *present], "OR")


@dataclass(frozen=True)
class _Entry:
    """The scope of names inside the brackets of a multi-valued attribute: one entry of it, which in a list of
    ``simple`` values is the value."""

    sql: JsonSql
    columns: Mapping[tuple[str, ...], _Column]
    document: Any
    simple: bool = False

    def column(self, path: AttrPath) -> _Column:
        """What the path's value in this entry is compared with."""
        if path.keys in self.columns:
            return self.columns[path.keys]
        if self.document is None:
            raise InvalidFilter(f"{path} cannot be filtered by.")
        return _document_column(self.sql, self.document, () if self.simple else path.keys, path.leaf)

    def entries(self, path: AttrPath) -> None:
        """Lists do not nest in SCIM."""

    def constant(self, term: Compare | Present) -> None:
        """Nothing in an entry follows from its type."""


@dataclass(frozen=True)
class _Listed:
    """A multi-valued attribute in the document."""

    document: Any
    keys: tuple[str, ...]
    sql: JsonSql
    simple: bool

    @property
    def scope(self) -> _Entry:
        return _Entry(self.sql, {}, ENTRY, self.simple)

    def any(self, condition_: Any) -> Any:
        """Whether the condition holds for an entry."""
        return self.sql.any_entry(self.document, self.keys, condition_)


@dataclass(frozen=True)
class _Joined:
    """A multi-valued attribute in rows of its own."""

    rows: _Rows
    sql: JsonSql

    @property
    def scope(self) -> _Entry:
        return _Entry(self.sql, self.rows.columns, self.rows.document)

    def any(self, condition_: Any) -> Any:
        """Whether the condition holds for a row."""
        rows = self.rows
        return fn.EXISTS(rows.query().where(rows.owner == rows.resource_id, condition_))

    def holding(self, value: Any) -> Any:
        """``value eq "…"``, asked of the rows first: their index leads to the few resources that hold it."""
        return self.rows.resource_id.in_(self.rows.query().where(self.rows.columns["value",].sql == value))


_Entries = _Listed | _Joined
_Scope = _Row | _Entry


def _document_column(sql: JsonSql, document: Any, keys: tuple[str, ...], attribute: Attribute) -> _Column:
    """A value in a document, as its type compares: a list's entry that is itself the value has no keys."""
    match attribute.type:
        case "boolean":
            return _Column(sql.flag(document, keys), _same)
        case "integer" | "decimal":
            return _Column(sql.number(document, keys), _number, sortable=True)
        case "dateTime":
            return _Column(sql.instant(document, keys), microseconds, sortable=True)
    text = sql.text(document, keys)
    if attribute.type in ("complex", "binary") or attribute.case_exact:
        return _Column(text, _same)
    return _Column(sql.folded(text), lambda literal: sql.folded(Value(literal, converter=False)))


def _number(literal: int | float) -> int | float:
    """One that every driver can bind; no attribute holds an integer of more than 64 bits."""
    return literal if abs(literal) < 2**63 else float(literal)


# --- from tree to condition -------------------------------------------------------------------------------------


def _compiled(filter_: Filter, scope: _Scope) -> Any:
    match filter_:
        case And(terms):
            return joined([_compiled(term, scope) for term in terms], "AND")
        case Or(terms):
            return joined([_compiled(term, scope) for term in terms], "OR")
        case Not(term):
            return is_not_true(_compiled(term, scope))
        case ValuePath():
            return _selected(filter_, scope)
        case Compare() | Present():
            constant = scope.constant(filter_)
            return constant if constant is not None else _tested(filter_, scope)


def _selected(selection: ValuePath, scope: _Scope) -> Any:
    """``path[term]``: the whole term holds for one and the same value."""
    path = selection.path
    entries = scope.entries(path)
    if entries is not None:
        return entries.any(_compiled(selection.term, entries.scope))
    if isinstance(scope, _Entry):
        raise InvalidFilter(f"{path} cannot be selected by.")
    within = _Row(scope.table, scope.resource_type, scope.sql, (*scope.prefix, *path.keys))
    found = _compiled(selection.term, within)
    return found if path.keys == ("meta",) else joined([scope.column(path).sql.is_null(False), found], "AND")


def _tested(term: Compare | Present, scope: _Scope) -> Any:
    entries = scope.entries(term.path)
    if entries is None:
        return _test(term, scope)
    if isinstance(term, Present) and term.path.sub_attribute is None:
        return entries.any(TRUE)
    inner = AttrPath(None, term.path.leaf)
    if isinstance(term, Present):
        return entries.any(_test(Present(inner), entries.scope))
    if isinstance(entries, _Joined) and (inner.keys, term.op) == (("value",), "eq") and term.value is not None:
        return entries.holding(term.value)
    found = entries.any(_test(Compare(inner, term.op, term.value), entries.scope))
    if (term.op == "ne") == (term.value is None):
        return found
    return joined([found, is_not_true(entries.any(TRUE))], "OR")  # no entry at all is no value, too


def _test(term: Compare | Present, scope: _Scope) -> Any:
    column = scope.column(term.path)
    if isinstance(term, Present):
        return column.sql.is_null(False)
    if term.value is None:
        return column.sql.is_null(term.op == "eq")
    return _comparison(column, term.op, column.literal(term.value), scope.sql)


def _comparison(column: _Column, op: str, literal: Any, sql: JsonSql) -> Any:
    left = column.sql
    right = literal if column.sortable or isinstance(literal, bool) else _as_value(literal)
    if op == "eq":
        return left == right
    if op == "ne":
        return is_not_true(left == right)
    if op in _SUBSTRING:
        return _SUBSTRING[op](sql, left, right)
    if not column.sortable:
        left, right = sql.ordered(left), sql.ordered(right)
    return Expression(left, _ORDER[op], right)


_ORDER = {"gt": OP.GT, "ge": OP.GTE, "lt": OP.LT, "le": OP.LTE}


def _as_value(literal: Any) -> Any:
    return literal if hasattr(literal, "clone") else Value(literal, converter=False)


def _starts(sql: JsonSql, text: Any, part: Any) -> Any:
    return fn.substr(text, 1, fn.length(part)) == part


def _ends(sql: JsonSql, text: Any, part: Any) -> Any:
    return fn.substr(text, fn.length(text) - fn.length(part) + 1) == part


_SUBSTRING: dict[str, Callable[[JsonSql, Any, Any], Any]] = {
    "co": lambda sql, text, part: sql.contains(text, part),
    "sw": _starts,
    "ew": _ends,
}
