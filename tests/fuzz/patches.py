"""PATCH operations (RFC 7644 §3.5.2): as the RFC writes them, and as providers do where the oracle can follow."""

from random import Random
from typing import Any

from scim.attributes import Attribute, AttrPath, Schema
from scim.schemas import COMMON, USER
from tests.fuzz import filters, resources

Operation = dict[str, Any]


_HEADS = [
    *(AttrPath(None, attribute) for attribute in USER.attributes if attribute.mutability != "readOnly"),
    *(AttrPath(schema.id, attribute) for schema in resources.EXTENSIONS for attribute in schema.attributes),
    AttrPath(None, next(a for a in COMMON if a.name == "externalId")),
]
_NOT_OURS_TO_CHANGE = ("id", "meta", "meta.created", "groups", 'groups[value eq "a"]', "groups.value")


def operation(dice: Random) -> Operation:
    """One operation, now and then one that must be refused."""
    verb = dice.choice(("add", "replace", "replace", "remove"))
    if dice.random() < 0.03:
        return {"op": verb, "path": dice.choice(_NOT_OURS_TO_CHANGE), "value": "a"}
    if verb == "remove":
        return _spelled(dice, {"op": verb, "path": path(dice)[0]})
    if dice.random() < 0.2:
        return _spelled(dice, {"op": verb, "value": _without_path(dice)})
    target, value = path(dice)
    return _spelled(dice, {"op": verb, "path": target, "value": value})


def operations(dice: Random) -> list[Operation]:
    """A few, each to be done on what the one before left."""
    return [operation(dice) for _ in range(dice.choice((1, 1, 2, 3, 4)))]


def _spelled(dice: Random, op: Operation) -> Operation:
    """Entra ID writes `Add`, `Replace`, `Remove`."""
    return {**op, "op": op["op"].capitalize()} if dice.random() < 0.2 else op


def path(dice: Random) -> tuple[str, Any]:
    """A path and a value that fits it."""
    if dice.random() < 0.05:
        schema = dice.choice(resources.EXTENSIONS)
        return schema.id, _extension(dice, schema)
    head = dice.choice(_HEADS)
    attribute = head.attribute
    if attribute.type != "complex" or dice.random() < 0.3:
        return filters.name(dice, head), _given(dice, attribute)
    sub = dice.choice(attribute.sub_attributes)
    if not attribute.multi_valued or dice.random() < 0.1:
        target = AttrPath(head.schema_urn, attribute, sub)
        return filters.name(dice, target), _simple(dice, sub)
    selection = f"{filters.name(dice, head)}[{_selector(dice, attribute)}]"
    if dice.random() < 0.3:
        return selection, _entry(dice, attribute)
    return f"{selection}.{sub.name}", _simple(dice, sub)


def _selector(dice: Random, attribute: Attribute) -> str:
    """Mostly by type, as providers do."""
    if dice.random() < 0.5:
        return f'type eq "{dice.choice(("work", "home"))}"'
    return filters.value_filter(dice, attribute)


def _simple(dice: Random, attribute: Attribute) -> Any:
    """Never `""`, which unassigns with us and is a value to the oracle; tests/scim/test_patch.py tries it."""
    found = resources.simple(dice, attribute)
    return "x" if found == "" else found


def _entry(dice: Random, attribute: Attribute) -> Any:
    """Never empty: an object that says nothing is another thing that means nothing in particular."""
    if attribute.type != "complex":
        return _simple(dice, attribute)
    subs = dice.sample(attribute.sub_attributes, dice.randint(1, min(4, len(attribute.sub_attributes))))
    return {sub.name: _simple(dice, sub) for sub in subs}


def _given(dice: Random, attribute: Attribute) -> Any:
    """A value, all values, or one of them that is no list."""
    if not attribute.multi_valued:
        return _entry(dice, attribute)
    given = resources.several(attribute, [_entry(dice, attribute) for _ in range(dice.choice((0, 1, 1, 2, 3)))])
    return given[0] if len(given) == 1 and dice.random() < 0.5 else given


def _extension(dice: Random, schema: Schema) -> dict[str, Any]:
    some = dice.sample(schema.attributes, 2)
    return {attribute.name: _given(dice, attribute) for attribute in some}


def _without_path(dice: Random) -> dict[str, Any]:
    """An object of attributes; its keys may be paths, and it may hold a whole extension."""
    value: dict[str, Any] = {}
    for head in dice.sample(_HEADS, dice.randint(1, 3)):
        attribute = head.attribute
        if attribute.type == "complex" and not attribute.multi_valued and dice.random() < 0.5:
            sub = dice.choice(attribute.sub_attributes)
            value[str(AttrPath(head.schema_urn, attribute, sub))] = _simple(dice, sub)
        else:
            value[str(head)] = _given(dice, attribute)
    schema = dice.choice(resources.EXTENSIONS)
    if dice.random() < 0.3 and not any(name.startswith(schema.id) for name in value):  # nothing is said twice
        value[schema.id] = _extension(dice, schema)
    return value
