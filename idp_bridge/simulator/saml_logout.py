"""Single logout from the identity provider's side: asks service providers to end sessions, answers when they ask.

Owns the messages; `site.py` carries them. Query strings are signed here by cryptography alone: pysaml2's signers are
objects of the whole process, and two providers live in this one.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict, Unpack
from urllib.parse import quote
from zlib import MAX_WBITS, compressobj, decompressobj

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from saml2 import BINDING_HTTP_POST, class_name, saml, samlp
from saml2.s_utils import sid
from saml2.sigver import SignatureError, pem_format
from saml2.validate import valid_instance
from saml2.xmldsig import SIG_RSA_SHA256

from idp_bridge.simulator.crypto import check_signature
from idp_bridge.simulator.flavours import dressed
from idp_bridge.simulator.saml_idp import Provider, Refused
from idp_bridge.simulator.service_provider import ServiceProvider, SignedIn

MAX_DOCUMENT = 64 * 1024


@dataclass(frozen=True)
class Outgoing:
    """What the browser has to do: GET `url`, or POST `fields` to it."""

    id: str
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A service provider's LogoutRequest that was understood."""

    service_provider: ServiceProvider
    request_id: str
    name_id: str
    name_id_format: str | None
    session_indexes: tuple[str, ...]

    def means(self, session: SignedIn) -> bool:
        """Whether it is about this session (Core 3.7.3.1)."""
        return (
            session.service_provider == self.service_provider.entity_id
            and (session.name_id, session.name_id_format) == (self.name_id, self.name_id_format)
            and (not self.session_indexes or session.session_index in self.session_indexes)
        )


@dataclass(frozen=True)
class Answered:
    """A service provider's LogoutResponse that was understood."""

    service_provider: ServiceProvider
    in_response_to: str
    success: bool


class Changes(TypedDict, total=False):
    """What a caller may want different from what the real product would send."""

    issuer: str
    destination: str
    name_id: str
    name_id_format: str | None
    session_indexes: tuple[str, ...]
    not_on_or_after: datetime
    sign: bool


def ask(
    provider: Provider,
    sp: ServiceProvider,
    session: SignedIn,
    *,
    binding: str | None = None,
    relay_state: str | None = None,
    now: datetime | None = None,
    **changes: Unpack[Changes],
) -> Outgoing:
    """The LogoutRequest (Core 3.7.1) that this provider's product sends for that session."""
    chosen, url, _ = endpoint(provider, sp, binding)
    name_id_format = changes.get(
        "name_id_format", session.name_id_format if provider.shape.logout_says_format else None
    )
    indexes = changes.get("session_indexes", (session.session_index,))
    request = samlp.LogoutRequest(
        id=sid(),
        version="2.0",
        issue_instant=_instant(now),
        not_on_or_after=_instant(changes["not_on_or_after"]) if "not_on_or_after" in changes else None,
        destination=changes.get("destination", url),
        issuer=saml.Issuer(text=changes.get("issuer", provider.entity_id)),
        name_id=saml.NameID(text=changes.get("name_id", session.name_id), format=name_id_format),
        session_index=[samlp.SessionIndex(text=index) for index in indexes],
    )
    return _sent(provider, "SAMLRequest", request, chosen, url, relay_state, sign=changes.get("sign", True))


def answer(
    provider: Provider,
    sp: ServiceProvider,
    *,
    in_response_to: str,
    status: tuple[str, ...] = (samlp.STATUS_SUCCESS,),
    binding: str | None = None,
    relay_state: str | None = None,
    now: datetime | None = None,
    **changes: Unpack[Changes],
) -> Outgoing:
    """The LogoutResponse (Core 3.7.2); `status` from the outside in."""
    chosen, _, url = endpoint(provider, sp, binding)
    inner = samlp.StatusCode(value=status[1]) if len(status) > 1 else None
    response = samlp.LogoutResponse(
        id=sid(),
        version="2.0",
        issue_instant=_instant(now),
        in_response_to=in_response_to,
        destination=changes.get("destination", url),
        issuer=saml.Issuer(text=changes.get("issuer", provider.entity_id)),
        status=samlp.Status(status_code=samlp.StatusCode(value=status[0], status_code=inner)),
    )
    return _sent(provider, "SAMLResponse", response, chosen, url, relay_state, sign=changes.get("sign", True))


def read(provider: Provider, fields: Mapping[str, str], binding: str) -> Asked | Answered:
    """A service provider's LogoutRequest or LogoutResponse; Refused when it is none, or is not signed by it."""
    asks = "SAMLRequest" in fields
    try:
        document = _document(fields["SAMLRequest" if asks else "SAMLResponse"], binding)
        message = (samlp.logout_request_from_string if asks else samlp.logout_response_from_string)(document)
        valid_instance(message)
    except Exception as error:  # pysaml2 lets anything out on bad input: TypeError, ParseError, NotValid …
        raise Refused(f"This is no logout message that can be read ({type(error).__name__}).") from error
    sp = provider.known(message.issuer.text)
    if not _is_signed(provider, document, message.id, sp, fields, binding):
        raise Refused("The service provider has not signed this logout message.")
    if not asks:
        return Answered(sp, message.in_response_to, message.status.status_code.value == samlp.STATUS_SUCCESS)
    return Asked(
        sp, message.id, message.name_id.text, message.name_id.format, tuple(item.text for item in message.session_index)
    )


def _document(field: str, binding: str) -> bytes:
    octets = b64decode(field, validate=True)
    return octets if binding == BINDING_HTTP_POST else decompressobj(-MAX_WBITS).decompress(octets, MAX_DOCUMENT)


def _is_signed(
    provider: Provider, document: bytes, node_id: str, sp: ServiceProvider, fields: Mapping[str, str], binding: str
) -> bool:
    if binding != BINDING_HTTP_POST:
        return "Signature" in fields and provider.redirect_signature_fits(fields, sp)
    for certificate in sp.signing_certificates:
        try:
            check_signature(document, node_id=node_id, certificate_pem=pem_format(certificate))
        except SignatureError:
            continue
        return True
    return False


def end(provider: Provider, asked: Asked) -> tuple[str, ...]:
    """Forget the sessions that a service provider wants ended; the status codes of the answer.

    PartialLogout where another one has her signed in, too: it would have to be told, which happens from the pages of
    this provider only. Her other sessions with the same one are other browsers'.
    """
    mine = [each for each in provider.signed_in if asked.means(each)]
    people = {each.person for each in mine}
    for each in mine:
        provider.signed_in.remove(each)
    own = asked.service_provider.entity_id
    if any(each.person in people and each.service_provider != own for each in provider.signed_in):
        return samlp.STATUS_SUCCESS, samlp.STATUS_PARTIAL_LOGOUT
    return (samlp.STATUS_SUCCESS,)


def endpoint(provider: Provider, sp: ServiceProvider, binding: str | None = None) -> tuple[str, str, str]:
    """The binding and the URLs, for requests and for answers, at which both sides understand each other."""
    for wanted in (binding,) if binding else provider.shape.slo_bindings:
        if wanted in sp.slo_urls:
            url, response_url = sp.slo_urls[wanted]
            return wanted, url, response_url
    raise Refused("The service provider's metadata names no SingleLogoutService that this provider can use.")


def _sent(
    provider: Provider,
    name: str,
    message: samlp.LogoutRequest | samlp.LogoutResponse,
    binding: str,
    url: str,
    relay_state: str | None,
    *,
    sign: bool,
) -> Outgoing:
    document = dressed(str(message), provider.shape)
    state = {} if relay_state is None else {"RelayState": relay_state}
    if binding == BINDING_HTTP_POST:
        if sign:
            document = str(provider.server.sec.sign_statement(document, class_name(message), node_id=message.id))
        return Outgoing(message.id, url, {name: b64encode(document.encode()).decode(), **state})
    query = {name: _deflated(document), **state}
    return Outgoing(message.id, f"{url}{'&' if '?' in url else '?'}{_query(provider, query, sign=sign)}")


def _query(provider: Provider, fields: Mapping[str, str], *, sign: bool) -> str:
    """Bindings 3.4.4.1: what is signed is what is sent, in the product's own spelling."""
    octets = "&".join(f"{name}={_escaped(provider, value)}" for name, value in fields.items())
    if not sign:
        return octets
    octets += f"&SigAlg={_escaped(provider, SIG_RSA_SHA256)}"
    value = b64encode(provider.keys.key.sign(octets.encode(), PKCS1v15(), hashes.SHA256())).decode()
    return f"{octets}&Signature={_escaped(provider, value)}"


def _escaped(provider: Provider, value: str) -> str:
    escaped = quote(value, safe="")
    if provider.shape.lower_case_escapes:
        pieces = escaped.split("%")
        escaped = "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])
    return escaped


def _deflated(document: str) -> str:
    compressor = compressobj(9, wbits=-MAX_WBITS)
    return b64encode(compressor.compress(document.encode()) + compressor.flush()).decode()


def _instant(moment: datetime | None) -> str:
    at = (moment or datetime.now(UTC)).astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
