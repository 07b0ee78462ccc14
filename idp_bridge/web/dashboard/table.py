"""Tables of many rows: what their address asks for, a page at a time by key, and all of it as CSV.

A page is read in the order of an index, from where the one before ended, so that it costs the same however many rows
there are. Nothing is counted. What no index knows is asked of the next ``SCAN`` rows only: where few of them fit, the
page is short and leads on.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from typing import Any

from flask import Response, request, url_for
from peewee import Tuple

from idp_bridge import db, spreadsheets

PAGE = 50
EXPORT = 500  # rows of a CSV that are read at once
SCAN = 5_000
COUNTED = 1_000

Key = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A head. ``by``: texts of an index, by which the rows may be sorted; the last one tells any two rows apart."""

    name: str
    label: str
    by: tuple[Any, ...] = ()
    newest_first: bool = False
    hidden: bool = False  # the label is for who does not see the cells


@dataclass(frozen=True)
class Filter:
    """A field above the table. ``choices``: value -> words, the value "" for all; without any it is typed."""

    name: str
    label: str
    choices: Mapping[str, str] = field(default_factory=dict)
    type: str = "text"
    placeholder: str = ""


@dataclass(frozen=True)
class Table:
    """What a page with many rows offers. ``prefix`` parts the fields of the address of a second table on one page."""

    endpoint: str
    noun: str  # of one row
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...] = ()
    export: str | None = None
    hint: str = ""  # what its search finds
    prefix: str = ""

    @property
    def id(self) -> str:
        """Of the element that is replaced while somebody types."""
        return f"{self.prefix}list"

    def asked(self, **values: Any) -> "Asked":
        """What the address of this request asks for; ``values`` are those of its path. What it cannot ask for is not
        asked for."""
        wanted = {one.name: value for one in self.filters if (value := self._given(one))}
        sort = request.args.get(f"{self.prefix}sort", "")
        sortable = [column for column in self.columns if column.by]
        column = next((one for one in sortable if one.name == sort.removeprefix("-")), [*sortable, self.columns[0]][0])
        descending = sort.startswith("-") if column.name == sort.removeprefix("-") else column.newest_first
        after = _read_key(request.args.get(f"{self.prefix}after", ""))
        return Asked(self, values, wanted, column, descending, after)

    def _given(self, one: Filter) -> str:
        value = request.args.get(self.prefix + one.name, "").strip()
        return "" if "\0" in value or (one.choices and value not in one.choices) else value


@dataclass(frozen=True)
class Asked:
    """Which rows, in which order, from where on."""

    table: Table
    values: Mapping[str, Any]
    wanted: Mapping[str, str]
    column: Column
    descending: bool
    after: Key | None

    @property
    def sort(self) -> str:
        """The order as an address names it."""
        return f"-{self.column.name}" if self.descending else self.column.name

    def url(self, endpoint: str | None = None, **changes: Any) -> str:
        """The same page with other fields in its address; from the first row on, unless these say otherwise."""
        own = {f"{self.table.prefix}after": None, **{self.table.prefix + name: to for name, to in changes.items()}}
        return url_for(endpoint or self.table.endpoint, **{**request.args.to_dict(), **self.values, **own})

    def sorted_url(self, column: Column) -> str:
        """Sorted by this column; the other way round where it is already."""
        turned = not self.descending if column is self.column else column.newest_first
        return self.url(sort=f"-{column.name}" if turned else column.name)

    def aria_sort(self, column: Column) -> str | None:
        """What a head says of the order; None where the rows do not go by it."""
        if column is not self.column:
            return None
        return "descending" if self.descending else "ascending"


@dataclass(frozen=True)
class Step:
    """Some rows with their keys, and the key behind which it goes on; None = that was all."""

    entries: list[tuple[Key, Any]]
    following: Key | None

    @property
    def rows(self) -> list[Any]:
        """Without the keys."""
        return [row for _, row in self.entries]


Steps = Callable[[Key | None, int], Step]  # what comes behind a key, and how many of them at most


@dataclass(frozen=True)
class Listing:
    """A page as it is shown. ``by_match``: in the order of what was found, which no head changes."""

    asked: Asked
    rows: list[Any]
    following: Key | None
    by_match: bool = False

    @property
    def table(self) -> Table:
        """What it is a page of."""
        return self.asked.table

    @property
    def narrowed(self) -> bool:
        """Whether there may be others than these."""
        return bool(self.asked.wanted)

    @property
    def scan(self) -> int:
        """How many rows a page looks through."""
        return SCAN

    @property
    def next_url(self) -> str | None:
        """The page behind this one."""
        return None if self.following is None else self.asked.url(after=_written_key(self.following))

    @property
    def first_url(self) -> str | None:
        """The page that all begins with, where this is another."""
        return None if self.asked.after is None else self.asked.url()

    @property
    def export_url(self) -> str | None:
        """All that fits, as CSV."""
        return None if self.table.export is None else self.asked.url(self.table.export)


def whole(asked: Asked, rows: list[Any]) -> Listing:
    """All of the rows, where they are never many."""
    return Listing(asked, rows, None)


def page(asked: Asked, steps: Steps, *, by_match: bool = False) -> Listing:
    """The rows that the address asks for."""
    found = steps(asked.after, PAGE)
    return Listing(asked, found.rows, found.following, by_match)


# --- by key -----------------------------------------------------------------------------------------------------


def step(
    found: Any,
    by: Sequence[Any],
    *,
    after: Key | None,
    limit: int,
    descending: bool = False,
    within: tuple[str, str] | None = None,
    sparse: Sequence[Any] = (),
) -> Step:
    """The next rows of ``found`` in this order; ``within``: whose first key is from here to there. Of them, those for
    which the ``sparse`` conditions hold, which no index answers: they are asked of the next ``SCAN`` rows.

    Each end is one condition: of two an index would take either, and go through all that the other leaves out.
    """
    sparse = [db.unindexed(condition) for condition in sparse]  # an index of theirs knows nothing of the order
    order = [column.desc() if descending else column.asc() for column in by]
    ends: list[Key] = [(end,) for end in within] if within else []
    begin, end = (ends[::-1] if descending else ends) or (None, None)
    found = found.where(*_from(by, after if after and len(after) == len(by) else None, begin, descending))
    until = _scanned_to(found.where(*_to(by, end, descending)), by, order) if sparse else None
    rows = list(found.where(*sparse, *_to(by, until or end, descending)).order_by(*order).limit(limit + 1))
    entries = [(tuple(getattr(row, column.name) for column in by), row) for row in rows[:limit]]
    return Step(entries, entries[-1][0] if len(rows) > limit else until)


def _scanned_to(found: Any, by: Sequence[Any], order: Sequence[Any]) -> Key | None:
    """The key of the last row that is looked at; None where fewer are left."""
    last = found.select(*by).order_by(*order).offset(SCAN - 1).limit(1).tuples().first()
    return None if last is None else tuple(last)


def merged(parts: Sequence[Step], limit: int) -> Step:
    """What was found in several indexes as one: up to where each of them has been read."""
    ends = [part.following for part in parts if part.following is not None]
    until = min(ends, default=None)
    entries = [entry for part in parts for entry in part.entries if until is None or entry[0] <= until]
    entries.sort(key=lambda entry: entry[0])
    if len(entries) > limit:
        return Step(entries[:limit], entries[limit - 1][0])
    return Step(entries, until)


def counted(query: Any) -> str:
    """How many rows, in words; of many it says only that they are many."""
    number: int = query.limit(COUNTED + 1).count()
    return f"{number:,}" if number <= COUNTED else f"more than {COUNTED:,}"


def _from(by: Sequence[Any], after: Key | None, begin: Key | None, descending: bool) -> list[Any]:
    if after is not None:
        return [_compared(by, lt if descending else gt, after)]
    return [] if begin is None else [_compared(by[:1], le if descending else ge, begin)]


def _to(by: Sequence[Any], end: Key | None, descending: bool) -> list[Any]:
    return [] if end is None else [_compared(by[: len(end)], ge if descending else le, end)]


def _compared(by: Sequence[Any], compare: Callable[[Any, Any], Any], key: Key) -> Any:
    """The rows' keys against this one, in a form that an index answers."""
    return compare(by[0], key[0]) if len(by) == 1 else compare(Tuple(*by), Tuple(*key))


def _written_key(key: Key) -> str:
    return urlsafe_b64encode(json.dumps(key, ensure_ascii=False).encode()).decode().rstrip("=")


def _read_key(text: str) -> Key | None:
    """None for what is no key: whoever changed one by hand begins anew."""
    try:
        read = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return None
    sound = isinstance(read, list) and read and all(isinstance(part, str) and "\0" not in part for part in read)
    return tuple(read) if sound else None


# --- CSV --------------------------------------------------------------------------------------------------------


def download(
    name: str, head: Sequence[str], steps: Steps, cells: Callable[[list[Any]], Iterable[Sequence[Any]]]
) -> Response:
    """All rows as a CSV file (RFC 4180), written while it is read: each part over a connection of its own, so that
    neither their number nor a slow reader holds anything."""
    named = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(_lines(head, steps, cells), mimetype="text/csv", headers=named)


def _lines(head: Sequence[str], steps: Steps, cells: Callable[[list[Any]], Iterable[Sequence[Any]]]) -> Iterator[str]:
    yield spreadsheets.lines([head])
    after: Key | None = None
    while True:
        with db.connection():
            found = steps(after, EXPORT)
            text = spreadsheets.lines(cells(found.rows))
        yield text
        if found.following is None:
            return
        after = found.following
