"""Plan and usage: what was used and by whom, against the plan's limits; what counts as a seat, and what each plan
opens."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from flask import Response, request

from idp_bridge import events, plans, seats, usage
from idp_bridge.events import Type
from idp_bridge.plans import Metric
from idp_bridge.roles import Permission
from idp_bridge.usage import Days
from idp_bridge.web.dashboard import table, usage_plot
from idp_bridge.web.dashboard.member_list import not_counted
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, guard

MOST_OWNERS = 200  # on the page; the CSV and the API have them all
MOST_A_DAY = 10_000  # sign-ins that are counted: a page costs the same wherever more come

_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


@blueprint.get("/usage", endpoint="usage")
@guard(Permission.USAGE_READ)
def usage_page() -> Any:
    """A month's usage, the seat meter and the table of plans."""
    account, days = actor().account, _month()
    by_day = usage.by_day(account, days)
    month = usage.month_of(days.first.isoformat())
    owners = usage.by_owner(account, days, limit=MOST_OWNERS + 1, bots_first=True)
    return render(
        "usage.html",
        account=account,
        month=month,
        earlier=usage.month_of((days.first - timedelta(days=1)).isoformat()),
        later=usage.month_of((days.last + timedelta(days=1)).isoformat()) if days.last < usage.today() else None,
        used=[
            (one, plans.METRICS[one.metric].label, usage_plot.of(one.metric, days, by_day[one.metric]))
            for one in usage.allowances(account, month)
        ],
        owners=owners[:MOST_OWNERS],
        more=len(owners) > MOST_OWNERS,
        shown=usage_plot.shown,
        metrics=plans.METRICS,
        seats=seats.count(account),
        not_counted=not_counted(account),
        sign_ins=_sign_ins(days) if actor().may(Permission.EVENTS_READ) else [],
        most_sign_ins=MOST_A_DAY,
        features=list(plans.Feature),
    )


@blueprint.get("/usage.csv")
@guard(Permission.USAGE_READ)
def export_usage() -> Response:
    """Everybody who has used something in the month or has a credential: members before bot users."""
    account, days = actor().account, _month()

    def owners(after: table.Key | None, limit: int) -> table.Step:
        found = usage.by_owner(account, days, limit=limit + 1, before_id=after[0] if after else None)
        entries: list[tuple[table.Key, Any]] = [((one.id,), one) for one in found[:limit]]
        return table.Step(entries, entries[-1][0] if len(found) > limit else None)

    def cells(rows: list[usage.OwnerUsage]) -> Iterator[Sequence[Any]]:
        for row in rows:
            yield (row.id, row.type, row.name, row.state, *row.amounts.values(), *row.credentials.values())

    head = ("owner_id", "owner_type", "owner", "state", *Metric, *usage.CREDENTIALS)
    return table.download(f"usage-{account.slug}-{usage.month_of(days.first.isoformat())}", head, owners, cells)


def _sign_ins(days: Days) -> list[tuple[str, usage_plot.Plot]]:
    """Each kind of sign-in by its days."""
    kinds = {Type.SIGN_IN_SUCCEEDED: "Sign-ins", Type.SIGN_IN_REFUSED: "Refused sign-ins"}
    found = {type: events.by_day(actor().account, type, list(days), most=MOST_A_DAY) for type in kinds}
    return [(label, usage_plot.of(type.name.lower(), days, found[type])) for type, label in kinds.items()]


def _month() -> Days:
    """The month that was asked for; this one where that is none."""
    asked = request.args.get("month", "")
    return Days.of_month(date.fromisoformat(f"{asked}-01") if _MONTH.fullmatch(asked) else usage.today())
