"""Seats: one function counts. Used = active members; a pending invitation reserves one; suspended members and bot
users never count."""

from dataclasses import dataclass
from typing import Any

from peewee import SQL, Select, fn

from idp_bridge import clock
from idp_bridge.db import locked
from idp_bridge.errors import Code, Forbidden
from idp_bridge.models import Account, Invitation, Member
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
    # "= true", for which an index is used as it is not for a bare truth.
    active = Member.active == True  # noqa: E712
    used = Member.select(_NUMBER).where(Member.account == parameter("account"), active)
    pending = Invitation.select(_NUMBER).where(
        Invitation.account == parameter("account"),
        Invitation.accepted_at.is_null(),
        Invitation.expires_at > parameter("now", Invitation.expires_at),
    )
    return Select([], [used, pending])


_NUMBER = fn.COUNT(SQL("*"))
_COUNT = Statement((_NUMBER, _NUMBER), _counted)


def lock(account: Account) -> None:
    """Hold the account's row until the transaction ends: whoever counts seats or administrators before changing them
    must be alone with them and know the limit as it is now. SQLite's write transaction is alone already."""
    ((account.seats,),) = _LOCK.rows(account=account.id)


_LOCK = Statement(
    (Account.seats,), lambda: locked(Account.select(Account.seats).where(Account.id == parameter("account")))
)


def take(account: Account) -> None:
    """Make sure one more seat is free, and keep it so until the transaction ends. Raises Forbidden naming the limit."""
    lock(account)
    if account.seats is None:
        return
    seats = count(account)
    if seats.full:
        raise Forbidden(
            f"All {account.seats} seats of this account are taken ({seats.used} used, {seats.reserved} reserved by "
            "invitations). Remove or suspend a member, cancel an invitation, or add seats to the plan.",
            code=Code.SEATS_FULL,
        )
