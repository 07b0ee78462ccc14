"""The tables in a real browser: accessible in both themes and on a phone, and used by keyboard alone."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_pages import complaints_of, path_of, sign_in

PAGES = (
    "members",
    "members?state=suspended&sort=-email",
    "members?q=a",
    "members/{member}",
    "bot-users",
    "bot-users?q=nothing",
    "bot-users/{bot}",
    "credentials",
    "credentials?of=all&kind=authtoken",
    "events?type=user_suspended.v0",
    "usage",
    "webhooks",
    "webhooks/{webhook}",
    "sessions",
    "profile",
)
WIDTHS = (1280, 360)


@pytest.fixture(scope="module")
def state(browser: Browser, site: Any) -> Any:
    """The cookies of a signed-in browser."""
    context = browser.new_context()
    sign_in(context.new_page(), site)
    kept = context.storage_state()
    context.close()
    return kept


def faults_of(page: Page) -> list[str]:
    """What axe-core finds, and whether the page is wider than its window."""
    found = [
        f"{fault['id']}: {node['html']} {node['failureSummary']}"
        for fault in Axe().run(page).response["violations"]
        for node in fault["nodes"]
    ]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, *([f"{wide} pixels too wide"] if wide else [])]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_table_is_accessible(browser: Browser, site: Any, state: Any, theme: Any, width: int) -> None:
    """axe-core finds nothing, nothing scrolls sideways and the console is silent, with every detail opened."""
    context = browser.new_context(storage_state=state, color_scheme=theme, viewport={"width": width, "height": 800})
    page = context.new_page()
    complaints = complaints_of(page)
    for name in PAGES:
        page.goto(path_of(site, name))
        page.evaluate("document.querySelectorAll('main details').forEach((part) => (part.open = true))")
        assert not faults_of(page), name
        assert not complaints, name
    context.close()


def press_to(page: Page, name: str, *, limit: int = 150) -> None:
    """Tab until what has the focus is called so."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and _called(focused) == name:
            return
    raise AssertionError(f"nothing called {name!r} is reached")


def _called(focused: Any) -> str:
    """The accessible name, near enough: its label's, its own or its text."""
    text: str = focused.evaluate(
        "(part) => part.getAttribute('aria-label') ?? part.labels?.[0]?.textContent ?? part.textContent"
    )
    return " ".join(text.split())


def test_several_members_are_suspended_by_keyboard(browser: Browser, site: Any, state: Any) -> None:
    """Ticked with the space bar, done a few at a time with a bar that fills, each named; the list follows by itself,
    and all of it is undone the same way."""
    context = browser.new_context(storage_state=state, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints = complaints_of(page)
    page.goto(path_of(site, "members"))
    press_to(page, "Tick all shown")
    page.keyboard.press("Space")
    for _ in range(100):
        page.keyboard.press("Shift+Tab")
        if _called(page.locator(":focus")) == "Suspend":
            break
    page.keyboard.press("Enter")
    results = page.get_by_label("Suspend: what became of each")
    expect(results).to_contain_text("6 of 6, all are dealt with.")
    expect(results.get_by_role("listitem").filter(has_text="is suspended")).to_have_count(5)
    expect(results).to_contain_text("fumiko@acme.test was suspended already")
    expect(page.locator("#status")).to_have_text("6 of 6, all are dealt with.")
    expect(page.get_by_role("row").filter(has_text="ana@acme.test")).to_contain_text("Suspended")
    assert not faults_of(page)
    for name in ("ana", "bo", "chidi", "dalia", "emre"):
        page.get_by_label(f"Tick {name}@acme.test").focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="Reactivate").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reactivate: what became of each")).to_contain_text("5 of 5")
    expect(page.get_by_role("row").filter(has_text="emre@acme.test")).to_contain_text("Active")
    assert not complaints
    context.close()


def test_removing_several_is_asked_back_in_place(browser: Browser, site: Any, state: Any) -> None:
    """With whom it means; nothing happens before the word is typed."""
    context = browser.new_context(storage_state=state)
    page = context.new_page()
    page.goto(path_of(site, "members"))
    page.get_by_label("Tick emre@acme.test").check()
    page.get_by_role("button", name="Remove", exact=True).click()
    asked = page.get_by_role("region", name="Remove 1 member?")
    expect(asked).to_contain_text("emre@acme.test")
    assert not faults_of(page)
    asked.get_by_label("Type remove to confirm").fill("no")
    asked.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Type exactly: remove")).to_be_visible()
    page.goto(path_of(site, "members?q=emre"))
    expect(page.get_by_role("row").filter(has_text="emre@acme.test")).to_contain_text("Active")
    context.close()


def test_without_javascript_one_post_answers_for_all(browser: Browser, site: Any, state: Any) -> None:
    """The list of what became of each is a page."""
    context = browser.new_context(storage_state=state, java_script_enabled=False)
    page = context.new_page()
    page.goto(path_of(site, "members"))
    page.get_by_label("Tick fumiko@acme.test").check()
    page.get_by_role("button", name="Suspend", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Suspend members")
    expect(page.get_by_text("fumiko@acme.test")).to_be_visible()
    expect(page.get_by_text("was suspended already")).to_be_visible()
    context.close()


def test_a_list_is_sorted_and_narrowed_by_keyboard_on_a_phone(browser: Browser, site: Any, state: Any) -> None:
    """The heads are links above the cards there."""
    context = browser.new_context(storage_state=state, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(path_of(site, "members"))
    head = page.locator("#list").get_by_role("link", name=re.compile("^Address"))
    expect(head).to_be_visible()
    head.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("sort=email"))
    head.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("sort=-email"))
    expect(page.locator("#list tbody tr").first).to_contain_text("owner@acme.test")
    page.wait_for_load_state()  # the scripts too, which look on while somebody chooses
    page.get_by_role("combobox", name="State").select_option("suspended")
    expect(page.locator("#list tbody tr").first).to_contain_text("fumiko@acme.test")
    expect(page).to_have_url(re.compile("state=suspended"))
    context.close()
