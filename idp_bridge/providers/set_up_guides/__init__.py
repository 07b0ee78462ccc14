"""How a connection is set up at each kind of provider, screen by screen, in the provider's words: one file for each.

Each screen of the provider is a step of the guide, with what is done there and our values where they are pasted. After
the screens come our own steps, the same for all. In the texts ``**…**`` is the name of something on a screen, and
backticks stand around what is typed, as in the other files of providers/.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from idp_bridge.providers import KINDS, recognise

METADATA, JOINING, TEST, DONE = "metadata", "joining", "test", "done"

#: Our own steps -> what each is called.
OWN_STEPS = {METADATA: "Give us the metadata", JOINING: "Who may join", TEST: "Test sign-in", DONE: "Done"}

CLAIMS = {"email": "E-mail address", "first_name": "Given name", "last_name": "Family name", "groups": "Groups"}


@dataclass(frozen=True)
class Instruction:
    """One thing to do on a screen. ``copy``: which of our values is pasted; ``download``: our metadata is wanted."""

    text: str
    copy: str | None = None
    download: bool = False


@dataclass(frozen=True)
class Screen:
    """One screen of the provider. ``attributes``: those of the guide are entered there."""

    step: str
    title: str
    do: tuple[Instruction, ...]
    attributes: bool = False


@dataclass(frozen=True)
class Attribute:
    """What is sent of people: ``claim`` is what we take it for, ``name`` and ``value`` are typed at the provider."""

    claim: str
    name: str
    value: str


@dataclass(frozen=True)
class Step:
    """A step of the guide, as its address and its list name it."""

    name: str
    title: str


@dataclass(frozen=True)
class Guide:
    """How a connection to one kind of provider is set up."""

    screens: tuple[Screen, ...]
    attributes: tuple[Attribute, ...]
    metadata: tuple[str, ...]
    """Where the provider shows its metadata."""
    assign: tuple[str, ...]
    """How people are let use the application there."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step in order: the provider's screens, then ours."""
        own = (Step(name, title) for name, title in OWN_STEPS.items())
        return (*(Step(screen.step, screen.title) for screen in self.screens), *own)

    def screen(self, step: str) -> Screen | None:
        """The provider's screen of that step; None for a step of ours."""
        return next((screen for screen in self.screens if screen.step == step), None)


@cache
def catalogue() -> Mapping[str, Guide]:
    """The guide of every kind, in the order in which they are offered. Read once, when first asked for."""
    folder = resources.files(__name__)
    return MappingProxyType({kind: _read(folder.joinpath(f"{kind}.toml").read_text("utf-8")) for kind in KINDS})


def kind_of(kind: str | None, *, name: str, entity_id: str, sso_url: str) -> str:
    """Which kind a connection is set up as: what was said of it, else what it looks like."""
    return kind if kind in KINDS else recognise(name=name, entity_id=entity_id, sso_url=sso_url)


def _read(document: str) -> Guide:
    said: dict[str, Any] = tomllib.loads(document)
    return Guide(
        screens=tuple(
            Screen(**{**screen, "do": tuple(Instruction(**one) for one in screen["do"])}) for screen in said["screens"]
        ),
        attributes=tuple(Attribute(**row) for row in said["attributes"]),
        metadata=tuple(said["metadata"]),
        assign=tuple(said["assign"]),
    )
