"""Every page in a real browser: accessible in light and dark, quiet under the content security policy, narrow enough
for a phone, and usable by keyboard and without JavaScript."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

PUBLIC = (
    "/login",
    "/login/acme",
    "/login/nobody-knows",
    "/login/recovery",
    "/login/forgot",
    "/logout",
    "/nothing/here",
)
MISSING = ("/nothing/here", "/usr_nobody")
PAGES = (
    "overview",
    "members",
    "members?q=nobody-like-that",
    "members?state=deprovisioned",
    "members/{member}",
    "groups",
    "groups/{group}",
    "groups/mappings/{mapping}/change?role=admin",
    "groups/mappings/{mapping}/remove",
    "roles",
    "roles/role_developer",
    "roles/{role}",
    "conflicts",
    "settings",
    "settings/sign-in-mode",
    "identity-providers/new",
    "identity-providers/{provider}",
    "bot-users",
    "bot-users/{bot}",
    "credentials",
    "credentials?of=all",
    "events",
    "webhooks",
    "webhooks/{webhook}",
    "provisioning",
    "provisioning?path=nobody",
    "provisioning?kind=entra&status=failed",
    "identity-providers/{provider}/provisioning/requests/{changed}",
    "identity-providers/{provider}/provisioning/requests/{failed}",
    "usage",
    "members/usr_nobody",
)


def path_of(site: Any, page: str) -> str:
    return f"{site.url}/accounts/acme/{page.format(**site.ids)}"


def sign_in(page: Page, site: Any) -> None:
    page.goto(f"{site.url}/login")
    page.get_by_label("E-mail address").fill(site.email)
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page).to_have_url(re.compile("/accounts/acme/overview$"))


@pytest.fixture(scope="session")
def signed_in(browser: Browser, site: Any) -> Any:
    """The cookies of a signed-in browser."""
    context = browser.new_context()
    sign_in(context.new_page(), site)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, signed_in: Any) -> Iterator[BrowserContext]:
    """A signed-in browser whose system prefers that theme."""
    context = browser.new_context(storage_state=signed_in, color_scheme=request.param)
    yield context
    context.close()


def complaints_of(page: Page) -> list[str]:
    """What the console and the page report from now on. A refused page's own status is no complaint, nor is what the
    browser itself gives up because somebody has gone on to the next page."""
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type in ("error", "warning") and "Failed to load resource" not in message.text
            else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "requestfailed",
        lambda request: (
            complaints.append(f"{request.url}: {request.failure}") if request.failure != "net::ERR_ABORTED" else None
        ),
    )
    return complaints


def test_no_page_has_an_accessibility_fault_or_breaks_the_policy(themed: BrowserContext, site: Any) -> None:
    """axe-core finds nothing and the console stays silent, on every page, in light and in dark."""
    page = themed.new_page()
    complaints = complaints_of(page)
    axe = Axe()
    for url in [f"{site.url}{path}" for path in PUBLIC] + [path_of(site, name) for name in PAGES]:
        answer = page.goto(url)
        assert answer is not None
        assert answer.status == (404 if url.endswith(MISSING) else 200), url
        found = axe.run(page)
        faults = [
            f"{fault['id']}: {node['html']} {node['failureSummary']}"
            for fault in found.response["violations"]
            for node in fault["nodes"]
        ]
        assert not faults, f"{url}\n" + "\n".join(faults)
        assert not complaints, f"{url}: {complaints}"
        assert page.locator("h1").count() == 1, url


def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, signed_in: Any, site: Any) -> None:
    """360 px are enough for every page."""
    context = browser.new_context(storage_state=signed_in, viewport={"width": 360, "height": 740})
    page = context.new_page()
    for url in [f"{site.url}{path}" for path in PUBLIC] + [path_of(site, name) for name in PAGES]:
        page.goto(url)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{url} is {width} px wide"
    context.close()


def test_the_keyboard_alone_signs_in_and_reaches_the_pages(page: Page, site: Any) -> None:
    """Tab, typing and Enter are enough, and the first Tab on a page offers to skip the navigation."""
    page.goto(f"{site.url}/login")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(site.email)
    page.keyboard.press("Tab")
    page.keyboard.type(site.password)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/overview$"))  # until it is loaded: a key that is pressed before goes to the old page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_a_mapping_is_changed_without_javascript(browser: Browser, signed_in: Any, site: Any) -> None:
    """Preview, confirm, done: plain forms, no script."""
    context = browser.new_context(storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto(path_of(site, "groups"))
    row = page.get_by_role("row").filter(has_text="Platform").first
    row.get_by_label("New role for Platform").select_option("team_manager")
    row.get_by_role("button", name="Preview change").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change this mapping?")
    expect(page.get_by_role("row").filter(has_text="Ana Almeida")).to_contain_text("+ team_manager")
    page.get_by_role("button", name="Change the mapping").click()
    expect(page.get_by_role("status").first).to_contain_text("team_manager now")
    page.goto(path_of(site, "members/{member}"))
    expect(page.get_by_role("row", name="team_manager in the group Platform")).to_be_visible()
    context.close()


def test_search_narrows_the_list_as_one_types(themed: BrowserContext, site: Any) -> None:
    """htmx replaces the list only; the address follows, so that a reload shows the same."""
    page = themed.new_page()
    complaints = complaints_of(page)
    page.goto(path_of(site, "members"))
    page.get_by_role("searchbox").fill("dalia")
    expect(page.get_by_role("link", name="Dalia Haddad")).to_be_visible()
    expect(page.get_by_role("link", name="Ana Almeida")).to_have_count(0)
    expect(page).to_have_url(re.compile("q=dalia"))
    assert not complaints


def test_a_refused_form_comes_back_with_focus_on_what_is_wrong(themed: BrowserContext, site: Any) -> None:
    """The summary is focused, names the problem, and a reload asks for the page instead of posting again."""
    page = themed.new_page()
    page.goto(path_of(site, "members"))
    page.get_by_label("E-mail address").fill("ana@acme.test")
    page.get_by_role("button", name="Invite", exact=True).click()
    expect(page.locator("#problem")).to_be_focused()
    expect(page.locator("#problem")).to_contain_text("is a member of this account already")
    expect(page.get_by_label("E-mail address")).to_have_value("ana@acme.test")
    page.reload()
    expect(page.locator("#problem")).to_have_count(0)


def test_the_theme_chosen_is_kept(page: Page, site: Any) -> None:
    """Dark stays dark on the next page, whatever the system prefers."""
    sign_in(page, site)
    page.get_by_label("Theme").select_option("dark")
    page.goto(path_of(site, "usage"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("Theme").select_option("system")
    expect(page.locator("html")).not_to_have_attribute("data-theme", re.compile("."))
