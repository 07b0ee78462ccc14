"""Where we and the oracle differ, and why: a row for each class of cases, as narrow as it can be told.

What no row explains is a failure. A row says which RFC decides, or that none does.
"""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scim.attributes import fold
from scim.filter import Compare, Present, matches
from scim.patch import Operation
from scim.schemas import ENTERPRISE_URN

Json = Any


@dataclass(frozen=True)
class Comparison:
    """A filter's comparison, and what it is asked of: a resource, or one entry between brackets."""

    term: Compare | Present
    holder: dict[str, Json]

    @property
    def texts(self) -> list[str]:
        """The literal, and every text that it may be compared with."""
        literal = self.term.value if isinstance(self.term, Compare) else None
        return [text for text in (literal, *_texts(self.holder)) if isinstance(text, str)]


@dataclass(frozen=True)
class Patched:
    """One operation, the resource before it, and after it by us and by the oracle; None for a refusal."""

    operation: dict[str, Json]
    read: tuple[Operation, ...]
    before: dict[str, Json]
    ours: dict[str, Json] | None
    theirs: dict[str, Json] | None
    words: str

    @property
    def single(self) -> Operation | None:
        """What it comes to with us, if that is one operation."""
        return self.read[0] if len(self.read) == 1 else None


@dataclass(frozen=True)
class Difference:
    """A class of cases. `explains` recognises it, and nothing else."""

    name: str
    rfc: str
    reason: str
    explains: Callable[[Any], bool]


def _texts(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


# Filters


def _unequal_to_several(case: Comparison) -> bool:
    term = case.term
    return isinstance(term, Compare) and term.op == "ne" and term.path.attribute.multi_valued


def _compares_a_reference(case: Comparison) -> bool:
    """`manager eq "…"`, which we read as `manager.value eq "…"`."""
    term = case.term
    return isinstance(term, Compare) and term.path.attribute.refers and term.path.leaf.name == "value"


def _lowered(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def _folds_otherwise(case: Comparison) -> bool:
    """A letter whose lower case is not its folded form, such as ß, or one that is exact for us and normalized there."""
    return any(fold(text) != _lowered(text) or not unicodedata.is_normalized("NFC", text) for text in case.texts)


FILTERS = (
    Difference(
        "ne over several values",
        "RFC 7644 §3.4.2.2",
        "A filter on a multi-valued attribute matches if any of its values matches; the oracle asks all of them.",
        _unequal_to_several,
    ),
    Difference(
        "comparing a single reference",
        "RFC 7644 §3.4.2.2",
        'Entra ID asks `manager eq "id"` and means its value, as with members; the oracle does so for lists only.',
        _compares_a_reference,
    ),
    Difference(
        "case mapping",
        "RFC 7643 §2.2, RFC 7644 §5",
        "No RFC says how case is set aside outside userName: we fold (ß = ss), the oracle takes lower case; and it "
        "normalizes even where case is exact.",
        _folds_otherwise,
    ),
)

DATABASE = (
    Difference(
        "case mapping in PostgreSQL",
        "RFC 7643 §2.2",
        "Its lower() leaves some letters as they are that case folding maps (ß, ς); those it does not find equal.",
        _folds_otherwise,
    ),
)


# PATCH


def _values(case: Patched, resource: dict[str, Json] | None) -> list[Json]:
    """What a resource has of the attribute that the operation changes."""
    assert case.single is not None
    urn, name = case.single.path.schema_urn, case.single.path.attribute.name
    holder = (resource or {}).get(urn, {}) if urn else resource or {}
    found = holder.get(name, [])
    return found if isinstance(found, list) else [found]


def _replaces_nothing(case: Patched) -> bool:
    """`replace emails[type eq "work"]` where there is none, or `.value` of a type that the schema does not know."""
    op = case.single
    selected = op is not None and op.op == "replace" and op.path.value_filter is not None
    return selected and case.ours is None and "matches no value" in case.words and "only `eq`" not in case.words


def _replaced_whole(case: Patched) -> bool:
    op = case.single
    if op is None or op.op != "replace" or not op.path.value_filter or op.path.sub_attribute or case.theirs is None:
        return False
    condition = op.path.value_filter
    mixed = [{**entry, **op.value} if matches(condition, entry) else entry for entry in _values(case, case.before)]
    return all(_without_primary(entry) in map(_without_primary, mixed) for entry in _values(case, case.theirs))


def _without_primary(entry: dict[str, Json]) -> dict[str, Json]:
    return {name: item for name, item in entry.items() if name != "primary"}


def _selects_otherwise(case: Patched) -> bool:
    """The same letters in the filter of a path."""
    condition = case.single.path.value_filter if case.single else None
    texts = [*_texts(case.before), *_texts(case.operation)]
    return condition is not None and any(fold(text) != _lowered(text) for text in texts)


def _added_in_another_case(case: Patched) -> bool:
    """The values are the same but for the case of what is no part of their identity, such as `display`."""
    if case.single is None or case.single.op != "add" or not case.single.path.attribute.multi_valued:
        return False
    ours, theirs = _values(case, case.ours), _values(case, case.theirs)
    return ours != theirs and fold(json.dumps(ours, sort_keys=True)) == fold(json.dumps(theirs, sort_keys=True))


def _null_describes_nothing(case: Patched) -> bool:
    creates = "only `eq` joined by `and` can create one" in case.words
    return case.ours is None and creates and any(empty in str(case.operation) for empty in (" null", ' ""'))


def _created_otherwise(case: Patched) -> bool:
    return case.theirs is None and "contradicts the filter" in case.words


def _sub_attribute_of_nothing(case: Patched) -> bool:
    """`add roles.value` where there are no roles."""
    op = case.single
    if op is None or op.path.value_filter or not op.path.sub_attribute or not op.path.attribute.multi_valued:
        return False
    nothing = not _values(case, case.before) and not _values(case, case.theirs)
    return nothing and _values(case, case.ours) == [{op.path.sub_attribute.name: op.value}]


def _label_alone(case: Patched) -> bool:
    op = case.single
    if op is None or op.op != "remove" or not op.path.sub_attribute or case.theirs is None:
        return False
    ours, theirs = _values(case, case.ours), _values(case, case.theirs)
    gone = [entry for entry in theirs if entry not in ours]
    return all(entry.keys() <= {"type", "primary"} for entry in gone) and all(entry in theirs for entry in ours)


def _several_made_primary(case: Patched) -> bool:
    """One operation that makes several values primary: the RFC does not say which of them stays so."""
    op = case.single
    if op is None or case.ours is None or not op.path.attribute.multi_valued:
        return False
    condition = op.path.value_filter
    makes = op.value is True if op.path.sub_attribute else isinstance(op.value, dict) and op.value.get("primary")
    chosen = [entry for entry in _values(case, case.before) if condition is None or matches(condition, entry)]
    return bool(makes) and len(chosen) > 1


def _manager_without_id(case: Patched) -> bool:
    op = case.single
    removed = op is not None and op.op == "remove" and op.path.attribute.refers
    return removed and case.theirs is not None and not _values(case, case.ours)


def _former_manager(case: Patched) -> bool:
    """Another id, and what is left of the former manager at the oracle's."""
    if case.ours is None or case.theirs is None:
        return False
    before, ours, theirs = _manager(case.before), _manager(case.ours), _manager(case.theirs)
    stale = {name: value for name, value in before.items() if name not in ours}
    return ours.get("value") != before.get("value") and theirs == {**stale, **ours}


def _manager(resource: dict[str, Json]) -> dict[str, Json]:
    return dict(resource.get(ENTERPRISE_URN, {}).get("manager", {}))


PATCHES = (
    Difference(
        "replace selects nothing",
        "RFC 7644 §3.5.2.3",
        "A filter that matches no value is noTarget, but for `.value` of a known type; the oracle creates what it can.",
        _replaces_nothing,
    ),
    Difference(
        "replace of selected values",
        "RFC 7644 §3.5.2.3",
        "All values that the filter matches are replaced; the oracle merges into them.",
        _replaced_whole,
    ),
    Difference(
        "add in another case",
        "RFC 7644 §3.5.2.1",
        "What is added is read back as it was sent; the oracle takes a `display` in another case for the same.",
        _added_in_another_case,
    ),
    Difference("case mapping in a path", "RFC 7643 §2.2", "As with filters.", _selects_otherwise),
    Difference(
        "null describes no value",
        "RFC 7644 §3.5.2.3",
        '`x eq null` and `x eq ""` say what a value has not; nothing to create one from.',
        _null_describes_nothing,
    ),
    Difference(
        "created otherwise than selected",
        "none",
        "Where a value is created, the operation has precedence over the filter, as with a value that is there.",
        _created_otherwise,
    ),
    Difference(
        "sub-attribute of no value",
        "RFC 7644 §3.5.2.1, §3.5.2.3",
        "What does not exist is added; the oracle does nothing.",
        _sub_attribute_of_nothing,
    ),
    Difference(
        "a label alone is no value",
        "RFC 7643 §2.4",
        "An entry of which only `type` or `primary` is left goes, as providers expect of `remove emails[…].value`.",
        _label_alone,
    ),
    Difference(
        "several made primary at once",
        "RFC 7643 §2.4, RFC 7644 §3.5.2",
        "One of them stays so. We take the first that is selected; the oracle the one that was not, or refuses.",
        _several_made_primary,
    ),
    Difference(
        "manager without an id",
        "RFC 7643 §4.3",
        "What is left of a manager without `value` refers to nobody, so that all of it goes.",
        _manager_without_id,
    ),
    Difference(
        "another manager",
        "RFC 7643 §4.3",
        "`$ref` and `displayName` belong to the id; the former manager's must not stay with the new one.",
        _former_manager,
    ),
)
