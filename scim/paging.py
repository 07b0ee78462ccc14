"""Pages of a list, by index (RFC 7644 §3.4.2.4) or by cursor (RFC 9865), and the ListResponse.

What a cursor holds and how it is sealed is the server's; here it is a text that comes back as it went out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scim.errors import InvalidCount, InvalidCursor, InvalidValue, excerpt
from scim.schemas import DEFAULT_COUNT, LIST_URN, MAX_RESULTS

# Up to 18 digits: what every database can take as an offset.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")

# The unreserved characters of RFC 3986 §2.3.
_CURSOR = re.compile(r"[A-Za-z0-9._~-]*")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the matches is asked for; `start_index` counts from 1."""

    start_index: int = 1
    count: int = DEFAULT_COUNT

    @property
    def offset(self) -> int:
        """How many matches come before the page."""
        return self.start_index - 1


@dataclass(frozen=True, slots=True)
class CursorPage:
    """The page that a cursor leads to; an empty one leads to the first."""

    cursor: str = ""
    count: int = DEFAULT_COUNT


@dataclass(frozen=True, slots=True)
class Cursors:
    """Where to go on from a page: None where there are no more."""

    following: str | None = None
    preceding: str | None = None


def parse_page(args: Mapping[str, Any]) -> Page | CursorPage:
    """The page in a query or a SearchRequest: by cursor where there is one, be it empty, else by index.

    Raises InvalidValue for both at once, since either would be answered otherwise.
    """
    cursor = args.get("cursor")
    if cursor is None:
        return _by_index(args)
    if args.get("startIndex") not in (None, ""):
        raise InvalidValue("startIndex and cursor are two ways of paging; send one of them.")
    if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor):
        raise InvalidCursor(INVALID_CURSOR)
    return CursorPage(cursor, _count_of_cursor(args))


#: What every cursor is told that does not fit, whatever the reason (RFC 9865 §5.2).
INVALID_CURSOR = (
    "This cursor is not one of this query; send the query as for its first page, with nothing but the cursor changed, "
    "or begin again with an empty one."
)


def _by_index(args: Mapping[str, Any]) -> Page:
    """Values out of range become the nearest in range, as RFC 7644 wants; a count above the maximum is cut to it."""
    start_index = _integer("startIndex", args, default=1)
    count = _integer("count", args, default=DEFAULT_COUNT)
    return Page(max(1, start_index), min(max(0, count), MAX_RESULTS))


def _count_of_cursor(args: Mapping[str, Any]) -> int:
    """A negative one is 0, but one above the maximum is refused (RFC 9865 table 1 and table 3)."""
    try:
        count = _integer("count", args, default=DEFAULT_COUNT)
    except InvalidValue as error:
        raise InvalidCount(error.detail) from None
    if count > MAX_RESULTS:
        raise InvalidCount(f"count is at most {MAX_RESULTS} with a cursor, not {count}.")
    return max(0, count)


def list_response(resources: list[dict[str, Any]], *, total: int, page: Page | Cursors) -> dict[str, Any]:
    """A ListResponse: `total` counts all matches; `Resources` is there even if empty, numbers are numbers.

    A page by index says where it begins, one by cursor how to go on; `nextCursor` is not there on the last one.
    """
    response = {"schemas": [LIST_URN], "totalResults": total}
    if isinstance(page, Page):
        response["startIndex"] = page.start_index
    elif page.preceding:
        response["previousCursor"] = page.preceding
    if isinstance(page, Cursors) and page.following:
        response["nextCursor"] = page.following
    return {**response, "itemsPerPage": len(resources), "Resources": resources}


def _integer(name: str, args: Mapping[str, Any], *, default: int) -> int:
    value = args.get(name)
    if value is None or value == "":
        return default
    number = isinstance(value, int | str) and not isinstance(value, bool)
    if not number or not _INTEGER.fullmatch(str(value).strip()):
        raise InvalidValue(f"{name} must be an integer, not {excerpt(value)}.")
    return int(value)
