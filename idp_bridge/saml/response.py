"""The trust decision on a SAML Response: every rule that needs no database, in one fixed order.

What it refuses to do: inflate a posted message, choose between two readings, decrypt before a signature around the
ciphertext is known to be good, read a value from what was not signed, or answer one failed decryption otherwise than
another. Cheap refusals come first, and cryptography before meaning.

What remains for the caller, in one transaction: consume `in_response_to` among its pending requests, and insert the
assertion id where it must be new; and, where it demanded a fresh sign-in, to ask `profile.check_fresh`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from idp_bridge.saml import profile, xml
from idp_bridge.saml.apart import apart
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.checks import Checks
from idp_bridge.saml.decoy import decoy
from idp_bridge.saml.decrypt import decrypt
from idp_bridge.saml.errors import Check, NotSaml, Reason, Rejected
from idp_bridge.saml.profile import CLOCK_SKEW
from idp_bridge.saml.signature import Verified, canonical, check_ids, check_placement, identifier, is_signed, verified

__all__ = ["CLOCK_SKEW", "Assertion", "ServiceProvider", "Trust", "verify"]

MAX_BASE64 = 256 * 1024

_RESPONSE = f"{{{xml.SAMLP}}}Response"
_ASSERTION = f"{{{xml.SAML}}}Assertion"
_ENCRYPTED_ASSERTION = f"{{{xml.SAML}}}EncryptedAssertion"
# These say no after a pinned key was tried on a plaintext; whatever says no before them has saved that time.
_UNDECRYPTABLE = {"key": "no key of ours opens it", "content": "its key opens, its content does not"}
_AFTER_THE_KEY = frozenset({Reason.SIGNATURE_INVALID, Reason.DIGEST_MISMATCH})


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What we hold about one identity provider, and what its administrator demanded of it."""

    entity_id: str
    certificates: tuple[Certificate, ...]
    allow_idp_initiated: bool = False
    want_encrypted: bool = False
    require_gcm: bool = False
    allow_weak_signatures: bool = False
    """SHA-1, and RSA keys under 2048 bits: what old providers sign with. Off, and warned about."""


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
    issue_instant: datetime
    """By the provider's clock: it is dead if the provider has signed her out since (Core 3.7.3.2)."""
    session_not_on_or_after: datetime | None
    authn_instant: datetime
    authn_context: str | None
    warnings: tuple[str, ...]
    """What an administrator should know of the signatures: names of `pinned.WARNINGS`."""
    signed_by: tuple[str, ...] = ()
    """SHA-256 fingerprints of the pinned certificates whose keys signed it: whoever acts on it later asks whether they
    still are pinned."""
    checks: tuple[Check, ...] = field(default=(), compare=False)
    """Every check that was made, in order: for administrators."""


@apart
def verify(message: str | bytes, *, trust: Trust, sp: ServiceProvider, now: datetime) -> Assertion:
    """The base64 form field in, a frozen Assertion out. Raises `Rejected`, or `NotSaml` where it is no SAML."""
    return _Verification(trust, sp, now, Checks()).of(message)


def _decode(message: str | bytes) -> bytes:
    """Bindings 3.5.4: base64, perhaps in lines. It is never inflated: that is for the Redirect binding only."""
    if len(message) > MAX_BASE64:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got=f"{len(message)} characters", want=f"{MAX_BASE64} at most")
    try:
        return xml.from_base64(message)
    except ValueError:
        raise NotSaml(Reason.NOT_BASE64, got=f"{len(message)} characters of something else", want="base64") from None


def _check_response(root: etree._Element) -> None:
    """Core 3.2.2, 3.3.3: one Response of SAML 2.0, and none inside it."""
    if root.tag != _RESPONSE:
        raise NotSaml(Reason.NOT_A_RESPONSE, got=root.tag, want=_RESPONSE)
    profile.check_version(root)
    if next(root.iterdescendants("{*}Response"), None) is not None:
        raise Rejected(Reason.STRUCTURE, got="a Response inside the Response", want="one Response")


def _assertions(element: etree._Element) -> list[etree._Element]:
    return list(element.iter("{*}Assertion", "{*}EncryptedAssertion"))


def _container(root: etree._Element) -> etree._Element:
    """Exactly one Assertion or EncryptedAssertion in the whole document, as a child of the one Response."""
    found = _assertions(root)
    if len(found) != 1 or found[0].tag not in (_ASSERTION, _ENCRYPTED_ASSERTION) or found[0].getparent() is not root:
        got = ", ".join(f"{xml.local(item.tag)} in {xml.local(next(item.iterancestors()).tag)}" for item in found)
        raise Rejected(Reason.ASSERTION_COUNT, got=got or "no Assertion", want="one, directly in the Response")
    identifier(root)
    profile.issued(root)
    check_ids(root)
    check_placement(root, *[element for element in (root, found[0]) if element.tag != _ENCRYPTED_ASSERTION])
    return found[0]


@dataclass(frozen=True)
class _Verification:
    """One message before this door: what it is held against, and the record of what was asked."""

    trust: Trust
    sp: ServiceProvider
    now: datetime
    checks: Checks

    def of(self, message: str | bytes) -> Assertion:
        ask = self.checks.ask
        root = ask("xml", xml.parse, ask("message", _decode, message))
        ask("response", _check_response, root)
        if not _assertions(root):
            ask("status", profile.check_status, root)  # a provider that says no sends none: its own words say why
        container = ask("structure", _container, root)
        response = ask("response_signature", self._verified, root) if is_signed(root) else None
        envelope = root if response is None else response.element
        ask("status", profile.check_status, envelope)
        said = self._assertion(container, response)
        return self._read(said, envelope, signed=response is not None)

    def _verified(self, element: etree._Element) -> Verified:
        trust = self.trust
        return verified(element, certificates=trust.certificates, now=self.now, allow_weak=trust.allow_weak_signatures)

    def _assertion(self, container: etree._Element, response: Verified | None) -> Verified:
        """The verified assertion. What only the Response's signature covers is read from its verified tree."""
        if response is not None and not is_signed(container):
            container = xml.only(response.element, str(container.tag))
        if container.tag == _ENCRYPTED_ASSERTION:
            return self.checks.ask("decryption", self._decrypted, container, response)
        self.checks.ask("encryption", self._check_plain, container)
        return self.checks.ask("assertion_signature", self._vouched, container, response)

    def _check_plain(self, assertion: etree._Element) -> None:
        if self.trust.want_encrypted:
            raise Rejected(Reason.ENCRYPTION_REQUIRED, got="a plain Assertion", want="an EncryptedAssertion")
        _refuse_encrypted_parts(assertion)

    def _vouched(self, assertion: etree._Element, response: Verified | None) -> Verified:
        """By its own signature, which must be good where there is one; else by that of the Response it came from."""
        if is_signed(assertion):
            own = self._verified(assertion)
            return own if response is None else _both(response, own)
        if response is None:
            raise Rejected(Reason.SIGNATURE_MISSING, got="no Signature", want="one, of the Assertion or the Response")
        return replace(response, element=assertion, told="covered by the signature of the Response")

    def _decrypted(self, encrypted: etree._Element, response: Verified | None) -> Verified:
        """Decrypt, then treat the plaintext as foreign: same parser, same structure and signature rules.

        Until a signature is known to be good, what went wrong is one and the same refusal, after the same work: where
        a step fails, the next goes on with a decoy. Only the facts, for administrators, tell one from the other.
        """
        plaintext = decrypt(encrypted, keys=self.sp.decryption_keys, require_gcm=self.trust.require_gcm)
        imitation = partial(decoy, self.trust.certificates, size=plaintext.size)
        failures = [_undecryptable(plaintext.failure)] if plaintext.failure else []
        try:
            assertion = xml.parse_in_context(plaintext.octets, encrypted)
        except Rejected as refusal:
            failures.append(refusal.with_traceback(None))
            assertion = xml.parse(imitation())
            xml.reparse(imitation())  # it took a part of the time that a whole document takes
        try:
            _check_plaintext(assertion)
            said = self._vouched(assertion, response)
        except Rejected as refusal:
            if not failures:
                xml.parse(imitation())  # as where the plaintext was none
            failures.append(refusal.with_traceback(None))
            self._level(refusal.reason, assertion, imitation)
        if failures:
            facts = {"cause": failures[0].reason.value, **failures[0].facts}
            raise Rejected(Reason.DECRYPTION_FAILED, **facts) from None
        return replace(said, told=f"{plaintext.algorithm}, {said.told}")

    def _level(self, reason: Reason, assertion: etree._Element, imitation: Callable[[], bytes]) -> None:
        """The work that was left when this refusal came, so that its time does not tell which one it was."""
        with suppress(Rejected):
            if reason is not Reason.DIGEST_MISMATCH:
                canonical(assertion, ())  # inclusive, it would cost a stranger's many namespaces at each element
            if reason not in _AFTER_THE_KEY:
                self._verified(xml.reparse(imitation()))

    def _read(self, said: Verified, envelope: etree._Element, *, signed: bool) -> Assertion:
        """Row by row what the profile demands, and only of what was signed."""
        ask, assertion, now = self.checks.ask, said.element, self.now
        in_response_to = envelope.get("InResponseTo")
        assertion_id = ask("assertion_id", identifier, assertion)
        ask("version", profile.check_version, assertion)
        issue_instant = ask("issued", profile.issued, assertion)
        self._check_parties(assertion, envelope, signed=signed)
        name_id = ask("name_id", profile.name_id, assertion)
        end = ask(
            "confirmation",
            profile.confirmation,
            assertion,
            acs_url=self.sp.acs_url,
            in_response_to=in_response_to,
            now=now,
        )
        ask("solicited", profile.check_solicited, in_response_to, allow_unsolicited=self.trust.allow_idp_initiated)
        session = ask("authentication", profile.session, assertion, now)
        attributes = ask("attributes", profile.attributes, assertion)
        return Assertion(
            id=assertion_id,
            issuer=self.trust.entity_id,
            name_id=name_id.value,
            name_id_format=name_id.format,
            name_qualifier=name_id.name_qualifier,
            sp_name_qualifier=name_id.sp_name_qualifier,
            session_index=session.index,
            attributes=MappingProxyType(attributes),
            in_response_to=in_response_to,
            not_on_or_after=end,
            session_not_on_or_after=session.not_on_or_after,
            authn_instant=session.authn_instant,
            authn_context=session.authn_context,
            warnings=said.warnings,
            issue_instant=issue_instant,
            signed_by=said.signed_by,
            checks=self.checks.made,
        )

    def _check_parties(self, assertion: etree._Element, envelope: etree._Element, *, signed: bool) -> None:
        """By whom, for whom, and between which times."""
        ask, sp = self.checks.ask, self.sp
        ask("issuer", profile.check_issuers, envelope, assertion, want=self.trust.entity_id)
        ask("destination", profile.check_destination, envelope, want=sp.acs_url, signed=signed)
        conditions = ask("conditions", profile.conditions, assertion)
        ask("validity", profile.check_window, conditions, self.now)
        ask("audience", profile.check_audience, conditions, want=sp.entity_id)


def _both(response: Verified, own: Verified) -> Verified:
    """What each of the two signatures says of itself, once."""
    return replace(
        own,
        warnings=tuple(dict.fromkeys(response.warnings + own.warnings)),
        signed_by=tuple(dict.fromkeys(response.signed_by + own.signed_by)),
    )


def _check_plaintext(assertion: etree._Element) -> None:
    """The structure rules, inside the ciphertext as outside of it."""
    if assertion.tag != _ASSERTION or len(_assertions(assertion)) != 1:
        got = " ".join(xml.local(item.tag) for item in _assertions(assertion)) or xml.local(assertion.tag)
        raise Rejected(Reason.ASSERTION_COUNT, got=got, want="one Assertion")
    _refuse_encrypted_parts(assertion)
    check_ids(assertion)
    check_placement(assertion, assertion)


def _refuse_encrypted_parts(assertion: etree._Element) -> None:
    """EncryptedID, EncryptedAttribute and anything nested: not implemented, so never half read."""
    if next(assertion.iter(f"{{{xml.XENC}}}*"), None) is not None:
        got = "an encrypted part of the Assertion"
        raise Rejected(Reason.ENCRYPTION_PLACEMENT, got=got, want="the whole Assertion, or nothing")


def _undecryptable(cause: str) -> Rejected:
    return Rejected(Reason.DECRYPTION_FAILED, cause=cause, got=_UNDECRYPTABLE[cause], want="encrypted to a key of ours")
