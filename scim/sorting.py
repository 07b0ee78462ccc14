"""Sorting (RFC 7644 §3.4.2.3): `sortBy` and `sortOrder`, resolved against the schema.

A `sortBy` that cannot be followed is refused, never answered in some other order: with invalidValue, since invalidPath
belongs to PATCH alone (RFC 7644 table 9).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scim.attributes import AttrPath
from scim.errors import InvalidValue, excerpt
from scim.filter import Names

_DESCENDING = {"ascending": False, "descending": True}

# Lists that are as long as the directory: what would be the first of them says nothing about the resource.
_UNORDERED = ("members", "groups")


@dataclass(frozen=True, slots=True)
class Sort:
    """In order of the values at `path`, which leads to a simple attribute; of a multi-valued one counts the primary
    value, else the first. Resources without the value come last, and first if `descending`: that is the reverse."""

    path: AttrPath
    descending: bool = False


def parse_sort(args: Mapping[str, Any], names: Names) -> Sort | None:
    """The order asked for in a query or a SearchRequest; None without `sortBy`. Raises InvalidValue."""
    descending = _descending(args.get("sortOrder"))
    name = args.get("sortBy")
    if name is None or name == "":
        return None
    if not isinstance(name, str):
        raise InvalidValue("sortBy must be the name of one attribute.")
    return Sort(_sortable(name, names), descending)


def _descending(order: Any) -> bool:
    if order is None or order == "":
        return False
    if not isinstance(order, str) or order.lower() not in _DESCENDING:
        raise InvalidValue(f"sortOrder must be ascending or descending, not {excerpt(order)}.")
    return _DESCENDING[order.lower()]


def _sortable(name: str, names: Names) -> AttrPath:
    path = names.resolve(name)
    if path is None:
        raise InvalidValue(f"sortBy: {excerpt(name)} is not an attribute of {names.name}.")
    if path.schema_urn is None and path.attribute.name in _UNORDERED:
        raise InvalidValue(f"sortBy: {path} cannot be sorted by; sort by an attribute of the resource itself.")
    if path.leaf.type == "complex":
        path = _value_of(path)
    if "never" in (path.attribute.returned, path.leaf.returned):
        raise InvalidValue(f"sortBy: {path} is never returned, so nothing can be sorted by it.")
    return path


def _value_of(path: AttrPath) -> AttrPath:
    """A complex attribute is sorted by its `value`, as a filter compares it; the RFC wants a sub-attribute named where
    there is none."""
    value = path.attribute.sub_attribute("value")
    if value is None or path.sub_attribute is not None:
        raise InvalidValue(f"sortBy: {path} is complex; name one of its sub-attributes.")
    return AttrPath(path.schema_urn, path.attribute, value)
