"""Sign-in flows on the pages: a refusal is found by its reference and told how to mend; a test creates nothing."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, idps, ids, members, sign_in_flows
from idp_bridge.models import Event, IdentityLink, IdentityProvider, Member, MemberRole, Session
from idp_bridge.simulator.saml_idp import Provider
from idp_bridge.web.dashboard.sign_in_flows import CHECK_WORDS
from idp_bridge.web.dashboard.xml_lines import pretty
from tests.conftest import World, make_account
from tests.web.connections import BASE, Connection, connect, flows_of, reference
from tests.web.pages import csrf_of, post, sign_in
from tests.web.test_dashboard import add_member


@dataclass
class Console(Connection):
    """A connection, the simulated provider at its other end, and an administrator's browser on its pages."""

    administrator: FlaskClient

    @property
    def page(self) -> str:
        return f"/accounts/acme/identity-providers/{self.row.id}"

    @property
    def ours(self) -> dict[str, str]:
        """Our values for it."""
        return idps.urls(self.row.id, BASE)

    def read(self, path: str = "") -> str:
        """A page of it, below its own."""
        answer = self.administrator.get(f"{self.page}{path}")
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def flow(self) -> str:
        """The page of the newest flow."""
        return f"/flows/{flows_of(self)[-1].id}"

    def attempt(self, **changes: Any) -> Any:
        """A whole sign-in, in a browser of its own."""
        browser = self.app.test_client()
        return self.answer(browser, self.start(browser), **changes)

    def answer(self, browser: FlaskClient, request_id: str, **changes: Any) -> Any:
        """The provider's answer as its page posts it, with the RelayState that it was given."""
        return self.post(browser, self.response(request_id, **changes), RelayState=request_id)

    def begin_test(self) -> str:
        """Press the button in the administrator's browser and follow its page to the provider; the request's id."""
        answer = post(self.administrator, f"{self.page}/test", page=self.page)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        onwards = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.get_data(as_text=True))
        assert onwards
        return self.asked(self.administrator.get(onwards.group(1)))

    def test(self, **changes: Any) -> str:
        """A whole test sign-in; the text of its result."""
        answer = self.answer(self.administrator, self.begin_test(), **changes)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return self.administrator.get(answer.headers["Location"]).get_data(as_text=True)


@pytest.fixture
def okta(app: Flask, world: World, simulated: dict[str, Provider], client: FlaskClient) -> Console:
    """A just-in-time connection to the simulated Okta, which acme's owner looks at."""
    sign_in(client)
    return Console(**vars(connect(app, world, simulated["okta"])), administrator=client)


# --- the person's page ------------------------------------------------------------------------------------------


def test_the_refused_page_says_whose_turn_it_is_and_repeats_nothing(okta: Console) -> None:
    """Headline, side, time, reference, a text to send; nothing that came in the message."""
    answer = okta.attempt(audience="https://placeholder.invalid")
    assert answer.status_code == 403
    text = answer.get_data(as_text=True)
    found = reference(answer)
    for words in ("You are not signed in", "Whoever runs your identity provider", "UTC</time>", "Try again", found):
        assert words in text, words
    assert f"Reference: {found}" in text
    assert f"mailto:?subject=Sign-in%20refused%3A%20{found}" in text
    assert f"http://localhost{okta.page}/flows?q={found}" in text
    assert "placeholder.invalid" not in text
    assert okta.provider.people[0].email not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)


def test_the_refused_page_sends_nobody_round_in_a_circle(okta: Console) -> None:
    """Where an administrator here must act first, trying again would only be refused again."""
    okta.change(join_policy="invite_only")
    text = okta.attempt().get_data(as_text=True)
    assert "An administrator of Acme" in text
    assert "Try again" not in text


# --- finding it -------------------------------------------------------------------------------------------------


def test_the_reference_leads_to_the_flow_and_its_fix(okta: Console) -> None:
    """Typed into the search, or followed from the events page; the fix is in the provider's words with our value."""
    shown = reference(okta.attempt(audience="https://placeholder.invalid"))
    found = okta.administrator.get(f"{okta.page}/flows", query_string={"q": shown})
    assert found.status_code == 302
    text = okta.administrator.get(found.headers["Location"]).get_data(as_text=True)
    assert "Whoever runs the identity provider" in text
    assert "<strong>Audience URI (SP Entity ID)</strong>" in text
    assert f"<code>{okta.ours['sp_entity_id']}</code>" in text
    assert "https://placeholder.invalid" in text
    assert shown in text
    event = okta.administrator.get("/accounts/acme/events", query_string={"id": shown}).get_data(as_text=True)
    assert found.headers["Location"] in event


def test_the_fix_can_be_read_in_another_providers_words(okta: Console) -> None:
    """Where the product was not recognised, an administrator says which it is."""
    okta.attempt(audience="https://placeholder.invalid")
    page = okta.flow()
    assert "<strong>Identifier (Entity ID)</strong>" in okta.read(f"{page}?kind=entra")
    assert "<strong>Client ID</strong>" in okta.read(f"{page}?kind=keycloak")
    assert "<strong>Audience URI (SP Entity ID)</strong>" in okta.read(f"{page}?kind=nonsense")


def test_a_reference_of_another_connection_or_account_finds_nothing(
    okta: Console, simulated: dict[str, Provider], app: Flask
) -> None:
    """Flows are looked for at their own connection only."""
    shown = reference(okta.attempt(audience="https://placeholder.invalid"))
    flow = flows_of(okta)[-1]
    with db.connection(), db.transaction():
        trust = idps.read_metadata(simulated["entra"].metadata_xml)
        other = idps.create(okta.world.system, name="Entra", trust=trust)
    with db.connection():
        theirs = make_account("globex")
        with db.transaction():
            foreign = idps.create(theirs.system, name="Okta", trust=trust)
    elsewhere = f"/accounts/acme/identity-providers/{other.id}/flows"
    searched = okta.administrator.get(elsewhere, query_string={"q": shown})
    assert "No such sign-in" in searched.get_data(as_text=True)
    assert okta.administrator.get(f"{elsewhere}/{flow.id}").status_code == 404
    assert okta.administrator.get(f"/accounts/acme/identity-providers/{foreign.id}/flows").status_code == 404


def test_the_list_is_filtered_by_outcome_and_searched_by_person(okta: Console) -> None:
    """By a part of e-mail or NameID; refused and under way apart from signed in."""
    first, second = okta.provider.people[:2]
    okta.attempt(person=0)
    okta.attempt(person=1)
    okta.attempt(audience="https://placeholder.invalid")
    okta.app.test_client().get(f"/saml/{okta.row.id}/start")
    everything = okta.read("/flows")
    assert everything.count('href="' + okta.page + "/flows/flow_") == 4
    assert first.email in okta.read("/flows?outcome=succeeded")
    assert "audience_mismatch" not in okta.read("/flows?outcome=succeeded")
    assert okta.read("/flows?outcome=refused").count("/flows/flow_") == 1
    assert okta.read("/flows?outcome=pending").count("/flows/flow_") == 1
    found = okta.read(f"/flows?q={second.email.partition('@')[0]}")
    assert second.email in found
    assert first.email not in found
    assert "No such sign-in" in okta.read("/flows?q=nobody-like-that")
    assert "No such sign-in" in okta.read("/flows?q=ev_00000000000000000000000000")
    assert okta.read("/flows?outcome=nonsense").count("/flows/flow_") == 4


def test_the_list_goes_on_page_by_page(okta: Console) -> None:
    """Fifty at a time, each once."""
    with db.connection(), db.transaction():
        caller = sign_in_flows.Caller(None, "")
        for _ in range(55):
            request_id = sign_in_flows.new_request_id(ids.new("flow"))
            sign_in_flows.begin(okta.row, request_id=request_id, kind="sp_initiated", caller=caller)
    first = okta.read("/flows")
    older = re.search(r'href="([^"]*before=[^"]+)"', first)
    assert older
    second = okta.administrator.get(older.group(1).replace("&amp;", "&")).get_data(as_text=True)
    seen = [set(re.findall(r"/flows/(flow_\w+)", page)) for page in (first, second)]
    assert [len(one) for one in seen] == [50, 5]
    assert not seen[0] & seen[1]


# --- one flow ---------------------------------------------------------------------------------------------------


def test_a_flow_shows_its_time_line_checks_and_messages(okta: Console) -> None:
    """Request, response, each check with got and want, the decision, the session; XML as text with lines put in."""
    okta.attempt()
    text = okta.read(okta.flow())
    for words in ("Request sent", "Response received", "passed.", "She becomes a member just in time", "It is open."):
        assert words in text, words
    assert "Meant for our entity ID" in text
    assert "Kept until" in text
    assert "&lt;saml2p:Response" in text or "Response " in text
    assert "\n  &lt;" in text, "with lines"
    assert "<saml2p:" not in text, "as text, not as elements"


def test_every_check_that_is_made_has_words(okta: Console) -> None:
    """A name alone tells an administrator little."""
    okta.change(force_authn=True)
    okta.attempt()
    okta.attempt(audience="https://placeholder.invalid")
    okta.test()
    named = {name for flow in flows_of(okta) for name, *_ in flow.checks or ()}
    assert named
    assert named - set(CHECK_WORDS) == set()


def test_a_session_that_has_ended_is_told_so(okta: Console) -> None:
    """The flow outlives what it opened."""
    okta.attempt()
    with db.connection(), db.transaction():
        Session.delete().where(Session.identity_provider == okta.row).execute()
    assert "It has ended." in okta.read(okta.flow())


@pytest.mark.parametrize(
    ("proven", "words"),
    [(True, "It began with what came from the provider."), (False, "it is not proven that the provider sent it")],
)
def test_what_nobody_signed_is_not_said_to_come_from_the_provider(okta: Console, proven: bool, words: str) -> None:
    """Anybody can post; a signature under a pinned key is what tells the provider's word from junk."""
    response = okta.response(None) if proven else "Zm9yZ2Vk"
    assert okta.post(okta.app.test_client(), response).status_code in (400, 403)
    text = okta.read(okta.flow())
    assert words in text
    assert text.count("It began with") == 1
    assert "Not started here" in text


def test_a_request_that_nobody_answered_says_so(okta: Console) -> None:
    """It waits for a quarter of an hour, then it is over."""
    okta.app.test_client().get(f"/saml/{okta.row.id}/start")
    page = okta.flow()
    assert "It has not come yet." in okta.read(page)
    with time_machine.travel(clock.now() + timedelta(minutes=16), tick=False):
        assert "No response" in okta.read(page)
        assert "No answer" in okta.read("/flows")


def test_messages_are_gone_after_their_time_and_the_flow_stays(okta: Console) -> None:
    """Thirty days for the XML, more for what it came to."""
    okta.attempt()
    page = okta.flow()
    assert "Our request" in okta.read(page)
    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        sign_in(okta.administrator)
        text = okta.read(page)
    assert "Our request" not in text
    assert "Meant for our entity ID" in text


def test_redacted_flows_show_nobody(okta: Console) -> None:
    """The switch keeps values out of what is kept, and the page says so."""
    okta.change(redact_sign_in_flows=True)
    person = okta.provider.people[0]
    okta.attempt()
    text = okta.read(okta.flow())
    assert "Without what it says of people" in text
    messages = text[text.index('id="messages"') :]
    assert person.email not in messages


@pytest.mark.parametrize("role", ["viewer", "developer", "team_manager", "billing"])
def test_only_administrators_read_flows(okta: Console, role: str) -> None:
    """What a provider said of people is not for everybody who may see events."""
    okta.attempt(audience="https://placeholder.invalid")
    flow = flows_of(okta)[-1]
    add_member(okta.world, "mo@acme.test", role=role, password=True)
    browser = okta.app.test_client()
    sign_in(browser, email="mo@acme.test")
    assert browser.get(f"{okta.page}/flows").status_code == 403
    assert browser.get(f"{okta.page}/flows/{flow.id}").status_code == 403
    assert browser.post(f"{okta.page}/test", data={"csrf_token": csrf_of(browser, "/logout")}).status_code == 403
    if role != "billing":
        events = browser.get("/accounts/acme/events").get_data(as_text=True)
        assert "sign_in_refused" in events
        assert "/flows/" not in events


# --- a test -----------------------------------------------------------------------------------------------------


def state() -> dict[str, Any]:
    """What a sign-in could change."""
    with db.connection():
        return {
            "members": sorted(Member.select(Member.id, Member.email, Member.active).tuples()),
            "roles": sorted(MemberRole.select(MemberRole.member, MemberRole.role).tuples()),
            "links": IdentityLink.select().count(),
            "sessions": sorted(Session.select(Session.digest).tuples()),
            "events": Event.select().count(),
            "proven": list(IdentityProvider.select(IdentityProvider.administrator_signed_in_at).tuples()),
        }


@pytest.mark.parametrize("enabled", [True, False])
def test_a_test_shows_what_would_happen_and_creates_nothing(okta: Console, enabled: bool) -> None:
    """Checks, attributes, groups and roles, who it would be; also where the connection is off."""
    okta.change(enabled=enabled)
    before = state()
    person = okta.provider.people[0]
    text = okta.test()
    for words in (
        "The test passed",
        "Nothing was created or changed",
        "She becomes a member just in time",
        "Nobody who is a member now",
        "Attributes received",
        person.email,
        "developer",
        "A test creates nothing",
    ):
        assert words in text, words
    assert ("The connection is disabled still" in text) is not enabled
    assert state() == before
    assert "Passed" in okta.read("/flows?outcome=succeeded")


def test_a_test_of_a_member_names_her(okta: Console) -> None:
    """Who it would be is a link to her page."""
    member = add_member(okta.world, okta.provider.people[1].email, role="viewer")
    text = okta.test(person=1)
    assert "She is a member and comes in." in text
    assert f"/accounts/acme/members/{member.id}" in text


def test_a_test_that_the_door_refuses_shows_the_fix_and_is_no_event(okta: Console) -> None:
    """Nobody was kept out, so nobody is told of it."""
    before = state()
    text = okta.test(audience="https://placeholder.invalid")
    assert "The test failed" in text
    assert "<strong>Audience URI (SP Entity ID)</strong>" in text
    assert "Failed" in text
    assert state() == before


def test_a_test_of_somebody_who_may_not_come_in_says_that_the_connection_works(okta: Console) -> None:
    """The two must not be confused: nothing is to be changed at the provider."""
    okta.change(join_policy="invite_only")
    text = okta.test()
    assert "The connection works, and she would not come in" in text
    assert "invitation_needed" in text
    assert "<strong>Invite somebody</strong>" in text
    assert "You, in this account" in text


def test_a_test_begins_with_a_post_of_our_own_page(okta: Console) -> None:
    """No link, and no page elsewhere, begins one."""
    assert okta.administrator.get(f"{okta.page}/test").status_code == 405
    assert okta.administrator.post(f"{okta.page}/test").status_code == 403
    assert flows_of(okta) == []


def test_a_test_needs_a_plan_with_single_sign_on(okta: Console) -> None:
    """As the sign-in does."""
    with db.connection(), db.transaction():
        okta.world.account.plan = "free"
        okta.world.account.save()
    assert post(okta.administrator, f"{okta.page}/test", page=okta.page).status_code == 403


def test_a_test_is_not_finished_by_another_browser(okta: Console) -> None:
    """Whoever is lured to the provider by a test's link shows nobody who she is."""
    request_id = okta.begin_test()
    answer = okta.answer(okta.app.test_client(), request_id)
    somewhere = okta.app.test_client().get(answer.headers["Location"])
    assert somewhere.status_code == 403
    with db.connection():
        assert members.of_account(okta.world.account).count() == 1


# --- messages as text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xml", "lines"),
    [
        ("<a><b>text</b><c/></a>", ["<a>", "  <b>text</b>", "  <c/>", "</a>"]),
        ('<?xml version="1.0"?>\n<a>\n <b/>\n</a>', ['<?xml version="1.0"?>', "<a>", "  <b/>", "</a>"]),
        ("<a></a>", ["<a></a>"]),
        ("<a><!-- <b> --></a>", None),
        ("</a></b>", ["</a>", "</b>"]),
        ("no XML at all", ["no XML at all"]),
        ("<a><b", ["<a>", "  <b"]),
        ("", [""]),
    ],
)
def test_xml_gets_lines_and_loses_nothing(xml: str, lines: list[str] | None) -> None:
    """Whatever it is: broken, cut or hostile, every character but the blanks between stays."""
    said = pretty(xml)
    assert lines is None or said.split("\n") == lines
    assert re.sub(r"\s", "", said) == re.sub(r"\s", "", xml)


def test_a_deeply_nested_message_is_not_made_larger_than_it_must() -> None:
    """Its picture grows with its length, not with its depth."""
    assert len(pretty("<a>" * 20_000)) < 20_000 * 70
