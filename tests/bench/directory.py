"""The SCIM and API benchmarks, each beside the floor of its kind: read, insert or update."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from tests.bench import introspection
from tests.bench.client import Answer, Connection, drive
from tests.bench.lanes import Figures, Lane, in_turns
from tests.bench.stage import Stage, external_id, person

CONNECTIONS = (1, 4)
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


def operations(*each: dict[str, Any]) -> dict[str, Any]:
    """A PATCH body."""
    return {"schemas": [PATCH], "Operations": list(each)}


class ThereAndBack:
    """Two lanes that undo each other, so that every slice begins where the one before began: what the first has done
    to some items, the second undoes for exactly those."""

    def __init__(self, items: Sequence[str], there: Callable[[str], bytes], back: Callable[[str], bytes]) -> None:
        self._items, self._there, self._back = items, there, back
        self._done: list[str] = []

    def there(self) -> Iterator[bytes]:
        for item in self._items:
            self._done.append(item)
            yield self._there(item)

    def back(self) -> Iterator[bytes]:
        done, self._done = self._done, []
        for item in done:
            yield self._back(item)


class Directory:
    """The benchmarks of one stage, in the order in which they can be run: creating fills what the others need."""

    def __init__(self, stage: Stage, *, rounds: int, seconds: float) -> None:
        self._stage = stage
        self._rounds, self._seconds = rounds, seconds
        self._random = random.Random(7)
        self._records = itertools.count(stage.size)
        self._people = itertools.count()

    def run(self, say: Callable[[str], None]) -> Iterator[Figures]:
        """Everything; ``say`` is told what comes next."""
        for title, part in (
            ("creating users", self._creating),
            ("reading users", self._reading),
            ("introspecting credentials", self._introspecting),
            ("changing users", self._changing),
            ("pages", self._pages),
            ("groups", self._groups),
        ):
            say(title)
            yield from part()

    # --- the floors ---------------------------------------------------------------------------------------------

    def _floor(self, name: str, requests: Callable[[], Iterator[bytes]], status: int) -> Lane:
        return Lane(f"floor: {name}", self._stage.floor, requests, status)

    def _read_floor(self) -> Lane:
        stage = self._stage
        return self._floor("read", lambda: (stage.record("GET", n) for n in self._any_number()), 200)

    def _insert_floor(self) -> Lane:
        def requests() -> Iterator[bytes]:
            for n in self._records:
                yield self._stage.record("POST", body={"id": f"du_{n:026d}", "document": person(n)})

        return self._floor("insert", requests, 204)

    def _update_floor(self) -> Lane:
        def requests() -> Iterator[bytes]:
            for n, active in zip(self._any_number(), itertools.cycle((False, True)), strict=False):
                yield self._stage.record("PATCH", n, {"active": active})

        return self._floor("update", requests, 204)

    def _any_number(self) -> Iterator[int]:
        while True:
            yield self._random.randrange(self._stage.size)

    # --- users --------------------------------------------------------------------------------------------------

    def _creating(self) -> Iterator[Figures]:
        """The directory is filled by what is measured, and then to its size."""
        stage = self._stage
        lane = Lane("POST /Users", stage.product, self._new_people, 201, lambda answer: "id" in answer.json())
        yield from self._turns([lane], self._insert_floor(), connections=CONNECTIONS)
        made = next(self._people)
        rest = (stage.scim("POST", "/Users", person(n)) for n in range(made, max(made, stage.size)))
        filled = drive(stage.product.port, rest, connections=4, seconds=None)
        if set(filled.statuses) - {201}:
            raise RuntimeError(f"filling the directory: {dict(filled.statuses)}")
        stage.size = max(made, stage.size)
        stage.read_users()

    def _new_people(self) -> Iterator[bytes]:
        return (self._stage.scim("POST", "/Users", person(n)) for n in self._people)

    def _reading(self) -> Iterator[Figures]:
        stage = self._stage

        def filtering(name: str, text: Callable[[int], str], total: int) -> Lane:
            def requests() -> Iterator[bytes]:
                return (stage.scim("GET", f"/Users?filter={quote(text(n))}") for n in self._any_number())

            return self._reader(f"filter {name}", requests, lambda answer: answer.json()["totalResults"] == total)

        get = self._reader(
            "GET /Users/{id}",
            lambda: (stage.scim("GET", f"/Users/{stage.users[n]}") for n in self._any_number()),
            lambda answer: answer.json()["active"],
        )
        by_name = filtering("userName eq, hit", lambda n: f'userName eq "{person(n)["userName"]}"', 1)
        yield from self._turns([get, by_name], self._read_floor(), connections=CONNECTIONS)
        others = [
            filtering("userName eq, miss", lambda n: f'userName eq "nobody{n}@bench.test"', 0),
            filtering("externalId eq, hit", lambda n: f'externalId eq "{external_id(n)}"', 1),
            filtering("externalId eq, miss", lambda n: f'externalId eq "nobody{n}"', 0),
        ]
        yield from self._turns(others, self._read_floor())
        whoami = Lane(
            "GET /api/whoami by API key",
            stage.product,
            lambda: itertools.repeat(stage.api("/whoami")),
            check=lambda answer: answer.json()["roles"] == ["admin"],
        )
        yield from self._turns([whoami], self._read_floor())

    def _introspecting(self) -> Iterator[Figures]:
        stage = self._stage
        asked = introspection.lanes(stage.product, stage.shown, operator_key=stage.operator_key, api_key=stage.api_key)
        yield from self._turns(asked, self._read_floor(), connections=CONNECTIONS)

    def _changing(self) -> Iterator[Figures]:
        stage = self._stage

        def switch(active: bool) -> Callable[[str], bytes]:
            body = operations({"op": "replace", "path": "active", "value": active})
            return lambda id: stage.scim("PATCH", f"/Users/{id}", body)

        turns = ThereAndBack(self._shuffled(), switch(False), switch(True))
        off, on = (
            Lane(f"PATCH active={str(active).lower()}", stage.product, requests, check=_shows(active), whole=active)
            for active, requests in ((False, turns.there), (True, turns.back))
        )
        yield from self._turns([off, on], self._update_floor(), connections=CONNECTIONS)

    def _pages(self) -> Iterator[Figures]:
        stage = self._stage
        starts = {"first": 1, "deep": stage.size - 150}
        lanes = [
            self._reader(
                f"list count=100, {name} page",
                lambda start=start: itertools.repeat(  # type: ignore[misc]
                    stage.scim("GET", f"/Users?startIndex={start}&count=100")
                ),
                lambda answer: len(answer.json()["Resources"]) == 100,
            )
            for name, start in starts.items()
        ]
        yield from self._turns(lanes)

    def _reader(
        self, name: str, requests: Callable[[], Iterator[bytes]], check: Callable[[Answer], bool] = lambda _: True
    ) -> Lane:
        return Lane(name, self._stage.product, requests, check=check)

    # --- groups -------------------------------------------------------------------------------------------------

    def _groups(self) -> Iterator[Figures]:
        """A small group and a large one, side by side: what changes or reads a part must cost the same for both."""
        ids = self._shuffled()
        large = min(10_000, len(ids) // 2)
        spare = ids[large:]
        groups = {size: self._make_group(ids[:size]) for size in (10, large)}
        heads = [
            self._reader(
                f"GET group without members, of {size:,}",
                lambda id=id: itertools.repeat(  # type: ignore[misc]
                    self._stage.scim("GET", f"/Groups/{id}?excludedAttributes=members")
                ),
                lambda answer: "members" not in answer.json(),
            )
            for size, id in groups.items()
        ]
        yield from self._turns(heads, self._read_floor())
        ones = [lane for size, id in groups.items() for lane in self._membership(id, size, spare, 1)]
        yield from self._turns(ones, self._update_floor())
        hundreds = [lane for size, id in groups.items() for lane in self._membership(id, size, spare, 100)]
        yield from self._turns(hundreds)
        for size, id in groups.items():
            self._count(id, size)

    def _make_group(self, members: Sequence[str]) -> str:
        sent = {"schemas": [GROUP], "displayName": f"Group of {len(members)}"}
        body = {**sent, "members": [{"value": member} for member in members]}
        with Connection(self._stage.product.port) as connection:
            answer = connection.send(self._stage.scim("POST", "/Groups", body))
        if answer.status != 201:
            raise RuntimeError(f"making a group: {answer}")
        return str(answer.json()["id"])

    def _membership(self, group: str, size: int, spare: Sequence[str], many: int) -> list[Lane]:
        """Add that many members by one PATCH, and remove them again as Entra ID does (one) or Okta (more)."""
        parts = {
            part[0]: part for start in range(0, len(spare), many) if len(part := spare[start : start + many]) == many
        }

        def change(op: dict[str, Any]) -> bytes:
            return self._stage.scim("PATCH", f"/Groups/{group}", operations(op))

        def add(first: str) -> bytes:
            return change({"op": "add", "path": "members", "value": [{"value": id} for id in parts[first]]})

        def remove(first: str) -> bytes:
            if many == 1:
                return change({"op": "remove", "path": f'members[value eq "{first}"]'})
            return change({"op": "remove", "path": "members", "value": [{"value": id} for id in parts[first]]})

        turns = ThereAndBack(list(parts), add, remove)
        label = "one" if many == 1 else str(many)
        return [
            Lane(f"PATCH group add {label}, of {size:,}", self._stage.product, turns.there, 204),
            Lane(f"PATCH group remove {label}, of {size:,}", self._stage.product, turns.back, 204, whole=True),
        ]

    def _count(self, group: str, size: int) -> None:
        with Connection(self._stage.product.port) as connection:
            members = connection.send(self._stage.scim("GET", f"/Groups/{group}")).json().get("members", [])
        if len(members) != size:
            raise RuntimeError(f"a group of {size} has {len(members)} members after as many adds as removes")

    # --- running ------------------------------------------------------------------------------------------------

    def _turns(
        self, lanes: Sequence[Lane], floor: Lane | None = None, *, connections: Sequence[int] = (1,)
    ) -> Iterator[Figures]:
        for count in connections:
            yield from in_turns(lanes, floor=floor, rounds=self._rounds, seconds=self._seconds, connections=count)

    def _shuffled(self) -> list[str]:
        ids = list(self._stage.users.values())
        self._random.shuffle(ids)
        return ids


def _shows(active: bool) -> Callable[[Answer], bool]:
    return lambda answer: answer.json()["active"] is active
