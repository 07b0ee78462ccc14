"""Pinned keys: which of a connection's certificates made a signature, by a method from a closed list.

For signatures inside XML and beside a query string alike. What it refuses to do: take a key from a message, read a
parameter of a method, or let a message choose a kind of key that the certificate has not (an HMAC whose secret is the
public key has no row here). The dates of a certificate are reported, never enforced.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.xml import DS

_MORE, _MORE_2007 = "http://www.w3.org/2001/04/xmldsig-more#", "http://www.w3.org/2007/05/xmldsig-more#"
_SHA256, _SHA384, _SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()


def _pss(digest: hashes.HashAlgorithm) -> tuple[AsymmetricPadding, hashes.HashAlgorithm]:
    return PSS(MGF1(digest), digest.digest_size), digest  # RFC 9231 section 2.3.10: a salt as long as the digest


# RFC 9231: the method's name -> what the public key has to be told of it.
_RSA: Mapping[str, tuple[AsymmetricPadding, hashes.HashAlgorithm]] = {
    f"{_MORE}rsa-sha256": (PKCS1v15(), _SHA256),
    f"{_MORE}rsa-sha384": (PKCS1v15(), _SHA384),
    f"{_MORE}rsa-sha512": (PKCS1v15(), _SHA512),
    f"{_MORE_2007}sha256-rsa-MGF1": _pss(_SHA256),
    f"{_MORE_2007}sha384-rsa-MGF1": _pss(_SHA384),
    f"{_MORE_2007}sha512-rsa-MGF1": _pss(_SHA512),
    f"{DS}rsa-sha1": (PKCS1v15(), hashes.SHA1()),  # noqa: S303 - WEAK_METHODS
}
_ECDSA: Mapping[str, hashes.HashAlgorithm] = {
    f"{_MORE}ecdsa-sha256": _SHA256,
    f"{_MORE}ecdsa-sha384": _SHA384,
    f"{_MORE}ecdsa-sha512": _SHA512,
}
# Only behind the connection's switch for weak signatures, which is off: collisions are affordable.
WEAK_METHODS = frozenset({f"{DS}rsa-sha1"})
METHODS = frozenset(_RSA) | frozenset(_ECDSA)

_SAFE = "RSA or ECDSA with SHA-256, SHA-384 or SHA-512"
_USABLE = "RSA from 2048 bits or ECDSA from 256 bits"

CERTIFICATE_EXPIRED = "certificate_expired"
CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
SHA1_SIGNATURE = "sha1_signature"
WEAK_RSA_KEY = "weak_rsa_key"
WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        CERTIFICATE_EXPIRED: "Signed with a certificate that has run out.",
        CERTIFICATE_NOT_YET_VALID: "Signed with a certificate that is not valid yet.",
        SHA1_SIGNATURE: "Signed with SHA-1, which can be forged at a price.",
        WEAK_RSA_KEY: "Signed with an RSA key of less than 2048 bits, which can be broken at a price.",
    }
)


def check_method(method: str, *, allow_weak: bool) -> str:
    """The name of a signature method, where it is on the list. Raises `Rejected`; no key and no octet is touched."""
    if method not in METHODS:
        raise Rejected(Reason.SIGNATURE_ALGORITHM, element="SignatureMethod", got=method, want=_SAFE)
    if method in WEAK_METHODS and not allow_weak:
        raise Rejected(Reason.SIGNATURE_WEAK, element="SignatureMethod", got=method, want=_SAFE)
    return method


def signer(
    octets: bytes, value: bytes, *, method: str, certificates: Sequence[Certificate], allow_weak: bool = False
) -> Certificate:
    """The pinned certificate whose key made this signature over exactly these octets. Raises `Rejected`."""
    check_method(method, allow_weak=allow_weak)
    known = [certificate for certificate in certificates if certificate.usable or certificate.weak]
    if not known:
        raise Rejected(Reason.CERTIFICATE_UNUSABLE, got=f"{len(certificates)} pinned, none usable", want=_USABLE)
    found = next((certificate for certificate in known if _signed(octets, value, method, certificate)), None)
    if found is None:
        tried = ", ".join(certificate.fingerprint_sha256[:16] for certificate in known)
        raise Rejected(Reason.SIGNATURE_INVALID, got="by none of the pinned keys", want="by a pinned key", tried=tried)
    if found.weak and not allow_weak:
        raise Rejected(
            Reason.SIGNATURE_WEAK,
            certificate=found.fingerprint_sha256[:16],
            got=f"RSA, {found.key_bits} bits",
            want="RSA, 2048 bits or more",
        )
    return found


def form(certificates: Sequence[Certificate]) -> tuple[str, int]:
    """The method that is usual with the first of these keys, and how many octets its signatures have."""
    key = next((certificate.public_key for certificate in certificates), None)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"{_MORE}ecdsa-sha256", 2 * _octets(key)
    return f"{_MORE}rsa-sha256", _octets(key) if isinstance(key, rsa.RSAPublicKey) else 256


def warnings(certificate: Certificate, *, now: datetime, sha1: bool) -> tuple[str, ...]:
    """What an administrator should know about a signature that holds."""
    facts = {
        SHA1_SIGNATURE: sha1,
        WEAK_RSA_KEY: certificate.weak,
        CERTIFICATE_EXPIRED: now > certificate.not_after,
        CERTIFICATE_NOT_YET_VALID: now < certificate.not_before,
    }
    return tuple(name for name, is_so in facts.items() if is_so)


def _signed(octets: bytes, value: bytes, method: str, certificate: Certificate) -> bool:
    key = certificate.public_key
    try:
        if isinstance(key, rsa.RSAPublicKey) and method in _RSA:
            key.verify(value, octets, *_RSA[method])
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and method in _ECDSA:
            key.verify(_der(value, key), octets, ec.ECDSA(_ECDSA[method]))
            return True
    except (InvalidSignature, ValueError):  # ValueError: a method whose numbers do not fit into a key so small
        return False
    return False


def _der(value: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """XML Signature 1.1 section 6.4.3: r and s, one after the other. Java signs query strings in DER, left as it is."""
    size = _octets(key)
    if len(value) != 2 * size:
        return value
    return encode_dss_signature(int.from_bytes(value[:size]), int.from_bytes(value[size:]))


def _octets(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> int:
    return (key.key_size + 7) // 8
