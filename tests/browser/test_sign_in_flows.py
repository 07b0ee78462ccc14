"""Sign-ins through a simulated provider in a real browser: refused, found again by its reference, mended; and tested.

The provider is a server of its own, on another origin: what the browser sends between the two is what it would send
between the product and Okta.
"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from idp_bridge.simulator.people import DOMAINS
from tests.browser.test_pages import complaints_of, path_of, sign_in

START_SECONDS = 30
NUMBERS = count(1)
PERSON = "Ana Souza"
OWN = f"ana.souza@{DOMAINS['okta']}"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The simulated providers as a process; where they are."""
    log = tmp_path_factory.mktemp("simulator") / "simulator.log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "idp_bridge.simulator", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as written, subprocess.Popen(command, stdout=written, stderr=written) as process:
        try:
            _wait_until_there(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_until_there(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError(f"the simulator did not start:\n{log.read_text()}")


@pytest.fixture
def administrator(browser: Browser, site: Any) -> Iterator[BrowserContext]:
    """The owner, signed in in a browser of her own: a real sign-in would replace her session."""
    context = browser.new_context()
    sign_in(context.new_page(), site)
    yield context
    context.close()


@pytest.fixture
def name() -> str:
    """What the connection of this test is called, for the buttons of the sign-in page."""
    return f"Okta {next(NUMBERS)}"


@pytest.fixture
def connection(administrator: BrowserContext, site: Any, simulator: str, name: str) -> str:
    """A connection to the simulated Okta, added on the page as an administrator adds it, and known there."""
    page = administrator.new_page()
    page.goto(path_of(site, "identity-providers/new?kind=okta"))
    page.get_by_text("Its metadata is at hand").click()
    page.get_by_role("group").get_by_label("Name", exact=True).fill(name)
    page.get_by_label("or metadata pasted").fill(requests.get(f"{simulator}/okta/metadata", timeout=10).text)
    page.get_by_role("button", name="Add identity provider").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    url = page.url.partition("?")[0]
    register(simulator, metadata_url_of(site, url))
    page.close()
    return url


def register(simulator: str, metadata_url: str) -> None:
    """Give the provider our metadata, as its administrator would."""
    document = requests.get(metadata_url, timeout=10).content
    headers = {"Content-Type": "application/samlmetadata+xml"}
    answer = requests.put(f"{simulator}/okta/apps/bridge", data=document, headers=headers, timeout=10)
    assert answer.ok, answer.text


def metadata_url_of(site: Any, connection: str) -> str:
    return f"{site.url}/saml/{connection.rpartition('/')[2]}/metadata"


def at_the_provider(page: Page, simulator: str) -> None:
    """Sign in there as Ana."""
    expect(page).to_have_url(re.compile(f"^{re.escape(simulator)}/okta/"))
    page.get_by_role("button", name=re.compile(PERSON)).click()


def check_accessible(page: Page) -> None:
    faults = [(fault["id"], fault["nodes"][0]["html"]) for fault in Axe().run(page).response["violations"]]
    assert faults == [], page.url


def test_a_test_sign_in_ends_on_its_result_and_creates_nothing(
    administrator: BrowserContext, site: Any, simulator: str, connection: str
) -> None:
    """The button, the provider's own page on another origin, and back: the policy lets all of it through."""
    page = administrator.new_page()
    complaints = complaints_of(page)
    page.goto(connection)
    page.get_by_role("button", name="Test sign-in").click()
    at_the_provider(page, simulator)
    expect(page).to_have_url(re.compile(f"^{re.escape(connection)}/flows/flow_"))
    expect(page.get_by_role("status").first).to_contain_text("Nothing was created or changed")
    expect(page.get_by_role("row").filter(has_text="Meant for our entity ID")).to_contain_text("Passed")
    expect(page.get_by_role("row").filter(has_text="email").last).to_contain_text(OWN)
    check_accessible(page)
    # The page between goes on at once, perhaps before its icon has come.
    assert not complaints
    page.goto(path_of(site, f"members?q={OWN}"))
    expect(page.get_by_role("link", name=PERSON)).to_have_count(0)


def test_a_refused_sign_in_is_found_by_its_reference_and_told_how_to_mend(
    administrator: BrowserContext, browser: Browser, site: Any, simulator: str, connection: str, name: str
) -> None:
    """She is refused at the provider and copies the reference; the administrator finds whose turn it is, and how."""
    hers = browser.new_context()
    person = hers.new_page()
    complaints = complaints_of(person)
    person.goto(f"{site.url}/login/acme")
    person.get_by_role("link", name=re.compile(f"{name}$")).click()
    person.get_by_role("button", name="Refuse to sign in").click()
    expect(person.get_by_role("heading", level=1)).to_have_text("You are not signed in")
    expect(person.get_by_role("main")).to_contain_text("Whoever runs your identity provider")
    reference = person.get_by_role("textbox", name="Reference").input_value()
    assert reference.startswith("ev_")
    check_accessible(person)
    person.get_by_text("Tell your administrator").click()
    expect(person.get_by_label("Text to send")).to_have_value(re.compile(reference))
    check_accessible(person)
    assert not complaints
    hers.close()

    page = administrator.new_page()
    page.goto(f"{connection}/flows")
    page.get_by_label("Who, or reference").fill(reference)
    page.get_by_role("button", name="Filter").click()
    todo = page.get_by_role("article").filter(has=page.get_by_role("heading", name="What to do"))
    expect(todo).to_contain_text("status_not_success")
    expect(todo).to_contain_text("Whoever runs the identity provider")
    expect(todo).to_contain_text("Assignments: assign the person")
    failed = page.get_by_role("row").filter(has_text="status:AuthnFailed")
    expect(failed).to_contain_text("Failed")
    page.get_by_text("Their response").click()
    expect(page.get_by_role("group").filter(has_text="Their response")).to_contain_text("StatusCode")
    check_accessible(page)

    page.goto(path_of(site, f"events?id={reference}"))
    page.locator("summary", has_text="sign_in_refused.v0").click()
    page.get_by_role("link", name="See the sign-in").click()
    expect(page.get_by_role("heading", name="What to do")).to_be_visible()


def test_a_sign_in_from_the_tile_of_the_provider_asks_for_nothing(
    administrator: BrowserContext, browser: Browser, simulator: str, connection: str
) -> None:
    """Its page says where the post comes from, as Okta's does; only what comes from elsewhere has to be confirmed."""
    page = administrator.new_page()
    page.goto(f"{connection}/options")
    page.get_by_label("Let people start at the provider").check()
    page.get_by_label("Just in time").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("saved")
    hers = browser.new_context()
    person = hers.new_page()
    person.goto(f"{simulator}/okta/apps/bridge")
    person.get_by_role("button", name=re.compile(PERSON)).click()
    expect(person).to_have_url(re.compile("/accounts/acme/"))
    expect(person.get_by_role("contentinfo")).to_contain_text(OWN)
    hers.close()
    page.goto(f"{connection}/flows")
    row = page.get_by_role("row").filter(has_text=OWN)
    expect(row).to_contain_text("Not started here")
    expect(row).to_contain_text("Signed in")


def test_a_test_works_without_javascript(
    administrator: BrowserContext, browser: Browser, simulator: str, connection: str
) -> None:
    """Plain forms and a page that goes on by itself. A key of ours is changed so too, with a page that asks."""
    context = browser.new_context(storage_state=administrator.storage_state(), java_script_enabled=False)
    page = context.new_page()
    page.goto(connection)
    page.get_by_role("button", name="Test sign-in").click()
    at_the_provider(page, simulator)
    page.get_by_role("button", name="Continue").click()  # the provider's page posts by itself only with a script
    expect(page).to_have_url(re.compile(f"^{re.escape(connection)}/flows/flow_"))
    expect(page.get_by_role("heading", name="How it went")).to_be_visible()
    page.goto(f"{connection}/trust")
    page.get_by_role("button", name="Prepare the next one").click()
    page.get_by_role("button", name="Activate…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Activate the next key?")
    page.get_by_role("button", name="Activate it").click()
    expect(page.get_by_role("status").first).to_contain_text("The next key is the current one now.")
    page.get_by_role("button", name="Retire…").click()
    page.get_by_role("button", name="Leave it as it is").click()
    expect(page.get_by_role("heading", name="Our certificates")).to_be_visible()
    expect(page.get_by_role("button", name="Retire…")).to_be_visible()
    context.close()


def test_the_pages_of_a_connection_fit_a_phone_and_have_no_fault(
    administrator: BrowserContext, connection: str
) -> None:
    """360 px, light and dark, with keys of ours shown, and every part unfolded."""
    page = administrator.new_page()
    complaints = complaints_of(page)
    page.goto(f"{connection}/trust")
    page.get_by_role("button", name="Prepare the next one").click()
    step = page.get_by_role("button", name="Activate…").get_attribute("href")
    assert step is not None
    asking = step.partition(connection.rpartition("/")[2])[2]
    page.set_viewport_size({"width": 360, "height": 740})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for path in ("", "/trust", asking, "/options", "/flows"):
            page.goto(f"{connection}{path}")
            page.evaluate("document.querySelectorAll('main details').forEach((part) => (part.open = true))")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
            assert page.locator("h1").count() == 1
            check_accessible(page)
    assert not complaints
