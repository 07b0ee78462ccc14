"""What is kept of a message must not say who somebody is, and must still show what was wrong with it."""

from pathlib import Path

import pytest
from lxml import etree

from idp_bridge.saml.redaction import MARK, redacted

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


@pytest.mark.parametrize("document", [b"", b"no xml: ann@acme.test", b"<!DOCTYPE a><a>ann</a>", b"<a><!-- ann --></a>"])
def test_what_the_door_would_not_read_is_not_kept(document: bytes) -> None:
    """A value that cannot be found cannot be taken out."""
    assert redacted(document) is None
