"""Enforcing single sign-on as the settings page and the API do it, and the ways in that go on working."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import actors, clock, db, member_lifecycle, member_roles, passwords, people, recovery
from idp_bridge.models import Account, IdentityProvider, Member, RecoveryCode
from tests.conftest import PASSWORD, World, make_account
from tests.web.connections import Connection, connect, events_of
from tests.web.pages import post, sign_in

PAGE = "/accounts/acme/settings/sign-in-mode"


@pytest.fixture
def proven(okta: Connection) -> Connection:
    """A connection that nothing stands against enforcing."""
    with db.connection():
        RecoveryCode.create(member=okta.world.owner, code_hash="x")
        IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=okta.world.owner.id).execute()
    return okta


@pytest.fixture
def browser(client: FlaskClient, proven: Connection) -> FlaskClient:
    """One in which acme's owner is signed in by password."""
    sign_in(client)
    return client


def api(app: Flask, world: World, method: str, path: str, body: Any = None) -> Any:
    return app.test_client().open(f"/api/{path}", method=method, headers=world.headers, json=body)


def stored(world: World) -> Account:
    with db.connection():
        account: Account = Account.get_by_id(world.account.id)
    return account


def text(answer: Any) -> str:
    """What the page says, without its markup and the number of the request."""
    return " ".join(re.sub(r"<[^>]+>|\bop_\w+", " ", answer.get_data(as_text=True)).split())


# --- the API ----------------------------------------------------------------------------------------------------


def test_the_api_names_what_is_missing_for_machines_too(app: Flask, okta: Connection) -> None:
    """Each condition by its stable name, in the refusal and before it."""
    refused = api(app, okta.world, "PATCH", "account", {"sso_mode": "enforced"})
    assert (refused.status_code, refused.json["error_code"]) == (409, "ERR_ENFORCEMENT_CONDITIONS")
    assert set(refused.json["details"]["errors"]) == {"no_administrator_signed_in", "no_recovery_codes"}
    asked = api(app, okta.world, "GET", "account/enforcement").json
    assert [gap["code"] for gap in asked["missing"]] == ["no_administrator_signed_in", "no_recovery_codes"]


def test_the_api_names_who_would_be_unable_to_sign_in(app: Flask, proven: Connection) -> None:
    """Page by page, with how many there are, and how many sessions end."""
    sign_in(app.test_client())
    first = api(app, proven.world, "GET", "account/enforcement?limit=1").json
    owner = proven.world.owner
    assert first["unable_to_sign_in"] == [{"id": owner.id, "email": owner.email, "name": owner.name}]
    assert (first["unable_total"], first["sessions_ended"], first["missing"]) == (1, 1, [])
    assert first["next_page_uri"] is None
    assert api(app, proven.world, "GET", "account/enforcement?limit=0").status_code == 400


def test_the_api_enforces_on_trial_and_says_until_when(app: Flask, proven: Connection) -> None:
    """A key has no session to be spared; back to mixed asks for nothing."""
    before = clock.now()
    body = {"sso_mode": "enforced", "sso_fallback_minutes": 10}
    answer = api(app, proven.world, "PATCH", "account", body).json
    assert answer["sso_mode"] == "enforced"
    assert 590 < (clock.parse(answer["sso_falls_back_at"]) - before).total_seconds() < 610
    assert api(app, proven.world, "GET", "account/enforcement").json["sso_falls_back_at"] == answer["sso_falls_back_at"]
    assert api(app, proven.world, "PATCH", "account", {"sso_mode": "mixed"}).json["sso_falls_back_at"] is None
    reasons = [event.object["reason"] for event in events_of(proven.world, "account_updated.v0")]
    assert reasons == ["enforced", "mixed"]


@pytest.mark.parametrize(
    "body",
    [
        {"sso_fallback_minutes": 10},
        {"sso_mode": "mixed", "sso_fallback_minutes": 10},
        {"sso_mode": "enforced", "sso_fallback_minutes": 0},
        {"sso_mode": "enforced", "sso_fallback_minutes": 1441},
        {"sso_mode": "enforced", "sso_fallback_minutes": "10"},
        {"sso_mode": "enforced", "sso_fallback_minutes": None},
    ],
)
def test_minutes_go_with_enforcing_and_are_a_number_of_them(app: Flask, proven: Connection, body: Any) -> None:
    """400, and nothing is changed."""
    answer = api(app, proven.world, "PATCH", "account", body)
    assert answer.status_code == 400
    assert "sso_fallback_minutes" in answer.json["details"]["errors"]
    assert stored(proven.world).sso_mode == "mixed"


# --- the page ---------------------------------------------------------------------------------------------------


def test_the_page_names_them_before_the_switch(browser: FlaskClient) -> None:
    """Herself among them, where it is so."""
    shown = text(browser.get(PAGE))
    assert "Who would be unable to sign in" in shown
    assert "Olive Owner owner@acme.test, you" in shown


def test_whoever_flips_the_switch_stays_and_everybody_else_by_password_goes(
    app: Flask, browser: FlaskClient, proven: Connection
) -> None:
    """At once; the page then says until when it is on trial, and so does every other."""
    elsewhere = app.test_client()
    sign_in(elsewhere)
    answer = post(browser, PAGE, page=PAGE, sso_mode="enforced", sso_fallback_minutes="15")
    assert answer.status_code == 303
    assert elsewhere.get("/accounts/acme/members").status_code == 302
    for page in (PAGE, "/accounts/acme/members"):
        assert "enforced on trial" in text(browser.get(page))
    assert sign_in(app.test_client()).status_code == 403
    assert "Sign in through" in text(browser.get(PAGE))


def test_a_sign_in_that_began_before_the_switch_confirms_nothing(
    app: Flask, browser: FlaskClient, proven: Connection
) -> None:
    """She comes in, and the trial goes on: her provider may have spoken before it."""
    with db.connection():
        address = proven.provider.people[0].email
        Member.update(email=address, email_key=address.lower()).execute()
    private_window = app.test_client()
    begun = proven.response(proven.start(private_window))
    post(browser, PAGE, page=PAGE, sso_mode="enforced", sso_fallback_minutes="15")
    assert proven.post(private_window, begun).status_code == 303
    assert stored(proven.world).enforced_until is not None
    assert proven.sign_in(app.test_client()).status_code == 303
    assert stored(proven.world).enforced_until is None


def test_a_sign_in_through_the_provider_confirms_it(app: Flask, browser: FlaskClient, proven: Connection) -> None:
    """Her first session was spared for that, and is over with it."""
    with db.connection():
        address = proven.provider.people[0].email
        Member.update(email=address, email_key=address.lower()).execute()
    post(browser, PAGE, page=PAGE, sso_mode="enforced", sso_fallback_minutes="15")
    private_window = app.test_client()
    assert proven.sign_in(private_window).status_code == 303
    assert (stored(proven.world).sso_mode, stored(proven.world).enforced_until) == ("enforced", None)
    assert browser.get(PAGE).status_code == 302
    assert "on trial" not in text(private_window.get(PAGE))
    (told,) = [e for e in events_of(proven.world, "account_updated.v0") if e.object["reason"] == "confirmed"]
    assert told.object["confirmed_by"] == proven.world.owner.id


@pytest.mark.parametrize("minutes", ["0", "1441", "soon", "-1"])
def test_wrong_minutes_come_back_with_the_form(browser: FlaskClient, proven: Connection, minutes: str) -> None:
    """And what was typed."""
    answer = post(browser, PAGE, page=PAGE, sso_mode="enforced", sso_fallback_minutes=minutes)
    assert answer.status_code == 400
    assert f'value="{minutes}"' in answer.get_data(as_text=True)
    assert stored(proven.world).sso_mode == "mixed"


def test_without_minutes_it_does_not_fall_back(browser: FlaskClient, proven: Connection) -> None:
    """And back again, by the same page."""
    post(browser, PAGE, page=PAGE, sso_mode="enforced", sso_fallback_minutes="")
    assert (stored(proven.world).sso_mode, stored(proven.world).enforced_until) == ("enforced", None)
    assert post(browser, PAGE, page=PAGE, sso_mode="mixed").status_code == 303
    assert stored(proven.world).sso_mode == "mixed"


def test_what_is_missing_is_linked_from_the_refusal(browser: FlaskClient) -> None:
    """The summary leads to the condition on the page."""
    with db.connection():
        RecoveryCode.delete().execute()
    answer = post(browser, PAGE, page=PAGE, sso_mode="enforced")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    (anchor,) = set(re.findall(r'href="#(f[^"]+no_recovery_codes)"', page))
    assert f'id="{anchor}"' in page


def test_only_an_administrator_sees_and_flips_the_switch(app: Flask, proven: Connection) -> None:
    """Names of those who would be kept out are for her alone."""
    with db.connection(), db.transaction():
        _member(proven.world, "dev@acme.test", "developer")
    browser = app.test_client()
    sign_in(browser, "dev@acme.test")
    assert browser.get(PAGE).status_code == 403
    assert post(browser, PAGE, page="/accounts/acme/members", sso_mode="enforced").status_code == 403


def _member(world: World, email: str, role: str) -> Member:
    person = people.create(email)
    people.set_password(person, PASSWORD)
    return member_lifecycle.create(world.system, email=email, managed_by="local", person=person, roles=[role])


# --- the door behind oneself ------------------------------------------------------------------------------------


@pytest.fixture
def two(app: Flask, proven: Connection, simulated: Any) -> Connection:
    """A second connection, proven too; acme is enforced."""
    second = connect(app, proven.world, simulated["entra"])
    with db.connection():
        address = proven.provider.people[0].email
        Member.update(email=address, email_key=address.lower()).execute()
        IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=proven.world.owner.id).execute()
        Account.update(sso_mode="enforced").execute()
    return second


@pytest.mark.parametrize("way", ["disable", "delete"])
def test_nobody_shuts_the_door_that_she_came_in_by(app: Flask, proven: Connection, two: Connection, way: str) -> None:
    """409 with its own code, and said before; the other one she may, and so may an API key."""
    browser = app.test_client()
    assert proven.sign_in(browser).status_code == 303
    token = re.search(r'csrf-token" content="([^"]+)"', browser.get(PAGE).get_data(as_text=True))
    assert token

    def act(row: Any, **options: Any) -> Any:
        method, body = ("PATCH", {"enabled": False}) if way == "disable" else ("DELETE", None)
        return browser.open(f"/api/identity_providers/{row.id}", method=method, json=body, **options)

    headers = {"X-CSRF-Token": token.group(1), "Referer": "http://localhost/"}
    refused = act(proven.row, headers=headers)
    assert (refused.status_code, refused.json["error_code"]) == (409, "ERR_OWN_IDENTITY_PROVIDER")
    said = browser.get(f"/api/identity_providers/{proven.row.id}/impact").json
    assert "you came in through this" in said[way]["refused"]
    assert act(proven.row, headers=proven.world.headers).status_code in (200, 204)
    last = act(two.row, headers=two.world.headers)
    assert (last.status_code, last.json["error_code"]) == (409, "ERR_LAST_IDENTITY_PROVIDER")


# --- ways in that go on working ---------------------------------------------------------------------------------


def _break_glass(world: World) -> str:
    with db.connection(), db.transaction():
        return f"/login/break-glass/{recovery.make_break_glass(actors.system(world.account), world.owner.email)}"


def _second_administrator(world: World) -> Member:
    with db.connection(), db.transaction():
        return _member(world, "second@acme.test", "admin")


def _demote_owner(world: World) -> None:
    _second_administrator(world)
    with db.connection(), db.transaction():
        member_roles.set_roles(world.system, world.owner, ["viewer"])


def test_break_glass_lets_in_under_enforcement_and_is_told(client: FlaskClient, world: World) -> None:
    """Its event says who."""
    with db.connection():
        Account.update(sso_mode="enforced").execute()
    path = _break_glass(world)
    assert post(client, path, page=path).status_code == 303
    (used,) = events_of(world, "break_glass_used.v0")
    assert used.object["email"] == world.owner.email


def test_a_break_glass_link_is_asked_again_when_it_is_used(client: FlaskClient, world: World) -> None:
    """Whoever is no administrator any more gets no session by it, though the link was made for her as one."""
    path = _break_glass(world)
    _demote_owner(world)
    answer = post(client, path, page=path)
    assert answer.status_code == 403
    assert client.get("/accounts/acme/members").status_code == 302
    assert events_of(world, "break_glass_used.v0") == []
    (refused,) = events_of(world, "sign_in_refused.v0")
    assert (refused.object["id"], refused.object["reason"]) == (world.owner.id, "not_an_administrator")


def test_recovery_codes_of_a_former_administrator_are_dead(client: FlaskClient, world: World) -> None:
    """And alive again with the role."""
    with db.connection():
        owner = actors.Actor(world.account, "user", world.owner.email, "dashboard", id=world.owner.id, roles=("admin",))
        code = recovery.make(owner, world.owner)[0]
    _demote_owner(world)
    tried = {"page": "/login/recovery", "email": world.owner.email, "code": code}
    assert post(client, "/login/recovery", **tried).status_code == 403
    with db.connection(), db.transaction():
        member_roles.set_roles(world.system, world.owner, ["admin"])
    assert post(client, "/login/recovery", **tried).status_code == 303


def test_no_emergency_door_tells_a_stranger_which_accounts_enforce(app: Flask, world: World) -> None:
    """The same status and the same page for enforced, mixed and unknown."""
    with db.connection():
        make_account("beta")
        Account.update(sso_mode="enforced").where(Account.slug == "acme").execute()
        slow_hash = passwords.hash_password("none of hers, nor of others")
        for member in Member.select():
            RecoveryCode.create(member=member, code_hash=slow_hash)
    answers = set()
    for email in ("owner@acme.test", "owner@beta.test", "nobody@nowhere.test"):
        browser = app.test_client()
        form = {"email": email, "code": "0-aaaaa-aaaaa-aaaaa-aaaaa"}
        answer = post(browser, "/login/recovery", page="/login/recovery", **form)
        answers.add((answer.status_code, text(answer).replace(email, "")))
        glass = browser.get("/login/break-glass/ibln_nothing")
        answers.add((glass.status_code, text(glass)))
    assert sorted(status for status, _ in answers) == [403, 410]
