"""The sealer: takes the events that wait, seals them in batches, and passes each sealed batch on.

Nobody who writes an event waits for it: a trigger notes the event in a table of its own, in the transaction that writes
it, and the sealer takes what is noted. So it matters neither how long a transaction took nor what the clocks of several
machines say: an event is noted exactly when it is there, it is sealed once, and one that comes late is in a later link.

What follows from an event happens here too, in the transaction that seals it: so it happens once for each event, in the
order of the chain, whichever process writes and whichever dies.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from peewee import JOIN

from idp_bridge import db, event_chain, receipts, webhooks
from idp_bridge.models import Account, Event, EventPending, EventSeal
from idp_bridge.statement import Statement

BATCH = 200  # of one account in one link: some milliseconds of SQLite's one write lock


log = logging.getLogger(__name__)

_Noted = tuple[EventPending, Event | None]


class _SealedElsewhere(Exception):
    """Another process has sealed the same events."""


def seal(now: datetime) -> None:
    """Seal all that waits, oldest first. Where another process does so, leave it the rest."""
    try:
        while rows := _waiting():
            for account_id, group in groupby(sorted(rows, key=_account_of), _account_of):
                _seal(account_id, list(group), now)
    except _SealedElsewhere:
        return


def _waiting() -> list[_Noted]:
    """Those that have waited longest, with their events; where an account went, its events are gone."""
    return _WAITING.instances()


def _account_of(noted: _Noted) -> str:
    _, event = noted
    return event.account_id if event else ""


def _seal(account_id: str, rows: Sequence[_Noted], now: datetime) -> None:
    events = [event for _, event in rows if event is not None]
    named = [(event.id, event_chain.digest_of(event)) for event in events]  # before the transaction: it takes a while
    with db.transaction():
        taken = EventPending.delete().where(EventPending.number.in_([note.number for note, _ in rows])).execute()
        if taken != len(rows):
            raise _SealedElsewhere
        if gone := [note.event_id for note, event in rows if event is None]:
            db.after_commit(lambda: _tell_gone(gone))
        account = Account.get_or_none(Account.id == account_id)
        if account is not None:
            link = event_chain.link(account_id, after=event_chain.head(account), events=named, sealed_at=now)
            EventSeal.insert(link).execute()
            receipts.expect(events, now)
            webhooks.fan_out(account, events, position=link["number"] * BATCH, now=now)


def _tell_gone(event_ids: Sequence[str]) -> None:
    """Nothing of ours deletes an event: they went with an account that was deleted by hand, or were taken out."""
    log.error("events were written and are gone before they were sealed", extra={"event_ids": list(event_ids)})


_WAITING: Statement = Statement(
    (*EventPending._meta.sorted_fields, *Event._meta.sorted_fields),
    lambda: (
        EventPending.select(*_WAITING.columns)
        .join(Event, JOIN.LEFT_OUTER, on=(EventPending.event_id == Event.id))
        .order_by(EventPending.number)
        .limit(BATCH)
    ),
)
