"""The models and the migrations are two sources of one truth; here they are compared."""

import sqlite3
from pathlib import Path
from typing import Any

from peewee import ForeignKeyField
from playhouse.schema_diff import diff_models

from idp_bridge import db, models


def _indexes() -> set[tuple[str, tuple[str, ...], bool]]:
    return {
        (index.table, tuple(index.columns), bool(index.unique))
        for table in db.database.get_tables()
        if table != "migration_history"
        for index in db.database.get_indexes(table)
    }


def test_a_migrated_database_is_what_the_models_say(database: None) -> None:
    """No column, table or index on one side only."""
    difference = diff_models(db.database.obj, list(models.ALL))
    assert not difference, str(difference)


def test_every_model_is_listed() -> None:
    """A table that is not in ALL is compared with nothing."""
    ours = {model for model in db.Base.__subclasses__() if model.__module__.startswith(models.__name__)}
    assert set(models.ALL) == ours


def test_migrations_go_down_and_up_again(database: None) -> None:
    """Down leaves no table of ours; up makes the same schema once more."""
    before = _indexes()
    runner = db.runner()
    for _ in runner.applied():
        runner.down()
    assert set(db.database.get_tables()) & {model._meta.table_name for model in models.ALL} == set()
    assert db.pending_migrations() != []
    assert db.migrate() != []
    assert _indexes() == before
    assert not diff_models(db.database.obj, list(models.ALL))


def test_null_and_what_deleting_does_are_as_the_models_say(sqlite_template: bytes, tmp_path: Path) -> None:
    """The comparison above looks at neither. One database is enough: both are made by the same migrations."""
    (tmp_path / "x.db").write_bytes(sqlite_template)
    connection = sqlite3.connect(tmp_path / "x.db")
    for model in models.ALL:
        table, fields = model._meta.table_name, model._meta.sorted_fields
        stored = {row[1]: bool(row[3]) for row in connection.execute(f"PRAGMA table_info({table})")}
        assert stored == {field.column_name: not field.null for field in fields}, table
        keys = {row[3]: (row[2], row[6]) for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
        assert keys == {field.column_name: _key(field) for field in fields if isinstance(field, ForeignKeyField)}, table
    connection.close()


def _key(field: Any) -> tuple[str, str]:
    return field.rel_model._meta.table_name, field.on_delete
