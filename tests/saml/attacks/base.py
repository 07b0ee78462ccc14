"""The good message that everything is made from, and the parts that all families use."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from lxml import etree

from idp_bridge.saml import Certificate

from .. import idp

VICTIM = "victim@example.com"
#: A name, and the document as octets or the form field as text.
Attack = tuple[str, bytes | str]

SIGNATURE, ASSERTION = f"{{{idp.DS}}}Signature", f"{{{idp.SAML}}}Assertion"
CONTAINERS = (ASSERTION, f"{{{idp.SAML}}}EncryptedAssertion")


@dataclass(frozen=True)
class Base:
    """A good message with what is public about both sides."""

    name: str
    document: etree._Element
    certificate: Certificate
    """The provider's, as it is pinned."""
    encryption_key: RSAPublicKey

    @classmethod
    def of(cls, shape: idp.Shape) -> "Base":
        key = idp.sp_keys().key.public_key()
        assert isinstance(key, RSAPublicKey)
        return cls(shape.name, idp.good(shape), idp.idp().certificate, key)

    @property
    def octets(self) -> bytes:
        return xml(self.document)

    def copy(self) -> etree._Element:
        return deepcopy(self.document)

    def others(self, made: Iterator[Attack]) -> Iterator[Attack]:
        """Only what differs from the message itself: not every family finds something to change in every message."""
        original = self.octets
        return ((name, forged) for name, forged in made if forged != original)

    def evil_assertion(self, identifier: str = "_evil") -> etree._Element:
        """The good assertion without its signature, for the victim; an invented one where the good one is secret."""
        own = container(self.document)
        if own.tag != ASSERTION:
            own = idp.assertion_of(idp.unsigned(idp.SIMPLESAMLPHP))
        evil = etree.fromstring(etree.tostring(own, with_tail=False))
        for signature in evil.findall(SIGNATURE):
            evil.remove(signature)
        evil.set("ID", identifier)
        for value in (*evil.iter(f"{{{idp.SAML}}}NameID"), *evil.iter(f"{{{idp.SAML}}}AttributeValue")):
            if value.tag.endswith("NameID") or "@" in (value.text or ""):
                value.text = VICTIM
        return evil

    def evil_response(self, identifier: str = "_evil") -> etree._Element:
        """The good Response without a signature, around the victim's assertion."""
        evil = self.copy()
        for signature in evil.findall(SIGNATURE):
            evil.remove(signature)
        idp.swap(container(evil), self.evil_assertion("_evil_assertion"))
        evil.set("ID", identifier)
        return evil

    def evil(self, element: etree._Element, identifier: str) -> etree._Element:
        """The same kind of element for the victim, without a signature."""
        if element.tag == ASSERTION:
            return self.evil_assertion(identifier)
        if element.tag in CONTAINERS:
            return self.encrypted(xml(self.evil_assertion(identifier)))
        return self.evil_response(identifier)

    def encrypted(self, plaintext: bytes, **how: object) -> etree._Element:
        return idp.encrypt(plaintext, to=self.encryption_key, **how)  # type: ignore[arg-type]


def xml(element: etree._Element) -> bytes:
    return etree.tostring(element, with_tail=False)


def container(root: etree._Element) -> etree._Element:
    """The assertion of a Response, plain or encrypted; the root itself where it is one."""
    return root if root.tag in CONTAINERS else next(child for child in root if child.tag in CONTAINERS)


def signed(root: etree._Element) -> list[etree._Element]:
    """Response and assertion, as far as they are signed for all to see."""
    both = [root] if root.tag in CONTAINERS else [root, container(root)]
    return [element for element in both if element.find(SIGNATURE) is not None]


def named(root: etree._Element, name: str) -> Iterator[etree._Element]:
    """All elements of this name in Signatures. Ciphertexts use some of the names too."""
    found = root.iter(f"{{{idp.DS}}}{name}")
    return (item for item in found if any(outer.tag == SIGNATURE for outer in (item, *item.iterancestors())))
