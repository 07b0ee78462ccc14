"""The set-up link: opened once, by a post, in one browser; it reaches the steps of one connection and nothing else, and
is told in the events in the name of whoever made it. What was set up by it waits to be trusted with administrators."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, idps, member_lifecycle, member_roles, plan_changes, set_up_links
from idp_bridge.models import IdentityProvider, Member, SetUpLink
from idp_bridge.providers import set_up_guides
from idp_bridge.simulator.saml_idp import Provider
from tests.conftest import World
from tests.web.connections import events_of
from tests.web.pages import post
from tests.web.test_dashboard import add_member
from tests.web.test_set_up import AT, begin, connection_of, digest_of, give, run_test, stored, submit, text_of

STEPS = [step.name for step in set_up_guides.catalogue()["okta"].steps if step.name != "joining"]


@pytest.fixture
def draft(signed_in: FlaskClient) -> IdentityProvider:
    """A connection whose set-up has begun."""
    return begin(signed_in)


@pytest.fixture
def outsider(app: Flask) -> FlaskClient:
    """The browser of somebody without an account."""
    return app.test_client()


def make(signed_in: FlaskClient, draft: IdentityProvider, days: int = 3) -> str:
    """A link's path, as the page shows it once."""
    answer = submit(signed_in, f"{draft.id}/setup-link", days=str(days))
    assert answer.status_code == 201, answer.get_data(as_text=True)
    shown = re.search(r'value="http://localhost(/set-up/ibln_\w+)"', answer.get_data(as_text=True))
    assert shown
    return shown[1]


def open_in(browser: FlaskClient, path: str) -> Any:
    """Press the button of the link's page."""
    return post(browser, path, page=path)


def opened(browser: FlaskClient, signed_in: FlaskClient, draft: IdentityProvider) -> str:
    """A link that this browser has opened; where its steps are."""
    assert open_in(browser, make(signed_in, draft)).status_code == 303
    return f"/set-up/{draft.id}"


def link_row() -> SetUpLink:
    with db.connection():
        row: SetUpLink = SetUpLink.select().order_by(SetUpLink.id.desc()).get()
        return row


def test_a_link_opens_once_by_a_post(signed_in: FlaskClient, draft: IdentityProvider, app: Flask, world: World) -> None:
    """Looking at it uses nothing up and says nothing to other sites; afterwards it is gone, for everybody."""
    path = make(signed_in, draft)
    first, second = app.test_client(), app.test_client()
    for _ in range(2):
        shown = first.get(path)
        assert shown.status_code == 200
        assert "owner@acme.test" in shown.get_data(as_text=True)
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        assert shown.headers["Cache-Control"] == "no-store"
    assert link_row().opened_at is None
    assert first.post(path).status_code == 403  # not our form
    assert open_in(first, path).location.endswith(f"/set-up/{draft.id}/app")
    assert first.get(f"/set-up/{draft.id}/app").status_code == 200
    for browser in (first, second):
        assert browser.get(path).status_code == 410
    assert second.get(f"/set-up/{draft.id}/app").status_code == 410
    (told,) = events_of(world, "set_up_link_opened.v0")
    assert (told.principal_id, told.principal_subject) == (world.owner.id, "owner@acme.test")
    assert told.credential_id == told.object_id == link_row().id
    assert told.address == "127.0.0.1"


def test_only_digests_are_stored(signed_in: FlaskClient, draft: IdentityProvider, outsider: FlaskClient) -> None:
    """Neither the link's secret nor the browser's is in the database, and the page shows the link once."""
    path = make(signed_in, draft)
    assert "/set-up/" not in text_of(signed_in, f"{draft.id}/setup-link")
    open_in(outsider, path)
    cookie = outsider.get_cookie("idp_bridge_set_up")
    assert cookie
    assert cookie.http_only
    row = link_row()
    held = {str(value) for value in row.__data__.values()}
    assert not {path.rpartition("/")[2], cookie.value} & held
    assert row.digest
    assert row.browser_digest


def test_the_steps_are_done_by_it(
    signed_in: FlaskClient, draft: IdentityProvider, outsider: FlaskClient, world: World, simulated: dict[str, Provider]
) -> None:
    """Every screen, the metadata with its summary; each change is an event in the maker's name, by the link."""
    at = opened(outsider, signed_in, draft)
    pages = [text_of(outsider, f"{at}/{step}") for step in STEPS]
    assert all("Acme" in page for page in pages)
    assert not any("/accounts/" in page for page in pages)  # nothing leads to where she may not be
    assert post(outsider, f"{at}/app/next", page=f"{at}/app").location.endswith("/general")
    document = simulated["okta"].metadata_xml
    refused = post(outsider, f"{at}/metadata", page=f"{at}/metadata", metadata_xml="<x/>")
    assert refused.status_code == 400
    assert "The metadata cannot be used" in refused.get_data(as_text=True)
    assert post(outsider, f"{at}/metadata", page=f"{at}/metadata", metadata_xml=document).status_code == 303
    row = stored()
    assert row.certificates[0]["fingerprint_sha256"] in text_of(outsider, f"{at}/metadata")
    assert not row.enabled
    change = events_of(world, "identity_provider_updated.v0")[-1]
    assert change.object["entity_id"] == row.entity_id
    assert (change.principal_id, change.credential_id) == (world.owner.id, link_row().id)


def test_who_may_join_and_enabling_are_not_behind_it(
    signed_in: FlaskClient, draft: IdentityProvider, outsider: FlaskClient
) -> None:
    """An administrator decides those; nor is any other page or connection."""
    other = begin(signed_in, "entra", "Other")
    at = opened(outsider, signed_in, draft)
    assert outsider.get(f"{at}/joining").status_code == 404
    for path in (f"{at}/joining", f"{at}/enable", f"{at}/options", f"{at}/delete"):
        assert post(outsider, path, page=f"{at}/app", enabled="on", join_policy="jit").status_code in (404, 405), path
    for path in (f"/set-up/{other.id}/app", f"/set-up/{other.id}/metadata", f"/set-up/{other.id}/test/result"):
        assert outsider.get(path).status_code == 410, path
    assert post(outsider, f"/set-up/{other.id}/metadata", page=f"{at}/app", metadata_xml="<x/>").status_code == 410
    for path in (f"{AT}/{draft.id}", f"{AT}/{draft.id}/setup/app", "/accounts/acme/members"):
        assert "/login" in outsider.get(path).location, path
    for path in ("/api/identity_providers", f"/api/identity_providers/{draft.id}", "/api/whoami"):
        assert outsider.get(path).status_code == 401, path
    with db.connection():
        assert [row.join_policy for row in IdentityProvider.select()] == ["invite_only"] * 2


def test_its_test_tells_nothing_of_members(
    signed_in: FlaskClient,
    draft: IdentityProvider,
    outsider: FlaskClient,
    app: Flask,
    world: World,
    simulated: dict[str, Provider],
) -> None:
    """The checks and the attributes are shown; not who she would be here, nor with which roles, nor others' tests."""
    give(signed_in, draft, simulated["okta"].metadata_xml)
    connection = connection_of(world, app, simulated["okta"])
    step = f"{AT}/{draft.id}/setup/test"
    run_test(signed_in, connection, step, step)
    at = opened(outsider, signed_in, draft)
    assert "No test yet" in text_of(outsider, f"{at}/test")
    landing = run_test(outsider, connection, f"{at}/test", f"{at}/test")
    assert landing.location.endswith(f"{at}/test")
    shown = text_of(outsider, f"{at}/test")
    assert "The connection works" in shown
    assert "Meant for our entity ID" in shown
    assert simulated["okta"].people[0].email in shown
    for words in ("What it would lead to", "not a member", "Roles she would have"):
        assert words not in shown
    assert "would not come in" in text_of(signed_in, step)  # the administrator reads it all
    with db.connection():
        assert Member.select().count() == 1


# --- when it stops ----------------------------------------------------------------------------------------------


def revoked(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    assert submit(signed_in, f"{draft.id}/setup-link/revoke").status_code == 303


def expired(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    with db.connection():
        SetUpLink.update(expires_at=clock.now() - timedelta(seconds=1)).execute()


def another_made(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    make(signed_in, draft)


def enabled(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    with db.connection(), db.transaction():
        row = idps.get(world.account, draft.id)
        trust = idps.Trust("https://idp.test/meta", "https://idp.test/sso", [_certificate()])
        idps.change(world.system, row, trust=trust, enabled=True)


def maker_demoted(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    add_member(world, "second@acme.test", role="admin")
    with db.connection(), db.transaction():
        member_roles.set_roles(world.system, Member.get_by_id(world.owner.id), ["viewer"])


def maker_suspended(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    add_member(world, "second@acme.test", role="admin")
    with db.connection(), db.transaction():
        member_lifecycle.suspend(world.system, Member.get_by_id(world.owner.id))


def plan_gone(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    with db.connection(), db.transaction():
        plan_changes.set_plan(world.system, "pro")


def deleted(signed_in: FlaskClient, draft: IdentityProvider, world: World) -> None:
    with db.connection(), db.transaction():
        idps.delete(world.system, idps.get(world.account, draft.id))


_PEM: list[str] = []


def _certificate() -> str:
    return _PEM[0]


@pytest.mark.parametrize(
    "stop",
    [revoked, expired, another_made, enabled, maker_demoted, maker_suspended, plan_gone, deleted],
    ids=lambda stop: stop.__name__,
)
@pytest.mark.parametrize("before", ["opened", "unopened"])
def test_it_stops_working(
    signed_in: FlaskClient,
    draft: IdentityProvider,
    outsider: FlaskClient,
    world: World,
    idp_certificate: str,
    stop: Any,
    before: str,
) -> None:
    """At once, opened or not: nothing of what it hangs on is copied."""
    _PEM[:] = [idp_certificate]
    path = make(signed_in, draft)
    if before == "opened":
        open_in(outsider, path)
    csrf_page = "/login"
    stop(signed_in, draft, world)
    if before == "unopened":
        assert outsider.get(path).status_code == 410
        assert post(outsider, path, page=csrf_page).status_code == 410
    else:
        answer = outsider.get(f"/set-up/{draft.id}/app")
        assert answer.status_code == 410
        assert "Ask whoever sent the link" in unescape(answer.get_data(as_text=True))
    for doing in ("app/next", "metadata", "test"):
        assert post(outsider, f"/set-up/{draft.id}/{doing}", page=csrf_page).status_code == 410, doing


# --- whom it may speak for --------------------------------------------------------------------------------------


def test_what_is_set_up_by_it_is_trusted_with_administrators_only_after_a_look(
    signed_in: FlaskClient, draft: IdentityProvider, outsider: FlaskClient, simulated: dict[str, Provider]
) -> None:
    """Not from the moment the link is made; the last step asks for it, with the fingerprints; once said, no link
    changes it."""
    assert draft.trusted_with_administrators
    at = opened(outsider, signed_in, draft)
    assert not stored().trusted_with_administrators
    post(outsider, f"{at}/metadata", page=f"{at}/metadata", metadata_xml=simulated["okta"].metadata_xml)
    row = stored()
    page = text_of(signed_in, f"{draft.id}/setup/done")
    assert row.certificates[0]["fingerprint_sha256"] in page
    assert "it may speak for administrators too" in page
    assert submit(signed_in, f"{draft.id}/setup/enable", digest=digest_of(draft), confirm="on").status_code == 303
    assert (stored().enabled, stored().trusted_with_administrators) == (True, True)
    assert outsider.get(f"{at}/metadata").status_code == 410


def test_a_confirmed_connection_is_not_changed_by_a_link(
    signed_in: FlaskClient, draft: IdentityProvider, outsider: FlaskClient, simulated: dict[str, Provider]
) -> None:
    """An administrator who trusts it with administrators before it is enabled closes it to the link."""
    at = opened(outsider, signed_in, draft)
    assert submit(signed_in, f"{draft.id}/confirm", digest=digest_of(draft)).status_code == 303
    answer = post(outsider, f"{at}/metadata", page=f"{at}/metadata", metadata_xml=simulated["okta"].metadata_xml)
    assert answer.status_code == 403
    assert stored().entity_id == ""


def test_only_administrators_make_links_and_only_while_it_is_set_up(
    signed_in: FlaskClient, draft: IdentityProvider, world: World, idp_certificate: str
) -> None:
    """Else somebody who may not decide for administrators would; and a connection in use is nobody's to set up."""
    _PEM[:] = [idp_certificate]
    assert submit(signed_in, f"{draft.id}/setup-link", days="400").status_code == 400
    with db.connection():
        actor = set_up_links.actor_of(_link_of(signed_in, draft), address=None, request_id=None)
        with pytest.raises(set_up_links.Forbidden), db.transaction():
            set_up_links.make(actor, stored())
    enabled(signed_in, draft, world)
    answer = submit(signed_in, f"{draft.id}/setup-link", days="3")
    assert answer.status_code == 409
    assert "is not being set up" in answer.get_data(as_text=True)


def _link_of(signed_in: FlaskClient, draft: IdentityProvider) -> SetUpLink:
    path = make(signed_in, draft)
    with db.connection():
        return set_up_links.peek(path.rpartition("/")[2])


def test_what_becomes_of_links_is_listed(
    signed_in: FlaskClient, draft: IdentityProvider, outsider: FlaskClient, world: World
) -> None:
    """Made, opened, revoked; each told in the events."""
    first = make(signed_in, draft)
    second = make(signed_in, draft)
    assert outsider.get(first).status_code == 410
    open_in(outsider, second)
    page = text_of(signed_in, f"{draft.id}/setup-link")
    for words in ("Revoked", "Open", "by owner@acme.test"):
        assert words in page
    kinds = ("created", "opened", "revoked")
    assert [len(events_of(world, f"set_up_link_{kind}.v0")) for kind in kinds] == [2, 1, 1]
