"""PATCH paths."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim.errors import InvalidFilter, InvalidPath
from scim.filter import Compare
from scim.path import Path, parse_path
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, STANDARD, USER_TYPE, USER_URN
from tests.fuzz.patches import path as random_path
from tests.fuzz.resources import TYPE

# (path, extension, attribute, has a filter, sub-attribute)
PATHS = [
    ("userName", None, "userName", False, None),
    (" USERNAME ", None, "userName", False, None),
    ("name.familyName", None, "name", False, "familyName"),
    ("externalId", None, "externalId", False, None),
    (f"{USER_URN}:name.familyName", None, "name", False, "familyName"),
    (f"{ENTERPRISE_URN}:department", ENTERPRISE_URN, "department", False, None),
    (f"{ENTERPRISE_URN.lower()}:Manager.VALUE", ENTERPRISE_URN, "manager", False, "value"),
    (f"{ENTERPRISE_URN}.manager", ENTERPRISE_URN, "manager", False, None),
    ("manager", ENTERPRISE_URN, "manager", False, None),
    (ENTERPRISE_URN, None, ENTERPRISE_URN, False, None),
    ('emails[type eq "work"]', None, "emails", True, None),
    ('emails[type eq "work"].value', None, "emails", True, "value"),
    ('EMAILS [ type EQ "work" ] .Value', None, "emails", True, "value"),
    ('addresses[type eq "work"].country', None, "addresses", True, "country"),
    ('roles[primary eq "True"].display', None, "roles", True, "display"),
    (f'{USER_URN}:emails[type eq "a]b["].value', None, "emails", True, "value"),
]


@pytest.mark.parametrize(("text", "urn", "attribute", "filtered", "sub"), PATHS)
def test_a_path_is_resolved(text: str, urn: str | None, attribute: str, filtered: bool, sub: str | None) -> None:
    """RFC 7644 figures 7 and 8, and the spellings of Entra ID."""
    path = parse_path(text, USER_TYPE)
    found = (path.schema_urn, path.attribute.name, path.value_filter is not None)
    assert found == (urn, attribute, filtered)
    assert (path.sub_attribute and path.sub_attribute.name) == sub
    assert path.leaf is (path.sub_attribute or path.attribute)


def test_the_filter_of_a_path_is_relative_to_one_value() -> None:
    """`members[value eq "7"]`, the RFC's own form of removing a member."""
    path = parse_path('members[value eq "7"]', GROUP_TYPE)
    assert isinstance(path.value_filter, Compare)
    assert (str(path.value_filter.path), path.value_filter.op, path.value_filter.value) == ("value", "eq", "7")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nosuch",
        "name.nosuch",
        "name.givenName.x",
        "password",
        "members",
        "urn:other:userName",
        "emails[",
        'emails[type eq "work"',
        'nosuch[type eq "work"]',
        'name[givenName eq "x"]',
        'userName[value eq "x"]',
        'emails.value[type eq "x"]',
        'emails[type eq "work"]value',
        'emails[type eq "work"].nosuch',
        'emails[type eq "work"].value.x',
        'emails[type eq "work"].',
        'schemas[value eq "x"]',
        "\ud800",
    ],
)
def test_a_path_to_nothing_is_refused(text: str) -> None:
    """RFC 7644 §3.12: invalidPath."""
    with pytest.raises(InvalidPath):
        parse_path(text, USER_TYPE)


@pytest.mark.parametrize(
    "text", ["emails[]", "emails[type]", 'emails[x eq "1"]', "emails[0]", 'emails[type eq "a"][type eq "b"]']
)
def test_a_bad_filter_in_a_path_is_an_invalid_filter(text: str) -> None:
    """RFC 7644 §3.12: invalidFilter."""
    with pytest.raises(InvalidFilter):
        parse_path(text, USER_TYPE)


_EVERY_PATH = [
    Path(urn, attribute, None, sub)
    for resource_type in STANDARD.resource_types
    for urn, schema in ((None, resource_type.schema), *((e.id, e) for e in resource_type.extensions))
    for attribute in schema.attributes
    for sub in (None, *attribute.sub_attributes)
]


@given(st.sampled_from(_EVERY_PATH), st.data())
def test_every_attribute_is_reached_in_any_case(path: Path, data: st.DataObject) -> None:
    """What a path prints reads as the same path, with any letter in any case."""
    text = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in str(path))
    assert path in [parse_path(text, t) for t in STANDARD.resource_types if t.resolve(text)]


@given(st.integers())
def test_a_path_written_and_read_is_the_same(seed: int) -> None:
    """With any filter in its brackets, any sub-attribute behind them, and an extension's URN before them."""
    text, _ = random_path(Random(seed))
    path = parse_path(text, TYPE)
    assert parse_path(str(path), TYPE) == path


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["emails", "[", "]", '"x"', " eq ", "type", ".", "value"])).map("".join)
)
def test_any_text_is_a_path_or_refused(text: str) -> None:
    """No input raises anything but InvalidPath and InvalidFilter."""
    try:
        path = parse_path(text, USER_TYPE)
    except (InvalidPath, InvalidFilter):
        return
    assert path.attribute
