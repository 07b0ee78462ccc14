"""A small honest SCIM server in memory, with a place to make it lie: what the simulator is tried on.

It knows just what Okta and Entra send. Faults are functions that see every exchange and may change its answer.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

CORE = "urn:ietf:params:scim:schemas:core:2.0"
MESSAGES = "urn:ietf:params:scim:api:messages:2.0"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
TOKEN = "test-token"


@dataclass
class Exchange:
    """One request and the honest answer; a fault may change `status`, `answer`, `media_type` and `headers`."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    headers: dict[str, str]
    status: int = 200
    answer: dict[str, Any] | None = None
    media_type: str = "application/scim+json"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def is_filter(self) -> bool:
        return "filter" in self.query


Fault = Callable[[Exchange], None]


class Refusal(Exception):
    """A SCIM error on its way out."""


@dataclass
class ScimServer:
    """Users and groups in two dicts, and the record of what came in."""

    resources: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {"Users": {}, "Groups": {}})
    faults: list[Fault] = field(default_factory=list)
    log: list[Exchange] = field(default_factory=list)
    url: str = ""

    def names(self, kind: str) -> set[str]:
        return {each.get("userName") or each["displayName"] for each in self.resources[kind].values()}

    def answer(self, exchange: Exchange) -> None:
        self.log.append(exchange)
        try:
            exchange.status, exchange.answer = self._honest(exchange)
        except Refusal as refusal:
            exchange.status = int(refusal.args[0])
            exchange.answer = {
                "schemas": [f"{MESSAGES}:Error"],
                "status": str(exchange.status),
                "detail": refusal.args[1],
            }
        for fault in self.faults:
            fault(exchange)

    def _honest(self, exchange: Exchange) -> tuple[int, dict[str, Any] | None]:
        if exchange.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "wrong token")
        _, kind, *rest = exchange.path.split("/")
        if kind == "Schemas":
            return 200, _list([{"id": f"{CORE}:User"}, {"id": f"{CORE}:Group"}], {})
        table = self.resources[kind]
        if not rest:
            return self._create(kind, exchange.body) if exchange.method == "POST" else self._find(table, exchange)
        if rest[0] not in table:
            raise Refusal(404, "no such resource")
        if exchange.method == "DELETE":
            del table[rest[0]]
            return 204, None
        resource = table[rest[0]]
        if exchange.method == "PUT":
            resource = {"id": rest[0], "schemas": resource["schemas"], **_clean(exchange.body)}
        elif exchange.method == "PATCH":
            resource = json.loads(json.dumps(resource))
            for operation in exchange.body["Operations"]:
                _apply(resource, operation)
        table[rest[0]] = resource
        return 200, _shown(resource, exchange.query)

    def _create(self, kind: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = "userName" if kind == "Users" else "displayName"
        if body[key].casefold() in {name.casefold() for name in self.names(kind)}:
            raise Refusal(409, f"{key} is taken")
        resource = {**_clean(body), "id": str(uuid4())}
        self.resources[kind][resource["id"]] = resource
        return 201, resource

    def _find(self, table: dict[str, dict[str, Any]], exchange: Exchange) -> tuple[int, dict[str, Any]]:
        found = [each for each in table.values() if _matches(each, exchange.query.get("filter", ""))]
        return 200, _list([_shown(each, exchange.query) for each in found], exchange.query)


def _list(found: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    start = int(query.get("startIndex", "1"))
    page = found[start - 1 : start - 1 + int(query.get("count", "100"))]
    return {
        "schemas": [f"{MESSAGES}:ListResponse"],
        "totalResults": len(found),
        "startIndex": start,
        "itemsPerPage": len(page),
        "Resources": page,
    }


def _shown(resource: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != query.get("excludedAttributes")}


def _clean(body: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k not in {"id", "meta", "groups", "password"} and v is not None}


def _matches(resource: dict[str, Any], text: str) -> bool:
    return all(_equals(resource, term) for term in text.split(" and ") if text)


def _equals(resource: dict[str, Any], term: str) -> bool:
    attribute, wanted = term.split(" eq ", 1) if "[" not in term else term.rsplit(" eq ", 1)
    value = json.loads(wanted)
    if attribute == "members":
        return value in [each["value"] for each in resource.get("members", [])]
    if attribute == 'emails[type eq "work"].value':
        return value in [each["value"] for each in resource.get("emails", []) if each["type"] == "work"]
    found = resource.get(attribute, "")
    return found == value if attribute in {"id", "externalId"} else found.casefold() == value.casefold()


def _apply(resource: dict[str, Any], operation: dict[str, Any]) -> None:
    op, path, value = operation["op"].lower(), operation.get("path", ""), operation.get("value")
    if not path:
        for key, each in value.items():
            if key != "id":
                _apply(resource, {"op": op, "path": key, "value": each})
    elif path.startswith("members"):
        _apply_members(resource, op, path, value)
    elif path.startswith(f"{ENTERPRISE}:"):
        name = path.removeprefix(f"{ENTERPRISE}:")
        extension = resource.setdefault(ENTERPRISE, {})
        extension[name] = value
        if value == {"value": ""}:
            del extension[name]
    elif match := re.fullmatch(r'(\w+)\[type eq "(\w+)"\]\.(\w+)', path):
        attribute, kind, sub = match.groups()
        entries = resource.setdefault(attribute, [])
        entry = next((each for each in entries if each["type"] == kind), None) or {"type": kind}
        entry[sub] = value
        if entry not in entries:
            entries.append(entry)
    elif "." in path:
        outer, inner = path.split(".")
        resource.setdefault(outer, {})[inner] = value
    else:
        resource[path] = value in {True, "True"} if path == "active" else value


def _apply_members(resource: dict[str, Any], op: str, path: str, value: Any) -> None:
    named = [{"value": each["value"]} for each in value or []]
    if match := re.fullmatch(r'members\[value eq "(.+)"\]', path):
        named = [{"value": match[1]}]
    now = resource.get("members", [])
    if op == "replace":
        resource["members"] = named
    elif op == "add":
        resource["members"] = now + [each for each in named if each not in now]
    else:
        gone = [each["value"] for each in named]
        resource["members"] = [each for each in now if each["value"] not in gone]


def _handler(server: ScimServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body in one packet, or every answer waits 40 ms for an ACK

        def _serve(self) -> None:
            parts = urlsplit(self.path.removeprefix("/scim/v2"))
            length = int(self.headers.get("Content-Length", "0"))
            exchange = Exchange(
                self.command,
                parts.path,
                {key: values[0] for key, values in parse_qs(parts.query).items()},
                json.loads(self.rfile.read(length) or "{}"),
                {key.lower(): value for key, value in self.headers.items()} | {"raw-query": parts.query},
            )
            server.answer(exchange)
            data = b"" if exchange.answer is None else json.dumps(exchange.answer).encode()
            self.send_response(exchange.status)
            for name, value in exchange.extra.items():
                self.send_header(name, value)
            if data:
                self.send_header("Content-Type", exchange.media_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Nothing; the tests read `server.log`."""

    return Handler


@pytest.fixture
def scim_server() -> Iterator[ScimServer]:
    server = ScimServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}/scim/v2"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    http.shutdown()
    thread.join()
    http.server_close()
