"""Plan and usage: what was used and by whom, against the plan's limits; what counts as a seat, and what each plan
opens."""

import re
from datetime import date, timedelta
from typing import Any

from flask import request

from idp_bridge import bots, plans, seats, usage
from idp_bridge.models import Member
from idp_bridge.roles import Permission
from idp_bridge.usage import Days
from idp_bridge.web.dashboard import usage_plot
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, guard

MOST_OWNERS = 200  # on the page; the API has them all

_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


@blueprint.get("/usage", endpoint="usage")
@guard(Permission.USAGE_READ)
def usage_page() -> Any:
    """A month's usage, the seat meter and the table of plans."""
    account, days = actor().account, _month()
    suspended = Member.select().where(Member.account == account, ~Member.active, Member.removed_at.is_null())
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
        suspended=suspended.count(),
        bots=bots.of_account(account).count(),
        features=list(plans.Feature),
    )


def _month() -> Days:
    """The month that was asked for; this one where that is none."""
    asked = request.args.get("month", "")
    return Days.of_month(date.fromisoformat(f"{asked}-01") if _MONTH.fullmatch(asked) else usage.today())
