"""Introspection by the production server: right the moment after a commit, and no use lost at a clean stop."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from peewee import fn

from idp_bridge import accounts, actors, bots, credentials, db, keyring, members, operator_keys
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


def _issued(kind: credentials.Kind, owner: credentials.Owner) -> str:
    """What is shown of a new credential: its secret, or the line of its public key. In a transaction."""
    line = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    public_key = line.decode() if kind is credentials.SSH_PUBLIC_KEY else None
    issued = credentials.issue(actors.system(accounts.find("acme")), kind, owner, public_key=public_key)
    return issued.token or issued.credential.public_key


def _bot(kind: credentials.Kind) -> tuple[str, str, str]:
    """A bot user of acme, what is shown of its credential, and an operator key."""
    with db.connection(), db.transaction():
        bot = bots.create(actors.system(accounts.find("acme")), "deploy")
        return bot.id, _issued(kind, bot), operator_keys.issue("edge").token


def _hers(both: Two, kind: credentials.Kind) -> tuple[str, str]:
    """What is shown of a credential of the member who has joined or was pushed, and an operator key."""
    with db.connection(), db.transaction():
        owner = members.get(accounts.find("acme"), both.user_id)
        return _issued(kind, owner), operator_keys.issue("edge").token


Switch = Callable[[bool], Any]


def _of_a_bot(both: Two, kind: credentials.Kind) -> tuple[str, str, Switch]:
    bot_id, shown, operator_key = _bot(kind)
    return shown, operator_key, lambda on: both.change("PATCH", f"/api/bot_users/{bot_id}", {"active": on})


def _of_a_member(both: Two, kind: credentials.Kind) -> tuple[str, str, Switch]:
    both.join()
    return *_hers(both, kind), lambda on: both.change("PATCH", f"/api/users/{both.user_id}", {"active": on})


def _of_a_directory(both: Two, kind: credentials.Kind) -> tuple[str, str, Switch]:
    both.push()

    def switch(on: bool) -> Any:
        operation = {"op": "replace", "path": "active", "value": on}
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
        return both.change("PATCH", f"/scim/v2/Users/{both.record_id}", body, token=both.scim_token)

    return *_hers(both, kind), switch


#: Whose credential, and of which kind: each owner and each kind at least once.
RACES = [
    (_of_a_bot, credentials.AUTHTOKEN),
    (_of_a_bot, credentials.SSH_PUBLIC_KEY),
    (_of_a_member, credentials.API_KEY),
    (_of_a_member, credentials.SSH_PUBLIC_KEY),
    (_of_a_directory, credentials.AUTHTOKEN),
]


def _wait_for_answers(askers: list[Asker], since: float, stopped: threading.Event) -> None:
    """Each has one that was asked for later than that."""
    deadline = time.monotonic() + TIMEOUT
    while not all(asker.answers and asker.answers[-1][0] > since for asker in askers):
        assert time.monotonic() < deadline
        assert all(asker.fault is None for asker in askers), [asker.fault for asker in askers]
        stopped.wait(0.002)  # between two looks, so that they and the servers have the processor


@pytest.mark.parametrize(("prepare", "kind"), RACES, ids=lambda part: getattr(part, "name", None) or part.__name__[1:])
def test_no_process_says_active_after_the_deactivation_was_answered(
    both: Two, prepare: Callable[[Two, credentials.Kind], tuple[str, str, Switch]], kind: credentials.Kind
) -> None:
    """Nor inactive after the reactivation: clients at both servers ask all the while, whoever is switched off, by the
    API or by her directory."""
    shown, operator_key, switch = prepare(both, kind)
    askers = [Asker(served.url, operator_key, shown) for served in (both.here, both.there) for _ in range(ASKING)]
    stopped = threading.Event()
    threads = [threading.Thread(target=asker.run, args=(stopped,)) for asker in askers]
    for thread in threads:
        thread.start()
    settled: list[tuple[float, float, bool]] = []
    try:
        for number in range(2 * ROUNDS):
            active = number % 2 == 1
            switch(active)
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
