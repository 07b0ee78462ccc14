"""EncryptedAssertion: RSA-OAEP around AES, nothing else, by `cryptography` alone (XML Encryption 1.1).

Encryption proves nothing about the sender: anybody can encrypt with our public key. What comes out is as foreign as
any message, and goes through the same parser and the same signature rules. Algorithms are looked at first, because
they are public; whatever fails later is one uniform `decryption_failed`, without a detail that a stranger could use
as an oracle (Jager and Somorovsky 2011). RSA 1.5 key transport is never accepted.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.xml import DS, XENC, XENC11, only, text

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
_MAX_KEYS = 4  # EncryptedKeys for other recipients are legal; a private key operation for each of hundreds is not
_BLOCK, _NONCE = 16, 12


def decrypt(encrypted: etree._Element, *, keys: Sequence[rsa.RSAPrivateKey], require_gcm: bool = False) -> bytes:
    """The plaintext of one EncryptedAssertion: foreign octets, to be parsed and verified. Raises `Rejected`."""
    data = only(encrypted, f"{{{XENC}}}EncryptedData", reason=Reason.ENCRYPTION_PLACEMENT)
    algorithm = _algorithm(data)
    if algorithm not in _KEY_OCTETS or (require_gcm and not algorithm.endswith("-gcm")):
        raise Rejected(Reason.ENCRYPTION_ALGORITHM, element="EncryptedData", got=algorithm)
    wrapped = list(encrypted.iter(f"{{{XENC}}}EncryptedKey"))
    if not 1 <= len(wrapped) <= _MAX_KEYS:
        raise Rejected(Reason.ENCRYPTION_PLACEMENT, element="EncryptedKey", got=len(wrapped), want=f"1 to {_MAX_KEYS}")
    schemes = [_oaep(key) for key in wrapped]
    sealed = _cipher_value(data)
    for secret in _secrets(wrapped, schemes, keys):
        try:
            return _open(algorithm, secret, sealed)
        except (ValueError, InvalidTag):
            continue
    raise Rejected(Reason.DECRYPTION_FAILED)


def _algorithm(encrypted: etree._Element) -> str:
    method = only(encrypted, f"{{{XENC}}}EncryptionMethod", reason=Reason.ENCRYPTION_PLACEMENT)
    return method.get("Algorithm", "")


def _oaep(key: etree._Element) -> padding.OAEP:
    algorithm = _algorithm(key)
    method = only(key, f"{{{XENC}}}EncryptionMethod")
    digest = method.find(f"{{{DS}}}DigestMethod")
    mgf = method.find(f"{{{XENC11}}}MGF") if algorithm == _OAEP else None  # 1.0 fixes MGF1 with SHA-1
    digest_name, mgf_name = (None if element is None else element.get("Algorithm") for element in (digest, mgf))
    if algorithm not in (_OAEP, _OAEP_MGF1P) or digest_name not in _DIGESTS or mgf_name not in _MGF_DIGESTS:
        raise Rejected(Reason.ENCRYPTION_ALGORITHM, element="EncryptedKey", got=f"{algorithm} {digest_name} {mgf_name}")
    label = method.find(f"{{{XENC}}}OAEPparams")
    return padding.OAEP(
        mgf=padding.MGF1(_MGF_DIGESTS[mgf_name]()),
        algorithm=_DIGESTS[digest_name](),
        label=None if label is None else _octets(label),
    )


def _secrets(
    wrapped: Sequence[etree._Element], schemes: Sequence[padding.OAEP], keys: Sequence[rsa.RSAPrivateKey]
) -> Iterator[bytes]:
    for element, scheme in zip(wrapped, schemes, strict=True):
        sealed = _cipher_value(element)
        for key in keys:
            try:
                yield key.decrypt(sealed, scheme)
            except ValueError:
                continue


def _open(algorithm: str, secret: bytes, sealed: bytes) -> bytes:
    if len(secret) != _KEY_OCTETS[algorithm]:
        raise ValueError
    if algorithm.endswith("-gcm"):
        return AESGCM(secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    decryptor = Cipher(algorithms.AES(secret), modes.CBC(sealed[:_BLOCK])).decryptor()
    plain = decryptor.update(sealed[_BLOCK:]) + decryptor.finalize()
    # XML Encryption 5.2.1: only the last octet of the padding means something.
    if not plain or not 1 <= plain[-1] <= _BLOCK:
        raise ValueError
    return plain[: -plain[-1]]


def _cipher_value(encrypted: etree._Element) -> bytes:
    data = only(encrypted, f"{{{XENC}}}CipherData", reason=Reason.ENCRYPTION_PLACEMENT)
    return _octets(only(data, f"{{{XENC}}}CipherValue", reason=Reason.ENCRYPTION_PLACEMENT))


def _octets(element: etree._Element) -> bytes:
    try:
        return base64.b64decode("".join(text(element).split()), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(Reason.DECRYPTION_FAILED) from None
