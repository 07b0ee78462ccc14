"""Our own keys: made when first needed, sealed, rolled over without a moment in which either side is lost."""

from typing import Any

import pytest

from idp_bridge import db, idps, keyring, sp_keys
from idp_bridge.errors import Conflict, NotFound
from idp_bridge.models import IdentityProvider, ServiceProviderKey
from tests.conftest import World
from tests.domain import cast


@pytest.fixture
def provider(sso: World) -> IdentityProvider:
    """acme's connection."""
    assert sso.provider is not None
    return cast.again(sso.provider)


def act(work: Any, *arguments: Any) -> Any:
    with db.transaction():
        return work(*arguments)


def states(provider: IdentityProvider) -> list[str]:
    return [row.state for row in sp_keys.of_provider(provider)]


def numbers(*keys: Any) -> list[int]:
    return [key.private_numbers().p for key in keys]


def test_the_first_key_is_made_when_it_is_needed_sealed_and_kept(sso: World, provider: IdentityProvider) -> None:
    """No connection has one before; afterwards it is the same one for everything, and the event shows no secret."""
    assert sp_keys.decryption(provider) == ()
    assert sp_keys.published(provider) == ()
    signing = act(sp_keys.signing, provider)
    assert signing.private_key.key_size >= 2048
    (row,) = sp_keys.of_provider(provider)
    assert "PRIVATE" not in row.private_key
    assert "PRIVATE" in keyring.unseal(row.private_key)
    assert numbers(act(sp_keys.signing, provider).private_key) == numbers(signing.private_key)
    assert numbers(*sp_keys.decryption(provider)) == numbers(signing.private_key)
    assert sp_keys.published(provider) == (signing.certificate,)
    assert signing.certificate.public_key.public_numbers() == signing.private_key.public_key().public_numbers()
    (event,) = cast.happened(sso, "service_provider_key_created.v0")
    assert event.principal_type == "system"
    assert event.object["fingerprint_sha256"] == signing.certificate.fingerprint_sha256
    assert row.private_key not in str(event.object)


def test_a_roll_over_overlaps(sso: World, provider: IdentityProvider) -> None:
    """The next key is published and decrypts before it signs; the former one decrypts until it is deleted."""
    first = act(sp_keys.signing, provider)
    act(sp_keys.prepare, sso.system, provider)
    current, following = sp_keys.of_provider(provider)
    assert states(provider) == ["current", "next"]
    assert sp_keys.published(provider) == (first.certificate, sp_keys.certificate(following))
    assert numbers(act(sp_keys.signing, provider).private_key) == numbers(first.private_key)
    assert len(sp_keys.decryption(provider)) == 2

    act(sp_keys.activate, sso.system, provider, following.id)
    assert states(provider) == ["current", "former"]
    second = act(sp_keys.signing, provider)
    assert second.certificate == sp_keys.certificate(following)
    assert sp_keys.published(provider) == (second.certificate,)
    assert numbers(*sp_keys.decryption(provider)) == numbers(second.private_key, first.private_key)

    act(sp_keys.delete, sso.system, provider, current.id)
    assert states(provider) == ["current"]
    assert numbers(*sp_keys.decryption(provider)) == numbers(second.private_key)
    told = [event.type for event in cast.happened(sso) if event.type.startswith("service_provider_key")]
    assert told == [f"service_provider_key_{what}.v0" for what in ("created", "created", "activated", "deleted")]


def test_what_the_state_does_not_allow_is_refused_in_words(sso: World, provider: IdentityProvider) -> None:
    """Nothing is changed by it."""
    act(sp_keys.prepare, sso.system, provider)
    current, following = sp_keys.of_provider(provider)
    with pytest.raises(Conflict, match="prepared already"):
        act(sp_keys.prepare, sso.system, provider)
    with pytest.raises(Conflict, match="current one already"):
        act(sp_keys.activate, sso.system, provider, current.id)
    with pytest.raises(Conflict, match="in use"):
        act(sp_keys.delete, sso.system, provider, current.id)
    act(sp_keys.activate, sso.system, provider, following.id)
    with pytest.raises(Conflict, match="does not come back"):
        act(sp_keys.activate, sso.system, provider, current.id)
    assert states(provider) == ["current", "former"]


def test_a_next_key_can_be_given_up(sso: World, provider: IdentityProvider) -> None:
    """The current one stays, and another may be prepared."""
    following = act(sp_keys.prepare, sso.system, provider)
    act(sp_keys.delete, sso.system, provider, following.id)
    assert states(provider) == ["current"]
    act(sp_keys.prepare, sso.system, provider)
    assert states(provider) == ["current", "next"]


def test_activating_takes_the_proof_away_where_requests_are_signed(sso: World, provider: IdentityProvider) -> None:
    """The provider may not know the key yet, so an administrator must come in by it again."""
    with db.transaction():
        idps.change(sso.system, provider, sign_authn_requests=True)
    before = cast.again(provider).changed_at
    following = act(sp_keys.prepare, sso.system, provider)
    assert cast.again(provider).changed_at == before
    act(sp_keys.activate, sso.system, provider, following.id)
    assert cast.again(provider).changed_at > before


def test_no_key_is_shared_or_reached_by_another_connection(sso: World, provider: IdentityProvider) -> None:
    """Neither within an account nor across."""
    second = cast.connect(sso, name="Second")
    third = cast.connect(cast.open_account("other"))
    keys = [act(sp_keys.signing, one).private_key for one in (provider, second, third)]
    assert len(set(numbers(*keys))) == 3
    (row,) = sp_keys.of_provider(third)
    for work in (sp_keys.activate, sp_keys.delete):
        with pytest.raises(NotFound):
            act(work, sso.system, provider, row.id)


def test_keys_go_with_their_connection(sso: World, provider: IdentityProvider) -> None:
    """A deleted connection leaves no key behind."""
    act(sp_keys.prepare, sso.system, provider)
    act(idps.delete, sso.system, provider)
    assert ServiceProviderKey.select().count() == 0


def test_many_who_need_the_first_key_at_once_get_the_same(provider: IdentityProvider) -> None:
    """Else one would sign with a key that our metadata does not have."""
    made = cast.at_once(*[lambda: sp_keys.signing(provider).certificate.fingerprint_sha256] * 6)
    assert len(set(made)) == 1, made
    assert states(provider) == ["current"]


def test_two_who_prepare_at_once_prepare_one(sso: World, provider: IdentityProvider) -> None:
    """The other is told so."""
    act(sp_keys.signing, provider)
    results = cast.at_once(*[lambda: sp_keys.prepare(sso.system, provider)] * 4)
    assert [type(result) for result in results if isinstance(result, Exception)] == [Conflict] * 3
    assert states(provider) == ["current", "next"]
