"""userName is sorted by code point, the same on both databases: on PostgreSQL its index has to be in that order."""

from typing import Any

from peewee import SqliteDatabase


def up(migrator: Any, db: Any) -> None:
    _collate(db, "C")


def down(migrator: Any, db: Any) -> None:
    _collate(db, "default")


def _collate(db: Any, collation: str) -> None:
    """Makes the column's indexes anew, and not the table. SQLite compares bytes as it is."""
    if not isinstance(db, SqliteDatabase):
        db.execute_sql(f'ALTER TABLE directory_user ALTER COLUMN user_name_key TYPE text COLLATE "{collation}"')
