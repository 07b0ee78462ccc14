"""Single logout: sessions end with the provider's and the provider's with ours; a forged word ends nothing."""

import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from lxml import html
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.samlp import STATUS_PARTIAL_LOGOUT, STATUS_RESPONDER, STATUS_SUCCESS

from idp_bridge import clock, db, idps, single_logout
from idp_bridge.models import Event, IdentityProvider, Member, ReceivedLogout, SentLogout, Session, SignInFlow
from idp_bridge.simulator import saml_logout
from idp_bridge.simulator.crypto import make_key_pair
from idp_bridge.simulator.saml_idp import Provider, sign_response
from idp_bridge.simulator.saml_logout import Answered, Asked, Outgoing
from idp_bridge.simulator.serve import default_providers
from idp_bridge.simulator.service_provider import ServiceProvider, SignedIn
from idp_bridge.web.saml import budgets
from tests.conftest import World, make_account
from tests.web.pages import post as submit
from tests.web.pages import sign_in as sign_in_by_password

BASE = "http://localhost"
BINDINGS = {"redirect": BINDING_HTTP_REDIRECT, "post": BINDING_HTTP_POST}


@dataclass
class Connection:
    """A connection of ours and the simulated provider at its other end."""

    world: World
    row: IdentityProvider
    provider: Provider
    sp: ServiceProvider

    @property
    def path(self) -> str:
        return f"/saml/{self.row.id}"

    def change(self, **options: Any) -> None:
        """Set the connection's options."""
        with db.connection(), db.transaction():
            idps.change(self.world.system, self.row, **options)

    def sign_in(self, browser: FlaskClient, person: int = 0, **changes: Any) -> SignedIn:
        """The whole way in; what the provider remembers of it."""
        response = self.response(browser, person, **changes)
        assert self.post(browser, response).status_code == 303
        assert is_in(browser)
        return self.provider.signed_in[-1]

    def response(self, browser: FlaskClient, person: int = 0, **changes: Any) -> str:
        """The provider's answer to a request of this browser."""
        sent = browser.get(f"{self.path}/start")
        asked = self.provider.parse_request(fields_of(sent), BINDING_HTTP_REDIRECT)
        urls = idps.urls(self.row.id, BASE)
        return sign_response(
            self.provider,
            self.provider.people[person],
            acs_url=urls["acs_url"],
            audience=urls["sp_entity_id"],
            in_response_to=asked.request_id,
            **changes,
        )

    def post(self, browser: FlaskClient, response: str) -> Any:
        """What the provider's page makes the browser post."""
        return browser.post(f"{self.path}/acs", data={"SAMLResponse": response})

    def ask(self, session: SignedIn, **options: Any) -> Outgoing:
        """The provider's LogoutRequest for that session."""
        return saml_logout.ask(self.provider, self.sp, session, **options)

    def read(self, answer: Any) -> Asked | Answered:
        """What the provider understands of what our answer makes the browser bring."""
        binding = BINDING_HTTP_REDIRECT if answer.status_code == 303 else BINDING_HTTP_POST
        return saml_logout.read(self.provider, fields_of(answer), binding)


def connect(world: World, provider: Provider, **options: Any) -> Connection:
    """A connection of the world's account to that provider."""
    with db.connection(), db.transaction():
        trust = idps.read_metadata(provider.metadata_xml)
        row = idps.create(world.system, name=provider.name, trust=trust, **{"join_policy": "jit", **options})
        sp = provider.register_sp(idps.sp_metadata(row, BASE).decode())
    return Connection(world, row, provider, sp)


@pytest.fixture(scope="session")
def providers() -> dict[str, Provider]:
    """The simulated providers; their keys are made once."""
    return default_providers("http://127.0.0.1:1")


@pytest.fixture
def simulated(providers: dict[str, Provider]) -> dict[str, Provider]:
    """Providers that know of no app yet, and whose people are signed in nowhere."""
    for provider in providers.values():
        provider.apps = {}
        provider.signed_in.clear()
    return providers


@pytest.fixture(params=["okta", "entra"])
def connection(request: pytest.FixtureRequest, world: World, simulated: dict[str, Provider]) -> Connection:
    """A connection to each simulated provider: by POST, and by Redirect in Entra's spelling."""
    return connect(world, simulated[request.param])


@pytest.fixture
def okta(world: World, simulated: dict[str, Provider]) -> Connection:
    """A connection to the simulated Okta."""
    return connect(world, simulated["okta"])


def fields_of(answer: Any) -> dict[str, str]:
    """What the browser brings to the provider: by the redirect, or by the form of the page."""
    if answer.status_code == 303:
        query = urlsplit(answer.headers["Location"]).query
        pairs = [part.partition("=") for part in query.split("&")]
        return {name: unquote_plus(value) for name, _, value in pairs}
    assert answer.status_code == 200, answer.get_data(as_text=True)
    form = html.fromstring(answer.get_data(as_text=True)).forms[0]
    return {field.get("name"): field.get("value") for field in form.iterfind(".//input[@type='hidden']")}


def target_of(answer: Any) -> str:
    """Where the browser brings it."""
    if answer.status_code == 303:
        return str(answer.headers["Location"].partition("?")[0])
    return str(html.fromstring(answer.get_data(as_text=True)).forms[0].action)


def bring(browser: FlaskClient, message: Outgoing) -> Any:
    """A browser with what the provider gave it; cross-site, so without our cookies where it posts."""
    path = message.url.removeprefix(BASE)
    return browser.post(path, data=message.fields) if message.fields else browser.get(path)


def is_in(browser: FlaskClient) -> bool:
    """Whether the browser's session is alive."""
    return bool(browser.get("/api/whoami").status_code == 200)


def events_of(world: World, type: str) -> list[Event]:
    """The events of a type, oldest first."""
    with db.connection():
        return list(Event.select().where(Event.account == world.account, Event.type == f"{type}.v0").order_by(Event.id))


# --- the provider signs somebody out ----------------------------------------------------------------------------


def test_the_provider_ends_a_session_in_another_browser(connection: Connection, app: Flask) -> None:
    """Without any cookie of ours: the session that it names is dead, an event says so, the answer is signed."""
    mine, theirs = app.test_client(), app.test_client()
    session = connection.sign_in(mine)
    asked = connection.ask(session, relay_state="their state")
    answer = bring(theirs, asked)
    assert not is_in(mine)
    assert connection.read(answer) == Answered(connection.sp, asked.id, True)
    assert fields_of(answer)["RelayState"] == "their state"
    assert target_of(answer) == connection.provider.slo_url
    (event,) = events_of(connection.world, "session_ended")
    assert event.object["reason"] == "provider"
    assert event.object["identity_provider_id"] == connection.row.id
    assert (event.principal_type, event.source) == ("identity_provider", "saml")


@pytest.mark.parametrize("binding", BINDINGS)
def test_either_binding_brings_it(okta: Connection, app: Flask, client: FlaskClient, binding: str) -> None:
    """Whatever the provider's metadata prefers, ours names both."""
    session = okta.sign_in(client)
    asked = okta.ask(session, binding=BINDINGS[binding])
    assert okta.read(bring(app.test_client(), asked)) == Answered(okta.sp, asked.id, True)
    assert not is_in(client)


def test_the_answer_may_be_framed_by_the_provider_alone(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """Where it signs out of all applications at once, in hidden frames; nothing else of ours is ever framed."""
    okta.change(slo_binding="post")
    answer = bring(app.test_client(), okta.ask(okta.sign_in(client)))
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["frame-ancestors"] == "http://127.0.0.1:1"
    assert policy["form-action"] == "'self' https: http:"
    assert "frame-ancestors 'none'" in client.get("/logout").headers["Content-Security-Policy"]


def test_only_the_sessions_that_are_named_end(okta: Connection, app: Flask) -> None:
    """By SessionIndex, if there is one; every session of that NameID, if there is none; nobody else's ever."""
    browsers = [app.test_client() for _ in range(4)]
    first, _, _, other = (okta.sign_in(browser, person) for browser, person in zip(browsers, (0, 0, 0, 1), strict=True))
    bring(app.test_client(), okta.ask(first))
    assert [is_in(browser) for browser in browsers] == [False, True, True, True]
    bring(app.test_client(), okta.ask(first, session_indexes=("unknown", "_another")))
    assert [is_in(browser) for browser in browsers] == [False, True, True, True]
    bring(app.test_client(), okta.ask(first, session_indexes=()))
    assert [is_in(browser) for browser in browsers] == [False, False, False, True]
    assert len(events_of(okta.world, "session_ended")) == 3
    assert other.person != first.person


@pytest.mark.parametrize(
    "changes",
    [
        {"name_id": "nobody@acme.test"},
        {"name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
        {"session_indexes": ("_nowhere",)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whoever_is_not_here_is_signed_out_already(
    okta: Connection, client: FlaskClient, app: Flask, changes: dict[str, Any]
) -> None:
    """Success: there is nothing to end. Another format of the same value is another person (Core 3.3.4)."""
    asked = okta.ask(okta.sign_in(client), **changes)
    assert okta.read(bring(app.test_client(), asked)) == Answered(okta.sp, asked.id, True)
    assert is_in(client)
    assert events_of(okta.world, "session_ended") == []


@pytest.mark.parametrize("stated", [None, "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"])
def test_a_request_without_format_means_any(okta: Connection, client: FlaskClient, app: Flask, stated: Any) -> None:
    """Entra leaves it out, whatever the assertion said."""
    bring(app.test_client(), okta.ask(okta.sign_in(client), name_id_format=stated))
    assert not is_in(client)


def test_a_copy_of_an_old_request_ends_nothing(connection: Connection, app: Flask, client: FlaskClient) -> None:
    """Signed and in time, but used up: answered as before, so that a page that is loaded again goes on."""
    asked = connection.ask(connection.sign_in(client), session_indexes=())
    bring(app.test_client(), asked)
    assert not is_in(client)
    connection.sign_in(client)
    answer = bring(app.test_client(), asked)
    assert connection.read(answer) == Answered(connection.sp, asked.id, True)
    assert is_in(client)
    assert len(events_of(connection.world, "session_ended")) == 1


@pytest.mark.parametrize(
    ("after", "index", "lives"), [(-1, True, False), (-1, False, False), (0, True, True), (-1, None, True)]
)
def test_an_assertion_that_the_request_overtook_opens_nothing(
    okta: Connection, app: Flask, client: FlaskClient, after: int, index: bool | None, lives: bool
) -> None:
    """It was issued before the sign-out, on the way meanwhile (Core 3.7.3.2): by its session index, or by any."""
    signed_out = clock.now() - timedelta(seconds=9)
    name_id = okta.provider.people[0].email
    held = okta.response(client, now=signed_out + timedelta(seconds=after))
    indexes = {True: (okta.provider.signed_in[-1].session_index,), False: (), None: ("_another",)}[index]
    okta.sign_in(app.test_client(), 1)
    other = okta.provider.signed_in[-1]
    asked = okta.ask(other, name_id=name_id, session_indexes=indexes, now=signed_out)
    assert bring(app.test_client(), asked).status_code == 303
    answer = okta.post(client, held)
    assert (answer.status_code, is_in(client)) == ((303, True) if lives else (403, False))
    if not lives:
        assert events_of(okta.world, "sign_in_refused")[-1].object["reason"] == "session_expired"


@pytest.mark.parametrize(
    ("minutes", "reason"),
    [(8, "session_expired"), (59, "session_expired"), (24 * 60 - 1, "session_expired"), (24 * 60 + 1, "expired")],
)
def test_a_sign_out_outlives_what_was_issued_before_it(
    okta: Connection, app: Flask, client: FlaskClient, minutes: int, reason: str
) -> None:
    """Entra's assertions live for an hour, others for days: what was issued before the sign-out is remembered for a
    day, also after the old messages were thrown away; and what is older than that is taken from nobody."""
    okta.sign_in(client)
    session = okta.provider.signed_in[-1]
    with db.connection():
        issued = clock.now()
    held = okta.response(client, now=issued, not_on_or_after=issued + timedelta(days=7))
    asked = okta.ask(session, session_indexes=(), now=issued + timedelta(seconds=1))
    assert bring(app.test_client(), asked).status_code == 303
    with time_machine.travel(issued + timedelta(minutes=minutes), tick=False):
        with db.connection(), db.transaction():
            single_logout.clean_up()
            SignInFlow.update(expires_at=clock.now() + timedelta(minutes=1)).execute()
        answer = okta.post(client, held)
        assert (answer.status_code, is_in(client)) == (403, False)
    (event,) = events_of(okta.world, "sign_in_refused")
    assert event.object["reason"] == reason
    assert re.fullmatch(r"issued at \d{4}-\d\d-\d\dT[\d:.]+Z", event.object["facts"]["got"])
    assert re.search(r"\d{4}-\d\d-\d\dT[\d:.]+Z", event.object["facts"]["want"])


def test_twenty_copies_at_once_are_obeyed_once(okta: Connection, app: Flask) -> None:
    """On all threads: each is answered with success, and every session ends once, with one event."""
    browsers = [app.test_client() for _ in range(3)]
    for browser in browsers:
        session = okta.sign_in(browser)
    asked = okta.ask(session, session_indexes=())
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: bring(app.test_client(), asked), range(20)))
    assert {answer.status_code for answer in answers} == {303}
    assert [is_in(browser) for browser in browsers] == [False] * 3
    assert len(events_of(okta.world, "session_ended")) == 3


def test_another_connections_sessions_stay(
    okta: Connection, simulated: dict[str, Provider], app: Flask, client: FlaskClient
) -> None:
    """The same provider in another account, with the same key and the same people: each has its own sessions, and a
    request for the one is none for the other."""
    okta.sign_in(client)
    with db.connection():
        beta = make_account("beta")
    other = connect(beta, simulated["okta"])
    elsewhere = app.test_client()
    session = other.sign_in(elsewhere)
    asked = other.ask(session, session_indexes=())
    bring(app.test_client(), asked)
    assert (is_in(client), is_in(elsewhere)) == (True, False)
    misled = Outgoing(asked.id, asked.url.replace(other.row.id, okta.row.id), asked.fields)
    assert bring(app.test_client(), misled).status_code == 403
    assert is_in(client)
    assert events_of(okta.world, "logout_refused")[-1].object["reason"] == "destination_mismatch"


def test_a_session_by_password_is_not_the_providers(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """What she opened herself ends when she says so."""
    session = okta.sign_in(client)
    own = app.test_client()
    assert sign_in_by_password(own).status_code == 303
    bring(app.test_client(), okta.ask(session, name_id="owner@acme.test", session_indexes=()))
    assert is_in(own)


def test_a_provider_without_an_address_is_obeyed_all_the_same(
    okta: Connection, app: Flask, client: FlaskClient
) -> None:
    """Nobody is there to hear the answer: a page says it."""
    session = okta.sign_in(client)
    okta.change(slo_url=None)
    answer = bring(app.test_client(), okta.ask(session))
    assert answer.status_code == 200
    assert "Nobody is signed in here" in answer.get_data(as_text=True)
    assert not is_in(client)


def unsigned(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, sign=False)


def unsigned_by_redirect(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, sign=False, binding=BINDING_HTTP_REDIRECT)


def by_another_key(c: Connection, session: SignedIn) -> Outgoing:
    other = Provider("okta", "okta", c.provider.entity_id, c.provider.sso_url, make_key_pair("attacker"))
    return saml_logout.ask(other, c.sp, session)


def by_another_key_by_redirect(c: Connection, session: SignedIn) -> Outgoing:
    other = Provider("okta", "okta", c.provider.entity_id, c.provider.sso_url, make_key_pair("attacker"))
    return saml_logout.ask(other, c.sp, session, binding=BINDING_HTTP_REDIRECT)


def by_another_issuer(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, issuer="https://other.example")


def long_ago(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, now=clock.now() - timedelta(minutes=8))


def run_out(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, not_on_or_after=clock.now() - timedelta(minutes=3))


def from_tomorrow(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, now=clock.now() + timedelta(minutes=3))


def to_the_acs(c: Connection, session: SignedIn) -> Outgoing:
    return c.ask(session, destination=f"{BASE}{c.path}/acs")


def with_two_messages(c: Connection, session: SignedIn) -> Outgoing:
    asked = c.ask(session)
    return Outgoing(asked.id, asked.url, {**asked.fields, "SAMLResponse": asked.fields["SAMLRequest"]})


def cut_in_half(c: Connection, session: SignedIn) -> Outgoing:
    asked = c.ask(session)
    octets = base64.b64decode(asked.fields["SAMLRequest"])
    return Outgoing(asked.id, asked.url, {"SAMLRequest": base64.b64encode(octets[: len(octets) // 2]).decode()})


def for_another(c: Connection, session: SignedIn) -> Outgoing:
    asked = c.ask(session, name_id="eve@acme.test", session_indexes=())
    octets = base64.b64decode(asked.fields["SAMLRequest"]).replace(b"eve@acme.test", session.name_id.encode())
    return Outgoing(asked.id, asked.url, {"SAMLRequest": base64.b64encode(octets).decode()})


@pytest.mark.parametrize(
    ("forge", "status", "reason"),
    [
        (unsigned, 403, "signature_missing"),
        (unsigned_by_redirect, 403, "signature_missing"),
        (by_another_key, 403, "signature_invalid"),
        (by_another_key_by_redirect, 403, "signature_invalid"),
        (by_another_issuer, 403, "issuer_mismatch"),
        (long_ago, 403, "expired"),
        (run_out, 403, "expired"),
        (from_tomorrow, 403, "not_yet_valid"),
        (to_the_acs, 403, "destination_mismatch"),
        (for_another, 403, "digest_mismatch"),
        (with_two_messages, 400, "not_a_logout_message"),
        (cut_in_half, 400, "not_xml"),
    ],
)
def test_a_forged_request_ends_nothing(
    okta: Connection,
    app: Flask,
    client: FlaskClient,
    forge: Callable[[Connection, SignedIn], Outgoing],
    status: int,
    reason: str,
) -> None:
    """Refused with a reference; the event has the reason, and the session lives."""
    session = okta.sign_in(client)
    answer = bring(app.test_client(), forge(okta, session))
    assert answer.status_code == status
    (event,) = events_of(okta.world, "logout_refused")
    assert event.object["reason"] == reason
    assert event.id in answer.get_data(as_text=True)
    assert session.name_id not in answer.get_data(as_text=True)
    assert is_in(client)
    assert events_of(okta.world, "session_ended") == []


def test_strangers_cannot_fill_the_events(
    okta: Connection, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a connection's refusals only so many an hour are events; past that the reference is the operation id."""
    monkeypatch.setattr(budgets, "LOGOUT", budgets.budget("test of logout", 2, 2))
    answers = [client.get(f"{okta.path}/slo") for _ in range(4)]
    assert len(events_of(okta.world, "logout_refused")) == 2
    last = answers[-1]
    assert last.status_code == 400
    assert last.headers["X-Request-Id"] in last.get_data(as_text=True)


@pytest.mark.parametrize("query", ["", "?SAMLRequest=a", "?SAMLRequest=a&SAMLRequest=b", "?RelayState=x"])
def test_what_is_no_message_is_no_server_error(okta: Connection, client: FlaskClient, query: str) -> None:
    """A visit by hand, a crawler, a broken link."""
    assert client.get(f"{okta.path}/slo{query}").status_code in {400, 403}
    assert client.post(f"{okta.path}/slo").status_code == 400
    assert client.get("/saml/idp_unknown/slo").status_code == 404


def test_a_huge_post_is_cut_off(okta: Connection, client: FlaskClient) -> None:
    """By the size of the body, before it is read."""
    assert client.post(f"{okta.path}/slo", data={"SAMLRequest": "a" * 300_000}).status_code == 413


# --- somebody signs out here ------------------------------------------------------------------------------------


def test_signing_out_here_goes_on_to_the_provider(connection: Connection, app: Flask, client: FlaskClient) -> None:
    """Here first; then a signed request that names her as the assertion did; then words at the login page."""
    session = connection.sign_in(client)
    on = submit(client, "/logout", page="/logout")
    assert not is_in(client)
    asked = connection.read(on)
    assert isinstance(asked, Asked)
    assert asked.means(session)
    assert asked.session_indexes == (session.session_index,)
    assert target_of(on) == connection.provider.slo_url
    answered = saml_logout.answer(connection.provider, connection.sp, in_response_to=asked.request_id)
    back = bring(app.test_client() if answered.fields else client, answered)
    done = client.get(back.headers["Location"])
    assert (back.status_code, done.status_code, done.headers["Location"]) == (303, 303, "/login")
    assert f"signed out here and at {connection.row.name}" in client.get("/login").get_data(as_text=True)
    assert [event.object["reason"] for event in events_of(connection.world, "session_ended")] == ["signed_out"]
    with db.connection():
        assert SentLogout.select().count() == 0


@pytest.mark.parametrize("binding", BINDINGS)
def test_each_binding_is_spoken(okta: Connection, client: FlaskClient, binding: str) -> None:
    """As the connection says."""
    okta.change(slo_binding=binding)
    session = okta.sign_in(client)
    on = submit(client, "/logout", page="/logout")
    assert on.status_code == (303 if binding == "redirect" else 200)
    asked = okta.read(on)
    assert isinstance(asked, Asked)
    assert asked.means(session)
    if binding == "post":
        assert "form-action 'self' https: http:" in on.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "status",
    [(STATUS_SUCCESS, STATUS_PARTIAL_LOGOUT), (STATUS_RESPONDER, STATUS_PARTIAL_LOGOUT), (STATUS_RESPONDER,)],
)
def test_a_provider_that_could_not_is_told_of(okta: Connection, client: FlaskClient, status: tuple[str, ...]) -> None:
    """Signed out here all the same."""
    okta.sign_in(client)
    asked = okta.read(submit(client, "/logout", page="/logout"))
    assert isinstance(asked, Asked)
    answered = saml_logout.answer(okta.provider, okta.sp, in_response_to=asked.request_id, status=status)
    client.get(bring(client, answered).headers["Location"])
    assert "did not confirm" in client.get("/login").get_data(as_text=True)
    assert not is_in(client)


def test_a_provider_that_never_answers_keeps_nobody_signed_in(okta: Connection, client: FlaskClient) -> None:
    """The session had ended before anybody was sent there."""
    okta.sign_in(client)
    submit(client, "/logout", page="/logout")
    assert not is_in(client)
    with db.connection():
        assert Session.select().count() == 0


def test_the_form_may_lead_to_the_provider(okta: Connection, client: FlaskClient) -> None:
    """Chromium holds the redirect after a form to form-action: only this page's policy lets it go there."""
    okta.sign_in(client)
    assert "form-action 'self' https: http:" in client.get("/logout").headers["Content-Security-Policy"]
    members = client.get("/accounts/acme/members")
    assert "form-action 'self';" in members.headers["Content-Security-Policy"]
    links = html.fromstring(members.get_data(as_text=True)).xpath("//footer//a[@href='/logout']")
    assert [link.text for link in links] == ["Sign out"]


def without_slo(c: Connection) -> None:
    c.change(slo_url=None)


def without_name_id(c: Connection) -> None:
    with db.connection(), db.transaction():
        Session.update(name_id=None).execute()


@pytest.mark.parametrize("lacking", [without_slo, without_name_id])
def test_local_logout_where_the_provider_cannot_be_told(
    okta: Connection, client: FlaskClient, lacking: Callable[[Connection], None]
) -> None:
    """No address, or nobody to name."""
    okta.sign_in(client)
    lacking(okta)
    assert submit(client, "/logout", page="/logout").headers["Location"] == "/login"
    assert "You are signed out." in client.get("/login").get_data(as_text=True)
    assert not is_in(client)


def test_local_logout_where_she_wants_it_so(okta: Connection, client: FlaskClient) -> None:
    """The other button."""
    okta.sign_in(client)
    assert submit(client, "/logout", page="/logout", only="here").headers["Location"] == "/login"
    assert not is_in(client)


def test_a_session_by_password_ends_here_alone(okta: Connection, client: FlaskClient) -> None:
    """No provider opened it."""
    sign_in_by_password(client)
    assert submit(client, "/logout", page="/logout").headers["Location"] == "/login"


def test_nobody_is_signed_out_by_a_link_or_a_foreign_form(okta: Connection, client: FlaskClient) -> None:
    """GET asks first, POST wants the CSRF token."""
    okta.sign_in(client)
    assert client.get("/logout").status_code == 200
    assert client.post("/logout").status_code == 403
    assert is_in(client)


# --- the provider's answer --------------------------------------------------------------------------------------


@pytest.fixture
def waiting(okta: Connection, client: FlaskClient) -> Asked:
    """Our request, as the provider has understood it, for the session that has just ended in this browser."""
    okta.sign_in(client)
    asked = okta.read(submit(client, "/logout", page="/logout"))
    assert isinstance(asked, Asked)
    return asked


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sign": False}, "signature_missing"),
        ({"sign": False, "binding": BINDING_HTTP_REDIRECT}, "signature_missing"),
        ({"issuer": "https://other.example"}, "issuer_mismatch"),
        ({"destination": "https://other.example/slo"}, "destination_mismatch"),
        ({"now": clock.now() - timedelta(days=1)}, "expired"),
        ({"in_response_to": "_never_sent"}, "logout_unknown"),
    ],
)
def test_a_forged_answer_changes_nothing(
    okta: Connection, client: FlaskClient, waiting: Asked, changes: dict[str, Any], reason: str
) -> None:
    """Refused; and the true answer, when it comes, is taken."""
    forged = saml_logout.answer(okta.provider, okta.sp, **{"in_response_to": waiting.request_id, **changes})
    assert bring(client, forged).status_code == 403
    assert events_of(okta.world, "logout_refused")[-1].object["reason"] == reason
    true = saml_logout.answer(okta.provider, okta.sp, in_response_to=waiting.request_id)
    assert bring(client, true).status_code == 303


def test_an_answer_counts_once(okta: Connection, client: FlaskClient, waiting: Asked) -> None:
    """A second one, even signed, is about nothing."""
    for status in (303, 403):
        again = saml_logout.answer(okta.provider, okta.sp, in_response_to=waiting.request_id)
        assert bring(client, again).status_code == status


def test_a_late_answer_is_about_nothing(okta: Connection, client: FlaskClient, waiting: Asked) -> None:
    """After a quarter of an hour the words would surprise whoever sits there by then."""
    with db.connection(), db.transaction():
        SentLogout.update(expires_at=clock.now()).execute()
    late = saml_logout.answer(okta.provider, okta.sp, in_response_to=waiting.request_id)
    assert bring(client, late).status_code == 403


def test_another_connection_cannot_answer(
    okta: Connection, simulated: dict[str, Provider], client: FlaskClient, waiting: Asked
) -> None:
    """Each has its own pending requests."""
    entra = connect(okta.world, simulated["entra"])
    foreign = saml_logout.answer(entra.provider, entra.sp, in_response_to=waiting.request_id)
    assert bring(client, foreign).status_code == 403


def test_the_words_are_for_the_browser_that_signed_out(
    okta: Connection, app: Flask, client: FlaskClient, waiting: Asked
) -> None:
    """Told once, and to nobody who only has the link."""
    answered = saml_logout.answer(okta.provider, okta.sp, in_response_to=waiting.request_id)
    done = bring(app.test_client(), answered).headers["Location"]
    stranger = app.test_client()
    assert stranger.get(done).headers["Location"] == "/login"
    assert "signed out here and at" not in stranger.get("/login").get_data(as_text=True)
    client.get(done)
    assert "signed out here and at" in client.get("/login").get_data(as_text=True)
    client.get(done)
    assert "signed out here and at" not in client.get("/login").get_data(as_text=True)


# --- around it --------------------------------------------------------------------------------------------------


def test_our_metadata_names_both_bindings_and_the_key(okta: Connection, client: FlaskClient) -> None:
    """The provider can read where to send logout messages, and check ours, before the first one."""
    assert okta.sp.slo_urls == dict.fromkeys(BINDINGS.values(), (f"{BASE}{okta.path}/slo",) * 2)
    assert okta.sp.signing_certificates
    assert f"{BASE}{okta.path}/slo" in client.get(f"{okta.path}/metadata").get_data(as_text=True)


def test_the_providers_endpoint_is_read_from_its_metadata(connection: Connection) -> None:
    """Redirect where it offers it."""
    assert (connection.row.slo_url, connection.row.slo_binding) == (connection.provider.slo_url, "redirect")
    assert connection.row.slo_response_url is None


def test_the_session_keeps_the_assertions_words(okta: Connection, client: FlaskClient) -> None:
    """All of the NameID, and the index: a LogoutRequest needs every one."""
    session = okta.sign_in(client)
    with db.connection():
        row = Session.get()
    assert (row.name_id, row.name_id_format, row.session_index) == (
        session.name_id,
        session.name_id_format,
        session.session_index,
    )


def test_old_messages_are_forgotten(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """When none of them could be accepted any more, and not before."""
    bring(app.test_client(), okta.ask(okta.sign_in(client)))
    okta.sign_in(client)
    submit(client, "/logout", page="/logout")
    with db.connection(), db.transaction():
        assert single_logout.clean_up() == 0
        for table in (SentLogout, ReceivedLogout):
            table.update(expires_at=clock.now()).execute()
        assert single_logout.clean_up() == 2


def test_a_switched_off_connection_still_ends_sessions(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """To end a session is never wrong; a request of its own is not sent any more."""
    session = okta.sign_in(client)
    with db.connection(), db.transaction():
        IdentityProvider.update(enabled=False).execute()
    with db.connection():
        assert single_logout.told(Session.get()) is None
    bring(app.test_client(), okta.ask(session))
    with db.connection():
        assert Session.select().count() == 0
        assert Member.select().where(Member.active).count() == 2
