"""The documentation of the API: OpenAPI at /api/openapi.json, readable at /api/docs. Public."""

import json
from typing import Any

from flask import Blueprint, Flask, Response, render_template

from idp_bridge.web.api import idempotent, preconditions
from idp_bridge.web.guard import open_to_all

#: Two ways to authenticate; a session needs the CSRF token beside it when it writes.
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key."},
}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


_ETAG = {"ETag": {"description": "Of this representation.", "schema": {"type": "string"}}}
_IF_NONE_MATCH = _header("If-None-Match", "An ETag: 304 while it is as it was then.", {"type": "string"})
_IF_MATCH = _header("If-Match", "An ETag: 412 if somebody has changed it since.", {"type": "string"})
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
