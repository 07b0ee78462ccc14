"""Private keys at rest: sealed with a key derived from the operator's SECRET_KEY, so a copy of the database alone
signs and decrypts nothing."""

import base64
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class WrongSecretKey(Exception):
    """Something was sealed under another SECRET_KEY."""


@dataclass
class _Ring:
    fernet: Fernet | None = field(default=None, repr=False)


_ring = _Ring()


def unlock(secret_key: str) -> None:
    """Take the operator's SECRET_KEY; once, at the start of the process."""
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"idp-bridge private keys").derive(
        secret_key.encode()
    )
    _ring.fernet = Fernet(base64.urlsafe_b64encode(derived))


def seal(text: str) -> str:
    """What may be stored."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed. Raises WrongSecretKey."""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise WrongSecretKey("A stored private key was sealed under another IDP_BRIDGE_SECRET_KEY.") from error


def _fernet() -> Fernet:
    if _ring.fernet is None:
        raise RuntimeError("keyring.unlock() comes first")
    return _ring.fernet
