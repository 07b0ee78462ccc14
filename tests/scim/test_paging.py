"""Pages and list responses."""

from typing import Any

import pytest

from scim.errors import InvalidValue
from scim.paging import DEFAULT_COUNT, Page, list_response, parse_page
from scim.schemas import LIST_URN


@pytest.mark.parametrize(
    ("args", "page"),
    [
        ({}, Page(1, DEFAULT_COUNT)),
        ({"startIndex": "", "count": None}, Page(1, 100)),
        ({"startIndex": "1", "count": "2"}, Page(1, 2)),
        ({"startIndex": 101, "count": 50}, Page(101, 50)),
        ({"startIndex": "0"}, Page(1, 100)),
        ({"startIndex": "-5", "count": "-1"}, Page(1, 0)),
        ({"count": "0"}, Page(1, 0)),
        ({"count": "5000"}, Page(1, 1000)),
        ({"startIndex": "999999999999999999"}, Page(999999999999999999, 100)),
    ],
)
def test_a_page_out_of_range_becomes_the_nearest(args: dict[str, Any], page: Page) -> None:
    """RFC 7644 §3.4.2.4; the count is cut to the maximum instead of refused."""
    assert parse_page(args) == page
    assert page.offset == page.start_index - 1


@pytest.mark.parametrize("value", ["x", "1.5", "1e3", "9" * 19, True, [1], 1.0, "١"])
@pytest.mark.parametrize("name", ["startIndex", "count"])
def test_what_is_no_integer_is_refused(name: str, value: object) -> None:
    """With the parameter's name in the detail."""
    with pytest.raises(InvalidValue, match=name):
        parse_page({name: value})


def test_a_list_response_counts_matches_and_the_page() -> None:
    """totalResults is all matches, itemsPerPage what is here, startIndex what was asked for."""
    assert list_response([{"id": "1"}], total=11, page=Page(11, 5)) == {
        "schemas": [LIST_URN],
        "totalResults": 11,
        "startIndex": 11,
        "itemsPerPage": 1,
        "Resources": [{"id": "1"}],
    }


def test_an_empty_list_has_resources() -> None:
    """Entra ID puts a job into quarantine if a search without a match is no list."""
    response = list_response([], total=0, page=Page())
    assert (response["totalResults"], response["Resources"]) == (0, [])
