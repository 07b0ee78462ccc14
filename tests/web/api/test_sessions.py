"""Sessions over the API: whose one may see and end, and what is told of them."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import account_sessions, clock, db, members, sessions
from idp_bridge.models import Account
from tests.conftest import World
from tests.domain import cast
from tests.web.api.conftest import Caller, member_with
from tests.web.pages import csrf_of, sign_in

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def browser(app: Flask, world: World) -> FlaskClient:
    """A Firefox in which acme's owner is signed in."""
    client = app.test_client()
    client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    sign_in(client)
    return client


def _headers(browser: FlaskClient) -> dict[str, str]:
    return {"X-CSRF-Token": csrf_of(browser, "/accounts/acme/sessions")}


def _open(world: World, member_id: str, method: str = "saml") -> None:
    with db.connection(), db.transaction():
        sessions.open_session(members.get(world.account, member_id), method=method)


def test_a_session_tells_where_and_how_she_came(browser: FlaskClient, world: World) -> None:
    """Which one is asking, too; never the token or its digest."""
    (told,) = browser.get(f"/api/users/{world.owner.id}/sessions").json["sessions"]
    assert told["id"].startswith("sess_")
    assert told["uri"] == f"http://localhost/api/users/{world.owner.id}/sessions/{told['id']}"
    assert {name: told[name] for name in ("user_id", "method", "identity_provider_id", "address", "user_agent")} == {
        "user_id": world.owner.id,
        "method": "password",
        "identity_provider_id": None,
        "address": "127.0.0.1",
        "user_agent": FIREFOX,
    }
    assert told["current"] is True
    life = clock.parse(told["expires_at"]) - clock.parse(told["created_at"])
    assert abs(life - sessions.ABSOLUTE) < timedelta(seconds=1)
    assert browser.get(told["uri"]).json == told
    assert not any(len(str(value)) == 64 for value in told.values())


@pytest.fixture
def beta(browser: FlaskClient, world: World) -> World:
    """Another account of acme's owner, where she signed in anew, and came to acme."""
    with db.connection():
        beta = cast.open_account("beta")
        cast.join(beta, world.owner.email, "admin", person=world.owner.person)
    sign_in(browser, next="/accounts/acme/members")
    return beta


def _seen_by(account: World) -> tuple[int, list[str]]:
    """How many sessions of hers the account lists, and which ways in it was told of."""
    with db.connection():
        member = members.with_address(account.account, "owner@acme.test")[0]
        told = [event.object["method"] for event in cast.happened(account, "sign_in_succeeded.v0")]
        return len(account_sessions.of_member(member)), told


def test_an_account_hears_of_a_session_when_it_is_used_there(browser: FlaskClient, beta: World) -> None:
    """Then as of a sign-in, once; before that of nothing, although it would let her in."""
    assert browser.get("/api/whoami").status_code == 200
    assert _seen_by(beta) == (0, [])
    for _ in range(2):
        assert browser.get("/api/whoami", headers={"X-Account": "beta"}).status_code == 200
    assert _seen_by(beta) == (1, ["password"])
    assert browser.get("/accounts/beta/sessions").text.count("This one") == 1


def test_a_session_that_reaches_an_account_no_more_leads_to_its_ways_in(browser: FlaskClient, beta: World) -> None:
    """With the page that was asked for, since she is a member there; of others' accounts she learns nothing."""
    with db.connection():
        Account.update(sso_mode="enforced", password_epoch=1).where(Account.id == beta.account.id).execute()
        cast.open_account("others")
    answer = browser.get("/accounts/beta/members?q=a")
    assert (answer.status_code, answer.location) == (303, "/login/beta?next=/accounts/beta/members?q%3Da")
    assert browser.post("/accounts/beta/sessions/end-others").status_code == 404
    for slug in ("others", "nobody"):
        assert browser.get(f"/accounts/{slug}/members?q=a").status_code == 404
    assert browser.get("/api/whoami", headers={"X-Account": "beta"}).status_code == 404


def test_by_key_none_is_the_current_one(api: Caller, browser: FlaskClient, world: World) -> None:
    """The key is no session."""
    assert [row["current"] for row in api.get(f"users/{world.owner.id}/sessions")["sessions"]] == [False]


def test_the_list_is_paged(api: Caller, world: World) -> None:
    """Newest first, like every other."""
    for _ in range(3):
        _open(world, world.owner.id)
    first = api.get(f"users/{world.owner.id}/sessions?limit=2")
    rest = api.get(first["next_page_uri"].removeprefix("http://localhost"))
    ids = [row["id"] for page in (first, rest) for row in page["sessions"]]
    assert len(ids) == 3
    assert ids == sorted(ids, reverse=True)
    assert rest["next_page_uri"] is None


def test_signing_out_everywhere_else_keeps_the_session_that_asks(browser: FlaskClient, world: World) -> None:
    """With ``keep_current``; without it that one ends as well."""
    for _ in range(2):
        _open(world, world.owner.id)
    address, headers = f"/api/users/{world.owner.id}/sessions", _headers(browser)
    assert browser.delete(f"{address}?keep_current=true", headers=headers).status_code == 204
    assert [row["current"] for row in browser.get(address).json["sessions"]] == [True]
    assert browser.delete(f"{address}?keep_current=perhaps", headers=headers).status_code == 400
    assert browser.delete(address, headers=headers).status_code == 204
    assert browser.get(address).status_code == 401


def test_one_session_is_ended(api: Caller, browser: FlaskClient, world: World) -> None:
    """204, then it is gone, and so is whoever came by it; the event says who and why."""
    (told,) = api.get(f"users/{world.owner.id}/sessions")["sessions"]
    path = told["uri"].removeprefix("http://localhost/api/")
    api.delete(path)
    api.delete(path, expect=404)
    assert browser.get("/api/whoami").status_code == 401
    (event,) = api.get("events?type=session_ended.v0")["events"]
    said = {"id": world.owner.id, "reason": "ended", "session_id": told["id"], "sessions_ended": 1}
    assert event["object"] == said


@pytest.mark.parametrize(
    ("role", "own", "viewers", "administrators"),
    [("viewer", 204, 403, 403), ("team_manager", 204, 204, 403), ("admin", 204, 204, 204)],
)
def test_who_may_end_whose(api: Caller, world: World, role: str, own: int, viewers: int, administrators: int) -> None:
    """One's own; others' by members:write; an administrator's by administrators."""
    asking, caller = member_with(api, role)
    viewer, _ = member_with(api, "viewer", email="vera@acme.test")
    for member_id, expected in ((asking, own), (viewer, viewers), (world.owner.id, administrators)):
        _open(world, member_id)
        (row,) = api.get(f"users/{member_id}/sessions")["sessions"]
        assert caller.call("DELETE", f"users/{member_id}/sessions/{row['id']}").status_code == expected
        assert caller.call("DELETE", f"users/{member_id}/sessions").status_code == expected
    assert caller.call("GET", f"users/{viewer}/sessions").status_code == (200 if viewers == 204 else 403)


def test_a_member_who_was_suspended_has_none(api: Caller, world: World) -> None:
    """Nor when she is active again."""
    dana, _ = member_with(api, "developer")
    _open(world, dana)
    for active in (False, True):
        api.patch(f"users/{dana}", {"active": active})
        assert api.get(f"users/{dana}/sessions")["sessions"] == []


# --- pages ------------------------------------------------------------------------------------------------------


def test_everybody_finds_her_own_sessions(browser: FlaskClient) -> None:
    """With a link to them on every page."""
    assert 'href="/accounts/acme/sessions"' in browser.get("/accounts/acme/members").text
    page = browser.get("/accounts/acme/sessions").text
    assert FIREFOX in page
    assert "This one" in page


def test_everywhere_else_is_every_account_that_the_session_reaches(app: Flask, browser: FlaskClient) -> None:
    """By a button; the browser stays signed in."""
    elsewhere = app.test_client()
    sign_in(elsewhere)
    form: dict[str, Any] = {"csrf_token": csrf_of(browser, "/accounts/acme/sessions")}
    answer = browser.post("/accounts/acme/sessions/end-others", data=form, follow_redirects=True)
    assert "You are signed out everywhere else." in answer.text
    assert elsewhere.get("/api/whoami").status_code == 401
    assert browser.get("/api/whoami").status_code == 200


def test_a_member_is_signed_out_by_hand(browser: FlaskClient, api: Caller, world: World) -> None:
    """In one browser, or in all."""
    dana, _ = member_with(api, "developer")
    for ends in (1, 2):
        _open(world, dana)
        _open(world, dana)
        (first, *_) = api.get(f"users/{dana}/sessions")["sessions"]
        path = f"sessions/{first['id']}/end" if ends == 1 else "sessions/end"
        form = {"csrf_token": csrf_of(browser, "/accounts/acme/sessions")}
        answer = browser.post(f"/accounts/acme/members/{dana}/{path}", data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/accounts/acme/members/{dana}")
        assert len(api.get(f"users/{dana}/sessions")["sessions"]) == (1 if ends == 1 else 0)
