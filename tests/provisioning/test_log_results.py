"""What came of a request in a word, and what it changed attribute by attribute."""

from typing import Any

import pytest

from idp_bridge.models import ScimRequest
from idp_bridge.provisioning.log_results import Change, Difference, Result, changes, result


def row(
    status: int = 200, *, before: Any = None, after: Any = None, cause: str | None = None, method: str = "PATCH"
) -> ScimRequest:
    return ScimRequest(status=status, before=before, after=after, cause=cause, method=method)


@pytest.mark.parametrize(
    ("request_row", "word"),
    [
        (row(503, cause="busy"), Result.FAILED),
        (row(409, cause="taken"), Result.REJECTED),
        (row(200, after={"Operations": []}, cause="1 of 2"), Result.REJECTED),
        (row(200), Result.READ),
        (row(200, after={"Operations": []}), Result.BULK),
        (row(201, after={"userName": "ann"}), Result.CREATED),
        (row(204, before={"userName": "ann"}), Result.DELETED),
        (row(before={"active": True}, after={"active": False}), Result.DEACTIVATED),
        (row(before={}, after={"active": False}), Result.DEACTIVATED),
        (row(before={"active": False}, after={"active": True}), Result.ACTIVATED),
        (row(before={}, after={}), Result.NO_CHANGE),
        (row(before={"title": "x"}, after={"title": "y"}), Result.UPDATED),
        (row(before={}, after={"title": "y"}), Result.UPDATED),
    ],
)
def test_a_request_has_one_result(request_row: ScimRequest, word: Result) -> None:
    """The first of the table that applies."""
    assert result(request_row) is word


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"title": "x"}, {"title": "y"}, [("title", ("x",), ("y",))]),
        ({}, {"title": "y"}, [("title", (), ("y",))]),
        ({"title": "x"}, {}, [("title", ("x",), ())]),
        ({"active": True}, {"active": False}, [("active", ("true",), ("false",))]),
        (
            {"name": {"givenName": "Ann", "familyName": "Lee"}},
            {"name": {"givenName": "Anna", "familyName": "Lee"}},
            [("name.givenName", ("Ann",), ("Anna",))],
        ),
        ({}, {"name": {"givenName": "Ann"}}, [("name.givenName", (), ("Ann",))]),
        (
            {"urn:x:2.0:User": {"manager": {"value": "1"}}},
            {"urn:x:2.0:User": {"manager": {"value": "2"}}},
            [("urn:x:2.0:User:manager.value", ("1",), ("2",))],
        ),
        (
            {"members": [{"value": "1"}, {"value": "2"}]},
            {"members": [{"value": "2"}, {"value": "3"}]},
            [("members", ('{"value": "1"}',), ('{"value": "3"}',))],
        ),
        ({"emails": ["a"]}, {"emails": None}, [("emails", ("a",), ())]),
        ({"secretCode": "(masked)"}, {"secretCode": "(masked)"}, [("secretCode", ("(masked)",), ("(masked)",))]),
    ],
)
def test_what_differs_is_told_by_its_name(before: Any, after: Any, found: list[Any]) -> None:
    """Sub-attributes by their path; of several values those that went and came; what is masked as changed."""
    (change,) = changes(row(before=before, after=after))
    assert change.differences == tuple(Difference(*one) for one in found)
    assert (change.method, change.id) == ("", "")


def test_what_changed_nothing_has_no_change() -> None:
    """A read, a refusal, and what was so already."""
    assert changes(row()) == []
    assert changes(row(before={}, after={})) == []


def test_a_bulk_request_is_told_by_its_operations() -> None:
    """Those that changed something; where there were too many to keep, the rest is not guessed."""
    operations = [
        {"method": "POST", "id": "du_1", "before": None, "after": {"userName": "ann"}},
        {"method": "PATCH", "id": "du_2", "before": {}, "after": {}},
        "… and 900 more",
    ]
    assert changes(row(after={"Operations": operations})) == [
        Change((Difference("userName", (), ("ann",)),), "POST", "du_1")
    ]
