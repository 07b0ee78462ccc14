"""Passwords: argon2id, sized for a small machine (19 MiB, two passes: OWASP's second recommended setting).

Those that one text is tried on share a salt: then one computation tries them all. Else the time of an answer would tell
how many there are, and whoever can add to them could make it as long as he likes.
"""

import hmac
import unicodedata
from base64 import b64decode
from collections.abc import Iterable, Sequence

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import hash_secret

from idp_bridge import guessable
from idp_bridge.errors import Invalid
from idp_bridge.text import fold

SHORTEST = 12
LONGEST = 256

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Checked where there is no person or no password, so that the answer takes as long as a wrong one.
_NOBODY = _hasher.hash("nobody's password, for the time it takes")


def hash_password(password: str, *, salt: bytes | None = None) -> str:
    """What is stored; ``salt`` None takes a random one. Raises Invalid for a length that no password has."""
    prepared = _prepared(password)
    _check_length(prepared)
    return _hasher.hash(prepared, salt=salt)


def _prepared(password: str) -> str:
    """One form of what keyboards and systems write in several (RFC 8265 section 4.2.2): NFC, and every space is the
    plain one."""
    return unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in password))


def check(password: str, *, about: Iterable[str] = ()) -> None:
    """Raises Invalid for a password that is too short or too long, that rests on one of the names in ``about``, or that
    is guessed soon (NIST SP 800-63B-4 section 3.1.1.2). Nothing else is asked of its characters."""
    password = _prepared(password)
    _check_length(password)
    for name in about:
        if name and len(_without(password, name)) < SHORTEST and _without(password, name) != fold(password):
            raise _refused(
                f"Whoever knows you tries {name} first: without it, the password must still have {SHORTEST} characters."
            )
    if weakness := guessable.warning(password, about):
        raise _refused(f"{weakness}. A few unrelated words are good, and easy to remember.")


def _check_length(password: str) -> None:
    if not SHORTEST <= len(password) <= LONGEST:
        raise _refused(f"A password has {SHORTEST} to {LONGEST} characters.", f"{SHORTEST}-{LONGEST} characters")


def _without(password: str, name: str) -> str:
    return fold(password).replace(fold(name), "")


def _refused(message: str, field: str | None = None) -> Invalid:
    return Invalid(message, fields={"password": [field or message]})


def salt_of(password_hash: str) -> bytes:
    """The salt with which a password was hashed."""
    encoded = password_hash.split("$")[-2]
    return b64decode(encoded + "=" * (-len(encoded) % 4))


def verify(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one hashed; as slow for no hash at all as for a wrong password."""
    return which([password_hash], password)[0]


def which(hashes: Sequence[str | None], password: str) -> list[bool]:
    """For each hash, whether the password is the one hashed; as slow for none or many of one salt as for one.

    It is tried as it was typed, too, where that is something else: what is older was hashed so."""
    kinds = {_settings(one): one for one in hashes if one is not None} or {"": _NOBODY}
    typed = [text[: LONGEST + 1] for text in dict.fromkeys((_prepared(password), password))]
    computed = {settings: [_hashed(text, one) or "" for text in typed] for settings, one in kinds.items()}
    return [one is not None and _is_among(one, computed[_settings(one)]) for one in hashes]


def _is_among(password_hash: str, computed: list[str]) -> bool:
    return any(hmac.compare_digest(password_hash, one) for one in computed)


def _settings(password_hash: str) -> str:
    """The algorithm, its costs and the salt."""
    return password_hash.rpartition("$")[0]


def _hashed(password: str, like: str) -> str | None:
    """The password, hashed as that one was; None where that is no hash."""
    try:
        costs = extract_parameters(like)
        return hash_secret(
            password.encode(),
            salt_of(like),
            costs.time_cost,
            costs.memory_cost,
            costs.parallelism,
            costs.hash_len,
            costs.type,
            costs.version,
        ).decode()
    except (Argon2Error, InvalidHashError):
        return None
