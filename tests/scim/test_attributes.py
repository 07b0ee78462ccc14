"""Attributes, schemas and resolved names."""

import pytest

from scim.attributes import Attribute, AttrPath, Schema
from scim.schemas import ENTERPRISE_USER, MEMBERS, STANDARD

GIVEN = Attribute("givenName", description="First name.")
NAME = Attribute("name", "complex", sub_attributes=(GIVEN,))
KIND = Attribute("kind", canonical_values=("a", "b"))
LINK = Attribute("link", "reference", case_exact=True, reference_types=("User",))
SCHEMA = Schema("urn:x:y", "Thing", "A thing.", (NAME, KIND, LINK))


@pytest.mark.parametrize("name", ["name", "NAME", "nAmE"])
def test_attributes_are_found_in_any_case(name: str) -> None:
    """RFC 7643 §2.1: attribute names are case-insensitive."""
    assert SCHEMA.attribute(name) is NAME


@pytest.mark.parametrize("name", ["givenname", "GivenName"])
def test_sub_attributes_are_found_in_any_case(name: str) -> None:
    """RFC 7643 §2.1 again."""
    assert NAME.sub_attribute(name) is GIVEN


def test_unknown_names_are_none() -> None:
    """Nothing is guessed."""
    assert SCHEMA.attribute("nam") is None
    assert NAME.sub_attribute("name") is None


def test_the_document_of_an_attribute_has_every_characteristic_and_no_null() -> None:
    """RFC 7643 §7, with the names that Entra ID and scim2-tester read."""
    assert GIVEN.as_dict() == {
        "name": "givenName",
        "type": "string",
        "multiValued": False,
        "description": "First name.",
        "required": False,
        "caseExact": False,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    }
    assert NAME.as_dict()["subAttributes"] == [GIVEN.as_dict()]
    assert KIND.as_dict()["canonicalValues"] == ["a", "b"]
    assert LINK.as_dict()["referenceTypes"] == ["User"]


@pytest.mark.parametrize("attribute", [attribute for schema in STANDARD.schemas for attribute in schema.attributes])
def test_an_attribute_is_read_from_its_document(attribute: Attribute) -> None:
    """What /Schemas shows says all there is; what a document leaves out is as RFC 7643 §2.2 has it."""
    assert Attribute.from_dict(attribute.as_dict()).as_dict() == attribute.as_dict()
    assert Attribute.from_dict({"name": "x"}).as_dict() == Attribute("x").as_dict()


def test_only_an_id_with_a_uri_refers() -> None:
    """RFC 7643 §2.3.7: the manager is another resource, a complex value that has a `value` of its own is not."""
    own = Attribute("price", "complex", sub_attributes=(Attribute("value", "decimal"), Attribute("currency")))
    manager = ENTERPRISE_USER.attribute("manager")
    assert manager is not None
    assert (manager.refers, own.refers, MEMBERS.refers) == (True, False, False)


def test_the_document_of_a_schema_lists_its_attributes_in_order() -> None:
    """RFC 7643 §7."""
    document = SCHEMA.as_dict()
    assert [attribute["name"] for attribute in document["attributes"]] == ["name", "kind", "link"]
    assert (document["id"], document["name"], document["description"]) == ("urn:x:y", "Thing", "A thing.")


@pytest.mark.parametrize(
    ("path", "text", "keys"),
    [
        (AttrPath(None, KIND), "kind", ("kind",)),
        (AttrPath(None, NAME, GIVEN), "name.givenName", ("name", "givenName")),
        (AttrPath("urn:x:y", NAME, GIVEN), "urn:x:y:name.givenName", ("urn:x:y", "name", "givenName")),
    ],
)
def test_a_resolved_name_knows_its_notation_and_its_way_into_a_resource(
    path: AttrPath, text: str, keys: tuple[str, ...]
) -> None:
    """RFC 7644 §3.10 notation out, dict keys in."""
    assert (str(path), path.keys) == (text, keys)
    assert path.leaf is (path.sub_attribute or path.attribute)


def test_an_attribute_shows_its_name() -> None:
    """Filters and operations are made of attributes; logs and failing tests must stay readable."""
    assert repr(AttrPath(None, KIND)) == "AttrPath(schema_urn=None, attribute=<Attribute kind>, sub_attribute=None)"
