"""Filters over the whole grammar of RFC 7644 §3.4.2.2, written as text: flat chains of `and` and `or` with brackets
here and there, so that precedence is put to the test, and names in any spelling."""

import json
from random import Random
from typing import Any

from scim.attributes import Attribute, AttrPath, paths_into
from scim.schemas import COMMON, GROUP, MEMBERS, USER, USER_URN
from tests.fuzz.resources import EXTENSIONS, simple

OPERATORS = {
    "string": ("eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"),
    "reference": ("eq", "ne", "co", "sw", "ew"),
    "binary": ("eq", "ne"),
    "boolean": ("eq", "ne"),
    "integer": ("eq", "ne", "gt", "ge", "lt", "le"),
    "decimal": ("eq", "ne", "gt", "ge", "lt", "le"),
    "dateTime": ("eq", "ne", "gt", "ge", "lt", "le"),
}

_META = next(a for a in COMMON if a.name == "meta")


_ELSEWHERE = ("meta", "schemas", "groups")

_TIMES = [AttrPath(None, _META, _META.sub_attribute(name)) for name in ("created", "lastModified", "resourceType")]

#: All that can be compared, but for what follows from the type alone (`schemas`) or is a matter of groups.
PATHS = [
    *(path for a in (*COMMON, *USER.attributes) if a.name not in _ELSEWHERE for path in paths_into(None, a)),
    *(path for schema in EXTENSIONS for path in schema.paths),
    *_TIMES,
]
_OF_GROUPS = [
    *(path for a in (*COMMON, *GROUP.attributes) if a.name not in _ELSEWHERE for path in paths_into(None, a)),
    *_TIMES,
]
_SEVERAL = [p for p in PATHS if p.attribute.multi_valued and p.sub_attribute is None and p.leaf.type == "complex"]


def filter_(dice: Random) -> str:
    """Up to about ten comparisons, nested three deep at most."""
    return _chain(dice, PATHS, _SEVERAL, depth=dice.choice((0, 0, 1, 2, 3)))


def group_filter(dice: Random) -> str:
    """The same over groups."""
    return _chain(dice, _OF_GROUPS, [AttrPath(None, MEMBERS)], depth=dice.choice((0, 0, 1, 2, 3)))


def value_filter(dice: Random, attribute: Attribute) -> str:
    """What may stand between the brackets behind the attribute."""
    return _chain(dice, [AttrPath(None, sub) for sub in attribute.sub_attributes], [], depth=dice.choice((0, 0, 0, 1)))


def _chain(dice: Random, paths: list[AttrPath], several: list[AttrPath], *, depth: int) -> str:
    """`term and term or not (term)`: with no more brackets than the grammar needs."""
    text = _term(dice, paths, several, depth=depth)
    for _ in range(dice.choice((0, 0, 1, 1, 2)) if depth else 0):
        text += dice.choice((" and ", " or ", " AND ", " Or ")) + _term(dice, paths, several, depth=depth)
    return text


def _term(dice: Random, paths: list[AttrPath], several: list[AttrPath], *, depth: int) -> str:
    if depth and dice.random() < 0.6:
        return dice.choice(("({})", "not ({})", "NOT({})")).format(_chain(dice, paths, several, depth=depth - 1))
    if several and dice.random() < 0.25:
        return _selection(dice, dice.choice(several))
    return comparison(dice, dice.choice(paths))


def _selection(dice: Random, path: AttrPath) -> str:
    """`emails[type eq "work"]`, and Entra ID's `emails[type eq "work"].value eq "x"`."""
    text = f"{name(dice, path)}[{value_filter(dice, path.attribute)}]"
    if dice.random() < 0.3:
        text += "." + comparison(dice, AttrPath(None, dice.choice(path.attribute.sub_attributes)))
    return text


def comparison(dice: Random, path: AttrPath) -> str:
    """One attribute, compared or present."""
    attribute = compared(path)
    if attribute.type == "complex" or dice.random() < 0.15:
        return f"{name(dice, path)} pr"
    if dice.random() < 0.1:  # null can be equal or not, and nothing else
        return f"{name(dice, path)} {dice.choice(('eq', 'ne'))} null"
    return f"{name(dice, path)} {dice.choice(OPERATORS[attribute.type])} {literal(dice, simple(dice, attribute))}"


def compared(path: AttrPath) -> Attribute:
    """What a comparison of the path compares: the `value` of a complex attribute."""
    return path.leaf.sub_attribute("value") or path.leaf


def literal(dice: Random, value: Any) -> str:
    """JSON, its non-ASCII letters as they are or escaped; Entra ID's booleans are strings."""
    if isinstance(value, bool) and dice.random() < 0.3:
        return f'"{value}"'
    return json.dumps(value, ensure_ascii=dice.random() < 0.2)


def name(dice: Random, path: AttrPath) -> str:
    """The path in one of its spellings: any case (RFC 7643 §2.1), with the URN of its schema or without."""
    text = str(path)
    if path.schema_urn is None and path.attribute in USER.attributes and dice.random() < 0.1:
        text = f"{USER_URN}:{text}"
    return dice.choice((text, text, text, text.lower(), text.upper()))
