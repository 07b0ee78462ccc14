"""Events, as the API tells of them."""

import json
from urllib.parse import quote

import pytest

from idp_bridge import events
from tests.web.api.conftest import Caller, member_with


def test_an_event_tells_who_did_what_to_which(api: Caller) -> None:
    """The form is ngrok's: principal, credential and the object as it was then."""
    bot = api.post("bot_users", {"name": "deploy"})
    event = api.get("events?limit=1")["events"][0]
    me, key = api.get("whoami"), api.get("api_keys")["keys"][0]
    assert event == {
        "event_id": event["event_id"],
        "uri": f"http://localhost/api/events/{event['event_id']}",
        "event_type": "bot_user_created.v0",
        "event_timestamp": event["event_timestamp"],
        "account_id": me["account"]["id"],
        "principal": {
            "id": me["principal"]["id"],
            "type": "user",
            "subject": "owner@acme.test",
            "source": "api",
            "credential": {"id": key["id"], "uri": key["uri"]},
        },
        "object": event["object"],
        "address": "127.0.0.1",
        "request_id": event["request_id"],
    }
    assert event["request_id"].startswith("op_")
    assert event["object"]["id"] == bot["id"]
    assert api.get(f"events/{event['event_id']}") == event


def test_filters_narrow_and_pages_keep_them(api: Caller) -> None:
    """type, actor_id, object_id and since must all fit; next_page_uri carries them on."""
    first = api.post("bot_users", {"name": "one"})
    second = api.post("bot_users", {"name": "two"})
    api.patch(f"bot_users/{first['id']}", {"active": False})
    dana, _ = member_with(api, "admin")

    def types(query: str) -> list[str]:
        return [event["event_type"] for event in api.get(f"events?{query}")["events"]]

    assert types(f"object_id={first['id']}") == ["bot_user_updated.v0", "bot_user_created.v0"]
    assert types(f"object_id={second['id']}&type=bot_user_updated.v0") == []
    assert types(f"type=bot_user_created.v0&actor_id={dana}") == []
    page = api.get("events?type=bot_user_created.v0&limit=1")
    following = api.get(page["next_page_uri"].removeprefix("http://localhost"))
    assert [event["object"]["id"] for event in following["events"]] == [first["id"]]
    assert following["next_page_uri"] is None


def test_since_is_inclusive(api: Caller) -> None:
    """The event at that very instant is in the answer, whatever the offset it is written with."""
    bot = api.post("bot_users", {"name": "one"})
    event = api.get(f"events?object_id={bot['id']}")["events"][0]
    instant = event["event_timestamp"]
    for written in (instant, instant.replace("Z", "+00:00")):
        assert event in api.get(f"events?since={quote(written)}")["events"]
    api.post("bot_users", {"name": "two"})
    later = api.get("events?limit=1")["events"][0]["event_timestamp"]
    assert event not in api.get(f"events?since={later}")["events"]
    assert list(api.get("events?since=yesterday", expect=400)["details"]["errors"]) == ["since"]


def test_a_change_of_nothing_is_no_event(api: Caller) -> None:
    """A PATCH with what is there already is answered and leaves no trace."""
    bot = api.post("bot_users", {"name": "one"})
    key = api.post("credentials", {"description": "x"})
    api.patch(f"bot_users/{bot['id']}", {"name": "one"})
    api.patch(f"credentials/{key['id']}", {"description": "x"})
    assert api.get("events?limit=1")["events"][0]["event_type"] == "tunnel_credential_created.v0"


def test_an_export_holds_every_event_in_the_order_of_time(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page, each event as it is answered alone; the same filters as the list."""
    monkeypatch.setattr(events, "PAGE", 3)
    for number in range(7):
        api.post("bot_users", {"name": f"bot {number}"})
    response = api.call("GET", "events/export")
    assert response.mimetype == "application/x-ndjson"
    assert response.headers["Content-Disposition"] == 'attachment; filename="events-acme.jsonl"'
    told = [json.loads(line) for line in response.text.splitlines()]
    assert told == api.get("events")["events"][::-1]
    assert len(told) > 7
    one = told[-1]["object"]["id"]
    only = api.call("GET", f"events/export?object_id={one}&type=bot_user_created.v0").text
    assert [json.loads(line) for line in only.splitlines()] == told[-1:]
    assert api.call("GET", "events/export?type=bot_user_deleted.v0").text == ""
    assert api.call("GET", "events/export?page=2").status_code == 400
