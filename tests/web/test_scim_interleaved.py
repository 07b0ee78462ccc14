"""A group as a set under several clients at once (RFC 7644 §3.5.2): whatever the threads do to each other, all answers
together are those of some order in which the requests could have come one after another."""

import json
import threading
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from tests.conftest import ScimClient

CLIENTS, REQUESTS, PEOPLE = 4, 5, 6


@dataclass(frozen=True)
class Request:
    """What one client asks: operations on the members by the numbers of users, or the end of a user."""

    operations: tuple[tuple[str, frozenset[int]], ...] = ()
    deleted: int | None = None


@dataclass(frozen=True)
class State:
    """The model: who is in the group, who is gone for good, and which version this is."""

    members: frozenset[int]
    gone: frozenset[int] = frozenset()
    version: int = 1

    def after(self, request: Request) -> tuple["State", str]:
        """The state that follows, and the answer: a version, or a status."""
        if request.deleted is not None:
            if request.deleted in self.gone:
                return self, "404"
            members = self.members - {request.deleted}
            return State(members, self.gone | {request.deleted}, self.version + (members != self.members)), "204"
        members = self.members
        for verb, named in request.operations:
            members = named if verb == "replace" else members | named if verb == "add" else members - named
        if (members - self.members) & self.gone:
            return self, "400"
        version = self.version + (members != self.members)
        return State(members, self.gone, version), f'W/"{version}"'


def _request(dice: Random) -> Request:
    if dice.random() < 0.08:
        return Request(deleted=dice.randrange(PEOPLE))

    def operation() -> tuple[str, frozenset[int]]:
        verb = dice.choice(("add", "add", "remove", "remove", "replace"))
        return verb, frozenset(dice.sample(range(PEOPLE), dice.randint(1, 3)))

    return Request(tuple(operation() for _ in range(dice.choice((1, 1, 2)))))


class Group:
    """A group of the running application, and the people who may be in it."""

    def __init__(self, client: ScimClient, name: str) -> None:
        self._client = client
        self._ids = [self._made("/Users", {"userName": f"{name}-{n}"}) for n in range(PEOPLE)]
        self._id = self._made("/Groups", {"displayName": name, "members": [{"value": self._ids[0]}]})

    def _made(self, path: str, body: dict[str, Any]) -> str:
        return str(self._send("POST", path, body).get_json(force=True)["id"])

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._client.token}", "Content-Type": "application/scim+json"}
        return self._client.open(method, path, headers, json.dumps(body).encode() if body else None)

    def ask(self, request: Request) -> str:
        """The version after a change of members; the status of everything else."""
        if request.deleted is not None:
            return str(self._send("DELETE", f"/Users/{self._ids[request.deleted]}").status_code)
        answer = self._send(
            "PATCH", f"/Groups/{self._id}", {"Operations": [self._message(*o) for o in request.operations]}
        )
        return str(answer.headers["ETag"] if answer.status_code == 204 else answer.status_code)

    def _message(self, verb: str, named: frozenset[int]) -> dict[str, Any]:
        return {"op": verb, "path": "members", "value": [{"value": self._ids[n]} for n in sorted(named)]}

    def state(self) -> tuple[frozenset[int], str]:
        """Who is in it now, and which version that is."""
        answer = self._send("GET", f"/Groups/{self._id}")
        members = answer.get_json(force=True).get("members", [])
        assert len({member["value"] for member in members}) == len(members)
        return frozenset(self._ids.index(member["value"]) for member in members), str(answer.headers["ETag"])


def _together(group: Group, asked: list[list[Request]]) -> list[list[str]]:
    """Each client in a thread of its own, all from the same moment; the answers."""
    answers: list[list[str]] = [[] for _ in asked]
    ready = threading.Barrier(len(asked))

    def run(n: int) -> None:
        ready.wait()
        answers[n].extend(group.ask(request) for request in asked[n])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def orders(asked: list[list[Request]], answers: list[list[str]], begin: State) -> set[State]:
    """The states in which some serial order ends that would have been answered like this."""
    reached = {((0,) * len(asked), begin)}
    for _ in range(sum(map(len, asked))):
        reached = {
            ((*done[:n], done[n] + 1, *done[n + 1 :]), state.after(asked[n][done[n]])[0])
            for done, state in reached
            for n in range(len(asked))
            if done[n] < len(asked[n]) and state.after(asked[n][done[n]])[1] == answers[n][done[n]]
        }
    return {state for _, state in reached}


@pytest.mark.parametrize("seed", range(5))
def test_interleaved_changes_come_to_a_serial_order(scim_client: ScimClient, seed: int) -> None:
    """No member is lost and no ghost stays: add, remove and replace by several clients, while users are deleted."""
    dice = Random(seed)
    group = Group(scim_client, f"crew-{seed}")
    asked = [[_request(dice) for _ in range(REQUESTS)] for _ in range(CLIENTS)]
    answers = _together(group, asked)
    ends = {(state.members, f'W/"{state.version}"') for state in orders(asked, answers, State(frozenset({0})))}
    assert ends, f"no serial order is answered like this: {asked} {answers}"
    assert group.state() in ends


def test_the_model_knows_a_lost_member() -> None:
    """Two additions from the same version cannot both have been the second."""
    asked = [[Request((("add", frozenset({1})),))], [Request((("add", frozenset({2})),))]]
    begin = State(frozenset({0}))
    assert {state.members for state in orders(asked, [['W/"2"'], ['W/"3"']], begin)} == {frozenset({0, 1, 2})}
    assert orders(asked, [['W/"2"'], ['W/"2"']], begin) == set()
