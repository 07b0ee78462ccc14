"""Ciphertexts that everybody can make with our public key, and the provider's own, damaged (Jager, Somorovsky 2011)."""

import base64
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import product

from lxml import etree

from .. import idp
from . import signatures
from .base import ASSERTION, Attack, Base, container, xml

_X = f"{{{idp.XENC}}}"


def ciphertexts(base: Base) -> Iterator[Attack]:
    """Encryption proves nothing about the sender (CVE-2024-4985, CVE-2026-2092)."""
    for (name, plaintext), algorithm in product(_plaintexts(base).items(), ("aes128-cbc", "aes256-gcm")):
        for own in (True, False):
            root = base.evil_response() if own else base.copy()
            idp.swap(container(root), base.encrypted(plaintext, algorithm=algorithm))
            yield f"{name}, {algorithm}, in {'an own' if own else 'the good'} Response", xml(root)
    evil = xml(base.evil_assertion())
    for before in (True, False):
        root = base.copy()
        original = container(root)
        (original.addprevious if before else original.addnext)(base.encrypted(evil))
        yield f"beside the good one, {'before' if before else 'after'}", xml(root)
    for where in ("Advice", "Conditions", "Subject", "AttributeStatement"):
        root = base.evil_response()
        etree.SubElement(container(root), f"{{{idp.SAML}}}{where}").append(base.encrypted(evil))
        yield f"in {where} of a plain one", xml(root)
    for name in ("EncryptedID", "EncryptedAttribute", "NewEncryptedID"):
        root = base.evil_response()
        element = deepcopy(base.encrypted(evil))
        element.tag = f"{{{idp.SAML}}}{name}"
        (next(root.iter(f"{{{idp.SAML}}}Subject")) if name.endswith("ID") else container(root)).append(element)
        yield name, xml(root)
    root = base.evil_response()
    idp.swap(container(root), base.encrypted(evil, transport="rsa-1_5"))
    yield "RSA 1.5 key transport", xml(root)
    yield from _envelopes(base)


def _plaintexts(base: Base) -> dict[str, bytes]:
    evil = xml(base.evil_assertion())
    by_attacker = xml(idp.sign(base.evil_assertion(), idp.attacker()))
    nested, with_advice = base.evil_assertion(), base.evil_assertion()
    nested.append(base.encrypted(evil)[0])
    etree.SubElement(with_advice, f"{{{idp.SAML}}}Advice").append(base.encrypted(evil))
    own = container(base.document)
    return {
        "unsigned": evil,
        "signed by an own key": by_attacker,
        "two assertions": evil + evil,
        "good and evil": evil + (xml(own) if own.tag == ASSERTION else evil),
        "a whole Response": xml(base.evil_response()),
        "an EncryptedAssertion": xml(base.encrypted(evil)),
        "EncryptedData inside": xml(nested),
        "EncryptedAssertion in Advice": xml(with_advice),
        "a document type": b"<!DOCTYPE x>" + evil,
        "a frame broken out of": b"</_>" + evil + b"<_>",
        "a comment": b"<!--x-->" + evil,
        "another encoding": evil.decode().encode("utf-16"),
        "the text of one": b"<x><![CDATA[" + evil + b"]]></x>",
        "no XML": b"garbage",
        "octets": bytes(range(256)),
        "nothing": b"",
    }


def _envelopes(base: Base) -> Iterator[Attack]:
    """EncryptedAssertion of strange forms."""
    good = base.encrypted(xml(base.evil_assertion()))
    key = next(good.iter(f"{_X}EncryptedKey"))
    changes = {
        "no EncryptedKey": lambda root: (
            next(root.iter(f"{_X}EncryptedKey")).getparent().remove(next(root.iter(f"{_X}EncryptedKey")))
        ),
        "many EncryptedKeys": lambda root: [root.append(deepcopy(key)) for _ in range(20)],
        "two EncryptedData": lambda root: root.append(deepcopy(root[0])),
        "no EncryptedData": lambda root: root.remove(root[0]),
        "CipherReference": lambda root: setattr(next(root[0].iter(f"{_X}CipherValue")), "tag", f"{_X}CipherReference"),
        "no CipherValue": lambda root: root[0][-1].remove(root[0][-1][0]),
        "two CipherValues": lambda root: root[0][-1].append(deepcopy(root[0][-1][0])),
        "no EncryptionMethod": lambda root: root[0].remove(root[0][0]),
        "two EncryptionMethods": lambda root: root[0].insert(0, deepcopy(root[0][0])),
        "the plain one inside": lambda root: root.append(base.evil_assertion()),
        "an element in CipherValue": lambda root: etree.SubElement(root[0][-1][0], "x"),
    }
    for name, change in changes.items():
        evil = deepcopy(good)
        change(evil)
        root = base.evil_response()
        idp.swap(container(root), evil)
        yield name, xml(root)
    for tag, algorithm in product(("EncryptedData", "EncryptedKey"), ALGORITHMS):
        evil = deepcopy(good)
        holder = next(evil.iter(f"{_X}{tag}"))
        next(holder.iter(f"{_X}EncryptionMethod")).set("Algorithm", algorithm)
        root = base.evil_response()
        idp.swap(container(root), evil)
        yield f"{tag} {algorithm!r}", xml(root)


ALGORITHMS = (
    "",
    "urn:none",
    f"{idp.XENC}tripledes-cbc",
    f"{idp.XENC}aes128-cbc",
    f"{idp.XENC}aes256-cbc",
    f"{idp.XENC11}aes128-gcm",
    f"{idp.XENC11}aes192-gcm",
    f"{idp.XENC}rsa-1_5",
    f"{idp.XENC}kw-aes128",
    f"{idp.XENC11}rsa-oaep",
)


def damaged(base: Base) -> Iterator[Attack]:
    """Bits turned over, blocks cut off, exchanged or repeated, another key: no difference may be seen in the answer."""
    if container(base.document).tag == ASSERTION:
        return
    count = sum(1 for _ in container(base.document).iter(f"{_X}CipherValue"))
    for index in range(count):
        for name, change in DAMAGES.items():
            root = base.copy()
            value = list(container(root).iter(f"{_X}CipherValue"))[index]
            octets = base64.b64decode("".join((value.text or "").split()))
            value.text = base64.b64encode(change(octets)).decode()
            yield f"{name} ({index})", xml(root)
    fresh = base.encrypted(b"x")
    root = base.copy()
    keys = list(container(root).iter(f"{_X}EncryptedKey"))
    idp.swap(keys[0], deepcopy(next(fresh.iter(f"{_X}EncryptedKey"))))
    yield "an EncryptedKey of the stranger's own", xml(root)


def _flipped(position: float, bit: int):  # type: ignore[no-untyped-def]
    def change(octets: bytes) -> bytes:
        at = min(int(position * len(octets)), len(octets) - 1)
        return octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :]

    return change


DAMAGES = {
    **{
        f"bit {bit} at {place:.2f}": _flipped(place, bit)
        for place in (0, 0.1, 0.33, 0.5, 0.9, 0.97, 1)
        for bit in (0, 4, 7)
    },
    "last block cut off": lambda octets: octets[:-16],
    "last octet cut off": lambda octets: octets[:-1],
    "half cut off": lambda octets: octets[: len(octets) // 2],
    "one block": lambda octets: octets[:16],
    "one octet": lambda octets: octets[:1],
    "nothing": lambda _: b"",
    "a block more": lambda octets: octets + octets[-16:],
    "zeros": lambda octets: bytes(len(octets)),
    "blocks exchanged": lambda octets: octets[:16] + octets[32:48] + octets[16:32] + octets[48:],
}


def hidden(base: Base) -> Iterator[Attack]:
    """Attacks on the signature inside the ciphertext, by somebody who knows the plaintext."""
    if container(base.document).tag == ASSERTION:
        inner = deepcopy(container(base.document))
    else:
        inner = idp.sign(idp.assertion_of(idp.unsigned(idp.OKTA)))
    if inner.find(f"{{{idp.DS}}}Signature") is None:
        return
    inside = replace(base, document=etree.fromstring(xml(inner)))
    for family in (signatures.references, signatures.algorithms, signatures.doubling):
        for name, forged in inside.others(family(inside)):
            assert isinstance(forged, bytes)
            root = base.evil_response()
            idp.swap(container(root), base.encrypted(forged))
            yield name, xml(root)
