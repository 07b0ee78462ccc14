"""When a credential was used last, and how often on each day: noted in memory, written every few seconds.

A request only notes its use. A thread of its process writes what was noted, in a few statements however many requests
there were, so that a read stays a read and no row is written twice in a few seconds. A process that stops writes what
it has; one that is killed loses what it noted since the last writing: ``PAUSE`` at most. Times never go backwards,
whichever process writes last.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from peewee import EXCLUDED

from idp_bridge import clock, db
from idp_bridge.models import Credential, CredentialUse, OperatorKey, ScimToken
from idp_bridge.statement import Statement, among, parameter

PAUSE = timedelta(seconds=5)  # how far behind the database is
DAYS = 30  # that uses are told of, today among them
BATCH = 500  # credentials that one transaction writes: a few milliseconds of SQLite's write lock

log = logging.getLogger(__name__)


@dataclass
class _Use:
    """What was noted of one credential on one day."""

    at: datetime
    address: str | None
    number: int


_Noted = dict[tuple[Any, str, str], _Use]  # by table, id and day


class _Table:
    """The statements for one kind of credential."""

    def __init__(self, model: Any) -> None:
        addressed = hasattr(model, "last_used_address")

        def held(lock: Callable[[Any], Any]) -> Callable[[], Any]:
            return lambda: lock(model.select(model.id).where(among(model.id, "ids")).order_by(model.id))

        def used() -> Any:
            at = parameter("at", model.last_used_at)
            values = {model.last_used_at: at}
            if addressed:
                values[model.last_used_address] = parameter("address")
            earlier = model.last_used_at.is_null() | (model.last_used_at < at)
            return model.update(values).where(model.id == parameter("id"), earlier)

        self.there = Statement((model.id,), lambda: model.select(model.id).where(among(model.id, "ids")))
        self.unclaimed = Statement((model.id,), held(db.unclaimed))
        self.locked = Statement((model.id,), held(db.locked))
        self.used = Statement((), used)


_TABLES = {model: _Table(model) for model in (Credential, OperatorKey, ScimToken)}

_COUNT = Statement(
    (),
    lambda: CredentialUse.insert(
        {
            CredentialUse.credential: parameter("id"),
            CredentialUse.day: parameter("day"),
            CredentialUse.number: parameter("number"),
            CredentialUse.address: parameter("address"),
        }
    ).on_conflict(
        conflict_target=[CredentialUse.credential, CredentialUse.day],
        update={
            CredentialUse.number: CredentialUse.number + EXCLUDED.number,
            CredentialUse.address: EXCLUDED.address,
        },
    ),
)

_OF_MONTH = Statement(
    CredentialUse._meta.sorted_fields,
    lambda: (
        CredentialUse.select()
        .where(among(CredentialUse.credential, "ids"), CredentialUse.day >= parameter("earliest"))
        .order_by(CredentialUse.day.desc())
    ),
)

_OLD = Statement(
    (CredentialUse.credential, CredentialUse.day),
    lambda: (
        CredentialUse.select(CredentialUse.credential, CredentialUse.day)
        .where(CredentialUse.day < parameter("earliest"))
        .limit(BATCH)
    ),
)

_FORGET = Statement(
    (),
    lambda: CredentialUse.delete().where(
        CredentialUse.credential == parameter("id"), CredentialUse.day == parameter("day")
    ),
)

_lock = threading.Lock()  # of what is noted; never held while the database is asked
_writing = threading.Lock()  # whoever has it finds everything written that was noted before
_noted: _Noted = {}


def note(kind: type[Credential | OperatorKey | ScimToken], id: str, address: str | None = None) -> None:
    """The credential of that id was used now, from there."""
    moment = clock.now()
    key = (kind, id, day(moment))
    with _lock:
        use = _noted.get(key)
        if use is None:
            _noted[key] = _Use(moment, address, 1)
        else:
            use.at, use.address, use.number = max(use.at, moment), address, use.number + 1


def day(moment: datetime) -> str:
    """The day of a moment, as it is stored."""
    return moment.date().isoformat()


def _add(noted: _Noted) -> None:
    with _lock:
        for key, use in noted.items():
            known = _noted.get(key)
            if known is None:
                _noted[key] = use
                continue
            known.number += use.number
            if use.at >= known.at:
                known.at, known.address = use.at, use.address


def _take() -> _Noted:
    global _noted
    with _lock:
        taken, _noted = _noted, {}
    return taken


def write(*, ending: bool = False) -> None:
    """Everything that was noted is in the database now. What cannot be written stays noted, and whatever is wrong is
    raised; of a row that somebody is changing the note waits for the next time, unless this is the last one."""
    with _writing, db.connection():
        noted = _take()
        try:
            for model in _TABLES:
                keys = sorted(key for key in noted if key[0] is model)
                while batch := {key: noted[key] for key in islice(keys, BATCH)}:
                    left = db.repeated(partial(_write, model, batch, ending=ending))
                    for key in batch:
                        del noted[key]
                    del keys[:BATCH]
                    _add(left)
        finally:
            _add(noted)


def _write(model: Any, batch: _Noted, *, ending: bool) -> _Noted:
    """In the order of ids, as everybody who locks several; what is left for the next time."""
    statements, ids = _TABLES[model], sorted({id for _, id, _ in batch})
    ours = {id for (id,) in (statements.locked if ending else statements.unclaimed).rows(ids=ids)}
    rows = [
        {"id": id, "day": day, "at": use.at, "address": use.address, "number": use.number}
        for (_, id, day), use in batch.items()
        if id in ours
    ]
    statements.used.each(rows)
    if model is Credential:
        _COUNT.each(rows)
    skipped = [id for id in ids if id not in ours]
    there = {id for (id,) in statements.there.rows(ids=skipped)} if skipped else set()
    return {key: use for key, use in batch.items() if key[1] in there - ours}


def of_month(credentials: Iterable[str], now: datetime | None = None) -> dict[str, list[CredentialUse]]:
    """The uses of these credentials on each of the last ``DAYS`` days that had any, newest first; with those that this
    process has noted and not written yet."""
    earliest = day((now or clock.now()) - timedelta(days=DAYS - 1))
    found: dict[str, list[CredentialUse]] = {id: [] for id in credentials}
    for row in _OF_MONTH.instances(ids=list(found), earliest=earliest):
        found[row[0].credential_id].append(row[0])
    for use in _unwritten(found):
        _count(found[use.credential_id], use)
    return found


def _unwritten(ids: Collection[str]) -> list[CredentialUse]:
    with _lock:
        ours = [(key, use.number, use.address) for key, use in _noted.items() if key[0] is Credential and key[1] in ids]
    return [
        CredentialUse(credential=id, day=day, number=number, address=address) for (_, id, day), number, address in ours
    ]


def _count(days: list[CredentialUse], use: CredentialUse) -> None:
    known = next((row for row in days if row.day == use.day), None)
    if known is None:
        days.append(use)
        days.sort(key=lambda row: row.day, reverse=True)
    else:
        known.number, known.address = known.number + use.number, use.address


def prune(now: datetime) -> None:
    """Uses of longer ago are forgotten; a transaction for each batch, so that nobody waits long for the lock."""
    earliest = day(now - timedelta(days=DAYS))
    while rows := _OLD.rows(earliest=earliest):
        with db.transaction():
            _FORGET.each({"id": id, "day": day} for id, day in rows)


class Writer:
    """The thread of a process that writes what was noted in it, from ``start`` to ``stop``."""

    def __init__(self, *, pause: timedelta = PAUSE) -> None:
        self._pause = pause.total_seconds()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="last uses", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was noted up to now is written when this returns."""
        self._stopped.set()
        self._thread.join()
        _attempt(ending=True)

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            _attempt(ending=False)


def _attempt(*, ending: bool) -> None:
    try:
        write(ending=ending)
    except Exception:  # the database may be away for a while; what was noted waits for it
        log.exception("the last uses of credentials could not be written")
