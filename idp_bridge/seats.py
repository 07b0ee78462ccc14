"""Seats: used = active members; a pending invitation reserves one, unless its sender was suspended or removed;
suspended members and bot users never count.

How many are used is a number of its own, changed with every member who becomes active or ceases to be, in the same
transaction (docs/decisions/0007). That change is also the lock: who takes a seat is alone until her transaction ends.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from idp_bridge import clock
from idp_bridge.db import at_end, database, locked, shared
from idp_bridge.errors import Code, Forbidden, NotFound
from idp_bridge.models import Account, BotUser, Invitation, Member, SeatCount
from idp_bridge.statement import Statement, parameter


@dataclass(frozen=True)
class Seats:
    """``limit`` None = no limit."""

    used: int
    reserved: int
    limit: int | None

    @property
    def full(self) -> bool:
        """Whether nobody more fits in."""
        return self.limit is not None and self.used + self.reserved >= self.limit


def count(account: Account) -> Seats:
    """How many seats are used and reserved now."""
    ((used, reserved),) = _COUNT.rows(account=account.id, now=clock.now())
    return Seats(used=used, reserved=reserved, limit=account.seats)


def _counted() -> Any:
    pending = Invitation.select(fn.COUNT(SQL("*"))).where(
        Invitation.account == parameter("account"),
        Invitation.accepted_at.is_null(),
        Invitation.expires_at > parameter("now", Invitation.expires_at),
        _has_a_sender(),
    )
    return SeatCount.select(SeatCount.used, pending).where(SeatCount.account == parameter("account"))


def _has_a_sender() -> Any:
    """Whose sender was dismissed nobody can accept, until somebody sends it again, for which a seat must be free. One
    whose sender may only not give its roles any more goes on reserving: whether he may is more than is counted by."""
    own = (Member.id == Invitation.invited_by_id) & Member.active
    bots = (BotUser.id == Invitation.invited_by_id) & BotUser.active
    senders = [kind.select(SQL("1")).where(lives) for kind, lives in ((Member, own), (BotUser, bots))]
    return Invitation.invited_by_id.is_null() | fn.EXISTS(senders[0]) | fn.EXISTS(senders[1])


_COUNT = Statement((SeatCount.used, SQL("")), _counted)


def lock(account: Account) -> None:
    """Hold the account's row until the transaction ends, and read its plan and limit anew: whoever looks for
    administrators, for seats, or for somebody who may be there already, before a change must be alone with them, and go
    by what counts now. SQLite's write transaction is alone already. Raises NotFound."""
    _read_anew(account, _LOCK)


def share(account: Account) -> None:
    """The same together with others who only share: until they all end nobody has ``lock``."""
    _read_anew(account, _SHARE)


def _read_anew(account: Account, statement: Statement) -> None:
    found = statement.one(account=account.id)
    if found is None:
        raise NotFound(f"{account.id} is not there any more.")
    account.__data__.update(zip(("plan", "seats"), found, strict=True))


def lock_anew(account: Account, *rows: Any) -> None:
    """``lock``, and read the account and these rows of it again: whoever read them before may have read what another
    transaction was about to change. Raises NotFound for a row that is gone."""
    lock(account)
    for row in (account, *rows):
        now = type(row).get_or_none(type(row)._meta.primary_key == row._pk)
        if now is None:
            raise NotFound(f"{row._pk} is not there any more.")
        row.__data__.update(now.__data__)
        row._dirty.clear()


def _what_counts() -> Any:
    return Account.select(Account.plan, Account.seats).where(Account.id == parameter("account"))


_LOCK = Statement((Account.plan, Account.seats), lambda: locked(_what_counts()))
_SHARE = Statement((Account.plan, Account.seats), lambda: shared(_what_counts()))


def begin(account: Account) -> None:
    """A new account: nobody has a seat."""
    SeatCount.insert(account=account.id).execute()


def take(account: Account) -> None:
    """A member becomes active. Raises Forbidden naming the limit, and then nothing is taken.

    The account is held first: a plan that changes at this moment is the one before or the one after. An UPDATE that has
    waited for the number would read the limit as it was when it began to wait (PostgreSQL, "Read Committed")."""
    if database.for_update:
        lock(account)
    if not _change(account, by=1):
        return
    seats = count(account)
    if account.seats is not None and seats.used + seats.reserved > account.seats:
        _change(account, by=-1)
        raise _full(account)


def free(account: Account) -> None:
    """An active member is one no longer. Where there is no limit nobody asks for the number before the transaction
    ends, and it is changed there, where no lock comes after."""
    if account.seats is None:
        at_end(_free, account.id)
    else:
        _change(account, by=-1)


def _free(account_ids: list[str]) -> None:
    for account_id, number in sorted(Counter(account_ids).items()):
        _CHANGE.run(account=account_id, by=-number)


def check(account: Account) -> None:
    """Make sure that one more seat is free, and keep it so until the transaction ends. Raises Forbidden naming the
    limit."""
    lock(account)
    _change(account, by=0)
    if count(account).full:
        raise _full(account)


@contextmanager
def reviving(account: Account) -> Iterator[None]:
    """Around a change by which invitations whose sender was dismissed hold their seats again. Raises Forbidden naming
    the limit where they do not fit any more, after the change, which the transaction then undoes."""
    lock(account)
    _change(account, by=0)
    before = count(account).reserved
    yield
    now = count(account)
    if now.reserved > before and now.limit is not None and now.used + now.reserved > now.limit:
        raise _full(account)


def _change(account: Account, *, by: int) -> bool:
    """Count, and read the limit as it is now; whether there is one."""
    ((account.seats,),) = _CHANGE.rows(account=account.id, by=by)
    return account.seats is not None


_CHANGE = Statement(
    (Account.seats,),
    lambda: (
        SeatCount.update(used=SeatCount.used + parameter("by"))
        .where(SeatCount.account == parameter("account"))
        .returning(Account.select(Account.seats).where(Account.id == parameter("account")))
    ),
    apart=True,
)


def _full(account: Account) -> Forbidden:
    seats = count(account)
    return Forbidden(
        f"All {account.seats} seats of this account are taken ({seats.used} used, {seats.reserved} reserved by "
        "invitations). Remove or suspend a member, cancel an invitation, or add seats to the plan.",
        code=Code.SEATS_FULL,
    )
