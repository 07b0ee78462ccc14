"""Each account's events are chained by hash, and the database itself refuses to change or delete one.

A trigger notes each new event for the sealer: it costs no statement of the request, and no way of writing an event can
forget it. What goes with its account goes: by then the account's row is gone.
"""

from typing import Any

from peewee import BigAutoField, CompositeKey, ForeignKeyField, IntegerField, Model, SqliteDatabase, TextField

from idp_bridge.db import InstantField, JsonField

KEPT = ("event", "event_seal")


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class EventPending(Model):
        number = BigAutoField()
        event_id = TextField()

        class Meta:
            database = db
            table_name = "event_pending"

    class EventSeal(Model):
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        number = IntegerField()
        events = JsonField()
        previous = TextField()
        digest = TextField()
        mac = TextField()
        sealed_at = InstantField()

        class Meta:
            database = db
            table_name = "event_seal"
            primary_key = CompositeKey("account", "number")

    db.create_tables([EventPending, EventSeal])
    db.execute_sql("INSERT INTO event_pending (event_id) SELECT id FROM event ORDER BY id")
    for statement in _SQLITE if isinstance(db, SqliteDatabase) else _POSTGRESQL:
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    for statement in _SQLITE_DOWN if isinstance(db, SqliteDatabase) else _POSTGRESQL_DOWN:
        db.execute_sql(statement)
    migrator.migrate(migrator.drop_table("event_seal"), migrator.drop_table("event_pending"))


_SQLITE = [
    "CREATE TRIGGER event_is_pending AFTER INSERT ON event "
    "BEGIN INSERT INTO event_pending (event_id) VALUES (NEW.id); END",
    *[
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
        for table in KEPT
    ],
    *[
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "  # noqa: S608 - names of ours
        "WHEN EXISTS (SELECT 1 FROM account WHERE id = OLD.account_id) "
        f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never deleted'); END"
        for table in KEPT
    ],
]

_POSTGRESQL = [
    "CREATE FUNCTION event_is_pending() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN INSERT INTO event_pending (event_id) SELECT id FROM made ORDER BY id; RETURN NULL; END $$",
    # Once for a statement: its clauses, each of which may write an event, have no order (decision 10).
    "CREATE TRIGGER event_is_pending AFTER INSERT ON event REFERENCING NEW TABLE AS made "
    "FOR EACH STATEMENT EXECUTE FUNCTION event_is_pending()",
    "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM account WHERE id = OLD.account_id) THEN RETURN OLD; END IF; "
    "RAISE EXCEPTION USING MESSAGE = 'rows of ' || TG_TABLE_NAME || ' are never changed or deleted'; END $$",
    *[
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        for table in KEPT
    ],
]

_SQLITE_DOWN = [
    "DROP TRIGGER event_is_pending",
    *[f"DROP TRIGGER {table}_no_{what}" for table in KEPT for what in ("update", "delete")],
]

_POSTGRESQL_DOWN = ["DROP FUNCTION event_is_pending, refuse_change CASCADE"]
