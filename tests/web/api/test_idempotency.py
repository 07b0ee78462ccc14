"""``Idempotency-Key``: asked again, a POST is not done again; by whom, for how long, and in how many processes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient

from idp_bridge import clock, db, idempotency, keyring
from idp_bridge.models import IdempotentAnswer
from tests.conftest import SECRET_KEY
from tests.web.api.conftest import Caller, member_with
from tests.web.pages import csrf_of, sign_in

KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}

#: What shows a secret once: path, body, and where the secret is in the answer.
SECRETS: list[tuple[str, Any, str]] = [
    ("api_keys", {}, "token"),
    ("credentials", {}, "token"),
    ("webhooks", {"url": "https://hooks.example.com/acme"}, "secret"),
    ("invitations", {"email": "ivy@elsewhere.test"}, "accept_url"),
    ("recovery_codes", None, "recovery_codes"),
]


def post(api: Caller, path: str, body: Any, expect: int = 201, headers: dict[str, str] = KEY) -> Any:
    """A POST under a key, the same where nothing else is said."""
    return api.call("POST", path, body, expect=expect, headers=headers)


def test_the_first_answer_comes_again(api: Caller) -> None:
    """The same status, body and Location, marked; one bot user is there, and one event told of it."""
    first, again = (post(api, "bot_users", {"name": "deploy"}) for _ in range(2))
    assert (again.data, again.headers["Location"]) == (first.data, first.headers["Location"])
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert len(api.get("bot_users")["bot_users"]) == 1
    assert len(api.get("events?type=bot_user_created.v0")["events"]) == 1


@pytest.mark.parametrize(("path", "body", "secret"), SECRETS)
def test_a_secret_comes_again_and_lies_sealed(api: Caller, path: str, body: Any, secret: str) -> None:
    """Whoever lost the answer gets the secret that works; the database alone has it not."""
    first, again = (post(api, path, body).get_json()[secret] for _ in range(2))
    assert first
    assert again == first
    shown = first[0] if isinstance(first, list) else first
    with db.connection():
        assert not [value for row in IdempotentAnswer.select().tuples() for value in row if shown in str(value)]


def test_a_connection_is_made_once(api: Caller, connection: dict[str, Any]) -> None:
    """Where a document may be fetched before the transaction, too."""
    first, again = (post(api, "identity_providers", connection) for _ in range(2))
    assert again.data == first.data
    assert len(api.get("identity_providers")["identity_providers"]) == 1


@pytest.mark.parametrize(
    ("path", "body"), [("bot_users", {"name": "other"}), ("credentials", {}), ("bot_users", {"name": "deploy2"})]
)
def test_another_request_under_the_same_key_is_refused(api: Caller, path: str, body: Any) -> None:
    """409 with a code of its own: another body, or another address."""
    post(api, "bot_users", {"name": "deploy"})
    refusal = post(api, path, body, expect=409).get_json()
    assert refusal["error_code"] == "ERR_IDEMPOTENCY_KEY_REUSED"


def test_a_refusal_is_not_kept(api: Caller) -> None:
    """What was refused has changed nothing; under the same key it is tried anew, with another body too."""
    taken = api.post("bot_users", {"name": "deploy"})
    post(api, "bot_users", {}, expect=400)
    post(api, "bot_users", {"name": "deploy"}, expect=409)
    api.delete(f"bot_users/{taken['id']}")
    assert "Idempotent-Replayed" not in post(api, "bot_users", {"name": "deploy"}).headers


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "sch\xf6n"])
def test_a_malformed_key_is_refused(api: Caller, key: str) -> None:
    """400 with the header named, and nothing is done."""
    refusal = post(api, "bot_users", {"name": "deploy"}, 400, {"Idempotency-Key": key}).get_json()
    assert (refusal["error_code"], list(refusal["details"]["errors"])) == ("ERR_INVALID_PARAMETER", ["Idempotency-Key"])
    assert api.get("bot_users")["bot_users"] == []
    post(api, "bot_users", {"name": "deploy"}, headers={"Idempotency-Key": "x" * 255})


def test_a_key_is_its_callers_own(api: Caller, other: Caller) -> None:
    """Neither another member nor another account hears the answer; another key of the same member does."""
    _, dana = member_with(api, "developer")
    first = post(api, "credentials", {}).get_json()["token"]
    assert len({first, *(post(one, "credentials", {}).get_json()["token"] for one in (dana, other))}) == 3
    second_key = Caller(api.app, api.post("api_keys", {})["token"])
    assert post(second_key, "credentials", {}).get_json()["token"] == first


def test_who_may_not_any_more_hears_nothing(api: Caller) -> None:
    """The caller is authorised before the answer comes again."""
    id, dana = member_with(api, "admin")
    post(dana, "bot_users", {"name": "deploy"})
    api.patch(f"users/{id}", {"roles": ["viewer"]})
    post(dana, "bot_users", {"name": "deploy"}, expect=403)


def test_what_a_session_was_answered_no_api_key_hears(api: Caller, client: FlaskClient) -> None:
    """A link to set a password is made in a browser session, and by no key: nor is it shown to one."""
    joined, _ = member_with(api, "viewer")
    sign_in(client)
    headers = {"X-CSRF-Token": csrf_of(client, "/accounts/acme/members"), **KEY}
    first, again = (client.post(f"/api/users/{joined}/password_setup", headers=headers) for _ in range(2))
    assert (first.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    refused = post(api, f"users/{joined}/password_setup", None, expect=403)
    assert refused.get_json()["error_code"] == "ERR_CREDENTIAL_KIND_NOT_ALLOWED"


def test_who_may_do_less_than_then_does_not_hear_it_again(api: Caller) -> None:
    """What the domain asks of her and the route does not: only an administrator makes a bot user's key."""
    bot = api.post("bot_users", {"name": "ci"})["id"]
    id, eve = member_with(api, "admin")
    post(eve, "api_keys", {"owner_id": bot})
    api.patch(f"users/{id}", {"roles": ["developer"]})
    refused = post(eve, "api_keys", {"owner_id": bot}, expect=409).get_json()
    assert refused["error_code"] == "ERR_IDEMPOTENCY_KEY_REUSED"
    assert "had other rights then" in refused["msg"]


def test_who_may_do_less_by_now_gets_no_secret_of_before(api: Caller) -> None:
    """An administrator made a key for a bot user, and is a developer since: she may make keys, but not that one."""
    bot = api.post("bot_users", {"name": "deploy"})["id"]
    id, dana = member_with(api, "admin")
    asked = ("api_keys", {"owner_id": bot})
    post(dana, *asked)
    api.patch(f"users/{id}", {"roles": ["developer"]})
    assert "token" not in dana.call("POST", *asked, headers=KEY).get_json()
    assert len([key for key in api.get("api_keys")["keys"] if key["owner_id"] == bot]) == 1
    post(dana, "api_keys", {}, headers={"Idempotency-Key": "another"})


def test_a_key_is_forgotten_after_a_day(api: Caller) -> None:
    """Then it is a new one, whether or not the job has deleted the row; the job deletes what is over only."""
    first = post(api, "credentials", {}).get_json()["token"]
    with time_machine.travel(clock.now() + timedelta(hours=23, minutes=59), tick=False):
        assert post(api, "credentials", {}).get_json()["token"] == first
        with db.connection():
            idempotency.prune(clock.now())
            assert IdempotentAnswer.select().count() == 1
    with time_machine.travel(clock.now() + timedelta(hours=24, seconds=1), tick=False):
        assert post(api, "credentials", {}).get_json()["token"] != first
        post(api, "credentials", {}, headers={"Idempotency-Key": "2"})
    with db.connection():
        idempotency.prune(clock.now() + timedelta(hours=48, seconds=2))
        assert IdempotentAnswer.select().count() == 0


def test_an_answer_under_another_secret_key_is_not_done_again(api: Caller) -> None:
    """It cannot be read any more, and to do it twice would be worse than to say so."""
    post(api, "bot_users", {"name": "deploy"})
    keyring.unlock("another secret key of the test suite, 32 characters and more")
    refusal = post(api, "bot_users", {"name": "deploy"}, expect=409).get_json()
    keyring.unlock(SECRET_KEY)
    assert "SECRET_KEY has changed" in refusal["msg"]


def test_other_methods_take_no_notice_of_a_key(api: Caller) -> None:
    """GET, PATCH and DELETE are idempotent by themselves (RFC 9110 section 9.2.2), or as good as."""
    id = post(api, "bot_users", {"name": "deploy"}).get_json()["id"]
    for body in ({"name": "one"}, {"name": "two"}):
        assert api.call("PATCH", f"bot_users/{id}", body, expect=200, headers=KEY).get_json()["name"] == body["name"]
    api.call("DELETE", f"bot_users/{id}", expect=204, headers=KEY)


def test_of_many_at_once_one_is_done(api: Caller) -> None:
    """Threads race for one key: all hear the same secret."""
    together = Barrier(6)

    def ask() -> Any:
        together.wait()
        return post(api, "credentials", {"description": "raced for"})

    with ThreadPoolExecutor(6) as pool:
        answers = [future.result() for future in [pool.submit(ask) for _ in range(6)]]
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(api.get("credentials")["credentials"]) == 1
