"""AuthnRequests: built with pysaml2's typed objects, signed here, sent by Redirect or POST.

The key is an argument of the call and lives in nothing that another connection could reach; the algorithm is RSA with
SHA-256. A Redirect is signed over its query string (Bindings 3.4.4.1), a POST inside the XML.
"""

import base64
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree
from saml2 import saml, samlp
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from idp_bridge.saml import xml
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.metadata import POST, REDIRECT, Endpoint, check_url

__all__ = ["REDIRECT", "AuthnRequest", "SigningKey", "authn_request"]

_RSA_SHA256 = SignatureMethod.RSA_SHA256.value


@dataclass(frozen=True)
class SigningKey:
    """The key that signs our requests, with the certificate that our metadata publishes for it."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate: Certificate


@dataclass(frozen=True)
class AuthnRequest:
    """What the browser has to do: GET `url`, or POST `fields` to `url`."""

    id: str
    method: Literal["GET", "POST"]
    url: str
    fields: Mapping[str, str]
    """Form fields of the POST binding, in order; empty for GET."""


def authn_request(
    *,
    sp_entity_id: str,
    acs_url: str,
    sso: Endpoint,
    now: datetime,
    relay_state: str | None = None,
    force_authn: bool = False,
    name_id_format: str | None = None,
    signing_key: SigningKey | None = None,
) -> AuthnRequest:
    """One AuthnRequest (Core 3.4.1) for `sso`, by that endpoint's binding. The id has 160 random bits.

    A NameIDPolicy is sent only when a format is asked for: providers refuse what they do not know.
    """
    identifier = f"_{secrets.token_hex(20)}"
    request = samlp.AuthnRequest(
        id=identifier,
        version="2.0",
        issue_instant=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        destination=check_url(sso.url, what="sign-on URL"),
        assertion_consumer_service_url=acs_url,
        protocol_binding=POST,
        issuer=saml.Issuer(text=sp_entity_id),
        force_authn="true" if force_authn else None,
        name_id_policy=samlp.NameIDPolicy(format=name_id_format, allow_create="true") if name_id_format else None,
    )
    document = request.to_string()
    octets = document.encode() if isinstance(document, str) else document
    state = {} if relay_state is None else {"RelayState": relay_state}
    if sso.binding == POST:
        signed = _sign_xml(octets, signing_key) if signing_key else octets
        fields = {"SAMLRequest": base64.b64encode(signed).decode("ascii"), **state}
        return AuthnRequest(identifier, "POST", sso.url, MappingProxyType(fields))
    query = urlencode({"SAMLRequest": _deflated(octets), **state})
    query = _sign_query(query, signing_key.private_key) if signing_key else query
    return AuthnRequest(identifier, "GET", _with_query(sso.url, query), MappingProxyType({}))


def _deflated(octets: bytes) -> str:
    """Bindings 3.4.4.1: raw DEFLATE, without the zlib header."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(octets) + compressor.flush()).decode("ascii")


def _sign_query(query: str, key: rsa.RSAPrivateKey) -> str:
    """The signature covers exactly the octets that are sent: SAMLRequest, RelayState, SigAlg, in this order."""
    signed = f"{query}&{urlencode({'SigAlg': _RSA_SHA256})}"
    value = key.sign(signed.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}&{urlencode({'Signature': base64.b64encode(value).decode('ascii')})}"


def _with_query(url: str, query: str) -> str:
    """Some providers' URLs carry a query of their own (Google's idpid); it stays in front."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query, fragment=""))


def _sign_xml(octets: bytes, key: SigningKey) -> bytes:
    """An enveloped signature directly after the Issuer, where the schema wants it (Core 3.2.1)."""
    root = xml.parse(octets)
    root.insert(1, etree.Element(f"{{{xml.DS}}}Signature", Id="placeholder", nsmap={"ds": xml.DS}))
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(
        root, key=key.private_key, cert=key.certificate.pem, reference_uri=f"#{root.get('ID')}", id_attribute="ID"
    )
    return etree.tostring(signed)
