"""Statements composed once: the same rows as the query they come from, on whatever database is open."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from peewee import SQL, IntegrityError, SqliteDatabase

from idp_bridge import clock, db
from idp_bridge.models import Account, BotUser, OneTimeLink, Person
from idp_bridge.statement import Statement, Table, among, gathered, parameter, texts


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
        accounts.update("acct_a", enforced_until=now, seats=3)
        bots.insert(id="bot_1", account="acct_a", name="B", name_key="b", roles=["é", "b"], created_at=now)
        bot = BotUser.get_by_id("bot_1")
        bot.name, bot.roles, bot.active = "C", [], False
        bots.save(bot, "name", "roles")
    changed, bot = Account.get_by_id("acct_a"), BotUser.get_by_id("bot_1")
    assert (changed.enforced_until, changed.seats, changed.name) == (now, 3, "a")
    assert (bot.name, bot.roles, bot.active, bot.metadata, bot.created_at) == ("C", [], True, "", now)


def test_a_statement_runs_once_for_each_set_of_values(database: None) -> None:
    """In order, within the transaction; nothing is sent for none, and what refuses one refuses all."""
    rename = Statement(
        (), lambda: Account.update({Account.name: parameter("name")}).where(Account.id == parameter("id"))
    )
    with db.transaction():
        for slug in "ab":
            account(slug)
        rename.each({"id": f"acct_{name}", "name": f"{name}{turn}"} for name in "ab" for turn in range(3))
        rename.each([])
    assert [row.name for row in Account.select().order_by(Account.id)] == ["a2", "b2"]
    with pytest.raises(IntegrityError), db.transaction():
        rename.each([{"id": "acct_a", "name": "x"}, {"id": "acct_b", "name": None}])
    assert [row.name for row in Account.select().order_by(Account.id)] == ["a2", "b2"]


def test_texts_are_read_along_with_the_row_that_they_belong_to(database: None) -> None:
    """Whatever is in them, and as an empty list where there are none."""
    now = clock.now()
    with db.transaction():
        for slug in "ab":
            account(slug)
        for number, name in enumerate(('say "hi"', "é, b")):
            BotUser.create(id=f"bot_{number}", account="acct_a", name=name, name_key=name, roles=[], created_at=now)
    named = Statement(
        (Account.id, SQL("")),
        lambda: Account.select(
            Account.id, gathered(BotUser.select(BotUser.name).where(BotUser.account == Account.id), "name")
        ).order_by(Account.id),
    )
    assert [(id, sorted(texts(found))) for id, found in named.rows()] == [
        ("acct_a", ['say "hi"', "é, b"]),
        ("acct_b", []),
    ]


# --- writes that wait for a reader ------------------------------------------------------------------------------


@contextmanager
def sent() -> Iterator[list[str]]:
    """The statements that reach the database meanwhile."""
    found: list[str] = []

    def hook(event: Any) -> None:
        found.append(event.sql)

    db.database.obj.query_hooks.append(hook)
    try:
        yield found
    finally:
        db.database.obj.query_hooks.remove(hook)


PEOPLE, ACCOUNTS = Table(Person), Table(Account)


def person(id: str) -> None:
    """A person, by a write that may wait."""
    PEOPLE.insert(id=id, created_at=clock.now())


def test_a_write_is_there_for_whoever_asks(database: None) -> None:
    """A Statement, a query, the next transaction: each finds what was written before it."""
    named = Statement((Person.id,), lambda: Person.select(Person.id).order_by(Person.id))
    with db.transaction():
        person("p1")
        assert named.rows() == [("p1",)]
        person("p2")
        assert db.column(Person.select(Person.id).order_by(Person.id)) == ["p1", "p2"]
        PEOPLE.update("p2", email="p2@x.test")
        person("p3")
    assert [(p.id, p.email) for p in Person.select().order_by(Person.id)] == [
        ("p1", None), ("p2", "p2@x.test"), ("p3", None),
    ]  # fmt: skip


def test_writes_in_a_row_are_one_statement_on_postgresql(database: None) -> None:
    """Inserts of one table, and updates of others; where one could touch what another writes they are two."""
    together = not isinstance(db.database.obj, SqliteDatabase)
    with db.transaction():
        account("a")
        with sent() as first:
            person("p1")
            person("p2")
            ACCOUNTS.update("acct_a", name="A")
            db.written()
        with sent() as second:
            PEOPLE.update("p1", email="a@x.test")
            PEOPLE.update("p1", email="b@x.test")
            person("p3")
            PEOPLE.update("p3", email="c@x.test")
            db.written()
    assert (len(first), len(second)) == ((1, 4) if together else (3, 4))
    assert db.column(Person.select(Person.email).order_by(Person.id)) == ["b@x.test", None, "c@x.test"]
    assert db.column(Account.select(Account.name)) == ["A"]


def test_what_stands_apart_takes_along_what_waits(database: None) -> None:
    """Its answer is its own, and all is written."""
    apart = Statement((Account.name,), lambda: Account.update(name="B").returning(Account.name), apart=True)
    with db.transaction():
        account("a")
        with sent() as found:
            person("p1")
            assert apart.rows() == [("B",)]
    assert len(found) == (2 if isinstance(db.database.obj, SqliteDatabase) else 1)
    assert db.column(Person.select(Person.id)) == ["p1"]


def test_a_write_that_fails_undoes_its_transaction(database: None) -> None:
    """Wherever it is sent: at the end, or with what is asked next; and nothing of it waits in the next one."""

    def twice(*, ask: bool) -> None:
        with db.transaction():
            person("p1")
            person("p1")
            if ask:
                Person.select().count()

    for ask in (False, True):
        with pytest.raises(IntegrityError):
            twice(ask=ask)
        with db.transaction():
            PEOPLE.insert(id=f"next {ask}", created_at=clock.now())
    assert db.column(Person.select(Person.id).order_by(Person.id)) == ["next False", "next True"]


def test_a_part_fails_with_its_own_writes(database: None) -> None:
    """What waits in a savepoint is sent inside it, so that it fails there and alone."""

    def fail() -> None:
        with db.savepoint():
            person("p2")
            person("p1")

    def leave() -> None:
        with db.savepoint():
            person("p3")
            raise LookupError

    with db.transaction():
        person("p1")
        with pytest.raises(IntegrityError):
            fail()
        with pytest.raises(LookupError):
            leave()
        person("p4")
    assert db.column(Person.select(Person.id).order_by(Person.id)) == ["p1", "p4"]


def test_a_write_outside_a_transaction_waits_for_nothing(database: None) -> None:
    """There it is committed by itself, or has raised."""
    person("p1")
    with pytest.raises(IntegrityError):
        person("p1")
    assert Person.select().count() == 1


def test_what_fails_is_blamed_on_its_own_table(database: None) -> None:
    """Where a unique index has the last word, another write that waited and fails is not taken for it."""

    def collide(first: str, second: str) -> None:
        with db.transaction():
            account("a")
            person("p1")
            with db.unique(Person, lambda: LookupError("taken")):
                person(first)
                account(second)

    with pytest.raises(LookupError):
        collide("p1", "b")
    with pytest.raises(IntegrityError):
        collide("p2", "a")
    assert Person.select().count() == 0


def test_a_failure_that_nobody_passed_on_commits_nothing(database: None) -> None:
    """PostgreSQL would roll back at COMMIT and say nothing; on SQLite a statement fails alone."""

    def swallow() -> None:
        with db.transaction():
            person("p1")
            db.written()
            with suppress(IntegrityError):
                person("p1")
                db.written()

    if isinstance(db.database.obj, SqliteDatabase):
        swallow()
    else:
        with pytest.raises(RuntimeError):
            swallow()
    assert Person.select().count() == int(isinstance(db.database.obj, SqliteDatabase))


def test_what_comes_last_may_ask_for_more(database: None) -> None:
    """Work for the end of a transaction that is given at its end is done too."""
    done: list[str] = []

    def first(items: list[str]) -> None:
        done.extend(items)
        db.at_end(second, "more")

    def second(items: list[str]) -> None:
        done.extend(items)

    with db.transaction():
        db.at_end(first, "a")
        db.at_end(first, "b")
    assert done == ["a", "b", "more"]
