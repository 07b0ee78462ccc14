"""XML signatures and encryption for the simulated identity providers: a pysaml2 back end without xmlsec1.

pysaml2 normally forks the `xmlsec1` program; here signxml and cryptography do the work in the process, so that
the simulator runs wherever Python runs. Owns the provider's key pair. Decrypts nothing: an IdP has no need to.
"""

import os
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from lxml import etree
from saml2.sigver import CryptoBackend, SignatureError
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0

_VERIFY = SignatureConfiguration(
    location="./",
    expect_references=1,
    signature_methods=frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512}),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}),
)


@dataclass(frozen=True)
class KeyPair:
    """An RSA-2048 key and the self-signed certificate that carries its public half."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> str:
        """What an administrator pastes into the service provider."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def certificate_base64(self) -> str:
        """The DER bytes in base64, as `ds:X509Certificate` wants them."""
        return b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()


def make_key_pair(common_name: str, *, now: datetime | None = None) -> KeyPair:
    """A new key and a certificate for it, valid for ten years as Okta's are."""
    start = now or datetime.now(UTC)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(hours=1))
        .not_valid_after(start + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(key, certificate)


def kept_key_pair(directory: Path, name: str) -> KeyPair:
    """The key pair kept under `directory`; made there on the first start, so that a restart changes no trust."""
    path = directory / f"{name}.pem"
    if path.exists():
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA key; remove the file to have a new one made")
        return KeyPair(key, x509.load_pem_x509_certificate(pem))
    pair = make_key_pair(f"{name} (simulated)")
    private = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private + pair.certificate_pem.encode())
    return pair


class SignxmlBackend(CryptoBackend):  # type: ignore[misc]  # pysaml2 is untyped
    """pysaml2's crypto interface over signxml. Keys come from the pair, never from the file names it is given."""

    def __init__(self, pair: KeyPair) -> None:
        super().__init__()
        self._pair = pair

    @property
    def version(self) -> str:
        """pysaml2 reads a dotted number here and does nothing else with it."""
        return "1.3.0"

    def sign_statement(self, statement: str | bytes, node_name: str, key_file: str | None, node_id: str) -> str:
        """Signs the one element whose ID is `node_id`, and leaves the rest of the document as it was."""
        root = etree.fromstring(statement.encode() if isinstance(statement, str) else statement)
        element = _element(root, node_id)
        # Signed as a document of its own: signxml canonicalises a detached copy, and lxml writes a stray
        # xmlns="" into copies of default-namespace children unless the text has been parsed anew.
        signed = self._signed(etree.fromstring(etree.tostring(element, with_tail=False)), node_id)
        parent = element.getparent()
        if parent is None:
            return etree.tostring(signed, encoding="unicode")
        parent.replace(element, signed)
        return etree.tostring(root, encoding="unicode")

    def validate_signature(
        self, signedtext: str | bytes, cert_file: str, cert_type: str, node_name: str, node_id: str
    ) -> bool:
        """True when the document's root is what `cert_file`'s key signed; raises SignatureError if not."""
        document = signedtext.encode() if isinstance(signedtext, str) else signedtext
        check_signature(document, node_id=node_id, certificate_pem=Path(cert_file).read_text())
        return True

    def _signed(self, element: etree._Element, node_id: str) -> etree._Element:
        # SAML's schema wants the Signature right behind the Issuer (Core 2.3.3, 3.2.2).
        place = etree.Element(f"{{{DS}}}Signature", {"Id": "placeholder"}, nsmap={"ds": DS})
        element.insert(1, place)
        signer = XMLSigner(
            signature_algorithm=SignatureMethod.RSA_SHA256,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=EXCLUSIVE,
        )
        return signer.sign(
            element,
            key=self._pair.key,
            cert=[self._pair.certificate],
            reference_uri=f"#{node_id}",
            id_attribute="ID",
        )


def check_signature(document: bytes, *, node_id: str, certificate_pem: str) -> None:
    """Raises SignatureError where the document's root is not what the certificate's key has signed."""
    root = etree.fromstring(document)
    if root.get("ID") != node_id:
        raise SignatureError("the signed element is not the message itself")
    try:
        XMLVerifier().verify(root, x509_cert=certificate_pem, expect_config=_VERIFY, ignore_ambiguous_key_info=True)
    except SignXMLException as refused:
        raise SignatureError(str(refused)) from refused


def encrypt_assertion(document: str, certificate: x509.Certificate) -> str:
    """Puts the Assertion of a Response into an EncryptedAssertion: AES-256-GCM, key by RSA-OAEP (XML Enc 1.1)."""
    root = etree.fromstring(document.encode())
    assertion = root.find(f"{{{SAML}}}Assertion")
    public = certificate.public_key()
    if assertion is None or not isinstance(public, rsa.RSAPublicKey):
        raise ValueError("encryption needs a Response with an Assertion, and an RSA certificate")
    session_key, nonce = AESGCM.generate_key(256), token_bytes(12)
    plain = etree.tostring(assertion, with_tail=False)
    content = nonce + AESGCM(session_key).encrypt(nonce, plain, None)
    # MGF1 with SHA-1 is what `rsa-oaep-mgf1p` means; every SAML product can read it.
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    wrapper = etree.Element(f"{{{SAML}}}EncryptedAssertion", nsmap={"saml2": SAML})
    wrapper.append(_encrypted_data(content, public.encrypt(session_key, oaep)))
    root.replace(assertion, wrapper)
    return etree.tostring(root, encoding="unicode")


def _encrypted_data(content: bytes, wrapped_key: bytes) -> etree._Element:
    return etree.fromstring(
        f'<xenc:EncryptedData xmlns:xenc="{XENC}" Type="{XENC}Element">'
        f'<xenc:EncryptionMethod Algorithm="{XENC11}aes256-gcm"/>'
        f'<ds:KeyInfo xmlns:ds="{DS}"><xenc:EncryptedKey>'
        f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/>'
        f"<xenc:CipherData><xenc:CipherValue>{b64encode(wrapped_key).decode()}</xenc:CipherValue></xenc:CipherData>"
        f"</xenc:EncryptedKey></ds:KeyInfo>"
        f"<xenc:CipherData><xenc:CipherValue>{b64encode(content).decode()}</xenc:CipherValue></xenc:CipherData>"
        f"</xenc:EncryptedData>"
    )


def _element(root: etree._Element, node_id: str) -> etree._Element:
    found = [element for element in root.iter("{*}*") if element.get("ID") == node_id]
    if len(found) != 1:
        raise SignatureError(f"{len(found)} elements have the ID to be signed")
    return found[0]
