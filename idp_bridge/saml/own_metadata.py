"""Our metadata for one connection (SAML Metadata 2.4.4): what an administrator gives to the identity provider.

It is the same bytes as long as it says the same, its signature included: so it can be cached, and compared by eye. It
is valid as long as its signing certificate: an earlier `validUntil` would end connections whose provider once took a
copy, and a provider that fetches it is told by `cacheDuration` when to come again.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from saml2 import md, xmldsig

from idp_bridge.saml import sending, xml
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.metadata import BINDINGS, POST
from idp_bridge.saml.sending import SigningKey

_ENCRYPTION = (f"{xml.XENC11}aes256-gcm", f"{xml.XENC11}aes128-gcm", f"{xml.XENC}rsa-oaep-mgf1p")
_CACHED_FOR = "P1D"  # ISO 8601: a provider that fetches it knows of a next key after a day


@dataclass(frozen=True, kw_only=True)
class SpConfig:
    """What our metadata says for one connection."""

    entity_id: str
    acs_url: str
    slo_url: str | None = None
    sign_authn_requests: bool = False
    signing_certificates: tuple[Certificate, ...] = ()
    encryption_certificates: tuple[Certificate, ...] = ()
    name_id_formats: tuple[str, ...] = ()


def sp_metadata(config: SpConfig, *, signing_key: SigningKey | None = None) -> bytes:
    """The document, signed where there is a key (Metadata 3)."""
    entity = md.EntityDescriptor(entity_id=config.entity_id, spsso_descriptor=[_role(config)])
    if signing_key is None:
        return _document(_octets(entity))
    entity.valid_until = sending.instant(signing_key.certificate.not_after)
    entity.cache_duration = _CACHED_FOR
    entity.id = f"_{hashlib.sha256(_octets(entity)).hexdigest()[:40]}"
    return _document(sending.sign(_octets(entity), signing_key, place=0))


def _role(config: SpConfig) -> md.SPSSODescriptor:
    return md.SPSSODescriptor(
        protocol_support_enumeration=xml.SAMLP,
        authn_requests_signed="true" if config.sign_authn_requests else "false",
        want_assertions_signed="true",
        key_descriptor=[
            *(_key_descriptor("signing", certificate) for certificate in config.signing_certificates),
            *(_key_descriptor("encryption", certificate) for certificate in config.encryption_certificates),
        ],
        single_logout_service=[
            md.SingleLogoutService(binding=name, location=config.slo_url) for name in BINDINGS if config.slo_url
        ],
        name_id_format=[md.NameIDFormat(text=name) for name in config.name_id_formats],
        assertion_consumer_service=[
            md.AssertionConsumerService(binding=POST, location=config.acs_url, index="0", is_default="true")
        ],
    )


def _key_descriptor(use: str, certificate: Certificate) -> md.KeyDescriptor:
    value = xmldsig.X509Certificate(text=certificate.base64_der)
    return md.KeyDescriptor(
        use=use,
        key_info=xmldsig.KeyInfo(x509_data=[xmldsig.X509Data(x509_certificate=value)]),
        # Providers choose the first that they know; CBC is read as well, but not asked for.
        encryption_method=[md.EncryptionMethod(algorithm=name) for name in _ENCRYPTION if use == "encryption"],
    )


def _octets(element: Any) -> bytes:
    text: str | bytes = element.to_string()
    return text.encode() if isinstance(text, str) else text


def _document(octets: bytes) -> bytes:
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + octets
