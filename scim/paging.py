"""Pages of a list by index (RFC 7644 §3.4.2.4) and the ListResponse."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scim.errors import InvalidValue, excerpt
from scim.schemas import LIST_URN, MAX_RESULTS

DEFAULT_COUNT = 100

# Up to 18 digits: what every database can take as an offset.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the matches is asked for; `start_index` counts from 1."""

    start_index: int = 1
    count: int = DEFAULT_COUNT

    @property
    def offset(self) -> int:
        """How many matches come before the page."""
        return self.start_index - 1


def parse_page(args: Mapping[str, Any]) -> Page:
    """The page in a query or a SearchRequest; values out of range become the nearest in range, as the RFC wants.

    A count above the maximum is cut to it instead of refused. Raises InvalidValue for what is no integer.
    """
    start_index = _integer("startIndex", args, default=1)
    count = _integer("count", args, default=DEFAULT_COUNT)
    return Page(max(1, start_index), min(max(0, count), MAX_RESULTS))


def list_response(resources: list[dict[str, Any]], *, total: int, page: Page) -> dict[str, Any]:
    """A ListResponse: `total` counts all matches; `Resources` is there even if empty, numbers are numbers."""
    return {
        "schemas": [LIST_URN],
        "totalResults": total,
        "startIndex": page.start_index,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }


def _integer(name: str, args: Mapping[str, Any], *, default: int) -> int:
    value = args.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not _INTEGER.fullmatch(str(value).strip()):
        raise InvalidValue(f"{name} must be an integer, not {excerpt(value)}.")
    return int(value)
