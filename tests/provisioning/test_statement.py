"""Statements written once: the same rows as the query they come from, on whatever database is open."""

import json
from pathlib import Path

import pytest

from idp_bridge import clock, db
from idp_bridge.models import Account
from idp_bridge.provisioning import json_sql
from idp_bridge.provisioning.statement import Statement, parameter


def account(slug: str) -> Account:
    """An account of that slug."""
    created: Account = Account.create(id=f"acct_{slug}", slug=slug, name=slug, plan="pro", created_at=clock.now())
    return created


def by_slug() -> Statement:
    """Id and creation of the accounts whose slug is among those given."""
    return Statement(
        (Account.id, Account.created_at),
        lambda: (
            Account.select(Account.id, Account.created_at)
            .where(Account.slug.in_(json_sql.functions().listed(parameter("slugs"))))
            .order_by(Account.id)
        ),
    )


def test_rows_are_values_of_the_columns(database: None) -> None:
    """As the model would give them, for any number of values in one parameter."""
    with db.transaction():
        a, b = account("a"), account("b")
    statement = by_slug()
    for slugs, found in [([], []), (["a"], [a]), (["b", "none", "a", "a"], [a, b]), (['"', "'", "é"], [])]:
        assert statement.rows(slugs=json.dumps(slugs)) == [(row.id, row.created_at) for row in found]
    assert statement.one(slugs='["none"]') is None


def test_query_is_built_once(database: None) -> None:
    """Building costs more than running, which is what a Statement is for."""
    built = []
    statement = Statement((Account.id,), lambda: built.append(1) or Account.select(Account.id))
    for _ in range(3):
        statement.rows()
    assert built == [1]


def test_another_database_is_another_text(database: None, tmp_path: Path) -> None:
    """Each opened database gets SQL of its own kind."""
    statement = by_slug()
    first = db.database.obj
    assert statement.rows(slugs='["a"]') == []
    db.open_database(f"sqlite:///{tmp_path}/other.db")
    try:
        db.migrate()
        with db.connection(), db.transaction():
            account("a")
            assert [row[0] for row in statement.rows(slugs='["a"]')] == ["acct_a"]
        db.database.close()
    finally:
        db.database.initialize(first)
    assert statement.rows(slugs='["a"]') == []


def test_missing_value_is_an_error(database: None) -> None:
    """A parameter that nobody gave is a mistake of ours, never NULL."""
    with pytest.raises(KeyError):
        by_slug().rows()
