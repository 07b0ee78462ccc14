"""SSH public keys as OpenSSH writes them: one line, whole, and of a kind that is strong enough."""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from idp_bridge.errors import Code, Invalid

TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
LEAST_RSA_BITS = 2048

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


class PublicKey(NamedTuple):
    """A public key. ``line`` is ``type base64``; ``fingerprint`` is as ssh-keygen prints it."""

    line: str
    fingerprint: str


def read(text: str) -> PublicKey:
    """One line of a .pub file; its comment is dropped. Raises Invalid, which says what is wrong with it."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise _bad("This is a private key. Keep it secret, and paste the .pub file instead.")
    if len(line.splitlines()) > 1:
        raise _bad("A public key is one line.")
    kind, blob_text, *_ = [*line.split(maxsplit=2), "", ""]
    _check_type(kind, line)
    try:
        blob = base64.b64decode(blob_text, validate=True)
        key = load_ssh_public_key(f"{kind} {blob_text}".encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise _bad("This is not a whole OpenSSH public key.") from error
    inner = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    if inner != kind:
        raise _bad(f"The key says {kind} outside and {inner} inside.")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        raise _bad(f"This RSA key has {key.key_size} bits; {LEAST_RSA_BITS} is the least.")
    return PublicKey(f"{kind} {blob_text}", _fingerprint(blob))


def fingerprint_of(text: str) -> str | None:
    """The fingerprint of a key that is named by its line or by that fingerprint itself; None where it is neither.

    Of the decoded blob: the library loses the application string of sk-* keys. Nothing else of it is checked, since
    what was never registered is found nowhere.
    """
    if _FINGERPRINT.fullmatch(text):
        return text
    kind, blob_text, *_ = [*text.split(maxsplit=2), "", ""]
    if kind not in TYPES or not blob_text or len(text.splitlines()) > 1:
        return None
    try:
        return _fingerprint(base64.b64decode(blob_text, validate=True))
    except (binascii.Error, ValueError):
        return None


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _check_type(kind: str, line: str) -> None:
    if kind in TYPES:
        return
    if "-cert-v01@openssh.com" in kind:
        raise _bad("This is a certificate. Paste the public key that it certifies, the .pub file without -cert.")
    if any(f" {known} " in line for known in TYPES):
        raise _bad("Something stands before the key's type. Options of authorized_keys do not belong here.")
    raise _bad(f"{kind or 'Nothing'} is no accepted key type; use ed25519, ecdsa, RSA of 2048 bits or sk-*.")


def _bad(message: str) -> Invalid:
    return Invalid(message, code=Code.INVALID_PUBLIC_KEY, fields={"public_key": [message]})
