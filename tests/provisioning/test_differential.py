"""Random filters over random users and groups: each database finds what the pure matcher says it must."""

from idp_bridge.provisioning.directory import Directory
from tests.fuzz import cases, stored
from tests.fuzz.exploring import explore


def test_each_database_finds_the_users_that_match(directory: Directory) -> None:
    """The condition and the matcher are two readings of RFC 7644 §3.4.2.2."""
    explore(stored.of_users(directory), cases.filter_case)


def test_each_database_finds_the_groups_that_match(directory: Directory) -> None:
    """The same for groups, whose members are rows of another table."""
    explore(stored.of_groups(directory), cases.group_case)
