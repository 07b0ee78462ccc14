"""Sorting and cursors over HTTP (RFC 7644 §3.4.2.3, RFC 9865): what a client is told, and what it cannot do."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine

from idp_bridge import clock, db
from scim.schemas import CURSOR_SECONDS, SEARCH_URN
from tests.conftest import ScimClient, add_provider

UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")


class Lists:
    """A directory's client that asks for lists."""

    def __init__(self, client: ScimClient, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}

    def get(self, path: str = "/Users", status: int = 200, **query: Any) -> dict[str, Any]:
        """By a query."""
        return self._read(self.client.open("GET", f"{path}?{urlencode(query)}", self.headers), status)

    def post(self, path: str = "/Users/.search", status: int = 200, **asked: Any) -> dict[str, Any]:
        """By a SearchRequest."""
        data = json.dumps({"schemas": [SEARCH_URN], **asked}).encode()
        return self._read(self.client.open("POST", path, self.headers, data), status)

    def create(self, path: str, **resource: Any) -> None:
        """A new resource."""
        self._read(self.client.open("POST", path, self.headers, json.dumps(resource).encode()), 201)

    def _read(self, answer: Any, status: int) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        body: dict[str, Any] = json.loads(answer.data)
        return body


@pytest.fixture
def lists(scim_client: ScimClient) -> Lists:
    """Of a directory with five users and two groups."""
    made = Lists(scim_client, scim_client.token)
    for name in ("Dora", "ada", "Bob", "eve", "Cleo"):
        made.create("/Users", userName=f"{name}@acme.test", displayName=name, title=name[0] if name != "Bob" else None)
    for name in ("crew", "Board"):
        made.create("/Groups", displayName=name)
    return made


def names(found: dict[str, Any]) -> list[str]:
    """What the resources of a page are called."""
    return [resource["displayName"] for resource in found["Resources"]]


def pages(lists: Lists, **query: Any) -> Iterator[dict[str, Any]]:
    """Every page by cursor."""
    page = lists.get(cursor="", **query)
    yield page
    while "nextCursor" in page:
        page = lists.get(cursor=page["nextCursor"], **query)
        yield page


def test_pages_by_cursor_are_the_sorted_list(lists: Lists) -> None:
    """Unreserved characters only, a total on each page, no startIndex, no nextCursor on the last and only there."""
    found = list(pages(lists, count=2, sortBy="title", sortOrder="descending"))
    assert [names(page) for page in found] == [["Bob", "eve"], ["Dora", "Cleo"], ["ada"]]
    for number, page in enumerate(found):
        assert (page["totalResults"], page["itemsPerPage"]) == (5, len(page["Resources"]))
        assert "startIndex" not in page
        assert ("previousCursor" in page, "nextCursor" in page) == (number > 0, number < 2)
        assert all(UNRESERVED.fullmatch(page[name]) for name in ("nextCursor", "previousCursor") if name in page)


def test_a_search_over_both_types_is_one_sorted_list(lists: Lists) -> None:
    """By index and by cursor, and back again."""
    asked = {"sortBy": "displayName", "attributes": ["displayName"], "count": 4}
    assert names(lists.post("/.search", **asked)) == ["ada", "Board", "Bob", "Cleo"]
    assert names(lists.post("/.search", **asked, startIndex=5)) == ["crew", "Dora", "eve"]
    first = lists.post("/.search", **asked, cursor="")
    second = lists.post("/.search", **asked, cursor=first["nextCursor"])
    assert names(first) + names(second) == ["ada", "Board", "Bob", "Cleo", "crew", "Dora", "eve"]
    assert lists.post("/.search", **asked, cursor=second["previousCursor"])["Resources"] == first["Resources"]


def test_a_cursor_is_the_same_by_get_and_by_post(lists: Lists) -> None:
    """RFC 9865 §3: the same parameters in a body; another spelling of the same query is the same query."""
    first = lists.get(cursor="", count=2, filter='username co "x" or userName pr')
    asked = {"count": "2", "filter": 'userName CO "x" or (USERNAME pr)', "cursor": first["nextCursor"]}
    assert names(lists.post(**asked)) == ["Bob", "eve"]


QUERY: dict[str, Any] = {"count": 2, "filter": "title pr", "sortBy": "title", "attributes": "displayName"}


OTHERS: list[tuple[str, dict[str, str]]] = [
    ("/Users", {"filter": "userName pr"}),
    ("/Users", {"filter": ""}),
    ("/Users", {"sortBy": "userName"}),
    ("/Users", {"sortBy": ""}),
    ("/Users", {"sortOrder": "descending"}),
    ("/Users", {"attributes": "title"}),
    ("/Users", {"attributes": "", "excludedAttributes": "title"}),
    ("/Groups", {"filter": "", "sortBy": "", "attributes": ""}),
]


def test_a_cursor_belongs_to_its_query(lists: Lists) -> None:
    """All parameters but the cursor stay as they were (RFC 9865 §2)."""
    cursor = lists.get(cursor="", **QUERY)["nextCursor"]
    assert lists.get(cursor=cursor, **QUERY)["itemsPerPage"] == 2
    for path, changed in OTHERS:
        refused = lists.get(path, 400, cursor=cursor, **{**QUERY, **changed})
        assert (refused["scimType"], "begin again" in refused["detail"]) == ("invalidCursor", True), changed


def test_a_cursor_belongs_to_its_directory(lists: Lists, idp_certificate: str) -> None:
    """Another directory of the same account is told what a forger is (RFC 9865 §5.2)."""
    cursor = lists.get(cursor="", count=2)["nextCursor"]
    with db.connection():
        add_provider(lists.client.world, idp_certificate, name="Entra", entity_id="https://second.example.test")
    other = Lists(lists.client, lists.client.world.scim_token)
    refused = other.get("/Users", 400, cursor=cursor, count=2)
    assert refused == lists.get("/Users", 400, cursor="forged", count=2)
    assert names(lists.get(cursor=cursor, count=2)) == ["Bob", "eve"]


def test_a_cursor_is_good_for_an_hour(lists: Lists) -> None:
    """As the configuration says; then the client is told to begin again."""
    cursor = lists.get(cursor="", count=2)["nextCursor"]
    with time_machine.travel(clock.now() + timedelta(seconds=CURSOR_SECONDS - 60), tick=False) as travelled:
        assert names(lists.get(cursor=cursor, count=2)) == ["Bob", "eve"]
        travelled.shift(timedelta(seconds=120))
        assert lists.get("/Users", 400, cursor=cursor, count=2)["scimType"] == "expiredCursor"


def test_a_forged_cursor_is_refused(lists: Lists) -> None:
    """In one form, whatever is wrong with it."""
    for cursor in ("x", "Zm9yZ2Vk", "ä", "a b", "a" * 5000, "gAAAAA" + "A" * 94):
        assert lists.get("/Users", 400, cursor=cursor)["scimType"] == "invalidCursor"
        assert lists.post("/.search", 400, cursor=cursor)["scimType"] == "invalidCursor"


def test_a_changed_cursor_is_refused(lists: Lists) -> None:
    """Not a byte of it can be another; the last character may hold bits of none."""
    cursor = lists.get(cursor="", count=2)["nextCursor"]
    for place in range(0, len(cursor) - 1, 7):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        assert lists.get("/Users", 400, cursor=changed, count=2)["scimType"] == "invalidCursor"


def test_what_is_no_text_is_no_cursor(lists: Lists) -> None:
    """In a body it could be anything."""
    for cursor in (1, True, [], {}, "\ud800"):
        assert lists.post(status=400, cursor=cursor)["scimType"] == "invalidCursor"


def test_a_count_out_of_range_is_refused_with_a_cursor(lists: Lists) -> None:
    """RFC 9865 table 3; by index it is cut to the maximum, as RFC 7644 lets a server."""
    for count in ("1001", "x", "1.5"):
        assert lists.get("/Users", 400, cursor="", count=count)["scimType"] == "invalidCount"


def test_another_count_is_refused(lists: Lists) -> None:
    """None given is the default, and that is another too."""
    cursor = lists.get(cursor="", count=2)["nextCursor"]
    for changed in ({"count": 3}, {}):
        refused = lists.get("/Users", 400, cursor=cursor, **changed)
        assert (refused["scimType"], "2" in refused["detail"]) == ("invalidCount", True)


def test_a_cursor_and_an_index_exclude_each_other(lists: Lists) -> None:
    """Either of the two would be answered otherwise."""
    assert lists.get("/Users", 400, cursor="", startIndex=1)["scimType"] == "invalidValue"


def test_pages_by_index_have_no_cursor(lists: Lists) -> None:
    """Who did not ask for cursors sees nothing of them (RFC 9865 §2.4)."""
    assert not {"nextCursor", "previousCursor"} & lists.get(count=2).keys()


def test_members_of_a_search_request_have_no_case(lists: Lists) -> None:
    """RFC 7643 §2.1: passing over a `Filter` would answer with everybody."""
    assert lists.post("/Users/.search", 200, **{"Filter": 'userName eq "nobody"'})["totalResults"] == 0
    assert lists.post("/Users/.search", 200, **{"COUNT": 1})["itemsPerPage"] == 1


REFUSED = [
    ("/Users", {"sortBy": "shoeSize"}),
    ("/Users", {"sortBy": "name"}),
    ("/Users", {"sortBy": "groups"}),
    ("/Users", {"sortBy": "meta.version"}),
    ("/Users", {"sortBy": "userName", "sortOrder": "up"}),
    ("/Groups", {"sortBy": "members"}),
    ("/Groups", {"sortBy": "userName"}),
]


def test_what_cannot_be_sorted_by_is_refused(lists: Lists) -> None:
    """And named, by index, by cursor and by a body alike."""
    for path, query in REFUSED:
        for refused in (lists.get(path, 400, **query), lists.get(path, 400, cursor="", **query)):
            assert (refused["scimType"], "sort" in refused["detail"]) == ("invalidValue", True)
        assert lists.post(f"{path}/.search", 400, **query)["scimType"] == "invalidValue"
