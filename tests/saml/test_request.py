"""AuthnRequests: what is sent, by which way, and that the signature holds under the certificate we publish."""

import base64
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from lxml import etree

from idp_bridge.saml import POST, REDIRECT, Endpoint, MetadataError, SigningKey, authn_request, redirect, signature
from idp_bridge.saml.sending import Sent

from . import idp

SSO = "https://idp.example.com/sso"
ELSEWHERE = idp.NOW.astimezone(timezone(timedelta(hours=5)))


def request(binding: str = REDIRECT, url: str = SSO, **kwargs: Any) -> Sent:
    now = kwargs.pop("now", idp.NOW)
    return authn_request(sp_entity_id=idp.SP, acs_url=idp.ACS, sso=Endpoint(binding, url), now=now, **kwargs)


def signing_key() -> SigningKey:
    pair = idp.sp_keys()
    return SigningKey(pair.key, pair.certificate)  # type: ignore[arg-type]


def sent(made: Sent) -> etree._Element:
    if made.method == "POST":
        return etree.fromstring(base64.b64decode(made.fields["SAMLRequest"]))
    deflated = base64.b64decode(parse_qs(urlsplit(made.url).query)["SAMLRequest"][0])
    return etree.fromstring(zlib.decompress(deflated, -zlib.MAX_WBITS))


@pytest.mark.parametrize("binding", [REDIRECT, POST])
@pytest.mark.parametrize("signed", [False, True])
def test_request_says_who_asks_and_where_to_answer(binding: str, signed: bool) -> None:
    """The same words by every binding, signed or not."""
    made = request(binding, signing_key=signing_key() if signed else None, now=ELSEWHERE)
    root = sent(made)
    assert root.tag == f"{{{idp.SAMLP}}}AuthnRequest"
    assert dict(root.attrib) == {
        "ID": made.id,
        "Version": "2.0",
        "IssueInstant": "2026-03-01T12:00:00Z",
        "Destination": SSO,
        "AssertionConsumerServiceURL": idp.ACS,
        "ProtocolBinding": POST,
    }
    assert root.findtext(f"{{{idp.SAML}}}Issuer") == idp.SP
    assert root.find(f"{{{idp.SAMLP}}}NameIDPolicy") is None


def test_optional_wishes() -> None:
    """ForceAuthn and NameIDPolicy are there only when asked for."""
    root = sent(request(force_authn=True, name_id_format=idp.EMAIL))
    assert root.get("ForceAuthn") == "true"
    policy = root.find(f"{{{idp.SAMLP}}}NameIDPolicy")
    assert policy is not None
    assert dict(policy.attrib) == {"Format": idp.EMAIL, "AllowCreate": "true"}


def test_ids_are_unguessable_and_new() -> None:
    """An NCName with 160 random bits."""
    ids = {request().id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(name) == 41 and name.startswith("_") for name in ids)


@pytest.mark.parametrize(
    ("url", "start"),
    [
        (SSO, f"{SSO}?SAMLRequest="),
        (f"{SSO}?idpid=1", f"{SSO}?idpid=1&SAMLRequest="),
        (f"{SSO}#top", f"{SSO}?SAMLRequest="),
    ],
)
def test_query_of_the_sign_on_url_stays(url: str, start: str) -> None:
    """Google's sign-on URL has a query of its own."""
    assert request(url=url).url.startswith(start)


def test_redirect_signature_covers_the_octets_sent() -> None:
    """SAMLRequest, RelayState and SigAlg in this order, by RSA with SHA-256 (Bindings 3.4.4.1)."""
    made = request(url=f"{SSO}?idpid=1", relay_state="a b&c=\u00e4", signing_key=signing_key())
    query = urlsplit(made.url).query.removeprefix("idpid=1&")
    signed, _, _ = query.partition("&Signature=")
    values = parse_qs(query)
    assert list(values) == ["SAMLRequest", "RelayState", "SigAlg", "Signature"]
    assert values["RelayState"] == ["a b&c=\u00e4"]
    assert values["SigAlg"] == [f"{idp.MORE}rsa-sha256"]
    key: Any = x509.load_pem_x509_certificate(signing_key().certificate.pem.encode()).public_key()
    key.verify(base64.b64decode(values["Signature"][0]), signed.encode(), PKCS1v15(), hashes.SHA256())


def test_post_signature_verifies_and_stands_after_the_issuer() -> None:
    """Our own strict door accepts what we sign."""
    made = request(POST, relay_state="state", name_id_format=idp.EMAIL, signing_key=signing_key())
    assert (made.method, made.url, list(made.fields)) == ("POST", SSO, ["SAMLRequest", "RelayState"])
    root = sent(made)
    assert [etree.QName(child).localname for child in root] == ["Issuer", "Signature", "NameIDPolicy"]
    result = signature.verified(root, certificates=(idp.sp_keys().certificate,), now=idp.NOW)
    assert result.element.get("ID") == made.id


def signed_by(made: Sent, pair: idp.Pair) -> bool:
    """Whether the signature holds under that certificate, and the message is in the name of its owner."""
    if made.method == "POST":
        root = signature.verified(sent(made), certificates=(pair.certificate,), now=idp.NOW).element
    else:
        query = redirect.read(urlsplit(made.url).query.encode())
        redirect.signed_by(query, certificates=(pair.certificate,))
        root = etree.fromstring(redirect.inflate(query.message))
    return root.findtext(f"{{{idp.SAML}}}Issuer") == pair.certificate.subject


def test_two_connections_sign_at_once_each_with_its_own_key() -> None:
    """No signer is shared: four threads for two connections by both bindings, each signature by the right key."""
    pairs = [idp.pair("one"), idp.pair("two")]

    def sign(turn: int) -> bool:
        pair, binding = pairs[turn % 2], (REDIRECT, POST)[turn // 2 % 2]
        made = authn_request(
            sp_entity_id=pair.certificate.subject,
            acs_url=idp.ACS,
            sso=Endpoint(binding, SSO),
            now=idp.NOW,
            signing_key=SigningKey(pair.key, pair.certificate),  # type: ignore[arg-type]
        )
        return signed_by(made, pair)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(sign, range(100)))


def test_unsigned_request_carries_no_signature() -> None:
    """Nothing of it is left over in either binding."""
    assert list(parse_qs(urlsplit(request(relay_state="x").url).query)) == ["SAMLRequest", "RelayState"]
    assert list(request(POST).fields) == ["SAMLRequest"]


def test_strange_destination_is_refused() -> None:
    """Even where a configuration was written past the checks."""
    with pytest.raises(MetadataError):
        request(url="javascript:alert(1)")


def test_keys_are_never_printed() -> None:
    """A repr in a log must not hold a key."""
    assert "private_key" not in repr(signing_key())
    assert "decryption_keys" not in repr(idp.service_provider())
