"""Our keys rolled over while people sign in: at no step is either side unable to read the other."""

import pytest
from cryptography import x509
from flask import Flask

from idp_bridge import db, sp_keys
from idp_bridge.models import ServiceProviderKey
from idp_bridge.simulator.saml_idp import Refused
from tests.web.connections import Connection, flows_of


def act(okta: Connection, work: str, *arguments: str) -> ServiceProviderKey:
    with db.connection(), db.transaction():
        done: ServiceProviderKey = getattr(sp_keys, work)(okta.world.system, okta.row, *arguments)
        return done


def encrypted_to(okta: Connection, app: Flask, key: ServiceProviderKey) -> int:
    """The status of a sign-in whose assertion is encrypted to that key."""
    certificate = x509.load_pem_x509_certificate(key.certificate.encode())
    return int(okta.sign_in(app.test_client(), encrypt_to=certificate).status_code)


def test_whoever_encrypts_to_a_key_that_was_published_gets_in(okta: Connection, app: Flask) -> None:
    """Before, while and after the next key becomes the current one; not once the former one is deleted."""
    okta.change(want_assertions_encrypted=True)
    following = act(okta, "prepare")
    with db.connection():
        first = sp_keys.of_provider(okta.row)[0]
    assert [encrypted_to(okta, app, key) for key in (first, following)] == [303, 303]
    act(okta, "activate", following.id)
    assert [encrypted_to(okta, app, key) for key in (first, following)] == [303, 303]
    act(okta, "delete", first.id)
    assert [encrypted_to(okta, app, key) for key in (first, following)] == [403, 303]
    assert flows_of(okta)[-2].reason == "decryption_failed"


def test_a_provider_that_was_given_both_keys_reads_requests_by_either(okta: Connection, app: Flask) -> None:
    """So the moment of activating needs nobody at the provider's side; one who knows only the old key refuses."""
    okta.change(sign_authn_requests=True)
    before = app.test_client().get(f"{okta.path}/metadata").get_data(as_text=True)
    following = act(okta, "prepare")
    both = app.test_client().get(f"{okta.path}/metadata").get_data(as_text=True)
    okta.provider.register_sp(both)
    assert okta.sign_in(app.test_client()).status_code == 303
    act(okta, "activate", following.id)
    assert okta.sign_in(app.test_client()).status_code == 303
    okta.provider.register_sp(before)
    with pytest.raises(Refused, match="does not fit"):
        okta.start(app.test_client())
