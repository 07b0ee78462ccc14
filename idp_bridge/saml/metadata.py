"""Metadata in both directions: the identity provider's is read, ours is written (SAML Metadata 2.0).

Foreign text goes through the hardened parser first; the one chosen entity is then read through pysaml2's typed
objects. A signature on metadata is not looked at: it is trusted because an administrator uploads it, or because it
was fetched over TLS from the address that the administrator gave. One document, one entity, one connection: there is
no store in which two of them could meet, and what has expired is refused in words.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from lxml import etree
from saml2 import md, xmldsig

from idp_bridge.saml import xml
from idp_bridge.saml.certificate import Certificate, MetadataError, parse_certificate
from idp_bridge.saml.errors import Rejected
from idp_bridge.saml.profile import moment

__all__ = [
    "POST",
    "REDIRECT",
    "Certificate",
    "Endpoint",
    "IdpMetadata",
    "MetadataError",
    "SpConfig",
    "check_url",
    "parse_certificate",
    "read_idp_metadata",
    "sp_metadata",
]

REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
_BINDINGS = (REDIRECT, POST)  # in order of preference; others (Artifact, SOAP) are not spoken here
_ENCRYPTION = (f"{xml.XENC11}aes256-gcm", f"{xml.XENC11}aes128-gcm", f"{xml.XENC}rsa-oaep-mgf1p")
_ENTITY, _ROLE = f"{{{xml.MD}}}EntityDescriptor", f"{{{xml.MD}}}IDPSSODescriptor"


@dataclass(frozen=True)
class Endpoint:
    """A URL of the identity provider and the binding by which it takes messages (`REDIRECT` or `POST`)."""

    binding: str
    url: str
    response_url: str | None = None


@dataclass(frozen=True)
class IdpMetadata:
    entity_id: str
    sso: tuple[Endpoint, ...]
    """Redirect first; never empty."""
    slo: tuple[Endpoint, ...]
    certificates: tuple[Certificate, ...]
    """Signing certificates in document order, without doubles; at least one is usable."""
    want_authn_requests_signed: bool
    name_id_formats: tuple[str, ...]
    valid_until: datetime | None


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


def read_idp_metadata(document: bytes | str, *, now: datetime, entity_id: str | None = None) -> IdpMetadata:
    """Exactly one identity provider is read from the document, or the one named `entity_id`.

    Raises `MetadataError`, whose detail says what is wrong in words.
    """
    octets = document.encode() if isinstance(document, str) else document
    try:
        root = xml.parse(octets.strip(), limits=xml.METADATA)
        entity = _choose(root, entity_id)
        valid_until = _valid_until(entity, now)
    except Rejected as refusal:
        raise MetadataError(_refusal(refusal)) from None
    certificates = _signing_certificates(xml.only(entity, _ROLE))
    return _read(md.entity_descriptor_from_string(xml.detach(entity)), certificates, valid_until)


def check_url(url: str | None, *, what: str) -> str:
    """An endpoint must be https, or http on this very machine: a browser is sent there. Raises `MetadataError`."""
    value = url or ""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise MetadataError(f"The {what} is not a URL.") from None
    if not host or parts.username is not None or not value.isprintable() or " " in value:
        raise MetadataError(f"The {what} is not a URL.")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return value
    raise MetadataError(f"The {what} must begin with https://.")


def sp_metadata(config: SpConfig) -> bytes:
    """Our metadata for one connection (Metadata 2.4.4): what an administrator gives to the identity provider."""
    logout = [md.SingleLogoutService(binding=name, location=config.slo_url) for name in _BINDINGS if config.slo_url]
    role = md.SPSSODescriptor(
        protocol_support_enumeration=_PROTOCOL,
        authn_requests_signed="true" if config.sign_authn_requests else "false",
        want_assertions_signed="true",
        key_descriptor=[
            _key_descriptor(use, certificate)
            for use, certificates in (
                ("signing", config.signing_certificates),
                ("encryption", config.encryption_certificates),
            )
            for certificate in certificates
        ],
        single_logout_service=logout,
        name_id_format=[md.NameIDFormat(text=name) for name in config.name_id_formats],
        assertion_consumer_service=[
            md.AssertionConsumerService(binding=POST, location=config.acs_url, index="0", is_default="true")
        ],
    )
    entity = md.EntityDescriptor(entity_id=config.entity_id, spsso_descriptor=[role])
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + _octets(entity)


def _octets(element: Any) -> bytes:
    text: str | bytes = element.to_string()
    return text.encode() if isinstance(text, str) else text


def _choose(root: etree._Element, entity_id: str | None) -> etree._Element:
    entities = [item for item in root.iter(_ENTITY) if item.find(_ROLE) is not None]
    if entity_id is not None:
        entities = [item for item in entities if item.get("entityID") == entity_id]
    if not entities:
        raise MetadataError("The document describes no identity provider (IDPSSODescriptor) of that name.")
    if len(entities) > 1 or len(entities[0].findall(_ROLE)) > 1:
        raise MetadataError("The document describes several identity providers. Name the entity ID of yours.")
    return entities[0]


def _valid_until(entity: etree._Element, now: datetime) -> datetime | None:
    """Metadata 2.3.1: an expired document, group or role must not be used."""
    holders = [*entity.iterancestors(), entity, *entity.findall(_ROLE)]
    ends = [end for holder in holders if (end := moment(holder, "validUntil")) is not None]
    if ends and now >= min(ends):
        raise MetadataError(f"The metadata expired on {min(ends):%Y-%m-%d}. Download it again.")
    return min(ends, default=None)


def _read(entity: Any, certificates: tuple[Certificate, ...], valid_until: datetime | None) -> IdpMetadata:
    role = entity.idpsso_descriptor[0]
    sso = _endpoints(role.single_sign_on_service, what="sign-on URL (SingleSignOnService)")
    if not sso:
        raise MetadataError("The identity provider has no sign-on URL for the Redirect or POST binding.")
    if not entity.entity_id or len(entity.entity_id) > 1024:
        raise MetadataError("The identity provider's entity ID is missing or longer than 1024 characters.")
    return IdpMetadata(
        entity_id=entity.entity_id,
        sso=sso,
        slo=_endpoints(role.single_logout_service, what="logout URL (SingleLogoutService)"),
        certificates=certificates,
        want_authn_requests_signed=role.want_authn_requests_signed in ("true", "1"),
        name_id_formats=tuple(item.text.strip() for item in role.name_id_format if item.text),
        valid_until=valid_until,
    )


def _endpoints(services: Iterable[Any], *, what: str) -> tuple[Endpoint, ...]:
    known = [item for item in services if item.binding in _BINDINGS]
    return tuple(
        Endpoint(
            binding=item.binding,
            url=check_url(item.location, what=what),
            response_url=check_url(item.response_location, what=what) if item.response_location else None,
        )
        for item in sorted(known, key=lambda item: _BINDINGS.index(item.binding))
    )


def _signing_certificates(role: etree._Element) -> tuple[Certificate, ...]:
    """The first certificate of each X509Data: what follows is its chain, and an authority must not become a signer.

    Read from the tree: pysaml2's object holds only the last one.
    """
    data = (
        item
        for descriptor in role.findall(f"{{{xml.MD}}}KeyDescriptor")
        if descriptor.get("use") in (None, "signing")
        for item in descriptor.iterfind(f"{{{xml.DS}}}KeyInfo/{{{xml.DS}}}X509Data")
    )
    texts = (text for item in data if (text := item.findtext(f"{{{xml.DS}}}X509Certificate")) is not None)
    certificates = tuple(dict.fromkeys(parse_certificate(text) for text in texts))
    if not any(certificate.usable for certificate in certificates):
        raise MetadataError("The metadata holds no signing certificate with RSA from 2048 bits or ECDSA from 256 bits.")
    return certificates


def _key_descriptor(use: str, certificate: Certificate) -> md.KeyDescriptor:
    value = xmldsig.X509Certificate(text=certificate.base64_der)
    return md.KeyDescriptor(
        use=use,
        key_info=xmldsig.KeyInfo(x509_data=[xmldsig.X509Data(x509_certificate=value)]),
        # Providers choose the first that they know; CBC is read as well, but not asked for.
        encryption_method=[md.EncryptionMethod(algorithm=name) for name in _ENCRYPTION if use == "encryption"],
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(refusal: Rejected) -> str:
    facts = ", ".join(f"{name}: {value}" for name, value in refusal.facts.items())
    return f"The metadata cannot be read ({refusal.reason.value}{'; ' if facts else ''}{facts})."
