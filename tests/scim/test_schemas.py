"""The schemas as data and the discovery documents made of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from scim import schemas
from scim.attributes import Attribute, Schema
from scim.errors import NotFound
from scim.schemas import (
    COMMON,
    ENTERPRISE_URN,
    ENTERPRISE_USER,
    GROUP,
    GROUP_TYPE,
    GROUP_URN,
    LIST_URN,
    MEMBERS,
    STANDARD,
    USER,
    USER_TYPE,
    USER_URN,
)

BASE = "https://example.com/scim/v2"

# RFC 7643 §4.1, without `password`, which is never stored.
USER_ATTRIBUTES = """
    userName name displayName nickName profileUrl title userType preferredLanguage locale timezone active emails
    phoneNumbers ims photos addresses groups entitlements roles x509Certificates
"""


def _walk(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _walk(child)


def test_user_has_every_core_attribute_but_the_password() -> None:
    """RFC 7643 §4.1; what is never returned must not be listed."""
    assert {attribute.name for attribute in USER.attributes} == set(USER_ATTRIBUTES.split())


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("userName", {"required": True, "case_exact": False, "uniqueness": "server"}),
        ("externalId", {"required": False, "case_exact": True, "mutability": "readWrite"}),
        ("id", {"case_exact": True, "mutability": "readOnly", "returned": "always"}),
        ("meta.lastModified", {"type": "dateTime", "mutability": "readOnly"}),
        ("groups", {"multi_valued": True, "mutability": "readOnly"}),
        ("emails.value", {"case_exact": False}),
        ("emails.primary", {"type": "boolean"}),
        ("profileUrl", {"type": "reference", "case_exact": True}),
        ("x509Certificates.value", {"type": "binary"}),
        (f"{ENTERPRISE_URN}:manager.value", {"case_exact": True}),
    ],
)
def test_user_attributes_have_the_characteristics_of_the_rfc(name: str, traits: dict[str, object]) -> None:
    """RFC 7643 §3.1, §4.1, §4.3 and §8.7.1."""
    path = USER_TYPE.resolve(name)
    assert path is not None
    assert {trait: getattr(path.leaf, trait) for trait in traits} == traits


def test_a_member_is_immutable_and_must_have_a_value() -> None:
    """RFC 7643 §4.2."""
    assert GROUP_TYPE.resolve("MEMBERS") is not None
    assert {sub.name: sub.mutability for sub in MEMBERS.sub_attributes} == dict.fromkeys(
        ("value", "$ref", "type", "display"), "immutable"
    )
    assert [attribute.name for attribute in GROUP_TYPE.required] == ["displayName"]
    assert GROUP.attribute("displayname") is not None


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("USERNAME", "userName"),
        ("Name.GIVENNAME", "name.givenName"),
        (f"{USER_URN}:userName", "userName"),
        (f"{USER_URN.upper()}:Name.Familyname", "name.familyName"),
        (f"{ENTERPRISE_URN}:department", f"{ENTERPRISE_URN}:department"),
        (f"{ENTERPRISE_URN.lower()}:MANAGER.Value", f"{ENTERPRISE_URN}:manager.value"),
        (f"{ENTERPRISE_URN}.manager", f"{ENTERPRISE_URN}:manager"),
        ("manager", f"{ENTERPRISE_URN}:manager"),
        (ENTERPRISE_URN, ENTERPRISE_URN),
        ("externalID", "externalId"),
        ("Meta.Created", "meta.created"),
    ],
)
def test_names_resolve_in_any_case_with_and_without_urn(text: str, meaning: str) -> None:
    """RFC 7644 §3.10: all facets of an attribute's name are case-insensitive."""
    assert str(USER_TYPE.resolve(text)) == meaning


@pytest.mark.parametrize(
    "text", ["", "password", "user", "name.", ".name", "urn:other:userName", "emails[0]", "name.a.b"]
)
def test_what_is_no_attribute_resolves_to_nothing(text: str) -> None:
    """The caller decides whether that is an error."""
    assert USER_TYPE.resolve(text) is None


OWN = Schema("urn:acme:hr", "Hr", "", (Attribute("department", "integer"), Attribute("grade"), Attribute("userName")))
OTHER = Schema("urn:acme:hr.grade", "Grade", "", (Attribute("level"),))
EXTENDED = STANDARD.extended(user=[OWN, OTHER], group=[OWN])


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("department", f"{ENTERPRISE_URN}:department"),
        ("userName", "userName"),
        ("grade", None),
        ("URN:acme:HR:Grade", "urn:acme:hr:grade"),
        ("urn:acme:hr:username", "urn:acme:hr:userName"),
        ("urn:acme:hr.department", "urn:acme:hr:department"),
        ("urn:acme:hr.grade", "urn:acme:hr.grade"),
        ("urn:acme:hr.grade:level", "urn:acme:hr.grade:level"),
        ("urn:acme:hr", "urn:acme:hr"),
    ],
)
def test_an_extension_takes_no_name_that_is_somebody_elses(text: str, meaning: str | None) -> None:
    """An account's own attributes are named with their URN; plain names mean what they mean everywhere."""
    path = EXTENDED.user.resolve(text)
    assert (path and str(path)) == meaning


def test_a_catalogue_is_extended_for_itself_alone() -> None:
    """RFC 7643 §3.3: extensions are listed with their type and its schemas; the standard types stay as they are."""
    documents = schemas.resource_types_list(BASE, EXTENDED)["Resources"]
    assert [[named["schema"] for named in kind.get("schemaExtensions", ())] for kind in documents] == [
        [ENTERPRISE_URN, "urn:acme:hr", "urn:acme:hr.grade"],
        ["urn:acme:hr"],
    ]
    assert schemas.schema_document(BASE, "URN:ACME:HR", EXTENDED)["attributes"][0]["type"] == "integer"
    assert STANDARD.group.extensions == ()
    with pytest.raises(NotFound):
        schemas.schema_document(BASE, "urn:acme:hr")


def test_schemas_document_lists_what_is_validated() -> None:
    """One table feeds both, so /Schemas can promise nothing else."""
    document = schemas.schemas_list(BASE)
    assert document["schemas"] == [LIST_URN]
    assert [resource["id"] for resource in document["Resources"]] == [USER_URN, ENTERPRISE_URN, GROUP_URN]
    assert document["totalResults"] == document["itemsPerPage"] == 3
    for resource, schema in zip(document["Resources"], (USER, ENTERPRISE_USER, GROUP), strict=True):
        assert resource["attributes"] == [attribute.as_dict() for attribute in schema.attributes]
        assert resource["meta"] == {"resourceType": "Schema", "location": f"{BASE}/Schemas/{schema.id}"}


def test_resource_types_document_has_user_first() -> None:
    """Microsoft's Postman collection looks at Resources[0]."""
    user, group = schemas.resource_types_list(BASE + "/")["Resources"]
    assert (user["name"], user["endpoint"], user["schema"]) == ("User", "/Users", USER_URN)
    assert user["schemaExtensions"] == [{"schema": ENTERPRISE_URN, "required": False}]
    assert (group["name"], group["endpoint"], group["schema"]) == ("Group", "/Groups", GROUP_URN)
    assert "schemaExtensions" not in group
    assert user["meta"]["location"] == f"{BASE}/ResourceTypes/User"


def test_service_provider_config_says_the_truth() -> None:
    """What is not built is not promised."""
    config = schemas.service_provider_config(BASE)
    supported = {name for name, item in config.items() if isinstance(item, dict) and item.get("supported")}
    assert supported == {"patch", "bulk", "filter", "sort", "etag"}
    assert config["bulk"] == {"supported": True, "maxOperations": 1000, "maxPayloadSize": 8388608}
    assert config["filter"]["maxResults"] == 1000
    assert [(s["type"], s["primary"]) for s in config["authenticationSchemes"]] == [("oauthbearertoken", True)]


@pytest.mark.parametrize("urn", [USER_URN, ENTERPRISE_URN.upper(), GROUP_URN.lower()])
def test_a_schema_is_found_by_its_urn_in_any_case(urn: str) -> None:
    """RFC 7644 §4."""
    assert schemas.schema_document(BASE, urn)["id"].lower() == urn.lower()


def test_a_resource_type_is_found_by_its_name() -> None:
    """RFC 7644 §4."""
    assert schemas.resource_type_document(BASE, "group")["id"] == "Group"


def test_unknown_discovery_documents_are_not_found() -> None:
    """404 with a hint where to look."""
    with pytest.raises(NotFound, match="GET /Schemas"):
        schemas.schema_document(BASE, "urn:none")
    with pytest.raises(NotFound, match="GET /ResourceTypes"):
        schemas.resource_type_document(BASE, "Robot")


@pytest.mark.parametrize(
    "document",
    [schemas.schemas_list(BASE), schemas.resource_types_list(BASE), schemas.service_provider_config(BASE)],
)
def test_discovery_documents_hold_no_null(document: dict[str, Any]) -> None:
    """Entra ID refuses a /Schemas document with nulls."""
    assert None not in list(_walk(document))


def test_common_attributes_are_in_no_schema() -> None:
    """RFC 7643 §3: id, externalId, meta and schemas belong to every resource and are listed by none."""
    assert not {attribute.name for attribute in COMMON} & {
        attribute.name for schema in schemas.STANDARD.schemas for attribute in schema.attributes
    }
