"""POST /Bulk: each operation stands or fails alone, by the rules and with the errors of the single request."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from peewee import SqliteDatabase

from idp_bridge import db
from idp_bridge.models import Account, DirectoryUser, Event, IdentityProvider, ScimRequest
from scim.schemas import BULK_RESPONSE_URN, ENTERPRISE_URN, ERROR_URN, MAX_PAYLOAD_BYTES
from tests.conftest import ScimClient, World, add_provider

Op = dict[str, Any]


class Directory:
    """A directory's client that sends JSON and reads JSON."""

    def __init__(self, client: ScimClient) -> None:
        self.client = client

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """One request; ``body`` is JSON, or bytes sent as they are."""
        headers = {"Authorization": f"Bearer {self.client.token}", "Content-Type": "application/scim+json"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.open(method, path, headers, data)

    def create(self, path: str, body: Any) -> str:
        """A POST that succeeds; the new id."""
        answer = self.send("POST", path, body)
        assert answer.status_code == 201, answer.text
        return str(json.loads(answer.data)["id"])

    def bulk(self, *operations: Op, **members: Any) -> list[Op]:
        """A bulk request that is performed; the operations of the answer."""
        answer = self.send("POST", "/Bulk", {"Operations": list(operations), **members})
        assert answer.status_code == 200, answer.text
        body = json.loads(answer.data)
        assert (body.keys(), body["schemas"]) == ({"schemas", "Operations"}, [BULK_RESPONSE_URN])
        done: list[Op] = body["Operations"]
        return done

    def names(self) -> list[str]:
        """The userNames of all users and the displayNames of all groups, in their order."""
        users = json.loads(self.send("GET", "/Users?attributes=userName").data)["Resources"]
        groups = json.loads(self.send("GET", "/Groups?attributes=displayName").data)["Resources"]
        return [user["userName"] for user in users] + [group["displayName"] for group in groups]

    def get(self, path: str) -> Op:
        """A resource that is there."""
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        body: Op = json.loads(answer.data)
        return body


@pytest.fixture
def directory(scim_client: ScimClient) -> Directory:
    """acme's directory."""
    return Directory(scim_client)


def user(name: str, **data: Any) -> Op:
    """A POST of a user whose bulkId is her name."""
    return {"method": "POST", "path": "/Users", "bulkId": name, "data": {"userName": f"{name}@acme.test", **data}}


def group(name: str, *members: str) -> Op:
    """A POST of a group whose bulkId is its name."""
    data = {"displayName": name, "members": [{"value": member} for member in members]}
    return {"method": "POST", "path": "/Groups", "bulkId": name, "data": data}


def patch(path: str, *operations: Op, **members: Any) -> Op:
    """A PATCH."""
    return {"method": "PATCH", "path": path, "data": {"Operations": list(operations)}, **members}


def managed_by(name: str) -> Op:
    """The data of a user whose manager is made by the operation of that name."""
    return {ENTERPRISE_URN: {"manager": {"value": f"bulkId:{name}"}, "department": "Deck"}}


def statuses(done: list[Op]) -> list[str]:
    """What became of the operations."""
    return [operation["status"] for operation in done]


def detail(operation: Op) -> str:
    """Of an operation that failed, after a check that it is answered with a SCIM Error."""
    error = operation["response"]
    assert (error["schemas"], error["status"]) == ([ERROR_URN], operation["status"])
    return str(error["detail"])


# --- what is done -----------------------------------------------------------------------------------------------


def test_every_method_is_answered_as_the_rfc_says(directory: Directory) -> None:
    """RFC 7644 §3.7.3: method, bulkId, location, version where there is one, status as a string, no resource."""
    ann, old = (
        directory.create("/Users", {"userName": "ann@acme.test"}),
        directory.create("/Groups", {"displayName": "g"}),
    )
    done = directory.bulk(
        user("bob"),
        {"method": "PUT", "path": f"/Users/{ann}", "data": {"userName": "ann@acme.test", "title": "Lead"}},
        patch(f"/Groups/{old}", {"op": "add", "path": "members", "value": [{"value": ann}]}, bulkId="change"),
        {"method": "DELETE", "path": f"/Users/{ann}"},
    )
    base = "http://localhost/scim/v2"
    bob = done[0].pop("location")
    assert done == [
        {"method": "POST", "bulkId": "bob", "version": 'W/"1"', "status": "201"},
        {"method": "PUT", "location": f"{base}/Users/{ann}", "version": 'W/"2"', "status": "200"},
        {
            "method": "PATCH",
            "bulkId": "change",
            "location": f"{base}/Groups/{old}",
            "version": 'W/"2"',
            "status": "200",
        },
        {"method": "DELETE", "location": f"{base}/Users/{ann}", "status": "204"},
    ]
    assert directory.get(bob.removeprefix(base))["meta"]["location"] == bob
    assert directory.names() == ["bob@acme.test", "g"]


def test_references_are_followed_forward_in_values_uris_and_paths(directory: Directory) -> None:
    """What is referred to is made first, wherever it stands; the answer keeps the order of the request."""
    out = {"op": "remove", "path": 'members[value eq "bulkId:bob"]'}
    boss = {
        "op": "add",
        "path": f"{ENTERPRISE_URN}:manager",
        "value": {"value": "bulkId:bob", "$ref": "../Users/bulkId:bob"},
    }
    done = directory.bulk(
        group("crew", "bulkId:ann", "bulkId:bob"),
        patch("/Groups/bulkId:crew", out),
        user("ann"),
        patch("/Users/bulkId:ann", boss),
        user("bob"),
        user("eve"),
        {"method": "DELETE", "path": "/Users/bulkId:eve"},
    )
    assert statuses(done) == ["201", "200", "201", "200", "201", "201", "204"]
    crew, _, ann, _, bob, *_ = (operation["location"].rpartition("/")[2] for operation in done)
    assert directory.get(f"/Groups/{crew}")["members"] == [{"value": ann}]
    manager = directory.get(f"/Users/{ann}")[ENTERPRISE_URN]["manager"]
    assert manager == {"value": bob, "$ref": f"../Users/{bob}"}
    assert directory.names() == ["ann@acme.test", "bob@acme.test", "crew"]


def test_two_users_are_each_others_managers(directory: Directory) -> None:
    """RFC 7644 §3.7.1: made without the references, then completed; also one who is her own."""
    done = directory.bulk(
        user("ann", **managed_by("bob")), user("bob", **managed_by("ann")), user("eve", **managed_by("eve"))
    )
    assert statuses(done) == ["201", "201", "201"]
    ann, bob, eve = (directory.get(operation["location"].partition("/v2")[2]) for operation in done)
    assert [one[ENTERPRISE_URN]["manager"]["value"] for one in (ann, bob, eve)] == [bob["id"], ann["id"], eve["id"]]
    assert [one[ENTERPRISE_URN]["department"] for one in (ann, bob, eve)] == ["Deck"] * 3
    assert [one["meta"]["version"] for one in (ann, bob, eve)] == [operation["version"] for operation in done]


def test_the_version_is_the_if_match(directory: Directory) -> None:
    """RFC 7644 §3.7: 412 where the resource has changed since, with its location."""
    ann = directory.create("/Users", {"userName": "ann@acme.test"})
    title = {"op": "replace", "path": "title", "value": "Lead"}
    path = f"/Users/{ann}"
    late, right = directory.bulk(patch(path, title, version='W/"7"'), patch(path, title, version='W/"1"'))
    assert (late["status"], late["location"], "version" in late) == ("412", f"http://localhost/scim/v2{path}", False)
    assert "read it again" in detail(late)
    assert (right["status"], right["version"]) == ("200", 'W/"2"')


# --- what fails -------------------------------------------------------------------------------------------------


def test_an_operation_that_fails_leaves_nothing(directory: Directory) -> None:
    """Not the group that was written before its unknown member was found, nor an event of it; the others stand."""
    done = directory.bulk(user("ann"), group("lost", "bulkId:ann", "du_nobody"), group("crew", "bulkId:ann"))
    assert statuses(done) == ["201", "400", "201"]
    assert "du_nobody" in detail(done[1])
    assert (done[1]["response"]["scimType"], "location" in done[1]) == ("invalidValue", False)
    assert directory.names() == ["ann@acme.test", "crew"]
    with db.connection():
        made = [event.object["display_name"] for event in Event.select().where(Event.type == "group_created.v0")]
    assert made == ["crew"]


def test_what_the_database_refuses_does_not_end_the_request(directory: Directory) -> None:
    """After a unique index has spoken PostgreSQL does nothing more in that part of a transaction."""
    done = directory.bulk(group("Crew"), group("CREW"), user("ann"), user("ANN"), {**user("bob")}, group("Deck"))
    assert statuses(done) == ["201", "409", "201", "409", "201", "201"]
    assert [operation["response"]["scimType"] for operation in (done[1], done[3])] == ["uniqueness"] * 2
    assert directory.names() == ["ann@acme.test", "bob@acme.test", "Crew", "Deck"]


def test_what_refers_to_a_failure_fails_by_its_name(directory: Directory) -> None:
    """409 (RFC 7644 §3.7.1), on through everything that depends on it."""
    directory.create("/Users", {"userName": "ann@acme.test"})
    add = {"op": "add", "path": "members", "value": [{"value": "bulkId:nobody"}]}
    done = directory.bulk(
        group("crew", "bulkId:ann"), user("ann"), patch("/Groups/bulkId:crew", add), user("eve", title="bulkId:nobody")
    )
    assert statuses(done) == ["409", "409", "409", "409"]
    assert "bulkId:ann' cannot be resolved: the operation with that bulkId failed" in detail(done[0])
    assert "exists in this directory already" in detail(done[1])
    assert "bulkId:crew" in detail(done[2])
    assert "bulkId:nobody' cannot be resolved: no POST of this request has that bulkId" in detail(done[3])
    assert directory.names() == ["ann@acme.test"]


def test_a_circle_stands_or_falls_together(directory: Directory) -> None:
    """Nobody is left with a manager who was never made."""
    directory.create("/Users", {"userName": "bob@acme.test"})
    done = directory.bulk(user("ann", **managed_by("bob")), user("bob", **managed_by("ann")), user("eve"))
    assert statuses(done) == ["409", "409", "201"]
    assert "'bob' refer to each other, and that one failed" in detail(done[0])
    assert "exists in this directory already" in detail(done[1])
    assert directory.names() == ["bob@acme.test", "eve@acme.test"]


def test_nested_groups_are_refused_in_a_circle_too(directory: Directory) -> None:
    """The RFC's own example; groups within groups are not supported, and the answer says so."""
    members = [[{"type": "Group", "value": f"bulkId:{other}"}] for other in ("B", "A")]
    groups = [group("A"), group("B")]
    for one, held in zip(groups, members, strict=True):
        one["data"]["members"] = held
    done = directory.bulk(*groups)
    assert sorted(statuses(done)) == ["400", "409"]
    assert "groups within groups are not supported" in " ".join(detail(operation) for operation in done)
    assert directory.names() == []


def test_fail_on_errors_ends_the_request(directory: Directory) -> None:
    """After so many failures the rest is not begun and not answered; what has succeeded stands (RFC 7644 §3.7)."""
    operations = [user("ann"), user("ANN"), user("bob"), group("lost", "nobody"), user("eve")]
    done = directory.bulk(*operations, failOnErrors=2)
    assert [operation["bulkId"] for operation in done] == ["ann", "ANN", "bob", "lost"]
    assert directory.names() == ["ann@acme.test", "bob@acme.test"]
    assert statuses(directory.bulk(*operations)) == ["409", "409", "409", "400", "201"]


ANN, OWNER = "/Users/{ann}", "/Users/{owner}"
ALIKE: list[tuple[str, str, Any]] = [
    ("POST", "/Users", {"userName": "ANN@acme.test"}),
    ("POST", "/Users", {"displayName": "nobody"}),
    ("POST", "/Users", {"userName": "x", "active": "perhaps"}),
    ("POST", "/Users", "text"),
    ("POST", "/Groups", {"displayName": "crew"}),
    ("POST", "/Groups", {"displayName": "x", "members": [{"value": "du_nobody"}]}),
    ("PUT", ANN, {"userName": "owner@acme.test"}),
    ("PUT", "/Users/none", {"userName": "x"}),
    ("PATCH", ANN, {"Operations": [{"op": "move", "path": "title"}]}),
    ("PATCH", ANN, {"Operations": [{"op": "remove", "path": "userName"}]}),
    ("PATCH", ANN, {"Operations": [{"op": "replace", "path": "shoeSize", "value": 42}]}),
    ("PATCH", ANN, {"Operations": [{"op": "replace", "path": "emails[type eq", "value": []}]}),
    ("PATCH", ANN, {"Operations": [{"op": "add", "path": "title", "value": "x"}] * 1001}),
    ("PATCH", OWNER, {"Operations": [{"op": "replace", "path": "active", "value": False}]}),
    ("PATCH", "/Groups/none", {"Operations": [{"op": "remove", "path": "members"}]}),
    ("DELETE", OWNER, None),
    ("DELETE", "/Groups/none", None),
]


def test_an_operation_fails_as_its_single_request_does(directory: Directory) -> None:
    """The same SCIM Error to the letter: there is one place that makes them."""
    ids = {name: directory.create("/Users", {"userName": f"{name}@acme.test"}) for name in ("ann", "owner")}
    directory.create("/Groups", {"displayName": "Crew"})
    singles, operations = [], []
    for number, (method, path, data) in enumerate(ALIKE):
        where = path.format(**ids)
        singles.append(json.loads(directory.send(method, where, data).data))
        operations.append({"method": method, "path": where, "bulkId": str(number), "data": data})
    done = directory.bulk(*operations)
    assert [operation["response"] for operation in done] == singles
    assert statuses(done) == [single["status"] for single in singles]
    assert set(statuses(done)) == {"400", "404", "409"}


UNREADABLE: list[tuple[Op, str, str, bool]] = [
    ({"method": "GET", "path": "/Users/{ann}"}, "400", "POST, PUT, PATCH, DELETE", True),
    ({"method": "POST", "path": "/Users", "data": {"userName": "x"}}, "400", "bulkId", False),
    ({"method": "PUT", "path": "/Users/{ann}"}, "400", "data", True),
    ({"method": "PUT", "path": "/Users/{ann}", "data": []}, "400", "JSON object", True),
    ({"method": "PATCH", "path": "/Users/{ann}", "data": {"Operations": []}}, "400", "Operations", True),
    ({"method": "DELETE", "path": "/Users"}, "400", "path", False),
    ({"method": "DELETE", "path": "/Devices/1"}, "404", "/Devices/1", False),
    ({"method": "DELETE", "path": "/Users/\u0000"}, "400", "path", False),
    ({"method": "DELETE", "path": "/Users/%00"}, "400|404", "", True),
    ({"method": "DELETE", "path": "/Users/none"}, "404", "none", True),
    ({"path": "/Users/{ann}"}, "400", "method", True),
    ({}, "400", "path", False),
]


def test_operations_that_cannot_be_read_fail_alone(directory: Directory) -> None:
    """Each with a SCIM Error and the location of what it named, if it named something."""
    ann = directory.create("/Users", {"userName": "ann@acme.test"})
    operations = json.loads(json.dumps([operation for operation, *_ in UNREADABLE]).replace("{ann}", ann))
    *done, last = directory.bulk(*operations, user("bob"))
    for (sent, status, words, located), operation in zip(UNREADABLE, done, strict=True):
        assert operation["status"] in status, sent
        assert words in detail(operation), sent
        assert ("location" in operation) == located, sent
    assert last["status"] == "201"
    assert directory.names() == ["ann@acme.test", "bob@acme.test"]


# --- the rules of the product -----------------------------------------------------------------------------------


def test_seats_fill_within_a_bulk_request(scim_client: ScimClient, directory: Directory) -> None:
    """403 naming the limit from the first for whom there is none; who leaves makes room for the next."""
    with db.connection():
        Account.update(seats=3).where(Account.id == scim_client.world.account.id).execute()
    off = {"op": "replace", "path": "active", "value": False}
    done = directory.bulk(
        user("ann"), user("bob"), user("eve"), patch("/Users/bulkId:ann", off), user("zoe"), user("yan")
    )
    assert statuses(done) == ["201", "201", "403", "200", "201", "403"]
    assert "All 3 seats" in detail(done[2])
    assert directory.names() == ["ann@acme.test", "bob@acme.test", "zoe@acme.test"]


def test_the_last_administrator_stays_within_a_bulk_request(directory: Directory) -> None:
    """409, and what was written on the way to it is undone; the others stand."""
    owner = directory.create("/Users", {"userName": "owner@acme.test"})
    off = {"op": "replace", "path": "active", "value": False}
    done = directory.bulk(
        patch(f"/Users/{owner}", {"op": "replace", "path": "title", "value": "Boss"}, off),
        {"method": "DELETE", "path": f"/Users/{owner}"},
        user("ann"),
    )
    assert statuses(done) == ["409", "409", "201"]
    assert "administrator" in detail(done[0])
    kept = directory.get(f"/Users/{owner}")
    assert (kept["active"], "title" in kept, kept["meta"]["version"]) == (True, False, 'W/"1"')


def test_another_directory_is_out_of_reach(
    scim_client: ScimClient, world: World, directory: Directory, idp_certificate: str
) -> None:
    """404 for its ids, and they are nobody's members here."""
    strange = directory.create("/Users", {"userName": "strange@acme.test"})
    with db.connection():
        add_provider(world, idp_certificate, name="Entra", entity_id="https://second.example.test")
    second = Directory(ScimClient(scim_client.app, world.scim_token, world))
    title = {"op": "replace", "path": "title", "value": "Mine"}
    done = second.bulk(
        patch(f"/Users/{strange}", title),
        {"method": "PUT", "path": f"/Users/{strange}", "data": {"userName": "mine"}},
        {"method": "DELETE", "path": f"/Users/{strange}"},
        group("crew", strange),
    )
    assert statuses(done) == ["404", "404", "404", "400"]
    assert directory.get(f"/Users/{strange}")["userName"] == "strange@acme.test"
    assert second.names() == []


def test_a_strict_directory_is_strict_in_bulk(directory: Directory) -> None:
    """Unknown attributes are refused there, operation by operation."""
    with db.connection():
        IdentityProvider.update(strict_scim=True).execute()
    assert statuses(directory.bulk(user("ann", shoeSize=42), user("bob"))) == ["400", "201"]


def test_the_log_has_one_row_that_says_what_each_operation_did(directory: Directory) -> None:
    """Before and after of every change, that of a circle in its two parts; no row where none was made, no password."""
    ann = directory.create("/Users", {"userName": "ann@acme.test"})
    path, title = f"/Users/{ann}", {"op": "replace", "path": "title", "value": "Lead"}
    done = directory.bulk(user("eve", password="hunter2", **managed_by("eve")), user("ANN"), patch(path, title))
    assert statuses(done) == ["201", "409", "200"]
    with db.connection():
        (row,) = ScimRequest.select().where(ScimRequest.path == "/Bulk")
    made, completed, changed = row.after["Operations"]
    eve = {"value": made["id"]}
    assert (made["before"], made["after"]["userName"]) == (None, "eve@acme.test")
    assert completed["after"] == {ENTERPRISE_URN: {"manager": eve, "department": "Deck"}}
    assert changed == {"method": "PATCH", "id": ann, "before": {}, "after": {"title": "Lead"}}
    assert "hunter2" not in row.request_body


# --- the whole request ------------------------------------------------------------------------------------------

REFUSED: list[tuple[Any, int, str]] = [
    ([], 400, "JSON object"),
    ({}, 400, "Operations"),
    ({"Operations": [user("a")], "failOnErrors": 0}, 400, "failOnErrors"),
    (b'{"Operations": [], "Operations": []}', 400, "more than once"),
    ({"Operations": [user(str(n)) for n in range(1001)]}, 413, "maxOperations (1000)"),
    (b'{"Operations": [' + b" " * MAX_PAYLOAD_BYTES + b"]}", 413, str(MAX_PAYLOAD_BYTES)),
]


def test_what_is_no_bulk_request_does_nothing(directory: Directory) -> None:
    """400 or, past a limit, 413 naming it (RFC 7644 §3.7.4)."""
    for body, status, words in REFUSED:
        answer = directory.send("POST", "/Bulk", body)
        error = json.loads(answer.data)
        assert (answer.status_code, error["status"]) == (status, str(status)), answer.text
        assert words in error["detail"]
    assert directory.names() == []


def test_a_failure_of_ours_leaves_nothing_of_the_request(directory: Directory) -> None:
    """A row that nobody can read is 500; what the same request had made before it is undone, and can be sent again."""
    broken = directory.create("/Users", {"userName": "broken@acme.test"})
    with db.connection():
        DirectoryUser.update(resource="5").where(DirectoryUser.id == broken).execute()
    title = {"op": "replace", "path": "title", "value": "x"}
    operations = [user("ann"), group("crew", "bulkId:ann"), patch(f"/Users/{broken}", title), user("bob")]
    answer = directory.send("POST", "/Bulk", {"Operations": operations})
    assert (answer.status_code, json.loads(answer.data)["status"]) == (500, "500")
    with db.connection():
        assert DirectoryUser.select().count() == 1
    assert json.loads(directory.send("GET", "/Groups").data)["totalResults"] == 0
    del operations[2]
    assert statuses(directory.bulk(*operations)) == ["201", "201", "201"]


def test_a_request_that_takes_long_does_not_begin_the_rest(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds SQLite's one write lock: what is done stands, and what is not is said to be sent again."""
    monkeypatch.setattr("idp_bridge.web.scim.bulk.SECONDS", -1)
    done = directory.bulk(user("ann"), user("bob"), user("cy"))
    assert [operation["status"] for operation in done] == ["201", "503", "503"]
    assert "Send this operation again" in done[1]["response"]["detail"]
    monkeypatch.undo()
    assert [operation["status"] for operation in directory.bulk(user("bob"), user("cy"))] == ["201", "201"]


def test_a_thousand_operations_are_done(directory: Directory) -> None:
    """The limit itself is within it; half of them fail, which must not make the others slower and slower."""
    names = [f"u{number}" for number in range(500)]
    done = directory.bulk(*[user(name) for name in names], *[user(name.upper()) for name in names])
    assert statuses(done) == ["201"] * 500 + ["409"] * 500


def test_bulk_requests_at_once_lose_nothing(directory: Directory) -> None:
    """Each makes a user and adds her to the same groups, half of them in the opposite order, which must end in no
    deadlock; a userName that all of them bring is made once."""
    crews = [directory.create("/Groups", {"displayName": f"Crew {number}"}) for number in range(8)]
    add = {"op": "add", "path": "members", "value": [{"value": "bulkId:one"}]}

    def push(number: int) -> list[str]:
        added = [patch(f"/Groups/{crew}", add) for crew in crews]
        one = {**user(f"u{number}"), "bulkId": "one"}
        return statuses(directory.bulk(*(added if number % 2 else reversed(added)), one, user("same")))

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(push, range(8)))
    assert [made[:-1] for made in done] == [["200"] * 8 + ["201"]] * 8
    assert sorted(made[-1] for made in done) == ["201"] + ["409"] * 7
    assert [len(directory.get(f"/Groups/{crew}")["members"]) for crew in crews] == [8] * 8


def test_bulk_and_single_requests_at_once_wait_for_each_other(directory: Directory) -> None:
    """A bulk request takes users before groups, as its operations come, and a single one the other way round: both are
    done, without a deadlock that one of them would pay for."""
    users = [directory.create("/Users", {"userName": f"u{number}"}) for number in range(6)]
    crews = [directory.create("/Groups", {"displayName": f"Crew {number}"}) for number in range(3)]
    add = {"op": "add", "path": "members", "value": [{"value": user} for user in users]}

    def together(number: int) -> list[str]:
        titles = [patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": str(number)}) for user in users]
        return statuses(directory.bulk(*titles, *[patch(f"/Groups/{crew}", add) for crew in crews]))

    def alone(number: int) -> list[str]:
        operations: list[Op] = [add, {"op": "remove", "path": "members"}]
        return [
            str(directory.send("PATCH", f"/Groups/{crew}?attributes=id", {"Operations": [operation]}).status_code)
            for crew in crews
            for operation in operations
        ]

    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(alone if number % 3 else together, number) for number in range(18)]
    assert {status for future in done for status in future.result()} == {"200"}


@contextmanager
def sent_to_the_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements of one request; of those that went together (db.write) each by itself."""
    sent: list[str] = []
    real = db.database.obj.execute_sql

    def execute(sql: str, params: Any = None) -> Any:
        sent.extend(re.split(r"\), w\d+ AS \(|\) (?=INSERT INTO |UPDATE )", sql.removeprefix("WITH w0 AS (")))
        return real(sql, params)

    with monkeypatch.context() as patched:
        patched.setattr(db.database.obj, "execute_sql", execute)
        yield sent


def test_an_operation_costs_its_single_request_and_a_savepoint(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each operation nothing but SAVEPOINT and RELEASE is new, and once for all of them it waits for its turn."""
    ann = directory.create("/Users", {"userName": "ann@acme.test"})
    directory.bulk(user("warm"))
    path, title = f"/Users/{ann}", {"op": "replace", "path": "title", "value": "x"}
    with sent_to_the_database(monkeypatch) as created:
        directory.create("/Users", {"userName": "bob@acme.test"})
    with sent_to_the_database(monkeypatch) as changed:
        assert directory.send("PATCH", f"{path}?attributes=id", {"Operations": [title]}).status_code == 200
    with sent_to_the_database(monkeypatch) as together:
        directory.bulk(user("eve"), patch(path, {**title, "value": "y"}), user("zoe"))
    own = {"SAVEPOINT part": 3, "RELEASE SAVEPOINT part": 3}
    singles = [*created, *changed, *created]
    more = [sql for sql in set(together) if together.count(sql) > singles.count(sql)]
    turn = set(more) - own.keys()
    assert len(turn) == (
        1 if isinstance(db.database.obj, SqliteDatabase) else 3
    )  # with what it names, groups and users
    assert all("identity_provider" in sql for sql in turn)
    assert {sql: together.count(sql) for sql in more} == {**own, **dict.fromkeys(turn, 1)}
    assert len(together) <= len(singles) + sum(own.values())
