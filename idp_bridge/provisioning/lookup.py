"""What a filter looks up: the names and values by which indexes lead to the records that can match, so that a condition
on documents reads those alone. Lookups only narrow, and never lose a match; the whole condition (query.py) decides.

A comparison with ``eq`` of a name in the tables below is a lookup. Of ``and`` one term is enough, and the first in the
table is taken; of ``or`` every term must be one, and each goes by its own index. ``not`` looks nothing up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from peewee import SQL, Field

from idp_bridge.models import DirectoryGroup, DirectoryUser, GroupMember
from idp_bridge.provisioning import emails
from idp_bridge.text import fold
from scim.filter import And, Compare, Filter, Or, ValuePath
from scim.schemas import ResourceType

Name = tuple[str, ...]
Asked = dict[Name, list[str]]


def narrowed(directory: str, filter_: Filter, resource_type: ResourceType) -> Any:
    """The condition that a record is among those which the lookups of the filter lead to; true where it has none."""
    table = _TABLES[resource_type.endpoint]
    asked = _asked(filter_, table)
    terms = filter_.terms if isinstance(filter_, And) else (filter_,)
    if asked is None or any(_is_plain(term, table) for term in terms):
        return SQL("TRUE")
    queries = [query for name, values in asked.items() for query in table[name].holding(directory, values)]
    return _MODELS[resource_type.endpoint].id.in_(reduce(add, queries))


@dataclass(frozen=True)
class _Lookup:
    """``holding``: queries of the ids of a directory's records that have one of the values. ``plain``: the comparison
    itself is written so that a database takes the same index for it, as long as it stands alone or among ``and``."""

    holding: Callable[[str, Sequence[str]], list[Any]]
    plain: bool = True


def _same(value: str) -> str:
    return value


def _column(column: Field, stored: Callable[[str], str] = _same, *, live: bool = False) -> _Lookup:
    """``live``: the index is one of the records that exist for the directory."""
    model: Any = column.model

    def holding(directory: str, values: Sequence[str]) -> list[Any]:
        found = model.select(model.id).where(
            model.identity_provider == directory, column.in_([stored(value) for value in values])
        )
        return [found.where(model.deleted_at.is_null()) if live else found]

    return _Lookup(holding)


def _membership(owner: Field, other: Field) -> _Lookup:
    return _Lookup(lambda _, values: [GroupMember.select(owner).where(other.in_(values))])


_TABLES: Mapping[str, Mapping[Name, _Lookup]] = {
    "/Users": {
        ("id",): _column(DirectoryUser.id),
        ("userName",): _column(DirectoryUser.user_name_key, fold, live=True),
        ("externalId",): _column(DirectoryUser.external_id),
        ("emails", "value"): _Lookup(emails.holding, plain=False),
        ("groups", "value"): _membership(GroupMember.user, GroupMember.group),
    },
    "/Groups": {
        ("id",): _column(DirectoryGroup.id),
        ("displayName",): _column(DirectoryGroup.display_name_key, fold),
        ("externalId",): _column(DirectoryGroup.external_id),
        ("members", "value"): _membership(GroupMember.group, GroupMember.user),
    },
}
_MODELS: Mapping[str, Any] = {"/Users": DirectoryUser, "/Groups": DirectoryGroup}


def _is_plain(term: Filter, table: Mapping[Name, _Lookup]) -> bool:
    return isinstance(term, Compare) and _asked(term, table) is not None and table[term.path.keys].plain


def _asked(filter_: Filter, table: Mapping[Name, _Lookup], prefix: Name = ()) -> Asked | None:
    """What is looked up by name; None where records that hold none of it could match."""
    match filter_:
        case Compare(path, "eq", str() as value):
            name = (*prefix, *path.keys)
            return {name: [value]} if name in table else None
        case ValuePath(path, term):
            return _asked(term, table, (*prefix, *path.keys))
        case And(terms):
            order = list(table)
            found = [asked for term in terms if (asked := _asked(term, table, prefix))]
            return min(found, key=lambda asked: max(map(order.index, asked)), default=None)
        case Or(terms):
            merged: Asked = {}
            for term in terms:
                asked = _asked(term, table, prefix)
                if asked is None:
                    return None
                for name, values in asked.items():
                    merged.setdefault(name, []).extend(values)
            return merged
    return None
