"""Changing a SCIM token and reading the request log, in a real browser, with a directory that really pushes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.test_pages import complaints_of, path_of, sign_in

__all__ = ["signed_in", "themed"]

WAITED = 15_000  # milliseconds: a last use is written after five seconds, and the page looks every three


@pytest.fixture(scope="module")
def signed_in(browser: Browser, site: Any) -> Any:
    """The cookies of a signed-in browser."""
    context = browser.new_context()
    sign_in(context.new_page(), site)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, signed_in: Any) -> Iterator[BrowserContext]:
    """A signed-in browser whose system prefers that theme, on a phone in the dark one."""
    size = {"width": 360, "height": 740} if request.param == "dark" else {"width": 1280, "height": 900}
    context = browser.new_context(storage_state=signed_in, color_scheme=request.param, viewport=size)
    yield context
    context.close()


def faults_of(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {node['html']}" for fault in found for node in fault["nodes"]]


def push(site: Any, token: str, method: str, path: str, **body: Any) -> int:
    """A directory's request; its status."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(
        method, f"{site.url}/scim/v2{path}", json=body or None, headers=headers, timeout=10
    ).status_code


def make_token(page: Page, description: str) -> str:
    page.get_by_label("Description").fill(description)
    page.get_by_role("button", name=re.compile("^Make a .*token$")).click()
    token = page.get_by_label("SCIM token", exact=True).input_value()
    assert token.startswith("ibst_")
    return token


def revoke(page: Page, token: str) -> None:
    page.get_by_role("button", name=f"Revoke the token that ends with {token[-4:]}").click()
    expect(page.get_by_role("status").first).to_contain_text(f"…{token[-4:]} is revoked")


def test_a_token_is_changed_while_the_page_looks_on(themed: BrowserContext, site: Any) -> None:
    """Make the second, paste it, and the page itself says that it was used; accessible at every step."""
    page = themed.new_page()
    complaints = complaints_of(page)
    page.goto(path_of(site, "provisioning"))
    token = make_token(page, "the second")
    assert faults_of(page) == []
    page.get_by_role("link", name="I have stored it").click()
    state = page.locator("#scim-state")
    expect(state).to_contain_text(f"Waiting for the first request with …{token[-4:]}")
    assert faults_of(page) == []
    assert push(site, token, "GET", "/Users?count=1") == 200
    expect(state.get_by_role("link", name="revoke it below")).to_be_visible(timeout=WAITED)
    expect(state).not_to_have_attribute("hx-get", re.compile("."))
    expect(state.get_by_role("link", name="See the request in the log")).to_be_visible()
    assert faults_of(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    revoke(page, token)
    expect(page.get_by_role("button", name="Make a second token")).to_be_visible()
    assert push(site, token, "GET", "/Users?count=1") == 401
    assert not complaints


def test_a_token_is_changed_without_javascript(browser: Browser, signed_in: Any, site: Any) -> None:
    """The same by reloading."""
    context = browser.new_context(storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto(path_of(site, "provisioning"))
    token = make_token(page, "without script")
    page.get_by_role("link", name="I have stored it").click()
    expect(page.locator("#scim-state")).to_contain_text("without JavaScript, reload it")
    assert push(site, token, "GET", "/Users?count=1") == 200
    look = page.get_by_role("link", name="Look again")
    while look.count():
        look.click()
        page.wait_for_load_state()
    expect(page.locator("#scim-state").get_by_role("link", name="revoke it below")).to_be_visible()
    revoke(page, token)
    context.close()


def test_the_log_is_filtered_read_and_exported(themed: BrowserContext, site: Any) -> None:
    """htmx replaces the rows only, the address follows; a request tells what to do; the export has what is shown."""
    page = themed.new_page()
    complaints = complaints_of(page)
    page.goto(path_of(site, "provisioning"))
    rows = page.locator("#requests tbody tr")
    expect(rows.filter(has_text="Deactivated")).to_have_count(1)
    page.get_by_label("Status").select_option("failed")
    expect(rows.filter(has_text="Deactivated")).to_have_count(0)
    expect(page).to_have_url(re.compile("status=failed"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    written = download.value.path().read_text()
    assert written.startswith("timestamp,id,method,path")
    assert "Deactivated" not in written
    assert faults_of(page) == []
    rows.first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="What to do")).to_be_visible()
    expect(page.locator("#main")).to_contain_text("unassign her and assign her again")
    page.get_by_role("navigation", name="In the words of").get_by_role("link", name="Entra").click()
    expect(page.locator("#main")).to_contain_text("Restart provisioning")
    assert faults_of(page) == []
    assert not complaints


def test_the_overview_leads_to_what_is_next(themed: BrowserContext, site: Any) -> None:
    """By keyboard: the first stop after the navigation that asks for something."""
    page = themed.new_page()
    page.goto(path_of(site, "overview"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    following = page.locator('li[aria-current="step"] a').first
    following.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Overview")
