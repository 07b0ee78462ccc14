"""Encrypted assertions: every good algorithm is read, every bad one refused, and failures look alike."""

from typing import Any

import pytest
from lxml import etree

from idp_bridge.saml import Assertion, Reason, Rejected, verify
from idp_bridge.saml.decrypt import decrypt

from . import idp
from .attacks import container

PLAIN = b"<x>plain text of some length</x>"
KEYS: tuple[Any, ...] = (idp.sp_keys().key,)
XENC = "{http://www.w3.org/2001/04/xmlenc#}"


def refused(element: etree._Element, **kwargs: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decrypt(element, keys=kwargs.pop("keys", KEYS), **kwargs)
    return caught.value


@pytest.mark.parametrize("algorithm", [f"aes{bits}-{mode}" for bits in (128, 192, 256) for mode in ("gcm", "cbc")])
@pytest.mark.parametrize("beside", [False, True], ids=["key inside", "key beside"])
def test_content_algorithms(algorithm: str, beside: bool) -> None:
    """AES in GCM and CBC, with the key inside EncryptedData or beside it."""
    assert decrypt(idp.encrypt(PLAIN, algorithm=algorithm, beside=beside), keys=KEYS) == PLAIN


@pytest.mark.parametrize(
    "parameters",
    [
        {"transport": "rsa-oaep-mgf1p"},
        {"transport": "rsa-oaep-mgf1p", "digest": "sha1"},
        {"transport": "rsa-oaep-mgf1p", "digest": "sha256"},
        {"transport": "rsa-oaep"},
        {"transport": "rsa-oaep", "digest": "sha256", "mgf": "mgf1sha256"},
        {"transport": "rsa-oaep", "digest": "sha512", "mgf": "mgf1sha1", "label": b"label"},
    ],
)
def test_key_transport_parameters(parameters: dict[str, Any]) -> None:
    """RSA-OAEP as in XML Encryption 1.0 and 1.1, with digest, MGF and label."""
    assert decrypt(idp.encrypt(PLAIN, **parameters), keys=KEYS) == PLAIN


def test_first_version_of_oaep_fixes_its_mask() -> None:
    """`rsa-oaep-mgf1p` means MGF1 with SHA-1, whatever parameter stands beside it."""
    element = idp.encrypt(PLAIN, transport="rsa-oaep-mgf1p")
    method = element.find(f".//{XENC}EncryptedKey/{XENC}EncryptionMethod")
    assert method is not None
    etree.SubElement(method, f"{{{idp.XENC11}}}MGF", Algorithm=f"{idp.XENC11}mgf1sha256")
    assert decrypt(element, keys=KEYS) == PLAIN


def test_every_own_key_is_tried() -> None:
    """During a rotation of our own key two of them decrypt."""
    keys: tuple[Any, ...] = (idp.attacker().key, idp.sp_keys().key)
    assert decrypt(idp.encrypt(PLAIN), keys=keys) == PLAIN


def test_key_for_another_recipient_is_passed_over() -> None:
    """Several EncryptedKeys are legal; the one that is ours counts."""
    element = idp.encrypt(PLAIN, beside=True, secret=b"k" * 32)
    foreign = idp.encrypt(PLAIN, beside=True, to=idp.attacker())
    element.insert(0, foreign[1])
    assert decrypt(element, keys=KEYS) == PLAIN


def test_cbc_can_be_refused() -> None:
    """A connection may demand authenticated encryption."""
    assert refused(idp.encrypt(PLAIN, algorithm="aes256-cbc"), require_gcm=True).reason is Reason.ENCRYPTION_ALGORITHM
    assert decrypt(idp.encrypt(PLAIN, algorithm="aes256-gcm"), keys=KEYS, require_gcm=True) == PLAIN


def with_attribute(name: str, attribute: str, value: str, **kwargs: Any) -> etree._Element:
    element = idp.encrypt(PLAIN, **kwargs)
    next(element.iter(f"{{*}}{name}")).set(attribute, value)
    return element


@pytest.mark.parametrize(
    "element",
    [
        pytest.param(idp.encrypt(PLAIN, transport="rsa-1_5"), id="RSA 1.5"),
        pytest.param(with_attribute("EncryptionMethod", "Algorithm", f"{idp.XENC}tripledes-cbc"), id="triple DES"),
        pytest.param(with_attribute("DigestMethod", "Algorithm", "urn:md5", digest="sha256"), id="digest"),
        pytest.param(with_attribute("MGF", "Algorithm", "urn:x", transport="rsa-oaep", mgf="mgf1sha1"), id="MGF"),
    ],
)
def test_other_algorithms_are_refused_before_any_key_is_used(element: etree._Element) -> None:
    """The list is closed, and looked at first."""
    assert refused(element, keys=()).reason is Reason.ENCRYPTION_ALGORITHM


def without(name: str) -> etree._Element:
    element = idp.encrypt(PLAIN)
    for found in list(element.iter(f"{XENC}{name}"))[:1]:
        found.getparent().remove(found)  # type: ignore[union-attr]
    return element


def with_many_keys() -> etree._Element:
    element = idp.encrypt(PLAIN, beside=True)
    element.extend(idp.encrypt(PLAIN, beside=True)[1] for _ in range(4))
    return element


@pytest.mark.parametrize(
    "element",
    [
        *(
            pytest.param(without(name), id=name)
            for name in ("EncryptedData", "EncryptionMethod", "EncryptedKey", "CipherValue")
        ),
        pytest.param(with_many_keys(), id="too many keys"),
    ],
)
def test_structure_is_fixed(element: etree._Element) -> None:
    """One EncryptedData with one method and one value, and one to four keys."""
    assert refused(element).reason is Reason.ENCRYPTION_PLACEMENT


def with_value(index: int, text: str, **kwargs: Any) -> etree._Element:
    element = idp.encrypt(PLAIN, **kwargs)
    list(element.iter(f"{XENC}CipherValue"))[index].text = text
    return element


def sealed(octets: bytes) -> etree._Element:
    """CBC content that decrypts to exactly these blocks, padding included."""
    secret = b"k" * 16
    encryptor = idp.Cipher(idp.algorithms.AES(secret), idp.modes.CBC(b"i" * 16)).encryptor()
    value = b"i" * 16 + encryptor.update(octets) + encryptor.finalize()
    return with_value(1, idp.base64.b64encode(value).decode(), algorithm="aes128-cbc", secret=secret)


@pytest.mark.parametrize(
    "element",
    [
        pytest.param(idp.encrypt(PLAIN, to=idp.attacker()), id="for another key"),
        pytest.param(with_value(0, "AAAA"), id="a wrapped key that is none"),
        pytest.param(with_value(0, "%%"), id="no base64 in the key"),
        pytest.param(with_value(1, "\u00e4"), id="no base64 in the content"),
        pytest.param(with_value(1, ""), id="no content"),
        pytest.param(with_value(1, "A" * 64), id="a tag that is wrong"),
        pytest.param(with_value(1, "A" * 24, algorithm="aes128-cbc"), id="an odd length"),
        pytest.param(with_value(1, idp.base64.b64encode(b"i" * 16).decode(), algorithm="aes128-cbc"), id="an IV only"),
        pytest.param(idp.encrypt(PLAIN, algorithm="aes256-gcm", secret=b"k" * 16), id="a key of another length"),
        pytest.param(sealed(b"a" * 15 + b"\x00"), id="padding 0"),
        pytest.param(sealed(b"a" * 15 + b"\x11"), id="padding 17"),
    ],
)
def test_failures_look_alike(element: etree._Element) -> None:
    """Whatever goes wrong with a key or a ciphertext: one reason, no fact that tells one from the other."""
    failure = refused(element)
    assert (failure.reason, failure.facts) == (Reason.DECRYPTION_FAILED, {})
    assert failure.__cause__ is None


def read(response: etree._Element, **trust: Any) -> Assertion:
    return verify(idp.post(response), trust=idp.trust(**trust), sp=idp.service_provider(), now=idp.NOW)


def test_encrypted_is_accepted_where_it_is_demanded() -> None:
    """`want_encrypted` and `require_gcm` together let AES-GCM in."""
    assert read(idp.good(idp.ENCRYPTED_GCM), want_encrypted=True, require_gcm=True).name_id == "ann@example.com"
    with pytest.raises(Rejected) as caught:
        read(idp.good(idp.ENCRYPTED_CBC), require_gcm=True)
    assert caught.value.reason is Reason.ENCRYPTION_ALGORITHM


def test_bad_plaintext_tells_the_administrator_only() -> None:
    """A good ciphertext around an unsigned assertion: publicly a failed decryption, privately the cause."""
    response = idp.unsigned(idp.OKTA)
    idp.swap(container(response), idp.encrypt(etree.tostring(container(response), with_tail=False)))
    with pytest.raises(Rejected) as caught:
        read(response)
    assert caught.value.reason is Reason.DECRYPTION_FAILED
    assert caught.value.facts["cause"] == Reason.SIGNATURE_MISSING


def with_child(parent: str, child: str, **attributes: str) -> etree._Element:
    assertion = idp.assertion_of(idp.unsigned(idp.OKTA))
    holder = assertion if parent == "Assertion" else next(assertion.iter(f"{{*}}{parent}"))
    etree.SubElement(holder, child, attributes)
    return assertion


def nested() -> etree._Element:
    assertion = idp.assertion_of(idp.unsigned(idp.OKTA))
    advice = etree.SubElement(assertion, f"{{{idp.SAML}}}Advice")
    etree.SubElement(advice, f"{{{idp.SAML}}}Assertion")
    return assertion


@pytest.mark.parametrize(
    ("assertion", "cause"),
    [
        pytest.param(with_child("Subject", f"{XENC}EncryptedData"), Reason.ENCRYPTION_PLACEMENT, id="encrypted inside"),
        pytest.param(with_child("Assertion", "{urn:x}x", Id="_assertion1"), Reason.ID_DUPLICATE, id="an ID twice"),
        pytest.param(with_child("Subject", f"{{{idp.DS}}}Object"), Reason.SIGNATURE_PLACEMENT, id="ds:Object"),
        pytest.param(nested(), Reason.ASSERTION_COUNT, id="an assertion inside"),
        pytest.param(idp.unsigned(idp.OKTA), Reason.ASSERTION_COUNT, id="a Response"),
    ],
)
def test_plaintext_is_as_foreign_as_any_message(assertion: etree._Element, cause: Reason) -> None:
    """Even well signed by the provider, the structure rules hold inside the ciphertext as they do outside."""
    response = idp.unsigned(idp.OKTA)
    idp.swap(container(response), idp.encrypt(etree.tostring(idp.sign(assertion))))
    with pytest.raises(Rejected) as caught:
        read(response)
    assert (caught.value.reason, caught.value.facts["cause"]) == (Reason.DECRYPTION_FAILED, cause)


def test_plaintext_may_lean_on_declarations_around_it() -> None:
    """Keycloak encrypts the element without the declarations of its ancestors."""
    signed = etree.tostring(idp.sign(idp.assertion_of(idp.unsigned(idp.ENCRYPTED_CBC))))
    bare = signed.replace(f' xmlns:saml="{idp.SAML}"'.encode(), b"", 1)
    assert b"xmlns:saml=" not in bare.partition(b">")[0]
    response = idp.unsigned(idp.ENCRYPTED_CBC)
    idp.swap(container(response), idp.encrypt(bare))
    assert read(response).name_id == "ann@example.com"
