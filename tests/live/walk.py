"""Many clients who all change the members of one account at once, at random, through /api and /scim alone:
`python -m tests.live.walk --seconds 60`.

No answer is a failure of ours, the seats are never passed, and there is always an active administrator. Two
members have a key; they may suspend and demote each other. Where neither key works any more, the operator mends that.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import requests

from idp_bridge import accounts, actors, credentials, db, keyring, member_lifecycle, member_roles, members, people
from idp_bridge.errors import DomainError
from tests import postgres
from tests.conftest import SECRET_KEY, add_provider, counted_seats, seat_counts
from tests.live.parties import TIMEOUT, Service, new_sqlite, serving
from tests.saml import idp

CLIENTS = 8
SEATS = 7
ADDRESSES = [f"m{number}@acme.test" for number in range(10)]
GROUPS = ["ops", "devs"]
ROLES = ["admin", "developer", "viewer", "team_manager"]
USER, GROUP = (f"urn:ietf:params:scim:schemas:core:2.0:{name}" for name in ("User", "Group"))
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Account:
    """What the clients share: where it is, with what they come, and what was answered."""

    url: str
    keys: dict[str, str]  # member -> key
    scim_token: str
    provider_id: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    operator: threading.Lock = field(default_factory=threading.Lock)

    def mend(self) -> None:
        """One whose key we have is an active administrator, if there is a seat."""
        with self.operator, db.connection(), suppress(DomainError), db.transaction():
            stored = accounts.find("acme")
            member = members.get(stored, next(iter(self.keys)))
            if not member.active:
                member_lifecycle.unsuspend(actors.system(stored), member)
            held = set(member_roles.roles_of(stored, member))
            member_roles.set_roles(actors.system(stored), member, held | {"admin"})


class Client:
    """One of them; decides by its own random numbers."""

    def __init__(self, account: Account, seed: int) -> None:
        self.account, self.random = account, Random(seed)
        self.http = requests.Session()
        self.http.trust_env = False

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """By a key that still works; the JSON, or None where it was refused."""
        keys = list(self.account.keys.values())
        for key in self.random.sample(keys, len(keys)):
            answer = self.send(method, f"/api/{path}", key, body)
            if answer.status_code not in (401, 403) or "seats" in answer.text:
                break
        else:
            self.account.mend()
        return answer.json() if answer.ok and answer.content else None

    def scim(self, method: str, path: str, body: Any = None) -> Any:
        """As the directory."""
        answer = self.send(method, f"/scim/v2/{path}", self.account.scim_token, body)
        return answer.json() if answer.ok and answer.content else None

    def send(self, method: str, path: str, bearer: str, body: Any) -> requests.Response:
        """Anything but what a client has to expect is noted."""
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = self.http.request(method, self.account.url + path, json=body, headers=headers, timeout=TIMEOUT)
        self.account.answers[f"{method} {'/'.join(path.split('/')[:3])}", answer.status_code] += 1
        gone_meanwhile = "no user of this directory has the id" in answer.text
        # 503: of two who waited for each other in a circle PostgreSQL ends one, and nothing of it is done.
        failed = answer.status_code >= 500 and answer.status_code != 503
        if failed or (answer.status_code in (400, 405, 415) and not gone_meanwhile):
            self.account.wrong.append(f"{method} {path} {body}: {answer.status_code} {answer.text[:300]}")
        return answer

    def any_of(self, listed: Any, plural: str) -> Any:
        """One of a list's, or None."""
        rows = (listed or {}).get(plural) or []
        return self.random.choice(rows) if rows else None

    def step(self) -> None:
        """One thing that changes something, and a look at the seats."""
        self.random.choice(STEPS)(self)
        seats = (self.api("GET", "account") or {}).get("seats")
        if seats and seats["used"] + seats["reserved"] > seats["limit"]:
            self.account.wrong.append(f"seats: {seats}")


def _of_user(change: Callable[[Client, str], Any]) -> Callable[[Client], None]:
    def step(client: Client) -> None:
        user = client.any_of(client.api("GET", "users"), "users")
        if user is not None:
            change(client, user["id"])

    return step


def _of_record(change: Callable[[Client, str], Any]) -> Callable[[Client], None]:
    def step(client: Client) -> None:
        record = client.any_of(client.scim("GET", "Users"), "Resources")
        if record is not None:
            change(client, record["id"])

    return step


def _roles(client: Client, user: str) -> None:
    names = client.random.sample(ROLES, client.random.randint(1, 2))
    client.api("PATCH", f"users/{user}", {"roles": names})


def _active(client: Client, record: str) -> None:
    operation = {"op": "replace", "path": "active", "value": client.random.random() < 0.6}
    client.scim("PATCH", f"Users/{record}", {"schemas": [PATCH_OP], "Operations": [operation]})


def _invite(client: Client) -> None:
    client.api("POST", "invitations", {"email": client.random.choice(ADDRESSES), "roles": ["viewer"]})


def _settle_invitation(client: Client) -> None:
    invitation = client.any_of(client.api("GET", "invitations"), "invitations")
    if invitation is not None:
        again = client.random.random() < 0.5
        method, end = ("POST", "/resend") if again else ("DELETE", "")
        client.api(method, f"invitations/{invitation['id']}{end}")


def _push(client: Client) -> None:
    active = client.random.random() < 0.8
    body = {"schemas": [USER], "userName": client.random.choice(ADDRESSES), "active": active}
    client.scim("POST", "Users", body)


def _push_group(client: Client) -> None:
    members = client.random.sample((client.scim("GET", "Users") or {}).get("Resources", [])[:6], 0)
    body = {"schemas": [GROUP], "displayName": client.random.choice(GROUPS), "members": members}
    client.scim("POST", "Groups", body)


def _change_group(client: Client) -> None:
    group = client.any_of(client.scim("GET", "Groups"), "Resources")
    record = client.any_of(client.scim("GET", "Users"), "Resources")
    if group is not None and record is not None:
        verb = client.random.choice(["add", "remove"])
        operation = {"op": verb, "path": "members", "value": [{"value": record["id"]}]}
        answer = {"schemas": [PATCH_OP], "Operations": [operation]}
        client.send("PATCH", f"/scim/v2/Groups/{group['id']}", client.account.scim_token, answer)


def _map(client: Client) -> None:
    body = {
        "identity_provider_id": client.account.provider_id,
        "group_display_name": client.random.choice(GROUPS),
        "role": client.random.choice(ROLES),
    }
    client.api("POST", "role_mappings", body)


def _change_mapping(client: Client) -> None:
    mapping = client.any_of(client.api("GET", "role_mappings"), "role_mappings")
    if mapping is not None:
        if client.random.random() < 0.5:
            client.api("PATCH", f"role_mappings/{mapping['id']}", {"role": client.random.choice(ROLES)})
        else:
            client.api("DELETE", f"role_mappings/{mapping['id']}")


def _switch(client: Client) -> None:
    may = client.random.random() < 0.5
    client.api("PATCH", f"identity_providers/{client.account.provider_id}", {"may_grant_admin": may})


STEPS: list[Callable[[Client], None]] = [
    *(_invite, _settle_invitation, _push, _push, _push_group, _change_group, _change_group, _map, _change_mapping),
    *(_switch, _of_user(_roles), _of_user(_roles), _of_record(_active), _of_record(_active)),
    _of_record(lambda client, record: client.scim("DELETE", f"Users/{record}")),
    _of_user(lambda client, user: client.api("PATCH", f"users/{user}", {"active": False})),
    _of_user(lambda client, user: client.api("PATCH", f"users/{user}", {"active": True})),
    _of_user(lambda client, user: client.api("PATCH", f"users/{user}", {"active": True})),
    _of_user(lambda client, user: client.api("DELETE", f"users/{user}/sessions")),
    _of_user(lambda client, user: client.api("POST", f"users/{user}/restore")),
    _of_user(lambda client, user: user in client.account.keys or client.api("DELETE", f"users/{user}")),
]


def prepare(service: Service) -> Account:
    """Seven seats, a provider, and the second administrator with her key."""
    db.open_database(service.database_url)
    keyring.unlock(SECRET_KEY)
    world = service.worlds["acme"]
    with db.connection():
        provider = add_provider(world, idp.idp().certificate.pem)
        with db.transaction():
            world.account.seats = SEATS
            world.account.save()
            second = member_lifecycle.create(
                world.system,
                email="second@acme.test",
                managed_by="local",
                person=people.create("second@acme.test"),
                roles=["admin"],
            )
            key = credentials.issue(world.system, credentials.API_KEY, second).token
    assert key is not None
    return Account(service.url, {world.owner.id: world.api_key, second.id: key}, world.scim_token, provider.id)


def walk(account: Account, *, seconds: float, seed: int) -> None:
    """All at once, for so long; then what must hold at the end."""
    until = time.monotonic() + seconds

    def run(number: int) -> None:
        client = Client(account, seed * 1000 + number)
        while time.monotonic() < until and not account.wrong:
            try:
                client.step()
            except Exception as error:  # a thread's end would be nobody's news
                account.wrong.append(repr(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.connection():
        assert seat_counts() == counted_seats()
        assert member_roles.administrators(accounts.find("acme")), "nobody is an administrator"


def main() -> None:
    """On SQLite, then on PostgreSQL; what was answered, and what should not have been."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.walk", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(nullcontext() if postgres.why_not() else postgres.postgres())
        urls = {"SQLite": new_sqlite(folder)}
        if servers is not None:
            urls["PostgreSQL"] = servers.create_database()
            db.open_database(urls["PostgreSQL"])
            db.migrate()
            db.disconnect()
        for name, url in urls.items():
            (folder / name).mkdir()
            with serving(url, folder / name, workers=2) as service:
                account = prepare(service)
                walk(account, seconds=asked.seconds, seed=asked.seed)
                print(name, f"seed {asked.seed}", *sorted(account.answers.items()), *account.wrong, sep="\n")
                db.disconnect()


if __name__ == "__main__":
    main()
