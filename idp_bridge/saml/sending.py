"""Our own messages on their way: signed, and put into the form of the binding by which the other side takes them.

A key is an argument of the call and lives in nothing that another connection, or another thread, could reach. The
algorithm is RSA with SHA-256: over the query string for a Redirect (Bindings 3.4.4.1), inside the XML for a POST.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from idp_bridge.saml import redirect, xml
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.metadata import POST, check_url

Name = Literal["SAMLRequest", "SAMLResponse"]


@dataclass(frozen=True)
class SigningKey:
    """The key that signs our messages, with the certificate that our metadata publishes for it."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate: Certificate


@dataclass(frozen=True)
class Sent:
    """What the browser has to do: GET `url`, or POST `fields` to `url`."""

    id: str
    method: Literal["GET", "POST"]
    url: str
    fields: Mapping[str, str]
    """Form fields of the POST binding, in order; empty for GET."""
    document: bytes = field(default=b"", repr=False)
    """The message itself; signed inside where the binding is POST."""


def send(
    message: Any, *, name: Name, binding: str, url: str, relay_state: str | None, signing_key: SigningKey | None
) -> Sent:
    """One of pysaml2's typed messages, to `url` by `binding`. Raises `MetadataError` where the URL is a strange one."""
    check_url(url, what=f"URL for a {name}")
    text: str | bytes = message.to_string()
    document = text.encode() if isinstance(text, str) else text
    if binding == POST:
        signed = sign(document, signing_key) if signing_key else document
        state = {} if relay_state is None else {"RelayState": relay_state}
        fields = {name: base64.b64encode(signed).decode("ascii"), **state}
        return Sent(message.id, "POST", url, MappingProxyType(fields), signed)
    key = signing_key.private_key if signing_key else None
    sent_to = redirect.url_with(url, name, document, relay_state=relay_state, key=key)
    return Sent(message.id, "GET", sent_to, MappingProxyType({}), document)


def new_id() -> str:
    """An NCName with 160 random bits (Core 1.3.4)."""
    return f"_{secrets.token_hex(20)}"


def instant(moment: datetime) -> str:
    """A time as SAML writes it (Core 1.3.3)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sign(document: bytes, key: SigningKey, *, place: int = 1) -> bytes:
    """An enveloped signature where the schema wants it: after the Issuer of a message (Core 3.2.1, 3.2.2), first of all
    in metadata (Metadata 2.3.2)."""
    root = xml.parse(document)
    root.insert(place, etree.Element(f"{{{xml.DS}}}Signature", Id="placeholder", nsmap={"ds": xml.DS}))
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(
        root, key=key.private_key, cert=key.certificate.pem, reference_uri=f"#{root.get('ID')}", id_attribute="ID"
    )
    return etree.tostring(signed)
