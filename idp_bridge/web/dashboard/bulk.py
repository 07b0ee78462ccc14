"""One thing done to many: to each for itself, with what became of it by name.

A plain post does it to all and answers with the list. Where the page can go on by itself (htmx), a few are done at a
time, and the answer is the next lines of the list, with how far it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Response, render_template, request
from marshmallow import validate
from peewee import DataError, IntegrityError

from idp_bridge import db
from idp_bridge.errors import DomainError, Invalid
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import render

AT_ONCE = 5  # in one answer of many
MOST = 200  # in one form


@dataclass(frozen=True)
class Outcome:
    """What became of one. ``link`` is shown this once."""

    name: str
    words: str
    good: bool = True
    link: str | None = None


@dataclass(frozen=True)
class Verb:
    """What can be done to many. ``warning``: asked back with it first, and the verb is to be typed."""

    title: str
    work: Callable[[str], Outcome]
    warning: str = ""


@dataclass(frozen=True)
class Several:
    """Things of one kind, which a table shows with a checkbox each. ``pick`` is the id of its form."""

    noun: str
    pick: str
    action: str
    page_url: str
    list: str  # the id of the table
    verbs: Mapping[str, Verb]
    names: Callable[[Sequence[str]], Mapping[str, str]]  # of those ids that are there


class TickedForm(forms.Form):
    """Which were ticked, what is to be done, and how many are done already."""

    id = forms.Several(validate=validate.Length(max=MOST))
    do = forms.Text(required=True)
    done = forms.Number(least=0, most=MOST, load_default=0)
    confirm = forms.Text(load_default=None)


@dataclass(frozen=True)
class _Progress:
    """How far it is."""

    outcomes: list[Outcome] = field(default_factory=list)
    done: int = 0
    left: Sequence[str] = ()

    @property
    def total(self) -> int:
        return self.done + len(self.left)


def answer(several: Several) -> Response:
    """Do what the form asks for. Raises Invalid for what cannot be asked for."""
    form = forms.read(TickedForm)
    ids, name, done = list(dict.fromkeys(form["id"])), form["do"], form["done"] or 0
    verb = several.verbs.get(name)
    if verb is None:
        raise Invalid("Choose what to do.", fields={"do": ["Choose one."]})
    facts: dict[str, Any] = {"several": several, "verb": verb, "do": name, "names": several.names(ids)}
    if ids and verb.warning and form["confirm"] != name:
        return _say("ask", ids=ids, wrong=form["confirm"] is not None, **facts)
    now, left = (ids[:AT_ONCE], ids[AT_ONCE:]) if _goes_on() else (ids, [])
    outcomes = [_attempt(verb.work, id, facts["names"].get(id, id)) for id in now]
    return _say("step" if done else "done", progress=_Progress(outcomes, done + len(now), left), **facts)


def _goes_on() -> bool:
    return request.headers.get("HX-Request-Type") == "partial"


def _page_url(several: Several) -> str:
    """Where the list is, narrowed and sorted as it was."""
    there = urlsplit(request.headers.get("HX-Current-URL", ""))
    return f"{several.page_url}?{there.query}" if there.path == several.page_url and there.query else several.page_url


def _attempt(work: Callable[[str], Outcome], id: str, name: str) -> Outcome:
    try:
        with db.savepoint():
            return work(id)
    except DomainError as refusal:
        return Outcome(name, refusal.message, good=False)
    except (IntegrityError, DataError):
        return Outcome(name, "Somebody else changed the same thing at this moment. Try again.", good=False)


def _say(part: str, **facts: Any) -> Response:
    """A part of the page to whoever has the rest of it, else a page."""
    back = _page_url(facts["several"])
    if _goes_on():
        return Response(render_template(f"dashboard/_bulk_{part}.html", back=back, **facts))
    return render("bulk.html", part=part, back=back, **facts)
