"""Plays a provider's provisioning cycle against a SCIM server and reports every answer it would choke on."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import requests

from idp_bridge.simulator import people as sample
from idp_bridge.simulator.answers import Mismatch
from idp_bridge.simulator.cycle import Cycle, Population
from idp_bridge.simulator.entra import DefaultCycle, FlaggedCycle
from idp_bridge.simulator.okta import CatalogueCycle, WizardCycle
from idp_bridge.simulator.people import Person
from idp_bridge.simulator.wire import Finding, Unreachable, Wire

# Each provider's dialects, the one that most tenants use first.
PROVIDERS: dict[str, tuple[type[Cycle], ...]] = {
    "okta": (WizardCycle, CatalogueCycle),
    "entra": (DefaultCycle, FlaggedCycle),
}
DIALECTS: dict[str, type[Cycle]] = {
    **{cycle.dialect: cycle for cycles in PROVIDERS.values() for cycle in cycles},
    **{provider: cycles[0] for provider, cycles in PROVIDERS.items()},
}
# People and groups of a run that ends with their removal carry this, so that no real one is ever touched.
PROBE = "simulated-"
# Numbers of people and groups where none are asked for.
USUAL_RUN = (10, 2)
WHOLE_DIRECTORY = (len(sample.directory()), len(sample.TEAM_NAMES))

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Report:
    """What one run sent, got and found. `users` and `groups` are the ids on the server, by name."""

    provider: str
    dialect: str
    base_url: str
    requests: int
    statuses: dict[int, int]
    seconds: float
    findings: list[Finding]
    users: dict[str, str]
    groups: dict[str, str]

    @property
    def clean(self) -> bool:
        """Whether the provider would be content."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self) | {"statuses": {str(status): count for status, count in self.statuses.items()}}


def simulate(
    dialect: str,
    base_url: str,
    token: str,
    *,
    users: int | None = None,
    groups: int | None = None,
    people: Sequence[Person] | None = None,
    leave_in_place: bool = False,
    progress: Progress | None = None,
    session: requests.Session | None = None,
) -> Report:
    """Plays one dialect of PROVIDERS against `base_url`, the SCIM base, with a bearer token.

    With `leave_in_place` the whole sample directory (or `people`) is provisioned with its groups and stays.
    Otherwise ten people and two groups, made for the run, live a whole life and are removed at its end. Whoever
    exists already is matched and not created twice. `progress` is called with (steps done, all, name of the step).
    Raises Unreachable when nobody answers, Unauthorised when the token is refused.
    """
    cycle_type = DIALECTS[dialect]
    population = _population(
        sample.DOMAINS[cycle_type.provider],
        users=users,
        groups=groups,
        people=people,
        leave_in_place=leave_in_place,
    )
    with nullcontext(session) if session else _session() as used:
        wire = Wire(used, base_url.rstrip("/"), token, cycle_type.manners)
        cycle = cycle_type(wire, population)
        started = time.monotonic()
        _play(cycle, progress)
    return Report(
        provider=cycle.provider,
        dialect=cycle.dialect,
        base_url=wire.base_url,
        requests=wire.requests_sent,
        statuses=dict(sorted(wire.statuses.items())),
        seconds=round(time.monotonic() - started, 3),
        findings=wire.findings,
        users=cycle.users,
        groups=cycle.groups,
    )


def _population(
    domain: str, *, users: int | None, groups: int | None, people: Sequence[Person] | None, leave_in_place: bool
) -> Population:
    prefix = PROBE if people is None and not leave_in_place else ""
    usual_users, usual_groups = WHOLE_DIRECTORY if leave_in_place else USUAL_RUN
    if people is None:
        people = sample.directory(usual_users if users is None else users, domain=domain, prefix=prefix)
    teams = sample.teams(people, usual_groups if groups is None else groups, prefix=prefix)
    return Population(people, teams, leave_in_place=leave_in_place, disposable=bool(prefix))


def _play(cycle: Cycle, progress: Progress | None) -> None:
    steps = list(cycle.steps())
    for done, step in enumerate(steps):
        if progress:
            progress(done, len(steps), step.name)
        try:
            step.act()
        except Unreachable as broken:
            if not cycle.wire.requests_sent:
                raise
            lost = Mismatch(str(broken), "an answer")
            cycle.wire.note(step.name, cycle.wire.base_url, lost, "The cycle ends here and starts anew later.")
            return
    if progress:
        progress(len(steps), len(steps), "done")


def _session() -> requests.Session:
    session = requests.Session()
    # A provider reaches the server directly; a proxy or .netrc of this machine must not change what is sent.
    session.trust_env = False
    return session
