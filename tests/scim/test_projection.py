"""Which attributes an answer holds."""

from typing import Any

import pytest

from scim.attributes import Attribute, Schema
from scim.errors import InvalidValue
from scim.path import parse_path
from scim.projection import Projection, named_by, named_in, parse_projection, project, wants
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, GROUP_URN, STANDARD, USER_TYPE, USER_URN, ResourceType

BABS: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "id": "7",
    "userName": "babs",
    "name": {"givenName": "Barbara", "familyName": "Jensen"},
    "active": False,
    "emails": [{"value": "a", "type": "work"}, {"value": "b"}],
    ENTERPRISE_URN: {"department": "d", "manager": {"value": "9", "displayName": "Ann"}},
    "meta": {"resourceType": "User", "location": "/Users/7"},
}
ALWAYS = {"schemas": BABS["schemas"], "id": "7"}


def _without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in BABS.items() if name not in names}


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ("userName", {"userName": "babs"}),
        ("USERNAME,active", {"userName": "babs", "active": False}),
        ("name.givenName", {"name": {"givenName": "Barbara"}}),
        ("name.givenName,name", {"name": BABS["name"]}),
        ("name,name.givenName", {"name": BABS["name"]}),
        ("emails.type", {"emails": [{"type": "work"}]}),
        ("emails", {"emails": BABS["emails"]}),
        (f"{USER_URN}:userName", {"userName": "babs"}),
        (USER_URN, {name: BABS[name] for name in ("userName", "name", "active", "emails")}),
        (ENTERPRISE_URN, {ENTERPRISE_URN: BABS[ENTERPRISE_URN]}),
        (f"{ENTERPRISE_URN}:department", {ENTERPRISE_URN: {"department": "d"}}),
        (f"{ENTERPRISE_URN}:manager.value", {ENTERPRISE_URN: {"manager": {"value": "9"}}}),
        (f"{ENTERPRISE_URN},{ENTERPRISE_URN}:manager.value", {ENTERPRISE_URN: BABS[ENTERPRISE_URN]}),
        ("meta.location", {"meta": {"location": "/Users/7"}}),
        ("id", {}),
        ("title", {}),
        ("nosuch", {}),
        ('emails[type eq "work"]', {}),
        ("photos.value,phoneNumbers", {}),
    ],
)
def test_attributes_select(attributes: str, kept: dict[str, Any]) -> None:
    """RFC 7644 §3.9: the minimum set and what is asked for, sub-attributes and URNs included."""
    names = parse_projection({"attributes": attributes}).attributes
    assert project(BABS, USER_TYPE, attributes=names) == ALWAYS | kept


@pytest.mark.parametrize(
    ("excluded", "kept"),
    [
        ("emails", _without("emails")),
        ("EMAILS,meta", _without("emails", "meta")),
        ("id,schemas", BABS),
        ("name.givenName", BABS | {"name": {"familyName": "Jensen"}}),
        ("name.givenName,name.familyName", _without("name")),
        ("emails.type", BABS | {"emails": [{"value": "a"}, {"value": "b"}]}),
        ("emails.value", BABS | {"emails": [{"type": "work"}]}),
        (ENTERPRISE_URN, _without(ENTERPRISE_URN)),
        (f"{ENTERPRISE_URN}:manager", BABS | {ENTERPRISE_URN: {"department": "d"}}),
        ("members", BABS),
    ],
)
def test_excluded_attributes_are_left_out(excluded: str, kept: dict[str, Any]) -> None:
    """RFC 7644 §3.9: what is always returned stays."""
    names = parse_projection({"excludedAttributes": excluded}).excluded
    assert project(BABS, USER_TYPE, excluded=names) == kept


def test_without_a_wish_everything_is_returned_as_it_is() -> None:
    """The common case copies nothing."""
    assert project(BABS, USER_TYPE) is BABS


def test_returned_request_and_never() -> None:
    """RFC 7643 §2.2: `request` only where asked for, `never` not even then."""
    schema = Schema(
        "urn:x",
        "X",
        "",
        (Attribute("plain"), Attribute("shy", returned="request"), Attribute("dark", returned="never")),
    )
    kind = ResourceType("X", "/X", schema)
    resource = {"id": "1", "plain": "a", "shy": "b", "dark": "c"}
    assert project(resource, kind) == {"id": "1", "plain": "a"}
    assert project(resource, kind, excluded=["plain"]) == {"id": "1"}
    assert project(resource, kind, attributes=["shy", "dark"]) == {"id": "1", "shy": "b"}


CARS = "urn:acme:scim:2.0:User"
OWN = STANDARD.extended(
    user=[
        Schema(
            CARS,
            "Cars",
            "",
            (
                Attribute("plain"),
                Attribute("badge", returned="always"),
                Attribute("shy", returned="request"),
                Attribute("dark", mutability="writeOnly", returned="never"),
                Attribute(
                    "car",
                    "complex",
                    sub_attributes=(
                        Attribute("plate", returned="always"),
                        Attribute("colour"),
                        Attribute("price", returned="request"),
                        Attribute("key", returned="never"),
                    ),
                ),
                Attribute("secret", "complex", returned="never", sub_attributes=(Attribute("part"),)),
            ),
        )
    ]
).user
CAR = {"plate": "P", "colour": "red", "price": "9", "key": "k"}
DRIVER = {
    "schemas": [USER_URN, CARS],
    "id": "7",
    "userName": "ann",
    CARS: {"plain": "a", "badge": "b", "shy": "c", "dark": "d", "car": CAR, "secret": {"part": "x"}},
}
SHOWN = {"plate": "P", "colour": "red"}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, {"plain": "a", "badge": "b", "car": SHOWN}),
        ({"attributes": [CARS]}, {"plain": "a", "badge": "b", "car": SHOWN}),
        ({"attributes": ["userName"]}, {"badge": "b"}),
        ({"attributes": [f"{CARS}:plain"]}, {"plain": "a", "badge": "b"}),
        ({"attributes": [f"{CARS}:shy", f"{CARS}:dark"]}, {"badge": "b", "shy": "c"}),
        ({"attributes": [f"{CARS}:car"]}, {"badge": "b", "car": SHOWN}),
        ({"attributes": [f"{CARS}:car.colour"]}, {"badge": "b", "car": {"plate": "P", "colour": "red"}}),
        ({"attributes": [f"{CARS}:car.price"]}, {"badge": "b", "car": {"plate": "P", "price": "9"}}),
        ({"attributes": [f"{CARS}:car.key"]}, {"badge": "b"}),
        ({"attributes": [f"{CARS}:secret", f"{CARS}:secret.part"]}, {"badge": "b"}),
        ({"excluded": [CARS]}, {"badge": "b"}),
        ({"excluded": [f"{CARS}:badge", f"{CARS}:car.colour"]}, {"plain": "a", "badge": "b", "car": {"plate": "P"}}),
        ({"excluded": [f"{CARS}:car"]}, {"plain": "a", "badge": "b"}),
        ({"named": [f"{CARS}:shy"]}, {"plain": "a", "badge": "b", "shy": "c", "car": SHOWN}),
        ({"named": [f"{CARS}:car.price"]}, {"plain": "a", "badge": "b", "car": {**SHOWN, "price": "9"}}),
        ({"named": [f"{CARS}:dark", f"{CARS}:secret"]}, {"plain": "a", "badge": "b", "car": SHOWN}),
    ],
)
def test_returned_holds_in_extensions_and_sub_attributes(asked: dict[str, list[str]], kept: dict[str, Any]) -> None:
    """RFC 7643 §7: always whatever is asked, request by name alone, never in any way; a part goes where its whole
    goes."""
    assert project(DRIVER, OWN, **asked)[CARS] == kept


def test_a_change_names_what_is_returned_on_request() -> None:
    """RFC 7643 §7: `request` is returned to the POST, PUT or PATCH that specified the attribute."""
    assert named_in(DRIVER, OWN) == (f"{CARS}:shy", f"{CARS}:car.price")
    assert named_in({"userName": "ann", CARS: {"plain": "a"}}, OWN) == ()

    def named(*paths: str) -> tuple[str, ...]:
        return named_by([parse_path(path, OWN) for path in paths], OWN)

    assert named("userName", f"{CARS}:plain") == ()
    assert named(f"{CARS}:shy", f"{CARS}:dark") == (f"{CARS}:shy",)
    assert named(f"{CARS}:car.price") == named(f"{CARS}:car") == (f"{CARS}:car.price",)
    assert named(f"{CARS}:car.colour") == ()


def test_an_attribute_of_the_same_name_is_not_the_list() -> None:
    """Leaving out an account's own `members` does not leave out the group's."""
    kind = STANDARD.extended(group=[Schema("urn:x:y", "X", "", (Attribute("members"),))]).group
    assert wants(Projection(excluded=("urn:x:y:members",)), "members", kind)
    assert not wants(Projection(attributes=("urn:x:y:members",)), "members", kind)


@pytest.mark.parametrize(
    ("args", "projection"),
    [
        ({}, Projection()),
        ({"attributes": "", "excludedAttributes": " , "}, Projection()),
        ({"attributes": " a , b,"}, Projection(attributes=("a", "b"))),
        ({"attributes": ["a", "b"], "excludedAttributes": []}, Projection(attributes=("a", "b"))),
        ({"attributes": "", "excludedAttributes": "members"}, Projection(excluded=("members",))),
        ({"count": "1", "attributes": None}, Projection()),
    ],
)
def test_parameters_come_from_a_query_or_a_search_request(args: dict[str, Any], projection: Projection) -> None:
    """scimgateway sends `attributes=` empty: as if absent."""
    assert parse_projection(args) == projection


@pytest.mark.parametrize(
    "args",
    [{"attributes": "a", "excludedAttributes": "b"}, {"attributes": 5}, {"attributes": [5]}, {"attributes": {"a": 1}}],
)
def test_contradictory_or_malformed_parameters_are_refused(args: dict[str, Any]) -> None:
    """RFC 7644 §3.9: the two are mutually exclusive."""
    with pytest.raises(InvalidValue):
        parse_projection(args)


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ({}, True),
        ({"attributes": "displayName"}, False),
        ({"attributes": "displayName,Members"}, True),
        ({"attributes": "members.value"}, True),
        ({"attributes": f"{GROUP_URN}:members.display"}, True),
        ({"excludedAttributes": "MEMBERS"}, False),
        ({"excludedAttributes": f"{GROUP_URN}:members"}, False),
        ({"excludedAttributes": "members.display"}, True),
        ({"excludedAttributes": "displayName"}, True),
    ],
)
def test_whether_members_are_wanted(args: dict[str, str], wanted: bool) -> None:
    """A group of ten thousand is read only for who wants to see its members."""
    assert wants(parse_projection(args), "members", GROUP_TYPE) is wanted
