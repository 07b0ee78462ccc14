"""Background jobs: each due one runs once among all processes, and none can stop the others."""

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp_bridge import clock, db, jobs
from idp_bridge.jobs import Job, Runner
from idp_bridge.models import JobRun
from tests.domain import cast

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


pytestmark = pytest.mark.usefixtures("database")


def job(name: str, work: Callable[[datetime], Any]) -> Job:
    return Job(name, HOUR, work)


def test_a_job_runs_when_it_is_due_and_not_before() -> None:
    """At once where it has never run; then every period."""
    runs: list[datetime] = []
    hourly = [job("hourly", runs.append)]
    moments = [NOON, NOON + HOUR / 2, NOON + HOUR, NOON + HOUR, NOON + 5 * HOUR]
    ran = [jobs.run_due(moment, jobs=hourly) for moment in moments]
    assert ran == [["hourly"], [], ["hourly"], [], ["hourly"]]
    assert runs == [NOON, NOON + HOUR, NOON + 5 * HOUR]


def test_many_processes_run_it_once() -> None:
    """Whoever moves its time on; on either database."""
    runs: list[datetime] = []
    once = [job("once", runs.append)]
    for moment in (NOON, NOON + HOUR):
        cast.at_once(*[lambda moment=moment: jobs.run_due(moment, jobs=once)] * 6, transaction=nullcontext)
    assert runs == [NOON, NOON + HOUR]


def test_a_job_that_fails_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    """With its name and an id to find it by; and it comes again at its next time."""
    runs: list[datetime] = []

    def fails(_: datetime) -> None:
        with db.transaction():
            JobRun.create(name="half done", due_at=NOON)
            raise RuntimeError("no")

    both = [job("fails", fails), job("works", runs.append)]
    with caplog.at_level(logging.ERROR, logger="idp_bridge.jobs"):
        assert jobs.run_due(NOON, jobs=both) == ["fails", "works"]
    (record,) = caplog.records
    assert record.job == "fails"  # type: ignore[attr-defined]
    assert record.operation_id.startswith("op_")  # type: ignore[attr-defined]
    assert runs == [NOON]
    assert not JobRun.select().where(JobRun.name == "half done").exists()
    assert jobs.run_due(NOON + HOUR, jobs=both[:1]) == ["fails"]


def test_a_clock_that_was_wrong_does_not_keep_a_job_waiting() -> None:
    """A time further away than the period was written by a clock that ran ahead."""
    runs: list[datetime] = []
    hourly = [job("hourly", runs.append)]
    JobRun.create(name="hourly", due_at=NOON + timedelta(days=3650))
    assert jobs.run_due(NOON, jobs=hourly) == ["hourly"]
    assert jobs.run_due(NOON, jobs=hourly) == []


def test_every_job_of_the_product_runs_on_an_empty_database() -> None:
    """Their names are kept in rows, so no two are alike."""
    assert sorted(jobs.run_due()) == sorted({one.name for one in jobs.JOBS})
    assert jobs.run_due() == []


def test_the_thread_runs_jobs_until_it_is_stopped() -> None:
    """It outlives a job's failure, and ends when it is told to."""
    ran = threading.Semaphore(0)

    def work(_: datetime) -> None:
        ran.release()
        raise RuntimeError("again and again")

    runner = Runner(pause=timedelta(milliseconds=1), jobs=[Job("often", timedelta(0), work)])
    runner.start()
    assert all(ran.acquire(timeout=20) for _ in range(3))
    runner.stop()
    assert not any(thread.name == "jobs" for thread in threading.enumerate())
    assert clock.now() >= JobRun.get_by_id("often").due_at


def test_a_slow_lane_does_not_keep_the_others_waiting() -> None:
    """A job that strangers hold up holds up no other; what strangers can hold up has a lane of its own."""
    ran, held = threading.Event(), threading.Event()
    slow = Job("slow", HOUR, lambda _: held.wait(20), lane="slow jobs")
    runner = Runner(pause=timedelta(milliseconds=1), jobs=[slow, job("quick", lambda _: ran.set())])
    runner.start()
    try:
        assert ran.wait(10)
        assert not held.is_set()
    finally:
        held.set()
        runner.stop()
    assert [one.name for one in jobs.JOBS if one.lane == "slow jobs"] == ["metadata_refresh"]


def test_a_lane_that_is_woken_looks_at_once() -> None:
    """Due or not, and again for what comes while it is at work; the others of this process sleep on."""
    wake, ran, entered, go_on = threading.Event(), threading.Semaphore(0), threading.Event(), threading.Event()

    def work(_: datetime) -> None:
        entered.set()
        assert go_on.wait(20)
        ran.release()

    runner = Runner(pause=HOUR, jobs=[Job("woken", HOUR, work, lane="mail", woken_by=wake)])
    runner.start()
    assert entered.wait(20)
    wake.set()
    go_on.set()
    assert all(ran.acquire(timeout=20) for _ in range(2))
    wake.set()
    assert ran.acquire(timeout=20)
    runner.stop()
    assert not any(thread.name == "mail" for thread in threading.enumerate())


def test_the_thread_outlives_a_database_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """It says so in the log, and goes on when the database is back."""
    ran, away = threading.Semaphore(0), threading.Semaphore(0)
    caplog.handler.addFilter(lambda record: away.release() or True if record.name == "idp_bridge.jobs" else True)
    runner = Runner(pause=timedelta(milliseconds=1), jobs=[Job("often", timedelta(0), lambda _: ran.release())])
    db.database.execute_sql("ALTER TABLE job_run RENAME TO job_run_away")
    try:
        runner.start()
        assert away.acquire(timeout=20)
    finally:
        db.database.execute_sql("ALTER TABLE job_run_away RENAME TO job_run")
    assert ran.acquire(timeout=20)
    runner.stop()
    assert "background jobs could not be looked for" in caplog.messages
