"""Honest providers, made up: any mixture of the forms that real ones write, with everything that SAML lets them add."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from lxml import etree

from . import idp

Oddity = Callable[[etree._Element, Random], None]

_S, _P = f"{{{idp.SAML}}}", f"{{{idp.SAMLP}}}"
_TEXTS = (
    *("Ann", "Łukasz Żółć", "王小明", "😀", "e\u0301", "\u200b", "x" * 300, "ann@example.com", "1", "true"),
    *("a & b < c", "  two  spaces ", "line\none", "tab\tone", 'it\'s "quoted"', "]]", "%20", "&amp;"),
)
_NAME_IDS = (
    "ann@example.com",
    "Ann Lee",
    "CORP\\ann",
    "uid=ann,ou=people",
    "łukasz",
    "a&b",
    "00u1a2b3c4",
    "{6c7f1e0a}",
)


@dataclass(frozen=True)
class Message:
    document: etree._Element
    by: idp.Pair
    said: str
    """How it was made, to repeat it."""


def message(random: Random) -> Message:
    """One well-signed message, with a few oddities that the standard allows."""
    shape, by = _shape(random), _signer(random)
    attributes = {f"a{number}": tuple(random.choices(_TEXTS, k=random.randint(1, 3))) for number in range(3)}
    root = idp.unsigned(
        shape, attributes={name: [_escaped(value) for value in row] for name, row in attributes.items()}
    )
    next(root.iter(f"{_S}NameID")).text = random.choice(_NAME_IDS)
    oddities = random.sample(sorted(ODDITIES), k=random.randint(0, 4))
    for name in oddities:
        ODDITIES[name](root, random)
    if isinstance(by.key, idp.ec.EllipticCurvePrivateKey):
        shape = replace(shape, method=f"{idp.MORE}ecdsa-sha256", key_info="certificate")
    return Message(idp.finish(root, shape, by), by, f"{shape.name}, {', '.join(oddities)}; {shape}")


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;")


def _signer(random: Random) -> idp.Pair:
    return idp.pair("ec.example.com", "ec") if random.random() < 0.15 else idp.idp()


def _shape(random: Random) -> idp.Shape:
    shape = random.choice((*idp.SHAPES, *idp.PROVIDERS))
    sign_response, sign_assertion = random.choice(((True, True), (True, False), (False, True)))
    saml, samlp = random.choice(
        (("saml", "samlp"), ("saml2", "saml2p"), ("", "samlp"), ("saml", ""), ("a", "b"), ("x", "y"))
    )
    declared = random.choice(("", "", "root", "default")) if saml else ""
    return replace(
        shape,
        saml=saml,
        samlp=samlp,
        sign_response=sign_response,
        sign_assertion=sign_assertion,
        root_declares=declared == "root",
        default_too=declared == "default",
        prefix_list=random.choice(((), ("xs",), ("xs", "xsi"), ("xsd",), ("#default", "xs"))),
        typed=random.random() < 0.5,
        fraction=random.choice(("", ".1", ".123", ".1234567", ".123456789")),
        lines=random.choice(("", "", "\n", "\n    ", "\r\n")),
        ds=random.choice(("ds", "", "dsig")),
        columns=random.choice((0, 0, 64, 76)),
        key_info=random.choice(("certificate", "all", "none")),
        encrypt=random.choice((None, None, None, "aes128-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm")),
        encryption=random.choice(
            ((), (("digest", "sha1"),), (("transport", "rsa-oaep"), ("digest", "sha256"), ("mgf", "mgf1sha256")))
        ),
        method=f"{idp.MORE}rsa-sha{random.choice((256, 256, 384, 512))}",
        digest=random.choice((f"{idp.XENC}sha256", f"{idp.XENC}sha256", f"{idp.MORE}sha384", f"{idp.XENC}sha512")),
    )


def _add(parent: str, text: str, *, at: int | None = None) -> Oddity:
    def oddity(root: etree._Element, random: Random) -> None:
        del random
        holder = root if parent == "Response" else next(root.iter(f"{{*}}{parent}"))
        made = etree.fromstring(f'<_ xmlns:saml="{idp.SAML}" xmlns:samlp="{idp.SAMLP}">{text}</_>')
        for offset, element in enumerate(list(made)):
            holder.insert(len(holder) if at is None else at + offset, element)

    return oddity


def _set(name: str, attribute: str, value: str | None) -> Oddity:
    def oddity(root: etree._Element, random: Random) -> None:
        del random
        element = root if name == "Response" else next(root.iter(f"{{*}}{name}"))
        if value is None:
            element.attrib.pop(attribute, None)
        else:
            element.set(attribute, value)

    return oddity


def _value(text: str) -> Oddity:
    declared = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    return _add(
        "AttributeStatement", f'<saml:Attribute Name="odd"><saml:AttributeValue {declared}{text}</saml:Attribute>'
    )


_BEARER = (
    '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
    f'<saml:SubjectConfirmationData InResponseTo="{idp.REQUEST}" '
)
ODDITIES: dict[str, Oddity] = {
    "another audience first": _add(
        "AudienceRestriction", "<saml:Audience>https://other.example.com</saml:Audience>", at=0
    ),
    "another audience last": _add("AudienceRestriction", "<saml:Audience>https://other.example.com</saml:Audience>"),
    "two restrictions": _add(
        "Conditions", f"<saml:AudienceRestriction><saml:Audience>{idp.SP}</saml:Audience></saml:AudienceRestriction>"
    ),
    "one-time use": _add("Conditions", "<saml:OneTimeUse/>"),
    "no proxying": _add("Conditions", '<saml:ProxyRestriction Count="0"/>'),
    "no NotBefore": _set("Conditions", "NotBefore", None),
    "a confirmation for another address": _add(
        "Subject",
        f'{_BEARER}NotOnOrAfter="{idp.stamp(5)}" Recipient="https://example.com"/></saml:SubjectConfirmation>',
    ),
    "a confirmation that is over": _add(
        "Subject", f'{_BEARER}NotOnOrAfter="{idp.stamp(-60)}" Recipient="{idp.ACS}"/></saml:SubjectConfirmation>', at=1
    ),
    "an address of the browser": _set("SubjectConfirmationData", "Address", "192.0.2.1"),
    "where the browser was": _add("AuthnStatement", '<saml:SubjectLocality Address="192.0.2.1"/>', at=0),
    "no session index": _set("AuthnStatement", "SessionIndex", None),
    "no session end": _set("AuthnStatement", "SessionNotOnOrAfter", None),
    "an authority": _add("AuthnContext", "<saml:AuthenticatingAuthority>urn:x</saml:AuthenticatingAuthority>"),
    "a status message": _add("Status", "<samlp:StatusMessage>fine</samlp:StatusMessage>"),
    "consent": _set("Response", "Consent", "urn:oasis:names:tc:SAML:2.0:consent:obtained"),
    "an issuer's format": _set("Issuer", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"),
    "a qualified name": _set("NameID", "SPNameQualifier", idp.SP),
    "a nil value": _value(' xsi:nil="true"/>'),
    "an empty value": _value("/>"),
    "an element as value": _value("><saml:NameID>x</saml:NameID></saml:AttributeValue>"),
    "a typed value": _value(' xmlns:t="http://www.w3.org/2001/XMLSchema" xsi:type="t:integer">7</saml:AttributeValue>'),
    "an attribute without values": _add("AttributeStatement", '<saml:Attribute Name="none"/>'),
    "an attribute twice": _add(
        "AttributeStatement",
        '<saml:Attribute Name="a0"><saml:AttributeValue>again</saml:AttributeValue></saml:Attribute>',
    ),
    "a second statement": _add(
        "Assertion",
        '<saml:AttributeStatement><saml:Attribute Name="more"><saml:AttributeValue>x</saml:AttributeValue>'
        "</saml:Attribute></saml:AttributeStatement>",
    ),
}
