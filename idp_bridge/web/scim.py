"""SCIM at /scim/v2: HTTP in front of ``provisioning``. What a request says is read here, once; what it means is there.

A bearer token opens one directory. It is checked before anything of the request is parsed. Reads run without a
transaction, writes in one that commits when the view returns; a body is parsed before it begins, so that nobody waits
for a lock while we read. Every error is answered by web/errors.py.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from types import ModuleType
from typing import Any, NoReturn, cast

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import MethodNotAllowed

from idp_bridge import clock, db, plans, tokens
from idp_bridge.models import Account, IdentityProvider, ScimToken
from idp_bridge.plans import Feature
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.query import EVERY_TYPE
from idp_bridge.provisioning.records import Records
from idp_bridge.statement import Statement, parameter
from idp_bridge.web import guard
from idp_bridge.web.headers import scim_media_type
from scim import errors, schemas
from scim.filter import Filter, parse_filter
from scim.meta import location, not_modified
from scim.paging import Page, list_response, parse_page
from scim.patch import parse_patch
from scim.projection import Projection, parse_projection
from scim.resource import parse
from scim.schemas import GROUP_TYPE, MAX_PAYLOAD_BYTES, USER_TYPE, ResourceType

PREFIX = "/scim/v2"
MEDIA_TYPE = "application/scim+json"
USED_STEP = timedelta(minutes=1)  # how exactly the last use of a token is kept: a write a minute, not one a request

View = Callable[..., Response]

blueprint = Blueprint("scim", __name__, url_prefix=PREFIX)


def register(app: Flask) -> None:
    """Mount /scim/v2."""
    app.register_blueprint(blueprint)


@dataclass(frozen=True)
class _Kind:
    """A resource type, its records, and the module that changes them; the modules' functions have the same names."""

    type: ResourceType
    records: Records
    store: ModuleType


KINDS = {"Users": _Kind(USER_TYPE, users.RECORDS, users), "Groups": _Kind(GROUP_TYPE, groups.RECORDS, groups)}


# --- who asks ---------------------------------------------------------------------------------------------------

_WRONG_KIND = {
    tokens.Kind.API_KEY: "That is an API key, not a SCIM token.",
    tokens.Kind.AUTHTOKEN: "That is an authtoken, not a SCIM token.",
    tokens.Kind.OPERATOR_KEY: "That is an operator key, not a SCIM token.",
}
_WHERE = "Create a SCIM token at the identity provider's page in the account's settings, and paste all of it."


def authenticate() -> Directory:
    """The directory of the request's token. Raises Unauthorized, and Forbidden where the plan has no SCIM.

    A disabled identity provider signs nobody in, but its directory goes on: whoever is taken out of it meanwhile must
    be out here too.
    """
    token = _token()
    moment = clock.now()
    if token is None or (token.expires_at is not None and token.expires_at <= moment):
        raise errors.Unauthorized(_complaint(expired=token is not None))
    provider = token.identity_provider
    plans.require(provider.account, Feature.SCIM)
    if token.last_used_at is None or moment - token.last_used_at > USED_STEP:
        ScimToken.update(last_used_at=moment).where(ScimToken.id == token.id).execute()
    actor = guard.provider_actor(provider.account, provider, source="scim", credential_id=token.id)
    return Directory(provider, provider.account, actor, guard.base_url() + PREFIX)


def _bearer() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


# Of the provider what provisioning reads, of the account everything: both are handed down to all that acts in them.
_OF_TOKEN: tuple[Any, ...] = (ScimToken.id, ScimToken.expires_at, ScimToken.last_used_at)
_OF_PROVIDER: tuple[Any, ...] = (
    IdentityProvider.id,
    IdentityProvider.name,
    IdentityProvider.default_roles,
    IdentityProvider.domains,
    IdentityProvider.may_grant_admin,
    IdentityProvider.strict_scim,
)
_ALL_OF_THEM = (*_OF_TOKEN, *_OF_PROVIDER, *Account._meta.sorted_fields)

_TOKEN = Statement(
    _ALL_OF_THEM,
    lambda: (
        ScimToken.select(*_ALL_OF_THEM)
        .join(IdentityProvider)
        .join(Account)
        .where(ScimToken.token_digest == parameter("digest"))
    ),
)


def _token() -> ScimToken | None:
    bearer = _bearer() or ""
    found = _TOKEN.first(digest=tokens.digest(bearer)) if tokens.kind_of(bearer) is tokens.Kind.SCIM_TOKEN else None
    if found is None:
        return None
    token, provider, account = found
    token.identity_provider, provider.account = provider, account
    return cast(ScimToken, token)


def _complaint(*, expired: bool) -> str:
    bearer = _bearer()
    if bearer is None:
        return f"Send the header: Authorization: Bearer <SCIM token>. {_WHERE}"
    if expired:
        return f"This SCIM token has expired. {_WHERE}"
    wrong = _WRONG_KIND.get(tokens.kind_of(bearer))  # type: ignore[arg-type]  # None is in no table
    return f"{wrong or 'Invalid SCIM token: it is mistyped, incomplete, or was deleted.'} {_WHERE}"


def _opened(view: View) -> View:
    """The guard of this blueprint: a connection, then the token, then the view with the directory."""

    @wraps(view)
    def guarded(**values: Any) -> Response:
        request.max_content_length = MAX_PAYLOAD_BYTES
        with db.connection():
            return view(authenticate(), **values)

    guarded.guard = "scim"  # type: ignore[attr-defined]  # tests walk all routes and read it
    return guarded


# --- what is asked ----------------------------------------------------------------------------------------------


def _body() -> Any:
    """The JSON of the body; its form is the parser's to judge. Raises UnsupportedMediaType, InvalidSyntax."""
    if request.mimetype not in (MEDIA_TYPE, "application/json"):
        raise errors.UnsupportedMediaType(f"Send {MEDIA_TYPE} or application/json, in UTF-8.")
    if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise errors.UnsupportedMediaType("JSON is sent in UTF-8.")
    try:
        return json.loads(request.get_data(cache=False).decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidSyntax("The body is not JSON that can be read.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(document), status, headers, content_type=scim_media_type())


# --- resources --------------------------------------------------------------------------------------------------

RESOURCES, RESOURCE = "/<any(Users, Groups):kind>", "/<any(Users, Groups):kind>/<id>"


def _route(path: str, *methods: str) -> Callable[[View], View]:
    """Every path also with a slash at the end: Microsoft's Postman collection asks for /Users/?filter=."""
    return blueprint.route(path, methods=methods, strict_slashes=False)


@_route(RESOURCES, "GET")
@_opened
def list_resources(directory: Directory, kind: str) -> Response:
    """A page of those that match (RFC 7644 §3.4.2)."""
    return _found(directory, KINDS[kind], request.args)


@_route(f"{RESOURCES}/.search", "POST")
@_opened
def search(directory: Directory, kind: str) -> Response:
    """The same by a body, for filters that do not belong into a log of addresses (RFC 7644 §3.4.3)."""
    return _found(directory, KINDS[kind], _search_request())


@_route("/.search", "POST")
@_opened
def search_all(directory: Directory) -> Response:
    """Over both types, the users first (RFC 7644 §3.4.2.1)."""
    asked = _search_request()
    page, projection, filter_ = parse_page(asked), parse_projection(asked), _filter(asked, EVERY_TYPE)
    found, total = users.RECORDS.find(directory, filter_, page)
    rest = Page(max(1, page.start_index - total), page.count - len(found))
    more, others = groups.RECORDS.find(directory, filter_, rest)
    resources = users.RECORDS.render(directory, found, projection) + groups.RECORDS.render(directory, more, projection)
    return _answer(list_response(resources, total=total + others, page=page))


@_route(RESOURCES, "POST")
@_opened
def create(directory: Directory, kind: str) -> Response:
    """A new one: 201, its Location and its whole form (RFC 7644 §3.3)."""
    store, projection = KINDS[kind].store, parse_projection(request.args)
    resource = parse(KINDS[kind].type, _body(), strict=directory.identity_provider.strict_scim)
    with db.transaction():
        row = store.create(directory, resource)
        return _one(directory, KINDS[kind], row, projection, status=201)


@_route(RESOURCE, "GET")
@_opened
def read(directory: Directory, kind: str, id: str) -> Response:
    """One, or 304 where the client has it already (RFC 7644 §3.4.1, §3.14)."""
    projection = parse_projection(request.args)
    row = KINDS[kind].records.get(directory, id)
    version = KINDS[kind].records.version(row)
    if not_modified(request.headers.get("If-None-Match"), version):
        return Response(status=304, headers={"ETag": version})
    return _one(directory, KINDS[kind], row, projection)


@_route(RESOURCE, "PUT")
@_opened
def replace(directory: Directory, kind: str, id: str) -> Response:
    """It becomes what is sent (RFC 7644 §3.5.1)."""
    store, projection = KINDS[kind].store, parse_projection(request.args)
    resource = parse(KINDS[kind].type, _body(), strict=directory.identity_provider.strict_scim)
    with db.transaction():
        row = store.replace(directory, id, resource, if_match=request.headers.get("If-Match"))
        return _one(directory, KINDS[kind], row, projection)


@_route(RESOURCE, "PATCH")
@_opened
def patch(directory: Directory, kind: str, id: str) -> Response:
    """A part of it changes (RFC 7644 §3.5.2).

    A group is answered with 204 unless attributes are asked for: its members may be many, and Entra ID asks that they
    not be returned.
    """
    store, projection = KINDS[kind].store, parse_projection(request.args)
    operations = parse_patch(_body(), KINDS[kind].type, strict=directory.identity_provider.strict_scim)
    with db.transaction():
        row = store.patch(directory, id, operations, if_match=request.headers.get("If-Match"))
        if KINDS[kind].type is GROUP_TYPE and projection == Projection():
            return Response(status=204, headers={"ETag": KINDS[kind].records.version(row)})
        return _one(directory, KINDS[kind], row, projection)


@_route(RESOURCE, "DELETE")
@_opened
def delete(directory: Directory, kind: str, id: str) -> Response:
    """It is gone (RFC 7644 §3.6)."""
    with db.transaction():
        KINDS[kind].store.delete(directory, id, if_match=request.headers.get("If-Match"))
        return Response(status=204)


def _one(directory: Directory, kind: _Kind, row: Any, projection: Projection, *, status: int = 200) -> Response:
    (resource,) = kind.records.render(directory, [row], projection, new=status == 201)
    headers = {"ETag": kind.records.version(row)}
    if status == 201:
        headers["Location"] = location(kind.type, row.id, base=directory.base_url)
    return _answer(resource, status, headers)


def _search_request() -> dict[str, Any]:
    body = _body()
    if not isinstance(body, dict):
        raise errors.InvalidSyntax("The body must be a SearchRequest object.")
    return body


def _found(directory: Directory, kind: _Kind, asked: Mapping[str, Any]) -> Response:
    page, projection, filter_ = parse_page(asked), parse_projection(asked), _filter(asked, kind.type)
    rows, total = kind.records.find(directory, filter_, page)
    return _answer(list_response(kind.records.render(directory, rows, projection), total=total, page=page))


def _filter(asked: Mapping[str, Any], resource_type: ResourceType) -> Filter | None:
    text = asked.get("filter")
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise errors.InvalidFilter("filter must be a string.")
    return parse_filter(text, resource_type)


# --- discovery --------------------------------------------------------------------------------------------------


def _discovery(path: str, document: Callable[..., Mapping[str, Any]]) -> None:
    """A document that anybody may read (RFC 7644 §4); a filter on it is 403, since all of it is always meant."""

    def view(**values: str) -> Response:
        if "filter" in request.args:
            raise errors.Forbidden("The discovery endpoints cannot be filtered.")
        return _answer(document(guard.base_url() + PREFIX, **values))

    view.guard = "public"  # type: ignore[attr-defined]
    blueprint.add_url_rule(path, document.__name__, view, methods=["GET"], strict_slashes=False)


_discovery("/ServiceProviderConfig", schemas.service_provider_config)
_discovery("/ResourceTypes", schemas.resource_types_list)
_discovery("/ResourceTypes/<name>", schemas.resource_type_document)
_discovery("/Schemas", schemas.schemas_list)
_discovery("/Schemas/<urn>", schemas.schema_document)


# --- what is not there ------------------------------------------------------------------------------------------

ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@_route(f"{RESOURCES}/.search", "GET", "PUT", "PATCH", "DELETE")
@_opened
def only_post(directory: Directory, kind: str) -> Response:
    """``.search`` would else be taken for an id."""
    raise MethodNotAllowed(valid_methods=["POST"])


@_route("/Me", *ALL_METHODS)
@_route("/Bulk", *ALL_METHODS)
@_opened
def not_implemented(directory: Directory) -> Response:
    """RFC 7644 §3.11 lets a token that stands for a directory have no /Me; ServiceProviderConfig says no to bulk."""
    raise errors.NotImplementedByServer("This server does not offer this operation.")
