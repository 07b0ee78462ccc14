"""The account, as its API tells it."""

from typing import Any

from flask import Flask

from idp_bridge import db
from tests.conftest import make_account
from tests.web.api.conftest import Caller, member_with


def test_the_account_is_read_and_renamed(api: Caller) -> None:
    """Plan, mode and seats are there; a rename changes the name and nothing else."""
    account = api.get("account")
    assert (account["slug"], account["plan"], account["sso_mode"]) == ("acme", "enterprise", "mixed")
    assert account["seats"] == {"used": 1, "reserved": 0, "limit": None}
    assert api.patch("account", {"name": "Acme Ltd"}) == {**account, "name": "Acme Ltd"}
    api.post("invitations", {"email": "ivy@elsewhere.test"})
    assert api.get("account")["seats"]["reserved"] == 1


def test_enforcing_names_what_is_missing(api: Caller, connection: dict[str, Any]) -> None:
    """409 until nobody would be locked out, and nothing of the same PATCH is kept."""
    refusal = api.patch("account", {"name": "Half", "sso_mode": "enforced"}, expect=409)
    assert refusal["error_code"] == "ERR_ENFORCEMENT_CONDITIONS"
    assert "identity provider" in refusal["msg"]
    assert api.get("account")["name"] == "Acme"
    assert "sso_mode" in api.patch("account", {"sso_mode": "off"}, expect=400)["details"]["errors"]


def test_only_administrators_change_the_account(api: Caller) -> None:
    """Everybody reads it."""
    _, viewer = member_with(api, "viewer")
    viewer.get("account")
    viewer.patch("account", {"name": "Mine"}, expect=403)


def test_a_plan_that_does_not_have_it_is_named(app: Flask, connection: dict[str, Any]) -> None:
    """403 with the plan that would do; bot users are on every plan."""
    with db.connection():
        free = Caller(app, make_account("tiny", plan="free").api_key)
    free.post("bot_users", {"name": "deploy"})
    for path, body, plan in (
        ("identity_providers", connection, "Enterprise"),
        ("invitations", {"email": "ivy@elsewhere.test"}, "Pro"),
    ):
        refusal = free.post(path, body, expect=403)
        assert refusal["error_code"] == "ERR_PLAN_REQUIRED"
        assert plan in refusal["msg"]
