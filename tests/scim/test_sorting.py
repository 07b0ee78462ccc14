"""sortBy and sortOrder (RFC 7644 §3.4.2.3)."""

from typing import Any

import pytest

from scim.attributes import Attribute, Schema
from scim.errors import InvalidValue
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, USER, USER_TYPE, USER_URN, ResourceType
from scim.sorting import Sort, parse_sort


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("userName", ("userName",)),
        ("USERNAME", ("userName",)),
        (f"{USER_URN}:userName", ("userName",)),
        ("name.familyName", ("name", "familyName")),
        ("emails", ("emails", "value")),
        ("emails.type", ("emails", "type")),
        ("addresses.country", ("addresses", "country")),
        (f"{ENTERPRISE_URN}:department", (ENTERPRISE_URN, "department")),
        (f"{ENTERPRISE_URN}:manager", (ENTERPRISE_URN, "manager", "value")),
        (f"{ENTERPRISE_URN}:manager.displayName", (ENTERPRISE_URN, "manager", "displayName")),
        ("meta.lastModified", ("meta", "lastModified")),
        ("schemas", ("schemas",)),
        ("active", ("active",)),
    ],
)
def test_sort_by_is_resolved_to_a_simple_attribute(name: str, keys: tuple[str, ...]) -> None:
    """In any spelling of §3.10; a complex attribute is sorted by its `value`."""
    sort = parse_sort({"sortBy": name}, USER_TYPE)
    assert sort is not None
    assert (sort.path.keys, sort.descending) == (keys, False)
    assert sort.path.leaf.type != "complex"


@pytest.mark.parametrize(
    ("order", "descending"),
    [
        (None, False),
        ("", False),
        ("ascending", False),
        ("Ascending", False),
        ("DESCENDING", True),
        ("descending", True),
    ],
)
def test_order_is_ascending_unless_descending_is_asked_for(order: str | None, descending: bool) -> None:
    """In any case, as Entra writes its operators."""
    sort = parse_sort({"sortBy": "userName", "sortOrder": order}, USER_TYPE)
    assert sort == Sort(USER_TYPE.resolve("userName"), descending)


@pytest.mark.parametrize("args", [{}, {"sortBy": None}, {"sortBy": ""}, {"sortOrder": "descending"}])
def test_without_sort_by_there_is_no_sort(args: dict[str, Any]) -> None:
    """sortOrder says how sortBy is applied, and nothing by itself."""
    assert parse_sort(args, USER_TYPE) is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"sortBy": "shoeSize"}, "not an attribute of User"),
        ({"sortBy": "emails.shoeSize"}, "not an attribute of User"),
        ({"sortBy": 'emails[type eq "work"].value'}, "not an attribute of User"),
        ({"sortBy": "userName,title"}, "not an attribute of User"),
        ({"sortBy": "members"}, "not an attribute of User"),
        ({"sortBy": ["userName"]}, "name of one attribute"),
        ({"sortBy": "name"}, "sub-attributes"),
        ({"sortBy": "addresses"}, "sub-attributes"),
        ({"sortBy": "meta"}, "sub-attributes"),
        ({"sortBy": ENTERPRISE_URN}, "sub-attributes"),
        ({"sortBy": "groups"}, "attribute of the resource itself"),
        ({"sortBy": "groups.display"}, "attribute of the resource itself"),
        ({"sortBy": "userName", "sortOrder": "up"}, "ascending or descending"),
        ({"sortBy": "userName", "sortOrder": True}, "ascending or descending"),
        ({"sortOrder": "up"}, "ascending or descending"),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused(args: dict[str, Any], said: str) -> None:
    """Never another order in its place."""
    with pytest.raises(InvalidValue, match=said):
        parse_sort(args, USER_TYPE)


@pytest.mark.parametrize("name", ["members", "members.value", "members.display"])
def test_groups_are_not_sorted_by_their_members(name: str) -> None:
    """Which member is the first says nothing about a group."""
    with pytest.raises(InvalidValue, match="attribute of the resource itself"):
        parse_sort({"sortBy": name}, GROUP_TYPE)


@pytest.mark.parametrize("name", ["secret", "card.pin", "card"])
def test_what_is_never_returned_is_not_sorted_by(name: str) -> None:
    """The order would tell it, one comparison at a time."""
    pin = Attribute("pin", returned="never")
    value = Attribute("value", returned="never")
    card = Attribute("card", "complex", sub_attributes=(pin, value))
    schema = Schema("urn:example:vault", "Vault", "", (Attribute("secret", returned="never"), card))
    with pytest.raises(InvalidValue, match="never returned"):
        parse_sort({"sortBy": f"{schema.id}:{name}"}, ResourceType("User", "/Users", USER, (schema,)))


def test_an_extension_may_call_its_own_attribute_members() -> None:
    """Only the core's lists are as long as the directory."""
    schema = Schema("urn:example:club", "Club", "", (Attribute("members", "integer"),))
    sort = parse_sort({"sortBy": "urn:example:club:members"}, ResourceType("User", "/Users", USER, (schema,)))
    assert sort is not None
    assert sort.path.keys == ("urn:example:club", "members")
