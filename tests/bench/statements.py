"""How many SQL statements each request takes: the one figure that no machine disturbs.

The walk runs in process and once; ``tests/rules/test_statement_budgets.py`` holds its numbers against the budgets on
both databases.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from peewee import Database

from idp_bridge import db, operator_keys, sessions
from idp_bridge.app import create_app
from idp_bridge.config import Config
from idp_bridge.models import Member
from idp_bridge.simulator.crypto import make_key_pair
from tests.bench.directory import GROUP, operations
from tests.bench.servers import SECRET_KEY
from tests.bench.stage import external_id, person
from tests.conftest import UNLIMITED, add_provider, make_account

SMALL, LARGE = 10, 500


@dataclass(frozen=True)
class Count:
    """The statements of one request. BEGIN and COMMIT, which peewee sends itself, are not among them."""

    name: str
    statements: tuple[str, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return len(self.statements)

    @property
    def reads(self) -> int:
        """SELECTs."""
        return sum(statement.lstrip("( ").upper().startswith("SELECT") for statement in self.statements)

    @property
    def writes(self) -> int:
        """The others."""
        return self.total - self.reads


@contextmanager
def recorded(database: Database) -> Iterator[list[str]]:
    """The SQL sent to the database meanwhile, in order."""
    seen: list[str] = []

    def hook(event: Any) -> None:
        seen.append(event.sql)

    database.query_hooks.append(hook)
    try:
        yield seen
    finally:
        database.query_hooks.remove(hook)


class Walk:
    """One directory's requests, one after the other, each with what it sends to the database."""

    def __init__(self, app: Flask, *, scim_token: str, api_key: str) -> None:
        self._client = app.test_client()
        self._scim = {"Authorization": f"Bearer {scim_token}"}
        self._api = {"Authorization": f"Bearer {api_key}"}
        self._counts: list[Count] = []

    def run(self) -> list[Count]:
        """Every row of the table."""
        users = [self._send("POST", "/Users", person(n))["id"] for n in range(LARGE + 2)]
        groups = {size: self._make_group(users[:size]) for size in (SMALL, LARGE)}
        spare = users[LARGE]
        self._count("GET /Users/{id}", "GET", f"/Users/{users[0]}")
        self._count("filter userName eq", "GET", f'/Users?filter=userName eq "{person(1)["userName"]}"')
        self._count("filter externalId eq", "GET", f'/Users?filter=externalId eq "{external_id(1)}"')
        address = f'emails[type eq "work"].value eq "{person(1)["userName"]}"'
        self._count("filter emails.value eq", "GET", f"/Users?filter={address}")
        self._count("list count=100", "GET", "/Users?count=100")
        self._count("list count=100, deep page", "GET", f"/Users?count=100&startIndex={LARGE - 100}")
        self._count("POST /Users", "POST", "/Users", person(LARGE + 2))
        other = {**person(LARGE + 3), "userName": "by another name"}
        self._count("POST /Users, userName no address", "POST", "/Users", other)
        for active in (False, True):
            change = operations({"op": "replace", "path": "active", "value": active})
            self._count(f"PATCH active={str(active).lower()}", "PATCH", f"/Users/{spare}", change)
        self._count("PATCH title", "PATCH", f"/Users/{spare}", operations({"op": "add", "path": "title", "value": "x"}))
        for size, group in groups.items():
            add = operations({"op": "add", "path": "members", "value": [{"value": spare}]})
            self._count(f"PATCH group add one, of {size}", "PATCH", f"/Groups/{group}", add)
            remove = operations({"op": "remove", "path": f'members[value eq "{spare}"]'})
            self._count(f"PATCH group remove one, of {size}", "PATCH", f"/Groups/{group}", remove)
            head = f"/Groups/{group}?excludedAttributes=members"
            self._count(f"GET group without members, of {size}", "GET", head)
        self._count("DELETE /Users/{id}", "DELETE", f"/Users/{users[LARGE + 1]}")
        self._count("GET /api/whoami by API key", "GET", "/api/whoami")
        with db.connection(), db.transaction():
            operator_key = operator_keys.issue("edge").token
        asked = {"token": self._api["Authorization"].removeprefix("Bearer ")}
        for caller, key in (("operator key", {"Authorization": f"Bearer {operator_key}"}), ("API key", self._api)):
            with recorded(db.database.obj) as seen:
                answer = self._client.post("/api/introspect", data=asked, headers=key)
            assert answer.get_json()["active"]
            self._counts.append(Count(f"POST /api/introspect by {caller}", tuple(seen)))
        page = f"{self._sign_in()}/overview"
        self._page(page)  # her session's first use writes
        with recorded(db.database.obj) as seen:
            self._page(page)
        self._counts.append(Count("GET overview page", tuple(seen)))
        return self._counts

    def _sign_in(self) -> str:
        """The administrator whose key it is, in a browser of hers; the path of her account's pages."""
        me = self._send("GET", "/api/whoami")
        with db.connection(), db.transaction():
            member = Member.get_by_id(me["principal"]["id"])
            opened = sessions.open_session(member, method="password", password_hash=member.person.password_hash)
        self._client.set_cookie("idp_bridge_session", opened.token)
        return f"/accounts/{me['account']['slug']}"

    def _page(self, path: str) -> None:
        answer = self._client.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status}")

    def _make_group(self, members: list[str]) -> str:
        sent = {"schemas": [GROUP], "displayName": f"Group of {len(members)}"}
        return str(self._send("POST", "/Groups", {**sent, "members": [{"value": id} for id in members]})["id"])

    def _count(self, name: str, method: str, path: str, body: Any = None) -> None:
        with recorded(db.database.obj) as seen:
            self._send(method, path, body)
        self._counts.append(Count(name, tuple(seen)))

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        ours = path.startswith("/api/")
        url, headers = (path, self._api) if ours else (f"/scim/v2{path}", self._scim)
        answer = self._client.open(url, method=method, json=body, headers=headers)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.get_data(as_text=True)[:300]}")
        return answer.get_json(force=True) if answer.data else None


def on_a_fresh_file() -> list[Count]:
    """The walk on an SQLite database of its own."""
    with tempfile.TemporaryDirectory(prefix="idp-bridge-bench-") as home:
        url = f"sqlite:///{home}/statements.db"
        app = create_app(Config(database_url=url, base_url="http://127.0.0.1", secret_key=SECRET_KEY, **UNLIMITED))
        db.migrate()
        with db.connection():
            world = make_account("bench")
            add_provider(world, make_key_pair("bench").certificate_pem)
        counts = Walk(app, scim_token=world.scim_token, api_key=world.api_key).run()
        db.database.close()
    return counts
