"""A SAML identity provider that signs anybody in, built on pysaml2's IdP side.

Owns the provider's identity (entity ID, key, endpoints), the service providers it knows, and how a Response is
made. Knows nothing of HTTP (`site.py`) and asks nobody for a password: it is a test instrument.
"""

import json
from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, Unpack

from cryptography import x509
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, class_name, md, saml, samlp, xmldsig
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.s_utils import SamlException
from saml2.server import Server
from saml2.sigver import RSACrypto, verify_redirect_signature
from saml2.validate import valid_instance

from idp_bridge.simulator.crypto import KeyPair, SignxmlBackend, encrypt_assertion, make_key_pair
from idp_bridge.simulator.flavours import FLAVOURS, Attributes, Flavour, dressed
from idp_bridge.simulator.people import Person, directory
from idp_bridge.simulator.service_provider import ServiceProvider, SignedIn, Unreadable, read_service_provider

CLOCK_SKEW = timedelta(minutes=5)


class Refused(Exception):
    """The simulator cannot answer this; the text says why and what to do."""


@dataclass(frozen=True)
class SignInRequest:
    """An AuthnRequest that was understood: who asks, where the answer goes, how the person is to be named."""

    request_id: str
    service_provider: ServiceProvider
    acs_url: str
    name_id_format: str | None
    is_passive: bool


class Changes(TypedDict, total=False):
    """What a caller may want different from what the real product would send."""

    issuer: str
    destination: str | None
    recipient: str
    name_id: str
    name_id_format: str | None
    attributes: Attributes
    not_before: datetime
    not_on_or_after: datetime
    session_not_on_or_after: datetime
    authn_instant: datetime
    assertion_id: str
    sign_response: bool
    sign_assertion: bool
    encrypt_to: x509.Certificate | None


@dataclass
class Provider:
    """One simulated identity provider under a name of its own, e.g. `okta` at `<origin>/okta/sso`."""

    name: str
    flavour: str
    entity_id: str
    sso_url: str
    keys: KeyPair = field(default_factory=lambda: make_key_pair("simulated identity provider"))
    people: Sequence[Person] = field(default_factory=directory)
    apps: dict[str, ServiceProvider] = field(default_factory=dict)
    apps_file: Path | None = None
    signed_in: deque[SignedIn] = field(default_factory=lambda: deque(maxlen=1000))
    """Whom its assertions may have signed in, and where; forgotten with the process."""

    def __post_init__(self) -> None:
        """Brings back the service providers that an earlier process has kept."""
        if self.apps_file and self.apps_file.exists():
            for app, metadata_xml in json.loads(self.apps_file.read_text()).items():
                self.register_sp(metadata_xml, app=app)

    @property
    def slo_url(self) -> str:
        """Where logout messages come in."""
        return self.sso_url.removesuffix("/sso") + "/slo"

    @property
    def shape(self) -> Flavour:
        """The product whose messages this provider imitates."""
        return FLAVOURS[self.flavour]

    @cached_property
    def server(self) -> Server:
        """pysaml2's IdP for this provider, with our own crypto behind it."""
        server = _Server(config=self._configuration())
        # pysaml2 has no plug-in point: the back end that it chose is replaced once it stands.
        server.sec.crypto = SignxmlBackend(self.keys)
        server.sec.sec_backend = RSACrypto(self.keys.key)
        return server

    @cached_property
    def metadata_xml(self) -> str:
        """The document that an administrator hands to the service provider (SAML Metadata 2.4.3)."""
        descriptor = entity_descriptor(self._configuration())
        certificate = xmldsig.X509Certificate(text=self.keys.certificate_base64)
        key_info = xmldsig.KeyInfo(x509_data=xmldsig.X509Data(x509_certificate=certificate))
        descriptor.idpsso_descriptor.key_descriptor = [md.KeyDescriptor(use="signing", key_info=key_info)]
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + str(descriptor)

    def register_sp(self, metadata_xml: str, *, app: str | None = None) -> ServiceProvider:
        """Makes a service provider known; metadata for the same app or entity ID replaces the former."""
        try:
            sp = read_service_provider(metadata_xml, app=app)
        except Unreadable as unreadable:
            raise Refused(str(unreadable)) from unreadable
        kept = {n: s for n, s in self.apps.items() if n != sp.app and s.entity_id != sp.entity_id}
        apps = {**kept, sp.app: sp}
        if not self.server.reload_metadata({"inline": [each.metadata_xml for each in apps.values()]}):
            raise Refused("pysaml2 cannot read this service provider's metadata.")
        self.apps = apps
        if self.apps_file:
            self.apps_file.parent.mkdir(parents=True, exist_ok=True)
            self.apps_file.write_text(json.dumps({n: each.metadata_xml for n, each in apps.items()}, indent=1))
        return sp

    def person(self, key: str) -> Person:
        """The person of that key or user name; Refused when the directory has nobody of that name."""
        for person in self.people:
            if key in {person.key, person.user_name}:
                return person
        raise Refused(f"Nobody in this directory is called {key!r}.")

    def parse_request(self, fields: Mapping[str, str], binding: str) -> SignInRequest:
        """Reads an AuthnRequest from query or form fields; Refused when it is none, or its sender is unknown."""
        message = self._parsed(fields, binding)
        sp = self.known(message.issuer.text)
        self._check_signed(message, sp, fields, binding)
        wanted = message.assertion_consumer_service_url
        if wanted and wanted not in sp.acs_urls:
            raise Refused(f"The request wants its answer at {wanted}, which its metadata does not name.")
        policy = message.name_id_policy
        return SignInRequest(
            request_id=message.id,
            service_provider=sp,
            acs_url=wanted or sp.acs_url,
            name_id_format=policy.format if policy is not None else None,
            is_passive=message.is_passive in {"true", "1"},
        )

    def refusal(
        self, *, acs_url: str, in_response_to: str | None, status: str, message: str, now: datetime | None = None
    ) -> str:
        """A Response without an assertion whose Status says why (Core 3.2.2.2), signed, in base64."""
        response = self.server.create_error_response(in_response_to, acs_url, (status, message), sign=False)
        response.issue_instant = _instant(now or datetime.now(UTC))
        return b64encode(self._signed(dressed(str(response), self.shape), response).encode()).decode()

    def _parsed(self, fields: Mapping[str, str], binding: str) -> samlp.AuthnRequest:
        try:
            request = self.server.parse_authn_request(fields["SAMLRequest"], binding)
            valid_instance(request.message)
        except Exception as error:  # pysaml2 lets anything out on bad input: TypeError, zlib.error, binascii …
            raise Refused(f"This is no AuthnRequest that can be read ({type(error).__name__}).") from error
        return request.message

    def known(self, entity_id: str) -> ServiceProvider:
        """The service provider of that entity ID; Refused where none is registered."""
        for sp in self.apps.values():
            if sp.entity_id == entity_id:
                return sp
        raise Refused(f"The service provider {entity_id} is not known here: register its metadata first.")

    def _check_signed(
        self, message: samlp.AuthnRequest, sp: ServiceProvider, fields: Mapping[str, str], binding: str
    ) -> None:
        # A signature inside the message (POST) was verified by pysaml2 when it parsed it.
        signed = message.signature is not None
        if binding == BINDING_HTTP_REDIRECT and "Signature" in fields:
            signed = self.redirect_signature_fits(fields, sp)
            if not signed:
                raise Refused("The signature of this request does not fit the service provider's certificate.")
        if sp.signs_requests and not signed:
            raise Refused("The service provider says that it signs its requests, but this one is not signed.")

    def redirect_signature_fits(self, fields: Mapping[str, str], sp: ServiceProvider) -> bool:
        """Whether one of the service provider's keys has signed the query string that these fields came in."""
        backend = self.server.sec.sec_backend
        try:
            return any(verify_redirect_signature(dict(fields), backend, each) for each in sp.signing_certificates)
        except (SamlException, KeyError, ValueError):  # an algorithm that pysaml2 does not know, or no base64
            return False

    def _signed(self, document: str, node: samlp.Response | saml.Assertion) -> str:
        return str(self.server.sec.sign_statement(document, class_name(node), node_id=node.id))

    def _configuration(self) -> IdPConfig:
        sso = [(self.sso_url, binding) for binding in (BINDING_HTTP_REDIRECT, BINDING_HTTP_POST)]
        slo = [(self.slo_url, binding) for binding in self.shape.slo_bindings]
        configuration: dict[str, Any] = {
            "entityid": self.entity_id,
            "crypto_backend": "XMLSecurity",
            "metadata": {"inline": []},
            "service": {
                "idp": {
                    "endpoints": {"single_sign_on_service": sso, "single_logout_service": slo},
                    "name_id_format": list(self.shape.name_id_formats),
                }
            },
        }
        return IdPConfig().load(configuration)


class _Server(Server):  # type: ignore[misc]  # pysaml2 is untyped
    """pysaml2's IdP without its memory, which would keep every assertion ever made, and without its encryption."""

    def support_AssertionIDRequest(self) -> bool:
        return False

    def support_AuthnQuery(self) -> bool:
        return False

    def has_encrypt_cert_in_metadata(self, sp_entity_id: str) -> bool:
        # Asked for an SP that may not be registered (in-process use); pysaml2 would look it up and raise.
        return False


def sign_response(
    provider: Provider,
    person: Person,
    *,
    acs_url: str,
    audience: str,
    in_response_to: str | None,
    now: datetime | None = None,
    **changes: Unpack[Changes],
) -> str:
    """The Response that this provider sends for that person, signed as its product signs, in base64.

    `in_response_to=None` makes an unsolicited one (IdP-initiated). `changes` bends single values before signing.
    """
    shape = provider.shape
    response = _response(
        provider,
        person,
        acs_url=acs_url,
        audience=audience,
        in_response_to=in_response_to,
        now=now or datetime.now(UTC),
        changes=changes,
    )
    provider.signed_in.append(_signed_in(person, response.assertion, audience))
    document = dressed(str(response), shape)
    if changes.get("sign_assertion", True):
        document = provider._signed(document, response.assertion)
    if certificate := changes.get("encrypt_to"):
        document = encrypt_assertion(document, certificate)
    if changes.get("sign_response", shape.signs_response):
        document = provider._signed(document, response)
    return b64encode(document.encode()).decode()


def _response(
    provider: Provider,
    person: Person,
    *,
    acs_url: str,
    audience: str,
    in_response_to: str | None,
    now: datetime,
    changes: Changes,
) -> samlp.Response:
    shape = provider.shape
    name_id_format = changes.get("name_id_format") or shape.name_id_formats[0]
    name_id = changes.get("name_id", shape.name_id(person, name_id_format))
    response = provider.server.create_authn_response(
        identity={},
        in_response_to=in_response_to,
        destination=changes.get("destination", acs_url),
        sp_entity_id=audience,
        name_id=saml.NameID(text=name_id, format=name_id_format),
        authn={"class_ref": shape.authn_context},
        issuer=changes.get("issuer", provider.entity_id),
        sign_response=False,
        sign_assertion=False,
    )
    response.issue_instant = _instant(now)
    _fill(response.assertion, shape=shape, recipient=acs_url, now=now, changes=changes)
    attributes = changes.get("attributes", shape.attributes(person))
    response.assertion.attribute_statement = _attribute_statements(attributes, shape)
    return response


def _fill(assertion: saml.Assertion, *, shape: Flavour, recipient: str, now: datetime, changes: Changes) -> None:
    # pysaml2 has dated everything by its own clock; a given `now` must hold for the whole message.
    not_before = changes.get("not_before", now - CLOCK_SKEW)
    not_on_or_after = changes.get("not_on_or_after", now + shape.lifetime)
    assertion.id = changes.get("assertion_id", assertion.id)
    assertion.issue_instant = _instant(now)
    assertion.conditions.not_before = _instant(not_before)
    assertion.conditions.not_on_or_after = _instant(not_on_or_after)
    confirmed = assertion.subject.subject_confirmation[0].subject_confirmation_data
    confirmed.not_on_or_after = _instant(not_on_or_after)
    confirmed.recipient = changes.get("recipient", recipient)
    statement = assertion.authn_statement[0]
    statement.authn_instant = _instant(changes.get("authn_instant", now))
    statement.session_index = assertion.id
    if "session_not_on_or_after" in changes:
        statement.session_not_on_or_after = _instant(changes["session_not_on_or_after"])


def _signed_in(person: Person, assertion: saml.Assertion, audience: str) -> SignedIn:
    name_id, statement = assertion.subject.name_id, assertion.authn_statement[0]
    return SignedIn(person.key, audience, name_id.text, name_id.format, statement.session_index)


def _attribute_statements(attributes: Attributes, shape: Flavour) -> list[saml.AttributeStatement]:
    rows = [
        saml.Attribute(
            name=name,
            name_format=shape.attribute_name_format,
            attribute_value=[saml.AttributeValue(text=value) for value in values],
        )
        for name, values in attributes.items()
        if values
    ]
    return [saml.AttributeStatement(attribute=rows)] if rows else []


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
