"""The life of a bot user, as its API tells it."""

from tests.web.api.conftest import Caller, member_with


def test_a_bot_user_is_made_read_changed_and_deleted(api: Caller) -> None:
    """Create 201 with Location, read and change 200, delete 204, then 404."""
    answer = api.call("POST", "bot_users", {"name": "deploy", "roles": ["viewer"], "metadata": "{}"}, expect=201)
    bot = answer.json
    assert bot["id"].startswith("bot_")
    assert answer.headers["Location"] == bot["uri"] == f"http://localhost/api/bot_users/{bot['id']}"
    assert api.get(f"bot_users/{bot['id']}") == bot
    changed = api.patch(f"bot_users/{bot['id']}", {"name": "release", "active": False, "roles": ["developer"]})
    assert changed == {**bot, "name": "release", "active": False, "roles": ["developer"]}
    assert api.get("bot_users")["bot_users"] == [changed]
    api.delete(f"bot_users/{bot['id']}")
    api.get(f"bot_users/{bot['id']}", expect=404)


def test_names_are_unique_in_the_account_only(api: Caller, other: Caller) -> None:
    """The same name, however written, is 409 here and free elsewhere."""
    api.post("bot_users", {"name": "Deploy"})
    other.post("bot_users", {"name": "deploy"})
    assert api.post("bot_users", {"name": "deploy"}, expect=409)["error_code"] == "ERR_NAME_TAKEN"
    second = api.post("bot_users", {"name": "second"})
    api.patch(f"bot_users/{second['id']}", {"name": "DEPLOY"}, expect=409)
    assert api.get(f"bot_users/{second['id']}")["name"] == "second"


def test_an_inactive_bots_key_sleeps_and_a_deleted_ones_is_dead(api: Caller) -> None:
    """Deactivating suspends the credentials and keeps them; deleting erases them for good."""
    bot = api.post("bot_users", {"name": "deploy"})
    key = api.post("api_keys", {"owner_id": bot["id"]})
    caller = Caller(api.app, key["token"])
    assert caller.get("whoami")["principal"]["type"] == "bot_user"
    api.patch(f"bot_users/{bot['id']}", {"active": False})
    caller.get("whoami", expect=401)
    assert api.post("api_keys", {"owner_id": bot["id"]}, expect=409)["error_code"] == "ERR_OWNER_INACTIVE"
    api.patch(f"bot_users/{bot['id']}", {"active": True})
    caller.get("whoami")
    api.delete(f"bot_users/{bot['id']}")
    caller.get("whoami", expect=401)
    api.get(f"api_keys/{key['id']}", expect=404)
    api.post("bot_users", {"name": "deploy"})
    caller.get("whoami", expect=401)


def test_only_administrators_change_bot_users(api: Caller) -> None:
    """A developer reads them; the refusal names the role that may write."""
    bot = api.post("bot_users", {"name": "deploy"})
    _, developer = member_with(api, "developer")
    developer.get("bot_users")
    for refusal in (
        developer.post("bot_users", {"name": "mine"}, expect=403),
        developer.patch(f"bot_users/{bot['id']}", {"active": False}, expect=403),
    ):
        assert refusal["error_code"] == "ERR_FORBIDDEN"
        assert "admin" in refusal["msg"]
