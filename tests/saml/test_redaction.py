"""What is kept of a message must not say who somebody is, and must still show what was wrong with it."""

from pathlib import Path

import pytest
from lxml import etree

from idp_bridge.saml.redaction import MARK, redacted

from . import idp

GOOD = Path(__file__).parents[2] / "fixtures" / "saml" / "good"
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
VALUES = [f"{SAML}NameID", f"{SAML}AttributeValue", "{http://www.w3.org/2001/04/xmlenc#}CipherValue"]


def _shape(root: etree._Element) -> list[tuple[str, dict[str, str]]]:
    """Every element but what stands inside a value, with its attributes."""
    inside = {child for value in root.iter(*VALUES) for child in value.iterdescendants()}
    return [(str(element.tag), dict(element.attrib)) for element in root.iter() if element not in inside]


@pytest.mark.parametrize("path", sorted(GOOD.glob("*/response.xml")), ids=lambda path: path.parent.name)
def test_values_go_and_the_structure_stays(path: Path) -> None:
    """On every provider's shape: the same elements, ids, attributes and signatures; no value of anybody's."""
    document = path.read_bytes()
    without = redacted(document)
    assert without is not None
    before, after = etree.fromstring(document), etree.fromstring(without)
    assert _shape(after) == _shape(before)
    values = list(after.iter(*VALUES))
    assert values
    assert {"".join(value.itertext()) for value in values} == {MARK}
    signatures = "{http://www.w3.org/2000/09/xmldsig#}SignatureValue"
    assert [item.text for item in after.iter(signatures)] == [item.text for item in before.iter(signatures)]


def test_a_value_that_is_a_tree_goes_whole() -> None:
    """eduPersonTargetedID holds a NameID."""
    inner = f'<a:NameID xmlns:a="{SAML[1:-1]}">ann</a:NameID>'
    document = f'<a:AttributeValue xmlns:a="{SAML[1:-1]}">x{inner}tail</a:AttributeValue>'.encode()
    assert redacted(document) == f'<a:AttributeValue xmlns:a="{SAML[1:-1]}">{MARK}</a:AttributeValue>'.encode()


def test_attributes_that_name_or_place_a_person_go() -> None:
    """What we named her, where she was, and what the provider wrote in its own words."""
    without = redacted(
        f"""<p:Response xmlns:p="{idp.SAMLP}" xmlns="{idp.SAML}" ID="_r" Destination="{idp.ACS}"><p:Status>
        <p:StatusMessage>ann is not assigned</p:StatusMessage><p:StatusDetail><x>ann</x></p:StatusDetail></p:Status>
        <NameID Format="f" SPProvidedID="ann">ann</NameID><SubjectConfirmationData Address="192.0.2.1" Recipient="r"/>
        <SubjectLocality Address="192.0.2.1" DNSName="ann.example.com"/></p:Response>""".encode()
    )
    assert without is not None
    assert b"ann" not in without
    assert b"192" not in without
    root = etree.fromstring(without)
    assert [dict(item.attrib) for item in root.iter(f"{SAML}NameID", f"{SAML}SubjectConfirmationData")] == [
        {"Format": "f", "SPProvidedID": MARK},
        {"Address": MARK, "Recipient": "r"},
    ]
    assert [item.text for item in root[0]] == [MARK, MARK]
    assert (root.get("ID"), root.get("Destination")) == ("_r", idp.ACS)


@pytest.mark.parametrize("document", [b"", b"no xml: ann@acme.test", b"<!DOCTYPE a><a>ann</a>", b"<a><!-- ann --></a>"])
def test_what_the_door_would_not_read_is_not_kept(document: bytes) -> None:
    """A value that cannot be found cannot be taken out."""
    assert redacted(document) is None
