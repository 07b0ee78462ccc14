"""HTTP-Redirect binding (Bindings 3.4): a message deflated into a query string, with its signature beside it.

The signature covers octets of the query string as they were sent. So they are never decoded and encoded again: two
spellings of one value (Entra writes `%2f`, most others `%2F`) sign differently. Each parameter stands once, so that
nobody can verify one and read the other; keys are pinned; what would inflate beyond a bound is refused while it does.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus, urlencode, urlsplit, urlunsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from idp_bridge.saml import pinned
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.errors import NotSaml, Reason, Rejected
from idp_bridge.saml.xml import from_base64

__all__ = ["Query", "inflate", "read", "signed_by", "url_with"]

LONGEST_QUERY = 16 * 1024  # web servers stop long before; ours at 8190
LARGEST_INFLATED = 64 * 1024  # a LogoutRequest has one or two

_MESSAGES = ("SAMLRequest", "SAMLResponse")
_PARAMETERS = frozenset({*_MESSAGES, "RelayState", "SigAlg", "Signature", "SAMLEncoding"})
_BASE64 = frozenset({*_MESSAGES, "Signature"})
_DEFLATE = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
_DEFLATED = "one document, deflated (RFC 1951)"
_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


@dataclass(frozen=True)
class Query:
    """A query string that was taken apart; nothing of it is verified."""

    name: str
    """`SAMLRequest` or `SAMLResponse`."""
    message: str
    """In base64, deflated."""
    relay_state: str | None
    signed: bytes
    """What the signature covers, octet by octet as it was sent."""
    algorithm: str | None
    signature: str | None


# --- reading ----------------------------------------------------------------------------------------------------


def read(query: bytes) -> Query:
    """Take a raw query string apart. Parameters that are not the binding's are left alone. Raises `Rejected`."""
    if len(query) > LONGEST_QUERY:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got=f"{len(query)} octets", want=f"{LONGEST_QUERY} at most")
    raw = _parameters(query)
    names = [name for name in _MESSAGES if name in raw]
    if len(names) != 1:
        raise NotSaml(Reason.NOT_A_LOGOUT_MESSAGE, got=" ".join(names), want=" or ".join(_MESSAGES))
    values = {name: _decoded(name, value) for name, value in raw.items()}
    if values.get("SAMLEncoding", _DEFLATE) != _DEFLATE:
        raise Rejected(Reason.QUERY_MALFORMED, parameter="SAMLEncoding", got=values["SAMLEncoding"], want=_DEFLATE)
    covered = [name for name in (names[0], "RelayState", "SigAlg") if name in raw]
    return Query(
        name=names[0],
        message=values[names[0]],
        relay_state=values.get("RelayState"),
        signed=b"&".join(name.encode() + b"=" + raw[name] for name in covered),
        algorithm=values.get("SigAlg"),
        signature=values.get("Signature"),
    )


def _parameters(query: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in query.split(b"&"):
        raw_name, _, value = part.partition(b"=")
        name = unquote_plus(raw_name.decode("latin-1"))
        if name not in _PARAMETERS:
            continue
        if name in found:
            raise Rejected(Reason.QUERY_MALFORMED, got=f"{name} twice", want="each parameter once")
        found[name] = value
    return found


def _decoded(name: str, value: bytes) -> str:
    """A plus is a space where a form wrote it, and itself in base64: some providers do not escape it there, which RFC
    3986 section 3.4 lets them."""
    decode = unquote if name in _BASE64 else unquote_plus
    try:
        return decode(value.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise Rejected(Reason.QUERY_MALFORMED, got="something else", want="UTF-8, percent-encoded") from None


def inflate(message: str) -> bytes:
    """Base64 and raw DEFLATE (RFC 1951) undone, up to a bound. Raises `Rejected`."""
    try:
        deflated = from_base64(message)
    except ValueError:
        raise NotSaml(Reason.NOT_BASE64, got=f"{len(message)} characters of something else", want="base64") from None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        document = inflater.decompress(deflated, LARGEST_INFLATED + 1)
    except zlib.error:
        raise NotSaml(Reason.NOT_DEFLATED, got="something else", want=_DEFLATED) from None
    if len(document) > LARGEST_INFLATED:
        raise NotSaml(Reason.MESSAGE_TOO_LARGE, got="more octets, inflated", want=f"{LARGEST_INFLATED} at most")
    if not inflater.eof or inflater.unused_data:
        raise NotSaml(Reason.NOT_DEFLATED, got="something is missing, or follows", want=_DEFLATED)
    return document


# --- verifying --------------------------------------------------------------------------------------------------


def signed_by(query: Query, *, certificates: Sequence[Certificate], allow_weak: bool = False) -> Certificate:
    """The pinned certificate whose key signed the query string (Bindings 3.4.4.1). Raises `Rejected`."""
    if not query.signature or not query.algorithm:
        raise Rejected(Reason.SIGNATURE_MISSING, got="no Signature or SigAlg", want="both")
    try:
        value = from_base64(query.signature)
    except ValueError:
        raise Rejected(Reason.SIGNATURE_STRUCTURE, got="a Signature of something else", want="base64") from None
    return pinned.signer(query.signed, value, method=query.algorithm, certificates=certificates, allow_weak=allow_weak)


# --- sending ----------------------------------------------------------------------------------------------------


def url_with(
    url: str, name: str, document: bytes, *, relay_state: str | None = None, key: rsa.RSAPrivateKey | None = None
) -> str:
    """Where the browser goes: the message as the query of `url`, signed where there is a key (RSA with SHA-256)."""
    state = {} if relay_state is None else {"RelayState": relay_state}
    query = urlencode({name: _deflated(document), **state})
    query = query if key is None else _signed(query, key)
    # Some providers' URLs carry a query of their own (Google's idpid); it stays in front.
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query, fragment=""))


def _deflated(document: bytes) -> str:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(document) + compressor.flush()).decode("ascii")


def _signed(query: str, key: rsa.RSAPrivateKey) -> str:
    """The signature covers exactly the octets that are sent: the message, RelayState, SigAlg, in this order."""
    signed = f"{query}&{urlencode({'SigAlg': _RSA_SHA256})}"
    value = key.sign(signed.encode("ascii"), PKCS1v15(), hashes.SHA256())
    return f"{signed}&{urlencode({'Signature': base64.b64encode(value).decode('ascii')})}"
