"""The decision table: every combination of facts, against the rules said once more in another form."""

from dataclasses import fields
from itertools import product

import pytest

from idp_bridge import sign_in
from idp_bridge.saml.errors import Reason
from idp_bridge.sign_in import ADMITTING, Outcome, Situation, State, Way, printed, table

VALUES = {
    "way": tuple(Way),
    "state": tuple(State),
    "mode": ("mixed", "enforced"),
    "policy": ("jit", "invite_only"),
    "sso_in_plan": (True, False),
    "draft": (True, False),
    "enabled": (True, False),
    "idp_initiated_allowed": (True, False),
    "address_allowed": (True, False),
    "administrator": (True, False),
    "trusted": (True, False),
    "invitations_in_plan": (True, False),
}

EVERY_SITUATION = [Situation(**dict(zip(VALUES, facts, strict=True))) for facts in product(*VALUES.values())]

# --- the rules, once more: not in the table's order, and without its rows -----------------------------------------

#: Who is kept out whatever way she comes, once nothing is wrong with the way itself.
KEPT_OUT = {
    State.SUSPENDED: "member_suspended",
    State.DEPROVISIONED: "member_deprovisioned",
    State.AMBIGUOUS: "identity_ambiguous",
    State.ELSEWHERE: "identity_of_another_provider",
    State.OTHERWISE: "identity_changed",
    State.LOOK_ALIKE: "address_look_alike",
}


def _wrong_with_the_provider(case: Situation) -> list[str]:
    """Everything that stands against this provider's word here, the weightiest first."""
    unsolicited = case.way is Way.IDP_INITIATED and not case.idp_initiated_allowed
    return [
        reason
        for reason, holds in {
            "sso_not_in_plan": not case.sso_in_plan,
            "provider_draft": case.draft,
            "provider_disabled": not case.enabled,
            "unsolicited_not_allowed": unsolicited,
            "address_not_allowed": not case.address_allowed,
        }.items()
        if holds
    ]


def _by_provider(case: Situation) -> str:
    newcomer = {"jit": "join", "invite_only": "invitation_needed"}[case.policy]
    welcome = {State.ACTIVE: "admit", State.INVITED: "accept_invitation", State.UNKNOWN: newcomer}
    if case.administrator and not case.trusted:
        welcome |= dict.fromkeys((State.ACTIVE, State.INVITED), "provider_not_trusted")
    return next(iter(_wrong_with_the_provider(case)), None) or KEPT_OUT.get(case.state) or welcome[case.state]


def _by_password(case: Situation) -> str:
    member = {"mixed": "admit", "enforced": "sso_enforced"}[case.mode]
    return KEPT_OUT.get(case.state) or (member if case.state is State.ACTIVE else "not_a_member")


def _in_an_emergency(case: Situation) -> str:
    member = "admit" if case.administrator else "not_an_administrator"
    return KEPT_OUT.get(case.state) or (member if case.state is State.ACTIVE else "not_a_member")


def _by_invitation(case: Situation) -> str:
    invited = {"mixed": "accept_invitation", "enforced": "sso_enforced"}[case.mode]
    if not case.invitations_in_plan:
        invited = "invitations_not_in_plan"
    rest = {State.ACTIVE: "already_member", State.INVITED: invited, State.UNKNOWN: "not_a_member"}
    return KEPT_OUT.get(case.state) or rest[case.state]


RULES = {
    Way.SAML: _by_provider,
    Way.IDP_INITIATED: _by_provider,
    Way.PASSWORD: _by_password,
    Way.RECOVERY_CODE: _in_an_emergency,
    Way.BREAK_GLASS: _in_an_emergency,
    Way.INVITATION: _by_invitation,
}


def test_every_fact_is_varied() -> None:
    """A fact that is added to the situation must be in the product below."""
    assert list(VALUES) == [field.name for field in fields(Situation)]
    assert len(EVERY_SITUATION) == 55296


def test_every_situation_has_the_outcome_of_the_rules() -> None:
    """All combinations of facts, each with exactly one outcome."""
    wrong = {case: sign_in.decide(case) for case in EVERY_SITUATION if sign_in.decide(case) != RULES[case.way](case)}
    assert wrong == {}


def test_every_row_of_the_table_decides_something() -> None:
    """A row that never decides is a rule that nobody gets."""
    deciding = {
        next(number for number, (facts, _) in enumerate(table.TABLE) if table.fits(facts, case))
        for case in EVERY_SITUATION
    }
    assert deciding == set(range(len(table.TABLE)))


def test_every_outcome_comes_of_some_situation() -> None:
    """And every refusal has words for the person, which letting in needs none of."""
    assert {sign_in.decide(case) for case in EVERY_SITUATION} == set(Outcome)
    assert set(sign_in.PUBLIC) == set(Outcome) - ADMITTING


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE])
def test_the_mode_is_no_strangers_to_learn(state: State) -> None:
    """Whoever is no active member gets one answer in both modes, but for the holder of an invitation, who must know."""
    for case in EVERY_SITUATION:
        if case.state is state and (case.way, state) != (Way.INVITATION, State.INVITED):
            other = Situation(**{**vars(case), "mode": "enforced" if case.mode == "mixed" else "mixed"})
            assert sign_in.decide(case) is sign_in.decide(other)


def test_an_emergency_way_asks_for_nothing_but_an_active_administrator() -> None:
    """No mode, plan or provider stands in the way: that is what it is for."""
    let_in = {
        case for case in EVERY_SITUATION if case.way in table.IN_AN_EMERGENCY and sign_in.decide(case) in ADMITTING
    }
    wanted = {
        case
        for case in EVERY_SITUATION
        if case.way in table.IN_AN_EMERGENCY and case.state is State.ACTIVE and case.administrator
    }
    assert let_in == wanted


def test_what_the_door_refuses_too_has_one_name() -> None:
    """The SAML door refuses what nobody asked for before anybody is looked for; so does the table, later."""
    assert Outcome.UNSOLICITED.value == Reason.UNSOLICITED_NOT_ALLOWED.value


def test_what_is_printed_names_every_value() -> None:
    """Ways, states and facts each have their words; each row stands there once."""
    assert set(printed.WAYS) == set(Way)
    assert set(printed.STATES) == set(State)
    assert {"way": None, "state": None, **printed.FACTS}.keys() == VALUES.keys()
    assert all(set(words) == set(VALUES[name]) for name, words in printed.FACTS.items())
    numbers = [line.split("|")[1].strip() for line in printed.table().splitlines() if line.startswith("| ")]
    assert [number for number in numbers if number.isdigit()] == [str(n + 1) for n in range(len(table.TABLE))]
