"""Two verifiers that other people wrote, on other stacks, with the same settings as ours.

python3-saml rests on libxmlsec1 and the XML Schemas; pygamlastan on its own parser and XML Signature in Rust. Both know
the same provider, the same service provider, one pending request and the time of the test.
"""

import base64
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import time_machine
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from pygamlastan import SamlError, crypto, profiles, security

from idp_bridge.saml import Assertion, Certificate

from . import idp


class Said(NamedTuple):
    name_id: str
    attributes: tuple[tuple[str, tuple[str, ...]], ...]


Verifier = Callable[[str, Certificate], Said]
#: As the form field arrives at our ACS.
_REQUEST = {
    "https": "on",
    "http_host": "sp.example.com",
    "script_name": "/saml/idp_1/acs",
    "get_data": {},
    "post_data": {},
}


#: Attributes whose values are more than text, which each of them reads in its own way.
UNTYPED = {"odd"}


class Refused(Exception):
    """No, in the other's own words."""


def said(assertion: Assertion) -> Said:
    """Ours, in the form that can be compared."""
    return _said(assertion.name_id, assertion.attributes)


def _said(name_id: str, attributes: Mapping[str, Any]) -> Said:
    """Text alone, without the spaces around it: one of them strips, and each has its own idea of typed values."""
    rows = {
        name: tuple(value.strip() for value in values if isinstance(value, str) and value.strip())
        for name, values in attributes.items()
        if name not in UNTYPED
    }
    return Said(name_id, tuple(sorted((name, values) for name, values in rows.items() if values)))


@cache
def _key() -> bytes:
    return idp.sp_keys().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def _settings(certificate: Certificate) -> OneLogin_Saml2_Settings:
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {
                "entityId": idp.SP,
                "assertionConsumerService": {"url": idp.ACS},
                "x509cert": idp.sp_keys().certificate.base64_der,
                "privateKey": _key().decode(),
            },
            "idp": {
                "entityId": idp.IDP,
                "singleSignOnService": {"url": "https://idp.example.com/sso"},
                "x509cert": certificate.base64_der,
            },
            "security": {
                "rejectDeprecatedAlgorithm": True,
                "wantAttributeStatement": False,
                "allowRepeatAttributeName": True,
            },
        }
    )


def python3_saml(field: str, certificate: Certificate) -> Said:
    """libxmlsec1 and the schemas. Raises `Refused`."""
    with time_machine.travel(idp.NOW, tick=False):
        try:
            response = OneLogin_Saml2_Response(_settings(certificate), field)
            response.is_valid(_REQUEST, idp.REQUEST, raise_exceptions=True)
            return _said(response.get_nameid(), response.get_attributes())
        except Exception as error:  # its own errors, and whatever lxml and xmlsec let through
            raise Refused(str(error)) from None


@cache
def _verifier(certificate: Certificate) -> crypto.SamlVerifier:
    return crypto.SamlVerifier.from_cert(certificate.pem.encode())


@cache
def _decryptor() -> crypto.SamlDecryptor:
    keys = crypto.KeysManager()
    keys.add_key_pem(_key())
    return crypto.SamlDecryptor(keys)


@cache
def _config(*, response_signed: bool) -> security.SecurityConfig:
    """One of the two must be signed, as it is for ours; its own switch is about the assertion alone."""
    config = security.SecurityConfig()
    config.require_signed_assertions = not response_signed
    config.clock_skew_seconds = 120
    return config


def _response_signed(document: bytes) -> bool:
    try:
        return etree.fromstring(document).find(f"{{{idp.DS}}}Signature") is not None
    except etree.XMLSyntaxError:
        return False


def pygamlastan(field: str, certificate: Certificate) -> Said:
    """The library in Rust. Raises `Refused`."""
    try:
        document = base64.b64decode(field)
        result = profiles.process_response_verified(
            document.decode(),
            _verifier(certificate),
            _config(response_signed=_response_signed(document)),
            idp.SP,
            idp.ACS,
            idp.IDP,
            expected_request_id=idp.REQUEST,
            now=idp.NOW,
            replay_cache=security.InMemoryReplayCache(),
            decryptor=_decryptor(),
        )
    except (SamlError, ValueError) as error:
        raise Refused(str(error)) from None
    rows: dict[str, list[str]] = {}
    for attribute in result.attributes:
        rows.setdefault(attribute.name, []).extend(attribute.string_values)
    return _said(result.name_id, rows)


OTHERS: Mapping[str, Verifier] = {"python3-saml": python3_saml, "pygamlastan": pygamlastan}


def answers(field: str, certificate: Certificate) -> dict[str, Said | str]:
    """What each of them says: who it is, or why not."""
    found: dict[str, Said | str] = {}
    for name, verifier in OTHERS.items():
        try:
            found[name] = verifier(field, certificate)
        except Refused as refusal:
            found[name] = str(refusal)
    return found
