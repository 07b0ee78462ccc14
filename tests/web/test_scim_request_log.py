"""When a SCIM request is written into its directory's log, and what must never come of it."""

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from peewee import SqliteDatabase

from idp_bridge import clock, db
from idp_bridge.errors import TooManyRequests
from idp_bridge.models import Account, DirectoryUser, Member, ScimRequest, ScimToken
from idp_bridge.provisioning import request_log as rows
from idp_bridge.web import guard
from idp_bridge.web.scim import request_log
from tests.conftest import ScimClient, add_provider

USER = {"userName": "ann@acme.test", "displayName": "Änne", "emails": [{"value": "ann@acme.test", "type": "work"}]}
OFF = {"Operations": [{"op": "Replace", "path": "active", "value": "False"}]}


class Provider:
    """A directory's client whose connection is read to its end, so that what follows an answer has happened."""

    def __init__(self, app: Flask, token: str) -> None:
        self.app = app
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request; ``body`` is JSON, or bytes sent as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        path = path if path.startswith("/scim") else f"/scim/v2{path}"
        return self.app.test_client().open(
            path, method=method, data=data, headers={**self.headers, **headers}, buffered=True
        )

    def create(self, body: Any = USER) -> str:
        """A user who is created; her id."""
        answer = self.send("POST", "/Users", body)
        assert answer.status_code == 201, answer.text
        return str(json.loads(answer.data)["id"])


@pytest.fixture(autouse=True)
def meter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What this process has counted, begun anew."""
    fresh = request_log._Meter()
    monkeypatch.setattr(request_log, "_meter", fresh)
    return fresh


@pytest.fixture
def provider(scim_client: ScimClient) -> Provider:
    """acme's provider, pushing."""
    return Provider(scim_client.app, scim_client.token)


def kept() -> list[ScimRequest]:
    """The rows of all directories, oldest first."""
    with db.connection():
        return list(ScimRequest.select().order_by(ScimRequest.id))


def last() -> ScimRequest:
    return kept()[-1]


# --- changes ----------------------------------------------------------------------------------------------------


def test_a_change_is_kept_with_what_it_changed(scim_client: ScimClient, provider: Provider) -> None:
    """One row for each, in order: created, changed, deleted."""
    id = provider.create()
    assert provider.send("PATCH", f"/Users/{id}?attributes=id", OFF, **{"User-Agent": "Okta"}).status_code == 200
    assert provider.send("DELETE", f"/Users/{id}").status_code == 204
    created, patched, deleted = kept()
    assert scim_client.world.provider is not None
    assert {row.identity_provider_id for row in kept()} == {scim_client.world.provider.id}
    assert (created.method, created.path, created.status, created.resource_id) == ("POST", "/Users", 201, id)
    assert (created.before, created.after["userName"]) == (None, "ann@acme.test")
    assert json.loads(created.request_body) == USER
    assert json.loads(created.response_body)["id"] == id
    assert (patched.path, patched.query, patched.status) == (f"/Users/{id}", "attributes=id", 200)
    assert (patched.before, patched.after) == ({"active": True}, {"active": False})
    assert (patched.user_agent, patched.resource_name) == ("Okta", "ann@acme.test")
    assert (deleted.status, deleted.before["userName"], deleted.after) == (204, "ann@acme.test", None)
    with db.connection():
        assert {row.token_id for row in kept()} == {ScimToken.get().id}
    assert all(row.microseconds > 0 and row.request_id.startswith("op_") for row in kept())


def test_a_group_says_who_went_and_who_came(provider: Provider) -> None:
    """And nothing of the members who stayed."""
    ann, bob = provider.create(), provider.create({"userName": "bob@acme.test"})
    made = provider.send("POST", "/Groups", {"displayName": "Staff", "members": [{"value": ann}]})
    id = json.loads(made.data)["id"]
    change = {"Operations": [{"op": "add", "path": "members", "value": [{"value": bob}]}]}
    assert provider.send("PATCH", f"/Groups/{id}", change).status_code == 204
    row = last()
    assert (row.status, row.response_body, row.resource_name) == (204, None, "Staff")
    assert (row.before, row.after) == ({}, {"members": [bob]})


def test_a_change_of_nothing_shows_that_it_changed_nothing(provider: Provider) -> None:
    """Providers send the same again every forty minutes."""
    id = provider.create()
    provider.send("PATCH", f"/Users/{id}", {"Operations": [{"op": "replace", "path": "active", "value": True}]})
    assert (last().status, last().before, last().after) == (200, {}, {})


def test_a_bulk_request_is_one_row_with_what_each_operation_did(provider: Provider) -> None:
    """It counts as failed where one of them did, with the first one's reason."""
    ann = {"method": "POST", "path": "/Users", "bulkId": "ann", "data": {**USER, "password": "hunter2-1Zq"}}
    gone = {"method": "DELETE", "path": "/Users/du_nobody"}
    bulk = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]}
    assert provider.send("POST", "/Bulk", {**bulk, "Operations": [ann]}).status_code == 200
    assert provider.send("POST", "/Bulk", {**bulk, "Operations": [{**ann, "bulkId": "b"}, gone]}).status_code == 200
    whole, partly = kept()
    (created,) = whole.after["Operations"]
    assert (created["method"], created["after"]["userName"]) == ("POST", "ann@acme.test")
    assert (whole.error, whole.scim_type, whole.cause) == (None, None, None)
    assert "hunter2" not in whole.request_body
    assert (partly.status, partly.scim_type) == (200, "uniqueness")
    assert partly.error.startswith("2 of 2 operations failed, the first: A user with the userName")
    assert partly.after == {"Operations": []}


# --- failures ---------------------------------------------------------------------------------------------------


def _last_administrator(scim_client: ScimClient, provider: Provider) -> tuple[str, str, Any]:
    """The directory takes over the account's only administrator."""
    return "DELETE", f"/Users/{provider.create({'userName': 'owner@acme.test'})}", None


def _over_the_seats(scim_client: ScimClient, provider: Provider) -> tuple[str, str, Any]:
    with db.connection():
        Account.update(seats=1).execute()
    return "POST", "/Users", USER


def _twice(scim_client: ScimClient, provider: Provider) -> tuple[str, str, Any]:
    provider.create()
    return "POST", "/Users", USER


def _without_the_plan(scim_client: ScimClient, provider: Provider) -> tuple[str, str, Any]:
    with db.connection():
        Account.update(plan="pro").execute()
    return "GET", "/Users", None


Case = Callable[[ScimClient, Provider], tuple[str, str, Any]]

FAILURES: dict[str, tuple[Case, int, str | None]] = {
    "no such user": (lambda *_: ("GET", "/Users/du_nobody", None), 404, None),
    "a filter that is none": (lambda *_: ("GET", "/Users?filter=userName+is+1", None), 400, "invalidFilter"),
    "no userName": (lambda *_: ("POST", "/Users", {"displayName": "x"}), 400, "invalidValue"),
    "no JSON": (lambda *_: ("POST", "/Users", b"{"), 400, "invalidSyntax"),
    "another method": (lambda *_: ("PUT", "/Users", {}), 405, None),
    "no such address": (lambda *_: ("GET", "/v2/Users", None), 404, None),
    "another version": (lambda *_: ("GET", "/scim/v1/Users", None), 400, "invalidVers"),
    "the same twice": (_twice, 409, "uniqueness"),
    "the last administrator": (_last_administrator, 409, None),
    "no seat left": (_over_the_seats, 403, None),
    "a plan without SCIM": (_without_the_plan, 403, None),
}


@pytest.mark.parametrize(("case", "status", "scim_type"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_is_kept_with_its_reason(
    scim_client: ScimClient, provider: Provider, case: Case, status: int, scim_type: str | None
) -> None:
    """The row says what the answer said, and nothing of a change."""
    method, path, body = case(scim_client, provider)
    before = len(kept())
    answer = provider.send(method, path, body)
    assert answer.status_code == status, answer.text
    assert len(kept()) == before + 1
    row, error = last(), json.loads(answer.data)
    assert (row.method, row.status, row.error) == (method, status, error["detail"])
    assert row.scim_type == error.get("scimType") == scim_type
    assert json.loads(row.response_body) == error
    assert (row.before, row.after) == (None, None)
    assert row.request_id == answer.headers["X-Request-Id"]


def test_a_change_rolled_back_leaves_the_failure_only(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of the success goes with the change: they are one transaction."""
    real = request_log.request_log.record

    def record_then_fail(*given: Any, **options: Any) -> None:
        real(*given, **options)
        monkeypatch.setattr(rows, "record", real)
        raise RuntimeError("after the row was written")

    monkeypatch.setattr(rows, "record", record_then_fail)
    assert provider.send("POST", "/Users", USER).status_code == 500
    assert [(row.status, row.cause) for row in kept()] == [
        (500, "Something went wrong on our side. The operation id finds it in the log.")
    ]
    with db.connection():
        assert DirectoryUser.select().count() == 0


def test_without_a_valid_token_nothing_is_kept(provider: Provider, scim_client: ScimClient) -> None:
    """Whose it is cannot be known, and strangers must not write."""
    for header in ("", "Bearer ibst_nonsense", f"Bearer {scim_client.token[:-1]}"):
        for path in ("/Users", "/nothing/here"):
            assert provider.send("GET", path, Authorization=header).status_code in (401, 404)
    with db.connection():
        ScimToken.update(expires_at=clock.now()).execute()
    assert provider.send("GET", "/Users").status_code == 401
    assert provider.send("GET", "/nothing/here").status_code == 404
    assert kept() == []


def test_a_password_is_kept_nowhere(provider: Provider) -> None:
    """Whether it is taken or refused."""
    id = provider.create({**USER, "password": "hunter2-1Zq"})
    urn = "urn:ietf:params:scim:schemas:core:2.0:User:password"
    for operation in (
        {"op": "replace", "path": "password", "value": "hunter2-1Zq"},
        {"op": "replace", "path": urn, "value": "hunter2-1Zq"},
        {"op": "replace", "value": {"PASSWORD": "hunter2-1Zq"}},
        {"op": "replace", "path": "password", "value": {"value": "hunter2-1Zq"}},
        {"op": "replace", "path": "emails", "value": [{"value": "x", "password": "hunter2-1Zq"}]},
        {"op": "replace", "path": "passwordx", "value": "hunter2-1Zq"},
    ):
        provider.send("PATCH", f"/Users/{id}", {"Operations": [operation]})
    provider.send("PUT", f"/Users/{id}", {**USER, "password": ["hunter2-1Zq"]})
    provider.send("GET", "/Users?filter=password+eq+%22hunter2-1Zq%22")
    provider.send("POST", "/Users/.search", {"filter": 'password eq "hunter2-1Zq"'})
    provider.send("POST", "/Users", b"password=hunter2-1Zq")
    provider.send("POST", "/Users", b"password=hunter2-1Zq", **{"Content-Type": "text/plain"})
    assert len(kept()) == 12
    assert not [row.path for row in kept() if "hunter2" in str(row.__data__)]
    assert not [row.path for row in kept() if "Bearer" in str(row.__data__)]


# --- reads ------------------------------------------------------------------------------------------------------


def test_a_read_is_kept_after_its_answer(provider: Provider) -> None:
    """With its query, and as much of the answer as shows what was found; nothing about a change."""
    id = provider.create()
    etag = provider.send("GET", f"/Users/{id}").headers["ETag"]
    provider.send("GET", '/Users?filter=userName eq "ann@acme.test"')
    provider.send("POST", "/Users/.search", {"filter": "active eq true"})
    provider.send("GET", f"/Users/{id}", **{"If-None-Match": etag})
    one, listed, searched, unchanged = kept()[1:]
    assert (one.path, one.resource_id, one.status) == (f"/Users/{id}", id, 200)
    assert listed.query == 'filter=userName eq "ann@acme.test"'
    assert '"totalResults":1' in listed.response_body
    assert json.loads(searched.request_body) == {"filter": "active eq true"}
    assert (unchanged.status, unchanged.response_body) == (304, None)
    assert {(row.before, row.after, row.error) for row in kept()[1:]} == {(None, None, None)}


def test_a_long_list_is_kept_by_its_beginning(provider: Provider) -> None:
    """4 KiB: how many there were, and the first of them."""
    for n in range(30):
        provider.create({"userName": f"user{n}@acme.test"})
    provider.send("GET", "/Users")
    assert '"totalResults":30' in last().response_body
    assert len(last().response_body.encode()) < rows.READ_ANSWER_BYTES + 40


@pytest.mark.parametrize(("path", "status", "kind"), [("/Users", 200, "read"), ("/Users/du_x", 404, "failure")])
def test_a_flood_is_counted_and_not_written(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, path: str, status: int, kind: str
) -> None:
    """So many in a second are kept; the next one kept says how many are missing before it."""
    seconds = [100.0]
    monkeypatch.setattr(request_log.time, "monotonic", lambda: seconds[0])
    monkeypatch.setitem(request_log.A_SECOND, kind, 3)
    for _ in range(8):
        assert provider.send("GET", path).status_code == status
    assert [row.skipped for row in kept()] == [0, 0, 0]
    seconds[0] += 1
    provider.send("GET", path)
    provider.send("GET", path)
    assert [row.skipped for row in kept()] == [0, 0, 0, 5, 0]


def test_a_flood_of_one_directory_leaves_the_others_alone(
    scim_client: ScimClient, provider: Provider, monkeypatch: pytest.MonkeyPatch, idp_certificate: str
) -> None:
    """Each has its own second."""
    monkeypatch.setattr(request_log.time, "monotonic", lambda: 100.0)
    monkeypatch.setitem(request_log.A_SECOND, "read", 1)
    with db.connection():
        add_provider(scim_client.world, idp_certificate, name="Entra", entity_id="https://second.example.test")
    second = Provider(scim_client.app, scim_client.world.scim_token)
    for _ in range(3):
        provider.send("GET", "/Users")
        second.send("GET", "/Users")
    assert len({row.identity_provider_id for row in kept()}) == len(kept()) == 2


def test_changes_are_kept_however_many(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """They write anyway."""
    for kind in request_log.A_SECOND:
        monkeypatch.setitem(request_log.A_SECOND, kind, 0)
    for n in range(5):
        provider.create({"userName": f"user{n}@acme.test"})
    assert len(kept()) == 5


def test_a_read_waits_for_no_lock(provider: Provider) -> None:
    """While another writes on SQLite, a read is answered at once and counted; on PostgreSQL nobody waits."""
    locked, done = threading.Event(), threading.Event()

    def write() -> None:
        with db.connection(), db.transaction():
            Member.update(name="Olive").execute()
            locked.set()
            done.wait(60)

    writer = threading.Thread(target=write)
    provider.send("GET", "/Users")  # notes the token's use, which is a write of its own
    writer.start()
    assert locked.wait(60)
    try:
        assert provider.send("GET", "/Users").status_code == 200
    finally:
        done.set()
        writer.join()
    provider.send("GET", "/Users")
    on_sqlite = isinstance(db.database.obj, SqliteDatabase)
    assert [row.skipped for row in kept()] == ([0, 1] if on_sqlite else [0, 0, 0])


def test_requests_past_the_rate_are_kept_one_a_second(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, app: Flask
) -> None:
    """The flood itself is not written, but that there was one is seen."""
    monkeypatch.setattr(request_log.time, "monotonic", lambda: 100.0)

    def exhausted(*_: Any) -> None:
        raise TooManyRequests("Slower.", retry_after=1)

    with app.app_context():
        monkeypatch.setattr(type(guard.rates().scim), "take", exhausted)
    for _ in range(4):
        assert provider.send("GET", "/Users").status_code == 429
    assert [(row.status, row.error) for row in kept()] == [(429, "Slower.")]


# --- what must never come of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/Users", 200), ("/Users/du_x", 404), ("/nothing/here", 404)])
def test_a_fault_of_the_log_changes_no_answer(
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    status: int,
) -> None:
    """It is for the operator's log, with the request's id."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the log is broken")

    monkeypatch.setattr(rows, "record", broken)
    with caplog.at_level(logging.ERROR, logger=request_log.__name__):
        answer = provider.send("GET", path)
    assert answer.status_code == status
    assert json.loads(answer.data)["schemas"]
    assert [record.name for record in caplog.records] == [request_log.__name__]
    assert kept() == []


def test_old_rows_go_now_and_then(provider: Provider, meter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log throws away by itself: with the first request of a directory that a process sees, and then at times."""
    pruned: list[str | None] = []
    seconds = [100.0]
    monkeypatch.setattr(request_log.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(rows, "prune", lambda directory_id=None: pruned.append(directory_id))
    provider.send("GET", "/Users")
    provider.send("GET", "/Users")
    assert len(pruned) == 1
    seconds[0] += request_log.PRUNED_EVERY
    provider.create()
    assert pruned == [last().identity_provider_id] * 2
