"""What its event costs a SCIM PATCH: the same requests with and without the writing of events, taking turns.

In process, by this process's own CPU clock, on a file of its own; the commit is in it, with the pages that the event
and its indexes add. Sealing comes after the request, in another thread, and is measured beside it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from idp_bridge import clock, event_sealing, events
from idp_bridge.models import DirectoryUser, EventPending
from tests.bench.directory import operations
from tests.bench.shapes import Send, directory
from tests.bench.stage import person

MOST = 0.15  # of the request without it
PEOPLE, ROUNDS = 100, 30


@dataclass(frozen=True)
class Cost:
    """Milliseconds of CPU of one request, without its event and with it, and of sealing one event."""

    name: str
    without: float
    with_event: float
    sealing: float

    @property
    def share(self) -> float:
        """What the event adds."""
        return self.with_event / self.without - 1

    @property
    def kept(self) -> bool:
        """Whether it is within the mark."""
        return self.share <= MOST


def measure() -> list[Cost]:
    """Of a PATCH of one attribute, and of one that switches a user off and on."""
    with directory(1) as (send, _):
        for number in range(PEOPLE):
            send("POST", "/Users", person(number))
        users = [row.id for row in DirectoryUser.select().order_by(DirectoryUser.id.desc()).limit(PEOPLE)]
        return [_cost(send, users, f"PATCH {path}", path, value) for path, value in _CHANGES.items()]


_CHANGES: dict[str, Callable[[int], Any]] = {
    "title": lambda turn: f"title {turn}",
    "active": lambda turn: turn % 2 == 1,
}


def _cost(send: Send, users: list[str], name: str, path: str, value: Callable[[int], Any]) -> Cost:
    """Two changes a round of each kind, so that both kinds switch off as often as on."""
    with_event, without, sealing = [], [], []
    for _ in range(ROUNDS):
        with_event.append(_changing(send, users, path, value))
        sealing.append(_sealing())
        with _no_events():
            without.append(_changing(send, users, path, value))
    return Cost(name, median(without), median(with_event), median(sealing))


def _changing(send: Send, users: list[str], path: str, value: Callable[[int], Any]) -> float:
    sent = [(id, operations({"op": "replace", "path": path, "value": value(turn)})) for turn in (0, 1) for id in users]
    began = time.process_time()
    for id, body in sent:
        send("PATCH", f"/Users/{id}", body)
    return (time.process_time() - began) * 1000 / len(sent)


def _sealing() -> float:
    waiting = EventPending.select().count()
    began = time.process_time()
    event_sealing.seal(clock.now())
    return (time.process_time() - began) * 1000 / waiting


@contextmanager
def _no_events() -> Iterator[None]:
    real, events.record = events.record, lambda *_: "ev_none"
    try:
        yield
    finally:
        events.record = real
