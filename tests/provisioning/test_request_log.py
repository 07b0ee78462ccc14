"""The request log of a directory: what a row holds, how it is found, and when it goes."""

from datetime import timedelta
from typing import Any

import pytest

from idp_bridge import clock, db, ids
from idp_bridge.errors import NotFound
from idp_bridge.models import IdentityProvider, ScimRequest
from idp_bridge.provisioning import request_log
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.request_log import Answered, Sent

OK = Answered(200, b'{"id":"du_1"}', 1500)


def sent(directory: Directory, **facts: Any) -> Sent:
    """A request of this directory."""
    ordinary = Sent(
        directory_id=directory.id,
        token_id="tok_1",
        timestamp=clock.now(),
        method="PATCH",
        path="/Users/du_1",
        query=b"",
        body=b"{}",
        is_json=True,
        resource_id="du_1",
        address="192.0.2.1",
        user_agent="Okta SCIM Client 1.0.0",
        request_id="op_1",
    )
    return ordinary._replace(**facts)


def refusal(status: int, detail: str, scim_type: str = "") -> Answered:
    """A SCIM Error."""
    return Answered(status, b'{"detail":"%s","scimType":"%s"}' % (detail.encode(), scim_type.encode()), 900)


def keep(directory: Directory, answered: Answered = OK, *, change: Any = None, **facts: Any) -> ScimRequest:
    """A row, as it is found again."""
    with db.transaction():
        request_log.record(sent(directory, **facts), answered, **(change or {}))
    return ScimRequest.select().order_by(ScimRequest.id.desc()).get()


def found(directory: Directory, **wanted: Any) -> list[str]:
    """The paths of the requests that fit, newest first."""
    rows = request_log.of_directory(directory.identity_provider, **wanted).order_by(ScimRequest.id.desc())
    return [row.path for row in rows]


# --- what a row holds -------------------------------------------------------------------------------------------


def test_a_row_says_what_was_sent_answered_and_changed(directory: Directory) -> None:
    """All that an administrator asks for, in one row."""
    change = {"name": "ann", "before": {"active": True}, "after": {"active": False}}
    row = keep(directory, body=b'{"active":false}', query=b"attributes=id", change=change)
    assert row.id.startswith("sr_")
    assert (row.method, row.path, row.query, row.status) == ("PATCH", "/Users/du_1", "attributes=id", 200)
    assert (row.request_body, row.response_body) == ('{"active":false}', '{"id":"du_1"}')
    assert (row.before, row.after, row.resource_name) == ({"active": True}, {"active": False}, "ann")
    assert (row.microseconds, row.error, row.cause, row.skipped) == (1500, None, None, 0)
    assert (row.address, row.user_agent, row.request_id, row.token_id) == (
        "192.0.2.1",
        "Okta SCIM Client 1.0.0",
        "op_1",
        "tok_1",
    )


def test_a_failure_says_why_and_of_whom(directory: Directory) -> None:
    """The detail and scimType of the answer; the name is the one that was sent."""
    row = keep(directory, refusal(409, "taken", "uniqueness"), method="POST", body=b'{"userName":"ann"}')
    assert (row.error, row.scim_type, row.resource_name) == ("taken", "uniqueness", "ann")
    assert (row.before, row.after) == (None, None)


@pytest.mark.parametrize(
    ("facts", "column", "most"),
    [
        ({"body": b'{"x":"' + "ä".encode() * 40_000 + b'"}'}, "request_body", request_log.BODY_BYTES),
        ({"query": b"filter=" + b"x" * 40_000}, "query", request_log.QUERY_BYTES),
        ({"path": "/Users/" + "ä" * 4_000}, "path", request_log.SHORT_BYTES),
        ({"user_agent": "x" * 4_000}, "user_agent", 255),
        ({"resource_id": "x" * 4_000}, "resource_id", 64),
    ],
)
def test_nothing_in_a_row_is_longer_than_its_bound(
    directory: Directory, facts: dict[str, Any], column: str, most: int
) -> None:
    """What is cut says how long it was."""
    kept = getattr(keep(directory, **facts), column)
    assert most < len(kept.encode()) < most + 40
    assert kept.endswith(" bytes in all)")


def test_a_large_group_is_kept_by_its_first_members(directory: Directory) -> None:
    """And by how many more there were."""
    members = [{"value": f"du_{n}"} for n in range(1000)]
    row = keep(directory, change={"before": {}, "after": {"members": members}})
    assert row.after["members"] == [*members[:100], "… and 900 more"]


def test_text_that_no_database_stores_is_kept_all_the_same(directory: Directory) -> None:
    """NUL in a path, lone surrogates in JSON: the replacement character, and no failure."""
    row = keep(directory, refusal(404, "gone"), path="/Users/a\0b", body=b'{"userName":"\\ud800","x":"\\u0000"}')
    assert row.path == "/Users/a\ufffdb"
    assert "\ud800" not in row.request_body


def test_a_password_is_in_no_column(directory: Directory) -> None:
    """Whatever it comes in: body, query, or what changed."""
    change = {"before": {"apiToken": "hunter2"}, "after": {"urn:x": {"password": "hunter2"}}}
    body = b'{"Operations":[{"op":"add","path":"password","value":"hunter2"}]}'
    keep(directory, body=body, query=b"password=hunter2", change=change)
    keep(directory, Answered(200, b'{"Resources":[{"apiToken":"hunter2"}]}', 1))
    for row in ScimRequest.select():
        assert "hunter2" not in str(row.__data__)


# --- finding ----------------------------------------------------------------------------------------------------


def test_filters_narrow(directory: Directory) -> None:
    """All that are given must fit."""
    keep(directory, method="GET", path="/Users", resource_id=None)
    keep(directory, refusal(404, "Group grp_1 was not found"), method="DELETE", path="/Groups/grp_1", resource_id="g")
    keep(directory, refusal(503, "busy"), method="POST", path="/Users", body=b'{"userName":"ann@acme.test"}')
    assert found(directory) == ["/Users", "/Groups/grp_1", "/Users"]
    assert found(directory, status="404") == ["/Groups/grp_1"]
    assert found(directory, status="2xx", method="GET") == ["/Users"]
    assert found(directory, status="failed") == ["/Users", "/Groups/grp_1"]
    assert found(directory, status="failed", method="GET") == []
    assert found(directory, path="groups/") == ["/Groups/grp_1"]
    assert found(directory, path="ann@") == ["/Users"]
    assert found(directory, path="%") == []
    assert found(directory, resource_id="g") == ["/Groups/grp_1"]
    assert found(directory, error="NOT FOUND") == ["/Groups/grp_1"]
    assert found(directory, about="user") == ["/Users", "/Users"]
    assert found(directory, about="group", method="DELETE") == ["/Groups/grp_1"]


def test_since_is_inclusive(directory: Directory) -> None:
    """The request of that very instant is among them."""
    first = keep(directory, path="/first")
    second = keep(directory, path="/second", timestamp=clock.now())
    assert found(directory, since=first.timestamp) == ["/second", "/first"]
    assert found(directory, since=second.timestamp) == ["/second"]


def test_a_directory_sees_its_own_requests_only(directory: Directory, second: Directory, foreign: Directory) -> None:
    """Neither those of the account's other directory nor a stranger's."""
    rows = {other.id: keep(other) for other in (directory, second, foreign)}
    for other in (directory, second, foreign):
        assert [row.id for row in request_log.of_directory(other.identity_provider)] == [rows[other.id].id]
    with pytest.raises(NotFound):
        request_log.get(directory.identity_provider, rows[second.id].id)
    assert request_log.get(second.identity_provider, rows[second.id].id) == rows[second.id]


def test_equal_errors_are_counted_whatever_they_name(directory: Directory, second: Directory) -> None:
    """The most frequent first, told by its newest."""
    for name in ("ann", "bob@acme.test", "O'Brien"):
        detail = f"A user with the userName {name!r} exists in this directory already."
        newest = keep(directory, refusal(409, detail.replace('"', '\\"')))
    for _ in range(2):
        keep(directory, refusal(404, f"User {ids.new('du')} was not found in this directory."))
    keep(directory)
    keep(second, refusal(404, "elsewhere"))
    since = clock.now() - timedelta(hours=1)
    often, rare = request_log.causes(directory.identity_provider, since=since)
    assert (often.times, often.latest.id, often.latest.error) == (3, newest.id, newest.error)
    assert (rare.times, rare.cause) == (2, "User … was not found in this directory.")
    assert len(found(directory, cause=often.cause)) == 3
    assert request_log.causes(directory.identity_provider, since=clock.now() + timedelta(minutes=1)) == []


def test_how_often_a_cause_came_is_counted_since_a_moment(directory: Directory, second: Directory) -> None:
    """Of this directory only."""
    first = keep(directory, refusal(404, "gone"))
    keep(directory, refusal(404, "gone"))
    keep(second, refusal(404, "gone"))
    assert request_log.times(directory.identity_provider, "gone", since=first.timestamp) == 2
    assert request_log.times(directory.identity_provider, "gone", since=clock.now() + timedelta(minutes=1)) == 0


def test_the_newest_of_several_directories_are_read_at_once(
    directory: Directory, second: Directory, foreign: Directory
) -> None:
    """One for each that has any; those of others are not among them, and no body is read."""
    keep(directory, path="/old")
    newest = {one.id: keep(one, path="/new") for one in (directory, second)}
    keep(foreign)
    rows = request_log.newest([directory.id, second.id])
    assert {id: (row.id, row.path) for id, row in rows.items()} == {id: (row.id, "/new") for id, row in newest.items()}
    assert rows[directory.id].__data__.keys() & {"request_body", "response_body"} == set()
    assert request_log.newest([]) == {}


def test_failures_are_counted_by_directory(directory: Directory, second: Directory) -> None:
    """Since a moment; a directory without any is not named."""
    for _ in range(2):
        keep(directory, refusal(404, "gone"))
    keep(second)
    since = clock.now() - timedelta(hours=1)
    assert request_log.failures([directory.id, second.id], since=since) == {directory.id: 2}
    assert request_log.failures([directory.id], since=clock.now() + timedelta(hours=1)) == {}


# --- throwing away ----------------------------------------------------------------------------------------------


def _age(row: ScimRequest, age: timedelta) -> None:
    """As if it had been written that long ago."""
    ScimRequest.update(id=ids.earliest("sr", clock.now() - age)).where(ScimRequest.id == row.id).execute()


def test_requests_are_kept_for_thirty_days(
    directory: Directory, second: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones go, in batches, of this directory; the others' stay until it is their turn."""
    monkeypatch.setattr(request_log, "BATCH", 2)
    for days in (29, 31, 32, 33, 60, 90):
        _age(keep(directory, path=f"/{days}"), timedelta(days=days))
    _age(keep(second, path="/other"), timedelta(days=31))
    assert request_log.prune(directory.id) == 5
    assert found(directory) == ["/29"]
    assert found(second) == ["/other"]
    assert request_log.prune() == 1
    assert request_log.prune() == 0


def test_the_newest_are_kept_up_to_a_number(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their age."""
    monkeypatch.setattr(request_log, "KEPT_ROWS", 3)
    for n in range(6):
        keep(directory, path=f"/{n}")
    assert request_log.prune(directory.id) == 3
    assert found(directory) == ["/5", "/4", "/3"]
    assert request_log.prune(directory.id) == 0


def test_the_log_goes_with_its_directory(directory: Directory) -> None:
    """What a deleted identity provider sent is nobody's to read."""
    keep(directory)
    with db.transaction():
        IdentityProvider.delete().where(IdentityProvider.id == directory.id).execute()
    assert ScimRequest.select().count() == 0
