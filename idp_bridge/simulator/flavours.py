"""What an assertion from Okta looks like, and what one from Entra ID looks like: two rows of one table.

Attribute names: https://developer.okta.com/docs/guides/saml-application-setup and
https://learn.microsoft.com/entra/identity-platform/reference-saml-tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lxml import etree
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORD, PASSWORDPROTECTEDTRANSPORT
from saml2.saml import (
    NAME_FORMAT_UNSPECIFIED,
    NAMEID_FORMAT_EMAILADDRESS,
    NAMEID_FORMAT_PERSISTENT,
)

from idp_bridge.simulator.crypto import SAML, XSI
from idp_bridge.simulator.people import Person, group_guid

SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
XS = "http://www.w3.org/2001/XMLSchema"
_CLAIM = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_MS = "http://schemas.microsoft.com/identity/claims/"
_WS = "http://schemas.microsoft.com/ws/2008/06/identity/claims/"

Attributes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Flavour:
    """The shape of one product's messages."""

    name: str
    title: str
    signs_response: bool
    name_id_formats: tuple[str, ...]
    attributes: Callable[[Person], Attributes]
    attribute_name_format: str | None
    authn_context: str
    lifetime: timedelta
    namespaces: Mapping[str, Mapping[str | None, str]]
    typed_values: bool
    slo_bindings: tuple[str, ...]
    """By which logout messages come and go, the preferred one first."""
    logout_says_format: bool
    """Whether a LogoutRequest repeats the Format of the NameID."""
    lower_case_escapes: bool
    """Whether query strings are escaped as %2f rather than %2F; the signature covers the spelling."""

    def name_id(self, person: Person, name_id_format: str) -> str:
        """The address, or a name that outlives a change of address."""
        if name_id_format == NAMEID_FORMAT_PERSISTENT:
            return person.object_id if self.name == "entra" else person.okta_id
        return person.email


def _okta_attributes(person: Person) -> Attributes:
    return {
        "email": (person.email,),
        "firstName": (person.given_name,),
        "lastName": (person.family_name,),
        "groups": person.groups,
    }


def _entra_attributes(person: Person) -> Attributes:
    return {
        f"{_MS}tenantid": (ENTRA_TENANT,),
        f"{_MS}objectidentifier": (person.object_id,),
        f"{_MS}displayname": (person.display_name,),
        f"{_WS}groups": tuple(group_guid(name) for name in person.groups),
        f"{_CLAIM}givenname": (person.given_name,),
        f"{_CLAIM}surname": (person.family_name,),
        f"{_CLAIM}emailaddress": (person.email,),
        f"{_CLAIM}name": (person.user_name,),
    }


ENTRA_TENANT = "5f0a6a1e-3c27-4d11-9a54-7be2d0c1ac3e"

FLAVOURS = {
    "okta": Flavour(
        name="okta",
        title="Okta",
        signs_response=True,
        name_id_formats=(NAMEID_FORMAT_EMAILADDRESS, NAMEID_FORMAT_PERSISTENT),
        attributes=_okta_attributes,
        attribute_name_format=NAME_FORMAT_UNSPECIFIED,
        authn_context=PASSWORDPROTECTEDTRANSPORT,
        lifetime=timedelta(minutes=5),
        namespaces={
            "Response": {"saml2p": SAMLP, "xs": XS}, "Issuer": {"saml2": SAML}, "Assertion": {"saml2": SAML},
            "LogoutRequest": {"saml2p": SAMLP}, "LogoutResponse": {"saml2p": SAMLP}, "NameID": {"saml2": SAML},
        },
        typed_values=True,
        slo_bindings=(BINDING_HTTP_POST, BINDING_HTTP_REDIRECT),
        logout_says_format=True,
        lower_case_escapes=False,
    ),
    "entra": Flavour(
        name="entra",
        title="Microsoft Entra ID",
        signs_response=False,
        name_id_formats=(NAMEID_FORMAT_EMAILADDRESS, NAMEID_FORMAT_PERSISTENT),
        attributes=_entra_attributes,
        attribute_name_format=None,
        authn_context=PASSWORD,
        lifetime=timedelta(hours=1),
        namespaces={
            "Response": {"samlp": SAMLP}, "Issuer": {None: SAML}, "Assertion": {None: SAML},
            "LogoutRequest": {"samlp": SAMLP}, "LogoutResponse": {"samlp": SAMLP}, "NameID": {None: SAML},
        },
        typed_values=False,
        # https://learn.microsoft.com/entra/identity-platform/single-sign-out-saml-protocol: Redirect only.
        slo_bindings=(BINDING_HTTP_REDIRECT,),
        logout_says_format=False,
        lower_case_escapes=True,
    ),
}  # fmt: skip


def dressed(document: str, flavour: Flavour) -> str:
    """The same message with the namespace prefixes of that product; must happen before anything is signed."""
    return etree.tostring(_dress(etree.fromstring(document.encode()), None, flavour), encoding="unicode")


def _dress(source: etree._Element, parent: etree._Element | None, flavour: Flavour) -> etree._Element:
    attributes = {str(k): str(v) for k, v in source.attrib.items() if flavour.typed_values or k != f"{{{XSI}}}type"}
    # None, the default namespace, is a key that lxml's stubs do not know of.
    nsmap: dict[Any, str] = {**flavour.namespaces.get(etree.QName(source).localname, {})}
    if f"{{{XSI}}}type" in attributes:
        nsmap["xsi"] = XSI
    if parent is None:
        element = etree.Element(source.tag, attributes, nsmap=nsmap)
    else:
        element = etree.SubElement(parent, source.tag, attributes, nsmap=nsmap)
    element.text = source.text
    for child in source:
        _dress(child, element, flavour)
    return element
