"""Webhooks against a real https receiver: signed, in order, again where it fails, and never into our own network."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Condition, Thread
from threading import Event as Signal
from typing import Any

import pytest
import time_machine
from peewee import SqliteDatabase
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from idp_bridge import (
    bots,
    clock,
    credentials,
    db,
    event_sealing,
    events,
    fetching,
    keyring,
    member_lifecycle,
    receipts,
    webhook_delivery,
    webhooks,
)
from idp_bridge.config import Config
from idp_bridge.errors import Conflict, Invalid
from idp_bridge.events import Type
from idp_bridge.fetching import Limits
from idp_bridge.models import Event, Webhook, WebhookDelivery
from idp_bridge.webhooks import DELIVERED, GIVEN_UP, WAITING
from tests import https
from tests.conftest import World
from tests.domain import cast

HOUR = timedelta(hours=1)


@dataclass
class Receiver:
    """What it was sent, and what it answers: ``answers`` one after the other, 204 when they are used up."""

    origin: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)
    waits: dict[str, Signal] = field(default_factory=dict)  # path -> what its answer waits for
    came: Condition = field(default_factory=Condition)
    paths: list[str] = field(default_factory=list)

    def wait_for(self, path: str) -> None:
        """Until something was sent there."""
        with self.came:
            assert self.came.wait_for(lambda: path in self.paths, timeout=20), path

    @property
    def told(self) -> list[dict[str, Any]]:
        """The events that it was told of."""
        return [json.loads(body)["data"] for _, body in self.received]


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config) -> Iterator[Receiver]:
    """A receiver on this machine, where deliveries may go for once."""
    made = Receiver()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            made.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            with made.came:
                made.paths.append(self.path)
                made.came.notify_all()
            if self.path in made.waits:
                assert made.waits[self.path].wait(20)
            status, words = made.answers.pop(0) if made.answers else (204, b"")
            self.send_response(status)
            if status in {301, 302, 307, 308}:
                self.send_header("Location", f"{made.origin}/elsewhere")
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    webhook_delivery.configure(config)
    with https.listening(Hook, tmp_path) as (made.origin, authority):
        monkeypatch.setattr(fetching, "PUBLIC", Limits(loopback=True, authority=authority))
        yield made


def hook(world: World, receiver: Receiver, **options: Any) -> tuple[Webhook, str]:
    """A webhook of the account, and its secret. What was before is told nobody."""
    event_sealing.seal(clock.now())
    with db.transaction():
        return webhooks.create(world.system, f"{receiver.origin}/hook", **options)


def run(now: datetime | None = None) -> None:
    """What the lanes do: seal, tell, write receipts."""
    moment = now or clock.now()
    event_sealing.seal(moment)
    webhook_delivery.deliver(moment)
    receipts.write(moment)


def log(webhook: Webhook) -> list[WebhookDelivery]:
    return list(webhooks.deliveries(webhook).order_by(WebhookDelivery.position, WebhookDelivery.id))


def changed_bot(world: World, name: str, times: int) -> str:
    """A bot user that is made and changed; its id."""
    with db.transaction():
        bot = bots.create(world.system, name)
    for number in range(times):
        with db.transaction():
            bots.change(world.system, bot, description=str(number))
    return bot.id


def test_a_delivery_is_the_event_as_the_api_answers_it_signed(acme: World, receiver: Receiver) -> None:
    """Standard Webhooks' own library verifies it, and refuses one that was changed."""
    webhook, secret = hook(acme, receiver)
    run()
    ((headers, body),) = receiver.received
    event = cast.happened(acme, "webhook_created.v0")[0]
    assert Verifier(secret).verify(body, headers) == {
        "type": event.type,
        "timestamp": clock.rfc3339(event.timestamp),
        "data": events.describe(event, base_url="http://localhost"),
    }
    assert headers["webhook-id"] == event.id
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace("webhook_created", "webhook_deleted"), headers)
    (row,) = log(webhook)
    assert (row.state, [one["status"] for one in row.attempts]) == (DELIVERED, [204])
    run()
    assert len(receiver.received) == 1


def test_two_secrets_live_side_by_side_for_a_day(acme: World, receiver: Receiver) -> None:
    """After a rotation both verify; then the new one alone."""
    webhook, old = hook(acme, receiver, events=["bot_user_*"])
    with db.transaction():
        new = webhooks.rotate(acme.system, webhook)
    changed_bot(acme, "one", 0)
    run()
    for secret in (old, new):
        Verifier(secret).verify(receiver.received[0][1], receiver.received[0][0])
    with time_machine.travel(clock.now() + webhooks.OVERLAP + HOUR, tick=True):
        changed_bot(acme, "two", 0)
        run()
        headers, body = receiver.received[1]
        Verifier(new).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Verifier(old).verify(body, headers)
    written = json.dumps([event.object for event in cast.happened(acme)])
    assert old not in written
    assert new not in written


def test_only_what_was_asked_for_is_told(acme: World, receiver: Receiver) -> None:
    """By type or by its beginning; an inactive webhook is told nothing, nor of what was before it."""
    hook(acme, receiver, events=["bot_user_updated.v0", "account_*"])
    hook(acme, receiver, active=False)
    changed_bot(acme, "one", 1)
    with db.transaction():
        webhooks.create(acme.system, f"{receiver.origin}/late", events=["bot_user_*"])
    run()
    assert [event["event_type"] for event in receiver.told] == ["bot_user_updated.v0"]


def test_what_is_told_of_one_object_is_told_in_order(acme: World, receiver: Receiver) -> None:
    """While the first fails, the later ones of its object wait, and those of others do not."""
    hook(acme, receiver, events=["bot_user_*"])
    first = changed_bot(acme, "first", 2)
    second = changed_bot(acme, "second", 1)
    receiver.answers = [(400, b"no")]
    run()
    assert [event["object"]["id"] for event in receiver.told] == [first, second, second]
    with time_machine.travel(clock.now() + HOUR, tick=True):
        run()
    told = [event["event_type"] for event in receiver.told if event["object"]["id"] == first]
    assert told == ["bot_user_created.v0"] * 2 + ["bot_user_updated.v0"] * 2
    descriptions = [event["object"]["description"] for event in receiver.told if event["object"]["id"] == first]
    assert descriptions[2:] == ["0", "1"]
    ids = [headers["webhook-id"] for headers, _ in receiver.received]
    assert ids[0] == ids[3]


def test_a_receiver_that_is_down_is_tried_for_a_day_and_then_given_up(acme: World, receiver: Receiver) -> None:
    """With ever longer pauses; an event says so, and the log has every attempt."""
    webhook, _ = hook(acme, receiver, events=["bot_user_created.v0"])
    changed_bot(acme, "one", 0)
    receiver.answers = [(503, b"x" * 5000)] * 20
    start = clock.now()
    for minute in range(0, 25 * 60, 10):
        with time_machine.travel(start + timedelta(minutes=minute), tick=True):
            run()
    (row,) = log(webhook)
    assert row.state == GIVEN_UP
    assert 8 <= len(row.attempts) == len(receiver.received) <= 12
    assert {one["status"] for one in row.attempts} == {503}
    assert row.attempts[0]["answer"] == "x" * fetching.ANSWER
    pauses = [clock.parse(b["at"]) - clock.parse(a["at"]) for a, b in zip(row.attempts, row.attempts[1:], strict=False)]
    minutes = [round(pause / timedelta(minutes=1)) for pause in pauses]
    assert minutes[1:] == sorted(minutes[1:])
    (said,) = cast.happened(acme, "webhook_delivery_failed.v0")
    assert (said.object["delivery_id"], said.object["event_id"]) == (row.id, row.event_id)
    with time_machine.travel(start + 26 * HOUR, tick=True):
        assert webhooks.failing(acme.account)


def test_a_receiver_that_comes_back_is_told_what_waits_at_once(acme: World, receiver: Receiver) -> None:
    """In the order of what happened, however long each would still have waited."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    bot = changed_bot(acme, "one", 3)
    receiver.answers = [(500, b"")] * 5
    start = clock.now()
    for minutes in (0, 1, 3, 10, 45):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=True):
            run()
    assert {row.state for row in log(webhook)} == {WAITING}
    with time_machine.travel(start + 3 * HOUR, tick=True):
        run()
    assert {row.state for row in log(webhook)} == {DELIVERED}
    assert [event["object"].get("description") for event in receiver.told[-3:]] == ["0", "1", "2"]
    assert all(event["object"]["id"] == bot for event in receiver.told)
    assert cast.again(webhook).failing_since is None


def test_a_receiver_that_fails_for_days_is_switched_off(acme: World, receiver: Receiver) -> None:
    """It is said once, and not to itself; switched on again it begins anew."""
    webhook, _ = hook(acme, receiver)
    start = clock.now()
    receiver.answers = [(500, b"")] * 1000
    for hours in range(0, 6 * 24, 6):
        with time_machine.travel(start + timedelta(hours=hours), tick=True):
            changed_bot(acme, f"bot {hours}", 0)
            run()
    webhook = cast.again(webhook)
    assert (webhook.active, webhook.disabled_reason) == (False, webhooks.FAILING)
    (off,) = cast.happened(acme, "webhook_disabled.v0")
    assert off.principal_type == "system"
    assert off.id not in {event["event_id"] for event in receiver.told}
    assert 1 <= len(cast.happened(acme, "webhook_delivery_failed.v0")) <= 6
    tried = len(receiver.received)
    receiver.answers.clear()
    with time_machine.travel(start + timedelta(days=7), tick=True):
        run()
        assert len(receiver.received) == tried
        with db.transaction():
            webhooks.change(acme.system, webhook, active=True)
        run()
        assert receiver.told[-1]["event_type"] == "webhook_updated.v0"
        assert not webhooks.failing(acme.account)


def test_gone_means_that_it_wants_no_more(acme: World, receiver: Receiver) -> None:
    """410, as Standard Webhooks has it."""
    webhook, _ = hook(acme, receiver)
    receiver.answers = [(410, b"")]
    run()
    assert (cast.again(webhook).active, cast.again(webhook).disabled_reason) == (False, webhooks.GONE)


def test_a_redirect_is_no_delivery_and_is_not_followed(acme: World, receiver: Receiver) -> None:
    """It could lead anywhere."""
    webhook, _ = hook(acme, receiver)
    receiver.answers = [(307, b"")]
    run()
    (row,) = log(webhook)
    assert (row.state, row.attempts[0]["status"], len(receiver.received)) == (WAITING, 307, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "2130706433"])
def test_our_own_network_is_never_called(acme: World, host: str, config: Config) -> None:
    """Whatever the URL says, the address that it leads to decides, at each delivery."""
    webhook_delivery.configure(config)
    with db.transaction():
        webhook, _ = webhooks.create(acme.system, f"https://{host}/hook", events=["webhook_created.v0"])
    run()
    (row,) = log(webhook)
    assert row.attempts[0]["status"] is None
    assert "not public" in row.attempts[0]["error"]


@pytest.mark.parametrize(
    "values",
    [
        {"url": "http://example.com/"},
        {"url": "https:///x"},
        {"url": "https://user@example.com/"},
        {"url": "https://example.com/#x"},
        {"url": "https://[x/"},
        {"url": "https://[::1]/x"},
        {"url": "https://exa mple.com/"},
        {"url": "https://example.com/a b"},
        {"url": "https://ex\u00e4mple.com/"},
        {"url": "https://example.com/\n"},
        {"events": ["nothing_like_it.v0"]},
        {"events": ["userx*"]},
    ],
)
def test_what_could_never_be_told_is_refused(acme: World, values: dict[str, Any]) -> None:
    """The field is named."""
    with pytest.raises(Invalid) as refused, db.transaction():
        webhooks.create(acme.system, **{"url": "https://example.com/", **values})
    assert set(refused.value.fields) == set(values)


def test_an_account_has_so_many_webhooks_and_no_more(acme: World) -> None:
    """Each event is written once for each of them."""
    with db.transaction():
        for number in range(webhooks.MOST):
            webhooks.create(acme.system, f"https://example.com/{number}")
    with pytest.raises(Conflict), db.transaction():
        webhooks.create(acme.system, "https://example.com/more")


def test_every_webhook_hears_of_a_full_batch(acme: World) -> None:
    """More rows than one statement may have parameters for."""
    with db.transaction():
        for number in range(webhooks.MOST):
            webhooks.create(acme.system, f"https://example.com/{number}", events=["account_*"])
        for _ in range(event_sealing.BATCH):
            events.record(acme.system, Type.ACCOUNT_UPDATED, {"id": acme.account.id})
    event_sealing.seal(clock.now())
    assert WebhookDelivery.select().count() == webhooks.MOST * event_sealing.BATCH


def test_many_processes_tell_each_event_once(acme: World, receiver: Receiver) -> None:
    """Whoever takes the webhook tells it; one that died is taken over when its lease is over."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 9)
    event_sealing.seal(clock.now())
    cast.at_once(*[lambda: webhook_delivery.deliver(clock.now())] * 5, transaction=nullcontext)
    assert len(receiver.received) == 10
    changed_bot(acme, "two", 0)
    event_sealing.seal(clock.now())
    Webhook.update(busy_until=clock.now() + webhook_delivery.LEASE).execute()
    webhook_delivery.deliver(clock.now())
    assert len(receiver.received) == 10
    with time_machine.travel(clock.now() + webhook_delivery.LEASE + HOUR / 60, tick=True):
        webhook_delivery.deliver(clock.now())
    assert len(receiver.received) == 11
    assert {row.state for row in log(webhook)} == {DELIVERED}


def test_a_dead_receiver_keeps_only_its_own_waiting(acme: World, receiver: Receiver) -> None:
    """Another webhook is told meanwhile."""
    _, _ = hook(acme, receiver, events=["bot_user_*"])
    with db.transaction():
        dead, _ = webhooks.create(acme.system, "https://192.0.2.1/hook", events=["bot_user_*"])
    changed_bot(acme, "one", 3)
    run()
    assert len(receiver.received) == 4
    assert len([row for row in log(dead) if row.attempts]) == 1


def test_slow_receivers_keep_only_their_own_account_waiting(acme: World, receiver: Receiver) -> None:
    """However many webhooks of one account take their time, and succeed: what happens in another one meanwhile is told
    before they are through."""
    other, slow, released = cast.open_account("other"), "/slow", Signal()
    receiver.waits = {slow: released}
    for _ in range(2 * webhook_delivery.AT_ONCE):
        with db.transaction():
            webhooks.create(acme.system, receiver.origin + slow, events=["bot_user_*"])
    hook(other, receiver, events=["bot_user_*"])
    changed_bot(acme, "slow", 3)
    event_sealing.seal(clock.now())

    def deliver() -> None:
        with db.connection():
            webhook_delivery.deliver(clock.now())

    telling = Thread(target=deliver)
    telling.start()
    try:
        receiver.wait_for(slow)
        changed_bot(other, "quick", 0)
        event_sealing.seal(clock.now())
        receiver.wait_for("/hook")
    finally:
        released.set()
        telling.join(60)
    assert {row.state for row in WebhookDelivery.select()} == {DELIVERED}


def test_a_webhook_gives_its_thread_to_others_after_a_turn(
    acme: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has much to be told is no reason for another to wait, of whichever account."""
    monkeypatch.setattr(webhook_delivery, "AT_ONCE", 1)
    monkeypatch.setattr(webhook_delivery, "TURN", timedelta(0))
    busy, _ = hook(acme, receiver, events=["bot_user_*"])
    monkeypatch.setattr(webhook_delivery, "TURN", timedelta(milliseconds=1))
    changed_bot(acme, "one", 12)
    other = cast.open_account("other")
    hook(other, receiver, events=["bot_user_*"])
    changed_bot(other, "two", 0)
    run()
    accounts = [event["account_id"] for event in receiver.told]
    assert len(accounts) == 14
    assert accounts.index(other.account.id) < 13
    assert {row.state for row in log(busy)} == {DELIVERED}


def test_a_test_is_told_to_that_webhook_alone(acme: World, receiver: Receiver) -> None:
    """Whatever types it asks for; and it can be told again, with the same webhook-id."""
    webhook, _ = hook(acme, receiver, events=["bot_user_created.v0"])
    other, _ = hook(acme, receiver)
    event_sealing.seal(clock.now())
    WebhookDelivery.delete().execute()
    with db.transaction():
        row = webhooks.test(acme.system, webhook)
    run()
    assert [event["event_type"] for event in receiver.told] == ["webhook_tested.v0"]
    assert log(other) == []
    with db.transaction():
        webhooks.redeliver(acme.system, cast.again(row))
    run()
    told = [event["event_id"] for event in receiver.told if event["event_type"] == "webhook_tested.v0"]
    assert told == [row.event_id] * 2
    assert len(cast.again(row).attempts) == 2


def test_a_secret_that_cannot_be_opened_any_more_is_said(acme: World, receiver: Receiver) -> None:
    """SECRET_KEY is another one since."""
    webhook, _ = hook(acme, receiver)
    keyring.unlock("quite another secret key, 32 characters and more")
    run()
    (row,) = log(webhook)
    assert "another SECRET_KEY" in row.attempts[0]["error"]
    assert receiver.received == []


def test_a_new_secret_mends_what_another_secret_key_broke(acme: World, receiver: Receiver) -> None:
    """The one before cannot be opened, so it signs no more; neither is it kept, nor in the way where it was."""
    webhook, _ = hook(acme, receiver)
    keyring.unlock("quite another secret key, 32 characters and more")
    with db.transaction():
        secret = webhooks.rotate(acme.system, webhook)
    assert cast.again(webhook).previous_secret is None
    run()
    headers, body = receiver.received[-1]
    Verifier(secret).verify(body, headers)
    keyring.unlock("a third secret key, of 32 characters and some more")
    sealed = keyring.seal(secret, keyring.Purpose.WEBHOOKS)
    keyring.unlock("quite another secret key, 32 characters and more")
    Webhook.update(previous_secret=sealed, previous_until=clock.now() + HOUR).execute()
    assert webhooks.live_secrets(cast.again(webhook), clock.now()) == [secret]


def test_what_is_sent_again_while_it_waits_keeps_its_place(acme: World, receiver: Receiver) -> None:
    """Nothing of its object is told before it; an event says who did it, and the pauses go on."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 1)
    receiver.answers = [(400, b""), (400, b"")]
    run()
    with db.transaction():
        webhooks.redeliver(acme.system, log(webhook)[0])
    run()
    assert [event["event_type"] for event in receiver.told] == ["bot_user_created.v0"] * 2
    with time_machine.travel(clock.now() + HOUR, tick=True):
        run()
    assert [event["event_type"] for event in receiver.told][2:] == ["bot_user_created.v0", "bot_user_updated.v0"]
    (said,) = cast.happened(acme, "webhook_delivery_resent.v0")
    assert said.object["delivery_id"] == log(webhook)[0].id


def test_what_is_sent_again_after_it_was_given_up_has_its_pauses_anew(acme: World, receiver: Receiver) -> None:
    """The first one is some seconds again, however often it was tried before."""
    webhook, _ = hook(acme, receiver, events=["bot_user_created.v0"])
    changed_bot(acme, "one", 0)
    receiver.answers = [(503, b"")] * 20
    start = clock.now()
    for minute in range(0, 25 * 60, 10):
        with time_machine.travel(start + timedelta(minutes=minute), tick=True):
            run()
    (row,) = log(webhook)
    assert row.state == GIVEN_UP
    with time_machine.travel(start + 30 * HOUR, tick=True):
        with db.transaction():
            webhooks.redeliver(acme.system, row)
        run()
        (row,) = log(webhook)
        assert (row.state, row.due_at < clock.now() + HOUR / 60) == (WAITING, True)


def test_to_a_webhook_that_is_off_nothing_is_sent_by_hand(acme: World, receiver: Receiver) -> None:
    """A test or a repetition would wait and be told nobody."""
    webhook, _ = hook(acme, receiver)
    run()
    with db.transaction():
        webhooks.change(acme.system, webhook, active=False)
    (row,) = log(webhook)
    works: list[Callable[[], Any]] = [
        lambda: webhooks.test(acme.system, webhook),
        lambda: webhooks.redeliver(acme.system, row),
    ]
    for work in works:
        with pytest.raises(Conflict, match="Switch it on"), db.transaction():
            work()
    assert [row.state for row in log(webhook)] == [DELIVERED]


def test_what_was_never_tried_is_tried_before_it_is_given_up(acme: World, receiver: Receiver) -> None:
    """The service was away for more than a day: what waited is told; and what then fails is said."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 1)
    changed_bot(acme, "two", 0)
    event_sealing.seal(clock.now())
    receiver.answers = [(400, b"")]
    with time_machine.travel(clock.now() + 2 * webhooks.PATIENCE, tick=True):
        run()
        states = [(row.state, len(row.attempts)) for row in log(webhook)]
        assert states == [(GIVEN_UP, 1), (DELIVERED, 1), (DELIVERED, 1)]
        (said,) = cast.happened(acme, "webhook_delivery_failed.v0")
    assert said.object["given_up"] == 1


def test_what_is_given_up_while_a_webhook_is_off_is_said(acme: World, receiver: Receiver) -> None:
    """Once, with their number."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 3)
    event_sealing.seal(clock.now())
    with db.transaction():
        webhooks.change(acme.system, webhook, active=False)
    with time_machine.travel(clock.now() + 2 * webhooks.PATIENCE, tick=True):
        run()
        assert {row.state for row in log(webhook)} == {GIVEN_UP}
        (said,) = cast.happened(acme, "webhook_delivery_failed.v0")
    assert (said.object["given_up"], said.object["attempts"]) == (4, 0)


def test_what_waits_behind_one_event_is_looked_at_with_it(acme: World, receiver: Receiver) -> None:
    """While one object's first event waits for its next attempt nothing of the webhook is due, so that nobody looks in
    vain; and all of it is told when that one is taken, also where somebody sends it again."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 5)
    receiver.answers = [(400, b"")]
    run()
    assert len(receiver.received) == 1
    assert len({row.due_at for row in log(webhook)}) == 1
    with db.transaction():
        webhooks.redeliver(acme.system, log(webhook)[0])
    run()
    assert [event["object"].get("description") for event in receiver.told[2:]] == ["0", "1", "2", "3", "4"]


def test_a_long_backlog_is_told_at_the_pace_of_its_receiver(acme: World, receiver: Receiver) -> None:
    """Of what waits only the next ones are read for a turn, in the order of an index: no sort, whatever is behind."""
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 3)
    event_sealing.seal(clock.now())
    read: list[str] = []
    db.watch(0, lambda sql, _: read.append(sql))
    try:
        webhook_delivery.deliver(clock.now())
    finally:
        db.watch(None, lambda *_: None)
    assert {row.state for row in log(webhook)} == {DELIVERED}
    (sql,) = [text for text in read if 'AS "tried"' in text]
    if isinstance(db.database.obj, SqliteDatabase):
        given = ("[]", webhook.id, webhook_delivery.PAGE)
        plan = db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", given).fetchall()
        assert "webhook_delivery_next" in str(plan)
        assert "TEMP B-TREE" not in str(plan)


def test_the_log_is_thrown_away_in_batches(acme: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the lock while all of it goes."""
    monkeypatch.setattr(webhook_delivery, "PAGE", 3)
    webhook, _ = hook(acme, receiver, events=["bot_user_*"])
    changed_bot(acme, "one", 9)
    run()
    deleted: list[str] = []
    db.watch(0, lambda sql, _: deleted.append(sql) if sql.startswith("DELETE") else None)
    try:
        webhook_delivery.prune(clock.now() + webhook_delivery.KEPT + HOUR)
    finally:
        db.watch(None, lambda *_: None)
    assert len(deleted) == 4
    assert log(webhook) == []


def test_no_event_and_no_receipt_has_more_of_a_url_than_where_it_leads(acme: World, receiver: Receiver) -> None:
    """Viewers read events, and every webhook is sent them; a URL is often the secret that lets somebody post there."""
    url = f"{receiver.origin}/SECRETtoken?key=hunter2"
    with db.transaction():
        webhook, _ = webhooks.create(acme.system, url)
        webhooks.change(acme.system, webhook, url=f"{url}2")
        webhooks.test(acme.system, webhook)
    member = cast.join(acme, "ann@acme.test")
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    run()
    run()
    assert len(receipt(acme)) == 1
    written = json.dumps([event.object for event in cast.happened(acme)], ensure_ascii=False)
    assert "hunter2" not in written
    assert "SECRETtoken" not in written
    assert f"{receiver.origin}/…" in written


def test_the_log_is_kept_for_a_while(acme: World, receiver: Receiver) -> None:
    """What waits stays; what waited while its webhook was off is given up after a day."""
    webhook, _ = hook(acme, receiver)
    run()
    with time_machine.travel(clock.now() + webhook_delivery.KEPT + HOUR, tick=True):
        changed_bot(acme, "one", 0)
        event_sealing.seal(clock.now())
        webhook_delivery.prune(clock.now())
        assert [row.state for row in log(webhook)] == [WAITING]
        Webhook.update(active=False).execute()
    with time_machine.travel(clock.now() + webhook_delivery.KEPT + 30 * HOUR, tick=True):
        webhook_delivery.deliver(clock.now())
        assert [row.state for row in log(webhook)] == [GIVEN_UP]


# --- receipts ---------------------------------------------------------------------------------------------------


def receipt(world: World) -> list[dict[str, Any]]:
    return [event.object for event in cast.happened(world, "member_deprovisioned.v0")]


@pytest.mark.parametrize(
    ("work", "type"),
    [(member_lifecycle.suspend, "user_suspended.v0"), (member_lifecycle.remove, "user_deleted.v0")],
)
def test_a_deactivation_has_one_receipt(acme: World, receiver: Receiver, work: Any, type: str) -> None:
    """What it stopped, and when each webhook heard of it."""
    webhook, _ = hook(acme, receiver, events=["user_*"])
    hook(acme, receiver, events=["bot_user_*"])
    member = cast.join(acme, "ann@acme.test", "viewer", "developer")
    with db.transaction():
        key = credentials.issue(acme.system, credentials.API_KEY, member).credential
    run()
    with db.transaction():
        work(acme.system, member)
    for _ in range(3):
        run()
    (told,) = receipt(acme)
    cause = cast.happened(acme, type)[0]
    assert (told["id"], told["event_id"], told["event_type"]) == (member.id, cause.id, type)
    assert told["sessions_ended"]["count"] == 0
    assert told["credentials_suspended"]["ids"] == [key.id]
    assert told["roles_lost"]["roles"] == ["developer", "viewer"]
    (heard,) = told["webhooks"]
    assert (heard["id"], heard["state"]) == (webhook.id, DELIVERED)
    assert 0 <= told["sessions_ended"]["milliseconds"] <= heard["milliseconds"] < 60_000


def test_a_receipt_does_not_wait_for_ever(acme: World, receiver: Receiver) -> None:
    """A webhook that does not answer is named as one that waits."""
    hook(acme, receiver, events=["user_suspended.v0"])
    member = cast.join(acme, "ann@acme.test")
    receiver.answers = [(500, b"")] * 9
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    run()
    assert receipt(acme) == []
    with time_machine.travel(clock.now() + receipts.PATIENCE + HOUR / 60, tick=True):
        run()
        run()
    (told,) = receipt(acme)
    assert [(one["state"], one["milliseconds"]) for one in told["webhooks"]] == [(WAITING, None)]


def test_where_nobody_is_told_the_receipt_is_there_at_once(acme: World) -> None:
    """One, however many processes write receipts."""
    member = cast.join(acme, "ann@acme.test")
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    event_sealing.seal(clock.now())
    cast.at_once(*[lambda: receipts.write(clock.now())] * 4, transaction=nullcontext)
    assert len(receipt(acme)) == 1
    assert Event.select().where(Event.type == "member_deprovisioned.v0").count() == 1
