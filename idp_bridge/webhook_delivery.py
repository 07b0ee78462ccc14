"""Telling webhooks: signed, in order for each object, for a day where it fails, and never into our own network.

One process at a time tells a webhook: whoever moved its ``busy_until`` on. It tells one event after the other until its
turn is over or the receiver is down. One that dies between the answer and the row tells it again, with the same
webhook-id: twice is possible, never is not.

Receivers answer when they like. So no webhook waits for another one's turn to end: each process has several threads, an
account has no more than its share of them, and a turn is short.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import groupby
from typing import Any

from peewee import SQL, fn
from standardwebhooks import Webhook as Signer

from idp_bridge import actors, clock, db, events, fetching, keyring, receipts, webhooks
from idp_bridge.config import Config
from idp_bridge.errors import Invalid
from idp_bridge.events import Type
from idp_bridge.models import Event, Webhook, WebhookDelivery
from idp_bridge.webhooks import DELIVERED, FAILING, GIVEN_UP, GONE, WAITING

#: How long after each attempt that failed the next one is made: ten in a day.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (0.1, 1, 5, 30, 60, 120, 240, 360, 420))
LEASE = timedelta(minutes=2)  # after this another process takes up what one has begun
TURN = timedelta(seconds=2)  # of one webhook, before others have theirs; what is being told then is told to its end
REST = timedelta(seconds=5)  # of one whose receiver is down: the next event would fare no better
OUTAGE = timedelta(minutes=10)  # without any success: the receiver was away
LONG = timedelta(days=5)  # a webhook that has failed for so long is switched off
SAID_EVERY = timedelta(days=1)  # one event says so of a webhook, however many deliveries are given up
KEPT = timedelta(days=30)  # rows of what is done
AT_ONCE = 8  # webhooks, in one process
OF_ONE_ACCOUNT = 2  # of these
LOOK_AGAIN = timedelta(seconds=1)  # for what has become due, while others are told
PAGE = 500  # deliveries that wait, read or changed at once

ending = threading.Event()  # this process is to end: no turn begins any more

log = logging.getLogger(__name__)


@dataclass
class _Service:
    base_url: str = ""


_service = _Service()


def configure(config: Config) -> None:
    """Take the operator's settings; once, at the start of the process."""
    _service.base_url = config.base_url


def deliver(now: datetime) -> None:
    """Tell what is due and give up what has waited for too long, until nothing is due and nobody is told."""
    _give_up_expired(now)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhooks") as pool:
        crew = _Crew(pool)
        while crew.begins_turns():
            crew.wait()
            _give_up_expired(clock.now())


@dataclass
class _Crew:
    """Which webhooks this process is telling, and whose turn is next: the account's that had one longest ago."""

    pool: ThreadPoolExecutor
    at_work: dict[Future[None], Webhook] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)  # account -> the number of its last turn
    turns: int = 0

    def begins_turns(self) -> bool:
        """As many as there are threads for; whether anybody is told now."""
        taken = {webhook.id for webhook in self.at_work.values()}
        due = [] if ending.is_set() else [webhook for webhook in _due(clock.now()) if webhook.id not in taken]
        while len(self.at_work) < AT_ONCE and (webhook := self._next(due)):
            due.remove(webhook)
            self.turns += 1
            self.served[webhook.account_id] = self.turns
            self.at_work[self.pool.submit(_tell, webhook.id)] = webhook
        return bool(self.at_work)

    def wait(self) -> None:
        """Until a turn is over, or others may have become due."""
        done, _ = wait(self.at_work, timeout=LOOK_AGAIN.total_seconds(), return_when=FIRST_COMPLETED)
        for turn in done:
            del self.at_work[turn]

    def _next(self, due: list[Webhook]) -> Webhook | None:
        held = Counter(webhook.account_id for webhook in self.at_work.values())
        may = [webhook for webhook in due if held[webhook.account_id] < OF_ONE_ACCOUNT]
        return min(may, key=lambda webhook: self.served.get(webhook.account_id, 0), default=None)


_WAITS = WebhookDelivery.state == SQL("'waiting'")  # the words of the indexes


def _due(now: datetime) -> list[Webhook]:
    """The webhooks that something is due for and that no process is at, those first that were told longest ago."""
    waiting = WebhookDelivery.select(SQL("1")).where(
        WebhookDelivery.webhook == Webhook.id, _WAITS, WebhookDelivery.due_at <= now
    )
    query = Webhook.select(Webhook.id, Webhook.account)
    free = query.where(Webhook.active, Webhook.busy_until <= now, fn.EXISTS(waiting))
    return list(free.order_by(Webhook.busy_until))


def _tell(webhook_id: str) -> None:
    """One webhook's turn. No connection is kept while its receiver thinks."""
    try:
        if _claimed(webhook_id):
            rest = timedelta(0) if _turn(webhook_id) else REST
            free = Webhook.update(busy_until=clock.now() + rest).where(Webhook.id == webhook_id)
            _write(free.execute)
    except Exception:  # the others are none of its business; its lease ends by itself
        log.exception("a webhook could not be told", extra={"webhook_id": webhook_id})


def _claimed(webhook_id: str) -> bool:
    now = clock.now()
    mine = Webhook.update(busy_until=now + LEASE).where(Webhook.id == webhook_id, Webhook.busy_until <= now)
    return bool(_write(mine.execute))


class _Outcome(Enum):
    TAKEN = "taken"
    REFUSED = "refused"  # this event; others may be taken
    DOWN = "down"
    OFF = "off"  # the webhook, or the delivery is another's by now


def _turn(webhook_id: str) -> bool:
    """What is due, in order, until the turn is over; False where the receiver is down."""
    until = clock.now() + TURN
    held: dict[str, datetime] = {}  # objects of which something earlier waits -> until when
    for page in _in_order(webhook_id):
        behind: dict[datetime, list[str]] = {}
        try:
            for id, about, due_at, tried in page:
                if about in held:
                    behind.setdefault(held[about], []).append(id)
                elif tried and due_at > clock.now():
                    _hold(held, about, due_at)
                elif clock.now() >= until:
                    return True
                else:
                    outcome, again_at = _attempt(id)
                    if outcome in {_Outcome.DOWN, _Outcome.OFF}:
                        return outcome is _Outcome.OFF
                    if again_at is not None:
                        _hold(held, about, again_at)
        finally:
            _put_off(behind)
    return True


def _hold(held: dict[str, datetime], about: str | None, until: datetime) -> None:
    if about is not None:
        held[about] = until


def _put_off(behind: dict[datetime, list[str]]) -> None:
    """What waits for another one is due no earlier than that: until then nobody looks at it in vain."""
    for until, named in behind.items():
        due = WebhookDelivery.id.in_(named) & (WebhookDelivery.due_at < until)
        _write(lambda due=due, until=until: WebhookDelivery.update(due_at=until).where(due, _WAITS).execute())  # type: ignore[misc]


def _in_order(webhook_id: str) -> Iterator[list[tuple[str, str | None, datetime, bool]]]:
    """All that waits for a webhook, in the order of the chain: id, object, when it is due, whether it was tried."""
    row: Any = WebhookDelivery
    tried = row.attempts.cast("TEXT") != "[]"
    query = row.select(row.id, row.ordered_by, row.due_at, tried.alias("tried"), row.position)
    query = query.where(row.webhook == webhook_id, _WAITS).order_by(row.position, row.id).limit(PAGE)
    page = query
    while True:
        with db.connection():
            found = list(page.tuples())
        yield [(id, about, due_at, bool(tried)) for id, about, due_at, tried, _ in found]
        if len(found) < PAGE:
            return
        id, *_, position = found[-1]
        page = query.where((row.position > position) | ((row.position == position) & (row.id > id)))


def _attempt(delivery_id: str) -> tuple[_Outcome, datetime | None]:
    """Tell it once, and write down what came of it; when it is told again, where it waits."""
    with db.connection():
        row = _row(delivery_id)
    if row is None:
        return _Outcome.OFF, None
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
    return _outcome(status), row.due_at if row.state == WAITING else None


def _row(delivery_id: str) -> WebhookDelivery | None:
    """The delivery with its webhook and event, where it waits and the webhook is on."""
    query = WebhookDelivery.select(WebhookDelivery, Webhook, Event).join(Webhook).switch(WebhookDelivery).join(Event)
    found: WebhookDelivery | None = query.where(WebhookDelivery.id == delivery_id, _WAITS, Webhook.active).first()
    return found


def _outcome(status: int | None) -> _Outcome:
    if status is None or status >= 500 or status == 429:
        return _Outcome.DOWN
    return _Outcome.TAKEN if 200 <= status < 300 else _Outcome.REFUSED


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
    row.due_at = now + PAUSES[min(_tries(row), len(PAUSES)) - 1]
    if row.due_at > row.expires_at:
        _finish(row, GIVEN_UP, now)
        _say(webhook, row, now)
    else:
        row.save(only=[WebhookDelivery.attempts, WebhookDelivery.due_at])
    if status == 410:  # Standard Webhooks: the receiver wants no more
        webhooks.switch_off(webhook, GONE)
    elif webhook.failing_since < now - LONG:
        webhooks.switch_off(webhook, FAILING)


def _tries(row: WebhookDelivery) -> int:
    """How often it was tried since it was last begun: what was sent again begins anew."""
    begun = row.expires_at - webhooks.PATIENCE
    return sum(clock.parse(one["at"]) >= begun for one in row.attempts) or 1


def _finish(row: WebhookDelivery, state: str, now: datetime) -> None:
    row.state, row.finished_at = state, now
    row.save(only=[WebhookDelivery.attempts, WebhookDelivery.state, WebhookDelivery.finished_at])
    if row.event.type in receipts.OF:
        db.after_commit(receipts.known.set)


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


def _say(webhook: Webhook, row: WebhookDelivery, now: datetime, *, number: int = 1) -> None:
    """Deliveries are given up: an event says so, once for a while."""
    extra = {"webhook_id": webhook.id, "delivery_id": row.id, "number": number}
    log.warning("webhook deliveries are given up", extra=extra)
    said = events.of_account(
        webhook.account, type=Type.WEBHOOK_DELIVERY_FAILED, object_id=webhook.id, since=now - SAID_EVERY
    )
    if not said.exists():
        told = {**webhooks.in_events(webhook), "delivery_id": row.id, "event_id": row.event_id, "given_up": number}
        actor = actors.system(webhook.account, subject="webhooks")
        events.record(actor, Type.WEBHOOK_DELIVERY_FAILED, {**told, "attempts": len(row.attempts)})


def _give_up_expired(now: datetime) -> None:
    """What waits for longer than its day: it was tried, or its webhook is off. What nobody came to try, since we were
    away or what is before it waited, is tried once first."""
    tried = WebhookDelivery.attempts.cast("TEXT") != "[]"
    query = WebhookDelivery.select(WebhookDelivery, Webhook, Event.id, Event.type).join(Webhook)
    query = query.switch(WebhookDelivery).join(Event)
    expired = query.where(_WAITS, WebhookDelivery.expires_at <= now, tried | ~Webhook.active)
    while True:
        with db.connection():
            rows = list(expired.order_by(WebhookDelivery.expires_at).limit(PAGE))
        if not rows:
            return
        _write(lambda rows=rows: _give_up(rows, now))  # type: ignore[misc]


def _give_up(rows: list[WebhookDelivery], now: datetime) -> None:
    named = [row.id for row in rows]
    WebhookDelivery.update(state=GIVEN_UP, finished_at=now).where(WebhookDelivery.id.in_(named), _WAITS).execute()
    for _, each in groupby(sorted(rows, key=_webhook_of), _webhook_of):
        of_one = list(each)
        _say(of_one[0].webhook, of_one[0], now, number=len(of_one))
    if any(row.event.type in receipts.OF for row in rows):
        db.after_commit(receipts.known.set)


def _webhook_of(row: WebhookDelivery) -> str:
    return row.webhook_id


def prune(now: datetime) -> None:
    """The log is kept for a while. In batches: a transaction keeps all other writers of SQLite waiting."""
    row, passed = WebhookDelivery, ""
    old = row.select(row.id).where(row.created_at < now - KEPT, row.state != WAITING).order_by(row.id).limit(PAGE)
    while True:
        with db.connection():
            named = db.column(old.where(row.id > passed))
        if not named:
            return
        _write(row.delete().where(row.id.in_(named), row.state != WAITING).execute)
        passed = named[-1]


def _write(work: Callable[[], Any]) -> Any:
    with db.connection(), db.transaction():
        return work()
