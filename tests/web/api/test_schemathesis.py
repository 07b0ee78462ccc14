"""Schemathesis calls every documented operation with what its schema allows and with what it does not, alone and in
the sequences that answers suggest, and runs all its checks on every answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis import engine
from schemathesis.engine import events
from werkzeug.serving import WSGIRequestHandler, make_server

from idp_bridge import db
from idp_bridge.app import create_app
from idp_bridge.config import Config
from tests.conftest import SECRET_KEY, UNLIMITED, make_account

ACCEPTED = ["2xx", "401", "403", "404", "409", "5xx"]

#: Operations with a rule that JSON Schema cannot say, so that a body it allows may be refused with 400.
BEYOND_SCHEMA = {
    "create_bot_user": "roles must exist in the account",
    "update_bot_user": "roles must exist in the account",
    "create_service_user": "roles must exist in the account",
    "update_service_user": "roles must exist in the account",
    "update_user": "roles must exist in the account",
    "create_invitation": "roles must exist in the account",
    "create_role_mapping": "one of two ways to name the group; the role must exist",
    "update_role_mapping": "the role must exist in the account",
    "create_credential": "expires_at lies in the future",
    "create_api_key": "expires_at lies in the future",
    "create_scim_token": "expires_at lies in the future",
    "introspect": "client_address is an IP address",
    "report_usage": "of an owner or a credential; a day of the last week",
    "report_usage_batch": "of an owner or a credential; a day of the last week",
    "get_usage": "from lies before to, a year at most",
    "create_ssh_credential": "a public key is more than a pattern",
    "create_schema_extension": "what an attribute may be depends on its type",
    "update_schema_extension": "what an attribute may be depends on its type",
    "create_webhook": "an event type must be one that there is",
    "update_webhook": "an event type must be one that there is",
    "update_account": "only enforcing may be on trial",
    "create_identity_provider": "certificates and metadata are more than a pattern",
    "update_identity_provider": "certificates and metadata are more than a pattern",
}


@dataclass
class Served:
    """A running server, and the headers of its administrator."""

    url: str
    headers: dict[str, str]


@pytest.fixture
def served(tmp_path: Path, sqlite_template: bytes) -> Iterator[Served]:
    """The application on a socket: schemathesis' engine cannot call a WSGI application."""
    path = tmp_path / "idp-bridge.db"
    path.write_bytes(sqlite_template)
    url = f"sqlite:///{path}"
    app = create_app(Config(database_url=url, base_url="http://localhost", secret_key=SECRET_KEY, **UNLIMITED))
    with db.connection():
        world = make_account("acme")
    server = make_server("127.0.0.1", 0, app, request_handler=_Quiet)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_port}", world.headers)
    server.shutdown()
    thread.join()
    server.server_close()
    db.database.close()


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Thousands of lines that nobody reads."""


def _config(served: Served) -> schemathesis.Config:
    # A body may be refused for its size before anything of it is looked at.
    refused = [str(status) for status in (400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429)]
    checks = {"negative_data_rejection": {"expected-statuses": [*refused, "5xx"]}}
    lenient = {"checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400"]}}}
    return schemathesis.Config.from_dict(
        {
            "base-url": served.url,
            "checks": checks,
            "headers": served.headers,
            "generation": {"max-examples": 10, "deterministic": True, "database": "none", "no-shrink": True},
            "operations": [{"include-operation-id": list(BEYOND_SCHEMA), **lenient}],
            "phases": {"stateful": {"generation": {"max-examples": 3}}},
        }
    )


@pytest.mark.timeout(240)
def test_every_answer_is_as_documented(served: Served) -> None:
    """No example is answered otherwise than documented, and no check of schemathesis fails."""
    document = requests.get(f"{served.url}/api/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(_without_headers(document), config=_config(served))
    called, faults = 0, []
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            called += len(event.recorder.cases)
            faults += _failures(event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            faults.append(f"{event}")
    assert not faults, "\n\n".join(faults)
    assert called > 1000


def _without_headers(document: Any) -> Any:
    """Without what decides whether a request is made at all: under a key that was used, what is answered is of before,
    and schemathesis would look for what it has deleted since. test_idempotency.py and test_preconditions.py have it. Of
    the ways to show who calls it has an API key."""
    schemes = document["components"]["securitySchemes"]
    document["components"]["securitySchemes"] = {"apiKey": schemes["apiKey"]}
    for operations in document["paths"].values():
        for method, operation in operations.items():
            if method != "parameters":
                kept = [one for one in operation.get("parameters", []) if one.get("in") != "header"]
                operation["parameters"] = kept
                operation["security"] = [{"apiKey": []}]
    return document


def _failures(event: events.ScenarioFinished) -> list[str]:
    return [
        f"{event.recorder.label} {node.name}: {node.failure_info.failure}\n{_request(event.recorder, case_id)}"
        for case_id, nodes in event.recorder.checks.items()
        for node in nodes
        if node.failure_info is not None
    ]


def _request(recorder: Any, case_id: str) -> str:
    interaction = recorder.interactions[case_id]
    answer = interaction.response.content[:600] if interaction.response else b""
    return f"{interaction.request.method} {interaction.request.uri} {interaction.request.body!r}\n-> {answer!r}"
