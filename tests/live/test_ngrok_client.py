"""ngrok's own published client (https://pypi.org/project/ngrok-api/), unchanged, drives what the product has of its API
at the production server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ngrok
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.live.parties import serving

#: Service of the client -> what it is made with, what is changed then, and what a list of it is called.
LIVES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("bot_users", {"name": "ci"}, {"name": "deploy", "active": False}),
    ("service_users", {"name": "ci", "active": False}, {"active": True}),
    ("api_keys", {"description": "pipeline", "metadata": "{}"}, {"metadata": "two"}),
    ("credentials", {"acl": ["bind:*.example.com"]}, {"acl": []}),
    ("ssh_credentials", {"acl": ["bind:1.tcp.test:20"]}, {"description": "laptop"}),
]


@pytest.fixture
def client(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ngrok.Client]:
    """The client of acme's administrator."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(database_url, tmp_path, workers=1) as service:
        yield ngrok.Client(service.worlds["acme"].api_key, base_url=f"{service.url}/api")


def _public_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(ngrok.Error) as caught:
        call(*arguments, **named)
    assert caught.value.operation_id.startswith("op_")
    assert str(caught.value)
    return caught.value.http_status_code, caught.value.error_code


def _lives(client: ngrok.Client, service: str, made: dict[str, Any], changed: dict[str, Any]) -> None:
    things = getattr(client, service)
    if service == "ssh_credentials":
        made = {**made, "public_key": _public_key()}
    created = things.create(**made)
    assert created.uri.endswith(f"/api/{service}/{created.id}")
    for name, value in made.items():
        assert getattr(created, name) == value, (service, name)
    read = things.get(created.id)
    if service in ("api_keys", "credentials"):
        assert (bool(created.token), read.token) == (True, None)
    after = things.update(created.id, **changed)
    for name, value in changed.items():
        assert getattr(after, name) == value, (service, name)
    assert (after.id, after.created_at) == (read.id, created.created_at)
    assert [row for row in things.list() if row.id == created.id] == [things.get(created.id)]
    assert _refused(things.update, created.id) == (400, "ERR_EMPTY_PATCH")
    things.delete(created.id)
    with pytest.raises(ngrok.NotFoundError):
        things.get(created.id)
    assert _refused(things.delete, created.id) == (404, "ERR_NOT_FOUND")


def test_a_whole_life_through_ngroks_own_client(client: ngrok.Client) -> None:
    """Made, read, changed, listed, deleted, and gone, of each thing that both know."""
    for life in LIVES:
        _lives(client, *life)


def test_ngroks_own_client_pages_and_is_refused(client: ngrok.Client) -> None:
    """It follows the pages by itself, names owners as it does, and reads of a refusal its code and operation."""
    made = [client.bot_users.create(name=f"bot {number}").id for number in range(5)]
    assert [bot.id for bot in client.bot_users.list(limit="2")] == made[::-1]
    assert [bot.id for bot in client.service_users.list(limit="2")] == made[::-1]
    assert [bot.id for bot in client.bot_users.list(before_id=made[2])] == made[1::-1]
    assert {bot.id: bot.uri.split("/")[-2] for bot in client.service_users.list()} == dict.fromkeys(
        made, "service_users"
    )
    key = client.api_keys.create(owner_id=made[0])
    assert (key.owner_id, client.credentials.create(owner_id="owner@acme.test").owner_id[:4]) == (made[0], "usr_")
    bot = ngrok.Client(key.token, base_url=client.http_client.base_url)
    assert [one.id for one in bot.api_keys.list()] == [key.id]
    assert _refused(bot.bot_users.create, name="its own") == (403, "ERR_FORBIDDEN")
    client.bot_users.update(made[0], active=False)
    assert _refused(lambda: list(bot.api_keys.list())) == (401, "ERR_NOT_AUTHENTICATED")
    assert _refused(client.api_keys.create, owner_id=made[0]) == (409, "ERR_OWNER_INACTIVE")
    assert _refused(client.bot_users.create, name="bot 1") == (409, "ERR_NAME_TAKEN")
    assert _refused(client.bot_users.create) == (400, "ERR_INVALID_BODY")
    line = _public_key()
    client.ssh_credentials.create(line)
    assert _refused(client.ssh_credentials.create, line) == (409, "ERR_KEY_TAKEN")
    assert _refused(client.ssh_credentials.create, "ssh-dss AAAA") == (400, "ERR_INVALID_PUBLIC_KEY")
    client.service_users.delete(made[0])
    with pytest.raises(ngrok.NotFoundError):
        client.bot_users.get(made[0])
