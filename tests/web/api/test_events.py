"""Events, as the API tells of them."""

from urllib.parse import quote

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
    }
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
