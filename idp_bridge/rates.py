"""Rates: how many requests one key may make in a second or a minute, counted over all processes.

Fixed windows: one begins with its first request, and the next one with the first request after it. Here are the
policy, and the counts in our own database, which both kinds have (docs/decisions/0006).
"""

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from threading import Lock
from typing import Any

from peewee import EXCLUDED, Case, OperationalError

from idp_bridge import clock, db, ids, tokens
from idp_bridge.config import Config
from idp_bridge.errors import TooManyRequests
from idp_bridge.models import RateCount
from idp_bridge.statement import Statement, Table, parameter
from idp_bridge.text import fold

log = logging.getLogger(__name__)

REPORTS = 32  # a process reports what it let through this many times in a limit; up to twice that, each request
PATIENCE = 50  # milliseconds that a report waits for SQLite's write lock
MOST_KEYS = 10_000  # of one limit, in the memory of a process
SWEEP = timedelta(minutes=1)  # how often a process deletes the rows of windows that are over
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MOST_TO_ONE = 5  # invitations an hour that one account mails to one address
SITE_PREFIX = 64  # bits of an IPv6 address that are one site's (RFC 4291 section 2.5.1); the others it chooses itself


class Limit:
    """So many requests of a key in a window."""

    def __init__(
        self, name: str, amount: int, period: timedelta, *, refusal: str = "not let through", exact: bool = False
    ) -> None:
        """Limits of one ``name`` share their counts. ``refusal`` has ``{amount}`` and ``{seconds}``. ``exact``: each
        request is counted in the database before it is let through, and fails where that cannot be; else see
        ``SharedCounts``."""
        self._name, self._amount = name, amount
        self._refusal = refusal
        batch = 1 if exact else max(1, amount // REPORTS)
        self._counts = SharedCounts(period, batch=batch, patience=None if exact else PATIENCE)

    def take(self, *key: str) -> None:
        """Count one request of the key. Raises TooManyRequests past the limit; what is refused for sure is refused
        without asking the database."""
        counted = self._counted_as(key)
        if self._counts.known(counted)[0] < self._amount and self._counts.add(counted) <= self._amount:
            return
        seconds = self.left(*key).reset
        raise TooManyRequests(self._refusal.format(amount=self._amount, seconds=seconds), retry_after=seconds)

    def left(self, *key: str) -> "Left":
        """What the key may still do before its window ends. Asks nobody: what other processes let through since their
        last report is not in it (see ``SharedCounts``)."""
        number, seconds = self._counts.known(self._counted_as(key))
        return Left(self._amount, max(0, self._amount - number), max(1, ceil(seconds)))

    def _counted_as(self, key: tuple[str, ...]) -> str:
        return "/".join((self._name, *key))


@dataclass(frozen=True)
class Left:
    """What a key has left of a limit, as this process knows it; ``reset`` in whole seconds."""

    limit: int
    remaining: int
    reset: int


@dataclass(frozen=True)
class Rates:
    """The limits of this service. Each process has its own, and all share the counts."""

    api: Limit
    scim: Limit
    address: Limit
    person: Limit
    inviting: Limit
    invited: Limit
    set_up: Limit

    @classmethod
    def of(cls, config: Config) -> "Rates":
        """As the operator set them. A person gets half of what an address gets, behind which there are several."""
        return cls(
            api=Limit(
                "api",
                config.api_rate,
                SECOND,
                refusal="More than {amount} requests a second with one API key or session. Wait a second and send them "
                "slower.",
            ),
            scim=Limit(
                "scim",
                config.scim_rate,
                SECOND,
                refusal="More than {amount} requests a second with one SCIM token. Wait a second and send them slower.",
            ),
            address=Limit(
                "address",
                config.login_rate,
                MINUTE,
                refusal="Too many sign-in attempts from your network. Try again in {seconds} seconds.",
                exact=True,
            ),
            person=Limit(
                "person",
                max(1, config.login_rate // 2),
                MINUTE,
                refusal="Too many sign-in attempts with this e-mail address. Try again in {seconds} seconds; single "
                "sign-on works meanwhile.",
                exact=True,
            ),
            inviting=Limit(
                "inviting",
                config.invitation_rate,
                HOUR,
                refusal="More than {amount} mailed invitations an hour from one account. Go on in {seconds} seconds.",
                exact=True,
            ),
            invited=Limit(
                "invited",
                MOST_TO_ONE,
                HOUR,
                refusal="More than {amount} invitations an hour were mailed to this address. Try again in {seconds} "
                "seconds.",
                exact=True,
            ),
            set_up=Limit(
                "set_up",
                config.login_rate,
                MINUTE,
                refusal="More than {amount} changes a minute with a set-up link. Go on in {seconds} seconds.",
                exact=True,
            ),
        )

    def attempt(self, address: str | None, way: str, email: str | None) -> None:
        """Count an attempt to come in: by address, then by the e-mail address that was given, of somebody or nobody.

        Each way has a count of its own, so that whoever guesses at a password does not shut the recovery codes. Single
        sign-on is not counted: a stranger could shut it. What an address was refused counts for nobody's e-mail.
        """
        self.address.take(site(address))
        if email is not None:
            self.try_for(way, email)

    def try_for(self, way: str, email: str) -> None:
        """Count one by the e-mail address alone, where a stranger cannot come to the form: who shares her network does
        not shut it."""
        self.person.take(way, tokens.digest(fold(email)))

    def invite(self, account_id: str, email: str) -> None:
        """Count an invitation that will be mailed, to whoever it is: our mail must be nobody's means to fill a
        mailbox. By its address, in this account: else a stranger who has invited her too would shut it; then by the
        account."""
        self.invited.take(account_id, tokens.digest(fold(email)))
        self.inviting.take(account_id)


def write_of_nobody() -> None:
    """One row, in the caller's transaction, that counts nothing and is swept a minute later: where an event is written
    of whoever is known, as much is written of whoever is not, so that the time of the answer does not tell them apart.
    """
    _TABLE.insert(key=f"nobody/{ids.new('op')}", number=1, ends_at=clock.now() + MINUTE)


_TABLE = Table(RateCount)


def site(address: str | None) -> str:
    """What one client cannot change at will: an IPv4 address, or the first half of an IPv6 one."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return ""  # a socket file, or a proxy's word that is no address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, SITE_PREFIX), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


@dataclass
class _Window:
    """What a process knows of a key's window."""

    begun_at: datetime
    ends_at: datetime
    number: int = 0  # of all processes, as far as it was told
    unreported: int = 0  # of its own, beside them
    lock: Lock = field(default_factory=Lock, repr=False)  # held while they are reported: nobody slips by meanwhile

    @property
    def known(self) -> int:
        """All that this process knows of."""
        return self.number + self.unreported

    def covers(self, moment: datetime) -> bool:
        """Not before it was begun either: a clock that was set back must not stretch it."""
        return self.begun_at <= moment < self.ends_at


class SharedCounts:
    """The counts of one period: in this process, reported to the database a batch at a time.

    A write for each request would make reads wait for SQLite's one write lock. So a client that sends less than a
    batch in a window costs no statement, and a limit may be exceeded by two batches a process: by one that was not full
    when its window ended here, and one that is not full when it ends for all.

    A report that finds the lock taken for longer than ``patience`` milliseconds is made with the next batch; meanwhile
    the process goes by what it knows. ``patience=None``: it waits, and fails, as any write does.
    """

    def __init__(self, period: timedelta, *, batch: int, patience: int | None) -> None:
        self._period = period
        self._batch = batch
        self._patience = patience
        self._windows: dict[str, _Window] = {}  # by their beginnings: whose time is over is found in front
        self._lock = Lock()  # of the dictionary; not held while the database is asked
        self._sweep_at = clock.now() + SWEEP

    def add(self, key: str) -> int:
        """Count one; how many there are, this one included."""
        with self._lock:
            now = clock.now()
            window = self._live(key, now) or self._begin(key, now)
        with window.lock:
            window.unreported += 1
            if window.unreported % self._batch == 0:
                self._report(key, window, now)
            return window.known

    def known(self, key: str) -> tuple[int, float]:
        """How many this process knows of, and in how many seconds their window ends."""
        now = clock.now()
        with self._lock:
            window = self._live(key, now)
        return (0, 0.0) if window is None else (window.known, (window.ends_at - now).total_seconds())

    def _live(self, key: str, now: datetime) -> _Window | None:
        window = self._windows.get(key)
        return window if window is not None and window.covers(now) else None

    def _begin(self, key: str, now: datetime) -> _Window:
        self._windows.pop(key, None)
        while self._windows:
            oldest = next(iter(self._windows))
            if len(self._windows) < MOST_KEYS and self._windows[oldest].covers(now):
                break
            del self._windows[oldest]
        window = self._windows[key] = _Window(now, now + self._period)
        return window

    def _report(self, key: str, window: _Window, now: datetime) -> None:
        try:
            with nullcontext() if self._patience is None else db.waiting_at_most(self._patience):
                number, ends_at = self._write(key, window.unreported, now)
        except OperationalError as error:
            if self._patience is None:
                raise
            log.info("a count of requests is reported later: %s", error)
        else:
            window.number, window.ends_at, window.unreported = number, ends_at, 0

    def _write(self, key: str, number: int, now: datetime) -> tuple[int, datetime]:
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            RateCount.delete().where(RateCount.ends_at < now).execute()
        ends_at, latest = now + self._period, now + 2 * self._period
        ((number, ends_at),) = _ADD.rows(key=key, number=number, now=now, ends_at=ends_at, latest=latest)
        return number, ends_at


def _adding() -> Any:
    now, latest = (parameter(name, RateCount.ends_at) for name in ("now", "latest"))
    # Two windows from now, and so not of a process that only looked at the clock after this one: it is another clock's,
    # or ours before it was set back. It must shut nobody out.
    over = (RateCount.ends_at <= now) | (RateCount.ends_at > latest)
    return RateCount.insert(
        {
            RateCount.key: parameter("key"),
            RateCount.number: parameter("number"),
            RateCount.ends_at: parameter("ends_at", RateCount.ends_at),
        }
    ).on_conflict(
        conflict_target=[RateCount.key],
        update={
            RateCount.number: Case(None, [(over, EXCLUDED.number)], RateCount.number + EXCLUDED.number),
            RateCount.ends_at: Case(None, [(over, EXCLUDED.ends_at)], RateCount.ends_at),
        },
    ).returning(RateCount.number, RateCount.ends_at)  # fmt: skip


_ADD = Statement((RateCount.number, RateCount.ends_at), _adding)
