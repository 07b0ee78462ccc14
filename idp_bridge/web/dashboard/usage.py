"""Plan and seats: what counts as a seat, what does not, and what each plan opens."""

from typing import Any

from idp_bridge import bots, plans, seats
from idp_bridge.models import Member
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, guard


@blueprint.get("/usage", endpoint="usage")
@guard(Permission.USAGE_READ)
def usage_page() -> Any:
    """The seat meter and the table of plans."""
    account = actor().account
    suspended = Member.select().where(Member.account == account, ~Member.active, Member.removed_at.is_null())
    return render(
        "usage.html",
        account=account,
        seats=seats.count(account),
        suspended=suspended.count(),
        bots=bots.of_account(account).count(),
        features=list(plans.Feature),
    )
