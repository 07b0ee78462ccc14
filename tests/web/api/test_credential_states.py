"""Every kind of credential in every state of its owner: who may use it, who sees it, who may make one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from idp_bridge import db, last_uses, operator_keys
from tests.web.api.conftest import Caller, member_with, push_user
from tests.web.api.test_introspect import INACTIVE, PATH, ask, issue

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Stage:
    """The administrator, a provider's directory, and the product's edge."""

    api: Caller
    edge: Caller
    directory: Caller
    records: dict[str, str] = field(default_factory=dict)

    def member(self) -> str:
        """One made by hand."""
        return member_with(self.api, "developer", email="by-hand@acme.test")[0]

    def provisioned(self) -> str:
        """One whom the directory pushed."""
        record = push_user(self.api, self.directory.key, "pushed@acme.test")
        (row,) = [row for row in self.api.get("users")["users"] if row["email"] == "pushed@acme.test"]
        self.records[row["id"]] = record["id"]
        return str(row["id"])

    def bot(self) -> str:
        """A bot user."""
        return str(self.api.post("bot_users", {"name": "deploy"})["id"])

    def switch(self, active: bool) -> Callable[[str], Any]:
        """An administrator's, of a member or a bot user."""
        return lambda id: self.api.patch(f"{_collection(id)}/{id}", {"active": active})

    def push(self, active: bool) -> Callable[[str], Any]:
        """The directory's."""
        body = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": active}]}
        return lambda id: self.directory.call("PATCH", f"/scim/v2/Users/{self.records[id]}", body, expect=200)

    def delete(self, id: str) -> None:
        """By an administrator, for good."""
        self.api.delete(f"{_collection(id)}/{id}")

    def deprovision(self, id: str) -> None:
        """By the directory; kept for 30 days."""
        self.directory.call("DELETE", f"/scim/v2/Users/{self.records[id]}", expect=204)

    def restore(self, id: str) -> None:
        """The directory's DELETE undone."""
        self.api.post(f"users/{id}/restore", None, expect=200)


def _collection(id: str) -> str:
    return "bot_users" if id.startswith("bot_") else "users"


@pytest.fixture
def stage(app: Flask, api: Caller, connection: dict[str, Any]) -> Stage:
    """Everything that a credential's owner can be changed by."""
    provider = api.post("identity_providers", connection)
    token = api.post(f"identity_providers/{provider['id']}/scim_tokens", {})["token"]
    with db.connection(), db.transaction():
        operator = operator_keys.issue("edge").token
    return Stage(api, Caller(app, operator), Caller(app, token, {"Content-Type": "application/scim+json"}))


@dataclass(frozen=True)
class State:
    """What happens to an owner after the credential was made, and what holds then."""

    owner: Callable[[Stage], str]
    happens: Callable[[Stage], list[Callable[[str], Any]]]
    works: bool
    listed: bool
    create: int


WORKS, SLEEPS, GONE = (True, True, 201), (False, True, 409), (False, False, 404)

STATES = {
    "member": State(Stage.member, lambda _: [], *WORKS),
    "member, suspended": State(Stage.member, lambda s: [s.switch(False)], *SLEEPS),
    "member, revived": State(Stage.member, lambda s: [s.switch(False), s.switch(True)], *WORKS),
    "member, removed": State(Stage.member, lambda s: [s.delete], *GONE),
    "pushed": State(Stage.provisioned, lambda _: [], *WORKS),
    "pushed, off": State(Stage.provisioned, lambda s: [s.push(False)], *SLEEPS),
    "pushed, on again": State(Stage.provisioned, lambda s: [s.push(False), s.push(True)], *WORKS),
    "pushed, suspended": State(Stage.provisioned, lambda s: [s.switch(False)], *SLEEPS),
    "pushed, suspended, on": State(Stage.provisioned, lambda s: [s.switch(False), s.push(True)], *SLEEPS),
    "pushed, off, released": State(Stage.provisioned, lambda s: [s.push(False), s.switch(False)], *SLEEPS),
    "pushed, deprovisioned": State(Stage.provisioned, lambda s: [s.deprovision], False, True, 404),
    "pushed, restored": State(Stage.provisioned, lambda s: [s.deprovision, s.restore], *WORKS),
    "bot": State(Stage.bot, lambda _: [], *WORKS),
    "bot, off": State(Stage.bot, lambda s: [s.switch(False)], *SLEEPS),
    "bot, on again": State(Stage.bot, lambda s: [s.switch(False), s.switch(True)], *WORKS),
    "bot, deleted": State(Stage.bot, lambda s: [s.delete], *GONE),
}


@pytest.mark.parametrize("name", STATES)
def test_a_credential_does_what_its_owner_s_state_allows(stage: Stage, name: str) -> None:
    """Authenticate, introspect, list and create, for each kind; nothing is copied, so nothing can be left behind."""
    state = STATES[name]
    owner = state.owner(stage)
    made = {kind: issue(stage.api, kind, owner_id=owner) for kind in PATH}
    for happens in state.happens(stage):
        happens(owner)
    for kind, (row, shown) in made.items():
        _used(stage, kind, shown, works=state.works, owner=owner)
        listing = stage.api.get(PATH[kind])["keys" if kind == "api_key" else PATH[kind]]
        assert (row["id"] in {one["id"] for one in listing}) == state.listed, kind
        assert stage.api.call("GET", f"{PATH[kind]}/{row['id']}").status_code == (200 if state.listed else 404)
        if kind != "ssh_public_key":
            stage.api.post(PATH[kind], {"owner_id": owner}, expect=state.create)


def _used(stage: Stage, kind: str, shown: str, *, works: bool, owner: str) -> None:
    told = ask(stage.edge, shown)
    assert (told["active"], told.get("owner_id")) == (works, owner if works else None), kind
    if not works:
        assert told == INACTIVE
    if kind == "api_key":
        answer = Caller(stage.api.app, shown).call("GET", "whoami")
        assert answer.status_code == (200 if works else 401)
    if kind == "authtoken":
        assert "authtoken" in Caller(stage.api.app, shown).get("whoami", expect=401)["msg"]


def test_what_would_break_if_a_bot_were_off(api: Caller, stage: Stage) -> None:
    """The uses of its credentials, those used most first; of another account's bot nothing."""
    bot = stage.bot()
    made = {kind: issue(api, kind, owner_id=bot) for kind in PATH}
    for _ in range(2):
        ask(stage.edge, made["authtoken"][1], client_address="192.0.2.7")
    Caller(api.app, made["api_key"][1]).get("whoami")
    last_uses.write()
    told = api.get(f"bot_users/{bot}/uses")["uses"]
    assert [(row["kind"], row["total"], row["last_used_address"]) for row in told] == [
        ("authtoken", 2, "192.0.2.7"),
        ("api_key", 1, "127.0.0.1"),
        ("ssh_public_key", 0, None),
    ]
    assert [(day["number"], day["address"]) for day in told[0]["days"]] == [(2, "192.0.2.7")]
    assert told[0]["days"][0]["day"] == told[0]["last_used_at"][:10]
