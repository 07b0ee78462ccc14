"""Events: what happened in the account, newest first, and all of it to take away."""

import json
from typing import Any

from flask import Response, request

from idp_bridge import events
from idp_bridge.events import Type
from idp_bridge.models import Event
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, base_url, guard

PAGE = 50


@blueprint.get("/events", endpoint="events")
@guard(Permission.EVENTS_READ)
def event_list() -> Any:
    """The table, filtered by type, by who acted and by what it was done to."""
    wanted = _wanted("type", "actor_id", "object_id", "id")
    found = Event.select().where(Event.account == actor().account)
    columns = {
        "type": Event.type,
        "actor_id": Event.principal_id,
        "object_id": Event.object_id,
        "id": Event.id,
    }
    for name, value in wanted.items():
        found = found.where(columns[name] == value)
    if before := request.args.get("before"):
        found = found.where(Event.id < before)
    rows = list(found.order_by(Event.id.desc()).limit(PAGE + 1))
    return render(
        "events.html",
        events=rows[:PAGE],
        older=rows[PAGE - 1].id if len(rows) > PAGE else None,
        wanted=wanted,
        paged=before is not None,
        types=[type.value for type in Type],
        pretty=lambda value: json.dumps(value, indent=2, ensure_ascii=False, default=str),
    )


@blueprint.get("/events.jsonl")
@guard(Permission.EVENTS_READ)
def export_events() -> Response:
    """All that fit the filter, as JSON lines."""
    account = actor().account
    lines = events.lines(account, base_url=base_url(), **_wanted("type", "actor_id", "object_id"))
    named = {"Content-Disposition": f'attachment; filename="events-{account.slug}.jsonl"'}
    return Response(lines, mimetype="application/x-ndjson", headers=named)


def _wanted(*names: str) -> dict[str, str]:
    given = {name: request.args.get(name, "").strip() for name in names}
    return {name: value for name, value in given.items() if value}
