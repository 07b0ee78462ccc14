"""Changing SECRET_KEY without a gap: what is stored under the one before is sealed, and vouched for, anew.

What lives for minutes or hours only (cursors, sign-ins under way) is left: it is over before the former key is taken
out of the settings. Every row is written only where it still is what was read, in batches, while others are served.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from idp_bridge import db, keyring, tables
from idp_bridge.keyring import Purpose, WrongSecretKey
from idp_bridge.models import EventSeal, IdempotentAnswer, Mail, ServiceProviderKey, Webhook

BATCH = 200

#: Where something sealed lies, and for what it was sealed.
SEALED: tuple[tuple[Any, Purpose], ...] = (
    (ServiceProviderKey.private_key, Purpose.PRIVATE_KEYS),
    (Webhook.secret, Purpose.WEBHOOKS),
    (Webhook.previous_secret, Purpose.WEBHOOKS),
    (Mail.sealed, Purpose.MAIL),
    (IdempotentAnswer.sealed, Purpose.ANSWERS),
)


@dataclass
class Rotation:
    """How many were sealed anew, and which could be opened by neither key: names of rows."""

    changed: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def rotate() -> Rotation:
    """Seal all that is stored under SECRET_KEY. Done twice, the second time changes nothing."""
    done = Rotation()
    for column, purpose in SEALED:
        name = f"{column.model._meta.table_name}.{column.column_name}"
        done.changed[name] = sum(_reseal(column, purpose, rows, done) for rows in _batches(column))
    done.changed["event_seal.mac"] = sum(_vouch_anew(rows, done) for rows in _links())
    return done


def _batches(column: Any) -> Iterator[list[tuple[str, str]]]:
    """Keys and what is sealed, a batch after the other."""
    key, after = column.model._meta.primary_key, ""
    query = column.model.select(key, column).where(column.is_null(False)).order_by(key).limit(BATCH)
    while rows := list(query.where(key > after).tuples()):
        yield rows
        after = rows[-1][0]


def _reseal(column: Any, purpose: Purpose, rows: list[tuple[str, str]], done: Rotation) -> int:
    model, changed = column.model, 0
    with db.transaction():
        for key, sealed in rows:
            try:
                anew = keyring.resealed(sealed, purpose)
            except WrongSecretKey:
                done.lost.append(f"{model._meta.table_name} {key}")
                continue
            if anew is not None:
                same = (model._meta.primary_key == key) & (column == sealed)
                changed += model.update({column: anew}).where(same).execute()
    return changed


def _links() -> Iterator[list[EventSeal]]:
    after = ("", 0)
    read = EventSeal.select(EventSeal.account, EventSeal.number, EventSeal.digest, EventSeal.mac)
    while rows := list(
        read.where((EventSeal.account > after[0]) | ((EventSeal.account == after[0]) & (EventSeal.number > after[1])))
        .order_by(EventSeal.account, EventSeal.number)
        .limit(BATCH)
    ):
        yield rows
        after = (rows[-1].account_id, rows[-1].number)


def _vouch_anew(rows: list[EventSeal], done: Rotation) -> int:
    """Only for what is vouched for: a link that somebody remade stays what it is, which ``events verify`` tells."""
    stale = [row for row in rows if row.mac != keyring.vouch(row.digest)]
    good = [row for row in stale if keyring.vouched(row.digest, row.mac)]
    done.lost += [f"event_seal {row.account_id} {row.number}" for row in stale if row not in good]
    if not good:
        return 0
    with db.transaction(), tables.without_triggers("event_seal"):
        for row in good:
            this = (EventSeal.account == row.account_id) & (EventSeal.number == row.number)
            EventSeal.update(mac=keyring.vouch(row.digest)).where(this, EventSeal.mac == row.mac).execute()
    return len(good)
