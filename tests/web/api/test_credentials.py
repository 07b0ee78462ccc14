"""The life of authtokens, API keys and SSH keys, as their API tells it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from idp_bridge import db
from idp_bridge.models import Person
from tests.web.api.conftest import SSH_KEY, Caller, member_with

KINDS = [
    ("credentials", "credentials", {"acl": ["bind:*.example.com"]}, {"acl": []}),
    ("api_keys", "keys", {}, {}),
    ("ssh_credentials", "ssh_credentials", {"public_key": SSH_KEY, "acl": ["bind:1.tcp.test:20"]}, {"acl": []}),
]


@pytest.mark.parametrize(("path", "plural", "body", "change"), KINDS)
def test_a_credential_is_made_read_changed_and_deleted(
    api: Caller, path: str, plural: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    """The secret is in the answer to its creation and never again."""
    made = api.post(
        path, {"description": "laptop", "metadata": "{}", "expires_at": "2090-01-01T02:00:00+02:00", **body}
    )
    token = made.get("token")
    assert (token is None) == (path == "ssh_credentials")
    assert made["uri"] == f"http://localhost/api/{path}/{made['id']}"
    assert made["expires_at"] == "2090-01-01T00:00:00.000000Z"
    read = api.get(f"{path}/{made['id']}")
    assert read == ({**made, "token": None} if token else made)
    changed = api.patch(f"{path}/{made['id']}", {"description": "desktop", **change})
    assert changed == {**read, "description": "desktop", **change}
    assert changed in api.get(path)[plural]
    if token:
        assert token not in api.call("GET", path).text
        assert token not in api.call("GET", "events").text
    api.delete(f"{path}/{made['id']}")
    api.get(f"{path}/{made['id']}", expect=404)


@pytest.mark.parametrize("acl", [["*"], ["bind:"], ["bind:a b"], "bind:a", [None]])
def test_an_acl_is_a_list_of_bind_rules(api: Caller, acl: Any) -> None:
    """Anything else is refused."""
    api.post("credentials", {"acl": acl}, expect=400)


def test_the_owner_never_changes(api: Caller) -> None:
    """Neither a PATCH of owner_id nor of the secret is known."""
    made = api.post("credentials", {})
    for field in ("owner_id", "token", "expires_at"):
        refusal = api.patch(f"credentials/{made['id']}", {field: "x"}, expect=400)
        assert refusal["details"]["errors"] == {field: ["Unknown field."]}


def test_an_owner_is_named_by_id_or_address(api: Caller) -> None:
    """A user, her address in any spelling, or a bot user; the caller where nobody is named."""
    dana, _ = member_with(api, "viewer")
    bot = api.post("bot_users", {"name": "deploy"})["id"]
    for named, owner in ((dana, dana), ("Dana@acme.test", dana), (bot, bot)):
        assert api.post("credentials", {"owner_id": named})["owner_id"] == owner
    for nobody in ("usr_01", "bot_01", "nobody@acme.test"):
        api.post("credentials", {"owner_id": nobody}, expect=404)


def test_only_administrators_name_another_owner(api: Caller) -> None:
    """A developer makes her own credentials, sees only those, and learns nothing of others."""
    dana, developer = member_with(api, "developer")
    mine = developer.post("credentials", {"owner_id": dana})
    theirs = api.post("credentials", {})
    for owner in (theirs["owner_id"], "usr_01"):
        refusal = developer.post("credentials", {"owner_id": owner}, expect=403)
        assert refusal["error_code"] == "ERR_ADMINISTRATORS_ONLY"
    assert [row["id"] for row in developer.get("credentials")["credentials"]] == [mine["id"]]
    developer.get(f"credentials/{theirs['id']}", expect=404)
    developer.delete(f"credentials/{theirs['id']}", expect=404)
    assert {row["id"] for row in api.get("credentials")["credentials"]} == {mine["id"], theirs["id"]}


def test_a_viewer_has_no_credentials_of_her_own(api: Caller) -> None:
    """An API key allows what its owner's roles allow, and a viewer's allow no credential."""
    _, viewer = member_with(api, "viewer")
    viewer.get("bot_users")
    viewer.get("credentials", expect=403)
    viewer.post("api_keys", {}, expect=403)


def test_a_key_works_until_it_is_deleted(api: Caller) -> None:
    """Deleting revokes at once."""
    key = api.post("api_keys", {})
    caller = Caller(api.app, key["token"])
    caller.get("account")
    api.delete(f"api_keys/{key['id']}")
    caller.get("account", expect=401)


def test_the_key_that_is_called_with_goes_by_force_only(api: Caller) -> None:
    """409 says so first: the next call would be 401."""
    key = api.post("api_keys", {})
    caller = Caller(api.app, key["token"])
    for query in ("", "?force=false"):
        refusal = caller.delete(f"api_keys/{key['id']}{query}", expect=409).get_json()
        assert refusal["error_code"] == "ERR_CREDENTIAL_IN_USE"
    assert "force" in refusal["msg"]
    caller.delete(f"api_keys/{key['id']}?force=yes", expect=400)
    caller.delete(f"api_keys/{key['id']}?force=true")
    caller.get("account", expect=401)


def test_the_last_way_in_of_the_only_administrator_goes_by_force_only(api: Caller) -> None:
    """Whoever deletes it: after it only the operator could let her in."""
    with db.connection(), db.transaction():
        Person.update(password_hash=None).execute()
    bot = api.post("bot_users", {"name": "keeper"})["id"]
    (own,) = (key["id"] for key in api.get("api_keys")["keys"] if key["owner_id"] != bot)
    assert api.delete(f"api_keys/{own}", expect=409).get_json()["error_code"] == "ERR_LAST_WAY_IN"
    api.delete(f"api_keys/{own}?force=true")
    api.get("whoami", expect=401)


@pytest.mark.parametrize(("path", "change"), [("api_keys", {"description": "x"}), ("credentials", {"acl": ["bind:*"]})])
def test_the_event_of_a_change_has_what_was_before(api: Caller, path: str, change: dict[str, Any]) -> None:
    """A widened acl leaves a trace: what it was, and what it is."""
    made = api.post(path, {"acl": ["bind:a.test"]} if "acl" in change else {})
    api.patch(f"{path}/{made['id']}", change)
    updated, created = (row["object"] for row in api.get(f"events?object_id={made['id']}")["events"])
    (name,) = change
    assert (updated[name], updated["before"]) == (change[name], {name: made[name]})
    assert created[name] == made[name]


@pytest.mark.parametrize(("path", "body"), [("bot_users", {"name": "raced"}), ("credentials", {}), ("api_keys", {})])
def test_of_many_who_delete_one_thing_one_does(api: Caller, path: str, body: dict[str, Any]) -> None:
    """One 204, one event; to the others it is gone."""
    for _ in range(3):
        id = api.post(path, body)["id"]
        together = Barrier(4)

        def delete(id: str = id, together: Barrier = together) -> int:
            together.wait()
            return int(api.call("DELETE", f"{path}/{id}").status_code)

        with ThreadPoolExecutor(4) as pool:
            answers = [future.result() for future in [pool.submit(delete) for _ in range(4)]]
        assert sorted(answers) == [204, 404, 404, 404]
        told = [row["event_type"] for row in api.get(f"events?object_id={id}")["events"]]
        assert len(told) == 2, told


def test_who_names_herself_by_her_address_in_any_spelling_is_herself(api: Caller) -> None:
    """As administrators find her by it."""
    dana, developer = member_with(api, "developer")
    for named in ("dana@acme.test", "DANA@Acme.Test"):
        assert developer.post("credentials", {"owner_id": named})["owner_id"] == dana


def test_an_ssh_key_is_registered_once_on_the_service(api: Caller, other: Caller) -> None:
    """409 here and in another account; the answer has the fingerprint that ssh-keygen prints."""
    made = api.post("ssh_credentials", {"public_key": SSH_KEY + " dana@laptop"})
    assert made["fingerprint"].startswith("SHA256:")
    assert made["public_key"] == SSH_KEY
    for caller in (api, other):
        assert caller.post("ssh_credentials", {"public_key": SSH_KEY}, expect=409)["error_code"] == "ERR_KEY_TAKEN"


@pytest.mark.parametrize("key", ["ssh-ed25519", "ssh-dss AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", SSH_KEY[:-8]])
def test_what_is_no_public_key_is_refused(api: Caller, key: str) -> None:
    """With words on what is wrong."""
    refusal = api.post("ssh_credentials", {"public_key": key}, expect=400)
    assert refusal["error_code"] == "ERR_INVALID_PUBLIC_KEY"
    assert "public_key" in refusal["details"]["errors"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Basic dXNlcjpwYXNz", "ERR_NOT_AUTHENTICATED"),
        ("Bearer", "ERR_NOT_AUTHENTICATED"),
        ("Bearer nonsense", "ERR_NOT_AUTHENTICATED"),
        ("Bearer ak_01jd", "ERR_WRONG_CREDENTIAL_KIND"),
    ],
)
def test_what_is_no_key_is_401(api: Caller, header: str, code: str) -> None:
    """With words on which kind of credential it is."""
    answer = api.call("GET", "account", headers={"Authorization": header}, expect=401)
    assert answer.json["error_code"] == code


def test_an_authtoken_is_no_api_key(api: Caller) -> None:
    """It opens tunnels, not the API; the answer says so."""
    token = api.post("credentials", {})["token"]
    assert "authtoken" in Caller(api.app, token).get("account", expect=401)["msg"]
