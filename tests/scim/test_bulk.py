"""Bulk requests: what an operation must have, where references hide, and an order in which all of them are resolved."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim.bulk import METHODS, BulkRequest, Operation, Outcome, bulk_response, completion, parse_bulk, target
from scim.errors import Conflict, InvalidSyntax, InvalidValue, NotFound, PayloadTooLarge, ScimError
from scim.schemas import BULK_RESPONSE_URN, ENTERPRISE_URN, STANDARD

BASE = "https://sso.example.test/scim/v2"


def _request(*operations: Any, **members: Any) -> BulkRequest:
    return parse_bulk({"Operations": list(operations), **members}, STANDARD, base=BASE)


def _post(bulk_id: str, **data: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {"userName": bulk_id, **data}}


def _one(**members: Any) -> Operation:
    """A PATCH that is right but for these members."""
    return _request({"method": "PATCH", "path": "/Users/1", "data": {"Operations": []}, **members}).operations[0]


def _performed(request: BulkRequest) -> tuple[dict[str, str], dict[int, Any]]:
    """What a server without rules of its own makes of the request: ids by bulkId, the last data by place."""
    ids: dict[str, str] = {}
    data: dict[int, Any] = {}
    for step in request.steps():
        for operation in step:
            data[operation.place] = request.ready(operation, ids).data
            if operation.bulk_id is not None:
                ids[operation.bulk_id] = f"id-{operation.bulk_id}"
        data.update((operation.place, completion(operation, ids).data) for operation in step if operation.later)
    return ids, data


# --- the message ------------------------------------------------------------------------------------------------

NO_REQUESTS: list[tuple[Any, type[ScimError]]] = [
    (None, InvalidSyntax),
    ([], InvalidSyntax),
    ({}, InvalidSyntax),
    ({"Operations": None}, InvalidSyntax),
    ({"Operations": []}, InvalidSyntax),
    ({"Operations": {}}, InvalidSyntax),
    ({"Operations": [_post("a"), "b"]}, InvalidSyntax),
    ({"Operations": [_post("a")], "failOnErrors": 0}, InvalidValue),
    ({"Operations": [_post("a")], "failOnErrors": -1}, InvalidValue),
    ({"Operations": [_post("a")], "failOnErrors": True}, InvalidValue),
    ({"Operations": [_post("a")], "failOnErrors": "1"}, InvalidValue),
    ({"Operations": [_post(str(n)) for n in range(1001)]}, PayloadTooLarge),
]


@pytest.mark.parametrize(("body", "error"), NO_REQUESTS)
def test_what_is_no_bulk_request_is_refused_whole(body: Any, error: type[ScimError]) -> None:
    """Nothing of it is performed then."""
    with pytest.raises(error):
        parse_bulk(body, STANDARD, base=BASE)


def test_the_limit_exceeded_is_named() -> None:
    """RFC 7644 §3.7.4: in the body of the 413."""
    with pytest.raises(PayloadTooLarge, match=r"1001 operations exceed the maxOperations \(1000\)"):
        _request(*[_post(str(n)) for n in range(1001)])
    assert len(_request(*[_post(str(n)) for n in range(1000)]).operations) == 1000


def test_names_come_in_any_case_and_schemas_may_be_missing() -> None:
    """As everywhere (RFC 7643 §2.1)."""
    body = {"operations": [{"METHOD": "POST", "Path": "/Users", "BULKID": "a", "Data": {}}], "FailOnErrors": 2}
    request = parse_bulk(body, STANDARD, base=BASE)
    (operation,) = request.operations
    assert (operation.method, operation.endpoint, operation.bulk_id, operation.fault) == ("POST", "Users", "a", None)
    assert [request.ends_after(failures) for failures in (0, 1, 2, 3)] == [False, False, True, True]
    assert not _request(_post("a")).ends_after(1000)


FAULTS: list[tuple[dict[str, Any], type[ScimError], str]] = [
    ({"method": None}, InvalidSyntax, "`method`"),
    ({"method": "GET"}, InvalidSyntax, "POST, PUT, PATCH, DELETE"),
    ({"method": "patch"}, InvalidSyntax, "`method`"),
    ({"method": 7}, InvalidSyntax, "`method`"),
    ({"method": "POST"}, InvalidSyntax, "`bulkId`"),
    ({"method": "POST", "bulkId": ""}, InvalidSyntax, "`bulkId`"),
    ({"method": "POST", "bulkId": 1}, InvalidSyntax, "`bulkId`"),
    ({"method": "POST", "bulkId": "\ud800"}, InvalidSyntax, "`bulkId`"),
    ({"method": "POST", "bulkId": "a"}, InvalidSyntax, "must name a type"),
    ({"path": "/Users"}, InvalidSyntax, "must name one resource"),
    ({"path": "/Users/"}, InvalidSyntax, "must name one resource"),
    ({"method": "DELETE", "path": "/Users?filter=active eq true"}, InvalidSyntax, "`path`"),
    ({"path": "/Users/1?attributes=id"}, InvalidSyntax, "`path`"),
    ({"path": "/Users/1/groups"}, InvalidSyntax, "`path`"),
    ({"path": None}, InvalidSyntax, "`path`"),
    ({"path": ["/Users/1"]}, InvalidSyntax, "`path`"),
    ({"path": "https://elsewhere.test/scim/v2/Users/1"}, InvalidSyntax, "`path`"),
    ({"path": "/Devices/1"}, NotFound, "/Devices/1"),
    ({"path": "/users/1"}, NotFound, "/users/1"),
    ({"path": "/Bulk"}, NotFound, "/Bulk"),
    ({"data": None}, InvalidSyntax, "`data`"),
    ({"version": 3}, InvalidSyntax, "`version`"),
]


@pytest.mark.parametrize(("members", "error", "words"), FAULTS)
def test_an_operation_that_cannot_succeed_fails_alone(
    members: dict[str, Any], error: type[ScimError], words: str
) -> None:
    """RFC 7644 §3.7: as many changes as possible; so the request is read, and the fault found when it is its turn."""
    operation = _one(**members)
    with pytest.raises(error) as refused:
        BulkRequest([operation]).ready(operation, {})
    assert words in refused.value.detail


def test_data_has_a_depth() -> None:
    """However deep it is, nobody's stack is exhausted."""
    deep: Any = "bulkId:a"
    for _ in range(100_000):
        deep = [deep]
    assert "levels" in str(_one(data={"x": deep}).fault)


PATHS = [
    ("/Users/1", "Users", "1"),
    ("Users/1", "Users", "1"),
    ("/Groups/1/", "Groups", "1"),
    (f"{BASE}/Users/1", "Users", "1"),
    ("/scim/v2/Users/1", "Users", "1"),
    ("/Users/a%2Fb", "Users", "a/b"),
    ("/Users/bulkId:a", "Users", "bulkId:a"),
    ("/Users/bulkId%3Aa", "Users", "bulkId:a"),
]


@pytest.mark.parametrize(("path", "endpoint", "id"), PATHS)
def test_a_path_is_relative_or_under_the_base(path: str, endpoint: str, id: str) -> None:
    """RFC 7644 §3.7 wants it relative; what it repeats of the base URL says no more."""
    operation = _one(path=path)
    assert (operation.endpoint, operation.id, operation.fault) == (endpoint, id, None)


def test_posts_that_share_a_bulk_id_are_all_refused() -> None:
    """None of them could be referred to; on other methods a bulkId is only repeated, and means nothing."""
    request = _request(_post("a"), _post("b"), _post("a"), {"method": "DELETE", "path": "/Users/1", "bulkId": "b"})
    assert [operation.fault is None for operation in request.operations] == [False, True, False, True]


_WORDS = st.sampled_from(["POST", "PATCH", "/Users", "/Users/1", "bulkId:a", "a", "", "\ud800", "/Groups/bulkId:a"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = ("method", "path", "bulkId", "data", "version")
_ANYTHING = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(_MEMBERS, _WORDS | _JSON)), max_size=4)


@given(_ANYTHING | _JSON, _JSON)
def test_no_body_is_a_failure_of_ours(operations: Any, fail_on_errors: Any) -> None:
    """Whatever JSON it is: a request refused, or operations of which each can be performed, or has a SCIM Error."""
    try:
        request = parse_bulk({"Operations": operations, "failOnErrors": fail_on_errors}, STANDARD, base=BASE)
    except ScimError:
        return
    performed = [operation for step in request.steps() for operation in step]
    assert sorted(operation.place for operation in performed) == list(range(len(operations)))
    for operation in performed:
        try:
            assert request.ready(operation, {"a": "7"}).method in METHODS
        except ScimError as error:
            outcome = Outcome(operation, error.status, target(operation, {}), error=error.body())
            assert json.dumps(bulk_response([outcome]), ensure_ascii=False).encode()


# --- references -------------------------------------------------------------------------------------------------

REFERENCES: list[tuple[Any, Any]] = [
    ({"members": [{"value": "bulkId:a"}]}, {"members": [{"value": "7"}]}),
    ({ENTERPRISE_URN: {"manager": "bulkId:a"}}, {ENTERPRISE_URN: {"manager": "7"}}),
    ({"x": ["bulkId:a"]}, {"x": ["7"]}),
    ({"$ref": "../Users/bulkId:a"}, {"$ref": "../Users/7"}),
    ({"$ref": f"{BASE}/Users/bulkId:a"}, {"$ref": f"{BASE}/Users/7"}),
    (
        {"Operations": [{"op": "remove", "path": 'members[value eq "bulkId:a"]'}]},
        {"Operations": [{"op": "remove", "path": 'members[value eq "7"]'}]},
    ),
    (
        {"Operations": [{"op": "remove", "path": f'members[$ref eq "{BASE}/Users/bulkId:a"]'}]},
        {"Operations": [{"op": "remove", "path": f'members[$ref eq "{BASE}/Users/7"]'}]},
    ),
    ([{"op": "add", "path": "members", "value": "bulkId:a"}], [{"op": "add", "path": "members", "value": "7"}]),
]


@pytest.mark.parametrize(("sent", "meant"), REFERENCES)
def test_a_reference_is_found_in_every_place(sent: Any, meant: Any) -> None:
    """RFC 7644 §3.7.2: in values and URIs, of core attributes and extensions alike; and in paths of a PATCH."""
    operation = _one(method="PUT", data=sent)
    assert operation.references == {"a"}
    assert BulkRequest([operation]).ready(operation, {"a": "7", "b": "8"}).data == meant


@pytest.mark.parametrize("text", ["see bulkId:a", "bulkId", "bulkid:a", "xbulkId:a", "/Users/bulkId:a/more", 'bulkId"'])
def test_other_text_is_left_alone(text: str) -> None:
    """Only what cannot mean anything else is a reference."""
    operation = _one(method="PUT", data={"title": text})
    assert operation.references == frozenset()
    assert BulkRequest([operation]).ready(operation, {"a": "7"}).data == {"title": text}


def test_a_bulk_id_may_hold_anything() -> None:
    """The client chooses it; as a whole value it needs no end."""
    name = 'a/b "c" bulkId:d'
    operation = _one(path="/Users/bulkId:a%2Fb%20%22c%22%20bulkId:d", data={"x": f"bulkId:{name}"})
    assert operation.references == {name}
    assert BulkRequest([operation]).ready(operation, {name: "7"}).id == "7"


def test_what_a_deleted_resource_carried_refers_to_nothing() -> None:
    """The data of a DELETE is not read."""
    assert _one(method="DELETE", data={"x": "bulkId:a"}).references == frozenset()


def test_the_target_is_known_once_its_reference_is() -> None:
    """It is the location in the answer, which a failed POST has not."""
    assert target(_one(path="/Users/bulkId:a"), {}) is None
    assert target(_one(path="/Users/bulkId:a"), {"a": "7"}) == "7"
    assert target(_one(path="/Users/7"), {}) == "7"
    assert target(_one(method="POST"), {}) is None


def test_a_reference_that_leads_nowhere_is_named() -> None:
    """RFC 7644 §3.7.1: 409; whether there was no such operation or whether it failed are two different things."""
    request = _request(_post("b"), _post("a", x="bulkId:b"), _post("c", x="bulkId:nobody"))
    _, needing_b, needing_nobody = request.operations
    with pytest.raises(Conflict, match=r"'bulkId:b' cannot be resolved: the operation .* failed"):
        request.ready(needing_b, {})
    with pytest.raises(Conflict, match=r"'bulkId:nobody' cannot be resolved: no POST"):
        request.ready(needing_nobody, {"b": "7"})


# --- the order --------------------------------------------------------------------------------------------------


def _places(request: BulkRequest) -> list[list[int]]:
    return [[operation.place for operation in step] for step in request.steps()]


def _refer(*names: str) -> dict[str, Any]:
    return {"x": [{"value": f"bulkId:{name}"} for name in names]}


ORDERS: list[tuple[str, list[dict[str, Any]], list[list[int]]]] = [
    ("as sent", [_post("a"), _post("b", **_refer("a")), _post("c")], [[0], [1], [2]]),
    ("forward", [_post("a", **_refer("c")), _post("b"), _post("c")], [[2], [0], [1]]),
    ("a chain forward", [_post("a", **_refer("b")), _post("b", **_refer("c")), _post("c")], [[2], [1], [0]]),
    ("a circle", [_post("a", **_refer("b")), _post("b", **_refer("a"))], [[0, 1]]),
    ("itself", [_post("a", **_refer("a"))], [[0]]),
    (
        "a circle that needs another",
        [_post("a", **_refer("b")), _post("b", **_refer("a", "c")), _post("c", **_refer("d")), _post("d")],
        [[3], [2], [0, 1]],
    ),
    (
        "two circles, one leading to the other",
        [
            _post("a", **_refer("b")),
            _post("b", **_refer("a", "c")),
            _post("c", **_refer("d")),
            _post("d", **_refer("c")),
        ],
        [[2, 3], [0, 1]],
    ),
    (
        "changes of one resource stay in order",
        [
            {"method": "PATCH", "path": "/Groups/1", "data": [{"op": "add", "path": "members", "value": "bulkId:a"}]},
            {"method": "PUT", "path": "/Groups/1", "data": {"displayName": "empty"}},
            _post("a"),
        ],
        [[2], [0], [1]],
    ),
    (
        "by the path",
        [{"method": "DELETE", "path": "/Users/bulkId:b"}, _post("a"), _post("b")],
        [[2], [0], [1]],
    ),
]


@pytest.mark.parametrize(("operations", "places"), [pytest.param(o, p, id=name) for name, o, p in ORDERS])
def test_what_is_referred_to_is_made_first(operations: list[dict[str, Any]], places: list[list[int]]) -> None:
    """And all else stays where it is (RFC 7644 §3.7: the client's intent is preserved)."""
    assert _places(_request(*operations)) == places


def test_a_long_chain_is_no_deep_recursion() -> None:
    """A thousand operations, each of which needs the next."""
    operations = [_post(str(n), **_refer(str(n + 1))) for n in range(999)]
    assert _places(_request(*operations, _post("999"))) == [[n] for n in reversed(range(1000))]
    assert _places(_request(*operations, _post("999", **_refer("0")))) == [list(range(1000))]


def test_a_circle_is_made_without_what_is_not_there_and_then_completed() -> None:
    """A reference goes with the object that holds it; the completion says all that was sent."""
    manager = {"value": "bulkId:b", "displayName": "Bob"}
    request = _request(_post("a", **{ENTERPRISE_URN: {"manager": manager, "division": "x"}}), _post("b", z="bulkId:a"))
    ((ann, bob),) = request.steps()
    assert (ann.later, bob.later) == ({"b"}, frozenset())
    assert request.ready(ann, {}).data == {"userName": "a", ENTERPRISE_URN: {"division": "x"}}
    assert request.ready(bob, {"a": "1"}).data["z"] == "1"
    whole = completion(ann, {"a": "1", "b": "2"})
    assert (whole.method, whole.id) == ("PUT", "1")
    assert whole.data[ENTERPRISE_URN] == {"manager": {"value": "2", "displayName": "Bob"}, "division": "x"}


_FORMS = [
    lambda name: f"bulkId:{name}",
    lambda name: {"$ref": f"../Users/bulkId:{name}"},
    lambda name: {"deep": [{"value": f"bulkId:{name}", "type": "User"}]},
    lambda name: [f'members[value eq "bulkId:{name}"]'],
]


@st.composite
def _graphs(draw: st.DrawFn, *, acyclic: bool) -> BulkRequest:
    """POSTs that refer to each other in any way; acyclic: to those only that come before them in some order."""
    ranks = draw(st.permutations(range(draw(st.integers(1, 9)))))
    operations = []
    for rank in ranks:
        others = [other for other in ranks if other < rank or not acyclic]
        needed = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
        operations.append(_post(str(rank), refs=[draw(st.sampled_from(_FORMS))(other) for other in needed]))
    return _request(*operations)


@given(_graphs(acyclic=True))
def test_any_acyclic_references_are_resolved_one_by_one(request_: BulkRequest) -> None:
    """Whatever refers to whatever: each operation once, alone, and with every id that it needs."""
    assert sorted(_places(request_)) == [[place] for place in range(len(request_.operations))]
    ids, data = _performed(request_)
    assert len(ids) == len(data) == len(request_.operations)
    assert "bulkId:" not in json.dumps(data)


@given(_graphs(acyclic=False))
def test_any_references_at_all_are_resolved_in_the_end(request_: BulkRequest) -> None:
    """Circles too; and a step of several is a circle indeed: each of it leads to each."""
    _, data = _performed(request_)
    assert sorted(data) == list(range(len(request_.operations)))
    assert "bulkId:" not in json.dumps(data)
    leads_to = {operation.bulk_id: set(operation.references) for operation in request_.operations}
    for _ in leads_to:
        leads_to = {name: near.union(*(leads_to[other] for other in near)) for name, near in leads_to.items()}
    for step in request_.steps():
        names = {operation.bulk_id for operation in step}
        assert len(step) == 1 or all(names <= leads_to[name] for name in names)


@given(_graphs(acyclic=True))
def test_references_backward_move_nothing(request_: BulkRequest) -> None:
    """An order that is right already is kept."""
    operations = [operation for step in request_.steps() for operation in step]
    right = [_post(str(op.bulk_id), **op.data) for op in operations]
    assert _places(_request(*right)) == [[place] for place in range(len(operations))]


# --- the answer -------------------------------------------------------------------------------------------------


def test_the_answer_is_in_the_order_of_the_request() -> None:
    """RFC 7644 §3.7.3: status as a string, and what there is not is not there."""
    post, delete = _request(_post("a"), {"method": "DELETE", "path": "/Users/1"}).operations
    outcomes = [Outcome(delete, METHODS["DELETE"], "there"), Outcome(post, 409, error={"status": "409"})]
    assert bulk_response(outcomes) == {
        "schemas": [BULK_RESPONSE_URN],
        "Operations": [
            {"method": "POST", "bulkId": "a", "status": "409", "response": {"status": "409"}},
            {"method": "DELETE", "location": "there", "status": "204"},
        ],
    }
