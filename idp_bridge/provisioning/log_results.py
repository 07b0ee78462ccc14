"""What came of a logged request, in a word, and what it changed, attribute by attribute. Pure: a row in, words out."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from idp_bridge.models import ScimRequest


class Result(StrEnum):
    """What came of a request; the value is what pages and exports say."""

    FAILED = "Failed"  # on our side
    REJECTED = "Rejected"
    READ = "Read"
    BULK = "Bulk"
    CREATED = "Created"
    DELETED = "Deleted"
    DEACTIVATED = "Deactivated"
    ACTIVATED = "Activated"
    UPDATED = "Updated"
    NO_CHANGE = "No change"


@dataclass(frozen=True)
class Difference:
    """One attribute, as it was and as it is: of several values those that went, and those that came."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What one operation changed. ``method`` and ``id`` only in a bulk request, where there are several."""

    differences: tuple[Difference, ...]
    method: str = ""
    id: str = ""


def result(row: ScimRequest) -> Result:
    """The first of the table that applies."""
    return next(word for word, applies in _RESULTS if applies(row))


def _became(row: ScimRequest, active: bool) -> bool:
    before, after = row.before or {}, row.after or {}
    return before.get("active") is not active and after.get("active") is active


_RESULTS: tuple[tuple[Result, Callable[[ScimRequest], bool]], ...] = (
    (Result.FAILED, lambda row: row.status >= 500),
    (Result.REJECTED, lambda row: row.cause is not None),
    (Result.READ, lambda row: row.before is None and row.after is None),
    (Result.BULK, lambda row: "Operations" in (row.after or {})),
    (Result.CREATED, lambda row: row.before is None),
    (Result.DELETED, lambda row: row.after is None),
    (Result.DEACTIVATED, lambda row: _became(row, False)),
    (Result.ACTIVATED, lambda row: _became(row, True)),
    (Result.NO_CHANGE, lambda row: not row.before and not row.after),
    (Result.UPDATED, lambda row: True),
)


def changes(row: ScimRequest) -> list[Change]:
    """What it changed, operation by operation; empty where it changed nothing."""
    if "Operations" in (row.after or {}):
        made = [
            Change(tuple(_differences(one["before"], one["after"])), str(one["method"]), str(one["id"]))
            for one in row.after["Operations"]
            if isinstance(one, dict)  # the last may only say how many more there were
        ]
    else:
        made = [Change(tuple(_differences(row.before, row.after)))]
    return [change for change in made if change.differences]


def _differences(before: Any, after: Any, within: str = "") -> Iterator[Difference]:
    was, now = before or {}, after or {}
    for name in dict.fromkeys([*was, *now]):
        extension = not within and name.startswith("urn:")
        yield from _of_attribute(f"{within}{name}", was.get(name), now.get(name), ":" if extension else ".")


def _of_attribute(name: str, was: Any, now: Any, separator: str) -> Iterator[Difference]:
    if isinstance(was, Mapping) or isinstance(now, Mapping):
        parts = was if isinstance(was, Mapping) else {}, now if isinstance(now, Mapping) else {}
        yield from _differences(*parts, within=f"{name}{separator}")
        return
    before, after = _texts(was), _texts(now)
    if isinstance(was, list) and isinstance(now, list) and before != after:
        before, after = _without(before, after), _without(after, before)
    if before != after or "(masked)" in before:
        yield Difference(name, before, after)


def _without(texts: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    there = set(others)
    return tuple(text for text in texts if text not in there)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
