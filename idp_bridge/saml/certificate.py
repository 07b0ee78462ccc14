"""X.509 certificates as what they are in SAML: a named, dated bag around one public key.

Trust comes from pinning, not from a chain, and dates are shown rather than enforced: identity providers sign
for years with certificates that have run out, as the Metadata Interoperability Profile (2.6.1) foresees.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

_LEAST_BITS = {"rsa": 2048, "ec": 256}
_LEAST_WEAK_BITS = 1024  # below, a key is broken in an afternoon: no switch lets it in
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class MetadataError(ValueError):
    """A certificate or metadata document that cannot be used; `detail` says why in words for an administrator."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True)
class Certificate:
    """A certificate that was parsed once, at the edge. `pem` is canonical; equality is that of the bytes."""

    pem: str
    fingerprint_sha256: str
    """Lower-case hexadecimal, without colons."""
    not_before: datetime
    not_after: datetime
    subject: str
    key_type: str
    """`rsa`, `ec` or `other`."""
    key_bits: int
    public_key: CertificatePublicKeyTypes = field(repr=False, compare=False)

    @property
    def weak(self) -> bool:
        """RSA under 2048 bits verifies only where the connection's switch allows weak signatures."""
        return self.key_type == "rsa" and _LEAST_WEAK_BITS <= self.key_bits < _LEAST_BITS["rsa"]

    @property
    def usable(self) -> bool:
        """Only RSA from 2048 bits and elliptic curves from 256 bits verify anything here."""
        least = _LEAST_BITS.get(self.key_type)
        return least is not None and self.key_bits >= least

    @property
    def base64_der(self) -> str:
        """The form used inside XML: base64 DER on one line."""
        return "".join(self.pem.strip().splitlines()[1:-1])


def parse_certificate(text: str) -> Certificate:
    """Accepts one PEM certificate or bare base64 DER, the two forms that administrators paste.

    Raises `MetadataError`.
    """
    certificate = _load(_der(text))
    key = certificate.public_key()
    key_type = (
        "rsa" if isinstance(key, rsa.RSAPublicKey) else "ec" if isinstance(key, ec.EllipticCurvePublicKey) else "other"
    )
    return Certificate(
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        subject=certificate.subject.rfc4514_string(),
        key_type=key_type,
        key_bits=getattr(key, "key_size", 0),
        public_key=key,
    )


def _der(text: str) -> bytes:
    body = text.strip()
    if "PRIVATE KEY" in body:
        raise MetadataError(
            "This is a private key. Paste the certificate, and replace that key: it is no longer secret."
        )
    if body.startswith(_BEGIN):
        body, end, rest = body.removeprefix(_BEGIN).partition(_END)
        if not end or rest.strip():
            raise MetadataError("Paste exactly one certificate, with its BEGIN and END lines.")
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MetadataError("The certificate is neither PEM nor base64.") from None


def _load(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()
        certificate.subject.rfc4514_string()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MetadataError("The text is not an X.509 certificate with a key that is known here.") from None
    return certificate
