"""How soon a change is felt at another process: `python -m tests.live.effect --rounds 200`.

Two servers on one database. One takes the change; when its answer is there, the next request is sent to the other.
Measured is from that answer to the refusal, the whole request in it. Prints p50 and p99 for each kind of change.
"""

import argparse
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

from idp_bridge import accounts, actors, clock, credentials, db, keyring, member_lifecycle, members, people, sessions
from idp_bridge.models import IdentityProvider, RecoveryCode
from tests import postgres
from tests.conftest import SECRET_KEY, add_provider
from tests.live.parties import TIMEOUT, Service, new_sqlite, serving
from tests.saml import idp

COOKIE = "idp_bridge_session"
EMAIL = "mara@acme.test"


class Missed(AssertionError):
    """A request that began after the change was answered, and was let through all the same."""


@dataclass
class Two:
    """Two servers on one database, and the account acme with its provider and one member who is about to lose
    something. Reading and preparing is done on the database itself, which is nobody's cache."""

    here: Service
    there: Service
    provider_id: str
    scim_token: str
    user_id: str = ""
    record_id: str = ""
    _http: dict[str, requests.Session] = field(default_factory=lambda: {"here": _client(), "there": _client()})

    def change(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """At the one server, as an administrator or with another bearer; its JSON."""
        headers = {"Authorization": f"Bearer {token or self.here.worlds['acme'].api_key}"}
        answer = self._http["here"].request(method, self.here.url + path, json=body, headers=headers, timeout=TIMEOUT)
        assert answer.ok, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def ask(self, path: str, **headers: str) -> int:
        """At the other; the status."""
        answer = self._http["there"].get(self.there.url + path, headers=headers, timeout=TIMEOUT)
        return answer.status_code

    @contextmanager
    def database(self) -> Iterator[None]:
        """The database, for what comes before a round."""
        with db.connection():
            yield

    def join(self, *roles: str) -> None:
        """She is a member by hand, with these roles."""
        with self.database(), db.transaction():
            actor = actors.system(accounts.find("acme"))
            self.user_id = member_lifecycle.create(
                actor, email=EMAIL, managed_by="local", person=people.create(EMAIL), roles=roles or ("developer",)
            ).id

    def push(self) -> None:
        """She is a member by her directory."""
        body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": EMAIL, "active": True}
        self.record_id = self.change("POST", "/scim/v2/Users", body, token=self.scim_token)["id"]
        users = self.change("GET", "/api/users")["users"]
        self.user_id = next(user["id"] for user in users if user["email"] == EMAIL)

    def session(self, method: str = "saml") -> str:
        """A session of hers, as a request brings it."""
        with self.database(), db.transaction():
            opened = sessions.open_session(members.get(accounts.find("acme"), self.user_id), method=method)
        return f"{COOKIE}={opened.token}"

    def api_key(self) -> str:
        """A key of hers, as a request brings it."""
        with self.database(), db.transaction():
            account = accounts.find("acme")
            owner = members.get(account, self.user_id)
            issued = credentials.issue(actors.system(account), credentials.API_KEY, owner)
        return f"Bearer {issued.token}"

    def leave(self) -> None:
        """She is nobody again."""
        with self.database(), db.transaction():
            account = accounts.find("acme")
            for member in members.with_address(account, EMAIL):
                member_lifecycle.remove(actors.system(account), member)


def _client() -> requests.Session:
    client = requests.Session()
    client.trust_env = False  # reading the environment's proxies takes longer than the request
    return client


@contextmanager
def two(database_url: str, directory: Path) -> Iterator[Two]:
    """Both servers, of one process each."""
    with ExitStack() as stack:
        here = stack.enter_context(serving(database_url, directory, workers=1))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        environment = {**here.environment, "IDP_BRIDGE_BASE_URL": url}
        there = replace(here, url=url, log=directory / "there.log", environment=environment, process=None)
        there.start()
        stack.callback(there.stop)
        real = db.open_database(database_url)
        stack.callback(lambda: real.close_all() if hasattr(real, "close_all") else real.close())
        keyring.unlock(SECRET_KEY)
        with db.connection():
            world = here.worlds["acme"]
            provider = add_provider(world, idp.idp().certificate.pem)
        yield Two(here, there, provider.id, world.scim_token)


# --- what is lost -----------------------------------------------------------------------------------------------


Step = Callable[[], Any]
WHOAMI, USERS = "/api/whoami", "/api/identity_providers"


@dataclass(frozen=True)
class Round:
    """What she asks before and after, the change that takes it away, and what is answered then."""

    path: str
    headers: dict[str, str]
    change: Step
    refused: int = 401


def suspension(both: Two) -> Round:
    """By an administrator."""
    both.join()
    return Round(WHOAMI, {"Cookie": both.session()}, lambda: _patch(both, active=False))


def removal(both: Two) -> Round:
    """By an administrator."""
    both.join()
    return Round(WHOAMI, {"Cookie": both.session()}, lambda: both.change("DELETE", f"/api/users/{both.user_id}"))


def deactivation(both: Two) -> Round:
    """By her directory."""
    both.push()
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": False}],
    }
    path = f"/scim/v2/Users/{both.record_id}"
    return Round(WHOAMI, {"Cookie": both.session()}, lambda: both.change("PATCH", path, body, token=both.scim_token))


def role_loss(both: Two) -> Round:
    """She stays, as a viewer."""
    both.join("admin")
    return Round(USERS, {"Cookie": both.session()}, lambda: _patch(both, roles=["viewer"]), refused=403)


def enforcement(both: Two) -> Round:
    """Of single sign-on, against a session that a password opened."""
    both.join()
    with both.database():
        IdentityProvider.update(
            administrator_signed_in_at=clock.now(), proven_by=both.here.worlds["acme"].owner.id
        ).execute()
        RecoveryCode.create(member=both.here.worlds["acme"].owner, code_hash="hash")
    change = {"sso_mode": "enforced"}
    headers = {"Cookie": both.session("password")}
    return Round(WHOAMI, headers, lambda: both.change("PATCH", "/api/account", change))


def sign_out_everywhere(both: Two) -> Round:
    """By an administrator; she is a member as before."""
    both.join()
    path = f"/api/users/{both.user_id}/sessions"
    return Round(WHOAMI, {"Cookie": both.session()}, lambda: both.change("DELETE", path))


def key_of_the_suspended(both: Two) -> Round:
    """Her API key instead of her session."""
    both.join()
    return Round(WHOAMI, {"Authorization": both.api_key()}, lambda: _patch(both, active=False))


def _patch(both: Two, **body: Any) -> None:
    both.change("PATCH", f"/api/users/{both.user_id}", body)


CHANGES = (
    suspension,
    removal,
    deactivation,
    role_loss,
    enforcement,
    sign_out_everywhere,
    key_of_the_suspended,
)


def once(both: Two, prepare: Callable[[Two], Round]) -> tuple[float, float]:
    """One round; how many seconds the same request took that was still answered, and from the change's answer to the
    refusal. Raises Missed where the next request passes."""
    round = prepare(both)
    before, floor = _timed(both, round)
    assert before == 200, (prepare.__name__, before)
    round.change()
    after, seconds = _timed(both, round)
    _undo(both, prepare)
    if after != round.refused:
        raise Missed(f"{prepare.__name__}: {after} after it was answered, not {round.refused}")
    return floor, seconds


def _timed(both: Two, round: Round) -> tuple[int, float]:
    begun = time.perf_counter()
    return both.ask(round.path, **round.headers), time.perf_counter() - begun


def _undo(both: Two, prepare: Callable[[Two], Round]) -> None:
    if prepare is enforcement:
        both.change("PATCH", "/api/account", {"sso_mode": "mixed"})
    if prepare is deactivation:
        both.change("DELETE", f"/scim/v2/Users/{both.record_id}", token=both.scim_token)
    elif prepare is not removal:
        both.leave()


def main() -> None:
    """A table of milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.effect", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(nullcontext() if postgres.why_not() else postgres.postgres(durable=True))
        urls = {"SQLite": new_sqlite(folder)}
        if servers is not None:
            urls["PostgreSQL"] = servers.create_database()
            _migrate(urls["PostgreSQL"])
        print("| change | database | p50 ms | p99 ms | p99 of the request before it |\n|---|---|--:|--:|--:|")
        for name, url in urls.items():
            (folder / name).mkdir()
            with two(url, folder / name) as both:
                for change in CHANGES:
                    floors, times = zip(*(once(both, change) for _ in range(rounds)), strict=True)
                    told = (_part(times, 0.5), _part(times, 0.99), _part(floors, 0.99))
                    figures = " | ".join(f"{1000 * seconds:.1f}" for seconds in told)
                    print(f"| {change.__name__.replace('_', ' ')} | {name} | {figures} |", flush=True)


def _part(times: Sequence[float], part: float) -> float:
    return sorted(times)[min(int(len(times) * part), len(times) - 1)]


def _migrate(url: str) -> None:
    real = db.open_database(url)
    db.migrate()
    real.close_all()


if __name__ == "__main__":
    main()
