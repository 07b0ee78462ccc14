"""Rates over the processes of the production server, from outside: which process answers is the kernel's choice."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import requests

from idp_bridge import db, keyring
from tests.conftest import SECRET_KEY, add_provider, make_account
from tests.live.processes import serving
from tests.live.test_demo import Forms

RATE = 20
CLIENTS = 8
EACH = 8


@dataclass(frozen=True)
class Served:
    """A server of two processes, and a token for its SCIM."""

    url: str
    scim_token: str


@pytest.fixture
def served(database_url: str, idp_certificate: str) -> Iterator[Served]:
    """`idp-bridge serve --workers 2` on a database of each kind."""
    real = db.open_database(database_url)
    keyring.unlock(SECRET_KEY)
    with db.connection():
        world = make_account("acme")
        add_provider(world, idp_certificate)
    real.close_all() if hasattr(real, "close_all") else real.close()
    with serving(database_url, scim_rate=str(RATE), login_rate=str(RATE)) as server:
        yield Served(server.url, world.scim_token)


def storm(request: Callable[[], requests.Response]) -> tuple[Counter[int], float]:
    """Many requests at once, each on a connection of its own; their statuses, and how long it took."""
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: request(), range(CLIENTS * EACH)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.headers["Retry-After"].isdigit() for answer in refused)
    return Counter(answer.status_code for answer in answers), time.monotonic() - begun


def test_a_scim_rate_holds_over_the_processes(served: Served) -> None:
    """As many as are allowed and no more, in each window that fitted into the time that it took."""
    headers = {"Authorization": f"Bearer {served.scim_token}"}
    statuses, seconds = storm(lambda: requests.get(f"{served.url}/scim/v2/Users", headers=headers, timeout=30))
    assert set(statuses) == {200, 429}, statuses
    assert RATE <= statuses[200] <= RATE * (int(seconds) + 1)


def test_the_rate_of_sign_in_attempts_holds_over_the_processes(served: Served) -> None:
    """Exactly; the minute is long enough for all of them."""
    browser = requests.Session()
    page = Forms(browser.get(f"{served.url}/login", timeout=30))
    action, _, fields = next(form for form in page.forms if "password" in form[2])
    cookies = browser.cookies.get_dict()

    def guess() -> requests.Response:
        sent = {**fields, "email": f"{os.urandom(6).hex()}@acme.test", "password": "a guess"}
        return requests.post(action, data=sent, cookies=cookies, timeout=30)

    statuses, seconds = storm(guess)
    assert seconds < 60
    assert statuses == {403: RATE, 429: CLIENTS * EACH - RATE}
