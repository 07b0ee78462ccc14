"""Plans: one row each, with the seats that come with it and the features it opens; and what of each metric a month of
them includes."""

from collections.abc import Mapping
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


class Metric(StrEnum):
    """What the product measures of whoever uses it; the value is its name in the API."""

    BANDWIDTH = "bandwidth_bytes"
    SESSIONS = "sessions"
    ENDPOINTS = "endpoints"


@dataclass(frozen=True)
class Measure:
    """What pages call it, and how much of it a calendar month includes, by plan; None = no limit."""

    label: str
    included: Mapping[str, int | None]


METRICS: Mapping[Metric, Measure] = {
    Metric.BANDWIDTH: Measure("Bytes of bandwidth", {"free": 10**9, "pro": 10**11, "enterprise": 10**13}),
    Metric.SESSIONS: Measure("Sessions", {"free": 20_000, "pro": 1_000_000, "enterprise": None}),
    Metric.ENDPOINTS: Measure("Endpoints", {"free": 1_000, "pro": 50_000, "enterprise": None}),
}


def included(account: Account, metric: Metric) -> int | None:
    """How much of the metric a month of the account's plan includes; None = no limit."""
    return METRICS[metric].included[account.plan]


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
