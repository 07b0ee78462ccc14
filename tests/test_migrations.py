"""Migrations carry over what is stored, up and down again."""

from idp_bridge import clock, db, member_lifecycle, sessions, sp_keys
from idp_bridge.models import IdentityLink, Member, Person, Session
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


def _down_and_up(number: str) -> None:
    runner = db.runner()
    while any(name.startswith(number) for name in _applied(runner)):
        runner.down()
    db.migrate()


def _reached(token: str) -> list[str]:
    return [member.account.slug for member in sessions.memberships(token)]
