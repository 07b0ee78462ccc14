"""The pages of the simulated identity provider, and its process."""

import os
import signal
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from lxml import etree, html
from saml2 import BINDING_HTTP_POST

from idp_bridge.simulator.saml_idp import Provider
from idp_bridge.simulator.serve import default_providers
from idp_bridge.simulator.site import create_site

ACS = "https://app.test/saml/idp_1/acs"
SP = "https://app.test/saml/idp_1/metadata"
METADATA = (
    f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{SP}">'
    '<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
    f'<md:AssertionConsumerService Binding="{BINDING_HTTP_POST}" Location="{ACS}" index="0"/>'
    "</md:SPSSODescriptor></md:EntityDescriptor>"
)
XML = {"content_type": "application/samlmetadata+xml"}


def request_xml(*, passive: bool = False) -> str:
    text = (
        '<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" '
        f'IssueInstant="2026-05-04T12:00:00Z"{" IsPassive=" + chr(34) + "true" + chr(34) if passive else ""} '
        f'AssertionConsumerServiceURL="{ACS}" ProtocolBinding="{BINDING_HTTP_POST}">'
        '<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">'
        f"{SP}</saml:Issuer></samlp:AuthnRequest>"
    )
    return b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def providers() -> dict[str, Provider]:
    return default_providers("http://127.0.0.1:8001")


@pytest.fixture
def client(providers: dict[str, Provider]) -> Iterator[FlaskClient]:
    for provider in providers.values():
        provider.apps = {}
    with create_site(providers.values()).test_client() as client:
        yield client


@pytest.fixture
def wired(client: FlaskClient) -> FlaskClient:
    for name in ("okta", "entra"):
        assert client.put(f"/{name}/apps/demo", data=METADATA, **XML).status_code == 200
    return client


def hidden(page: str) -> dict[str, str]:
    form = html.fromstring(page).forms[0]
    return {each.get("name"): each.get("value") for each in form.iterfind(".//input[@type='hidden']")}


@pytest.mark.parametrize("name", ["okta", "entra"])
def test_a_person_signs_in_without_javascript(wired: FlaskClient, name: str) -> None:
    """Request, choice of a person, and a form that takes the answer and RelayState to the ACS."""
    asked = wired.post(f"/{name}/sso", data={"SAMLRequest": request_xml(), "RelayState": "r&1"})
    assert "Ana Souza" in asked.text
    answer = wired.post(f"/{name}/sso/answer", data={**hidden(asked.text), "person": "ana.souza"})
    form = html.fromstring(answer.text).forms[0]
    assert form.action == ACS
    assert form.method == "POST"
    fields = hidden(answer.text)
    assert fields["RelayState"] == "r&1"
    assert set(fields) == {"SAMLResponse", "RelayState"}
    assert "form-action 'self' https://app.test" in answer.headers["Content-Security-Policy"]


def test_every_person_has_a_button(wired: FlaskClient, providers: dict[str, Provider]) -> None:
    """Nobody has to type: the page lists the whole directory."""
    asked = wired.post("/okta/sso", data={"SAMLRequest": request_xml()})
    buttons = [each.get("value") for each in html.fromstring(asked.text).iterfind(".//button[@name='person']")]
    assert buttons == [person.user_name for person in providers["okta"].people]


@pytest.mark.parametrize("choice", [{"refuse": "yes"}, None])
def test_refusing_and_passive_requests_end_with_a_status(wired: FlaskClient, choice: dict[str, str] | None) -> None:
    """No assertion leaves the simulator where nobody has signed in."""
    asked = wired.post("/okta/sso", data={"SAMLRequest": request_xml(passive=choice is None)})
    answer = asked if choice is None else wired.post("/okta/sso/answer", data={**hidden(asked.text), **choice})
    response = hidden(answer.text)["SAMLResponse"]
    document = etree.fromstring(b64decode(response))
    codes = [each.get("Value").rpartition(":")[2] for each in document.iterfind(".//{*}StatusCode")]
    assert codes[1] == ("NoPassive" if choice is None else "AuthnFailed")
    assert document.find("{*}Assertion") is None


def test_a_tile_starts_an_unsolicited_response(wired: FlaskClient) -> None:
    """IdP-initiated: no InResponseTo, RelayState as the link had it, nothing sent before a person is chosen."""
    page = wired.get("/okta/apps/demo?RelayState=/bots")
    assert "SAMLResponse" not in page.text
    answer = wired.post("/okta/apps/demo", data={**hidden(page.text), "person": "neha.sharma@acme.test"})
    fields = hidden(answer.text)
    assert fields["RelayState"] == "/bots"
    document = etree.fromstring(b64decode(fields["SAMLResponse"]))
    assert document.get("InResponseTo") is None
    assert document.find(".//{*}SubjectConfirmationData").get("InResponseTo") is None


def test_a_browser_may_say_that_the_answer_comes_from_here(wired: FlaskClient) -> None:
    """Under "no-referrer" it posts with `Origin: null`, and whoever gets the answer has to ask who brought it."""
    for path in ("/", "/okta/apps/demo"):
        assert wired.get(path).headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_apps_are_registered_at_run_time(client: FlaskClient) -> None:
    """POST names the app after its entity ID, PUT as asked; the answer says where the tile is."""
    made = client.post("/okta/apps", data=METADATA, **XML)
    assert made.status_code == 201
    assert made.json["entity_id"] == SP
    assert client.get(made.json["tile_url"]).status_code == 200
    put = client.put("/okta/apps/mine", data=METADATA, **XML)
    assert put.json["app"] == "mine"
    assert client.get(made.json["tile_url"]).status_code == 404


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        (XML | {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}, 403),
        (XML | {"headers": {"Host": "evil.test"}}, 400),
    ],
)
def test_registration_is_for_this_machine_only(client: FlaskClient, options: dict[str, object], status: int) -> None:
    """No form of a foreign page, no other machine and no rebound name can register an app."""
    assert client.post("/okta/apps", data=METADATA, **options).status_code == status


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("/okta/sso", {"SAMLRequest": "junk"}, 400),
        ("/okta/sso", {}, 400),
        ("/okta/sso/answer", {"SAMLRequest": request_xml(), "binding": "other"}, 400),
        ("/okta/sso/answer", {"SAMLRequest": request_xml(), "binding": "post", "person": "nobody"}, 400),
        ("/okta/apps/demo", {"person": "nobody"}, 400),
        ("/okta/apps/none", {"person": "ana.souza"}, 404),
        ("/ping/sso", {"SAMLRequest": request_xml()}, 404),
    ],
)
def test_what_cannot_be_answered_gets_a_page(wired: FlaskClient, path: str, data: dict[str, str], status: int) -> None:
    """Errors are pages that say why; none is a traceback."""
    answer = wired.post(path, data=data)
    assert answer.status_code == status
    assert "not possible" in answer.text


@pytest.mark.parametrize("path", ["/", "/okta/metadata", "/okta/apps/demo", "/static/simulator.css", "/nowhere"])
def test_every_answer_is_strict_about_what_it_loads(wired: FlaskClient, path: str) -> None:
    """No inline script or style is allowed, and none is there."""
    answer = wired.get(path, buffered=True)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    if answer.mimetype == "text/html":
        page = html.fromstring(answer.text)
        assert not page.xpath("//script[not(@src)] | //style | //@style | //@onclick | //@onload")


def test_the_home_page_says_what_it_is(wired: FlaskClient) -> None:
    """A test instrument that anybody could take for the real thing would be a trap."""
    text = wired.get("/").text
    assert "Test instrument" in text
    assert "(simulated)" in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_serves_says_so_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """One line when it serves; the same keys after a restart; exit code 0 on either signal."""
    seen = []
    for _ in range(2):
        command = [sys.executable, "-m", "idp_bridge.simulator", "--port", "0", "--state", str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            line = process.stdout.readline()
            assert "test instrument" in line
            url = line.split()[-1]
            assert url.startswith("http://127.0.0.1:")
            with requests.Session() as session:
                session.trust_env = False
                metadata = etree.fromstring(session.get(f"{url}/okta/metadata", timeout=10).content)
            seen.append(metadata.findtext(".//{*}X509Certificate"))
            process.send_signal(number)
            assert process.wait(timeout=10) == 0
    assert seen[0] == seen[1]
