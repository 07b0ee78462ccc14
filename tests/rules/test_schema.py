"""The models and the migrations are two sources of one truth; here they are compared."""

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
    assert set(models.ALL) == set(db.Base.__subclasses__())


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
