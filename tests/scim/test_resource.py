"""POST and PUT bodies become canonical resources."""

import copy
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim.attributes import Attribute
from scim.errors import InvalidSyntax, InvalidValue
from scim.resource import (
    canonical,
    canonical_entry,
    canonical_list,
    identity,
    is_storable,
    merged,
    parse,
    parse_datetime,
    render,
    render_schemas,
    require,
)
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, GROUP_URN, MEMBERS, USER, USER_TYPE, USER_URN

OKTA_CREATE = {
    "schemas": [USER_URN],
    "userName": "t@x.io",
    "name": {"givenName": "T", "familyName": "U"},
    "emails": [{"primary": True, "value": "t@x.io", "type": "work"}],
    "displayName": "T U",
    "locale": "en-US",
    "externalId": "00ujl29u0le5T6Aj10h7",
    "groups": [],
    "password": "1mz050nq",
    "active": True,
}

# RFC 7644 lets the server ignore what it does not know; every row is a body beside userName, and what is kept of it.
TOLERANCES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("string booleans [Entra]", {"active": "True"}, {"active": True}),
    ("string booleans [Entra]", {"active": "false"}, {"active": False}),
    (
        "string booleans inside [validator]",
        {"roles": [{"primary": "True", "value": "a"}]},
        {"roles": [{"primary": True, "value": "a"}]},
    ),
    ("null is unassigned [Entra]", {"addresses": None, "title": None}, {}),
    ("null emails [JumpCloud]", {"emails": None}, {}),
    ("empty string is unassigned [scimgateway]", {"title": "", "name": {"givenName": ""}}, {}),
    ("empty array is unassigned [Entra]", {"roles": [], "emails": [{}]}, {}),
    ("null sub-attributes", {"name": {"givenName": "A", "middleName": None}}, {"name": {"givenName": "A"}}),
    ("emails as object [OneLogin]", {"emails": {"value": "a@b"}}, {"emails": [{"value": "a@b"}]}),
    (
        "names in any case [Postman]",
        {"EMAILS": [{"VALUE": "a", "Primary": True}], ENTERPRISE_URN.lower(): {"Department": "d"}},
        {"emails": [{"value": "a", "primary": True}], ENTERPRISE_URN: {"department": "d"}},
    ),
    ("manager as string [Entra]", {ENTERPRISE_URN: {"manager": "7"}}, {ENTERPRISE_URN: {"manager": {"value": "7"}}}),
    (
        "manager as array [Entra]",
        {ENTERPRISE_URN: {"manager": [{"$ref": "/Users/7", "value": "7"}]}},
        {ENTERPRISE_URN: {"manager": {"$ref": "/Users/7", "value": "7"}}},
    ),
    ("manager with an empty value [Entra]", {ENTERPRISE_URN: {"manager": {"value": "", "displayName": "x"}}}, {}),
    (
        "extension attributes at the top [Entra]",
        {"department": "d", "manager": {"value": "7"}},
        {ENTERPRISE_URN: {"department": "d", "manager": {"value": "7"}}},
    ),
    (
        "extension attributes with urn at the top",
        {f"{ENTERPRISE_URN}:division": "d"},
        {ENTERPRISE_URN: {"division": "d"}},
    ),
    ("listed extension without object [several]", {"schemas": [USER_URN, ENTERPRISE_URN]}, {}),
    ("empty extension", {ENTERPRISE_URN: {}}, {}),
    ("empty extension attribute at the top", {"department": ""}, {}),
    ("unknown extra schema [Entra]", {"schemas": ["http://schemas.microsoft.com/2006/11/x"]}, {}),
    (
        "unknown attributes",
        {"favouriteColour": "red", "emails": [{"value": "a", "colour": 1}]},
        {"emails": [{"value": "a"}]},
    ),
    ("password [Okta]", {"password": "secret"}, {}),
    ("groups [Okta]", {"groups": [{"value": "g"}]}, {}),
    ("id and meta [many]", {"id": "mine", "meta": {"resourceType": "User", "created": 5}}, {}),
    (
        "values that no format would allow [validator]",
        {"profileUrl": "MFGMUGTYPBKA", "locale": "NNRDFXPHOXUY", "phoneNumbers": [{"value": "Qjjqzp"}]},
        {"profileUrl": "MFGMUGTYPBKA", "locale": "NNRDFXPHOXUY", "phoneNumbers": [{"value": "Qjjqzp"}]},
    ),
    (
        "two emails of one type [Postman]",
        {"emails": [{"type": "work", "value": "a"}, {"type": "work", "value": "b"}]},
        {"emails": [{"type": "work", "value": "a"}, {"type": "work", "value": "b"}]},
    ),
    (
        "the same value twice",
        {"emails": [{"type": "work", "value": "a"}, {"type": "work", "value": "a", "primary": True}]},
        {"emails": [{"type": "work", "value": "a", "primary": True}]},
    ),
    (
        "the same address twice",
        {"addresses": [{"country": "A", "region": "R"}, {"region": "R", "country": "A"}]},
        {"addresses": [{"country": "A", "region": "R"}]},
    ),
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"userName": 5}, "userName: 5 is not a string"),
    ({"userName": "   "}, "userName must not be blank"),
    ({"userName": ""}, "userName is required"),
    ({"userName": None}, "userName is required"),
    ({"active": "yes"}, "active: 'yes' is not true or false"),
    ({"active": 1}, "active: 1 is not true or false"),
    ({"emails": [{"value": 5}]}, "emails.value: 5 is not a string"),
    ({"emails": [5]}, "emails: 5 is not an object"),
    ({"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": "true"}]}, "`primary` can be true for one"),
    ({"name": "Babs"}, "name: 'Babs' is not an object"),
    ({"name": [{}, {}]}, "name: \\[{}, {}\\] is not an object"),
    ({"title": ["x"]}, "title: \\['x'\\] is not a string"),
    ({"title": "a\x00b"}, "title: 'a\\\\x00b' is not a string without control"),
    ({"title": "a\x1bb"}, "control"),
    ({"title": "a\ud800b"}, "control"),
    ({"USERNAME": "other"}, "userName is given twice"),
    ({"name": {"givenName": "A", "GivenName": "B"}}, "givenName is given twice"),
    ({ENTERPRISE_URN: {"department": 5}}, "department: 5 is not a string"),
    ({ENTERPRISE_URN: "x"}, "is not an object"),
]


def _user(**attributes: Any) -> dict[str, Any]:
    return {"userName": "babs", **attributes}


def test_okta_create_is_read_without_password_and_groups() -> None:
    """Okta sends a random password and empty groups with every create."""
    expected = {name: value for name, value in OKTA_CREATE.items() if name not in ("schemas", "groups", "password")}
    assert parse(USER_TYPE, OKTA_CREATE) == expected


@pytest.mark.parametrize(("why", "sent", "kept"), TOLERANCES)
def test_deviations_become_the_clean_form(why: str, sent: dict[str, Any], kept: dict[str, Any]) -> None:
    """The tolerance table, row by row; the body itself stays as it was."""
    before = copy.deepcopy(sent)
    assert parse(USER_TYPE, _user(**sent)) == _user(**kept), why
    assert sent == before


@pytest.mark.parametrize(("sent", "words"), REFUSED)
def test_values_of_the_wrong_type_are_refused_by_name(sent: dict[str, Any], words: str) -> None:
    """The administrator of the provider reads which attribute and which value it was."""
    with pytest.raises(InvalidValue, match=words):
        parse(USER_TYPE, _user() | sent)


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_bad_syntax(body: object) -> None:
    """RFC 7644 §3.12."""
    with pytest.raises(InvalidSyntax):
        parse(USER_TYPE, body)


@pytest.mark.parametrize(
    "sent", [{"colour": 1}, {"emails": [{"colour": 1}]}, {"name.givenName": "x"}, {ENTERPRISE_URN: {"x": 1}}]
)
def test_strict_refuses_unknown_attributes(sent: dict[str, Any]) -> None:
    """The interoperability profile wants unknown attributes refused; everybody else wants them passed over."""
    assert parse(USER_TYPE, _user(**sent)) == _user()
    with pytest.raises(InvalidValue, match="is not an attribute"):
        parse(USER_TYPE, _user(**sent), strict=True)


def test_strict_still_passes_over_what_okta_always_sends() -> None:
    """Otherwise no Okta user could be created in strict mode."""
    assert parse(USER_TYPE, OKTA_CREATE, strict=True) == parse(USER_TYPE, OKTA_CREATE)


def test_text_may_hold_lines_and_any_script() -> None:
    """Only control characters that no name holds are refused."""
    sent = {"displayName": "Žofie 王 👩‍🚀", "addresses": [{"formatted": "1 Road\r\n\tTown"}]}
    assert parse(USER_TYPE, _user(**sent)) == _user(**sent)


def test_group_members_are_kept_as_sent() -> None:
    """Entra sends `$ref: null`, Okta a display, the Postman collection bare ids."""
    body = {
        "schemas": [GROUP_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "displayName": "G",
        "members": [{"$ref": None, "value": "a"}, {"value": "b", "display": "B"}, "c", {"value": "a", "type": "User"}],
    }
    assert parse(GROUP_TYPE, body) == {
        "displayName": "G",
        "members": [{"value": "a", "type": "User"}, {"value": "b", "display": "B"}, {"value": "c"}],
    }


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([{"display": "x"}], "members.value is required"),
        ([{}], "members.value is required"),
        ([None], "members.value is required"),
        ([{"value": ""}], "members.value is required"),
        ([5], "is not an object"),
        ([{"value": "g", "type": "Group"}], "groups within groups are not supported"),
        ([{"value": "g", "$ref": "https://x/scim/v2/Groups/g"}], "groups within groups are not supported"),
    ],
)
def test_malformed_and_nested_members_are_refused(members: list[Any], words: str) -> None:
    """A member that cannot be told must not be dropped in silence."""
    with pytest.raises(InvalidValue, match=words):
        parse(GROUP_TYPE, {"displayName": "G", "members": members})


def test_a_group_needs_a_name() -> None:
    """RFC 7643 §4.2: displayName is required."""
    with pytest.raises(InvalidValue, match="displayName is required"):
        parse(GROUP_TYPE, {"members": []})
    with pytest.raises(InvalidValue, match="displayName is required"):
        require(GROUP_TYPE, {})


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("integer", 5, 5),
        ("integer", 0, 0),
        ("integer", -(2**63) + 1, -(2**63) + 1),
        ("decimal", 5, 5),
        ("decimal", 0.5, 0.5),
        ("dateTime", "2011-05-13T04:42:34Z", "2011-05-13T04:42:34Z"),
        ("boolean", False, False),
        ("binary", "not base64!", "not base64!"),
    ],
)
def test_simple_types_take_their_json_type(kind: Any, value: object, kept: object) -> None:
    """RFC 7643 §2.3."""
    assert canonical(Attribute("x", kind), value) == kept


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", True),
        ("integer", 5.0),
        ("integer", "5"),
        ("integer", 2**63),
        ("decimal", 10**400),
        ("decimal", True),
        ("decimal", math.inf),
        ("decimal", math.nan),
        ("decimal", "0.5"),
        ("dateTime", "yesterday"),
        ("dateTime", "2011-13-13T04:42:34Z"),
        ("dateTime", 5),
        ("binary", 5),
        ("reference", 5),
    ],
)
def test_simple_types_refuse_another_json_type(kind: Any, value: object) -> None:
    """A boolean is no integer, infinity is no JSON."""
    with pytest.raises(InvalidValue, match=r"^x: "):
        canonical(Attribute("x", kind), value)


def test_simple_multi_valued_attributes_hold_each_value_once() -> None:
    """RFC 7643 §2.4, for extensions that have such attributes."""
    tags = Attribute("tags", multi_valued=True)
    assert canonical_list(tags, ["a", "b", "a", "A", "", None]) == ["a", "b"]
    assert canonical(tags, "a") == ["a"]
    assert canonical_entry(tags, "a") == "a"
    assert canonical_list(tags, [""]) is None


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("emails", {"value": "a", "type": "work", "primary": True}, (("type", "work"), ("value", "a"))),
        ("emails", {"value": "Ä@x", "type": "Work"}, (("type", "work"), ("value", "ä@x"))),
        ("emails", {"value": "a"}, (("type", None), ("value", "a"))),
        ("photos", {"value": "/A"}, (("type", None), ("value", "/A"))),
        ("addresses", {"region": "r", "country": "c"}, (("country", "c"), ("region", "r"))),
    ],
)
def test_an_entry_is_known_by_type_and_value(name: str, entry: dict[str, Any], expected: object) -> None:
    """RFC 7643 §2.4: no (type, value) pair twice."""
    attribute = USER.attribute(name)
    assert attribute is not None
    assert identity(attribute, entry) == expected


def test_a_member_is_known_by_its_id_alone() -> None:
    """The same user with another display is the same member."""
    assert identity(MEMBERS, {"value": "a", "type": "User"}) == identity(MEMBERS, {"value": "a"})
    assert merged(MEMBERS, [{"value": "a"}, {"value": "b"}, {"value": "a", "display": "A"}]) == [
        {"value": "a", "display": "A"},
        {"value": "b"},
    ]


def test_read_only_sub_attributes_are_passed_over() -> None:
    """RFC 7644 §3.3: what the client cannot set is ignored, in bodies at any level."""
    clock = Attribute("clock", "complex", sub_attributes=(Attribute("zone"), Attribute("ticks", mutability="readOnly")))
    assert canonical(clock, {"zone": "UTC", "ticks": "5"}) == {"zone": "UTC"}


def test_schemas_follow_from_the_content() -> None:
    """RFC 7643 §3: the extension is named only where it is present."""
    assert render_schemas(USER_TYPE, _user()) == [USER_URN]
    assert render_schemas(USER_TYPE, _user(**{ENTERPRISE_URN: {"department": "d"}})) == [USER_URN, ENTERPRISE_URN]


def test_the_wire_form_has_schemas_first() -> None:
    """Order means nothing in JSON, but people read it."""
    rendered = render(USER_TYPE, _user(active=False), id="7", meta={"version": "1"})
    assert list(rendered.items()) == [
        ("schemas", [USER_URN]),
        ("id", "7"),
        ("userName", "babs"),
        ("active", False),
        ("meta", {"version": "1"}),
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2011-05-13T04:42:34Z", datetime(2011, 5, 13, 4, 42, 34, tzinfo=UTC)),
        ("2011-05-13T06:42:34+02:00", datetime(2011, 5, 13, 4, 42, 34, tzinfo=UTC)),
        ("2011-05-13T04:42:34.5Z", datetime(2011, 5, 13, 4, 42, 34, 500000, tzinfo=UTC)),
        ("2011-05-13T04:42:34", datetime(2011, 5, 13, 4, 42, 34, tzinfo=UTC)),
        ("2011-05-13", None),
        ("2011-02-30T04:42:34Z", None),
        ("2011-05-13T04:42:34+99:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("", None),
    ],
)
def test_date_times_are_instants(text: str, moment: datetime | None) -> None:
    """RFC 7643 §2.3.5: xsd:dateTime; what is none is none."""
    assert parse_datetime(text) == moment


@given(st.text())
def test_storable_text_can_be_written_as_utf8_without_nul(text: str) -> None:
    """Whatever passes, a database and a JSON writer take."""
    if is_storable(text):
        assert "\x00" not in text
        assert text.encode("utf-8").decode("utf-8") == text


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_names = st.sampled_from(
    ["userName", "name", "emails", "addresses", "active", "manager", "members", ENTERPRISE_URN, "meta", "photos"]
)
_entries = st.dictionaries(
    st.sampled_from(["value", "type", "primary", "givenName", "country", "manager", "$ref"]), _json
)


@given(st.dictionaries(_names, _json | _entries | st.lists(_entries, max_size=3)))
def test_any_json_is_refused_or_becomes_canonical(body: dict[str, Any]) -> None:
    """Nothing else is raised, and what is canonical is read again as it is."""
    for resource_type in (USER_TYPE, GROUP_TYPE):
        try:
            resource = parse(resource_type, body)
        except InvalidValue:
            continue
        assert parse(resource_type, resource, strict=True) == resource
