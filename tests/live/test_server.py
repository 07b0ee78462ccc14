"""Processes of the production server that have had their share of requests: others take their place, unnoticed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from idp_bridge import db
from idp_bridge.models import JobRun
from tests.conftest import SECRET_KEY
from tests.live.test_jobs import wait_until_every_job_ran

SHARE = 60
SECONDS = 60
# As in production, but for the share, and for how often jobs are looked for: it would be half a minute.
_SERVE = f"""
from datetime import timedelta
from functools import partial
from idp_bridge import cli, jobs, server
server.MAX_REQUESTS = {SHARE}
jobs.Runner = partial(jobs.Runner, pause=timedelta(seconds=1))
cli.main()
"""


@contextmanager
def serving(database_url: str) -> Iterator[tuple[str, int]]:
    """One process, whose share is small: the URL, and the id of its parent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "IDP_BRIDGE_DATABASE_URL": database_url,
        "IDP_BRIDGE_SECRET_KEY": SECRET_KEY,
        "IDP_BRIDGE_BASE_URL": f"http://127.0.0.1:{port}",
    }
    command = [sys.executable, "-c", _SERVE, "serve", "--port", str(port), "--workers", "1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert "1 processes" in server.stdout.readline()
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()
            server.wait(timeout=SECONDS)
    assert server.returncode == 0


def _children(parent: int) -> set[str]:
    return set(Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def _asked(url: str) -> list[int]:
    """As many requests as are one process's share, by one client that keeps its connection."""
    with requests.Session() as client:
        return [client.get(f"{url}/login", timeout=SECONDS).status_code for _ in range(SHARE)]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc, which is Linux's")
def test_process_that_had_its_share_ends_and_nobody_notices(database_url: str) -> None:
    """Every request is answered, on connections that are kept; another process is there, and jobs run in it."""
    real = db.open_database(database_url)
    try:
        with db.connection(), serving(database_url) as (url, parent):
            assert requests.get(f"{url}/login", timeout=SECONDS).ok  # it is there by then
            first = _children(parent)
            assert len(first) == 1
            with ThreadPoolExecutor(4) as clients:
                answers = [status for each in clients.map(_asked, [url] * 4) for status in each]
            assert answers == [200] * (4 * SHARE)
            deadline = time.monotonic() + SECONDS
            while first & _children(parent):
                assert time.monotonic() < deadline, "it did not end"
                time.sleep(0.1)
            JobRun.delete().execute()
            wait_until_every_job_ran()
            assert _asked(url) == [200] * SHARE
    finally:
        real.close_all() if hasattr(real, "close_all") else real.close()
