"""Slices of load in turns: floor, candidate, candidate, floor, … for several rounds.

A shared machine is never equally fast for a minute. What is compared must therefore have run within the same second
or two: every candidate's ratio is taken against the floor of its own round, and the median of the rounds is reported.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from tests.bench.client import Answer, Load, drive
from tests.bench.servers import Server

Requests = Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Lane:
    """One kind of request against one server.

    ``requests`` is called before each slice and may prepare it, off the clock. ``status`` is the only answer allowed,
    and ``check`` says of the slice's last one whether it holds what it should: a fast wrong answer must not count.
    ``whole``: run the requests to their end instead of for the slice's time.
    """

    name: str
    server: Server
    requests: Requests
    status: int = 200
    check: Callable[[Answer], bool] = lambda _: True
    whole: bool = False


@dataclass
class Figures:
    """What a lane gave over all rounds. ``ratios`` to the floor of the same round; empty for what has no floor."""

    name: str
    connections: int
    loads: list[Load] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu_ratios: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median answers a second."""
        return median(load.rate for load in self.loads)

    @property
    def cpu_ms(self) -> float:
        """Median CPU milliseconds of the server for each request."""
        return median(_cpu(load) for load in self.loads) * 1e3

    @property
    def ratio(self) -> float | None:
        """Median of rate over floor; 1 is as fast as the floor."""
        return median(self.ratios) if self.ratios else None

    @property
    def cpu_ratio(self) -> float | None:
        """The same by CPU time a request, which other work on the machine disturbs less."""
        return median(self.cpu_ratios) if self.cpu_ratios else None

    def latency_ms(self, share: float) -> float:
        """The latency that this share of all requests kept within."""
        ordered = sorted(latency for load in self.loads for latency in load.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def in_turns(
    lanes: Sequence[Lane], *, floor: Lane | None = None, rounds: int, seconds: float, connections: int = 1
) -> list[Figures]:
    """Run the lanes that many times in turns, each slice that long; the floor's figures come first.

    Every round is led by the floor. A slice before the first warms connections and caches and is not counted.
    """
    order = [floor, *lanes] if floor else list(lanes)
    figures = [Figures(lane.name, connections) for lane in order]
    for lane in order:
        _slice(lane, seconds / 4, connections)
    for _ in range(rounds):
        loads = [_slice(lane, seconds, connections) for lane in order]
        for figure, load in zip(figures, loads, strict=True):
            figure.loads.append(load)
            if floor:
                figure.ratios.append(load.rate / loads[0].rate)
                figure.cpu_ratios.append(_cpu(loads[0]) / _cpu(load))
    return figures


def _slice(lane: Lane, seconds: float, connections: int) -> Load:
    requests = lane.requests()
    before = lane.server.cpu_seconds()
    load = drive(lane.server.port, requests, connections=connections, seconds=None if lane.whole else seconds)
    load = replace(load, cpu=lane.server.cpu_seconds() - before)
    if set(load.statuses) != {lane.status}:
        told = load.last.body[:500] if load.last else b""
        raise RuntimeError(f"{lane.name}: {dict(load.statuses)} instead of {lane.status} only: {told!r}")
    if load.last is None or not lane.check(load.last):
        raise RuntimeError(f"{lane.name}: a wrong answer: {load.last}")
    return load


def _cpu(load: Load) -> float:
    return load.cpu / len(load.latencies)
