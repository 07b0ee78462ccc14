"""SSH public keys: one line, whole, strong enough, with ssh-keygen's fingerprint."""

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from idp_bridge import ssh_keys
from idp_bridge.errors import Code, Invalid


def _line(key: object) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()  # type: ignore[attr-defined,no-any-return]


ED25519, RSA2048 = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
ACCEPTED = {
    "ed25519": _line(ED25519),
    "ed25519 with a comment": _line(ED25519) + " ann smith@laptop",
    "tab between": _line(ED25519).replace(" ", "\t"),
    "two spaces between": _line(ED25519).replace(" ", "  ") + "  ann",
    "rsa2048": _line(RSA2048),
    "p256": _line(ec.generate_private_key(ec.SECP256R1())),
    "p384": _line(ec.generate_private_key(ec.SECP384R1())),
    "p521": _line(ec.generate_private_key(ec.SECP521R1())),
    "sk-ed25519": "sk-ssh-ed25519@openssh.com "
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAhm23s3Rf3d3VjNbQ5P4jTPl8a0uqhVVX+G5d1S5qS6AAAABHNzaDo=",
}
BLOB = _line(ED25519).split()[1]
REFUSED = {
    "nothing": "",
    "a word": "hello",
    "type alone": "ssh-ed25519",
    "cut short": _line(ED25519)[:-8],
    "not base64": "ssh-ed25519 ????",
    "another type outside": "ssh-rsa " + BLOB,
    "two lines": _line(ED25519) + "\n" + _line(RSA2048),
    "options in front": 'command="ls" ' + _line(ED25519),
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
}
REFUSED["bytes behind the key"] = "ssh-ed25519 " + base64.b64encode(base64.b64decode(BLOB) + b"more").decode()
REFUSED["certificate"] = "ssh-ed25519-cert-v01@openssh.com " + BLOB
REFUSED["private key of PEM"] = "-----BEGIN RSA PRIVATE KEY-----"
REFUSED["private key of PuTTY"] = "PuTTY-User-Key-File-3: ssh-ed25519"
#: What a person is told, where she could do something else instead.
WORDS = {
    "options in front": "before the key's type",
    "private key": "private key",
    "certificate": "certificate",
    "two lines": "one line",
    "rsa1024": "1024 bits",
    "rsa of too many bits": "16384 is the most",
    "private key of PuTTY": "private key",
    "small order: 1": "weak",
    "small order: 8": "weak",
    "zeros before the modulus": "as OpenSSH writes it",
}
#: ssh-keygen prints a fingerprint of these; we want more of a key.
TOO_WEAK = {"rsa1024": _line(rsa.generate_private_key(65537, 1024))}


def _part(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets


def _number(value: int, zeros: int = 0) -> bytes:
    return _part(bytes(zeros) + value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _written(kind: str, *parts: bytes) -> str:
    return f"{kind} {base64.b64encode(_part(kind.encode()) + b''.join(parts)).decode()}"


def _ed25519(y: int) -> str:
    return _written("ssh-ed25519", _part(y.to_bytes(32, "little")))


P256, SK256, P25519 = "ecdsa-sha2-nistp256", "sk-ecdsa-sha2-nistp256@openssh.com", 2**255 - 19
N, E = RSA2048.public_key().public_numbers().n, 65537
COMPRESSED = (
    ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
)
ORDER_8 = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
TOO_WEAK |= {
    "compressed point": _written(P256, _part(b"nistp256"), _part(COMPRESSED)),
    "compressed point of sk": _written(SK256, _part(b"nistp256"), _part(COMPRESSED), _part(b"ssh:")),
    "point at infinity": _written(P256, _part(b"nistp256"), _part(b"\0")),
    "zeros before the modulus": _written("ssh-rsa", _number(E), _number(N, zeros=1)),
    "zeros before both": _written("ssh-rsa", _number(E, zeros=3), _number(N, zeros=5)),
    "even modulus": _written("ssh-rsa", _number(E), _number(N + 1)),
    "exponent as long as the modulus": _written("ssh-rsa", _number(N - 2), _number(N)),
    "rsa of too many bits": _written("ssh-rsa", _number(E), _number((1 << 65_535) | 1)),
    "small order: 4": _ed25519(0),
    "small order: 1": _ed25519(1),
    "small order: 2": _ed25519(P25519 - 1),
    "small order: 8": _ed25519(ORDER_8),
    "small order: 8, mirrored": _ed25519(ORDER_8 | 1 << 255),
    "small order: 8, another": _ed25519(P25519 - ORDER_8),
    "small order of sk": _written("sk-ssh-ed25519@openssh.com", _part(bytes(32)), _part(b"ssh:")),
    "number above the prime": _ed25519(P25519 + 1),
    "no point of the curve": _ed25519(2),
}
ACCEPTED |= {
    "a comment that speaks of a PRIVATE KEY": _line(ED25519) + " not my PRIVATE KEY",
    "rsa with the exponent 3": _written("ssh-rsa", _number(3), _number(N)),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_key_has_the_fingerprint_that_ssh_keygen_prints(name: str, tmp_path: Path) -> None:
    """Kept as type and base64, without the comment."""
    line, fingerprint = ssh_keys.read(ACCEPTED[name])
    assert line.split(" ") == ACCEPTED[name].split()[:2]
    assert fingerprint.startswith("SHA256:")
    if shutil.which("ssh-keygen"):
        assert _ssh_keygen(tmp_path, ACCEPTED[name]) == fingerprint


@pytest.mark.parametrize("name", REFUSED | TOO_WEAK)
def test_a_refused_key_is_told_why(name: str, tmp_path: Path) -> None:
    """The refusal names the field and never repeats a private key."""
    text = (REFUSED | TOO_WEAK)[name]
    with pytest.raises(Invalid) as caught:
        ssh_keys.read(text)
    assert caught.value.code is Code.INVALID_PUBLIC_KEY
    assert "public_key" in caught.value.fields
    assert WORDS.get(name, "") in caught.value.message
    strict = name not in TOO_WEAK and name not in {"two lines", "options in front"}
    if shutil.which("ssh-keygen") and strict:
        assert _ssh_keygen(tmp_path, text) is None


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_key_is_named_by_its_line_or_its_fingerprint(name: str) -> None:
    """What an edge has at hand: the blob of the handshake, or the digest that its log shows."""
    key = ssh_keys.read(ACCEPTED[name])
    assert ssh_keys.fingerprint_of(ACCEPTED[name]) == key.fingerprint
    assert ssh_keys.fingerprint_of(key.line) == key.fingerprint
    assert ssh_keys.fingerprint_of(key.fingerprint) == key.fingerprint


@pytest.mark.parametrize(
    "text", ["", "SHA256:", "SHA256:" + "A" * 44, "MD5:00:11", "hello", "ssh-ed25519", "ssh-dss AA"]
)
def test_what_names_no_key_is_none(text: str) -> None:
    """The database is not asked for it."""
    assert ssh_keys.fingerprint_of(text) is None


def test_dsa_is_refused() -> None:
    """OpenSSH removed it."""
    key = dsa.generate_private_key(1024)
    with pytest.raises(Invalid, match="ssh-dss"):
        ssh_keys.read("ssh-dss " + _line_dsa(key))


def _line_dsa(key: dsa.DSAPrivateKey) -> str:
    numbers = key.public_key().public_numbers()
    values = (numbers.parameter_numbers.p, numbers.parameter_numbers.q, numbers.parameter_numbers.g, numbers.y)
    return _written("ssh-dss", *(_number(value) for value in values)).split()[1]


def test_base64_with_bits_that_say_nothing_names_the_same_key() -> None:
    """It is kept as OpenSSH writes it, under the one fingerprint that it has."""
    sk = _written("sk-ssh-ed25519@openssh.com", _part(ED25519.public_key().public_bytes_raw()), _part(b"ssh:"))
    assert sk.endswith("=")
    loose = re.sub(r"(.)(=+)$", lambda end: chr(ord(end[1]) + 1) + end[2], sk)
    assert base64.b64decode(loose.split()[1]) == base64.b64decode(sk.split()[1])
    assert ssh_keys.read(loose) == ssh_keys.read(sk)


def _ssh_keygen(folder: Path, text: str) -> str | None:
    (folder / "key.pub").write_text(text + "\n")
    run = subprocess.run(
        ["ssh-keygen", "-l", "-E", "sha256", "-f", str(folder / "key.pub")], capture_output=True, text=True, check=False
    )
    return run.stdout.split()[1] if run.returncode == 0 else None
