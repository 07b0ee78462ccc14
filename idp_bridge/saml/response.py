"""The trust decision on a SAML Response: every rule that needs no database, in one fixed order.

Cheap refusals come first, cryptography before meaning, and every value of the result is read from verified bytes.
What remains for the caller, in one transaction: consume `in_response_to` among its pending requests, and insert
the assertion id where it must be new.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from idp_bridge.saml import profile, xml
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.decrypt import decrypt
from idp_bridge.saml.errors import NotSaml, Reason, Rejected
from idp_bridge.saml.profile import CLOCK_SKEW
from idp_bridge.saml.signature import Verified, check_ids, check_placement, identifier, is_signed, verified

__all__ = ["CLOCK_SKEW", "Assertion", "ServiceProvider", "Trust", "verify"]

MAX_BASE64 = 256 * 1024

_RESPONSE = f"{{{xml.SAMLP}}}Response"
_ASSERTION = f"{{{xml.SAML}}}Assertion"
_ENCRYPTED_ASSERTION = f"{{{xml.SAML}}}EncryptedAssertion"


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What we hold about one identity provider, and what its administrator demanded of it."""

    entity_id: str
    certificates: tuple[Certificate, ...]
    allow_idp_initiated: bool = False
    want_encrypted: bool = False
    require_gcm: bool = False
    allow_sha1: bool = False


@dataclass(frozen=True, kw_only=True)
class ServiceProvider:
    """Ourselves, as this one identity provider knows us."""

    entity_id: str
    acs_url: str
    decryption_keys: tuple[rsa.RSAPrivateKey, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """What the identity provider said, read from nothing but bytes that its pinned key signed."""

    id: str
    issuer: str
    name_id: str
    name_id_format: str
    name_qualifier: str | None
    sp_name_qualifier: str | None
    session_index: str | None
    attributes: Mapping[str, tuple[str, ...]]
    """By exact `Name`; several elements of one name are merged in order; values verbatim."""
    in_response_to: str | None
    """The caller consumes it among its pending requests; None only where IdP-initiated login is allowed."""
    not_on_or_after: datetime
    """The last moment, skew included, at which this door would accept it again: keep the replay row till then."""
    session_not_on_or_after: datetime | None
    authn_instant: datetime
    authn_context: str | None
    warnings: tuple[str, ...]
    """What an administrator should know: `certificate_expired`, `certificate_not_yet_valid`, `sha1_signature`."""


def verify(message: str | bytes, *, trust: Trust, sp: ServiceProvider, now: datetime) -> Assertion:
    """The base64 form field in, a frozen Assertion out. Raises `Rejected`, or `NotSaml` where it is no SAML."""
    root = xml.parse(_decode(message))
    container = _container(root)
    check_ids(root)
    check_placement(root, root, container)
    response = _verified(root, trust, now) if is_signed(root) else None
    envelope = root if response is None else response.element
    profile.check_status(envelope)
    said = _assertion(container, response, trust=trust, sp=sp, now=now)
    return _read(said, envelope, signed=response is not None, trust=trust, sp=sp, now=now)


def _decode(message: str | bytes) -> bytes:
    """Bindings 3.5.4: base64, perhaps in lines. It is never inflated: that is for the Redirect binding only."""
    if len(message) > MAX_BASE64:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got=len(message), want=MAX_BASE64)
    try:
        octets = message.encode("ascii") if isinstance(message, str) else message
        return base64.b64decode(b"".join(octets.split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotSaml(Reason.NOT_BASE64) from None


def _container(root: etree._Element) -> etree._Element:
    """Exactly one Assertion or EncryptedAssertion in the whole document, as a child of the one Response."""
    if root.tag != _RESPONSE:
        raise NotSaml(Reason.NOT_A_RESPONSE, got=root.tag)
    profile.check_version(root)
    if next(root.iterdescendants("{*}Response"), None) is not None:
        raise Rejected(Reason.STRUCTURE, detail="a Response inside the Response")
    found = list(root.iter("{*}Assertion", "{*}EncryptedAssertion"))
    if not found:
        profile.check_status(root)  # a provider that says no sends no assertion: its own words are the better reason
    if len(found) != 1 or found[0].tag not in (_ASSERTION, _ENCRYPTED_ASSERTION) or found[0].getparent() is not root:
        raise Rejected(Reason.ASSERTION_COUNT, got=len(found), want="1, directly in the Response")
    return found[0]


def _verified(element: etree._Element, trust: Trust, now: datetime) -> Verified:
    return verified(element, certificates=trust.certificates, now=now, allow_sha1=trust.allow_sha1)


def _assertion(
    container: etree._Element, response: Verified | None, *, trust: Trust, sp: ServiceProvider, now: datetime
) -> Verified:
    """The verified assertion. What only the Response's signature covers is read from the Response's verified tree."""
    if container.tag == _ENCRYPTED_ASSERTION:
        source = container if response is None else xml.only(response.element, _ENCRYPTED_ASSERTION)
        return _decrypted(source, response, trust=trust, sp=sp, now=now)
    if trust.want_encrypted:
        raise Rejected(Reason.ENCRYPTION_REQUIRED)
    _refuse_encrypted_parts(container)
    if response is None or is_signed(container):
        return _vouched(container, response, trust=trust, now=now)
    return _vouched(xml.only(response.element, _ASSERTION), response, trust=trust, now=now)


def _decrypted(
    encrypted: etree._Element, response: Verified | None, *, trust: Trust, sp: ServiceProvider, now: datetime
) -> Verified:
    """Decrypt, then treat the plaintext as foreign: same parser, same structure and signature rules.

    Until a signature is known to be good, what went wrong with the plaintext is one and the same refusal: the
    difference between "no XML" and "badly signed XML" decrypts CBC for whoever may ask often enough.
    """
    plaintext = decrypt(encrypted, keys=sp.decryption_keys, require_gcm=trust.require_gcm)
    try:
        return _vouched(_opened(plaintext, encrypted), response, trust=trust, now=now)
    except Rejected as refusal:
        raise Rejected(Reason.DECRYPTION_FAILED, cause=refusal.reason.value, **refusal.facts) from None


def _opened(plaintext: bytes, encrypted: etree._Element) -> etree._Element:
    assertion = xml.parse_in_context(plaintext, encrypted)
    if assertion.tag != _ASSERTION or len(list(assertion.iter("{*}Assertion", "{*}EncryptedAssertion"))) != 1:
        raise Rejected(Reason.ASSERTION_COUNT)
    _refuse_encrypted_parts(assertion)
    check_ids(assertion)
    check_placement(assertion, assertion)
    return assertion


def _vouched(assertion: etree._Element, response: Verified | None, *, trust: Trust, now: datetime) -> Verified:
    """By its own signature, which must be good where there is one; else by that of the Response it came from."""
    if is_signed(assertion):
        own = _verified(assertion, trust, now)
        outer = response.warnings if response else ()
        return Verified(own.element, tuple(dict.fromkeys(outer + own.warnings)))
    if response is None:
        raise Rejected(Reason.SIGNATURE_MISSING)
    return Verified(assertion, response.warnings)


def _refuse_encrypted_parts(assertion: etree._Element) -> None:
    """EncryptedID, EncryptedAttribute and anything nested: not implemented, so never half read."""
    if next(assertion.iter(f"{{{xml.XENC}}}*"), None) is not None:
        raise Rejected(Reason.ENCRYPTION_PLACEMENT, detail="an encrypted part inside the assertion")


def _read(
    said: Verified, envelope: etree._Element, *, signed: bool, trust: Trust, sp: ServiceProvider, now: datetime
) -> Assertion:
    assertion = said.element
    profile.check_version(assertion)
    profile.check_issuers(envelope, assertion, want=trust.entity_id)
    profile.check_destination(envelope, want=sp.acs_url, signed=signed)
    profile.check_conditions(assertion, audience=sp.entity_id, now=now)
    name_id = profile.name_id(assertion)
    in_response_to = envelope.get("InResponseTo")
    end = profile.confirmation(assertion, acs_url=sp.acs_url, in_response_to=in_response_to, now=now)
    if in_response_to is None and not trust.allow_idp_initiated:
        raise Rejected(Reason.UNSOLICITED_NOT_ALLOWED)
    session = profile.session(assertion, now)
    return Assertion(
        id=identifier(assertion),
        issuer=trust.entity_id,
        name_id=name_id.value,
        name_id_format=name_id.format,
        name_qualifier=name_id.name_qualifier,
        sp_name_qualifier=name_id.sp_name_qualifier,
        session_index=session.index,
        attributes=MappingProxyType(profile.attributes(assertion)),
        in_response_to=in_response_to,
        not_on_or_after=end,
        session_not_on_or_after=session.not_on_or_after,
        authn_instant=session.authn_instant,
        authn_context=session.authn_context,
        warnings=said.warnings,
    )
