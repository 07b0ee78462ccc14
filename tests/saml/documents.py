"""Metadata of identity providers, as text: built from parts so that each test changes one of them."""

from idp_bridge.saml import REDIRECT, sending

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


def signed(document: str, by: idp.Pair | None = None) -> str:
    pair = by or idp.idp()
    return sending.sign(document.encode(), sending.SigningKey(pair.key, pair.certificate), place=0).decode()  # type: ignore[arg-type]
