"""The floor: the least that Flask and peewee need for one request of a kind, served as the product is.

One table whose rows hold a document of a SCIM user's size. No token, no schema, no event, no headers of our own: what
the product spends beyond this is its own. Run as ``python -m tests.bench.floor DATABASE_URL PORT WORKERS``.
"""

import sys
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify, request
from peewee import BooleanField, TextField
from werkzeug.exceptions import NotFound

from idp_bridge import db
from idp_bridge.config import Config
from idp_bridge.server import Server


class Record(db.Base):
    """A row found by its primary key."""

    id = TextField(primary_key=True)
    active = BooleanField(default=True)
    document = db.JsonField()


def make_app() -> Flask:
    """A read by primary key; an insert of one row with its commit; an update of one row with its commit."""
    app = Flask(__name__)

    def route(method: str, path: str, view: Callable[..., Response]) -> None:
        app.add_url_rule(path, view.__name__, view, methods=[method])

    route("GET", "/records/<id>", read)
    route("POST", "/records", insert)
    route("PATCH", "/records/<id>", update)
    return app


def read(id: str) -> Response:
    """The row as JSON."""
    with db.connection():
        row = Record.get_or_none(Record.id == id)
    if row is None:
        raise NotFound
    return jsonify({"id": row.id, "active": row.active, **row.document})


def insert() -> Response:
    """One new row of what was sent."""
    sent: dict[str, Any] = request.get_json()
    with db.connection(), db.transaction():
        Record.insert(id=sent["id"], document=sent["document"]).execute()
    return Response(status=204)


def update(id: str) -> Response:
    """One column of one row."""
    sent: dict[str, Any] = request.get_json()
    with db.connection(), db.transaction():
        Record.update(active=sent["active"]).where(Record.id == id).execute()
    return Response(status=204)


class FloorServer(Server):
    """The product's own gunicorn settings over the floor application."""

    def load(self) -> Any:
        """The application; the workers open their own connections."""
        db.open_database(self._config.database_url)
        return make_app()

    def _begin_jobs(self, worker: Any) -> None:
        """None: there is nothing to do from time to time, and no table that says when."""


def main(database_url: str, port: str, workers: str) -> None:
    """Serve."""
    config = Config(database_url=database_url, base_url="http://127.0.0.1", secret_key="")
    FloorServer(config, host="127.0.0.1", port=int(port), workers=int(workers)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
