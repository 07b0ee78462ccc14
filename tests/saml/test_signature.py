"""The signature door by itself: it holds even where no other rule stands before it."""

import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from idp_bridge.saml import Reason, Rejected, signature

from . import idp
from .attacks import VICTIM

DS = f"{{{idp.DS}}}"


def signed_assertion() -> etree._Element:
    return idp.sign(idp.assertion_of(idp.unsigned(idp.OKTA)))


def verified(element: etree._Element) -> etree._Element:
    return signature.verified(element, certificates=(idp.idp().certificate,), now=idp.NOW).element


def evil(identifier: str) -> etree._Element:
    assertion = idp.assertion_of(idp.unsigned(idp.OKTA, name_id=VICTIM))
    assertion.set("ID", identifier)
    return assertion


def test_result_is_what_was_signed_and_nothing_else() -> None:
    """A new tree without Signature, whatever stands around or is done to the old one."""
    original = signed_assertion()
    result = verified(original)
    assert result is not original
    assert result.find(f"{DS}Signature") is None
    assert result.getparent() is None
    original.find(f".//{{{idp.SAML}}}NameID").text = VICTIM  # type: ignore[union-attr]
    assert result.findtext(f".//{{{idp.SAML}}}NameID") == "ann@example.com"


@pytest.mark.parametrize("identifier", ["_assertion1", "_evil"])
@pytest.mark.parametrize("place", ["child", "in the signature"])
def test_wrapped_original_never_vouches_for_its_wrapper(identifier: str, place: str) -> None:
    """Without any rule about counts and IDs the wrapper is still refused: a reference means the parent only."""
    original = signed_assertion()
    wrapper = evil(identifier)
    own = original.find(f"{DS}Signature")
    assert own is not None
    wrapper.insert(1, deepcopy(own) if place == "child" else own)
    (wrapper if place == "child" else own).append(original)
    with pytest.raises(Rejected) as caught:
        verified(wrapper)
    if identifier == "_evil" and place == "child":
        assert caught.value.reason is Reason.SIGNATURE_REFERENCE


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<ds:X509Data/>",
        "<ds:KeyValue/>",
        "<ds:X509Data><ds:X509Certificate>%%</ds:X509Certificate></ds:X509Data>",
        "<ds:KeyName>attacker</ds:KeyName><other xmlns='urn:x'>anything</other>",
    ],
)
def test_key_in_the_message_is_not_looked_at(content: str) -> None:
    """KeyInfo is outside of what is signed: its content, well formed or not, changes nothing."""
    element = signed_assertion()
    info = next(element.iter(f"{DS}KeyInfo"))
    info[:] = list(etree.fromstring(f'<x xmlns:ds="{idp.DS}">{content}</x>'))
    assert verified(element).get("ID") == "_assertion1"
    info.getparent().remove(info)  # type: ignore[union-attr]
    assert verified(element).get("ID") == "_assertion1"


@pytest.mark.parametrize("place", [0, 1, 3])
def test_only_the_own_signature_is_left_out(place: int) -> None:
    """The text around it is content and is joined again; a Signature of something inside stays where it was."""
    element = idp.assertion_of(idp.unsigned(replace(idp.OKTA, lines="\n ")))
    etree.SubElement(etree.SubElement(element, "{urn:x}box"), f"{DS}Signature").text = "inner"
    signed = idp.sign(element, shape=idp.SIMPLESAMLPHP)
    own = signed.find(f"{DS}Signature")
    assert own is not None
    assert own.tail is None
    signed.insert(place, own)
    before = own.getprevious()
    if before is None:
        signed.text, own.tail = "\n", " "
    else:
        before.tail, own.tail = "\n", " "
    result = verified(signed)
    assert signature.canonical(result) == etree.tostring(element, method="c14n", exclusive=True)


def test_text_behind_the_signature_is_signed() -> None:
    """One blank more or less is another content."""
    for tail in (" ", "\n"):
        signed = signed_assertion()
        own = signed.find(f"{DS}Signature")
        assert own is not None
        own.tail = tail
        with pytest.raises(Rejected) as caught:
            verified(signed)
        assert caught.value.reason is Reason.DIGEST_MISMATCH
        assert caught.value.facts["certificate"] == idp.idp().certificate.fingerprint_sha256[:16]


def test_prefixes_from_outside_are_signed_where_they_are_listed() -> None:
    """InclusiveNamespaces names prefixes that are declared further out; they belong to what is hashed (exc-c14n 3)."""
    response = idp.unsigned(idp.OKTA)
    text = etree.tostring(response).replace(b' xmlns:xs="http://www.w3.org/2001/XMLSchema"', b"", 1)
    text = text.replace(b"<saml2p:Response ", b'<saml2p:Response xmlns:xs="http://www.w3.org/2001/XMLSchema" ', 1)
    outer = etree.fromstring(text)
    signed = idp.sign(idp.assertion_of(outer))
    method = next(signed.iter(f"{DS}CanonicalizationMethod"))
    etree.SubElement(method, f"{{{idp.EXC}}}InclusiveNamespaces", PrefixList="xs")
    info = signed.find(f".//{DS}SignedInfo")
    value = signed.find(f".//{DS}SignatureValue")
    assert info is not None
    assert value is not None
    octets = etree.tostring(info, method="c14n", exclusive=True, inclusive_ns_prefixes=["xs"])
    assert b"xmlns:xs" in octets.partition(b">")[0]
    key: Any = idp.idp().key
    value.text = idp.base64.b64encode(key.sign(octets, idp.PKCS1v15(), idp.hashes.SHA256())).decode()
    idp.swap(idp.assertion_of(outer), signed)
    result = verified(idp.assertion_of(outer))
    assert result.nsmap["xs"] == "http://www.w3.org/2001/XMLSchema"


def test_list_of_prefixes_is_short() -> None:
    """Sixteen are looked up at every element; one more is refused before anything is."""
    for count, reason in ((16, Reason.SIGNATURE_INVALID), (17, Reason.SIGNATURE_ALGORITHM)):
        element = signed_assertion()
        method = next(element.iter(f"{DS}CanonicalizationMethod"))
        names = " ".join(f"p{number}" for number in range(count))
        etree.SubElement(method, f"{{{idp.EXC}}}InclusiveNamespaces", PrefixList=names)
        with pytest.raises(Rejected) as caught:
            verified(element)
        assert caught.value.reason is reason


def test_element_without_a_canonical_form_is_refused() -> None:
    """A relative namespace name has none in libxml2: an empty digest must never be compared (CVE-2025-66568)."""
    for place in ("Subject", "SignedInfo"):
        element = signed_assertion()
        next(element.iter(f"{{*}}{place}")).append(etree.fromstring('<x xmlns="relative"/>'))
        with pytest.raises(Rejected) as caught:
            verified(element)
        assert caught.value.reason is Reason.SIGNATURE_STRUCTURE
    with pytest.raises(Rejected) as caught:
        signature.canonical(etree.fromstring('<x xmlns="relative"/>'))
    assert caught.value.facts["got"] == "no canonical form"


def test_what_verified_is_told_in_short() -> None:
    """Method, digest and certificate, for an administrator's eyes."""
    result = signature.verified(signed_assertion(), certificates=(idp.idp().certificate,), now=idp.NOW)
    assert result.told == f"rsa-sha256, sha256, certificate {idp.idp().certificate.fingerprint_sha256[:16]}"
    assert result.warnings == ()


def change(name: str, **attributes: str) -> Callable[[etree._Element], Any]:
    return lambda element: next(element.iter(f"{DS}{name}")).attrib.update(attributes)


def put_in(name: str, child: str, text: str | None = None) -> Callable[[etree._Element], Any]:
    def act(element: etree._Element) -> None:
        etree.SubElement(next(element.iter(f"{DS}{name}")), child).text = text

    return act


def write(name: str, text: str) -> Callable[[etree._Element], Any]:
    return lambda element: setattr(next(element.iter(f"{DS}{name}")), "text", text)


def turn_transforms(element: etree._Element) -> None:
    parent = next(element.iter(f"{DS}Transforms"))
    parent.append(parent[0])


XSLT = "http://www.w3.org/1999/XSL/Transform"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        pytest.param(put_in("KeyInfo", f"{DS}SignatureValue", "AAAA"), Reason.SIGNATURE_STRUCTURE, id="in KeyInfo"),
        pytest.param(put_in("KeyInfo", f"{DS}Reference"), Reason.SIGNATURE_STRUCTURE, id="Reference in KeyInfo"),
        pytest.param(put_in("SignatureMethod", f"{DS}HMACOutputLength", "8"), Reason.SIGNATURE_STRUCTURE, id="HMAC"),
        pytest.param(write("DigestValue", "%%%"), Reason.SIGNATURE_STRUCTURE, id="digest"),
        pytest.param(write("SignatureValue", "AA=A"), Reason.SIGNATURE_STRUCTURE, id="value"),
        pytest.param(write("SignatureValue", ""), Reason.SIGNATURE_STRUCTURE, id="no value"),
        pytest.param(turn_transforms, Reason.SIGNATURE_ALGORITHM, id="transforms turned round"),
        pytest.param(change("Transform", Algorithm=f"{XSLT}"), Reason.SIGNATURE_ALGORITHM, id="XSLT"),
        pytest.param(put_in("Transform", f"{{{XSLT}}}stylesheet"), Reason.SIGNATURE_ALGORITHM, id="style sheet"),
        pytest.param(put_in("CanonicalizationMethod", "{urn:x}x"), Reason.SIGNATURE_ALGORITHM, id="parameter"),
        pytest.param(change("DigestMethod", Algorithm="urn:x"), Reason.SIGNATURE_ALGORITHM, id="digest method"),
        pytest.param(change("SignatureMethod", Algorithm="urn:x"), Reason.SIGNATURE_ALGORITHM, id="signature method"),
        pytest.param(change("CanonicalizationMethod", Algorithm="urn:x"), Reason.SIGNATURE_ALGORITHM, id="c14n"),
        pytest.param(change("DigestMethod", Algorithm=f"{idp.DS}sha1"), Reason.SIGNATURE_WEAK, id="SHA-1 digest"),
        pytest.param(change("SignatureMethod", Algorithm=f"{idp.DS}rsa-sha1"), Reason.SIGNATURE_WEAK, id="SHA-1"),
        pytest.param(put_in("Transforms", f"{DS}Transform"), Reason.SIGNATURE_STRUCTURE, id="three transforms"),
        pytest.param(
            put_in("Transform", f"{{{idp.EXC}}}InclusiveNamespaces"), Reason.SIGNATURE_ALGORITHM, id="list in enveloped"
        ),
        pytest.param(change("Reference", URI=""), Reason.SIGNATURE_REFERENCE, id="the whole document"),
    ],
)
def test_form_is_settled_before_any_cryptography(act: Callable[[etree._Element], Any], reason: Reason) -> None:
    """Each deviation is refused by its own rule, even where no certificate is there to verify with."""
    element = signed_assertion()
    act(element)
    with pytest.raises(Rejected) as caught:
        signature.verified(element, certificates=(), now=idp.NOW)
    assert caught.value.reason is reason


def test_unsigned_element_is_refused() -> None:
    """No signature is never a good signature."""
    with pytest.raises(Rejected) as caught:
        verified(evil("_x"))
    assert caught.value.reason is Reason.SIGNATURE_PLACEMENT


def test_two_signatures_on_one_element() -> None:
    """A verifier could take the one and a reader the other."""
    element = signed_assertion()
    own = element.find(f"{DS}Signature")
    assert own is not None
    own.addnext(deepcopy(own))
    with pytest.raises(Rejected) as caught:
        signature.check_placement(element, element)
    assert caught.value.reason is Reason.SIGNATURE_PLACEMENT


def test_many_threads_do_not_mix_tenants() -> None:
    """Nothing is shared: eight threads with two tenants' keys get their own answers only."""
    pairs = (idp.idp(), idp.attacker())
    documents = [
        idp.sign(idp.assertion_of(idp.unsigned(idp.OKTA, name_id=f"{n}@example.com")), pairs[n]) for n in (0, 1)
    ]
    wrong: list[str] = []

    def work(tenant: int) -> None:
        for _ in range(10):
            mine = signature.verified(documents[tenant], certificates=(pairs[tenant].certificate,), now=idp.NOW)
            if mine.element.findtext(f".//{{{idp.SAML}}}NameID") != f"{tenant}@example.com":
                wrong.append("mixed")
            try:
                signature.verified(documents[1 - tenant], certificates=(pairs[tenant].certificate,), now=idp.NOW)
                wrong.append("accepted")
            except Rejected:
                pass

    threads = [threading.Thread(target=work, args=(number % 2,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
