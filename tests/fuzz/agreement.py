"""One case: our answer beside the oracle's. A difference that no row of `known` explains is a complaint."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scim.errors import ScimError
from scim.filter import And, Compare, Filter, Not, Or, Present, ValuePath, matches, parse_filter, unparse
from scim.patch import apply, parse_patch
from scim.resource import parse, render
from tests.fuzz import known, oracle
from tests.fuzz.exploring import Case
from tests.fuzz.resources import EXTENSIONS, TYPE

Resource = dict[str, Any]

_META = {
    "resourceType": "User",
    "created": "2011-05-13T04:42:34Z",
    "lastModified": "2012-01-01T00:00:00Z",
    "location": "http://localhost/scim/v2/Users/du_1",
    "version": 'W/"1"',
}


def wire(resource: Resource) -> Resource:
    """A canonical resource as it is answered."""
    return render(TYPE, resource, id="du_1", meta=_META)


# Filters


def of_filter(case: Case) -> str | None:
    """`matches` and the oracle say the same of the user."""
    resource = wire(parse(TYPE, case.body))
    try:
        tree = parse_filter(case.question, TYPE)
    except ScimError as error:
        answer = _oracle(case.question, resource)
        return None if isinstance(answer, str) else f"refused by us ({error.detail}), {answer} by the oracle"
    if matches(tree, resource) == _oracle(case.question, resource):
        return None
    return aside(known.FILTERS, tree, resource, lambda rest: _oracle(unparse(rest), resource))


def _oracle(text: str, resource: Resource) -> bool | str:
    try:
        return oracle.matches(text, oracle.user(resource))
    except oracle.Refused as refusal:
        return f"refused ({refusal})"


def aside(
    rows: Sequence[known.Difference], tree: Filter, resource: Resource, theirs: Callable[[Filter], Any]
) -> str | None:
    """The two sides agree once those comparisons are taken out of the filter that a known difference explains, be it
    as if they held or as if they did not."""
    for constant in (_TRUE, Not(_TRUE)):
        rest = _without(rows, tree, resource, constant)
        if rest == tree:
            return f"{unparse(tree)}: {matches(tree, resource)} by us, and no known difference"
        ours, answer = matches(rest, resource), theirs(rest)
        if ours != answer:
            return f"{unparse(rest)}: {ours} by us, {answer} by the other"
    return None


_TRUE = Present(TYPE.resolve("id"))  # type: ignore[arg-type]  # the schema has it


def _without(rows: Sequence[known.Difference], tree: Filter, resource: Resource, constant: Filter) -> Filter:
    match tree:
        case And(terms) | Or(terms):
            return type(tree)(tuple(_without(rows, term, resource, constant) for term in terms))
        case Not(term):
            return Not(_without(rows, term, resource, constant))
        case ValuePath(path, term):
            holders, leaves = _entries(resource, path.keys), list(_leaves(term))
        case Compare() | Present():
            holders, leaves = [resource], [tree]
    cases = (known.Comparison(leaf, holder) for leaf in leaves for holder in holders)
    return constant if any(row.explains(case) for case in cases for row in rows) else tree


def _entries(resource: Resource, keys: tuple[str, ...]) -> list[Resource]:
    """The entries between whose brackets a filter looks; an empty one where there is none."""
    value: Any = resource
    for key in keys:
        value = value.get(key, {})
    return value or [{}]


def _leaves(tree: Filter) -> Iterator[Compare | Present]:
    match tree:
        case And(terms) | Or(terms):
            for term in terms:
                yield from _leaves(term)
        case Not(term) | ValuePath(_, term):
            yield from _leaves(term)
        case Compare() | Present():
            yield tree


# PATCH


def of_patch(case: Case) -> str | None:
    """After each operation the oracle's user is ours, and after all of them what all at once come to."""
    resource = parse(TYPE, case.body)
    for operation in _single(case.question):
        step = _step(resource, operation)
        if not _same(step.ours, step.theirs) and not any(row.explains(step) for row in known.PATCHES):
            return f"{json.dumps(operation)}: {step.words}\nours   {step.ours}\ntheirs {step.theirs}"
        if step.ours is None:
            return None
        resource = step.ours
    whole, _ = apply(parse(TYPE, case.body), parse_patch({"Operations": case.question}, TYPE), TYPE)
    return None if whole == resource else f"one by one {resource}\nall at once {whole}"


def _single(operations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each attribute of an object without a path, or of an extension, by itself: a step that can be explained."""
    for operation in operations:
        path, value = operation.get("path"), operation.get("value")
        if not isinstance(value, dict) or (path is not None and path.lower() not in _URNS):
            yield operation
            continue
        for name, item in value.items():
            if path is None and name.lower() in _URNS:
                yield from _single([{**operation, "path": name, "value": item}])
            else:
                yield {**operation, "value": {name: item}}


_URNS = {schema.id.lower() for schema in EXTENSIONS}


def _step(before: Resource, operation: Resource) -> known.Patched:
    words, read, ours, theirs = "", (), None, None
    try:
        read = parse_patch({"Operations": [operation]}, TYPE)
        ours, _ = apply(before, read, TYPE)
    except ScimError as error:
        words = error.detail
    try:
        theirs = parse(TYPE, oracle.patched(wire(before), [operation]))
    except (oracle.Refused, ScimError) as refusal:
        words = words or str(refusal)
    return known.Patched(operation, read, before, ours, theirs, words)


def _same(ours: Any, theirs: Any) -> bool:
    return bool(_comparable(ours) == _comparable(theirs))


def _comparable(value: Any) -> Any:
    """Values of a list have no order (RFC 7643 §2.4); a number is the same however it is written."""
    if isinstance(value, dict):
        return {name: _comparable(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted(map(_comparable, value), key=lambda item: json.dumps(item, sort_keys=True))
    return int(value) if isinstance(value, float) and value.is_integer() else value
