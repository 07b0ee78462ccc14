"""The simulated identity provider's messages, judged by signxml alone against the published certificate."""

import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.sigver import RSACrypto
from signxml import SignatureConfiguration, XMLVerifier
from signxml.exceptions import InvalidSignature

from idp_bridge.simulator.crypto import SignxmlBackend, kept_key_pair, make_key_pair
from idp_bridge.simulator.flavours import FLAVOURS
from idp_bridge.simulator.saml_idp import Provider, Refused, sign_response

ACS = "https://app.test/saml/idp_1/acs"
SP = "https://app.test/saml/idp_1/metadata"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NS = {
    "p": "urn:oasis:names:tc:SAML:2.0:protocol",
    "a": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "md": "urn:oasis:names:tc:SAML:2.0:metadata",
    "xenc": "http://www.w3.org/2001/04/xmlenc#",
}
KEYS = make_key_pair("test")


def provider(flavour: str, **more: object) -> Provider:
    return Provider(flavour, flavour, f"https://{flavour}.test/", f"https://idp.test/{flavour}/sso", KEYS, **more)


def signed(provider: Provider, **changes: object) -> etree._Element:
    answer = sign_response(
        provider,
        provider.people[0],
        acs_url=ACS,
        audience=SP,
        **{"in_response_to": "id-1", "now": NOW, **changes},
    )
    return etree.fromstring(b64decode(answer))


def published_certificate(provider: Provider) -> str:
    metadata = etree.fromstring(provider.metadata_xml.encode())
    return metadata.findtext(".//ds:X509Certificate", namespaces=NS)


def verified(element: etree._Element, certificate: str) -> etree._Element:
    """What the signature of this element covers, read from the bytes that were digested."""
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    pem = f"-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----"
    result = XMLVerifier().verify(
        alone, x509_cert=pem, expect_config=SignatureConfiguration(location="./", expect_references=1)
    )
    return result.signed_xml


def assertion(response: etree._Element) -> etree._Element:
    return response.find("a:Assertion", NS)


def attributes(element: etree._Element) -> dict[str, list[str]]:
    return {
        each.get("Name"): [value.text for value in each.findall("a:AttributeValue", NS)]
        for each in element.iterfind(".//a:Attribute", NS)
    }


def sp_client(provider: Provider, *, sign: bool = False, keys: Path | None = None) -> Saml2Client:
    """A service provider as the product is one: pysaml2's client with the IdP's published metadata."""
    config = SPConfig().load(
        {
            "entityid": SP,
            "crypto_backend": "XMLSecurity",
            "metadata": {"inline": [provider.metadata_xml]},
            "service": {
                "sp": {
                    "endpoints": {"assertion_consumer_service": [(ACS, BINDING_HTTP_POST)]},
                    "authn_requests_signed": sign,
                    "signing_algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
                    "digest_algorithm": "http://www.w3.org/2001/04/xmlenc#sha256",
                }
            },
        }
    )
    client = Saml2Client(config)
    client.sec.crypto = SignxmlBackend(KEYS)
    client.sec.sec_backend = RSACrypto(KEYS.key)
    return client


def sp_metadata(*, signs: bool = False, encrypts: bool = False, acs: str = ACS) -> str:
    use = {"signing": signs, "encryption": encrypts}
    keys = "".join(
        f'<md:KeyDescriptor use="{name}"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
        f"{KEYS.certificate_base64}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for name, wanted in use.items()
        if wanted
    )
    return (
        f'<md:EntityDescriptor xmlns:md="{NS["md"]}" xmlns:ds="{NS["ds"]}" entityID="{SP}">'
        f'<md:SPSSODescriptor AuthnRequestsSigned="{str(signs).lower()}" '
        f'protocolSupportEnumeration="{NS["p"]}">{keys}'
        f'<md:AssertionConsumerService Binding="{BINDING_HTTP_POST}" Location="{acs}" index="0"/>'
        "</md:SPSSODescriptor></md:EntityDescriptor>"
    )


def redirect_fields(client: Saml2Client, provider: Provider, **more: object) -> dict[str, str]:
    _, info = client.prepare_for_authenticate(entityid=provider.entity_id, relay_state="r-1", **more)
    url = dict(info["headers"])["Location"]
    return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize(("flavour", "covered"), [("okta", {"Response", "Assertion"}), ("entra", {"Assertion"})])
def test_each_flavour_signs_what_its_product_signs(flavour: str, covered: set[str]) -> None:
    """Okta signs Response and Assertion, Entra the Assertion alone, both verifiable with the published key."""
    idp = provider(flavour)
    response = signed(idp)
    parents = {etree.QName(s.getparent()).localname for s in response.iterfind(".//ds:Signature", NS)}
    assert parents == covered
    certificate = published_certificate(idp)
    if "Response" in covered:
        assert verified(response, certificate).get("InResponseTo") == "id-1"
    assert verified(assertion(response), certificate).findtext("a:Subject/a:NameID", namespaces=NS)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_algorithms_are_those_of_today(flavour: str) -> None:
    """RSA-SHA256, SHA-256 and exclusive canonicalisation; nothing of SHA-1."""
    used = {each.get("Algorithm") for each in signed(provider(flavour)).iter() if each.get("Algorithm")}
    assert used == {
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/2001/04/xmlenc#sha256",
    }


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_changed_name_breaks_the_signature(flavour: str) -> None:
    """The signature covers the NameID."""
    idp = provider(flavour)
    forged = assertion(signed(idp))
    forged.find("a:Subject/a:NameID", NS).text = "mallory@acme.test"
    with pytest.raises(InvalidSignature):
        verified(forged, published_certificate(idp))


def test_okta_attributes_have_plain_names_and_types() -> None:
    """Okta sends email, firstName, lastName and group names, each value typed xs:string."""
    found = attributes(assertion(signed(provider("okta"))))
    assert found == {
        "email": ["ana.souza@acme.test"],
        "firstName": ["Ana"],
        "lastName": ["Souza"],
        "groups": ["Engineering"],
    }
    text = etree.tostring(signed(provider("okta"))).decode()
    assert text.startswith("<saml2p:Response")
    assert 'xsi:type="xs:string"' in text


def test_entra_attributes_have_claim_uris_and_group_guids() -> None:
    """Entra names attributes by claim URI, groups by object id, and uses default namespaces without types."""
    idp = provider("entra")
    found = attributes(assertion(signed(idp)))
    claims = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
    assert found[f"{claims}emailaddress"] == ["ana.souza@acme.test"]
    assert found[f"{claims}givenname"] == ["Ana"]
    assert found[f"{claims}surname"] == ["Souza"]
    assert found["http://schemas.microsoft.com/identity/claims/objectidentifier"] == [idp.people[0].object_id]
    groups = found["http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"]
    assert [len(each) for each in groups] == [36]
    text = etree.tostring(signed(idp)).decode()
    assert '<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"' in text
    assert "xsi:type" not in text


def test_the_given_clock_dates_the_whole_message() -> None:
    """Every instant follows `now`, so that a test may stand at any time."""
    response = signed(provider("okta"))
    instants = {
        value for each in response.iter() for value in each.attrib.values() if re.match(r"\d{4}-\d\d-\d\dT", value)
    }
    assert instants == {"2026-05-04T12:00:00.000Z", "2026-05-04T11:55:00.000Z", "2026-05-04T12:05:00.000Z"}


@pytest.mark.parametrize(
    ("change", "xpath", "want"),
    [
        ({"in_response_to": None}, "string(//a:SubjectConfirmationData/@InResponseTo)", ""),
        ({"issuer": "https://other.test/"}, "string(//a:Assertion/a:Issuer)", "https://other.test/"),
        ({"recipient": "https://x.test/"}, "string(//a:SubjectConfirmationData/@Recipient)", "https://x.test/"),
        ({"destination": "https://x.test/"}, "string(/p:Response/@Destination)", "https://x.test/"),
        ({"name_id": "kim@acme.test"}, "string(//a:NameID)", "kim@acme.test"),
        ({"assertion_id": "id-a"}, "string(//a:Assertion/@ID)", "id-a"),
        ({"attributes": {}}, "count(//a:AttributeStatement)", 0.0),
        ({"not_on_or_after": NOW}, "string(//a:Conditions/@NotOnOrAfter)", "2026-05-04T12:00:00.000Z"),
        (
            {"session_not_on_or_after": NOW + timedelta(hours=8)},
            "string(//a:AuthnStatement/@SessionNotOnOrAfter)",
            "2026-05-04T20:00:00.000Z",
        ),
        ({"sign_response": False}, "count(/p:Response/ds:Signature)", 0.0),
        ({"sign_assertion": False}, "count(//a:Assertion/ds:Signature)", 0.0),
    ],
)
def test_changes_are_made_before_signing(change: dict[str, object], xpath: str, want: object) -> None:
    """A bent value arrives as asked, and what is signed still verifies."""
    idp = provider("okta")
    response = signed(idp, **change)
    assert response.xpath(xpath, namespaces=NS) == want
    for signature in response.iterfind(".//ds:Signature", NS):
        verified(signature.getparent(), published_certificate(idp))


def test_an_encrypted_assertion_opens_with_the_private_key_only() -> None:
    """AES-256-GCM under RSA-OAEP; inside is the signed Assertion, outside the Response's own signature."""
    idp = provider("okta")
    response = signed(idp, encrypt_to=KEYS.certificate)
    assert b"ana.souza" not in etree.tostring(response)
    verified(response, published_certificate(idp))
    wrapped, content = (b64decode(each.text) for each in response.iterfind(".//xenc:CipherValue", NS))
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    plain = AESGCM(KEYS.key.decrypt(wrapped, oaep)).decrypt(content[:12], content[12:], None)
    opened = verified(etree.fromstring(plain), published_certificate(idp))
    assert opened.findtext("a:Subject/a:NameID", namespaces=NS) == "ana.souza@acme.test"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("binding", [BINDING_HTTP_REDIRECT, BINDING_HTTP_POST])
def test_requests_of_both_bindings_are_read(flavour: str, binding: str) -> None:
    """An AuthnRequest that pysaml2's client made is understood, with its id and its answer's address."""
    idp = provider(flavour)
    idp.register_sp(sp_metadata())
    client = sp_client(idp)
    if binding == BINDING_HTTP_REDIRECT:
        fields = redirect_fields(client, idp)
    else:
        _, request = client.create_authn_request(idp.sso_url, binding=binding)
        fields = {"SAMLRequest": b64encode(str(request).encode()).decode()}
    asked = idp.parse_request(fields, binding)
    assert (asked.acs_url, asked.service_provider.entity_id) == (ACS, SP)
    assert asked.request_id.startswith("id-")


def test_a_signed_request_is_checked() -> None:
    """Where metadata says requests are signed, an unsigned or a bent one is refused."""
    idp = provider("okta")
    idp.register_sp(sp_metadata(signs=True))
    good = redirect_fields(sp_client(idp, sign=True), idp)
    assert idp.parse_request(good, BINDING_HTTP_REDIRECT).acs_url == ACS
    for bent in ({"RelayState": "other"}, {"Signature": "%%"}, {"SigAlg": "urn:unknown"}, {"Signature": "AAAA"}):
        with pytest.raises(Refused, match="does not fit"):
            idp.parse_request({**good, **bent}, BINDING_HTTP_REDIRECT)
    unsigned = {key: good[key] for key in ("SAMLRequest", "RelayState")}
    with pytest.raises(Refused, match="not signed"):
        idp.parse_request(unsigned, BINDING_HTTP_REDIRECT)


def test_unknown_service_providers_and_foreign_answer_urls_are_refused() -> None:
    """Only metadata decides where an answer may go (Core 3.4.1, AssertionConsumerServiceURL)."""
    idp = provider("okta")
    fields = redirect_fields(sp_client(idp), idp)
    with pytest.raises(Refused, match="not known here"):
        idp.parse_request(fields, BINDING_HTTP_REDIRECT)
    idp.register_sp(sp_metadata(acs="https://elsewhere.test/acs"))
    with pytest.raises(Refused, match="does not name"):
        idp.parse_request(fields, BINDING_HTTP_REDIRECT)


@pytest.mark.parametrize("text", ["", "AAAA", b64encode(b"<a/>").decode(), "%%%"])
def test_what_is_no_request_is_refused(text: str) -> None:
    """Junk gives one kind of error, whatever the parser below thinks of it."""
    with pytest.raises(Refused):
        provider("okta").parse_request({"SAMLRequest": text}, BINDING_HTTP_REDIRECT)


@pytest.mark.parametrize("text", ["", "<a/>", "no xml", sp_metadata(acs="javascript:alert(1)")])
def test_what_is_no_metadata_is_refused(text: str) -> None:
    """A service provider without a usable POST endpoint is never registered."""
    idp = provider("okta")
    with pytest.raises(Refused):
        idp.register_sp(text)
    assert idp.apps == {}


def test_keys_and_apps_outlive_a_restart(tmp_path: Path) -> None:
    """A second start under the same directory has the same key, certificate and apps; the key is private."""
    first = kept_key_pair(tmp_path, "okta")
    assert kept_key_pair(tmp_path, "okta").certificate_pem == first.certificate_pem
    assert (tmp_path / "okta.pem").stat().st_mode & 0o777 == 0o600
    apps_file = tmp_path / "okta.apps.json"
    provider("okta", apps_file=apps_file).register_sp(sp_metadata(), app="demo")
    assert provider("okta", apps_file=apps_file).apps["demo"].entity_id == SP


def test_a_refusal_carries_its_status_and_no_assertion() -> None:
    """A person who refuses gives a Response that says so."""
    text = provider("entra").refusal(
        acs_url=ACS, in_response_to="id-1", status="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed", message="No."
    )
    response = etree.fromstring(b64decode(text))
    codes = [each.get("Value").rpartition(":")[2] for each in response.iterfind(".//p:StatusCode", NS)]
    assert codes == ["Responder", "AuthnFailed"]
    assert assertion(response) is None
    verified(response, published_certificate(provider("entra")))


def test_certificate_is_rsa_2048_and_self_signed() -> None:
    """Administrators see what Okta shows them: one RSA-2048 certificate that signs itself."""
    certificate = x509.load_pem_x509_certificate(KEYS.certificate_pem.encode())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key().key_size == 2048
