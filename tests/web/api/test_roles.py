"""Roles over the API: the built-in ones are read, own ones are made, changed and deleted."""

from typing import Any

import pytest

from idp_bridge import accounts, db
from idp_bridge.models import Account
from idp_bridge.roles import BUILT_IN
from tests.web.api.conftest import Caller, member_with


def _make(api: Caller, name: str = "auditor", *permissions: str) -> Any:
    return api.post("roles", {"name": name, "permissions": list(permissions or ("events:read",))})


def _plan(api: Caller, plan: str) -> None:
    account = api.get("account")["id"]
    with db.connection(), db.transaction():
        Account.update(plan=plan).where(Account.id == account).execute()
        assert accounts.find(account).plan == plan


def test_an_own_role_is_made_read_changed_and_deleted(api: Caller) -> None:
    """It stands below the built-in ones on the list, and counts at once for whoever holds it."""
    made = api.post(
        "roles", {"name": "Auditor", "description": "Reads", "permissions": ["members:read", "events:read"]}
    )
    assert made["built_in"] is False
    assert made["permissions"] == ["events:read", "members:read"]
    assert made["uri"].endswith(f"/api/roles/{made['id']}")
    assert api.get(f"roles/{made['id']}") == made
    assert [role["name"] for role in api.get("roles")["roles"]] == [*sorted(BUILT_IN, reverse=True), "Auditor"]
    dana, caller = member_with(api, "Auditor")
    caller.get("bot_users", expect=403)
    api.patch(f"roles/{made['id']}", {"permissions": ["events:read", "bots:read"], "name": "Inspector"})
    caller.get("bot_users")
    assert api.get(f"users/{dana}")["roles"] == ["Inspector"]
    refusal = api.delete(f"roles/{made['id']}", expect=409).json
    assert refusal["error_code"] == "ERR_ROLE_IN_USE"
    assert "1 member" in refusal["msg"]
    api.patch(f"users/{dana}", {"roles": []})
    api.delete(f"roles/{made['id']}")
    api.get(f"roles/{made['id']}", expect=404)
    types = [event["event_type"] for event in api.get(f"events?object_id={made['id']}")["events"]]
    assert types == ["role_deleted.v0", "role_updated.v0", "role_created.v0"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"permissions": []}, "name"),
        ({"name": "x"}, "permissions"),
        ({"name": "", "permissions": []}, "name"),
        ({"name": "<script>", "permissions": []}, "name"),
        ({"name": "a\u0430", "permissions": []}, "name"),
        ({"name": "x" * 65, "permissions": []}, "name"),
        ({"name": "x", "permissions": ["events:eat"]}, "permissions.0"),
        ({"name": "x", "permissions": "events:read"}, "permissions"),
        ({"name": "x", "permissions": [], "description": "x" * 256}, "description"),
        ({"name": "x", "permissions": [], "built_in": True}, "built_in"),
    ],
)
def test_a_wrong_body_names_its_field(api: Caller, body: dict[str, Any], field: str) -> None:
    """400, and nothing is made."""
    assert field in api.post("roles", body, expect=400)["details"]["errors"]
    assert len(api.get("roles")["roles"]) == len(BUILT_IN)


def test_a_taken_name_is_a_conflict(api: Caller) -> None:
    """Without regard to case, and so is a built-in one."""
    _make(api)
    for name in ("AUDITOR", "Admin"):
        assert api.post("roles", {"name": name, "permissions": []}, expect=409)["error_code"] == "ERR_NAME_TAKEN"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_role_is_not_changed(api: Caller, name: str) -> None:
    """It has a code of its own, so that a program can tell it from a clash."""
    for refusal in (
        api.patch(f"roles/role_{name}", {"description": "mine"}, expect=409),
        api.delete(f"roles/role_{name}", expect=409).json,
    ):
        assert refusal["error_code"] == "ERR_BUILT_IN_ROLE"


def test_whoever_makes_a_role_gives_no_more_than_she_has(api: Caller) -> None:
    """With roles:write alone, no permission of an administrator can be had by way of a role."""
    _make(api, "keeper", "roles:write", "account:read")
    held = api.get("roles")["roles"][-1]
    _, keeper = member_with(api, "keeper")
    for refusal in (
        keeper.post("roles", {"name": "root", "permissions": ["idps:write"]}, expect=403),
        keeper.patch(f"roles/{held['id']}", {"permissions": ["roles:write", "members:write"]}, expect=403),
    ):
        assert refusal["error_code"] == "ERR_GRANT_ABOVE_OWN_RIGHTS"
    keeper.post("roles", {"name": "lesser", "permissions": ["account:read"]})
    _, viewer = member_with(api, "viewer", email="v@acme.test")
    assert viewer.post("roles", {"name": "x", "permissions": []}, expect=403)["error_code"] == "ERR_FORBIDDEN"


@pytest.mark.parametrize("plan", ["free", "pro"])
def test_own_roles_need_enterprise_and_stay_when_it_ends(api: Caller, plan: str) -> None:
    """Making and changing are refused by the name of the plan; they are still read and deleted."""
    made = _make(api)
    _plan(api, plan)
    for refusal in (
        api.post("roles", {"name": "x", "permissions": []}, expect=403),
        api.patch(f"roles/{made['id']}", {"description": "x"}, expect=403),
    ):
        assert refusal["error_code"] == "ERR_PLAN_REQUIRED"
        assert "Enterprise" in refusal["msg"]
    assert api.get(f"roles/{made['id']}") == made
    api.delete(f"roles/{made['id']}")
