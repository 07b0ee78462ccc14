"""Signing in: who this is, and whether she may come in. One decision table for every way in.

table      the facts, the outcomes and the table between them; pure
identify   who is meant by an assertion, in this account only
claims     what an assertion may change of her, attribute by attribute
admit      the table asked, and what it says done
printed    the table as docs/sign-in.md shows it
"""

from idp_bridge.sign_in.admit import (
    Admission,
    Refused,
    Rehearsal,
    by_assertion,
    by_password,
    check_invitation,
    check_member,
    check_usable,
    of_member,
    rehearse,
)
from idp_bridge.sign_in.claims import GROUPS_OVERAGE, KEPT_LAST_ADMINISTRATOR, WARNINGS, claimed_roles
from idp_bridge.sign_in.identify import Found, Identity, identify, may_assert
from idp_bridge.sign_in.table import ADMITTING, PUBLIC, TABLE, Outcome, Situation, State, Way, decide

__all__ = [
    "ADMITTING",
    "GROUPS_OVERAGE",
    "KEPT_LAST_ADMINISTRATOR",
    "PUBLIC",
    "TABLE",
    "WARNINGS",
    "Admission",
    "Found",
    "Identity",
    "Outcome",
    "Refused",
    "Rehearsal",
    "Situation",
    "State",
    "Way",
    "by_assertion",
    "by_password",
    "check_invitation",
    "check_member",
    "check_usable",
    "claimed_roles",
    "decide",
    "identify",
    "may_assert",
    "of_member",
    "rehearse",
]
