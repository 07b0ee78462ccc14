"""What only the operator's SECRET_KEY opens: private keys at rest, so that a copy of the database alone signs and
decrypts nothing, and texts that a client keeps for us and may neither read nor make.

Each purpose has a key of its own: what is sealed for one is nothing to another.
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
    keys: dict[Purpose, Fernet] = field(default_factory=dict, repr=False)
    seals: bytes = field(default=b"", repr=False)  # HMAC's own, where a Fernet has nothing to hide


_ring = _Ring()


def unlock(secret_key: str) -> None:
    """Take the operator's SECRET_KEY; once, at the start of the process."""
    _ring.keys = {purpose: Fernet(_derived(secret_key, purpose)) for purpose in Purpose}
    _ring.seals = _derived(secret_key, Purpose.EVENT_SEALS)


def seal(text: str, purpose: Purpose = Purpose.PRIVATE_KEYS) -> str:
    """What may be stored or given away, of letters, digits, ``-`` and ``_`` only."""
    return _key(purpose).encrypt(text.encode()).decode().rstrip("=")


def unseal(sealed: str, purpose: Purpose = Purpose.PRIVATE_KEYS, *, within: timedelta | None = None) -> str:
    """What was sealed. Raises WrongSecretKey, and Expired where that was longer ago than ``within``."""
    key, token = _key(purpose), (sealed + "=" * (-len(sealed) % 4)).encode()
    try:
        text = key.decrypt(token).decode()
    except InvalidToken as error:
        raise WrongSecretKey(f"Not sealed under this IDP_BRIDGE_SECRET_KEY for {purpose.name}.") from error
    if within is not None and time.time() - key.extract_timestamp(token) > within.total_seconds():
        raise Expired
    return text


def vouch(text: str) -> str:
    """HMAC-SHA256 of a text that anybody may read and only we may vouch for: hex."""
    if not _ring.seals:
        raise RuntimeError("keyring.unlock() comes first")
    return hmac.new(_ring.seals, text.encode(), hashlib.sha256).hexdigest()


def vouched(text: str, mac: str) -> bool:
    """Whether that is what ``vouch`` says of it under this SECRET_KEY."""
    return hmac.compare_digest(vouch(text).encode(), mac.encode())


def _derived(secret_key: str, purpose: Purpose) -> bytes:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.value).derive(secret_key.encode())
    return base64.urlsafe_b64encode(key)


def _key(purpose: Purpose) -> Fernet:
    if not _ring.keys:
        raise RuntimeError("keyring.unlock() comes first")
    return _ring.keys[purpose]
