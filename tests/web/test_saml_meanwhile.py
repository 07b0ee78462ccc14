"""Between the steps of a sign-in: who is signed in here, who was signed out, which keys and switches count by then."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, idps, keyring, single_logout
from idp_bridge.keyring import Purpose
from idp_bridge.models import IdentityProvider, Member, Session, SignInFlow
from idp_bridge.saml.logout import LogoutRequest
from idp_bridge.saml.profile import UNSPECIFIED, NameId
from tests.conftest import make_account
from tests.web.connections import Connection, connect, events_of, failed_checks, flows_of, session_of
from tests.web.pages import sign_in
from tests.web.test_saml_idp_initiated import confirm, cross_site


def whoami(browser: FlaskClient) -> str:
    return str(browser.get("/api/whoami").get_json()["principal"]["subject"])


def held(connection: Connection, browser: FlaskClient) -> str:
    """Where the answer to a request of this browser waits for it: the address of its /finish."""
    answer = cross_site(connection, browser, connection.response(connection.start(browser)))
    return str(answer.headers["Location"])


def last(connection: Connection) -> tuple[str | None, list[str]]:
    """Why the newest flow was refused, and by which checks."""
    flow = flows_of(connection)[-1]
    return flow.reason, failed_checks(flow)


# --- somebody else is signed in -----------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(app: Flask, simulated: Any) -> Connection:
    """Another customer of this service, with a provider of her own that signs whatever she likes."""
    with db.connection():
        world = make_account("elsewhere")
    return connect(app, world, simulated["entra"])


@pytest.mark.parametrize("same_site", [True, False], ids=["same site", "cross-site"])
def test_a_sign_in_that_began_here_replaces_nobody_unasked(
    elsewhere: Connection, world: Any, client: FlaskClient, same_site: bool
) -> None:
    """Login CSRF by a customer: a link to her /start would end in a session of hers, in the browser of whoever follows
    it. The page names both; what she confirms ends the old session, whose account is told."""
    sign_in(client)
    hers = session_of(client)
    response = elsewhere.response(elsewhere.start(client, "/accounts/elsewhere/credentials"))
    answer = elsewhere.post(client, response) if same_site else cross_site(elsewhere, client, response)
    finish = answer.headers["Location"]
    page = client.get(finish)
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "owner@acme.test" in text
    assert elsewhere.provider.people[0].email in text
    assert session_of(client) == hers
    assert whoami(client) == "owner@acme.test"
    assert events_of(world, "session_ended.v0") == []
    assert confirm(elsewhere, client, finish).headers["Location"] == "/accounts/elsewhere/credentials"
    assert whoami(client) == elsewhere.provider.people[0].email
    (ended,) = events_of(world, "session_ended.v0")
    assert ended.object["session_id"].startswith("sess_")
    assert {name: ended.object[name] for name in ("id", "reason")} == {"id": world.owner.id, "reason": "replaced"}
    with db.connection():
        assert Session.select().count() == 1


@pytest.mark.parametrize("same_site", [True, False], ids=["same site", "cross-site"])
@pytest.mark.parametrize("by_password", [True, False], ids=["by password", "by the provider"])
def test_who_signs_in_again_as_herself_is_not_asked(
    okta: Connection, client: FlaskClient, same_site: bool, by_password: bool
) -> None:
    """However her session began; and nobody is told that it ended, since the new one says so."""
    own: dict[str, Any] = {}
    if by_password:
        sign_in(client)
        own = {"name_id": "owner@acme.test", "attributes": {"email": ["owner@acme.test"]}}
    else:
        okta.sign_in(client)
    before = session_of(client)
    response = okta.response(okta.start(client), **own)
    answer = okta.post(client, response) if same_site else cross_site(okta, client, response)
    if not same_site:
        answer = client.get(answer.headers["Location"])
    assert answer.status_code == 303
    assert session_of(client) != before
    assert events_of(okta.world, "session_ended.v0") == []
    with db.connection():
        assert Session.select().count() == 1


def test_a_test_sign_in_asks_nobody_and_ends_no_session(okta: Connection, client: FlaskClient) -> None:
    """An administrator tests as whomever the provider names, and stays who she is."""
    sign_in(client)
    prepared = okta.world_client().post(
        f"/api/identity_providers/{okta.row.id}/sign_in_flows", headers=okta.world.headers, json={"kind": "test"}
    )
    request_id = okta.asked(client.get(prepared.get_json()["start_url"]))
    answer = okta.post(client, okta.response(request_id))
    assert "/flows/" in answer.headers["Location"]
    assert whoami(client) == "owner@acme.test"


# --- between the response and its browser -------------------------------------------------------------------------


def sign_out(connection: Connection, name_id: str, *, indexes: tuple[str, ...] = ()) -> None:
    """The provider says that her sessions are over."""
    moment = clock.now() + timedelta(seconds=1)
    message = LogoutRequest(
        id=f"_{moment.timestamp()}",
        issue_instant=moment,
        not_on_or_after=moment + timedelta(minutes=5),
        name_id=NameId(name_id, UNSPECIFIED, None, None),
        session_indexes=indexes,
        relay_state=None,
    )
    with db.connection(), db.transaction():
        single_logout.obey(connection.world.system, connection.row, message)


def test_a_sign_out_in_between_is_heeded(okta: Connection, client: FlaskClient) -> None:
    """Who is signed out at the provider while what it said of her waits has no session afterwards."""
    finish = held(okta, client)
    sign_out(okta, okta.provider.people[0].email)
    assert client.get(finish).status_code == 403
    assert session_of(client) is None
    assert last(okta) == ("session_expired", ["logout"])


@pytest.mark.parametrize("same_site", [True, False], ids=["same site", "cross-site"])
def test_a_sign_out_before_is_heeded_at_once(okta: Connection, client: FlaskClient, same_site: bool) -> None:
    """What is over when the response comes does not wait for a browser."""
    response = okta.response(okta.start(client))
    sign_out(okta, okta.provider.people[0].email)
    answer = okta.post(client, response) if same_site else cross_site(okta, client, response)
    assert answer.status_code == 403
    assert last(okta) == ("session_expired", ["logout"])


@pytest.mark.parametrize("what", ["somebody else", "another session"])
def test_a_sign_out_of_others_is_not_hers(okta: Connection, client: FlaskClient, what: str) -> None:
    """Only what was said of her, and of this session of hers."""
    finish = held(okta, client)
    person, other = okta.provider.people[:2]
    sign_out(okta, other.email if what == "somebody else" else person.email, indexes=("another",))
    assert client.get(finish).status_code == 303
    assert session_of(client)


def pin(connection: Connection, *providers: Any) -> None:
    """Trust the keys of these providers instead, as an administrator does after a key was stolen."""
    with db.connection(), db.transaction():
        row = IdentityProvider.get_by_id(connection.row.id)
        keys = [one for provider in providers for one in idps.read_metadata(provider.metadata_xml).certificates]
        trust = replace(idps.trust_of(row), certificates=tuple(keys))
        idps.change(connection.world.system, row, trust=trust)


def test_a_key_that_is_given_up_in_between_signs_nobody_in(
    okta: Connection, client: FlaskClient, simulated: Any
) -> None:
    """What waits was signed by a key that nobody trusts any more."""
    finish = held(okta, client)
    pin(okta, simulated["entra"])
    assert client.get(finish).status_code == 403
    assert session_of(client) is None
    assert last(okta) == ("signature_invalid", ["signer"])


def test_a_key_that_is_added_in_between_refuses_nobody(okta: Connection, client: FlaskClient, simulated: Any) -> None:
    """A roll-over, first half: the old key still stands."""
    finish = held(okta, client)
    pin(okta, simulated["entra"], okta.provider)
    assert client.get(finish).status_code == 303
    assert session_of(client)


def test_a_test_sign_in_asks_again_too(okta: Connection, client: FlaskClient, simulated: Any) -> None:
    """It passes through the whole decision, and says where that ended."""
    prepared = okta.world_client().post(
        f"/api/identity_providers/{okta.row.id}/sign_in_flows", headers=okta.world.headers, json={"kind": "test"}
    )
    request_id = okta.asked(client.get(prepared.get_json()["start_url"]))
    finish = cross_site(okta, client, okta.response(request_id)).headers["Location"]
    pin(okta, simulated["entra"])
    assert client.get(finish).status_code == 303
    assert last(okta) == ("signature_invalid", ["signer"])


# --- what waits ---------------------------------------------------------------------------------------------------


def waiting_row(connection: Connection) -> str:
    """All that the database has of the newest flow."""
    with db.connection():
        newest = SignInFlow.select().where(SignInFlow.identity_provider == connection.row.id)
        return str(newest.order_by(SignInFlow.id.desc()).tuples().get())


@pytest.mark.parametrize("bounces", [False, True], ids=["held", "bounced"])
def test_what_waits_is_sealed(okta: Connection, client: FlaskClient, bounces: bool) -> None:
    """Neither NameID nor attributes can be read meanwhile, where the connection says that they are not kept."""
    okta.change(redact_sign_in_flows=True, allow_idp_initiated=True, bounce_idp_initiated=bounces)
    person = okta.provider.people[0]
    attributes = {"email": [person.email], "groups": ["Top secret"]}
    answer = cross_site(okta, client, okta.response(None, attributes=attributes))
    row = waiting_row(okta)
    assert "gAAAA" in row, "it waits"
    assert person.email not in row
    assert "Top secret" not in row
    assert client.get(answer.headers["Location"]).status_code == 303


def test_what_another_secret_key_sealed_waits_for_nobody(
    okta: Connection, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator changed IDP_BRIDGE_SECRET_KEY meanwhile: she is told to start again, and nothing breaks."""
    finish = held(okta, client)
    with db.connection(), db.transaction():
        (flow,) = SignInFlow.select()
        sealed = keyring.seal("{}", Purpose.CURSORS)
        SignInFlow.update(waiting={**flow.waiting, "said": sealed}).execute()
    assert client.get(finish).status_code == 403
    assert session_of(client) is None


# --- a fresh sign-in ----------------------------------------------------------------------------------------------


def test_where_a_fresh_sign_in_is_asked_for_the_unsolicited_bounces(okta: Connection, client: FlaskClient) -> None:
    """A response that nobody asked for is newer than no request: with ``force_authn`` it only begins one of ours, also
    where people may start at the provider. What that request gets in answer has to be fresh."""
    okta.change(allow_idp_initiated=True, force_authn=True)
    days_ago = clock.now() - timedelta(days=3)
    answer = cross_site(okta, client, okta.response(None, authn_instant=days_ago))
    assert "/start?flow=" in answer.headers["Location"]
    assert session_of(client) is None
    request_id = okta.asked(client.get(answer.headers["Location"]))
    old = cross_site(okta, client, okta.response(request_id, authn_instant=days_ago))
    assert old.status_code == 403
    assert last(okta) == ("authentication_stale", ["freshness"])
    fresh = cross_site(okta, client, okta.response(None, person=1))
    request_id = okta.asked(client.get(fresh.headers["Location"]))
    assert okta.post(client, okta.response(request_id, person=1)).status_code == 303
    assert session_of(client)


def test_a_fresh_sign_in_alone_allows_nothing_unsolicited(okta: Connection, client: FlaskClient) -> None:
    """``force_authn`` is no permission to start at the provider."""
    okta.change(force_authn=True)
    assert cross_site(okta, client, okta.response(None)).status_code == 403
    assert last(okta)[0] == "unsolicited_not_allowed"


# --- somebody is removed ------------------------------------------------------------------------------------------


def test_who_is_removed_at_the_moment_of_her_sign_in(okta: Connection, app: Flask) -> None:
    """She is in by her former place, and out again, or by a new one, or refused; nothing breaks."""
    okta.sign_in(app.test_client())
    for _ in range(6):
        browser = app.test_client()
        response = okta.response(okta.start(browser))
        with db.connection():
            member = Member.get(Member.email == okta.provider.people[0].email)
        removal = partial(app.test_client().delete, f"/api/users/{member.id}", headers=okta.world.headers)
        with ThreadPoolExecutor(2) as pool:
            removed, answer = pool.submit(removal), pool.submit(okta.post, browser, response)
        assert removed.result().status_code == 204
        assert answer.result().status_code in (303, 403)
        if browser.get("/api/whoami").status_code == 401:
            okta.sign_in(app.test_client())
