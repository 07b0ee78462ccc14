"""The two servers of a run, each a process tree of its own on a fresh database, and what CPU time they have used."""

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
SECRET_KEY = "a secret key of the benchmarks, 32 characters and more"
UNLIMITED = "1000000000"  # a limiter that answers 429 would be the fastest server of all


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and its master process."""

    name: str
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of the process tree so far, threads that have ended included."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.pid))


@contextmanager
def product(database_url: str, *, workers: int) -> Iterator[Server]:
    """``idp-bridge serve`` on that database."""
    port = _free_port()
    environment = {
        "IDP_BRIDGE_DATABASE_URL": database_url,
        "IDP_BRIDGE_BASE_URL": f"http://127.0.0.1:{port}",
        "IDP_BRIDGE_SECRET_KEY": SECRET_KEY,
        "IDP_BRIDGE_LOG_FORMAT": "json",
        **{f"IDP_BRIDGE_{rate}_RATE": UNLIMITED for rate in ("API", "SCIM", "LOGIN")},
    }
    command = ("idp_bridge.cli", "serve", "--port", str(port), "--workers", str(workers))
    with _serving("idp-bridge", port, command, environment) as server:
        yield server


@contextmanager
def floor(database_url: str, *, workers: int) -> Iterator[Server]:
    """The floor application on that database."""
    port = _free_port()
    with _serving("floor", port, ("tests.bench.floor", database_url, str(port), str(workers)), {}) as server:
        yield server


@contextmanager
def _serving(name: str, port: int, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    log = tempfile.TemporaryFile()  # noqa: SIM115 - a line for each request costs what it costs, and is for nobody
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        try:
            _wait(process, port, name)
        except RuntimeError as error:
            log.seek(0)
            raise RuntimeError(f"{error}: {log.read().decode()[-2000:]}") from error
        yield Server(name, port, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)
        log.close()


def _wait(process: "subprocess.Popen[bytes]", port: int, name: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode} instead of serving")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{name} does not answer after {START_SECONDS} s")


def busy_seconds() -> float:
    """CPU time that the whole machine has spent so far, ours and everybody's (proc_stat(5): user, nice, system, irq,
    softirq and steal)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _cpu_seconds(pid: int) -> float:
    """The process's CPU-time clock (POSIX.1-2008 clock_getcpuclockid): nanoseconds, where /proc/PID/stat has ticks."""
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)
