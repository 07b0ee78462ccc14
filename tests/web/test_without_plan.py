"""An account that has lost single sign-on: what may still be done to a connection, by page and by API alike."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from idp_bridge import db, plan_changes
from idp_bridge.models import Account, IdentityProvider
from tests.conftest import World
from tests.saml.documents import entity
from tests.web.connections import Connection
from tests.web.pages import post, sign_in

#: What the switches say of the connection, as a form sends them.
AS_IT_IS = {"name": "Okta", "join_policy": "jit", "default_roles": "developer"}

ALLOWED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "rename": ({"name": "Other"}, {"name": "Other"}),
    "describe": ({"description": "Staff"}, {"description": "Staff"}),
    "redact": ({"redact_sign_in_flows": "on"}, {"redact_sign_in_flows": True}),
}
REFUSED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "switch on": ({"enabled": "on"}, {"enabled": True}),
    "join policy": ({"join_policy": "invite_only"}, {"join_policy": "invite_only"}),
    "domains": ({"domains": "acme.test"}, {"domains": ["acme.test"]}),
    "weak signatures": ({"allow_weak_signatures": "on"}, {"allow_weak_signatures": True}),
    "administrators": ({"may_grant_admin": "on"}, {"may_grant_admin": True}),
}
#: Where a page has a form of its own for it: path -> form, method, path and body of the API.
OF_TRUST: dict[str, tuple[dict[str, str], str, str, Any]] = {
    "/attributes": ({"email": "mail"}, "PATCH", "", {"attribute_mapping": {"email": "mail"}}),
    "/trust": ({"metadata_xml": entity()}, "PATCH", "", {"metadata_xml": entity()}),
    "/metadata-url": ({"metadata_url": "https://x.test/"}, "PATCH", "", {"metadata_url": "https://x.test/"}),
    "/metadata/accept": ({"digest": "0" * 64}, "POST", "/pending_trust/accept", {"digest": "0" * 64}),
    "/keys": ({}, "POST", "/service_provider_keys", None),
    "/keys/spk_1/activate": ({}, "POST", "/service_provider_keys/spk_1/activate", None),
}


@pytest.fixture
def lost(okta: Connection) -> Connection:
    """A connection of an account whose plan has no single sign-on any more: it is switched off by that."""
    with db.connection(), db.transaction():
        plan_changes.set_plan(okta.world.system, "pro")
        IdentityProvider.update(name="Okta").execute()
    return okta


class Both:
    """The two ways to do it."""

    def __init__(self, connection: Connection, browser: FlaskClient) -> None:
        self.row, self.world, self.browser = connection.row, connection.world, browser
        sign_in(browser)

    def by_page(self, path: str, form: dict[str, str]) -> int:
        here = f"/accounts/acme/identity-providers/{self.row.id}"
        status: int = post(self.browser, here + path, page="/accounts/acme/members", **form).status_code
        return status

    def by_api(self, method: str, path: str, body: Any) -> int:
        answer = self.browser.application.test_client().open(
            f"/api/identity_providers/{self.row.id}{path}", method=method, headers=self.world.headers, json=body
        )
        return answer.status_code

    def stored(self) -> dict[str, Any]:
        with db.connection():
            return dict(IdentityProvider.get_by_id(self.row.id).__data__)


@pytest.fixture
def both(lost: Connection, client: FlaskClient) -> Both:
    return Both(lost, client)


@pytest.mark.parametrize("what", ALLOWED)
def test_what_takes_nothing_of_the_plan_stays_possible(both: Both, what: str) -> None:
    """Words, and what is kept of people."""
    form, body = ALLOWED[what]
    (name, value), before = *body.items(), both.stored()
    assert both.by_page("/options", {**AS_IT_IS, **form}) == 303
    assert both.stored()[name] == value
    assert both.by_api("PATCH", "", {name: before[name]}) == 200
    assert both.stored()[name] == before[name]
    assert both.stored()["off_by_plan"], "none of them says that it is to stay off"


def test_a_connection_that_is_said_to_be_off_stays_off(both: Both) -> None:
    """Although it was off already: the plan that comes back does not choose otherwise."""
    assert both.by_api("PATCH", "", {"enabled": False}) == 200
    with db.connection(), db.transaction():
        plan_changes.set_plan(both.world.system, "enterprise")
    assert not both.stored()["enabled"]


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_of_the_plan_is_refused(both: Both, what: str) -> None:
    """The switches, one by one."""
    form, body = REFUSED[what]
    before = both.stored()
    assert (both.by_page("/options", {**AS_IT_IS, **form}), both.by_api("PATCH", "", body)) == (403, 403)
    assert both.stored() == before


@pytest.mark.parametrize("path", OF_TRUST)
def test_nothing_is_trusted_anew(both: Both, path: str) -> None:
    """Nor fetched, nor made."""
    form, method, api_path, body = OF_TRUST[path]
    before = both.stored()
    assert (both.by_page(path, form), both.by_api(method, api_path, body)) == (403, 403)
    assert both.stored() == before


@pytest.mark.parametrize("way", ["page", "api"])
def test_a_connection_can_be_switched_off_and_deleted(both: Both, way: str) -> None:
    """Also one that is on all the same."""
    with db.connection():
        IdentityProvider.update(enabled=True).execute()
    if way == "page":
        assert both.by_page("/options", AS_IT_IS) == 303
        assert not both.stored()["enabled"]
        assert both.by_page("/delete", {"confirm": "Okta"}) == 303
    else:
        assert both.by_api("PATCH", "", {"enabled": False}) == 200
        assert not both.stored()["enabled"]
        assert both.by_api("DELETE", "", None) == 204
    with db.connection():
        assert not IdentityProvider.select().exists()


def test_a_plan_that_comes_back_opens_it_again(both: Both, world: World) -> None:
    """Nothing was lost meanwhile."""
    with db.connection(), db.transaction():
        Account.update(plan="enterprise").execute()
    assert both.by_api("PATCH", "", {"enabled": True}) == 200
