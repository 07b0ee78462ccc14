"""Forgotten and changed passwords, through the forms and a real mail server."""

import logging
import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, jobs, people
from idp_bridge.config import Config
from idp_bridge.models import Account, Event, PasswordReset, Person
from idp_bridge.rates import Rates
from tests.conftest import PASSWORD, World, add_provider, make_account
from tests.smtp import Mailbox
from tests.web.pages import csrf_of, post, sign_in

MEMBERS = "/accounts/acme/members"
OVERVIEW = "/accounts/acme/overview"  # where signing in leads
NEW = "tulip river forty two lamps"
OWNER = "owner@acme.test"


def forgot(client: FlaskClient, email: str) -> str:
    """The text of the answer, after the jobs ran."""
    answer = post(client, "/login/forgot", page="/login/forgot", email=email)
    assert answer.status_code == 200
    send()
    return str(answer.get_data(as_text=True))


def send() -> None:
    """What the lane of the mail does: it is woken again by what it writes itself."""
    for _ in range(2):
        jobs.run_due(woken=True, jobs=[job for job in jobs.JOBS if job.lane == "mail"])


def link(mailbox: Mailbox, email: str = OWNER) -> str:
    return urlsplit(mailbox.link_to(email)).path


def test_a_forgotten_password_is_replaced(client: FlaskClient, app: Flask, world: World, mailbox: Mailbox) -> None:
    """From the sign-in page to signing in with the new one; whoever was signed in elsewhere is out."""
    elsewhere = app.test_client()
    sign_in(elsewhere)
    assert 'href="/login/forgot"' in client.get("/login").get_data(as_text=True)
    forgot(client, OWNER)
    path = link(mailbox)
    assert "Acme" in client.get(path).get_data(as_text=True)
    poor = post(client, path, page=path, password="password1234")
    assert poor.status_code == 400
    assert "very common password" in poor.get_data(as_text=True)
    assert post(client, path, page=path, password=NEW).location == "/login"
    assert client.get(path).status_code == 410
    assert elsewhere.get(MEMBERS).status_code == 302
    assert sign_in(client).status_code == 403
    assert sign_in(client, password=NEW).location == OVERVIEW


def test_the_answer_is_the_same_for_an_address_that_nobody_has(
    client: FlaskClient, world: World, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """In its words and in the statements that it costs; no mail goes to a stranger."""
    texts, costs = [], []
    for email in ("nobody@acme.test", OWNER):
        form = {"csrf_token": csrf_of(client, "/login/forgot"), "email": email}
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="peewee"):
            answer = client.post("/login/forgot", data=form)
        texts.append(re.sub(r'content="[^"]+"', "", answer.get_data(as_text=True)).replace(email, "X"))
        costs.append([record.msg[0] for record in caplog.records if record.name == "peewee"])
    assert texts[0] == texts[1]
    assert costs[0] == costs[1]
    assert any("password_reset" in statement for statement in costs[0])
    send()
    assert mailbox.recipients == [[OWNER]]


def test_without_mail_the_page_says_whom_to_ask(client: FlaskClient, world: World) -> None:
    """And the form is refused."""
    text = client.get("/login/forgot").get_data(as_text=True)
    assert "Ask an administrator" in text
    assert 'type="email"' not in text
    assert post(client, "/login/forgot", email=OWNER).status_code == 400
    with db.connection():
        assert PasswordReset.select().count() == 0


def test_several_at_one_address_are_asked_which(client: FlaskClient, world: World, mailbox: Mailbox) -> None:
    """Each with the accounts that it opens; the others stay as they are."""
    with db.connection():
        planted = make_account("globex").owner.person_id
        Person.update(email=OWNER, email_key=OWNER).where(Person.id == planted).execute()
    forgot(client, OWNER)
    path = link(mailbox)
    page = client.get(path).get_data(as_text=True)
    choices = dict(re.findall(r'name="person" value="([^"]+)"[^>]*> ([^<]+)<', page))
    assert sorted(choices.values()) == ["Acme", "Globex"]
    assert post(client, path, page=path, password=NEW).status_code == 400
    assert post(client, path, page=path, password=NEW, person=world.owner.person_id).status_code == 303
    with db.connection():
        assert [one.id for one in people.with_password(OWNER, NEW)] == [world.owner.person_id]
        assert [one.id for one in people.with_password(OWNER, PASSWORD)] == [planted]


def test_who_signs_in_by_a_provider_is_led_there(
    client: FlaskClient, world: World, mailbox: Mailbox, idp_certificate: str
) -> None:
    """No field for a password, but the chooser of her account."""
    with db.connection():
        add_provider(world, idp_certificate)
        Account.update(sso_mode="enforced").where(Account.id == world.account.id).execute()
    forgot(client, OWNER)
    path = link(mailbox)
    page = client.get(path).get_data(as_text=True)
    assert 'href="/login/acme"' in page
    assert 'type="password"' not in page
    assert post(client, path, page=path, password=NEW).status_code == 400


def test_a_password_is_changed_by_who_knows_it(client: FlaskClient, app: Flask, world: World) -> None:
    """Her other browsers are out; a stranger is sent to sign in, and a form without its token does nothing."""
    assert client.get("/password").location == "/login?next=/password"
    sign_in(client)
    elsewhere = app.test_client()
    sign_in(elsewhere)
    page = "/password"
    assert client.post(page, data={"present": PASSWORD, "password": NEW}).status_code == 403
    assert post(client, page, page=page, present="wrong", password=NEW).status_code == 400
    assert post(client, page, page=page, present=PASSWORD, password="acme acme acme").status_code == 400
    assert post(client, page, page=page, present=PASSWORD, password=NEW).status_code == 303
    assert client.get(MEMBERS).status_code == 200
    assert elsewhere.get(MEMBERS).status_code == 302
    assert sign_in(client, password=NEW).location == OVERVIEW
    with db.connection():
        changed = Event.select().where(Event.type == "password_changed.v0").get()
        assert (changed.object["how"], changed.account_id) == ("changed", world.account.id)


@pytest.mark.parametrize("form", ["/login/forgot", "/password", "/login/reset/x"])
def test_attempts_are_counted(app: Flask, config: Config, world: World, mailbox: Mailbox, form: str) -> None:
    """Each new form has its limit, which holds across processes."""
    client = app.test_client()
    sign_in(client)
    forgot(client, OWNER)
    path = link(mailbox) if form.endswith("x") else form
    app.extensions["rates"] = Rates.of(replace(config, login_rate=2))
    fields = {"email": OWNER, "present": "wrong wrong", "password": "short"}
    answers = [post(client, path, page=path, **fields).status_code for _ in range(4)]
    assert 429 in answers


def refused(world: World) -> list[Event]:
    with db.connection():
        told = (Event.account == world.account) & (Event.type == "sign_in_refused.v0")
        return list(Event.select().where(told).order_by(Event.id))


def test_a_wrong_password_is_told_wherever_it_is_given(client: FlaskClient, world: World) -> None:
    """To change it, or at the link of somebody who has one: whoever guesses is not she, and may not do it unseen."""
    assert sign_in(client).status_code == 303
    page = post(client, "/password", present="not hers at all", password="another-long-secret-1")
    assert page.status_code == 400
    with db.connection(), db.transaction():
        link = people.one_time_link(world.owner.person, world.account, people.PASSWORD_SETUP)
    page = post(client, f"/login/password/{link}", password="not hers either, no")
    assert page.status_code == 400
    told = refused(world)
    assert [(event.object["id"], event.principal_id) for event in told] == [(world.owner.id, None)] * 2
