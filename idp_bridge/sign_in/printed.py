"""The decision table as people read it. ``python -m idp_bridge.sign_in docs/sign-in.md`` writes it into the page,
between its two marks."""

from collections.abc import Mapping, Set
from typing import Any

from idp_bridge.sign_in.table import ADMITTING, PUBLIC, TABLE, Outcome, State, Way

BEGIN, END = "<!-- printed by python -m idp_bridge.sign_in -->", "<!-- end -->"

WAYS = {
    Way.PASSWORD: "password",
    Way.SAML: "SAML begun here",
    Way.IDP_INITIATED: "SAML begun at the provider",
    Way.RECOVERY_CODE: "recovery code",
    Way.BREAK_GLASS: "break-glass link",
    Way.INVITATION: "invitation's link",
}

STATES = {
    State.ACTIVE: "active member",
    State.SUSPENDED: "suspended",
    State.DEPROVISIONED: "deleted by her directory",
    State.INVITED: "invited",
    State.UNKNOWN: "unknown",
    State.AMBIGUOUS: "several could be meant",
    State.ELSEWHERE: "another provider's",
    State.OTHERWISE: "called otherwise before",
    State.LOOK_ALIKE: "look-alike address",
}

#: The other facts: name -> what each value reads like.
FACTS: Mapping[str, Mapping[Any, str]] = {
    "mode": {"mixed": "in mixed mode", "enforced": "under enforced single sign-on"},
    "policy": {"jit": "the provider lets people join (JIT)", "invite_only": "the provider is invite only"},
    "sso_in_plan": {True: "the plan has single sign-on", False: "the plan has no single sign-on"},
    "draft": {True: "the provider is a draft", False: "the provider is no draft"},
    "enabled": {True: "the provider is enabled", False: "the provider is disabled"},
    "idp_initiated_allowed": {True: "the provider may begin", False: "the provider may not begin"},
    "address_allowed": {True: "its domains allow the address", False: "its domains do not allow the address"},
    "administrator": {True: "she is an administrator", False: "she is none"},
    "trusted": {True: "the provider is trusted with them", False: "the provider is not trusted with them"},
    "invitations_in_plan": {True: "the plan has invitations", False: "the plan has no invitations"},
}

LETS_IN = {
    Outcome.ADMIT: "She comes in.",
    Outcome.ACCEPT_INVITATION: "Her invitation is accepted, and she comes in.",
    Outcome.JOIN: "She becomes a member, and comes in.",
}


def table() -> str:
    """The rows in their order, as Markdown, then what each outcome says to the person."""
    rows = [_row(number, facts, outcome) for number, (facts, outcome) in enumerate(TABLE, 1)]
    said = [[f"`{outcome}`", LETS_IN.get(outcome) or PUBLIC[outcome]] for outcome in Outcome]
    return "\n\n".join(
        (
            _markdown(["", "she comes by", "and is", "and", "outcome"], rows),
            _markdown(["outcome", "what the person reads, or what happens"], said),
        )
    )


def _row(number: int, facts: Mapping[str, Any], outcome: Outcome) -> list[str]:
    rest = ", ".join(words[facts[name]] for name, words in FACTS.items() if name in facts)
    verdict = f"**`{outcome}`**" if outcome in ADMITTING else f"`{outcome}`"
    return [str(number), _named(facts.get("way"), WAYS), _named(facts.get("state"), STATES), rest, verdict]


def _named(wanted: Any, words: Mapping[Any, str]) -> str:
    if wanted is None:
        return "*any*"
    return " or ".join(
        text for value, text in words.items() if value == wanted or (isinstance(wanted, Set) and value in wanted)
    )


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def within(page: str) -> str:
    """The page with the table as it is now. Raises ValueError where its marks are missing."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"The page has no {BEGIN} … {END}.")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
