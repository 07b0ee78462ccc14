"""Events: what happened in the account, newest first, narrowed by what, who, when and through what, and all of it to
take away."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response

from idp_bridge import db, events, members
from idp_bridge.events import Type
from idp_bridge.models import Account, Event
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard import table
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.dashboard.table import Asked, Column, Filter, Steps, Table
from idp_bridge.web.guard import actor, base_url, guard

SOURCES = ("dashboard", "api", "scim", "saml", "cli", "system")

EVENTS = Table(
    "dashboard.events",
    "event",
    (
        Column("type", "Type"),
        Column("when", "When", (Event.id,), newest_first=True),
        Column("by", "By"),
        Column("through", "Through"),
        Column("about", "About"),
    ),
    (
        Filter("type", "Type", {"": "All types", **{type.value: type.value for type in Type}}),
        Filter("actor_id", "By", placeholder="usr_…, bot_… or a member's address"),
        Filter("object_id", "About", placeholder="An id, or a member's address"),
        Filter("source", "Through", {"": "Anything", **{name: name for name in SOURCES}}),
        Filter("since", "Since (UTC)", type="date"),
        Filter("until", "Until the end of (UTC)", type="date"),
        Filter("id", "Event id", placeholder="ev_…"),
    ),
    export="dashboard.export_events_csv",
)

#: Those that an index answers together with the account; the first that is asked for is taken.
_INDEXED = ("object_id", "actor_id", "type")


@blueprint.get("/events", endpoint="events")
@guard(Permission.EVENTS_READ)
def event_list() -> Any:
    """The table, with the whole of each event and what it changed."""
    account, asked = actor().account, EVENTS.asked()
    return render(
        "events.html",
        events=table.page(asked, _steps(account, asked)),
        lines_url=asked.url("dashboard.export_events"),
        view_url=base_url() + asked.url(),
        whole=lambda event: json.dumps(events.describe(event, base_url=base_url()), indent=2, ensure_ascii=False),
        changes=_changes,
    )


@blueprint.get("/events.jsonl")
@guard(Permission.EVENTS_READ)
def export_events() -> Response:
    """All that fit the filter, as JSON lines, oldest first."""
    account = actor().account
    lines = events.lines(account, base_url=base_url(), **_wanted(account, EVENTS.asked()))
    return Response(lines, mimetype="application/x-ndjson", headers=_named(f"events-{account.slug}.jsonl"))


@blueprint.get("/events.csv")
@guard(Permission.EVENTS_READ)
def export_events_csv() -> Response:
    """The same as CSV, in the order of the page."""
    account, asked = actor().account, EVENTS.asked()

    def cells(rows: list[Event]) -> Iterator[Sequence[Any]]:
        for row in rows:
            by = (row.principal_type, row.principal_id, row.principal_subject, row.source, row.credential_id)
            about = (row.object_id, db.encode(row.object), row.address, row.request_id)
            yield (row.id, row.timestamp, row.type, *by, *about)

    return table.download(f"events-{account.slug}", _HEAD, _steps(account, asked), cells)


_HEAD = (
    *("event_id", "event_timestamp", "event_type", "principal_type", "principal_id", "principal_subject"),
    *("source", "credential_id", "object_id", "object", "address", "request_id"),
)


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _steps(account: Account, asked: Asked) -> Steps:
    wanted = _wanted(account, asked)
    when = {name: wanted.pop(name) for name in ("since", "until") if name in wanted}
    indexed = next((name for name in _INDEXED if name in wanted), None)
    found = events.of_account(account, **when, **({indexed: wanted.pop(indexed)} if indexed else {}))
    if event_id := asked.wanted.get("id"):
        found = found.where(Event.id == event_id)
    sparse = [events.FILTERS[name] == value for name, value in wanted.items()]
    by, descending = asked.column.by, asked.descending
    return lambda after, limit: table.step(found, by, after=after, limit=limit, descending=descending, sparse=sparse)


def _wanted(account: Account, asked: Asked) -> dict[str, Any]:
    """What is asked for, as events.of_account takes it; a day that is none is not asked for."""
    given = {name: value for name, value in asked.wanted.items() if name in events.FILTERS}
    for name in given.keys() & {"actor_id", "object_id"}:
        given[name] = _id_of(account, given[name])
    since, until = _day(asked.wanted.get("since")), _day(asked.wanted.get("until"))
    until = until and until + timedelta(days=1)
    return {**given, **{name: moment for name, moment in (("since", since), ("until", until)) if moment}}


def _id_of(account: Account, text: str) -> str:
    """An id, or the member's who has this address now."""
    found = members.with_address(account, text) if "@" in text else []
    return found[0].id if found else text


def _day(text: str | None) -> datetime | None:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _changes(event: Event) -> list[tuple[str, str, str]]:
    """What differs: name, before, after; empty where the event tells of no change."""
    before = event.object.get("before")
    if not isinstance(before, dict):
        return []
    return [(name, _said(value), _said(event.object.get(name))) for name, value in sorted(before.items())]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
