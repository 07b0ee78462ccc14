"""Members and their roles are one tree on SQLite again, as 0009 made them: adding a column with a default makes a table
anew, and forgets it."""

import re
from typing import Any

from peewee import SqliteDatabase

TABLES = ("member", "member_role")


def up(migrator: Any, db: Any) -> None:
    if isinstance(db, SqliteDatabase):
        for table in TABLES:
            _rebuild(db, table)


def down(migrator: Any, db: Any) -> None:
    """One tree or two: what they hold is the same."""


def _rebuild(db: Any, table: str) -> None:
    """Make the table anew with its rows and indexes (https://www.sqlite.org/lang_altertable.html, section 7). The
    runner has switched foreign keys off."""
    ((created,),) = db.execute_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    if created.endswith("WITHOUT ROWID"):
        return
    indexes = db.execute_sql(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql > ''", (table,)
    )
    restored = [sql for (sql,) in indexes.fetchall()]
    columns = re.sub(r'^CREATE TABLE\s+"?\w+"?\s*', "", created)
    db.execute_sql(f'CREATE TABLE "rebuilt" {columns} WITHOUT ROWID')
    db.execute_sql(f'INSERT INTO "rebuilt" SELECT * FROM "{table}"')  # noqa: S608 - a name of ours
    db.execute_sql(f'DROP TABLE "{table}"')
    db.execute_sql(f'ALTER TABLE "rebuilt" RENAME TO "{table}"')
    for sql in restored:
        db.execute_sql(sql)
