"""Lists: in the order asked for, and page by page, on both databases as ``expected`` reads RFC 7644 §3.4.2.3."""

import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from peewee import SqliteDatabase

from idp_bridge import db
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.ordering import SIGNIFICANT, Position, order
from idp_bridge.provisioning.query import EveryType
from idp_bridge.provisioning.records import Kind
from idp_bridge.provisioning.search import Search, Step
from idp_bridge.text import fold
from scim.attributes import Attribute, AttrPath, Schema
from scim.errors import InvalidValue
from scim.filter import parse_filter
from scim.paging import Page
from scim.projection import Projection
from scim.resource import parse_datetime
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, USER, USER_TYPE, Catalogue, ResourceType
from scim.sorting import Sort, parse_sort

BOTH = [users.KIND, groups.KIND]
USERS, GROUPS = 36, 12

BADGE_URN = "urn:example:params:scim:schemas:extension:badge:2.0:User"
BADGE = Schema(
    BADGE_URN,
    "Badge",
    "An extension with an attribute of every type, single and multi-valued.",
    (
        Attribute("floor", "integer"),
        Attribute("weight", "decimal"),
        Attribute("issued", "dateTime"),
        Attribute("armed", "boolean"),
        Attribute("code", case_exact=True),
        Attribute("nicknames", multi_valued=True),
        Attribute("floors", "integer", multi_valued=True),
        Attribute(
            "doors",
            "complex",
            multi_valued=True,
            sub_attributes=(
                Attribute("value", "integer"),
                Attribute("opened", "dateTime"),
                Attribute("primary", "boolean"),
            ),
        ),
    ),
)
EXTENDED = Catalogue(ResourceType("User", "/Users", USER, (*USER_TYPE.extensions, BADGE)), GROUP_TYPE)

NAMES = ["", "a", "A", "ab", "Zoë", "zoe", "Zoe\u0308", "ÄRGER", "ärger", "Straße", "strasse", "ΝΊΚΟΣ", "νίκος", "ИВАН"]
NAMES += ["иван", "李小龍", "𐐀x", "𐐨y", "\uffee", "O'Neil", "100%_x", "İzmir", "a b", "a-b", "_a", "~", "Kelvin", "ﬁn"]
MOMENTS = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.25+02:00", "2025-12-31T23:59:59.123456-05:00"]
MOMENTS += ["2026-01-01T00:00:00", "0001-01-02T00:00:00+20:00", "9999-12-31T23:59:59.9999999Z", "2026-01-01T00:00:00.5"]

SORTED_BY = [
    *("userName", "id", "externalId", "displayName", "title", "active", "name.familyName", "meta.created"),
    *("meta.lastModified", "meta.resourceType", "schemas", "emails", "emails.type", "emails.primary"),
    *("addresses.country", "photos", "x509Certificates", f"{ENTERPRISE_URN}:department", f"{ENTERPRISE_URN}:manager"),
    *(f"{BADGE_URN}:{attribute.name}" for attribute in BADGE.attributes),
    f"{BADGE_URN}:doors.opened",
]


def person(dice: random.Random, number: int) -> dict[str, Any]:
    """A user with some of the attributes, and values that often are equal."""
    badge = {
        "floor": dice.choice([-1, 0, 2, 10, 2**40]),
        "weight": dice.choice([-0.5, 0, 1, 1.5, 1e3, 70.25]),
        "issued": dice.choice(MOMENTS),
        "armed": dice.random() < 0.5,
        "code": dice.choice(NAMES[1:]),
        "nicknames": dice.sample(NAMES[1:], 2),
        "floors": dice.sample([1, 2, 10, -3], 2),
        "doors": [{"value": dice.choice([1, 2, 10])}, {"opened": dice.choice(MOMENTS), "primary": True}],
    }
    resource: dict[str, Any] = {
        "externalId": dice.choice(NAMES[1:]),
        "displayName": dice.choice(NAMES[1:]),
        "title": dice.choice(["x" * SIGNIFICANT, "x" * SIGNIFICANT + "a", "Manager", "manager"]),
        "active": dice.random() < 0.5,
        "name": {"familyName": dice.choice(NAMES[1:])},
        "emails": [
            {"value": f"{dice.choice('bca')}@x.test", "type": "Work"},
            {"value": f"{dice.choice('BCA')}@y.test", "primary": dice.random() < 0.5},
        ],
        "addresses": [{"country": dice.choice(["DE", "fr", "At"])}, {"country": "CH", "primary": True}],
        "photos": [{"value": f"https://x.test/{dice.choice('aB')}", "type": "photo"}],
        "x509Certificates": [{"value": dice.choice(["QQ==", "qq=="])}],
        ENTERPRISE_URN: {"department": dice.choice(NAMES[1:]), "manager": {"value": dice.choice("aAb")}},
        BADGE_URN: {name: value for name, value in badge.items() if dice.random() < 0.7},
    }
    kept = {name: value for name, value in resource.items() if value and dice.random() < 0.7}
    return {**kept, "userName": f"{dice.choice(NAMES)}{number}@x.test"}


@pytest.fixture
def filled(directory: Directory) -> Directory:
    """Users and groups of every shape."""
    dice = random.Random(9865)
    extended = replace(directory, catalogue=EXTENDED)
    with db.transaction():
        for number in range(USERS):
            users.create(extended, person(dice, number))
        for number in range(GROUPS):
            named = {"externalId": dice.choice(NAMES[1:])} if number % 3 else {}
            groups.create(extended, {"displayName": f"{dice.choice(NAMES)}{number}", **named})
    return extended


def search(directory: Directory, kinds: Sequence[Kind], asked: dict[str, str]) -> Search:
    """What the edge makes of a request."""
    names = kinds[0].type(directory) if len(kinds) == 1 else EveryType(directory.catalogue)
    filter_ = parse_filter(asked["filter"], names) if "filter" in asked else None
    return Search(directory, [kind.records.listing for kind in kinds], filter_, parse_sort(asked, names))


def resources(directory: Directory, kinds: Sequence[Kind]) -> list[dict[str, Any]]:
    """Every resource on the wire, by id."""
    found = []
    for kind in kinds:
        rows, _ = kind.records.listing.find(directory, None, Page(1, 1000))
        found += [json.loads(shown.text) for shown in kind.records.shown(directory, rows, Projection())]
    return found


# --- the order, as the RFC has it -------------------------------------------------------------------------------


def lowered(text: str) -> str:
    """Every letter in lower case by itself."""
    return "".join(letter.lower() for letter in unicodedata.normalize("NFC", text))


def values(resource: dict[str, Any], path: AttrPath) -> list[Any]:
    """The attribute's values: objects where it is complex."""
    outer: Any = resource
    for key in AttrPath(path.schema_urn, path.attribute).keys:
        outer = outer.get(key) if outer else None
    return outer if isinstance(outer, list) else [outer] if outer is not None else []


def key(resource: dict[str, Any], path: AttrPath) -> Any:
    """What the resource is sorted by: of several values the primary one's, else the first."""
    found = values(resource, path)
    chosen = next((v for v in found if isinstance(v, dict) and v.get("primary")), found[0] if found else None)
    value = chosen.get(path.sub_attribute.name) if path.sub_attribute and chosen else chosen
    if not isinstance(value, str):
        return value
    if path.leaf.type == "dateTime":
        moment = parse_datetime(value)
        assert moment is not None
        return moment
    if path.keys == ("userName",):
        return fold(value)
    exact = path.leaf.case_exact or path.leaf.type == "binary"
    return (value if exact else lowered(value))[:SIGNIFICANT]


def expected(found: Sequence[dict[str, Any]], sort: Sort | None) -> list[str]:
    """The ids in the order asked for: what has no value last, equals by id; descending is the reverse."""

    def rank(resource: dict[str, Any]) -> tuple[Any, ...]:
        value = key(resource, sort.path) if sort else resource["id"]
        return value is None, value, resource["id"]

    return [r["id"] for r in sorted(found, key=rank, reverse=sort is not None and sort.descending)]


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_lists_are_in_the_order_of_every_attribute(filled: Directory, order: str) -> None:
    """Of every type, single, multi-valued and of an extension; with absent values, and on both databases alike."""
    everything = resources(filled, [users.KIND])
    for name in SORTED_BY:
        asked = search(filled, [users.KIND], {"sortBy": name, "sortOrder": order})
        rows, total = asked.page(Page(1, 1000))
        assert [row.id for row in rows] == expected(everything, asked.sort), name
        assert total == USERS


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_both_types_are_in_one_order(filled: Directory, order: str) -> None:
    """The sort holds over the union; a type without the attribute has no value. Pages by index are slices of it."""
    everything = resources(filled, BOTH)
    for name in (
        "displayName",
        "externalId",
        "id",
        "userName",
        "active",
        "meta.created",
        "meta.resourceType",
        "emails",
    ):
        asked = search(filled, BOTH, {"sortBy": name, "sortOrder": order})
        wanted = expected(everything, asked.sort)
        for start in (1, 18, USERS - 3, USERS + GROUPS, USERS + GROUPS + 1, 200):
            rows, total = asked.page(Page(start, 9))
            assert ([row.id for row in rows], total) == (wanted[start - 1 :][:9], USERS + GROUPS), (name, start)


def test_a_list_without_a_resource_counts_all(filled: Directory) -> None:
    """count=0 asks for the total alone (RFC 7644 §3.4.2.4), with a sort and with a cursor as well."""
    asked = search(filled, [users.KIND], {"sortBy": "title", "filter": "title pr"})
    wanted = len([r for r in resources(filled, [users.KIND]) if "title" in r])
    assert asked.page(Page(1, 0)) == ([], wanted)
    assert asked.step(0) == Step([], wanted, None, None)


@pytest.mark.parametrize("name", ["meta.version", "meta.location"])
def test_what_is_made_for_the_answer_is_not_sorted_by(filled: Directory, name: str) -> None:
    """As no filter compares it; the order of the ids would be a lie."""
    with pytest.raises(InvalidValue, match="cannot be sorted by"):
        search(filled, [users.KIND], {"sortBy": name}).page(Page())


# --- by cursor --------------------------------------------------------------------------------------------------

WALKS: list[dict[str, str]] = [
    {},
    {"filter": "active eq true"},
    {"sortBy": "userName"},
    {"sortBy": "title", "sortOrder": "descending"},
    {"sortBy": "title", "filter": "not (emails pr)"},
    {"sortBy": "meta.lastModified", "sortOrder": "descending"},
    {"sortBy": f"{BADGE_URN}:weight"},
    {"sortBy": f"{BADGE_URN}:issued", "sortOrder": "descending"},
    {"sortBy": f"{BADGE_URN}:armed", "sortOrder": "descending"},
    {"sortBy": "displayName", "filter": 'userName co "a"'},
    {"sortBy": "schemas", "sortOrder": "descending"},
]


def walk(asked: Search, count: int, between: Callable[[Step], None] = lambda step: None) -> Iterator[Step]:
    """Every page from the first to the last; ``between`` is done before the next one is read."""
    step = asked.step(count)
    yield step
    while step.following is not None:
        between(step)
        step = asked.step(count, step.following)
        yield step


@pytest.mark.parametrize("kinds", [[users.KIND], [users.KIND, groups.KIND]], ids=["users", "both"])
def test_a_walk_is_the_whole_list_in_its_order(filled: Directory, kinds: list[Kind]) -> None:
    """Each match once, and the total on every page; the way back gives the same pages."""
    for asked in WALKS:
        whole, total = search(filled, kinds, asked).page(Page(1, 1000))
        for count in (5, total - 1, total):
            steps = list(walk(search(filled, kinds, asked), count))
            assert [row.id for step in steps for row in step.rows] == [row.id for row in whole], (asked, count)
            assert {step.total for step in steps} == {total}
            assert all(len(step.rows) == count for step in steps[:-1])
            assert steps[0].preceding is None
            back = [steps[-1]]
            while back[-1].preceding is not None:
                back.append(search(filled, kinds, asked).step(count, back[-1].preceding))
            assert back[-1].rows == steps[0].rows
            assert [step.rows for step in reversed(back)] == [step.rows for step in steps]


@pytest.mark.parametrize("seed", range(2))
def test_what_stays_is_walked_over_once_whatever_comes_and_goes(filled: Directory, seed: int) -> None:
    """Between pages users are made and deleted, those at the page's edge among them (RFC 7644 §3.4.2.4 would skip)."""
    dice = random.Random(seed)
    for asked in WALKS:
        before = {row.id for row in search(filled, [users.KIND], asked).page(Page(1, 1000))[0]}
        deleted: set[str] = set()

        def shuffle(step: Step, deleted: set[str] = deleted) -> None:
            with db.transaction():
                present = [row.id for row in search(filled, [users.KIND], {}).page(Page(1, 1000))[0]]
                gone = {step.rows[-1].id, *dice.sample(present, 2)} if step.rows else set()
                for id in gone & set(present):
                    users.delete(filled, id)
                deleted |= gone
                for _ in range(3):
                    users.create(filled, person(dice, dice.randrange(10**9)))

        seen = [row.id for step in walk(search(filled, [users.KIND], asked), 4, shuffle) for row in step.rows]
        after = [row.id for row in search(filled, [users.KIND], asked).page(Page(1, 1000))[0]]
        assert len(seen) == len(set(seen)), asked
        assert before - deleted <= set(seen), asked
        still = [id for id in seen if id in set(after)]
        assert still == [id for id in after if id in set(still)], asked


def test_the_page_before_a_deleted_beginning_is_the_first(filled: Directory) -> None:
    """A way back never ends on a page that is empty, or shorter than asked for."""
    asked = search(filled, [users.KIND], {"sortBy": "userName"})
    first, second, *_ = walk(asked, 10)
    with db.transaction():
        for row in first.rows:
            users.delete(filled, row.id)
    assert second.preceding is not None
    back = asked.step(10, second.preceding)
    assert (back.rows, back.preceding, back.total) == (second.rows, None, USERS - 10)


def test_a_page_emptied_meanwhile_is_the_last(filled: Directory) -> None:
    """A cursor whose followers are all gone leads to an empty page, and no further."""
    asked = search(filled, [users.KIND], {"sortBy": "id"})
    step = asked.step(30)
    with db.transaction():
        for row in asked.page(Page(31, 30))[0]:
            users.delete(filled, row.id)
    assert asked.step(30, step.following) == Step([], 30, None, None)


def test_a_cursor_does_not_leave_its_directory(filled: Directory, second: Directory) -> None:
    """Even a position that was ours: what may be seen is decided anew with each page (RFC 9865 §5.2)."""
    step = search(filled, [users.KIND], {}).step(1)
    assert search(second, [users.KIND], {}).step(100, step.following) == Step([], 0, None, None)


@pytest.mark.parametrize("name", ["userName", "id", "meta.lastModified"])
def test_what_is_asked_for_most_is_in_order_by_an_index(filled: Directory, name: str) -> None:
    """A page of a hundred thousand users is not made by sorting them, wherever it begins."""
    key = "2026-01-01T00:00:00.000000Z"
    for start in (None, Position(key, "du_x"), Position(key, "du_x", back=True)):
        plan = explained(filled, {"sortBy": name}, start)
        assert not re.search(r"(?<!Incremental )Sort  \(", plan), plan
        assert "TEMP B-TREE FOR ORDER BY" not in plan, plan
        assert "Seq Scan" not in plan, plan


def explained(directory: Directory, asked: dict[str, str], start: Position | None) -> str:
    """How the database finds a page by cursor."""
    way = order(parse_sort(asked, USER_TYPE), USER_TYPE)
    way = way.reversed() if start is not None and start.back else way
    rows = users.KIND.records.listing.positions(directory, None, way, start=start).limit(100)
    sql, parameters = rows.sql()
    if isinstance(db.database.obj, SqliteDatabase):
        return str(db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
    for by_choice in ("seqscan", "sort"):  # of a table of few rows
        db.database.execute_sql(f"SET enable_{by_choice} = off")
    return str(db.database.execute_sql(f"EXPLAIN {sql}", parameters).fetchall())
