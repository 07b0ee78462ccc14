"""Users and Groups: create, read, change, delete, list and search (RFC 7644 §3).

Reads run without a transaction, writes in one that commits when the view returns; a body is parsed before it begins,
so that nobody waits for a lock while we read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, request
from werkzeug.exceptions import MethodNotAllowed

from idp_bridge import db, identity_conflicts
from idp_bridge.identity_conflicts import Disputed
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.cursors import Query
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.query import EveryType
from idp_bridge.provisioning.records import Kind, Written
from idp_bridge.provisioning.search import Search
from idp_bridge.provisioning.wire_text import list_text
from idp_bridge.web.scim.blueprint import route
from idp_bridge.web.scim.door import opened, repeated
from idp_bridge.web.scim.request_log import keep_change
from idp_bridge.web.scim.wire import body, text_answer
from scim import errors
from scim.filter import Filter, Names, parse_filter
from scim.meta import location, not_modified
from scim.paging import Cursors, Page, parse_page
from scim.projection import Projection, parse_projection
from scim.quirks import message_members
from scim.sorting import parse_sort

KINDS = {"Users": users.KIND, "Groups": groups.KIND}

RESOURCES, RESOURCE = "/<any(Users, Groups):kind>", "/<any(Users, Groups):kind>/<id>"


@route(RESOURCES, "GET")
@opened
def list_resources(directory: Directory, kind: str) -> Response:
    """A page of those that match (RFC 7644 §3.4.2)."""
    return _found(directory, [KINDS[kind]], request.args)


@route(f"{RESOURCES}/.search", "POST")
@opened
def search(directory: Directory, kind: str) -> Response:
    """The same by a body, for filters that do not belong into a log of addresses (RFC 7644 §3.4.3)."""
    return _found(directory, [KINDS[kind]], _search_request())


@route("/", "GET")
@opened
def list_all(directory: Directory) -> Response:
    """Over both types (RFC 7644 §3.4.2.1)."""
    return _found(directory, list(KINDS.values()), request.args)


@route("/.search", "POST")
@opened
def search_all(directory: Directory) -> Response:
    """Over both types, the users first unless a sort says otherwise (RFC 7644 §3.4.2.1)."""
    return _found(directory, list(KINDS.values()), _search_request())


@route(RESOURCES, "POST")
@opened
def create(directory: Directory, kind: str) -> Response:
    """A new one: 201, its Location and its whole form (RFC 7644 §3.3)."""
    return _written(directory, KINDS[kind], KINDS[kind].creation(directory, body()), status=201)


@route(RESOURCE, "GET")
@opened
def read(directory: Directory, kind: str, id: str) -> Response:
    """One, or 304 where the client has it already (RFC 7644 §3.4.1, §3.14)."""
    projection = parse_projection(request.args)
    shown = KINDS[kind].records.show(directory, id, projection)
    if not_modified(request.headers.get("If-None-Match"), shown.etag):
        return Response(status=304, headers={"ETag": shown.etag})
    return text_answer(shown.text, headers={"ETag": shown.etag})


@route(RESOURCE, "PUT")
@opened
def replace(directory: Directory, kind: str, id: str) -> Response:
    """It becomes what is sent (RFC 7644 §3.5.1)."""
    return _written(directory, KINDS[kind], KINDS[kind].replacement(directory, id, body(), _if_match()))


@route(RESOURCE, "PATCH")
@opened
def patch(directory: Directory, kind: str, id: str) -> Response:
    """A part of it changes (RFC 7644 §3.5.2).

    A group is answered with 204 unless attributes are asked for: its members may be many, and Entra ID asks that they
    not be returned.
    """
    return _written(
        directory,
        KINDS[kind],
        KINDS[kind].modification(directory, id, body(), _if_match()),
        silent=KINDS[kind] is groups.KIND,
    )


@route(RESOURCE, "DELETE")
@opened
def delete(directory: Directory, kind: str, id: str) -> Response:
    """It is gone (RFC 7644 §3.6)."""
    change = KINDS[kind].deletion(directory, id, _if_match())
    return repeated(directory, lambda: keep_change(Response(status=204), change()))


def _if_match() -> str | None:
    return request.headers.get("If-Match")


def _written(
    directory: Directory, kind: Kind, change: Callable[[], Written], *, status: int = 200, silent: bool = False
) -> Response:
    """Make the change, answer it and log it in one transaction; ``silent`` says nothing where nothing is asked for."""
    projection = parse_projection(request.args)

    def work() -> Response:
        written = change()
        row = written.row
        if silent and projection == Projection():
            response = Response(status=204, headers={"ETag": kind.records.version(row)})
        else:
            response = _one(directory, kind, row, projection.with_named(written.named), created=status == 201)
        return keep_change(response, written)

    try:
        return repeated(directory, work)
    except Disputed as refused:  # its own transaction is rolled back by now
        with db.transaction():
            identity_conflicts.note(directory.actor, directory.identity_provider, refused.case)
        raise


def _one(directory: Directory, kind: Kind, row: Any, projection: Projection, *, created: bool) -> Response:
    (shown,) = kind.records.shown(directory, [row], projection)
    headers = {"ETag": shown.etag}
    if created:
        headers["Location"] = location(kind.type(directory), row.id, base=directory.base_url)
    return text_answer(shown.text, 201 if created else 200, headers)


_SEARCH = ("attributes", "excludedAttributes", "filter", "sortBy", "sortOrder", "startIndex", "count", "cursor")


def _search_request() -> dict[str, Any]:
    asked = body()
    if not isinstance(asked, dict):
        raise errors.InvalidSyntax("The body must be a SearchRequest object.")
    return message_members(asked, *_SEARCH)


def _found(directory: Directory, kinds: Sequence[Kind], asked: Mapping[str, Any]) -> Response:
    """A page of those that match, by index or by cursor."""
    page, projection = parse_page(asked), parse_projection(asked)
    names: Names = kinds[0].type(directory) if len(kinds) == 1 else EveryType(directory.catalogue)
    listings = [kind.records.listing for kind in kinds]
    search = Search(directory, listings, _filter(asked, names), parse_sort(asked, names))
    if isinstance(page, Page):
        rows, total = search.page(page)
        return text_answer(list_text(_shown(directory, kinds, rows, projection), total=total, page=page))
    query = Query(search, projection, page.count)
    step = search.step(page.count, query.unseal(page.cursor) if page.cursor else None)
    cursors = Cursors(query.seal(step.following), query.seal(step.preceding))
    return text_answer(list_text(_shown(directory, kinds, step.rows, projection), total=step.total, page=cursors))


def _shown(directory: Directory, kinds: Sequence[Kind], rows: Sequence[Any], projection: Projection) -> list[str]:
    """The wire forms in the order of the rows, each kind's made at once."""
    made: dict[str, str] = {}
    for kind in kinds:
        own = [row for row in rows if isinstance(row, kind.records.model)]
        made |= {shown.id: shown.text for shown in kind.records.shown(directory, own, projection)}
    return [made[row.id] for row in rows]


def _filter(asked: Mapping[str, Any], names: Names) -> Filter | None:
    text = asked.get("filter")
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise errors.InvalidFilter("filter must be a string.")
    return parse_filter(text, names)


@route(f"{RESOURCES}/.search", "GET", "PUT", "PATCH", "DELETE")
@opened
def only_post(directory: Directory, kind: str) -> Response:
    """``.search`` would else be taken for an id."""
    raise MethodNotAllowed(valid_methods=["POST"])
