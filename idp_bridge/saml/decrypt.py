"""EncryptedAssertion: RSA-OAEP around AES, nothing else, by `cryptography` alone (XML Encryption 1.1).

What it refuses to do: RSA 1.5 key transport, ever; any algorithm off the lists; and to tell a stranger what went wrong.
Encryption proves nothing about the sender: anybody can encrypt with our public key. So what comes out is as foreign as
any message, and goes through the same parser and the same signature rules.

Algorithms and form are looked at first: they are public, and refused with their own reasons. After that nothing is
refused here. Whatever fails, every private key is tried on every wrapped key, the content cipher runs once, under a
random key where none was unwrapped, and the caller goes on with the nothing that came out (`decoy`): one answer, after
the same work (Manger 2001; Jager and Somorovsky 2011).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.xml import DS, SAML, XENC, XENC11, from_base64, local, only, text

_ENC, _ENC11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
_OAEP_MGF1P, _OAEP = f"{_ENC}rsa-oaep-mgf1p", f"{_ENC11}rsa-oaep"
_KEY_OCTETS = {
    f"{_ENC11}aes128-gcm": 16,
    f"{_ENC11}aes192-gcm": 24,
    f"{_ENC11}aes256-gcm": 32,
    f"{_ENC}aes128-cbc": 16,
    f"{_ENC}aes192-cbc": 24,
    f"{_ENC}aes256-cbc": 32,
}
# SHA-1 is sound inside OAEP, where collisions play no part; it is also the default that the standard sets.
_DIGESTS: dict[str | None, type[hashes.HashAlgorithm]] = {
    None: hashes.SHA1,
    f"{DS}sha1": hashes.SHA1,
    f"{_ENC}sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384,
    f"{_ENC}sha512": hashes.SHA512,
}
_MGF_DIGESTS: dict[str | None, type[hashes.HashAlgorithm]] = {
    None: hashes.SHA1,
    f"{_ENC11}mgf1sha1": hashes.SHA1,
    f"{_ENC11}mgf1sha256": hashes.SHA256,
    f"{_ENC11}mgf1sha384": hashes.SHA384,
    f"{_ENC11}mgf1sha512": hashes.SHA512,
}
# What may stand in what (XML Encryption 3): nothing else is carried along around a ciphertext. KeyInfo is free.
_GRAMMAR = {
    f"{{{SAML}}}EncryptedAssertion": {f"{{{XENC}}}EncryptedData", f"{{{XENC}}}EncryptedKey"},
    f"{{{XENC}}}EncryptedData": {f"{{{XENC}}}EncryptionMethod", f"{{{DS}}}KeyInfo", f"{{{XENC}}}CipherData"},
    f"{{{XENC}}}EncryptedKey": {
        f"{{{XENC}}}EncryptionMethod",
        f"{{{DS}}}KeyInfo",
        f"{{{XENC}}}CipherData",
        f"{{{XENC}}}ReferenceList",
        f"{{{XENC}}}CarriedKeyName",
    },
    f"{{{XENC}}}EncryptionMethod": {
        f"{{{XENC}}}KeySize",
        f"{{{XENC}}}OAEPparams",
        f"{{{DS}}}DigestMethod",
        f"{{{XENC11}}}MGF",
    },
    f"{{{XENC}}}CipherData": {f"{{{XENC}}}CipherValue"},
}
_MAX_KEYS = 4  # EncryptedKeys for other recipients are legal; a private key operation for each of hundreds is not
_BLOCK, _NONCE = 16, 12


@dataclass(frozen=True)
class Plaintext:
    """Foreign octets, to be parsed and verified; none where it could not be decrypted."""

    octets: bytes
    size: int
    """Of the ciphertext: what a stranger knows of the length."""
    algorithm: str
    failure: str | None = None
    """Why there are no octets, for the administrators of the connection: `key` or `content`."""


def decrypt(encrypted: etree._Element, *, keys: Sequence[rsa.RSAPrivateKey], require_gcm: bool = False) -> Plaintext:
    """The plaintext of one EncryptedAssertion, or none. Raises `Rejected` for its form and its algorithms alone."""
    _check_frame(encrypted)
    data = only(encrypted, f"{{{XENC}}}EncryptedData", reason=Reason.ENCRYPTION_PLACEMENT)
    algorithm = _algorithm(data)
    if algorithm not in _KEY_OCTETS or (require_gcm and not algorithm.endswith("-gcm")):
        want = "AES-GCM" if require_gcm else "AES-GCM or AES-CBC"
        raise Rejected(Reason.ENCRYPTION_ALGORITHM, element="EncryptedData", got=algorithm, want=want)
    wrapped = list(encrypted.iter(f"{{{XENC}}}EncryptedKey"))
    if not 1 <= len(wrapped) <= _MAX_KEYS:
        raise Rejected(Reason.ENCRYPTION_PLACEMENT, element="EncryptedKey", got=len(wrapped), want=f"1 to {_MAX_KEYS}")
    schemes = [(_cipher_value(element), _oaep(element)) for element in wrapped]
    sealed = _cipher_value(data)
    unwrapped = [_unwrap(key, value, scheme) for value, scheme in schemes for key in keys]
    fitting = [secret for secret in unwrapped if len(secret) == _KEY_OCTETS[algorithm]]
    octets = _open(algorithm, fitting[0] if fitting else secrets.token_bytes(_KEY_OCTETS[algorithm]), sealed)
    failure = "key" if not fitting else "content" if octets is None else None
    return Plaintext(b"" if failure else octets or b"", len(sealed), algorithm.rpartition("#")[2], failure)


def _check_frame(encrypted: etree._Element) -> None:
    for element in encrypted.iter(*_GRAMMAR):
        for child in element:
            if child.tag not in _GRAMMAR[element.tag]:
                raise Rejected(
                    Reason.ENCRYPTION_PLACEMENT,
                    element=local(element.tag),
                    got=child.tag,
                    want=", ".join(sorted(map(local, _GRAMMAR[element.tag]))),
                )


def _algorithm(encrypted: etree._Element) -> str:
    method = only(encrypted, f"{{{XENC}}}EncryptionMethod", reason=Reason.ENCRYPTION_PLACEMENT)
    return method.get("Algorithm", "")


def _oaep(key: etree._Element) -> padding.OAEP:
    algorithm = _algorithm(key)
    method = only(key, f"{{{XENC}}}EncryptionMethod")
    digest = method.find(f"{{{DS}}}DigestMethod")
    mgf = method.find(f"{{{XENC11}}}MGF") if algorithm == _OAEP else None  # 1.0 fixes MGF1 with SHA-1
    digest_name, mgf_name = (None if element is None else element.get("Algorithm", "") for element in (digest, mgf))
    if algorithm not in (_OAEP, _OAEP_MGF1P) or digest_name not in _DIGESTS or mgf_name not in _MGF_DIGESTS:
        got = " ".join(name for name in (algorithm, digest_name, mgf_name) if name)
        raise Rejected(Reason.ENCRYPTION_ALGORITHM, element="EncryptedKey", got=got, want="RSA-OAEP")
    label = method.find(f"{{{XENC}}}OAEPparams")
    return padding.OAEP(
        mgf=padding.MGF1(_MGF_DIGESTS[mgf_name]()),
        algorithm=_DIGESTS[digest_name](),
        label=None if label is None else _octets(label),
    )


def _unwrap(key: rsa.RSAPrivateKey, sealed: bytes, scheme: padding.OAEP) -> bytes:
    """What was wrapped for this key, or nothing. What cannot be a ciphertext of it (RFC 8017 7.1.2) costs as much."""
    size, modulus = (key.key_size + 7) // 8, key.public_key().public_numbers().n
    number = int.from_bytes(sealed[:size])
    try:
        secret = key.decrypt((number % modulus).to_bytes(size), scheme)
    except ValueError:
        return b""
    return secret if len(sealed) == size and number < modulus else b""


def _open(algorithm: str, secret: bytes, sealed: bytes) -> bytes | None:
    if algorithm.endswith("-gcm"):
        try:
            return AESGCM(secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except (ValueError, InvalidTag):  # ValueError: too short for a nonce and a tag
            return None
    return _open_cbc(secret, sealed)


def _open_cbc(secret: bytes, sealed: bytes) -> bytes | None:
    """XML Encryption 5.2.1: of the padding only the last octet means something."""
    try:
        decryptor = Cipher(algorithms.AES(secret), modes.CBC(sealed[:_BLOCK])).decryptor()
        plain = decryptor.update(sealed[_BLOCK:]) + decryptor.finalize()
    except ValueError:  # no whole blocks
        return None
    return plain[: -plain[-1]] if plain and 1 <= plain[-1] <= _BLOCK else None


def _cipher_value(encrypted: etree._Element) -> bytes:
    data = only(encrypted, f"{{{XENC}}}CipherData", reason=Reason.ENCRYPTION_PLACEMENT)
    return _octets(only(data, f"{{{XENC}}}CipherValue", reason=Reason.ENCRYPTION_PLACEMENT))


def _octets(element: etree._Element) -> bytes:
    """What is no base64 is a ciphertext of no length: it fails where all the others fail."""
    try:
        return from_base64(text(element))
    except ValueError:
        return b""
