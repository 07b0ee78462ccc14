"""The matcher and the placeholders: what a recorded expectation means."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from .dialogue import MISSING, Dialogue, fill, fill_path, mismatches, play, protocol_faults, resolve

MATCHING = [
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2], "c": 3}}),
    ([{"a": 1}], [{"a": 1, "b": 2}]),
    (None, None),
    ({"a": {"$any": True}}, {"a": ""}),
    ({"a": {"$not": "x"}}, {"a": "y"}),
    ({"$contains": {"type": "work"}}, [{"type": "home"}, {"type": "work", "value": "w"}]),
    ({"$contains": [2, 1], "$length": 2}, [1, 2]),
    ({"$matches": "^W/"}, 'W/"1"'),
    ({"$ref": "https://host/Users/1"}, {"$ref": "https://host/Users/1"}),
]

DIFFERING = [
    (True, 1, ""),
    (1, True, ""),
    ("1", 1, ""),
    (1, 1.0, ""),
    (None, MISSING, ""),
    ({"a": 1}, {"a": 2}, "/a"),
    ({"a": {"b": 1}}, {"a": {}}, "/a/b"),
    ({"a": {"b": 1}}, {"a": None}, "/a"),
    ([1, 2], [1], ""),
    ([1, 2], [2, 1], "/0"),
    ([{"a": 1}], [{"a": 2}], "/0/a"),
    ({"a/b~c": 1}, {"a/b~c": 2}, "/a~1b~0c"),
    ({"a": {"$any": True}}, {"a": None}, "/a"),
    ({"a": {"$any": True}}, {}, "/a"),
    ({"a": {"$not": "x"}}, {"a": "x"}, "/a"),
    ({"a": {"$not": "x"}}, {}, "/a"),
    ({"$contains": 3}, [1, 2], ""),
    ({"$contains": 1}, 1, ""),
    ({"$length": 1}, [], ""),
    ({"$contains": 1, "$length": 1}, [1, 2], ""),
    ({"$matches": "^W/"}, "v1", ""),
    ({"$matches": "1"}, 1, ""),
]


@pytest.mark.parametrize(("wanted", "got"), MATCHING)
def test_pattern_matches(wanted: Any, got: Any) -> None:
    """A pattern fits what it describes, whatever else an object holds."""
    assert list(mismatches(wanted, got)) == []


@pytest.mark.parametrize(("wanted", "got", "at"), DIFFERING)
def test_mismatch_is_found_and_located(wanted: Any, got: Any, at: str) -> None:
    """A differing value, type, order or length is reported at its JSON pointer."""
    assert next(mismatches(wanted, got)).at == at


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", {"a": [{"b~/": 1}]}),
        ("/a/0/b~0~1", 1),
        ("/a/1", MISSING),
        ("/a/b", MISSING),
        ("/nothing", MISSING),
        ("/a/0/b~0~1/c", MISSING),
    ],
)
def test_pointer_resolves(pointer: str, value: Any) -> None:
    """Captures are JSON pointers (RFC 6901)."""
    assert resolve(pointer, {"a": [{"b~/": 1}]}) == value


def test_placeholders_are_filled_everywhere() -> None:
    """A placeholder alone keeps the captured type; inside text it becomes text; in names too."""
    node = {"{{name}}": ["{{count}}", "n={{count}}", {"x": None}], "plain": True}
    assert fill(node, {"name": "k", "count": 3}) == {"k": [3, "n=3", {"x": None}], "plain": True}


def test_unknown_placeholder_is_an_error() -> None:
    """A placeholder that nothing captured never goes out as text."""
    with pytest.raises(KeyError):
        fill("{{nobody}}", {})


def test_path_placeholders_are_encoded_and_recorded_text_is_not() -> None:
    """Entra's raw quotes and plus signs stay as recorded; a captured value cannot break the query."""
    path = '/Users?filter=userName+eq+"a%40b"&x={{value}}'
    assert fill_path(path, {"value": 'a b&"c/+'}) == '/Users?filter=userName+eq+"a%40b"&x=a%20b%26%22c%2F%2B'


SCIM = {"Content-Type": "application/scim+json"}


@dataclass
class Answer:
    """A canned answer: the runner is what is tested here, not a server."""

    status_code: int
    headers: dict[str, str] = field(default_factory=lambda: dict(SCIM))
    data: bytes = b""

    def get_data(self) -> bytes:
        return self.data


@dataclass
class Recorder:
    """Answers from a list and keeps what it was sent."""

    answers: list[Answer]
    token: str = "secret"
    sent: list[tuple[str, str, dict[str, str], bytes | None]] = field(default_factory=list)

    def open(self, method: str, path: str, headers: dict[str, str], data: bytes | None) -> Answer:
        self.sent.append((method, path, headers, data))
        return self.answers.pop(0)


def dialogue(*steps: dict[str, Any], headers: dict[str, str] | None = None) -> Dialogue:
    """A dialogue of these steps."""
    return Dialogue(title="t", sources=["s"], client="c", steps=list(steps), headers=headers or {})


def step(path: str = "/Users", *, status: int = 200, **more: Any) -> dict[str, Any]:
    """A GET that expects this status."""
    expect = {"status": status, **more.pop("expect", {})}
    return {"name": "n", "method": "GET", "path": path, "expect": expect, **more}


def test_capture_is_used_by_the_next_step() -> None:
    """What one answer gives, the next request may name."""
    client = Recorder([Answer(200, data=b'{"id": "7"}'), Answer(204)])
    play(dialogue(step(capture={"user": "/id"}), step("/Users/{{user}}", status=204)), client)
    assert [path for _, path, _, _ in client.sent] == ["/Users", "/Users/7"]


def test_repeated_step_counts_from_one() -> None:
    """`repeat` sends a step several times, `{{n}}` numbers them."""
    client = Recorder([Answer(204), Answer(204)])
    play(dialogue(step("/Users/{{n}}", status=204, repeat=2)), client)
    assert [path for _, path, _, _ in client.sent] == ["/Users/1", "/Users/2"]


@pytest.mark.parametrize(
    ("extra", "authorization"),
    [
        ({}, "Bearer secret"),
        ({"token": None}, None),
        ({"token": "other"}, "Bearer other"),
        ({"headers": {"Authorization": "non-token"}}, "non-token"),
    ],
)
def test_authorization_is_the_directorys_unless_the_step_says_otherwise(
    extra: dict[str, Any], authorization: str | None
) -> None:
    """The token is added to every step that does not set one or forbid it."""
    client = Recorder([Answer(204)])
    play(dialogue(step(status=204, **extra)), client)
    assert client.sent[0][2].get("Authorization") == authorization


def test_step_headers_win_over_the_dialogues() -> None:
    """A header of null in a step takes the dialogue's header away."""
    client = Recorder([Answer(204)])
    play(dialogue(step(status=204, headers={"A": "2", "B": None}), headers={"A": "1", "B": "1"}), client)
    assert client.sent[0][2] == {"A": "2", "Authorization": "Bearer secret"}


def test_padding_reaches_the_size_and_stays_json() -> None:
    """`pad_to` makes a body large without changing what it says."""
    client = Recorder([Answer(204)])
    play(dialogue(step(status=204, body={"a": "é"}, pad_to=100)), client)
    data = client.sent[0][3]
    assert data is not None
    assert len(data) == 100
    assert data.rstrip() == b'{"a": "\\u00e9"}'


FAULTY = [
    (Answer(204, data=b"{}"), "no body"),
    (Answer(200, data=b""), "one JSON object"),
    (Answer(200, data=b"<html>"), "one JSON object"),
    (Answer(200, headers={"Content-Type": "text/html"}, data=b"{}"), "media type"),
    (Answer(404, data=b'{"status": 404}'), "at /schemas"),
    (Answer(200, data=b'{"password": "x"}'), "password"),
    (Answer(201, data=b'{"meta": {"location": "https://h/1"}}'), "must have a Location"),
    (
        Answer(201, headers={**SCIM, "Location": "https://h/2"}, data=b'{"meta": {"location": "https://h/1"}}'),
        "is not meta",
    ),
]


@pytest.mark.parametrize(("answer", "words"), FAULTY)
def test_protocol_fault_is_found_without_being_asked_for(answer: Answer, words: str) -> None:
    """Error form, media type, Location, empty 204 and the password rule hold in every exchange."""
    client = Recorder([answer])
    with pytest.raises(AssertionError, match=words):
        play(dialogue(step(status=answer.status_code)), client)


def test_etag_must_be_the_version() -> None:
    """The header and meta.version name the same state (RFC 7644 §3.14)."""
    answer = Answer(200, headers={**SCIM, "ETag": 'W/"2"'})
    assert list(protocol_faults(answer, {"meta": {"version": 'W/"1"'}}))


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"status": [201, 204]}, "status 200"),
        ({"headers": {"Retry-After": {"$matches": r"^\d+$"}}}, "header Retry-After"),
        ({"absent": ["/members"]}, "/members: must be absent"),
        ({"body": {"id": "8"}}, 'at /id: wanted "8", got "7"'),
    ],
)
def test_report_names_step_request_and_first_mismatch(expect: dict[str, Any], words: str) -> None:
    """A failure shows all that is needed to judge who is wrong."""
    client = Recorder([Answer(200, data=b'{"id": "7", "members": []}')])
    with pytest.raises(AssertionError) as caught:
        play(dialogue(step("/Groups/7", expect=expect, rule="RFC 7644 §3.4.1")), client)
    report = str(caught.value)
    for part in (words, "step 'n' (RFC 7644 §3.4.1)", "GET /Groups/7", '{"id": "7", "members": []}'):
        assert part in report
    assert "secret" not in report
