"""Past a rate: 429 in the dialect of the path, with the seconds to wait; and who must not suffer for whom."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, idps, invitations, member_lifecycle, people, recovery, scim_tokens, set_up_links, tokens
from idp_bridge.config import Config
from idp_bridge.rates import MOST_TO_ONE, Rates
from tests.conftest import PASSWORD, SECRET_KEY, ScimClient, World, add_provider, make_account
from tests.smtp import Mailbox
from tests.web.pages import csrf_of, post, sign_in

NOON = datetime(2026, 11, 25, 12, 0, 0, 250_000, tzinfo=UTC)
LOGIN_RATE = 6  # from one address; half of it for one person
BY_PERSON = LOGIN_RATE // 2
TOO_MANY = "Too many sign-in attempts"


@pytest.fixture
def config(request: pytest.FixtureRequest, database_url: str) -> Config:
    """Rates that a test can reach; behind as many proxies as it says."""
    rates = {"api_rate": 3, "scim_rate": 3, "login_rate": LOGIN_RATE}
    proxies = getattr(request, "param", 0)
    return Config(
        database_url=database_url,
        base_url="http://localhost",
        secret_key=SECRET_KEY,
        trusted_proxies=proxies,
        **rates,
    )


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until it is moved: no window ends while a slow machine counts."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def statuses(answers: list[Any]) -> list[int]:
    return [answer.status_code for answer in answers]


# --- credentials ------------------------------------------------------------------------------------------------


def test_scim_past_its_rate_answers_a_scim_error(scim_client: ScimClient, clock: time_machine.Traveller) -> None:
    """RFC 6585 section 4, RFC 7644 section 3.12; Retry-After in whole seconds, which is all that Okta reads."""
    headers = {"Authorization": f"Bearer {scim_client.token}"}
    answers = [scim_client.open("GET", "/Users", headers) for _ in range(4)]
    assert statuses(answers) == [200, 200, 200, 429]
    refused = answers[-1]
    assert refused.content_type.startswith("application/scim+json")
    assert refused.headers["Retry-After"] == "1"
    body = refused.get_json(force=True)
    assert (body["schemas"], body["status"]) == (["urn:ietf:params:scim:api:messages:2.0:Error"], "429")
    assert "3 requests a second with one SCIM token" in body["detail"]
    clock.shift(timedelta(seconds=1))
    assert scim_client.open("GET", "/Users", headers).status_code == 200


def test_scim_past_its_rate_reads_no_body(scim_client: ScimClient) -> None:
    """What is refused is not parsed, and changes nothing."""
    headers = {"Authorization": f"Bearer {scim_client.token}", "Content-Type": "application/scim+json"}
    answers = [scim_client.open("POST", "/Users", headers, b"{") for _ in range(4)]
    assert statuses(answers) == [400, 400, 400, 429]


def test_the_api_past_its_rate_answers_in_its_own_form(
    client: FlaskClient, world: World, clock: time_machine.Traveller
) -> None:
    """The documented code, and when to come back."""
    answers = [client.get("/api/whoami", headers=world.headers) for _ in range(4)]
    assert statuses(answers) == [200, 200, 200, 429]
    body = answers[-1].get_json()
    assert (body["error_code"], body["status_code"]) == ("ERR_TOO_MANY_REQUESTS", 429)
    assert body["details"]["operation_id"]
    assert answers[-1].headers["Retry-After"] == "1"
    clock.shift(timedelta(seconds=1))
    assert client.get("/api/whoami", headers=world.headers).status_code == 200


def test_a_session_has_a_rate_of_its_own_over_api_and_pages(
    client: FlaskClient, world: World, clock: time_machine.Traveller
) -> None:
    """Beside the keys of the same person; a page says it as a page."""
    clock.shift(timedelta(seconds=1))  # a session is of later than the membership
    sign_in(client)
    paths = ["/api/whoami", "/accounts/acme/members", "/api/users", "/accounts/acme/members"]
    answers = [client.get(path) for path in paths]
    assert statuses(answers) == [200, 200, 200, 429]
    assert answers[-1].mimetype == "text/html"
    assert answers[-1].headers["Retry-After"] == "1"
    assert "requests a second" in answers[-1].get_data(as_text=True)
    assert client.get("/api/whoami", headers=world.headers).status_code == 200


def test_bad_tokens_do_not_lock_out_good_ones(scim_client: ScimClient, client: FlaskClient) -> None:
    """From the same address; the bad ones go on being told that they are bad."""
    stray = {"Authorization": f"Bearer {tokens.new(tokens.Kind.SCIM_TOKEN)}"}
    wrong = {"Authorization": f"Bearer {tokens.new(tokens.Kind.API_KEY)}"}
    good = {"Authorization": f"Bearer {scim_client.token}"}
    assert {scim_client.open("GET", "/Users", stray).status_code for _ in range(10)} == {401}
    assert {client.get("/api/whoami", headers=wrong).status_code for _ in range(10)} == {401}
    assert scim_client.open("GET", "/Users", good).status_code == 200
    assert client.get("/api/whoami", headers=scim_client.world.headers).status_code == 200


def test_a_used_up_token_leaves_another_of_the_same_directory_alone(scim_client: ScimClient) -> None:
    """By credential, not by account or address."""
    first = scim_client.token
    with db.connection():
        second = _another_token(scim_client.world)
    headers = [{"Authorization": f"Bearer {token}"} for token in (first, second)]
    assert [scim_client.open("GET", "/Users", headers[0]).status_code for _ in range(4)][-1] == 429
    assert scim_client.open("GET", "/Users", headers[1]).status_code == 200


def _another_token(world: World) -> str:
    assert world.provider is not None
    with db.transaction():
        return scim_tokens.issue(world.system, world.provider).token


@pytest.mark.parametrize(("path", "key"), [("/api/whoami", "api"), ("/api/nothing", None), ("/scim/v2/Users", "scim")])
def test_each_answer_says_what_is_left(
    client: FlaskClient, scim_client: ScimClient, clock: time_machine.Traveller, path: str, key: str | None
) -> None:
    """RateLimit-Limit, -Remaining and -Reset for a known credential, the refusal included; nothing for a stranger."""
    good = scim_client.token if key == "scim" else scim_client.world.api_key
    answers = [client.get(path, headers={"Authorization": f"Bearer {good}"}) for _ in range(4)]
    told = [[answer.headers.get(f"RateLimit-{what}") for what in ("Limit", "Remaining", "Reset")] for answer in answers]
    if key is None:  # no view, and so nobody asked who it is
        assert told == [[None] * 3] * 4
        return
    assert told == [["3", "2", "1"], ["3", "1", "1"], ["3", "0", "1"], ["3", "0", "1"]]
    clock.shift(timedelta(seconds=1))
    again = client.get(path, headers={"Authorization": f"Bearer {good}"})
    assert again.headers["RateLimit-Remaining"] == "2"
    assert "RateLimit-Limit" not in client.get(path).headers


def test_pages_say_nothing_of_rates(client: FlaskClient, world: World, clock: time_machine.Traveller) -> None:
    """They are for people."""
    clock.shift(timedelta(seconds=1))
    sign_in(client)
    assert "RateLimit-Limit" not in client.get("/accounts/acme/members").headers


# --- sign-in attempts -------------------------------------------------------------------------------------------


def attempts(client: FlaskClient, number: int, email: str = "owner@acme.test", password: str = "wrong") -> list[Any]:
    return [sign_in(client, email=email, password=password) for _ in range(number)]


@pytest.mark.parametrize("email", ["owner@acme.test", "nobody@acme.test", "not an address"])
def test_guessing_at_a_password_ends_at_the_rate_whoever_is_meant(
    client: FlaskClient, world: World, email: str, clock: time_machine.Traveller
) -> None:
    """Known or not, the answers are the same; the form is still there, and a minute later it works."""
    answers = attempts(client, BY_PERSON + 1, email)
    assert statuses(answers) == [403] * BY_PERSON + [429]
    assert answers[-1].headers["Retry-After"] == "60"
    text = answers[-1].get_data(as_text=True)
    assert f"{TOO_MANY} with this e-mail address. Try again in 60 seconds" in text
    assert 'type="password"' in text
    assert sign_in(client).status_code == (429 if email == "owner@acme.test" else 303)
    clock.shift(timedelta(seconds=60))
    assert sign_in(client).status_code == 303


def test_good_attempts_count_too(client: FlaskClient, world: World) -> None:
    """Else whoever has one password could try others in between."""
    assert statuses(attempts(client, BY_PERSON + 1, password=PASSWORD)) == [303] * BY_PERSON + [429]


def test_an_address_has_so_many_attempts_over_all_people(client: FlaskClient, world: World) -> None:
    """In every account, known or not, and whatever a client claims to be forwarded for."""
    csrf = csrf_of(client, "/login")

    def attempt(number: int) -> int:
        fields = {"csrf_token": csrf, "email": f"p{number}@acme.test", "password": "wrong"}
        path = ("/login", "/login/acme", "/login/nowhere")[number % 3]
        return client.post(path, data=fields, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code

    assert [attempt(number) for number in range(LOGIN_RATE + 2)] == [403] * LOGIN_RATE + [429, 429]


@pytest.mark.parametrize("config", [1], indirect=True)
def test_behind_a_trusted_proxy_the_address_is_the_clients(client: FlaskClient, world: World) -> None:
    """And one client does not shut out another that comes through the same proxy."""
    csrf = csrf_of(client, "/login")

    def attempt(number: int, address: str) -> int:
        fields = {"csrf_token": csrf, "email": f"p{number}@acme.test", "password": "wrong"}
        return client.post("/login", data=fields, headers={"X-Forwarded-For": address}).status_code

    assert [attempt(number, "192.0.2.1") for number in range(LOGIN_RATE + 1)] == [403] * LOGIN_RATE + [429]
    assert attempt(0, "192.0.2.2") == 403


def test_nobody_shuts_the_recovery_codes_of_somebody_else(app: Flask, world: World) -> None:
    """A code has 99 bits: whoever knows only her address may try as long as he likes, and each network so often."""
    with db.connection():
        codes = recovery.make(replace(world.system, id=world.owner.id, roles=("admin",)), world.owner)
    stranger, owner = (app.test_client() for _ in range(2))
    stranger.environ_base["REMOTE_ADDR"] = "192.0.2.66"
    fields = {"page": "/login/recovery", "email": "owner@acme.test"}
    answers = [post(stranger, "/login/recovery", code="0-aaaa", **fields) for _ in range(LOGIN_RATE + 1)]
    assert statuses(answers) == [403] * LOGIN_RATE + [429]
    assert post(owner, "/login/recovery", code=codes[0], **fields).status_code == 303


def test_an_invitation_is_no_place_to_guess_at_a_password(client: FlaskClient, world: World) -> None:
    """Whoever invited her holds the link, and the form there takes the password that she has."""
    with db.connection():
        other = make_account("globex")
        with db.transaction():
            sent = invitations.create(other.system, "owner@acme.test")
    attempts(client, BY_PERSON)
    answer = post(client, f"/invitations/{sent.token}", name="X", password="wrong but long enough")
    assert answer.status_code == 429
    assert (TOO_MANY in answer.get_data(as_text=True), answer.headers["Retry-After"]) == (True, "60")


def test_a_password_link_is_no_place_to_guess_at_a_password(client: FlaskClient, world: World) -> None:
    """Who has a password gives it there; the guesses count with those at the login."""
    with db.connection(), db.transaction():
        link = people.one_time_link(world.owner.person, world.account, people.PASSWORD_SETUP)
    answers = [post(client, f"/login/password/{link}", password="wrong but long enough") for _ in range(BY_PERSON + 1)]
    assert statuses(answers) == [400] * BY_PERSON + [429]
    assert sign_in(client).status_code == 429


def test_a_stranger_shuts_neither_single_sign_on_nor_the_last_ways_in(
    client: FlaskClient, world: World, idp_certificate: str
) -> None:
    """Only what can be guessed is limited: single sign-on, a first password and break-glass links go on working."""
    with db.connection():
        provider = add_provider(world, idp_certificate)
        with db.transaction():
            new = people.create("new@acme.test")
            member_lifecycle.create(world.system, email="new@acme.test", managed_by="local", person=new)
            first = people.one_time_link(new, world.account, people.PASSWORD_SETUP)
            glass = people.one_time_link(world.owner.person, world.account, people.BREAK_GLASS)
    answers = attempts(client, BY_PERSON) + attempts(client, BY_PERSON + 1, "new@acme.test")
    assert statuses(answers)[-1] == 429
    assert client.get(f"/saml/{provider.id}/start").status_code in (302, 303)
    assert post(client, f"/login/password/{first}", password=PASSWORD).status_code == 303
    assert post(client, f"/login/break-glass/{glass}").status_code == 303


# --- invitations ------------------------------------------------------------------------------------------------


def test_nobodys_mailbox_is_filled_by_inviting(
    client: FlaskClient, world: World, mailbox: Mailbox, clock: time_machine.Traveller
) -> None:
    """So many an hour to one address from one account, and from one account in all; each answer says when to go on."""
    client.application.extensions["rates"] = Rates.of(
        Config(database_url="", base_url="", secret_key="", invitation_rate=MOST_TO_ONE + 2)
    )

    def invite(email: str) -> Any:
        return client.post("/api/invitations", json={"email": email}, headers=world.headers)

    first = invite("new@acme.test").get_json()
    assert invite("new@acme.test").status_code == 409  # and so it is not mailed, and does not count
    path = f"/api/invitations/{first['id']}/resend"
    answers = [client.post(path, headers=world.headers) for _ in range(MOST_TO_ONE)]
    assert statuses(answers) == [200] * (MOST_TO_ONE - 1) + [429]
    assert (answers[-1].get_json()["error_code"], answers[-1].headers["Retry-After"]) == (
        "ERR_TOO_MANY_REQUESTS",
        "3600",
    )
    assert [invite(f"p{number}@acme.test").status_code for number in range(3)] == [201, 201, 429]
    clock.shift(timedelta(hours=1))
    assert client.post(path, headers=world.headers).status_code == 200


def test_what_is_not_mailed_is_not_counted(client: FlaskClient, world: World) -> None:
    """Without a mail server an invitation is a link."""
    client.application.extensions["rates"] = Rates.of(
        Config(database_url="", base_url="", secret_key="", invitation_rate=1)
    )
    made = [client.post("/api/invitations", json={"email": f"p{n}@acme.test"}, headers=world.headers) for n in range(3)]
    assert statuses(made) == [201, 201, 201]


# --- set-up links -----------------------------------------------------------------------------------------------


def test_set_up_links_are_counted_by_network_and_by_link(app: Flask, world: World) -> None:
    """Whoever tries links comes no faster than whoever tries passwords; and one link changes no more than a person
    does, from wherever it is used."""
    with db.connection(), db.transaction():
        provider = idps.create(world.system, name="Okta", trust=None, kind="okta")
        owner = replace(world.system, type="user", id=world.owner.id, roles=("admin",))
        token = set_up_links.make(owner, provider).token
    stranger, opener = app.test_client(), app.test_client()
    tried = [stranger.get(f"/set-up/ibln_{number}") for number in range(LOGIN_RATE + 1)]
    assert statuses(tried) == [410] * LOGIN_RATE + [429]
    assert tried[-1].headers["Retry-After"] == "60"
    elsewhere = {"REMOTE_ADDR": "192.0.2.9"}
    form = {"csrf_token": csrf_of(opener, "/login")}
    assert opener.post(f"/set-up/{token}", data=form, environ_base=elsewhere).status_code == 303
    pressed = [
        opener.post(f"/set-up/{provider.id}/app/next", data=form, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"})
        for number in range(LOGIN_RATE + 1)
    ]
    assert statuses(pressed) == [303] * LOGIN_RATE + [429]
    assert "with a set-up link" in pressed[-1].get_data(as_text=True)
