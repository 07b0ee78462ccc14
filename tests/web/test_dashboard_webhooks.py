"""The pages of webhooks: made with the secret shown once, tested, switched, given a new secret, deleted."""

import html
import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from idp_bridge import clock, db, event_sealing, webhook_delivery, webhooks
from idp_bridge.models import Webhook
from tests.conftest import World
from tests.web.pages import post, sign_in

BASE = "/accounts/acme/webhooks"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]+=*")


@pytest.fixture
def owner(client: FlaskClient, world: World) -> FlaskClient:
    """A browser in which acme's owner is signed in."""
    sign_in(client)
    return client


def send(owner: FlaskClient, path: str = "", **fields: Any) -> Any:
    """Submit a form of the page."""
    return post(owner, f"{BASE}{path}", page=BASE, **fields)


def text_of(answer: Any) -> str:
    return html.unescape(answer.get_data(as_text=True))


def make(owner: FlaskClient, **fields: Any) -> tuple[str, str]:
    """A webhook; its id and its secret as the page shows it."""
    shown = send(owner, url="https://127.0.0.1/hook", events="user_*, session_ended.v0", **fields)
    assert shown.status_code == 201
    found = SECRET.search(text_of(shown))
    assert found is not None
    with db.connection():
        return Webhook.get().id, found.group()


def test_the_secret_is_shown_once(owner: FlaskClient) -> None:
    """After it was made, and after a new one was made; never again."""
    hook, secret = make(owner, description="ours")
    page = text_of(owner.get(f"{BASE}/{hook}"))
    assert "https://127.0.0.1/hook" in page
    assert not SECRET.search(page)
    again = SECRET.search(text_of(send(owner, f"/{hook}/rotate")))
    assert again is not None
    assert again.group() != secret
    listed = text_of(owner.get(BASE))
    assert "session_ended.v0" in listed
    assert "ours" in listed


def test_a_test_ends_up_in_the_log(owner: FlaskClient) -> None:
    """With what came of it: this receiver is on our own network, where nothing is sent."""
    hook, _ = make(owner)
    assert send(owner, f"/{hook}/test").status_code == 303
    with db.connection():
        event_sealing.seal(clock.now())
        webhook_delivery.deliver(clock.now())
        (row,) = webhooks.deliveries(Webhook.get_by_id(hook))
    page = text_of(owner.get(f"{BASE}/{hook}"))
    assert "webhook_tested.v0" in page
    assert "not public" in page
    assert "Failing" in text_of(owner.get(BASE))
    assert send(owner, f"/{hook}/deliveries/{row.id}/redeliver").status_code == 303


def test_the_log_is_narrowed_and_downloaded(owner: FlaskClient) -> None:
    """By the state of a delivery; a row for each, with its last attempt."""
    hook, _ = make(owner)
    send(owner, f"/{hook}/test")
    with db.connection():
        event_sealing.seal(clock.now())
        webhook_delivery.deliver(clock.now())
    waiting = text_of(owner.get(f"{BASE}/{hook}?state=waiting"))
    assert "webhook_tested.v0" in waiting
    assert "No such delivery" in text_of(owner.get(f"{BASE}/{hook}?state=delivered"))
    lines = owner.get(f"{BASE}/{hook}/deliveries.csv").get_data(as_text=True).splitlines()
    assert len(lines) == 2
    assert "webhook_tested.v0,waiting" in lines[1]
    assert "not public" in lines[1]


def test_it_is_changed_switched_and_deleted(owner: FlaskClient) -> None:
    """Each answer leads back to a page that says so."""
    hook, _ = make(owner)
    assert send(owner, f"/{hook}/edit", url="https://127.0.0.1/other", events="").status_code == 303
    assert send(owner, f"/{hook}/off").status_code == 303
    with db.connection():
        row = Webhook.get_by_id(hook)
    assert (row.url, row.events, row.active) == ("https://127.0.0.1/other", ["*"], False)
    assert "Switch on" in text_of(owner.get(f"{BASE}/{hook}"))
    assert send(owner, f"/{hook}/on").status_code == 303
    assert send(owner, f"/{hook}/delete", confirm="other").status_code == 400
    assert send(owner, f"/{hook}/delete", confirm="127.0.0.1").status_code == 303
    assert owner.get(f"{BASE}/{hook}").status_code == 404


def test_a_refused_form_comes_back_with_what_was_typed(owner: FlaskClient) -> None:
    """And what is wrong with it."""
    answer = send(owner, url="http://plain.example.com/", events="*")
    assert answer.status_code == 400
    assert "http://plain.example.com/" in text_of(answer)
    assert "Must be an https:// URL." in text_of(answer)


def test_the_events_page_gives_all_of_them_away(owner: FlaskClient) -> None:
    """As JSON lines, narrowed as the page is."""
    make(owner)
    page = text_of(owner.get("/accounts/acme/events?type=webhook_created.v0"))
    assert "/accounts/acme/events.jsonl?type=webhook_created.v0" in page
    lines = owner.get("/accounts/acme/events.jsonl?type=webhook_created.v0").get_data(as_text=True).splitlines()
    assert [json.loads(line)["event_type"] for line in lines] == ["webhook_created.v0"]
