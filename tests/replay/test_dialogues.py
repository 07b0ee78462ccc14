"""Plays every recorded dialogue under `fixtures/scim` against a fresh directory, and checks the files themselves."""

import re
from pathlib import Path
from typing import Any

import pytest

from .dialogue import OPERATORS, PLACEHOLDER, Client, Dialogue, play

ROOT = Path(__file__).parents[2] / "fixtures" / "scim"
FILES = sorted(ROOT.rglob("*.json"))
STEP_MEMBERS = {"name", "rule", "method", "path", "headers", "token", "body", "raw_body", "pad_to", "repeat"} | {
    "expect",
    "capture",
}
EXPECT_MEMBERS = {"status", "headers", "body", "absent"}
each_dialogue = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT).with_suffix("")))


@each_dialogue
def test_dialogue_is_answered_as_recorded(path: Path, scim_client: Client) -> None:
    """Every exchange of the dialogue gets the answer that its client needs."""
    play(Dialogue.read(path), scim_client)


def test_there_are_dialogues() -> None:
    """An empty folder must not look like success."""
    assert len(FILES) >= 18


@each_dialogue
def test_file_names_its_client_and_sources(path: Path) -> None:
    """Nobody can judge an expectation whose source is not named."""
    dialogue = Dialogue.read(path)
    assert dialogue.title
    assert dialogue.client
    assert dialogue.sources
    assert all(len(source) > 10 for source in dialogue.sources)
    assert dialogue.steps


@each_dialogue
def test_steps_are_well_formed(path: Path) -> None:
    """Only known members, statuses that are numbers, one body at most, names that tell steps apart."""
    steps = Dialogue.read(path).steps
    for step in steps:
        assert step.keys() <= STEP_MEMBERS, step["name"]
        assert step["expect"].keys() <= EXPECT_MEMBERS, step["name"]
        assert step["path"].startswith("/"), step["name"]
        assert not {"body", "raw_body"} <= step.keys(), step["name"]
        assert all(type(status) is int for status in _statuses(step)), step["name"]
        assert all(pointer.startswith("/") for pointer in _pointers(step)), step["name"]
        assert "body" not in step["expect"] or _statuses(step) != [204], step["name"]
    assert len({step["name"] for step in steps}) == len(steps)


@each_dialogue
def test_placeholders_are_captured_before_use(path: Path) -> None:
    """A step names only what an earlier step captured."""
    known = {"n"}
    for step in Dialogue.read(path).steps:
        used = set(PLACEHOLDER.findall(str({name: part for name, part in step.items() if name != "capture"})))
        assert used <= known, f"{step['name']} uses {used - known}"
        known |= step.get("capture", {}).keys()


@each_dialogue
def test_patterns_use_known_operators(path: Path) -> None:
    """A misspelt operator would be taken for a member name and never match anything."""
    for step in Dialogue.read(path).steps:
        for name, argument in _operators(step["expect"]):
            assert name in OPERATORS, f"{step['name']}: {name}"
            if name == "$matches":
                re.compile(argument)


def _statuses(step: dict[str, Any]) -> list[Any]:
    wanted = step["expect"]["status"]
    return wanted if isinstance(wanted, list) else [wanted]


def _pointers(step: dict[str, Any]) -> list[str]:
    return [*step["expect"].get("absent", []), *step.get("capture", {}).values()]


def _operators(node: Any) -> list[tuple[str, Any]]:
    """Every `$name` of an expectation; `$ref` is SCIM's own."""
    if isinstance(node, list):
        return [found for item in node for found in _operators(item)]
    if not isinstance(node, dict):
        return []
    own = [(name, item) for name, item in node.items() if name.startswith("$") and name != "$ref"]
    return own + [found for item in node.values() for found in _operators(item)]
