"""SSH public keys as OpenSSH writes them: one line, whole, in the one way to write that key, and strong enough.

The one way (RFC 4251 section 5: no zeros before a number) because a key is registered once, and is known by its digest:
a verifier that is told the same numbers otherwise written takes the same signatures.
"""

import base64
import binascii
import hashlib
import re
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

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
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 16_384  # OpenSSH reads no longer number
MOST_EXPONENT_BITS = 256  # FIPS 186-4 section B.3.1

# What private keys look like, of OpenSSH, of PEM and of PuTTY; a comment may well speak of one.
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|PRIVATE KEY-----|^PuTTY-User-Key-File")

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


class PublicKey(NamedTuple):
    """A public key. ``line`` is ``type base64``; ``fingerprint`` is as ssh-keygen prints it."""

    line: str
    fingerprint: str


def read(text: str) -> PublicKey:
    """One line of a .pub file; its comment is dropped. Raises Invalid, which says what is wrong with it."""
    line = text.strip()
    if _PRIVATE.search(line):
        raise _bad("This is a private key. Keep it secret, and paste the .pub file instead.")
    if len(line.splitlines()) > 1:
        raise _bad("A public key is one line.")
    kind, blob_text, *_ = [*line.split(maxsplit=2), "", ""]
    _check_type(kind, line)
    try:
        blob = base64.b64decode(blob_text, validate=True)
        key = load_ssh_public_key(f"{kind} {blob_text}".encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm, NotImplementedError) as error:  # a compressed point
        raise _bad("This is not a whole OpenSSH public key.") from error
    inner = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    if inner != kind:
        raise _bad(f"The key says {kind} outside and {inner} inside.")
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa(key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        _check_point(key.public_bytes_raw())
    _check_canonical(key, kind, blob)
    return PublicKey(f"{kind} {base64.b64encode(blob).decode()}", _fingerprint(blob))


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


def _check_rsa(key: rsa.RSAPublicKey) -> None:
    numbers = key.public_numbers()
    if key.key_size < LEAST_RSA_BITS:
        raise _bad(f"This RSA key has {key.key_size} bits; {LEAST_RSA_BITS} is the least.")
    if key.key_size > MOST_RSA_BITS:
        raise _bad(f"This RSA key has {key.key_size} bits; {MOST_RSA_BITS} is the most.")
    if numbers.n % 2 == 0 or numbers.e.bit_length() > MOST_EXPONENT_BITS:
        raise _bad("No RSA key has such numbers: anybody could sign for it. Make a new one.")


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def _check_point(encoded: bytes) -> None:
    """RFC 8032 section 5.1.3: a point of the curve; and of more than eight, for which anybody can make signatures that
    a verifier takes who does not look for it (section 8.8). Of a point and its mirror image both hold or neither."""
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    if y >= _P or pow(_x_squared(y), (_P - 1) // 2, _P) not in (0, 1):
        raise _bad("This is no Ed25519 key: it is no point of the curve.")
    for _ in range(3):
        xx, yy = _x_squared(y), y * y
        y = (yy + xx) * pow(2 - yy + xx, -1, _P) % _P
    if y == 1:
        raise _bad("This Ed25519 key is weak: anybody could sign for it. Make a new one.")


def _x_squared(y: int) -> int:
    return (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P


def _check_canonical(key: Any, kind: str, blob: bytes) -> None:
    """The library reads a number with zeros in front too. It cannot write sk-* keys, which have no number in them."""
    if kind.startswith("sk-"):
        return
    written = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    if base64.b64decode(written) != blob:
        raise _bad("This key is not written as OpenSSH writes it. Paste the line that ssh-keygen -y prints.")


def _bad(message: str) -> Invalid:
    return Invalid(message, code=Code.INVALID_PUBLIC_KEY, fields={"public_key": [message]})
