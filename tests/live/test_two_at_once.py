"""Two servers on one database are asked the same at the same moment: one does it, both answer it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import requests

from tests.live.effect import Two, two
from tests.live.parties import TIMEOUT

ROUNDS = 10


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Two]:
    """Two servers on a database of each kind."""
    with two(database_url, tmp_path) as served:
        yield served


def at_once(both: Two, method: str, path: str, bodies: list[Any], **headers: str) -> list[requests.Response]:
    """One request to each server, when all are ready."""
    together = Barrier(len(bodies))
    key = both.here.worlds["acme"].api_key
    sent = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}

    def ask(place: int) -> requests.Response:
        url = (both.here, both.there)[place % 2].url + path
        together.wait()
        return requests.request(method, url, json=bodies[place], headers=sent, timeout=TIMEOUT)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(ask, range(len(bodies))))


def test_one_key_at_two_servers_makes_one_thing(both: Two) -> None:
    """Both hear of the same authtoken, with the same secret; one answer is marked as the first one's."""
    for number in range(ROUNDS):
        answers = at_once(both, "POST", "/api/credentials", [{}, {}], Idempotency_Key=f"round-{number}")
        assert [answer.status_code for answer in answers] == [201, 201]
        assert len({answer.json()["token"] for answer in answers}) == 1
        assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 1
    assert len(both.change("GET", "/api/credentials")["credentials"]) == ROUNDS


def test_one_etag_at_two_servers_changes_once(both: Two) -> None:
    """One is 200 and is what is stored, the other 412."""
    path = f"/api/bot_users/{both.change('POST', '/api/bot_users', {'name': 'deploy'})['id']}"
    for number in range(ROUNDS):
        key = both.here.worlds["acme"].api_key
        read = requests.get(both.there.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT)
        bodies = [{"description": f"{number} here"}, {"description": f"{number} there"}]
        answers = at_once(both, "PATCH", path, bodies, If_Match=read.headers["ETag"])
        assert sorted(answer.status_code for answer in answers) == [200, 412]
        won = next(body for body, answer in zip(bodies, answers, strict=True) if answer.ok)
        assert both.change("GET", path)["description"] == won["description"]
