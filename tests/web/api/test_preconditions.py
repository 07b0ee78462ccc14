"""``ETag``, ``If-Match`` and ``If-None-Match``: of two administrators at once, the second learns of the first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest

from idp_bridge import db
from idp_bridge.models import Credential
from tests.web.api.conftest import Caller, furnish, member_with

#: What is changed of each collection, and back.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "users": ({"active": False}, {"active": True}),
    "bot_users": ({"active": False}, {"active": True}),
    "credentials": ({"description": "one"}, {"description": "two"}),
    "api_keys": ({"description": "one"}, {"description": "two"}),
    "ssh_credentials": ({"description": "one"}, {"description": "two"}),
    "identity_providers": ({"name": "one"}, {"name": "two"}),
    "role_mappings": ({"role": "developer"}, {"role": "viewer"}),
    "roles": ({"description": "one"}, {"description": "two"}),
    "webhooks": ({"active": False}, {"active": True}),
    "schema_extensions": ({"name": "one"}, {"name": "two"}),
}


def tag(answer: Any) -> str:
    """The answer's ETag: strong, and quoted."""
    value: str = answer.headers["ETag"]
    assert value[0] == value[-1] == '"'
    return value


def read(api: Caller, path: str, **headers: str) -> Any:
    return api.call("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def things(api: Caller, connection: dict[str, Any]) -> dict[str, str]:
    """A resource of each collection: its path."""
    ids = furnish(api, connection)
    ids["users"] = _second(api)
    return {collection: f"{collection}/{ids[collection]}" for collection in CHANGES}


def _second(api: Caller) -> str:
    return member_with(api, "developer")[0]


def test_a_change_of_what_was_changed_meanwhile_is_refused(api: Caller, things: dict[str, str]) -> None:
    """PATCH and DELETE with an ETag of before are 412 and change nothing; with the present one they are done."""
    for collection, path in things.items():
        one, two = CHANGES[collection]
        seen = tag(read(api, path))
        assert tag(read(api, path)) == seen, path
        changed = api.call("PATCH", path, one, expect=200, headers={"If-Match": seen})
        assert changed.get_json() == api.get(path), path
        assert tag(changed) == tag(read(api, path)) != seen, path
        for method, body in (("PATCH", two), ("DELETE", None)):
            refused = api.call(method, path, body, expect=412, headers={"If-Match": seen})
            assert refused.get_json()["error_code"] == "ERR_PRECONDITION_FAILED"
        assert api.get(path) == changed.get_json(), path
        api.call("PATCH", path, two, expect=200, headers={"If-Match": f'"stray", {tag(changed)}'})
    for path in [path for path in things.values() if not path.startswith("identity_providers")]:
        api.call("DELETE", path, expect=204, headers={"If-Match": tag(read(api, path))})


@pytest.mark.parametrize("named", ["{bare}", "abc", '"a" "b"', '"a', "*, *", 'w/"a"'])
def test_an_if_match_that_is_none_is_refused(api: Caller, named: str) -> None:
    """RFC 9110 section 8.8.3: a tag stands in double quotes. What is not understood must not let a change through."""
    seen = tag(read(api, "account"))
    headers = {"If-Match": named.format(bare=seen.strip('"'))}
    refusal = api.call("PATCH", "account", {"name": "One"}, expect=400, headers=headers).get_json()
    assert (refusal["error_code"], list(refusal["details"]["errors"])) == ("ERR_INVALID_PARAMETER", ["If-Match"])
    assert api.get("account")["name"] == "Acme"


def test_the_account_has_a_tag_too(api: Caller) -> None:
    """Its name and its sign-in mode are what two administrators may set at once."""
    seen = tag(read(api, "account"))
    api.call("PATCH", "account", {"name": "One"}, expect=200, headers={"If-Match": seen})
    api.call("PATCH", "account", {"name": "Two"}, expect=412, headers={"If-Match": seen})
    assert api.get("account")["name"] == "One"


@pytest.mark.parametrize(
    ("named", "status"), [("*", 200), ('"other"', 412), ("", 412), ("W/{}", 412), ("{}", 200), ('"a", {}, "b"', 200)]
)
def test_what_if_match_may_name(api: Caller, named: str, status: int) -> None:
    """``*``, or a list; a weak tag never matches (RFC 9110 section 13.1.1), and nothing names nothing."""
    path = f"bot_users/{api.post('bot_users', {'name': 'deploy'})['id']}"
    headers = {"If-Match": named.format(tag(read(api, path)))}
    api.call("PATCH", path, {"active": False}, expect=status, headers=headers)
    assert api.get(path)["active"] == (status == 412)


def test_what_is_not_there_is_404_whatever_was_seen(api: Caller) -> None:
    """Also for ``*``."""
    for method, body in (("PATCH", {"active": False}), ("DELETE", None)):
        api.call(method, "bot_users/bot_00000000000000000000000000", body, expect=404, headers={"If-Match": "*"})


def test_what_was_read_already_is_not_sent_again(api: Caller) -> None:
    """304 with the tag and no body for GET and HEAD; after a change it is 200 again."""
    path = f"bot_users/{api.post('bot_users', {'name': 'deploy'})['id']}"
    seen = tag(read(api, path))
    for method in ("GET", "HEAD"):
        answer = api.call(method, path, expect=304, headers={"If-None-Match": f"W/{seen}"})
        assert (answer.data, tag(answer)) == (b"", seen)
        assert "Content-Type" not in answer.headers
    api.patch(path, {"active": False})
    assert read(api, path, If_None_Match=seen).status_code == 200


def test_a_use_is_no_change_that_anybody_could_lose(api: Caller) -> None:
    """The tag is another one, since the representation is; If-Match does not mind."""
    key = api.post("api_keys", {})
    seen = tag(read(api, f"api_keys/{key['id']}"))
    with db.connection(), db.transaction():
        Credential.update(last_used_at=datetime(2026, 11, 25, tzinfo=UTC)).where(Credential.id == key["id"]).execute()
    now = tag(read(api, f"api_keys/{key['id']}"))
    assert (now != seen, read(api, f"api_keys/{key['id']}", If_None_Match=seen).status_code) == (True, 200)
    api.call("PATCH", f"api_keys/{key['id']}", {"metadata": "m"}, expect=200, headers={"If-Match": seen})


@pytest.mark.parametrize("collection", ["bot_users", "users", "account", "credentials"])
def test_of_many_at_once_who_saw_the_same_one_changes_it(api: Caller, collection: str) -> None:
    """No update is lost: every other one is 412, on any process."""
    path = {
        "bot_users": lambda: f"bot_users/{api.post('bot_users', {'name': 'deploy'})['id']}",
        "users": lambda: f"users/{_second(api)}",
        "account": lambda: "account",
        "credentials": lambda: f"credentials/{api.post('credentials', {})['id']}",
    }[collection]()
    bodies: list[dict[str, Any]] = (
        [{"roles": [role]} for role in ("viewer", "billing", "team_manager", "admin")]
        if collection == "users"
        else [{"description" if collection == "credentials" else "name": f"name {number}"} for number in range(4)]
    )
    seen, together = tag(read(api, path)), Barrier(len(bodies))

    def change(body: dict[str, Any]) -> int:
        together.wait()
        return int(api.call("PATCH", path, body, headers={"If-Match": seen}).status_code)

    with ThreadPoolExecutor(len(bodies)) as pool:
        statuses = list(pool.map(change, bodies))
    assert sorted(statuses) == [200, 412, 412, 412]
    won = bodies[statuses.index(200)]
    assert {name: api.get(path)[name] for name in won} == won
