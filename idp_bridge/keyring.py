"""What only the operator's SECRET_KEY opens: private keys at rest, so that a copy of the database alone signs and
decrypts nothing, and texts that a client keeps for us and may neither read nor make.

Each purpose has a key of its own: what is sealed for one is nothing to another. SECRET_KEY_PREVIOUS opens what it
sealed and seals nothing, so that a key is changed without a gap (rotation.py).
"""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Purpose(Enum):
    """What a key is for; the value makes it another key than the others."""

    PRIVATE_KEYS = b"idp-bridge private keys"
    CURSORS = b"idp-bridge cursors"
    SIGN_INS = b"idp-bridge sign-ins under way"
    MAIL = b"idp-bridge mail not sent yet"
    EVENT_SEALS = b"idp-bridge seals of events"
    WEBHOOKS = b"idp-bridge webhook secrets"
    ANSWERS = b"idp-bridge answers under idempotency keys"


class WrongSecretKey(Exception):
    """It was not sealed for this purpose under this SECRET_KEY."""


class Expired(Exception):
    """It was, but too long ago."""


@dataclass
class _Ring:
    keys: dict[Purpose, tuple[Fernet, ...]] = field(default_factory=dict, repr=False)  # the first one seals
    seals: tuple[bytes, ...] = field(default=(), repr=False)  # HMAC's own, where a Fernet has nothing to hide


_ring = _Ring()


def unlock(secret_key: str, previous: str | None = None) -> None:
    """Take the operator's SECRET_KEY, and the one before it where it is given; once, at the start of the process."""
    secrets = [secret_key, *([previous] if previous else [])]
    _ring.keys = {purpose: tuple(Fernet(_derived(secret, purpose)) for secret in secrets) for purpose in Purpose}
    _ring.seals = tuple(_derived(secret, Purpose.EVENT_SEALS) for secret in secrets)


def seal(text: str, purpose: Purpose = Purpose.PRIVATE_KEYS) -> str:
    """What may be stored or given away, of letters, digits, ``-`` and ``_`` only."""
    return _keys(purpose)[0].encrypt(text.encode()).decode().rstrip("=")


def unseal(sealed: str, purpose: Purpose = Purpose.PRIVATE_KEYS, *, within: timedelta | None = None) -> str:
    """What was sealed. Raises WrongSecretKey, and Expired where that was longer ago than ``within``."""
    text, key = _opened(sealed, purpose)
    if within is not None and time.time() - key.extract_timestamp(_token(sealed)) > within.total_seconds():
        raise Expired
    return text


def resealed(sealed: str, purpose: Purpose) -> str | None:
    """The same text sealed under SECRET_KEY; None where it is so already. Raises WrongSecretKey."""
    text, key = _opened(sealed, purpose)
    return None if key is _keys(purpose)[0] else seal(text, purpose)


def vouch(text: str) -> str:
    """HMAC-SHA256 of a text that anybody may read and only we may vouch for: hex."""
    if not _ring.seals:
        raise RuntimeError("keyring.unlock() comes first")
    return _mac(text, _ring.seals[0])


def vouched(text: str, mac: str) -> bool:
    """Whether that is what ``vouch`` says of it under this SECRET_KEY, or said under the one before."""
    if not _ring.seals:
        raise RuntimeError("keyring.unlock() comes first")
    return any(hmac.compare_digest(_mac(text, key).encode(), mac.encode()) for key in _ring.seals)


def _mac(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _derived(secret_key: str, purpose: Purpose) -> bytes:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.value).derive(secret_key.encode())
    return base64.urlsafe_b64encode(key)


def _keys(purpose: Purpose) -> tuple[Fernet, ...]:
    if not _ring.keys:
        raise RuntimeError("keyring.unlock() comes first")
    return _ring.keys[purpose]


def _token(sealed: str) -> bytes:
    return (sealed + "=" * (-len(sealed) % 4)).encode()


def _opened(sealed: str, purpose: Purpose) -> tuple[str, Fernet]:
    """The text, and the key that opened it."""
    for key in _keys(purpose):
        try:
            return key.decrypt(_token(sealed)).decode(), key
        except InvalidToken:
            continue
    raise WrongSecretKey(f"Not sealed under this IDP_BRIDGE_SECRET_KEY for {purpose.name}.")
