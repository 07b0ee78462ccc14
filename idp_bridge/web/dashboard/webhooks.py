"""Webhooks: who is told of events, what came of each telling, a test, and a new secret."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import url_for

from idp_bridge import webhooks
from idp_bridge.models import Event, Webhook, WebhookDelivery
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import table
from idp_bridge.web.dashboard.members import confirm
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.table import Asked, Column, Filter, Steps, Table
from idp_bridge.web.guard import actor, guard

#: State of a delivery -> its words and their tone.
STATES = {
    webhooks.WAITING: ("Waiting", "warn"),
    webhooks.DELIVERED: ("Delivered", "good"),
    webhooks.GIVEN_UP: ("Given up", "bad"),
}

HOOKS = Table(
    "dashboard.webhooks",
    "webhook",
    (Column("url", "URL"), Column("state", "State"), Column("events", "Told of"), Column("made", "Made")),
)
DELIVERIES = Table(
    "dashboard.webhook",
    "delivery",
    (
        Column("event", "Event"),
        Column("state", "State"),
        Column("when", "When", (WebhookDelivery.id,), newest_first=True),
        Column("answer", "Answer"),
        Column("do", "What to do", hidden=True),
    ),
    (Filter("state", "State", {"": "All", **{state: words for state, (words, _) in STATES.items()}}),),
    export="dashboard.export_deliveries",
)

WHY_OFF = {
    webhooks.FAILING: "It failed for five days, so it was switched off. What happened since is told nobody.",
    webhooks.GONE: "It answered 410 Gone, so it was switched off. What happened since is told nobody.",
}


class WebhookForm(forms.Form):
    """URL, types and description of a webhook."""

    url = forms.Text(required=True, longest=2048)
    events = forms.Words(load_default=list)
    description = forms.Text(load_default="")


def _values() -> dict[str, Any]:
    form = forms.read(WebhookForm)
    return {**form, "events": form["events"] or ["*"]}


@blueprint.get("/webhooks", endpoint="webhooks")
@guard(Permission.ACCOUNT_WRITE)
def webhook_list() -> Any:
    """The account's webhooks."""
    return render(
        "webhooks.html",
        hooks=table.whole(HOOKS.asked(), list(webhooks.of_account(actor().account).order_by(Webhook.id))),
    )


@blueprint.post("/webhooks")
@refused_on(webhook_list)
@guard(Permission.ACCOUNT_WRITE)
def create_webhook() -> Any:
    """A new webhook, with its secret shown once."""
    return _page(*webhooks.create(actor(), **_values()))


@blueprint.get("/webhooks/<webhook_id>")
@guard(Permission.ACCOUNT_WRITE)
def webhook(webhook_id: str) -> Any:
    """One webhook with its log."""
    return _page(webhooks.get(actor().account, webhook_id))


def _page(hook: Webhook, secret: str | None = None) -> Any:
    asked = DELIVERIES.asked(webhook_id=hook.id)
    return render(
        "webhook.html",
        status=201 if secret else 200,
        hook=hook,
        secret=secret,
        why_off=WHY_OFF.get(hook.disabled_reason),
        deliveries=table.page(asked, _steps(asked, hook)),
        host=_host(hook),
        states=STATES,
        pretty=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        page_url=url_for("dashboard.webhook", webhook_id=hook.id),
    )


def _steps(asked: Asked, hook: Webhook) -> Steps:
    found = WebhookDelivery.select(WebhookDelivery, Event).join(Event).where(WebhookDelivery.webhook == hook)
    state = asked.wanted.get("state")
    sparse = [WebhookDelivery.state == state] if state else []
    by, descending = asked.column.by, asked.descending
    return lambda after, limit: table.step(found, by, after=after, limit=limit, descending=descending, sparse=sparse)


def _host(hook: Webhook) -> str:
    """What is typed to show that a deletion is meant."""
    return urlsplit(str(hook.url)).hostname or hook.id


@blueprint.get("/webhooks/<webhook_id>/deliveries.csv")
@guard(Permission.ACCOUNT_WRITE)
def export_deliveries(webhook_id: str) -> Any:
    """The log that the filter leaves: of each delivery its last attempt."""
    hook = webhooks.get(actor().account, webhook_id)
    asked = DELIVERIES.asked(webhook_id=hook.id)

    def cells(rows: list[WebhookDelivery]) -> Iterator[Sequence[Any]]:
        for row in rows:
            last = row.attempts[-1] if row.attempts else {}
            about = (row.id, row.event_id, row.event.type, row.state, row.created_at, row.finished_at)
            yield (*about, len(row.attempts), last.get("status"), last.get("error"), last.get("milliseconds"))

    head = ("id", "event_id", "event_type", "state", "created_at", "finished_at", "attempts")
    return table.download(
        f"deliveries-{hook.id}", (*head, "status", "error", "milliseconds"), _steps(asked, hook), cells
    )


@blueprint.post("/webhooks/<webhook_id>/edit")
@refused_on(webhook, "webhook_id")
@guard(Permission.ACCOUNT_WRITE)
def edit_webhook(webhook_id: str) -> Any:
    """Save URL, types and description."""
    webhooks.change(actor(), webhooks.get(actor().account, webhook_id), **_values())
    return done("The webhook is saved.", "webhook", webhook_id=webhook_id)


@blueprint.post("/webhooks/<webhook_id>/<any(on,off):switch>")
@refused_on(webhook, "webhook_id")
@guard(Permission.ACCOUNT_WRITE)
def switch_webhook(webhook_id: str, switch: str) -> Any:
    """Tell it of what happens from now on, or of nothing more."""
    webhooks.change(actor(), webhooks.get(actor().account, webhook_id), active=switch == "on")
    return done(f"The webhook is {switch}.", "webhook", webhook_id=webhook_id)


@blueprint.post("/webhooks/<webhook_id>/test")
@refused_on(webhook, "webhook_id")
@guard(Permission.ACCOUNT_WRITE)
def test_webhook(webhook_id: str) -> Any:
    """Send an event of its own."""
    webhooks.test(actor(), webhooks.get(actor().account, webhook_id))
    return done("The test is on its way: the log shows what comes of it.", "webhook", webhook_id=webhook_id)


@blueprint.post("/webhooks/<webhook_id>/rotate")
@refused_on(webhook, "webhook_id")
@guard(Permission.ACCOUNT_WRITE)
def rotate_webhook_secret(webhook_id: str) -> Any:
    """A new secret, shown once."""
    hook = webhooks.get(actor().account, webhook_id)
    return _page(hook, webhooks.rotate(actor(), hook))


@blueprint.post("/webhooks/<webhook_id>/deliveries/<delivery_id>/redeliver")
@refused_on(webhook, "webhook_id")
@guard(Permission.ACCOUNT_WRITE)
def redeliver_webhook_delivery(webhook_id: str, delivery_id: str) -> Any:
    """Try one delivery again."""
    webhooks.redeliver(actor(), webhooks.delivery(webhooks.get(actor().account, webhook_id), delivery_id))
    return done("It is sent again, with the same webhook-id.", "webhook", webhook_id=webhook_id)


@blueprint.post("/webhooks/<webhook_id>/delete")
@refused_on(webhook, "webhook_id")
@guard(Permission.ACCOUNT_WRITE)
def delete_webhook(webhook_id: str) -> Any:
    """Gone, with its log."""
    hook = webhooks.get(actor().account, webhook_id)
    confirm(_host(hook))
    webhooks.delete(actor(), hook)
    return done("The webhook is deleted.", "webhooks")
