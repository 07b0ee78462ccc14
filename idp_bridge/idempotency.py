"""Idempotency keys: a client that did not hear an answer asks again under the same key, and hears that one instead of
having it done twice.

The key is taken, and the answer kept, in the transaction of the change itself: what is undone leaves no key, what is
committed has its answer, in whatever process. Of two at once the second waits in the database until the first has
ended. An answer may show a secret that else is shown once and stored nowhere, so each is kept sealed under SECRET_KEY,
for a day.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp_bridge import clock, db, keyring
from idp_bridge.errors import Code, Conflict
from idp_bridge.keyring import Purpose
from idp_bridge.models import Account, IdempotentAnswer

KEPT = timedelta(hours=24)
BATCH = 500  # rows of one transaction when they are forgotten


@dataclass(frozen=True)
class Request:
    """What ``caller``, a member or bot user of the account, asks for under ``key``; ``shown`` is with what kind of
    credential, since not each may hear what another was answered; ``said`` is all that makes it this request and no
    other."""

    account: Account
    caller: str
    shown: str
    key: str
    said: bytes

    @property
    def id(self) -> str:
        """The key as it is stored, among those of all callers."""
        return _digest(json.dumps([self.account.id, self.caller, self.shown, self.key]).encode())


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    body: str


def begin(request: Request) -> Answer | None:
    """The first answer to the same request. None: this is the first, and the key is its own from here on until the
    caller's transaction ends. Raises Conflict where the key stands for another request."""
    now = clock.now()
    mine = IdempotentAnswer.id == request.id
    IdempotentAnswer.delete().where(mine, IdempotentAnswer.expires_at <= now).execute()
    if _take(request, now):
        return None
    first = IdempotentAnswer.get_or_none(mine)
    if first is None:
        raise Conflict("The account was deleted at this moment.")
    if first.said != _digest(request.said):
        raise Conflict(
            "This Idempotency-Key stands for another request of the last 24 hours, or you had other rights then. "
            "Send this one under a new key.",
            code=Code.IDEMPOTENCY_KEY_REUSED,
        )
    return _opened(first)


def keep(request: Request, answer: Answer) -> None:
    """The answer to what ``begin`` said is the first."""
    sealed = keyring.seal(answer.body, Purpose.ANSWERS)
    row = IdempotentAnswer.update(status=answer.status, sealed=sealed)
    row.where(IdempotentAnswer.id == request.id).execute()


def prune(now: datetime) -> None:
    """Answers of more than a day ago are forgotten; a transaction for each batch, so that nobody waits long."""
    old = IdempotentAnswer.select(IdempotentAnswer.id).where(IdempotentAnswer.expires_at <= now).limit(BATCH)
    while found := db.column(old):
        with db.transaction():
            IdempotentAnswer.delete().where(IdempotentAnswer.id.in_(found)).execute()


def _take(request: Request, now: datetime) -> bool:
    """Whether the key was free. Waits for another transaction that has taken it and not ended."""
    row = {"id": request.id, "account": request.account, "said": _digest(request.said), "expires_at": now + KEPT}
    return bool(IdempotentAnswer.insert(row).on_conflict_ignore().as_rowcount().execute())


def _opened(first: IdempotentAnswer) -> Answer:
    try:
        return Answer(first.status or 200, keyring.unseal(first.sealed or "", Purpose.ANSWERS))
    except keyring.WrongSecretKey as error:
        raise Conflict(
            "This was done already, but its answer cannot be read any more: the operator's SECRET_KEY has changed.",
            code=Code.IDEMPOTENCY_KEY_REUSED,
        ) from error


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
