"""What is counted of requests and their outcomes, for Prometheus: the four golden signals, and answers by reason.

A request only leaves a note; notes are counted in heaps, since to count each for itself would cost a tenth of a read.
``Counting`` does so every second in each process of the server, and ``exposition`` for the process that is asked.

One process keeps its numbers in memory. The processes of the server share a directory: each has a slot, and in it files
whose numbers go on when another process takes the slot, so there are never more files than processes at one time.
Labels are of our own vocabulary only, never a client's text: the route as it is declared, a class of status, a reason
of a table.
"""

import os
import shutil
import tempfile
import threading
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

#: Seconds. A read by its key takes one or two milliseconds, a password 50, a thousand users in bulk some seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # whatever else a client calls its method
NO_ROUTE = "none"  # nothing of ours is at the address

CLASSES = tuple(f"{number}xx" for number in range(10))  # of status, by its first digit

EVERY = 1.0  # second
HEAP = 1000  # notes that wait at most

_DIRECTORY = "idp-bridge-metrics-"  # and the number of the server's process
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # the library's own; it asks for it when a file is opened


@dataclass
class _Process:
    """Which slot this process has, and where all have theirs; no directory: it is alone."""

    slot: int = 0
    directory: Path | None = None


_process = _Process()


@dataclass
class Metrics:
    """The instruments. ``requests`` counts traffic, errors and latency in one; ``in_flight`` of ``threads`` is the
    saturation."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._requests = _Heaped(
            "idp_bridge_request_duration_seconds",
            "Time from a request's arrival at the application to its answer.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._scim = Counter(
            "idp_bridge_scim_answers",
            "Answers to SCIM requests: ok, or the scimType or code of the error.",
            ["resource", "outcome"],
            registry=self.registry,
        )
        self._sign_ins = Counter(
            "idp_bridge_sign_ins",
            "Attempts to sign in by way and outcome: ok, or the reason of the refusal.",
            ["way", "outcome"],
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "idp_bridge_requests_in_flight",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self._threads = Gauge(
            "idp_bridge_threads",
            "Requests that can be answered at one time; more of them wait.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self._slow = Counter(
            "idp_bridge_slow_queries", "Database statements over IDP_BRIDGE_SLOW_QUERY_MS.", registry=self.registry
        )
        self._children: dict[tuple[str, str, int], _Heaped] = {}
        self._answered: deque[tuple[str, str | None, int, float, str | None, str | None]] = deque()
        self._busy: dict[int, None] = {}  # threads
        self._counting = threading.Lock()

    def begin(self) -> None:
        """This thread begins a request."""
        self._busy[get_ident()] = None

    def end(self) -> None:
        """It has ended, however."""
        self._busy.pop(get_ident(), None)

    def request(
        self,
        method: str,
        route: str | None,
        status: int,
        seconds: float,
        resource: str | None = None,
        outcome: str | None = None,
    ) -> None:
        """A request was answered; ``resource`` and ``outcome`` where it is one over SCIM."""
        self._answered.append((method, route, status, seconds, resource, outcome))
        if len(self._answered) > HEAP:
            self.count()

    def sign_in(self, way: str, outcome: str = "ok") -> None:
        """Somebody tried to sign in."""
        self._sign_ins.labels(way, outcome).inc()

    def slow_query(self) -> None:
        """A statement took long."""
        self._slow.inc()

    def serving(self, threads: int) -> None:
        """This process answers so many at one time."""
        self._threads.set(threads)

    def count(self) -> None:
        """Count what was noted since last time."""
        with self._counting:
            self._in_flight.set(len(self._busy))
            notes = [self._answered.popleft() for _ in range(len(self._answered))]
            scim, took = Tally(note[4:] for note in notes if note[4]), defaultdict(list)
            for method, route, status, seconds, *_ in notes:
                took[(method, route or NO_ROUTE, status // 100)].append(seconds)
            for labels, number in scim.items():
                self._scim.labels(*labels).inc(number)
            for key, each in took.items():
                self._child(*key).observe_all(each)

    def _child(self, method: str, route: str, first_digit: int) -> "_Heaped":
        key = (method, route, first_digit)
        if key not in self._children:
            name = method if method in METHODS else OTHER
            self._children[key] = self._requests.labels(name, route, CLASSES[first_digit])
        return self._children[key]


class _Heaped(Histogram):
    """A histogram that is told of many observations at once; the library takes one at a time."""

    def observe_all(self, seconds: Sequence[float]) -> None:
        """As ``observe`` for each, with one write for each bucket."""
        self._sum.inc(sum(seconds))
        for place, number in Tally(bisect_left(self._upper_bounds, one) for one in seconds).items():
            self._buckets[place].inc(number)


class Counting(threading.Thread):
    """Counts every second, from ``start`` to ``stop``."""

    def __init__(self) -> None:
        super().__init__(name="metrics", daemon=True)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Until it is stopped, and then once more."""
        while not self._stopped.wait(EVERY):
            instruments().count()
        instruments().count()

    def stop(self) -> None:
        """All that was noted is counted."""
        self._stopped.set()
        self.join()


_made: list[Metrics] = []


def instruments() -> Metrics:
    """Those of this process, made when they are first asked for: ``share`` comes before, or never."""
    if not _made:
        _made.append(Metrics())
    return _made[0]


def exposition(*more: Collector) -> bytes:
    """All processes' metrics, and those of ``more``, as Prometheus reads them."""
    instruments().count()
    whole: Any = CollectorRegistry()
    if _process.directory is None:
        whole.register(_Collected(instruments().registry))
    else:
        MultiProcessCollector(whole, str(_process.directory))  # type: ignore[no-untyped-call]
    for collector in more:
        whole.register(collector)
    return generate_latest(whole)


class _Collected(Collector):
    """A registry as a part of another one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Any:
        return self._registry.collect()


# --- processes of one server ------------------------------------------------------------------------------------


def share() -> None:
    """From now on this process and those that it forks share a new directory; ``give_up`` removes it."""
    _sweep(_place())
    _process.directory = Path(tempfile.mkdtemp(prefix=f"{_DIRECTORY}{os.getpid()}-", dir=_place()))
    os.environ[_VARIABLE] = str(_process.directory)
    values.ValueClass = values.MultiProcessValue(lambda: _process.slot)  # type: ignore[no-untyped-call]
    _made.clear()


def give_up() -> None:
    """The server ends."""
    if _process.directory is not None:
        shutil.rmtree(_process.directory, ignore_errors=True)
        _process.directory = None


def take(slot: int) -> None:
    """This process, just forked, has the slot; no other that lives has it."""
    _process.slot = slot


def ended(slot: int) -> None:
    """Whoever had it is gone: what was counted stays, what was under way there is not any more."""
    if _process.directory is not None:
        mark_process_dead(slot, str(_process.directory))  # type: ignore[no-untyped-call]


def free(taken: set[int]) -> int:
    """The lowest slot that is not taken; 0 is the first process's own."""
    return next(slot for slot in range(1, len(taken) + 2) if slot not in taken)


def _place() -> str:
    """In memory where there is such a place: these files are written with every request."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # noqa: S108 - a fresh 0700 one there


def _sweep(place: str) -> None:
    """Directories of ours whose server was killed."""
    for left in Path(place).glob(f"{_DIRECTORY}*"):
        owner = left.name.removeprefix(_DIRECTORY).partition("-")[0]
        if owner.isdecimal() and left.stat().st_uid == os.getuid() and not _lives(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
