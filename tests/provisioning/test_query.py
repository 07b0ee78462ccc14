"""Filters as conditions of the database: on both of them they find what ``scim.filter.matches`` says they must."""

import random
from typing import Any

import pytest

from idp_bridge import db
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.query import EveryType
from idp_bridge.provisioning.records import Records
from scim.errors import InvalidFilter
from scim.filter import matches, parse_filter
from scim.paging import Page
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, GROUP_URN, STANDARD, USER_TYPE, USER_URN
from tests.provisioning.conftest import rendered

ALL = Page(1, 1000)

PEOPLE: list[dict[str, Any]] = [
    {
        "userName": "Alpha@example.test",
        "externalId": "Ext-1",
        "displayName": "Älpha 100%_x",
        "title": "Manager",
        "name": {"givenName": 'Jean "JB"', "familyName": "Bé"},
        "emails": [
            {"value": "alpha@example.test", "type": "work", "primary": True},
            {"value": "alpha@home.test", "type": "home"},
        ],
        ENTERPRISE_URN: {"department": "Bridges", "manager": {"value": "m-1", "displayName": "Max"}},
    },
    {"userName": "beta@example.test", "active": False, "userType": "Intern", "emails": [{"value": "beta@x.test"}]},
    {
        "userName": "gamma",
        "externalId": "ext-1",
        "displayName": "O'Neil",
        "title": "manager",
        "userType": "Employee",
        "addresses": [{"type": "work", "country": "DE"}, {"type": "home", "country": "FR"}],
        "roles": [{"value": "a", "primary": False}],
    },
    {"userName": "delta\\%", "title": "Zimmermann", "name": {"familyName": "O\\"}, ENTERPRISE_URN: {"division": "N"}},
]

USER_FILTERS = [
    'userName eq "ALPHA@example.TEST"',
    'userName ne "gamma"',
    'userName co "EXAMPLE"',
    'userName sw "GAM"',
    'userName ew ".TEST"',
    'userName ew "much longer than any of the names that are stored here"',
    'userName gt "beta@example.test"',
    'userName le "beta@example.test"',
    'userName co ""',
    "userName pr",
    "userName eq null",
    'externalId eq "ext-1"',
    'externalId ne "ext-1"',
    "externalId eq null",
    "externalId pr",
    'externalId sw "ext"',
    "active eq true",
    "active ne true",
    'active eq "False"',
    "active pr",
    'displayName eq "äLPHA 100%_X"',
    'displayName co "%"',
    'displayName co "_"',
    'displayName eq "o\'neil"',
    "displayName pr",
    'title eq "MANAGER"',
    'title ne "Manager"',
    'title gt "n"',
    "title eq null",
    "title ne null",
    "not (title pr)",
    'not (title eq "Manager")',
    'not (title co "man" or active eq false)',
    'name.givenName eq "jean \\"jb\\""',
    'name.familyName eq "BÉ"',
    'name.familyName ew "\\\\"',
    'name[familyName eq "bé" and givenName pr]',
    'not (name[familyName eq "bé"])',
    "name pr",
    'emails eq "beta@x.test"',
    'emails.value ne "beta@x.test"',
    'emails.type eq "work"',
    'emails.type ne "work"',
    "emails.type eq null",
    "emails.primary eq true",
    "emails.primary ne true",
    "emails pr",
    "emails.type pr",
    "not (emails pr)",
    'emails[type eq "work" and value co "home.test"]',
    'emails.type eq "work" and emails.value co "home.test"',
    'emails[type eq "home"].value eq "ALPHA@home.test"',
    'emails[not (type eq "work")]',
    'not (emails[type eq "work"])',
    'emails[type eq "work" and primary eq "True"]',
    'addresses[country eq "fr"]',
    'addresses.country sw "D"',
    "roles[primary eq false]",
    f'{ENTERPRISE_URN}:department eq "bridges"',
    f"{ENTERPRISE_URN}:department pr",
    f"{ENTERPRISE_URN} pr",
    f'{ENTERPRISE_URN}[division eq "n"]',
    'manager eq "m-1"',
    'manager eq "M-1"',
    'manager[displayName eq "max"]',
    'meta.resourceType eq "User"',
    'meta.resourceType eq "Group"',
    'meta.created gt "2011-05-13T04:42:34Z"',
    'meta.lastModified lt "2011-05-13T04:42:34Z"',
    'meta[created gt "2011-05-13T04:42:34+02:00" and resourceType eq "User"]',
    f'schemas eq "{USER_URN}"',
    f'schemas eq "{ENTERPRISE_URN}"',
    f'schemas ne "{USER_URN}"',
    f'not (schemas eq "{ENTERPRISE_URN}")',
    "schemas pr",
    'userType eq "Employee" or title pr and active eq false',
    '(userType eq "Employee" or title pr) and active eq false',
    "userName eq \"x' or '1'='1\"",
    'groups.display eq "CREW"',
    'groups.display ne "crew"',
    'groups[display eq "crew" and type eq "direct"]',
    "groups pr",
    "not (groups pr)",
    "groups.type pr",
    "meta pr",
    "not (meta pr)",
    "groups.type eq null",
    "groups.type ne null",
]

GROUP_FILTERS = [
    'displayName eq "CREW"',
    'displayName co "e"',
    'displayName ne "crew"',
    "externalId pr",
    'externalId eq "g-1"',
    "members pr",
    "not (members pr)",
    'members.type eq "user"',
    'members.type ne "User"',
    'members[type eq "User" or display pr]',
    'meta.resourceType eq "Group"',
    f'schemas eq "{GROUP_URN}"',
]


@pytest.fixture
def filled(directory: Directory) -> Directory:
    """People and groups of every shape, and as many of another directory's that must never be found."""
    with db.transaction():
        rows = [users.create(directory, person).row for person in PEOPLE]
        members = [{"value": rows[0].id, "type": "User", "display": "A"}, {"value": rows[1].id}]
        groups.create(directory, {"displayName": "Crew", "externalId": "g-1", "members": members})
        groups.create(directory, {"displayName": "Deck"})
    return directory


def found(records: Records, directory: Directory, text: str, page: Page = ALL) -> list[str]:
    """The ids that a filter finds, in the order of the list."""
    return [row.id for row in records.find(directory, parse_filter(text, records.of_type(STANDARD)), page)[0]]


def expected(records: Records, directory: Directory, text: str) -> list[str]:
    """The ids of the resources that match in memory."""
    rows, _ = records.find(directory, None, ALL)
    resources = rendered(records, directory, rows)
    return [r["id"] for r in resources if matches(parse_filter(text, records.of_type(STANDARD)), r)]


def test_each_user_filter_finds_what_matches(filled: Directory) -> None:
    """The condition and the pure matcher are two readings of RFC 7644 §3.4.2.2 and must agree."""
    for text in USER_FILTERS:
        assert found(users.RECORDS, filled, text) == expected(users.RECORDS, filled, text), text


def test_each_group_filter_finds_what_matches(filled: Directory) -> None:
    """The same for groups, whose members are rows of another table."""
    for text in GROUP_FILTERS:
        assert found(groups.RECORDS, filled, text) == expected(groups.RECORDS, filled, text), text


def test_combined_filters_find_what_matches(filled: Directory) -> None:
    """Three hundred combinations by and, or and not of the filters above."""
    dice = random.Random(7644)
    for _ in range(300):
        terms = [f"({dice.choice(USER_FILTERS)})" for _ in range(dice.randint(2, 4))]
        text = f" {dice.choice(('and', 'or'))} ".join(f"not {t}" if dice.random() < 0.4 else t for t in terms)
        assert found(users.RECORDS, filled, text) == expected(users.RECORDS, filled, text), text


def test_membership_is_found_from_both_sides(filled: Directory) -> None:
    """Entra asks for a group by id and member, scimgateway for the groups of a member."""
    (alpha,) = found(users.RECORDS, filled, 'userName eq "alpha@example.test"')
    (gamma,) = found(users.RECORDS, filled, 'userName eq "gamma"')
    (crew,) = found(groups.RECORDS, filled, 'displayName eq "crew"')
    assert found(groups.RECORDS, filled, f'id eq "{crew}" and members eq "{alpha}"') == [crew]
    assert found(groups.RECORDS, filled, f'members[value eq "{alpha}"]') == [crew]
    assert found(groups.RECORDS, filled, f'members.value eq "{gamma}"') == []
    assert found(groups.RECORDS, filled, f'not (members.value eq "{gamma}")') == found(groups.RECORDS, filled, "id pr")
    assert found(users.RECORDS, filled, f'groups.value eq "{crew}" and id eq "{alpha}"') == [alpha]


def test_last_modified_as_shown_finds_its_resource(filled: Directory) -> None:
    """A client filters by the time that it read."""
    rows, _ = users.RECORDS.find(filled, None, Page(1, 1))
    (shown,) = rendered(users.RECORDS, filled, rows)
    moment = shown["meta"]["lastModified"]
    assert shown["id"] in found(users.RECORDS, filled, f'meta.lastModified eq "{moment}"')
    assert shown["id"] not in found(users.RECORDS, filled, f'meta.lastModified gt "{moment}"')


@pytest.mark.parametrize("text", ['meta.version eq "1"', 'meta.location eq "x"', 'groups.$ref eq "x"'])
def test_what_cannot_be_compared_is_refused(filled: Directory, text: str) -> None:
    """Never a condition left out, which would let more through."""
    with pytest.raises(InvalidFilter):
        found(users.RECORDS, filled, text)


def test_hundred_terms_are_compiled(filled: Directory) -> None:
    """The largest filter that the parser lets through must not overflow the database's own parser."""
    text = " or ".join(f'(title eq "{n}" and not (userType co "{n}"))' for n in range(50))
    assert found(users.RECORDS, filled, text) == []
    assert len(found(users.RECORDS, filled, " or ".join(["title pr"] * 100))) == 3


def test_depth_is_compiled(filled: Directory) -> None:
    """So is the deepest."""
    text = "not (" * 31 + "title pr" + ")" * 31
    assert len(found(users.RECORDS, filled, text)) == 1


def test_attribute_of_another_type_has_no_value(filled: Directory) -> None:
    """Over all types, a group has no userName, so that ``not`` is true of it (RFC 7644 §3.4.2.1)."""

    def count(records: Records, text: str) -> int:
        return records.find(filled, parse_filter(text, EveryType(STANDARD)), ALL)[1]

    assert (count(users.RECORDS, "userName pr"), count(groups.RECORDS, "userName pr")) == (4, 0)
    assert (count(users.RECORDS, "not (userName pr)"), count(groups.RECORDS, "not (userName pr)")) == (0, 2)
    assert (count(users.RECORDS, "members pr"), count(groups.RECORDS, "members pr")) == (0, 1)


@pytest.mark.parametrize("text", [None, "userName pr", 'userName eq "alpha@example.test"', "not (title pr)"])
def test_another_directory_is_never_found(filled: Directory, second: Directory, foreign: Directory, text: str) -> None:
    """No filter widens a result beyond the directory of the token."""
    filter_ = parse_filter(text, USER_TYPE) if text else None
    for other in (second, foreign):
        assert users.RECORDS.find(other, filter_, ALL) == ([], 0)
        assert groups.RECORDS.find(other, None, ALL) == ([], 0)


def test_pages_together_are_the_whole(filled: Directory) -> None:
    """Every match once, oldest first, with the same total on each page (RFC 7644 §3.4.2.4)."""
    everything = found(users.RECORDS, filled, "userName pr")
    for filter_ in (parse_filter("userName pr", USER_TYPE), None):
        paged = []
        for start in range(1, 7):
            rows, total = users.RECORDS.find(filled, filter_, Page(start, 1))
            assert total == 4
            paged += [row.id for row in rows]
        assert paged == everything
    assert users.RECORDS.find(filled, None, Page(1, 0)) == ([], 4)
    assert groups.RECORDS.find(filled, parse_filter("displayName pr", GROUP_TYPE), Page(9, 5)) == ([], 2)


def test_lookup_is_one_statement(filled: Directory, statements: Any) -> None:
    """What providers ask before every change costs one indexed read; no count, no scan."""
    for records, text in [
        (users.RECORDS, 'userName eq "alpha@example.test"'),
        (users.RECORDS, 'userName eq "nobody"'),
        (users.RECORDS, 'externalId eq "Ext-1"'),
        (groups.RECORDS, 'displayName eq "crew"'),
    ]:
        with statements() as sent:
            found(records, filled, text, Page())
        assert len(sent) == 1, sent
