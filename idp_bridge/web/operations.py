"""What the operator's tools ask: alive, ready, metrics."""

import hmac

import prometheus_client
from flask import Blueprint, Flask, Response, current_app, jsonify, request
from peewee import PeeweeException

from idp_bridge import db, gauges, metrics
from idp_bridge.web.guard import open_to_all

blueprint = Blueprint("operations", __name__)

#: Who says that somebody else asks, through it.
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")
_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


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
def metrics_page() -> Response:
    """Prometheus text format, of all processes of this server; for whoever has the token, without one for this
    machine."""
    if refusal := _refused():
        return refusal
    return Response(metrics.exposition(gauges.State()), content_type=prometheus_client.CONTENT_TYPE_LATEST)


def _refused() -> Response | None:
    token = current_app.config["METRICS_TOKEN"]
    if token is None:
        return None if _is_local() else _said(403, "Metrics are for this machine: set IDP_BRIDGE_METRICS_TOKEN.")
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode()):
        return None
    refusal = _said(401, "Send Authorization: Bearer and what IDP_BRIDGE_METRICS_TOKEN says.")
    refusal.headers["WWW-Authenticate"] = "Bearer"
    return refusal


def _is_local() -> bool:
    """A proxy on this machine has its address too, and passes on who asks."""
    return request.remote_addr in _THIS_MACHINE and not any(name in request.headers for name in _FORWARDED)


def _said(status: int, words: str) -> Response:
    return Response(f"{words}\n", status, mimetype="text/plain")
