"""Users and Groups: create, read, change, delete, list and search (RFC 7644 §3).

Reads run without a transaction, writes in one that commits when the view returns; a body is parsed before it begins,
so that nobody waits for a lock while we read.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request
from werkzeug.exceptions import MethodNotAllowed

from idp_bridge import db
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.query import EveryType
from idp_bridge.provisioning.records import Kind, Written
from idp_bridge.web.scim.blueprint import route
from idp_bridge.web.scim.door import opened
from idp_bridge.web.scim.wire import answer, body
from scim import errors
from scim.filter import Filter, Names, parse_filter
from scim.meta import location, not_modified
from scim.paging import Page, list_response, parse_page
from scim.projection import Projection, parse_projection

KINDS = {"Users": users.KIND, "Groups": groups.KIND}

RESOURCES, RESOURCE = "/<any(Users, Groups):kind>", "/<any(Users, Groups):kind>/<id>"


@route(RESOURCES, "GET")
@opened
def list_resources(directory: Directory, kind: str) -> Response:
    """A page of those that match (RFC 7644 §3.4.2)."""
    return _found(directory, KINDS[kind], request.args)


@route(f"{RESOURCES}/.search", "POST")
@opened
def search(directory: Directory, kind: str) -> Response:
    """The same by a body, for filters that do not belong into a log of addresses (RFC 7644 §3.4.3)."""
    return _found(directory, KINDS[kind], _search_request())


@route("/.search", "POST")
@opened
def search_all(directory: Directory) -> Response:
    """Over both types, the users first (RFC 7644 §3.4.2.1)."""
    asked = _search_request()
    page, projection = parse_page(asked), parse_projection(asked)
    filter_ = _filter(asked, EveryType(directory.catalogue))
    found, total = users.KIND.records.find(directory, filter_, page)
    rest = Page(max(1, page.start_index - total), page.count - len(found))
    more, others = groups.KIND.records.find(directory, filter_, rest)
    resources = [
        *users.KIND.records.render(directory, found, projection),
        *groups.KIND.records.render(directory, more, projection),
    ]
    return answer(list_response(resources, total=total + others, page=page))


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
    row = KINDS[kind].records.get(directory, id)
    version = KINDS[kind].records.version(row)
    if not_modified(request.headers.get("If-None-Match"), version):
        return Response(status=304, headers={"ETag": version})
    return _one(directory, KINDS[kind], row, projection)


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
    with db.transaction():
        KINDS[kind].deletion(directory, id, _if_match())()
        return Response(status=204)


def _if_match() -> str | None:
    return request.headers.get("If-Match")


def _written(
    directory: Directory, kind: Kind, change: Callable[[], Written], *, status: int = 200, silent: bool = False
) -> Response:
    """Make the change and answer it in one transaction; ``silent`` says nothing where nothing is asked for."""
    projection = parse_projection(request.args)
    with db.transaction():
        row = change().row
        if silent and projection == Projection():
            return Response(status=204, headers={"ETag": kind.records.version(row)})
        return _one(directory, kind, row, projection, status=status)


def _one(directory: Directory, kind: Kind, row: Any, projection: Projection, *, status: int = 200) -> Response:
    (resource,) = kind.records.render(directory, [row], projection, new=status == 201)
    headers = {"ETag": kind.records.version(row)}
    if status == 201:
        headers["Location"] = location(kind.type(directory), row.id, base=directory.base_url)
    return answer(resource, status, headers)


def _search_request() -> dict[str, Any]:
    asked = body()
    if not isinstance(asked, dict):
        raise errors.InvalidSyntax("The body must be a SearchRequest object.")
    return asked


def _found(directory: Directory, kind: Kind, asked: Mapping[str, Any]) -> Response:
    page, projection = parse_page(asked), parse_projection(asked)
    rows, total = kind.records.find(directory, _filter(asked, kind.type(directory)), page)
    return answer(list_response(kind.records.render(directory, rows, projection), total=total, page=page))


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
