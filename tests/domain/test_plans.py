"""Plans: what each opens, and the seats that come with it."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from idp_bridge import plans
from idp_bridge.errors import Code, Forbidden, Invalid
from idp_bridge.plans import PLANS, Feature

#: plan -> seats, features.
EXPECTED = {
    "free": (1, set()),
    "pro": (10, {Feature.INVITATIONS, Feature.ROLES}),
    "enterprise": (None, {Feature.INVITATIONS, Feature.ROLES, Feature.SSO, Feature.SCIM, Feature.OWN_ROLES}),
}


def _on(plan: str) -> Any:
    return SimpleNamespace(plan=plan)


def test_the_table_is_the_contract() -> None:
    """Seats and features of every plan."""
    assert {name: (plan.seats, set(plan.features)) for name, plan in PLANS.items()} == EXPECTED


def test_a_dearer_plan_has_all_of_a_cheaper_one() -> None:
    """An upgrade takes nothing away; refusals name the first that has the feature."""
    rows = list(PLANS.values())
    assert all(cheap.features <= dear.features for cheap, dear in itertools.pairwise(rows))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("feature", Feature)
def test_a_missing_feature_is_refused_naming_the_plan_that_has_it(plan: str, feature: Feature) -> None:
    """And one that the plan has is let through."""
    if feature in EXPECTED[plan][1]:
        plans.require(_on(plan), feature)
        return
    cheapest = next(name for name, (_, features) in EXPECTED.items() if feature in features)
    with pytest.raises(Forbidden, match=cheapest.capitalize()) as caught:
        plans.require(_on(plan), feature)
    assert caught.value.code is Code.PLAN_REQUIRED


def test_an_unknown_plan_is_invalid() -> None:
    """The refusal lists those there are."""
    with pytest.raises(Invalid, match="free, pro, enterprise"):
        plans.get("gold")
