"""An identity provider's metadata (SAML Metadata 2.0): read with care, the one entity chosen by its name.

Foreign text goes through the hardened parser, and everything is read from its tree: a second parser would see some
documents differently. It is trusted because an administrator uploads it, or because a pinned key signed it: then
nothing is read but what that key signed. One document, one entity, one connection: there is no store in which two of
them could meet, and what has expired is refused in words.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlsplit

from lxml import etree

from idp_bridge.saml import signature, xml
from idp_bridge.saml.apart import apart
from idp_bridge.saml.certificate import Certificate, MetadataError, parse_certificate
from idp_bridge.saml.errors import NOTHING, Reason, Rejected
from idp_bridge.saml.profile import moment

__all__ = [
    "BINDINGS",
    "POST",
    "REDIRECT",
    "Certificate",
    "Endpoint",
    "IdpMetadata",
    "MetadataError",
    "NotVouchedFor",
    "check_url",
    "parse_certificate",
    "read_idp_metadata",
]

REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
BINDINGS = (REDIRECT, POST)  # in order of preference; others (Artifact, SOAP) are not spoken here
_GROUP, _ENTITY = f"{{{xml.MD}}}EntitiesDescriptor", f"{{{xml.MD}}}EntityDescriptor"
_ROLE, _OTHER_ROLE = f"{{{xml.MD}}}IDPSSODescriptor", f"{{{xml.MD}}}SPSSODescriptor"
_MOST_NAMED, _LONGEST_NAMED = 10, 200  # in the words of a refusal: a federation has thousands of entity IDs
_LONGEST_ENTITY_ID = 1024  # Metadata 2.3.2
_LONGEST_URL = 2048
_MOST_CERTIFICATES = 20  # a signature is tried with each

# What administrators give in place of a document -> what they should do. Asked first: a page has a document type too.
_MISTAKEN = (
    (
        re.compile(rb"\A(\xef\xbb\xbf)?(<\?xml[^>]*>\s*)?<(!doctype\s+html|html)\b", re.IGNORECASE),
        "This is a web page, not metadata: open the metadata link and give what it shows.",
    ),
    (
        re.compile(rb"\Ahttps?://\S+\Z", re.IGNORECASE),
        "This is an address, not metadata: give it as metadata URL, or open it and give what it shows.",
    ),
)
# The refusals of the parser and of the signature rules in words; what is not here has only got and want.
_WORDS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.MESSAGE_TOO_LARGE: "It is too large: {got}, {want}. Give the document of this one provider.",
        Reason.NOT_XML: "It is {got}. Give the whole document, as it was downloaded.",
        Reason.XML_ENCODING: "It is not written in UTF-8: it has {got}. Save it in UTF-8.",
        Reason.XML_DOCTYPE: "It has a document type (DOCTYPE) or entities, which are not read. Remove them.",
        Reason.XML_NAMESPACE: "It has a namespace name that is no absolute URI: {got}.",
        Reason.XML_TOO_COMPLEX: "It is too large: {got}; {want}. Give the document of this one provider.",
        Reason.TIME_MALFORMED: "It has a {attribute} that is no time: {got}; wanted is {want}.",
        Reason.SIGNATURE_INVALID: "Another key signed it.",
        Reason.DIGEST_MISMATCH: "It was changed after it was signed.",
        Reason.CERTIFICATE_UNUSABLE: "The key of the pinned certificate is too weak.",
    }
)


class NotVouchedFor(MetadataError):
    """The document may be right, but no pinned key says so."""


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


@apart
def read_idp_metadata(
    document: bytes | str,
    *,
    now: datetime,
    entity_id: str | None = None,
    vouched_by: Sequence[Certificate] = (),
    allow_weak: bool = False,
) -> IdpMetadata:
    """Exactly one identity provider is read from the document, or the one named `entity_id`.

    With `vouched_by`, only from what one of those keys signed: the whole document, or that entity in it. `allow_weak`
    lets a short RSA key in. Raises `MetadataError`, whose detail says what is wrong in words, and `NotVouchedFor`.
    """
    octets = (document.encode(errors="surrogatepass") if isinstance(document, str) else document).strip()
    _check_kind(octets)
    try:
        root = xml.parse(octets, limits=xml.METADATA)
        if vouched_by and signature.is_signed(root):
            root = _vouched_for(root, vouched_by, now)
            vouched_by = ()
        entity = _choose(root, entity_id)
        valid_until = _valid_until(entity, now)
        if vouched_by:
            entity = _vouched_for(entity, vouched_by, now)
    except Rejected as refusal:
        raise MetadataError(_told(refusal)) from None
    return _read(entity, valid_until, allow_weak=allow_weak)


def check_url(url: str | None, *, what: str) -> str:
    """An endpoint must be https, or http on this very machine: a browser is sent there. Raises `MetadataError`."""
    value = url or ""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise MetadataError(f"The {what} is not a URL.") from None
    if len(value) > _LONGEST_URL:
        raise MetadataError(f"The {what} is longer than {_LONGEST_URL} characters.")
    if not host or parts.username is not None or not value.isprintable() or " " in value:
        raise MetadataError(f"The {what} is not a URL.")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return value
    raise MetadataError(f"The {what} must begin with https://.")


def _vouched_for(element: etree._Element, by: Sequence[Certificate], now: datetime) -> etree._Element:
    """What a pinned key signed of this element, and nothing else of the document (Metadata 3)."""
    if not signature.is_signed(element):
        raise NotVouchedFor("The metadata is not signed, so the pinned key does not vouch for it.")
    try:
        return signature.verified(element, certificates=by, now=now).element
    except Rejected as refusal:
        raise NotVouchedFor(f"The pinned key does not vouch for the metadata. {_told(refusal)}") from None


def _choose(root: etree._Element, entity_id: str | None) -> etree._Element:
    entities = [item for item in root.iter(_ENTITY) if item.find(_ROLE) is not None and _is_in_its_place(item)]
    chosen = [item for item in entities if entity_id in (None, item.get("entityID"))]
    if not entities:
        raise MetadataError(_of_nobody(root))
    if not chosen:
        raise MetadataError(f"The document describes no identity provider of that name, but {_names(entities)}.")
    if len(chosen) > 1 or len(chosen[0].findall(_ROLE)) > 1:
        raise MetadataError(
            "The document describes several identity providers. Name the entity ID of yours (entity_id): "
            f"it has {_names(chosen)}."
        )
    return chosen[0]


def _of_nobody(root: etree._Element) -> str:
    if root.tag not in (_GROUP, _ENTITY):
        begins = xml.local(root.tag)[:_LONGEST_NAMED]
        return (
            f"This is not metadata: it begins with {begins}, and metadata with EntityDescriptor or EntitiesDescriptor."
        )
    if next(root.iter(_OTHER_ROLE), None) is not None:
        return "This describes a service provider, perhaps us: give the metadata of the identity provider."
    return "The document describes no identity provider: it has no IDPSSODescriptor."


def _is_in_its_place(entity: etree._Element) -> bool:
    """Metadata 2.3: an entity is the document, or in groups only; not inside an extension of another one."""
    return all(ancestor.tag == _GROUP for ancestor in entity.iterancestors())


def _names(entities: Sequence[etree._Element]) -> str:
    named = [item.get("entityID", "")[:_LONGEST_NAMED] for item in entities[:_MOST_NAMED]]
    more = len(entities) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _valid_until(entity: etree._Element, now: datetime) -> datetime | None:
    """Metadata 2.3.1: an expired document, group or role must not be used."""
    holders = [*entity.iterancestors(), entity, *entity.findall(_ROLE)]
    ends = [end for holder in holders if (end := moment(holder, "validUntil")) is not None]
    if ends and now >= min(ends):
        raise MetadataError(f"The metadata expired on {min(ends):%Y-%m-%d}. Download it again.")
    return min(ends, default=None)


def _read(entity: etree._Element, valid_until: datetime | None, *, allow_weak: bool) -> IdpMetadata:
    role = entity.findall(_ROLE)[0]
    certificates = _signing_certificates(role, allow_weak=allow_weak)
    sso = _endpoints(role, "SingleSignOnService", what="sign-on URL (SingleSignOnService)")
    if not sso:
        raise MetadataError("The identity provider has no sign-on URL for the Redirect or POST binding.")
    entity_id = entity.get("entityID", "")
    if not entity_id or len(entity_id) > _LONGEST_ENTITY_ID:
        raise MetadataError("The identity provider's entity ID is missing or longer than 1024 characters.")
    formats = (item.text.strip() for item in role.findall(f"{{{xml.MD}}}NameIDFormat") if item.text)
    return IdpMetadata(
        entity_id=entity_id,
        sso=sso,
        slo=_endpoints(role, "SingleLogoutService", what="logout URL (SingleLogoutService)"),
        certificates=certificates,
        want_authn_requests_signed=role.get("WantAuthnRequestsSigned") in ("true", "1"),
        name_id_formats=tuple(formats),
        valid_until=valid_until,
    )


def _endpoints(role: etree._Element, name: str, *, what: str) -> tuple[Endpoint, ...]:
    services = role.findall(f"{{{xml.MD}}}{name}")
    known = [item for binding in BINDINGS for item in services if item.get("Binding") == binding]
    return tuple(
        Endpoint(
            binding=item.get("Binding", ""),
            url=check_url(item.get("Location"), what=what),
            response_url=check_url(item.get("ResponseLocation"), what=what) if item.get("ResponseLocation") else None,
        )
        for item in known
    )


def _signing_certificates(role: etree._Element, *, allow_weak: bool) -> tuple[Certificate, ...]:
    """The first certificate of each X509Data: what follows is its chain, and an authority must not become a signer."""
    data = (
        item
        for descriptor in role.findall(f"{{{xml.MD}}}KeyDescriptor")
        if descriptor.get("use") in (None, "signing")
        for item in descriptor.iterfind(f"{{{xml.DS}}}KeyInfo/{{{xml.DS}}}X509Data")
    )
    texts = dict.fromkeys(text for item in data if (text := item.findtext(f"{{{xml.DS}}}X509Certificate")) is not None)
    if len(texts) > _MOST_CERTIFICATES:
        raise MetadataError(f"The metadata holds more than {_MOST_CERTIFICATES} signing certificates.")
    certificates = tuple(dict.fromkeys(parse_certificate(text) for text in texts))
    if not any(certificate.usable or (allow_weak and certificate.weak) for certificate in certificates):
        raise MetadataError("The metadata holds no signing certificate with RSA from 2048 bits or ECDSA from 256 bits.")
    return certificates


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_kind(octets: bytes) -> None:
    for what, words in _MISTAKEN:
        if what.match(octets):
            raise MetadataError(words)


def _told(refusal: Rejected) -> str:
    words = _WORDS.get(refusal.reason, "It has {got} instead of {want}.")
    facts = {name: value[:_LONGEST_NAMED] for name, value in refusal.facts.items() if value}
    return words.format_map({"got": NOTHING} | facts)
