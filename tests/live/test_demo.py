"""`make run` as a new user meets it: real processes, the simulated Okta, SCIM over HTTP, and Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from idp_bridge.demo import ADMINISTRATOR, PASSWORD, SLUG

START_SECONDS = 60
STOP_SECONDS = 40


@dataclass
class Demo:
    """A running demo."""

    url: str
    process: "subprocess.Popen[str]"
    directory: Path

    def stop(self) -> str:
        """SIGINT to the foreground group, as a terminal sends it; what was printed since."""
        os.killpg(self.process.pid, signal.SIGINT)
        output, _ = self.process.communicate(timeout=STOP_SECONDS)
        return output


class Forms(HTMLParser):
    """The forms of a page: action, method, and the values of their named fields and buttons."""

    def __init__(self, page: requests.Response) -> None:
        super().__init__()
        self.page = page
        self.forms: list[tuple[str, str, dict[str, str]]] = []
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect a form, then its fields."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = values.get("method", "get").lower()
            self.forms.append((urljoin(self.page.url, values.get("action", "")), method, {}))
        elif tag == "input" and self.forms and "name" in values:
            self.forms[-1][2].setdefault(values["name"], values.get("value", ""))

    def submit(self, browser: requests.Session, wanted: str, **values: str) -> requests.Response:
        """Send the form whose action or fields match the regular expression; a pressed button goes into ``values``."""
        for action, method, fields in self.forms:
            if re.search(wanted, " ".join([action, *fields, *fields.values()])):
                sent = {**fields, **values}
                options = {"params": sent} if method == "get" else {"data": sent}
                return browser.request(method, action, **options)
        raise AssertionError(f"no form {wanted!r} on {self.page.url}: {self.forms}")


def free_port() -> int:
    """A port whose follower is free too: the simulator takes that one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`idp-bridge demo` in an empty directory."""
    directory = tmp_path_factory.mktemp("demo")
    started = start(directory, free_port())
    yield started
    started.stop()


def environment() -> dict[str, str]:
    """Ours without the settings of whoever runs the suite, and with the code under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IDP_BRIDGE_")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}


def start(directory: Path, port: int) -> Demo:
    """Run the demo until it says that Ctrl-C stops it."""
    # A shell's background job ignores it, and all that it starts with it: then none would be heard here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "idp_bridge.cli", "demo", "--port", str(port)],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            return Demo(f"http://127.0.0.1:{port}", process, directory)
        if time.monotonic() > deadline:
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it began must not be the fault of another test
    process.communicate()
    raise AssertionError("the demo did not begin: " + "".join(said))


def through_okta(demo: Demo, person: str) -> tuple[requests.Session, requests.Response]:
    """From our chooser over the simulated Okta's page back to the dashboard, as a browser without JavaScript."""
    browser = requests.Session()
    chooser = browser.get(f"{demo.url}/login/{SLUG}")
    start_link = re.search(r'href="([^"]*/saml/[^"]*/start[^"]*)"', chooser.text)
    assert start_link, chooser.text
    people = browser.get(urljoin(chooser.url, start_link.group(1).replace("&amp;", "&")))
    answer = Forms(people).submit(browser, "SAMLRequest|/sso", person=person)
    landed = Forms(answer).submit(browser, "SAMLResponse")
    return browser, landed


def test_person_signs_in_through_the_simulated_okta(demo: Demo) -> None:
    """Chooser, provider's page, assertion, session, overview: with plain forms."""
    browser, landed = through_okta(demo, "ana.souza")
    assert landed.status_code == 200, landed.text
    assert landed.url == f"{demo.url}/accounts/{SLUG}/overview"
    who = browser.get(f"{demo.url}/api/whoami").json()
    assert who["principal"]["subject"] == "ana.souza@acme.test"
    assert who["roles"] == ["developer"]
    listed = browser.get(f"{demo.url}/accounts/{SLUG}/members").text
    assert "olena.shevchenko@acme.test" in listed, "and she sees the members that SCIM pushed"


def test_person_starts_at_the_simulated_okta(demo: Demo) -> None:
    """IdP-initiated, which the demo's Okta connection allows: from the provider's tile to a session."""
    browser = requests.Session()
    simulator = f"http://127.0.0.1:{int(demo.url.rpartition(':')[2]) + 1}"
    tile = Forms(browser.get(f"{simulator}/okta/apps/idp-bridge"))
    answer = tile.submit(browser, "apps/idp-bridge", person="olena.shevchenko")
    landed = Forms(answer).submit(browser, "SAMLResponse")
    assert landed.url == f"{demo.url}/accounts/{SLUG}/overview", landed.text
    assert browser.get(f"{demo.url}/api/whoami").json()["principal"]["subject"] == "olena.shevchenko@acme.test"


@pytest.mark.parametrize("provider", ["okta", "entra"])
def test_simulated_provisioning_has_nothing_to_complain_of(demo: Demo, provider: str) -> None:
    """`idp-bridge simulate` plays both dialects of the provider against the running server, and exits with 0."""
    admin, headers = administrator(demo)
    providers = admin.get(f"{demo.url}/api/identity_providers").json()["identity_providers"]
    tokens = f"{demo.url}/api/identity_providers/{providers[0]['id']}/scim_tokens"
    token = admin.post(tokens, json={"description": "simulate"}, headers=headers).json()["token"]
    command = [sys.executable, "-m", "idp_bridge.cli", "simulate", provider, "--base-url", demo.url, "--token", token]
    played = subprocess.run(
        [*command, "--users", "4", "--groups", "1"], env=environment(), capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr


def administrator(demo: Demo) -> tuple[requests.Session, dict[str, str]]:
    """A browser signed in with the password that the demo prints, and the header that its API calls need."""
    browser = requests.Session()
    landed = Forms(browser.get(f"{demo.url}/login")).submit(browser, "password", email=ADMINISTRATOR, password=PASSWORD)
    assert landed.url == f"{demo.url}/accounts/{SLUG}/overview"
    return browser, {"X-CSRF-Token": browser.get(f"{demo.url}/api/whoami").json()["csrf_token"]}


def test_administrator_changes_a_mapping_and_the_role_follows(demo: Demo) -> None:
    """With the password that is printed; the member whose group it is has the new role at once."""
    admin, headers = administrator(demo)
    mappings = admin.get(f"{demo.url}/api/role_mappings").json()["role_mappings"]
    support = next(m for m in mappings if m["group_display_name"] == "Support")
    changed = admin.patch(
        f"{demo.url}/api/role_mappings/{support['id']}", json={"role": "team_manager"}, headers=headers
    )
    assert changed.status_code == 200, changed.text
    users = admin.get(f"{demo.url}/api/users").json()["users"]
    bjorn = next(user for user in users if user["email"] == "bjorn.haakonsen@acme.test")
    assert "team_manager" in bjorn["roles"]


def test_ctrl_c_stops_everything_cleanly(tmp_path: Path) -> None:
    """SIGINT to the foreground group, as a terminal sends it: exit code 0, no traceback, both ports free again. A
    second start serves the same database and pushes nothing."""
    port = free_port()
    for _ in range(2):
        running = start(tmp_path, port)
        output = running.stop()
        assert running.process.returncode == 0, output
        assert "Traceback" not in output
        for taken in (port, port + 1):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", taken))
