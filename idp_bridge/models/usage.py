"""What the product has reported, and what that adds up to."""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, CompositeKey, IntegerField, TextField

from idp_bridge.db import Base, InstantField
from idp_bridge.models.accounts import Account
from idp_bridge.models.reference import reference


class UsageTotal(Base):
    """How much of a metric an owner has used on one day (UTC). It stays when the owner goes: the id is no reference."""

    account = reference(Account, index=False)
    account_id: str
    day = TextField()  # 2026-11-25
    owner_id = TextField()
    metric = TextField()
    amount = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("account", "day", "owner_id", "metric")


class UsageMonth(Base):
    """The account's total of a metric in one month, and what has been told of it: up to which share of which limit. The
    row is also the lock: who adds to it is alone until her transaction ends."""

    account = reference(Account, index=False)
    account_id: str
    month = TextField()  # 2026-11
    metric = TextField()
    amount = BigIntegerField()
    told_percent = IntegerField(default=0)
    told_limit = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("account", "month", "metric")


class UsageReport(Base):
    """A report that was counted, kept so that its repetition is not (usage_reports.py)."""

    key = TextField()
    account = reference(Account)
    account_id: str
    owner_id = TextField()
    credential_id = TextField(null=True)  # where it named one
    metric = TextField()
    amount = BigIntegerField()
    day = TextField()
    dated = BooleanField()  # it named the day
    reported_by = TextField(null=True)  # whose word it is: a member, a bot user or an operator key
    reported_with = TextField(null=True)  # the credential that it came by
    created_at = InstantField(index=True)

    class Meta:
        primary_key = CompositeKey("key", "account")
