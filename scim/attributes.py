"""What a SCIM schema is made of (RFC 7643 §2 and §7): `Attribute`, `Schema`, and `AttrPath`, a resolved name.

Only shapes: which attributes there are stands in `schemas`.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

AttributeType = Literal["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]
Mutability = Literal["readOnly", "readWrite", "immutable", "writeOnly"]
Returned = Literal["always", "never", "default", "request"]
Uniqueness = Literal["none", "server", "global"]


def fold(text: str) -> str:
    """The form in which strings are compared where case does not matter: NFC and case folding."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _by_name(attributes: "Iterable[Attribute]") -> "dict[str, Attribute]":
    """Both spellings as keys, so that a name written as in the RFC is found without folding it first."""
    return {name: attribute for attribute in attributes for name in (attribute.name.lower(), attribute.name)}


# Two attributes are equal only if they are the same row of the same table, and hashing one must be cheap: eq=False.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attribute:
    """One attribute and its characteristics (RFC 7643 §2.2); the defaults are those of the RFC."""

    name: str
    type: AttributeType = "string"
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Returned = "default"
    uniqueness: Uniqueness = "none"
    sub_attributes: "tuple[Attribute, ...]" = ()
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    description: str = ""
    _subs: "dict[str, Attribute]" = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_subs", _by_name(self.sub_attributes))

    def __repr__(self) -> str:
        return f"<Attribute {self.name}>"

    def sub_attribute(self, name: str) -> "Attribute | None":
        """The sub-attribute of that name in any case (RFC 7643 §2.1)."""
        return self._subs.get(name) or self._subs.get(name.lower())

    def comparable(self, value: Any) -> Any:
        """What stands for a value where it is compared: text without regard to case, unless that is exact."""
        exact = self.case_exact or self.type == "binary"
        return value if exact or not isinstance(value, str) else fold(value)

    @property
    def refers(self) -> bool:
        """Whether it is a single reference to another resource, such as the manager: an id and its URI."""
        return not self.multi_valued and "value" in self._subs and "$ref" in self._subs

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The attribute that /Schemas would show like this; what is left out is as the RFC has it by default."""
        return cls(
            document["name"],
            document.get("type", "string"),
            multi_valued=document.get("multiValued", False),
            required=document.get("required", False),
            case_exact=document.get("caseExact", False),
            mutability=document.get("mutability", "readWrite"),
            returned=document.get("returned", "default"),
            uniqueness=document.get("uniqueness", "none"),
            sub_attributes=tuple(cls.from_dict(sub) for sub in document.get("subAttributes", ())),
            canonical_values=tuple(document.get("canonicalValues", ())),
            reference_types=tuple(document.get("referenceTypes", ())),
            description=document.get("description", ""),
        )

    def as_dict(self) -> dict[str, Any]:
        """The attribute as /Schemas shows it (RFC 7643 §7): every characteristic, no null."""
        document: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": self.mutability,
            "returned": self.returned,
            "uniqueness": self.uniqueness,
        }
        if self.canonical_values:
            document["canonicalValues"] = list(self.canonical_values)
        if self.reference_types:
            document["referenceTypes"] = list(self.reference_types)
        if self.sub_attributes:
            document["subAttributes"] = [sub.as_dict() for sub in self.sub_attributes]
        return document


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A schema (RFC 7643 §7): its URN, and the attributes it defines."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    _attributes: dict[str, Attribute] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_attributes", _by_name(self.attributes))

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name in any case (RFC 7643 §2.1)."""
        return self._attributes.get(name) or self._attributes.get(name.lower())

    @property
    def paths(self) -> "list[AttrPath]":
        """Its attributes and their sub-attributes, as those of an extension."""
        return [path for attribute in self.attributes for path in paths_into(self.id, attribute)]

    def as_dict(self) -> dict[str, Any]:
        """The schema as /Schemas shows it, without `schemas` and `meta`."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": [attribute.as_dict() for attribute in self.attributes],
        }


@dataclass(frozen=True, slots=True)
class AttrPath:
    """A name such as `name.givenName`, resolved (RFC 7644 §3.10).

    `schema_urn` is the extension that holds the attribute, None for core and common attributes. An extension named
    as a whole is a complex attribute whose name is its URN: that is how it lies in a resource.
    """

    schema_urn: str | None
    attribute: Attribute
    sub_attribute: Attribute | None = None

    @property
    def leaf(self) -> Attribute:
        """The attribute whose values the path leads to."""
        return self.sub_attribute or self.attribute

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys to follow from a resource to the value, through arrays where there are any."""
        names = (self.schema_urn, self.attribute.name, self.sub_attribute and self.sub_attribute.name)
        return tuple(name for name in names if name)

    def __str__(self) -> str:
        prefix = f"{self.schema_urn}:" if self.schema_urn else ""
        suffix = f".{self.sub_attribute.name}" if self.sub_attribute else ""
        return f"{prefix}{self.attribute.name}{suffix}"


def paths_into(urn: str | None, attribute: Attribute) -> list[AttrPath]:
    """The attribute and each of its sub-attributes; `urn` is the extension that holds it, if one does."""
    return [AttrPath(urn, attribute), *(AttrPath(urn, attribute, sub) for sub in attribute.sub_attributes)]
