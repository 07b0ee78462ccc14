"""Background jobs: a table of what is done again and again, and the threads in each process that look what is due.

A job is due when its row says so, and whoever moves that time on runs it: so each run is one process's, however many
there are, and no process has to be the leader. A run that a crash cut short is made up for at the next one, which is
why each job finds its work by looking, and bears being done twice (docs/decisions/0009).
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp_bridge import (
    certificate_notices,
    clock,
    db,
    enforcement,
    event_sealing,
    events,
    flow_pruning,
    idempotency,
    ids,
    last_uses,
    mail,
    metadata_refresh,
    password_changes,
    receipts,
    sessions,
    single_logout,
    usage_reports,
    webhook_delivery,
    webhooks,
)
from idp_bridge.models import JobRun

PAUSE = timedelta(seconds=30)  # how late a job may be

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """``work`` takes the present time and opens its own transactions. It runs ``every`` so often.

    Jobs of one ``lane`` wait for each other, and for no others: it is the thread that they run in. Where ``woken_by``
    is set, this process's lane looks at once, due or not: such a job claims each piece of its work for itself.
    ``gathering``: once woken, the lane lets so much time pass in which more may come. ``ending`` is set when this
    process is to end, for work that may go on and on."""

    name: str
    every: timedelta
    work: Callable[[datetime], None]
    lane: str = "jobs"
    woken_by: threading.Event | None = None
    gathering: timedelta = timedelta(0)
    ending: threading.Event | None = None


def _forget_logouts(now: datetime) -> None:
    with db.transaction():
        single_logout.clean_up()


def _forget_sessions(now: datetime) -> None:
    with db.transaction():
        sessions.clean_up()


JOBS = (
    Job("metadata_refresh", timedelta(minutes=15), metadata_refresh.run, lane="slow jobs"),  # at strangers' pace
    Job("certificate_notices", timedelta(hours=6), certificate_notices.run),
    Job("flow_pruning", timedelta(minutes=5), flow_pruning.prune),
    Job("logout_pruning", timedelta(hours=1), _forget_logouts),
    Job("webhook_log_pruning", timedelta(hours=6), webhook_delivery.prune),
    Job("session_pruning", timedelta(hours=1), _forget_sessions),
    Job("idempotency_pruning", timedelta(hours=1), idempotency.prune),
    Job("use_pruning", timedelta(hours=6), last_uses.prune),
    Job("usage_report_pruning", timedelta(hours=6), usage_reports.prune),
    Job("enforcement_trials", timedelta(minutes=1), enforcement.settle_all),
    Job(
        "event_sealing",
        PAUSE,
        event_sealing.seal,
        lane="events",
        woken_by=events.written,
        gathering=timedelta(seconds=1),
    ),
    Job(
        "webhooks",
        PAUSE,
        webhook_delivery.deliver,
        lane="webhooks",  # at strangers' pace
        woken_by=webhooks.arrived,
        ending=webhook_delivery.ending,
    ),
    Job("receipts", PAUSE, receipts.write, lane="receipts", woken_by=receipts.known),
    Job("password_resets", PAUSE, password_changes.answer, lane="mail", woken_by=mail.arrived),
    Job("mail", PAUSE, mail.deliver, lane="mail", woken_by=mail.arrived),  # at the pace of the operator's mail server
)


def run_due(now: datetime | None = None, *, jobs: Sequence[Job] = JOBS, woken: bool = False) -> list[str]:
    """Run what is due and nobody else runs; the names of what was run. A job that fails is logged, and the next goes
    on. ``woken``: what can be woken runs, due or not."""
    moment = now or clock.now()
    with db.connection():
        wanted = [job for job in jobs if (woken and job.woken_by) or _is_ours(job, moment)]
        ours = [job for job in wanted if _run(job, moment)]
    return [job.name for job in ours]


def _is_ours(job: Job, now: datetime) -> bool:
    """Whether the job is due, and this process is the one that moved its time on."""
    # Further away than its period it can only be where a clock was wrong when it last ran.
    due = (JobRun.due_at <= now) | (JobRun.due_at > now + job.every)
    if JobRun.select().where(JobRun.name == job.name, ~due).exists():
        return False
    with db.transaction():
        JobRun.insert(name=job.name, due_at=now).on_conflict_ignore().execute()
        return bool(JobRun.update(due_at=now + job.every).where(JobRun.name == job.name, due).execute())


def _run(job: Job, now: datetime) -> bool:
    try:
        job.work(now)
    except Exception:  # whatever it is, the other jobs are none of its business
        log.exception("a background job failed", extra={"job": job.name, "operation_id": ids.new("op")})
    return True


class Runner:
    """A thread for each lane that looks every so often what is due, from ``start`` to ``stop``."""

    def __init__(self, *, pause: timedelta = PAUSE, jobs: Sequence[Job] = JOBS) -> None:
        self._pause = pause.total_seconds()
        self._stopped = threading.Event()
        self._endings = [job.ending for job in jobs if job.ending]
        lanes = {job.lane: [one for one in jobs if one.lane == job.lane] for job in jobs}
        self._wakes = {
            lane: next((job.woken_by for job in of_lane if job.woken_by), None) or threading.Event()
            for lane, of_lane in lanes.items()
        }
        # Daemons: a job that hangs must not keep a process from ending. What it has not committed is undone.
        self._threads = [
            threading.Thread(target=self._run, args=(of_lane, self._wakes[lane]), name=lane, daemon=True)
            for lane, of_lane in lanes.items()
        ]

    def start(self) -> None:
        for ending in self._endings:
            ending.clear()
        for thread in self._threads:
            thread.start()

    def stop(self, *, within: timedelta = timedelta(seconds=10)) -> None:
        """No job begins any more; those that run have so long to end."""
        self._stopped.set()
        for signal in (*self._endings, *self._wakes.values()):
            signal.set()
        deadline = time.monotonic() + within.total_seconds()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, jobs: Sequence[Job], wake: threading.Event) -> None:
        woken, gathering = False, max(job.gathering for job in jobs).total_seconds()
        while not self._stopped.is_set():
            wake.clear()  # before looking: what comes meanwhile is looked for again
            try:
                run_due(jobs=jobs, woken=woken)
            except Exception:  # the database may be away for a while; this thread outlives it
                log.exception("background jobs could not be looked for")
            woken = wake.wait(self._pause)
            if woken:
                self._stopped.wait(gathering)
