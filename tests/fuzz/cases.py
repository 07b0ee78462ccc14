"""What a case of each kind is made of."""

from random import Random

from tests.fuzz.exploring import Case
from tests.fuzz.filters import filter_, group_filter
from tests.fuzz.patches import operations
from tests.fuzz.resources import group, user


def filter_case(dice: Random) -> Case:
    """A user and a filter."""
    return Case(user(dice), filter_(dice))


def group_case(dice: Random) -> Case:
    """A group and a filter."""
    return Case(group(dice), group_filter(dice))


def patch_case(dice: Random) -> Case:
    """A user and a PATCH."""
    return Case(user(dice), operations(dice))
