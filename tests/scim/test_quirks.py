"""Every deviation that is accepted, by itself; where they take effect is tested with `resource` and `patch`."""

import inspect
from typing import Any

import pytest

from scim import quirks
from scim.attributes import Attribute
from scim.errors import InvalidSyntax, InvalidValue, NoTarget
from scim.schemas import ENTERPRISE_URN, MEMBERS, USER_TYPE, USER_URN, schemas_list, service_provider_config


def _attribute(name: str) -> Attribute:
    path = USER_TYPE.resolve(name)
    assert path is not None
    return path.leaf


@pytest.mark.parametrize(("op", "name"), [("Add", "add"), ("REPLACE", "replace"), ("remove", "remove")])
def test_operation_names_come_in_any_case(op: str, name: str) -> None:
    """Entra ID without aadOptscim062020."""
    assert quirks.operation_name(op) == name


@pytest.mark.parametrize("op", ["move", "", None, 5, ["add"]])
def test_other_operations_are_bad_syntax(op: object) -> None:
    """RFC 7644 §3.5.2 knows three."""
    with pytest.raises(InvalidSyntax):
        quirks.operation_name(op)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        ("True", True),
        ("FALSE", False),
        (False, False),
        ("yes", None),
        (1, None),
        (None, None),
        ("", None),
    ],
)
def test_booleans_come_as_strings(value: object, meaning: bool | None) -> None:
    """Entra ID and the Microsoft SCIM Validator."""
    assert quirks.boolean(value) is meaning


@pytest.mark.parametrize(
    ("value", "is_unassigned"),
    [(None, True), ("", True), ([], True), ({}, True), (False, False), (0, False), (" ", False), ([None], False)],
)
def test_nothing_comes_in_four_forms(value: object, is_unassigned: bool) -> None:
    """False and 0 are values."""
    assert quirks.unassigned(value) is is_unassigned


@pytest.mark.parametrize(("value", "entries"), [({"value": "a"}, [{"value": "a"}]), ("a", ["a"]), ([1, 2], [1, 2])])
def test_one_value_comes_without_an_array(value: object, entries: list[Any]) -> None:
    """OneLogin's emails."""
    assert quirks.as_list(value) == entries


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("manager", "7", {"value": "7"}),
        ("manager", [{"value": "7"}], {"value": "7"}),
        ("manager", ["7"], {"value": "7"}),
        ("manager", {"value": "7"}, {"value": "7"}),
        ("manager", ["7", "8"], ["7", "8"]),
        ("name", "Babs", "Babs"),
    ],
)
def test_a_reference_comes_as_string_or_array(name: str, value: object, meaning: object) -> None:
    """Entra's manager; an attribute without `value` cannot be meant like that."""
    assert quirks.as_object(_attribute(name), value) == meaning


@pytest.mark.parametrize(
    ("attribute", "value", "empty"),
    [
        (_attribute("manager"), {"value": ""}, True),
        (_attribute("manager"), {"VALUE": None, "displayName": "x"}, True),
        (_attribute("manager"), {"value": "7"}, False),
        (_attribute("manager"), {"$ref": "x"}, False),
        (_attribute("emails"), {"value": ""}, False),
        (_attribute("name"), {"value": ""}, False),
        (MEMBERS, {"value": ""}, False),
    ],
)
def test_a_reference_to_nobody_is_none(attribute: Attribute, value: dict[str, Any], empty: bool) -> None:
    """Entra ID takes the manager away like that; a member without an id stays an error."""
    assert quirks.is_empty_reference(attribute, value) is empty


def test_enterprise_attributes_come_in_three_spellings() -> None:
    """All three resolve to the same attribute."""
    name = f"{ENTERPRISE_URN}:manager"
    spellings = (quirks.dotted_spelling(name, urn=ENTERPRISE_URN), quirks.short_spelling(name, urn=ENTERPRISE_URN))
    assert spellings == (f"{ENTERPRISE_URN}.manager", "manager")
    assert len({USER_TYPE.resolve(spelling) for spelling in (name, *spellings)}) == 1


def test_core_attributes_may_lie_under_their_urn() -> None:
    """As those of an extension do; an object under another name stays what it is."""
    values = {"active": True, USER_URN.upper(): {"userName": "ann"}, ENTERPRISE_URN: {"division": "d"}}
    members = dict(quirks.members_of(values, urn=USER_URN))
    assert members == {"active": True, "userName": "ann", ENTERPRISE_URN: {"division": "d"}}
    assert dict(quirks.members_of({USER_URN: "no object"}, urn=USER_URN)) == {USER_URN: "no object"}


def test_the_password_is_passed_over_in_any_case() -> None:
    """Okta always sends one."""
    assert quirks.is_ignored("Password")
    assert quirks.is_ignored(f"{USER_URN}:password")
    assert not quirks.is_ignored("passwordHint")


@pytest.mark.parametrize(("name", "ignored"), [("id", True), ("meta", True), ("groups", True), ("externalId", False)])
def test_read_only_attributes_are_passed_over_in_objects(name: str, ignored: bool) -> None:
    """Okta and authentik repeat them."""
    assert quirks.is_ignored_in_object(_attribute(name)) is ignored


def test_message_members_come_in_any_case() -> None:
    """Unknown members are left out."""
    assert quirks.message_members({"Op": "add", "VALUE": 1, "x": 2}, "op", "path", "value") == {"op": "add", "value": 1}


@pytest.mark.parametrize(
    ("user_agent", "accept", "strict"),
    [
        ("python-httpx/0.28.1", "*/*", True),
        ("python-httpx/0.28.1", "", True),
        ("python-httpx/0.28.1", "application/scim+json", False),
        ("python-httpx2/2.16.2", "*/*", False),
        ("Okta SCIM Client 1.0.0", "*/*", False),
        ("", "*/*", False),
    ],
)
def test_the_client_of_canaille_is_known_by_its_headers(user_agent: str, accept: str, strict: bool) -> None:
    """Whoever sets one of them reads what the RFCs say."""
    assert quirks.is_strict_reader(user_agent, accept) is strict


def test_canaille_reads_the_discovery_documents() -> None:
    """scim2-client 0.7 refuses `pagination`, and canaille sends a `password` that the schema must have."""
    config = service_provider_config("https://example.com/scim/v2")
    assert quirks.for_strict_reader(config, user_urn=USER_URN) == {k: v for k, v in config.items() if k != "pagination"}
    listed = schemas_list("https://example.com/scim/v2")
    user, enterprise, group = quirks.for_strict_reader(listed, user_urn=USER_URN)["Resources"]
    assert [*listed["Resources"][0]["attributes"], user["attributes"][-1]] == user["attributes"]
    assert user["attributes"][-1]["name"] == "password"
    assert [enterprise, group] == listed["Resources"][1:]


def test_the_operations_of_a_patch_come_bare_in_a_bulk_request() -> None:
    """The RFC's own example of a bulk request."""
    assert quirks.bare_operations([{"op": "add"}]) == {"Operations": [{"op": "add"}]}
    assert quirks.bare_operations({"Operations": []}) == {"Operations": []}
    assert quirks.bare_operations(None) is None


EMAILS = _attribute("emails")


def test_a_missing_entry_is_made_from_what_the_filter_demands() -> None:
    """And is a new dict, because the filter's own is shared."""
    wanted = {"type": "work"}
    entry = quirks.entry_to_create(EMAILS, wanted, op="replace")
    assert entry == wanted
    assert entry is not wanted
    with pytest.raises(NoTarget):
        quirks.entry_to_create(EMAILS, None, op="add")


@pytest.mark.parametrize(
    "wanted", [{"type": "nonexistent"}, {"value": "ann@acme.test"}, {"type": "work", "value": "x"}]
)
def test_only_a_kind_that_the_schema_knows_is_made_by_a_replace(wanted: dict[str, Any]) -> None:
    """What a replace does not find is noTarget (RFC 7644 §3.5.2.3), but for what Entra ID replaces."""
    with pytest.raises(NoTarget):
        quirks.entry_to_create(EMAILS, wanted, op="replace")
    assert quirks.entry_to_create(EMAILS, wanted, op="add") == wanted
    assert quirks.entry_to_create(_attribute("roles"), {"type": "any"}, op="replace") == {"type": "any"}
    assert quirks.entry_to_create(_attribute("roles"), {"primary": True}, op="replace") == {"primary": True}


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_an_empty_removal_is_not_a_removal_of_all(value: object) -> None:
    """Otherwise a bug in a provider empties a group."""
    with pytest.raises(InvalidValue):
        quirks.removed_values(value)
    assert quirks.removed_values([value]) == [value]


def test_every_quirk_names_who_sends_it() -> None:
    """A quirk without a source cannot be judged, nor ever be taken out again."""
    clients = (
        "Okta",
        "Entra",
        "Microsoft",
        "OneLogin",
        "JumpCloud",
        "authentik",
        "scimgateway",
        "scimverify",
        "canaille",
    )
    for name, function in inspect.getmembers(quirks, inspect.isfunction):
        if function.__module__ == quirks.__name__:
            assert any(source in str(function.__doc__) for source in (*clients, "example of RFC")), name
