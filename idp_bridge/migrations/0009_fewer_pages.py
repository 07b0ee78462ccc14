"""A write touches fewer pages: what a commit costs on SQLite (docs/performance.md).

There a table with a text for its key is two trees, one by row number and one by key; WITHOUT ROWID makes it one. Only
tables with short rows gain. And whom an identity provider manages is found through the account, on both databases.
"""

import re
from typing import Any

from peewee import SqliteDatabase

TABLES = ("person", "member", "member_role", "event")


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_index("member", "member_identity_provider_id"))
    if isinstance(db, SqliteDatabase):
        for table in TABLES:
            _rebuild(db, table, without_rowid=True)


def down(migrator: Any, db: Any) -> None:
    if isinstance(db, SqliteDatabase):
        for table in TABLES:
            _rebuild(db, table, without_rowid=False)
    migrator.migrate(migrator.add_index("member", ("identity_provider_id",)))


def _rebuild(db: Any, table: str, *, without_rowid: bool) -> None:
    """Make the table anew with its rows and indexes (https://www.sqlite.org/lang_altertable.html, section 7). The
    runner has switched foreign keys off."""
    ((created,),) = db.execute_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    indexes = db.execute_sql(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index' AND sql > ''", (table,)
    )
    restored = [sql for (sql,) in indexes.fetchall()]
    columns = re.sub(r'^CREATE TABLE\s+"?\w+"?\s*', "", created).removesuffix(" WITHOUT ROWID")
    db.execute_sql(f'CREATE TABLE "rebuilt" {columns}{" WITHOUT ROWID" if without_rowid else ""}')
    db.execute_sql(f'INSERT INTO "rebuilt" SELECT * FROM "{table}"')  # noqa: S608 - a name of ours
    db.execute_sql(f'DROP TABLE "{table}"')
    db.execute_sql(f'ALTER TABLE "rebuilt" RENAME TO "{table}"')
    for sql in restored:
        db.execute_sql(sql)
