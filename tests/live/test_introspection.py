"""Introspection by the production server: right the moment after a commit, and no use lost at a clean stop."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from peewee import fn

from idp_bridge import accounts, actors, bots, credentials, db, keyring, operator_keys
from idp_bridge.models import Credential, CredentialUse
from tests.conftest import SECRET_KEY
from tests.live.effect import Two, two
from tests.live.parties import TIMEOUT, serving

ROUNDS, ASKING = 4, 2  # clients at each server


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Two]:
    """Two servers on a database of each kind."""
    with two(database_url, tmp_path) as served:
        yield served


@dataclass
class Asker:
    """A client that asks without pause whether a credential works; each answer with when it was asked for and given."""

    url: str
    operator_key: str
    token: str
    answers: list[tuple[float, float, bool]] = field(default_factory=list)
    fault: BaseException | None = None

    def ask(self, client: requests.Session) -> bool:
        """Now."""
        begun = time.monotonic()
        answer = client.post(
            f"{self.url}/api/introspect",
            data={"token": self.token},
            headers={"Authorization": f"Bearer {self.operator_key}"},
            timeout=TIMEOUT,
        )
        told = answer.json()
        assert answer.status_code == 200, told
        assert told["active"] or told == {"active": False}
        self.answers.append((begun, time.monotonic(), told["active"]))
        return bool(told["active"])

    def run(self, stopped: threading.Event) -> None:
        """Until it is told to stop."""
        try:
            with requests.Session() as client:
                client.trust_env = False
                while not stopped.is_set():
                    self.ask(client)
        except BaseException as fault:
            self.fault = fault


def _bot(token_of: credentials.Kind) -> tuple[str, str, str]:
    """A bot user of acme, the secret of its credential, and an operator key."""
    with db.connection(), db.transaction():
        system = actors.system(accounts.find("acme"))
        bot = bots.create(system, "deploy")
        token = credentials.issue(system, token_of, bot).token
        return bot.id, token or "", operator_keys.issue("edge").token


def _wait_for_answers(askers: list[Asker], since: float, stopped: threading.Event) -> None:
    """Each has one that was asked for later than that."""
    deadline = time.monotonic() + TIMEOUT
    while not all(asker.answers and asker.answers[-1][0] > since for asker in askers):
        assert time.monotonic() < deadline
        assert all(asker.fault is None for asker in askers), [asker.fault for asker in askers]
        stopped.wait(0.002)  # between two looks, so that they and the servers have the processor


@pytest.mark.parametrize("kind", [credentials.AUTHTOKEN, credentials.API_KEY], ids=lambda kind: kind.name)
def test_no_process_says_active_after_the_deactivation_was_answered(both: Two, kind: credentials.Kind) -> None:
    """Nor inactive after the reactivation: clients at both servers ask all the while."""
    bot_id, token, operator_key = _bot(kind)
    askers = [Asker(served.url, operator_key, token) for served in (both.here, both.there) for _ in range(ASKING)]
    stopped = threading.Event()
    threads = [threading.Thread(target=asker.run, args=(stopped,)) for asker in askers]
    for thread in threads:
        thread.start()
    settled: list[tuple[float, float, bool]] = []
    try:
        for number in range(2 * ROUNDS):
            active = number % 2 == 1
            both.change("PATCH", f"/api/bot_users/{bot_id}", {"active": active})
            answered = time.monotonic()
            _wait_for_answers(askers, answered, stopped)
            settled.append((answered, time.monotonic(), active))
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert [asker.fault for asker in askers] == [None] * len(askers)
    for answered, next_change, active in settled:
        for asker in askers:
            told = [said for begun, ended, said in asker.answers if answered < begun and ended < next_change]
            assert told, "everybody has asked meanwhile"
            assert set(told) == {active}


def test_no_use_is_lost_at_a_clean_stop(database_url: str, tmp_path: Path) -> None:
    """Two processes, asked until a moment before they end: every answer is counted."""
    asked = 60
    with serving(database_url, tmp_path, workers=2) as service:
        real = db.open_database(database_url)
        keyring.unlock(SECRET_KEY)
        _, token, operator_key = _bot(credentials.AUTHTOKEN)
        asker = Asker(service.url, operator_key, token)
        for _ in range(asked):  # a connection for each, so that both processes get some
            with requests.Session() as client:
                client.trust_env = False
                assert asker.ask(client)
    with db.connection():
        assert CredentialUse.select(fn.SUM(CredentialUse.number)).scalar() == asked
        assert Credential.select().where(Credential.last_used_at.is_null(False)).count() == 1
    if hasattr(real, "close_all"):
        real.close_all()
