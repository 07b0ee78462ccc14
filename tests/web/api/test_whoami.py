"""Who calls: by key and by browser session; recovery codes; roles."""

from typing import Any

from flask import Flask

from idp_bridge import db, members, sessions
from idp_bridge.roles import BUILT_IN
from tests.conftest import World
from tests.web.api.conftest import Caller, member_with


def _browser(app: Flask, world: World) -> Any:
    with db.connection(), db.transaction():
        opened = sessions.open_session(members.get(world.account, world.owner.id), method="password")
    client = app.test_client()
    client.set_cookie("idp_bridge_session", opened.token)
    return client


def test_a_key_is_its_owner(api: Caller, world: World) -> None:
    """account, principal, roles, permissions and how it was proven; a key needs no CSRF token."""
    me = api.get("whoami")
    assert set(me) == {"account", "principal", "roles", "permissions", "authentication", "csrf_token"}
    assert me["account"] == api.get("account")
    assert me["principal"]["id"] == world.owner.id
    assert me["roles"] == ["admin"]
    assert set(me["permissions"]) == set(BUILT_IN["admin"])
    assert me["authentication"] == {"method": "api_key", "identity_provider_id": None}
    assert me["csrf_token"] is None


def test_a_session_writes_with_its_csrf_token_only(app: Flask, world: World) -> None:
    """Reading is free; a write without the token, or with a wrong one, is 403."""
    browser = _browser(app, world)
    me = browser.get("/api/whoami").get_json()
    assert me["authentication"] == {"method": "password", "identity_provider_id": None}
    for headers in ({}, {"X-CSRF-Token": "wrong"}):
        refused = browser.post("/api/bot_users", json={"name": "deploy"}, headers=headers)
        assert (refused.status_code, refused.get_json()["error_code"]) == (403, "ERR_CSRF")
    made = browser.post("/api/bot_users", json={"name": "deploy"}, headers={"X-CSRF-Token": me["csrf_token"]})
    assert made.status_code == 201


def test_a_session_names_the_account(app: Flask, world: World) -> None:
    """By slug or id in X-Account; one that it does not reach is 404."""
    browser = _browser(app, world)
    for name in ("acme", world.account.id):
        assert browser.get("/api/account", headers={"X-Account": name}).get_json()["id"] == world.account.id
    assert browser.get("/api/account", headers={"X-Account": "elsewhere"}).status_code == 404


def test_recovery_codes_are_an_administrators_own(api: Caller) -> None:
    """Ten at a time, each time others; nobody else makes any, a bot's key neither."""
    first, second = (api.post("recovery_codes", None)["recovery_codes"] for _ in range(2))
    assert len(first) == len(set(first) | set(second)) - 10 == 10
    _, viewer = member_with(api, "viewer", "developer")
    bot = api.post("bot_users", {"name": "deploy"})
    key = Caller(api.app, api.post("api_keys", {"owner_id": bot["id"]})["token"])
    for caller in (viewer, key):
        refusal = caller.post("recovery_codes", None, expect=403)
        assert refusal["error_code"] == "ERR_ADMINISTRATORS_ONLY"


def test_roles_are_listed_with_their_permissions(api: Caller) -> None:
    """The built-in ones are the table of roles.py."""
    listed = {role["name"]: role for role in api.get("roles")["roles"]}
    assert {name: set(role["permissions"]) for name, role in listed.items()} == {
        name: set(allowed) for name, allowed in BUILT_IN.items()
    }
    assert api.get(f"roles/{listed['billing']['id']}") == listed["billing"]


def test_the_documentation_is_public(app: Flask) -> None:
    """OpenAPI 3.1 as JSON, and a page that runs under the content security policy: no inline script or style."""
    client = app.test_client()
    assert client.get("/api/openapi.json").get_json()["openapi"] == "3.1.0"
    page = client.get("/api/docs")
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for name in ("vendor/swagger-ui.css", "vendor/swagger-ui-bundle.js", "api-docs.js"):
        assert f"/static/{name}" in page.text
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        answer.close()
