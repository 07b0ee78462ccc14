"""Introspection: the product's hot path beside the floor's read, and its cost against stored credentials."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from flask import Flask

from idp_bridge import clock, credentials, db, ids, last_uses, operator_keys, tokens
from idp_bridge.app import create_app
from idp_bridge.config import Config
from idp_bridge.models import BotUser, Credential, Member, MemberRole, Person
from idp_bridge.statement import Statement, parameter
from tests.bench.client import encode
from tests.bench.lanes import Lane
from tests.bench.servers import SECRET_KEY, Server
from tests.conftest import UNLIMITED, World, make_account

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SHOWN = 200  # credentials whose secrets are known and asked for, spread among all
OWNERS = 10  # of so many credentials one bot user or one member is the owner
ROUNDS, REQUESTS = 9, 40
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def lanes(product: Server, shown: list[str], *, operator_key: str, api_key: str) -> list[Lane]:
    """By an operator key and by an API key, each asking for all of them in turn."""

    def lane(caller: str, key: str) -> Lane:
        headers = {**FORM, "Authorization": f"Bearer {key}"}
        sent = [
            encode("POST", "/api/introspect", headers=headers, body=urlencode({"token": token}).encode())
            for token in shown
        ]

        def requests() -> Iterator[bytes]:
            while True:
                yield from random.sample(sent, len(sent))

        return Lane(f"POST introspect by {caller}", product, requests, check=lambda answer: answer.json()["active"])

    return [lane("operator key", operator_key), lane("API key", api_key)]


# --- against stored credentials ---------------------------------------------------------------------------------


def shape(url: str | None = None, say: Callable[[str], None] = print) -> dict[str, dict[int, float]]:
    """Milliseconds of CPU at each size, in process; on an SQLite file of its own unless a URL is given."""
    with tempfile.TemporaryDirectory(prefix="idp-bridge-bench-") as home:
        url = url or f"sqlite:///{Path(home) / 'introspection.db'}"
        app = create_app(Config(database_url=url, base_url="http://127.0.0.1", secret_key=SECRET_KEY, **UNLIMITED))
        db.migrate()
        with db.connection():
            world = make_account("bench")
            with db.transaction():
                key = operator_keys.issue("edge").token
            points: dict[str, dict[int, float]] = {"POST /api/introspect": {}, "a last use, written": {}}
            stored = 0
            for size in SIZES:
                say(f"{size:,} credentials")
                shown = fill(world, size - stored)
                stored = size
                points["POST /api/introspect"][size] = _cost(app, key, shown)
                points["a last use, written"][size] = _writing(size)
        db.disconnect()
    return points


def fill(world: World, number: int, *, each: int = OWNERS) -> list[str]:
    """So many more authtokens, of as many bot users as members with ``each`` so many; the secrets of ``SHOWN``."""
    now, shown = clock.now(), []
    with db.transaction():
        owners = [owner for n in range(max(1, number // each // 2)) for owner in _owners(world, n)]
        rows = []
        for n in range(number):
            asked = n % max(1, number // SHOWN) == 0
            secret = tokens.new(tokens.Kind.AUTHTOKEN) if asked else f"{random.getrandbits(256):064x}"
            shown += [secret] * asked
            owner = owners[n % len(owners)]
            rows.append(
                {
                    "id": ids.new("cr"),
                    "account": world.account.id,
                    "kind": credentials.AUTHTOKEN.name,
                    "member": owner if owner.startswith("usr_") else None,
                    "bot_user": owner if owner.startswith("bot_") else None,
                    "acl": ["bind:*.bench.test"],
                    "token_digest": tokens.digest(secret) if asked else secret,
                    "created_at": now,
                }
            )
        _insert(Credential, rows)
    if db.database.for_update:
        db.database.execute_sql("ANALYZE")
    return shown


def _owners(world: World, number: int) -> list[str]:
    """A member with two roles, and a bot user."""
    now, name = clock.now(), ids.new("n")
    person, member, bot = ids.new("per"), ids.new("usr"), ids.new("bot")
    address = f"{name}@bench.test"
    _insert(Person, [{"id": person, "created_at": now}])
    of = {"id": member, "account": world.account.id, "person": person, "email": address, "email_key": address}
    _insert(Member, [{**of, "managed_by": "local", "created_at": now}])
    _insert(
        MemberRole, [{"member": member, "role": r, "source": "hand", "created_at": now} for r in ("viewer", "billing")]
    )
    about = {"id": bot, "account": world.account.id, "name": name, "name_key": name}
    _insert(BotUser, [{**about, "roles": ["developer"], "created_at": now}])
    return [member, bot]


_INSERTS: dict[tuple[type[db.Base], tuple[str, ...]], Statement] = {}


def _insert(model: type[db.Base], rows: list[dict[str, object]]) -> None:
    names = tuple(rows[0])
    fields = model._meta.fields
    if (model, names) not in _INSERTS:
        _INSERTS[model, names] = Statement(
            (), lambda: model.insert({fields[name]: parameter(name, fields[name]) for name in names})
        )
    _INSERTS[model, names].each(rows)


def _cost(app: Flask, key: str, shown: list[str]) -> float:
    client, headers = app.test_client(), {"Authorization": f"Bearer {key}"}
    costs = []
    for _ in range(ROUNDS):
        asked = random.sample(shown, REQUESTS)
        began = time.process_time()
        answers = [client.post("/api/introspect", data={"token": token}, headers=headers) for token in asked]
        costs.append((time.process_time() - began) / REQUESTS * 1000)
        if not all(answer.get_json()["active"] for answer in answers):
            raise RuntimeError("a live credential is not active")
    return median(costs)


def _writing(size: int) -> float:
    """What the writer's thread does for one credential, of 500 that were used since it last did."""
    found = db.column(Credential.select(Credential.id).limit(last_uses.BATCH).offset(size // 3))
    costs = []
    for _ in range(5):
        for id in found:
            last_uses.note(Credential, id, "192.0.2.1")
        began = time.process_time()
        last_uses.write()
        costs.append((time.process_time() - began) * 1000 / len(found))
    return median(costs)
