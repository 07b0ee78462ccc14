"""Users of every shape. What may be in them is read from the schema, so that a new attribute is tried at once."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from scim.attributes import Attribute, Schema
from scim.resource import identity
from scim.schemas import ENTERPRISE_USER, STANDARD, USER

#: An extension with an attribute of every type, single and several, as an account may add one (RFC 7643 §2.3, §3.3).
EVERYTHING = Schema(
    "urn:example:params:scim:schemas:extension:everything:2.0:User",
    "Everything",
    "An attribute of every type.",
    (
        Attribute("level", "integer"),
        Attribute("score", "decimal"),
        Attribute("since", "dateTime"),
        Attribute("vip", "boolean"),
        Attribute("photo", "binary", case_exact=True),
        Attribute("site", "reference", case_exact=True, reference_types=("external",)),
        Attribute("code", case_exact=True),
        Attribute("tags", multi_valued=True),
        Attribute("grades", "integer", multi_valued=True),
        Attribute(
            "terms",
            "complex",
            multi_valued=True,
            sub_attributes=(
                Attribute("value", "decimal"),
                Attribute("type"),
                Attribute("since", "dateTime"),
                Attribute("primary", "boolean"),
            ),
        ),
    ),
)
CATALOGUE = STANDARD.extended(user=(EVERYTHING,))
TYPE = CATALOGUE.user
EXTENSIONS = (ENTERPRISE_USER, EVERYTHING)

#: Few texts, so that a filter often meets one: case, composed and decomposed letters, wildcards and quotes of SQL, JSON
#: and filters, letters whose case mapping is not one to one, digits, and blanks.
TEXTS = (
    *("", " ", "a", "A", "b", "ab", "aB c", "B", "work", "Work", "home", "%", "_", "a%", "\\", '"', "O'Neil", "]", ")"),
    *(
        "ä",
        "Ä",
        "é",
        "e\u0301",
        "É",
        "ß",
        "SS",
        "İ",
        "ς",
        "Σ",
        "\u212a",
        "k",
        "😀",
        "\uffff",
        "true",
        "5",
        "05",
        "null",
    ),
)
_REFERENCES = ("http://a.test/", "HTTP://A.test/", "http://a.test/b?c=%20", "urn:x:a")
_BINARIES = ("QUFB", "qUFB", "TUlJ")
_INSTANTS = ("2011-05-13T04:42:34Z", "2011-05-13T06:42:34+02:00", "2011-05-13T04:42:34.500000Z", "2012-01-01T00:00:00Z")
_NUMBERS = (-3, 0, 1, 5, 12, 0.5, 10.0, -1e3)


def text(dice: Random) -> str:
    """One of the few, or seldom any letters of the Basic Multilingual Plane."""
    if dice.random() < 0.9:
        return dice.choice(TEXTS)
    return "".join(chr(dice.choice((dice.randint(32, 126), dice.randint(161, 0xD7FF)))) for _ in range(3))


_SIMPLE: dict[str, Callable[[Random], Any]] = {
    "string": text,
    "reference": lambda dice: dice.choice(_REFERENCES),
    "binary": lambda dice: dice.choice(_BINARIES),
    "boolean": lambda dice: dice.random() < 0.5,
    "integer": lambda dice: int(dice.choice(_NUMBERS)),
    "decimal": lambda dice: dice.choice(_NUMBERS),
    "dateTime": lambda dice: dice.choice(_INSTANTS),
}


def simple(dice: Random, attribute: Attribute) -> Any:
    """A value of an attribute that is not complex."""
    if attribute.canonical_values and dice.random() < 0.7:
        return dice.choice(attribute.canonical_values[:2])
    return _SIMPLE[attribute.type](dice)


def entry(dice: Random, attribute: Attribute) -> Any:
    """One value of the attribute, be it multi-valued or not."""
    if attribute.type != "complex":
        return simple(dice, attribute)
    return {sub.name: entry(dice, sub) for sub in attribute.sub_attributes if dice.random() < 0.5}


def value(dice: Random, attribute: Attribute) -> Any:
    """All of the attribute, up to three values where it may have several."""
    if not attribute.multi_valued:
        return entry(dice, attribute)
    return several(attribute, [entry(dice, attribute) for _ in range(dice.choice((0, 1, 1, 2, 3)))])


def several(attribute: Attribute, entries: list[Any]) -> list[Any]:
    """No value twice and one primary at most, as RFC 7643 §2.4 wants a client's list to be."""
    kept: dict[Any, Any] = {}
    for found in entries:
        if isinstance(found, dict) and any(other.get("primary") for other in kept.values()):
            found.pop("primary", None)
        kept.setdefault(identity(attribute, found), found)
    return list(kept.values())


def _some(dice: Random, attributes: Sequence[Attribute]) -> dict[str, Any]:
    chosen = dice.sample(attributes, min(len(attributes), dice.randint(0, 6)))
    return {attribute.name: value(dice, attribute) for attribute in chosen}


_CORE = tuple(a for a in USER.attributes if a.mutability != "readOnly")


#: Who may be in a group; where the ids must be real ones, they are put in the place of these.
MEMBERS = ("a", "b", "A")


def group(dice: Random) -> dict[str, Any]:
    """The body of a POST of a Group."""
    members = [{"value": id} for id in dice.sample(MEMBERS, dice.randint(0, 3))]
    for member in members:
        member.update({name: text(dice) for name in ("display", "$ref") if dice.random() < 0.3})
        member.update({"type": "User"} if dice.random() < 0.5 else {})
    body = {"displayName": text(dice).strip() or "g", "members": members}
    return {**body, "externalId": text(dice)} if dice.random() < 0.5 else body


def user(dice: Random) -> dict[str, Any]:
    """The body of a POST of a User."""
    body = {**_some(dice, _CORE), **{schema.id: _some(dice, schema.attributes) for schema in EXTENSIONS}}
    if dice.random() < 0.5:
        body["externalId"] = text(dice)
    return {**body, "userName": text(dice).strip() or "u"}
