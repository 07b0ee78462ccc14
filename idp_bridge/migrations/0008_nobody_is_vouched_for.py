"""Who owns an account is shown by a password, as everywhere, and no longer by the operator's word
(docs/decisions/0004)."""

from typing import Any

from peewee import BooleanField


def up(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE person DROP COLUMN vouched")


def down(migrator: Any, db: Any) -> None:
    """The column comes back, and what was in it does not: so whoever has a password is vouched for by nobody."""
    migrator.migrate(migrator.add_column("person", "vouched", BooleanField(default=False)))
