"""GET /saml/<idp_id>/metadata: signed, cached, the same for everybody, and a key for each connection."""

import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from lxml import etree

from idp_bridge import db, sp_keys
from idp_bridge.models import IdentityProvider, ServiceProviderKey
from idp_bridge.saml import signature
from tests.conftest import World, add_provider

MD, DS = "urn:oasis:names:tc:SAML:2.0:metadata", "http://www.w3.org/2000/09/xmldsig#"


@pytest.fixture
def provider(world: World, idp_certificate: str) -> IdentityProvider:
    """acme's connection."""
    with db.connection():
        return add_provider(world, idp_certificate)


def served(client: FlaskClient, provider: IdentityProvider) -> etree._Element:
    answer = client.get(f"/saml/{provider.id}/metadata")
    assert answer.status_code == 200
    assert answer.mimetype == "application/samlmetadata+xml"
    return etree.fromstring(answer.data)


def certificates(root: etree._Element, use: str) -> list[str]:
    return [
        found.text or "" for found in root.iterfind(f".//{{{MD}}}KeyDescriptor[@use='{use}']//{{{DS}}}X509Certificate")
    ]


def test_it_says_who_we_are_and_is_signed_by_the_key_it_publishes(
    client: FlaskClient, provider: IdentityProvider
) -> None:
    """The first to ask has the key made; every URL is of this connection."""
    root = served(client, provider)
    here = f"http://localhost/saml/{provider.id}"
    assert root.get("entityID") == f"{here}/metadata"
    locations = {etree.QName(found).localname: found.get("Location") for found in root.iterfind(".//*[@Location]")}
    assert locations == {"AssertionConsumerService": f"{here}/acs", "SingleLogoutService": f"{here}/slo"}
    with db.connection():
        (own,) = sp_keys.published(provider)
        assert certificates(root, "signing") == certificates(root, "encryption") == [own.base64_der]
        moment = own.not_before
    assert signature.verified(root, certificates=(own,), now=moment).element.get("entityID") == f"{here}/metadata"


def test_a_client_that_has_it_is_told_so(client: FlaskClient, provider: IdentityProvider) -> None:
    """By its ETag; another key or another setting is another document."""
    address = f"/saml/{provider.id}/metadata"
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert first.headers["Cache-Control"] == "no-cache"
    with db.connection(), db.transaction():
        IdentityProvider.update(sign_authn_requests=True).where(IdentityProvider.id == provider.id).execute()
    changed = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert b'AuthnRequestsSigned="true"' in changed.data


def test_a_roll_over_is_published_before_it_happens(
    client: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """Both certificates while the next one waits; then only the new one, which signs."""
    (before,) = certificates(served(client, provider), "signing")
    with db.connection(), db.transaction():
        following = sp_keys.prepare(world.system, provider)
    new = sp_keys.certificate(following)
    for use in ("signing", "encryption"):
        assert certificates(served(client, provider), use) == [before, new.base64_der]
    with db.connection(), db.transaction():
        sp_keys.activate(world.system, provider, following.id)
    root = served(client, provider)
    assert certificates(root, "signing") == certificates(root, "encryption") == [new.base64_der]
    assert signature.verified(root, certificates=(new,), now=new.not_before)


def test_many_who_ask_first_get_the_same(app: Flask, provider: IdentityProvider) -> None:
    """Whatever they were given, one key is published and kept."""
    answers: list[bytes] = []
    start = threading.Barrier(6)

    def ask() -> None:
        start.wait(timeout=20)
        answers.append(app.test_client().get(f"/saml/{provider.id}/metadata").data)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    with db.connection():
        assert ServiceProviderKey.select().count() == 1


def test_a_connection_that_is_not_there_has_none(client: FlaskClient, world: World) -> None:
    """404 like everything else of it."""
    answer: Any = client.get("/saml/idp_nobody/metadata")
    assert answer.status_code == 404
