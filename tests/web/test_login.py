"""Coming in: password, chooser, recovery codes, one-time links, invitations, and signing out."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import (
    accounts,
    actors,
    clock,
    db,
    invitations,
    member_lifecycle,
    member_roles,
    passwords,
    people,
    recovery,
)
from idp_bridge.actors import Actor
from idp_bridge.models import Account, Event, Invitation, Member, Person, RateCount, SeatCount
from idp_bridge.roles import Permission
from tests.conftest import PASSWORD, World, add_provider, make_account
from tests.web.connections import events_of
from tests.web.pages import csrf_of, post, sign_in

MEMBERS = "/accounts/acme/members"
OVERVIEW = "/accounts/acme/overview"  # where signing in leads


def administrator(world: World) -> Actor:
    return Actor(
        account=world.account,
        type="user",
        subject=world.owner.email,
        source="dashboard",
        id=world.owner.id,
        roles=("admin",),
        permissions=frozenset(Permission),
    )


def types(account: Account) -> list[str]:
    return [event.type.partition(".")[0] for event in Event.select().where(Event.account == account).order_by(Event.id)]


def test_a_password_signs_in_and_leads_to_the_members(client: FlaskClient, world: World) -> None:
    """303, a session cookie out of reach of scripts, an event."""
    answer = sign_in(client)
    assert (answer.status_code, answer.location) == (303, OVERVIEW)
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("idp_bridge_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get(MEMBERS).status_code == 200
    with db.connection():
        assert types(world.account)[-1] == "sign_in_succeeded"


@pytest.mark.parametrize(
    ("wanted", "reached"), [("/accounts/acme/usage?a=b", "/accounts/acme/usage?a=b"), ("//evil.test", OVERVIEW)]
)
def test_next_is_kept_on_our_own_origin_only(client: FlaskClient, world: World, wanted: str, reached: str) -> None:
    """What leads elsewhere is dropped, not followed."""
    assert sign_in(client, next=wanted).location == reached


def test_a_page_without_a_session_asks_to_sign_in_and_comes_back(client: FlaskClient, world: World) -> None:
    """The page that was asked for is where the sign-in leads."""
    asked = client.get("/accounts/acme/groups?x=1")
    assert asked.location == "/login?next=/accounts/acme/groups?x%3D1"
    assert 'value="/accounts/acme/groups?x=1"' in client.get(asked.location).get_data(as_text=True)


def test_the_address_comes_first(client: FlaskClient, world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Given alone, it leads to all ways in, with next kept; nobody is looked up, so the page is the same for each."""
    token, pages = csrf_of(client, "/login"), []
    for email in ("owner@acme.test", "nobody@elsewhere.test"):
        with caplog.at_level(logging.DEBUG, logger="peewee"):
            answer = client.post("/login", data={"csrf_token": token, "email": email, "next": "/accounts/acme/usage"})
        assert answer.status_code == 200
        pages.append(re.sub(r'(content|value)="[^"]{60,}"', "", answer.get_data(as_text=True)).replace(email, "X"))
    assert pages[0] == pages[1]
    assert not [record for record in caplog.records if "person" in str(record.msg)]
    assert 'type="password"' in pages[0]
    assert 'value="/accounts/acme/usage"' in pages[0]
    assert "Continue with single sign-on" in pages[0]
    assert post(client, "/login/acme", page="/login/acme", email="owner@acme.test").status_code == 400


@pytest.mark.parametrize("written", ["", "../evil", "<script>", "a" * 64, "http://evil.test"])
def test_the_remembered_account_is_anybodys_word(client: FlaskClient, world: World, written: str) -> None:
    """A cookie that holds no name of an account is nothing."""
    client.set_cookie("idp_bridge_account", written, path="/login")
    assert "Single sign-on of" not in client.get("/login").get_data(as_text=True)


def test_an_attempt_that_several_are_told_of_is_told_without_where(client: FlaskClient, world: World) -> None:
    """Anybody can have an account in which somebody else's address stands, and must not learn where she is."""
    sign_in(client, password="wrong")
    with db.connection():
        planted = make_account("evil").owner.person_id
        Person.update(email="owner@acme.test", email_key="owner@acme.test").where(Person.id == planted).execute()
    sign_in(client, password="wrong")
    with db.connection():
        refused = Event.select().where(Event.type == "sign_in_refused.v0").order_by(Event.id)
        assert [event.address for event in refused] == ["127.0.0.1", None, None]


@pytest.mark.parametrize(
    ("email", "password"),
    [("owner@acme.test", "not the password"), ("nobody@acme.test", PASSWORD), ("not an address", "x")],
)
@pytest.mark.parametrize("path", ["/login", "/login/acme", "/login/no-such-account"])
def test_a_wrong_password_and_an_unknown_address_read_the_same(
    client: FlaskClient, world: World, email: str, password: str, path: str
) -> None:
    """One status and one text, whoever is meant, so that nobody learns who is known here."""
    answer = post(client, path, email=email, password=password)
    assert answer.status_code == 403
    text = answer.get_data(as_text=True)
    assert "The e-mail address or the password is wrong." in text
    assert "ev_" not in text
    assert not any("session" in cookie for cookie in answer.headers.getlist("Set-Cookie"))


def test_a_refused_sign_in_is_an_event_of_the_account_that_knows_the_address(client: FlaskClient, world: World) -> None:
    """An administrator sees the attempts on her people."""
    sign_in(client, password="wrong")
    with db.connection():
        event = Event.select().where(Event.account == world.account).order_by(Event.id.desc()).get()
    assert event.type == "sign_in_refused.v0"
    assert event.object["reason"] == "not_a_member"
    assert event.object["id"] == world.owner.id
    assert (event.principal_id, event.principal_type, event.principal_subject) == (None, "system", "unknown")
    assert event.address == "127.0.0.1"


def test_a_session_ends_in_each_account_in_which_it_was_used(client: FlaskClient, world: World) -> None:
    """Each heard of its beginning; where it was never used there is nothing to end."""
    with db.connection():
        for slug in ("umbrella", "unused"):
            other = make_account(slug)
            Member.update(person=world.owner.person_id).where(Member.id == other.owner.id).execute()
    sign_in(client)
    assert client.get("/accounts/umbrella/members").status_code == 200
    post(client, "/logout", page="/logout")
    with db.connection():
        ended = Event.select(Event, Account).join(Account).where(Event.type == "session_ended.v0")
        assert {(event.account.slug, event.object["reason"]) for event in ended} == {
            ("acme", "signed_out"),
            ("umbrella", "signed_out"),
        }


@pytest.fixture
def deleted(world: World, idp_certificate: str) -> Member:
    """An administrator with a password, whom the account's directory has deleted."""
    with db.connection():
        add_provider(world, idp_certificate)
        with db.transaction():
            person = people.create("ann@acme.test")
            people.set_password(person, PASSWORD)
            named = {"email": "ann@acme.test", "managed_by": "scim", "identity_provider": world.provider}
            ann = member_lifecycle.create(world.system, **named, person=person, roles=["admin"])
    return ann


@pytest.mark.parametrize("way", ["password", "recovery_code", "break_glass"])
def test_whom_her_directory_deleted_is_told_so_and_her_account_too(
    app: Flask, client: FlaskClient, world: World, deleted: Member, way: str
) -> None:
    """Her password, her code or her link was right. Nobody else learns it: what is wrong reads as for anybody."""
    with db.connection():
        code = recovery.make(replace(administrator(world), id=deleted.id), deleted)[0]
        with db.transaction():
            link = recovery.make_break_glass(world.system, "ann@acme.test")
            member_lifecycle.deprovision(world.system, member_lifecycle.hold(deleted.id))
    come: dict[str, Callable[[], Any]] = {
        "password": lambda: sign_in(client, "ann@acme.test"),
        "recovery_code": lambda: post(client, "/login/recovery", email="ann@acme.test", code=code),
        "break_glass": lambda: post(client, f"/login/break-glass/{link}", page="/login"),
    }
    answer = come[way]()
    assert answer.status_code == 403
    assert "Your organisation&#39;s directory has removed you." in answer.get_data(as_text=True)
    (event,) = events_of(world, "sign_in_refused.v0")
    told = (event.object["id"], event.object["method"], event.object["reason"])
    assert told == (deleted.id, way, "member_deprovisioned")
    wrong = sign_in(client, "ann@acme.test", "not her password")
    assert "The e-mail address or the password is wrong." in wrong.get_data(as_text=True)
    wrong = post(client, "/login/recovery", email="ann@acme.test", code=f"{code[0]}aaaaa")
    assert "or the recovery code is wrong" in wrong.get_data(as_text=True)


def test_of_who_is_nobody_as_much_is_written(client: FlaskClient, world: World) -> None:
    """Else the time of the answer would tell an address that is known: an event is a commit."""
    for path, secret in (("/login", "password"), ("/login/acme", "password"), ("/login/recovery", "code")):
        post(client, path, email="nobody@acme.test", **{secret: "0wrong"})
    with db.connection():
        of_nobody = RateCount.key.startswith("nobody/")
        assert RateCount.select().where(of_nobody).count() == 3
        assert events_of(world, "sign_in_refused.v0") == []
    post(client, "/login", email="owner@acme.test", password="wrong")
    with db.connection():
        assert RateCount.select().where(of_nobody).count() == 3
        assert len(events_of(world, "sign_in_refused.v0")) == 1


def test_a_form_without_its_token_changes_nothing(client: FlaskClient, world: World) -> None:
    """CSRF protects the sign-in too: nobody is signed in as somebody else by another site."""
    answer = client.post("/login", data={"email": "owner@acme.test", "password": PASSWORD})
    assert answer.status_code == 403
    assert client.get(MEMBERS).status_code == 302


def test_an_account_name_leads_to_its_chooser(client: FlaskClient, world: World) -> None:
    """The small form for single sign-on, with next kept."""
    answer = client.get("/login?account=%20ACME%20&next=/accounts/acme/usage")
    assert (answer.status_code, answer.location) == (303, "/login/acme?next=/accounts/acme/usage")
    assert client.get("/login?account=a/b").status_code == 400


def test_the_chooser_has_a_button_for_each_enabled_provider(
    client: FlaskClient, world: World, idp_certificate: str
) -> None:
    """With its description, or its name where there is none; a disabled one is not offered."""
    with db.connection():
        first = add_provider(world, idp_certificate, name="Okta", description="Acme <Okta>")
        second = add_provider(world, idp_certificate, name="Entra ID", entity_id="https://b.test")
        add_provider(world, idp_certificate, name="Old one", entity_id="https://c.test", enabled=False)
    text = client.get("/login/acme?next=/accounts/acme/usage").get_data(as_text=True)
    assert f'href="/saml/{first.id}/start?next=/accounts/acme/usage"' in text
    assert f'href="/saml/{second.id}/start?' in text
    assert "Acme &lt;Okta&gt;" in text
    assert "Entra ID" in text
    assert "Old one" not in text
    assert 'type="password"' in text


def test_under_enforcement_there_is_no_password(client: FlaskClient, world: World, idp_certificate: str) -> None:
    """Neither a field for it, nor a way around the field."""
    with db.connection():
        add_provider(world, idp_certificate)
        Account.update(sso_mode="enforced").where(Account.id == world.account.id).execute()
    assert 'type="password"' not in client.get("/login/acme").get_data(as_text=True)
    for path in ("/login", "/login/acme"):
        answer = post(client, path, email="owner@acme.test", password=PASSWORD)
        assert answer.status_code == 403
        assert "single sign-on only" in answer.get_data(as_text=True)


def test_an_unknown_account_looks_like_one_without_a_provider(client: FlaskClient, app: Flask, world: World) -> None:
    """No list of customers can be read off the chooser."""
    with db.connection():
        make_account("free-one", plan="free")
    known, unknown = (
        re.sub(r'(csrf[^>]*(?:content|value)=")[^"]*', r"\1", client.get(f"/login/{slug}").get_data(as_text=True))
        for slug in ("free-one", "not-there")  # the token tells the second
    )
    assert known.replace("free-one", "not-there") == unknown


def test_a_suspended_member_is_refused_and_told_why(client: FlaskClient, world: World) -> None:
    """After the right password the reason may be told."""
    with db.connection():
        Member.update(active=False, held=True).where(Member.id == world.owner.id).execute()
    answer = sign_in(client)
    assert answer.status_code == 403
    assert "suspended" in answer.get_data(as_text=True)


def test_signing_out_needs_a_post_and_ends_the_session(client: FlaskClient, world: World) -> None:
    """A link from elsewhere signs nobody out; the old cookie is dead afterwards."""
    sign_in(client)
    old = client.get_cookie("idp_bridge_session")
    assert old is not None
    assert client.get("/logout").status_code == 200
    assert client.get(MEMBERS).status_code == 200
    assert client.post("/logout").status_code == 403
    assert post(client, "/logout", page="/logout").location == "/login"
    client.set_cookie("idp_bridge_session", old.value)
    assert client.get(MEMBERS).status_code == 302
    with db.connection():
        assert types(world.account)[-1] == "session_ended"


def test_signing_in_again_ends_the_former_session(client: FlaskClient, world: World) -> None:
    """A browser has one session: the cookie of before reaches nothing."""
    sign_in(client)
    first = client.get_cookie("idp_bridge_session")
    sign_in(client)
    assert first is not None
    client.set_cookie("idp_bridge_session", first.value)
    assert client.get(MEMBERS).status_code == 302


# --- recovery codes ---------------------------------------------------------------------------------------------


@pytest.fixture
def codes(world: World) -> list[str]:
    """The owner's ten codes."""
    with db.connection():
        return recovery.make(administrator(world), world.owner)


def test_a_recovery_code_opens_an_enforced_account_once(client: FlaskClient, world: World, codes: list[str]) -> None:
    """However it is typed; the second use is refused."""
    with db.connection():
        Account.update(sso_mode="enforced").where(Account.id == world.account.id).execute()
    typed = f"  {codes[3].upper().replace('-', ' ')} "
    answer = post(client, "/login/recovery", email="Owner@acme.test", code=typed)
    assert (answer.status_code, answer.location) == (303, OVERVIEW)
    assert client.get(MEMBERS).status_code == 200
    again = post(client, "/login/recovery", page="/login/recovery", email="owner@acme.test", code=codes[3])
    assert again.status_code == 403
    with db.connection():
        assert recovery.left(world.owner) == 9
        assert "recovery_code_used" in types(world.account)
        session = Event.select().where(Event.type == "sign_in_succeeded.v0").get()
        assert session.object["method"] == "recovery_code"


@pytest.mark.parametrize("code", ["", "x", "3-22222-22222-22222-22222", "٣-22222"])
def test_a_wrong_code_is_refused(client: FlaskClient, world: World, codes: list[str], code: str) -> None:
    """In one text, whatever is wrong with it."""
    answer = post(client, "/login/recovery", email="owner@acme.test", code=code)
    assert answer.status_code == (403 if code else 400)
    assert client.get(MEMBERS).status_code == 302


def test_new_codes_kill_the_former(client: FlaskClient, world: World, codes: list[str]) -> None:
    """Only the newest ten work."""
    with db.connection():
        recovery.make(administrator(world), world.owner)
    assert post(client, "/login/recovery", email="owner@acme.test", code=codes[0]).status_code == 403


def test_a_recovery_code_opens_under_her_own_address_too(client: FlaskClient, world: World, codes: list[str]) -> None:
    """A directory that has given everybody a wrong address shuts nobody out; the account's address works as well."""
    with db.connection():
        Member.update(email="x@wrong.test", email_key="x@wrong.test").where(Member.id == world.owner.id).execute()
    assert post(client, "/login/recovery", email="owner@acme.test", code=codes[0]).location == OVERVIEW
    assert post(client, "/login/recovery", email="x@wrong.test", code=codes[1]).location == OVERVIEW
    assert post(client, "/login/recovery", email="x@acme.test", code=codes[2]).status_code == 403


def test_a_code_is_tried_once_however_many_have_the_address(
    client: FlaskClient, world: World, codes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a refusal cost an event for each of them: a directory may give one address to ever so many."""
    with db.connection():
        evil = make_account("evil")
        with db.transaction():
            crowd = [
                member_lifecycle.create(evil.system, email="owner@acme.test", managed_by="local") for _ in range(5)
            ]
        theirs = recovery.make(administrator(World(evil.account, crowd[0], "")), crowd[0])
    tried: list[str] = []
    hashed = passwords._hashed

    def counted(password: str, like: str) -> str | None:
        tried.append(password)
        return hashed(password, like)

    monkeypatch.setattr(passwords, "_hashed", counted)
    assert post(client, "/login/recovery", email="owner@acme.test", code=codes[0] + "x").status_code == 403
    assert len(tried) == 1
    with db.connection():
        refused = list(Event.select().where(Event.type == "sign_in_refused.v0"))
        assert sorted(event.account_id for event in refused) == sorted([world.account.id, evil.account.id])
    assert post(client, "/login/recovery", email="owner@acme.test", code=codes[0]).location == OVERVIEW
    assert post(client, "/login/recovery", email="owner@acme.test", code=theirs[0]).status_code == 403


def test_codes_of_somebody_who_is_no_administrator_any_more_are_dead(
    client: FlaskClient, world: World, codes: list[str]
) -> None:
    """Recovery is for administrators only; the code is not used up by the try."""
    with db.connection(), db.transaction():
        member_lifecycle.create(world.system, email="b@acme.test", managed_by="local", roles=["admin"])
        member_roles.set_roles(world.system, world.owner, ["viewer"])
    assert post(client, "/login/recovery", email="owner@acme.test", code=codes[0]).status_code == 403
    with db.connection():
        assert recovery.left(world.owner) == 10


# --- one-time links ---------------------------------------------------------------------------------------------


def link(world: World, purpose: str) -> str:
    with db.connection(), db.transaction():
        return people.one_time_link(Person.get_by_id(world.owner.person_id), world.account, purpose)


def test_a_password_link_sets_the_password_once(client: FlaskClient, world: World) -> None:
    """A password too short leaves the link unused; after use it is gone."""
    with db.connection(), db.transaction():
        Person.update(password_hash=None).execute()
    path = f"/login/password/{link(world, people.PASSWORD_SETUP)}"
    assert "owner@acme.test" in client.get(path).get_data(as_text=True)
    assert post(client, path, page=path, password="too short").status_code == 400
    answer = post(client, path, page=path, password="a brand new password")
    assert (answer.status_code, answer.location) == (303, OVERVIEW)
    assert client.get(path).status_code == 410
    assert sign_in(client, password="a brand new password").status_code == 303


def test_a_break_glass_link_acts_on_post_only_and_once(client: FlaskClient, world: World) -> None:
    """Looking at it, however often, signs nobody in and uses nothing up."""
    path = f"/login/break-glass/{link(world, people.BREAK_GLASS)}"
    for _ in range(2):
        assert client.get(path).status_code == 200
        assert client.get(MEMBERS).status_code == 302
    token = csrf_of(client, path)
    assert client.post(path, data={"csrf_token": token}).location == OVERVIEW
    assert client.post(path, data={"csrf_token": token}).status_code == 410
    with db.connection():
        assert "break_glass_used" in types(world.account)


def test_a_link_is_good_for_its_purpose_only(client: FlaskClient, world: World) -> None:
    """A password link does not break the glass."""
    assert client.get(f"/login/break-glass/{link(world, people.PASSWORD_SETUP)}").status_code == 410


# --- invitations ------------------------------------------------------------------------------------------------


def invite(world: World, email: str = "new@acme.test", **options: Any) -> str:
    with db.connection(), db.transaction():
        return f"/invitations/{invitations.create(world.system, email, **options).token}"


def test_somebody_new_joins_with_a_password_of_her_own(client: FlaskClient, world: World) -> None:
    """She is in at once, under her name, with the roles that were promised."""
    path = invite(world, role_names=["viewer"])
    assert "new@acme.test" in client.get(path).get_data(as_text=True)
    answer = post(client, path, page=path, name="Nia New", password="a brand new password")
    assert (answer.status_code, answer.location) == (303, OVERVIEW)
    with db.connection():
        member = Member.get(Member.email == "new@acme.test")
        assert (member.name, member_roles.roles_of(world.account, member)) == ("Nia New", ("viewer",))
    assert client.get(path).status_code == 410
    assert sign_in(client, email="new@acme.test", password="a brand new password").status_code == 303


def test_a_password_link_never_replaces_a_password(client: FlaskClient, world: World) -> None:
    """Somebody who owns an account already gives the password she has, or does not get in by the link."""
    path = f"/login/password/{link(world, people.PASSWORD_SETUP)}"
    assert post(client, path, page=path, password="a brand new password").status_code == 400
    assert post(client, path, page=path, password=PASSWORD).location == OVERVIEW
    assert sign_in(client, password="a brand new password").status_code == 403


@pytest.mark.parametrize("email", ["owner@acme.test", "nobody@acme.test"])
def test_who_says_that_she_is_known_is_not_made_again_by_a_slip(client: FlaskClient, world: World, email: str) -> None:
    """The answer is the same for an address that nobody has: whoever invited it holds the link, too. Without the word
    she joins as somebody new."""
    with db.connection():
        other = make_account("globex")
        with db.transaction():
            path = f"/invitations/{invitations.create(other.system, email).token}"
    slip = {"name": "Olga", "password": "tulip river forty two lamsp", "page": path}
    answer = post(client, path, known="true", **slip)
    assert answer.status_code == 400
    assert f"Nobody here has {email} and this password" in answer.get_data(as_text=True).replace("&#39;", "'")
    assert post(client, path, **slip).status_code == 303


def test_a_password_of_before_the_check_accepts(client: FlaskClient, world: World) -> None:
    """What is asked of a new one was not asked of hers."""
    with db.connection():
        other, weak = make_account("globex"), "password1234"
        Person.update(password_hash=passwords.hash_password(weak)).where(Person.id == world.owner.person_id).execute()
        with db.transaction():
            path = f"/invitations/{invitations.create(other.system, 'owner@acme.test').token}"
    assert post(client, path, page=path, name="Olga", password=weak).status_code == 303
    with db.connection():
        assert len(people.memberships(world.owner.person)) == 2


def test_somebody_known_joins_with_the_password_she_has(client: FlaskClient, world: World) -> None:
    """Her password shows that she is the same person: her session reaches both of her accounts."""
    with db.connection():
        other = make_account("globex")
    path = invite(world, "owner@globex.test")
    assert post(client, path, page=path, password=PASSWORD).location == OVERVIEW
    assert f'href="/accounts/{other.account.slug}/overview"' in client.get(MEMBERS).get_data(as_text=True)


def account_for(slug: str, email: str) -> str:
    """As create-account makes one: the path of the link to set the owner's password."""
    with db.connection(), db.transaction():
        account = accounts.create(name=slug.capitalize(), slug=slug, plan="enterprise")
        person = people.create(email)
        system = actors.system(account, source="cli")
        member_lifecycle.create(system, email=email, managed_by="local", person=person, roles=["admin"])
        return f"/login/password/{people.one_time_link(person, account, people.PASSWORD_SETUP)}"


def test_nobody_waits_in_an_account_for_its_owner(app: Flask, world: World) -> None:
    """Whoever had an account made in another's name, and set its password, is not in those that are made for her."""
    early, owner = app.test_client(), app.test_client()
    path = account_for("early", "ceo@corp.test")
    assert post(early, path, page=path, password="the early bird's password").status_code == 303
    path = account_for("corp", "ceo@corp.test")
    assert early.get("/accounts/corp/members").status_code == 404
    answer = sign_in(early, email="ceo@corp.test", password="the early bird's password")
    assert answer.location == "/accounts/early/overview"
    assert early.get("/accounts/corp/members").status_code == 404
    assert post(owner, path, page=path, password="her very own password").location == "/accounts/corp/overview"
    assert owner.get("/accounts/early/members").status_code == 404


def test_an_owner_gives_the_password_she_has_and_owns_both(client: FlaskClient, world: World) -> None:
    """One sign-in opens both accounts; any other password makes somebody new, and takes nothing from her."""
    path = account_for("second", "owner@acme.test")
    assert post(client, path, page=path, password=PASSWORD).location == "/accounts/second/overview"
    assert client.get(MEMBERS).status_code == 200
    path = account_for("third", "owner@acme.test")
    assert post(client, path, page=path, password="a brand new password").location == "/accounts/third/overview"
    assert client.get(MEMBERS).status_code == 404
    assert sign_in(client).location == "/accounts/acme/overview"
    assert client.get("/accounts/third/members").status_code == 404


def test_a_password_link_gives_nothing_to_a_namesake(client: FlaskClient, world: World) -> None:
    """Whoever has her address and a password of his own shows by that only who he is."""
    with db.connection():
        other = make_account("globex")
        with db.transaction():
            namesake = people.create(world.owner.email)
            people.set_password(namesake, "a namesake's password")
            member_lifecycle.create(other.system, email=namesake.email, managed_by="local", person=namesake)
    path = f"/login/password/{link(world, people.PASSWORD_SETUP)}"
    assert post(client, path, page=path, password="a namesake's password").status_code == 400
    assert post(client, path, page=path, password=PASSWORD).location == OVERVIEW


def test_a_refusal_is_told_to_the_account_that_refused(client: FlaskClient, world: World) -> None:
    """Each with its own reason: nobody learns that she is suspended elsewhere, nor that her password was right."""
    with db.connection():
        mine, planted = make_account("globex"), make_account("evil")
        with db.transaction():
            person = Person.get_by_id(world.owner.person_id)
            member_lifecycle.create(mine.system, email=person.email, managed_by="local", person=person)
            namesake = people.create(person.email)
            people.set_password(namesake, "a namesake's password")
            member_lifecycle.create(planted.system, email=person.email, managed_by="local", person=namesake)
        Member.update(active=False, held=True).where(Member.id == world.owner.id).execute()
        SeatCount.update(used=0).where(SeatCount.account == world.account).execute()
        Account.update(sso_mode="enforced").where(Account.id == mine.account.id).execute()
    assert sign_in(client).status_code == 403
    with db.connection():
        refused = Event.select().where(Event.type == "sign_in_refused.v0")
        assert {event.account_id: event.object["reason"] for event in refused} == {
            world.account.id: "member_suspended",
            mine.account.id: "sso_enforced",
        }


def test_inviting_the_owner_of_another_account_opens_nothing_there(client: FlaskClient, world: World) -> None:
    """Whoever invites holds the link: accepting it under another's address makes somebody new, who reaches the
    inviter's account alone; her own password goes on to be hers."""
    with db.connection():
        make_account("globex")
    path = invite(world, "owner@globex.test")
    assert post(client, path, page=path, password="a stranger's password").location == OVERVIEW
    assert client.get("/accounts/globex/members").status_code == 404
    assert client.get("/api/whoami", headers={"X-Account": "globex"}).status_code == 404
    assert sign_in(client, email="owner@globex.test", password="a stranger's password").location == OVERVIEW
    owner = sign_in(client, email="owner@globex.test", password=PASSWORD)
    assert owner.location == "/accounts/globex/overview"


def test_under_enforcement_an_invitation_goes_through_single_sign_on(client: FlaskClient, world: World) -> None:
    """The page says so and takes no password."""
    path = invite(world)
    with db.connection():
        Account.update(sso_mode="enforced").where(Account.id == world.account.id).execute()
    text = client.get(path).get_data(as_text=True)
    assert "single sign-on only" in text
    assert 'type="password"' not in text
    assert post(client, path, page=path, password="a brand new password").status_code == 403
    with db.connection():
        assert not Member.select().where(Member.email == "new@acme.test").exists()


def test_an_expired_invitation_is_gone(client: FlaskClient, world: World) -> None:
    """410, with a word on what to do."""
    path = invite(world)
    with db.connection():
        Invitation.update(expires_at=clock.now() - timedelta(seconds=1)).execute()
    answer = client.get(path)
    assert answer.status_code == 410
    assert "Ask for a new one" in answer.get_data(as_text=True)


def test_the_start_leads_to_the_login_or_to_the_members(client: FlaskClient, world: World) -> None:
    """By whether somebody is signed in."""
    assert client.get("/").location == "/login"
    sign_in(client)
    assert client.get("/").location == OVERVIEW
