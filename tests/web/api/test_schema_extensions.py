"""/api/schema_extensions: attributes of the account's own, and what its directories make of them at once."""

from typing import Any

import pytest

from idp_bridge import db, plan_changes
from tests.conftest import World
from tests.web.api.conftest import EXTENSION, Caller, member_with, push

URN = EXTENSION["urn"]
PLAIN = {
    "name": "costCode",
    "type": "string",
    "description": "",
    "multi_valued": False,
    "required": False,
    "case_exact": False,
    "mutability": "readWrite",
    "returned": "default",
    "uniqueness": "none",
    "canonical_values": [],
    "reference_types": [],
    "sub_attributes": [],
}


@pytest.fixture
def token(api: Caller, connection: dict[str, Any]) -> str:
    """A SCIM token of a directory of the account."""
    provider = api.post("identity_providers", connection)
    secret: str = api.post(f"identity_providers/{provider['id']}/scim_tokens", {})["token"]
    return secret


def test_an_extension_is_made_shown_changed_and_deleted(api: Caller) -> None:
    """Every characteristic is answered, and what is answered can be sent back."""
    made = api.post("schema_extensions", EXTENSION)
    assert made["id"].startswith("ext_")
    assert made["uri"].endswith(f"/api/schema_extensions/{made['id']}")
    assert (made["urn"], made["resource_type"], made["description"]) == (URN, "User", "")
    assert made["attributes"] == [PLAIN, {**PLAIN, "name": "badge", "type": "integer"}]
    assert api.get(f"schema_extensions/{made['id']}") == made
    assert api.get("schema_extensions")["schema_extensions"] == [made]
    car = {"name": "car", "type": "complex", "sub_attributes": [{"name": "plate", "mutability": "immutable"}]}
    changed = api.patch(f"schema_extensions/{made['id']}", {"name": "New", "attributes": [*made["attributes"], car]})
    assert (changed["name"], changed["created_at"]) == ("New", made["created_at"])
    assert changed["changed_at"] > made["changed_at"]
    (plate,) = changed["attributes"][2]["sub_attributes"]
    assert plate == {
        **{name: value for name, value in PLAIN.items() if name != "sub_attributes"},
        "name": "plate",
        "mutability": "immutable",
    }
    api.delete(f"schema_extensions/{made['id']}")
    api.get(f"schema_extensions/{made['id']}", expect=404)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"urn": "acme"}, "urn"),
        ({"urn": "urn:ietf:params:scim:schemas:core:2.0:User"}, "urn"),
        ({"urn": None}, "urn"),
        ({"name": ""}, "name"),
        ({"resource_type": "Car"}, "resource_type"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {}}, "attributes"),
        ({"attributes": [{}]}, "attributes.0.name"),
        ({"attributes": [{"name": "a b"}]}, "attributes.0.name"),
        ({"attributes": [{"name": "a", "type": "text"}]}, "attributes.0.type"),
        ({"attributes": [{"name": "a", "required": True}]}, "attributes.0.required"),
        ({"attributes": [{"name": "a", "required": "true"}]}, "attributes.0.required"),
        ({"attributes": [{"name": "a", "uniqueness": "server"}]}, "attributes.0.uniqueness"),
        ({"attributes": [{"name": "a", "mutability": "readOnly"}]}, "attributes.0.mutability"),
        ({"attributes": [{"name": "a", "mutability": "writeOnly"}]}, "attributes.0.returned"),
        ({"attributes": [{"name": "a", "multiValued": True}]}, "attributes.0.multiValued"),
        ({"attributes": [{"name": "a"}, {"name": "A"}]}, "attributes.1.name"),
        ({"attributes": [{"name": "a", "type": "complex"}]}, "attributes.0.sub_attributes"),
        (
            {"attributes": [{"name": "a", "type": "complex", "sub_attributes": [{"name": "b", "type": "complex"}]}]},
            "attributes.0.sub_attributes.0.type",
        ),
        ({"id": "ext_1"}, "id"),
    ],
)
def test_each_wrong_field_is_named(api: Caller, body: dict[str, Any], wrong: str) -> None:
    """400, and details.errors has the field, however deep it lies."""
    refusal = api.post("schema_extensions", {**EXTENSION, **body}, expect=400)
    assert list(refusal["details"]["errors"]) == [wrong]
    assert api.get("schema_extensions")["schema_extensions"] == []


def test_what_records_hold_is_taken_away_by_force_alone(api: Caller, token: str) -> None:
    """409 names the number of records; ?force=true takes the values; nothing else is taken for it."""
    made = api.post("schema_extensions", EXTENSION)
    path = f"schema_extensions/{made['id']}"
    user = push(api, token, "Users", {"userName": "ann", URN: {"costCode": "x", "badge": 7}})
    refusal = api.patch(path, {"attributes": made["attributes"][:1]}, expect=409)
    assert (refusal["error_code"], refusal["msg"].split(". ")[0]) == ("ERR_CONFLICT", "1 user holds values of badge")
    assert api.get(path) == made
    api.patch(f"{path}?force=yes", {"name": "New"}, expect=400)
    api.patch(f"{path}?force=true", {"attributes": made["attributes"][:1]})
    assert _own(api, token, user) == {"costCode": "x"}
    api.delete(path, expect=409)
    api.delete(f"{path}?force=false", expect=409)
    api.delete(f"{path}?force=true")
    assert _own(api, token, user) is None


def _own(api: Caller, token: str, user: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    shown = api.call("GET", f"/scim/v2/Users/{user['id']}", headers=headers, expect=200).get_json()
    assert (URN in shown["schemas"]) == (URN in shown)
    return shown.get(URN)


def test_only_administrators_of_an_enterprise_account_may(api: Caller, world: World) -> None:
    """They belong to provisioning: the permissions of identity providers, and the plan that has it."""
    made = api.post("schema_extensions", EXTENSION)
    _, developer = member_with(api, "developer")
    developer.get("schema_extensions", expect=403)
    developer.post("schema_extensions", EXTENSION, expect=403)
    developer.delete(f"schema_extensions/{made['id']}", expect=403)
    with db.connection(), db.transaction():
        plan_changes.set_plan(world.system, "pro")
    assert api.post("schema_extensions", {**EXTENSION, "urn": "urn:acme:2"}, expect=403)["error_code"] == (
        "ERR_PLAN_REQUIRED"
    )
    assert api.get("schema_extensions")["schema_extensions"] == [made]
    api.delete(f"schema_extensions/{made['id']}")
