"""PATCH (RFC 7644 §3.5.2): from a PatchOp body to operations, and from a resource and operations to a new resource.

`parse_patch` makes every operation canonical, so that all that depends on the client is refused before any resource
is looked at: it has a resolved path and a clean value of the path's type. An object without a path, an object for
an extension and an object for a complex attribute such as `name` are each taken apart into one operation for every
name in them, which is exactly the merging that the RFC asks for.

`apply` works on a dict in hand. The members of a group may be ten thousand and are never in hand: `member_changes`
takes their operations out and sums them up as a `MemberDelta`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scim import mutability, quirks
from scim.attributes import Attribute
from scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    TooMany,
    excerpt,
)
from scim.filter import Compare, Filter, Or, equalities, matches, terms
from scim.path import Path, parse_path
from scim.resource import canonical, canonical_entry, canonical_list, check_number, identity, merged, require
from scim.schemas import MAX_OPERATIONS, MEMBERS, ResourceType

MAX_COMPARED = 100_000  # values, by all operations of a request together: about a second


class _Missing:
    def __repr__(self) -> str:
        return "no value"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Operation:
    """One change: `op` is add, remove or replace, `value` is canonical.

    For add and replace the value is a list where a whole multi-valued attribute is the target. For remove it is
    MISSING, or the list of the values to remove.
    """

    op: str
    path: Path
    value: Any = MISSING


@dataclass(frozen=True, slots=True)
class MemberDelta:
    """What happens to a group's members: forget all if `replace`, then drop `remove`, then add `add`.

    `add` maps each id to the member as it was sent; no id is both added and removed. Members to add may be there
    already, members to remove may be not: neither is an error, nor a change.
    """

    replace: bool = False
    add: dict[str, dict[str, Any]] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return self.replace or bool(self.add) or bool(self.remove)


# Parsing


def parse_patch(body: object, resource_type: ResourceType, *, strict: bool = False) -> tuple[Operation, ...]:
    """The operations of a PatchOp body in order, each canonical.

    `strict` refuses unknown attributes in values instead of passing them over. Raises InvalidSyntax for a body that
    is no PatchOp, TooMany for more than 1000 operations, and the error of RFC 7644 §3.5.2 for an operation that can
    never succeed.
    """
    operations: list[Operation] = []
    for message in _messages(body):
        reader = _Reader(quirks.operation_name(message.get("op")), resource_type, strict)
        operations.extend(reader.read(message.get("path"), message.get("value", MISSING)))
    return tuple(operations)


def _messages(body: object) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        raise InvalidSyntax("The body must be a JSON object.")
    messages = quirks.message_members(body, "Operations").get("Operations")
    if not isinstance(messages, list) or not messages:
        raise InvalidSyntax("`Operations` must be an array of one or more operations.")
    if len(messages) > MAX_OPERATIONS:
        raise TooMany(f"A PATCH may carry {MAX_OPERATIONS} operations, not {len(messages)}.")
    if not all(isinstance(message, dict) for message in messages):
        raise InvalidSyntax("Each operation must be a JSON object.")
    return [quirks.message_members(message, "op", "path", "value") for message in messages]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one operation of the body, which may come to several of ours."""

    op: str
    resource_type: ResourceType
    strict: bool

    def read(self, path: object, value: object) -> Iterable[Operation]:
        if path is None or path == "":
            return self._without_path(value)
        if not isinstance(path, str):
            raise InvalidPath(f"`path` must be a string, not {excerpt(path)}.")
        if quirks.is_ignored(path):
            return ()
        return self._targeted(parse_path(path, self.resource_type), value)

    def _without_path(self, value: object) -> Iterable[Operation]:
        if self.op == "remove":
            raise NoTarget("`remove` needs a `path`.")
        if not isinstance(value, dict):
            raise InvalidValue("Without `path`, `value` must be an object of attributes.")
        return self._each(quirks.members_of(value, urn=self.resource_type.schema.id))

    def _each(self, members: Iterable[tuple[str, Any]], prefix: str = "") -> Iterator[Operation]:
        """Every key is a path; what a client cannot change it may still repeat here."""
        for key, value in members:
            path = self._known(prefix + key)
            if path is not None and not quirks.is_ignored_in_object(path.leaf):
                yield from self._targeted(path, value)

    def _known(self, name: str) -> Path | None:
        try:
            return parse_path(name, self.resource_type)
        except InvalidPath:
            if self.strict and not quirks.is_ignored(name):
                raise
            return None

    def _targeted(self, path: Path, value: object) -> Iterable[Operation]:
        if path.attribute is MEMBERS:
            return self._members(path, value)
        if path.attribute.name == "schemas":  # follows from the content, so that setting it changes nothing
            return ()
        if "readOnly" in (path.attribute.mutability, path.leaf.mutability):
            raise Mutability(f"{path} is read-only.")
        if _is_reference(path):  # another id is another manager: the former one's name must not stay behind
            path = Path(path.schema_urn, path.attribute)
            value = value if value is MISSING else {"value": value}
        if self.op == "remove":
            return self._removal(path, value)
        if value is MISSING:
            raise InvalidValue(f"`{self.op}` needs a `value`.")
        if isinstance(value, dict) and _is_structure(path, value):
            return self._each(value.items(), prefix=f"{path}.")
        return self._assignment(path, value)

    def _removal(self, path: Path, value: object) -> Iterator[Operation]:
        if path.leaf.required:
            raise Mutability(f"{path} is required and cannot be removed.")
        if value is MISSING or not _is_whole_list(path):
            yield Operation("remove", path)
            return
        values = canonical_list(path.attribute, quirks.removed_values(value), strict=self.strict)
        if values is None:
            raise InvalidValue(f"{path}: `value` names nothing to remove.")
        yield Operation("remove", path, values)

    def _assignment(self, path: Path, value: object) -> Iterator[Operation]:
        one_entry = path.value_filter is not None and path.sub_attribute is None
        read = canonical_entry if one_entry else canonical
        clean = read(path.leaf, value, strict=self.strict)
        if clean is not None:
            yield Operation(self.op, path, clean)
        elif self.op == "replace" or not path.leaf.multi_valued:
            yield from self._removal(path, MISSING)

    def _members(self, path: Path, value: object) -> Iterator[Operation]:
        """A member is its id; `[]` empties the group on replace, but null never does."""
        if path.sub_attribute is not None or (path.value_filter is not None and self.op != "remove"):
            raise Mutability("A member is replaced, not edited: remove it and add another.")
        whole = Path(None, MEMBERS)
        if path.value_filter is not None:
            yield Operation("remove", whole, [{"value": id} for id in _selected_ids(path.value_filter)])
        elif self.op == "remove" and value is MISSING:
            yield Operation("remove", whole)
        else:
            values = quirks.removed_values(value) if self.op == "remove" else _sent_members(self.op, value)
            members = [canonical_entry(MEMBERS, item, strict=self.strict) for item in values]
            yield Operation(self.op, whole, merged(MEMBERS, members))


def _is_structure(path: Path, value: dict[str, Any]) -> bool:
    """An object that is the sum of its parts: a `name`, an extension, or what is said of a manager without her id."""
    leaf = path.leaf
    whole = leaf.multi_valued or (leaf.refers and any(key.lower() == "value" for key in value))
    return leaf.type == "complex" and not whole


def _is_whole_list(path: Path) -> bool:
    return path.leaf.multi_valued and path.value_filter is None


def _is_reference(path: Path) -> bool:
    """Whether the path is the `value` of a single reference such as the manager."""
    sub = path.sub_attribute
    return sub is not None and sub.name == "value" and path.attribute.refers


def _selected_ids(value_filter: Filter) -> list[str]:
    """The ids in `value eq "…" or value eq "…"`; any other filter would mean to load the whole group."""
    ids = []
    for term in value_filter.terms if isinstance(value_filter, Or) else (value_filter,):
        if not isinstance(term, Compare) or term.path.leaf.name != "value" or term.op != "eq" or not term.value:
            raise InvalidFilter("Members are selected by `value eq`, several of them joined by `or`.")
        ids.append(str(term.value))
    return ids


def _sent_members(op: str, value: object) -> list[Any]:
    if value is MISSING or (quirks.unassigned(value) and value != []):
        raise InvalidValue(f"`{op}` needs members as `value`; only `[]` means none.")
    return quirks.as_list(value)


# Applying


def apply(
    resource: dict[str, Any], operations: Iterable[Operation], resource_type: ResourceType
) -> tuple[dict[str, Any], frozenset[str]]:
    """The resource after all operations, and the top-level names whose values differ; the input stays as it is.

    No name differs if nothing changed, and then neither may `lastModified` (RFC 7644 §3.5.2.1). Raises NoTarget if
    a filter selects nothing that could be changed, Mutability for an immutable value that would be another one, TooMany
    for operations whose product with the values that they compare is more than MAX_COMPARED.
    """
    changed, names, compared = dict(resource), set(), 0
    for operation in operations:
        path = operation.path
        if path.schema_urn is None:
            compared += _change(changed, operation)
        else:
            extension = dict(changed.get(path.schema_urn, ()))
            compared += _change(extension, operation)
            _put(changed, path.schema_urn, extension)
        if compared > MAX_COMPARED:
            raise TooMany("The operations look through too many values; spread them over several requests.")
        names.add(path.schema_urn or path.attribute.name)
    require(resource_type, changed)
    mutability.check(resource_type, resource, changed)
    return changed, frozenset(name for name in names if changed.get(name) != resource.get(name))


def member_changes(operations: Iterable[Operation]) -> tuple[MemberDelta, tuple[Operation, ...]]:
    """What the operations, in their order, come to for a group's members; and the operations on everything else."""
    replace, others = False, []
    add: dict[str, dict[str, Any]] = {}
    remove: set[str] = set()
    for operation in operations:
        if operation.path.attribute is not MEMBERS:
            others.append(operation)
            continue
        if operation.op == "replace" or operation.value is MISSING:
            replace = True
            add.clear()
            remove.clear()
        for member in () if operation.value is MISSING else operation.value:
            if operation.op == "remove":
                add.pop(member["value"], None)
                remove.add(member["value"])
            else:
                add.setdefault(member["value"], member)
                remove.discard(member["value"])
    return MemberDelta(replace, add, frozenset() if replace else frozenset(remove)), tuple(others)


def _put(holder: dict[str, Any], name: str, value: Any) -> None:
    if quirks.unassigned(value):
        holder.pop(name, None)
    else:
        holder[name] = value


def _change(holder: dict[str, Any], operation: Operation) -> int:
    """Changes one attribute of a resource or extension that is ours to change; values in it are not. How many values
    there were to compare."""
    path, name = operation.path, operation.path.attribute.name
    if path.attribute.multi_valued:
        before = holder.get(name, [])
        after = _changed_list(before, operation)
        check_number(path.attribute, after)
        _put(holder, name, after)
        sent = operation.value if isinstance(operation.value, list) else ()
        return (len(before) + len(sent)) * terms(path.value_filter)
    if path.sub_attribute is not None:
        inner = dict(holder.get(name, ()))
        _put(inner, path.sub_attribute.name, _assigned(operation))
        _put(holder, name, inner)
    else:
        _put(holder, name, _assigned(operation, holder.get(name)))
    return 0


def _assigned(operation: Operation, before: Any = None) -> Any:
    """The new value; the same manager keeps what is not said anew, and another id is another manager."""
    if operation.op == "remove":
        return None
    if isinstance(before, dict) and before.get("value", operation.value["value"]) == operation.value["value"]:
        return {**before, **operation.value}
    return operation.value


def _changed_list(entries: list[Any], operation: Operation) -> list[Any]:
    path, value = operation.path, operation.value
    if path.value_filter is not None or path.sub_attribute is not None:
        return _changed_selection(entries, operation)
    if operation.op == "replace":
        return list(value)
    if operation.op == "add":
        together = merged(path.attribute, [*entries, *value])
        _check_entries(path.attribute, entries, together)
        primary = [identity(path.attribute, entry) for entry in value if _is_primary(entry)]
        chosen = [i for i, entry in enumerate(together) if identity(path.attribute, entry) in primary]
        return merged(path.attribute, _one_primary(together, chosen))
    return [] if value is MISSING else _without(entries, operation)


def _without(entries: list[Any], operation: Operation) -> list[Any]:
    """All but the values named; one named without a `type` goes whatever its type is."""
    attribute = operation.path.attribute
    exact = {identity(attribute, entry) for entry in operation.value}
    any_type = {_value(attribute, entry) for entry in operation.value if "type" not in entry} - {None}
    return [
        entry
        for entry in entries
        if identity(attribute, entry) not in exact and _value(attribute, entry) not in any_type
    ]


def _value(attribute: Attribute, entry: Any) -> Any:
    """The `value` of an entry that has one, as it is compared."""
    sub = attribute.sub_attribute("value")
    return sub.comparable(entry.get("value")) if sub else None


def _changed_selection(entries: list[Any], operation: Operation) -> list[Any]:
    """The operation on those values that the path's filter selects: on all of them (RFC 7644 §3.5.2.3)."""
    condition = operation.path.value_filter
    hits = [i for i, entry in enumerate(entries) if condition is None or matches(condition, entry)]
    if operation.op == "remove":
        return _without_selection(entries, frozenset(hits), operation.path)
    if not hits:
        hits, changed = [len(entries)], [*entries, _created(operation)]
    else:
        changed = list(entries)
        for i in hits:
            changed[i] = _changed_entry(entries[i], operation)
        _check_entries(operation.path.attribute, entries, changed)
    primary = [i for i in hits if _is_primary(changed[i])]
    return merged(operation.path.attribute, _one_primary(changed, primary))


def _check_entries(attribute: Attribute, before: list[Any], after: list[Any]) -> None:
    """Each entry is still at its place, whatever became of it."""
    if attribute.type == "complex":
        for old, new in zip(before, after, strict=False):
            mutability.check_entry(attribute, old, new)


def _without_selection(entries: list[Any], hits: frozenset[int], path: Path) -> list[Any]:
    """Without the selected values, or without one sub-attribute of them; a label alone is no value."""
    kept, sub = [], path.sub_attribute
    for i, entry in enumerate(entries):
        if i not in hits:
            kept.append(entry)
        elif sub is not None:
            rest = {name: item for name, item in entry.items() if name != sub.name}
            mutability.check_entry(path.attribute, entry, rest)
            if rest.keys() - {"type", "primary"} or rest == entry:
                kept.append(rest)
    return merged(path.attribute, kept)


def _created(operation: Operation) -> dict[str, Any]:
    condition, sub = operation.path.value_filter, operation.path.sub_attribute
    if sub is None and operation.op == "replace":
        raise NoTarget(f"{operation.path}: the filter matches no value to replace.")
    wanted = {} if condition is None else equalities(condition)
    entry = quirks.entry_to_create(operation.path.attribute, wanted, op=operation.op)
    return {**entry, **(operation.value if sub is None else {sub.name: operation.value})}


def _changed_entry(entry: dict[str, Any], operation: Operation) -> dict[str, Any]:
    """A replaced value keeps what it was selected by: work e-mail stays work e-mail."""
    condition, sub = operation.path.value_filter, operation.path.sub_attribute
    if sub is not None:
        return {**entry, sub.name: operation.value}
    if operation.op == "add" or condition is None:
        return {**entry, **operation.value}
    kept = {name: entry[name] for name in equalities(condition) or ()}
    return {**kept, **operation.value}


def _is_primary(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("primary") is True


def _one_primary(entries: list[Any], chosen: Sequence[int]) -> list[Any]:
    """The first of the chosen values is the primary one; any other is so no longer (RFC 7644 §3.5.2)."""
    if not chosen:
        return entries
    return [
        {**entry, "primary": False} if i != chosen[0] and _is_primary(entry) else entry
        for i, entry in enumerate(entries)
    ]
