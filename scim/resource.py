"""From a POST or PUT body to a canonical resource, and from a resource to its wire form.

A canonical resource is a dict with the schema's own spelling of every name, without `schemas`, `id` and `meta`, and
without anything unassigned; an extension lies in it under its URN. Values are stored as they were sent: providers
compare for equality, and Microsoft's validator puts random text into every field, so that nothing is checked beyond
its JSON type (no URI, phone, locale or base64 rules).
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from scim import quirks
from scim.attributes import Attribute
from scim.errors import InvalidSyntax, InvalidValue, excerpt
from scim.schemas import MAX_VALUES, MEMBERS, ResourceType

# C0 controls but tab and line ends: no name holds them, logs and terminals suffer from them, and PostgreSQL cannot
# store U+0000. Lone surrogates cannot be written as UTF-8 at all.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether the text holds no control character (but tab, CR, LF) and no lone surrogate."""
    return text.isprintable() or _FORBIDDEN.search(text) is None


def parse(resource_type: ResourceType, body: object, *, strict: bool = False) -> dict[str, Any]:
    """The canonical resource in a POST or PUT body (RFC 7644 §3.3, §3.5.1).

    Read-only attributes and `password` are dropped, unknown ones too unless `strict`. Raises InvalidSyntax for what
    is no object, InvalidValue with the attribute's name for a value that does not fit.
    """
    if not isinstance(body, dict):
        raise InvalidSyntax("The body must be a JSON object.")
    resource: dict[str, Any] = {}
    for key, value in quirks.members_of(body, urn=resource_type.schema.id):
        path = resource_type.resolve(key)
        if path is None or path.sub_attribute is not None:
            _refuse_unknown(key, strict=strict)
        elif not quirks.is_ignored_in_object(path.attribute):
            target = resource if path.schema_urn is None else resource.setdefault(path.schema_urn, {})
            _put(target, path.attribute, canonical(path.attribute, value, strict=strict))
    for urn in [extension.id for extension in resource_type.extensions]:
        if resource.get(urn) == {}:
            del resource[urn]
    require(resource_type, resource)
    return resource


def require(resource_type: ResourceType, resource: dict[str, Any]) -> None:
    """Every required attribute must have a value."""
    for attribute in resource_type.required:
        if attribute.name not in resource:
            raise InvalidValue(f"{attribute.name} is required.")


def render(resource_type: ResourceType, resource: dict[str, Any], *, id: str, meta: dict[str, Any]) -> dict[str, Any]:
    """The wire form of a canonical resource."""
    return {"schemas": render_schemas(resource_type, resource), "id": id, **resource, "meta": meta}


def render_schemas(resource_type: ResourceType, resource: dict[str, Any]) -> list[str]:
    """`schemas` follows from the content: an extension is named only where it is present (RFC 7643 §3)."""
    extensions = [extension.id for extension in resource_type.extensions if resource.get(extension.id)]
    return [resource_type.schema.id, *extensions]


def canonical(attribute: Attribute, value: object, *, strict: bool = False) -> Any:
    """The canonical form of a value of the attribute; None if it is unassigned. Raises InvalidValue."""
    if quirks.unassigned(value):
        return None
    if attribute.multi_valued:
        return canonical_list(attribute, value, strict=strict)
    return canonical_entry(attribute, value, strict=strict)


def canonical_list(attribute: Attribute, value: object, *, strict: bool = False) -> list[Any] | None:
    """The values of a multi-valued attribute, each once, `primary` true at most once (RFC 7643 §2.4)."""
    sent = quirks.as_list(value)
    check_number(attribute, sent)
    found = [canonical_entry(attribute, item, strict=strict) for item in sent]
    entries = merged(attribute, (entry for entry in found if entry is not None))
    if attribute.type == "complex" and sum(entry.get("primary") is True for entry in entries) > 1:
        raise InvalidValue(f"{attribute.name}: `primary` can be true for one value only.")
    return entries or None


def check_number(attribute: Attribute, entries: Sequence[Any]) -> None:
    """A list is compared value by value with each operation on it, so that it must stay short; members are not."""
    if len(entries) > MAX_VALUES and attribute is not MEMBERS:
        raise InvalidValue(f"{attribute.name} can have {MAX_VALUES} values, not {len(entries)}.")


def canonical_entry(attribute: Attribute, value: object, *, strict: bool = False) -> Any:
    """One value of the attribute, be it multi-valued or not; None if it is unassigned."""
    if attribute.type == "complex":
        return _complex(attribute, value, strict=strict)
    if quirks.unassigned(value):
        return None
    value = _SIMPLE[attribute.type](attribute, value)
    if attribute.required and isinstance(value, str) and not value.strip():
        raise InvalidValue(f"{attribute.name} must not be blank.")
    return value


def merged(attribute: Attribute, entries: Iterable[Any]) -> list[Any]:
    """The entries in order, no value twice; what comes later adds to what is there (RFC 7643 §2.4), and another case
    alone is nothing new (RFC 7644 §3.5.2.1)."""
    kept: dict[Any, Any] = {}
    for entry in entries:
        key = identity(attribute, entry)
        earlier = kept.setdefault(key, entry)
        if isinstance(entry, dict):
            kept[key] = {**earlier, **entry, **{name: earlier[name] for name, _ in key if name in earlier}}
    return list(kept.values())


def identity(attribute: Attribute, entry: Any) -> Any:
    """What makes an entry the same as another: a member's id, `type` and `value`, else all of it; without regard to
    case where that does not matter (RFC 7643 §2.2, §2.4)."""
    if not isinstance(entry, dict):
        return attribute.comparable(entry)
    names: Iterable[str] = sorted(entry)
    if "value" in entry:
        names = ("value",) if attribute is MEMBERS else ("type", "value")
    subs = ((name, attribute.sub_attribute(name)) for name in names)
    return tuple((name, sub.comparable(entry.get(name)) if sub else None) for name, sub in subs)


def parse_datetime(text: str) -> datetime | None:
    """An xsd:dateTime (RFC 7643 §2.3.5) in UTC, which it is where it has no offset. None if it is none."""
    if not _DATETIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text if _OFFSET.search(text) else f"{text}Z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?")
_OFFSET = re.compile(r"(Z|[+-][0-9]{2}:[0-9]{2})$")


def _put(target: dict[str, Any], attribute: Attribute, value: Any) -> None:
    if attribute.name in target:
        raise InvalidValue(f"{attribute.name} is given twice.")
    if value is not None:
        target[attribute.name] = value


def _refuse_unknown(name: str, *, strict: bool) -> None:
    if strict and not quirks.is_ignored(name):
        raise InvalidValue(f"{excerpt(name)} is not an attribute of this resource.")


def _complex(attribute: Attribute, value: object, *, strict: bool) -> dict[str, Any] | None:
    value = quirks.as_object(attribute, value)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise InvalidValue(f"{attribute.name}: {excerpt(value)} is not an object.")
    if quirks.is_empty_reference(attribute, value):
        return None
    entry: dict[str, Any] = {}
    for key, item in value.items():
        sub = attribute.sub_attribute(key)
        if sub is None:
            _refuse_unknown(key, strict=strict)
        elif not quirks.is_ignored_in_object(sub):
            _put(entry, sub, _nested(attribute, sub, item, strict=strict))
    _check_entry(attribute, entry)
    return entry or None


def _nested(attribute: Attribute, sub: Attribute, value: object, *, strict: bool) -> Any:
    try:
        return canonical(sub, value, strict=strict)
    except InvalidValue as error:
        raise InvalidValue(f"{attribute.name}.{error.detail}") from None


def _check_entry(attribute: Attribute, entry: dict[str, Any]) -> None:
    for sub in attribute.sub_attributes:
        if sub.required and sub.name not in entry:
            raise InvalidValue(f"{attribute.name}.{sub.name} is required.")
    if attribute is MEMBERS and _is_group(entry):
        raise nested_group(entry["value"])


def nested_group(id: str) -> InvalidValue:
    """The refusal of a group as a member."""
    words = "is a group, and groups within groups are not supported; add its users instead."
    return InvalidValue(f"members: {excerpt(id)} {words}")


def _is_group(member: dict[str, Any]) -> bool:
    return str(member.get("type")).lower() == "group" or "/Groups/" in member.get("$ref", "")


def _simple(expected: str, accept: Callable[[object], Any]) -> Callable[[Attribute, object], Any]:
    """A check of a simple value: `accept` answers the value to store, or None if it is of another type."""

    def check(attribute: Attribute, value: object) -> Any:
        accepted = accept(value)
        if accepted is None:
            raise InvalidValue(f"{attribute.name}: {excerpt(value)} is not {expected}.")
        return accepted

    return check


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and is_storable(value) else None


def _integer(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return cast(int, value) if whole and -_LARGEST <= cast(int, value) <= _LARGEST else None


def _decimal(value: object) -> int | float | None:
    return value if isinstance(value, float) and math.isfinite(value) else _integer(value)


def _datetime(value: object) -> str | None:
    return value if isinstance(value, str) and parse_datetime(value) else None


_LARGEST = 2**63 - 1  # what databases, and all clients but those of big numbers, can hold

_TEXT = _simple("a string without control characters", _string)
_SIMPLE: dict[str, Callable[[Attribute, object], Any]] = {
    "string": _TEXT,
    "reference": _TEXT,
    "binary": _TEXT,
    "boolean": _simple("true or false", quirks.boolean),
    "integer": _simple("an integer of at most 64 bits", _integer),
    "decimal": _simple("a number", _decimal),
    "dateTime": _simple("a date and time such as 2011-05-13T04:42:34Z", _datetime),
}
