"""`idp-bridge serve` in processes of its own, on a database that is there."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import SECRET_KEY

SECONDS = 60


@dataclass(frozen=True)
class Server:
    """Where it is, and the process that the others hang on."""

    url: str
    pid: int


@contextmanager
def serving(
    database_url: str, *, workers: int = 2, program: Sequence[str] = ("-m", "idp_bridge.cli"), **settings: str
) -> Iterator[Server]:
    """Until it has ended on SIGTERM, cleanly. ``settings`` are named without their prefix, in small letters."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    given = {"database_url": database_url, "secret_key": SECRET_KEY, "base_url": url, **settings}
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **{f"IDP_BRIDGE_{name.upper()}": value for name, value in given.items()},
    }
    command = [sys.executable, *program, "serve", "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert f"{workers} processes" in server.stdout.readline(), "it says so once it listens"
            yield Server(url, server.pid)
        finally:
            server.terminate()
            server.wait(timeout=SECONDS)
    assert server.returncode == 0
