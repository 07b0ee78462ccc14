"""SSH public keys: one line, whole, strong enough, with ssh-keygen's fingerprint."""

import base64
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
#: What a person is told, where she could do something else instead.
WORDS = {
    "options in front": "before the key's type",
    "private key": "private key",
    "certificate": "certificate",
    "two lines": "one line",
    "rsa1024": "1024 bits",
}
#: ssh-keygen prints a fingerprint of these; we want more of a key.
TOO_WEAK = {"rsa1024": _line(rsa.generate_private_key(65537, 1024))}


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
    def part(octets: bytes) -> bytes:
        return len(octets).to_bytes(4, "big") + octets

    numbers = key.public_key().public_numbers()
    values = (numbers.parameter_numbers.p, numbers.parameter_numbers.q, numbers.parameter_numbers.g, numbers.y)
    blob = part(b"ssh-dss") + b"".join(part(v.to_bytes(v.bit_length() // 8 + 1, "big")) for v in values)
    return base64.b64encode(blob).decode()


def _ssh_keygen(folder: Path, text: str) -> str | None:
    (folder / "key.pub").write_text(text + "\n")
    run = subprocess.run(
        ["ssh-keygen", "-l", "-E", "sha256", "-f", str(folder / "key.pub")], capture_output=True, text=True, check=False
    )
    return run.stdout.split()[1] if run.returncode == 0 else None
