"""How each provider is set up to push over SCIM, in the words of its own screens, and how its errors are mended: data.

A file for each kind of provider that has words of its own; ``other`` has the general ones. ``errors.toml`` names the
errors that a push ends in, by what of our answer tells them apart, and says for each who acts; a provider's file has a
fix for those that are mended on its screens. Marks and placeholders are those of the folder above.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

OTHER = "other"

#: Those with a file; whoever is not among them has the words of `OTHER`.
KINDS = ("okta", "entra", "google", "onelogin", "ping", "adfs", "keycloak", "simplesamlphp", "jumpcloud", OTHER)

#: Who mends an error: whoever administers the provider, an administrator here, or whoever runs the service.
SIDES = ("identity_provider", "administrator", "operator")


@dataclass(frozen=True)
class Step:
    """One screen of the provider's."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Guide:
    """The whole way, from the first screen to the first push, and what is done there later."""

    kind: str
    sources: tuple[str, ...]
    """The vendor's pages that the words were taken from."""
    note: str
    """What to know before: mostly that such a product pushes nothing by itself."""
    test: str
    """What makes it send the first request: a clause that follows "no request yet:"."""
    paste: str
    """Where another token is pasted."""
    again: str
    """How it is made to send again what failed."""
    steps: tuple[Step, ...]
    fixes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A kind of error: how it is recognised, whose it is to mend, what happened, and how it is mended in general."""

    name: str
    statuses: tuple[int, ...]
    scim_types: tuple[str, ...]
    says: tuple[str, ...]
    side: str
    what: str
    fix: str


@cache
def guide(kind: str) -> Guide:
    """The guide in that provider's words; what its file leaves out is said in general ones."""
    general, said = _document(OTHER), _document(kind if kind in KINDS else OTHER)
    own = {**general, **said}
    return Guide(
        kind=kind,
        sources=tuple(own["sources"]),
        note=own["note"],
        test=own["test"],
        paste=own["paste"],
        again=own["again"],
        steps=tuple(Step(step["title"], step["text"]) for step in own["steps"]),
        fixes=MappingProxyType(said.get("fixes", {})),
    )


@cache
def problems() -> tuple[Problem, ...]:
    """Every kind of error, in the order in which they are tried."""
    return tuple(
        Problem(
            name=row["name"],
            statuses=tuple(row["status"]),
            scim_types=tuple(row.get("scim_type", ())),
            says=tuple(row.get("says", ())),
            side=row["side"],
            what=row["what"],
            fix=row["fix"],
        )
        for row in _document("errors")["errors"]
    )


def problem(*, status: int, scim_type: str | None, detail: str) -> Problem | None:
    """What kind of error that is; None for one that has no words."""
    return next((one for one in problems() if _is(one, status, scim_type, detail)), None)


def fix(kind: str, found: Problem) -> str:
    """How it is mended, in the provider's words where it has some."""
    return guide(kind).fixes.get(found.name, found.fix)


def _is(one: Problem, status: int, scim_type: str | None, detail: str) -> bool:
    """By status, by ``scimType`` where the row names some, by a part of the sentence where it has one. A bulk request
    has the status of the whole, which is 200."""
    return (
        status in (*one.statuses, 200)
        and (not one.scim_types or scim_type in one.scim_types)
        and (not one.says or any(fnmatchcase(detail, f"*{part}*") for part in one.says))
    )


def _document(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))
