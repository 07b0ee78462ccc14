"""A signing identity provider for tests: good Responses in the forms that real products send.

Every message is built as text with the product's own prefixes, then signed and encrypted by `cryptography`: nothing
here shares code with the door that reads it.
"""

import base64
import hmac
import os
from collections.abc import Callable, Sequence
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


OKTA = Shape("okta", "saml2", "saml2p", prefix_list=("xs",), fraction=".123", typed=True)
ENTRA = Shape("entra", "", "samlp", sign_response=False, fraction=".1234567")
SIMPLESAMLPHP = Shape("simplesamlphp", typed=True, lines="\n  ")
RESPONSE_ONLY = Shape("response_only", sign_assertion=False)
SIGNATURE_LAST = Shape("signature_last", sign_response=False, signature_last=True)
ENCRYPTED_GCM = Shape("encrypted_gcm", encrypt="aes256-gcm")
ENCRYPTED_CBC = Shape("encrypted_cbc", sign_response=False, encrypt="aes128-cbc")
ENCRYPTED_RESPONSE_ONLY = Shape("encrypted_response_only", sign_assertion=False, encrypt="aes128-gcm")
PLAIN_SHAPES = (OKTA, ENTRA, SIMPLESAMLPHP, RESPONSE_ONLY, SIGNATURE_LAST)
SHAPES = (*PLAIN_SHAPES, ENCRYPTED_GCM, ENCRYPTED_CBC, ENCRYPTED_RESPONSE_ONLY)

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "email": ("ann@example.com",),
    "firstName": ("Ann",),
    "lastName": ("Lee",),
    "groups": ("Engineering", "On call, EU"),
}


def stamp(minutes: float, shape: Shape = OKTA) -> str:
    return (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S") + shape.fraction + "Z"


def unsigned(shape: Shape, *, name_id: str = "ann@example.com", attributes: object = None) -> etree._Element:
    """The Response of this shape before anything is signed."""
    a, p = (f"{prefix}:" if prefix else "" for prefix in (shape.saml, shape.samlp))
    a_ns, p_ns = (f"xmlns:{prefix}" if prefix else "xmlns" for prefix in (shape.saml, shape.samlp))
    typed = ' xsi:type="xs:string"' if shape.typed else ""
    schema = ' xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    rows = "".join(
        f'<{a}Attribute Name="{name}" FriendlyName="role">'
        + "".join(f"<{a}AttributeValue{typed}>{value}</{a}AttributeValue>" for value in values)
        + f"</{a}Attribute>"
        for name, values in (ATTRIBUTES if attributes is None else attributes).items()  # type: ignore[attr-defined]
    )
    window = f'NotBefore="{stamp(-5, shape)}" NotOnOrAfter="{stamp(5, shape)}"'
    i = shape.lines
    assertion = (
        f'<{a}Assertion {a_ns}="{SAML}"{schema if shape.typed else ""} ID="_assertion1" Version="2.0" '
        f'IssueInstant="{stamp(0, shape)}">{i}<{a}Issuer>{IDP}</{a}Issuer>{i}<{a}Subject>{i}'
        f'<{a}NameID Format="{EMAIL}">{name_id}</{a}NameID>{i}'
        f'<{a}SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><{a}SubjectConfirmationData '
        f'InResponseTo="{REQUEST}" NotOnOrAfter="{stamp(5, shape)}" Recipient="{ACS}"/></{a}SubjectConfirmation>{i}'
        f"</{a}Subject>{i}<{a}Conditions {window}><{a}AudienceRestriction><{a}Audience>{SP}</{a}Audience>"
        f"</{a}AudienceRestriction></{a}Conditions>{i}"
        f'<{a}AuthnStatement AuthnInstant="{stamp(-1, shape)}" SessionIndex="_session1" '
        f'SessionNotOnOrAfter="{stamp(480, shape)}"><{a}AuthnContext><{a}AuthnContextClassRef>'
        f"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</{a}AuthnContextClassRef>"
        f"</{a}AuthnContext></{a}AuthnStatement>{i}<{a}AttributeStatement>{rows}</{a}AttributeStatement>{i}"
        f"</{a}Assertion>"
    )
    return etree.fromstring(
        f'<{p}Response {p_ns}="{SAMLP}" ID="_response1" Version="2.0" IssueInstant="{stamp(0, shape)}" '
        f'Destination="{ACS}" InResponseTo="{REQUEST}">{i}<{a}Issuer {a_ns}="{SAML}">{IDP}</{a}Issuer>{i}'
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
    method: str = f"{MORE}rsa-sha256",
    digest: str = f"{XENC}sha256",
    transforms: Sequence[str] = (ENVELOPED, EXC),
    inclusive: bool = False,
) -> etree._Element:
    """The element with an enveloped Signature at its schema place: after the Issuer (or last, as one product does)."""
    by = by or idp()
    element = etree.fromstring(etree.tostring(element, with_tail=False))
    prefixes = list(shape.prefix_list) or None
    octets = etree.tostring(element, method="c14n", exclusive=not inclusive, inclusive_ns_prefixes=prefixes)
    digester = hashes.Hash(DIGESTS[digest]())
    digester.update(octets)
    listed = f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{" ".join(shape.prefix_list)}"/>'
    rows = "".join(
        f'<ds:Transform Algorithm="{name}">{listed if name == EXC and prefixes else ""}</ds:Transform>'
        for name in transforms
    )
    signature = etree.fromstring(
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EXC}"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="#{element.get("ID")}">'
        f'<ds:Transforms>{rows}</ds:Transforms><ds:DigestMethod Algorithm="{digest}"/>'
        f"<ds:DigestValue>{base64.b64encode(digester.finalize()).decode()}</ds:DigestValue></ds:Reference>"
        f"</ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data><ds:X509Certificate>"
        f"{by.certificate.base64_der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
    )
    after = element.index(element.find(f"{{{SAML}}}Issuer")) + 1  # type: ignore[arg-type]
    element.insert(len(element) if shape.signature_last else after, signature)
    resign(signature, by)
    return element


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
    to: Pair | None = None,
    algorithm: str = "aes256-gcm",
    transport: str = "rsa-oaep-mgf1p",
    digest: str | None = None,
    mgf: str | None = None,
    label: bytes | None = None,
    beside: bool = False,
    secret: bytes | None = None,
) -> etree._Element:
    """An EncryptedAssertion around any octets, as every sender with our public certificate can make it."""
    key = (to or sp_keys()).key
    assert isinstance(key, rsa.RSAPrivateKey)
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
    wrapped = key.public_key().encrypt(secret, scheme)
    digest_uri = {"sha1": f"{DS}sha1", "sha256": f"{XENC}sha256", "sha512": f"{XENC}sha512"}.get(digest or "")
    parameters = (
        (f"<xenc:OAEPparams>{base64.b64encode(label).decode()}</xenc:OAEPparams>" if label else "")
        + (f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{digest_uri}"/>' if digest_uri else "")
        + (f'<m:MGF xmlns:m="{XENC11}" Algorithm="{XENC11}{mgf}"/>' if mgf else "")
    )
    encrypted_key = (
        f'<xenc:EncryptedKey xmlns:xenc="{XENC}"><xenc:EncryptionMethod '
        f'Algorithm="{XENC11 if transport == "rsa-oaep" else XENC}{transport}">{parameters}</xenc:EncryptionMethod>'
        f"<xenc:CipherData><xenc:CipherValue>{base64.b64encode(wrapped).decode()}</xenc:CipherValue></xenc:CipherData>"
        "</xenc:EncryptedKey>"
    )
    info = "" if beside else f'<ds:KeyInfo xmlns:ds="{DS}">{encrypted_key}</ds:KeyInfo>'
    return etree.fromstring(
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}"><xenc:EncryptedData xmlns:xenc="{XENC}" '
        f'Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{space}{algorithm}"/>{info}<xenc:CipherData>'
        f"<xenc:CipherValue>{base64.b64encode(sealed).decode()}</xenc:CipherValue></xenc:CipherData>"
        f"</xenc:EncryptedData>{encrypted_key if beside else ''}</saml:EncryptedAssertion>"
    )


def finish(response: etree._Element, shape: Shape, by: Pair | None = None) -> etree._Element:
    """Sign and encrypt an unsigned Response the way this product does: inside first."""
    assertion = response.find(f"{{{SAML}}}Assertion")
    if assertion is not None and shape.sign_assertion:
        signed = sign(assertion, by, shape=shape)
        swap(assertion, signed)
    if assertion is not None and shape.encrypt:
        plain = assertion_of(response)
        swap(plain, encrypt(etree.tostring(plain, with_tail=False), algorithm=shape.encrypt))
    return sign(response, by, shape=shape) if shape.sign_response else response


def good(shape: Shape = OKTA, **content: object) -> etree._Element:
    return finish(unsigned(shape, **content), shape)  # type: ignore[arg-type]


def post(document: etree._Element | bytes) -> str:
    """The form field."""
    octets = document if isinstance(document, bytes) else etree.tostring(document)
    return base64.b64encode(octets).decode("ascii")
