"""The calls of ngrok's published Python client, as it puts them on the wire, through the whole life of each resource.

It leaves out what is None, sends ``ngrok-version``, follows ``next_page_uri`` as it stands, and reads of an error
``error_code``, ``msg`` and ``details.operation_id``.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.web.api.conftest import SSH_KEY, Caller


class Client:
    """One of its services: a path and the key of its list."""

    def __init__(self, api: Caller, path: str, plural: str) -> None:
        self._path, self._plural = path, plural
        self._api = Caller(
            api.app, api.key, {"User-Agent": "ngrok-api-python/0.19.0/3.11.7", "ngrok-version": "2", "Accept": "*/*"}
        )

    def create(self, **arguments: Any) -> Any:
        return self._api.post(self._path, _sent(arguments))

    def get(self, id: str) -> Any:
        return self._api.get(f"{self._path}/{id}")

    def update(self, id: str, **arguments: Any) -> Any:
        return self._api.patch(f"{self._path}/{id}", _sent(arguments))

    def delete(self, id: str) -> None:
        self._api.delete(f"{self._path}/{id}")

    def list(self, **arguments: str) -> Iterator[Any]:
        page = self._api.call("GET", self._path, query_string=_sent(arguments), expect=200).get_json()
        yield from page[self._plural]
        while page["next_page_uri"]:
            url = urlsplit(page["next_page_uri"])
            page = self._api.get(f"{url.path}?{url.query}")
            yield from page[self._plural]

    def refused(self, method: str, id: str = "", **arguments: Any) -> tuple[int, str]:
        answer = self._api.call(method, f"{self._path}{id and '/' + id}", _sent(arguments) if arguments else None)
        error = answer.get_json()
        assert error["details"]["operation_id"].startswith("op_")
        assert error["msg"]
        return answer.status_code, error["error_code"]


def _sent(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


LIVES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("bot_users", "bot_users", {"name": "ci", "active": None}, {"name": "deploy", "active": False}),
    ("credentials", "credentials", {"description": "", "metadata": "", "acl": []}, {"acl": ["bind:*.example.com"]}),
    ("credentials", "credentials", {"acl": None, "owner_id": None}, {"description": "one", "metadata": "two"}),
    ("api_keys", "keys", {"description": "", "metadata": "", "owner_id": None}, {"metadata": "two"}),
    ("ssh_credentials", "ssh_credentials", {"acl": [], "public_key": SSH_KEY, "owner_id": None}, {"acl": ["bind:x"]}),
]


@pytest.mark.parametrize(("path", "plural", "made", "changed"), LIVES)
def test_a_life_through_its_client(
    api: Caller, path: str, plural: str, made: dict[str, Any], changed: dict[str, Any]
) -> None:
    """Create, read, change, list and delete; what is gone is 404, and an empty change is refused."""
    client = Client(api, path, plural)
    created = client.create(**made)
    read = client.get(created["id"])
    assert {**created, "token": None} == {**read, "token": None}
    assert client.update(created["id"], **changed) == {**read, **changed}
    assert created["id"] in [row["id"] for row in client.list()]
    assert client.refused("PATCH", created["id"], name=None) == (400, "ERR_EMPTY_PATCH")
    client.delete(created["id"])
    assert client.refused("GET", created["id"]) == (404, "ERR_NOT_FOUND")
    assert client.refused("DELETE", created["id"]) == (404, "ERR_NOT_FOUND")


def test_its_paging_sees_everything_once(api: Caller) -> None:
    """With limit and before_id as texts, and without."""
    client = Client(api, "bot_users", "bot_users")
    made = [client.create(name=f"bot {number}")["id"] for number in range(7)]
    assert [row["id"] for row in client.list(limit="2")] == made[::-1]
    assert [row["id"] for row in client.list(before_id=made[3], limit="100")] == made[2::-1]
    assert [row["id"] for row in client.list(before_id=None, limit=None)] == made[::-1]


def test_the_errors_that_it_reads(api: Caller) -> None:
    """A taken name, an empty one, an inactive owner, a key that is registered, and one that is none."""
    bots, keys = Client(api, "bot_users", "bot_users"), Client(api, "ssh_credentials", "ssh_credentials")
    bot = bots.create(name="ci")["id"]
    assert bots.refused("POST", name="ci") == (409, "ERR_NAME_TAKEN")
    assert bots.refused("POST", name="") == (400, "ERR_INVALID_BODY")
    bots.update(bot, active=False)
    assert Client(api, "api_keys", "keys").refused("POST", owner_id=bot) == (409, "ERR_OWNER_INACTIVE")
    keys.create(public_key=SSH_KEY)
    assert keys.refused("POST", public_key=SSH_KEY) == (409, "ERR_KEY_TAKEN")
    assert keys.refused("POST", public_key="ssh-dss AAAA") == (400, "ERR_INVALID_PUBLIC_KEY")
