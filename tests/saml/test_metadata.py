"""Metadata: the provider's is read with care, ours says what we demand."""

from datetime import UTC, datetime
from typing import Any

import pytest
from lxml import etree
from saml2 import md

from idp_bridge.saml import (
    POST,
    REDIRECT,
    Endpoint,
    IdpMetadata,
    MetadataError,
    SpConfig,
    read_idp_metadata,
    sp_metadata,
)

from . import idp

SSO = "https://idp.example.com/sso"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"


def key(certificate: str | None = None, use: str = ' use="signing"') -> str:
    return (
        f'<md:KeyDescriptor{use}><ds:KeyInfo xmlns:ds="{idp.DS}"><ds:X509Data><ds:X509Certificate>'
        f"{certificate or idp.idp().certificate.base64_der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        "</md:KeyDescriptor>"
    )


def endpoint(kind: str, binding: str, url: str, extra: str = "") -> str:
    return f'<md:{kind} Binding="{binding}" Location="{url}"{extra}/>'


GOOD_KEY = key()
GOOD_SSO = endpoint("SingleSignOnService", REDIRECT, SSO)


def role(*, keys: str = GOOD_KEY, sso: str = GOOD_SSO, slo: str = "", attributes: str = "", formats: str = "") -> str:
    return (
        f'<md:IDPSSODescriptor xmlns:md="{MD}" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"'
        f"{attributes}>{keys}{slo}{formats}{sso}</md:IDPSSODescriptor>"
    )


def entity(content: str | None = None, *, entity_id: str = idp.IDP, attributes: str = "") -> str:
    return (
        f'<md:EntityDescriptor xmlns:md="{MD}" entityID="{entity_id}"{attributes}>'
        f"{role() if content is None else content}</md:EntityDescriptor>"
    )


def group(*entities: str, attributes: str = "") -> str:
    return f'<md:EntitiesDescriptor xmlns:md="{MD}"{attributes}>{"".join(entities)}</md:EntitiesDescriptor>'


def read(document: str | bytes, **kwargs: Any) -> IdpMetadata:
    return read_idp_metadata(document, now=idp.NOW, **kwargs)


def test_everything_that_a_connection_needs_is_read() -> None:
    """Redirect comes before POST, other bindings are left out, a certificate twice is one."""
    second = idp.attacker().certificate
    document = "<!-- written by hand -->" + entity(
        role(
            keys=key() + key(second.base64_der, "") + key() + key(use=' use="encryption"'),
            sso=endpoint(
                "SingleSignOnService", "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "https://idp.example.com/soap"
            )
            + endpoint("SingleSignOnService", POST, SSO + "/post")
            + endpoint("SingleSignOnService", REDIRECT, SSO),
            slo=endpoint("SingleLogoutService", POST, SSO + "/out", f' ResponseLocation="{SSO}/done"'),
            attributes=' WantAuthnRequestsSigned="true"',
            formats=f"<md:NameIDFormat> {idp.EMAIL} </md:NameIDFormat><md:NameIDFormat/>",
        ),
        attributes=' validUntil="2027-01-01T00:00:00Z"',
    )
    assert read(document) == IdpMetadata(
        entity_id=idp.IDP,
        sso=(Endpoint(REDIRECT, SSO), Endpoint(POST, SSO + "/post")),
        slo=(Endpoint(POST, SSO + "/out", SSO + "/done"),),
        certificates=(idp.idp().certificate, second),
        want_authn_requests_signed=True,
        name_id_formats=(idp.EMAIL,),
        valid_until=datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_small_metadata_is_enough() -> None:
    """One role, one URL, one key; octets or text, with a declaration or without."""
    plain = read(entity())
    assert (plain.slo, plain.want_authn_requests_signed, plain.valid_until) == ((), False, None)
    assert read(b'\n<?xml version="1.0" encoding="UTF-8"?>' + entity().encode()) == plain


def test_entity_is_chosen_by_name_in_a_group() -> None:
    """Service providers beside it do not count; two identity providers need a choice."""
    sp = f'<md:EntityDescriptor xmlns:md="{MD}" entityID="urn:sp"><md:SPSSODescriptor/></md:EntityDescriptor>'
    assert read(group(sp, entity())).entity_id == idp.IDP
    two = group(entity(), group(entity(entity_id="urn:other")))
    assert read(two, entity_id="urn:other").entity_id == "urn:other"
    with pytest.raises(MetadataError, match="several identity providers"):
        read(two)


EXPIRED = ' validUntil="2026-03-01T12:00:00Z"'


@pytest.mark.parametrize(
    ("document", "word"),
    [
        pytest.param("", "not_xml", id="empty"),
        pytest.param("<html/>", "no identity provider", id="a web page"),
        pytest.param("<!DOCTYPE x>" + entity(), "xml_doctype", id="document type"),
        pytest.param(entity(attributes=' xmlns:x="relative"'), "xml_namespace", id="relative namespace"),
        pytest.param(" " + "<x>" * 60 + "</x>" * 60, "xml_too_complex", id="deep"),
        pytest.param(entity() + " " * 10 + "<!--" + "x" * 1024 * 1024 + "-->", "message_too_large", id="long"),
        pytest.param(b"\xff\xfe<\x00x\x00", "xml_encoding", id="UTF-16"),
        pytest.param(entity(entity_id=""), "entity ID is missing", id="no entity ID"),
        pytest.param(entity(entity_id="u" * 1025), "longer than 1024", id="long entity ID"),
        pytest.param(entity(role() + role()), "several identity providers", id="two roles"),
        pytest.param(entity(attributes=EXPIRED), "expired on 2026-03-01", id="expired entity"),
        pytest.param(entity(role(attributes=EXPIRED)), "expired", id="expired role"),
        pytest.param(group(entity(), attributes=EXPIRED), "expired", id="expired group"),
        pytest.param(entity(attributes=' validUntil="tomorrow"'), "time_malformed", id="no time"),
        pytest.param(entity(role(sso="")), "no sign-on URL", id="no URL"),
        pytest.param(
            entity(role(sso=endpoint("SingleSignOnService", "urn:x", SSO))), "no sign-on URL", id="no binding"
        ),
        pytest.param(entity(role(keys="")), "no signing certificate", id="no key"),
        pytest.param(
            entity(role(keys=key(use=' use="encryption"'))), "no signing certificate", id="encryption key only"
        ),
        pytest.param(entity(role(keys="<md:KeyDescriptor/>")), "no signing certificate", id="empty key"),
        pytest.param(
            entity(role(keys=key(idp.pair("weak", "rsa1024").certificate.base64_der))), "2048 bits", id="weak key"
        ),
        pytest.param(entity(role(keys=key("AAAA"))), "not an X.509", id="broken key"),
    ],
)
def test_unusable_metadata_is_explained(document: str | bytes, word: str) -> None:
    """Refused when it is configured, with words, rather than at somebody's sign-in."""
    with pytest.raises(MetadataError, match=word):
        read(document)


def test_chain_behind_a_certificate_is_not_trusted() -> None:
    """Only the first certificate of an X509Data is the signer's; an authority must not sign assertions."""
    chain = f"<ds:X509Certificate>{idp.attacker().certificate.base64_der}</ds:X509Certificate></ds:X509Data>"
    document = entity(role(keys=key().replace("</ds:X509Data>", chain)))
    assert read(document).certificates == (idp.idp().certificate,)


def test_unknown_name_is_explained() -> None:
    """A name that is asked for and not there."""
    with pytest.raises(MetadataError, match="of that name"):
        read(entity(), entity_id="urn:other")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://idp.example.com/sso",
        "http://127.0.0.1.example.com/sso",
        "ftp://idp.example.com/",
        "//idp.example.com/sso",
        "https:///sso",
        "https://user@idp.example.com/",
        "https://idp.example.com:port/",
        "https://[::1/",
        "https://idp.example.com/a b",
        "https://idp.example.com/\u200b",
        "",
    ],
)
def test_browser_is_never_sent_to_a_strange_url(url: str) -> None:
    """Only https, or http on this very machine."""
    with pytest.raises(MetadataError, match="sign-on URL"):
        read(entity(role(sso=endpoint("SingleSignOnService", REDIRECT, url))))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/sso", "http://localhost/sso", "http://[::1]:9/sso", SSO + "?idpid=1"]
)
def test_loopback_may_be_plain(url: str) -> None:
    """For trying things out on one machine."""
    document = entity(role(sso=endpoint("SingleSignOnService", REDIRECT, url)))
    assert read(document).sso == (Endpoint(REDIRECT, url),)


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
