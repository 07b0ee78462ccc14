"""What each identity provider's own screens call things, and how a refusal is mended there: data, one file for each.

A file says how to recognise the provider, the words of its screens for our values, where in its menus things are, and
a fix for each refusal that it has words for. ``other`` has one for every refusal there is. In the texts ``**…**`` is
the name of something on a screen, backticks stand around what is typed, and braces around a place or a placeholder.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

OTHER = "other"

#: The order in which they are offered.
KINDS = ("okta", "entra", "google", "onelogin", "ping", "adfs", "keycloak", "simplesamlphp", "jumpcloud", OTHER)

#: Our values, which are pasted at the provider under labels of its own.
VALUES = ("acs_url", "sp_entity_id", "sp_metadata_url", "start_url", "slo_url", "scim_base_url")

#: What is filled in when a text is shown: two facts of the refusal, and our values.
PLACEHOLDERS = ("got", "want", *VALUES)

NOTHING = "nothing"  # in place of a fact that a refusal does not have

_BRACES = re.compile(r"\{(\w+)\}")
_URL = re.compile(r"\w+://(?:[^/?#]*@)?([^/?#:]+)[^/?#]*([^?#]*)")  # an entity ID need not be a URL at all


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One kind of identity provider, in the words of its own screens."""

    kind: str
    title: str
    sources: tuple[str, ...]
    """The vendor's pages that the words were taken from."""
    note: str
    """What else to set where our values are pasted."""
    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    names: tuple[str, ...]
    labels: Mapping[str, str]
    """One of `VALUES`, or ``token`` -> what the provider's screen calls it."""
    where: Mapping[str, str]
    fixes: Mapping[str, str]
    """A reason or an outcome of a refused sign-in -> what to do about it."""


@cache
def catalogue() -> Mapping[str, Provider]:
    """Every provider by its kind, in the order of `KINDS`. Read once, when first asked for."""
    folder = resources.files(__name__)
    return MappingProxyType({kind: _read(kind, folder.joinpath(f"{kind}.toml").read_text("utf-8")) for kind in KINDS})


def _read(kind: str, document: str) -> Provider:
    said: dict[str, Any] = tomllib.loads(document)
    marks = {name: tuple(said["recognised_by"].get(name, ())) for name in ("hosts", "paths", "names")}
    return Provider(
        kind=kind,
        title=said["title"],
        sources=tuple(said["sources"]),
        note=said["note"],
        labels=MappingProxyType(said["labels"]),
        where=MappingProxyType(said["where"]),
        fixes=MappingProxyType({why: fix["text"] for fix in said["fixes"] for why in fix["for"]}),
        **marks,
    )


def recognise(*, name: str, entity_id: str, sso_url: str) -> str:
    """Which kind a connection is: by the host that it is at, by a path that only one product has, by its name."""
    urls = [url.groups() for url in map(_URL.match, (sso_url, entity_id)) if url]
    called = name.casefold()
    signs: tuple[Callable[[Provider], bool], ...] = (
        lambda one: any(f".{host}".lower().endswith(f".{mark}") for mark in one.hosts for host, _ in urls),
        lambda one: any(mark in path for mark in one.paths for _, path in urls),
        lambda one: any(mark in called for mark in one.names),
    )
    every = catalogue().values()
    return next((one.kind for sign in signs for one in every if sign(one)), OTHER)


def fix(kind: str, why: str) -> str | None:
    """What to do about this refusal, in that provider's words, else in general ones with its places; None where the
    reason is none that a sign-in can be refused for."""
    provider = catalogue()[kind]
    text = provider.fixes.get(why) or catalogue()[OTHER].fixes.get(why)
    return None if text is None else _BRACES.sub(lambda found: provider.where.get(found[1], found[0]), text)


def values(facts: Mapping[str, object]) -> dict[str, str]:
    """What the placeholders of a text stand for: of all facts those that it may name, a word where there is none."""
    return {name: str(facts.get(name) or NOTHING) for name in PLACEHOLDERS}


def plain(text: str, facts: Mapping[str, object]) -> str:
    """The text without marks, its placeholders filled in: for JSON and mail."""
    return re.sub(r"\*\*|`", "", text).format_map(values(facts))
