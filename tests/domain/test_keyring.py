"""What is sealed is worth nothing without the operator's secret, or for another purpose."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine

from idp_bridge import keyring
from idp_bridge.keyring import Purpose

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def locked_again() -> Iterator[None]:
    """Whatever the ring held comes back afterwards."""
    before = keyring._ring.keys
    yield
    keyring._ring.keys = before


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
    keyring._ring.keys = {}
    with pytest.raises(RuntimeError, match="unlock"):
        keyring.seal("private")


def test_one_purpose_does_not_open_what_is_of_another() -> None:
    """A client that is handed a sealed text cannot pass it off as something else."""
    keyring.unlock(KEY)
    with pytest.raises(keyring.WrongSecretKey):
        keyring.unseal(keyring.seal("private"), Purpose.CURSORS)


@pytest.mark.parametrize("length", range(20))
def test_what_is_sealed_fits_into_a_url_as_it_is(length: int) -> None:
    """Unreserved characters only (RFC 3986 §2.3), whatever the length."""
    keyring.unlock(KEY)
    sealed = keyring.seal("é" * length, Purpose.CURSORS)
    assert re.fullmatch("[A-Za-z0-9_-]+", sealed)
    assert keyring.unseal(sealed, Purpose.CURSORS) == "é" * length


def test_a_text_sealed_too_long_ago_has_expired() -> None:
    """That it is genuine is told apart, so that a client learns to begin again."""
    keyring.unlock(KEY)
    with time_machine.travel("2026-11-25T12:00:00Z", tick=False) as clock:
        sealed = keyring.seal("x", Purpose.CURSORS)
        clock.shift(timedelta(hours=1))
        assert keyring.unseal(sealed, Purpose.CURSORS, within=timedelta(hours=1)) == "x"
        clock.shift(timedelta(seconds=1))
        with pytest.raises(keyring.Expired):
            keyring.unseal(sealed, Purpose.CURSORS, within=timedelta(hours=1))
        assert keyring.unseal(sealed, Purpose.CURSORS) == "x"


@pytest.mark.parametrize("text", ["", "x", "Zm9yZ2Vk", "gAAAAA" + "A" * 90])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    """Whatever it looks like."""
    keyring.unlock(KEY)
    with pytest.raises(keyring.WrongSecretKey):
        keyring.unseal(text)
