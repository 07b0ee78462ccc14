"""Counts of requests, for the limits that hold over all processes."""

# ruff: noqa: F403, F405 - the frozen table below uses peewee's names as its generator writes them
from typing import Any

from peewee import *

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class RateCount(Model):
        key = TextField(primary_key=True)
        number = IntegerField()
        ends_at = InstantField()

        class Meta:
            database = db
            table_name = "rate_count"

    db.create_tables([RateCount])
    if not isinstance(db, SqliteDatabase):
        # Nothing here is worth more than a minute: no log is written for it, and a crash may empty it.
        db.execute_sql("ALTER TABLE rate_count SET UNLOGGED")


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("rate_count"))
