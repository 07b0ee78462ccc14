"""A recorded SCIM dialogue: reads it, fills its placeholders, plays it, and says where an answer went astray.

Owns the file format described in `fixtures/README.md`. Knows nothing of the server: a client is anything with
`.open(method, path, headers, data)` and `.token`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
MISSING = object()
ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"
BODILESS = (204, 304)


class Response(Protocol):
    """What the runner reads of an answer; werkzeug's test response fits."""

    status_code: int
    headers: Any

    def get_data(self) -> bytes: ...


class Client(Protocol):
    """One directory of a server, base `/scim/v2` already in front of every path."""

    token: str

    def open(self, method: str, path: str, headers: dict[str, str], data: bytes | None) -> Response: ...


@dataclass(frozen=True)
class Mismatch:
    """The first place where an answer differs from what was wanted; `at` is a JSON pointer."""

    at: str
    wanted: Any
    got: Any

    def __str__(self) -> str:
        got = "nothing" if self.got is MISSING else _json(self.got)
        return f"at {self.at or 'the top'}: wanted {_json(self.wanted)}, got {got}"


# Patterns ----------------------------------------------------------------------------------------------------


def _contains(wanted: Any, got: Any) -> bool:
    """Each wanted pattern fits some item; one pattern may stand without its list."""
    items = wanted if isinstance(wanted, list) else [wanted]
    return isinstance(got, list) and all(any(matches(item, one) for one in got) for item in items)


OPERATORS = {
    "$any": lambda wanted, got: got is not None,
    "$not": lambda wanted, got: not matches(wanted, got),
    "$length": lambda wanted, got: isinstance(got, list | str) and len(got) == wanted,
    "$matches": lambda wanted, got: isinstance(got, str) and re.search(wanted, got) is not None,
    "$contains": _contains,
}


def mismatches(wanted: Any, got: Any, at: str = "") -> Iterator[Mismatch]:
    """Objects match as a subset, arrays item by item, scalars by type and value (true is not 1)."""
    if got is MISSING:
        yield Mismatch(at, wanted, got)
    elif isinstance(wanted, dict) and wanted.keys() & OPERATORS.keys():
        yield from (Mismatch(at, {op: arg}, got) for op, arg in wanted.items() if not OPERATORS[op](arg, got))
    elif isinstance(wanted, dict) and isinstance(got, dict):
        for name, pattern in wanted.items():
            yield from mismatches(pattern, got.get(name, MISSING), f"{at}/{_escape(name)}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for index, (pattern, item) in enumerate(zip(wanted, got, strict=True)):
            yield from mismatches(pattern, item, f"{at}/{index}")
    elif type(wanted) is not type(got) or wanted != got:
        yield Mismatch(at, wanted, got)


def matches(wanted: Any, got: Any) -> bool:
    """True where nothing differs."""
    return next(mismatches(wanted, got), None) is None


def resolve(pointer: str, document: Any) -> Any:
    """The value at a JSON pointer (RFC 6901), or MISSING."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict) and name in document:
            document = document[name]
        else:
            return MISSING
    return document


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# Placeholders ------------------------------------------------------------------------------------------------


def fill(node: Any, values: Mapping[str, Any]) -> Any:
    """Puts captured values in the place of `{{name}}`; a string that is only a placeholder keeps the type."""
    if isinstance(node, dict):
        return {fill(name, values): fill(item, values) for name, item in node.items()}
    if isinstance(node, list):
        return [fill(item, values) for item in node]
    if not isinstance(node, str):
        return node
    if whole := PLACEHOLDER.fullmatch(node):
        return values[whole[1]]
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), node)


def fill_path(path: str, values: Mapping[str, Any]) -> str:
    """Encodes what is put in and leaves the recorded text alone: Entra's raw quotes and plus signs go out so."""
    return PLACEHOLDER.sub(lambda found: quote(str(values[found[1]]), safe=""), path)


# Dialogues ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dialogue:
    """One file: who speaks, where the facts come from, and the exchanges in order."""

    title: str
    sources: list[str]
    client: str
    steps: list[dict[str, Any]]
    headers: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "Dialogue":
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{"headers": {}, **content})


def play(dialogue: Dialogue, client: Client) -> None:
    """Sends every step in order; raises AssertionError with a readable report at the first wrong answer."""
    values: dict[str, Any] = {}
    for step in dialogue.steps:
        for n in range(1, step.get("repeat", 1) + 1):
            values["n"] = n
            exchange(step, values, dialogue=dialogue, client=client)


def _names(node: Any) -> Iterator[str]:
    """The name of every member, at any depth."""
    for item in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
        yield from _names(item)
    yield from node if isinstance(node, dict) else ()


def exchange(step: dict[str, Any], values: dict[str, Any], *, dialogue: Dialogue, client: Client) -> None:
    """Sends one step, judges the answer, then keeps what it captures."""
    request = _request(step, values, dialogue=dialogue, token=client.token)
    response = client.open(request["method"], request["path"], request["headers"], request["data"])
    expect = fill(step["expect"], values)
    body = _body(response)
    wrong = next(faults(expect, response, body), None)
    if wrong:
        raise AssertionError(_report(dialogue, step, request=request, expect=expect, response=response, wrong=wrong))
    for name, pointer in step.get("capture", {}).items():
        captured = resolve(pointer, body)
        assert captured is not MISSING, f"{step['name']}: nothing to capture at {pointer} in {_json(body)}"
        values[name] = captured


def faults(expect: Mapping[str, Any], response: Response, body: Any) -> Iterator[str]:
    """What the step itself wants: status, headers, members that must be absent, the body's pattern."""
    statuses = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
    if response.status_code not in statuses:
        yield f"status {response.status_code}, wanted {expect['status']}"
    for name, pattern in expect.get("headers", {}).items():
        got = response.headers.get(name)
        yield from (f"header {name} {m}" for m in mismatches(pattern, MISSING if got is None else got))
    yield from protocol_faults(response, body)
    if response.status_code in BODILESS:
        return
    for pointer in expect.get("absent", ()):
        if (got := resolve(pointer, body)) is not MISSING:
            yield f"body at {pointer}: must be absent, got {_json(got)}"
    if "body" in expect:
        yield from (f"body {m}" for m in mismatches(expect["body"], body))


def protocol_faults(response: Response, body: Any) -> Iterator[str]:
    """What holds for every answer, so that no step has to repeat it (RFC 7644 §3.1, §3.3, §3.12, RFC 7643 §7)."""
    if response.status_code in BODILESS:
        if response.get_data():
            yield f"a {response.status_code} must have no body"
        return
    if not isinstance(body, dict):
        yield "the body must be one JSON object"
        return
    if response.headers.get("Content-Type", "").partition(";")[0] not in ("application/scim+json", "application/json"):
        yield f"media type {response.headers.get('Content-Type')}, wanted application/scim+json"
    if response.status_code >= 400:
        wanted = {"schemas": [ERROR_SCHEMA], "status": str(response.status_code), "detail": {"$matches": r"\S"}}
        yield from (f"error body {m}" for m in mismatches(wanted, body))
    if response.status_code == 201:
        location = response.headers.get("Location")
        if location is None:
            yield "a 201 must have a Location"
        elif resolve("/meta/location", body) not in (location, MISSING):  # `attributes` may have left meta out
            yield f"Location {location} is not meta.location {resolve('/meta/location', body)}"
    version = resolve("/meta/version", body)
    if version is not MISSING and response.headers.get("ETag", version) != version:
        yield f"ETag {response.headers['ETag']} is not meta.version {version}"
    if "password" in _names(body):
        yield "password is returned: never (RFC 7643 §4.1.1)"


def _request(step: dict[str, Any], values: dict[str, Any], *, dialogue: Dialogue, token: str) -> dict[str, Any]:
    """The step as it goes over the wire."""
    headers = {**dialogue.headers, **fill(step.get("headers", {}), values)}
    bearer = step.get("token", token)
    if bearer is not None:
        headers.setdefault("Authorization", f"Bearer {bearer}")
    return {
        "method": step["method"],
        "path": fill_path(step["path"], values),
        "headers": {name: value for name, value in headers.items() if value is not None},
        "data": _data(step, values),
    }


def _data(step: dict[str, Any], values: dict[str, Any]) -> bytes | None:
    """The body's bytes; `pad_to` adds blanks, which JSON allows, so that only the size can be refused."""
    if "raw_body" in step:
        text = fill(step["raw_body"], values)
    elif "body" in step:
        text = json.dumps(fill(step["body"], values))
    else:
        return None
    return str(text).encode().ljust(step.get("pad_to", 0))


def _body(response: Response) -> Any:
    try:
        return json.loads(response.get_data() or b"null")
    except ValueError:
        return response.get_data().decode(errors="replace")


def _report(
    dialogue: Dialogue,
    step: dict[str, Any],
    *,
    request: dict[str, Any],
    expect: dict[str, Any],
    response: Response,
    wrong: str,
) -> str:
    """All that a person needs to judge who is wrong, the file or the server."""
    sent = (request["data"] or b"").decode()[:2000].rstrip()
    headers = {name: value for name, value in request["headers"].items() if name != "Authorization"}
    lines = [
        f"{dialogue.title}: step {step['name']!r}" + (f" ({step['rule']})" if "rule" in step else ""),
        f"  wrong:   {wrong}",
        f"  request: {request['method']} {request['path']} {_json(headers)}",
        f"           {sent}",
        f"  wanted:  {_json(expect)}",
        f"  got:     {response.status_code} {response.get_data()[:4000].decode(errors='replace')}",
    ]
    return "\n".join(lines)
