"""Messages that are made to cost as much as they can, up to the cap: by strangers, and by a provider that went bad.

Those of strangers are refused before or at the signature. Those of a bad provider are well signed, so that everything
after it is paid for too: canonicalisation above all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lxml import etree

from . import idp

CAP = 190 * 1024
"""Octets of a document that, in base64, just fit into the form field."""


@dataclass(frozen=True)
class Hostile:
    name: str
    octets: bytes
    certificates: int = 1
    """How many are pinned; the right one is the last."""
    field: str | None = None
    """The form field itself, where it is no base64 of octets."""


def messages() -> Iterator[Hostile]:
    yield from _raw()
    yield from _unsigned()
    yield from _signatures()
    yield from _signed()
    yield from _listing()
    yield from _inclusive()
    yield from _encrypted()


def _filled(piece: bytes, room: int = CAP) -> bytes:
    return piece * (room // len(piece))


def _raw() -> Iterator[Hostile]:
    """What does not even come to the structure rules."""
    yield Hostile("spaces for a field", b"", field=" " * (256 * 1024))
    yield Hostile("field of no base64", b"", field="!" * (256 * 1024))
    yield Hostile("zeros", bytes(CAP))
    yield Hostile("nothing but <", b"<" * CAP)
    yield Hostile("open tags", _filled(b"<a>"))
    yield Hostile("open tags with declarations", _filled(b'<a xmlns="urn:a">'))
    yield Hostile("one long name", b"<" + b"a" * (CAP - 10) + b"/>")
    yield Hostile("one long attribute", b'<a x="' + b"y" * (CAP - 20) + b'"/>')
    yield Hostile("attributes", b"<a" + b"".join(b' a%d=""' % n for n in range(CAP // 11)) + b"/>")
    yield Hostile(
        "attributes in namespaces",
        b"<a" + b"".join(b' xmlns:n%d="u:%d" n%d:x=""' % (n, n, n) for n in range(CAP // 32)) + b"/>",
    )
    yield Hostile("one attribute twice, late", b"<a" + b"".join(b' a%d=""' % n for n in range(CAP // 11)) + b' a1=""/>')
    yield Hostile("character references", b"<a>" + _filled(b"&#x1F600;") + b"</a>")
    yield Hostile("four-octet characters", b"<a>" + _filled("\U0001f600".encode()) + b"</a>")
    yield Hostile("CDATA sections", b"<a>" + _filled(b"<![CDATA[]]>") + b"</a>")
    yield Hostile("comments", b"<a>" + _filled(b"<!---->") + b"</a>")
    yield Hostile("instructions", b"<a>" + _filled(b"<?a?>") + b"</a>")
    yield Hostile("lines", _filled(b"\n"))
    yield Hostile("a declaration without an end", b"<?xml " + b" " * (CAP - 10))
    yield Hostile("an empty document type, last", b"<a>" + b" " * (CAP - 40) + b"</a><!DOCTYPE a>")


def _response(inside: bytes) -> bytes:
    return b'<samlp:Response xmlns:samlp="%s" ID="_r" Version="2.0">%s</samlp:Response>' % (idp.SAMLP.encode(), inside)


def _unsigned() -> Iterator[Hostile]:
    """A tree that the structure rules walk through."""
    room = CAP - 200
    yield Hostile("wide", _response(_filled(b"<a/>", room)))
    yield Hostile("deep", _response(b"<a>" * 30 + _filled(b"<a/>", room - 300) + b"</a>" * 30))
    yield Hostile("identifiers", _response(b"".join(b'<a ID="i%d"/>' % n for n in range(min(9_900, room // 16)))))
    yield Hostile("attributes of many elements", _response(_filled(b'<a ID="" Id="" id=""/>', room)))
    yield Hostile("declarations", _response(_filled(b'<a xmlns:b="u:b"/>', room)))
    scope = b"".join(b' xmlns:n%d="u:%d"' % (n, n) for n in range(60))
    yield Hostile("declarations in scope", _response(b"<a%s>" % scope + _filled(b"<a/>", room - 2000) + b"</a>"))
    yield Hostile("prefixes rebound", _response(_filled(b'<b:a xmlns:b="u:b"/><b:a xmlns:b="u:c"/>', room)))
    yield Hostile("assertions", _response(_filled(b'<Assertion xmlns="%s"/>' % idp.SAML.encode(), room)))
    yield Hostile(
        "status codes",
        _response(b"<samlp:Status>" + b"<samlp:StatusCode>" * 28 + b"</samlp:StatusCode>" * 28 + b"</samlp:Status>"),
    )
    message = b"<samlp:StatusMessage>" + b"m" * (room - 200) + b"</samlp:StatusMessage>"
    failed = b'<samlp:Status><samlp:StatusCode Value="x"/>%s</samlp:Status>'
    yield Hostile("status message", _response(failed % message))


def _edited(shape: idp.Shape, old: bytes, new: bytes) -> bytes:
    text = etree.tostring(idp.good(shape))
    assert old in text
    return text.replace(old, new, 1)


def _signatures() -> Iterator[Hostile]:
    """A good message with a Signature that went out of hand; no key is needed for any of these."""
    room = CAP - 9_000
    shape, end = idp.ENTRA, b"</ds:Transforms>"
    transform = b'<ds:Transform Algorithm="%s"/>' % idp.EXC.encode()
    yield Hostile("transforms", _edited(shape, end, _filled(transform, room) + end))
    yield Hostile(
        "references",
        _edited(shape, b"</ds:SignedInfo>", _filled(b'<ds:Reference URI="#_assertion1"/>', room) + b"</ds:SignedInfo>"),
    )
    yield Hostile(
        "signatures",
        _edited(
            shape,
            b"<ds:Signature ",
            _filled(b"<ds:Signature/>".replace(b"/", b' xmlns:ds="%s"/' % idp.DS.encode()), room) + b"<ds:Signature ",
        ),
    )
    for value in ("SignatureValue", "DigestValue", "X509Certificate"):
        tag = f"<ds:{value}>".encode()
        yield Hostile(f"long {value}", _edited(shape, tag, tag + b"A" * room))
        yield Hostile(f"long {value} of spaces", _edited(shape, tag, tag + b" " * room))
    certificate = b"<ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>"
    yield Hostile(
        "certificates in KeyInfo", _edited(shape, b"<ds:KeyInfo>", b"<ds:KeyInfo>" + _filled(certificate, room))
    )
    prefixes = " ".join(f"n{number}" for number in range(room // 8)).encode()
    listed = b'<ec:InclusiveNamespaces xmlns:ec="%s" PrefixList="%s"/>' % (idp.EXC.encode(), prefixes)
    method = b'<ds:CanonicalizationMethod Algorithm="%s"' % idp.EXC.encode()
    yield Hostile(
        "prefixes of SignedInfo",
        _edited(shape, method + b"/>", method + b">" + listed + b"</ds:CanonicalizationMethod>"),
    )
    for size in (255, 10_000, 100_000):
        # Exclusive canonicalisation declares a namespace anew on each element that uses it where its parent does not.
        uses = _filled(b"<b:y/>", min(room - size, 9_000 * 6))
        for name, at in (("assertion", b"<Subject>"), ("Response", b"<samlp:Status>")):
            signed = shape if name == "assertion" else idp.RESPONSE_ONLY
            again = b'<x xmlns:b="urn:%s">%s</x>%s' % (b"a" * size, uses, at)
            yield Hostile(f"a name of {size} written again and again, {name}", _edited(signed, at, again))
    yield Hostile("a long reference", _edited(shape, b'URI="#', b'URI="#' + b"_" * room))
    yield Hostile(
        "a bad signature, 20 certificates",
        _edited(shape, b"<ds:SignatureValue>", b"<ds:SignatureValue>AAAA"),
        certificates=20,
    )


def _signed() -> Iterator[Hostile]:
    """Well signed: the whole of it is parsed, canonicalised, parsed again and read."""
    room = CAP - 9_000
    for shape in (idp.ENTRA, idp.RESPONSE_ONLY):
        name = f"signed {'assertion' if shape.sign_assertion else 'Response'}"
        groups = {"groups": tuple(f"Group {number:06}" for number in range(room // 60))}
        yield Hostile(f"{name}: values", etree.tostring(idp.good(shape, attributes=groups)))
        many = {f"a{number:05}": ("x",) for number in range(room // 130)}
        yield Hostile(f"{name}: attributes", etree.tostring(idp.good(shape, attributes=many)))
        yield Hostile(f"{name}: a huge value", etree.tostring(idp.good(shape, attributes={"a": ("v" * room,)})))
        yield Hostile(
            f"{name}: carriage returns", etree.tostring(idp.good(shape, attributes={"a": ("&#13;" * (room // 5),)}))
        )
        yield from (Hostile(f"{name}: {kind}", octets) for kind, octets in _grown(shape, room).items())
    wide = replace(idp.ENTRA, prefix_list=tuple(f"n{number}" for number in range(room // 16)))
    yield Hostile("signed assertion: prefixes listed", etree.tostring(idp.good(wide)))
    pinned = etree.tostring(idp.good(replace(idp.ENTRA, method=f"{idp.MORE}rsa-sha512")))
    yield Hostile("signed assertion, 20 certificates", pinned, certificates=20)


def _grown(shape: idp.Shape, room: int) -> dict[str, bytes]:
    """Elements that may stand more than once, and namespaces that canonicalisation has to sort."""
    scope = "".join(f' xmlns:n{number}="urn:{number}" n{number}:x=""' for number in range(60))
    pieces: dict[str, tuple[str, str]] = {
        "audiences": ("AudienceRestriction", "<saml:Audience>https://a.example.com</saml:Audience>"),
        "restrictions": ("Conditions", "<saml:OneTimeUse/>"),
        "confirmations": ("Subject", '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/>'),
        "statements": ("Assertion", f'<saml:AuthnStatement AuthnInstant="{idp.stamp(0)}"/>'),
        "declarations": ("Assertion", '<x:a xmlns:x="urn:x"/>'),
        "sorted names": ("Assertion", f"<x{scope}/>"),
        "used names in scope": ("Assertion", f"<x{scope}>{'<y/>' * 2000}</x>"),
        **{f"{count} in scope": ("Assertion", _scoped(count)) for count in (0, 10, 60)},
    }
    return {name: _signed_with(shape, parent, piece, room) for name, (parent, piece) in pieces.items()}


def _scoped(declarations: int, depth: int = 25) -> str:
    """As many elements as may be under so many declarations: libxml2 looks at each of them, at each element."""
    declared = "".join(f' xmlns:n{number}="urn:{number}"' for number in range(declarations))
    return f"<x{declared}>{'<a>' * depth}{'<a/>' * 9_700}{'</a>' * depth}</x>"


def _listing() -> Iterator[Hostile]:
    """Well signed, with as many prefixes in the list as may be: each is looked for at each element, up to the root."""
    for where, first in (("declared", 0), ("declared elsewhere", 100), ("used nowhere", 200)):
        shape = replace(idp.ENTRA, prefix_list=tuple(f"n{number}" for number in range(first, first + 16)))
        root = idp.unsigned(shape)
        elsewhere = "".join(f'<b xmlns:n{number}="urn:{number}"/>' for number in range(100, 116))
        idp.assertion_of(root).append(etree.fromstring(f"<_>{_scoped(8)}{elsewhere}</_>"))
        yield Hostile(f"signed assertion: 16 prefixes {where}", etree.tostring(idp.finish(root, shape)))


def _inclusive() -> Iterator[Hostile]:
    """Signed by a transform less, so that the whole scope is written."""
    for count in (8, 60):
        root = idp.unsigned(idp.ENTRA)
        assertion = idp.assertion_of(root)
        assertion.append(etree.fromstring(_scoped(count)))
        idp.swap(assertion, idp.sign(assertion, shape=idp.ENTRA, transforms=(idp.ENVELOPED,), inclusive=True))
        yield Hostile(f"signed inclusively: {count} in scope", etree.tostring(root))


def _signed_with(shape: idp.Shape, parent: str, piece: str, room: int) -> bytes:
    count = min(room // (len(piece) + 60), 7_500 // (piece.count("<") - piece.count("</")))
    root = idp.unsigned(shape)
    holder = next(root.iter(f"{{*}}{parent}"))
    holder.extend(list(etree.fromstring(f'<_ xmlns:saml="{idp.SAML}">{piece * max(count, 1)}</_>')))
    return etree.tostring(idp.finish(root, shape))


def _encrypted() -> Iterator[Hostile]:
    """Everybody has our public key; what comes out of a ciphertext is parsed and walked through again."""
    room = CAP * 3 // 4 - 9_000
    plaintexts: dict[str, bytes] = {
        "garbage": bytes(room),
        "open tags": _filled(b"<a>", room),
        "wide": b'<Assertion xmlns="%s">' % idp.SAML.encode() + _filled(b"<a/>", room)[: 9_900 * 4] + b"</Assertion>",
        "a document type": b"<!DOCTYPE a>" + b" " * room,
        **{
            f"{count} in scope": f'<s:Assertion xmlns:s="{idp.SAML}" ID="_a">{_scoped(count)}</s:Assertion>'.encode()
            for count in (0, 7, 60)
        },
        "values": etree.tostring(
            idp.assertion_of(idp.good(idp.ENTRA, attributes={"g": tuple(map(str, range(room // 60)))})), with_tail=False
        ),
    }
    for name, plaintext in plaintexts.items():
        for algorithm in ("aes256-gcm", "aes128-cbc"):
            yield Hostile(f"encrypted {name}, {algorithm}", _holding(idp.encrypt(plaintext, algorithm=algorithm)))
    keys = idp.encrypt(b"x")
    key = next(keys.iter(f"{{{idp.XENC}}}EncryptedKey"))
    for count in (3, 60):
        holder: Any = etree.fromstring(etree.tostring(keys))
        holder.extend([etree.fromstring(etree.tostring(key)) for _ in range(count)])
        yield Hostile(f"{count + 1} EncryptedKeys", _holding(holder))
    long = idp.encrypt(b"x")
    next(long.iter(f"{{{idp.XENC}}}CipherValue")).text = "A" * (CAP - 9_000)
    yield Hostile("a long wrapped key", _holding(long))


def _holding(encrypted: etree._Element) -> bytes:
    root = idp.unsigned(idp.ENTRA)
    idp.swap(idp.assertion_of(root), encrypted)
    return etree.tostring(root)
