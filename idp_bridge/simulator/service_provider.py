"""What the simulated identity provider knows of a service provider: its metadata, read once.

Only what an IdP needs: who it is, where answers go, whether it signs, and which key to encrypt to.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from cryptography import x509
from saml2 import BINDING_HTTP_POST, md
from saml2.sigver import pem_format


class Unreadable(ValueError):
    """This text is not the metadata of a service provider with a POST endpoint; says what is missing."""


@dataclass(frozen=True)
class ServiceProvider:
    """One service provider. `acs_urls` are its POST endpoints, the default one first."""

    app: str
    entity_id: str
    acs_urls: tuple[str, ...]
    signs_requests: bool
    signing_certificates: tuple[str, ...]
    encryption_certificate: x509.Certificate | None
    slo_urls: Mapping[str, tuple[str, str]]
    """By binding: where its logout requests go, and where the answers to its own."""
    metadata_xml: str

    @property
    def acs_url(self) -> str:
        """Where an answer goes that nobody asked to have elsewhere."""
        return self.acs_urls[0]


@dataclass(frozen=True)
class SignedIn:
    """One session at a service provider that an assertion has opened."""

    person: str
    """Her key in the directory."""
    service_provider: str
    """By its entity ID."""
    name_id: str
    name_id_format: str
    session_index: str


def read_service_provider(metadata_xml: str, *, app: str | None = None) -> ServiceProvider:
    """Reads an EntityDescriptor with one SPSSODescriptor (SAML Metadata 2.4.4); raises Unreadable."""
    try:
        entity = md.entity_descriptor_from_string(metadata_xml.encode())
    except Exception as error:  # pysaml2 lets the parser's own errors out, of several libraries
        raise Unreadable(f"This is no XML that can be read ({type(error).__name__}).") from error
    if entity is None or not entity.entity_id or entity.spsso_descriptor is None:
        raise Unreadable("This is not an EntityDescriptor with an SPSSODescriptor.")
    role = entity.spsso_descriptor
    if isinstance(role, list):
        role = role[0]
    return ServiceProvider(
        app=app or _slug(entity.entity_id),
        entity_id=entity.entity_id,
        acs_urls=_acs_urls(role),
        signs_requests=str(role.authn_requests_signed).lower() in {"true", "1"},
        signing_certificates=tuple(_certificates(role, "signing")),
        encryption_certificate=_encryption_certificate(role),
        slo_urls={
            slo.binding: (slo.location, slo.response_location or slo.location) for slo in role.single_logout_service
        },
        metadata_xml=metadata_xml,
    )


def _acs_urls(role: md.SPSSODescriptor) -> tuple[str, ...]:
    services = [acs for acs in role.assertion_consumer_service if acs.binding == BINDING_HTTP_POST]
    services.sort(key=lambda acs: (acs.is_default != "true", int(acs.index or 0)))
    urls = tuple(acs.location for acs in services)
    if not urls or any(urlsplit(url).scheme not in {"http", "https"} for url in urls):
        raise Unreadable("The metadata names no AssertionConsumerService with the HTTP-POST binding.")
    return urls


def _certificates(role: md.SPSSODescriptor, use: str) -> list[str]:
    return [
        "".join(data.x509_certificate.text.split())
        for key in role.key_descriptor
        if key.use in {None, use}
        for data in key.key_info.x509_data
        if data.x509_certificate is not None
    ]


def _encryption_certificate(role: md.SPSSODescriptor) -> x509.Certificate | None:
    # A key without `use` may sign and encrypt (Metadata 2.4.1.1), but only a key named for encryption is a wish.
    named = [key for key in role.key_descriptor if key.use == "encryption"]
    found = _certificates(md.SPSSODescriptor(key_descriptor=named), "encryption")
    return x509.load_pem_x509_certificate(pem_format(found[0])) if found else None


def _slug(entity_id: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", entity_id.lower().partition("://")[2] or entity_id.lower()).strip("-")
    return f"{words[:40].strip('-')}-{sha256(entity_id.encode()).hexdigest()[:6]}"
