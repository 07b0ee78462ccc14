"""Statements composed once: the same rows as the query they come from, on whatever database is open."""

from pathlib import Path

import pytest

from idp_bridge import clock, db
from idp_bridge.models import Account, BotUser, OneTimeLink, Person
from idp_bridge.statement import Statement, Table, among


def account(slug: str) -> Account:
    """An account of that slug."""
    created: Account = Account.create(id=f"acct_{slug}", slug=slug, name=slug, plan="pro", created_at=clock.now())
    return created


def by_slug() -> Statement:
    """Id and creation of the accounts whose slug is among those given."""
    return Statement(
        (Account.id, Account.created_at),
        lambda: Account.select(Account.id, Account.created_at).where(among(Account.slug, "slugs")).order_by(Account.id),
    )


def test_rows_are_values_of_the_columns(database: None) -> None:
    """As the model would give them, for any number of values in one parameter."""
    with db.transaction():
        a, b = account("a"), account("b")
    statement = by_slug()
    for slugs, found in [([], []), (["a"], [a]), (["b", "none", "a", "a"], [a, b]), (['"', "'", "é"], [])]:
        assert statement.rows(slugs=slugs) == [(row.id, row.created_at) for row in found]
    assert statement.one(slugs=["none"]) is None


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
    assert statement.rows(slugs=["a"]) == []
    db.open_database(f"sqlite:///{tmp_path}/other.db")
    try:
        db.migrate()
        with db.connection(), db.transaction():
            account("a")
            assert [row[0] for row in statement.rows(slugs=["a"])] == ["acct_a"]
        db.database.close()
    finally:
        db.database.initialize(first)
    assert statement.rows(slugs=["a"]) == []


def test_missing_value_is_an_error(database: None) -> None:
    """A parameter that nobody gave is a mistake of ours, never NULL."""
    with pytest.raises(KeyError):
        by_slug().rows()


def test_instances_are_of_each_model_selected(database: None) -> None:
    """In the order of the columns, with only those columns; None where an outer join finds nothing."""
    with db.transaction():
        account("a")
        alone, owned = (Person(id=f"per_{n}", created_at=clock.now()) for n in ("alone", "owned"))
        for person in (alone, owned):
            Table(Person).add(person)
        Table(OneTimeLink).insert(
            digest="d", purpose="break_glass", person=owned.id, account="acct_a", expires_at=clock.now()
        )
    columns = (Person.id, Person.created_at, OneTimeLink.digest, OneTimeLink.person)
    statement = Statement(columns, lambda: Person.select(*columns).left_outer_join(OneTimeLink).order_by(Person.id))
    (first, none), (second, link) = statement.instances()
    assert (first, first.created_at, none) == (alone, alone.created_at, None)
    assert (second, link.digest, link.person_id) == (owned, "d", owned.id)
    assert statement.first() == (alone, None)


def test_a_row_is_written_by_names_and_python_values(database: None) -> None:
    """An insert has the model's defaults, an update only what is named; instants and documents come back as given."""
    now = clock.now()
    accounts, bots = Table(Account), Table(BotUser)
    with db.transaction():
        account("a")
        accounts.update("acct_a", password_sessions_after=now, seats=3)
        bots.insert(id="bot_1", account="acct_a", name="B", name_key="b", roles=["é", "b"], created_at=now)
        bot = BotUser.get_by_id("bot_1")
        bot.name, bot.roles, bot.active = "C", [], False
        bots.save(bot, "name", "roles")
    changed, bot = Account.get_by_id("acct_a"), BotUser.get_by_id("bot_1")
    assert (changed.password_sessions_after, changed.seats, changed.name) == (now, 3, "a")
    assert (bot.name, bot.roles, bot.active, bot.metadata, bot.created_at) == ("C", [], True, "", now)
