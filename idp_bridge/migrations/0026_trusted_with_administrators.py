"""Whether an administrator stands behind what a connection is trusted by: of those that are there, one does."""

from typing import Any

from peewee import BooleanField


def up(migrator: Any, db: Any) -> None:
    trusted = BooleanField(default=True)
    migrator.migrate(migrator.add_column("identity_provider", "trusted_with_administrators", trusted))


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE identity_provider DROP COLUMN trusted_with_administrators")
