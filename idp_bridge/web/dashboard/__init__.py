"""The pages under /accounts/<slug>/: one file for each group of them, all on one blueprint."""

from typing import Any

from flask import Flask, g

from idp_bridge import clock
from idp_bridge.plans import PLANS, Feature, cheapest_with, has
from idp_bridge.web.dashboard import (
    advice,
    bot_users,
    conflicts,
    credentials,
    events,
    groups,
    identity_providers,
    invitations,
    member_list,
    members,
    overview,
    page,
    profile,
    provisioning,
    provisioning_log,
    roles,
    sessions,
    set_up,
    set_up_by_link,
    settings,
    sign_in_flows,
    sign_in_mode,
    trust,
    usage,
    webhooks,
)

__all__ = ["bot_users", "conflicts", "credentials", "events", "groups", "identity_providers", "invitations"]
__all__ += ["member_list", "members", "overview", "profile", "provisioning", "provisioning_log", "register", "roles"]
__all__ += ["sessions", "set_up", "settings"]
__all__ += ["sign_in_flows", "sign_in_mode", "trust", "usage", "webhooks"]


def register(app: Flask) -> None:
    """Mount the pages, and give every template what the frame of a page needs."""
    app.register_blueprint(page.blueprint)
    app.register_blueprint(set_up_by_link.blueprint)
    app.context_processor(_frame)
    app.add_template_filter(advice.marked, "marked")
    app.add_template_filter(page.ago, "ago")
    app.add_template_filter(page.label, "label")
    app.add_template_filter(clock.rfc3339, "rfc3339")
    app.add_template_filter(clock.parse, "instant")


def _frame() -> dict[str, Any]:
    """Facts that the request holds already: the frame of an error page must not need the database."""
    actor = g.get("actor")
    return {
        "actor": actor if actor is not None and "session" in g else None,
        "reached": g.get("reached", []),
        "navigation": page.NAVIGATION,
        "marked_pages": frozenset(),
        "banners": (),
        "refusal": g.get("refusal"),
        "sent": page.sent,
        "ticked": page.ticked,
        "faults": page.faults,
        "Feature": Feature,
        "plan_has": has,
        "plans": PLANS,
        "cheapest_with": cheapest_with,
    }
