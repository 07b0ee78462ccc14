"""When a request is written into its directory's log (provisioning/request_log.py), and at what cost.

    a change          in the transaction that makes it: one INSERT, and neither without the other
    a failure         in a transaction of its own, before the answer leaves: the request's own is rolled back by then
    a successful read after its answer has left, and only where no lock has to be waited for

Failures and reads are counted instead of kept where more come in a second than ``A_SECOND`` allows: a flood must not
write. The next row of the directory that this process keeps says how many are missing before it. What has no valid
token belongs to no directory and is not kept.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from flask import Flask, Response, g, request
from peewee import OperationalError

from idp_bridge import clock, db
from idp_bridge.models import DirectoryUser, ScimToken
from idp_bridge.provisioning import request_log
from idp_bridge.provisioning.masking import Masking
from idp_bridge.provisioning.records import Written
from idp_bridge.provisioning.request_log import Answered, Sent
from idp_bridge.web.scim import door
from idp_bridge.web.scim.blueprint import PREFIX

log = logging.getLogger(__name__)

#: What kind of answer -> how many rows a second one process keeps of it for one directory; the rest it counts.
A_SECOND = {"read": 10, "failure": 50, "too many": 1}

PATIENCE = 1_000  # milliseconds that the answer to a failed request waits for the log
PRUNED_EVERY = 600.0  # seconds, of one directory in one process


def register(app: Flask) -> None:
    """Stand around every request under /scim, those that no route answers included."""
    app.before_request(_begin)
    app.after_request(_end)


def keep_change(response: Response, written: Written) -> Response:
    """The row of a change, in its transaction, which the caller has open; ``response`` is what will be answered."""
    row = written.row
    name = row.user_name if isinstance(row, DirectoryUser) else row.display_name
    _record(response, name=name, id=row.id, before=written.before, after=written.after)
    return response


def keep_bulk(response: Response, operations: Sequence[Mapping[str, Any]]) -> Response:
    """The one row of a bulk request, in a transaction that the caller has open; ``operations`` say what each changed.
    It counts as failed where one of them did, with the first one's reason."""
    results = json.loads(response.get_data())["Operations"]
    failed = [result["response"] for result in results if int(result["status"]) >= 400]
    error = (
        {
            **failed[0],
            "detail": f"{len(failed)} of {len(results)} operations failed, the first: {failed[0].get('detail')}",
        }
        if failed
        else None
    )
    _record(response, error=error, after={"Operations": list(operations)})
    return response


def _record(response: Response, *, id: str | None = None, **change: Any) -> None:
    request_log.record(_sent(g.scim_token, id), _answered(response), **change)
    g.scim_request_kept = True


# --- around the request -----------------------------------------------------------------------------------------


def _begin() -> None:
    if request.path.startswith("/scim/"):
        g.scim_timestamp, g.scim_began = clock.now(), time.perf_counter_ns()


def _end(response: Response) -> Response:
    if "scim_began" in g:
        _unfailing(lambda: _keep(response), g.request_id)
    return response


def _afterwards(response: Response, write: Callable[[], Any]) -> None:
    """Once the answer has left; by then there is no request any more."""
    request_id = g.request_id
    response.call_on_close(lambda: _unfailing(write, request_id))


def _unfailing(write: Callable[[], Any], request_id: str) -> None:
    """Whatever goes wrong with the log, the answer is what it was."""
    try:
        write()
    except Exception:
        log.exception("a SCIM request could not be written to its log", extra={"request_id": request_id})


def _keep(response: Response) -> None:
    token = g.get("scim_token") or _token_of_a_stray()
    if token is None:
        return
    if response.status_code >= 400:
        _keep_failure(response, token)
    elif "scim_request_kept" not in g:
        _keep_read(response, token)
    directory_id = token.identity_provider_id
    if _meter.prune_now(directory_id):
        _afterwards(response, lambda: _prune(directory_id))


def _token_of_a_stray() -> ScimToken | None:
    """Whose request it is that no route answered: a wrong address is what a provider's first push most often has."""
    if request.routing_exception is None:
        return None
    with db.connection():
        return door.remembered()


def _keep_failure(response: Response, token: ScimToken) -> None:
    kind = "too many" if response.status_code == 429 else "failure"
    if _meter.admits(kind, token.identity_provider_id):
        _write(_sent(token), _answered(response), patience=PATIENCE)


def _keep_read(response: Response, token: ScimToken) -> None:
    if _meter.admits("read", token.identity_provider_id):
        sent, answered = _sent(token), _answered(response)
        _afterwards(response, lambda: _write(sent, answered, patience=0))


def _write(sent: Sent, answered: Answered, *, patience: int) -> None:
    """A row in a transaction of its own, with the number of those missing before it; where the database is busy or
    away, one more is missing."""
    missed = _meter.missed(sent.directory_id)
    try:
        with db.connection(), db.waiting_at_most(patience), db.transaction():
            request_log.record(sent, answered, skipped=missed)
    except Exception as error:
        _meter.miss(sent.directory_id, missed + 1)
        if not isinstance(error, OperationalError):
            raise


def _prune(directory_id: str) -> None:
    with db.connection():
        request_log.prune(directory_id)


def _sent(token: ScimToken, resource_id: str | None = None) -> Sent:
    facts, came = cast(Any, g)._get_current_object(), cast(Any, request)._get_current_object()  # not a proxy each time
    return Sent(
        directory_id=token.identity_provider_id,
        token_id=token.id,
        timestamp=facts.scim_timestamp,
        method=came.method,
        path=came.path.removeprefix(PREFIX),
        query=came.query_string,
        body=facts.get("scim_body", b""),
        is_json="scim_body_is_json" in facts,
        resource_id=resource_id or (came.view_args or {}).get("id"),
        address=came.remote_addr,
        user_agent=came.headers.get("User-Agent", ""),
        request_id=facts.request_id,
        masking=Masking.of(facts.scim_catalogue),
    )


def _answered(response: Response) -> Answered:
    microseconds = (time.perf_counter_ns() - g.scim_began) // 1_000
    return Answered(response.status_code, response.get_data(), microseconds)


# --- how much ---------------------------------------------------------------------------------------------------


@dataclass
class _Meter:
    """How many rows of each kind this second, how many were left out since the last one kept, and when each directory
    was last pruned: by directory, in this process."""

    _seconds: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    _missed: Counter[str] = field(default_factory=Counter)
    _pruned: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admits(self, kind: str, directory_id: str) -> bool:
        """Whether one more row of this kind may be kept; it is counted, as kept or as missed."""
        now = int(time.monotonic())
        with self._lock:
            second, kept = self._seconds.get((kind, directory_id), (now, 0))
            kept = kept if second == now else 0
            if kept >= A_SECOND[kind]:
                self._missed[directory_id] += 1
                return False
            self._seconds[kind, directory_id] = (now, kept + 1)
            return True

    def miss(self, directory_id: str, number: int) -> None:
        """So many were not kept after all."""
        with self._lock:
            self._missed[directory_id] += number

    def missed(self, directory_id: str) -> int:
        """How many are missing since this was last asked."""
        with self._lock:
            return self._missed.pop(directory_id, 0)

    def prune_now(self, directory_id: str) -> bool:
        """Whether it is time again, for one caller."""
        now = time.monotonic()
        with self._lock:
            due = now - self._pruned.get(directory_id, -PRUNED_EVERY) >= PRUNED_EVERY
            if due:
                self._pruned[directory_id] = now
            return due


_meter = _Meter()
