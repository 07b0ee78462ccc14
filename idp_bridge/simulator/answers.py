"""What a provider needs to find in a SCIM answer: small checks, each giving what it found where it disagrees.

Pure: an `Answer` in, a `Mismatch` or None out. What a mismatch means for the provider stands with the step.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SHOWN = 160


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as the provider reads it."""

    status: int
    media_type: str
    text: str
    seconds: float
    headers: Mapping[str, str]

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object of the answer; empty where there is none."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The entries of a ListResponse."""
        return _objects(self.body.get("Resources"))


@dataclass(frozen=True)
class Mismatch:
    """Found and wanted, in words for a person."""

    got: str
    want: str


Check = Callable[[Answer], Mismatch | None]


def status(*wanted: int) -> Check:
    """The status is one of these."""

    def check(answer: Answer) -> Mismatch | None:
        if answer.status in wanted:
            return None
        detail = answer.body.get("detail") or answer.text[:SHOWN]
        return Mismatch(f"{answer.status}: {detail}" if detail else str(answer.status), _either(wanted))

    return check


def media_type(accepted: Collection[str]) -> Check:
    """A body has one of these media types (7644 section 3.1)."""

    def check(answer: Answer) -> Mismatch | None:
        if not answer.text or answer.media_type in accepted:
            return None
        return Mismatch(answer.media_type or "no Content-Type", _either(sorted(accepted)))

    return check


def json_object(answer: Answer) -> Mismatch | None:
    """A body is one JSON object."""
    if answer.body or not answer.text:
        return None
    return Mismatch(answer.text[:SHOWN], "a JSON object")


def has_body(answer: Answer) -> Mismatch | None:
    """The answer carries the resource and not nothing."""
    return None if answer.body else Mismatch("an empty body", "the whole resource")


def list_response(answer: Answer) -> Mismatch | None:
    """A ListResponse: its schema, a numeric totalResults, Resources as an array (7644 section 3.4.2)."""
    body = answer.body
    if not _has_schema(body, LIST_URN):
        return Mismatch(f"schemas {body.get('schemas')!r}", f"schemas with {LIST_URN}")
    for name in ("totalResults", "startIndex", "itemsPerPage"):
        value = body.get(name)
        needed = name == "totalResults" or value is not None
        if needed and (not isinstance(value, int) or isinstance(value, bool)):
            return Mismatch(f"{name} {value!r}", f"{name} as a JSON number")
    if body["totalResults"] and not isinstance(body.get("Resources"), list):
        return Mismatch(f"Resources {body.get('Resources')!r}", "Resources as an array")
    return None


def matches(count: int) -> Check:
    """Exactly so many results."""

    def check(answer: Answer) -> Mismatch | None:
        found = answer.body.get("totalResults")
        return None if found == count else Mismatch(f"totalResults {found!r}", f"totalResults {count}")

    return check


def has_id(answer: Answer) -> Mismatch | None:
    """The resource has an `id` that a provider can keep (7643 section 3.1)."""
    found = answer.body.get("id")
    if isinstance(found, str) and found and "bulkid" not in found.lower():
        return None
    return Mismatch(f"id {found!r}", "id as a string that is not empty and does not contain bulkId")


def has_same_id(resource_id: str) -> Check:
    """The answer is about the resource that was named."""
    return holds("id", resource_id)


def holds(path: str, wanted: object) -> Check:
    """The value at a dotted path is this one; a number in the path is a place in an array."""

    def check(answer: Answer) -> Mismatch | None:
        found = value_at(answer.body, path)
        return None if found == wanted else Mismatch(f"{path} {found!r}", f"{path} {wanted!r}")

    return check


def holds_if_present(path: str, wanted: object) -> Check:
    """As `holds`, for answers that may be partial or empty."""
    exact = holds(path, wanted)
    return lambda answer: exact(answer) if value_at(answer.body, path) is not None else None


def holds_folded(path: str, wanted: str) -> Check:
    """As `holds`, without regard to case (userName, addresses)."""

    def check(answer: Answer) -> Mismatch | None:
        found = value_at(answer.body, path)
        if isinstance(found, str) and found.casefold() == wanted.casefold():
            return None
        return Mismatch(f"{path} {found!r}", f"{path} {wanted!r}")

    return check


def enterprise(name: str, wanted: object) -> Check:
    """An attribute of the enterprise extension has this value; None wants it absent."""

    def check(answer: Answer) -> Mismatch | None:
        extension = answer.body.get(ENTERPRISE_URN) or {}
        found = extension.get(name) if isinstance(extension, dict) else extension
        if isinstance(found, dict):
            found = found.get("value")
        return None if (found or None) == wanted else Mismatch(f"{name} {found!r}", f"{name} {wanted!r}")

    return check


def typed_value(attribute: str, kind: str, sub: str, wanted: str) -> Check:
    """The entry of that `type` in a multi-valued attribute has this sub-attribute."""

    def check(answer: Answer) -> Mismatch | None:
        entries = answer.body.get(attribute)
        found = [e.get(sub) for e in _objects(entries) if e.get("type") == kind]
        if found == [wanted]:
            return None
        return Mismatch(f"{attribute} of type {kind}: {found!r}", f"one, with {sub} {wanted!r}")

    return check


def without(name: str) -> Check:
    """No resource of the answer has this attribute."""

    def check(answer: Answer) -> Mismatch | None:
        shown = any(name in each for each in answer.resources or [answer.body])
        return Mismatch(f"{name} in the answer", f"no {name}") if shown else None

    return check


def members_are(wanted: Collection[str]) -> Check:
    """The group's members are exactly these ids."""

    def check(answer: Answer) -> Mismatch | None:
        found = {str(each.get("value")) for each in _objects(answer.body.get("members"))}
        if found == set(wanted):
            return None
        return Mismatch(f"{len(found)} members {_some(found)}", f"{len(wanted)} members {_some(wanted)}")

    return check


def scim_error(wanted_status: int) -> Check:
    """A SCIM Error object whose `status` is a string, with a detail (7644 section 3.12)."""

    def check(answer: Answer) -> Mismatch | None:
        body = answer.body
        if not _has_schema(body, ERROR_URN):
            return Mismatch(f"schemas {body.get('schemas')!r}", f"schemas with {ERROR_URN}")
        if body.get("status") != str(wanted_status):
            return Mismatch(f"status {body.get('status')!r} in the body", f"status {str(wanted_status)!r}")
        return None if body.get("detail") else Mismatch("no detail", "a detail that says what is wrong")

    return check


def lists_schemas(*urns: str) -> Check:
    """/Schemas describes at least these (7643 section 7)."""

    def check(answer: Answer) -> Mismatch | None:
        found = {str(each.get("id")) for each in answer.resources}
        missing = [urn for urn in urns if urn not in found]
        return Mismatch(f"no schema {missing[0]}", f"the schemas {', '.join(urns)}") if missing else None

    return check


def without_nulls(answer: Answer) -> Mismatch | None:
    """No attribute has the value null, on any level."""
    where = _null_at(answer.body, "")
    return Mismatch(f"null at {where}", "no attribute that is null") if where else None


def value_at(body: object, path: str) -> object:
    """The value at a dotted path; None where a step is missing."""
    for step in path.split("."):
        if isinstance(body, list) and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        elif isinstance(body, dict):
            body = body.get(step)
        else:
            return None
    return body


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _has_schema(body: Mapping[str, Any], urn: str) -> bool:
    schemas = body.get("schemas")
    return isinstance(schemas, list) and urn in schemas


def _either(wanted: Collection[object]) -> str:
    return " or ".join(str(each) for each in wanted)


def _some(values: Collection[object]) -> str:
    shown = sorted(str(each) for each in values)
    return f"[{', '.join(shown[:3])}{', …' if len(shown) > 3 else ''}]"


def _null_at(value: object, path: str) -> str:
    if value is None:
        return path
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return next((where for key, each in inner if (where := _null_at(each, f"{path}.{key}".strip(".")))), "")
