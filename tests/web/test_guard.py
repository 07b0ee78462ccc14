"""The guard: which kind of credential may use which permission."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import bots, credentials, db, roles
from idp_bridge.roles import CredentialKind, Permission, kinds_of
from tests.conftest import World
from tests.web.pages import sign_in


def _bot_key(world: World) -> str:
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci", role_names=["developer"])
        token = credentials.issue(world.system, credentials.API_KEY, bot).token
    assert token is not None
    return token


def _by_key(app: Flask, key: str) -> tuple[int, str]:
    answer = app.test_client().get("/api/bot_users", headers={"Authorization": f"Bearer {key}"})
    return answer.status_code, answer.get_json().get("error_code", "")


def test_what_no_row_names_is_for_browser_sessions_only(
    app: Flask, client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds a permission and forgets the table has closed it to keys, and her session still has it."""
    keys = {"member": world.api_key, "bot": _bot_key(world)}
    assert {_by_key(app, key) for key in keys.values()} == {(200, "")}
    monkeypatch.delitem(roles.BESIDE_SESSIONS, Permission.BOTS_READ)
    assert kinds_of(Permission.BOTS_READ) == {CredentialKind.SESSION}
    assert {_by_key(app, key) for key in keys.values()} == {(403, "ERR_CREDENTIAL_KIND_NOT_ALLOWED")}
    sign_in(client)
    assert client.get("/api/bot_users").status_code == 200
    assert client.get("/accounts/acme/bot-users").status_code == 200


def test_the_two_kinds_of_api_key_are_told_apart(app: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the refusal names the kinds that would do."""
    monkeypatch.setitem(roles.BESIDE_SESSIONS, Permission.BOTS_READ, frozenset({CredentialKind.USER_API_KEY}))
    assert _by_key(app, world.api_key) == (200, "")
    answer = app.test_client().get("/api/bot_users", headers={"Authorization": f"Bearer {_bot_key(world)}"})
    assert answer.status_code == 403
    assert answer.get_json()["msg"] == (
        "Your roles allow bots:read, but not with an API key of a bot user: "
        "use a browser session or an API key of a member."
    )


def test_a_missing_role_is_told_before_the_wrong_kind(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another credential would not help her."""
    key = _bot_key(world)
    monkeypatch.delitem(roles.BESIDE_SESSIONS, Permission.IDPS_READ)
    answer = app.test_client().get("/api/identity_providers", headers={"Authorization": f"Bearer {key}"})
    assert answer.get_json()["error_code"] == "ERR_FORBIDDEN"


def test_an_operator_key_may_two_things(app: Flask) -> None:
    """To ask about credentials and to report usage, by the table."""
    may = {permission for permission in Permission if CredentialKind.OPERATOR_KEY in kinds_of(permission)}
    assert may == {Permission.INTROSPECT, Permission.USAGE_WRITE}


def test_every_permission_of_today_is_decided() -> None:
    """The contract promises each to API keys; none is left to the default by oversight."""
    assert set(roles.BESIDE_SESSIONS) == set(Permission)
    keys = {CredentialKind.USER_API_KEY, CredentialKind.BOT_API_KEY}
    assert all(keys <= kinds_of(permission) for permission in Permission)
