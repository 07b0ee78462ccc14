"""``make bench ARGS=--shapes``: what a request costs against how many users are stored and how large a group is.

In process, on SQLite, by this process's own CPU clock: a shape is what is asked for, and HTTP would add the same to
every point. The rows are written into the tables at once (tests/provisioning/crowd.py); what is measured goes through
the whole application.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from flask import Flask

from idp_bridge import clock, db
from idp_bridge.app import create_app
from idp_bridge.config import Config
from idp_bridge.models import DirectoryGroup, GroupMember, Member, Person
from idp_bridge.simulator.crypto import make_key_pair
from tests.bench.directory import operations
from tests.bench.servers import SECRET_KEY
from tests.bench.stage import person
from tests.conftest import UNLIMITED, World, add_provider, make_account
from tests.provisioning import crowd
from tests.provisioning.conftest import directory_of

SIZES = (1_000, 10_000, 100_000)
GROUPS = (10, 100, 1_000, 10_000, 100_000)
ROUNDS, REQUESTS = 9, 20
PLOT = Path(__file__).parents[2] / "docs" / "shapes.svg"

Send = Callable[[str, str, Any], None]


@dataclass
class Shape:
    """One request's cost: milliseconds of CPU at each size."""

    name: str
    points: dict[int, float] = field(default_factory=dict)


def measure(sizes: Sequence[int] = SIZES, say: Callable[[str], None] = print) -> tuple[list[Shape], list[Shape]]:
    """The shapes against stored users, and those against a group's size, which are taken at the largest directory."""
    by_users: dict[str, Shape] = {}
    by_group: dict[str, Shape] = {}
    for size in sizes:
        say(f"{size:,} users")
        with directory(size) as (send, users):
            for name, requests in _against_users(users):
                by_users.setdefault(name, Shape(name)).points[size] = _cost(send, requests)
            for members in [number for number in GROUPS if size == max(sizes) and number <= size]:
                say(f"a group of {members:,}")
                for name, requests in _against_group(users, members):
                    by_group.setdefault(name, Shape(name)).points[members] = _cost(send, requests)
    return list(by_users.values()), list(by_group.values())


def _against_users(users: list[str]) -> Iterator[tuple[str, Callable[[int], tuple[str, str, Any]]]]:
    last = len(users)

    def n(turn: int) -> int:
        return turn * 7919 % last

    def patch(turn: int) -> tuple[str, str, Any]:
        change = operations({"op": "replace", "path": "title", "value": f"t{turn}"})
        return "PATCH", f"/Users/{users[n(turn)]}", change

    yield "GET /Users/{id}", lambda turn: ("GET", f"/Users/{users[n(turn)]}", None)
    yield "filter userName eq", lambda turn: ("GET", "/Users?filter=" + quote(f'userName eq "u{n(turn)}@x.test"'), None)
    yield "filter externalId eq", lambda turn: ("GET", "/Users?filter=" + quote(f'externalId eq "e{n(turn)}"'), None)
    yield "list count=100, first page", lambda turn: ("GET", "/Users?count=100", None)
    yield "list count=100, last page", lambda turn: ("GET", f"/Users?count=100&startIndex={last - 99}", None)
    yield "PATCH title", patch
    yield "POST /Users", lambda turn: ("POST", "/Users", person(10_000_000 + turn))
    before = db.column(Member.select(Member.id).order_by(Member.id).limit(101))[-1]
    yield "GET /api/users, first page", lambda turn: ("GET", "/api/users", None)
    yield "GET /api/users, last page", lambda turn: ("GET", f"/api/users?before_id={before}", None)


def _against_group(users: list[str], size: int) -> Iterator[tuple[str, Callable[[int], tuple[str, str, Any]]]]:
    group = DirectoryGroup.select().order_by(DirectoryGroup.id.desc()).get()
    with db.transaction():
        GroupMember.delete().where(GroupMember.group == group).execute()
        crowd.insert(GroupMember, ({"group": group.id, "user": id} for id in users[:size]))
    newcomers = users[-REQUESTS * ROUNDS :] if size < len(users) else []

    def change(op: str, turn: int) -> tuple[str, str, Any]:
        body = {"op": "add", "path": "members", "value": [{"value": newcomers[turn]}]}
        gone = {"op": "remove", "path": f'members[value eq "{newcomers[turn]}"]'}
        return "PATCH", f"/Groups/{group.id}", operations(body if op == "add" else gone)

    yield "GET without members", lambda turn: ("GET", f"/Groups/{group.id}?excludedAttributes=members", None)
    if newcomers:
        yield "PATCH add one", lambda turn: change("add", turn)
        yield "PATCH remove one", lambda turn: change("remove", turn)


def _cost(send: Send, requests: Callable[[int], tuple[str, str, Any]]) -> float:
    """Milliseconds of CPU: the median of rounds."""
    costs = []
    for round_ in range(ROUNDS):
        asked = [requests(round_ * REQUESTS + turn) for turn in range(REQUESTS)]
        began = time.process_time()
        for each in asked:
            send(*each)
        costs.append((time.process_time() - began) / REQUESTS * 1000)
    return median(costs)


@contextmanager
def directory(size: int) -> Iterator[tuple[Send, list[str]]]:
    """A directory of that many users on a file of its own, and what sends requests to it."""
    with tempfile.TemporaryDirectory(prefix="idp-bridge-bench-") as home:
        url = f"sqlite:///{home}/shapes.db"
        app = create_app(Config(database_url=url, base_url="http://127.0.0.1", secret_key=SECRET_KEY, **UNLIMITED))
        db.migrate()
        with db.connection():
            world = make_account("bench")
            users = crowd.fill(directory_of(world, add_provider(world, make_key_pair("bench").certificate_pem)), size)
            _add_members(world, size)
            yield _sender(app, world), users
        db.disconnect()


def _add_members(world: World, number: int) -> None:
    """As many of the account, whom no directory has."""
    now, known = clock.now(), {"account": world.account.id, "email": "", "managed_by": "local"}
    with db.transaction():
        crowd.insert(Person, ({"id": f"per_{n:026}", "created_at": now} for n in range(number)))
        crowd.insert(
            Member,
            (
                {
                    **known,
                    "id": f"usr_{n:026}",
                    "person": f"per_{n:026}",
                    "email_key": f"m{n}@x.test",
                    "created_at": now,
                }
                for n in range(number)
            ),
        )


def _sender(app: Flask, world: World) -> Send:
    client = app.test_client()
    directory, administrator = ({"Authorization": f"Bearer {token}"} for token in (world.scim_token, world.api_key))

    def send(method: str, path: str, body: Any) -> None:
        by_api = path.startswith("/api/")
        url, headers = (path, administrator) if by_api else (f"/scim/v2{path}", directory)
        answer = client.open(url, method=method, json=body, headers=headers)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.get_data(as_text=True)[:300]}")

    return send
