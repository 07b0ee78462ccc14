"""PATCH paths (RFC 7644 §3.5.2, figure 7): `name.givenName`, `emails[type eq "work"].value`, with or without a URN."""

from dataclasses import dataclass

from scim.attributes import Attribute, AttrPath
from scim.errors import InvalidPath, excerpt
from scim.filter import Filter, parse_value_filter, unparse
from scim.schemas import ResourceType


@dataclass(frozen=True, slots=True)
class Path:
    """The target of an operation.

    `schema_urn` is the extension that holds the attribute, None otherwise; `value_filter` selects values of a
    multi-valued attribute. An extension as a whole is an attribute named by its URN (see `AttrPath`).
    """

    schema_urn: str | None
    attribute: Attribute
    value_filter: Filter | None = None
    sub_attribute: Attribute | None = None

    @property
    def leaf(self) -> Attribute:
        """The attribute that the operation changes."""
        return self.sub_attribute or self.attribute

    def __str__(self) -> str:
        """The path as a client would write it; read again it is the same."""
        selected = f"[{unparse(self.value_filter)}]" if self.value_filter else ""
        suffix = f".{self.sub_attribute.name}" if self.sub_attribute else ""
        return f"{AttrPath(self.schema_urn, self.attribute)}{selected}{suffix}"


def parse_path(text: str, resource_type: ResourceType) -> Path:
    """The path resolved against the schema. Raises InvalidPath, or InvalidFilter for what is in the brackets."""
    text = text.strip()
    plain = resource_type.resolve(text)
    if plain is not None:
        return Path(plain.schema_urn, plain.attribute, None, plain.sub_attribute)
    name, bracket, rest = text.partition("[")
    selection, closing, suffix = rest.rpartition("]")
    found = resource_type.resolve(name.rstrip())
    if not bracket or not closing or found is None:
        raise InvalidPath(f"{excerpt(text)} is not an attribute of {resource_type.name}.")
    if found.sub_attribute is not None or not found.attribute.multi_valued:
        raise InvalidPath(f"{found} has not several values to select from.")
    if found.leaf.type != "complex":
        raise InvalidPath(f"{found} has no sub-attributes to select by.")
    value_filter = parse_value_filter(selection, found)
    return Path(found.schema_urn, found.attribute, value_filter, _sub_attribute(found, suffix.strip()))


def _sub_attribute(found: AttrPath, suffix: str) -> Attribute | None:
    if not suffix:
        return None
    sub = found.attribute.sub_attribute(suffix.removeprefix("."))
    if sub is None or not suffix.startswith("."):
        raise InvalidPath(f"{excerpt(suffix)} is not a sub-attribute of {found}.")
    return sub
