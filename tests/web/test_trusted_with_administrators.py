"""A connection that no administrator has confirmed: what it may not do to one by SCIM and SAML, and who confirms it."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, idps
from idp_bridge.models import IdentityProvider
from idp_bridge.simulator.saml_idp import Provider
from tests.conftest import World
from tests.web.api.conftest import Caller, member_with
from tests.web.connections import BASE, Connection, events_of
from tests.web.pages import post, sign_in
from tests.web.test_identity_conflicts import USER

ONLY = "ERR_ADMINISTRATORS_ONLY"


@pytest.fixture
def api(app: Flask, world: World) -> Caller:
    """acme's administrator, over the API."""
    return Caller(app, world.api_key)


@pytest.fixture
def maker(api: Caller) -> Caller:
    """Somebody who may set up connections, and is no administrator."""
    api.post("roles", {"name": "connector", "permissions": ["account:read", "idps:read", "idps:write"]})
    return member_with(api, "connector", "developer")[1]


@pytest.fixture
def own(app: Flask, world: World, maker: Caller, simulated: dict[str, Provider]) -> Connection:
    """Her own connection, whose key is hers."""
    provider = simulated["okta"]
    body = {"name": "Own", "metadata_xml": provider.metadata_xml, "join_policy": "jit"}
    made = maker.post("identity_providers", body)
    assert made["trusted_with_administrators"] is False
    with db.connection(), db.transaction():
        row = IdentityProvider.get_by_id(made["id"])
        provider.register_sp(idps.sp_metadata(row, BASE).decode())
    return Connection(world, row, provider, app)


def push(app: Flask, token: str, email: str) -> Any:
    """A SCIM POST of somebody with this address."""
    body = {"schemas": [USER], "userName": email, "emails": [{"value": email, "primary": True}]}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    return app.test_client().post("/scim/v2/Users", json=body, headers=headers)


def test_nobody_reaches_an_administrator_through_her_own_connection(
    app: Flask, api: Caller, maker: Caller, own: Connection
) -> None:
    """Neither by its directory nor by its key; whoever is no administrator comes in."""
    token = maker.post(f"identity_providers/{own.row.id}/scim_tokens", {})["token"]
    refused = push(app, token, "owner@acme.test")
    assert (refused.status_code, "confirmed" in refused.get_data(as_text=True)) == (403, True)
    assert push(app, token, "new@acme.test").status_code == 201
    mail = own.provider.shape.attributes(own.provider.people[0])
    as_owner = {n: ("owner@acme.test",) if any("@" in value for value in v) else v for n, v in mail.items()}
    answer = own.sign_in(app.test_client(), name_id="mine", attributes=as_owner)
    assert answer.status_code == 403
    (event,) = events_of(own.world, "sign_in_refused.v0")
    assert event.object["reason"] == "provider_not_trusted"
    assert own.sign_in(app.test_client()).status_code == 303


def test_an_administrator_confirms_it_and_decides_from_then_on(
    app: Flask, client: FlaskClient, api: Caller, maker: Caller, own: Connection
) -> None:
    """On its page, or over the API; whoever made it cannot, and no longer makes a token for it."""
    path = f"identity_providers/{own.row.id}"
    assert maker.patch(path, {"trusted_with_administrators": True}, expect=403)["error_code"] == ONLY
    token = maker.post(f"{path}/scim_tokens", {})["token"]
    page = f"/accounts/acme/identity-providers/{own.row.id}"
    sign_in(client)
    assert "No administrator has confirmed" in client.get(f"{page}/options").get_data(as_text=True)
    assert post(client, f"{page}/confirm", page=f"{page}/options").status_code == 303
    assert "No administrator has confirmed" not in client.get(f"{page}/options").get_data(as_text=True)
    assert api.get(path)["trusted_with_administrators"] is True
    assert push(app, token, "owner@acme.test").status_code == 201
    assert maker.post(f"{path}/scim_tokens", {}, expect=403)["error_code"] == ONLY
    assert maker.patch(path, {"domains": ["evil.test"]}, expect=403)["error_code"] == ONLY
    assert maker.patch(path, {"description": "Staff"})["description"] == "Staff"
