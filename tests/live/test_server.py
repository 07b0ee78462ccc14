"""Processes of the production server that have had their share of requests: others take their place, unnoticed."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from idp_bridge import db
from idp_bridge.models import JobRun
from tests.live.processes import SECONDS, serving
from tests.live.test_jobs import wait_until_every_job_ran

SHARE = 60
# As in production, but for the share, and for how often jobs are looked for: it would be half a minute.
_SERVE = f"""
from datetime import timedelta
from functools import partial
from idp_bridge import cli, jobs, server
server.MAX_REQUESTS = {SHARE}
jobs.Runner = partial(jobs.Runner, pause=timedelta(seconds=1))
cli.main()
"""


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
        with db.connection(), serving(database_url, workers=1, program=("-c", _SERVE)) as server:
            url, parent = server.url, server.pid
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
