"""The documentation of the API: OpenAPI at /api/openapi.json, readable at /api/docs. Public."""

import json
from typing import Any

from flask import Blueprint, Flask, Response, render_template

from idp_bridge.web.api import idempotent, preconditions
from idp_bridge.web.guard import open_to_all

#: Who calls; a session needs the CSRF token beside it when it writes.
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key, `ibak_...`."},
    "operatorKey": {"type": "http", "scheme": "bearer", "description": "An operator key, `ibop_...`, in any account."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "idp_bridge_session",
        "description": "A browser session; over https the cookie is called `__Host-idp_bridge`.",
    },
    "csrfToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "`csrf_token` of `GET /api/whoami`, beside a session.",
    },
}

#: By operationId: what an operator key opens too (web/edge.py).
OF_THE_EDGE = frozenset({"introspect", "report_usage", "report_usage_batch"})


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


_ETAG = {"ETag": {"description": "Of this representation.", "schema": {"type": "string"}}}
_IF_NONE_MATCH = _header("If-None-Match", "An ETag: 304 while it is as it was then.", {"type": "string"})
_IF_MATCH = _header("If-Match", "An ETag: 412 if somebody has changed it since.", {"type": "string"})
_ACCOUNT = _header(
    "X-Account",
    "The slug or id of an account, for a session that reaches several; the one signed in to where absent.",
    {"type": "string"},
)
_WHOLE = {"type": "integer", "minimum": 0}
_RATE = {
    "RateLimit-Limit": {"description": "How many requests in a window.", "schema": _WHOLE},
    "RateLimit-Remaining": {"description": "How many of them are left.", "schema": _WHOLE},
    "RateLimit-Reset": {"description": "In how many seconds a new window begins.", "schema": _WHOLE},
}
_RETRY = {"Retry-After": {"description": "In how many seconds to try again.", "schema": _WHOLE}}
_CHALLENGE = {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}}
_REPLAYED = {
    idempotent.REPLAYED: {
        "description": "`true`: this is the first answer to this key, once more.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}

#: What any operation may be refused with: status -> words, headers.
_REFUSALS: dict[str, tuple[str, dict[str, Any]]] = {
    "401": ("No valid credential.", _CHALLENGE),
    "403": ("The role, the plan or the kind of credential does not allow it.", _RATE),
    "429": ("More requests than one credential may make.", {**_RATE, **_RETRY}),
}
_CLASH = ("It clashes with what is stored, or a rule forbids it.", _RATE)
_KEY = _header(
    idempotent.HEADER,
    "Asked again under the same key within 24 hours, the first answer comes again and nothing is done twice.",
    {"type": "string", "minLength": 1, "maxLength": idempotent.LONGEST, "pattern": idempotent.KEY},
)


def describe_headers(paths: dict[str, Any]) -> None:
    """What the dialect does by headers, added to the operations of an OpenAPI document."""
    for path, operations in paths.items():
        single = "get" in operations and preconditions.is_single(path.replace("{id}", "<id:id>"))
        for method, operation in operations.items():
            if method == "parameters":
                continue
            if method == "post" and operation["operationId"] not in idempotent.INDIFFERENT:
                _take(operation, _KEY)
            elif single and method == "get":
                _take(operation, _IF_NONE_MATCH, "304", "It is as it was.")
            elif single and method in ("patch", "delete"):
                _take(operation, _IF_MATCH, "412", "Somebody has changed it since.")
            if single and "200" in operation["responses"]:
                operation["responses"]["200"]["headers"] = _ETAG
            _describe_callers(method, operation)
            _describe_answers(method, operation)


def _describe_callers(method: str, operation: dict[str, Any]) -> None:
    by_session = ["session"] if method == "get" else ["session", "csrfToken"]
    ways = [["apiKey"], by_session, *([["operatorKey"]] if operation["operationId"] in OF_THE_EDGE else [])]
    operation["security"] = [{scheme: [] for scheme in way} for way in ways]
    operation.setdefault("parameters", []).append(_ACCOUNT)


def _describe_answers(method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    for answer in answers.values():
        answer["headers"] = {**answer.get("headers", {}), **_RATE}
    if _KEY in operation["parameters"]:
        for status in [status for status in answers if status.startswith("2")]:
            answers[status]["headers"] |= _REPLAYED
    refusals = _REFUSALS if method == "get" else {**_REFUSALS, "409": _CLASH}
    for status, (words, headers) in refusals.items():
        answers.setdefault(status, {**answers["default"], "description": words, "headers": headers})


def _take(operation: dict[str, Any], header: dict[str, Any], status: str = "", description: str = "") -> None:
    operation.setdefault("parameters", []).append(header)
    if status == "304":
        operation["responses"][status] = {"description": description, "headers": _ETAG}
    elif status:
        operation["responses"][status] = {**operation["responses"]["default"], "description": description}


def register(app: Flask, document: dict[str, Any]) -> None:
    """Serve ``document`` and the page that shows it."""
    blueprint = Blueprint("api_documentation", __name__, url_prefix="/api")
    text = json.dumps(document)

    @blueprint.get("/openapi.json")
    @open_to_all
    def openapi() -> Response:
        return Response(text, mimetype="application/json")

    @blueprint.get("/docs")
    @open_to_all
    def docs() -> str:
        return render_template("api/docs.html")

    app.register_blueprint(blueprint)
