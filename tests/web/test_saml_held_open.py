"""A message whose sender holds its body back is judged by what its connection is when all of it has come."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, idps
from idp_bridge.models import IdentityProvider, Member
from idp_bridge.simulator import saml_logout
from idp_bridge.web.scim import door
from tests.conftest import World, add_provider
from tests.web.api.conftest import Caller
from tests.web.connections import BASE, Connection, session_of
from tests.web.test_guard import Held

FORM = "application/x-www-form-urlencoded"


def held_open(browser: FlaskClient, path: str, meanwhile: Callable[[], object], **fields: str) -> Any:
    """Post a form whose end comes after something has happened."""
    body = urlencode(fields).encode()
    return browser.post(
        path, input_stream=Held(body, meanwhile), content_type=FORM, headers={"Content-Length": str(len(body))}
    )


@pytest.fixture
def change(app: Flask, world: World, okta: Connection) -> Callable[..., Callable[[], object]]:
    """What an administrator does over the API."""
    api = Caller(app, world.api_key)

    def changing(**body: Any) -> Callable[[], object]:
        return lambda: api.patch(f"identity_providers/{okta.row.id}", body)

    return changing


@pytest.fixture
def other_keys(simulated: Any) -> list[str]:
    """The certificates of another provider."""
    return list(idps.read_metadata(simulated["entra"].metadata_xml).certificates)


def as_owner(okta: Connection) -> dict[str, Any]:
    """What the provider says of the account's administrator."""
    said = okta.provider.shape.attributes(okta.provider.people[0])
    return {
        "name_id": "owner-1",
        "attributes": {
            name: ("owner@acme.test",) if any("@" in value for value in values) else values
            for name, values in said.items()
        },
    }


def test_a_key_that_is_given_up_meanwhile_signs_nobody_in(
    okta: Connection, client: FlaskClient, change: Any, other_keys: list[str]
) -> None:
    """Else a stolen key would be good for as long as its thief holds connections open."""
    response = okta.response(okta.start(client))
    answer = held_open(client, f"{okta.path}/acs", change(certificates=other_keys), SAMLResponse=response)
    assert answer.status_code == 403
    assert session_of(client) is None


@pytest.mark.parametrize(
    "withdrawn", [{"domains": ["other.test"]}, {"trusted_with_administrators": False}, {"enabled": False}]
)
def test_what_is_withdrawn_meanwhile_counts_for_members(
    okta: Connection, app: Flask, change: Any, withdrawn: dict[str, Any]
) -> None:
    """Not for newcomers alone: an administrator who has come in before is refused as she would be now."""
    assert okta.sign_in(app.test_client(), **as_owner(okta)).status_code == 303
    browser = app.test_client()
    response = okta.response(okta.start(browser), **as_owner(okta))
    answer = held_open(browser, f"{okta.path}/acs", change(**withdrawn), SAMLResponse=response)
    assert answer.status_code == 403
    assert session_of(browser) is None


def test_a_claim_gives_admin_by_what_is_granted_now(okta: Connection, app: Flask, world: World, change: Any) -> None:
    """``may_grant_admin`` is withdrawn while the response is held open: she comes in, and is none."""
    api = Caller(app, world.api_key)
    change(may_grant_admin=True)()
    api.post("role_mappings", {"identity_provider_id": okta.row.id, "group_display_name": "Bosses", "role": "admin"})
    okta.sign_in(app.test_client())
    browser = app.test_client()
    attributes = {**okta.provider.shape.attributes(okta.provider.people[0]), "groups": ("Bosses",)}
    response = okta.response(okta.start(browser), attributes=attributes)
    answer = held_open(browser, f"{okta.path}/acs", change(may_grant_admin=False), SAMLResponse=response)
    assert answer.status_code == 303
    assert "admin" not in browser.get("/api/whoami").get_json()["roles"]


def test_what_may_not_begin_at_the_provider_any_more_does_not(okta: Connection, app: Flask, change: Any) -> None:
    """No request of ours bounds what nobody asked for; the switch does."""
    change(allow_idp_initiated=True)()
    okta.sign_in(app.test_client())
    browser = app.test_client()
    browser.get(f"{okta.path}/start")  # so that the cookies come with the post
    answer = held_open(browser, f"{okta.path}/acs", change(allow_idp_initiated=False), SAMLResponse=okta.response(None))
    assert answer.status_code == 403
    assert session_of(browser) is None


def test_the_decision_reads_the_provider_anew(okta: Connection, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that commits between the response and the decision counts, for a member as for a newcomer."""
    okta.sign_in(app.test_client(), **as_owner(okta))
    read = idps.with_account

    def before_the_change(provider_id: str) -> IdentityProvider:
        found = read(provider_id)
        IdentityProvider.update(trusted_with_administrators=False).where(IdentityProvider.id == provider_id).execute()
        return found

    browser = app.test_client()
    response = okta.response(okta.start(browser), **as_owner(okta))
    monkeypatch.setattr(idps, "with_account", before_the_change)
    assert okta.post(browser, response).status_code == 403
    assert session_of(browser) is None


def test_a_key_that_is_given_up_meanwhile_signs_nobody_out(
    okta: Connection, app: Flask, client: FlaskClient, change: Any, other_keys: list[str]
) -> None:
    """Single logout by HTTP-POST, the same order."""
    okta.sign_in(client)
    sp = okta.provider.register_sp(idps.sp_metadata(okta.row, BASE).decode())
    said = saml_logout.ask(okta.provider, sp, okta.provider.signed_in[-1])
    fields = dict(said.fields)
    answer = held_open(app.test_client(), f"{okta.path}/slo", change(certificates=other_keys), **fields)
    assert answer.status_code == 403
    assert client.get("/api/whoami").status_code == 200


def test_a_push_that_is_held_open_is_bounded_by_what_its_provider_is_now(
    app: Flask, world: World, idp_certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SCIM too: no member is taken over by domains, or by a trust, that ended while the body was on its way."""
    monkeypatch.setattr(door, "LONG", 0.0)
    with db.connection():
        provider = add_provider(world, idp_certificate)
    api = Caller(app, world.api_key)
    sent = json.dumps({"userName": "owner@acme.test"}).encode()
    for change, status in (({"domains": ["other.test"]}, 409), ({"trusted_with_administrators": False}, 403)):
        answer = app.test_client().post(
            "/scim/v2/Users",
            input_stream=Held(sent, partial(api.patch, f"identity_providers/{provider.id}", change)),
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {world.scim_token}", "Content-Length": str(len(sent))},
        )
        assert answer.status_code == status
        api.patch(f"identity_providers/{provider.id}", {"domains": []})
    with db.connection():
        assert Member.get_by_id(world.owner.id).managed_by == "local"
