"""What the operator's tools ask: alive, ready, metrics."""

import prometheus_client
from flask import Blueprint, Flask, Response, jsonify
from peewee import PeeweeException

from idp_bridge import db
from idp_bridge.web.guard import open_to_all

blueprint = Blueprint("operations", __name__)


def register(app: Flask) -> None:
    """Mount /healthz, /readyz and /metrics."""
    app.register_blueprint(blueprint)


@blueprint.get("/healthz")
@open_to_all
def healthz() -> Response:
    """Alive: this process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@open_to_all
def readyz() -> tuple[Response, int]:
    """Ready: the database is reachable and has the schema of this code."""
    try:
        with db.connection():
            pending = db.pending_migrations()
    except PeeweeException:
        return jsonify(status="unavailable", reason="the database cannot be reached"), 503
    if pending:
        return jsonify(status="unavailable", reason=f"migrations to apply: {', '.join(pending)}"), 503
    return jsonify(status="ready"), 200


@blueprint.get("/metrics")
@open_to_all
def metrics() -> Response:
    """Prometheus text format."""
    return Response(prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST)
