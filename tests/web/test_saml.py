"""The /saml routes: from the login page to a session, and every way that must not lead to one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import (
    bots,
    clock,
    db,
    groups,
    idps,
    invitations,
    member_lifecycle,
    members,
    plan_changes,
    saml_messages,
    sp_keys,
)
from idp_bridge.models import IdentityLink, Member, Session
from idp_bridge.simulator.saml_idp import Provider
from tests.conftest import World, make_account
from tests.web.connections import (
    BASE,
    SESSION_COOKIE,
    Connection,
    connect,
    events_of,
    failed_checks,
    flows_of,
    reference,
    session_of,
)

# --- in ---------------------------------------------------------------------------------------------------------


def test_sign_in_makes_a_member_and_a_session(connection: Connection, client: FlaskClient) -> None:
    """Just in time: the person that the provider signed for is a member afterwards, with the default role."""
    answer = connection.sign_in(client)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/accounts/acme/overview"
    cookie = next(value for value in answer.headers.getlist("Set-Cookie") if value.startswith(SESSION_COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    who = client.get("/api/whoami").get_json()
    person = connection.provider.people[0]
    assert who["principal"]["subject"] == person.email
    assert who["roles"] == ["developer"]
    assert who["authentication"] == {"method": "saml", "identity_provider_id": connection.row.id}
    assert events_of(connection.world, "sign_in_succeeded.v0")[0].object["email"] == person.email


def test_second_sign_in_is_the_same_member(connection: Connection, app: Flask) -> None:
    """The link made at the first sign-in decides at the second."""
    ids = set()
    for _ in range(2):
        browser = app.test_client()
        connection.sign_in(browser)
        ids.add(browser.get("/api/whoami").get_json()["principal"]["id"])
    assert len(ids) == 1


def test_encrypted_assertion_signs_in(okta: Connection, client: FlaskClient) -> None:
    """With encryption wanted, our metadata carries a key and only encrypted assertions are taken."""
    okta.change(want_assertions_encrypted=True)
    with db.connection(), db.transaction():
        sp_keys.signing(okta.row)
        (ours,) = sp_keys.published(okta.row)
    certificate = x509.load_pem_x509_certificate(ours.pem.encode())
    assert okta.sign_in(client).status_code == 403
    assert okta.sign_in(client, encrypt_to=certificate).status_code == 303


def test_signed_request_is_understood(okta: Connection, client: FlaskClient) -> None:
    """A provider that holds our signing certificate checks the query string's signature."""
    okta.change(sign_authn_requests=True)
    with db.connection():
        okta.provider.register_sp(idps.sp_metadata(okta.row, BASE).decode())
    assert okta.sign_in(client).status_code == 303


@pytest.mark.parametrize(
    ("asked", "landed"),
    [
        ("/accounts/acme/groups?page=2", "/accounts/acme/groups?page=2"),
        ("https://evil.test/", "/accounts/acme/overview"),
        ("//evil.test", "/accounts/acme/overview"),
        ("/\\evil.test", "/accounts/acme/overview"),
        ("javascript:alert(1)", "/accounts/acme/overview"),
        ("/a\r\nSet-Cookie: x=1", "/accounts/acme/overview"),
    ],
)
def test_next_stays_on_our_origin(okta: Connection, client: FlaskClient, asked: str, landed: str) -> None:
    """The page asked for is opened after the sign-in; a foreign one is forgotten."""
    request_id = okta.start(client, asked)
    assert okta.post(client, okta.response(request_id)).headers["Location"] == landed


def test_cross_site_post_finishes_in_the_browser_that_began(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """The ACS post comes without our Lax cookie; the same-site GET after it is where the browser is compared."""
    response = okta.response(okta.start(client, "/accounts/acme/events"))
    answer = okta.post(app.test_client(), response)
    assert answer.status_code == 303
    assert SESSION_COOKIE not in str(answer.headers)
    finish = answer.headers["Location"]
    assert app.test_client().get(finish).status_code == 403, "another browser must not finish it"
    finished = client.get(finish)
    assert finished.headers["Location"] == "/accounts/acme/events"
    assert session_of(client)


def test_a_sign_in_that_is_over_is_no_refusal(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """The same link again, in the browser that finished it: on to the page while its session is there, then words that
    it is over, with the reference of the event that it ended in. Nothing more is written down, and nothing opens."""
    response = okta.response(okta.start(client, "/accounts/acme/events"))
    finish = okta.post(app.test_client(), response).headers["Location"]
    cookie = client.get(finish).headers.getlist("Set-Cookie")
    assert any(SESSION_COOKIE in value for value in cookie)
    session = session_of(client)
    again = client.get(finish)
    assert (again.status_code, again.headers["Location"]) == (303, "/accounts/acme/events")
    assert session_of(client) == session
    client.delete_cookie(SESSION_COOKIE)
    over = client.get(finish)
    assert over.status_code == 403
    assert "already finished" in over.get_data(as_text=True)
    assert reference(over) == events_of(okta.world, "sign_in_succeeded.v0")[0].id
    assert session_of(client) is None
    assert events_of(okta.world, "sign_in_refused.v0") == []
    assert len(flows_of(okta)) == 1
    assert app.test_client().get(finish).status_code == 403
    assert events_of(okta.world, "sign_in_refused.v0")[0].object["reason"] == "other_browser"


def test_a_refused_sign_in_that_is_opened_again_is_refused_once(
    okta: Connection, app: Flask, client: FlaskClient
) -> None:
    """Whoever loads the page again finds the same reference."""
    okta.change(join_policy="invite_only")
    finish = okta.post(app.test_client(), okta.response(okta.start(client))).headers["Location"]
    assert reference(client.get(finish)) == reference(client.get(finish))
    assert len(events_of(okta.world, "sign_in_refused.v0")) == len(flows_of(okta)) == 1


def test_two_tabs_at_once(okta: Connection, client: FlaskClient) -> None:
    """Each tab has its own request; both come through."""
    first, second = okta.start(client), okta.start(client)
    assert okta.post(client, okta.response(second)).status_code == 303
    assert okta.post(client, okta.response(first)).status_code == 303


def test_session_ends_when_the_provider_says(okta: Connection, client: FlaskClient) -> None:
    """SessionNotOnOrAfter caps our session."""
    ends = clock.now() + timedelta(minutes=30)
    okta.sign_in(client, session_not_on_or_after=ends)
    with db.connection():
        assert abs(Session.get().expires_at - ends) < timedelta(seconds=2)


# --- not in -----------------------------------------------------------------------------------------------------


def other_audience(c: Connection, browser: FlaskClient) -> Any:
    return c.post(browser, c.response(c.start(browser), audience="https://sp.other.test"))


def other_recipient(c: Connection, browser: FlaskClient) -> Any:
    return c.post(browser, c.response(c.start(browser), recipient="https://sp.other.test/acs"))


def other_issuer(c: Connection, browser: FlaskClient) -> Any:
    return c.post(browser, c.response(c.start(browser), issuer="https://idp.other.test"))


def stale(c: Connection, browser: FlaskClient) -> Any:
    return c.post(browser, c.response(c.start(browser), now=clock.now() - timedelta(hours=2)))


def foreign_request(c: Connection, browser: FlaskClient) -> Any:
    c.start(browser)
    return c.post(browser, c.response("_a-request-that-nobody-sent"))


def replay(c: Connection, browser: FlaskClient) -> Any:
    response = c.response(c.start(browser))
    assert c.post(browser, response).status_code == 303
    browser.delete_cookie(SESSION_COOKIE)
    return c.post(browser, response)


def unsigned(c: Connection, browser: FlaskClient) -> Any:
    return c.post(browser, c.response(c.start(browser), sign_response=False, sign_assertion=False))


def switched_off(c: Connection, browser: FlaskClient) -> Any:
    request_id = c.start(browser)
    c.change(enabled=False)
    return c.post(browser, c.response(request_id))


def plan_left(c: Connection, browser: FlaskClient) -> Any:
    request_id = c.start(browser)
    with db.connection(), db.transaction():
        plan_changes.set_plan(c.world.system, "pro")
    return c.post(browser, c.response(request_id))


def not_invited(c: Connection, browser: FlaskClient) -> Any:
    c.change(join_policy="invite_only")
    return c.sign_in(browser)


def foreign_domain(c: Connection, browser: FlaskClient) -> Any:
    c.change(domains=["elsewhere.test"])
    return c.sign_in(browser)


def no_seat(c: Connection, browser: FlaskClient) -> Any:
    with db.connection(), db.transaction():
        plan_changes.set_plan(c.world.system, "enterprise", seat_limit=1)
    return c.sign_in(browser)


def suspended(c: Connection, browser: FlaskClient) -> Any:
    c.sign_in(browser)
    with db.connection(), db.transaction():
        member = Member.get(Member.email == c.provider.people[0].email)
        member_lifecycle.suspend(c.world.system, members.get(c.world.account, member.id))
    browser.delete_cookie(SESSION_COOKIE)
    return c.sign_in(browser)


REFUSALS: dict[Callable[[Connection, FlaskClient], Any], str] = {
    other_audience: "audience_mismatch",
    other_recipient: "recipient_mismatch",
    other_issuer: "issuer_mismatch",
    stale: "expired",
    foreign_request: "request_unknown",
    replay: "request_unknown",
    unsigned: "signature_missing",
    switched_off: "provider_disabled",
    plan_left: "sso_not_in_plan",
    not_invited: "invitation_needed",
    foreign_domain: "address_not_allowed",
    no_seat: "ERR_SEATS_FULL",
    suspended: "member_suspended",
}


@pytest.mark.parametrize("attempt", REFUSALS, ids=lambda attempt: attempt.__name__)
def test_refused(okta: Connection, client: FlaskClient, attempt: Callable[[Connection, FlaskClient], Any]) -> None:
    """403, a page with a reference, an event that holds the reason under that reference, and no session."""
    answer = attempt(okta, client)
    assert answer.status_code == 403
    assert answer.mimetype == "text/html"
    assert session_of(client) is None
    refusal = events_of(okta.world, "sign_in_refused.v0")[-1]
    assert refusal.object["reason"] == REFUSALS[attempt]
    assert reference(answer) == refusal.id


@pytest.mark.parametrize("body", [{}, {"SAMLResponse": ""}, {"SAMLResponse": "%%%"}, {"SAMLResponse": "PGE+"}])
def test_what_is_no_saml_is_400(okta: Connection, client: FlaskClient, body: dict[str, str]) -> None:
    """A message that is no SAML at all is a bad request, on the page of a refusal, with its reference."""
    answer = client.post(f"{okta.path}/acs", data=body)
    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert session_of(client) is None
    assert reference(answer) == events_of(okta.world, "sign_in_refused.v0")[-1].id
    assert failed_checks(flows_of(okta)[-1]) != [] or not body.get("SAMLResponse")


@pytest.mark.parametrize("browser_method", ["GET", "HEAD"])
def test_the_acs_leads_people_to_where_a_sign_in_begins(
    okta: Connection, client: FlaskClient, browser_method: str
) -> None:
    """A bookmark, or the way back: the account's ways in. Other methods are not for people."""
    answer = client.open(f"{okta.path}/acs?SAMLResponse=PGE%2B", method=browser_method)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login/acme")
    refused = client.put(f"{okta.path}/acs")
    assert (refused.status_code, "POST" in refused.headers["Allow"]) == (405, True)
    assert flows_of(okta) == []


def test_nobody_is_sent_to_a_provider_for_nothing(okta: Connection, client: FlaskClient) -> None:
    """Where the connection is off, or the plan has no single sign-on, the sign-in is refused before it begins."""
    okta.change(enabled=False)
    answers = {"provider_disabled": client.get(f"{okta.path}/start?next=/accounts/acme/events")}
    with db.connection(), db.transaction():
        plan_changes.set_plan(okta.world.system, "pro")
    answers["sso_not_in_plan"] = client.get(f"{okta.path}/start")
    events = events_of(okta.world, "sign_in_refused.v0")
    for (reason, answer), event, flow in zip(answers.items(), events, flows_of(okta), strict=True):
        assert answer.status_code == 403
        assert "You are not signed in" in answer.get_data(as_text=True)
        assert reference(answer) == event.id == flow.event_id
        assert (event.object["reason"], event.object["flow_id"]) == (reason, flow.id)
        assert (flow.kind, flow.reason, flow.decision, failed_checks(flow)) == (
            "sp_initiated", reason, reason, ["decision"],
        )  # fmt: skip


def test_acs_takes_posts_of_bounded_size_only(okta: Connection, client: FlaskClient) -> None:
    """256 KiB is ample."""
    assert okta.post(client, "A" * 400_000).status_code == 413


def test_unknown_connection_is_404(app: Flask, world: World, client: FlaskClient) -> None:
    """No connection of that id: nothing to start, nothing to answer."""
    for path, method in (("start", "GET"), ("acs", "POST"), ("metadata", "GET"), ("finish", "GET")):
        assert client.open(f"/saml/idp_nobody/{path}", method=method).status_code == 404


def test_twenty_posts_of_one_response_make_one_session(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """Replay memory and the use of the request are shared and atomic."""
    response = okta.response(okta.start(client))
    cookie = client.get_cookie("idp_bridge_browser")
    assert cookie is not None

    def post(_: int) -> int:
        browser = app.test_client()
        browser.set_cookie(cookie.key, cookie.value)
        return int(okta.post(browser, response).status_code)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert sorted(answers) == [303] + [403] * 19
    with db.connection():
        assert Session.select().count() == 1


# --- whose word counts where ------------------------------------------------------------------------------------


def test_another_accounts_provider_reaches_nobody_here(
    okta: Connection, app: Flask, simulated: dict[str, Provider]
) -> None:
    """Two accounts trust the same provider: a response for one is refused by the other, and nobody is shared."""
    with db.connection():
        other = make_account("umbrella")
    theirs = connect(app, other, simulated["okta"])
    browser = app.test_client()
    assert okta.sign_in(browser).status_code == 303
    stolen = okta.response(theirs.start(browser))
    assert theirs.post(browser, stolen).status_code == 403
    theirs.sign_in(app.test_client())
    with db.connection():
        same_address = list(Member.select().where(Member.email == okta.provider.people[0].email))
        assert len({member.account_id for member in same_address}) == 2
        assert len({member.person_id for member in same_address}) == 2


def test_session_reaches_the_providers_account_only(okta: Connection, app: Flask) -> None:
    """Somebody with a password in another account: the provider of this one opens this one."""
    with db.connection():
        make_account("umbrella")
    person = okta.provider.people[0]
    browser = app.test_client()
    okta.sign_in(browser, attributes={"email": ["owner@umbrella.test"], "firstName": ["X"], "lastName": ["Y"]})
    assert browser.get("/api/whoami").get_json()["account"]["slug"] == "acme"
    assert browser.get("/api/whoami", headers={"X-Account": "umbrella"}).status_code == 404
    assert browser.get("/accounts/umbrella/members").status_code == 404
    assert person.email


def test_invited_address_joins_with_the_invitations_roles(okta: Connection, client: FlaskClient) -> None:
    """Invite only: the invitation is used up by the sign-in, and its roles count."""
    okta.change(join_policy="invite_only")
    with db.connection(), db.transaction():
        invitations.create(okta.world.system, okta.provider.people[0].email, role_names=["viewer"])
    assert okta.sign_in(client).status_code == 303
    assert client.get("/api/whoami").get_json()["roles"] == ["viewer"]


def test_group_claim_gives_mapped_roles_and_takes_them_away(okta: Connection, client: FlaskClient) -> None:
    """What the last assertion said of groups is what counts."""
    with db.connection(), db.transaction():
        groups.map_role(okta.world.system, okta.row, role="billing", group_display_name="Engineering")
    okta.sign_in(client)
    assert client.get("/api/whoami").get_json()["roles"] == ["billing"]
    okta.sign_in(client, attributes={"email": [okta.provider.people[0].email], "groups": ["Support"]})
    assert "billing" not in client.get("/api/whoami").get_json()["roles"]


def test_bot_user_cannot_sign_in(okta: Connection, client: FlaskClient) -> None:
    """An assertion that names a bot user's name finds no bot user."""
    okta.change(join_policy="invite_only")
    with db.connection(), db.transaction():
        bots.create(okta.world.system, okta.provider.people[0].email)
    assert okta.sign_in(client).status_code == 403


def test_metadata_is_ours_for_that_connection(okta: Connection, client: FlaskClient) -> None:
    """Its URL is the entity ID, and it names the one ACS URL."""
    answer = client.get(f"{okta.path}/metadata")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert f'entityID="{BASE}{okta.path}/metadata"' in text
    assert f"{BASE}{okta.path}/acs" in text


def test_links_are_kept_by_name_id(okta: Connection, client: FlaskClient) -> None:
    """Whom a NameID means is remembered for its connection."""
    okta.sign_in(client)
    with db.connection():
        link = IdentityLink.get()
        assert (link.identity_provider_id, link.name_id) == (okta.row.id, okta.provider.people[0].email)


def test_a_provider_by_post_may_redirect_to_another_host(okta: Connection, client: FlaskClient) -> None:
    """Chromium holds every redirect after a form's post to form-action, so the page names schemes, not one host."""
    okta.change(sso_binding="post")
    answer = client.get(f"{okta.path}/start")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert policy["form-action"] == "'self' https: http:"


@pytest.mark.parametrize("name_id_format", [None, "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"])
def test_a_name_id_policy_is_sent_where_one_is_asked_for(
    okta: Connection, client: FlaskClient, name_id_format: str | None
) -> None:
    """Providers refuse formats that they do not know, so by default nothing is asked."""
    okta.change(name_id_format=name_id_format)
    okta.start(client)
    with db.connection():
        sent = saml_messages.of_flow(okta.row, flows_of(okta)[0].id)["request"].xml
    assert ("NameIDPolicy" in sent) == (name_id_format is not None)
    assert (name_id_format or "AuthnRequest") in sent
