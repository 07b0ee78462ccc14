"""What a schema extension of an account's own may look like: the rules of RFC 7643 §2 and §7, and what follows from
its records being there already. Every refusal names the field as the API has it."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from idp_bridge.errors import Code, Conflict, Invalid
from scim.attributes import Attribute

MOST_ATTRIBUTES = 100
URN_BYTES = 255

#: RFC 8141, as far as a filter can spell it.
URN = r"^[Uu][Rr][Nn]:[A-Za-z0-9][A-Za-z0-9-]{0,30}[A-Za-z0-9]:[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9_-])?$"

#: RFC 7643 §2.1.
NAME = r"^[A-Za-z][A-Za-z0-9_$-]*$"

#: Where vendors put their customers' attributes: Microsoft Entra ID's own form is ``…:extension:<name>:2.0:User``.
VENDORS = "urn:ietf:params:scim:schemas:extension:"
TAKEN = "urn:ietf:params:scim:"
ENTERPRISE = f"{VENDORS}enterprise:"

# RFC 7643 §3.1 and §7 keep the first ones for every resource, providers send a password that is never read, and the
# last are words of the filter language.
RESERVED = frozenset(
    {
        *("id", "externalid", "meta", "schemas", "bulkid", "password"),
        *("eq", "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le", "and", "or", "not", "true", "false", "null"),
    }
)

REFERENCE_TYPES = ("User", "Group", "external", "uri")


def check_urn(urn: str) -> None:
    """A URN that is not the standard's own. Raises Invalid."""
    folded = urn.lower()
    if not re.fullmatch(URN[1:-1], urn) or len(urn.encode()) > URN_BYTES:
        raise Invalid(
            f"{urn!r} is no URN that a filter can spell: urn:<name>:<letters, digits and . _ : ->.",
            fields={"urn": ["such as urn:acme:scim:2.0:User"]},
        )
    if folded.startswith(ENTERPRISE) or (folded.startswith(TAKEN) and not folded.startswith(VENDORS)):
        raise Invalid(
            f"{urn} is the standard's own namespace; take one of yours, or {VENDORS}<your name>:2.0:User.",
            fields={"urn": ["reserved by RFC 7643"]},
        )


def check_distinct(urn: str, others: Sequence[str]) -> None:
    """No URN is another's, nor could be read as an attribute of it: ``urn:a:b`` and ``urn:a:b:c``. Raises Conflict."""
    for other in others:
        one, two = f"{urn.lower()}:", f"{other.lower()}:"
        if one == two:
            raise Conflict(
                f"This account has a schema extension {other} already.",
                code=Code.NAME_TAKEN,
                fields={"urn": ["taken in this account"]},
            )
        if one.startswith(two) or two.startswith(one):
            raise Conflict(
                f"{urn} and {other} cannot be told apart in a path, since one begins with the other.",
                fields={"urn": [f"too close to {other}"]},
            )


def check_attributes(attributes: Sequence[Attribute]) -> None:
    """Raises Invalid naming every wrong field of every attribute."""
    wrong: dict[str, list[str]] = {}
    for place, words in _problems(attributes, "attributes", None):
        wrong.setdefault(place, []).append(words)
    if wrong:
        raise Invalid("The attributes do not fit together; details.errors names each wrong field.", fields=wrong)


def _problems(attributes: Sequence[Attribute], prefix: str, parent: Attribute | None) -> Iterator[tuple[str, str]]:
    least = 0 if parent else 1
    if not least <= len(attributes) <= MOST_ATTRIBUTES:
        yield prefix, f"{least} to {MOST_ATTRIBUTES}"
    seen: set[str] = set()
    for place, attribute in enumerate(attributes):
        here = f"{prefix}.{place}"
        if attribute.name.lower() in seen:
            yield f"{here}.name", "there already; names differ by more than case"
        seen.add(attribute.name.lower())
        for field, words, broken in _RULES:
            if broken(attribute, parent):
                yield f"{here}.{field}", words
        yield from _problems(attribute.sub_attributes, f"{here}.sub_attributes", attribute)


# A field, what is right, and whether an attribute (of a complex one, or None) is not.
_RULES: tuple[tuple[str, str, Callable[[Attribute, Attribute | None], Any]], ...] = (
    (
        "name",
        "a letter, then letters, digits, _, - and $",
        lambda attribute, _: not re.fullmatch(NAME[1:-1], attribute.name),
    ),
    ("name", "reserved", lambda attribute, _: attribute.name.lower() in RESERVED),
    (
        "required",
        "false: a record that exists has no value, and every later change of it would be refused",
        lambda attribute, _: attribute.required,
    ),
    ("uniqueness", "none: values of your own are not kept unique", lambda attribute, _: attribute.uniqueness != "none"),
    (
        "mutability",
        "readWrite, immutable or writeOnly: nobody but the directory could set a readOnly value",
        lambda attribute, _: attribute.mutability == "readOnly",
    ),
    (
        "returned",
        "never, since it is writeOnly",
        lambda attribute, _: attribute.mutability == "writeOnly" and attribute.returned != "never",
    ),
    (
        "sub_attributes",
        "one or more for the type complex, none for any other",
        lambda attribute, _: (attribute.type == "complex") != bool(attribute.sub_attributes),
    ),
    (
        "type",
        "a simple type: a sub-attribute has no sub-attributes",
        lambda attribute, parent: parent and attribute.type == "complex",
    ),
    (
        "multi_valued",
        "false: a sub-attribute has one value",
        lambda attribute, parent: parent and attribute.multi_valued,
    ),
    (
        "type",
        "boolean: `primary` is the preferred value of several",
        lambda attribute, parent: parent and attribute.name.lower() == "primary" and attribute.type != "boolean",
    ),
    (
        "reference_types",
        f"one or more of {', '.join(REFERENCE_TYPES)} for the type reference, none for any other",
        lambda attribute, _: (
            (attribute.type == "reference") != bool(attribute.reference_types)
            or not set(attribute.reference_types) <= set(REFERENCE_TYPES)
        ),
    ),
    (
        "canonical_values",
        "for the type string only",
        lambda attribute, _: attribute.canonical_values and attribute.type != "string",
    ),
)
