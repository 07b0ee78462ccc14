"""Attributes of an account's own over SCIM, from the administrator's POST to the provider's filter."""

import json
from typing import Any

import pytest

from idp_bridge import db
from idp_bridge.models import ScimRequest
from scim.schemas import ENTERPRISE_URN, GROUP_URN, USER_URN
from tests.conftest import ScimClient, add_provider, make_account
from tests.web.test_scim import Directory, refused

URN = "urn:acme:scim:2.0:User"
GROUPS = "urn:acme:scim:2.0:Group"
ATTRIBUTES = [
    {"name": "costCode"},
    {"name": "badge", "type": "integer"},
    {"name": "serial", "mutability": "immutable"},
    {"name": "site", "returned": "always"},
    {"name": "note", "returned": "request"},
    {"name": "pin", "mutability": "writeOnly", "returned": "never"},
    {"name": "tags", "multi_valued": True},
    {"name": "price", "type": "complex", "sub_attributes": [{"name": "value", "type": "decimal"}, {"name": "unit"}]},
]
OWN = {
    "costCode": "C1",
    "badge": 7,
    "serial": "S",
    "site": "HH",
    "note": "n",
    "pin": "1234",
    "tags": ["a", "b"],
    "price": {"value": 1.5, "unit": "EUR"},
}
SHOWN = {name: value for name, value in OWN.items() if name not in ("note", "pin")}


@pytest.fixture
def directory(scim_client: ScimClient) -> Directory:
    """acme's directory, after its administrator has added attributes to users and one to groups."""
    client = scim_client.app.test_client()
    for urn, kind, attributes in ((URN, "User", ATTRIBUTES), (GROUPS, "Group", [{"name": "members"}])):
        body = {"urn": urn, "name": "Acme", "resource_type": kind, "attributes": attributes}
        answer = client.post("/api/schema_extensions", json=body, headers=scim_client.world.headers)
        assert answer.status_code == 201, answer.text
    return Directory(scim_client.app, scim_client.token)


@pytest.fixture
def ann(directory: Directory) -> dict[str, Any]:
    """A user with a value of each attribute, as she was answered."""
    return directory.create("/Users", {"schemas": [USER_URN, URN], "userName": "ann", URN: OWN})


def read(directory: Directory, path: str) -> Any:
    """The JSON of a GET that succeeds."""
    answer = directory.send("GET", path)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.data)


def patch(directory: Directory, user: dict[str, Any], *operations: dict[str, Any], query: str = "") -> Any:
    """The answer to a PATCH."""
    return directory.send("PATCH", f"/Users/{user['id']}{query}", {"Operations": list(operations)})


def test_a_new_user_has_them(directory: Directory, ann: dict[str, Any]) -> None:
    """RFC 7643 §3.3: under their URN, which `schemas` names; what is returned on request is, to who has sent it."""
    assert ann["schemas"] == [USER_URN, URN]
    assert ann[URN] == {**SHOWN, "note": "n"}
    assert read(directory, f"/Users/{ann['id']}")[URN] == SHOWN


def test_an_attribute_is_changed_by_its_urn(directory: Directory, ann: dict[str, Any]) -> None:
    """RFC 7644 §3.5.2: with a path, without one, as a whole object; a part of a complex value leaves the rest."""
    operations = [
        {"op": "Replace", "path": f"{URN}:badge", "value": 8},
        {"op": "add", "value": {f"{URN}:costCode": "C2", URN: {"tags": ["c"]}}},
        {"op": "replace", "path": f"{URN}:price.value", "value": 2},
        {"op": "add", "path": URN, "value": {"serial": "S"}},
        {"op": "remove", "path": f"{URN}:site"},
    ]
    answer = json.loads(patch(directory, ann, *operations).data)
    changed = {"costCode": "C2", "badge": 8, "tags": ["a", "b", "c"], "price": {"value": 2, "unit": "EUR"}}
    assert answer[URN] == {name: {**SHOWN, **changed}[name] for name in SHOWN if name != "site"}
    assert read(directory, f"/Users/{ann['id']}") == answer


def test_put_replaces_them_but_for_what_is_immutable_or_unseen(directory: Directory, ann: dict[str, Any]) -> None:
    """RFC 7644 §3.5.1: what the client could not send back is not lost."""
    answer = directory.send("PUT", f"/Users/{ann['id']}", {"userName": "ann", URN: {"badge": 9}})
    assert json.loads(answer.data)[URN] == {"badge": 9, "serial": "S"}
    assert read(directory, f'/Users?filter={URN}:pin eq "1234"')["totalResults"] == 1
    assert "another" not in refused(
        directory.send("PUT", f"/Users/{ann['id']}", {"userName": "ann", URN: {"serial": "T"}}), 400, "mutability"
    )


@pytest.mark.parametrize("operation", [{"op": "replace", "value": "T"}, {"op": "add", "value": "T"}, {"op": "remove"}])
def test_an_immutable_value_stays(directory: Directory, ann: dict[str, Any], operation: dict[str, Any]) -> None:
    """RFC 7643 §7: 400 mutability, and nothing of the request is done."""
    whole = [{"op": "replace", "path": "title", "value": "x"}, {**operation, "path": f"{URN}:serial"}]
    assert "immutable" in refused(patch(directory, ann, *whole), 400, "mutability")
    assert "title" not in read(directory, f"/Users/{ann['id']}")


@pytest.mark.parametrize(
    ("query", "own"),
    [
        (f"attributes={URN}:badge", {"badge": 7, "site": "HH"}),
        (f"attributes={URN}:note,{URN}:pin", {"note": "n", "site": "HH"}),
        (f"attributes={URN}:price.unit", {"price": {"unit": "EUR"}, "site": "HH"}),
        ("attributes=userName", {"site": "HH"}),
        (f"attributes={URN}", SHOWN),
        (f"excludedAttributes={URN}", {"site": "HH"}),
        (f"excludedAttributes={URN}:tags", {name: value for name, value in SHOWN.items() if name != "tags"}),
        ("excludedAttributes=badge", SHOWN),
    ],
)
def test_an_answer_holds_what_is_asked_for(directory: Directory, ann: dict[str, Any], query: str, own: Any) -> None:
    """RFC 7644 §3.9 and `returned` of RFC 7643 §7, of one and in a list."""
    assert read(directory, f"/Users/{ann['id']}?{query}")[URN] == own
    assert read(directory, f"/Users?{query}")["Resources"][0][URN] == own


def test_a_patch_shows_what_it_named_on_request(directory: Directory, ann: dict[str, Any]) -> None:
    """RFC 7643 §7: `request` attributes are returned to the change that specified them, and to no other."""
    named = {"op": "replace", "path": f"{URN}:note", "value": "m"}
    other = {"op": "replace", "path": f"{URN}:badge", "value": 8}
    assert json.loads(patch(directory, ann, named).data)[URN]["note"] == "m"
    assert "note" not in json.loads(patch(directory, ann, other).data)[URN]
    assert json.loads(patch(directory, ann, named, query=f"?attributes={URN}:badge").data)[URN] == {
        "badge": 8,
        "site": "HH",
    }


def test_they_are_filtered_by(directory: Directory, ann: dict[str, Any]) -> None:
    """RFC 7644 §3.4.2.2, by GET and by .search."""
    directory.create("/Users", {"userName": "bob", URN: {"badge": 10}})
    assert [user["userName"] for user in read(directory, f"/Users?filter={URN}:badge lt 10")["Resources"]] == ["ann"]
    answer = directory.send("POST", "/Users/.search", {"filter": f'{URN}:tags eq "B" and {URN}:price[value gt 1.4]'})
    assert [user["id"] for user in json.loads(answer.data)["Resources"]] == [ann["id"]]
    refused(directory.send("GET", f"/Users?filter={URN}:nosuch pr"), 400, "invalidFilter")


def test_they_are_sorted_by_as_their_type_is(directory: Directory, ann: dict[str, Any]) -> None:
    """RFC 7644 §3.4.2.3: 7 before 10, and who has no value last."""
    for name, own in (("bob", {"badge": 10}), ("cyd", {}), ("dan", {"badge": -1})):
        directory.create("/Users", {"userName": name, URN: own})
    resources = read(directory, f"/Users?sortBy={URN}:badge&attributes=userName")["Resources"]
    assert [user["userName"] for user in resources] == ["dan", "ann", "bob", "cyd"]


def test_bulk_takes_them_too(directory: Directory) -> None:
    """RFC 7644 §3.7: each operation is read by the same schema."""
    data = {"schemas": [USER_URN, URN], "userName": "bob", URN: {"badge": 7}}
    schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]
    operations = [{"method": "POST", "path": "/Users", "bulkId": "b", "data": data}]
    answer = directory.send("POST", "/Bulk", {"schemas": schemas, "Operations": operations})
    assert json.loads(answer.data)["Operations"][0]["status"] == "201", answer.text
    assert read(directory, f"/Users?filter={URN}:badge eq 7")["totalResults"] == 1


def test_a_value_of_another_type_is_refused(directory: Directory) -> None:
    """RFC 7643 §2.3: 400 invalidValue that names the attribute."""
    detail = refused(directory.send("POST", "/Users", {"userName": "bob", URN: {"badge": "7"}}), 400, "invalidValue")
    assert "badge" in detail


def test_discovery_shows_each_account_its_own(directory: Directory, idp_certificate: str) -> None:
    """RFC 7644 §4: with a token its account's schemas, without one the standard, and with a wrong one 401."""

    def ids(sender: Directory, path: str) -> list[str]:
        return [resource["id"] for resource in read(sender, path)["Resources"]]

    standard = [USER_URN, ENTERPRISE_URN, GROUP_URN]
    assert ids(directory, "/Schemas") == [USER_URN, ENTERPRISE_URN, URN, GROUP_URN, GROUPS]
    shown = read(directory, f"/Schemas/{URN.upper().replace('URN', 'urn')}")
    assert [attribute["name"] for attribute in shown["attributes"]] == [own["name"] for own in ATTRIBUTES]
    user, group = read(directory, "/ResourceTypes")["Resources"]
    assert [extension["schema"] for extension in user["schemaExtensions"]] == [ENTERPRISE_URN, URN]
    assert read(directory, "/ResourceTypes/Group") == group
    assert group["schemaExtensions"] == [{"schema": GROUPS, "required": False}]

    with db.connection():
        other = make_account("other")
        add_provider(other, idp_certificate)
    stranger = Directory(directory.app, other.scim_token)
    assert ids(stranger, "/Schemas") == standard
    refused(stranger.send("GET", f"/Schemas/{URN}"), 404)
    made = stranger.create("/Users", {"userName": "eve", URN: {"badge": 7}})
    assert (made["schemas"], URN in made) == ([USER_URN], False)
    refused(stranger.send("GET", f"/Users?filter={URN}:badge pr"), 400, "invalidFilter")

    anybody = directory.app.test_client()
    assert [one["id"] for one in anybody.get("/scim/v2/Schemas").json["Resources"]] == standard
    for path in ("Schemas", "ResourceTypes", "ServiceProviderConfig"):
        wrong = anybody.get(f"/scim/v2/{path}", headers={"Authorization": "Bearer wrong"})
        assert (wrong.status_code, wrong.headers["WWW-Authenticate"][:6]) == (401, "Bearer")


def test_an_attribute_called_members_is_not_the_groups_members(directory: Directory) -> None:
    """Whatever a projection says of one says nothing of the other."""
    user = directory.create("/Users", {"userName": "bob"})
    sent = {"displayName": "Crew", "members": [{"value": user["id"]}], GROUPS: {"members": "many"}}
    group = directory.create("/Groups", sent)
    shown = read(directory, f"/Groups/{group['id']}?excludedAttributes={GROUPS}:members")
    assert (shown["members"], GROUPS in shown) == ([{"value": user["id"]}], False)
    shown = read(directory, f"/Groups/{group['id']}?excludedAttributes=members")
    assert ("members" in shown, shown[GROUPS]) == (False, {"members": "many"})


def test_the_log_keeps_nothing_of_what_is_never_returned(directory: Directory, ann: dict[str, Any]) -> None:
    """Neither what was sent nor what it was before, nor a filter by it, whatever became of the request."""
    changed = {"op": "replace", "path": f"{URN}:pin", "value": "98765"}
    assert patch(directory, ann, changed).status_code == 200
    refused(patch(directory, ann, {**changed, "value": "98\u000076"}), 400, "invalidValue")
    assert directory.send("GET", f'/Users?filter={URN}:pin eq "98765" or x eq 1').status_code == 400
    assert directory.send("GET", f'/nosuch?filter={URN}:pin eq "98765"').status_code == 404
    with db.connection():
        kept = list(ScimRequest.select().order_by(ScimRequest.id).dicts())
    assert [row["status"] for row in kept] == [201, 200, 400, 400, 404]
    assert not [row for row in kept if any(pin in str(row) for pin in ("1234", "98765", "98\\x0076"))]
    assert all("pin" in str(row) for row in kept)
