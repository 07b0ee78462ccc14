"""Sign-ins that begin at the provider: off by default, bound to one browser, and never in place of somebody else."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, idps
from idp_bridge.models import Session
from tests.web.connections import (
    BASE,
    SESSION_COOKIE,
    Connection,
    events_of,
    failed_checks,
    flows_of,
    reference,
    session_of,
)
from tests.web.pages import csrf_of, sign_in

THE_PROVIDERS = "http://127.0.0.1:1"  # the origin of the simulated providers' pages


@pytest.fixture
def tile(okta: Connection) -> Connection:
    """A connection whose people may start at the provider."""
    okta.change(allow_idp_initiated=True)
    return okta


def cross_site(connection: Connection, browser: FlaskClient, response: str, **fields: str) -> Any:
    """The provider's page posts: the browser's Lax cookies stay at home, and what the answer sets is kept."""
    origin = fields.pop("Origin", THE_PROVIDERS)
    stranger = browser.application.test_client()
    answer = stranger.post(
        f"{connection.path}/acs", data={"SAMLResponse": response, **fields}, headers={"Origin": origin}
    )
    for name in [cookie.partition("=")[0] for cookie in answer.headers.getlist("Set-Cookie")]:
        cookie = stranger.get_cookie(name)
        if cookie is not None:
            browser.set_cookie(cookie.key, cookie.value)
    return answer


def confirm(connection: Connection, browser: FlaskClient, finish: str) -> Any:
    """The person presses the button."""
    fields = {"csrf_token": csrf_of(browser, finish), "flow": finish.partition("flow=")[2]}
    return browser.post(f"{connection.path}/finish", data=fields)


def test_off_by_default(okta: Connection, client: FlaskClient) -> None:
    """A response that nobody asked for is refused, whoever signed it."""
    answer = cross_site(okta, client, okta.response(None))
    assert answer.status_code == 403
    (flow,) = flows_of(okta)
    assert (flow.kind, flow.reason, failed_checks(flow)) == (
        "idp_initiated",
        "unsolicited_not_allowed",
        ["solicited"],
    )


@pytest.mark.parametrize(
    ("relay_state", "landed"),
    [
        ("/accounts/acme/events", "/accounts/acme/events"),
        ("https://evil.test", "/accounts/acme/overview"),
        ("//evil.test", "/accounts/acme/overview"),
        ("an opaque state of the provider's", "/accounts/acme/overview"),
    ],
)
def test_signs_in_by_way_of_a_same_site_page(
    tile: Connection, client: FlaskClient, relay_state: str, landed: str
) -> None:
    """The post's answer opens nothing; the GET after it does, to a page of ours at most."""
    answer = cross_site(tile, client, tile.response(None), RelayState=relay_state)
    assert answer.status_code == 303
    assert SESSION_COOKIE not in str(answer.headers)
    landing = client.get(answer.headers["Location"])
    assert landing.headers["Location"] == landed
    assert session_of(client)
    (flow,) = flows_of(tile)
    assert (flow.kind, flow.decision, flow.reason) == ("idp_initiated", "join", None)
    assert client.get_cookie(flow.id) is None, "the flow's own cookie goes with it"


def test_with_the_browsers_cookies_there_is_no_detour(tile: Connection, client: FlaskClient) -> None:
    """A provider on our own site: the cookies came with the post, so that it is known that nobody is signed in."""
    client.get("/login")
    tile.start(client)
    assert tile.post(client, tile.response(None)).headers["Location"] == "/accounts/acme/overview"
    assert session_of(client)


def test_the_link_opens_nothing_in_another_browser(tile: Connection, app: Flask, client: FlaskClient) -> None:
    """Login CSRF by link: somebody who sends her own link to /finish signs nobody in as herself; and she still can."""
    finish = cross_site(tile, client, tile.response(None)).headers["Location"]
    victim = app.test_client()
    victim.get("/login")
    answer = victim.get(finish)
    assert (answer.status_code, session_of(victim)) == (403, None)
    assert events_of(tile.world, "sign_in_refused.v0")[-1].object["reason"] == "other_browser"
    assert client.get(finish).status_code == 303


def test_it_finishes_once_and_soon(tile: Connection, client: FlaskClient) -> None:
    """What waits is taken once, within five minutes."""
    first, second = (cross_site(tile, client, tile.response(None)).headers["Location"] for _ in range(2))
    assert client.get(first).status_code == 303
    session = session_of(client)
    assert client.get(first).headers["Location"] == "/accounts/acme/overview", "she has its session"
    assert session_of(client) == session
    client.delete_cookie(SESSION_COOKIE)
    assert client.get(first).status_code == 403
    with time_machine.travel(clock.now() + timedelta(minutes=6), tick=False):
        assert client.get(second).status_code == 403


def test_two_tiles_at_once(tile: Connection, client: FlaskClient) -> None:
    """Each flow has a cookie of its own; the browser's own cookie, and what hangs on it, is left alone."""
    request_id = tile.start(client)
    before = client.get_cookie("idp_bridge_browser")
    first, second = (cross_site(tile, client, tile.response(None)).headers["Location"] for _ in range(2))
    assert client.get_cookie("idp_bridge_browser") == before
    assert client.get(second).status_code == 303
    assert client.get(first).status_code == 303
    assert tile.post(client, tile.response(request_id)).status_code == 303


# --- somebody else is signed in ---------------------------------------------------------------------------------


def test_somebody_else_is_asked_before_she_is_replaced(tile: Connection, client: FlaskClient) -> None:
    """The page names both; until she says yes the session is hers, and then it ends."""
    sign_in(client)
    hers = session_of(client)
    finish = cross_site(tile, client, tile.response(None)).headers["Location"]
    page = client.get(finish)
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "owner@acme.test" in text
    assert tile.provider.people[0].email in text
    assert session_of(client) == hers
    assert client.get("/api/whoami").get_json()["principal"]["subject"] == "owner@acme.test"
    assert confirm(tile, client, finish).status_code == 303
    assert client.get("/api/whoami").get_json()["principal"]["subject"] == tile.provider.people[0].email
    with db.connection():
        assert Session.select().count() == 1


def test_the_question_cannot_be_answered_by_another_site(tile: Connection, client: FlaskClient) -> None:
    """The confirming post wants the browser's CSRF token."""
    sign_in(client)
    finish = cross_site(tile, client, tile.response(None)).headers["Location"]
    answer = client.post(f"{tile.path}/finish", data={"flow": finish.partition("flow=")[2]})
    assert answer.status_code == 403
    assert client.get("/api/whoami").get_json()["principal"]["subject"] == "owner@acme.test"


def test_the_same_person_is_not_asked(tile: Connection, client: FlaskClient) -> None:
    """Her own new session takes the place of her old one."""
    tile.sign_in(client)
    before = session_of(client)
    finish = cross_site(tile, client, tile.response(None)).headers["Location"]
    assert client.get(finish).status_code == 303
    assert session_of(client) != before
    with db.connection():
        assert Session.select().count() == 1


@pytest.mark.parametrize(
    ("sso_url", "origin"),
    [
        ("https://idp.test/sso?idpid=1", "https://idp.test"),
        ("https://IDP.test:443/sso", "https://idp.test"),
        ("http://idp.test:80/", "http://idp.test"),
        ("https://idp.test:8443/sso", "https://idp.test:8443"),
        ("https://[2001:db8::1]:8443/sso", "https://[2001:db8::1]:8443"),
        ("https://idp.test/sso", BASE),
    ],
)
def test_the_providers_page_is_known_by_its_origin(
    tile: Connection, client: FlaskClient, sso_url: str, origin: str
) -> None:
    """Scheme, host and port of the sign-on address, as browsers write them; or our own."""
    tile.change(sso_url=sso_url)
    finish = cross_site(tile, client, tile.response(None), Origin=origin).headers["Location"]
    assert client.get(finish).status_code == 303


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1:1.evil.test"])
def test_what_another_site_posts_is_asked_about(tile: Connection, client: FlaskClient, origin: str) -> None:
    """Login CSRF by post: a page that is not the provider's makes a browser post somebody's response. Where nobody is
    signed in she is told as whom she would be, and nothing happens unless she says yes."""
    finish = cross_site(tile, client, tile.response(None), Origin=origin).headers["Location"]
    page = client.get(finish)
    assert page.status_code == 200
    assert tile.provider.people[0].email in page.get_data(as_text=True)
    assert session_of(client) is None
    assert confirm(tile, client, finish).status_code == 303
    assert session_of(client)


def test_the_same_assertion_comes_once(tile: Connection, app: Flask, client: FlaskClient) -> None:
    """Replayed, it is refused while the first one waits still."""
    response = tile.response(None)
    finish = cross_site(tile, client, response).headers["Location"]
    assert cross_site(tile, app.test_client(), response).status_code == 403
    assert client.get(finish).status_code == 303
    assert flows_of(tile)[-1].reason == "assertion_replayed"


# --- bounced ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bouncing(okta: Connection) -> Connection:
    """A connection that turns what begins at the provider into a request of ours."""
    okta.change(bounce_idp_initiated=True)
    return okta


def bounced(connection: Connection, browser: FlaskClient, answer: Any) -> str:
    """The id of the request that an unsolicited response was turned into."""
    location = answer.headers["Location"]
    assert "/start?flow=" in location
    return connection.asked(browser.get(location))


def test_a_bounce_signs_in_by_our_own_request_only(bouncing: Connection, client: FlaskClient) -> None:
    """The unsolicited response opens nothing; the answer to our request does, in the browser that went for it."""
    answer = cross_site(bouncing, client, bouncing.response(None), RelayState="/accounts/acme/events")
    request_id = bounced(bouncing, client, answer)
    assert session_of(client) is None
    landing = bouncing.post(client, bouncing.response(request_id))
    assert landing.headers["Location"] == "/accounts/acme/events"
    (flow,) = flows_of(bouncing)
    assert (flow.kind, flow.decision) == ("idp_initiated", "join")


def test_an_attackers_response_is_worth_nothing_where_it_bounces(
    bouncing: Connection, app: Flask, client: FlaskClient
) -> None:
    """Whoever's response made the browser start, the person who signs in at the provider is who comes in."""
    attackers = bouncing.response(None, person=1)
    request_id = bounced(bouncing, client, cross_site(bouncing, client, attackers, Origin="https://evil.test"))
    bouncing.post(client, bouncing.response(request_id, person=0))
    assert client.get("/api/whoami").get_json()["principal"]["subject"] == bouncing.provider.people[0].email


def test_the_answer_to_a_bounce_from_a_strangers_page_is_asked_about(
    bouncing: Connection, app: Flask, client: FlaskClient
) -> None:
    """Who caused the bounce knows its request, sends a browser for it, and could post her own answer into it."""
    answer = cross_site(bouncing, app.test_client(), bouncing.response(None, person=1))
    request_id = bounced(bouncing, client, answer)
    posted = cross_site(bouncing, client, bouncing.response(request_id, person=1), Origin="https://evil.test")
    assert client.get(posted.headers["Location"]).status_code == 200
    assert session_of(client) is None


def test_a_provider_that_does_not_say_what_it_answers_is_not_asked_for_ever(
    bouncing: Connection, client: FlaskClient
) -> None:
    """Its answer to our request is unsolicited again: refused with the reason, instead of a loop. The next minute, or
    somebody else, may try again."""
    bounced(bouncing, client, cross_site(bouncing, client, bouncing.response(None)))
    again = cross_site(bouncing, client, bouncing.response(None))
    assert again.status_code == 403
    assert reference(again) == events_of(bouncing.world, "sign_in_refused.v0")[-1].id
    assert flows_of(bouncing)[-1].reason == "request_not_named"
    assert cross_site(bouncing, client, bouncing.response(None, person=1)).status_code == 303
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=False):
        assert cross_site(bouncing, client, bouncing.response(None)).status_code == 303, flows_of(bouncing)[-1].reason


def test_a_bounce_is_claimed_once(bouncing: Connection, app: Flask, client: FlaskClient) -> None:
    """The prepared request goes with the first browser that comes for it."""
    location = cross_site(bouncing, client, bouncing.response(None)).headers["Location"]
    assert client.get(location).status_code == 303
    assert app.test_client().get(location).status_code == 403


def test_only_a_verified_response_bounces(bouncing: Connection, client: FlaskClient) -> None:
    """What would be refused says why, instead of going round by the provider for ever."""
    forged = bouncing.response(None, sign_response=False, sign_assertion=False)
    assert cross_site(bouncing, client, forged).status_code == 403
    assert [flow.reason for flow in flows_of(bouncing)] == ["signature_missing"]


def test_bouncing_stands_above_taking(bouncing: Connection, client: FlaskClient) -> None:
    """With both switches on nothing unsolicited signs anybody in."""
    bouncing.change(allow_idp_initiated=True)
    assert "/start?flow=" in cross_site(bouncing, client, bouncing.response(None)).headers["Location"]
    assert idps.urls(bouncing.row.id, BASE)["start_url"].endswith("/start")


@pytest.mark.parametrize("same_site", [True, False], ids=["same site", "cross-site"])
def test_a_bounce_replaces_nobody_unasked_either(bouncing: Connection, client: FlaskClient, same_site: bool) -> None:
    """It began at the provider, or at somebody's page: who is signed in here has a say, however the answer comes."""
    sign_in(client)
    request_id = bounced(bouncing, client, cross_site(bouncing, client, bouncing.response(None)))
    response = bouncing.response(request_id)
    answer = bouncing.post(client, response) if same_site else cross_site(bouncing, client, response)
    finish = answer.headers["Location"]
    assert client.get(finish).status_code == 200
    assert client.get("/api/whoami").get_json()["principal"]["subject"] == "owner@acme.test"
    assert confirm(bouncing, client, finish).status_code == 303
    assert client.get("/api/whoami").get_json()["principal"]["subject"] == bouncing.provider.people[0].email
