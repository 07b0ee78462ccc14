"""Records of a directory, users and groups alike: how they are found, locked, listed and shown.

What identity providers ask all day, a record by its id or by one of its keys and a page of all, are statements written
once; everything else is compiled from the filter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from peewee import SQL, Field, fn

from idp_bridge import db
from idp_bridge.provisioning import query
from idp_bridge.provisioning.directory import Directory
from idp_bridge.statement import Statement, parameter
from scim.errors import NotFound
from scim.filter import Filter
from scim.meta import check_if_match, etag, meta_block
from scim.paging import Page
from scim.patch import parse_patch
from scim.projection import Projection, project, wants
from scim.resource import parse, render
from scim.schemas import Catalogue, ResourceType

Resource = dict[str, Any]


@dataclass(frozen=True)
class Records:
    """One type's records. ``of_type`` finds the type in a directory's catalogue; ``live`` says which rows exist for the
    directory; ``lists`` is the attribute that is rows of another table, and ``load`` reads it for many records by one
    statement."""

    of_type: Callable[[Catalogue], ResourceType]
    model: Any
    columns: Sequence[Field]
    live: Callable[[Any], Any]
    lists: str
    load: Callable[[Directory, Sequence[str]], dict[str, list[Resource]]]
    lists_at_first: bool = True  # whether a record just made can have any of them: a new user is in no group
    _page: Statement = field(init=False, repr=False)
    _rest: Statement = field(init=False, repr=False)
    _by_id: Statement = field(init=False, repr=False)
    _locked: Statement = field(init=False, repr=False)
    _by_key: dict[Field, Statement] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        def by_id() -> Any:
            return self._all(parameter("directory")).where(self.model.id == parameter("id"))

        def listed() -> Any:
            rows = self._all(parameter("directory")).order_by(self.model.id)
            return rows.limit(parameter("count")).offset(parameter("offset"))

        def rest() -> Any:
            return self.model.select(*number).where(self.live(parameter("directory")), self.model.id > parameter("id"))

        number = (fn.COUNT(SQL("*")),)
        object.__setattr__(self, "_page", Statement(self.columns, listed))
        object.__setattr__(self, "_rest", Statement(number, rest))
        object.__setattr__(self, "_by_id", Statement(self.columns, by_id))
        object.__setattr__(self, "_locked", Statement(self.columns, lambda: db.locked(by_id())))

    def get(self, directory: Directory, id: str) -> Any:
        """The record of this directory. Raises NotFound."""
        return self._found(directory, self._by_id, id)

    def locked(self, directory: Directory, id: str, if_match: str | None) -> Any:
        """The record, nobody else's to change until the transaction ends. Raises NotFound, and PreconditionFailed
        where it is no longer the one that the client read."""
        row = self._found(directory, self._locked, id)
        check_if_match(if_match, self.version(row))
        return row

    def find(self, directory: Directory, filter_: Filter | None, page: Page) -> tuple[list[Any], int]:
        """One page of the records that match, oldest first, and how many match in all. Raises InvalidFilter."""
        resource_type = self.of_type(directory.catalogue)
        key = query.key(filter_, resource_type) if filter_ else None
        if key is not None and not page.offset:
            found = self._with(*key, directory=directory, count=page.count)
            if len(found) < page.count:
                return found, len(found)
        if filter_ is None:
            asked = {"directory": directory.id, "count": page.count, "offset": page.offset}
            found = _single(self._page.instances(**asked)) if page.count else []
            return found, self._total(found, page, lambda id: self._rest.rows(directory=directory.id, id=id)[0][0])
        rows = self._all(directory.id).where(query.condition(filter_, resource_type))
        found = list(rows.order_by(self.model.id).limit(page.count).offset(page.offset)) if page.count else []
        return found, self._total(found, page, lambda id: rows.where(self.model.id > id).count())

    def render(
        self, directory: Directory, rows: Sequence[Any], projection: Projection, *, new: bool = False
    ) -> list[Resource]:
        """The wire forms; the list that is rows of another table is read only where it is wanted and may be."""
        read = rows and wants(projection, self.lists) and (self.lists_at_first or not new)
        loaded = self.load(directory, [row.id for row in rows]) if read else {}
        return [self._wire_form(directory, row, loaded.get(row.id), projection) for row in rows]

    def version(self, row: Any) -> str:
        """The record's ETag. Members are part of a group's version; a user's groups are not part of hers, since they
        change with the groups' own."""
        return etag(row.version)

    def _all(self, directory_id: Any) -> Any:
        return self.model.select(*self.columns).where(self.live(directory_id))

    def _found(self, directory: Directory, statement: Statement, id: str) -> Any:
        found = statement.first(directory=directory.id, id=id)
        if found is None:
            name = self.of_type(directory.catalogue).name
            raise NotFound(f"{name} {id} was not found in this directory.")
        return found[0]

    def _with(self, key: Field, value: str, *, directory: Directory, count: int) -> list[Any]:
        if key not in self._by_key:
            self._by_key[key] = Statement(
                self.columns,
                lambda: (
                    self._all(parameter("directory"))
                    .where(key == parameter("value"))
                    .order_by(self.model.id)
                    .limit(parameter("count"))
                ),
            )
        return _single(self._by_key[key].instances(directory=directory.id, value=value, count=count))

    @staticmethod
    def _total(found: Sequence[Any], page: Page, number_after: Callable[[str], int]) -> int:
        """Counted only where the page itself does not tell, and only what comes after it: to skip what comes before
        has cost as much as counting that, so that a deep page costs no more than the first."""
        if len(found) < page.count and (found or not page.offset):
            return page.offset + len(found)
        return page.offset + len(found) + number_after(found[-1].id) if found else number_after("")

    def _wire_form(
        self, directory: Directory, row: Any, listed: list[Resource] | None, projection: Projection
    ) -> Resource:
        resource_type = self.of_type(directory.catalogue)
        meta = meta_block(
            resource_type,
            row.id,
            created=row.created_at,
            last_modified=row.modified_at,
            version=row.version,
            base=directory.base_url,
        )
        resource = {**row.resource, self.lists: listed} if listed else row.resource
        return project(
            render(resource_type, resource, id=row.id, meta=meta),
            resource_type,
            attributes=projection.attributes,
            excluded=projection.excluded,
        )


def _single(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [row for (row,) in rows]


@dataclass(frozen=True)
class Written:
    """A record after a change, and the top-level attributes that differ: ``before`` is None for a new record, ``after``
    for one that is gone."""

    row: Any
    before: Resource | None
    after: Resource | None


@dataclass(frozen=True)
class Kind:
    """Users or Groups: the records, and the module whose functions change them; the functions have the same names.

    What a client sends is read at once, so that a bad body is refused before a transaction begins; what comes back is
    the change itself, to be made inside one.
    """

    records: Records
    store: ModuleType

    def type(self, directory: Directory) -> ResourceType:
        """The resource type, with the extensions that this directory's account has."""
        return self.records.of_type(directory.catalogue)

    def creation(self, directory: Directory, body: Any) -> Callable[[], Written]:
        """POST."""
        resource = parse(self.type(directory), body, strict=directory.strict)
        return lambda: self.store.create(directory, resource)

    def replacement(self, directory: Directory, id: str, body: Any, if_match: str | None) -> Callable[[], Written]:
        """PUT."""
        resource = parse(self.type(directory), body, strict=directory.strict)
        return lambda: self.store.replace(directory, id, resource, if_match=if_match)

    def modification(self, directory: Directory, id: str, body: Any, if_match: str | None) -> Callable[[], Written]:
        """PATCH."""
        operations = parse_patch(body, self.type(directory), strict=directory.strict)
        return lambda: self.store.patch(directory, id, operations, if_match=if_match)

    def deletion(self, directory: Directory, id: str, if_match: str | None) -> Callable[[], Written]:
        """DELETE."""
        return lambda: self.store.delete(directory, id, if_match=if_match)
