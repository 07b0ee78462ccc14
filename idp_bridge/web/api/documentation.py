"""The documentation of the API: OpenAPI at /api/openapi.json, readable at /api/docs. Public."""

import json
from typing import Any

from flask import Blueprint, Flask, Response, render_template

from idp_bridge.web.guard import open_to_all

#: Two ways to authenticate; a session needs the CSRF token beside it when it writes.
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key."},
}


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
