"""Plans: one row each, with the seats that come with it and the features it opens."""

from dataclasses import dataclass
from enum import StrEnum

from idp_bridge.errors import Code, Forbidden, Invalid
from idp_bridge.models import Account


class Feature(StrEnum):
    """What a plan may open; the value is how a refusal names it."""

    INVITATIONS = "Inviting members"
    ROLES = "Role based access control"
    SSO = "Single sign-on"
    SCIM = "SCIM provisioning"
    OWN_ROLES = "Own roles"


@dataclass(frozen=True)
class Plan:
    """``seats`` come with the plan where none are set; None = no limit."""

    name: str
    seats: int | None
    features: frozenset[Feature]


F = Feature
PLANS = {
    plan.name: plan
    for plan in (
        Plan("free", 1, frozenset()),
        Plan("pro", 10, frozenset({F.INVITATIONS, F.ROLES})),
        Plan("enterprise", None, frozenset(F)),
    )
}


def get(name: str) -> Plan:
    """The plan of that name. Raises Invalid."""
    if name not in PLANS:
        raise Invalid(f"There is no plan {name!r}; choose one of {', '.join(PLANS)}.", fields={"plan": ["unknown"]})
    return PLANS[name]


def has(account: Account, feature: Feature) -> bool:
    """Whether the account's plan opens the feature."""
    return feature in PLANS[account.plan].features


def cheapest_with(feature: Feature) -> Plan:
    """The first plan of the table that has the feature: the one that refusals and pages name."""
    return next(plan for plan in PLANS.values() if feature in plan.features)


def require(account: Account, feature: Feature) -> None:
    """Raises Forbidden naming the plan that has the feature."""
    if not has(account, feature):
        wanted = cheapest_with(feature).name.capitalize()
        raise Forbidden(
            f"{feature.value} needs the {wanted} plan; this account is on {account.plan.capitalize()}.",
            code=Code.PLAN_REQUIRED,
        )
