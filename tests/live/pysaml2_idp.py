"""An identity provider on pysaml2, as a process of its own: `python -m tests.live.pysaml2_idp`.

It shares nothing with the service but the SAML standards: it learns of a service provider from that one's metadata,
fetched over HTTP, and signs in whoever its settings name, without a question. Its settings change while it runs.

    GET  /metadata              its metadata
    GET  /certificates          those of all its keys, by name, published or not
    GET, POST /sso              takes AuthnRequests (Redirect, POST), posts a Response back
    GET  /start?sp=             IdP-initiated
    GET, POST /slo              takes LogoutRequests and LogoutResponses
    GET  /logout?sp=&binding=   a person signs out here, and with that at the service provider
    GET  /sessions              who is signed in here
    PUT, PATCH /settings        Settings as JSON; what is not named is as at first, or as it was
    POST /service_providers     {"metadata_url": ...}
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, SAMLError
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_EMAILADDRESS, NAMEID_FORMAT_PERSISTENT, NameID
from saml2.samlp import STATUS_SUCCESS
from saml2.server import Server
from saml2.sigver import verify_redirect_signature
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.live.xmlsec_backend import install

BINDINGS = {"redirect": BINDING_HTTP_REDIRECT, "post": BINDING_HTTP_POST}
KEYS = ("first", "second")
RECEIVED_BY = {"GET": BINDING_HTTP_REDIRECT, "POST": BINDING_HTTP_POST}


@dataclass(frozen=True)
class Settings:
    """What an administrator would click together at a real provider."""

    person: str = "ana@acme.test"
    signed_in_ago: int = 0
    """Seconds since she gave her password; ForceAuthn asks for it anew."""
    sign_assertion: bool = True
    sign_response: bool = False
    cipher: str | None = None
    """Encrypt assertions: a name of xmlsec_backend.CIPHERS."""
    demand_signed_requests: bool = False
    bindings: tuple[str, ...] = ("redirect", "post")
    published_keys: tuple[str, ...] = ("first",)
    signing_key: str = "first"
    sign_logout: bool = True


class _Server(Server):  # type: ignore[misc]  # pysaml2 is untyped
    """pysaml2's own, which keeps no assertions and tells the session index of the last one."""

    session_index: str

    def support_AssertionIDRequest(self) -> bool:
        return False

    def support_AuthnQuery(self) -> bool:
        return False

    def setup_assertion(self, *args: Any, **options: Any) -> Any:
        assertion = super().setup_assertion(*args, **options)
        self.session_index = assertion.authn_statement[0].session_index
        return assertion


class IdentityProvider:
    """The WSGI application."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self._directory = directory
        for name in KEYS:
            _make_key(directory, name)
        self._settings = Settings()
        self._service_providers: dict[str, str] = {}
        self._sessions: dict[tuple[str, str], tuple[NameID, str]] = {}
        self._configure()
        self._routes = Map(
            [
                Rule("/metadata", endpoint=self.metadata, methods=["GET"]),
                Rule("/certificates", endpoint=self.certificates, methods=["GET"]),
                Rule("/sso", endpoint=self.single_sign_on, methods=["GET", "POST"]),
                Rule("/start", endpoint=self.start, methods=["GET"]),
                Rule("/slo", endpoint=self.single_logout, methods=["GET", "POST"]),
                Rule("/logout", endpoint=self.logout, methods=["GET"]),
                Rule("/sessions", endpoint=self.sessions, methods=["GET"]),
                Rule("/settings", endpoint=self.set, methods=["PUT", "PATCH"]),
                Rule("/service_providers", endpoint=self.introduce, methods=["POST"]),
            ]
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            endpoint, _ = self._routes.bind_to_environ(environ).match()
            answer: Any = endpoint(request)
        except HTTPException as error:
            answer = error
        except SAMLError as error:
            answer = Response(f"{type(error).__name__}: {error}", 403)
        return answer(environ, start_response)

    # --- set-up -------------------------------------------------------------------------------------------------

    def set(self, request: Request) -> Response:
        """Take other settings; service providers stay, and with PATCH the sessions."""
        if request.method == "PUT":
            self._settings = Settings()
            self._sessions.clear()
        self._settings = replace(self._settings, **request.get_json())
        self._configure()
        return Response(status=204)

    def introduce(self, request: Request) -> Response:
        """Fetch a service provider's metadata; again, it replaces what was known."""
        url = request.get_json()["metadata_url"]
        with urlopen(url, timeout=10) as answer:
            self._service_providers[url] = answer.read().decode()
        self._configure()
        return Response(status=204)

    def _configure(self) -> None:
        files = {name: str(self._directory / f"{name}.pem") for name in KEYS}
        own, *others = sorted(self._settings.published_keys, key=lambda name: name != self._settings.signing_key)
        bindings = [BINDINGS[name] for name in self._settings.bindings]
        config = IdPConfig().load(
            {
                "entityid": f"{self.url}/metadata",
                "crypto_backend": "XMLSecurity",
                "key_file": str(self._directory / f"{self._settings.signing_key}.key"),
                "cert_file": files[own],
                "additional_cert_files": [files[name] for name in others],
                "metadata_key_usage": "signing",
                "metadata": {"inline": list(self._service_providers.values())},
                "service": {
                    "idp": {
                        "endpoints": {
                            "single_sign_on_service": [(f"{self.url}/sso", binding) for binding in bindings],
                            "single_logout_service": [(f"{self.url}/slo", binding) for binding in bindings],
                        },
                        "signing_algorithm": SIG_RSA_SHA256,
                        "digest_algorithm": DIGEST_SHA256,
                        "want_authn_requests_signed": self._settings.demand_signed_requests,
                    }
                },
            }
        )
        self._server = _Server(config=config)
        install(self._server, cipher=self._settings.cipher or "aes256-cbc")

    def metadata(self, request: Request) -> Response:
        """With every published key."""
        return Response(
            str(entity_descriptor(self._server.config)), content_type="application/samlmetadata+xml; charset=utf-8"
        )

    def certificates(self, request: Request) -> Response:
        """What an administrator would download by hand."""
        texts = {name: (self._directory / f"{name}.pem").read_text() for name in KEYS}
        return Response(json.dumps(texts), content_type="application/json")

    # --- sign-in ------------------------------------------------------------------------------------------------

    def single_sign_on(self, request: Request) -> Response:
        """Answer an AuthnRequest, whose signature must be good where one is demanded."""
        asked = self._server.parse_authn_request(*_message(request, "SAMLRequest")).message
        where = self._server.response_args(asked, [BINDING_HTTP_POST])
        ago = 0 if asked.force_authn == "true" else self._settings.signed_in_ago
        return self._assert(where, relay_state=request.values.get("RelayState", ""), ago=ago)

    def start(self, request: Request) -> Response:
        """An unsolicited Response, as from a tile on the provider's page."""
        sp = request.args["sp"]
        _, acs = self._server.pick_binding(
            "assertion_consumer_service", [BINDING_HTTP_POST], descr_type="spsso", entity_id=sp
        )
        where = {"in_response_to": None, "sp_entity_id": sp, "destination": acs, "name_id_policy": None}
        return self._assert(where, relay_state=request.args.get("RelayState", ""), ago=self._settings.signed_in_ago)

    def _assert(self, where: dict[str, Any], *, relay_state: str, ago: int) -> Response:
        sp, person = where["sp_entity_id"], self._settings.person
        where.pop("binding", None)
        name_id = self._name_id(sp, person, where["name_id_policy"])
        response = self._server.create_authn_response(
            {"mail": [person], "givenName": [person.partition("@")[0].title()], "sn": ["Almeida"]},
            userid=person,
            name_id=name_id,
            authn={
                "class_ref": PASSWORDPROTECTEDTRANSPORT,
                "authn_auth": self.url,
                "authn_instant": time.time() - ago,
            },
            sign_assertion=self._settings.sign_assertion,
            sign_response=self._settings.sign_response,
            encrypt_assertion=self._settings.cipher is not None,
            **where,
        )
        self._sessions[sp, person] = name_id, self._server.session_index
        return self._send(BINDING_HTTP_POST, response, where["destination"], relay_state, response=True)

    def _name_id(self, sp: str, person: str, policy: Any) -> NameID:
        if policy is not None and policy.format == NAMEID_FORMAT_EMAILADDRESS:
            return NameID(format=NAMEID_FORMAT_EMAILADDRESS, text=person)
        pairwise = hashlib.sha256(f"{self.url} {sp} {person}".encode()).hexdigest()
        return NameID(
            format=NAMEID_FORMAT_PERSISTENT,
            name_qualifier=self._server.config.entityid,
            sp_name_qualifier=sp,
            text=pairwise,
        )

    # --- logout -------------------------------------------------------------------------------------------------

    def logout(self, request: Request) -> Response:
        """Sign the person out here: a LogoutRequest for her session at the service provider."""
        sp, binding = request.args["sp"], BINDINGS[request.args.get("binding", "redirect")]
        name_id, session_index = self._sessions.pop((sp, self._settings.person))
        _, destination = self._server.pick_binding("single_logout_service", [binding], "spsso", entity_id=sp)
        _, message = self._server.create_logout_request(
            destination,
            sp,
            name_id=name_id,
            session_indexes=[session_index],
            expire=(datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            sign=binding == BINDING_HTTP_POST and self._settings.sign_logout,
        )
        return self._send(binding, message, destination, "signed out at the provider", response=False)

    def sessions(self, request: Request) -> Response:
        """For the test to see that a logout came through."""
        return Response(json.dumps([person for _, person in self._sessions]), content_type="application/json")

    def single_logout(self, request: Request) -> Response:
        """A LogoutRequest ends the session that it names and is answered; a LogoutResponse is told to the person."""
        if "SAMLResponse" in request.values:
            return self._logged_out(request)
        asked = self._server.parse_logout_request(*_message(request, "SAMLRequest")).message
        sp = asked.issuer.text
        ended = [
            key
            for key, (name_id, index) in self._sessions.items()
            if key[0] == sp
            and name_id.text == asked.name_id.text
            and (not asked.session_index or index in [named.text for named in asked.session_index])
        ]
        for key in ended:
            del self._sessions[key]
        binding = RECEIVED_BY[request.method]
        _, destination = self._server.pick_binding("single_logout_service", [binding], "spsso", entity_id=sp)
        answer = self._server.create_logout_response(asked, [binding], sign=binding == BINDING_HTTP_POST)
        return self._send(binding, answer, destination, request.values.get("RelayState", ""), response=True)

    def _logged_out(self, request: Request) -> Response:
        text, binding, *_ = _message(request, "SAMLResponse")
        answer = self._server.parse_logout_request_response(text, binding).response
        by_redirect = binding == BINDING_HTTP_REDIRECT
        # One that came by POST carries its signature, which was verified in parsing it if it is there.
        if not (self._signed_redirect(request, answer.issuer.text) if by_redirect else answer.signature):
            return Response("The LogoutResponse is not signed by its sender.", 403)
        return Response("Signed out" if answer.status.status_code.value == STATUS_SUCCESS else "Not signed out")

    def _signed_redirect(self, request: Request, sender: str) -> bool:
        certificates = self._server.metadata.certs(sender, "any", "signing")
        sent = request.args.to_dict()
        return "Signature" in sent and any(
            verify_redirect_signature(sent, self._server.sec.sec_backend, pem) for _, pem in certificates
        )

    # --- messages -----------------------------------------------------------------------------------------------

    def _send(self, binding: str, message: Any, destination: str, relay_state: str, *, response: bool) -> Response:
        detached = binding == BINDING_HTTP_REDIRECT and self._settings.sign_logout
        sent = self._server.apply_binding(
            binding, f"{message}", destination, relay_state, response=response, sign=detached
        )
        page = sent["data"] if binding == BINDING_HTTP_POST else ""
        return Response(page, sent["status"], headers=sent["headers"], content_type="text/html; charset=utf-8")


def _message(request: Request, field: str) -> tuple[str | None, ...]:
    """A message, its binding, and what signs it by Redirect, in the order of pysaml2's parsers."""
    detached = [request.args.get(name) for name in ("RelayState", "SigAlg", "Signature")]
    return (request.values[field], RECEIVED_BY[request.method], *detached)


def _make_key(directory: Path, name: str) -> None:
    """A key and its self-signed certificate, good for a year."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"provider, {name} key")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (directory / f"{name}.key").write_bytes(private)


class _Quiet(WSGIRequestHandler):
    """Nobody reads the access log of a test."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def main() -> None:
    """Serve until terminated; one request at a time, as pysaml2's signers are shared. The first line is the URL."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--directory", type=Path, required=True, help="for the keys that it makes")
    arguments.add_argument("--port", type=int, default=0, help="0: a free one")
    given = arguments.parse_args()
    server = make_server("127.0.0.1", given.port, Response(), request_handler=_Quiet)
    # By name, so that browsers take it for another site than the service on 127.0.0.1.
    server.app = IdentityProvider(f"http://localhost:{server.port}", given.directory)
    print(server.app.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
