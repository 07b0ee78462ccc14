"""One provisioning cycle as a list of steps: what every provider's life with a SCIM server has in common.

Owns who of the sample directory is known to the server under which id. The steps themselves, their order and
their requests are the dialects' (`okta.py`, `entra.py`).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from idp_bridge.simulator import answers
from idp_bridge.simulator.answers import Answer, Check
from idp_bridge.simulator.people import Person, Team
from idp_bridge.simulator.wire import Manners, Unauthorised, Wire

CORE_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
CORE_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def equals(attribute: str, value: str) -> str:
    """A filter; its value is a JSON string (7644 section 3.4.2.2)."""
    return f"{attribute} eq {json.dumps(value, ensure_ascii=False)}"


@dataclass(frozen=True)
class Step:
    """One thing the provider does, with the words for a progress line."""

    name: str
    act: Callable[[], None]


@dataclass(frozen=True)
class Population:
    """Whom a run provisions, and whether they stay.

    `disposable` people exist for the run alone: even those found on the server are removed at its end.
    """

    people: Sequence[Person]
    teams: Sequence[Team]
    leave_in_place: bool
    disposable: bool


class Cycle(ABC):
    """A provider's dialect, played against one server."""

    provider: ClassVar[str]
    dialect: ClassVar[str]
    manners: ClassVar[Manners]

    def __init__(self, wire: Wire, population: Population) -> None:
        self.wire = wire
        self.population = population
        self.users: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.created: set[str] = set()

    @abstractmethod
    def steps(self) -> Iterator[Step]:
        """The whole life, in order."""

    def first_contact(self) -> None:
        """The first answer decides whether there is any sense in going on; raises Unauthorised."""
        if self.wire.statuses[401] or self.wire.statuses[403]:
            raise Unauthorised(f"{self.wire.base_url} does not accept this token ({self.wire.findings[-1].got}).")

    def known(self) -> Iterator[tuple[Person, str]]:
        """The people whom the server has taken, with their ids; those it refused are out of the run."""
        for person in self.population.people:
            if person.user_name in self.users:
                yield person, self.users[person.user_name]

    def member_ids(self, team: Team) -> list[str]:
        """The ids of the team's members that the server knows."""
        return [self.users[name] for name in team.members if name in self.users]

    def removable(self, name: str) -> bool:
        """What this run made, or what only exists for such runs."""
        return self.population.disposable or name in self.created

    def get(
        self, step: str, path: str, *checks: Check, otherwise: str, query: Mapping[str, str] | None = None
    ) -> Answer | None:
        """A GET that must be 200."""
        return self.wire.call(
            step, "GET", path, query=query, checks=[answers.status(200), *checks], otherwise=otherwise
        )

    def send(
        self,
        step: str,
        method: str,
        path: str,
        *checks: Check,
        otherwise: str,
        body: Mapping[str, Any] | None = None,
    ) -> Answer | None:
        """Any other request; the first check is the decisive one."""
        return self.wire.call(step, method, path, body=body, checks=checks, otherwise=otherwise)

    def patch(self, step: str, path: str, operations: list[dict[str, Any]], *, otherwise: str) -> Answer | None:
        """A PATCH; 200 with the resource or 204 with nothing (7644 section 3.5.2)."""
        body = {"schemas": [PATCH_OP], "Operations": operations}
        answer = self.send(step, "PATCH", path, answers.status(200, 204), otherwise=otherwise, body=body)
        if answer is not None and answer.status == 200:
            self.check(step, f"PATCH {path}", answer, answers.has_body, otherwise=otherwise)
        return answer

    def check(self, step: str, request: str, answer: Answer, check: Check, *, otherwise: str) -> None:
        """One more look at an answer that is already there."""
        if mismatch := check(answer):
            self.wire.note(step, request, mismatch, otherwise)
