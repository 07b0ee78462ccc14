"""Which attributes an answer holds: `attributes`, `excludedAttributes` and `returned` (RFC 7644 §3.4.2.5, §3.9)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scim.attributes import Attribute, AttrPath
from scim.errors import InvalidValue
from scim.path import Path
from scim.schemas import ResourceType

# The names asked for, as a tree: {"name": {"givenName": {}}, "emails": {}}; an empty branch means all below it.
_Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """What the client asked for; None where it did not ask. ``named`` are the attributes that its own change named,
    which is asking for those that are `returned` on request (RFC 7643 §7)."""

    attributes: tuple[str, ...] | None = None
    excluded: tuple[str, ...] | None = None
    named: tuple[str, ...] = ()

    def with_named(self, named: tuple[str, ...]) -> "Projection":
        """The same after a change that named these."""
        return replace(self, named=named) if named else self


def parse_projection(args: Mapping[str, Any]) -> Projection:
    """`attributes` and `excludedAttributes` from a query or a SearchRequest; InvalidValue if both are given.

    An empty parameter counts as absent (scimgateway sends `attributes=`).
    """
    attributes = _names("attributes", args)
    excluded = _names("excludedAttributes", args)
    if attributes and excluded:
        raise InvalidValue("attributes and excludedAttributes exclude each other; send one of them.")
    return Projection(attributes, excluded)


def wants(projection: Projection, name: str, resource_type: ResourceType) -> bool:
    """Whether the answer will hold anything of the core attribute, so that it need not be loaded if not."""
    if projection.attributes is not None:
        return any(path.keys[0] == name for path in _resolved(projection.attributes, resource_type))
    return all(path.keys != (name,) for path in _resolved(projection.excluded or (), resource_type))


def is_whole(projection: Projection, resource_type: ResourceType, *, but: str) -> bool:
    """Whether the answer will hold all there is of a resource, the core attribute `but` perhaps excepted."""
    if projection.attributes or resource_type.hidden:
        return False
    return all(path.keys == (but,) for path in _resolved(projection.excluded or (), resource_type))


def project(
    resource: dict[str, Any],
    resource_type: ResourceType,
    *,
    attributes: Sequence[str] | None = None,
    excluded: Sequence[str] | None = None,
    named: Sequence[str] = (),
) -> dict[str, Any]:
    """The wire form of a resource, reduced; what is `returned` always stays, unknown names select nothing.

    What is `returned` on request is there only by its own name: asking for what holds it is not asking for it.
    """
    if not (attributes or excluded or resource_type.hidden):
        return resource
    asked = [path for path in _resolved(attributes or (), resource_type) if not _is_secret(path)]
    if attributes:
        resource = _pick(resource, _selection(asked, resource_type))
    shown = {attribute for path in (*asked, *_resolved(named, resource_type)) for attribute in _parts(path)}
    hidden = [path for path in resource_type.hidden if path.leaf not in shown or _is_secret(path)]
    if excluded:
        hidden.extend(_dropped(excluded, resource_type))
    return _drop(resource, _tree(hidden)) if hidden else resource


def named_in(resource: dict[str, Any], resource_type: ResourceType) -> tuple[str, ...]:
    """The attributes `returned` on request that a POST or PUT names, given what was read of it."""
    return tuple(str(path) for path in _on_request(resource_type) if _pick(resource, _tree([path])))


def named_by(targets: Sequence[Path], resource_type: ResourceType) -> tuple[str, ...]:
    """The attributes `returned` on request that a PATCH names, given the paths of its operations."""
    whole = {target.attribute for target in targets if target.sub_attribute is None}
    touched = {attribute for target in targets for attribute in (target.attribute, target.sub_attribute)}
    return tuple(str(path) for path in _on_request(resource_type) if path.leaf in touched or path.attribute in whole)


def _on_request(resource_type: ResourceType) -> list[AttrPath]:
    return [path for path in resource_type.hidden if path.leaf.returned == "request"]


def _names(parameter: str, args: Mapping[str, Any]) -> tuple[str, ...] | None:
    value = args.get(parameter)
    if value is None:
        return None
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidValue(f"{parameter} must be a list of attribute names.")
    return tuple(text.strip() for text in texts if text.strip()) or None


def _resolved(names: Iterable[str], resource_type: ResourceType) -> list[AttrPath]:
    """The schema's own URN names all of its attributes, as that of an extension does."""
    found: list[AttrPath] = []
    for name in names:
        if name.lower() == resource_type.schema.id.lower():
            found += [AttrPath(None, attribute) for attribute in resource_type.schema.attributes]
        elif path := resource_type.resolve(name):
            found.append(path)
    return found


def _parts(path: AttrPath) -> list[Attribute]:
    return [attribute for attribute in (path.attribute, path.sub_attribute) if attribute is not None]


def _is_secret(path: AttrPath) -> bool:
    return any(attribute.returned == "never" for attribute in _parts(path))


def _selection(asked: Iterable[AttrPath], resource_type: ResourceType) -> _Tree:
    """What is asked for and what is always returned: a sub-attribute is, where the attribute around it is."""
    tree = _tree([*asked, *(path for path in resource_type.always if path.sub_attribute is None)])
    for path in resource_type.always:
        if path.sub_attribute is not None and _reaches(tree, path.keys[:-1]):
            _insert(tree, path.keys)
    return tree


def _dropped(excluded: Sequence[str], resource_type: ResourceType) -> list[AttrPath]:
    """What `excludedAttributes` takes away; of an extension named as a whole each attribute, as far as it may go."""
    extensions = {extension.id: extension for extension in resource_type.extensions}
    paths: list[AttrPath] = []
    for path in _resolved(excluded, resource_type):
        extension = extensions.get(path.attribute.name) if path.schema_urn is None else None
        paths.extend([path] if extension is None else [AttrPath(extension.id, held) for held in extension.attributes])
    return [path for path in paths if path.leaf.returned != "always"]


def _tree(paths: Iterable[AttrPath]) -> _Tree:
    tree: _Tree = {}
    for path in paths:
        _insert(tree, path.keys)
    return tree


def _insert(tree: _Tree, keys: Sequence[str]) -> None:
    *parents, leaf = keys
    for key in parents:
        if tree.get(key) == {}:  # it has already been named as a whole: nothing below it can add to that
            return
        tree = tree.setdefault(key, {})
    tree[leaf] = {}


def _reaches(tree: _Tree, keys: Sequence[str]) -> bool:
    """Whether the tree goes into what the keys lead to."""
    for key in keys:
        if key not in tree:
            return False
        tree = tree[key]
    return True


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
