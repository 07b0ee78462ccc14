"""Enforcing on trial, and what a plan that comes back restores."""

from typing import Any

from peewee import BooleanField

from idp_bridge.db import InstantField

ADDED: dict[str, dict[str, Any]] = {
    "account": {
        "enforced_until": InstantField(null=True),
        "enforced_before": BooleanField(default=False),
    },
    "identity_provider": {"off_by_plan": BooleanField(default=False)},
}


def up(migrator: Any, db: Any) -> None:
    for table, columns in ADDED.items():
        migrator.migrate(*(migrator.add_column(table, name, field) for name, field in columns.items()))


def down(migrator: Any, db: Any) -> None:
    for table, columns in ADDED.items():
        for name in reversed(columns):
            db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
