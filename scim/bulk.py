"""Bulk requests (RFC 7644 §3.7): many operations in one body, which may refer to what others of them make.

`parse_bulk` reads the message; an operation that can never succeed is kept with its `fault`, since it fails alone.
`BulkRequest.steps` orders the operations so that what is referred to is made first; operations that refer to each
other in a circle are one step. `BulkRequest.ready` puts ids in the place of references. To perform an operation is
the caller's part.

A reference is `bulkId:x` as a whole value, at the end of a URI, or quoted in the path of a PATCH operation.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from scim import quirks
from scim.errors import Conflict, InvalidSyntax, InvalidValue, NotFound, PayloadTooLarge, ScimError, excerpt
from scim.resource import is_storable
from scim.schemas import BULK_RESPONSE_URN, MAX_OPERATIONS, Catalogue

#: The methods of an operation, each with the status of its success; the resource itself is not returned.
METHODS = {"POST": 201, "PUT": 200, "PATCH": 200, "DELETE": 204}

MAX_DEPTH = 64  # levels of `data`; no message of SCIM has ten

_PREFIX = "bulkId:"
_WITHIN = re.compile(r'(?<=[/"])bulkId:([^/"]+)(?="|\Z)')


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One request of many. `place` counts from 0; the path is an `endpoint` such as `Users` and an `id`, which may be a
    reference and is empty for a POST. Of an operation with a `fault` only what could be read is there.

    `later` are those of the references that cannot be resolved before the operation is done, because they are to
    itself or around a circle.
    """

    place: int
    method: str | None = None
    bulk_id: str | None = None
    endpoint: str = ""
    id: str = ""
    version: str | None = None
    data: Any = None
    references: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    fault: ScimError | None = None


Step = tuple[Operation, ...]


@dataclass(frozen=True)
class BulkRequest:
    """The operations in the order of the request, and how many of them may fail before it ends; None: all."""

    operations: Sequence[Operation]
    fail_on_errors: int | None = None
    _makers: dict[str, int] = field(init=False, repr=False)  # bulkId -> place of the POST that has it

    def __post_init__(self) -> None:
        posts = [op for op in self.operations if op.method == "POST"]
        object.__setattr__(self, "_makers", {op.bulk_id: op.place for op in posts if op.bulk_id is not None})

    def steps(self) -> list[Step]:
        """The order to perform them in: that of the request, but what an operation refers to is made before it.

        A POST is pulled forward to the first that needs it, and nothing is put off: of two changes of one resource
        the later one must stay the later one. A step of several is a circle of references (§3.7.1), all of it POSTs.
        """
        needs = [sorted({self._makers[name] for name in op.references & self._makers.keys()}) for op in self.operations]
        needed_by: list[list[int]] = [[] for _ in needs]
        for place, needed in enumerate(needs):
            for other in needed:
                needed_by[other].append(place)
        # Kosaraju's algorithm: the last to be finished leads to its whole circle, and going backwards to no more.
        finished, seen = _depth_first(range(len(needs)), needs, set()), set[int]()
        circles = [_depth_first([place], needed_by, seen) for place in reversed(finished) if place not in seen]
        return [_step([self.operations[place] for place in sorted(circle)]) for circle in reversed(circles)]

    def texts(self) -> Iterator[str]:
        """Every text of what may be performed: all the ids that the request changes or refers to are among them."""
        for operation in self.operations:
            if operation.fault is None:
                yield operation.id
                yield from _texts(operation.data)

    def ready(self, operation: Operation, ids: Mapping[str, str]) -> Operation:
        """The operation as it can be performed now, with ids in the place of references, of which `later` are left out.

        Raises its fault, and Conflict naming the bulkId for a reference that nothing stands behind (§3.7.1).
        """
        if operation.fault is not None:
            raise operation.fault
        for name in sorted(operation.references - operation.later - ids.keys()):
            failed = name in self._makers
            why = "the operation with that bulkId failed" if failed else "no POST of this request has that bulkId"
            raise Conflict(f"{excerpt(_PREFIX + name)} cannot be resolved: {why}.")
        if not operation.references:
            return operation
        data = _resolved(_without(operation.data, operation.later), ids)
        return replace(operation, id=_resolved(operation.id, ids), data=data)

    def ends_after(self, failures: int) -> bool:
        """Whether so many failed operations end the request."""
        return self.fail_on_errors is not None and failures >= self.fail_on_errors


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operation: a `status`, and the SCIM Error where it failed."""

    operation: Operation
    status: int
    location: str | None = None
    version: str | None = None
    error: Mapping[str, Any] | None = None


def parse_bulk(body: object, catalogue: Catalogue, *, base: str) -> BulkRequest:
    """The request in a body (§3.7). `base` is the SCIM base URL, with which a path may begin.

    Raises InvalidSyntax for what is no BulkRequest, PayloadTooLarge for more operations than are served (§3.7.4).
    """
    if not isinstance(body, dict):
        raise InvalidSyntax("The body must be a JSON object.")
    message = quirks.message_members(body, "Operations", "failOnErrors")
    sent = message.get("Operations")
    if not isinstance(sent, list) or not sent or not all(isinstance(item, dict) for item in sent):
        raise InvalidSyntax("`Operations` must be an array of one or more objects.")
    if len(sent) > MAX_OPERATIONS:
        raise PayloadTooLarge(f"The {len(sent)} operations exceed the maxOperations ({MAX_OPERATIONS}).")
    operations = [_operation(place, item, catalogue, base=base) for place, item in enumerate(sent)]
    return BulkRequest(_each_id_once(operations), _fail_on_errors(message.get("failOnErrors")))


def bulk_response(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The BulkResponse, in the order of the request whatever order the operations were performed in (§3.7.3)."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.operation.place)
    return {"schemas": [BULK_RESPONSE_URN], "Operations": [_answered(outcome) for outcome in ordered]}


def target(operation: Operation, ids: Mapping[str, str]) -> str | None:
    """The id of the resource that the operation was to change; None where there is none, or not known."""
    id = _resolved(operation.id, ids)
    return None if id == "" or id.startswith(_PREFIX) or operation.method == "POST" else id


def completion(operation: Operation, ids: Mapping[str, str]) -> Operation:
    """What makes the resource of a POST whole that was made without some references: a PUT of all that was sent."""
    id, data = ids[str(operation.bulk_id)], _resolved(operation.data, ids)
    return replace(operation, method="PUT", id=id, data=data)


# Reading


def _operation(place: int, message: Mapping[str, Any], catalogue: Catalogue, *, base: str) -> Operation:
    sent = quirks.message_members(message, "method", "bulkId", "path", "version", "data")
    read: dict[str, Any] = {"place": place}
    try:
        for name, value in _members(sent, catalogue, base=base):
            read[name] = value
        operation = Operation(**read)
        _check(operation)
    except ScimError as fault:
        return Operation(**read, fault=fault)
    return operation


def _members(sent: Mapping[str, Any], catalogue: Catalogue, *, base: str) -> Iterator[tuple[str, Any]]:
    """The members of an operation one by one, so that what comes before a wrong one is there for the answer."""
    method = _text(sent, "method")
    yield "method", method
    yield "bulk_id", _text(sent, "bulkId")
    endpoint, id = _target(_text(sent, "path"), catalogue, base=base)
    yield "endpoint", endpoint
    yield "id", id
    yield "version", _text(sent, "version")
    data = None if method == "DELETE" else sent.get("data")
    yield "data", quirks.bare_operations(data) if method == "PATCH" else data
    yield "references", _references([id, data])


def _text(sent: Mapping[str, Any], name: str) -> str | None:
    value = sent.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidSyntax(f"`{name}` must be a string, not {excerpt(value)}.")
    if value and not is_storable(value):
        raise InvalidSyntax(f"`{name}` must hold no control characters.")
    return value or None


def _target(path: str | None, catalogue: Catalogue, *, base: str) -> tuple[str, str]:
    """The endpoint, and the id or nothing. Raises NotFound for an endpoint that no resource type has."""
    text = path or ""
    for start in (base, urlsplit(base).path):
        if text.startswith(f"{start}/"):
            text = text.removeprefix(start)
    name, *rest = [unquote(part) for part in text.removeprefix("/").removesuffix("/").split("/")]
    if not name or len(rest) > 1 or "?" in text:
        raise InvalidSyntax(f"`path` must be one such as /Users or /Users/{{id}}, not {excerpt(path)}.")
    if f"/{name}" not in [resource_type.endpoint for resource_type in catalogue.resource_types]:
        raise NotFound(f"There is no endpoint {excerpt(path)} for bulk operations.")
    return name, rest[0] if rest else ""


def _check(operation: Operation) -> None:
    """What the method demands of the other members (§3.7)."""
    method = operation.method
    if method not in METHODS:
        raise InvalidSyntax(f"`method` must be one of {', '.join(METHODS)}, not {excerpt(method)}.")
    if method == "POST" and operation.bulk_id is None:
        raise InvalidSyntax("`bulkId` is required with POST.")
    if (method == "POST") != (operation.id == ""):
        named = "a type of resource, such as /Users" if method == "POST" else "one resource, such as /Users/{id}"
        raise InvalidSyntax(f"`path` of a {method} must name {named}.")
    if method != "DELETE" and operation.data is None:
        raise InvalidSyntax(f"`data` is required with {method}.")


def _each_id_once(operations: Sequence[Operation]) -> list[Operation]:
    """POSTs that share a bulkId are all refused: nobody could tell which of them a reference means."""
    times = Counter(operation.bulk_id for operation in operations if operation.method == "POST")

    def checked(operation: Operation) -> Operation:
        name = operation.bulk_id
        if name is None or operation.method != "POST" or times[name] == 1:
            return operation
        return replace(
            operation, fault=InvalidValue(f"The bulkId {excerpt(name)} is used by {times[name]} operations.")
        )

    return [checked(operation) for operation in operations]


def _fail_on_errors(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidValue(f"failOnErrors must be an integer of 1 or more, not {excerpt(value)}.")
    return value


# References


def _step(operations: Sequence[Operation]) -> Step:
    """The operations of a circle, or one alone, knowing what each of them can only be given afterwards."""
    to_come, step = {op.bulk_id for op in operations if op.method == "POST"}, []
    for operation in operations:
        later = operation.references & to_come
        step.append(replace(operation, later=later) if later else operation)
        to_come.discard(operation.bulk_id)
    return tuple(step)


def _references(node: object) -> frozenset[str]:
    """The bulkIds that are referred to anywhere in a value; level by level, so that no depth can exhaust us."""
    found: set[str] = set()
    level = [node]
    for _ in range(MAX_DEPTH):
        found.update(name for item in level if isinstance(item, str) for name in _named(item))
        level = [inner for item in level for inner in _inner(item)]
        if not level:
            return frozenset(found)
    raise InvalidSyntax(f"`data` is nested more than {MAX_DEPTH} levels deep.")


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for item in _inner(node):
        yield from _texts(item)


def _inner(node: object) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _named(text: str) -> list[str]:
    if text.startswith(_PREFIX):
        return [text.removeprefix(_PREFIX)]
    return _WITHIN.findall(text) if _PREFIX in text else []


def _resolved(node: Any, ids: Mapping[str, str]) -> Any:
    """A value with the ids of what was made in the place of the references to it (§3.7.2)."""
    if isinstance(node, str):
        if node.startswith(_PREFIX):
            return ids.get(node.removeprefix(_PREFIX), node)
        return _WITHIN.sub(lambda found: ids.get(found[1], found[0]), node)
    if isinstance(node, dict):
        return {name: _resolved(item, ids) for name, item in node.items()}
    if isinstance(node, list):
        return [_resolved(item, ids) for item in node]
    return node


def _without(node: Any, names: Collection[str]) -> Any:
    """The data of a POST without what refers to one of the names. A reference goes with the object that it stands in:
    a member without its `value` would be no member."""
    if isinstance(node, dict):
        return {name: _without(item, names) for name, item in node.items() if not _refers(item, names)}
    if isinstance(node, list):
        return [_without(item, names) for item in node if not _refers(item, names)]
    return node


def _refers(node: object, names: Collection[str]) -> bool:
    """Whether it is such a reference, or an object with one among its own values."""
    texts = node.values() if isinstance(node, dict) else [node]
    return any(name in names for text in texts if isinstance(text, str) for name in _named(text))


def _depth_first(starts: Iterable[int], next_to: Sequence[Iterable[int]], seen: set[int]) -> list[int]:
    """What the starts lead to and was not seen before, each after all that it leads to itself."""
    finished: list[int] = []
    for start in starts:
        trail = [] if start in seen else [(start, iter(next_to[start]))]
        seen.add(start)
        while trail:
            place, rest = trail[-1]
            following = next((other for other in rest if other not in seen), None)
            if following is None:
                finished.append(place)
                trail.pop()
            else:
                seen.add(following)
                trail.append((following, iter(next_to[following])))
    return finished


# Answering


def _answered(outcome: Outcome) -> dict[str, Any]:
    """§3.7: `status` is a string, and what there is not is left out, as the location of a POST that failed."""
    members = {
        "method": outcome.operation.method,
        "bulkId": outcome.operation.bulk_id,
        "location": outcome.location,
        "version": outcome.version,
        "status": str(outcome.status),
        "response": outcome.error,
    }
    return {name: value for name, value in members.items() if value is not None}
