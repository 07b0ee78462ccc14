"""Many random cases against one check; the one that fails is made as small as it can be, and shown with its seed."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from scim.errors import ScimError
from scim.filter import And, Filter, Not, Or, ValuePath, parse_filter, unparse
from scim.schemas import GROUP_TYPE
from tests.fuzz.resources import TYPE

#: What the suite explores; `make fuzz` takes others.
SEED, CASES = 7644, 500


@dataclass(frozen=True)
class Case:
    """A body, a User's or a Group's, and what is asked of it: the text of a filter, or the operations of a PATCH."""

    body: dict[str, Any]
    question: Any

    def __str__(self) -> str:
        return json.dumps({"body": self.body, "question": self.question}, indent=2)


Check = Callable[[Case], str | None]


class Disagreement(AssertionError):
    """A case that the check complains about."""


def explore(check: Check, cases: Callable[[Random], Case], *, number: int = CASES, seed: int = SEED) -> None:
    """So many cases, each with a seed of its own. Raises Disagreement with the smallest form of one that fails."""
    for n in range(number):
        case = cases(Random(f"{seed}:{n}"))
        if check(case):
            small = smallest(case, check)
            raise Disagreement(f"seed {seed}, case {n}: {check(small)}\n{small}")


def smallest(case: Case, check: Check) -> Case:
    """The case with everything left out that the complaint does not need."""
    for simpler in _simpler(case):
        with suppress(ScimError):  # nothing that could be stored is left of it
            if check(simpler):
                return smallest(simpler, check)
    return case


def _simpler(case: Case) -> Iterator[Case]:
    for question in _simpler_filters(case.question) if isinstance(case.question, str) else _pruned(case.question):
        if question:
            yield Case(case.body, question)
    required = "userName" if "userName" in case.body else "displayName"
    for body in _pruned(case.body):
        if required in body:
            yield Case(body, case.question)


def _pruned(value: Any) -> Iterator[Any]:
    """The JSON with one of its parts missing; nothing that was there becomes empty, which is another case."""
    if isinstance(value, dict):
        yield from ({name: item for name, item in value.items() if name != gone} for gone in value if len(value) > 1)
        yield from ({**value, name: simpler} for name, item in value.items() for simpler in _pruned(item))
    elif isinstance(value, list):
        yield from (value[:i] + value[i + 1 :] for i in range(len(value)))
        yield from ([*value[:i], simpler, *value[i + 1 :]] for i in range(len(value)) for simpler in _pruned(value[i]))


def _simpler_filters(text: str) -> Iterator[str]:
    for kind in (TYPE, GROUP_TYPE):
        with suppress(ScimError):
            yield from map(unparse, _simpler_trees(parse_filter(text, kind)))


def _simpler_trees(tree: Filter) -> Iterator[Filter]:
    """The tree with one of its terms missing, or no longer negated."""
    match tree:
        case And(terms) | Or(terms):
            yield from terms
            for i, term in enumerate(terms):
                yield from (type(tree)((*terms[:i], simpler, *terms[i + 1 :])) for simpler in _simpler_trees(term))
        case Not(term):
            yield term
            yield from map(Not, _simpler_trees(term))
        case ValuePath(path, term):
            yield from (ValuePath(path, simpler) for simpler in _simpler_trees(term))
