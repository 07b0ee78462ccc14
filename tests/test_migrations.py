"""Migrations carry over what is stored, up and down again."""

import json

import pytest
from peewee import SqliteDatabase

from idp_bridge import clock, db, member_lifecycle, sessions, sp_keys
from idp_bridge.models import (
    DirectoryEmail,
    DirectoryUser,
    IdentityLink,
    IdentityProvider,
    Member,
    Person,
    Session,
    SessionReach,
)
from tests.conftest import add_provider, make_account


def test_a_key_of_a_connection_becomes_its_current_one(database: None, idp_certificate: str) -> None:
    """0012: with its certificate, for each connection that has one; and back to its columns."""
    world = make_account("acme")
    provider, without = (add_provider(world, idp_certificate, name=name) for name in ("Okta", "Entra"))
    with db.transaction():
        signing = sp_keys.signing(provider)
    sealed = sp_keys.of_provider(provider)[0].private_key

    runner = db.runner()
    while any(name.startswith("0012") for name in _applied(runner)):
        runner.down()
    columns = "SELECT id, sp_key, sp_certificate FROM identity_provider"
    kept = {row[0]: row[1:] for row in db.database.execute_sql(columns).fetchall()}
    assert kept == {provider.id: (sealed, signing.certificate.pem), without.id: (None, None)}

    db.migrate()
    with db.transaction():
        again = sp_keys.signing(provider)
    assert again.certificate == signing.certificate
    assert again.private_key.private_numbers() == signing.private_key.private_numbers()
    assert [row.state for row in sp_keys.of_provider(provider)] == ["current"]
    assert sp_keys.of_provider(without) == []


def test_a_session_learns_how_the_assertion_named_her(database: None, idp_certificate: str) -> None:
    """0013: the format of her NameID, where its provider knows one of it, and not two."""
    world = make_account("acme")
    provider = add_provider(world, idp_certificate)
    named: dict[str, list[str]] = {"one": ["email"], "two": ["email", "persistent"], "none": []}
    with db.transaction():
        for name, formats in named.items():
            for name_id_format in formats:
                IdentityLink.create(
                    identity_provider=provider,
                    name_id=name,
                    name_id_format=name_id_format,
                    member=world.owner,
                    created_at=clock.now(),
                )
            sessions.open_session(world.owner, method="saml", identity_provider_id=provider.id, name_id=name)
        sessions.open_session(world.owner, method="password")

    runner = db.runner()
    while any(name.startswith("0013") for name in _applied(runner)):
        runner.down()
    assert set(db.database.get_tables()) & {"sent_logout", "received_logout"} == set()
    db.migrate()
    known = {row.name_id: row.name_id_format for row in Session.select()}
    assert known == {"one": "email", "two": None, "none": None, None: None}


def test_of_two_memberships_of_one_person_the_younger_is_somebody_of_her_own(database: None) -> None:
    """0019: the older one keeps the password, in each account by itself; a member who has left is not looked at."""
    world, other = make_account("acme"), make_account("other")
    runner = db.runner()
    while any(name.startswith("0019") for name in _applied(runner)):
        runner.down()
    kept = ("id", "account_id", "removed_at", "active")
    copied = ", ".join(column.name for column in db.database.get_columns("member") if column.name not in kept)
    members = {"twin": (world, "NULL"), "left": (world, "created_at"), "elsewhere": (other, "NULL")}
    for name, (where, removed_at) in members.items():
        db.database.execute_sql(
            f"INSERT INTO member (id, account_id, removed_at, active, {copied})"
            f" SELECT '{world.owner.id}{name}', '{where.account.id}', {removed_at}, 1 = 0, {copied}"
            f" FROM member WHERE id = '{world.owner.id}'"
        )
    db.migrate()
    persons = {row.id.removeprefix(world.owner.id): row.person_id for row in Member.select()}
    assert persons[""] == persons["left"] == persons["elsewhere"] == world.owner.person_id
    assert persons["twin"] != world.owner.person_id
    assert Person.get_by_id(persons["twin"]).password_hash is None


def _applied(runner: object) -> list[str]:
    return [str(getattr(one, "name", one)) for one in runner.applied()]  # type: ignore[attr-defined]


def test_a_session_goes_on_reaching_what_it_reached(database: None) -> None:
    """0020: neither more nor less, up and down."""
    acme, beta = make_account("acme"), make_account("beta")
    with db.transaction():
        there = member_lifecycle.create(
            beta.system, email="owner@acme.test", managed_by="local", person=acme.owner.person, roles=["viewer"]
        )
        tokens = {method: sessions.open_session(acme.owner, method=method).token for method in ("password", "saml")}
    expected = {"password": ["acme", "beta"], "saml": ["acme"]}
    assert {method: _reached(token) for method, token in tokens.items()} == expected
    _down_and_up("0020")
    assert {method: _reached(token) for method, token in tokens.items()} == expected
    with db.transaction():
        member_lifecycle.suspend(beta.system, there)
        member_lifecycle.unsuspend(beta.system, there)
    _down_and_up("0020")
    assert {method: _reached(token) for method, token in tokens.items()} == {"password": ["acme"], "saml": ["acme"]}


def test_what_is_kept_of_a_browser_goes_to_the_account_signed_in_to(database: None, idp_certificate: str) -> None:
    """0028: and back. Another account that the session reaches has not seen it used, and nobody has proven a
    provider."""
    acme, beta = make_account("acme"), make_account("beta")
    add_provider(acme, idp_certificate)
    IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=acme.owner.id).execute()
    with db.transaction():
        member_lifecycle.create(
            beta.system, email="owner@acme.test", managed_by="local", person=acme.owner.person, roles=["viewer"]
        )
        sessions.open_session(acme.owner, method="password", address="192.0.2.1", user_agent="Firefox")
    _down("0028")
    before = db.database.execute_sql("SELECT address, user_agent FROM session").fetchall()
    assert [tuple(row) for row in before] == [("192.0.2.1", "Firefox")]
    db.migrate()
    here, there = sorted(SessionReach.select(), key=lambda reach: reach.member_id != acme.owner.id)
    session = Session.get()
    assert (here.address, here.user_agent) == ("192.0.2.1", "Firefox")
    assert (here.used_at, here.seen_at) == (session.created_at, session.seen_at)
    assert (there.used_at, there.seen_at, there.address, there.user_agent) == (None, None, None, "")
    assert IdentityProvider.get().proven_by is None


def _down_and_up(number: str) -> None:
    _down(number)
    db.migrate()


def _down(number: str) -> None:
    runner = db.runner()
    while any(name.startswith(number) for name in _applied(runner)):
        runner.down()


def _reached(token: str) -> list[str]:
    return [member.account.slug for member in sessions.memberships(token)]


def test_a_final_sigma_is_told_from_the_other_one(database: None, idp_certificate: str) -> None:
    """0027: keys are made anew; a directory's user is found by her address as before."""
    world = make_account("acme")
    provider = add_provider(world, idp_certificate)
    _down("0027")
    final, other = "bob@κόσμος.test", "bob@κόσμοσ.test"
    with db.transaction():
        db.database.execute_sql(
            f"UPDATE person SET email = '{final}', email_key = '{other}' WHERE id = '{world.owner.person_id}'"
        )
        resource = json.dumps({"emails": [{"value": final}]}, ensure_ascii=False)
        db.database.execute_sql(
            "INSERT INTO directory_user (id, identity_provider_id, user_name, user_name_key, active, resource, version,"
            f" created_at, modified_at) SELECT 'du_1', '{provider.id}', '{final}', '{other}', 1 = 1, '{resource}', 1,"
            f" created_at, created_at FROM person WHERE id = '{world.owner.person_id}'"
        )
    db.migrate()
    assert Person.get_by_id(world.owner.person_id).email_key == final
    assert db.column(DirectoryUser.select(DirectoryUser.user_name_key)) == [final]
    assert db.column(DirectoryEmail.select(DirectoryEmail.value_key)) == [other]
    _down("0027")
    kept = db.database.execute_sql(f"SELECT email_key FROM person WHERE id = '{world.owner.person_id}'").fetchall()
    assert [key for (key,) in kept] == [other]
    db.migrate()


def test_everybody_is_listed_under_her_name_else_her_address(database: None) -> None:
    """0031: also those who were there before."""
    world = make_account("acme")
    with db.transaction():
        for name in ("Émile", ""):
            email = f"{name or 'nobody'}@acme.test".lower()
            member_lifecycle.create(world.system, email=email, name=name, managed_by="local")
    before = dict(Member.select(Member.id, Member.name_key).tuples())
    runner = db.runner()
    while any(name.startswith("0031") for name in _applied(runner)):
        runner.down()
    assert "name_key" not in {column.name for column in db.database.get_columns("member")}
    db.migrate()
    assert dict(Member.select(Member.id, Member.name_key).tuples()) == before
    assert sorted(before.values()) == ["nobody@acme.test", "olive owner", "émile"]


@pytest.mark.parametrize("table", ["person", "member", "member_role", "event"])
def test_a_table_of_short_rows_stays_one_tree_on_sqlite(database: None, table: str) -> None:
    """Two would cost each commit a page more; a later migration that makes it anew has to say so again (0037)."""
    if not isinstance(db.database.obj, SqliteDatabase):
        pytest.skip("PostgreSQL keeps rows and keys apart")
    ((created,),) = db.database.execute_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    assert created.endswith("WITHOUT ROWID")
