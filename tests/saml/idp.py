"""A signing identity provider for tests: good Responses in the forms that real products send.

Every message is built as text with the product's own prefixes, then signed and encrypted by `cryptography`: nothing
here shares code with the door that reads it.
"""

import base64
import hmac
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from idp_bridge.saml import Certificate, ServiceProvider, Trust, parse_certificate

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
IDP = "https://idp.example.com/entity"
SP = "https://sp.example.com/saml/idp_1/metadata"
ACS = "https://sp.example.com/saml/idp_1/acs"
REQUEST = "_request1"

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
NS = {"saml": SAML, "samlp": SAMLP, "ds": DS, "xenc": XENC}
EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"


@dataclass(frozen=True)
class Pair:
    """A private key and its self-signed certificate."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: Certificate


@cache
def pair(name: str, kind: str = "rsa2048", valid: tuple[int, int] = (-30, 365)) -> Pair:
    """Keys are made once per run; `valid` is in days around NOW."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, int(kind[3:]))
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=valid[0]))
        .not_valid_after(NOW + timedelta(days=valid[1]))
        .sign(key, hashes.SHA256())
    )
    return Pair(key, parse_certificate(certificate.public_bytes(Encoding.PEM).decode()))


def ed25519_certificate() -> Certificate:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edwards")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return parse_certificate(builder.sign(key, None).public_bytes(Encoding.PEM).decode())


def idp() -> Pair:
    return pair("idp.example.com")


def attacker() -> Pair:
    return pair("idp.example.com", "rsa2048", (-31, 366))


def sp_keys() -> Pair:
    return pair("sp.example.com")


def trust(**changes: object) -> Trust:
    return replace(Trust(entity_id=IDP, certificates=(idp().certificate,)), **changes)  # type: ignore[arg-type]


def service_provider(**changes: object) -> ServiceProvider:
    ours = ServiceProvider(entity_id=SP, acs_url=ACS, decryption_keys=(sp_keys().key,))  # type: ignore[arg-type]
    return replace(ours, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Shape:
    """How one product writes its Responses."""

    name: str
    saml: str = "saml"
    """Prefix of the assertion namespace; empty = default namespace."""
    samlp: str = "samlp"
    sign_response: bool = True
    sign_assertion: bool = True
    prefix_list: tuple[str, ...] = ()
    fraction: str = ""
    typed: bool = False
    signature_last: bool = False
    encrypt: str | None = None
    lines: str = ""
    ds: str = "ds"
    """Prefix of the signature's namespace; empty = default namespace."""
    root_declares: bool = False
    """The Response declares the assertion's namespace; the assertion does not do it again."""
    default_too: bool = False
    """The assertion declares its namespace twice, with a prefix and as the default."""
    value_type: str = "xs:string"
    columns: int = 0
    """Base64 is broken into lines of so many characters; 0 = one line."""
    key_info: str = "certificate"
    """`certificate`, `all` (name, certificate and key value) or `none`."""
    name_id: str = "ann@example.com"
    name_id_format: str = EMAIL
    qualified: bool = False
    """The NameID names its provider and us (NameQualifier, SPNameQualifier)."""
    name_format: str | None = None
    attributes: tuple[tuple[str, str | None, tuple[str, ...]], ...] | None = None
    """(Name, FriendlyName, values) of each; None = ATTRIBUTES."""
    response: str = ""
    """More attributes of the Response."""
    method: str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    digest: str = "http://www.w3.org/2001/04/xmlenc#sha256"
    encryption: tuple[tuple[str, object], ...] = ()
    """More arguments for `encrypt`."""


OKTA = Shape("okta", "saml2", "saml2p", prefix_list=("xs",), fraction=".123", typed=True)
ENTRA = Shape("entra", "", "samlp", sign_response=False, fraction=".1234567")
SIMPLESAMLPHP = Shape("simplesamlphp", typed=True, lines="\n  ")
RESPONSE_ONLY = Shape("response_only", sign_assertion=False)
SIGNATURE_LAST = Shape("signature_last", sign_response=False, signature_last=True)
ENCRYPTED_GCM = Shape("encrypted_gcm", encrypt="aes256-gcm")
ENCRYPTED_CBC = Shape("encrypted_cbc", sign_response=False, encrypt="aes128-cbc")
ENCRYPTED_RESPONSE_ONLY = Shape("encrypted_response_only", sign_assertion=False, encrypt="aes128-gcm")
PLAIN_SHAPES = (OKTA, ENTRA, SIMPLESAMLPHP, RESPONSE_ONLY, SIGNATURE_LAST)
DEFAULT_LISTED = Shape("default_listed", default_too=True, prefix_list=("#default", "xs"), typed=True)
SHAPES = (*PLAIN_SHAPES, ENCRYPTED_GCM, ENCRYPTED_CBC, ENCRYPTED_RESPONSE_ONLY, DEFAULT_LISTED)

_FORMAT = "urn:oasis:names:tc:SAML:2.0:attrname-format:"
_NAME_ID = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
_XMLSOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_MICROSOFT = "http://schemas.microsoft.com/"


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "email": ("ann@example.com",),
    "firstName": ("Ann",),
    "lastName": ("Lee",),
    "groups": ("Engineering", "On call, EU"),
}


def _named(
    email: str, first: str, last: str, groups: str | None, /, **friendly: str
) -> tuple[tuple[str, str | None, tuple[str, ...]], ...]:
    """The same person under a product's own attribute names."""
    rows = ((email, "email"), (first, "first"), (last, "last"), (groups, "groups"))
    values = dict(zip(("email", "first", "last", "groups"), ATTRIBUTES.values(), strict=True))
    return tuple((name, friendly.get(kind), values[kind]) for name, kind in rows if name)


# Each product's prefixes, places of declarations, attribute names and formats, signatures and encryption, as its
# documentation and its messages show them with the settings that it starts with.
PROVIDERS = (
    replace(OKTA, name_format=_FORMAT + "unspecified", columns=76),
    replace(
        ENTRA,
        ds="",
        name_id="kq3Vd0pW1nX8aLz5",
        name_id_format=_NAME_ID + "persistent",
        attributes=(
            (_MICROSOFT + "identity/claims/tenantid", None, ("0b7f4a52-1d7c-4a34-9d5b-2f0f6c1f0f11",)),
            (_MICROSOFT + "identity/claims/objectidentifier", None, ("6c7f1e0a-5d33-4d0a-8a53-0d9f3b3a9a01",)),
            (_MICROSOFT + "identity/claims/displayname", None, ("Ann Lee",)),
            (_MICROSOFT + "claims/authnmethodsreferences", None, ("http://schemas.example.com/password",)),
            *_named(
                _XMLSOAP + "emailaddress",
                _XMLSOAP + "givenname",
                _XMLSOAP + "surname",
                _MICROSOFT + "ws/2008/06/identity/claims/groups",
            ),
        ),
    ),
    Shape(
        "google",
        "saml2",
        "saml2p",
        sign_assertion=False,
        fraction=".416",
        typed=True,
        value_type="xs:anyType",
        columns=76,
        attributes=_named("email", "firstName", "lastName", "groups"),
    ),
    Shape(
        "onelogin",
        sign_response=False,
        typed=True,
        name_format=_FORMAT + "basic",
        attributes=_named("User.email", "User.FirstName", "User.LastName", "memberOf"),
    ),
    Shape(
        "ping",
        sign_response=False,
        fraction=".771",
        typed=True,
        columns=76,
        lines="\n",
        name_format=_FORMAT + "basic",
        name_id_format=UNSPECIFIED,
        attributes=_named("mail", "givenName", "sn", "memberOf"),
    ),
    Shape(
        "adfs",
        "",
        "samlp",
        sign_response=False,
        fraction=".220",
        response=' Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified"',
        encrypt="aes256-cbc",
        encryption=(("digest", "sha1"), ("prefix", "e")),
        attributes=_named(
            _XMLSOAP + "emailaddress",
            _XMLSOAP + "givenname",
            _XMLSOAP + "surname",
            "http://schemas.xmlsoap.org/claims/Group",
        ),
    ),
    Shape(
        "keycloak",
        fraction=".031",
        typed=True,
        ds="dsig",
        default_too=True,
        key_info="all",
        sign_assertion=False,
        name_format=_FORMAT + "basic",
        name_id="G-2f6f1b3e-53c5-4f86-9a1e-1f0f52a4d0aa",
        name_id_format=_NAME_ID + "persistent",
        attributes=_named(
            "urn:oid:1.2.840.113549.1.9.1",
            "urn:oid:2.5.4.42",
            "urn:oid:2.5.4.4",
            "member",
            email="email",
            first="givenName",
            last="surname",
        ),
    ),
    Shape(
        "simplesamlphp",
        typed=True,
        root_declares=True,
        qualified=True,
        name_id="_8c1a0f6b1a7d4a0db5f0f4a1a6d7c9e2",
        name_id_format=_NAME_ID + "persistent",
        name_format=_FORMAT + "basic",
        attributes=_named("mail", "givenName", "sn", "groups"),
    ),
    Shape(
        "jumpcloud",
        "saml2",
        "saml2p",
        sign_response=False,
        typed=True,
        fraction=".900",
        columns=76,
        name_id_format=UNSPECIFIED,
        name_format=_FORMAT + "unspecified",
        attributes=_named("email", "firstname", "lastname", "memberOf"),
    ),
    Shape(
        "shibboleth",
        "saml2",
        "saml2p",
        sign_assertion=False,
        prefix_list=("xsd",),
        fraction=".555",
        encrypt="aes128-gcm",
        encryption=(("digest", "sha1"), ("beside", False)),
        columns=76,
        qualified=True,
        name_id="AAdzZWNyZXQx",
        name_id_format=_NAME_ID + "persistent",
        name_format=_FORMAT + "uri",
        attributes=_named(
            "urn:oid:0.9.2342.19200300.100.1.3",
            "urn:oid:2.5.4.42",
            "urn:oid:2.5.4.4",
            "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",
            email="mail",
            first="givenName",
            last="sn",
            groups="isMemberOf",
        ),
    ),
    Shape(
        "auth0",
        sign_response=False,
        fraction=".111",
        typed=True,
        ds="",
        name_id="auth0|65f0c0ffee",
        name_id_format=UNSPECIFIED,
        name_format=_FORMAT + "uri",
        attributes=_named(_XMLSOAP + "emailaddress", _XMLSOAP + "givenname", _XMLSOAP + "surname", None),
    ),
    Shape(
        "lasso",
        root_declares=True,
        ds="",
        columns=64,
        encrypt="aes128-cbc",
        encryption=(("beside", True),),
        name_format=_FORMAT + "basic",
        attributes=_named("mail", "givenName", "sn", "groups"),
    ),
)


def stamp(minutes: float, shape: Shape = OKTA) -> str:
    return (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S") + shape.fraction + "Z"


def _rows(shape: Shape, attributes: Mapping[str, Sequence[str]] | None) -> str:
    a = f"{shape.saml}:" if shape.saml else ""
    typed = f' xsi:type="{shape.value_type}"' if shape.typed else ""
    name_format = f' NameFormat="{shape.name_format}"' if shape.name_format else ""
    rows: Iterable[tuple[str, str | None, Sequence[str]]] = shape.attributes or ()
    if attributes is not None or shape.attributes is None:
        rows = [(name, "role", values) for name, values in (ATTRIBUTES if attributes is None else attributes).items()]
    return "".join(
        f'<{a}Attribute Name="{name}"{name_format}'
        + (f' FriendlyName="{friendly}">' if friendly else ">")
        + "".join(f"<{a}AttributeValue{typed}>{value}</{a}AttributeValue>" for value in values)
        + f"</{a}Attribute>"
        for name, friendly, values in rows
    )


def unsigned(
    shape: Shape, *, name_id: str | None = None, attributes: Mapping[str, Sequence[str]] | None = None
) -> etree._Element:
    """The Response of this shape before anything is signed."""
    a, p = (f"{prefix}:" if prefix else "" for prefix in (shape.saml, shape.samlp))
    a_ns, p_ns = (f"xmlns:{prefix}" if prefix else "xmlns" for prefix in (shape.saml, shape.samlp))
    schema = ' xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    declared = "" if shape.root_declares else f' {a_ns}="{SAML}"'
    default = f' xmlns="{SAML}"' if shape.default_too else ""
    qualifiers = f' NameQualifier="{IDP}" SPNameQualifier="{SP}"' if shape.qualified else ""
    window = f'NotBefore="{stamp(-5, shape)}" NotOnOrAfter="{stamp(5, shape)}"'
    i = shape.lines
    assertion = (
        f'<{a}Assertion{declared}{default}{schema if shape.typed else ""} ID="_assertion1" Version="2.0" '
        f'IssueInstant="{stamp(0, shape)}">{i}<{a}Issuer>{IDP}</{a}Issuer>{i}<{a}Subject>{i}'
        f'<{a}NameID Format="{shape.name_id_format}"{qualifiers}>{name_id or shape.name_id}</{a}NameID>{i}'
        f'<{a}SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><{a}SubjectConfirmationData '
        f'InResponseTo="{REQUEST}" NotOnOrAfter="{stamp(5, shape)}" Recipient="{ACS}"/></{a}SubjectConfirmation>{i}'
        f"</{a}Subject>{i}<{a}Conditions {window}><{a}AudienceRestriction><{a}Audience>{SP}</{a}Audience>"
        f"</{a}AudienceRestriction></{a}Conditions>{i}"
        f'<{a}AuthnStatement AuthnInstant="{stamp(-1, shape)}" SessionIndex="_session1" '
        f'SessionNotOnOrAfter="{stamp(480, shape)}"><{a}AuthnContext><{a}AuthnContextClassRef>'
        f"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</{a}AuthnContextClassRef>"
        f"</{a}AuthnContext></{a}AuthnStatement>{i}"
        f"<{a}AttributeStatement>{_rows(shape, attributes)}</{a}AttributeStatement>{i}</{a}Assertion>"
    )
    on_root = f' {a_ns}="{SAML}"' if shape.root_declares else ""
    return etree.fromstring(
        f'<{p}Response {p_ns}="{SAMLP}"{on_root} ID="_response1" Version="2.0" '
        f'IssueInstant="{stamp(0, shape)}" Destination="{ACS}" InResponseTo="{REQUEST}"{shape.response}>{i}'
        f"<{a}Issuer{declared}>{IDP}</{a}Issuer>{i}"
        f'<{p}Status><{p}StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></{p}Status>{i}'
        f"{assertion}{i}</{p}Response>"
    )


EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {
    f"{XENC}sha256": hashes.SHA256,
    f"{MORE}sha384": hashes.SHA384,
    f"{XENC}sha512": hashes.SHA512,
    f"{DS}sha1": hashes.SHA1,
}


def _rsa(digest: hashes.HashAlgorithm) -> Callable[[Any, bytes], bytes]:
    return lambda key, octets: key.sign(octets, PKCS1v15(), digest)


def _pss(digest: hashes.HashAlgorithm) -> Callable[[Any, bytes], bytes]:
    return lambda key, octets: key.sign(octets, PSS(MGF1(digest), digest.digest_size), digest)


def _ecdsa(digest: hashes.HashAlgorithm) -> Callable[[Any, bytes], bytes]:
    def signature(key: ec.EllipticCurvePrivateKey, octets: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(octets, ec.ECDSA(digest)))
        return r.to_bytes(32) + s.to_bytes(32)

    return signature


def public_forms(certificate: Certificate) -> dict[str, bytes]:
    """The octets of what is public, in every form that somebody could take for a secret."""
    parsed = x509.load_pem_x509_certificate(certificate.pem.encode())
    public, info = parsed.public_key(), PublicFormat.SubjectPublicKeyInfo
    return {
        "PEM": public.public_bytes(Encoding.PEM, info),
        "DER": public.public_bytes(Encoding.DER, info),
        "certificate PEM": certificate.pem.encode(),
        "certificate DER": parsed.public_bytes(Encoding.DER),
        "certificate base64": certificate.base64_der.encode(),
        "empty": b"",
    }


def hmac_with_public_key(key: rsa.RSAPrivateKey, octets: bytes) -> bytes:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hmac.digest(public, octets, "sha256")


METHODS: dict[str, Callable[[Any, bytes], bytes]] = {
    f"{MORE}rsa-sha256": _rsa(hashes.SHA256()),
    f"{MORE}rsa-sha384": _rsa(hashes.SHA384()),
    f"{MORE}rsa-sha512": _rsa(hashes.SHA512()),
    f"{DS}rsa-sha1": _rsa(hashes.SHA1()),
    "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1": _pss(hashes.SHA256()),
    "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1": _pss(hashes.SHA512()),
    f"{MORE}ecdsa-sha256": _ecdsa(hashes.SHA256()),
    f"{MORE}ecdsa-sha512": _ecdsa(hashes.SHA512()),
    f"{MORE}hmac-sha256": hmac_with_public_key,
}


def sign(
    element: etree._Element,
    by: Pair | None = None,
    *,
    shape: Shape = OKTA,
    method: str | None = None,
    digest: str | None = None,
    transforms: Sequence[str] = (ENVELOPED, EXC),
    inclusive: bool = False,
) -> etree._Element:
    """The element with an enveloped Signature at its schema place: after the Issuer (or last, as one product does)."""
    by, method, digest = by or idp(), method or shape.method, digest or shape.digest
    element = etree.fromstring(etree.tostring(element, with_tail=False))
    prefixes = list(shape.prefix_list) or None
    etree.fromstring('<_ xmlns:_="#default"/>')  # lxml leaves out a listed name that it has never seen
    octets = etree.tostring(element, method="c14n", exclusive=not inclusive, inclusive_ns_prefixes=prefixes)
    digester = hashes.Hash(DIGESTS[digest]())
    digester.update(octets)
    d, d_ns = (f"{shape.ds}:", f"xmlns:{shape.ds}") if shape.ds else ("", "xmlns")
    listed = f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{" ".join(shape.prefix_list)}"/>'
    rows = "".join(
        f'<{d}Transform Algorithm="{name}">{listed if name == EXC and prefixes else ""}</{d}Transform>'
        for name in transforms
    )
    signature = etree.fromstring(
        f'<{d}Signature {d_ns}="{DS}"><{d}SignedInfo><{d}CanonicalizationMethod Algorithm="{EXC}"/>'
        f'<{d}SignatureMethod Algorithm="{method}"/><{d}Reference URI="#{element.get("ID")}">'
        f'<{d}Transforms>{rows}</{d}Transforms><{d}DigestMethod Algorithm="{digest}"/>'
        f"<{d}DigestValue>{base64.b64encode(digester.finalize()).decode()}</{d}DigestValue></{d}Reference>"
        f"</{d}SignedInfo><{d}SignatureValue/>{_key_info(shape, by, d)}</{d}Signature>"
    )
    after = element.index(element.find(f"{{{SAML}}}Issuer")) + 1  # type: ignore[arg-type]
    element.insert(len(element) if shape.signature_last else after, signature)
    resign(signature, by)
    if shape.columns:
        signature[1].text = _folded(signature[1].text or "", shape.columns)
    return element


def _key_info(shape: Shape, by: Pair, d: str) -> str:
    if shape.key_info == "none":
        return ""
    body = _folded(by.certificate.base64_der, shape.columns)
    certificate = f"<{d}X509Data><{d}X509Certificate>{body}</{d}X509Certificate></{d}X509Data>"
    return f"<{d}KeyInfo>{certificate if shape.key_info == 'certificate' else _all(by, d, certificate)}</{d}KeyInfo>"


def _all(by: Pair, d: str, certificate: str) -> str:
    assert isinstance(by.key, rsa.RSAPrivateKey)
    numbers = by.key.public_key().public_numbers()
    n, e = (
        base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8)).decode() for number in (numbers.n, numbers.e)
    )
    value = f"<{d}RSAKeyValue><{d}Modulus>{n}</{d}Modulus><{d}Exponent>{e}</{d}Exponent></{d}RSAKeyValue>"
    return f"<{d}KeyName>signing</{d}KeyName>{certificate}<{d}KeyValue>{value}</{d}KeyValue>"


def _folded(text: str, columns: int) -> str:
    """Base64 in lines, as Java and OpenSSL write it."""
    if not columns:
        return text
    return "\n" + "\n".join(text[start : start + columns] for start in range(0, len(text), columns)) + "\n"


def resign(signature: etree._Element, by: Pair | None = None) -> None:
    """Compute SignatureValue anew, by whatever method the SignedInfo names."""
    info = signature[0]
    value = METHODS[info[1].get("Algorithm", "")](
        (by or idp()).key, etree.tostring(info, method="c14n", exclusive=True, with_tail=False)
    )
    signature[1].text = base64.b64encode(value).decode()


def assertion_of(response: etree._Element) -> etree._Element:
    found = response.find(f"{{{SAML}}}Assertion")
    assert found is not None
    return found


def swap(old: etree._Element, new: etree._Element) -> None:
    parent = old.getparent()
    assert parent is not None
    new.tail = old.tail
    parent.replace(old, new)


def encrypt(
    plaintext: bytes,
    *,
    to: Pair | rsa.RSAPublicKey | None = None,
    algorithm: str = "aes256-gcm",
    transport: str = "rsa-oaep-mgf1p",
    digest: str | None = None,
    mgf: str | None = None,
    label: bytes | None = None,
    beside: bool = False,
    secret: bytes | None = None,
    prefix: str = "xenc",
) -> etree._Element:
    """An EncryptedAssertion around any octets, as every sender with our public certificate can make it."""
    to = to or sp_keys()
    key = to.key.public_key() if isinstance(to, Pair) else to
    assert isinstance(key, rsa.RSAPublicKey)
    secret = secret or os.urandom(int(algorithm[3:6]) // 8)
    if algorithm.endswith("gcm"):
        nonce = os.urandom(12)
        sealed, space = nonce + AESGCM(secret).encrypt(nonce, plaintext, None), XENC11
    else:
        padder, iv = padding.PKCS7(128).padder(), os.urandom(16)
        encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
        sealed = iv + encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
        space = XENC
    kinds = {None: hashes.SHA1, "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha512": hashes.SHA512}
    scheme = (
        PKCS1v15()
        if transport == "rsa-1_5"
        else OAEP(mgf=MGF1(kinds[mgf and mgf.removeprefix("mgf1")]()), algorithm=kinds[digest](), label=label)
    )
    x = prefix
    wrapped = key.encrypt(secret, scheme)
    digest_uri = {"sha1": f"{DS}sha1", "sha256": f"{XENC}sha256", "sha512": f"{XENC}sha512"}.get(digest or "")
    parameters = (
        (f"<{x}:OAEPparams>{base64.b64encode(label).decode()}</{x}:OAEPparams>" if label else "")
        + (f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{digest_uri}"/>' if digest_uri else "")
        + (f'<m:MGF xmlns:m="{XENC11}" Algorithm="{XENC11}{mgf}"/>' if mgf else "")
    )
    encrypted_key = (
        f'<{x}:EncryptedKey xmlns:{x}="{XENC}"><{x}:EncryptionMethod '
        f'Algorithm="{XENC11 if transport == "rsa-oaep" else XENC}{transport}">{parameters}</{x}:EncryptionMethod>'
        f"<{x}:CipherData><{x}:CipherValue>{base64.b64encode(wrapped).decode()}</{x}:CipherValue></{x}:CipherData>"
        f"</{x}:EncryptedKey>"
    )
    info = "" if beside else f'<ds:KeyInfo xmlns:ds="{DS}">{encrypted_key}</ds:KeyInfo>'
    return etree.fromstring(
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}"><{x}:EncryptedData xmlns:{x}="{XENC}" '
        f'Type="{XENC}Element"><{x}:EncryptionMethod Algorithm="{space}{algorithm}"/>{info}<{x}:CipherData>'
        f"<{x}:CipherValue>{base64.b64encode(sealed).decode()}</{x}:CipherValue></{x}:CipherData>"
        f"</{x}:EncryptedData>{encrypted_key if beside else ''}</saml:EncryptedAssertion>"
    )


def finish(response: etree._Element, shape: Shape, by: Pair | None = None) -> etree._Element:
    """Sign and encrypt an unsigned Response the way this product does: inside first."""
    assertion = response.find(f"{{{SAML}}}Assertion")
    if assertion is not None and shape.sign_assertion:
        signed = sign(assertion, by, shape=shape)
        swap(assertion, signed)
    if assertion is not None and shape.encrypt:
        plain = assertion_of(response)
        more: dict[str, Any] = dict(shape.encryption)
        swap(plain, encrypt(etree.tostring(plain, with_tail=False), algorithm=shape.encrypt, **more))
    return sign(response, by, shape=shape) if shape.sign_response else response


def good(shape: Shape = OKTA, **content: Any) -> etree._Element:
    return finish(unsigned(shape, **content), shape)


def post(document: etree._Element | bytes) -> str:
    """The form field."""
    octets = document if isinstance(document, bytes) else etree.tostring(document)
    return base64.b64encode(octets).decode("ascii")
