"""Whatever order things come in, seats, administrators, roles, sessions and credentials are what a model says."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.domain.machine import Membership

#: The same steps every time: what a new one would find is `make fuzz`'s to find.
QUICK = settings(
    max_examples=10,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(600)
def test_membership_is_what_its_sources_say(database: None) -> None:
    """By hand, by invitation, by assertion, over SCIM and by plan, on either database."""
    run_state_machine_as_test(Membership, settings=QUICK)
