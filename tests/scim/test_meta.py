"""The meta attribute and conditional requests."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from scim.errors import PreconditionFailed
from scim.meta import check_if_match, etag, location, meta_block, not_modified
from scim.schemas import GROUP_TYPE, USER_TYPE

BASE = "https://example.com/scim/v2"
CURRENT = 'W/"7"'


def test_meta_names_type_times_location_and_version() -> None:
    """RFC 7643 §3.1; times in UTC with Z whatever zone they are kept in."""
    created = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    modified = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert meta_block(USER_TYPE, "u 1", created=created, last_modified=modified, version=7, base=BASE + "/") == {
        "resourceType": "User",
        "created": "2026-01-02T03:04:05.678Z",
        "lastModified": "2026-01-02T03:04:05.000Z",
        "location": f"{BASE}/Users/u%201",
        "version": CURRENT,
    }


def test_times_that_are_text_already_stay_as_they_are() -> None:
    """A database may keep RFC 3339 text."""
    moment = "2026-01-02T03:04:05Z"
    block = meta_block(GROUP_TYPE, "g", created=moment, last_modified=moment, version="a", base=BASE)
    assert (block["created"], block["lastModified"], block["version"]) == (moment, moment, 'W/"a"')


def test_location_is_below_the_endpoint() -> None:
    """The same URI in meta and in the Location header."""
    assert location(GROUP_TYPE, "g1", base=BASE) == f"{BASE}/Groups/g1"


def test_entity_tags_are_weak() -> None:
    """RFC 7644 §3.14."""
    assert etag(7) == etag("7") == CURRENT


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ('W/"7"', True),
        ('"7"', True),
        ("*", True),
        (" * ", True),
        ('W/"5", W/"7"', True),
        ('"5","6"', False),
        ('W/"77"', False),
        ('W/"7', False),
        ("7", False),
        ("", False),
    ],
)
def test_conditions_compare_weakly_over_lists(header: str, named: bool) -> None:
    """If-Match lets a named tag pass, If-None-Match on GET answers 304 for it."""
    assert not_modified(header, CURRENT) is named
    if named:
        check_if_match(header, CURRENT)
    else:
        with pytest.raises(PreconditionFailed):
            check_if_match(header, CURRENT)


@pytest.mark.parametrize("header", ['W/"7-ab"', 'W/"7"', '"7-cd", "9"', "*"])
def test_a_write_depends_on_the_version_alone(header: str) -> None:
    """What is shown beside a resource is no reason to refuse a change of it."""
    check_if_match(header, CURRENT)
    check_if_match(header, etag(7, "cd"))


@pytest.mark.parametrize(("header", "unchanged"), [('W/"7-ab"', True), ('W/"7"', False), ('W/"7-cd"', False)])
def test_a_read_depends_on_all_that_is_shown(header: str, unchanged: bool) -> None:
    """304 would hide what has changed beside the resource."""
    assert etag(7, "ab") == 'W/"7-ab"'
    assert not_modified(header, etag(7, "ab")) is unchanged


def test_without_a_condition_there_is_nothing_to_check() -> None:
    """The headers are optional."""
    check_if_match(None, CURRENT)
    assert not_modified(None, CURRENT) is False
