"""Lists of a directory's records, users and groups alike: which of them match, in which order, a page at a time.

What identity providers ask all day, the records of a key and a page of all, are statements written once; everything
else is compiled from the filter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from peewee import SQL, Field, fn

from idp_bridge import db
from idp_bridge.provisioning import lookup, query
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.ordering import Order, Position
from idp_bridge.spans import Place
from idp_bridge.statement import Statement, among, parameter
from scim.filter import Filter
from scim.paging import Page
from scim.schemas import Catalogue, ResourceType


@dataclass(frozen=True)
class Listing:
    """The lists of one type's records, whose fields Records explains. ``place`` finds where a page of all begins and
    how many there are; without it they are counted. ``along`` selects what is read with a record that is looked up by a
    key, and becomes its ``listed``."""

    of_type: Callable[[Catalogue], ResourceType]
    model: Any
    columns: Sequence[Field]
    live: Callable[[Any], Any]
    place: Callable[[str, int], Place] | None = None
    along: Callable[[], Any] | None = None
    _page: Statement = field(init=False, repr=False)
    _rest: Statement = field(init=False, repr=False)
    _with_ids: Statement = field(init=False, repr=False)
    _by_key: dict[Field, Statement] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        def listed() -> Any:
            rows = self._all(parameter("directory")).where(self.model.id >= parameter("first_id"))
            return rows.order_by(self.model.id).limit(parameter("count")).offset(parameter("skip"))

        def with_ids() -> Any:
            return self._all(parameter("directory")).where(among(self.model.id, "ids"))

        def rest() -> Any:
            return self.model.select(*number).where(self.live(parameter("directory")), self.model.id > parameter("id"))

        number = (fn.COUNT(SQL("*")),)
        object.__setattr__(self, "_page", Statement(self.columns, listed))
        object.__setattr__(self, "_rest", Statement(number, rest))
        object.__setattr__(self, "_with_ids", Statement(self.columns, with_ids))

    def find(self, directory: Directory, filter_: Filter | None, page: Page) -> tuple[list[Any], int]:
        """One page of the records that match, oldest first, and how many match in all. Raises InvalidFilter."""
        if filter_ is None:
            return self._whole(directory, page)
        resource_type = self.of_type(directory.catalogue)
        key = query.key(filter_, resource_type)
        if key is not None and not page.offset:
            found = self._with(*key, directory=directory, count=page.count)
            if len(found) < page.count:
                return found, len(found)
        rows = self._matching(directory, filter_)
        found = list(rows.order_by(self.model.id).limit(page.count).offset(page.offset)) if page.count else []
        return found, _total(found, page, lambda id: rows.where(self.model.id > id).count())

    def number(self, directory: Directory, filter_: Filter | None) -> int:
        """How many match in all. Raises InvalidFilter."""
        if filter_ is None and self.place is not None:
            return self.place(directory.id, 0).total
        return self._matching(directory, filter_).count() if filter_ else self._number_after(directory, "")

    def positions(
        self, directory: Directory, filter_: Filter | None, order: Order, *, start: Position | None = None
    ) -> Any:
        """A query of (key, id): where those that match stand in the order, beyond a position. Raises InvalidFilter."""
        rows = self._matching(directory, filter_).select(order.key, self.model.id).order_by(*order.terms())
        return rows if start is None else rows.where(order.beyond(start))

    def rows(self, directory: Directory, ids: Sequence[str]) -> dict[str, Any]:
        """The records with these ids, by id."""
        found = _single(self._with_ids.instances(directory=directory.id, ids=ids)) if ids else []
        return {row.id: row for row in found}

    def _matching(self, directory: Directory, filter_: Filter | None) -> Any:
        rows = self._all(directory.id)
        if filter_ is None:
            return rows
        resource_type = self.of_type(directory.catalogue)
        narrowed = lookup.narrowed(directory.id, filter_, resource_type)
        return rows.where(narrowed, query.condition(filter_, resource_type))

    def _whole(self, directory: Directory, page: Page) -> tuple[list[Any], int]:
        """A page of all the records, and how many there are."""
        if self.place is None:
            found = self._from(directory, "", page.offset, page.count)
            return found, _total(found, page, lambda id: self._number_after(directory, id))
        place = self.place(directory.id, page.offset)
        count = page.count if page.offset < place.total else 0
        return self._from(directory, place.first_id, place.skip, count), place.total

    def _from(self, directory: Directory, first_id: str, skip: int, count: int) -> list[Any]:
        """That many records from an id on, after some to skip."""
        asked = {"directory": directory.id, "first_id": first_id, "skip": skip, "count": count}
        return _single(self._page.instances(**asked)) if count else []

    def _number_after(self, directory: Directory, id: str) -> int:
        """How many of all the records come after an id; after the empty one, how many there are."""
        number: int = self._rest.rows(directory=directory.id, id=id)[0][0]
        return number

    def _all(self, directory_id: Any) -> Any:
        return self.model.select(*self.columns).where(self.live(directory_id))

    def _with(self, key: Field, value: str, *, directory: Directory, count: int) -> list[Any]:
        if key not in self._by_key:
            columns = self.columns if self.along is None else (*self.columns, SQL(""))
            self._by_key[key] = Statement(columns, lambda: self._keyed(key))
        asked = {"directory": directory.id, "value": value, "count": count, "groups": directory.groups_url}
        rows = []
        for row, *along in self._by_key[key].instances(**asked):
            if along:
                (row.listed,) = along
            rows.append(row)
        return rows

    def _keyed(self, key: Field) -> Any:
        """Every key but externalId is unique: its records are sorted and cut, for which PostgreSQL must not take an
        index of all the living."""
        along = [] if self.along is None else [self.along()]
        directory, rows = parameter("directory"), self.model.select(*self.columns, *along)
        if key.name != "external_id":
            return rows.where(self.live(directory), key == parameter("value"))
        mine = (self.model.identity_provider == directory) & (key == parameter("value"))
        alive = db.unindexed(self.live(directory))
        return rows.where(mine, alive).order_by(self.model.id).limit(parameter("count"))


def _total(found: Sequence[Any], page: Page, number_after: Callable[[str], int]) -> int:
    """Counted only where the page itself does not tell, and only what comes after it: to skip what comes before
    has cost as much as counting that, so that a deep page costs no more than the first."""
    if len(found) < page.count and (found or not page.offset):
        return page.offset + len(found)
    return page.offset + len(found) + number_after(found[-1].id) if found else number_after("")


def _single(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [row for (row,) in rows]
