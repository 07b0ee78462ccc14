"""Telling webhooks: signed, in order for each object, for a day where it fails, and never into our own network.

One process at a time tells a webhook: whoever moved its ``busy_until`` on. It tells one event after the other and stops
where the receiver is down. One that dies between the answer and the row tells it again, with the same webhook-id: twice
is possible, never is not.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import fn
from standardwebhooks import Webhook as Signer

from idp_bridge import actors, clock, db, events, fetching, keyring, webhooks
from idp_bridge.config import Config
from idp_bridge.errors import Invalid
from idp_bridge.events import Type
from idp_bridge.models import Event, Webhook, WebhookDelivery
from idp_bridge.webhooks import DELIVERED, FAILING, GIVEN_UP, GONE, WAITING

#: How long after each attempt that failed the next one is made: ten in a day.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (0.1, 1, 5, 30, 60, 120, 240, 360, 420))
LEASE = timedelta(minutes=2)  # after this another process takes up what one has begun
TURN = timedelta(minutes=1)  # of one webhook, before others have theirs
OUTAGE = timedelta(minutes=10)  # without any success: the receiver was away
LONG = timedelta(days=5)  # a webhook that has failed for so long is switched off
SAID_EVERY = timedelta(days=1)  # one event says so of a webhook, however many deliveries are given up
KEPT = timedelta(days=30)  # rows of what is done
AT_ONCE = 4  # webhooks, in one process: a receiver that is slow keeps only its own waiting

log = logging.getLogger(__name__)


@dataclass
class _Service:
    base_url: str = ""


_service = _Service()


def configure(config: Config) -> None:
    """Take the operator's settings; once, at the start of the process."""
    _service.base_url = config.base_url


def deliver(now: datetime) -> None:
    """Tell what is due, and give up what has waited for too long."""
    _sweep(now)
    due = _due(now)
    if not due:
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhooks") as pool:
        list(pool.map(_tell, due))


def _due(now: datetime) -> list[str]:
    """The webhooks that something is due for and that no process is at."""
    waiting = WebhookDelivery.select(WebhookDelivery.webhook).where(
        WebhookDelivery.state == WAITING, WebhookDelivery.due_at <= now
    )
    query = Webhook.select(Webhook.id).where(Webhook.active, Webhook.busy_until <= now, Webhook.id.in_(waiting))
    return db.column(query)


def _tell(webhook_id: str) -> None:
    """What is due for one webhook, in order, until its turn is over or its receiver is down."""
    with db.connection():
        try:
            if _claimed(webhook_id):
                until = clock.now() + TURN
                while clock.now() < until and (row := _next(webhook_id)) is not None:
                    if not _attempt(row):
                        break
                _write(lambda: Webhook.update(busy_until=clock.now()).where(Webhook.id == webhook_id).execute())
        except Exception:  # the others are none of its business; its lease ends by itself
            log.exception("a webhook could not be told", extra={"webhook_id": webhook_id})


def _claimed(webhook_id: str) -> bool:
    now = clock.now()
    mine = Webhook.update(busy_until=now + LEASE).where(Webhook.id == webhook_id, Webhook.busy_until <= now)
    return bool(_write(mine.execute))


def _next(webhook_id: str) -> WebhookDelivery | None:
    """The first that is due and before which nothing of the same object waits."""
    before = WebhookDelivery.alias()
    earlier = before.select(before.id).where(
        before.webhook == webhook_id,
        before.state == WAITING,
        before.ordered_by == WebhookDelivery.ordered_by,
        before.position < WebhookDelivery.position,
    )
    query = (
        WebhookDelivery.select(WebhookDelivery, Webhook, Event)
        .join(Webhook)
        .switch(WebhookDelivery)
        .join(Event)
        .where(
            WebhookDelivery.webhook == webhook_id,
            WebhookDelivery.state == WAITING,
            WebhookDelivery.due_at <= clock.now(),
            Webhook.active,
            ~fn.EXISTS(earlier),
        )
    )
    found: WebhookDelivery | None = query.order_by(WebhookDelivery.position, WebhookDelivery.id).first()
    return found


def _attempt(row: WebhookDelivery) -> bool:
    """Tell it once, and write down what came of it; False where the receiver is down and others need not be tried."""
    began, clocked = clock.now(), time.perf_counter()
    status, error, answer = None, "", b""
    try:
        body = body_of(row.event, base_url=_service.base_url)
        said = fetching.post(row.webhook.url, body.encode(), headers=headers_of(row, body, began))
        status, answer = said.status, said.begins
    except Invalid as refused:
        error = next(iter(refused.fields.values()))[0]
    except keyring.WrongSecretKey:
        error = "The webhook's secret was sealed under another SECRET_KEY: make a new one."
    made = {
        "at": clock.rfc3339(began),
        "milliseconds": round((time.perf_counter() - clocked) * 1000),
        "status": status,
        "error": error,
        "answer": answer.decode(errors="replace").replace("\0", "\ufffd"),
    }
    row.attempts = [*row.attempts, made]
    _write(lambda: _note(row, status, clock.now()))
    return status is not None and status < 500 and status != 429


def body_of(event: Event, *, base_url: str) -> str:
    """Standard Webhooks' payload: the type, the time, and the event as /api/events/{id} answers it."""
    told = events.describe(event, base_url=base_url)
    return db.encode({"type": told["event_type"], "timestamp": told["event_timestamp"], "data": told})


def headers_of(row: WebhookDelivery, body: str, now: datetime) -> dict[str, str]:
    """Its id, the event's, which stays the same however often it is told; the time; a signature by each secret."""
    signatures = [Signer(secret).sign(row.event_id, now, body) for secret in webhooks.live_secrets(row.webhook, now)]
    return {
        "Content-Type": "application/json",
        "webhook-id": row.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


# --- what came of it --------------------------------------------------------------------------------------------


def _note(row: WebhookDelivery, status: int | None, now: datetime) -> None:
    if status is not None and 200 <= status < 300:
        _finish(row, DELIVERED, now)
        _recovered(row.webhook, now)
        return
    webhook = row.webhook
    if webhook.failing_since is None:
        webhook.failing_since = now
        webhook.save(only=[Webhook.failing_since])
    row.due_at = now + PAUSES[min(len(row.attempts), len(PAUSES)) - 1]
    if row.due_at > row.expires_at:
        _finish(row, GIVEN_UP, now)
        _say(webhook, row, now)
    else:
        row.save(only=[WebhookDelivery.attempts, WebhookDelivery.due_at])
    if status == 410:  # Standard Webhooks: the receiver wants no more
        webhooks.switch_off(webhook, GONE)
    elif webhook.failing_since < now - LONG:
        webhooks.switch_off(webhook, FAILING)


def _finish(row: WebhookDelivery, state: str, now: datetime) -> None:
    row.state, row.finished_at = state, now
    row.save(only=[WebhookDelivery.attempts, WebhookDelivery.state, WebhookDelivery.finished_at])


def _recovered(webhook: Webhook, now: datetime) -> None:
    """Its receiver is back: what waits for its next attempt need not wait longer. One event that it cannot take, while
    it takes others, is no reason to try that one again and again."""
    failing_since = webhook.failing_since
    if failing_since is None:
        return
    webhook.failing_since = None
    webhook.save(only=[Webhook.failing_since])
    if failing_since < now - OUTAGE:
        later = (WebhookDelivery.state == WAITING) & (WebhookDelivery.due_at > now)
        WebhookDelivery.update(due_at=now).where(WebhookDelivery.webhook == webhook.id, later).execute()


def _say(webhook: Webhook, row: WebhookDelivery, now: datetime) -> None:
    """A delivery is given up: an event says so, once for a while."""
    log.warning("a webhook delivery is given up", extra={"webhook_id": webhook.id, "delivery_id": row.id})
    said = events.of_account(
        webhook.account, type=Type.WEBHOOK_DELIVERY_FAILED, object_id=webhook.id, since=now - SAID_EVERY
    )
    if not said.exists():
        told = {**webhooks.describe(webhook), "delivery_id": row.id, "event_id": row.event_id}
        actor = actors.system(webhook.account, subject="webhooks")
        events.record(actor, Type.WEBHOOK_DELIVERY_FAILED, {**told, "attempts": len(row.attempts)})


def _sweep(now: datetime) -> None:
    """What waited while its webhook was off."""
    expired = (WebhookDelivery.state == WAITING) & (WebhookDelivery.expires_at <= now)
    if WebhookDelivery.select().where(expired).exists():
        _write(lambda: WebhookDelivery.update(state=GIVEN_UP, finished_at=now).where(expired).execute())


def prune(now: datetime) -> None:
    """The log is kept for a while."""
    old = (WebhookDelivery.state != WAITING) & (WebhookDelivery.created_at < now - KEPT)
    if WebhookDelivery.select().where(old).exists():
        _write(lambda: WebhookDelivery.delete().where(old).execute())


def _write(work: Callable[[], Any]) -> Any:
    with db.transaction():
        return work()
