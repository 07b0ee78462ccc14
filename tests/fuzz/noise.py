"""What nobody should send: text of any kind where a filter or a path is due, JSON bent out of shape where a body is.

The parsers may refuse it, and only by a ScimError; whatever they accept must be usable.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from scim.bulk import parse_bulk
from scim.errors import ScimError
from scim.filter import matches, parse_filter
from scim.paging import parse_page
from scim.patch import apply, parse_patch
from scim.path import parse_path
from scim.projection import parse_projection
from scim.resource import parse
from scim.schemas import GROUP_TYPE, ResourceType
from scim.sorting import parse_sort
from tests.fuzz import filters, patches, resources
from tests.fuzz.exploring import Disagreement

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
_LETTERS = (
    "\0",
    "\ud800",
    "\udfff",
    "\U0010ffff",
    "\x1f",
    "\u2028",
    "\\",
    '"',
    "'",
    "(",
    ")",
    "[",
    "]",
    ".",
    ":",
    " ",
    "\n",
)
_WORDS = (
    *_LETTERS,
    " eq ",
    " and ",
    " or ",
    "not",
    "not (",
    " pr",
    "emails",
    "members",
    "value",
    '"x"',
    "null",
    "true",
    "1e999",
    "-",
)


def _deep(depth: int) -> Any:
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"value": value}
    return value


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**400, -(2**63), 1e308, "", " ", "\0", "\ud800", "x" * 100_000),
    *([], {}, [[]], [None], [{}], {"": ""}, {"value": None}, {"value": []}, {"\0": "\0"}, _deep(40), _deep(5_000)),
)


def text(dice: Random) -> str:
    """Words and letters in no order, or a good filter or path that is no longer quite so."""
    if dice.random() < 0.3:
        return "".join(dice.choice(_WORDS) for _ in range(dice.choice((1, 5, 20, 3_000))))
    good = dice.choice((filters.filter_, lambda dice: patches.path(dice)[0]))(dice)
    for _ in range(dice.choice((0, 1, 1, 2))):
        at = dice.randint(0, len(good))
        good = good[:at] + dice.choice(("", "", *_WORDS)) + good[at + dice.randint(0, 2) :]
    return good * dice.choice((*[1] * 20, 50))


def body(dice: Random, good: Any) -> Any:
    """The JSON with some of its parts replaced."""
    for _ in range(dice.randint(1, 3)):
        good = _bent(dice, good)
    return good


def _bent(dice: Random, value: Any) -> Any:
    if not value or not isinstance(value, dict | list) or dice.random() < 0.2:
        return dice.choice(_VALUES)
    if isinstance(value, list):
        at = dice.randrange(len(value))
        return [*value[:at], _bent(dice, value[at]), *value[at + 1 :]]
    name = dice.choice(list(value))
    if dice.random() < 0.2:
        return {**value, dice.choice((*_LETTERS, name.upper(), f"{name}.{name}", f"{name}[", "members")): value[name]}
    return {**value, name: _bent(dice, value[name])}


def _read_filter(dice: Random, kind: ResourceType) -> None:
    found = parse_filter(text(dice), kind)
    assert matches(found, resources.user(dice)) in (True, False)


def _read_path(dice: Random, kind: ResourceType) -> None:
    assert parse_path(text(dice), kind).attribute


def _read_resource(dice: Random, kind: ResourceType) -> None:
    strict = dice.random() < 0.5
    found = parse(
        kind, body(dice, {**resources.user(dice), "displayName": "d", "members": [{"value": "a"}]}), strict=strict
    )
    assert parse(kind, found, strict=True) == found


def _read_patch(dice: Random, kind: ResourceType) -> None:
    operations = parse_patch(body(dice, {"Operations": patches.operations(dice)}), kind)
    before = parse(kind, {**resources.user(dice), "displayName": "d"})
    assert isinstance(apply(before, operations, kind)[0], dict)


def _read_query(dice: Random, kind: ResourceType) -> None:
    asked = body(
        dice, {"startIndex": 1, "count": "2", "sortBy": "emails", "sortOrder": "descending", "attributes": "id"}
    )
    args = asked if isinstance(asked, dict) else {}
    parse_page(args)
    parse_projection(args)
    parse_sort(args, kind)


def _read_bulk(dice: Random, _kind: ResourceType) -> None:
    user, patch = resources.user(dice), {"Operations": patches.operations(dice)}
    sent = [
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": user},
        {"method": "PATCH", "path": "/Groups/bulkId:a", "data": patch, "version": 'W/"1"'},
        {"method": "DELETE", "path": "/Users/1"},
    ]
    message = body(dice, {"schemas": [BULK_URN], "failOnErrors": 1, "Operations": sent})
    assert parse_bulk(message, resources.CATALOGUE, base="http://localhost/scim/v2")


READERS: tuple[Callable[[Random, ResourceType], None], ...] = (
    _read_filter,
    _read_path,
    _read_resource,
    _read_patch,
    _read_query,
    _read_bulk,
)


def survive(*, number: int, seed: int) -> None:
    """So many inputs for each parser. Raises Disagreement from whatever came out that is no ScimError."""
    for reader in READERS:
        for n in range(number):
            dice = Random(f"{seed}:{n}")
            try:
                reader(dice, dice.choice((resources.TYPE, GROUP_TYPE)))
            except ScimError:
                continue
            except Exception as error:
                raise Disagreement(f"{reader.__name__}, seed {seed}, input {n}: {error!r}") from error
