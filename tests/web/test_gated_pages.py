"""What a plan does not have: its page is shown and explained, and what it would do is refused naming the plan."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, plan_changes
from idp_bridge.models import Account, IdentityProvider, Role
from idp_bridge.plans import PLANS, Feature, cheapest_with, has
from tests.conftest import World
from tests.web.connections import Connection
from tests.web.pages import post, sign_in

#: Every page of which something is of a plan, with what that is.
GATED = {
    "overview": Feature.SSO,
    "members": Feature.INVITATIONS,
    "members/{member}": Feature.ROLES,
    "groups": Feature.SCIM,
    "roles": Feature.OWN_ROLES,
    "conflicts": Feature.SSO,
    "settings": Feature.SSO,
    "settings/sign-in-mode": Feature.SSO,
    "identity-providers/new": Feature.SSO,
    "identity-providers/{provider}": Feature.SCIM,
    "identity-providers/{provider}/trust": Feature.SSO,
    "identity-providers/{provider}/options": Feature.SSO,
    "identity-providers/{provider}/flows": Feature.SSO,
    "provisioning": Feature.SCIM,
    "identity-providers/{provider}/provisioning": Feature.SCIM,
}

#: What somebody would do there: the form's address and fields, and the page that it comes back to.
DONE: dict[str, tuple[Feature, dict[str, str], str]] = {
    "members/invitations": (Feature.INVITATIONS, {"email": "new@acme.test", "roles": "viewer"}, "members"),
    "members/{member}/roles": (Feature.ROLES, {"roles": "admin"}, "members/{member}"),
    "groups/mappings": (
        Feature.SSO,
        {"identity_provider_id": "{provider}", "group_display_name": "Staff", "role": "viewer"},
        "groups",
    ),
    "roles": (Feature.OWN_ROLES, {"name": "Auditors", "permissions": "events:read"}, "roles"),
    "settings/sign-in-mode": (Feature.SSO, {"sso_mode": "enforced"}, "settings/sign-in-mode"),
    "identity-providers/new": (Feature.SSO, {"name": "Entra"}, "identity-providers/new"),
    "identity-providers/{provider}/scim-tokens": (Feature.SCIM, {}, "identity-providers/{provider}/provisioning"),
    "identity-providers/{provider}/attributes": (
        Feature.SSO,
        {"email": "mail"},
        "identity-providers/{provider}/options",
    ),
    "identity-providers/{provider}/trust": (Feature.SSO, {}, "identity-providers/{provider}/trust"),
}


def _words(feature: Feature) -> str:
    return f"{feature.value} needs the {cheapest_with(feature).name.capitalize()} plan"


@pytest.fixture(params=list(PLANS))
def plan(request: pytest.FixtureRequest, okta: Connection) -> str:
    """acme on each of the plans, with a connection of better days."""
    name: str = request.param
    with db.connection(), db.transaction():
        plan_changes.set_plan(okta.world.system, name, seat_limit=5)
    return name


@pytest.fixture
def ids(okta: Connection) -> dict[str, str]:
    """What paths are filled in with."""
    return {"provider": okta.row.id, "member": okta.world.owner.id}


def _has(world: World, feature: Feature) -> bool:
    with db.connection():
        return has(Account.get_by_id(world.account.id), feature)


def test_every_gated_page_is_shown_and_explained(
    client: FlaskClient, okta: Connection, plan: str, ids: dict[str, str]
) -> None:
    """On every plan; it names the plan that has what is missing, and nothing where nothing is."""
    sign_in(client)
    for page, feature in GATED.items():
        answer = client.get(f"/accounts/acme/{page.format(**ids)}")
        assert answer.status_code == 200, page
        shown = answer.get_data(as_text=True)
        assert (_words(feature) in shown) is not _has(okta.world, feature), page
        if plan == "enterprise":
            assert "needs the" not in shown, page


def test_every_gated_thing_is_refused_naming_the_plan(
    client: FlaskClient, okta: Connection, plan: str, ids: dict[str, str]
) -> None:
    """403 on the page that it was asked on, and nothing is changed by it."""
    sign_in(client)
    for path, (feature, form, page) in DONE.items():
        if _has(okta.world, feature):
            continue
        fields: dict[str, Any] = {name: value.format(**ids) for name, value in form.items()}
        here = f"/accounts/acme/{page.format(**ids)}"
        answer = post(client, f"/accounts/acme/{path.format(**ids)}", page=here, **fields)
        shown = answer.get_data(as_text=True)
        assert answer.status_code == 403, path
        assert f"{_words(feature)}; this account is on {plan.capitalize()}" in shown, path
        assert "<nav class=" in shown, f"{path} is an error page"
    with db.connection():
        assert IdentityProvider.select().count() == 1
        assert (Account.get().sso_mode, Role.select().count() == 0) == ("mixed", True)


@pytest.mark.parametrize("page", ["members", "settings", "bot-users"])
def test_every_page_says_that_single_sign_on_went_with_the_plan(
    app: Flask, client: FlaskClient, okta: Connection, page: str
) -> None:
    """And for how many nobody has a password yet; no longer when it is back."""
    words = "Single sign-on is off with the Pro plan"
    assert okta.sign_in(app.test_client()).status_code == 303
    sign_in(client)
    for plan, said in (("enterprise", False), ("pro", True), ("enterprise", False)):
        with db.connection(), db.transaction():
            okta.world.account = Account.get_by_id(okta.world.account.id)
            plan_changes.set_plan(okta.world.system, plan)
        shown = client.get(f"/accounts/acme/{page}").get_data(as_text=True)
        assert (words in shown) is said
        if said:
            assert "1 of them has none yet" in shown
