"""Accounts: the customers, their seats, and the roles that they made themselves."""

from __future__ import annotations

from peewee import BooleanField, IntegerField, TextField

from idp_bridge.db import Base, InstantField, JsonField
from idp_bridge.models.reference import reference


class Account(Base):
    """A customer: has a plan, seats and members; every other row belongs to one."""

    id = TextField(primary_key=True)
    slug = TextField(unique=True)
    name = TextField()
    plan = TextField()
    seats = IntegerField(null=True)  # the limit; NULL = none
    sso_mode = TextField(default="mixed")  # mixed | enforced
    password_epoch = IntegerField(default=0)  # one more with each enforcing: sessions by password of before are over
    extensions_version = IntegerField(default=0)  # one more with each change of its schema extensions; 0 = never any
    created_at = InstantField()
    enforced_until = InstantField(null=True)  # enforcing is on trial: from then on the mode is mixed (sign_in_mode.py)
    enforced_at = InstantField(null=True)  # enforced, or put on trial, since: what began before confirms no trial
    enforced_before = BooleanField(default=False)  # when it lost single sign-on by its plan


class SeatCount(Base):
    """How many active members an account has: a number beside them, because to count them takes longer the more there
    are. seats.py keeps it in the transaction that makes a member active or ends that (docs/decisions/0007)."""

    account = reference(Account, primary_key=True)
    account_id: str
    used = IntegerField(default=0)


class Role(Base):
    """An account's own role (enterprise). The built-in ones are a table in roles.py."""

    id = TextField(primary_key=True)
    account = reference(Account, index=False)
    account_id: str
    name = TextField()
    name_key = TextField()
    description = TextField(default="")
    permissions = JsonField()
    created_at = InstantField()

    class Meta:
        indexes = ((("account", "name_key"), True), (("account", "id"), False))
