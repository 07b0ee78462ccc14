"""The production server: gunicorn, threads in a few preloaded processes, started from code rather than a shell."""

import gc
import os
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from idp_bridge import db, jobs, last_uses
from idp_bridge.app import create_app
from idp_bridge.config import Config

THREADS = 8  # a process; they wait for the database more than they compute
MAX_REQUESTS = 1_000_000  # of one process, before another takes its place


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn with our settings. Processes share nothing that another must know."""

    def __init__(self, config: Config, *, host: str, port: int, workers: int | None) -> None:
        self._config = config
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._workers = workers or min(os.cpu_count() or 1, 4)
        super().__init__()

    def load_config(self) -> None:
        """Settings that differ from gunicorn's, each with its reason."""
        settings: dict[str, Any] = {
            "bind": self._bind,
            "workers": self._workers,
            "worker_class": "gthread",
            "threads": THREADS,
            "preload_app": True,  # imports cost a second: paid once, shared by fork
            "limit_request_line": 8190,  # a signed SAML redirect is longer than the usual 4094
            # What a library keeps of what it was given, however little, does not add up for ever. A process that has
            # had its share answers what it has begun, and ends; the jitter keeps them from doing so together.
            "max_requests": MAX_REQUESTS,
            "max_requests_jitter": MAX_REQUESTS // 5,
            "timeout": 60,
            "graceful_timeout": 30,
            "keepalive": 75,  # longer than the usual load balancer's 60, which must be the one to close
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108 - heartbeats off the disk
            "control_socket_disable": True,
            "loglevel": "warning",
            "when_ready": self._ready,
            "post_worker_init": self._begin_jobs,  # a thread does not survive the fork
            "worker_exit": self._end_jobs,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, made once before the workers are forked. They open their own connections."""
        app = create_app(self._config)
        db.disconnect()
        gc.collect()
        gc.freeze()  # what is there by now stays: not looked at again, it stays shared by the processes
        return app

    def _ready(self, arbiter: Arbiter) -> None:
        click.echo(f"Serving on http://{self._bind} ({self._workers} processes, {THREADS} threads each)")

    def _begin_jobs(self, worker: Any) -> None:
        worker.jobs, worker.last_uses = jobs.Runner(), last_uses.Writer()
        worker.jobs.start()
        worker.last_uses.start()

    def _end_jobs(self, arbiter: Arbiter, worker: Any) -> None:
        if hasattr(worker, "jobs"):  # not in one that died while it was loading
            worker.jobs.stop()
            worker.last_uses.stop()  # no request is answered any more
