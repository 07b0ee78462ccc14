"""Our metadata says what we demand, and is signed so that another stack can tell."""

from typing import Any

import pytest
import xmlsec
from lxml import etree
from saml2 import md

from idp_bridge.saml import POST, REDIRECT, SigningKey, SpConfig, read_idp_metadata, signature, sp_metadata
from idp_bridge.saml.metadata import MetadataError

from . import idp

MD = "urn:oasis:names:tc:SAML:2.0:metadata"


def parsed(config: SpConfig) -> tuple[Any, etree._Element]:
    octets = sp_metadata(config)
    return md.entity_descriptor_from_string(octets.decode()), etree.fromstring(octets)


def test_our_metadata_says_what_we_demand() -> None:
    """Signed assertions, POST at the ACS, and every key with its use."""
    ours, next_one = idp.sp_keys().certificate, idp.attacker().certificate
    said, root = parsed(
        SpConfig(
            entity_id=idp.SP,
            acs_url=idp.ACS,
            slo_url="https://sp.example.com/slo",
            sign_authn_requests=True,
            signing_certificates=(ours, next_one),
            encryption_certificates=(ours,),
            name_id_formats=(idp.EMAIL,),
        )
    )
    service = said.spsso_descriptor[0]
    assert said.entity_id == idp.SP
    assert (service.authn_requests_signed, service.want_assertions_signed) == ("true", "true")
    assert [(item.binding, item.location) for item in service.assertion_consumer_service] == [(POST, idp.ACS)]
    assert [item.binding for item in service.single_logout_service] == [REDIRECT, POST]
    assert [item.use for item in service.key_descriptor] == ["signing", "signing", "encryption"]
    assert service.key_descriptor[1].key_info.x509_data[0].x509_certificate.text == next_one.base64_der
    assert [item.text for item in service.name_id_format] == [idp.EMAIL]
    methods = root.findall(f".//{{{MD}}}EncryptionMethod")
    assert [item.get("Algorithm", "").rpartition("#")[2] for item in methods] == [
        "aes256-gcm",
        "aes128-gcm",
        "rsa-oaep-mgf1p",
    ]
    assert service.verify()


def test_our_metadata_without_keys() -> None:
    """The smallest connection: nothing signed by us, nothing encrypted for us, no logout."""
    said, _ = parsed(SpConfig(entity_id=idp.SP, acs_url=idp.ACS))
    service = said.spsso_descriptor[0]
    assert (service.authn_requests_signed, service.want_assertions_signed) == ("false", "true")
    assert (service.key_descriptor, service.single_logout_service) == ([], [])


SIGNED = SpConfig(entity_id=idp.SP, acs_url=idp.ACS, signing_certificates=(idp.sp_keys().certificate,))


def signing_key() -> SigningKey:
    pair = idp.sp_keys()
    return SigningKey(pair.key, pair.certificate)  # type: ignore[arg-type]


def test_another_stack_verifies_our_signature() -> None:
    """libxmlsec1, with nothing of ours; SHA-256, the first child of the entity, which pysaml2 finds valid too."""
    octets = sp_metadata(SIGNED, signing_key=signing_key())
    root = etree.fromstring(octets)
    assert [etree.QName(child).localname for child in root] == ["Signature", "SPSSODescriptor"]
    assert b"rsa-sha256" in octets
    assert b"xmlenc#sha256" in octets
    xmlsec.tree.add_ids(root, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(idp.sp_keys().certificate.pem, xmlsec.constants.KeyDataFormatCertPem)
    context.verify(root[0])
    assert md.entity_descriptor_from_string(octets.decode()).verify()


def test_our_own_door_verifies_our_signature() -> None:
    """By the very code that reads a provider's; and it is no identity provider's."""
    root = etree.fromstring(sp_metadata(SIGNED, signing_key=signing_key()))
    verified = signature.verified(root, certificates=(idp.sp_keys().certificate,), now=idp.NOW)
    assert verified.element.get("entityID") == idp.SP
    with pytest.raises(MetadataError, match="describes a service provider"):
        read_idp_metadata(etree.tostring(root), now=idp.NOW)


def test_the_same_metadata_is_the_same_bytes() -> None:
    """So that it can be cached and compared; what it says changes its ID too."""
    one, again = (sp_metadata(SIGNED, signing_key=signing_key()) for _ in range(2))
    assert one == again
    other = SpConfig(entity_id=idp.SP, acs_url=idp.ACS, sign_authn_requests=True)
    ids = [etree.fromstring(octets).get("ID") for octets in (one, sp_metadata(other, signing_key=signing_key()))]
    assert len(set(ids)) == 2


def test_our_metadata_is_valid_as_long_as_the_key_that_signed_it() -> None:
    """A provider that once took a copy is not cut off; one that fetches it comes again after a day."""
    root = etree.fromstring(sp_metadata(SIGNED, signing_key=signing_key()))
    assert root.get("validUntil") == f"{idp.sp_keys().certificate.not_after:%Y-%m-%dT%H:%M:%SZ}"
    assert root.get("cacheDuration") == "P1D"
