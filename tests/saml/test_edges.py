"""Edges of rules that no other test walks along; mutation testing found these (docs/security.md)."""

from collections.abc import Callable

import pytest
from lxml import etree

from idp_bridge.saml import Assertion, Reason, Rejected, verify

from . import idp


def accept(change: Callable[[etree._Element], None], shape: idp.Shape = idp.ENTRA) -> Assertion:
    root = idp.unsigned(shape)
    change(root)
    trust, sp = idp.trust(allow_idp_initiated=True), idp.service_provider()
    return verify(idp.post(idp.finish(root, shape)), trust=trust, sp=sp, now=idp.NOW)


def name_id(root: etree._Element) -> etree._Element:
    return next(root.iter(f"{{{idp.SAML}}}NameID"))


def test_a_name_of_1024_characters_is_accepted() -> None:
    """The bound is the last length that is."""
    assert accept(lambda root: setattr(name_id(root), "text", "n" * 1024)).name_id == "n" * 1024


def test_a_name_of_1025_characters_is_refused() -> None:
    """With the name among the facts, so that an administrator finds it."""
    with pytest.raises(Rejected) as caught:
        accept(lambda root: setattr(name_id(root), "text", "n" * 1025))
    assert caught.value.reason is Reason.NAME_ID_MALFORMED
    assert caught.value.facts["got"].startswith("'nnn")


def test_qualifiers_of_a_name_are_kept_apart() -> None:
    """Core 2.2.2: whose name it is, and for whom."""

    def qualify(root: etree._Element) -> None:
        name_id(root).attrib.update({"NameQualifier": "urn:provider", "SPNameQualifier": "urn:us"})

    said = accept(qualify)
    assert (said.name_qualifier, said.sp_name_qualifier) == ("urn:provider", "urn:us")


@pytest.mark.parametrize("nil", ["true", "1"])
def test_nil_values_say_nothing(nil: str) -> None:
    """XML Schema writes the boolean in two ways."""

    def empty(root: etree._Element) -> None:
        value = next(root.iter(f"{{{idp.SAML}}}AttributeValue"))
        value.set("{http://www.w3.org/2001/XMLSchema-instance}nil", nil)

    assert accept(empty).attributes["email"] == ()


def test_an_id_is_found_behind_other_attributes() -> None:
    """Wherever in an element it stands, it must be the only one of its kind in the message."""

    def again(root: etree._Element) -> None:
        next(root.iter(f"{{{idp.SAMLP}}}StatusCode")).set("ID", "_assertion1")

    with pytest.raises(Rejected) as caught:
        accept(again)
    assert caught.value.reason is Reason.ID_DUPLICATE


def test_a_field_of_256_kib_is_looked_at() -> None:
    """The bound is the last length that is."""
    with pytest.raises(Rejected) as caught:
        verify("A" * 256 * 1024, trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    assert caught.value.reason is Reason.XML_ENCODING
