"""The commands of an operator, run as she runs them, on a database of each kind."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from idp_bridge import clock, credentials, db, event_sealing, member_lifecycle, operator_keys, people, tokens
from idp_bridge.cli import main
from idp_bridge.models import Account, Event, EventPending, Member
from tests import postgres as pg
from tests.conftest import PASSWORD, SECRET_KEY, World, add_provider
from tests.saml import idp as signing_idp


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on the test's database."""
    monkeypatch.setenv("IDP_BRIDGE_DATABASE_URL", database_url)
    monkeypatch.setenv("IDP_BRIDGE_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("IDP_BRIDGE_BASE_URL", "https://sso.example.com")

    def invoke(*arguments: str) -> Result:
        close()  # what the test itself looked at
        try:
            return CliRunner().invoke(main, arguments, catch_exceptions=False)
        finally:
            close()  # the next command opens the database anew, as a process of its own would

    yield invoke
    close()


def close() -> None:
    """Give back every connection."""
    if db.database.obj is None:
        return
    if not db.database.is_closed():
        db.database.close()
    if hasattr(db.database.obj, "close_all"):
        db.database.obj.close_all()


def make(run: Any, *options: str) -> dict[str, Any]:
    """The account acme, as JSON tells of it."""
    result = run("create-account", "--name", "Acme", "--slug", "acme", "--owner", "ann@acme.test", "--json", *options)
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def test_create_account_prints_what_the_owner_needs(run: Any) -> None:
    """One JSON object: the account, its owner, her key that works, and a link that sets her password."""
    made = make(run, "--plan", "pro")
    assert set(made) == {"account", "owner", "api_key", "password_setup_url"}
    assert (made["account"]["plan"], made["account"]["seats"]) == ("pro", {"used": 1, "reserved": 0, "limit": 10})
    assert (made["owner"]["email"], made["owner"]["roles"]) == ("ann@acme.test", ["admin"])
    path, _, token = made["password_setup_url"].rpartition("/")
    assert path == "https://sso.example.com/login/password"
    with db.connection():
        key = credentials.find(credentials.API_KEY, made["api_key"])
        assert key is not None
        assert credentials.owner_of(key).id == made["owner"]["id"]
        assert people.peek(token, people.PASSWORD_SETUP).account_id == made["account"]["id"]


def test_create_account_makes_nobody_the_owner_who_was_here_before(run: Any) -> None:
    """Whoever had an account made in her name, and set its password, does not own those that are made for her."""
    make(run)
    with db.connection():
        early = Member.get()
        with db.transaction():
            people.set_password(early.person, PASSWORD)
    made = json.loads(run("create-account", "--name", "B", "--slug", "b", "--owner", "ann@acme.test", "--json").stdout)
    with db.connection():
        assert Member.get_by_id(made["owner"]["id"]).person_id != early.person_id


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--slug", "acme", "taken"), ("--slug", "No Slug", "lower-case"), ("--owner", "nobody", "e-mail")],
)
def test_create_account_says_what_is_wrong(run: Any, option: str, value: str, words: str) -> None:
    """One line and an exit code; nothing is left behind."""
    make(run)
    given = {"--name": "Other", "--slug": "other", "--owner": "bob@other.test", option: value}
    result = run("create-account", *[part for pair in given.items() for part in pair])
    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output
    with db.connection():
        assert Account.select().count() == Member.select().count() == 1


def test_set_plan_changes_plan_and_seats(run: Any) -> None:
    """The product's billing calls it; the event names the command line."""
    make(run)
    result = run("set-plan", "--account", "acme", "--plan", "enterprise", "--seats", "25", "--json")
    account = json.loads(result.stdout)
    assert (account["plan"], account["seats"]["limit"]) == ("enterprise", 25)
    with db.connection():
        event = Event.get(Event.type == "account_updated.v0")
        assert (event.source, event.object["before"]["plan"]) == ("cli", "free")
    assert run("set-plan", "--account", "nobody", "--plan", "pro").exit_code == 1


def test_set_plan_prints_what_it_did_to_people_and_ways_in(run: Any) -> None:
    """In words and as JSON: who becomes an administrator, which connections go off and come back."""
    make(run, "--plan", "enterprise")
    with db.connection():
        world = World(Account.get(), Member.get(), "")
        add_provider(world, signing_idp.idp().certificate.pem)
        with db.transaction():
            member_lifecycle.create(world.system, email="dev@acme.test", managed_by="local", roles=["developer"])
    said = run("set-plan", "--account", "acme", "--plan", "free").stdout
    assert "identity providers turned off: Okta (idp_" in said
    assert "administrators now: dev@acme.test" in said
    assert "active members without a password, who cannot sign in before they have set one: 2" in said
    assert "no administrator has a password: idp-bridge break-glass --account acme --email ... lets one in" in said
    assert "members above the seats, who stay while nobody more can join: 1" in said
    changes = json.loads(run("set-plan", "--account", "acme", "--plan", "enterprise", "--json").stdout)["changes"]
    assert [one["name"] for one in changes["identity_providers_enabled"]] == ["Okta"]
    assert [one["email"] for one in changes["administrators_removed"]] == ["dev@acme.test"]
    assert (changes["plan_before"], changes["seats_over"]) == ("free", 0)


def test_set_plan_names_an_administrator_where_nobody_would_be(run: Any) -> None:
    """Refused in one sentence that says how."""
    make(run)
    with db.connection(), db.transaction():
        world = World(Account.get(), Member.get(), "")
        Account.update(seats=5).execute()
        member_lifecycle.create(world.system, email="dev@acme.test", managed_by="local", roles=["developer"])
        member_lifecycle.suspend(world.system, world.owner)
    refused = run("set-plan", "--account", "acme", "--plan", "pro")
    assert (refused.exit_code, "--administrator EMAIL" in refused.output) == (1, True)
    assert run("set-plan", "--account", "acme", "--plan", "pro", "--administrator", "no@acme.test").exit_code == 1
    assert run("set-plan", "--account", "acme", "--plan", "pro", "--administrator", "dev@acme.test").exit_code == 0
    with db.connection():
        assert Account.get().plan == "pro"


def test_break_glass_is_for_administrators_and_leaves_an_event(run: Any) -> None:
    """The link is printed once and works once; somebody else gets a sentence."""
    made = make(run)
    result = run("break-glass", "--account", "acme", "--email", "ann@acme.test")
    path, _, token = result.stdout.strip().rpartition("/")
    assert path == "https://sso.example.com/login/break-glass"
    with db.connection():
        assert people.peek(token, people.BREAK_GLASS).account_id == made["account"]["id"]
        assert Event.select().where(Event.type == "break_glass_created.v0").count() == 1
    refused = run("break-glass", "--account", "acme", "--email", "bob@acme.test")
    assert (refused.exit_code, "bob@acme.test is not a member" in refused.output) == (1, True)


def test_an_operator_key_is_shown_once_and_its_record_stays(run: Any) -> None:
    """Made, listed, deleted; a deleted one opens nothing, and is still listed with when that was."""
    made = json.loads(run("create-operator-key", "--name", "edge eu", "--json").stdout)
    assert set(made) == {"id", "token"}
    assert re.fullmatch("op_[0-9a-z]{26}", made["id"])
    assert tokens.kind_of(made["token"]) is tokens.Kind.OPERATOR_KEY
    second = run("create-operator-key", "--name", "edge us").output
    assert re.fullmatch(r"id: op_\w+\ntoken: ibop_\w+\n", second)
    assert operator_keys.find(made["token"]) == made["id"]
    assert run("delete-operator-key", made["id"]).output == f"{made['id']} (edge eu) is deleted.\n"
    assert operator_keys.find(made["token"]) is None
    rows = json.loads(run("operator-keys", "--json").stdout)
    assert [(row["name"], row["deleted_at"] is None) for row in rows] == [("edge us", True), ("edge eu", False)]
    assert "token" not in rows[0]
    listed = run("operator-keys").output
    assert listed.count("\n") == 2
    assert "edge us" in listed
    again = run("delete-operator-key", made["id"])
    assert (again.exit_code, "no operator key" in again.output) == (1, True)
    assert run("create-operator-key", "--name", " ").exit_code == 1


def test_migrate_twice_changes_nothing(run: Any) -> None:
    """The template is migrated already."""
    result = run("migrate")
    assert (result.exit_code, result.output) == (0, "The schema is the newest already.\n")


def test_a_wrong_configuration_lists_every_fault(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message, exit code 2."""
    monkeypatch.setenv("IDP_BRIDGE_DATABASE_URL", "mysql://somewhere")
    monkeypatch.setenv("IDP_BRIDGE_API_RATE", "none")
    result = run("migrate")
    assert result.exit_code == 2
    assert "IDP_BRIDGE_DATABASE_URL" in result.output
    assert "IDP_BRIDGE_API_RATE" in result.output


@pytest.mark.postgres
@pytest.mark.parametrize("command", [["serve"], ["set-plan", "--account", "acme", "--plan", "pro"]])
def test_nothing_runs_on_an_unmigrated_postgresql(
    postgres_server: pg.Server, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Others may be using it at this moment: only `migrate` changes its schema, and the refusal says so."""
    monkeypatch.setenv("IDP_BRIDGE_DATABASE_URL", postgres_server.create_database())
    monkeypatch.setenv("IDP_BRIDGE_SECRET_KEY", SECRET_KEY)
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    close()
    assert result.exit_code == 1
    assert "run `idp-bridge migrate` first" in result.output


# --- events -----------------------------------------------------------------------------------------------------


def seal(database_url: str) -> None:
    """What the server's job does."""
    db.open_database(database_url)
    with db.connection():
        event_sealing.seal(clock.now())
    close()


def test_verify_proves_the_chain_and_prints_its_head(run: Any, database_url: str) -> None:
    """All accounts or one; exit code 0 where all holds. A head that was kept is still in it later."""
    make(run)
    before = run("events", "verify")
    assert (before.exit_code, before.stdout) == (0, "acme: 0 events in 0 links hold; 3 not sealed yet; head none\n")
    seal(database_url)
    first = run("events", "verify", "--account", "acme")
    head = first.stdout.rpartition("head ")[2].strip()
    assert (first.exit_code, first.stdout) == (0, f"acme: 3 events in 1 links hold; head {head}\n")
    assert run("set-plan", "--account", "acme", "--plan", "pro").exit_code == 0
    seal(database_url)
    assert run("events", "verify", "--account", "acme", "--head", head).exit_code == 0
    told = json.loads(run("events", "verify", "--json").stdout)["accounts"]
    assert [(one["slug"], one["seals"], one["pending"], one["broken"]) for one in told] == [("acme", 2, 0, None)]


def test_verify_names_what_is_broken(run: Any, database_url: str) -> None:
    """Exit code 1, in words and as JSON."""
    make(run)
    seal(database_url)
    db.open_database(database_url)
    with db.connection(), db.transaction():
        row = Event.select().order_by(Event.id).first()
        EventPending.insert(event_id=row.id).execute()  # as if it were sealed twice
    close()
    seal(database_url)
    result = run("events", "verify")
    assert result.exit_code == 1
    assert result.stdout == (
        f"acme: 3 events in 1 links hold, then BROKEN: link 2: the event is in the chain twice ({row.id})\n"
    )
    (told,) = json.loads(run("events", "verify", "--json").stdout)["accounts"]
    assert told["broken"] == {"what": "the event is in the chain twice", "seal": 2, "event_id": row.id}
    other = run("events", "verify", "--account", "acme", "--head", f"1:{'0' * 64}")
    assert (other.exit_code, "was remade" in other.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--account", "nobody"), "There is no account"),
        (("--head", f"1:{'0' * 64}"), "give --account too"),
        (("--account", "acme", "--head", "1:abc"), "it is written NUMBER:DIGEST"),
    ],
)
def test_verify_says_where_nothing_can_be_proven(run: Any, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2: neither proven nor broken."""
    make(run)
    result = run("events", "verify", *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)


def test_verify_makes_nothing_where_there_is_nothing(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path, a copy without its secret key, an empty database: nothing is proven, made, migrated or called
    broken."""
    path = tmp_path / "elsewhere" / "nowhere.db"
    path.parent.mkdir()
    monkeypatch.setenv("IDP_BRIDGE_DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.delenv("IDP_BRIDGE_SECRET_KEY", raising=False)
    missing = run("events", "verify")
    assert (missing.exit_code, "there is no database" in missing.stderr) == (2, True)
    assert list(path.parent.iterdir()) == []
    path.touch()
    bare = run("events", "verify")
    assert (bare.exit_code, "secret key" in bare.stderr) == (2, True)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    monkeypatch.setenv("IDP_BRIDGE_SECRET_KEY", SECRET_KEY)
    old = run("events", "verify")
    assert (old.exit_code, "not migrated" in old.stderr) == (2, True)
    assert run("migrate").exit_code == 0
    empty = run("events", "verify")
    assert (empty.exit_code, "there is no account" in empty.stderr) == (2, True)


def test_what_the_command_line_does_is_the_operators(run: Any, database_url: str) -> None:
    """An event names it as the contract does: an operator at the command line."""
    make(run)
    assert run("set-plan", "--account", "acme", "--plan", "pro").exit_code == 0
    db.open_database(database_url)
    with db.connection():
        told = {(event.principal_type, event.source) for event in Event.select()}
    close()
    assert told == {("operator", "cli")}


def test_export_prints_json_lines(run: Any) -> None:
    """Oldest first, narrowed by type and time."""
    made = make(run)
    lines = run("events", "export", "--account", "acme").stdout.splitlines()
    assert [json.loads(line)["event_type"] for line in lines] == [
        "account_created.v0",
        "user_created.v0",
        "api_key_created.v0",
    ]
    assert json.loads(lines[1])["object"]["id"] == made["owner"]["id"]
    assert made["api_key"] not in "".join(lines)
    only = run("events", "export", "--account", "acme", "--type", "user_created.v0", "--since", "2026-01-01").stdout
    assert only.splitlines() == lines[1:2]
    assert run("events", "export", "--account", "acme", "--since", "2126-01-01").stdout == ""


# --- upkeep -----------------------------------------------------------------------------------------------------


def test_a_backup_goes_back_and_the_chain_is_proven(run: Any, database_url: str, tmp_path: Path) -> None:
    """Written, refused onto what is there, put back by force; `events verify` finds what it found before."""
    make(run, "--plan", "enterprise")
    seal(database_url)
    proven = run("events", "verify").stdout
    file = str(tmp_path / "backup")
    written = json.loads(run("backup", file, "--json").stdout)
    assert written["rows"]["account"] == 1
    assert run("set-plan", "--account", "acme", "--plan", "free").exit_code == 0
    refused = run("restore", file)
    assert (refused.exit_code, "not empty" in refused.output, "--force" in refused.output) == (1, True, True)
    assert run("restore", file, "--force").exit_code == 0
    assert run("events", "verify").stdout == proven
    again = run("backup", file)
    assert (again.exit_code, "is there already" in again.output) == (1, True)
    assert run("restore", str(tmp_path / "nothing")).exit_code == 1


def test_the_secret_key_is_changed_by_three_settings_and_a_command(
    run: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the former one it is refused; with it all is sealed anew, and the former one is not needed any more."""
    make(run)
    seal(database_url)
    proven = run("events", "verify").stdout
    refused = run("rotate-secret-key")
    assert (refused.exit_code, "IDP_BRIDGE_SECRET_KEY_PREVIOUS" in refused.output) == (1, True)
    monkeypatch.setenv("IDP_BRIDGE_SECRET_KEY", SECRET_KEY[::-1])
    assert run("events", "verify").exit_code == 1
    monkeypatch.setenv("IDP_BRIDGE_SECRET_KEY_PREVIOUS", SECRET_KEY)
    assert run("events", "verify").stdout == proven
    assert "event_seal.mac: 1 sealed anew" in run("rotate-secret-key").stdout
    monkeypatch.delenv("IDP_BRIDGE_SECRET_KEY_PREVIOUS")
    assert run("events", "verify").stdout == proven
