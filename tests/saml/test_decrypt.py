"""Encrypted assertions: every good algorithm is read, every bad one refused, and failures look alike."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from lxml import etree

from idp_bridge.saml import Assertion, Reason, Rejected, verify
from idp_bridge.saml.decrypt import Plaintext, decrypt

from . import idp
from .attacks import container

PLAIN = b"<x>plain text of some length</x>"
KEYS: tuple[Any, ...] = (idp.sp_keys().key,)
XENC = "{http://www.w3.org/2001/04/xmlenc#}"


def opened(element: etree._Element, **kwargs: Any) -> bytes:
    plaintext = decrypt(element, keys=kwargs.pop("keys", KEYS), **kwargs)
    assert plaintext.failure is None
    return plaintext.octets


def refused(element: etree._Element, **kwargs: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decrypt(element, keys=kwargs.pop("keys", KEYS), **kwargs)
    return caught.value


@pytest.mark.parametrize("algorithm", [f"aes{bits}-{mode}" for bits in (128, 192, 256) for mode in ("gcm", "cbc")])
@pytest.mark.parametrize("beside", [False, True], ids=["key inside", "key beside"])
def test_content_algorithms(algorithm: str, beside: bool) -> None:
    """AES in GCM and CBC, with the key inside EncryptedData or beside it."""
    plaintext = decrypt(idp.encrypt(PLAIN, algorithm=algorithm, beside=beside), keys=KEYS)
    size = 12 + len(PLAIN) + 16 if "gcm" in algorithm else 16 + len(PLAIN) + 16
    assert plaintext == Plaintext(PLAIN, size, algorithm, None)


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
    assert opened(idp.encrypt(PLAIN, **parameters)) == PLAIN


def test_first_version_of_oaep_fixes_its_mask() -> None:
    """`rsa-oaep-mgf1p` means MGF1 with SHA-1, whatever parameter stands beside it."""
    element = idp.encrypt(PLAIN, transport="rsa-oaep-mgf1p")
    method = element.find(f".//{XENC}EncryptedKey/{XENC}EncryptionMethod")
    assert method is not None
    etree.SubElement(method, f"{{{idp.XENC11}}}MGF", Algorithm=f"{idp.XENC11}mgf1sha256")
    assert opened(element) == PLAIN


def test_every_own_key_is_tried() -> None:
    """During a rotation of our own key two of them decrypt."""
    keys: tuple[Any, ...] = (idp.attacker().key, idp.sp_keys().key)
    assert opened(idp.encrypt(PLAIN), keys=keys) == PLAIN


def test_key_for_another_recipient_is_passed_over() -> None:
    """Several EncryptedKeys are legal; the one that is ours counts."""
    element = idp.encrypt(PLAIN, beside=True, secret=b"k" * 32)
    foreign = idp.encrypt(PLAIN, beside=True, to=idp.attacker())
    element.insert(0, foreign[1])
    assert opened(element) == PLAIN


def test_cbc_can_be_refused() -> None:
    """A connection may demand authenticated encryption."""
    assert refused(idp.encrypt(PLAIN, algorithm="aes256-cbc"), require_gcm=True).reason is Reason.ENCRYPTION_ALGORITHM
    assert opened(idp.encrypt(PLAIN, algorithm="aes256-gcm"), require_gcm=True) == PLAIN


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


FAILURES = [
    pytest.param(idp.encrypt(PLAIN, to=idp.attacker()), "key", id="for another key"),
    pytest.param(with_value(0, "AAAA"), "key", id="a wrapped key that is none"),
    pytest.param(with_value(0, "A" * 684), "key", id="a wrapped key that is too long"),
    pytest.param(with_value(0, "%%"), "key", id="no base64 in the key"),
    pytest.param(idp.encrypt(PLAIN, algorithm="aes256-gcm", secret=b"k" * 16), "key", id="a key of another length"),
    pytest.param(with_value(1, "\u00e4"), "content", id="no base64 in the content"),
    pytest.param(with_value(1, ""), "content", id="no content"),
    pytest.param(with_value(1, "A" * 16), "content", id="a nonce only"),
    pytest.param(with_value(1, "A" * 64), "content", id="a tag that is wrong"),
    pytest.param(with_value(1, "A" * 24, algorithm="aes128-cbc"), "content", id="an odd length"),
    pytest.param(with_value(1, "A" * 16, algorithm="aes128-cbc"), "content", id="no whole IV"),
    pytest.param(with_value(1, f"{'A' * 22}==", algorithm="aes128-cbc"), "content", id="an IV only"),
    pytest.param(sealed(b"a" * 15 + b"\x00"), "content", id="padding 0"),
    pytest.param(sealed(b"a" * 15 + b"\x11"), "content", id="padding 17"),
]


@pytest.mark.parametrize(("element", "failure"), FAILURES)
def test_failures_look_alike(element: etree._Element, failure: str) -> None:
    """Whatever goes wrong with a key or a ciphertext is no refusal here, but a plaintext of nothing."""
    plaintext = decrypt(element, keys=KEYS)
    assert (plaintext.octets, plaintext.failure) == (b"", failure)


@pytest.mark.parametrize(("octets", "plain"), [(b"a" * 15 + b"\x01", b"a" * 15), (b"a" * 16 + b"\x10" * 16, b"a" * 16)])
def test_padding_of_1_and_of_16_octets(octets: bytes, plain: bytes) -> None:
    """Only the last octet counts, from 1 to a whole block (XML Encryption 5.2.1)."""
    assert opened(sealed(octets)) == plain
    assert opened(sealed(octets[:-2] + b"?" + octets[-1:])) == (plain if octets[-1] > 1 else plain[:-1] + b"?")


def test_wrapped_key_has_one_spelling_only() -> None:
    """A zero before or behind it, or the number beyond the modulus: worked on, and not accepted (RFC 8017 7.1.2)."""
    key: Any = idp.sp_keys().key
    modulus = key.public_key().public_numbers().n
    for element in iter(lambda: idp.encrypt(PLAIN), None):
        value = next(element.iter(f"{XENC}CipherValue"))
        octets = idp.base64.b64decode(value.text or "")
        beyond = int.from_bytes(octets) + modulus
        if beyond < 2**2048:
            break
    assert opened(element) == PLAIN
    for other in (octets + b"\0", b"\0" + octets, beyond.to_bytes(256)):
        value.text = idp.base64.b64encode(other).decode()
        assert decrypt(element, keys=KEYS).failure == "key"


def test_four_recipients_and_no_more() -> None:
    """Ours may be the last of them."""
    element = idp.encrypt(PLAIN, beside=True, secret=b"k" * 32)
    for _ in range(3):
        element.insert(1, idp.encrypt(PLAIN, beside=True, to=idp.attacker())[1])
    assert opened(element) == PLAIN
    element.insert(1, idp.encrypt(PLAIN, beside=True, to=idp.attacker())[1])
    failure = refused(element)
    assert failure.facts == {"element": "EncryptedKey", "got": "5", "want": "1 to 4"}


def test_no_key_of_ours_is_one_more_failure() -> None:
    """A connection without a key of its own cannot decrypt; it says so to its administrators."""
    assert decrypt(idp.encrypt(PLAIN), keys=()).failure == "key"


def read(response: etree._Element, **trust: Any) -> Assertion:
    return verify(idp.post(response), trust=idp.trust(**trust), sp=idp.service_provider(), now=idp.NOW)


def test_encrypted_is_accepted_where_it_is_demanded() -> None:
    """`want_encrypted` and `require_gcm` together let AES-GCM in."""
    assert read(idp.good(idp.ENCRYPTED_GCM), want_encrypted=True, require_gcm=True).name_id == "ann@example.com"
    with pytest.raises(Rejected) as caught:
        read(idp.good(idp.ENCRYPTED_CBC), require_gcm=True)
    assert caught.value.reason is Reason.ENCRYPTION_ALGORITHM


def wrapped(encrypted: etree._Element, shape: idp.Shape = idp.OKTA) -> etree._Element:
    """An unsigned Response around it, as everybody can make one."""
    response = idp.unsigned(shape)
    idp.swap(idp.assertion_of(response), encrypted)
    return response


def failed(response: etree._Element, **trust: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(response, **trust)
    return caught.value


SIGNED = etree.tostring(idp.sign(idp.assertion_of(idp.unsigned(idp.OKTA))))
BY_ANOTHER = etree.tostring(idp.sign(idp.assertion_of(idp.unsigned(idp.OKTA)), idp.attacker()))
UNSIGNED = etree.tostring(idp.assertion_of(idp.unsigned(idp.OKTA)), with_tail=False)


def in_cbc(plaintext: bytes, **kwargs: Any) -> etree._Element:
    return idp.encrypt(plaintext, algorithm="aes128-cbc", **kwargs)


def damaged(octet: int, **kwargs: Any) -> etree._Element:
    """A well signed assertion, one octet of whose ciphertext was changed on the way."""
    element = idp.encrypt(SIGNED, **kwargs)
    value = list(element.iter(f"{XENC}CipherValue"))[1]
    octets = bytearray(idp.base64.b64decode(value.text or ""))
    octets[octet] ^= 0x55
    value.text = idp.base64.b64encode(octets).decode()
    return element


def edited(*edits: tuple[bytes, bytes]) -> etree._Element:
    plaintext = SIGNED
    for old, new in edits:
        assert old in plaintext
        plaintext = plaintext.replace(old, new)
    return in_cbc(plaintext)


ORACLES = {
    "another key": (in_cbc(SIGNED, to=idp.attacker()), "key"),
    "another tag": (damaged(-1), "content"),
    "padding": (damaged(-17, algorithm="aes128-cbc"), "content"),
    "no XML": (in_cbc(b"\xff" * len(SIGNED)), "xml_encoding"),
    "broken XML": (in_cbc(SIGNED[:-3]), "not_xml"),
    "broken structure": (edited((b"<saml2:Subject>", b'<saml2:Subject ID="_assertion1">')), "id_duplicate"),
    "broken signature": (edited((b":Reference", b":Referenze")), "signature_structure"),
    "no signature": (in_cbc(UNSIGNED.ljust(len(SIGNED))), "signature_missing"),
    "another signer": (in_cbc(BY_ANOTHER), "signature_invalid"),
    "another person": (edited((b"ann@", b"eve@")), "digest_mismatch"),
}


@pytest.mark.parametrize("name", ORACLES)
def test_one_answer_for_every_failure(name: str) -> None:
    """What a person can see of it is always the same; only the facts tell an administrator what it was."""
    element, cause = ORACLES[name]
    failure = failed(wrapped(element))
    assert failure.reason is Reason.DECRYPTION_FAILED
    assert type(failure) is Rejected
    assert str(failure) == "decryption_failed"
    assert failure.facts["cause"] == cause
    assert (failure.__cause__, failure.__suppress_context__) == (None, True)
    assert [(check.name, check.passed) for check in failure.checks][-2:] == [("status", True), ("decryption", False)]


FRAME = ("EncryptedData", "EncryptedKey", "EncryptionMethod", "CipherData")


@pytest.mark.parametrize("name", FRAME)
def test_nothing_is_carried_along_around_a_ciphertext(name: str) -> None:
    """What may stand in what is spelled out; a foreign element is refused before anything is decrypted."""
    element = idp.encrypt(PLAIN)
    etree.SubElement(next(element.iter(f"{XENC}{name}")), "{urn:x}foreign")
    assert refused(element).reason is Reason.ENCRYPTION_PLACEMENT


def test_a_digest_without_a_name_is_not_the_default_one() -> None:
    """Where DigestMethod is there, it has to say which."""
    element = idp.encrypt(PLAIN)
    method = next(element.iter(f"{XENC}EncryptedKey")).find(f"{XENC}EncryptionMethod")
    assert method is not None
    for digest in method.findall(f"{{{idp.DS}}}DigestMethod"):
        method.remove(digest)
    etree.SubElement(method, f"{{{idp.DS}}}DigestMethod")
    assert refused(element).reason is Reason.ENCRYPTION_ALGORITHM


#: What costs: a private key's work, the content cipher, parsing (the message, what came out of it, a decoy), canonical
#: XML, the search for the signer, and its arithmetic.
COSTLY = {"_unwrap": 1, "_open": 1, "parse": 3, "canonical": 2, "signer": 1, "verify": 1}


@contextmanager
def calls() -> Iterator[Counter[str]]:
    """How often each function of the door, and each one written in C that it calls, was called meanwhile."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            found[function.__name__] += 1
        elif event == "call" and frame.f_code.co_name != "verify":  # of the door's own; counted is cryptography's
            found[frame.f_code.co_name] += 1

    threading.setprofile(note)  # of the threads that begin from now on: the door's
    try:
        yield found
    finally:
        threading.setprofile(None)


@pytest.mark.parametrize("name", ORACLES)
def test_one_effort_for_every_failure(name: str) -> None:
    """Neither the key, nor the padding, nor the XML inside can be told by the clock: the same work is always done.

    The work is counted, because a clock tells of the machine as well.
    """
    element, _ = ORACLES[name]
    message, trust, sp = idp.post(wrapped(element)), idp.trust(), idp.service_provider()
    with calls() as found, pytest.raises(Rejected):
        verify(message, trust=trust, sp=sp, now=idp.NOW)
    assert {function: found[function] for function in COSTLY} == COSTLY


@pytest.mark.parametrize("count", range(58, 63))
def test_one_answer_under_as_many_namespaces_as_may_be(count: int) -> None:
    """What stands around the ciphertext leaves no room for one declaration more: the answers are alike then, too."""
    declared = "".join(f' xmlns:n{number}="urn:{number}"' for number in range(count))
    texts = (etree.tostring(wrapped(element)).decode() for element, _ in ORACLES.values())
    reasons = {failed(etree.fromstring(text.replace(" ID=", f"{declared} ID=", 1))).reason for text in texts}
    assert reasons == {Reason.DECRYPTION_FAILED if count < 61 else Reason.XML_TOO_COMPLEX}


def test_signature_around_the_ciphertext_comes_first() -> None:
    """A Response that is signed, and badly, is refused for that: nothing of it was decrypted."""
    response = idp.finish(wrapped(in_cbc(SIGNED)), idp.RESPONSE_ONLY, idp.attacker())
    failure = failed(response)
    assert failure.reason is Reason.SIGNATURE_INVALID
    assert [check.name for check in failure.checks] == ["message", "xml", "response", "structure", "response_signature"]
    inside = idp.finish(wrapped(in_cbc(BY_ANOTHER)), idp.RESPONSE_ONLY)
    assert failed(inside).facts["cause"] == Reason.SIGNATURE_INVALID


def test_message_itself_tells_its_algorithm() -> None:
    """What stands in clear is refused in clear: a provider's administrator can act on it."""
    failure = failed(wrapped(in_cbc(SIGNED)), require_gcm=True)
    assert failure.reason is Reason.ENCRYPTION_ALGORITHM
    assert failure.facts == {"element": "EncryptedData", "got": f"{idp.XENC}aes128-cbc", "want": "AES-GCM"}
    failure = failed(wrapped(in_cbc(SIGNED, transport="rsa-1_5")))
    assert (failure.reason, failure.facts["element"]) == (Reason.ENCRYPTION_ALGORITHM, "EncryptedKey")


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
