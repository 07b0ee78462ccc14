"""The chain of an account's events: what is hashed, how one link holds the one before, and the proof that all hold.

A link (``EventSeal``) names a batch of events in order, each with the SHA-256 of its canonical JSON, and the digest of
the link before. So whoever changes, removes, adds or moves an event must remake every later link; and each link's
digest is vouched for under SECRET_KEY, which the database does not hold. What that does not prove is in docs/events.md.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from idp_bridge import clock, db, keyring
from idp_bridge.models import Account, Event, EventPending, EventSeal

PAGE, LINKS = 1000, 10  # ids of events, and links with all that they name, read at once

Progress = Callable[[int], None]


def canonical(value: Any) -> bytes:
    """JSON as RFC 8785 writes it, for what an event holds: no spaces, names sorted, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of(event: Event) -> str:
    """SHA-256 of everything that the event says, hex."""
    return _sha256(
        {
            "event_id": event.id,
            "account_id": event.account_id,
            "event_type": event.type,
            "event_timestamp": clock.rfc3339(event.timestamp),
            "principal_id": event.principal_id,
            "principal_type": event.principal_type,
            "principal_subject": event.principal_subject,
            "source": event.source,
            "credential_id": event.credential_id,
            "object_id": event.object_id,
            "object": event.object,
            "address": event.address,
            "request_id": event.request_id,
        }
    )


def link(
    account_id: str, *, after: tuple[int, str], events: Sequence[Sequence[str]], sealed_at: datetime
) -> dict[str, Any]:
    """The columns of the next link; ``after``: number and digest of the one before, (0, "") where there is none."""
    number, previous = after[0] + 1, after[1]
    columns = {
        "account": account_id,
        "number": number,
        "previous": previous,
        "events": [list(pair) for pair in events],
        "sealed_at": sealed_at,
    }
    digest = _digest_of_link(columns)
    return {**columns, "digest": digest, "mac": keyring.vouch(digest)}


def _digest_of_link(columns: dict[str, Any]) -> str:
    return _sha256(
        {
            "account_id": columns["account"],
            "number": columns["number"],
            "previous": columns["previous"],
            "sealed_at": clock.rfc3339(columns["sealed_at"]),
            "events": columns["events"],
        }
    )


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


# --- the proof --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """The newest link: who has kept it elsewhere can prove later that nothing before it was remade."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """``NUMBER:DIGEST``, as ``verify`` prints it. Raises ValueError."""
        number, _, digest = text.partition(":")
        if not number.isdecimal() or len(digest) != 64:
            raise ValueError(f"{text!r} is no head; it is written NUMBER:DIGEST")
        return cls(int(number), digest)


@dataclass(frozen=True)
class Broken:
    """The first thing that does not hold. ``seal``: in which link; ``event_id``: which event, where it is one."""

    what: str
    seal: int | None = None
    event_id: str | None = None


@dataclass
class Proof:
    """What was proven of one account: ``broken`` is None where everything holds."""

    slug: str
    events: int = 0
    seals: int = 0
    pending: int = 0  # not sealed yet: nothing vouches for them
    head: Head | None = None
    broken: Broken | None = None


def verify(account: Account, *, expected: Head | None = None, progress: Progress = lambda _: None) -> Proof:
    """Prove the account's chain from its first link to its newest, in constant memory; stops at the first that is
    broken. ``expected``: a head that was kept elsewhere. ``progress`` is told how many events were looked at more.

    Call it in ``db.snapshot()``: else what is sealed meanwhile looks like something else."""
    proof = Proof(account.slug)
    try:
        _prove(account, proof, expected, progress)
    except _BrokenLink as found:
        proof.broken = found.broken
    return proof


def verify_newest(account: Account) -> Broken | None:
    """Whether the account's newest link holds, and the events that it names; what is before it is taken on trust."""
    seal = EventSeal.select().where(EventSeal.account == account).order_by(EventSeal.number.desc()).first()
    if seal is None:
        return None
    try:
        _check_link(seal, Proof(account.slug, head=Head(seal.number - 1, seal.previous)))
        _check_events(account, seal)
    except _BrokenLink as found:
        return found.broken
    return None


class _BrokenLink(Exception):
    def __init__(self, what: str, *, seal: int | None = None, event_id: str | None = None) -> None:
        self.broken = Broken(what, seal, event_id)
        super().__init__(what)


def _prove(account: Account, proof: Proof, expected: Head | None, progress: Progress) -> None:
    unsealed = _Unsealed(account)
    for seal in _seals(account):
        _check_link(seal, proof)
        _check_events(account, seal)
        unsealed.without([event_id for event_id, _ in seal.events], seal=seal.number)
        proof.seals, proof.events = proof.seals + 1, proof.events + len(seal.events)
        proof.head = Head(seal.number, seal.digest)
        if expected is not None and expected.number == seal.number and expected != proof.head:
            raise _BrokenLink("the chain was remade: this link is not the one that was kept", seal=seal.number)
        progress(len(seal.events))
    if expected is not None and (proof.head is None or proof.head.number < expected.number):
        raise _BrokenLink("links are missing at the end: the one that was kept is not there", seal=expected.number)
    proof.pending = unsealed.waiting()


def _check_link(seal: EventSeal, proof: Proof) -> None:
    before = proof.head or Head(0, "")
    if seal.number != before.number + 1:
        raise _BrokenLink(f"link {before.number + 1} is missing", seal=before.number + 1)
    if seal.previous != before.digest:
        raise _BrokenLink("the link does not hold the one before", seal=seal.number)
    if _digest_of_link({**seal.__data__, "events": seal.events, "sealed_at": seal.sealed_at}) != seal.digest:
        raise _BrokenLink("the link was edited", seal=seal.number)
    if not keyring.vouched(seal.digest, seal.mac):
        raise _BrokenLink("the link was not made under this SECRET_KEY", seal=seal.number)


def _check_events(account: Account, seal: EventSeal) -> None:
    named = [event_id for event_id, _ in seal.events]
    rows = {row.id: row for row in Event.select().where(Event.account == account, Event.id.in_(named))}
    for event_id, digest in seal.events:
        if event_id not in rows:
            raise _BrokenLink("the event was removed", seal=seal.number, event_id=event_id)
        if digest_of(rows[event_id]) != digest:
            raise _BrokenLink("the event was edited", seal=seal.number, event_id=event_id)


def _seals(account: Account) -> Iterator[EventSeal]:
    """The account's links in order, a few at a time."""
    number = 0
    while page := list(
        EventSeal.select()
        .where(EventSeal.account == account, EventSeal.number > number)
        .order_by(EventSeal.number)
        .limit(LINKS)
    ):
        yield from page
        number = page[-1].number


@dataclass
class _Unsealed:
    """The account's events that no link has named so far.

    The chain is in the order in which events were written, ids in the order in which they were made: nearly the same,
    so walking both together keeps only what the one has and the other has not yet.
    """

    account: Account
    _made: set[str] = field(default_factory=set)  # passed in the order of ids, named by no link yet
    _named: set[str] = field(default_factory=set)  # the other way round
    _passed: str = ""

    def without(self, named: Sequence[str], *, seal: int) -> None:
        """This link names these."""
        for event_id in named:
            if event_id in self._made:
                self._made.remove(event_id)
            elif event_id > self._passed and event_id not in self._named:
                self._named.add(event_id)
            else:
                raise _BrokenLink("the event is in the chain twice", seal=seal, event_id=event_id)
        while self._named and self._passed < max(self._named):
            if not self._pass_on():
                break

    def waiting(self) -> int:
        """How many wait to be sealed; raises for one that does not: it was put in beside the chain."""
        pending = 0
        while self._made or self._pass_on():
            pending += self._take_waiting()
        return pending

    def _pass_on(self) -> bool:
        query = Event.select(Event.id).where(Event.account == self.account, Event.id > self._passed)
        page: list[str] = db.column(query.order_by(Event.id).limit(PAGE))
        self._made.update(page)
        both = self._made & self._named
        self._made -= both
        self._named -= both
        self._passed = page[-1] if page else self._passed
        return bool(page)

    def _take_waiting(self) -> int:
        """How many of those passed wait; they are done with then."""
        made = sorted(self._made)
        self._made.clear()
        for start in range(0, len(made), PAGE):
            part = made[start : start + PAGE]
            waits = {row.event_id for row in EventPending.select().where(EventPending.event_id.in_(part))}
            for event_id in part:
                if event_id not in waits:
                    raise _BrokenLink("the event was put in beside the chain", event_id=event_id)
        return len(made)


def head(account: Account) -> tuple[int, str]:
    """Number and digest of the account's newest link; (0, "") where it has none."""
    newest = EventSeal.select(EventSeal.number, EventSeal.digest).where(EventSeal.account == account)
    return newest.order_by(EventSeal.number.desc()).tuples().first() or (0, "")
