"""What may become of a value that is there (RFC 7643 §7 `mutability`, RFC 7644 §3.5.1 and §3.5.2).

`readOnly` is dropped where a body is read and refused where a PATCH names it (`resource`, `patch`). Here is what
depends on the value before: an immutable one stays as long as the resource, or the entry of a list, that holds it.
"""

from collections.abc import Mapping
from typing import Any

from scim.attributes import Attribute, AttrPath
from scim.errors import Mutability
from scim.resource import identity
from scim.schemas import ResourceType

Resource = dict[str, Any]


def replaced(resource_type: ResourceType, before: Resource, after: Resource) -> Resource:
    """What a PUT of `after` makes of `before`. Raises Mutability where an immutable value differs.

    Only what the client could have sent back is cleared by leaving it out (RFC 7644 §3.5.1): an immutable value stays,
    and so does one that is never returned.
    """
    for path in (*resource_type.immutable, *resource_type.hidden):
        if not _is_kept(path) or (value := _value(before, path.keys)) is None or _is_gone(path, after):
            continue
        sent = _value(after, path.keys)
        if sent is None:
            after = _with(after, path.keys, value)
        elif path.leaf.mutability == "immutable":
            _refuse_change(path, value, sent)
    return after


def check(resource_type: ResourceType, before: Resource, after: Resource) -> None:
    """A PATCH may give an immutable attribute a value, and never another one or none. Raises Mutability."""
    for path in resource_type.immutable:
        if not _in_list(path) and (value := _value(before, path.keys)) is not None and not _is_gone(path, after):
            _refuse_change(path, value, _value(after, path.keys))


def check_entry(attribute: Attribute, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """The same for an entry of a list that is edited; one that is replaced by another is another. Raises Mutability."""
    for sub in attribute.sub_attributes:
        if sub.mutability == "immutable" and sub.name in before and before[sub.name] != after.get(sub.name):
            raise Mutability(f"{attribute.name}.{sub.name} is immutable; remove this value and add another.")


def _is_kept(path: AttrPath) -> bool:
    unseen = path.leaf.returned == "never" or path.leaf.mutability == "writeOnly"
    return not _in_list(path) and (unseen or path.leaf.mutability == "immutable")


def _in_list(path: AttrPath) -> bool:
    return path.sub_attribute is not None and path.attribute.multi_valued


def _is_gone(path: AttrPath, after: Resource) -> bool:
    """Whether the complex attribute around a sub-attribute is gone as a whole, which is not its own change."""
    return path.sub_attribute is not None and _value(after, path.keys[:-1]) is None


def _refuse_change(path: AttrPath, before: Any, after: Any) -> None:
    if _comparable(path.leaf, before) != _comparable(path.leaf, after):
        raise Mutability(f"{path} is immutable: it keeps the value that it was given first.")


def _comparable(attribute: Attribute, value: Any) -> Any:
    """The values of a list have no order (RFC 7643 §2.4)."""
    if isinstance(value, list):
        return {repr(identity(attribute, entry)): entry for entry in value}
    return value


def _value(resource: Resource, keys: tuple[str, ...]) -> Any:
    value: Any = resource
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _with(resource: Resource, keys: tuple[str, ...], value: Any) -> Resource:
    key, *inner = keys
    return {**resource, key: _with(resource.get(key, {}), tuple(inner), value) if inner else value}
