"""Webhooks by the API: who may have them, and what each answer says of its secret."""

from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from tests.web.api.conftest import Caller, member_with

URL = "https://hooks.example.com/acme"


def test_a_webhook_lives_through_the_api(api: Caller) -> None:
    """Made, read, listed, changed and deleted; each change is an event without the secret."""
    made = api.post("webhooks", {"url": URL, "events": ["user_*", "user_*", "session_ended.v0"]})
    secret = made.pop("secret")
    assert Verifier(secret).sign("x", _instant(), "{}").startswith("v1,")
    assert made["events"] == ["session_ended.v0", "user_*"]
    assert (made["active"], made["disabled_reason"], made["failing_since"]) == (True, None, None)
    assert api.get(f"webhooks/{made['id']}") == {**made, "secret": None}
    assert api.get("webhooks")["webhooks"] == [{**made, "secret": None}]
    changed = api.patch(f"webhooks/{made['id']}", {"active": False, "description": "ours"})
    assert changed == {**made, "secret": None, "active": False, "description": "ours"}
    api.delete(f"webhooks/{made['id']}")
    api.get(f"webhooks/{made['id']}", expect=404)
    told = api.get(f"events?object_id={made['id']}")["events"]
    assert [event["event_type"] for event in told[::-1]] == [
        "webhook_created.v0",
        "webhook_updated.v0",
        "webhook_deleted.v0",
    ]
    assert told[1]["object"]["before"] == {"active": True, "description": ""}
    assert secret not in str(told)


def _instant() -> Any:
    from idp_bridge import clock

    return clock.now()


def test_a_rotation_shows_the_new_secret_once(api: Caller) -> None:
    """And until when the old one signs too."""
    made = api.post("webhooks", {"url": URL})
    rotated = api.post(f"webhooks/{made['id']}/rotate", None)
    assert rotated["secret"] not in (None, made["secret"])
    read = api.get(f"webhooks/{made['id']}")
    assert read == {**rotated, "secret": None}
    assert read["previous_secret_expires_at"] > made["created_at"]


def test_a_test_is_in_the_log_and_can_be_told_again(api: Caller) -> None:
    """The log names the event, which can be read as any other."""
    made = api.post("webhooks", {"url": URL})
    tested = api.post(f"webhooks/{made['id']}/test", None)
    assert (tested["state"], tested["attempts"], tested["webhook_id"]) == ("waiting", [], made["id"])
    assert api.get(f"events/{tested['event_id']}")["event_type"] == "webhook_tested.v0"
    log = f"webhooks/{made['id']}/deliveries"
    assert api.get(log)["deliveries"] == [tested]
    assert api.get(f"{log}/{tested['id']}") == tested
    again = api.post(f"{log}/{tested['id']}/redeliver", None)
    assert (again["id"], again["event_id"], again["state"]) == (tested["id"], tested["event_id"], "waiting")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://user:secret@hooks.example.com/"}, "url"),
        ({"url": URL, "events": ["no_such_thing.v0"]}, "events"),
        ({"url": URL, "events": ["user_*x"]}, "events.0"),
        ({"url": URL, "active": "yes"}, "active"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_is_refused_by_name(api: Caller, body: dict[str, Any], field: str) -> None:
    """400, with the field."""
    assert set(api.post("webhooks", body, expect=400)["details"]["errors"]) == {field}


@pytest.mark.parametrize("role", ["team_manager", "developer", "billing", "viewer"])
def test_only_administrators_have_anything_to_do_with_them(api: Caller, role: str) -> None:
    """What is told is all that happens in the account."""
    _, other = member_with(api, role)
    other.get("webhooks", expect=403)
    other.post("webhooks", {"url": URL}, expect=403)
