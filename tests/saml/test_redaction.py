"""Kept messages without the person: structure, ids and settings stay, values go."""

import pytest
from lxml import etree

from idp_bridge.saml.redaction import MARK, redacted

from . import idp


@pytest.mark.parametrize("shape", idp.SHAPES, ids=lambda shape: shape.name)
def test_values_are_gone_and_the_structure_stays(shape: idp.Shape) -> None:
    """No NameID, no attribute's value and no ciphertext; every element that was there, and who issued it."""
    document = idp.good(shape)
    told = redacted(etree.tostring(document))
    assert told is not None
    for value in ("ann@example.com", "Engineering", *(node.text or "" for node in document.iter("{*}CipherValue"))):
        assert value.encode() not in told
    tree = etree.fromstring(told)
    assert [node.tag for node in tree.iter()] == [node.tag for node in document.iter()]
    values = ("{*}NameID", "{*}AttributeValue", "{*}CipherValue")
    assert {node.text for node in tree.iter(*values)} == {MARK}
    assert tree.findtext(f"{{{idp.SAML}}}Issuer") == idp.IDP


def test_values_that_are_trees_go_as_a_whole() -> None:
    """eduPersonTargetedID holds a NameID: nothing of it is left."""
    response = idp.unsigned(idp.OKTA)
    value = next(response.iter("{*}AttributeValue"))
    etree.SubElement(value, f"{{{idp.SAML}}}NameID").text = "opaque"
    told = redacted(etree.tostring(response))
    assert told is not None
    assert b"opaque" not in told
    assert next(len(node) for node in etree.fromstring(told).iter("{*}AttributeValue")) == 0


@pytest.mark.parametrize("document", [b"", b"no XML", b"<!DOCTYPE x><x/>", b"<x><!-- ann@example.com --></x>"])
def test_what_cannot_be_read_is_not_kept(document: bytes) -> None:
    """A person could be anywhere in it."""
    assert redacted(document) is None
