"""Secrets: made here, shown once, kept only as a digest.

Form: ``<prefix>_<43 base-62 characters><6 base-62 characters of CRC-32>``. 256 random bits need no slow hash, so the
digest is SHA-256 and the lookup one indexed read. Prefix and checksum are what secret scanners look for, and they let
an error say which kind of secret was pasted in the wrong place
(https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/).
"""

import hashlib
import re
import secrets
import string
import zlib
from enum import StrEnum

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Kind(StrEnum):
    """What a secret opens; the value is its prefix."""

    AUTHTOKEN = "ibat"
    API_KEY = "ibak"
    SCIM_TOKEN = "ibst"  # noqa: S105 - a prefix, not a secret
    OPERATOR_KEY = "ibop"
    SESSION = "ibse"
    INVITATION = "ibin"
    ONE_TIME_LINK = "ibln"
    SET_UP = "ibsu"  # what a browser has that opened a set-up link


_KINDS = {kind.value: kind for kind in Kind}
_ID = re.compile(r"[a-z]{2,5}_[0-9a-z]{4,26}")


def new(kind: Kind) -> str:
    """A fresh secret of that kind."""
    body = _base62(secrets.randbits(256), 43)
    return f"{kind.value}_{body}{_checksum(kind, body)}"


def digest(secret: str) -> str:
    """What is stored instead of the secret: SHA-256, hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def kind_of(text: str) -> Kind | None:
    """The kind a text claims to be, or None where it has not the form of a secret of ours (checksum included)."""
    prefix, _, rest = text.partition("_")
    kind = _KINDS.get(prefix)
    if kind is None or len(rest) != 49:
        return None
    return kind if rest[43:] == _checksum(kind, rest[:43]) else None


def is_id(text: str) -> bool:
    """Whether a text has the form of an id (ids.py), be it cut short, and not the beginning of a secret's."""
    return _ID.fullmatch(text) is not None and text.partition("_")[0] not in _KINDS


def fault(text: str) -> str | None:
    """What is wrong with the form of a text that should be a secret of ours, in words; None where nothing is. It needs
    no database, so a slip of the mouse is told from a secret that was revoked."""
    if kind_of(text) is not None:
        return None
    if is_id(text):
        return "That is an id, not the secret. The secret was shown once, when it was made."
    mistyped = text.partition("_")[0] in _KINDS
    return "That secret is mistyped or incomplete: its checksum does not fit." if mistyped else None


def _checksum(kind: Kind, body: str) -> str:
    return _base62(zlib.crc32(f"{kind.value}_{body}".encode()), 6)


def _base62(value: int, width: int) -> str:
    characters = []
    for _ in range(width):
        value, digit = divmod(value, 62)
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))
