"""The schemas this server speaks, as data: one table feeds discovery and validation alike.

User, enterprise User and Group follow RFC 7643 §4 and §8.7. /Schemas may list only what is really stored and
returned, because Microsoft's validator and scim2-tester send every attribute listed there and expect it back:
hence no `password`, and `manager.displayName` is stored as it was sent instead of being filled in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scim import errors, quirks
from scim.attributes import Attribute, AttributeType, AttrPath, Schema, paths_into

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
CONFIG_URN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK_RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
ERROR_URN = errors.ERROR_URN

DEFAULT_COUNT = 100
MAX_RESULTS = 1000
CURSOR_SECONDS = 3600
MAX_OPERATIONS = 1000
MAX_VALUES = 1000  # of one attribute; members are not counted
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024


def _text(name: str, description: str, **traits: Any) -> Attribute:
    return Attribute(name, description=description, **traits)


def _reference(name: str, description: str, *types: str, **traits: Any) -> Attribute:
    """References are case exact (RFC 7643 §2.3.7)."""
    return Attribute(name, "reference", case_exact=True, reference_types=types, description=description, **traits)


def _complex(name: str, description: str, *subs: Attribute, **traits: Any) -> Attribute:
    return Attribute(name, "complex", sub_attributes=subs, description=description, **traits)


def _type(*canonical: str) -> Attribute:
    return _text("type", "What the value is used for.", canonical_values=canonical)


_PRIMARY = Attribute("primary", "boolean", description="Whether this is the preferred value; true at most once.")


def _plural(name: str, description: str, *types: str, value: AttributeType = "string") -> Attribute:
    """A multi-valued attribute with the default sub-attributes of RFC 7643 §2.4."""
    if value == "reference":
        held = _reference("value", "The value.", "external")
    else:
        held = Attribute("value", value, case_exact=value == "binary", description="The value.")
    display = _text("display", "The value in a form for people.")
    return _complex(name, description, held, display, _type(*types), _PRIMARY, multi_valued=True)


USER = Schema(
    USER_URN,
    "User",
    "User Account",
    (
        _text(
            "userName",
            "The name by which the user signs in; unique in the directory without regard to case.",
            required=True,
            uniqueness="server",
        ),
        _complex(
            "name",
            "The parts of the user's name.",
            _text("formatted", "The full name, formatted for display."),
            _text("familyName", "The family name, or last name."),
            _text("givenName", "The given name, or first name."),
            _text("middleName", "The middle names."),
            _text("honorificPrefix", "What stands before the name, such as 'Ms.'."),
            _text("honorificSuffix", "What stands after the name, such as 'III'."),
        ),
        _text("displayName", "The name shown to other people."),
        _text("nickName", "The casual way to address the user."),
        _reference("profileUrl", "A page about the user.", "external"),
        _text("title", "The user's title, such as 'Vice President'."),
        _text("userType", "The user's relation to the organization, such as 'Contractor'."),
        _text("preferredLanguage", "The preferred language, such as 'en-US'."),
        _text("locale", "The locale for numbers, currency and dates."),
        _text("timezone", "The time zone, such as 'America/Los_Angeles'."),
        Attribute("active", "boolean", description="Whether the user may sign in."),
        _plural("emails", "E-mail addresses.", "work", "home", "other"),
        _plural("phoneNumbers", "Phone numbers.", "work", "home", "mobile", "fax", "pager", "other"),
        _plural(
            "ims",
            "Instant messaging addresses.",
            *("aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
        ),
        _plural("photos", "Pictures of the user.", "photo", "thumbnail", value="reference"),
        _complex(
            "addresses",
            "Postal addresses.",
            _text("formatted", "The full address, formatted for display or a label."),
            _text("streetAddress", "Street, house number, P.O. box."),
            _text("locality", "The city."),
            _text("region", "The state or region."),
            _text("postalCode", "The postal code."),
            _text("country", "The country."),
            _type("work", "home", "other"),
            _PRIMARY,
            multi_valued=True,
        ),
        _complex(
            "groups",
            "The groups the user is a member of; changed through the groups.",
            _text("value", "The group's id.", case_exact=True, mutability="readOnly"),
            _reference("$ref", "The group's URI.", "Group", mutability="readOnly"),
            _text("display", "The group's displayName.", mutability="readOnly"),
            _text(
                "type",
                "How the user belongs to the group.",
                canonical_values=("direct", "indirect"),
                mutability="readOnly",
            ),
            multi_valued=True,
            mutability="readOnly",
        ),
        _plural("entitlements", "What the user is entitled to."),
        _plural("roles", "What the user is, such as 'Student'."),
        _plural("x509Certificates", "The user's certificates, each DER in base64.", value="binary"),
    ),
)

ENTERPRISE_USER = Schema(
    ENTERPRISE_URN,
    "EnterpriseUser",
    "Enterprise User",
    (
        _text("employeeNumber", "The number the organization gave the person."),
        _text("costCenter", "The cost center."),
        _text("organization", "The organization."),
        _text("division", "The division."),
        _text("department", "The department."),
        _complex(
            "manager",
            "The user's manager.",
            _text("value", "The id of the manager's User resource.", case_exact=True),
            _reference("$ref", "The URI of the manager's User resource.", "User"),
            _text("displayName", "The manager's name, as it was sent."),
        ),
    ),
)

MEMBERS = _complex(
    "members",
    "The members of the group; a member is replaced, not edited.",
    _text("value", "The id of the member.", required=True, case_exact=True, mutability="immutable"),
    _reference("$ref", "The URI of the member.", "User", mutability="immutable"),
    _text("type", "What the member is: always a User.", canonical_values=("User",), mutability="immutable"),
    _text("display", "The member's name, as it was sent.", mutability="immutable"),
    multi_valued=True,
)

GROUP = Schema(
    GROUP_URN,
    "Group",
    "Group",
    (
        _text(
            "displayName",
            "The group's name; unique in the directory without regard to case.",
            required=True,
            uniqueness="server",
        ),
        MEMBERS,
    ),
)

# RFC 7643 §3: what every resource has without any schema listing it.
COMMON = (
    Attribute("schemas", "reference", multi_valued=True, required=True, mutability="readOnly", returned="always"),
    _text("id", "", case_exact=True, mutability="readOnly", returned="always", uniqueness="server"),
    _text("externalId", "", case_exact=True),
    _complex(
        "meta",
        "",
        _text("resourceType", "", case_exact=True, mutability="readOnly"),
        Attribute("created", "dateTime", mutability="readOnly"),
        Attribute("lastModified", "dateTime", mutability="readOnly"),
        _reference("location", "", "uri", mutability="readOnly"),
        _text("version", "", case_exact=True, mutability="readOnly"),
        mutability="readOnly",
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """A kind of resource (RFC 7643 §6): its endpoint, its core schema and the extensions it may carry."""

    name: str
    endpoint: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    required: tuple[Attribute, ...] = field(init=False, repr=False)
    immutable: tuple[AttrPath, ...] = field(init=False, repr=False)
    always: tuple[AttrPath, ...] = field(init=False, repr=False)
    hidden: tuple[AttrPath, ...] = field(init=False, repr=False)
    _paths: dict[str, AttrPath] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        attributes = (*COMMON, *self.schema.attributes)
        writable = [attribute for attribute in attributes if attribute.mutability != "readOnly"]
        paths = [path for attribute in attributes for path in paths_into(None, attribute)]
        paths.extend(path for extension in self.extensions for path in extension.paths)
        object.__setattr__(self, "required", tuple(a for a in writable if a.required))
        object.__setattr__(self, "immutable", tuple(path for path in paths if path.leaf.mutability == "immutable"))
        object.__setattr__(self, "always", tuple(path for path in paths if path.leaf.returned == "always"))
        object.__setattr__(self, "hidden", tuple(p for p in paths if p.leaf.returned in ("never", "request")))
        object.__setattr__(self, "_paths", _paths(self))

    def resolve(self, text: str) -> AttrPath | None:
        """What a name means, in any case, with or without its URN (RFC 7644 §3.10); None if it means nothing."""
        return self._paths.get(text) or self._paths.get(text.lower())


def _paths(resource_type: ResourceType) -> dict[str, AttrPath]:
    """Every way of naming an attribute of the type, so that resolving a name is one look into a dict."""
    paths: dict[str, AttrPath] = {}

    def name(spelling: str, path: AttrPath) -> None:
        paths.setdefault(spelling, path)
        paths.setdefault(spelling.lower(), path)

    core = resource_type.schema
    for attribute in (*COMMON, *core.attributes):
        for path in paths_into(None, attribute):
            name(str(path), path)
            name(f"{core.id}:{path}", path)
    for extension in resource_type.extensions:
        whole = Attribute(
            extension.id,
            "complex",
            sub_attributes=extension.attributes,
            description=extension.description,
        )
        name(extension.id, AttrPath(None, whole))
        for path in extension.paths:
            name(str(path), path)
    for extension in resource_type.extensions:  # last, so that no quirk takes a name that is somebody's own
        for path in extension.paths:
            name(quirks.dotted_spelling(str(path), urn=extension.id), path)
            if extension is ENTERPRISE_USER:
                name(quirks.short_spelling(str(path), urn=extension.id), path)
    return paths


USER_TYPE = ResourceType("User", "/Users", USER, (ENTERPRISE_USER,))
GROUP_TYPE = ResourceType("Group", "/Groups", GROUP)


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """The resource types of one directory, User first because Microsoft's Postman collection looks at the first."""

    user: ResourceType
    group: ResourceType

    @property
    def resource_types(self) -> tuple[ResourceType, ...]:
        """Both."""
        return self.user, self.group

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """Core schemas and extensions."""
        return tuple(schema for kind in self.resource_types for schema in (kind.schema, *kind.extensions))

    def extended(self, *, user: Iterable[Schema] = (), group: Iterable[Schema] = ()) -> "Catalogue":
        """The same with more extensions (RFC 7643 §3.3); no URN may begin with that of another and a colon."""
        return Catalogue(_extended(self.user, user), _extended(self.group, group))


def _extended(kind: ResourceType, extensions: Iterable[Schema]) -> ResourceType:
    return ResourceType(kind.name, kind.endpoint, kind.schema, (*kind.extensions, *extensions))


STANDARD = Catalogue(USER_TYPE, GROUP_TYPE)


# Discovery (RFC 7644 §4). `base` is the SCIM base URL, such as https://example.com/scim/v2.


def schemas_list(base: str, catalogue: Catalogue = STANDARD) -> dict[str, Any]:
    """GET /Schemas."""
    return _listing([_schema_document(schema, base) for schema in catalogue.schemas])


def schema_document(base: str, urn: str, catalogue: Catalogue = STANDARD) -> dict[str, Any]:
    """GET /Schemas/{urn}, the URN in any case; NotFound for another."""
    for schema in catalogue.schemas:
        if schema.id.lower() == urn.lower():
            return _schema_document(schema, base)
    raise errors.NotFound(f"There is no schema {urn!r}; GET /Schemas lists those there are.")


def resource_types_list(base: str, catalogue: Catalogue = STANDARD) -> dict[str, Any]:
    """GET /ResourceTypes."""
    return _listing([_resource_type_document(resource_type, base) for resource_type in catalogue.resource_types])


def resource_type_document(base: str, name: str, catalogue: Catalogue = STANDARD) -> dict[str, Any]:
    """GET /ResourceTypes/{name}, the name in any case; NotFound for another."""
    for resource_type in catalogue.resource_types:
        if resource_type.name.lower() == name.lower():
            return _resource_type_document(resource_type, base)
    raise errors.NotFound(f"There is no resource type {name!r}; GET /ResourceTypes lists those there are.")


def service_provider_config(base: str, catalogue: Catalogue = STANDARD) -> dict[str, Any]:
    """GET /ServiceProviderConfig (RFC 7643 §5, RFC 9865 §4): what the server can do, and nothing it cannot.

    authentik reads `bulk.maxOperations` for another end too: it cuts the operations of its PATCH requests into pieces
    of that size.
    """
    return {
        "schemas": [CONFIG_URN],
        "patch": {"supported": True},
        "bulk": {
            "supported": True,
            "maxOperations": MAX_OPERATIONS,
            "maxPayloadSize": MAX_PAYLOAD_BYTES,
        },
        "filter": {"supported": True, "maxResults": MAX_RESULTS},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_COUNT,
            "maxPageSize": MAX_RESULTS,
            "cursorTimeout": CURSOR_SECONDS,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "A token of the directory in the Authorization header.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": _meta("ServiceProviderConfig", base, "/ServiceProviderConfig"),
    }


def _schema_document(schema: Schema, base: str) -> dict[str, Any]:
    meta = _meta("Schema", base, f"/Schemas/{schema.id}")
    return {"schemas": [SCHEMA_URN], **schema.as_dict(), "meta": meta}


def _resource_type_document(resource_type: ResourceType, base: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schemas": [RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "endpoint": resource_type.endpoint,
        "description": resource_type.schema.description,
        "schema": resource_type.schema.id,
    }
    if resource_type.extensions:
        document["schemaExtensions"] = [
            {"schema": extension.id, "required": False} for extension in resource_type.extensions
        ]
    document["meta"] = _meta("ResourceType", base, f"/ResourceTypes/{resource_type.name}")
    return document


def _meta(kind: str, base: str, location: str) -> dict[str, Any]:
    return {"resourceType": kind, "location": base.rstrip("/") + location}


def _listing(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schemas": [LIST_URN],
        "totalResults": len(documents),
        "startIndex": 1,
        "itemsPerPage": len(documents),
        "Resources": documents,
    }
