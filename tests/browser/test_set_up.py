"""The whole set-up guide in a real browser, for Okta: from the first screen to a passed test and an enabled connection,
and the same behind a set-up link by somebody without an account. The provider is a server of its own."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect

from idp_bridge.providers import set_up_guides
from tests.browser.test_pages import complaints_of, path_of
from tests.browser.test_sign_in_flows import (
    administrator,
    at_the_provider,
    check_accessible,
    metadata_url_of,
    name,
    register,
    simulator,
)

__all__ = ["administrator", "name", "simulator"]

GUIDE = set_up_guides.catalogue()["okta"]
OUTSIDER_STEPS = [step for step in GUIDE.steps if step.name != "joining"]


def begin(page: Page, site: Any, name: str) -> str:
    """A draft of that name; where its connection is."""
    page.goto(path_of(site, "identity-providers/new?kind=okta"))
    form = page.get_by_role("article").filter(has=page.get_by_role("heading", name="Set it up step by step"))
    form.get_by_label("Name").fill(name)
    form.get_by_role("button", name="Begin the set-up").click()
    expect(page).to_have_url(re.compile("/setup/app$"))
    return page.url.removesuffix("/setup/app")


def go_on(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Next: {title}").click()
    expect(page.locator('[aria-current="step"]')).to_have_text(re.compile(re.escape(title)))


def walk_to_metadata(page: Page) -> None:
    """Through the provider's screens, as somebody who does what they say."""
    titles = [step.title for step in GUIDE.steps]
    for title in titles[1 : len(GUIDE.screens) + 1]:
        go_on(page, title)


def give_metadata(page: Page, simulator: str) -> None:
    page.get_by_label("or metadata pasted").fill(requests.get(f"{simulator}/okta/metadata", timeout=10).text)
    page.get_by_role("button", name="Read the metadata").click()
    expect(page.get_by_role("heading", name="What was read")).to_be_visible()


def run_test(page: Page, simulator: str) -> None:
    """In the tab that the button opens, closed afterwards."""
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Test sign-in").click()
    tab = opened.value
    at_the_provider(tab, simulator)
    expect(tab).to_have_url(re.compile("/test$"))
    expect(tab.locator("#result")).to_contain_text("Meant for our entity ID")
    tab.close()


@pytest.fixture
def set_up(administrator: BrowserContext, site: Any, name: str) -> Iterator[tuple[Page, str]]:
    """A page on the first step of a draft, and the connection's address."""
    page = administrator.new_page()
    yield page, begin(page, site, name)
    page.close()


def test_okta_is_set_up_from_the_first_screen_to_the_last(
    set_up: tuple[Page, str], administrator: BrowserContext, site: Any, simulator: str, name: str
) -> None:
    """Copied, pasted, read, tested in another tab while the page waits, enabled; nothing on the console."""
    page, connection = set_up
    complaints = complaints_of(page)
    walk_to_metadata(page)
    page.goto(f"{connection}/setup/saml-settings")
    expect(page.get_by_label("Single sign-on URL", exact=True)).to_have_value(re.compile("/acs$"))
    expect(page.get_by_label("Audience URI (SP Entity ID)", exact=True)).to_have_value(
        metadata_url_of(site, connection)
    )
    page.goto(f"{connection}/setup")  # left, and come again
    expect(page).to_have_url(f"{connection}/setup/metadata")
    give_metadata(page, simulator)
    register(simulator, metadata_url_of(site, connection))
    go_on(page, "Who may join")
    page.get_by_label("Just in time").check()
    page.get_by_role("button", name="Save, and next: Test sign-in").click()
    expect(page.locator("#result")).to_contain_text("No test yet")
    run_test(page, simulator)
    expect(page.locator("#result")).to_contain_text("The test passed", timeout=15_000)  # by itself
    expect(page.get_by_role("heading", name="What it would lead to")).to_be_visible()
    go_on(page, "Done")
    page.get_by_role("button", name=f"Enable {name}").click()
    expect(page.get_by_role("heading", name=f"{name} is enabled")).to_be_visible()
    page.get_by_role("link", name="Connect SCIM").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Provisioning")
    assert not complaints


def test_every_step_is_accessible_and_fits_a_phone(set_up: tuple[Page, str], site: Any, simulator: str) -> None:
    """360 px, light and dark, as a draft and with metadata, every part unfolded; and the page of the links."""
    page, connection = set_up
    complaints = complaints_of(page)
    page.set_viewport_size({"width": 360, "height": 740})
    paths = [*(f"/setup/{step.name}" for step in GUIDE.steps), "/setup-link"]
    for given in (False, True):
        if given:
            page.goto(f"{connection}/setup/metadata")
            give_metadata(page, simulator)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for path in paths:
                page.goto(f"{connection}{path}")
                page.evaluate("document.querySelectorAll('main details').forEach((part) => (part.open = true))")
                assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
                assert page.locator("h1").count() == 1
                check_accessible(page)
    assert not complaints


def test_somebody_without_an_account_sets_it_up_by_a_link(
    set_up: tuple[Page, str], browser: Browser, site: Any, simulator: str, name: str
) -> None:
    """The link is copied from the page, opened elsewhere, and leads as far as a passed test; then it is looked at,
    confirmed and enabled by the administrator, and the link is over."""
    page, connection = set_up
    page.get_by_role("button", name="Let somebody else do it").click()
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_label("Set-up link", exact=True).input_value()
    theirs = browser.new_context()
    outsider = theirs.new_page()
    complaints = complaints_of(outsider)
    outsider.goto(link)
    check_accessible(outsider)
    outsider.get_by_role("button", name="Begin the set-up").click()
    walk_to_metadata(outsider)
    give_metadata(outsider, simulator)
    register(simulator, metadata_url_of(site, connection))
    go_on(outsider, "Test sign-in")
    run_test(outsider, simulator)
    expect(outsider.locator("#result")).to_contain_text("The connection works", timeout=15_000)  # by itself
    at = outsider.url.removesuffix("/test")
    outsider.set_viewport_size({"width": 360, "height": 740})
    for scheme in ("light", "dark"):
        outsider.emulate_media(color_scheme=scheme)
        for step in OUTSIDER_STEPS:
            outsider.goto(f"{at}/{step.name}")
            assert outsider.evaluate("document.documentElement.scrollWidth") <= 360, step
            check_accessible(outsider)
    outsider.goto(f"{at}/done")
    expect(outsider.get_by_role("main")).to_contain_text("The connection works. Tell the administrator of Acme")
    assert not complaints
    page.goto(f"{connection}/setup/done")
    page.get_by_label("I have compared them").check()
    page.get_by_role("button", name=f"Enable {name}").click()
    expect(page.get_by_role("heading", name=f"{name} is enabled")).to_be_visible()
    outsider.goto(f"{at}/metadata")
    expect(outsider.get_by_role("main")).to_contain_text("This set-up is not open in this browser")
    theirs.close()


def test_the_guide_works_without_javascript(
    administrator: BrowserContext, browser: Browser, site: Any, simulator: str, name: str
) -> None:
    """Plain forms and links all the way."""
    context = browser.new_context(storage_state=administrator.storage_state(), java_script_enabled=False)
    page = context.new_page()
    connection = begin(page, site, name)
    walk_to_metadata(page)
    give_metadata(page, simulator)
    register(simulator, metadata_url_of(site, connection))
    go_on(page, "Who may join")
    page.get_by_role("button", name="Save, and next: Test sign-in").click()
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Test sign-in").click()
    tab = opened.value
    at_the_provider(tab, simulator)
    tab.get_by_role("button", name="Continue").click()
    expect(tab.locator("#result")).to_contain_text("would not come in")  # invited only, and nobody has invited Ana
    tab.close()
    page.reload()
    expect(page.locator("#result")).to_contain_text("would not come in")
    go_on(page, "Done")
    page.get_by_role("button", name=f"Enable {name}").click()
    expect(page.get_by_role("heading", name=f"{name} is enabled")).to_be_visible()
    context.close()
