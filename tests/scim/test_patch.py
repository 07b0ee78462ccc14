"""PATCH: the RFC's rules and the dialects of the providers, on a resource in hand and on a group never loaded."""

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    ScimError,
    TooMany,
)
from scim.filter import equalities
from scim.patch import MISSING, MemberDelta, Operation, apply, member_changes, parse_patch
from scim.resource import parse
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, PATCH_URN, USER_TYPE, USER_URN
from tests.fuzz.patches import operation as random_operation
from tests.fuzz.resources import TYPE
from tests.fuzz.resources import user as random_user

WORK = {"value": "w@x.io", "type": "work", "primary": True}
HOME = {"value": "h@x.io", "type": "home"}
BABS: dict[str, Any] = {
    "userName": "babs",
    "externalId": "e1",
    "name": {"givenName": "Barbara", "familyName": "Jensen"},
    "title": "Boss",
    "active": True,
    "emails": [WORK, HOME],
    "addresses": [{"type": "work", "country": "US", "region": "CA"}],
    ENTERPRISE_URN: {"department": "Tours", "manager": {"value": "7", "displayName": "Ann", "$ref": "/Users/7"}},
}
GONE = object()

Op = dict[str, Any]


def _body(*operations: Op) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def _patched(before: dict[str, Any], *operations: Op, strict: bool = False) -> tuple[dict[str, Any], frozenset[str]]:
    return apply(before, parse_patch(_body(*operations), USER_TYPE, strict=strict), USER_TYPE)


def _op(op: str, path: str | None = None, *value: Any) -> Op:
    return {"op": op} | ({"path": path} if path is not None else {}) | ({"value": value[0]} if value else {})


def _with(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (BABS | changes).items() if value is not GONE}


def _enterprise(**changes: Any) -> dict[str, Any]:
    kept = {name: value for name, value in (BABS[ENTERPRISE_URN] | changes).items() if value is not GONE}
    return _with(**{ENTERPRISE_URN: kept or GONE})


MANAGER = f"{ENTERPRISE_URN}:manager"

# (rule, operation, the resource afterwards)
RULES: list[tuple[str, Op, dict[str, Any]]] = [
    # Single-valued attributes.
    ("replace a value", _op("replace", "title", "Chef"), _with(title="Chef")),
    ("add replaces a single value", _op("add", "title", "Chef"), _with(title="Chef")),
    ("add a missing value", _op("add", "nickName", "B"), _with(nickName="B")),
    ("replace on a missing value adds", _op("replace", "nickName", "B"), _with(nickName="B")),
    ("remove a value", _op("remove", "title"), _with(title=GONE)),
    ("remove a missing value", _op("remove", "nickName"), BABS),
    ("remove with a value [Entra]", _op("Remove", "title", "Boss"), _with(title=GONE)),
    ("the same value again", _op("replace", "title", "Boss"), BABS),
    ("externalId", _op("replace", "externalId", "e2"), _with(externalId="e2")),
    ("userName", _op("Replace", "userName", "barbara"), _with(userName="barbara")),
    # Dialects.
    ("op in any case, string boolean [Entra]", _op("Replace", "active", "False"), _with(active=False)),
    ("boolean with the flag [Entra]", _op("replace", "active", False), _with(active=False)),
    ("without path [Okta]", _op("replace", None, {"active": False}), _with(active=False)),
    ("without path, string boolean [Entra]", _op("Replace", None, {"active": "False"}), _with(active=False)),
    ("empty path", _op("replace", "", {"active": False}), _with(active=False)),
    ("add without path", _op("add", None, {"nickname": "B"}), _with(nickName="B")),
    ("empty string unassigns [Entra]", _op("replace", "title", ""), _with(title=GONE)),
    ("null unassigns [Entra]", _op("replace", "title", None), _with(title=GONE)),
    ("null unassigns with add", _op("add", "title", None), _with(title=GONE)),
    (
        "null without path unassigns",
        _op("replace", None, {"title": None, "emails": None}),
        _with(title=GONE, emails=GONE),
    ),
    (
        "paths as keys [Entra flag]",
        _op("replace", None, {"displayName": "B", "name.givenName": "K", f"{ENTERPRISE_URN}:employeeNumber": "7"}),
        _enterprise(employeeNumber="7") | {"displayName": "B", "name": {"givenName": "K", "familyName": "Jensen"}},
    ),
    (
        "filtered path as key",
        _op("replace", None, {'emails[type eq "home"].value': "n"}),
        _with(emails=[WORK, HOME | {"value": "n"}]),
    ),
    (
        "nested objects merge",
        _op("replace", None, {"name": {"givenName": "K"}, ENTERPRISE_URN: {"division": "d"}}),
        _enterprise(division="d") | {"name": {"givenName": "K", "familyName": "Jensen"}},
    ),
    (
        "read-only keys are passed over [Okta, authentik]",
        _op("replace", None, {"id": "x", "schemas": [USER_URN], "meta": {}, "groups": [], "title": "Chef"}),
        _with(title="Chef"),
    ),
    ("unknown keys are passed over", _op("replace", None, {"colour": 1, "a.b": 2, "name": {"x": 1}}), BABS),
    ("password is passed over [Okta]", _op("replace", None, {"password": "secret"}), BABS),
    ("password as path is passed over", _op("replace", "password", "secret"), BABS),
    ("schemas follow from the content", _op("add", "schemas", [ENTERPRISE_URN]), BABS),
    ("object without path, nothing in it", _op("replace", None, {}), BABS),
    # Complex attributes.
    ("sub-attribute", _op("replace", "name.familyName", "J"), _with(name={"givenName": "Barbara", "familyName": "J"})),
    (
        "sub-attribute of a missing parent",
        _op("remove", "name.middleName"),
        BABS,
    ),
    (
        "replace merges an object",
        _op("replace", "name", {"familyName": "J", "formatted": "B J"}),
        _with(name={"givenName": "Barbara", "familyName": "J", "formatted": "B J"}),
    ),
    ("add merges an object", _op("add", "name", {"middleName": "M"}), _with(name=BABS["name"] | {"middleName": "M"})),
    ("null in an object unassigns", _op("replace", "name", {"givenName": None}), _with(name={"familyName": "Jensen"})),
    ("remove an object", _op("remove", "name"), _with(name=GONE)),
    ("null for an object", _op("replace", "name", None), _with(name=GONE)),
    # The extension.
    ("extension attribute", _op("replace", f"{ENTERPRISE_URN}:department", "HR"), _enterprise(department="HR")),
    (
        "extension attribute in upper case",
        _op("add", f"{ENTERPRISE_URN.upper()}:DIVISION", "D"),
        _enterprise(division="D"),
    ),
    ("extension attribute without URN", _op("replace", "department", "HR"), _enterprise(department="HR")),
    ("whole extension merges", _op("add", ENTERPRISE_URN, {"division": "D"}), _enterprise(division="D")),
    ("remove the extension", _op("remove", ENTERPRISE_URN), _with(**{ENTERPRISE_URN: GONE})),
    ("remove in the extension", _op("remove", f"{ENTERPRISE_URN}:department"), _enterprise(department=GONE)),
    # The manager is one reference: another id is another manager.
    ("manager as object [Entra]", _op("replace", MANAGER, {"value": "8"}), _enterprise(manager={"value": "8"})),
    ("manager as id [Entra]", _op("Add", MANAGER, "8"), _enterprise(manager={"value": "8"})),
    (
        "manager as array [Entra]",
        _op("Add", MANAGER, [{"$ref": None, "value": "8"}]),
        _enterprise(manager={"value": "8"}),
    ),
    ("manager with a dot [Entra]", _op("add", f"{ENTERPRISE_URN}.manager", "8"), _enterprise(manager={"value": "8"})),
    ("manager.value", _op("replace", f"{MANAGER}.value", "8"), _enterprise(manager={"value": "8"})),
    ("manager as key", _op("replace", None, {MANAGER: {"value": "8"}}), _enterprise(manager={"value": "8"})),
    (
        "manager in the extension",
        _op("replace", None, {ENTERPRISE_URN: {"manager": "8"}}),
        _enterprise(manager={"value": "8"}),
    ),
    (
        "the same manager keeps what is not said anew",
        _op("add", MANAGER, {"value": "7", "displayName": "Anna"}),
        _enterprise(manager={"value": "7", "displayName": "Anna", "$ref": "/Users/7"}),
    ),
    (
        "sub-attributes that are not named stay",
        _op("replace", MANAGER, {"displayName": "Anna"}),
        _enterprise(manager={"value": "7", "displayName": "Anna", "$ref": "/Users/7"}),
    ),
    ("nothing is said of the manager", _op("replace", MANAGER, {}), _enterprise()),
    ("manager emptied [Entra]", _op("replace", MANAGER, {"value": ""}), _enterprise(manager=GONE)),
    ("manager emptied [Entra]", _op("replace", MANAGER, ""), _enterprise(manager=GONE)),
    ("manager null", _op("replace", MANAGER, None), _enterprise(manager=GONE)),
    ("manager.value emptied", _op("replace", f"{MANAGER}.value", ""), _enterprise(manager=GONE)),
    ("manager removed", _op("remove", MANAGER), _enterprise(manager=GONE)),
    ("manager.value removed", _op("remove", f"{MANAGER}.value"), _enterprise(manager=GONE)),
    # Multi-valued attributes.
    ("add appends", _op("add", "emails", [{"value": "n"}]), _with(emails=[WORK, HOME, {"value": "n"}])),
    ("add of one object [OneLogin]", _op("add", "emails", {"value": "n"}), _with(emails=[WORK, HOME, {"value": "n"}])),
    ("add what is there", _op("add", "emails", [HOME]), BABS),
    ("add what is there in another case", _op("add", "emails", {"value": "H@X.io", "type": "Home"}), BABS),
    ("remove what is there in another case", _op("remove", "emails", [{"value": "W@x.IO"}]), _with(emails=[HOME])),
    ("add nothing", _op("add", "emails", []), BABS),
    (
        "a new primary ends the old one",
        _op("add", "emails", [HOME | {"primary": True}]),
        _with(emails=[WORK | {"primary": False}, HOME | {"primary": True}]),
    ),
    ("replace replaces all", _op("replace", "emails", [HOME]), _with(emails=[HOME])),
    ("replace by nothing", _op("replace", "emails", []), _with(emails=GONE)),
    ("replace without path replaces all", _op("replace", None, {"emails": [HOME]}), _with(emails=[HOME])),
    ("remove all", _op("remove", "emails"), _with(emails=GONE)),
    ("remove the values named [JumpCloud]", _op("remove", "emails", [{"value": "h@x.io"}]), _with(emails=[WORK])),
    ("remove one value named", _op("remove", "emails", WORK), _with(emails=[HOME])),
    ("remove a value of another type", _op("remove", "emails", [{"value": "h@x.io", "type": "other"}]), BABS),
    ("remove an address", _op("remove", "addresses", [BABS["addresses"][0]]), _with(addresses=GONE)),
    # Selected values.
    (
        "sub-attribute of selected",
        _op("Replace", 'emails[type eq "work"].value', "n"),
        _with(emails=[WORK | {"value": "n"}, HOME]),
    ),
    (
        "add to selected",
        _op("add", 'addresses[type eq "WORK"].locality', "L"),
        _with(addresses=[BABS["addresses"][0] | {"locality": "L"}]),
    ),
    (
        "all that match",
        _op("replace", "emails[value pr].display", "D"),
        _with(emails=[WORK | {"display": "D"}, HOME | {"display": "D"}]),
    ),
    (
        "sub-attribute without filter means all",
        _op("replace", "emails.display", "D"),
        _with(emails=[WORK | {"display": "D"}, HOME | {"display": "D"}]),
    ),
    (
        "sub-attribute without filter and without value",
        _op("add", "photos.value", "http://p"),
        _with(photos=[{"value": "http://p"}]),
    ),
    (
        "a selected primary ends the old one",
        _op("replace", 'emails[type eq "home"].primary', "True"),
        _with(emails=[WORK | {"primary": False}, HOME | {"primary": True}]),
    ),
    (
        "no match creates [validator]",
        _op("add", 'roles[primary eq "True"].display', "X"),
        _with(roles=[{"primary": True, "display": "X"}]),
    ),
    (
        "no match creates on replace [Entra]",
        _op("Replace", 'phoneNumbers[type eq "mobile"].value', "1"),
        _with(phoneNumbers=[{"type": "mobile", "value": "1"}]),
    ),
    (
        "no match creates beside others",
        _op("add", 'addresses[type eq "home"].country', "Y"),
        _with(addresses=[*BABS["addresses"], {"type": "home", "country": "Y"}]),
    ),
    (
        "a created primary ends the old one",
        _op("add", 'emails[type eq "other"]', {"value": "o", "primary": True}),
        _with(emails=[WORK | {"primary": False}, HOME, {"type": "other", "value": "o", "primary": True}]),
    ),
    (
        "a created value that is primary by its filter ends the old one",
        _op("add", 'emails[type eq "other" and primary eq true].value', "o"),
        _with(emails=[WORK | {"primary": False}, HOME, {"type": "other", "primary": True, "value": "o"}]),
    ),
    (
        "several made primary at once: the first is",
        _op("replace", "emails[value pr].primary", True),
        _with(emails=[WORK, HOME | {"primary": False}]),
    ),
    (
        "replace a selected value",
        _op("replace", 'addresses[type eq "work"]', {"type": "home", "country": "DE"}),
        _with(addresses=[{"type": "home", "country": "DE"}]),
    ),
    (
        "a replaced value keeps what selected it",
        _op("replace", 'emails[type eq "work"]', [{"value": "n"}]),
        _with(emails=[{"type": "work", "value": "n"}, HOME]),
    ),
    (
        "add merges into a selected value",
        _op("add", 'emails[type eq "home"]', {"display": "D"}),
        _with(emails=[WORK, HOME | {"display": "D"}]),
    ),
    ("add nothing to a selected value", _op("add", 'emails[type eq "home"]', None), BABS),
    ("remove selected", _op("remove", 'emails[type eq "work" and value ew "x.io"]'), _with(emails=[HOME])),
    ("remove the last selected", _op("remove", 'addresses[type eq "work"]'), _with(addresses=GONE)),
    ("remove with no match", _op("remove", 'emails[type eq "other"]'), BABS),
    ("remove a sub-attribute with no match", _op("remove", 'emails[type eq "other"].value'), BABS),
    (
        "remove a sub-attribute of selected",
        _op("remove", 'addresses[type eq "work"].region'),
        _with(addresses=[{"type": "work", "country": "US"}]),
    ),
    ("a label alone is no value", _op("replace", 'emails[type eq "work"].value', ""), _with(emails=[HOME])),
    ("null for a selected value", _op("replace", 'emails[type eq "work"]', None), _with(emails=[HOME])),
]

REFUSED: list[tuple[Op, type[ScimError], str]] = [
    (_op("remove"), NoTarget, "needs a `path`"),
    (_op("remove", None, {"title": "x"}), NoTarget, "needs a `path`"),
    (_op("move", "title"), InvalidSyntax, "`op` must be add, remove or replace, not 'move'"),
    ({"path": "title", "value": "x"}, InvalidSyntax, "not None"),
    (_op("add", "title"), InvalidValue, "`add` needs a `value`"),
    (_op("replace", "title"), InvalidValue, "`replace` needs a `value`"),
    (_op("replace"), InvalidValue, "must be an object"),
    (_op("replace", None, "x"), InvalidValue, "must be an object"),
    (_op("replace", "nosuch", "x"), InvalidPath, "not an attribute of User"),
    (_op("replace", "members", []), InvalidPath, "not an attribute of User"),
    (_op("replace", 'emails[nosuch eq "x"].value', "x"), InvalidFilter, "not a sub-attribute"),
    (_op("replace", None, {'emails[nosuch eq "x"].value': "x"}), InvalidFilter, "not a sub-attribute"),
    ({"op": "replace", "path": ["title"], "value": "x"}, InvalidPath, "must be a string"),
    (_op("replace", "id", "x"), Mutability, "id is read-only"),
    (_op("add", "groups", [{"value": "g"}]), Mutability, "groups is read-only"),
    (_op("remove", "groups"), Mutability, "groups is read-only"),
    (_op("replace", "meta.created", "x"), Mutability, "meta.created is read-only"),
    (_op("remove", "userName"), Mutability, "userName is required"),
    (_op("replace", "userName", ""), Mutability, "userName is required"),
    (_op("replace", None, {"userName": None}), Mutability, "userName is required"),
    (_op("replace", "userName", " "), InvalidValue, "userName must not be blank"),
    (_op("replace", "active", "maybe"), InvalidValue, "active: 'maybe' is not true or false"),
    (_op("replace", "title", 5), InvalidValue, "title: 5 is not a string"),
    (_op("replace", "name", "Babs"), InvalidValue, "is not an object"),
    (_op("replace", ENTERPRISE_URN, "x"), InvalidValue, "is not an object"),
    (_op("replace", 'emails[type eq "work"].primary', "x"), InvalidValue, "primary: 'x' is not true or false"),
    (_op("replace", 'emails[type eq "work"]', [{"value": "a"}, {"value": "b"}]), InvalidValue, "is not an object"),
    (_op("replace", "emails", [WORK, HOME | {"primary": True}]), InvalidValue, "true for one value only"),
    (_op("remove", "emails", None), InvalidValue, "names nothing to remove"),
    (_op("remove", "emails", []), InvalidValue, "names nothing to remove"),
    (_op("remove", "emails", [{}]), InvalidValue, "names nothing to remove"),
    (_op("replace", 'emails[type eq "other"]', {"value": "x"}), NoTarget, "matches no value"),
    (_op("replace", 'emails[type co "oth"].value', "x"), NoTarget, "only `eq` joined by `and`"),
    (_op("add", 'emails[type eq "a" or type eq "b"].value', "x"), NoTarget, "only `eq` joined by `and`"),
    (_op("add", 'emails[type eq ""].value', "x"), NoTarget, "only `eq` joined by `and`"),
]


@pytest.mark.parametrize(("rule", "operation", "after"), RULES)
def test_a_user_is_patched(rule: str, operation: Op, after: dict[str, Any]) -> None:
    """RFC 7644 §3.5.2 and the tolerance table, row by row: the result, what was touched, and nothing else."""
    before = copy.deepcopy(BABS)
    patched, touched = _patched(before, operation)
    assert patched == after, rule
    assert before == BABS
    assert touched == {name for name in {*after, *BABS} if after.get(name) != BABS.get(name)}


@pytest.mark.parametrize(("operation", "error", "words"), REFUSED)
def test_a_patch_is_refused_as_a_whole(operation: Op, error: type[ScimError], words: str) -> None:
    """RFC 7644 §3.5.2: atomic; a good operation before the bad one leaves no trace."""
    before = copy.deepcopy(BABS)
    with pytest.raises(error, match=words):
        _patched(before, _op("replace", "title", "Chef"), operation)
    assert before == BABS


@pytest.mark.parametrize("body", [None, [], {}, {"Operations": {}}, {"Operations": []}, {"Operations": ["x"]}])
def test_a_body_that_is_no_patch_is_bad_syntax(body: object) -> None:
    """RFC 7644 §3.5.2: an array of one or more operations."""
    with pytest.raises(InvalidSyntax):
        parse_patch(body, USER_TYPE)


def test_a_patch_carries_a_thousand_operations_and_no_more() -> None:
    """The limit that ServiceProviderConfig shows."""
    operations = [_op("replace", "title", str(i)) for i in range(1000)]
    assert _patched(BABS, *operations)[0]["title"] == "999"
    with pytest.raises(TooMany, match="1000 operations, not 1001"):
        parse_patch(_body(*operations, operations[0]), USER_TYPE)


LONG = [{"value": f"x{number}", "type": "work"} for number in range(900)]


@pytest.mark.parametrize(
    ("operation", "times"),
    [
        (_op("add", "emails", [{"value": "x1", "type": "work"}]), 1000),
        (_op("add", "emails", LONG), 100),
        (_op("replace", 'emails[value sw "x"].display', "y"), 1000),
        (_op("remove", "emails[" + " or ".join(['value eq "z"'] * 99) + "]"), 50),
    ],
)
def test_a_patch_that_takes_long_is_refused(operation: Op, times: int) -> None:
    """It would hold a lock for as long: how many values its operations compare is bounded."""
    with pytest.raises(TooMany, match="spread them"):
        _patched({"userName": "babs", "emails": LONG}, *[operation] * times)


def test_an_attribute_has_a_thousand_values_and_no_more() -> None:
    """Whether they come at once or one after the other; the members of a group are as many as they are."""
    more = [{"value": f"y{number}"} for number in range(101)]
    with pytest.raises(InvalidValue, match="emails can have 1000 values, not 1001"):
        _patched({"userName": "babs", "emails": LONG}, _op("add", "emails", more))
    with pytest.raises(InvalidValue, match="emails can have 1000 values"):
        parse(USER_TYPE, {"userName": "babs", "emails": [*LONG, *more]})
    assert len(parse(GROUP_TYPE, {"displayName": "g", "members": [*LONG, *more]})["members"]) == 1001


def test_schemas_may_be_missing_and_keys_capitalised() -> None:
    """scimgateway sends no `schemas`; .NET clients write `Op`, `Path` and `Value`."""
    body = {"operations": [{"Op": "Replace", "Path": "title", "Value": "Chef"}]}
    assert apply(BABS, parse_patch(body, USER_TYPE), USER_TYPE)[0] == _with(title="Chef")


def test_values_that_differ_no_longer_are_one() -> None:
    """No (type, value) pair twice (RFC 7643 §2.4), also where a removal makes them the same."""
    emails = [{"value": "a", "type": "work", "primary": True}, {"value": "a", "type": "home"}, {"value": "b"}]
    patched, _ = _patched({"userName": "u", "emails": emails}, _op("remove", "emails.type"))
    assert patched["emails"] == [{"value": "a", "primary": True}, {"value": "b"}]


def test_a_value_without_the_sub_attribute_survives_its_removal() -> None:
    """Only what the removal empties is gone."""
    photos = [{"primary": True}, {"display": "d", "type": "photo"}]
    patched, _ = _patched({"userName": "u", "photos": photos}, _op("remove", "photos.display"))
    assert patched["photos"] == [{"primary": True}]


def test_each_operation_sees_the_result_of_the_one_before() -> None:
    """RFC 7644 §3.5.2: applied in order."""
    patched, touched = _patched(
        BABS,
        _op("remove", "emails"),
        _op("add", 'emails[type eq "work"].value', "n"),
        _op("replace", 'emails[value eq "n"].display', "N"),
        _op("remove", "title"),
        _op("add", "title", "Boss"),
    )
    assert patched == _with(emails=[{"type": "work", "value": "n", "display": "N"}])
    assert touched == {"emails"}


@pytest.mark.parametrize(
    "value", [{"colour": 1}, {"name": {"x": 1}}, {"emails": [{"x": 1}]}, {ENTERPRISE_URN: {"x": 1}}]
)
def test_strict_refuses_unknown_keys(value: dict[str, Any]) -> None:
    """Passed over by default, refused on request."""
    with pytest.raises((InvalidPath, InvalidValue), match="is not an attribute"):
        _patched(BABS, _op("replace", None, value), strict=True)


def test_strict_still_passes_over_password_and_read_only_keys() -> None:
    """Okta and authentik send them always."""
    value = {"password": "x", "id": "1", "schemas": [], "groups": [], "title": "Chef"}
    assert _patched(BABS, _op("replace", None, value), strict=True)[0] == _with(title="Chef")


def test_what_a_patch_leaves_must_be_whole() -> None:
    """A resource without its required attribute cannot be stored."""
    with pytest.raises(InvalidValue, match="userName is required"):
        apply({}, parse_patch(_body(_op("add", "title", "x")), USER_TYPE), USER_TYPE)


def test_all_attributes_can_be_added_one_by_one() -> None:
    """The validator creates a user with nothing but a userName, then adds 36 values and expects each back."""
    user: dict[str, Any] = {"userName": "v"}
    paths = [
        *("displayName", "title", "preferredLanguage", "name.givenName", "name.familyName", "name.formatted"),
        *("name.middleName", "name.honorificPrefix", "name.honorificSuffix", "locale", "timezone", "nickName"),
        *("profileUrl", "userType", 'emails[type eq "work"].value', 'emails[type eq "work"].display'),
        *(f'phoneNumbers[type eq "{kind}"].value' for kind in ("work", "mobile", "fax")),
        *(
            f'addresses[type eq "work"].{sub}'
            for sub in ("formatted", "streetAddress", "locality", "region", "country")
        ),
        *(f'roles[primary eq "True"].{sub}' for sub in ("display", "value", "type")),
        *(f"{ENTERPRISE_URN}:{name}" for name in ("employeeNumber", "department", "costCenter", "division", "manager")),
    ]
    operations = [_op("add", path, f"value {i}") for i, path in enumerate(paths)]
    patched, touched = _patched(user, *operations, _op("add", 'emails[type eq "work"].primary', True))
    assert patched["emails"] == [{"type": "work", "value": "value 14", "display": "value 15", "primary": True}]
    assert patched["roles"] == [{"primary": True, "display": "value 24", "value": "value 25", "type": "value 26"}]
    assert patched[ENTERPRISE_URN]["manager"] == {"value": "value 31"}
    assert touched == set(patched) - {"userName"}


# Members


def _delta(*operations: Op) -> MemberDelta:
    delta, others = member_changes(parse_patch(_body(*operations), GROUP_TYPE))
    assert others == ()
    return delta


A, B = {"value": "a"}, {"value": "b"}

MEMBERS: list[tuple[str, list[Op], MemberDelta]] = [
    ("add array", [_op("Add", "members", [{"$ref": None, "value": "a"}, B])], MemberDelta(add={"a": A, "b": B})),
    ("add object", [_op("add", "members", A)], MemberDelta(add={"a": A})),
    ("add bare id [Postman]", [_op("add", "members", "a")], MemberDelta(add={"a": A})),
    ("add bare ids", [_op("add", "members", ["a", "b"])], MemberDelta(add={"a": A, "b": B})),
    ("add without path", [_op("add", None, {"members": [A]})], MemberDelta(add={"a": A})),
    ("add nothing", [_op("add", "members", [])], MemberDelta()),
    (
        "add twice",
        [_op("add", "members", [A]), _op("add", "members", [A | {"display": "X"}])],
        MemberDelta(add={"a": A}),
    ),
    (
        "display is kept [Okta]",
        [_op("add", "members", [A | {"display": "a@x.io", "type": "User"}])],
        MemberDelta(add={"a": A | {"display": "a@x.io", "type": "User"}}),
    ),
    ("replace", [_op("replace", "members", [A])], MemberDelta(replace=True, add={"a": A})),
    ("replace without path [Okta]", [_op("replace", None, {"members": [A]})], MemberDelta(replace=True, add={"a": A})),
    ("replace by none", [_op("replace", "members", [])], MemberDelta(replace=True)),
    ("remove by filter", [_op("remove", 'members[value eq "a"]')], MemberDelta(remove=frozenset("a"))),
    ("remove by filter, upper case", [_op("REMOVE", 'MEMBERS[VALUE EQ "a"]')], MemberDelta(remove=frozenset("a"))),
    (
        "remove by filter with or",
        [_op("remove", 'members[value eq "a" or value eq "b"]')],
        MemberDelta(remove=frozenset("ab")),
    ),
    (
        "remove by filter and value",
        [_op("remove", 'members[value eq "a"]', [B])],
        MemberDelta(remove=frozenset("a")),
    ),
    (
        "remove array [Entra]",
        [_op("Remove", "members", [{"$ref": None, "value": "a"}])],
        MemberDelta(remove=frozenset("a")),
    ),
    ("remove object", [_op("remove", "members", A)], MemberDelta(remove=frozenset("a"))),
    ("remove bare id", [_op("remove", "members", "a")], MemberDelta(remove=frozenset("a"))),
    ("remove all", [_op("remove", "members")], MemberDelta(replace=True)),
    (
        "add then remove",
        [_op("add", "members", [A, B]), _op("remove", "members", [A])],
        MemberDelta(False, {"b": B}, frozenset("a")),
    ),
    ("remove then add", [_op("remove", "members", [A]), _op("add", "members", [A])], MemberDelta(add={"a": A})),
    (
        "all out, some in [RFC]",
        [_op("add", "members", [B]), _op("remove", "members"), _op("add", "members", [A])],
        MemberDelta(replace=True, add={"a": A}),
    ),
    (
        "replace then remove",
        [_op("replace", "members", [A, B]), _op("remove", "members", [A])],
        MemberDelta(replace=True, add={"b": B}),
    ),
]

MEMBERS_REFUSED: list[tuple[Op, type[ScimError], str]] = [
    (_op("remove", "members", None), InvalidValue, "names nothing to remove"),
    (_op("remove", "members", []), InvalidValue, "names nothing to remove"),
    (_op("remove", "members", ""), InvalidValue, "names nothing to remove"),
    (_op("remove", "members", {}), InvalidValue, "names nothing to remove"),
    (_op("remove", "members", [{}]), InvalidValue, "members.value is required"),
    (_op("remove", "members", [A, {}]), InvalidValue, "members.value is required"),
    (_op("remove", "members", [None]), InvalidValue, "members.value is required"),
    (_op("remove", "members", [{"display": "x"}]), InvalidValue, "members.value is required"),
    (_op("remove", "members", 5), InvalidValue, "is not an object"),
    (_op("remove", "members", [{"value": 5}]), InvalidValue, "members.value: 5 is not a string"),
    (_op("remove", 'members[display eq "x"]'), InvalidFilter, "selected by `value eq`"),
    (_op("remove", 'members[value ne "x"]'), InvalidFilter, "selected by `value eq`"),
    (_op("remove", 'members[not (value eq "x")]'), InvalidFilter, "selected by `value eq`"),
    (_op("remove", 'members[value eq ""]'), InvalidFilter, "selected by `value eq`"),
    (_op("remove", "members[value eq null]"), InvalidFilter, "selected by `value eq`"),
    (_op("add", "members"), InvalidValue, "needs members"),
    (_op("add", "members", None), InvalidValue, "needs members"),
    (_op("replace", "members", None), InvalidValue, "only `\\[\\]` means none"),
    (_op("replace", "members", ""), InvalidValue, "only `\\[\\]` means none"),
    (_op("replace", "members", {}), InvalidValue, "only `\\[\\]` means none"),
    (_op("replace", None, {"members": None}), InvalidValue, "only `\\[\\]` means none"),
    (_op("add", "members", [{"value": "g", "type": "Group"}]), InvalidValue, "groups within groups"),
    (_op("replace", 'members[value eq "a"]', B), Mutability, "replaced, not edited"),
    (_op("replace", 'members[value eq "a"].display', "x"), Mutability, "replaced, not edited"),
    (_op("remove", "members.display"), Mutability, "replaced, not edited"),
    (_op("remove", "displayName"), Mutability, "displayName is required"),
]


@pytest.mark.parametrize(("rule", "operations", "delta"), MEMBERS)
def test_member_operations_come_to_a_delta(rule: str, operations: list[Op], delta: MemberDelta) -> None:
    """The members of a group are never loaded; the order of the operations counts."""
    assert _delta(*operations) == delta, rule
    assert bool(delta) is (delta != MemberDelta())


@pytest.mark.parametrize(("operation", "error", "words"), MEMBERS_REFUSED)
def test_a_malformed_member_operation_never_clears_a_group(operation: Op, error: type[ScimError], words: str) -> None:
    """Only `remove` with no value at all, and `replace` by `[]`, mean all members."""
    with pytest.raises(error, match=words):
        parse_patch(_body(operation), GROUP_TYPE)


def test_member_operations_are_taken_out_of_the_rest() -> None:
    """Okta renames a group with every change of its members, and puts the id into the value."""
    operations = parse_patch(
        _body(
            _op("replace", None, {"id": "g", "displayName": "New", "externalId": "e"}),
            _op("remove", 'members[value eq "a"]'),
            _op("add", "members", [B]),
        ),
        GROUP_TYPE,
    )
    delta, others = member_changes(operations)
    assert delta == MemberDelta(add={"b": B}, remove=frozenset("a"))
    assert apply({"displayName": "Old"}, others, GROUP_TYPE) == (
        {"displayName": "New", "externalId": "e"},
        frozenset({"displayName", "externalId"}),
    )


def test_missing_says_what_it_is() -> None:
    """It shows up in failing tests and logs."""
    assert repr(MISSING) == "no value"


# Properties

_ids = st.sampled_from("abcd")
_member_lists = st.lists(_ids.map(lambda id: {"value": id}), max_size=3)
_member_ops = st.one_of(
    _member_lists.map(lambda members: _op("add", "members", members)),
    _member_lists.map(lambda members: _op("replace", "members", members)),
    _member_lists.filter(bool).map(lambda members: _op("remove", "members", members)),
    _ids.map(lambda id: _op("remove", f'members[value eq "{id}"]')),
    st.just(_op("remove", "members")),
)


def _naively(members: set[str], operation: Op) -> set[str]:
    named = {member["value"] for member in operation.get("value", [])}
    if operation["op"] == "add":
        return members | named
    if operation["op"] == "replace":
        return named
    if "[" in operation["path"]:
        return members - {operation["path"].split('"')[1]}
    return members - named if "value" in operation else set()


@given(st.sets(_ids), st.lists(_member_ops, min_size=1, max_size=6))
def test_a_delta_does_what_the_operations_do_one_by_one(members: set[str], operations: list[Op]) -> None:
    """The delta, a set worked on naively, and `apply` on a loaded group agree."""
    expected = members
    for operation in operations:
        expected = _naively(expected, operation)
    delta = _delta(*operations)
    assert not delta.add.keys() & delta.remove
    assert ((set() if delta.replace else members) - delta.remove) | delta.add.keys() == expected
    group = {"displayName": "G"} | ({"members": [{"value": id} for id in sorted(members)]} if members else {})
    loaded, _ = apply(group, parse_patch(_body(*operations), GROUP_TYPE), GROUP_TYPE)
    assert {member["value"] for member in loaded.get("members", [])} == expected


_texts = st.sampled_from(["a", "b", "", " ", "True"])
_values = st.one_of(
    _texts,
    st.none(),
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "value": _texts,
            "type": st.sampled_from(["work", "home"]),
            "primary": st.sampled_from([True, False, "True", "false"]),
            "country": _texts,
            "givenName": st.none() | _texts,
            "department": _texts,
            "$ref": _texts,
        },
    ),
)
_paths = st.sampled_from(
    [
        *("title", "userName", "active", "name", "name.givenName", "emails", "emails.display", "addresses", "roles"),
        *('emails[type eq "work"]', 'emails[type eq "work"].value', 'emails[value eq "a"].primary'),
        *(
            'emails[primary eq "True" and type eq "home"].value',
            'emails[primary eq "True"].value',
            'addresses[type eq "home"].country',
            'addresses[country co "a"]',
        ),
        *(ENTERPRISE_URN, MANAGER, f"{MANAGER}.value", f"{ENTERPRISE_URN}:department"),
    ]
)
_user_ops = st.one_of(
    st.builds(_op, st.sampled_from(["add", "Replace", "remove"]), _paths, _values | st.lists(_values, max_size=3)),
    st.builds(_op, st.just("remove"), _paths),
    st.builds(_op, st.sampled_from(["add", "replace"]), st.none(), st.dictionaries(_paths, _values, max_size=3)),
)
_users = st.fixed_dictionaries(
    {"userName": st.just("u")},
    optional={
        "title": _texts,
        "emails": st.lists(st.fixed_dictionaries({"value": _texts}, optional={"type": st.just("work")}), max_size=3),
        "addresses": st.just([{"type": "home", "country": "a"}]),
        ENTERPRISE_URN: st.fixed_dictionaries({}, optional={"department": _texts, "manager": _values}),
    },
)


@given(_users, st.lists(_user_ops, min_size=1, max_size=5))
def test_a_patch_is_refused_or_leaves_a_canonical_resource(body: dict[str, Any], messages: list[Op]) -> None:
    """The input stays as it is, `touched` is the difference, and the result is what a POST of it would store."""
    try:
        before = parse(USER_TYPE, body)
        kept = copy.deepcopy(before)
        operations = parse_patch(_body(*messages), USER_TYPE)
        after, touched = apply(before, operations, USER_TYPE)
    except ScimError:
        return
    assert before == kept
    assert touched == {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert parse(USER_TYPE, after, strict=True) == after


def _still_selects(operation: Operation) -> bool:
    """Whether what the path's filter selects is selected after the operation, too: nothing that it asks for changes."""
    condition, sub = operation.path.value_filter, operation.path.sub_attribute
    if condition is None or operation.op == "remove":
        return True
    wanted, said = equalities(condition), {sub.name} if sub else set(operation.value)
    return wanted is not None and not wanted.keys() & said


@given(_users, _user_ops)
def test_a_patch_done_twice_changes_nothing_the_second_time(body: dict[str, Any], message: Op) -> None:
    """Providers repeat what timed out."""
    try:
        operations = parse_patch(_body(message), USER_TYPE)
        once, _ = apply(parse(USER_TYPE, body), operations, USER_TYPE)
    except ScimError:
        return
    if all(map(_still_selects, operations)):
        assert apply(once, operations, USER_TYPE) == (once, frozenset())


@given(st.integers())
def test_a_replace_of_any_kind_done_twice_is_done_once(seed: int) -> None:
    """The same over every attribute of the schema, with whole lists, extensions and objects without a path."""
    dice = Random(seed)
    message = {**random_operation(dice), "op": "replace"}
    try:
        operations = parse_patch(_body(message), TYPE)
        once, _ = apply(parse(TYPE, random_user(dice)), operations, TYPE)
    except ScimError:
        return
    if all(map(_still_selects, operations)):
        assert apply(once, operations, TYPE) == (once, frozenset())


def test_an_operation_shows_itself() -> None:
    """Operations are plain data that tests and logs can compare."""
    (operation,) = parse_patch(_body(_op("Replace", "active", "False")), USER_TYPE)
    assert operation == Operation("replace", operation.path, False)
