"""What a client searches for, among the records of one type or of several: a page of it by index, or by cursor.

Pages by cursor are found by key: each begins behind the last record of the one before, so that what is made or deleted
meanwhile moves nothing else, and a late page costs no more than an early one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.listing import Listing
from idp_bridge.provisioning.ordering import Position, order, plain
from scim.filter import Filter
from scim.paging import Page
from scim.sorting import Sort


@dataclass(frozen=True)
class Search:
    """The records that match, in an order; without one by type and id, so that the oldest come first."""

    directory: Directory
    listings: Sequence[Listing]
    filter: Filter | None = None
    sort: Sort | None = None

    def page(self, page: Page) -> tuple[list[Any], int]:
        """A page by index, and how many match in all. Raises InvalidFilter and InvalidValue."""
        return self._by_id(page) if self.sort is None else self._sorted(page)

    def step(self, count: int, start: Position | None = None) -> "Step":
        """The page beyond a position, or the first. Raises InvalidFilter and InvalidValue."""
        back = start is not None and start.back
        found = self._positions(start, count=count + 1) if count else []
        more, found = len(found) > count, found[:count]
        if back:
            if len(found) < count:  # the beginning is near, or has been deleted: the first page, and a whole one
                return self.step(count)
            found.reverse()
        return Step(
            self._rows(found),
            len(found) if start is None and count and not more else self._number(),
            following=found[-1] if found and (more or back) else None,
            preceding=replace(found[0], back=True) if found and (more if back else start is not None) else None,
        )

    def _by_id(self, page: Page) -> tuple[list[Any], int]:
        rows: list[Any] = []
        total = 0
        for listing in self.listings:
            rest = Page(max(1, page.start_index - total), page.count - len(rows))
            found, number = listing.find(self.directory, self.filter, rest)
            rows, total = rows + found, total + number
        return rows, total

    def _sorted(self, page: Page) -> tuple[list[Any], int]:
        """Of several types all positions up to the page's end are read: only together do they say where it begins."""
        skipped = page.offset if len(self.listings) == 1 else 0
        read = page.offset - skipped + page.count if page.count else 0
        found = self._positions(None, count=read, offset=skipped)[page.offset - skipped :][: page.count]
        known = len(found) < page.count and (found or not page.offset)
        return self._rows(found), page.offset + len(found) if known else self._number()

    def _positions(self, start: Position | None, *, count: int, offset: int = 0) -> list[Position]:
        found: list[Position] = []
        for listing in self.listings:
            way = order(self.sort, listing.of_type(self.directory.catalogue))
            way = way.reversed() if start is not None and start.back else way
            rows = listing.positions(self.directory, self.filter, way, start=start).limit(count).offset(offset)
            found += [Position(plain(key), id) for key, id in rows.tuples()]
        if len(self.listings) > 1:
            found.sort(key=lambda position: position.rank, reverse=way.descending)
        return found[:count]

    def _rows(self, positions: Sequence[Position]) -> list[Any]:
        """Their records; one that is deleted meanwhile is not there."""
        ids = [position.id for position in positions]
        rows = {id: row for listing in self.listings for id, row in listing.rows(self.directory, ids).items()}
        return [rows[id] for id in ids if id in rows]

    def _number(self) -> int:
        return sum(listing.number(self.directory, self.filter) for listing in self.listings)


@dataclass(frozen=True)
class Step:
    """A page by cursor, and how many match in all; where its neighbours begin, None where there is none."""

    rows: list[Any]
    total: int
    following: Position | None
    preceding: Position | None
