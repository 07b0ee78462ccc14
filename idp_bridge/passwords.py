"""Passwords: argon2id, sized for a small machine (19 MiB, two passes: OWASP's second recommended setting)."""

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from idp_bridge.errors import Invalid

SHORTEST = 12
LONGEST = 256

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Checked where there is no person or no password, so that the answer takes as long as a wrong one.
_NOBODY = _hasher.hash("nobody's password, for the time it takes")


def hash_password(password: str) -> str:
    """What is stored. Raises Invalid for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid(
            f"A password has {SHORTEST} to {LONGEST} characters.",
            fields={"password": [f"{SHORTEST}-{LONGEST} characters"]},
        )
    return _hasher.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one hashed; as slow for no hash at all as for a wrong password."""
    try:
        _hasher.verify(password_hash or _NOBODY, password[: LONGEST + 1])
    except (Argon2Error, InvalidHashError):
        return False
    return password_hash is not None
