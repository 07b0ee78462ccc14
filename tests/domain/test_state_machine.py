"""Whatever order things come in, seats, administrators, roles, sessions and credentials are what a model says."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.domain.machine import Membership, Rolled

#: The same walks every time: what new ones would find is `make fuzz`'s to find, by hypothesis.
SEEDS, LENGTH = range(3, 19), 50
QUICK = settings(
    max_examples=4,
    stateful_step_count=15,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

#: What the walks must have done, each so many times at least, and which refusals they must have met.
LEAST = 3
DONE = {
    *("suspend", "lift", "remove", "restore", "set roles", "make a key", "change a bot user"),
    *("invite", "resend", "cancel", "accept", "join by assertion", "sign in by assertion", "sign in otherwise"),
    *("push", "push a member", "push a leaver", "push active", "push inactive", "push a delete"),
    *("push a group", "add to a group", "take out of a group", "rename a group", "delete a group"),
    *("map", "change a mapping", "unmap", "let a provider grant admin", "let a provider grant admin no more"),
    *("make a role", "change a role", "rename a role", "delete a role", "plan enterprise", "plan pro", "plan free"),
    *("switch a provider on", "switch a provider off", "enforce", "relax", "sign out everywhere", "end a session"),
}
REFUSED = {
    *("ERR_LAST_ADMINISTRATOR", "ERR_GRANT_ABOVE_OWN_RIGHTS", "ERR_ADMINISTRATORS_ONLY", "ERR_MANAGED_BY_DIRECTORY"),
    *("ERR_SEATS_FULL", "ERR_PLAN_REQUIRED", "ERR_ROLE_IN_USE", "ERR_NAME_TAKEN", "ERR_INVALID_BODY", "ERR_GONE"),
    *("ERR_ALREADY_MEMBER", "ERR_ALREADY_INVITED", "ERR_OWNER_INACTIVE", "ERR_LAST_IDENTITY_PROVIDER"),
    *("uniqueness", "sso_not_in_plan", "provider_disabled", "member_suspended", "member_deprovisioned"),
    *("identity_of_another_provider", "suspend: ERR_ADMINISTRATORS_ONLY"),
}


def _walk(seed: int) -> None:
    chosen, walk = Rolled(seed), Membership()
    walk.begin(admin=bool(seed % 2))
    try:
        for _ in range(LENGTH):
            walk.check()
            walk.take_one(chosen)
        walk.check()
    except BaseException as fault:
        fault.add_note("\n".join([f"Walk {seed}:", *chosen.told]))
        raise


@pytest.mark.timeout(600)
def test_membership_is_what_its_sources_say(database: None) -> None:
    """By hand, by invitation, by assertion, over SCIM and by plan, by whoever may or may not, on either database: done
    where nothing stands against it, else refused with the code of what does; and each of both has come up."""
    Membership.done.clear()
    Membership.refused.clear()
    for seed in SEEDS:
        _walk(seed)
    assert {what: Membership.done[what] for what in DONE if Membership.done[what] < LEAST} == {}
    assert Membership.done.keys() == DONE
    assert REFUSED - Membership.refused.keys() == set()


@pytest.mark.timeout(600)
def test_hypothesis_walks_the_same_machine(database: None) -> None:
    """As `make fuzz` does at length."""
    run_state_machine_as_test(Membership, settings=QUICK)
