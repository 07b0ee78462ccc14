"""Sign-in and logout for real: the production server in several processes, and an identity provider on another SAML
stack (pysaml2 over libxmlsec1) in a process of its own; they know each other by their metadata alone."""

import base64
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
import requests
from lxml import etree
from playwright.sync_api import Playwright, expect

from tests.live import assault
from tests.live.parties import Browser, Connection, Provider, Service, connect, provider, saml_fields, serving
from tests.live.test_demo import Forms
from tests.saml.attacks import forgeries

WORKERS = 3
CLIENTS = 20
ONE_IN = 9  # forgeries; more would take the suite too long
MANY = 150
EVIL = "https://evil.example.com/free-tickets"
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"

#: How a provider may protect what it says; each is a setting of a real one.
PROTECTIONS: dict[str, dict[str, Any]] = {
    "assertion signed": {},
    "response signed": {"sign_assertion": False, "sign_response": True},
    "both signed": {"sign_response": True},
    "encrypted AES-128-CBC": {"cipher": "aes128-cbc"},
    "encrypted AES-256-CBC": {"cipher": "aes256-cbc", "sign_response": True},
    "encrypted AES-256-GCM": {"cipher": "aes256-gcm", "sign_response": True},
    "encrypted AES-128-GCM, response signed": {"cipher": "aes128-gcm", "sign_assertion": False, "sign_response": True},
}


ON_SQLITE = pytest.mark.xdist_group("live SAML, SQLite")
ON_POSTGRESQL = pytest.mark.xdist_group("live SAML, PostgreSQL")  # one worker each: servers are started once


#: For what no database has a say in.
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", [pytest.param("sqlite", marks=ON_SQLITE)], indirect=True)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("sqlite", marks=ON_SQLITE),
        pytest.param("postgresql", marks=[pytest.mark.postgres, ON_POSTGRESQL]),
    ],
)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh, migrated database of each kind, for all of this module."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("sqlite") / "idp-bridge.db"
        path.write_bytes(request.getfixturevalue("sqlite_template"))
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create_database(template="template_idp_bridge")
    yield url
    server.drop_database(url.split("?")[0].rpartition("/")[2])


@pytest.fixture(scope="module")
def service(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service in several processes."""
    with serving(database_url, tmp_path_factory.mktemp("service"), workers=WORKERS) as running:
        yield running


@pytest.fixture(scope="module")
def running_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The provider's process."""
    with provider(tmp_path_factory.mktemp("provider") / "keys") as running:
        yield running


@pytest.fixture
def idp(running_provider: Provider) -> Provider:
    """The provider with the settings that it starts with, and somebody at it who is nobody's member yet."""
    running_provider.reset(f"ana-{uuid.uuid4().hex}@acme.test")
    return running_provider


def subject(browser: Browser, service: Service) -> str | None:
    """Who the browser is signed in as at the service; None where nobody is."""
    answer = browser.get(f"{service.url}/api/whoami")
    assert answer.status_code in {200, 401}, answer.text
    return answer.json()["principal"]["subject"] if answer.ok else None


def held(browser: Browser, start: str) -> requests.Response:
    """The provider's page with its answer, before it is posted."""
    page = browser.follow(browser.get(start), until="SAMLResponse")
    assert "SAMLResponse" in saml_fields(page), page.text
    return page


def answered(page: requests.Response) -> etree._Element:
    """The Response in the page."""
    return etree.fromstring(base64.b64decode(saml_fields(page)["SAMLResponse"]))


def authenticated_at(page: requests.Response) -> datetime:
    """AuthnInstant of the assertion that the page holds."""
    statement = answered(page).find(f".//{SAML}AuthnStatement")
    assert statement is not None
    return datetime.fromisoformat(str(statement.get("AuthnInstant")))


# --- signing in -------------------------------------------------------------------------------------------------


@ON_ONE_DATABASE
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_person_signs_in(service: Service, idp: Provider, protection: str) -> None:
    """SP-initiated, to the page that was asked for, whatever the provider signs and encrypts."""
    settings = PROTECTIONS[protection]
    connection = connect(service, idp, want_assertions_encrypted="cipher" in settings)
    idp.set(**settings)
    browser = Browser()
    page = held(browser, f"{connection.start_url}?next=/accounts/acme/groups")
    assert (answered(page).find(f"{SAML}EncryptedAssertion") is not None) is ("cipher" in settings)
    landed = browser.follow(page)
    assert (landed.status_code, landed.url) == (200, f"{service.url}/accounts/acme/groups"), landed.text
    assert subject(browser, service) == idp.person
    assert service.sessions(connection) == 1


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("wanted", "sent", "reason"),
    [
        ({"want_assertions_encrypted": True}, {}, "encryption_required"),
        ({"want_assertions_encrypted": True, "require_gcm": True}, {"cipher": "aes256-cbc"}, "encryption_algorithm"),
        ({}, {"sign_assertion": False}, "signature_missing"),
    ],
    ids=["plain", "CBC", "unsigned"],
)
def test_less_protection_than_demanded_is_refused(
    service: Service, idp: Provider, wanted: dict[str, Any], sent: dict[str, Any], reason: str
) -> None:
    """What an administrator demands of her provider holds against one that no longer does it."""
    connection = connect(service, idp, **wanted)
    idp.set(**sent)
    browser = Browser()
    assert connection.refusal(browser.sign_in(connection.start_url)) == reason
    assert subject(browser, service) is None


@ON_ONE_DATABASE
@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_provider_that_demands_signed_requests_gets_them(service: Service, idp: Provider, binding: str) -> None:
    """And refuses ours while we do not sign, which shows that it looks."""
    idp.set(demand_signed_requests=True, bindings=[binding])
    connection = connect(service, idp, sign_authn_requests=False)
    refused = Browser().sign_in(connection.start_url)
    assert refused.status_code == 403
    assert refused.url.startswith(idp.url)
    assert "IncorrectlySigned" in refused.text
    connection.change(sign_authn_requests=True)
    browser = Browser()
    browser.sign_in(connection.start_url)
    assert subject(browser, service) == idp.person


@ON_ONE_DATABASE
@pytest.mark.parametrize("force", [False, True])
def test_force_authn_asks_for_the_password_anew(service: Service, idp: Provider, force: bool) -> None:
    """Whoever has been signed in at her provider for an hour has to prove herself only where the switch says so."""
    connection = connect(service, idp, force_authn=force)
    idp.set(signed_in_ago=3600)
    browser = Browser()
    page = held(browser, connection.start_url)
    assert (datetime.now(UTC) - authenticated_at(page) < timedelta(minutes=5)) is force
    browser.follow(page)
    assert subject(browser, service) == idp.person


def test_unsolicited_response_needs_the_switch(service: Service, idp: Provider) -> None:
    """IdP-initiated is refused by default, and lets in where an administrator allows it."""
    connection = connect(service, idp)
    browser = Browser()
    refused = browser.sign_in(connection.tile_url)
    assert connection.refusal(refused) == "unsolicited_not_allowed"
    assert subject(browser, service) is None
    connection.change(allow_idp_initiated=True)
    landed = browser.sign_in(f"{connection.tile_url}&RelayState=/accounts/acme/groups")
    assert landed.url == f"{service.url}/accounts/acme/groups", landed.text
    assert subject(browser, service) == idp.person


@ON_ONE_DATABASE
def test_provider_s_tile_leads_to_a_request_of_ours(service: Service, idp: Provider) -> None:
    """Bounced: what signs the person in is the answer to our own request."""
    connection = connect(service, idp, bounce_idp_initiated=True)
    browser = Browser()
    unsolicited = held(browser, f"{connection.tile_url}&RelayState=/accounts/acme/groups")
    asked_for = Forms(unsolicited).submit(browser, "SAMLResponse")
    assert [answered(page).get("InResponseTo") is not None for page in (unsolicited, asked_for)] == [False, True]
    landed = browser.follow(asked_for)
    assert landed.url == f"{service.url}/accounts/acme/groups", landed.text
    assert subject(browser, service) == idp.person


@ON_ONE_DATABASE
def test_nobody_is_replaced_unasked(service: Service, idp: Provider) -> None:
    """IdP-initiated, where somebody else is signed in: a page asks, and only her yes changes who it is."""
    connection = connect(service, idp, allow_idp_initiated=True)
    somebody, browser = idp.person, Browser()
    browser.sign_in(connection.start_url)
    idp.person = f"else-{idp.person}"
    idp.set(person=idp.person)
    asked = browser.sign_in(connection.tile_url)
    assert subject(browser, service) == somebody, asked.text
    browser.page = asked.url
    Forms(asked).submit(browser, "/finish")
    assert subject(browser, service) == idp.person


@ON_ONE_DATABASE
def test_unsolicited_response_from_elsewhere_is_asked_about(service: Service, idp: Provider) -> None:
    """Login CSRF: a page of anybody's posts the attacker's own response; it opens nothing by itself."""
    connection = connect(service, idp, allow_idp_initiated=True)
    page = held(Browser(), connection.tile_url)
    victim = Browser()
    victim.page = EVIL
    asked = victim.follow(page)
    assert asked.ok
    assert subject(victim, service) is None
    assert service.sessions(connection) == 0


def test_disabled_connection_lets_nobody_in(service: Service, idp: Provider) -> None:
    """Also not whoever is at the provider's page just then."""
    connection = connect(service, idp)
    browser = Browser()
    page = held(browser, connection.start_url)
    connection.change(enabled=False)
    assert connection.refusal(browser.follow(page)) == "provider_disabled"
    assert subject(browser, service) is None


def test_two_tabs_sign_in_side_by_side(service: Service, idp: Provider) -> None:
    """Each tab's request is its own; the first to come back does not use up the other's."""
    connection = connect(service, idp)
    browser = Browser()
    pages = [held(browser, f"{connection.start_url}?next=/accounts/acme/{page}") for page in ("members", "groups")]
    landed = [browser.follow(page).url for page in reversed(pages)]
    assert landed == [f"{service.url}/accounts/acme/{page}" for page in ("groups", "members")]


def test_response_is_worth_nothing_in_another_browser(service: Service, idp: Provider) -> None:
    """Login CSRF: a person is not signed in by what somebody else's browser began, and it is used up then."""
    connection = connect(service, idp)
    attacker, victim = Browser(), Browser()
    page = held(attacker, connection.start_url)
    victim.get(f"{service.url}/login")
    victim.page = EVIL
    refused = victim.follow(page)
    assert connection.refusal(refused) == "other_browser"
    assert subject(victim, service) is None
    assert attacker.follow(page).status_code == 403
    assert service.sessions(connection) == 0


# --- keys -------------------------------------------------------------------------------------------------------


def test_signing_keys_roll_over_without_an_outage(service: Service, idp: Provider) -> None:
    """Both pinned: either signs people in. The old one removed: refused at once, by every process."""
    connection = connect(service, idp)

    def sign_in() -> requests.Response:
        return Browser().sign_in(connection.start_url)

    idp.set(published_keys=["first", "second"])
    connection.change(metadata_xml=idp.metadata())
    assert sign_in().ok
    idp.set(signing_key="second")
    assert sign_in().ok
    idp.set(published_keys=["second"])
    connection.change(metadata_xml=idp.metadata())
    assert sign_in().ok
    idp.set(signing_key="first")
    refused = [sign_in() for _ in range(2 * WORKERS)]
    assert {connection.refusal(page) for page in refused} == {"signature_invalid"}


def test_our_own_keys_roll_over_without_an_outage(service: Service, idp: Provider) -> None:
    """The provider encrypts to what it knows and verifies by what it knows, at every step; at the end by the new."""
    connection = connect(service, idp, sign_authn_requests=True, want_assertions_encrypted=True)
    idp.set(demand_signed_requests=True, cipher="aes256-gcm")
    keys = f"/identity_providers/{connection.id}/service_provider_keys"

    def sign_in() -> None:
        browser = Browser()
        landed = browser.sign_in(connection.start_url)
        assert subject(browser, service) == idp.person, landed.text

    sign_in()
    prepared = service.api("POST", keys)
    sign_in()  # it has not read our metadata since
    connection.introduce()
    sign_in()
    service.api("POST", f"{keys}/{prepared['id']}/activate")
    sign_in()  # it knows both; what it encrypts, it encrypts to the former
    connection.introduce()
    sign_in()
    (former,) = [key for key in service.api("GET", keys)["service_provider_keys"] if key["state"] == "former"]
    service.api("DELETE", f"{keys}/{former['id']}")
    sign_in()


# --- once and only once -----------------------------------------------------------------------------------------


def at_once(request: Callable[[], requests.Response]) -> list[requests.Response]:
    """The same request from many clients, each on a connection of its own."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda _: request(), range(CLIENTS)))


def post(connection: Connection, fields: dict[str, str], **options: Any) -> requests.Response:
    """Post the provider's form, and do not go on."""
    return requests.post(connection.row["acs_url"], data=fields, allow_redirects=False, timeout=30, **options)


def test_one_response_makes_one_session(service: Service, idp: Provider) -> None:
    """Twenty simultaneous posts to several processes, then twenty of the link that the one good post leads to; and
    after a restart it is still used up."""
    connection = connect(service, idp)
    browser = Browser()
    fields = saml_fields(held(browser, connection.start_url))
    cookies = browser.cookies.get_dict(domain="127.0.0.1")

    posted = at_once(lambda: post(connection, fields))
    assert Counter(answer.status_code for answer in posted) == {303: 1, 403: CLIENTS - 1}
    (link,) = [answer.headers["Location"] for answer in posted if answer.status_code == 303]

    def take() -> requests.Response:
        return requests.get(f"{service.url}{link}", cookies=cookies, allow_redirects=False, timeout=30)

    taken = at_once(take)
    assert Counter(answer.status_code for answer in taken) == {303: 1, 403: CLIENTS - 1}
    assert service.sessions(connection) == 1
    service.stop()
    service.start()
    assert post(connection, fields).status_code == 403
    assert service.sessions(connection) == 1


def test_one_response_with_the_browser_s_cookie_makes_one_session(service: Service, idp: Provider) -> None:
    """The same for a provider on our own site, whose post brings the cookie: that opens the session at once."""
    connection = connect(service, idp)
    browser = Browser()
    fields = saml_fields(held(browser, connection.start_url))
    cookies = browser.cookies.get_dict(domain="127.0.0.1")
    posted = at_once(lambda: post(connection, fields, cookies=cookies))
    assert Counter(answer.status_code for answer in posted) == {303: 1, 403: CLIENTS - 1}
    assert service.sessions(connection) == 1


def test_first_sign_ins_of_one_person_make_one_member(service: Service, idp: Provider) -> None:
    """Twenty browsers at once, of somebody whom nobody knew: each is let in, as the same member."""
    connection = connect(service, idp)
    browsers = [Browser() for _ in range(CLIENTS)]
    pages = [held(browser, connection.start_url) for browser in browsers]
    with ThreadPoolExecutor(CLIENTS) as pool:
        landed = list(pool.map(lambda browser, page: browser.follow(page), browsers, pages))
    assert {page.status_code for page in landed} == {200}
    assert {subject(browser, service) for browser in browsers} == {idp.person}
    assert service.sessions(connection) == CLIENTS
    members = service.api("GET", "/users")["users"]
    assert [member["email"] for member in members].count(idp.person) == 1


# --- tenants ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["first", "second"], ids=["same key", "different keys"])
def test_one_provider_of_two_accounts_serves_each_alone(service: Service, idp: Provider, key: str) -> None:
    """The same entity ID in two accounts: what it says to one is refused by the other, also where the form is posted
    to the other's address and answers the other's request."""
    trust = {"entity_id": f"{idp.url}/metadata", "sso_url": f"{idp.url}/sso"}
    acme = connect(service, idp)
    globex = connect(service, idp, account="globex", certificates=idp.certificates(key), **trust)
    idp.set(signing_key=key)
    browser = Browser()
    meant_for_globex = saml_fields(held(browser, globex.start_url))
    refused = browser.post(acme.row["acs_url"], data=meant_for_globex)
    expected = "destination_mismatch" if key == "first" else "signature_invalid"
    assert acme.refusal(refused) == expected
    assert subject(browser, service) is None
    browser.sign_in(globex.start_url)
    assert browser.get(f"{service.url}/api/whoami").json()["account"]["slug"] == "globex"


# --- signing out ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["redirect", "post"])
def signed_in(request: pytest.FixtureRequest, service: Service, idp: Provider) -> tuple[Connection, Browser]:
    """A browser signed in through a provider that speaks one binding, and demands signatures from now on."""
    idp.set(bindings=[request.param])
    connection = connect(service, idp)
    browser = Browser()
    browser.sign_in(connection.start_url)
    assert subject(browser, service) == idp.person
    idp.set(demand_signed_requests=True)
    return connection, browser


def test_logout_here_signs_out_at_the_provider(
    service: Service, idp: Provider, signed_in: tuple[Connection, Browser]
) -> None:
    """Our signed LogoutRequest ends the provider's session, and its answer leads back to words for this browser."""
    connection, browser = signed_in
    assert idp.sessions() == [idp.person]
    asked = Forms(browser.get(f"{service.url}/logout")).submit(browser, "/logout")
    landed = browser.follow(asked)
    assert landed.url == f"{service.url}/login", landed.text
    assert "signed out here and at pysaml2" in landed.text
    assert idp.sessions() == []
    assert subject(browser, service) is None
    assert service.sessions(connection) == 0


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_logout_at_the_provider_ends_the_session_it_names(service: Service, idp: Provider, binding: str) -> None:
    """And no other: the same person's browser elsewhere stays signed in. The provider verifies our signed answer."""
    connection = connect(service, idp)
    elsewhere, browser = Browser(), Browser()
    elsewhere.sign_in(connection.start_url)
    browser.sign_in(connection.start_url)
    idp.set(demand_signed_requests=True)
    landed = browser.follow(browser.get(f"{connection.logout_url}&binding={binding}"))
    assert (landed.text, landed.url.partition("?")[0]) == ("Signed out", f"{idp.url}/slo")
    assert subject(browser, service) is None
    assert subject(elsewhere, service) == idp.person


@ON_ONE_DATABASE
@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_unsigned_logout_request_ends_nothing(service: Service, idp: Provider, binding: str) -> None:
    """Anybody could have written it."""
    connection = connect(service, idp)
    browser = Browser()
    browser.sign_in(connection.start_url)
    idp.set(sign_logout=False)
    refused = browser.follow(browser.get(f"{connection.logout_url}&binding={binding}"))
    assert (refused.status_code, refused.url.partition("?")[0]) == (403, f"{service.url}/saml/{connection.id}/slo")
    assert subject(browser, service) == idp.person


# --- attacked ---------------------------------------------------------------------------------------------------


@ON_ONE_DATABASE
def test_nothing_made_of_a_real_message_gets_in(service: Service, idp: Provider) -> None:
    """Of every sort of forgery of what the provider signed, some, in the places where they would arrive; the message
    itself is accepted after all of them. `python -m tests.live.assault` posts every one, made of five messages."""
    connection = connect(service, idp, allow_idp_initiated=True)
    idp.set(sign_response=True)
    base, fields = assault.base_of(connection, "both signed")
    statuses = assault.post(connection, islice(forgeries(base), 0, None, ONE_IN))
    assert len(statuses) > MANY
    assert [name for name, status in statuses.items() if status not in assault.REFUSALS] == []
    assert service.sessions(connection) == 0
    assert assault.post(connection, [("itself", fields["SAMLResponse"])]) == {"itself": assault.ACCEPTED}


# --- in a real browser ------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@ON_ONE_DATABASE
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
@pytest.mark.parametrize("begun_at", ["start_url", "tile_url"])
def test_person_signs_in_and_out_in_chromium(
    service: Service, idp: Provider, playwright: Playwright, begun_at: str
) -> None:
    """A real browser between two sites: its SameSite rules and Origin headers, our content security policy."""
    idp.set(bindings=["post"], demand_signed_requests=True, cipher="aes256-gcm")
    connection = connect(
        service, idp, sign_authn_requests=True, want_assertions_encrypted=True, allow_idp_initiated=True
    )
    with playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser:
        page = browser.new_page()
        page.goto(getattr(connection, begun_at))
        page.wait_for_url(f"{service.url}/accounts/acme/overview")
        assert idp.sessions() == [idp.person]
        page.goto(f"{service.url}/logout")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{service.url}/login")
        expect(page.get_by_text("signed out here and at pysaml2")).to_be_visible()
    assert idp.sessions() == []
    assert service.sessions(connection) == 0
