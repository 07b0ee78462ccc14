"""Errors at the edge: one table from what was raised to a status, and three dialects to say it in.

Under /api it is API JSON, under /scim a SCIM Error, elsewhere a page. Nothing private leaves: an unexpected error is
logged under the request's id, and the answer shows that id only.
"""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from gunicorn.http.errors import ParseException
from peewee import DataError, IntegrityError, OperationalError
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from idp_bridge import errors, identity_conflicts, invitations, sign_in
from idp_bridge.errors import Code, DomainError
from idp_bridge.web import observing
from idp_bridge.web.headers import scim_media_type
from scim.errors import ERROR_URN, ScimError, excerpt

log = logging.getLogger(__name__)

STATUS: Mapping[type[DomainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    sign_in.Refused: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    identity_conflicts.Disputed: 409,
    invitations.Lapsed: 410,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooManyRequests: 429,
}

#: What the framework raises, in the words of our own codes.
_HTTP_CODES = {
    400: Code.INVALID_BODY,
    401: Code.NOT_AUTHENTICATED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    409: Code.CONFLICT,
    410: Code.GONE,
    412: Code.PRECONDITION_FAILED,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    422: Code.INVALID_BODY,
    429: Code.TOO_MANY_REQUESTS,
}

#: scimType for domain refusals that have one (RFC 7644 section 3.12).
_SCIM_TYPES = {Code.NAME_TAKEN: "uniqueness", Code.ALREADY_MEMBER: "uniqueness", Code.INVALID_BODY: "invalidValue"}

#: What refuses one change and leaves the database able to make the next.
OF_ONE_CHANGE = (DomainError, ScimError, IntegrityError, DataError)

RETRY_SECONDS = 2  # after "database is busy or away": long enough for a lock, short for a provider


def register(app: Flask) -> None:
    """Install the handlers. One function answers everything that is raised."""
    app.register_error_handler(Exception, _handle)


class _Refusal:
    """An error in one form, whatever was raised."""

    def __init__(self, status: int, code: Code, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.fields: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.scim_type: str | None = _SCIM_TYPES.get(code)


def _handle(error: Exception) -> Any:
    if isinstance(error, HTTPException) and (error.code is None or error.code < 400):
        return error
    refusal = _read(error)
    if refusal.status == 500:
        log.exception("request failed", extra={"request_id": g.get("request_id")}, exc_info=error)
    return respond(refusal)


def scim_error(error: Exception) -> dict[str, Any]:
    """The SCIM Error for what was raised, to be one part of a larger answer."""
    return _scim_body(_read(error))


def respond(refusal: _Refusal) -> Any:
    """Say it in the dialect of the path."""
    observing.outcome(refusal.scim_type or refusal.code.value)
    if request.path == "/scim" or request.path.startswith("/scim/"):
        return _scim(refusal)
    if request.path == "/api" or request.path.startswith("/api/"):
        return _api(refusal)
    return _page(refusal)


def _read(error: Exception) -> _Refusal:
    if isinstance(error, DomainError):
        return _domain(error)
    if isinstance(error, ScimError):
        refusal = _Refusal(error.status, _HTTP_CODES.get(error.status, Code.INVALID_BODY), error.detail)
        refusal.scim_type = error.scim_type
        return refusal
    if isinstance(error, CSRFError):
        return _Refusal(403, Code.CSRF, f"{error.description} Reload the page and try again.")
    if isinstance(error, ClientDisconnected | ParseException):  # a body is read, and its chunks parsed, on demand
        refusal = _Refusal(400, Code.INVALID_BODY, "The body ends too early, or its chunks are malformed.")
        refusal.scim_type = "invalidSyntax"
        return refusal
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, OperationalError):
        refusal = _Refusal(503, Code.UNAVAILABLE, "The database is busy or away. Try again shortly.")
        refusal.headers["Retry-After"] = str(RETRY_SECONDS)
        return refusal
    if isinstance(error, IntegrityError):
        return _Refusal(409, Code.CONFLICT, "Somebody else changed the same thing at this moment. Try again.")
    if isinstance(error, DataError):
        return _Refusal(400, Code.INVALID_BODY, "A value cannot be stored.")
    return _Refusal(500, Code.INTERNAL, "Something went wrong on our side. The operation id finds it in the log.")


def _domain(error: DomainError) -> _Refusal:
    refusal = _Refusal(STATUS[type(error)], error.code, error.message)
    refusal.fields = {name: list(texts) for name, texts in error.fields.items()}
    refusal.headers = headers_of(error)
    return refusal


def headers_of(error: DomainError | None) -> dict[str, str]:
    """What a refusal says beside its words. Whole seconds in Retry-After: Okta reads no date there."""
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def form_page(
    template: str, refused: DomainError | None = None, *, message: str | None = None, **context: Any
) -> Response:
    """The page of a form; where it was refused, once more, with that status and its words (or ``message``)."""
    words = message or (refused.message if refused else None)
    page = render_template(template, refused=refused, message=words, **context)
    return Response(page, STATUS[type(refused)] if refused else 200, headers_of(refused))


def _http(error: HTTPException) -> _Refusal:
    status = 400 if error.code == 422 else error.code or 500
    refusal = _Refusal(status, _HTTP_CODES.get(status, Code.INTERNAL), error.description or HTTPStatus(status).phrase)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        refusal.headers["Allow"] = allowed = ", ".join(sorted(error.valid_methods))
        refusal.message = f"There is no {request.method} here, only {allowed}."
    if isinstance(error, NotFound) and error is request.routing_exception:
        refusal.message = f"There is nothing at {excerpt(request.path)}. Check how it is spelt, capitals included."
    if isinstance(error, RequestEntityTooLarge):
        refusal.message = f"The body is larger than the {request.max_content_length} bytes allowed here."
    messages = (getattr(error, "data", None) or {}).get("messages")  # webargs hangs marshmallow's words on the 422
    if messages:
        refusal.fields = messages.get("json") or messages.get("query") or messages
        refusal.message = "The request is not valid; details.errors names each wrong field."
    return refusal


def _api(refusal: _Refusal) -> Response:
    details: dict[str, Any] = {"operation_id": g.get("request_id")}
    if refusal.fields:
        details["errors"] = refusal.fields
    body = {
        "error_code": refusal.code.value,
        "status_code": refusal.status,
        "msg": refusal.message,
        "details": details,
    }
    return Response(json.dumps(body), refusal.status, refusal.headers, mimetype="application/json")


def _scim(refusal: _Refusal) -> Response:
    if refusal.status == 401:
        refusal.headers["WWW-Authenticate"] = "Bearer"
    body = json.dumps(_scim_body(refusal), ensure_ascii=False)
    return Response(body, refusal.status, refusal.headers, content_type=scim_media_type())


def _scim_body(refusal: _Refusal) -> dict[str, Any]:
    body: dict[str, Any] = {"schemas": [ERROR_URN], "status": str(refusal.status), "detail": refusal.message}
    if refusal.scim_type and refusal.status in (400, 409):
        body["scimType"] = refusal.scim_type
    return body


def _page(refusal: _Refusal) -> Any:
    if refusal.status == 401 and request.method in ("GET", "HEAD"):
        return redirect(url_for("login.login", next=request.full_path.rstrip("?")))
    page = render_template("error.html", refusal=refusal, phrase=HTTPStatus(refusal.status).phrase)
    return Response(page, refusal.status, refusal.headers, mimetype="text/html")
