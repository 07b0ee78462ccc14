"""What may become of a value that is there: immutable ones stay, unseen ones are not lost."""

from typing import Any

import pytest

from scim.attributes import Attribute, Schema
from scim.errors import Mutability
from scim.mutability import replaced
from scim.patch import apply, parse_patch
from scim.resource import parse
from scim.schemas import STANDARD, ResourceType

URN = "urn:acme:scim:2.0:User"
OWN = Schema(
    URN,
    "Acme",
    "",
    (
        Attribute("serial", mutability="immutable"),
        Attribute("verified", "boolean", mutability="immutable"),
        Attribute("keys", multi_valued=True, mutability="immutable"),
        Attribute("pin", mutability="writeOnly", returned="never"),
        Attribute("hint", returned="never"),
        Attribute("note"),
        Attribute("car", "complex", sub_attributes=(Attribute("plate", mutability="immutable"), Attribute("colour"))),
        Attribute(
            "desks",
            "complex",
            multi_valued=True,
            sub_attributes=(
                Attribute("value", mutability="immutable"),
                Attribute("type"),
                Attribute("floor", "integer"),
            ),
        ),
    ),
)
TYPE: ResourceType = STANDARD.extended(user=[OWN]).user


def _user(**own: Any) -> dict[str, Any]:
    return {"userName": "ann", **({URN: own} if own else {})}


def _patched(before: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    return apply(before, parse_patch({"Operations": list(operations)}, TYPE), TYPE)[0]


@pytest.mark.parametrize(
    ("before", "sent", "after"),
    [
        ({"serial": "1"}, {"serial": "1", "note": "x"}, {"serial": "1", "note": "x"}),
        ({"serial": "1"}, {"note": "x"}, {"serial": "1", "note": "x"}),
        ({"serial": "1"}, {}, {"serial": "1"}),
        ({}, {"serial": "1"}, {"serial": "1"}),
        ({"verified": False}, {"verified": False}, {"verified": False}),
        ({"keys": ["a", "b"]}, {"keys": ["b", "a"]}, {"keys": ["b", "a"]}),
        ({"pin": "1", "note": "x"}, {"note": "y"}, {"pin": "1", "note": "y"}),
        ({"pin": "1"}, {"pin": "2"}, {"pin": "2"}),
        ({"hint": "1"}, {}, {"hint": "1"}),
        ({"note": "x"}, {}, {}),
        ({"car": {"plate": "P"}}, {"car": {"colour": "red"}}, {"car": {"plate": "P", "colour": "red"}}),
        ({"car": {"plate": "P"}}, {}, {}),
    ],
)
def test_put_clears_only_what_the_client_could_send_back(
    before: dict[str, Any], sent: dict[str, Any], after: dict[str, Any]
) -> None:
    """RFC 7644 §3.5.1: immutable values must match or be left out, and what is never returned cannot be repeated."""
    assert replaced(TYPE, _user(**before), parse(TYPE, _user(**sent))) == _user(**after)


@pytest.mark.parametrize(
    ("before", "sent"),
    [
        ({"serial": "1"}, {"serial": "2"}),
        ({"verified": True}, {"verified": False}),
        ({"verified": False}, {"verified": True}),
        ({"keys": ["a"]}, {"keys": ["a", "b"]}),
        ({"keys": ["a", "b"]}, {"keys": ["a"]}),
        ({"car": {"plate": "P"}}, {"car": {"plate": "Q"}}),
    ],
)
def test_put_of_another_immutable_value_is_refused(before: dict[str, Any], sent: dict[str, Any]) -> None:
    """RFC 7644 §3.5.1: 400 mutability, named."""
    with pytest.raises(Mutability, match=URN):
        replaced(TYPE, _user(**before), parse(TYPE, _user(**sent)))


ADDED = {"op": "add", "path": f"{URN}:serial", "value": "1"}
REPLACED = {"op": "replace", "path": f"{URN}:serial", "value": "2"}


@pytest.mark.parametrize(
    ("before", "operations", "after"),
    [
        ({}, [ADDED], {"serial": "1"}),
        ({}, [{**ADDED, "op": "replace"}], {"serial": "1"}),
        ({"serial": "1"}, [ADDED], {"serial": "1"}),
        ({"serial": "1"}, [{"op": "add", "value": {URN: {"serial": "1", "note": "x"}}}], {"serial": "1", "note": "x"}),
        ({}, [{"op": "remove", "path": f"{URN}:serial"}], {}),
        ({"car": {"plate": "P"}}, [{"op": "remove", "path": f"{URN}:car"}], {}),
        ({"desks": [{"value": "1", "floor": 1}]}, [{"op": "remove", "path": f'{URN}:desks[value eq "1"]'}], {}),
        (
            {"desks": [{"value": "1", "floor": 1}]},
            [{"op": "replace", "path": f'{URN}:desks[value eq "1"].floor', "value": 2}],
            {"desks": [{"value": "1", "floor": 2}]},
        ),
        (
            {"desks": [{"value": "1"}]},
            [{"op": "replace", "path": f"{URN}:desks", "value": [{"value": "2"}]}],
            {"desks": [{"value": "2"}]},
        ),
        (
            {"desks": [{"floor": 1}]},
            [{"op": "add", "path": f"{URN}:desks[floor eq 1].value", "value": "7"}],
            {"desks": [{"floor": 1, "value": "7"}]},
        ),
    ],
)
def test_patch_gives_an_immutable_attribute_its_first_value(
    before: dict[str, Any], operations: list[dict[str, Any]], after: dict[str, Any]
) -> None:
    """RFC 7644 §3.5.2: add where there is none; an entry of a list is replaced by another as a whole."""
    assert _patched(_user(**before), *operations) == _user(**after)


@pytest.mark.parametrize(
    ("before", "operations"),
    [
        ({"serial": "1"}, [REPLACED]),
        ({"serial": "1"}, [{**REPLACED, "op": "add"}]),
        ({"serial": "1"}, [{"op": "remove", "path": f"{URN}:serial"}]),
        ({"serial": "1"}, [{"op": "remove", "path": URN}]),
        ({"serial": "1"}, [{"op": "replace", "path": URN, "value": {"serial": "2"}}]),
        ({"verified": False}, [{"op": "replace", "path": f"{URN}:verified", "value": True}]),
        ({"keys": ["a"]}, [{"op": "add", "path": f"{URN}:keys", "value": ["b"]}]),
        ({"car": {"plate": "P"}}, [{"op": "replace", "path": f"{URN}:car.plate", "value": "Q"}]),
        ({"car": {"plate": "P", "colour": "red"}}, [{"op": "remove", "path": f"{URN}:car.plate"}]),
        ({"desks": [{"value": "1"}]}, [{"op": "replace", "path": f'{URN}:desks[value eq "1"].value', "value": "2"}]),
        (
            {"desks": [{"value": "1", "floor": 1}]},
            [{"op": "remove", "path": f"{URN}:desks[floor eq 1].value"}],
        ),
    ],
)
def test_patch_of_another_immutable_value_is_refused(before: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    """RFC 7644 §3.5.2: neither changed nor removed; the resource stays as it was."""
    resource = _user(**before)
    with pytest.raises(Mutability, match="immutable"):
        _patched(resource, *operations)
    assert resource == _user(**before)


def test_standard_types_ask_nothing_of_a_change() -> None:
    """What is immutable there are members, who are replaced and not edited (RFC 7643 §4.2)."""
    assert replaced(STANDARD.user, {"userName": "a", "title": "x"}, {"userName": "b"}) == {"userName": "b"}
    assert {path.attribute.name for kind in STANDARD.resource_types for path in kind.immutable} == {"members"}
