"""Since when a directory's user has the names that she has: her userName and her addresses. Of those that are there it
is not known; as until now, the last change of whatever kind counts for it."""

from typing import Any

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("directory_user", "named_at", InstantField(null=True)))


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE directory_user DROP COLUMN named_at")
