"""Private keys at rest are worth nothing without the operator's secret."""

from collections.abc import Iterator

import pytest

from idp_bridge import keyring

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def locked_again() -> Iterator[None]:
    """Whatever the ring held comes back afterwards."""
    before = keyring._ring.fernet
    yield
    keyring._ring.fernet = before


def test_what_is_sealed_is_unseen_and_comes_back() -> None:
    """The stored text does not hold the sealed one, and no two seals look alike."""
    keyring.unlock(KEY)
    sealed = keyring.seal("private")
    assert "private" not in sealed
    assert sealed != keyring.seal("private")
    assert keyring.unseal(sealed) == "private"


def test_every_process_with_the_secret_can_unseal() -> None:
    """Nothing but the operator's secret goes into the key."""
    keyring.unlock(KEY)
    sealed = keyring.seal("private")
    keyring.unlock(KEY)
    assert keyring.unseal(sealed) == "private"


def test_another_secret_key_is_told_by_name() -> None:
    """The operator learns which setting changed, not that decryption failed."""
    keyring.unlock(KEY)
    sealed = keyring.seal("private")
    keyring.unlock(KEY + "x")
    with pytest.raises(keyring.WrongSecretKey, match="IDP_BRIDGE_SECRET_KEY"):
        keyring.unseal(sealed)


def test_a_locked_ring_seals_nothing() -> None:
    """There is no fallback key."""
    keyring._ring.fernet = None
    with pytest.raises(RuntimeError, match="unlock"):
        keyring.seal("private")
