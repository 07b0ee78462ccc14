"""Lists of members, bot users and invitations are read in the order of an index, and searched by how a name or an
address begins: by code point, the same on both databases. A member is listed under her name, else under her address.
"""

import unicodedata
from typing import Any

from peewee import SqliteDatabase, TextField

#: What is compared by code point from now on, beside ``member.name_key``.
KEYS = {"member": "email_key", "bot_user": "name_key", "invitation": "email_key"}

INDEXES = {
    "member_listed": "member (account_id, name_key, id)",
    "member_inactive": "member (account_id, name_key, id) WHERE NOT active",
    "invitation_waiting": "invitation (account_id, email_key, id) WHERE accepted_at IS NULL",
}

AT_ONCE = 1000


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("member", "name_key", TextField(default="")))
    _fill(db)
    _collate(db, "C")
    for name, columns in INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON {columns}")


def down(migrator: Any, db: Any) -> None:
    for name in INDEXES:
        db.execute_sql(f"DROP INDEX {name}")
    _collate(db, "default")
    db.execute_sql("ALTER TABLE member DROP COLUMN name_key")


def _collate(db: Any, collation: str) -> None:
    """Makes the columns' indexes anew, and not the tables. SQLite compares bytes as it is."""
    if isinstance(db, SqliteDatabase):
        return
    for table, column in (*KEYS.items(), ("member", "name_key")):
        db.execute_sql(f'ALTER TABLE {table} ALTER COLUMN {column} TYPE text COLLATE "{collation}"')


def _fill(db: Any) -> None:
    last, p = "", db.param
    page = f"SELECT id, name, email_key FROM member WHERE id > {p} ORDER BY id LIMIT {AT_ONCE}"  # noqa: S608
    change = f"UPDATE member SET name_key = {p} WHERE id = {p}"  # noqa: S608 - a placeholder
    while rows := db.execute_sql(page, (last,)).fetchall():
        for id, name, email_key in rows:
            db.execute_sql(change, (_folded(name) or email_key, id))
        last = rows[-1][0]


def _folded(name: str) -> str:
    """As text.fold does it, but for the look-alikes that it leaves as they are: a name proves nothing."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
