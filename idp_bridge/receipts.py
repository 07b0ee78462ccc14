"""Deprovisioning receipts: what a deactivation did, and how soon, told once all of it is known.

The change itself is told by its own event, in its own transaction: sessions ended, credentials stopped and roles lost
at that commit. Which webhooks heard of it, and when, is known only later: so the receipt is an event of its own,
written when the last webhook has heard, or after a while without those that have not.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from peewee import fn

from idp_bridge import actors, clock, db, events
from idp_bridge.events import Type
from idp_bridge.fetching import where_to
from idp_bridge.models import Account, Event, Receipt, Webhook, WebhookDelivery
from idp_bridge.statement import Statement, among

PATIENCE = timedelta(minutes=5)  # for webhooks that do not answer
BATCH = 200  # receipts of one transaction

known = threading.Event()  # in this process more is known of one that waits: the job looks at once

OF = frozenset({Type.USER_SUSPENDED, Type.USER_DEPROVISIONED, Type.USER_DELETED})


def expect(happened: list[Event], now: datetime) -> None:
    """Note the deactivations among these, in the transaction that seals them: those that stopped something, which says
    when it was asked for. Who was out already and is deleted by her directory has her receipt."""
    stopped = [event for event in happened if event.type in OF and "requested_at" in event.object]
    rows = [{"event": event.id, "due_at": now + PATIENCE} for event in stopped]
    if rows:
        Receipt.insert_many(rows).execute()
        db.after_commit(known.set)


def write(now: datetime) -> None:
    """Write the receipts of which all is known, or whose time is over; each once among all processes."""
    while found := db.column(_known(now)):
        db.repeated(lambda found=found: _write(found))  # type: ignore[misc]


def _known(now: datetime) -> Any:
    waiting = WebhookDelivery.select().where(WebhookDelivery.event == Receipt.event, WebhookDelivery.state == "waiting")
    found = Receipt.select(Receipt.event).where((Receipt.due_at <= now) | ~fn.EXISTS(waiting))
    return found.order_by(Receipt.event).limit(BATCH)


def _write(found: Sequence[str]) -> None:
    """In one transaction, which db.repeated opens: a mass deactivation must not wait for as many commits."""
    ours = db.column(Receipt.delete().where(Receipt.event.in_(found)).returning(Receipt.event))
    deliveries = defaultdict(list)
    for row in WebhookDelivery.select(WebhookDelivery, Webhook).join(Webhook).where(WebhookDelivery.event.in_(ours)):
        deliveries[row.event_id].append(row)
    happened = [event for (event,) in _EVENTS.instances(ids=ours)]
    accounts = {row.id: row for row in Account.select().where(Account.id.in_({each.account_id for each in happened}))}
    for event in happened:
        receipt = _receipt(event, sorted(deliveries[event.id], key=attrgetter("webhook_id")))
        actor = actors.system(accounts[event.account_id], subject="receipts")
        events.record(actor, Type.MEMBER_DEPROVISIONED, receipt)


_EVENTS: Statement = Statement(
    Event._meta.sorted_fields, lambda: Event.select().where(among(Event.id, "ids")).order_by(Event.id)
)


def _receipt(event: Event, deliveries: Sequence[WebhookDelivery]) -> dict[str, Any]:
    told = event.object
    asked = clock.parse(told["requested_at"]) if "requested_at" in told else event.timestamp
    done = _since(asked, event.timestamp)
    return {
        "id": told["id"],
        "email": told.get("email"),
        "event_id": event.id,
        "event_type": event.type,
        "requested_at": clock.rfc3339(asked),
        "request_id": event.request_id,
        "sessions_ended": {"count": told.get("sessions_ended", 0), "milliseconds": done},
        "credentials_suspended": {"ids": told.get("credentials", []), "milliseconds": done},
        "roles_lost": {"roles": told.get("roles", []), "milliseconds": done},
        "webhooks": [_heard(row, asked) for row in deliveries],
    }


def _heard(row: WebhookDelivery, asked: datetime) -> dict[str, Any]:
    heard = _since(asked, row.finished_at) if row.state == "delivered" and row.finished_at else None
    return {"id": row.webhook_id, "url": where_to(row.webhook.url), "state": row.state, "milliseconds": heard}


def _since(begin: datetime, end: datetime) -> int:
    return max(0, round((end - begin) / timedelta(milliseconds=1)))
