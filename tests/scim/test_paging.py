"""Pages and list responses."""

from typing import Any

import pytest

from scim.errors import InvalidCount, InvalidCursor, InvalidValue
from scim.paging import CursorPage, Cursors, Page, list_response, parse_page
from scim.schemas import DEFAULT_COUNT, LIST_URN, MAX_RESULTS, service_provider_config


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


@pytest.mark.parametrize(
    ("args", "page"),
    [
        ({"cursor": ""}, CursorPage("", DEFAULT_COUNT)),
        ({"cursor": "", "count": "2"}, CursorPage("", 2)),
        ({"cursor": "aZ09-._~", "count": 1000, "startIndex": ""}, CursorPage("aZ09-._~", 1000)),
        ({"cursor": "x", "count": "-3"}, CursorPage("x", 0)),
        ({"cursor": None, "startIndex": 3}, Page(3, DEFAULT_COUNT)),
    ],
)
def test_a_cursor_asks_for_pages_by_cursor(args: dict[str, Any], page: CursorPage | Page) -> None:
    """An empty one too, for the first page (RFC 9865 §2)."""
    assert parse_page(args) == page


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"cursor": "a b"}, InvalidCursor),
        ({"cursor": "a=="}, InvalidCursor),
        ({"cursor": "ä"}, InvalidCursor),
        ({"cursor": "a\n"}, InvalidCursor),
        ({"cursor": 1}, InvalidCursor),
        ({"cursor": False}, InvalidCursor),
        ({"cursor": "", "count": 1001}, InvalidCount),
        ({"cursor": "", "count": "many"}, InvalidCount),
        ({"cursor": "", "count": True}, InvalidCount),
        ({"cursor": "", "startIndex": 1}, InvalidValue),
        ({"cursor": "x", "startIndex": "x"}, InvalidValue),
    ],
)
def test_a_page_by_cursor_is_strict(args: dict[str, Any], error: type[Exception]) -> None:
    """Clients of RFC 9865 are new: nothing of theirs has to be guessed (table 3)."""
    with pytest.raises(error):
        parse_page(args)


def test_the_configuration_says_what_pages_are() -> None:
    """RFC 9865 §4; index stays the default, for the clients that know no other."""
    said = service_provider_config("https://example.com/scim/v2")["pagination"]
    assert (said["cursor"], said["index"], said["defaultPaginationMethod"]) == (True, True, "index")
    assert parse_page({}) == Page(1, said["defaultPageSize"])
    assert parse_page({"cursor": "", "count": said["maxPageSize"]}) == CursorPage("", MAX_RESULTS)


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


@pytest.mark.parametrize(
    ("cursors", "shown"),
    [
        (Cursors(), {}),
        (Cursors(following="n"), {"nextCursor": "n"}),
        (Cursors(preceding="p"), {"previousCursor": "p"}),
        (Cursors("n", "p"), {"nextCursor": "n", "previousCursor": "p"}),
    ],
)
def test_a_page_by_cursor_says_how_to_go_on(cursors: Cursors, shown: dict[str, str]) -> None:
    """nextCursor is not there on the last page, previousCursor not on the first; startIndex is of the other way."""
    response = list_response([{"id": "1"}], total=11, page=cursors)
    assert response == {
        "schemas": [LIST_URN],
        "totalResults": 11,
        "itemsPerPage": 1,
        "Resources": [{"id": "1"}],
        **shown,
    }
