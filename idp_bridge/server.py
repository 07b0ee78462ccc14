"""The production server: gunicorn, threads in a few preloaded processes, started from code rather than a shell."""

import gc
import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import Any, cast

import click
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import ThreadWorker

from idp_bridge import db, ids, jobs, last_uses, logs, metrics
from idp_bridge.app import create_app
from idp_bridge.config import Config, ConfigError
from idp_bridge.errors import Code

THREADS = 8  # a process; they wait for the database more than they compute
MAX_REQUESTS = 1_000_000  # of one process, before another takes its place
LONGEST_LINE = 8190  # octets: a signed SAML redirect is longer than the usual 4094
HEAD_SECONDS = 15  # from a request's first octet to the end of its headers
BODY_SECONDS = 60  # from there to the end of its body: 8 MiB over a line of 1 Mbit/s

log = logging.getLogger(__name__)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn with our settings. Processes share nothing that another must know.

    ``read`` gives the settings anew at SIGHUP: a secret that comes from a file may be another one by then.
    """

    def __init__(
        self, config: Config, *, host: str, port: int, workers: int | None, read: Callable[[], Config] | None = None
    ) -> None:
        self._config, self._read = config, read
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._workers = workers or min(os.cpu_count() or 1, 4)
        super().__init__()

    def load_config(self) -> None:
        """Settings that differ from gunicorn's, each with its reason."""
        settings: dict[str, Any] = {
            "bind": self._bind,
            "workers": self._workers,
            "worker_class": Worker,
            "logger_class": _Log,
            "threads": THREADS,
            "preload_app": True,  # imports cost a second: paid once, shared by fork
            "limit_request_line": LONGEST_LINE,
            "limit_request_fields": 100,
            "limit_request_field_size": LONGEST_LINE,
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
            "pre_fork": _give_slot,
            "post_fork": _take_slot,
            "post_worker_init": _begin,  # a thread does not survive the fork
            "worker_exit": _end,
            "child_exit": _leave_slot,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, made once before the workers are forked. They open their own connections."""
        gc.unfreeze()  # the application before this one goes
        app = create_app(self._config)
        db.disconnect()
        gc.collect()
        gc.freeze()  # what is there by now stays: not looked at again, it stays shared by the processes
        return app

    def reload(self) -> None:
        """SIGHUP: read the settings again, and make the application that new processes serve. Old ones answer what they
        have begun. Settings that are wrong by now change nothing."""
        super().reload()
        if self._read is not None:
            try:
                self._config = self._read()
            except ConfigError as error:
                log.warning("wrong settings: serving goes on with those before", extra={"faults": error.faults})
                return
        logs.configure(self._config.log_format, self._config.log_level)
        self.callable = None

    def run(self) -> None:
        """Serve until SIGTERM."""
        master = os.getpid()
        metrics.share()
        try:
            super().run()
        finally:
            if os.getpid() == master:
                metrics.give_up()

    def _ready(self, arbiter: Arbiter) -> None:
        click.echo(f"Serving on http://{self._bind} ({self._workers} processes, {THREADS} threads each)")


# --- a process's life -------------------------------------------------------------------------------------------


def _give_slot(arbiter: Any, worker: Any) -> None:
    worker.slot = metrics.free({other.slot for other in arbiter.WORKERS.values()})


def _take_slot(arbiter: Any, worker: Any) -> None:
    metrics.take(worker.slot)


def _leave_slot(arbiter: Any, worker: Any) -> None:
    metrics.ended(worker.slot)


def _begin(worker: Any) -> None:
    worker.ours = (jobs.Runner(), last_uses.Writer(), metrics.Counting())
    metrics.instruments().serving(THREADS)
    for thread in worker.ours:
        thread.start()


def _end(arbiter: Any, worker: Any) -> None:
    for thread in getattr(worker, "ours", ()):  # not in one that died while it was loading
        thread.stop()  # in order: no request is answered any more


# --- what reaches no view ---------------------------------------------------------------------------------------


class TooSlow(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not come in time."""

    def __str__(self) -> str:
        return "the request did not come in time"


class _Patience:
    """A connection to read from until a moment: a client that sends an octet now and then keeps no thread for ever."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.until = 0.0
        self.gettimeout, self.settimeout, self.fileno = sock.gettimeout, sock.settimeout, sock.fileno

    def recv(self, size: int) -> bytes:
        """As the socket's own, which keeps its own timeout. Raises TooSlow."""
        left, own = self.until - monotonic(), self._sock.gettimeout()
        if left <= 0:
            raise TooSlow
        self._sock.settimeout(left if own is None else min(left, own))
        try:
            return cast(bytes, self._sock.recv(size))
        except TimeoutError:
            if own is not None and own < left:
                raise
            raise TooSlow from None
        finally:
            self._sock.settimeout(own)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn's threads, which wait for a request as long as is decent, and refuse what is none in our words."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """A process that ends takes who has knocked already, and then closes: whoever knocks now is told at once, or
        taken by another process, and not left waiting at a door that nobody opens."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            taken = -1
            while taken != self.nr_conns:
                taken = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle(self, conn: Any) -> Any:
        """One request of a connection, from its first octet."""
        if conn.parser is None:
            conn.parser = RequestParser(self.cfg, _Patience(conn.sock), conn.client)
        conn.parser.unreader.sock.until = monotonic() + HEAD_SECONDS
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Its headers are there."""
        conn.parser.unreader.sock.until = monotonic() + BODY_SECONDS
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """What is no request, or none that is read to its end: no view and no page is reached."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, code, words = _refusal(exc)
        reference = ids.new("op")
        log.info("not a request", extra={"status": status, "reason": type(exc).__name__, "request_id": reference})
        details = {"operation_id": reference}
        body = json.dumps({"error_code": code, "status_code": status, "msg": words, "details": details})
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nX-Request-Id: {reference}\r\n"
        sent = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        try:
            util.write_nonblock(client, sent.encode())
        except OSError:
            log.info("whoever sent it is gone", extra={"request_id": reference})


def _refusal(error: ParseException) -> tuple[HTTPStatus, Code, str]:
    if isinstance(error, TooSlow):
        words = f"The request did not come in time: {HEAD_SECONDS} seconds for its headers."
        return HTTPStatus.REQUEST_TIMEOUT, Code.INVALID_BODY, words
    if isinstance(error, LimitRequestLine):
        words = f"The address is too long: {LONGEST_LINE} octets at most, method and version included."
        return HTTPStatus.REQUEST_URI_TOO_LONG, Code.TOO_LARGE, words
    if isinstance(error, LimitRequestHeaders):
        words = f"Too many headers, or one that is too long: 100 of {LONGEST_LINE} octets each at most."
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, Code.TOO_LARGE, words
    return HTTPStatus.BAD_REQUEST, Code.INVALID_BODY, "This is no HTTP/1.1 request that can be read."


class _Log(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """What gunicorn itself has to say goes the way of all lines, and has their form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
