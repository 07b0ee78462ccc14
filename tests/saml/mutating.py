"""Changes to a message that know what XML is: parts cut out, doubled, moved, exchanged, mixed with another message."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random

from lxml import etree

from . import idp

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=False)
TOKENS = (
    *(b"< > /> </ & &lt; &#65; &#0; ]]> <![CDATA[ <!-- --> <? ?> ' = A".split()),
    *(b'" | xmlns=\'\'| xmlns:saml="urn:x"| ID="_assertion1"| xml:id="_evil"|<!DOCTYPE x>'.split(b"|")),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\n", b"\r", b"\t", b"ann@example.com", b"victim@example.com"),
    *(b"<saml:Assertion> </saml:Assertion> <ds:Object> </ds:Object> <ds:Signature/>".split()),
)
_NAMES = ("Assertion", "EncryptedAssertion", "Subject", "NameID", "Advice", "Conditions", "Extensions", "Status")

Surgery = Callable[[etree._Element, etree._Element, Random], None]


def _replace(target: etree._Element, graft: etree._Element, random: Random) -> None:
    del random
    if target.getparent() is not None:
        idp.swap(target, graft)


def _remove(target: etree._Element, graft: etree._Element, random: Random) -> None:
    del graft, random
    if (parent := target.getparent()) is not None:
        parent.remove(target)


def _beside(target: etree._Element, graft: etree._Element, random: Random) -> None:
    if target.getparent() is not None:
        (target.addnext if random.random() < 0.5 else target.addprevious)(graft)


def _attribute(target: etree._Element, graft: etree._Element, random: Random) -> None:
    del graft
    name = random.choice([*target.attrib, "ID", "Id", "Destination", "Algorithm", "URI"])
    target.set(name, random.choice(["", "_evil", "_assertion1", "_response1", "#_evil", target.get(name, "") + "x"]))


def _rename(target: etree._Element, graft: etree._Element, random: Random) -> None:
    del graft
    target.tag = f"{{{random.choice((idp.SAML, idp.SAMLP, idp.DS, idp.XENC))}}}{random.choice(_NAMES)}"


SURGERY: tuple[Surgery, ...] = (
    lambda target, graft, random: target.insert(random.randint(0, len(target)), graft),
    lambda target, graft, random: setattr(target, "text", graft.text),
    lambda target, graft, random: target.attrib.update(graft.attrib),
    _replace,
    _remove,
    _beside,
    _attribute,
    _rename,
)


def mutated(octets: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """The message with one to four things changed; parts may come from one of the others."""
    for _ in range(random.randint(1, 4)):
        octets = _operated(octets, others, random) if random.random() < 0.7 else _spelt(octets, random)
    return octets


def _operated(octets: bytes, others: Sequence[bytes], random: Random) -> bytes:
    try:
        root = etree.fromstring(octets, _PARSER)
        donor = etree.fromstring(random.choice(others), _PARSER) if random.random() < 0.4 else root
        graft = deepcopy(random.choice([*donor.iter(etree.Element)]))
        random.choice(SURGERY)(random.choice([*root.iter(etree.Element)]), graft, random)
        return etree.tostring(root)
    except (etree.XMLSyntaxError, ValueError, TypeError):  # no longer XML, or lxml would not write such a thing
        return _spelt(octets, random)


def _spelt(octets: bytes, random: Random) -> bytes:
    at = random.randint(0, len(octets))
    end = at + random.choice((0, 0, 1, 8, 64))
    return octets[:at] + random.choice(TOKENS) + octets[end:]
