"""A connection that no administrator has confirmed: what it may not do to one by SCIM and SAML, and who confirms it."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, idps, member_lifecycle
from idp_bridge.models import IdentityProvider, Member
from idp_bridge.simulator.saml_idp import Provider
from tests.conftest import World
from tests.web.api.conftest import Caller, member_with
from tests.web.connections import BASE, Connection, events_of
from tests.web.pages import csrf_of, post, sign_in
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


def as_person(connection: Connection, email: str, name_id: str, browser: FlaskClient) -> Any:
    """A sign-in of whomever the provider calls by this address and NameID."""
    mail = connection.provider.shape.attributes(connection.provider.people[0])
    said = {n: (email,) if any("@" in value for value in v) else v for n, v in mail.items()}
    return connection.sign_in(browser, name_id=name_id, attributes=said)


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
    assert as_person(own, "owner@acme.test", "mine", app.test_client()).status_code == 403
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
    (seen,) = re.findall(r'name="digest" value="(\w+)"', client.get(f"{page}/options").get_data(as_text=True))
    assert post(client, f"{page}/confirm", page=f"{page}/options", digest=seen).status_code == 303
    assert "No administrator has confirmed" not in client.get(f"{page}/options").get_data(as_text=True)
    assert api.get(path)["trusted_with_administrators"] is True
    assert push(app, token, "owner@acme.test").status_code == 201
    assert maker.post(f"{path}/scim_tokens", {}, expect=403)["error_code"] == ONLY
    assert maker.patch(path, {"domains": ["evil.test"]}, expect=403)["error_code"] == ONLY
    assert maker.patch(path, {"description": "Staff"})["description"] == "Staff"


def test_what_is_confirmed_is_what_was_shown(client: FlaskClient, api: Caller, maker: Caller, own: Connection) -> None:
    """A token or a setting that came in between is looked at first."""
    sign_in(client)
    page, path = f"/accounts/acme/identity-providers/{own.row.id}", f"identity_providers/{own.row.id}"
    changes = (
        lambda: maker.post(f"{path}/scim_tokens", {"description": "mine"}),
        lambda: maker.patch(path, {"domains": ["acme.test"]}),
    )
    for change in changes:
        shown = client.get(f"{page}/options").get_data(as_text=True)
        (seen,) = re.findall(r'name="digest" value="(\w+)"', shown)
        change()
        refused = post(client, f"{page}/confirm", page=f"{page}/options", digest=seen)
        assert (refused.status_code, "has been changed since" in refused.get_data(as_text=True)) == (409, True)
        assert api.get(path)["trusted_with_administrators"] is False
    shown = client.get(f"{page}/options").get_data(as_text=True)
    assert "mine" in shown
    assert all(one["fingerprint_sha256"] in shown for one in api.get(path)["certificates"])


def test_nobody_else_decides_how_a_trusted_connection_is_asked_or_whom_it_calls_what(
    api: Caller, maker: Caller, world: World, okta: Connection
) -> None:
    """Each could shut everybody out, send names elsewhere, or open an administrator's name to somebody else."""
    path = f"identity_providers/{okta.row.id}"
    settings: list[dict[str, Any]] = [{"force_authn": True}, {"allow_idp_initiated": True}, {"strict_scim": True}]
    for body in (*settings, {"slo_url": "https://elsewhere.test/slo"}, {"trusted_with_administrators": False}):
        assert maker.patch(path, body, expect=403)["error_code"] == ONLY, body
    key = api.post(f"{path}/service_provider_keys", {})["id"]
    for method, what in (
        ("POST", "service_provider_keys"),
        ("POST", f"service_provider_keys/{key}/activate"),
        ("DELETE", f"service_provider_keys/{key}"),
        ("DELETE", "identity_links"),
    ):
        assert maker.call(method, f"{path}/{what}", expect=403).get_json()["error_code"] == ONLY, what
    left: list[dict[str, Any]] = [{"name": "Okta 2"}, {"join_policy": "jit"}, {"default_roles": ["viewer"]}]
    for body in (*left, {"enabled": False}):
        maker.patch(path, body)


def test_a_name_that_the_owner_goes_by_is_opened_by_no_other_than_an_administrator(
    app: Flask, api: Caller, maker: Caller, okta: Connection
) -> None:
    """Whoever writes her own address at the provider waits for the link to be forgotten."""
    assert as_person(okta, "owner@acme.test", "owner-nid", app.test_client()).status_code == 303
    assert as_person(okta, "owner@acme.test", "other-nid", app.test_client()).status_code == 403
    path = f"identity_providers/{okta.row.id}/identity_links"
    assert maker.call("DELETE", path, expect=403).get_json()["error_code"] == ONLY
    assert as_person(okta, "owner@acme.test", "other-nid", app.test_client()).status_code == 403
    assert api.call("DELETE", path, expect=204).status_code == 204
    assert as_person(okta, "owner@acme.test", "other-nid", app.test_client()).status_code == 303


# --- what it had opened -----------------------------------------------------------------------------------------


@pytest.fixture
def victim(world: World) -> Member:
    """A developer, who has not come in yet."""
    with db.connection(), db.transaction():
        return member_lifecycle.create(world.system, email="victim@acme.test", managed_by="local", roles=["developer"])


def roles_of(browser: FlaskClient) -> Any:
    """What the session of this browser may act as; None where it is none."""
    return browser.get("/api/whoami").get_json().get("roles")


def test_a_promotion_makes_no_administrator_of_who_came_by_another_word(
    app: Flask, api: Caller, own: Connection, victim: Member
) -> None:
    """The session that an unconfirmed connection opened as her ends there, and she comes in another way."""
    impostor = app.test_client()
    assert as_person(own, victim.email, "forged", impostor).status_code == 303
    assert roles_of(impostor) == ["developer"]
    csrf = csrf_of(impostor, "/accounts/acme/members")
    api.patch(f"users/{victim.id}", {"roles": ["admin"]})
    assert roles_of(impostor) is None
    trusting = {"trusted_with_administrators": True}
    path = f"/api/identity_providers/{own.row.id}"
    assert impostor.patch(path, json=trusting, headers={"X-CSRF-Token": csrf}).status_code == 401
    assert as_person(own, "owner@acme.test", "forged too", app.test_client()).status_code == 403


def test_what_was_made_by_such_a_word_is_no_administrators_either(
    app: Flask, api: Caller, own: Connection, victim: Member
) -> None:
    """Nor is what is made with it: the owner's other roles stay, at the API and at introspection."""
    impostor = app.test_client()
    as_person(own, victim.email, "forged", impostor)
    csrf = csrf_of(impostor, "/accounts/acme/members")
    made = impostor.post("/api/api_keys", json={}, headers={"X-CSRF-Token": csrf}).get_json()
    key = Caller(app, made["token"])
    api.patch(f"users/{victim.id}", {"roles": ["admin", "developer"]})
    assert key.get("whoami")["roles"] == ["developer"]
    second = Caller(app, key.post("api_keys", {})["token"])
    assert second.get("whoami")["roles"] == ["developer"]
    assert second.call("POST", "recovery_codes", expect=403).get_json()["error_code"] == ONLY
    assert introspected(api, made["token"]) == ["developer"]
    hers = Caller(app, api.post("api_keys", {"owner_id": victim.id})["token"])
    assert hers.get("whoami")["roles"] == ["admin", "developer"], "what an administrator made for her is hers"
    api.patch(f"identity_providers/{own.row.id}", {"trusted_with_administrators": True})
    assert key.get("whoami")["roles"] == ["admin", "developer"]
    api.patch(f"identity_providers/{own.row.id}", {"trusted_with_administrators": False})
    assert key.get("whoami")["roles"] == ["developer"]
    api.call("DELETE", f"identity_providers/{own.row.id}", expect=204)
    assert second.get("whoami")["roles"] == ["developer"], "nothing is left that could be trusted"


def test_a_key_outlives_the_trusted_connection_that_its_session_came_by(
    app: Flask, api: Caller, okta: Connection
) -> None:
    """It was an administrator's then, and is."""
    browser = app.test_client()
    as_person(okta, "owner@acme.test", "owner-nid", browser)
    csrf = csrf_of(browser, "/accounts/acme/members")
    key = Caller(app, browser.post("/api/api_keys", json={}, headers={"X-CSRF-Token": csrf}).get_json()["token"])
    api.call("DELETE", f"identity_providers/{okta.row.id}", expect=204)
    assert key.get("whoami")["roles"] == ["admin"]


def introspected(api: Caller, token: str) -> Any:
    answer = api.app.test_client().post(
        "/api/introspect", data={"token": token}, headers={"Authorization": f"Bearer {api.key}"}
    )
    return answer.get_json()["roles"]


def test_losing_the_trust_ends_the_sessions_of_administrators(app: Flask, api: Caller, okta: Connection) -> None:
    """At the next request; a developer's goes on."""
    owner, other = app.test_client(), app.test_client()
    assert as_person(okta, "owner@acme.test", "owner-nid", owner).status_code == 303
    assert okta.sign_in(other, person=1).status_code == 303
    assert (roles_of(owner), roles_of(other)) == (["admin"], ["developer"])
    api.patch(f"identity_providers/{okta.row.id}", {"trusted_with_administrators": False})
    assert (roles_of(owner), roles_of(other)) == (None, ["developer"])
