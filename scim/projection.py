"""Which attributes an answer holds: `attributes`, `excludedAttributes` and `returned` (RFC 7644 §3.4.2.5, §3.9)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scim.errors import InvalidValue
from scim.schemas import COMMON, ResourceType

_ALWAYS = frozenset(attribute.name for attribute in COMMON if attribute.returned == "always")

# The names asked for, as a tree: {"name": {"givenName": {}}, "emails": {}}; an empty branch means all below it.
_Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """What the client asked for; None where it did not ask."""

    attributes: tuple[str, ...] | None = None
    excluded: tuple[str, ...] | None = None


def parse_projection(args: Mapping[str, Any]) -> Projection:
    """`attributes` and `excludedAttributes` from a query or a SearchRequest; InvalidValue if both are given.

    An empty parameter counts as absent (scimgateway sends `attributes=`).
    """
    attributes = _names("attributes", args)
    excluded = _names("excludedAttributes", args)
    if attributes and excluded:
        raise InvalidValue("attributes and excludedAttributes exclude each other; send one of them.")
    return Projection(attributes, excluded)


def wants(projection: Projection, name: str) -> bool:
    """Whether the answer will hold anything of the top-level attribute, so that it need not be loaded if not."""
    wanted = name.lower()
    if projection.attributes is not None:
        heads = (_without_urn(text).split(".")[0] for text in projection.attributes)
        return wanted in heads
    return all(_without_urn(text) != wanted for text in projection.excluded or ())


def project(
    resource: dict[str, Any],
    resource_type: ResourceType,
    *,
    attributes: Sequence[str] | None = None,
    excluded: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The wire form of a resource, reduced; `id` and `schemas` always stay, unknown names select nothing."""
    if attributes:
        tree = _tree(attributes, resource_type)
        picked: dict[str, Any] = _pick(resource, tree | {name: {} for name in _ALWAYS})
        return picked
    if excluded:
        tree = _tree(excluded, resource_type)
        resource = _drop(resource, {name: below for name, below in tree.items() if name not in _ALWAYS})
    if resource_type.hidden:
        return {name: value for name, value in resource.items() if name not in resource_type.hidden}
    return resource


def _names(parameter: str, args: Mapping[str, Any]) -> tuple[str, ...] | None:
    value = args.get(parameter)
    if value is None:
        return None
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidValue(f"{parameter} must be a list of attribute names.")
    return tuple(text.strip() for text in texts if text.strip()) or None


def _without_urn(text: str) -> str:
    return text.rpartition(":")[2].lower()


def _tree(names: Iterable[str], resource_type: ResourceType) -> _Tree:
    tree: _Tree = {}
    for name in names:
        path = resource_type.resolve(name)
        if path is None or path.leaf.returned == "never":
            continue
        *parents, leaf = path.keys
        branch: _Tree | None = tree
        for key in parents:
            # An empty branch has already been asked for as a whole: nothing below it can add to that.
            branch = None if branch is None or branch.get(key) == {} else branch.setdefault(key, {})
        if branch is not None:
            branch[leaf] = {}
    return tree


def _pick(value: Any, tree: _Tree) -> Any:
    """What the tree names, of an object or of each object in an array; what becomes empty goes."""
    if not tree:
        return value
    if isinstance(value, list):
        return [kept for entry in value if (kept := _pick(entry, tree))]
    picked = ((name, _pick(item, tree[name])) for name, item in value.items() if name in tree)
    return {name: kept for name, kept in picked if kept not in ({}, [])}


def _drop(value: Any, tree: _Tree) -> Any:
    """All but what the tree names; what becomes empty goes."""
    if isinstance(value, list):
        return [kept for entry in value if (kept := _drop(entry, tree))]
    kept = {}
    for name, item in value.items():
        if name not in tree:
            kept[name] = item
        elif tree[name] and (rest := _drop(item, tree[name])):
            kept[name] = rest
    return kept
