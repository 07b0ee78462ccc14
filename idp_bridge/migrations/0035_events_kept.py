"""What waits for a webhook is found in its order and by its time, however much of it there is. Events cannot be
replaced or emptied out either. A report of usage knows who sent it: of those that are there nobody has noted it.
"""

from typing import Any

from peewee import SqliteDatabase, TextField

KEPT = {"event": "id = NEW.id", "event_seal": "account_id = NEW.account_id AND number = NEW.number"}

#: Partial ones: what was delivered is only looked at.
ADDED = {
    "webhook_delivery_next": "webhook_id, position, id",
    "webhook_delivery_due": "webhook_id, due_at",
    "webhook_delivery_expiring": "expires_at",
}
REPLACED = {"webhook_delivery_waiting": "webhook_id, ordered_by, position"}

REPORTED = ("reported_by", "reported_with")


def up(migrator: Any, db: Any) -> None:
    _create(db, ADDED)
    _drop(db, REPLACED)
    for statement in _SQLITE if isinstance(db, SqliteDatabase) else _POSTGRESQL:
        db.execute_sql(statement)
    migrator.migrate(*[migrator.add_column("usage_report", name, TextField(null=True)) for name in REPORTED])


def down(migrator: Any, db: Any) -> None:
    for name in REPORTED:
        db.execute_sql(f"ALTER TABLE usage_report DROP COLUMN {name}")
    for statement in _SQLITE_DOWN if isinstance(db, SqliteDatabase) else _POSTGRESQL_DOWN:
        db.execute_sql(statement)
    _create(db, REPLACED)
    _drop(db, ADDED)


def _create(db: Any, indexes: dict[str, str]) -> None:
    for name, columns in indexes.items():
        db.execute_sql(f"CREATE INDEX {name} ON webhook_delivery ({columns}) WHERE state = 'waiting'")


def _drop(db: Any, indexes: dict[str, str]) -> None:
    for name in indexes:
        db.execute_sql(f"DROP INDEX {name}")


# INSERT OR REPLACE deletes a row without any trigger on DELETE (https://www.sqlite.org/lang_conflict.html).
_SQLITE = [
    f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608 - names of ours
    f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
    f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
    for table, same in KEPT.items()
]
_SQLITE_DOWN = [f"DROP TRIGGER {table}_no_replace" for table in KEPT]

# TRUNCATE fires no trigger on the rows.
_POSTGRESQL = [
    "CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION USING MESSAGE = 'rows of ' || TG_TABLE_NAME || ' are never deleted'; END $$",
    *[
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()"
        for table in KEPT
    ],
]
_POSTGRESQL_DOWN = ["DROP FUNCTION refuse_truncate CASCADE"]
