"""pysaml2's XML security over libxmlsec1 in this process, where pysaml2 itself would run the `xmlsec1` program.

Install it with :func:`install` into an entity that was made with ``crypto_backend="XMLSecurity"``.
"""

from importlib import metadata
from typing import Any

import xmlsec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from saml2.entity import Entity
from saml2.sigver import ASSERT_XPATH, CryptoBackend, DecryptError, RSACrypto, SignatureError, pre_encrypt_assertion
from saml2.xmlenc import EncryptedData
from xmlsec import constants

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"

#: Content ciphers by the names that settings use: (algorithm, bits of its key).
CIPHERS = {
    "aes128-cbc": (f"{XENC}aes128-cbc", 128),
    "aes256-cbc": (f"{XENC}aes256-cbc", 256),
    "aes128-gcm": (f"{XENC11}aes128-gcm", 128),
    "aes256-gcm": (f"{XENC11}aes256-gcm", 256),
}


class LibXmlSec(CryptoBackend):  # type: ignore[misc]  # pysaml2 is untyped
    """Signs, verifies, encrypts and decrypts; assertions are encrypted with ``cipher``."""

    def __init__(self, cipher: str = "aes256-cbc") -> None:
        self._algorithm, self._bits = CIPHERS[cipher]

    @property
    def version(self) -> str:
        """Decides nothing outside pysaml2's own backend."""
        return metadata.version("xmlsec")

    def sign_statement(self, statement: object, node_name: str, key_file: str, node_id: str) -> str:
        """Fill in the Signature that pysaml2 prepared as a child of the element with that ID."""
        root, element = _parsed(statement, node_id)
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_file(key_file, constants.KeyDataFormatPem)
        context.sign(_signature(element))
        return etree.tostring(root, encoding="unicode")

    def validate_signature(
        self, signedtext: object, cert_file: str, cert_type: str, node_name: str, node_id: str
    ) -> bool:
        """True, or SignatureError."""
        _, element = _parsed(signedtext, node_id)
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_file(cert_file, constants.KeyDataFormatCertPem)
        try:
            context.verify(_signature(element))
        except xmlsec.Error as error:
            raise SignatureError(str(error)) from error
        return True

    def encrypt_assertion(
        self, statement: object, enc_key: str, template: EncryptedData, key_type: str, node_xpath: str | None = None
    ) -> str:
        """Encrypt the assertion in its EncryptedAssertion; pysaml2's template says all but the cipher, which is ours:
        its own would be triple DES."""
        template.encryption_method.algorithm = self._algorithm
        root = etree.fromstring(_octets(statement if isinstance(statement, str) else pre_encrypt_assertion(statement)))
        assertion = _only(root, node_xpath or ASSERT_XPATH)
        recipient = xmlsec.Key.from_file(enc_key, constants.KeyDataFormatCertPem)
        if name := template.key_info.encrypted_key.key_info.key_name:
            recipient.name = name.text  # by which libxmlsec1 finds it
        keys = xmlsec.KeysManager()
        keys.add_key(recipient)
        context = xmlsec.EncryptionContext(keys)
        context.key = xmlsec.Key.generate(constants.KeyDataAes, self._bits, constants.KeyDataTypeSession)
        context.encrypt_xml(etree.fromstring(_octets(template)), assertion)
        return etree.tostring(root, encoding="unicode")

    def decrypt(self, enctext: object, key_file: str) -> str:
        """The document with its EncryptedData replaced by what was in it."""
        root = etree.fromstring(_octets(enctext))
        keys = xmlsec.KeysManager()
        keys.add_key(xmlsec.Key.from_file(key_file, constants.KeyDataFormatPem))
        try:
            for data in root.findall(f".//{{{XENC}}}EncryptedData"):
                xmlsec.EncryptionContext(keys).decrypt(data)
        except xmlsec.Error as error:
            raise DecryptError(str(error)) from error
        return etree.tostring(root, encoding="unicode")


def install(entity: Entity, *, cipher: str = "aes256-cbc") -> None:
    """Give the entity this backend, and its own key for the signatures of the Redirect binding."""
    entity.sec.crypto = LibXmlSec(cipher)
    with open(entity.config.key_file, "rb") as pem:
        key = load_pem_private_key(pem.read(), None, unsafe_skip_rsa_key_validation=True)  # this process made it
    entity.sec.sec_backend = RSACrypto(key)


def _octets(text: object) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _parsed(statement: object, node_id: str) -> tuple[etree._Element, etree._Element]:
    root = etree.fromstring(_octets(statement))
    xmlsec.tree.add_ids(root, ["ID"])
    return root, _only(root, f"//*[@ID='{node_id}']")


def _only(root: etree._Element, path: str) -> etree._Element:
    found: Any = root.xpath(path)
    (element,) = found
    assert isinstance(element, etree._Element)
    return element


def _signature(element: etree._Element) -> etree._Element:
    signature = element.find(f"{{{constants.DSigNs}}}Signature")
    if signature is None:
        raise SignatureError("no signature")
    return signature
