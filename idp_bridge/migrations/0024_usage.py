"""Usage: what the product reports, by day and by month."""

from typing import Any

from peewee import BigIntegerField, BooleanField, CompositeKey, ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class UsageTotal(Model):
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        day = TextField()
        owner_id = TextField()
        metric = TextField()
        amount = BigIntegerField()

        class Meta:
            database = db
            table_name = "usage_total"
            primary_key = CompositeKey("account", "day", "owner_id", "metric")

    class UsageMonth(Model):
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        month = TextField()
        metric = TextField()
        amount = BigIntegerField()
        told_percent = IntegerField()
        told_limit = BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "usage_month"
            primary_key = CompositeKey("account", "month", "metric")

    class UsageReport(Model):
        key = TextField()
        account = ForeignKeyField(Account, on_delete="CASCADE")
        owner_id = TextField()
        credential_id = TextField(null=True)
        metric = TextField()
        amount = BigIntegerField()
        day = TextField()
        dated = BooleanField()
        created_at = InstantField(index=True)

        class Meta:
            database = db
            table_name = "usage_report"
            primary_key = CompositeKey("key", "account")

    db.create_tables([UsageTotal, UsageMonth, UsageReport])


def down(migrator: Any, db: Any) -> None:
    for table in ("usage_report", "usage_month", "usage_total"):
        migrator.migrate(migrator.drop_table(table))
