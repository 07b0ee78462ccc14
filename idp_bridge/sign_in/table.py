"""The decision: every way in, what is known, and what follows, as one table. Pure; docs/sign-in.md shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Way(StrEnum):
    """How somebody comes in."""

    PASSWORD = "password"  # noqa: S105
    SAML = "saml"  # an answer to a request of ours
    IDP_INITIATED = "saml_idp_initiated"  # a response that nobody asked for
    RECOVERY_CODE = "recovery_code"
    BREAK_GLASS = "break_glass"
    INVITATION = "invitation"  # its link, accepted with a password


class State(StrEnum):
    """What the account knows of her."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEPROVISIONED = "deprovisioned"  # deleted by her directory, within its 30 days
    INVITED = "invited"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"  # several could be meant; nobody is adopted silently
    ELSEWHERE = "elsewhere"  # another provider of this account speaks for her
    OTHERWISE = "otherwise"  # has the address of somebody whom this provider has called by another NameID
    LOOK_ALIKE = "look_alike"  # nobody, under an address that mixes scripts or passes for a member's


class Outcome(StrEnum):
    """What happens; every value but the first three is a refusal, and a reason in the events."""

    ADMIT = "admit"
    ACCEPT_INVITATION = "accept_invitation"
    JOIN = "join"
    SSO_NOT_IN_PLAN = "sso_not_in_plan"
    PROVIDER_DRAFT = "provider_draft"
    PROVIDER_DISABLED = "provider_disabled"
    UNSOLICITED = "unsolicited_not_allowed"  # the door's own word for it: saml.errors.Reason
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    SUSPENDED = "member_suspended"
    DEPROVISIONED = "member_deprovisioned"
    AMBIGUOUS = "identity_ambiguous"
    ELSEWHERE = "identity_of_another_provider"
    OTHERWISE = "identity_changed"
    LOOK_ALIKE = "address_look_alike"
    NOT_TRUSTED = "provider_not_trusted"  # with administrators
    INVITATION_NEEDED = "invitation_needed"
    INVITATIONS_NOT_IN_PLAN = "invitations_not_in_plan"
    SSO_ENFORCED = "sso_enforced"
    NOT_AN_ADMINISTRATOR = "not_an_administrator"
    ALREADY_MEMBER = "already_member"
    NOT_A_MEMBER = "not_a_member"


@dataclass(frozen=True)
class Situation:
    """The facts that decide. Those of a provider are asked of its ways only."""

    way: Way
    state: State
    mode: str = "mixed"  # mixed | enforced
    policy: str = "invite_only"  # jit | invite_only
    sso_in_plan: bool = True
    draft: bool = False  # the provider: nothing is trusted of it yet
    enabled: bool = True  # the provider
    idp_initiated_allowed: bool = False
    address_allowed: bool = True  # the provider's domains, or that it has none
    administrator: bool = False  # or invited to be one
    trusted: bool = True  # the provider, with administrators
    invitations_in_plan: bool = True  # asked of an invitation's link only: a plan with single sign-on has them


BY_PROVIDER = frozenset({Way.SAML, Way.IDP_INITIATED})
KNOWN = frozenset({State.ACTIVE, State.INVITED})
IN_AN_EMERGENCY = frozenset({Way.RECOVERY_CODE, Way.BREAK_GLASS})

#: The first row all of whose facts hold decides; a fact that a row does not name may be anything, a set is any of it.
TABLE: tuple[tuple[Mapping[str, Any], Outcome], ...] = (
    ({"way": BY_PROVIDER, "sso_in_plan": False}, Outcome.SSO_NOT_IN_PLAN),
    ({"way": BY_PROVIDER, "draft": True}, Outcome.PROVIDER_DRAFT),
    ({"way": BY_PROVIDER, "enabled": False}, Outcome.PROVIDER_DISABLED),
    ({"way": Way.IDP_INITIATED, "idp_initiated_allowed": False}, Outcome.UNSOLICITED),
    ({"way": BY_PROVIDER, "address_allowed": False}, Outcome.ADDRESS_NOT_ALLOWED),
    ({"state": State.SUSPENDED}, Outcome.SUSPENDED),
    ({"state": State.DEPROVISIONED}, Outcome.DEPROVISIONED),
    ({"state": State.AMBIGUOUS}, Outcome.AMBIGUOUS),
    ({"state": State.ELSEWHERE}, Outcome.ELSEWHERE),
    ({"state": State.OTHERWISE}, Outcome.OTHERWISE),
    ({"state": State.LOOK_ALIKE}, Outcome.LOOK_ALIKE),
    ({"way": BY_PROVIDER, "state": KNOWN, "administrator": True, "trusted": False}, Outcome.NOT_TRUSTED),
    ({"way": BY_PROVIDER, "state": State.ACTIVE}, Outcome.ADMIT),
    ({"way": BY_PROVIDER, "state": State.INVITED}, Outcome.ACCEPT_INVITATION),
    ({"way": BY_PROVIDER, "state": State.UNKNOWN, "policy": "jit"}, Outcome.JOIN),
    ({"way": BY_PROVIDER, "state": State.UNKNOWN, "policy": "invite_only"}, Outcome.INVITATION_NEEDED),
    # Of the mode learns only who has shown that she is a member, or was invited: a stranger is told nothing by it.
    ({"way": Way.PASSWORD, "state": State.ACTIVE, "mode": "enforced"}, Outcome.SSO_ENFORCED),
    ({"way": Way.PASSWORD, "state": State.ACTIVE}, Outcome.ADMIT),
    ({"way": IN_AN_EMERGENCY, "state": State.ACTIVE, "administrator": True}, Outcome.ADMIT),
    ({"way": IN_AN_EMERGENCY, "state": State.ACTIVE}, Outcome.NOT_AN_ADMINISTRATOR),
    ({"way": Way.INVITATION, "state": State.ACTIVE}, Outcome.ALREADY_MEMBER),
    ({"way": Way.INVITATION, "state": State.INVITED, "invitations_in_plan": False}, Outcome.INVITATIONS_NOT_IN_PLAN),
    ({"way": Way.INVITATION, "state": State.INVITED, "mode": "enforced"}, Outcome.SSO_ENFORCED),
    ({"way": Way.INVITATION, "state": State.INVITED}, Outcome.ACCEPT_INVITATION),
    ({}, Outcome.NOT_A_MEMBER),
)

ADMITTING = frozenset({Outcome.ADMIT, Outcome.ACCEPT_INVITATION, Outcome.JOIN})

#: What the person reads: why, and what she can do. An administrator finds the facts by the reference beside it.
PUBLIC = {
    Outcome.SSO_NOT_IN_PLAN: "Single sign-on is not part of this account's plan. Ask an administrator.",
    Outcome.PROVIDER_DRAFT: "This identity provider is a draft: its set-up is not finished. Ask an administrator of "
    "the account.",
    Outcome.PROVIDER_DISABLED: "This identity provider is switched off. Ask an administrator of the account.",
    Outcome.UNSOLICITED: "No sign-in may begin at this identity provider. Start at our sign-in page.",
    Outcome.ADDRESS_NOT_ALLOWED: "Your identity provider may not speak for that address here. Ask an administrator.",
    Outcome.SUSPENDED: "Your membership is suspended. Ask an administrator of the account to lift that.",
    Outcome.DEPROVISIONED: "Your organisation's directory has removed you. Ask whoever runs the directory.",
    Outcome.AMBIGUOUS: "More than one member could be meant by that sign-in. Ask an administrator of the account.",
    Outcome.ELSEWHERE: "You belong to another identity provider of this account. Sign in through that one; or ask an "
    "administrator of the account to let you in through this one.",
    Outcome.OTHERWISE: "Your identity provider calls you otherwise than the member who has your address. Ask an "
    "administrator.",
    Outcome.LOOK_ALIKE: "Your address is written with letters that pass for others. Ask whoever runs the identity "
    "provider to correct it.",
    Outcome.NOT_TRUSTED: "Administrators, and those invited to be one, do not come in by this identity provider before "
    "an administrator has confirmed it. Sign in another way, or ask an administrator.",
    Outcome.INVITATION_NEEDED: "You are not a member of this account yet. Ask an administrator to invite you.",
    Outcome.INVITATIONS_NOT_IN_PLAN: "Nobody can join this account now: its plan has no invitations. Ask whoever "
    "invited you.",
    Outcome.SSO_ENFORCED: "This account takes single sign-on only. Choose your identity provider.",
    Outcome.NOT_AN_ADMINISTRATOR: "This way in is for administrators, and you are none. Sign in as you usually do.",
    Outcome.ALREADY_MEMBER: "You are a member of this account already. Sign in.",
    Outcome.NOT_A_MEMBER: "You are not a member of an account that can be entered this way.",
}


def decide(situation: Situation) -> Outcome:
    """The outcome of the first row of the table that fits."""
    return next(outcome for facts, outcome in TABLE if fits(facts, situation))


def fits(facts: Mapping[str, Any], situation: Situation) -> bool:
    """Whether all facts of a row hold."""
    return all(_holds(wanted, getattr(situation, name)) for name, wanted in facts.items())


def _holds(wanted: Any, given: Any) -> bool:
    return given in wanted if isinstance(wanted, frozenset) else bool(given == wanted)
