"""Records of a directory, users and groups alike: how one is found by its id, locked and shown, and how it is changed.
Lists of them are listing.py's."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import ModuleType
from typing import Any

from peewee import SQL, Field

from idp_bridge import db
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.listing import Listing
from idp_bridge.provisioning.wire_text import meta_text, splicing
from idp_bridge.spans import Place
from idp_bridge.statement import Statement, among, parameter
from scim.errors import NotFound
from scim.filter import Filter
from scim.meta import check_if_match, etag, meta_block
from scim.paging import Page
from scim.patch import parse_patch
from scim.projection import Projection, is_whole, named_by, named_in, project, wants
from scim.resource import is_storable, parse, render
from scim.schemas import Catalogue, ResourceType

Resource = dict[str, Any]


@dataclass(frozen=True)
class Records:
    """One type's records. ``of_type`` finds the type in a directory's catalogue; ``live`` says which rows exist for the
    directory; ``lists`` is the attribute that is rows of another table, and ``listed`` selects it as the text of a JSON
    array, for references that begin with ``parameter("groups")``.

    ``versioned`` says whether that list is part of the record's version: a group's members are, a user's groups change
    with the groups.
    """

    of_type: Callable[[Catalogue], ResourceType]
    model: Any
    columns: Sequence[Field]
    live: Callable[[Any], Any]
    lists: str
    listed: Callable[[], Any]
    versioned: bool
    place: Callable[[str, int], Place] | None = None  # where a page of all begins, for what may be many
    listing: Listing = field(init=False, repr=False)
    _by_id: Statement = field(init=False, repr=False)
    _locked: Statement = field(init=False, repr=False)
    _locked_with_list: Statement = field(init=False, repr=False)
    _with_list: Statement = field(init=False, repr=False)
    _lists: Statement = field(init=False, repr=False)

    def __post_init__(self) -> None:
        def by_id(*more: Any) -> Any:
            rows = self.model.select(*self.columns, *more)
            return rows.where(self.model.identity_provider == parameter("directory"), self.model.id == parameter("id"))

        def with_list() -> Any:
            return by_id(self.listed())

        def lists() -> Any:
            return self.model.select(self.model.id, self.listed()).where(among(self.model.id, "ids"))

        along = None if self.versioned else self.listed
        listing = Listing(self.of_type, self.model, self.columns, self.live, self.place, along)
        object.__setattr__(self, "listing", listing)
        object.__setattr__(self, "_by_id", Statement(self.columns, by_id))
        object.__setattr__(self, "_locked", Statement(self.columns, lambda: db.locked(by_id())))
        object.__setattr__(
            self, "_locked_with_list", Statement((*self.columns, SQL("")), lambda: db.locked(with_list()))
        )
        object.__setattr__(self, "_with_list", Statement((*self.columns, SQL("")), with_list))
        object.__setattr__(self, "_lists", Statement((self.model.id, SQL("")), lists))

    def get(self, directory: Directory, id: str) -> Any:
        """The record of this directory. Raises NotFound."""
        return self._found(directory, self._by_id, id=id)[0]

    def show(self, directory: Directory, id: str, projection: Projection) -> "Shown":
        """The wire form of the record, by one statement. Raises NotFound."""
        if not wants(projection, self.lists, self.of_type(directory.catalogue)):
            return self.shown(directory, [self.get(directory, id)], projection)[0]
        row, row.listed = self._found(directory, self._with_list, id=id, groups=directory.groups_url)
        return self.shown(directory, [row], projection)[0]

    def locked(self, directory: Directory, id: str, if_match: str | None) -> Any:
        """The record, nobody else's to change until the transaction ends. Raises NotFound, and PreconditionFailed
        where it is no longer the one that the client read."""
        if self.versioned:
            (row,) = self._found(directory, self._locked, id=id)
        else:  # the list is short, will be answered, and is not what changes
            row, row.listed = self._found(directory, self._locked_with_list, id=id, groups=directory.groups_url)
        check_if_match(if_match, self.version(row))
        return row

    def find(self, directory: Directory, filter_: Filter | None, page: Page) -> tuple[list[Any], int]:
        """One page of the records that match, and how many match in all. Raises InvalidFilter."""
        return self.listing.find(directory, filter_, page)

    def shown(self, directory: Directory, rows: Sequence[Any], projection: Projection) -> list["Shown"]:
        """The wire forms; the list that is rows of another table is read by one statement, where it is wanted and has
        not come with the row as ``listed``."""
        wanted = wants(projection, self.lists, self.of_type(directory.catalogue))
        unread = [row.id for row in rows if not hasattr(row, "listed")] if wanted else []
        listed = dict(self._lists.rows(ids=unread, groups=directory.groups_url)) if unread else {}
        show = self._showing(directory, projection)
        return [show(row, _present(getattr(row, "listed", listed.get(row.id))) if wanted else None) for row in rows]

    def version(self, row: Any) -> str:
        """The record's own ETag, which a client may name in If-Match."""
        return etag(row.version)

    def _all(self, directory_id: Any) -> Any:
        return self.model.select(*self.columns).where(self.live(directory_id))

    def _found(self, directory: Directory, statement: Statement, *, id: str, **values: Any) -> tuple[Any, ...]:
        """A deleted one is told by its row and not by the statement: PostgreSQL, until it has statistics, takes an
        index of the living for tiny, and would rather read all of a directory by that than one row by its key."""
        found = statement.first(directory=directory.id, id=id, **values) if is_storable(id) else None
        if found is None or getattr(found[0], "deleted_at", None) is not None:
            name = self.of_type(directory.catalogue).name
            raise NotFound(f"{name} {id} was not found in this directory.")
        return found

    def _showing(self, directory: Directory, projection: Projection) -> Callable[[Any, str | None], "Shown"]:
        """How a row and its list are shown: the text that is stored where all of it is, else made of its parts."""
        resource_type = self.of_type(directory.catalogue)
        whole = is_whole(projection, resource_type, but=self.lists)
        splice, meta = splicing(resource_type, self.lists), meta_text(resource_type, directory.base_url)

        def show(row: Any, listed: str | None) -> Shown:
            beside = "" if self.versioned or listed is None else _digest(listed)
            tag = etag(row.version, beside)
            if not whole:
                resource = self._projected(directory, row, listed, projection, beside)
                return Shown(row.id, tag, db.encode(resource))
            created, modified = db.stored(row, "created_at"), db.stored(row, "modified_at")
            stored = db.stored(row, "resource")
            text = stored if isinstance(stored, str) else db.encode(stored)
            return Shown(row.id, tag, splice(row.id, text, meta(row.id, created, modified, tag), listed))

        return show

    def _projected(
        self, directory: Directory, row: Any, listed: str | None, projection: Projection, beside: str
    ) -> Resource:
        resource_type = self.of_type(directory.catalogue)
        meta = meta_block(
            resource_type,
            row.id,
            created=row.created_at,
            last_modified=row.modified_at,
            version=row.version,
            beside=beside,
            base=directory.base_url,
        )
        resource = {**row.resource, self.lists: json.loads(listed)} if listed else row.resource
        return project(
            render(resource_type, resource, id=row.id, meta=meta),
            resource_type,
            attributes=projection.attributes,
            excluded=projection.excluded,
            named=projection.named,
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as it is answered: ``text`` is JSON, and ``etag`` its tag, which ``meta.version`` repeats."""

    id: str
    etag: str
    text: str


def _present(listed: str | None) -> str | None:
    """An empty list is none, as RFC 7643 §2.5 has it."""
    return None if listed == "[]" else listed


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=5).hexdigest()


@dataclass(frozen=True)
class Written:
    """A record after a change, and the top-level attributes that differ: ``before`` is None for a new record, ``after``
    for one that is gone. ``named`` are attributes that are shown because the client named them."""

    row: Any
    before: Resource | None
    after: Resource | None
    named: tuple[str, ...] = ()


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
        named = named_in(resource, self.type(directory))
        return _change(directory, named, lambda: self.store.create(directory, resource))

    def replacement(self, directory: Directory, id: str, body: Any, if_match: str | None) -> Callable[[], Written]:
        """PUT."""
        resource = parse(self.type(directory), body, strict=directory.strict)
        named = named_in(resource, self.type(directory))
        return _change(directory, named, lambda: self.store.replace(directory, id, resource, if_match=if_match))

    def modification(self, directory: Directory, id: str, body: Any, if_match: str | None) -> Callable[[], Written]:
        """PATCH."""
        operations = parse_patch(body, self.type(directory), strict=directory.strict)
        named = named_by([operation.path for operation in operations], self.type(directory))
        return _change(directory, named, lambda: self.store.patch(directory, id, operations, if_match=if_match))

    def deletion(self, directory: Directory, id: str, if_match: str | None) -> Callable[[], Written]:
        """DELETE."""
        return lambda: self.store.delete(directory, id, if_match=if_match)


def _change(directory: Directory, named: tuple[str, ...], make: Callable[[], Written]) -> Callable[[], Written]:
    """The change, while the schema that it was read by holds."""

    def made() -> Written:
        directory.hold_catalogue()
        return replace(make(), named=named)

    return made
