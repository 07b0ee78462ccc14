"""The overview: how far the account is set up, who has the seats, what wants somebody; each part to who may see it."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import (
    bots,
    clock,
    db,
    groups,
    invitations,
    member_lifecycle,
    own_roles,
    people,
    plan_changes,
    scim_tokens,
    webhooks,
)
from idp_bridge.models import Account, IdentityProvider, RecoveryCode, ScimToken, Webhook
from tests.conftest import PASSWORD, World, add_provider
from tests.web.connections import Connection
from tests.web.pages import post, sign_in
from tests.web.test_dashboard_provisioning import push

PAGE = "/accounts/acme/overview"
TITLES = (
    "Add an identity provider",
    "Test the sign-in",
    "Connect SCIM",
    "Map groups to roles",
    "Make recovery codes",
    "Enforce single sign-on",
    "Make bot users",
)


def text_of(client: FlaskClient) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def steps(page: str) -> dict[str, str]:
    """The check list: its titles, each with the badge beside it, in their order."""
    found = re.findall(r'<strong>([^<]+)</strong> (?:<span class="badge ?\w*">([^<]+)</span>)?', page)
    return {title: badge for title, badge in found if title in TITLES}


def member(world: World, *roles: str) -> None:
    """Somebody who signs in as <role>@acme.test."""
    email = f"{roles[0]}@acme.test" if roles else "nobody@acme.test"
    with db.connection(), db.transaction():
        person = people.create(email)
        people.set_password(person, PASSWORD)
        member_lifecycle.create(world.system, email=email, managed_by="local", person=person, roles=list(roles))


# --- the first page ---------------------------------------------------------------------------------------------


def test_signing_in_leads_to_the_overview(client: FlaskClient, world: World) -> None:
    """And so do the name of the product, and its root; it is the first of the navigation."""
    assert sign_in(client).location == PAGE
    assert client.get("/").location == PAGE
    page = text_of(client)
    links = re.findall(r'href="(/accounts/acme/[^"]+)"', page.partition("<nav")[2])
    assert links[0] == PAGE
    assert f'class="brand" href="{PAGE}"' in page
    assert page.count("<h1>") == 1


# --- the check list ---------------------------------------------------------------------------------------------


def test_a_new_account_begins_with_a_provider(signed_in: FlaskClient) -> None:
    """The first line is next, and nothing is done."""
    page = text_of(signed_in)
    assert tuple(steps(page)) == TITLES
    assert steps(page)["Add an identity provider"] == "Next"
    assert set(list(steps(page).values())[1:]) == {""}
    assert "0 of 7 done" in page


def test_each_line_is_done_when_it_is_behind(
    app: Flask, client: FlaskClient, okta: Connection, idp_certificate: str
) -> None:
    """From the provider to enforced single sign-on; what comes next is marked, and leads there."""
    world = okta.world
    sign_in(client)

    def standing() -> list[str]:
        return list(steps(text_of(client)).values())

    assert standing() == ["Done", "Next", "", "", "", "", ""]
    assert f'href="/accounts/acme/identity-providers/{okta.row.id}">Test sign-in' in text_of(client)
    okta.sign_in(app.test_client())
    assert standing() == ["Done", "Done", "Next", "", "", "", ""]
    assert f'href="/accounts/acme/provisioning?provider={okta.row.id}">Connect SCIM' in text_of(client)
    with db.connection(), db.transaction():
        token = scim_tokens.issue(world.system, okta.row).token
    push(app, token, "GET", "/Users")
    assert standing() == ["Done", "Done", "Done", "Next", "", "", ""]
    with db.connection(), db.transaction():
        groups.map_role(world.system, okta.row, role="viewer", group_display_name="Staff")
    assert standing() == ["Done", "Done", "Done", "Done", "Next", "", ""]
    with db.connection(), db.transaction():
        RecoveryCode.create(member=world.owner, code_hash="x")
    assert standing() == ["Done", "Done", "Done", "Done", "Done", "Next", ""]
    with db.connection(), db.transaction():
        Account.update(sso_mode="enforced", enforced_at=clock.now()).execute()
        bots.create(world.system, "ci")
    own = app.test_client()
    okta.sign_in(own)  # by the provider: no administrator, who would see the list
    with db.connection(), db.transaction():
        Account.update(sso_mode="mixed").execute()
    assert standing() == ["Done", "Done", "Done", "Done", "Done", "Next", "Done"]


def test_a_plan_without_single_sign_on_is_said_once(client: FlaskClient, world: World) -> None:
    """What it does not have is on the list, names the plan that has it, and is not what comes next."""
    with db.connection(), db.transaction():
        plan_changes.set_plan(world.system, "pro", seat_limit=5)
    sign_in(client)
    page = text_of(client)
    assert page.count("Single sign-on needs the Enterprise plan") == 1
    assert steps(page)["Add an identity provider"] == "Enterprise plan"
    assert steps(page)["Make recovery codes"] == "Next"


# --- what wants somebody ----------------------------------------------------------------------------------------


def test_nothing_wants_anybody_at_first(signed_in: FlaskClient) -> None:
    """Then there is no such part."""
    assert "Needs attention" not in text_of(signed_in)


def test_what_fails_or_runs_out_is_said_and_linked(
    app: Flask, world: World, signed_in: FlaskClient, idp_certificate: str
) -> None:
    """SCIM, tokens, metadata, certificates of both sides, webhooks."""
    with db.connection():
        provider = add_provider(world, idp_certificate)
    push(app, world.scim_token, "GET", "/Users/du_nobody")
    soon = clock.now() + timedelta(days=5)
    with db.connection(), db.transaction():
        ending = [{**provider.certificates[0], "not_after": clock.rfc3339(soon)}]
        IdentityProvider.update(certificates=ending, metadata_error="The server says 500.").execute()
        ScimToken.update(expires_at=soon).execute()
        hook, _ = webhooks.create(world.system, "https://hooks.acme.test/x")
        Webhook.update(failing_since=clock.now() - timedelta(hours=2)).where(Webhook.id == hook.id).execute()
    page = text_of(signed_in)
    for words in (
        "1 SCIM request of Okta failed in the last day.",
        "The SCIM token of Okta expires soon.",
        "The metadata of Okta is not refreshed.",
        f"Okta signs by a certificate that runs out on {soon:%Y-%m-%d}.",
        "The webhook https://hooks.acme.test/x fails.",
    ):
        assert f"<span>{words}</span>" in page, words
    assert f"provisioning?provider={provider.id}&amp;status=failed#log" in page
    assert "Okta</a>, <time" in page.partition("Last SCIM request")[2]
    assert "· 404" in page
    with db.connection(), db.transaction():
        ScimToken.update(expires_at=clock.now() - timedelta(days=1)).execute()
        past = [{**ending[0], "not_after": clock.rfc3339(clock.now() - timedelta(days=1))}]
        IdentityProvider.update(certificates=past).execute()
    page = text_of(signed_in)
    assert "The SCIM token of Okta has expired" in page
    assert "signs by a certificate that ran out on" in page


def test_refused_sign_ins_are_counted_and_the_newest_shown(app: Flask, client: FlaskClient, okta: Connection) -> None:
    """Those of the last day, each with its way to why."""
    okta.change(join_policy="invite_only")
    for _ in range(6):
        okta.sign_in(app.test_client())
    sign_in(client)
    page = text_of(client).partition("Refused sign-ins")[2]
    assert '<span class="badge warn">6</span>' in page
    assert page.count("<code>invitation_needed</code>") == 5
    assert f"/identity-providers/{okta.row.id}/flows/flow_" in page
    assert "None has come yet" in text_of(client)


def test_the_last_sign_in_through_a_provider_is_told(app: Flask, client: FlaskClient, okta: Connection) -> None:
    """Who it was, and when; a test is none."""
    sign_in(client)
    assert "Nobody has signed in through one yet" in text_of(client)
    okta.sign_in(app.test_client())
    person = okta.provider.people[0]
    assert re.search(rf"flow_\w+\">{re.escape(person.email)}</a>, <time", text_of(client))


def test_the_seat_meter_says_what_was_counted(signed_in: FlaskClient, world: World) -> None:
    """Active members and invitations are; suspended members and bot users are not."""
    member(world, "viewer")
    with db.connection(), db.transaction():
        gone = member_lifecycle.create(world.system, email="gone@acme.test", managed_by="local", roles=["viewer"])
        member_lifecycle.suspend(world.system, gone)
        invitations.create(world.system, "gil@acme.test")
        bots.create(world.system, "ci")
        Account.update(seats=3).execute()
    page = text_of(signed_in)
    assert "3 of 3 seats" in page
    assert ">Full</span>" in page
    assert "1, not counted" in page
    assert "1, never counted" in page


# --- who sees what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "shown", "hidden"),
    [
        ("developer", {"Seats", "Refused sign-ins"}, {"Set-up", "Identity providers</h2>", "Needs attention"}),
        ("billing", {"Seats", "Plan and usage</a>"}, {"Set-up", "Refused sign-ins", "Needs attention"}),
        ("viewer", {"Seats", "Refused sign-ins"}, {"Set-up", "Needs attention"}),
    ],
)
def test_each_part_is_shown_to_who_may_see_it(
    app: Flask, world: World, idp_certificate: str, role: str, shown: set[str], hidden: set[str]
) -> None:
    """The page itself to everybody: it is where signing in leads."""
    with db.connection():
        add_provider(world, idp_certificate)
    push(app, world.scim_token, "GET", "/Users/du_nobody")
    member(world, role)
    browser = app.test_client()
    sign_in(browser, f"{role}@acme.test")
    page = text_of(browser)
    main = page.partition("<main")[2]
    assert all(words in main for words in shown), role
    assert not any(words in main for words in hidden), role


def test_who_may_nothing_is_told_who_can_change_that(app: Flask, world: World) -> None:
    """Rather than refused at the door; an own role sees the parts that are its own."""
    member(world)
    browser = app.test_client()
    assert sign_in(browser, "nobody@acme.test").location == PAGE
    page = text_of(browser)
    assert "an administrator gives you one" in page
    assert ">Seats<" not in page
    with db.connection(), db.transaction():
        own_roles.create(world.system, "Connector", description="", permissions=["idps:read", "account:read"])
    member(world, "Connector")
    other = app.test_client()
    sign_in(other, "Connector@acme.test")
    assert tuple(steps(text_of(other))) == TITLES[:3]
    assert post(other, f"{PAGE}/nothing", page=PAGE).status_code == 404
