"""/api/schema_extensions: SCIM attributes of the account's own."""

from typing import Any, get_args

from flask import Response
from marshmallow import RAISE, Schema, fields, post_load, validate

from idp_bridge import schema_extensions
from idp_bridge.extension_rules import MOST_ATTRIBUTES, NAME, REFERENCE_TYPES, URN, URN_BYTES
from idp_bridge.models import SchemaExtension
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import (
    DESCRIPTION_BYTES,
    Answer,
    Body,
    Flag,
    Instant,
    Name,
    Names,
    Patch,
    Text,
    Uri,
    listing,
)
from idp_bridge.web.guard import actor, guard
from scim.attributes import Attribute, AttributeType

blueprint = Blueprint("Schema extensions", __name__, "SCIM attributes of the account's own, which directories push.")

# What an attribute of one's own may be (extension_rules.py says why the rest may not).
_TYPES = get_args(AttributeType)
_MUTABILITIES = ("readWrite", "immutable", "writeOnly")
_RETURNED = ("default", "always", "request", "never")


def _choice(*choices: str, default: str) -> fields.String:
    return fields.String(validate=validate.OneOf(choices), load_default=default)


class _Characteristics(Body):
    """What an attribute and a sub-attribute are described by (RFC 7643 §7); the defaults are the RFC's."""

    name = Text(least=1, most=DESCRIPTION_BYTES, pattern=NAME, required=True)
    description = Text(most=DESCRIPTION_BYTES, load_default="")
    case_exact = Flag(load_default=False)
    mutability = _choice(*_MUTABILITIES, default="readWrite")
    returned = _choice(*_RETURNED, default="default")
    canonical_values = Names(load_default=list)
    reference_types = fields.List(
        fields.String(validate=validate.OneOf(REFERENCE_TYPES)),
        validate=validate.Length(max=len(REFERENCE_TYPES)),
        load_default=list,
    )

    multi_valued = Flag(load_default=False)

    # Not to be chosen, and yet known: who sends back what was answered is understood, who wants more is told why not.
    required = Flag(load_default=False)
    uniqueness = _choice("none", default="none")

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Attribute:
        traits: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return Attribute(**traits)


class SubAttribute(_Characteristics):
    """A part of a complex attribute."""

    type = _choice(*(name for name in _TYPES if name != "complex"), default="string")


class ExtensionAttribute(_Characteristics):
    """An attribute; one of the type complex has sub-attributes, and no other has."""

    type = _choice(*_TYPES, default="string")
    sub_attributes = fields.List(
        fields.Nested(SubAttribute), validate=validate.Length(max=MOST_ATTRIBUTES), load_default=list
    )


def _attributes(**options: Any) -> fields.List[Any]:
    length = validate.Length(min=1, max=MOST_ATTRIBUTES)
    return fields.List(fields.Nested(ExtensionAttribute), validate=length, **options)


class SchemaExtensionPatch(Patch):
    """What may be set. ``attributes`` are all there are then: one that is left out goes."""

    name = Name()
    description = Text(most=DESCRIPTION_BYTES)
    attributes = _attributes()


class SchemaExtensionCreate(Body):
    """A new extension; its URN and the type of resource that it extends stay as they are."""

    urn = Text(least=1, most=URN_BYTES, pattern=URN, required=True)
    name = Name(required=True)
    description = Text(most=DESCRIPTION_BYTES, load_default="")
    resource_type = fields.String(validate=validate.OneOf(("User", "Group")), load_default="User")
    attributes = _attributes(required=True)


class Force(Schema):
    """Whether values that records hold may be taken away."""

    class Meta:
        unknown = RAISE

    force = fields.String(
        validate=validate.OneOf(("true", "false")),
        load_default="false",
        metadata={"description": "true takes values of what goes out of the records that hold them."},
    )


class SubAttributeAnswer(Answer):
    """A part of a complex attribute."""

    name = fields.String()
    type = fields.String()
    description = fields.String()
    multi_valued = fields.Boolean()
    required = fields.Boolean()
    case_exact = fields.Boolean()
    mutability = fields.String()
    returned = fields.String()
    uniqueness = fields.String()
    canonical_values = fields.List(fields.String())
    reference_types = fields.List(fields.String())


class ExtensionAttributeAnswer(SubAttributeAnswer):
    """An attribute with every characteristic."""

    sub_attributes = fields.List(fields.Nested(SubAttributeAnswer))


class SchemaExtensionAnswer(Answer):
    """An extension as the account's directories see it under /scim/v2/Schemas."""

    id = fields.String()
    uri = Uri("/api/schema_extensions/{id}")
    urn = fields.String()
    name = fields.String()
    description = fields.String()
    resource_type = fields.String()
    attributes = fields.List(fields.Nested(ExtensionAttributeAnswer))
    created_at = Instant()
    changed_at = Instant()


def _shown(row: SchemaExtension) -> dict[str, Any]:
    facts = {**schema_extensions.describe(row), "created_at": row.created_at, "changed_at": row.changed_at}
    return {**facts, "attributes": schema_extensions.schema(row).attributes}


@blueprint.get("/schema_extensions")
@guard(Permission.IDPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("schema_extensions", SchemaExtensionAnswer))
def list_schema_extensions(asked: dict[str, Any]) -> dict[str, Any]:
    """The account's extensions, which hold for all of its directories."""
    found = page("schema_extensions", schema_extensions.of_account(actor().account), SchemaExtension.id, asked)
    return {**found, "schema_extensions": [_shown(row) for row in found["schema_extensions"]]}


@blueprint.post("/schema_extensions")
@guard(Permission.IDPS_WRITE, feature=Feature.SCIM)
@blueprint.arguments(SchemaExtensionCreate)
@blueprint.response(201, SchemaExtensionAnswer)
def create_schema_extension(body: dict[str, Any]) -> dict[str, Any]:
    """Add attributes under a URN. The account's directories may push them at once."""
    return _shown(schema_extensions.create(actor(), **body))


@blueprint.get("/schema_extensions/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, SchemaExtensionAnswer)
def get_schema_extension(id: str) -> dict[str, Any]:
    """One extension."""
    return _shown(schema_extensions.get(actor().account, id))


@blueprint.patch("/schema_extensions/<id:id>")
@guard(Permission.IDPS_WRITE, feature=Feature.SCIM)
@blueprint.arguments(Force, location="query")
@blueprint.arguments(SchemaExtensionPatch)
@blueprint.response(200, SchemaExtensionAnswer)
def update_schema_extension(asked: dict[str, Any], body: dict[str, Any], id: str) -> dict[str, Any]:
    """Change an extension. Names, words, further attributes and characteristics always; what users or groups hold
    values of neither goes nor changes its type (409), unless forced."""
    row = schema_extensions.get(actor().account, id)
    schema_extensions.change(actor(), row, force=asked["force"] == "true", **body)
    return _shown(row)


@blueprint.delete("/schema_extensions/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.arguments(Force, location="query")
@blueprint.response(204)
def delete_schema_extension(asked: dict[str, Any], id: str) -> Response:
    """Delete an extension that nobody holds values of (else 409), or with force the values, too."""
    row = schema_extensions.get(actor().account, id)
    schema_extensions.delete(actor(), row, force=asked["force"] == "true")
    return no_content()
