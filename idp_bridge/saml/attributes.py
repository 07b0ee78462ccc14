"""From an assertion's attributes to the few claims that the product uses.

Attributes are found by their exact `Name`. `FriendlyName` is ignored: it is free text that a provider may let
people edit. Group values stay verbatim and separate, whatever commas they hold; names of people are stripped, because
they are only shown; an e-mail address must be one address, without anything around it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.invisible import all_visible
from idp_bridge.saml.response import Assertion

NAME_ID = "NameID"
EMAIL_FORMAT = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"

_XMLSOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_MICROSOFT = "http://schemas.microsoft.com/ws/2008/06/identity/claims"

# claim -> attribute Names, the first one that is there wins. To support a provider, add its name here, with the page
# that says so. Of products that send nothing until an administrator has named it (Okta, Google, Ping, OneLogin,
# JumpCloud) these are the names that their own pages and connectors suggest.
#   Okta        help.okta.com: Define attribute statements; saml-doc.okta.com: Template SAML 2.0 App
#   Entra ID    learn.microsoft.com: SAML token claims reference; Configure group claims
#   AD FS       learn.microsoft.com: The role of claims (claim descriptions)
#   Google      support.google.com: Set up your own custom SAML app (attribute mapping, group membership)
#   OneLogin    onelogin.com: SAML Test Connector (parameters)
#   Ping        docs.pingidentity.com: PingOne application attribute mapping; PingFederate LDAP attributes as they are
#   JumpCloud   jumpcloud.com/support: SAML attribute notes
#   Keycloak    keycloak: SamlProtocolFactory (X500 mappers), GroupMembershipMapper
#   SimpleSAMLphp, Shibboleth   attribute maps name2oid and name2urn; eduPerson and LDAP names as they are
WELL_KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "email": (
            "email",  # Okta, Google, Ping, JumpCloud
            "Email",  # Ping's connectors, OneLogin
            "mail",  # LDAP: Ping, SimpleSAMLphp
            "emailAddress",  # LDAP alias: SimpleSAMLphp
            "EmailAddress",
            "User.email",  # OneLogin
            f"{_XMLSOAP}/emailaddress",  # Entra ID, AD FS, Auth0
            "http://schemas.xmlsoap.org/claims/EmailAddress",  # AD FS 1.x
            "urn:oid:0.9.2342.19200300.100.1.3",  # mail: Shibboleth, SimpleSAMLphp
            "urn:oid:1.2.840.113549.1.9.1",  # PKCS 9 e-mail: Keycloak, SimpleSAMLphp
            "urn:mace:dir:attribute-def:mail",  # SimpleSAMLphp, Shibboleth before 2
        ),
        "first_name": (
            "firstName",  # Okta, Google
            "FirstName",  # Ping's connectors
            "first_name",  # Google, OneLogin
            "firstname",  # JumpCloud
            "givenName",  # LDAP: Ping, SimpleSAMLphp
            "User.FirstName",  # OneLogin
            f"{_XMLSOAP}/givenname",  # Entra ID, AD FS, Auth0
            "urn:oid:2.5.4.42",  # givenName: Shibboleth, SimpleSAMLphp, Keycloak
            "urn:mace:dir:attribute-def:givenName",  # SimpleSAMLphp, Shibboleth before 2
        ),
        "last_name": (
            "lastName",  # Okta, Google
            "LastName",  # Ping's connectors
            "last_name",  # Google, OneLogin
            "lastname",  # JumpCloud
            "surname",  # LDAP alias
            "sn",  # LDAP: Ping, SimpleSAMLphp
            "User.LastName",  # OneLogin
            f"{_XMLSOAP}/surname",  # Entra ID, AD FS, Auth0
            "urn:oid:2.5.4.4",  # sn: Shibboleth, SimpleSAMLphp, Keycloak
            "urn:mace:dir:attribute-def:sn",  # SimpleSAMLphp, Shibboleth before 2
        ),
        "display_name": (
            "displayName",  # Okta, LDAP: Ping, SimpleSAMLphp
            "DisplayName",
            "http://schemas.microsoft.com/identity/claims/displayname",  # Entra ID
            "urn:oid:2.16.840.1.113730.3.1.241",  # displayName: Shibboleth, SimpleSAMLphp
            "urn:mace:dir:attribute-def:displayName",  # SimpleSAMLphp, Shibboleth before 2
            "cn",  # LDAP: SimpleSAMLphp
            "http://schemas.xmlsoap.org/claims/CommonName",  # AD FS
            "urn:oid:2.5.4.3",  # cn: Shibboleth, SimpleSAMLphp
        ),
        "groups": (
            "groups",  # Okta, Google, OneLogin
            "Groups",  # Ping's connectors
            "group",
            "memberOf",  # JumpCloud, OneLogin; LDAP: Ping, SimpleSAMLphp
            "member",  # Keycloak's group list; its "Role" holds roles, not groups
            f"{_MICROSOFT}/groups",  # Entra ID: object ids
            "http://schemas.xmlsoap.org/claims/Group",  # AD FS
            "isMemberOf",  # eduMember: SimpleSAMLphp
            "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",  # isMemberOf: Shibboleth, SimpleSAMLphp
        ),
    }
)
# Above 150 groups Entra ID sends a link to them instead of the groups themselves.
GROUPS_OVERAGE = frozenset(
    {
        "http://schemas.microsoft.com/claims/groups.link",
        f"{_MICROSOFT}/groups.link",
    }
)
# Letters of any script, but none of RFC 5322's specials: an address is shown in lists and headers, without quotes.
_ADDRESS = re.compile(r"""[^@\s<>()\[\]\\,:;"]{1,64}@[^@\s<>()\[\]\\,:;"]{1,255}""")
_LONGEST_ADDRESS = 320  # octets: RFC 5321 4.5.3.1, local part and domain


@dataclass(frozen=True)
class Claims:
    email: str | None
    first_name: str | None
    last_name: str | None
    groups: tuple[str, ...] | None
    """None where the assertion says nothing about groups; empty where it says: none."""
    groups_overage: bool
    """Entra ID sent a link instead of the groups: what was known before must be kept, not dropped."""
    display_name: str | None = None

    @property
    def told(self) -> str:
        return self.email or ""


def read(assertion: Assertion, mapping: Mapping[str, str | None]) -> Claims:
    """`mapping` is the connection's `attribute_mapping`: claim -> attribute Name, "NameID", or None for well-known.

    Raises `Rejected` where the address is ambiguous or no address at all.
    """
    return Claims(
        email=_email(assertion, mapping.get("email")),
        first_name=_first(_values(assertion, "first_name", mapping)),
        last_name=_first(_values(assertion, "last_name", mapping)),
        groups=_groups(_values(assertion, "groups", mapping)),
        groups_overage=_is_overage(assertion, mapping.get("groups")),
        display_name=_first(_values(assertion, "display_name", mapping)),
    )


def _values(assertion: Assertion, claim: str, mapping: Mapping[str, str | None]) -> tuple[str, ...] | None:
    mapped = mapping.get(claim)
    if mapped == NAME_ID:
        return (assertion.name_id,)
    names = (mapped,) if mapped else WELL_KNOWN[claim]
    return next((assertion.attributes[name] for name in names if name in assertion.attributes), None)


def _email(assertion: Assertion, mapped: str | None) -> str | None:
    """One address: the mapped attribute, a well-known one, or the NameID where that is an address."""
    values = _values(assertion, "email", {"email": mapped})
    addresses = tuple(dict.fromkeys(value for value in values or () if value))
    if not addresses and not mapped and _names_by_address(assertion):
        addresses = (assertion.name_id,)
    if len(addresses) > 1:
        raise Rejected(Reason.EMAIL_AMBIGUOUS, got=" ".join(addresses), want="one address")
    if addresses and not _is_address(addresses[0]):
        raise Rejected(Reason.EMAIL_MALFORMED, got=ascii(addresses[0]), want="an address such as name@example.com")
    return addresses[0] if addresses else None


def _names_by_address(assertion: Assertion) -> bool:
    return assertion.name_id_format == EMAIL_FORMAT or _is_address(assertion.name_id)


def _is_address(value: str) -> bool:
    """One address that looks like no other: a part that nobody sees would make a second person of the same one."""
    return bool(_ADDRESS.fullmatch(value)) and len(value.encode()) <= _LONGEST_ADDRESS and all_visible(value)


def _is_overage(assertion: Assertion, mapped: str | None) -> bool:
    """The link has the name of the claim that it stands for, which an administrator may have chosen."""
    links = GROUPS_OVERAGE | ({f"{mapped}.link"} if mapped else set())
    return not links.isdisjoint(assertion.attributes)


def _first(values: tuple[str, ...] | None) -> str | None:
    return next((value.strip() for value in values or () if value.strip()), None)


def _groups(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(dict.fromkeys(value for value in values if value))
