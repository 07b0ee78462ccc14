"""HTTP-Redirect: what a query string says, who signed it, and what is refused before anything is inflated."""

import base64
import tracemalloc
import zlib
from collections.abc import Callable
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from idp_bridge.saml import redirect
from idp_bridge.saml.errors import Reason, Rejected

from . import idp

RSA_SHA256 = f"{idp.MORE}rsa-sha256"
DOCUMENT = b"<a/>"


def deflated(document: bytes) -> str:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(document) + compressor.flush()).decode()


def signed_query(
    *,
    by: idp.Pair | None = None,
    method: str = RSA_SHA256,
    relay_state: str | None = "state",
    encode: Callable[[str], str] = quote_plus,
    **more: str,
) -> bytes:
    """A query string as a provider sends it, each value spelt by `encode`."""
    values = {"SAMLRequest": deflated(DOCUMENT)} | ({} if relay_state is None else {"RelayState": relay_state})
    octets = "&".join(f"{name}={encode(value)}" for name, value in {**values, "SigAlg": method}.items())
    value = base64.b64encode(idp.METHODS[method]((by or idp.idp()).key, octets.encode())).decode()
    return "&".join([octets, f"Signature={encode(value)}", *(f"{k}={encode(v)}" for k, v in more.items())]).encode()


def signer(query: bytes, **options: object) -> str:
    certificates = options.pop("certificates", (idp.idp().certificate,))
    found = redirect.signed_by(redirect.read(query), certificates=certificates, **options)  # type: ignore[arg-type]
    return found.fingerprint_sha256


def refusal(query: bytes, **options: object) -> Reason:
    with pytest.raises(Rejected) as refused:
        signer(query, **options)
    return refused.value.reason


# --- reading ----------------------------------------------------------------------------------------------------


def test_parameters_are_read_whatever_their_order() -> None:
    """The order in the URL is the sender's; the order under the signature is the binding's."""
    parts = signed_query().split(b"&")
    read = redirect.read(b"&".join(reversed(parts)))
    assert (read.name, read.relay_state, read.algorithm) == ("SAMLRequest", "state", RSA_SHA256)
    assert read.signed == b"&".join(parts[:3])
    assert redirect.inflate(read.message) == DOCUMENT


@pytest.mark.parametrize("name", ["SAMLRequest", "RelayState", "SigAlg", "Signature", "SAMLEncoding", "SAML%52equest"])
def test_a_parameter_twice_is_refused(name: str) -> None:
    """However it is spelt: one reader must not verify the first and another obey the second."""
    plain = name.replace("%52", "R")
    query = signed_query(SAMLEncoding="urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE")
    assert plain.encode() + b"=" in query
    assert refusal(query + f"&{name}=x".encode()) is Reason.QUERY_MALFORMED


@pytest.mark.parametrize("query", [b"", b"a=b", b"SAMLRequest=a&SAMLResponse=b", b"saml%00Request=a", b"&&&=&"])
def test_neither_and_both_messages_are_no_message(query: bytes) -> None:
    """Nobody may choose which one is meant."""
    assert refusal(query) is Reason.NOT_A_LOGOUT_MESSAGE


@pytest.mark.parametrize("value", ["%FF", "%C3%28", "ä"])
def test_what_is_not_utf_8_is_refused(value: str) -> None:
    """Percent-encoded or bare."""
    assert refusal(b"SAMLRequest=a&RelayState=" + value.encode("latin-1")) is Reason.QUERY_MALFORMED


def test_another_encoding_is_refused() -> None:
    """DEFLATE is the only one there is (Bindings 3.4.4)."""
    assert refusal(signed_query(SAMLEncoding="urn:example:gzip")) is Reason.QUERY_MALFORMED


def test_parameters_of_others_are_left_alone() -> None:
    """Entra and ADFS add their own, outside the signature."""
    assert signer(signed_query(sso_nonce="x", client="y")) == idp.idp().certificate.fingerprint_sha256


def test_long_queries_are_refused_unread() -> None:
    """Whatever the web server lets through; 16 KiB are read."""
    longest = b"SAMLRequest=" + b"a" * (16 * 1024 - 12)
    assert refusal(longest) is Reason.SIGNATURE_MISSING
    assert refusal(longest + b"a") is Reason.MESSAGE_TOO_LARGE


# --- inflating --------------------------------------------------------------------------------------------------


def test_deflate_bomb_stops_at_the_bound() -> None:
    """A thousandfold is possible in DEFLATE; not one octet more than the bound is made of it."""
    bomb = deflated(b"a" * 10_000_000)
    assert len(bomb) < redirect.LONGEST_QUERY
    tracemalloc.start()
    try:
        with pytest.raises(Rejected) as refused:
            redirect.inflate(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason is Reason.MESSAGE_TOO_LARGE
    assert peak < 3 * redirect.LARGEST_INFLATED


def test_the_bound_itself_is_inflated() -> None:
    """And the next octet is not."""
    assert len(redirect.inflate(deflated(b"a" * redirect.LARGEST_INFLATED))) == redirect.LARGEST_INFLATED
    with pytest.raises(Rejected):
        redirect.inflate(deflated(b"a" * (redirect.LARGEST_INFLATED + 1)))


RAW = base64.b64decode(deflated(DOCUMENT * 9))


def test_plus_that_was_not_escaped_is_a_plus_in_base64() -> None:
    """RFC 3986 lets a plus stand in a query; only forms mean a space by it, and base64 has none."""

    def bare(text: str) -> str:
        return quote_plus(text).replace("%2B", "+")

    queries = (signed_query(encode=bare, relay_state=f"a+b {number}") for number in range(100))
    query = next(query for query in queries if query.count(b"+", query.index(b"&Signature")))
    assert signer(query) == idp.idp().certificate.fingerprint_sha256
    read = redirect.read(query.replace(b"RelayState=a+b+", b"RelayState=a%2Bb+"))
    assert redirect.inflate(read.message) == DOCUMENT
    assert "+" in str(read.signature)
    assert str(read.relay_state).startswith("a+b ")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", Reason.NOT_DEFLATED),
        (b"\xff\xff", Reason.NOT_DEFLATED),
        (RAW[:-2], Reason.NOT_DEFLATED),
        (RAW + b"x", Reason.NOT_DEFLATED),
        (zlib.compress(DOCUMENT), Reason.NOT_DEFLATED),  # with the header that the binding leaves out
    ],
)
def test_broken_deflate_is_refused(octets: bytes, reason: Reason) -> None:
    """Cut short, with something behind it, or something else."""
    with pytest.raises(Rejected) as refused:
        redirect.inflate(base64.b64encode(octets).decode())
    assert refused.value.reason is reason


@pytest.mark.parametrize("message", ["*", "YQ", "YQ=", "ä"])
def test_broken_base64_is_refused(message: str) -> None:
    """Strictly, line breaks aside."""
    with pytest.raises(Rejected) as refused:
        redirect.inflate(message)
    assert refused.value.reason is Reason.NOT_BASE64


# --- signatures -------------------------------------------------------------------------------------------------

RSA_METHODS = sorted(name for name in idp.METHODS if "rsa" in name.lower() and "sha1" not in name)
ECDSA_METHODS = sorted(name for name in idp.METHODS if "ecdsa" in name)
ENTRA = {"encode": lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")}


@pytest.mark.parametrize("method", RSA_METHODS)
def test_every_rsa_method_of_the_list_verifies(method: str) -> None:
    """SHA-256, 384 and 512, with PKCS #1 or PSS."""
    assert signer(signed_query(method=method)) == idp.idp().certificate.fingerprint_sha256


@pytest.mark.parametrize("method", ECDSA_METHODS)
def test_every_ecdsa_method_of_the_list_verifies(method: str) -> None:
    """r and s one after the other, as XML Signature wants it."""
    pair = idp.pair("curve", "ec")
    assert signer(signed_query(by=pair, method=method), certificates=(pair.certificate,))


def test_ecdsa_in_der_verifies_too() -> None:
    """What Java's own signer makes."""
    pair = idp.pair("curve", "ec")
    assert isinstance(pair.key, ec.EllipticCurvePrivateKey)
    method = f"{idp.MORE}ecdsa-sha256"
    octets, _, _ = signed_query(by=pair, method=method).partition(b"&Signature=")
    value = base64.b64encode(pair.key.sign(octets, ec.ECDSA(hashes.SHA256())))
    assert signer(octets + b"&Signature=" + quote_plus(value).encode(), certificates=(pair.certificate,))


@pytest.mark.parametrize("relay_state", [None, "", "a b&c=ä", "x" * 500])
def test_octets_are_verified_as_they_were_sent(relay_state: str | None) -> None:
    """Entra writes hexadecimal digits in lower case; a decoder and an encoder between would break every signature."""
    query = signed_query(relay_state=relay_state, **ENTRA)  # type: ignore[arg-type]
    assert b"%2f" in query
    assert signer(query)
    assert redirect.read(query).relay_state == relay_state
    respelt = query.replace(b"%2f", b"%2F")
    assert refusal(respelt) is Reason.SIGNATURE_INVALID


def without(name: str) -> bytes:
    return b"&".join(part for part in signed_query().split(b"&") if not part.startswith(f"{name}=".encode()))


@pytest.mark.parametrize("name", ["Signature", "SigAlg"])
def test_an_absent_signature_is_refused(name: str) -> None:
    """And an empty one."""
    assert refusal(without(name)) is Reason.SIGNATURE_MISSING
    assert refusal(without(name) + f"&{name}=".encode()) is Reason.SIGNATURE_MISSING


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (signed_query(by=idp.attacker()), Reason.SIGNATURE_INVALID),
        (signed_query().replace(b"RelayState=state", b"RelayState=other"), Reason.SIGNATURE_INVALID),
        (without("RelayState"), Reason.SIGNATURE_INVALID),
        (without("RelayState") + b"&RelayState=", Reason.SIGNATURE_INVALID),
        (signed_query(relay_state=None) + b"&RelayState=added", Reason.SIGNATURE_INVALID),
        (signed_query().replace(b"SAMLRequest=", b"SAMLResponse="), Reason.SIGNATURE_INVALID),
        (signed_query(method=f"{idp.MORE}hmac-sha256"), Reason.SIGNATURE_ALGORITHM),
        (signed_query().replace(b"rsa-sha256", b"ecdsa-sha256"), Reason.SIGNATURE_INVALID),
        (signed_query().replace(b"rsa-sha256", b"none"), Reason.SIGNATURE_ALGORITHM),
        (without("Signature") + b"&Signature=*", Reason.SIGNATURE_STRUCTURE),
        (without("Signature") + b"&Signature=YQ%3D%3D", Reason.SIGNATURE_INVALID),
    ],
)
def test_what_the_pinned_key_did_not_sign_is_refused(query: bytes, reason: Reason) -> None:
    """Another key, another text, another method."""
    assert refusal(query) is reason


def test_sha_1_only_where_the_switch_allows_it() -> None:
    """Off by default, like inside a message."""
    query = signed_query(method=f"{idp.DS}rsa-sha1")
    assert refusal(query) is Reason.SIGNATURE_WEAK
    assert signer(query, allow_weak=True)


def test_small_keys_only_where_the_switch_allows_it() -> None:
    """RSA under 2048 bits."""
    small = idp.pair("small", "rsa1024")
    query = signed_query(by=small)
    assert refusal(query, certificates=(small.certificate,)) is Reason.SIGNATURE_WEAK
    assert signer(query, certificates=(small.certificate,), allow_weak=True)


def test_any_of_several_pinned_keys_will_do() -> None:
    """A roll-over has two at once; none at all verifies nothing."""
    pinned = (idp.attacker().certificate, idp.pair("curve", "ec").certificate, idp.idp().certificate)
    assert signer(signed_query(), certificates=pinned) == idp.idp().certificate.fingerprint_sha256
    assert refusal(signed_query(), certificates=()) is Reason.CERTIFICATE_UNUSABLE
    assert refusal(signed_query(), certificates=(idp.ed25519_certificate(),)) is Reason.CERTIFICATE_UNUSABLE


# --- sending ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://idp.example.com/slo", "https://idp.example.com/slo?idpid=1#top"])
@pytest.mark.parametrize("relay_state", [None, "a b&c=ä/~*"])
def test_what_is_sent_is_what_is_read(url: str, relay_state: str | None) -> None:
    """Our own reader verifies our own query, with a query of the endpoint's own in front."""
    pair = idp.sp_keys()
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    sent = redirect.url_with(url, "SAMLResponse", DOCUMENT, relay_state=relay_state, key=pair.key)
    assert sent.startswith("https://idp.example.com/slo?")
    assert "#" not in sent
    query = urlsplit(sent).query.encode()
    assert redirect.signed_by(redirect.read(query), certificates=(pair.certificate,)) == pair.certificate
    read = redirect.read(query)
    assert (redirect.inflate(read.message), read.relay_state) == (DOCUMENT, relay_state)


def test_signature_covers_the_octets_sent() -> None:
    """Checked by cryptography alone: message, RelayState, SigAlg, in this order (Bindings 3.4.4.1)."""
    pair = idp.sp_keys()
    assert isinstance(pair.key, rsa.RSAPrivateKey)
    query = urlsplit(redirect.url_with("https://idp.example.com/", "SAMLRequest", b"x", relay_state="r", key=pair.key))
    signed, _, _ = query.query.partition("&Signature=")
    assert list(parse_qs(query.query)) == ["SAMLRequest", "RelayState", "SigAlg", "Signature"]
    value = base64.b64decode(parse_qs(query.query)["Signature"][0])
    pair.key.public_key().verify(value, signed.encode(), PKCS1v15(), hashes.SHA256())
    assert urlencode({"SigAlg": RSA_SHA256}) in signed
