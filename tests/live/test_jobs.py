"""Background jobs in the processes of the production server: begun with it, done once, ended with it."""

import time
from collections.abc import Callable
from typing import Any

import requests

from idp_bridge import clock, db, event_chain, jobs, keyring, member_lifecycle
from idp_bridge.models import Event, EventPending, JobRun
from tests.conftest import SECRET_KEY, add_provider, make_account
from tests.live.processes import SECONDS, serving
from tests.saml import idp as signing_idp

EXPIRING = "identity_provider_certificate_expiring.v0"


def wait_until_every_job_ran() -> None:
    """Each has its row, with its next time in the future."""
    names = {job.name for job in jobs.JOBS}
    deadline = time.monotonic() + SECONDS
    while set(db.column(JobRun.select(JobRun.name).where(JobRun.due_at > clock.now()))) != names:
        assert time.monotonic() < deadline, "no process ran them"
        time.sleep(0.1)


def wait_until(holds: Callable[[], Any]) -> Any:
    """What ``holds`` comes to, once it is something."""
    deadline = time.monotonic() + SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, "nobody did it"
        time.sleep(0.05)
    return found


def test_a_suspension_is_sealed_and_has_its_receipt_soon(database_url: str) -> None:
    """The process that wrote it wakes its sealer, which wakes who writes receipts: long before either is due again."""
    real = db.open_database(database_url)
    keyring.unlock(SECRET_KEY)
    try:
        with db.connection():
            world = make_account("acme")
            with db.transaction():
                member = member_lifecycle.create(world.system, email="ann@acme.test", managed_by="local")
            receipt = Event.select().where(Event.type == "member_deprovisioned.v0", Event.object_id == member.id)
            with serving(database_url) as server:
                wait_until_every_job_ran()
                began = time.monotonic()
                url = f"{server.url}/api/users/{member.id}"
                answer = requests.patch(url, json={"active": False}, headers=world.headers, timeout=SECONDS)
                assert answer.status_code == 200
                told = wait_until(lambda: receipt.clone().first())
                wait_until(lambda: not EventPending.select().exists())
                assert time.monotonic() - began < jobs.PAUSE.total_seconds()
            assert told.object["request_id"] == answer.headers["X-Request-Id"]
            assert 0 < told.object["sessions_ended"]["milliseconds"] < 1000 * SECONDS
            with db.snapshot():
                proof = event_chain.verify(world.account)
            assert (proof.broken, proof.pending, proof.events) == (None, 0, Event.select().count())
    finally:
        real.close_all() if hasattr(real, "close_all") else real.close()


def test_jobs_begin_with_the_server_and_are_done_once(database_url: str) -> None:
    """Two processes, one event; it ends at once on SIGTERM, and the next start finds nothing to do."""
    soon = (clock.now() - signing_idp.NOW).days + 5
    certificate = signing_idp.pair("soon.example.com", "rsa2048", (-30, soon)).certificate
    real = db.open_database(database_url)
    keyring.unlock(SECRET_KEY)
    try:
        with db.connection():
            world = make_account("acme")
            add_provider(world, certificate.pem)
            expiring = Event.select().where(Event.type == EXPIRING, Event.account == world.account)
            for _ in range(2):
                with serving(database_url):
                    wait_until_every_job_ran()
                assert expiring.count() == 1
                JobRun.update(due_at=clock.now()).execute()
    finally:
        real.close_all() if hasattr(real, "close_all") else real.close()
