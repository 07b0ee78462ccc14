"""A closed-loop HTTP/1.1 client on raw sockets: every connection sends its next request when its last answer is whole.

The standard library's client spends longer on an answer's header than a floor takes to make the answer, which would
flatter whoever is measured against it. This one reads what a server of ours sends: Content-Length, never chunks.
"""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A response: status, header block as received, body."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        """The body's document."""
        return json.loads(self.body)

    def header(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        wanted = name.lower()
        rows = (line.decode("latin-1").partition(":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip() for key, _, value in rows if key.lower() == wanted]


@dataclass
class Load:
    """What one slice of load gave. ``seconds`` runs from the first request to the last answer."""

    seconds: float = 0.0
    cpu: float = 0.0  # of the server's processes
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    last: Answer | None = None

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def encode(method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Any = None) -> bytes:
    """A request's bytes. ``body``: bytes as they are, anything else as JSON."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = {"Host": "127.0.0.1", "Content-Length": str(len(payload))} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + payload


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, request: bytes) -> Answer:
        """Send, and wait for the whole answer. Raises ConnectionError where the server hangs up first."""
        self._socket.sendall(request)
        received = self._receive(b"")
        while (end := received.find(b"\r\n\r\n")) < 0:
            received = self._receive(received)
        head, body = received[:end], received[end + 4 :]
        while len(body) < _length(head):
            body = self._receive(body)
        return Answer(int(head[9:12]), head, body)

    def _receive(self, so_far: bytes) -> bytes:
        chunk = self._socket.recv(1 << 18)
        if not chunk:
            raise ConnectionError(f"the server closed the connection after {so_far[:200]!r}")
        return so_far + chunk


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def drive(port: int, requests: Iterable[bytes], *, connections: int, seconds: float | None) -> Load:
    """Send the requests over that many connections until they or the seconds end.

    A request that is taken from ``requests`` is always sent, so a generator knows what was done.
    """
    source = _Source(requests, seconds, connections)
    loads = [Load() for _ in range(connections)]
    faults: list[BaseException] = []

    def work(load: Load) -> None:
        try:
            with Connection(port) as connection:
                source.gate.wait()  # all begin together
                for request in source:
                    began = time.perf_counter()
                    load.last = connection.send(request)
                    load.latencies.append(time.perf_counter() - began)
                    load.statuses[load.last.status] += 1
        except BaseException as fault:  # brought to the caller, whose thread this is not
            faults.append(fault)
            source.gate.abort()

    _in_parallel([lambda load=load: work(load) for load in loads])
    if faults:
        raise faults[0]
    return _sum(loads, time.perf_counter() - source.began)


def _in_parallel(jobs: list[Any]) -> None:
    """One job runs in this thread: a thread switch for each request would be measured too."""
    threads = [threading.Thread(target=job) for job in jobs[1:]]
    for thread in threads:
        thread.start()
    jobs[0]()
    for thread in threads:
        thread.join()


class _Source:
    """Hands requests out to several threads, until the time is up. The clock starts when all have connected."""

    def __init__(self, requests: Iterable[bytes], seconds: float | None, connections: int) -> None:
        self._requests = iter(requests)
        self._seconds = seconds
        self._lock = threading.Lock()
        self.gate = threading.Barrier(connections, action=self._start)
        self.began = 0.0

    def _start(self) -> None:
        self.began = time.perf_counter()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._lock:
                if self._seconds is not None and time.perf_counter() - self.began > self._seconds:
                    return
                request = next(self._requests, None)
            if request is None:
                return
            yield request


def _sum(loads: list[Load], seconds: float) -> Load:
    return Load(
        seconds=seconds,
        latencies=[latency for load in loads for latency in load.latencies],
        statuses=sum((load.statuses for load in loads), Counter()),
        last=next((load.last for load in loads if load.last), None),
    )
