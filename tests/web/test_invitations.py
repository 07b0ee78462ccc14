"""Invitations by mail: sent, sent again, accepted by whom they are for, and worth what their sender may still do."""

from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, credentials, db, mail, member_lifecycle, member_roles, people
from idp_bridge.models import Account, BotUser, Event, Invitation, Mail, Member
from tests.conftest import PASSWORD, World, make_account
from tests.smtp import Mailbox
from tests.web.connections import Connection, events_of
from tests.web.pages import post, sign_in

MEMBERS = "/accounts/acme/members"
OVERVIEW = "/accounts/acme/overview"  # where signing in leads
NEW = "new@acme.test"
HERS = "tulip river forty two lamps"


def invite(client: FlaskClient, email: str = NEW, **fields: object) -> str:
    """Invite on the page; the text of the answer."""
    answer = post(client, f"{MEMBERS}/invitations", page=MEMBERS, email=email, **fields)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return str(answer.get_data(as_text=True))


def mailed(mailbox: Mailbox, email: str = NEW) -> str:
    """The path in the last mail to the address."""
    with db.connection():
        mail.deliver(clock.now())
    return urlsplit(mailbox.link_to(email)).path


@pytest.fixture
def owner(app: Flask, world: World) -> FlaskClient:
    """The owner's browser."""
    client = app.test_client()
    sign_in(client)
    return client


def test_an_invitation_comes_by_mail_and_not_on_the_page(
    owner: FlaskClient, client: FlaskClient, mailbox: Mailbox
) -> None:
    """Whom it is for gets the link, and nobody else."""
    text = invite(owner, roles="viewer")
    assert "A mail with a link is on its way" in text
    assert "/invitations/ibin" not in text
    path = mailed(mailbox)
    assert mailbox.messages[0]["Subject"] == "owner@acme.test invites you to Acme"
    answer = post(client, path, page=path, name="Nia New", password=HERS)
    assert (answer.status_code, answer.location) == (303, OVERVIEW)


def test_several_are_invited_at_once_or_none(owner: FlaskClient, mailbox: Mailbox, world: World) -> None:
    """One wrong address, or one that is a member already, and nobody is."""
    for wrong in ("a@b.test, not an address", "a@b.test owner@acme.test"):
        answer = post(owner, f"{MEMBERS}/invitations", page=MEMBERS, email=wrong)
        assert answer.status_code in (400, 409)
    with db.connection():
        assert (Invitation.select().count(), Mail.select().count()) == (0, 0)
    invite(owner, "a@b.test, c@d.test;a@b.test\ne@f.test")
    mailed(mailbox, "a@b.test")
    assert sorted(mailbox.recipients) == [["a@b.test"], ["c@d.test"], ["e@f.test"]]


def test_sending_again_kills_the_former_link(
    owner: FlaskClient, client: FlaskClient, mailbox: Mailbox, world: World
) -> None:
    """A new mail; a cancelled one is not mailed at all any more."""
    invite(owner)
    first = mailed(mailbox)
    with db.connection():
        invitation = Invitation.get()
    assert post(owner, f"{MEMBERS}/invitations/{invitation.id}/resend", page=MEMBERS).status_code == 201
    second = mailed(mailbox)
    assert client.get(first).status_code == 410
    assert client.get(second).status_code == 200
    assert post(owner, f"{MEMBERS}/invitations/{invitation.id}/resend", page=MEMBERS).status_code == 201
    assert post(owner, f"{MEMBERS}/invitations/{invitation.id}/cancel", page=MEMBERS).status_code == 303
    assert mailed(mailbox) == second
    assert len(mailbox.messages) == 2


def test_a_mail_that_is_refused_is_shown(owner: FlaskClient, mailbox: Mailbox) -> None:
    """With the server's words, beside the invitation."""
    mailbox.refusals[NEW] = ["550 no such user here"]
    invite(owner)
    with db.connection():
        mail.deliver(clock.now())
    text = owner.get(MEMBERS).get_data(as_text=True)
    assert "Not delivered" in text
    assert "no such user here" in text


def test_it_is_accepted_as_nobody_else(owner: FlaskClient, app: Flask, mailbox: Mailbox) -> None:
    """Neither by whoever is signed in under another address, nor by a form that was changed."""
    invite(owner)
    path, stranger = mailed(mailbox), app.test_client()
    with db.connection():
        make_account("globex")
    sign_in(stranger, email="owner@globex.test")
    assert "You are signed in as owner@globex.test" in stranger.get(path).get_data(as_text=True)
    assert post(stranger, path, page=path, password=PASSWORD).status_code == 409
    nobody = app.test_client()
    assert post(nobody, path, page=path, email="other@acme.test", password=HERS).status_code == 409
    assert post(nobody, path, page=path, email="NEW@acme.test", password=HERS).status_code == 303


def test_who_is_signed_in_as_herself_joins_with_one_click(owner: FlaskClient, app: Flask, mailbox: Mailbox) -> None:
    """Her password has opened this session: it is not asked for again, and opens both accounts."""
    with db.connection():
        make_account("globex")
    herself = app.test_client()
    sign_in(herself, email="owner@globex.test")
    invite(owner, "owner@globex.test")
    path = mailed(mailbox, "owner@globex.test")
    assert 'type="password"' not in herself.get(path).get_data(as_text=True)
    assert post(herself, path, page=path).location == OVERVIEW
    assert herself.get("/accounts/globex/members").status_code == 200
    with db.connection():
        assert Member.select().where(Member.email == "owner@globex.test").count() == 2


def test_under_enforcement_the_provider_accepts_it(
    owner: FlaskClient, client: FlaskClient, mailbox: Mailbox, okta: Connection
) -> None:
    """The page leads to the chooser; signing in there with the invited address uses the invitation up."""
    okta.change(join_policy="invite_only")
    hers = okta.provider.people[0].email
    invite(owner, hers, roles="viewer")
    path = mailed(mailbox, hers)
    with db.connection():
        Account.update(sso_mode="enforced").execute()
    page = client.get(path).get_data(as_text=True)
    assert 'href="/login/acme"' in page
    assert 'type="password"' not in page
    assert post(client, path, page=path, password=HERS).status_code == 403
    assert f"{okta.path}/start" in client.get("/login/acme").get_data(as_text=True)
    assert okta.sign_in(client).status_code == 303
    assert client.get(path).status_code == 410
    with db.connection():
        member = Member.get(Member.email == hers)
        assert member_roles.roles_of(okta.world.account, member) == ("viewer",)
        assert member.managed_by == "invite"
    assert "Single sign-on of acme" in client.get("/login").get_data(as_text=True)


def test_on_a_plan_without_invitations_nobody_accepts_one(
    owner: FlaskClient, client: FlaskClient, mailbox: Mailbox, world: World
) -> None:
    """The page says so before anything is filled in, and when the form is sent all the same."""
    invite(owner)
    path = mailed(mailbox)
    with db.connection():
        Account.update(plan="free", seats=5).where(Account.id == world.account.id).execute()
    page = client.get(path)
    answer = post(client, path, page="/login", name="Nia New", password=HERS)
    for shown in (page, answer):
        assert shown.status_code == 403
        text = shown.get_data(as_text=True)
        assert "Nobody can join this account now: its plan has no invitations." in text
        assert 'name="password"' not in text
    with db.connection():
        assert not Member.select().where(Member.email == NEW).exists()


@pytest.mark.parametrize("lost", ["suspended", "removed", "demoted"])
def test_an_invitation_is_worth_what_its_sender_may_still_do(
    app: Flask, owner: FlaskClient, client: FlaskClient, world: World, mailbox: Mailbox, lost: str
) -> None:
    """Whoever is gone leaves no way in behind; sent again by somebody who may, it works."""
    with db.connection(), db.transaction():
        person = people.create("second@acme.test")
        people.set_password(person, PASSWORD)
        second = member_lifecycle.create(
            world.system, email="second@acme.test", managed_by="local", person=person, roles=["admin"]
        )
    theirs = app.test_client()
    sign_in(theirs, email="second@acme.test")
    invite(theirs, roles="admin")
    path = mailed(mailbox)
    with db.connection(), db.transaction():
        if lost == "suspended":
            member_lifecycle.suspend(world.system, second)
        elif lost == "removed":
            member_lifecycle.remove(world.system, second)
        else:
            member_roles.set_roles(world.system, second, ["team_manager"])
    assert client.get(path).status_code == 410
    assert post(client, path, page="/login", password=HERS).status_code == 410
    assert "Lapsed" in owner.get(MEMBERS).get_data(as_text=True)
    with db.connection():
        assert not Member.select().where(Member.email == NEW).exists()
        refused = Event.get(Event.type == "invitation_refused.v0")
        invitation = Invitation.get()
        assert refused.object["id"] == invitation.id
    assert post(owner, f"{MEMBERS}/invitations/{invitation.id}/resend", page=MEMBERS).status_code == 201
    path = mailed(mailbox)
    assert post(client, path, page=path, password=HERS).status_code == 303


def test_a_bot_invites_while_it_is_active(app: Flask, client: FlaskClient, world: World, mailbox: Mailbox) -> None:
    """By its API key; deactivated, what it has sent opens nothing."""
    api = app.test_client()
    bot = api.post("/api/bot_users", json={"name": "onboarding", "roles": ["team_manager"]}, headers=world.headers)
    with db.connection(), db.transaction():
        key = credentials.issue(world.system, credentials.API_KEY, BotUser.get()).token
    headers = {"Authorization": f"Bearer {key}"}
    made = api.post("/api/invitations", json={"email": NEW}, headers=headers).get_json()
    assert (made["invited_by"], made["state"], made["mailed"]) == ("onboarding", "pending", True)
    path = mailed(mailbox)
    assert client.get(path).status_code == 200
    api.patch(f"/api/bot_users/{bot.get_json()['id']}", json={"active": False}, headers=world.headers)
    assert client.get(path).status_code == 410
    assert api.get(f"/api/invitations/{made['id']}", headers=world.headers).get_json()["state"] == "lapsed"
    again = api.post(f"/api/invitations/{made['id']}/resend", headers=world.headers).get_json()
    assert (again["id"], again["state"], again["invited_by"]) == (made["id"], "pending", "owner@acme.test")
    assert again["accept_url"] not in (None, made["accept_url"])
    assert client.get(urlsplit(again["accept_url"]).path).status_code == 200


def test_who_guesses_a_password_at_an_invitation_is_told_of(
    owner: FlaskClient, app: Flask, world: World, mailbox: Mailbox
) -> None:
    """In the account whose invitation it is, although nobody there has that address yet."""
    invite(owner)
    page = mailed(mailbox)
    answer = post(app.test_client(), page, known="on", password="a guess, long enough", email=NEW)
    assert answer.status_code == 400
    with db.connection():
        (event,) = events_of(world, "sign_in_refused.v0")
    assert (event.principal_id, event.principal_type, event.object["facts"]["email"]) == (None, "system", NEW)


def test_whoever_accepts_has_done_so_herself(owner: FlaskClient, app: Flask, world: World, mailbox: Mailbox) -> None:
    """Her membership and its invitation are told as hers, by the id that she has from then on."""
    invite(owner)
    assert (
        post(app.test_client(), mailed(mailbox), name="New", password="a-new-long-secret-1", email=NEW).status_code
        == 303
    )
    with db.connection():
        joined = Member.get(Member.email == NEW)
        told = [*events_of(world, "user_created.v0")[-1:], *events_of(world, "invitation_accepted.v0")]
    assert [(event.principal_id, event.principal_type) for event in told] == [(joined.id, "user")] * 2
