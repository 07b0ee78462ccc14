"""A backup holds all of one moment, and goes back into either database, whole or not at all."""

import gzip
import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import IntegrityError

from idp_bridge import accounts, actors, backup, clock, db, event_chain, event_sealing, events, keyring, tables
from idp_bridge.errors import Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, Event, EventPending, EventSeal, RecoveryCode, SamlMessage
from tests import postgres as pg
from tests.conftest import SECRET_KEY, World, add_provider, make_account

Everything = dict[str, list[Any]]


@pytest.fixture
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Makes URLs of databases that have nothing yet, not even a schema."""
    made: list[str] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/other-{len(made)}.db"
        if reason := pg.why_not():
            pytest.skip(reason)
        made.append(request.getfixturevalue("postgres_server").create_database())
        return made[-1]

    yield make
    if db.database.obj is not None:
        db.disconnect()
    for url in made:
        request.getfixturevalue("postgres_server").drop_database(url.split("?")[0].rpartition("/")[2])


@pytest.fixture
def world(database: None, idp_certificate: str) -> World:
    """Events of which some are sealed, bytes, truths, a number that the database gave."""
    made = make_account("acme")
    provider = add_provider(made, idp_certificate, name='Ökta "1" \\ \u2028')
    message = {"flow_id": "flow_1", "direction": "response", "xml": b"\x00\xff", "at": clock.now()}
    with db.transaction():
        SamlMessage.insert(identity_provider=provider, **message).execute()
        RecoveryCode.insert(member=made.owner, code_hash="x").execute()
    event_sealing.seal(clock.now())
    make_account("beta")
    return made


def everything() -> Everything:
    """All rows of all tables, in an order of their own; a truth is a number."""
    with db.connection(), db.snapshot():
        return {
            name: sorted(json.dumps([_plain(one) for one in row]) for row in tables.dump(name, tables.columns(name)))
            for name in tables.tables()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, str) and value.startswith(("[", "{")):
        return json.dumps(json.loads(value), sort_keys=True)  # PostgreSQL has an order of its own
    return int(value) if isinstance(value, bool) else value


def reopen(url: str, key: str = SECRET_KEY) -> None:
    """As another process would."""
    db.disconnect()
    db.open_database(url)
    keyring.unlock(key)


def proven() -> list[tuple[str, int, int, bool]]:
    """What the proof of each account's chain says."""
    with db.connection(), db.snapshot():
        proofs = [event_chain.verify(account) for account in Account.select().order_by(Account.slug)]
    return [(one.slug, one.events, one.pending, one.broken is None) for one in proofs]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_what_was_backed_up_is_there_again_in_either_database(
    kind: str, world: World, other_url: Any, tmp_path: Path, config: Any
) -> None:
    """Every row of every table, the chain of events holds, and the service goes on: numbers, triggers, guards."""
    before, chain = everything(), proven()
    assert [one[3] for one in chain] == [True, True]
    assert chain[0][1] > 0 < chain[1][2]
    made = backup.write(tmp_path / "all")
    reopen(other_url(kind))
    assert backup.restore(tmp_path / "all") == made == backup.check(tmp_path / "all")
    assert made.total == sum(map(len, before.values()))
    assert everything() == before
    assert proven() == chain
    with db.connection():
        make_account("gamma")
        event_sealing.seal(clock.now())
        with pytest.raises(Exception, match="never"), db.transaction():
            Event.delete().execute()
    assert [one[3] for one in proven()] == [True, True, True]
    reopen(config.database_url)


def test_a_backup_is_of_one_moment_while_others_write(world: World, tmp_path: Path) -> None:
    """What is written while it is made is in it whole or not at all: an account never without its event."""
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with db.connection():
            number = 0
            while not done.is_set():
                with db.transaction():
                    account = accounts.create(name="N", slug=f"n-{number}", plan="free")
                    events.record(actors.system(account), Type.ACCOUNT_UPDATED, {"id": account.id})
                number += 1
                begun.set()
        db.disconnect()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(30)
        for number in range(3):
            backup.write(tmp_path / str(number))
    finally:
        done.set()
        writer.join()
    for number in range(3):
        rows = _rows(tmp_path / str(number))
        made = {row[0] for row in rows["account"]}
        seen = {row[rows["event:columns"].index("account_id")] for row in rows["event"]}
        assert made == seen


def _rows(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    name = ""
    for line in gzip.decompress(path.read_bytes()).splitlines():
        value = json.loads(line)
        if isinstance(value, list):
            found[name].append(value)
        elif "table" in value:
            name = value["table"]
            found[name], found[f"{name}:columns"] = [], value["columns"]
    return found


def test_restoring_replaces_all_only_by_force(world: World, tmp_path: Path) -> None:
    """A database that holds something is refused; by force what came after the backup is gone."""
    before = everything()
    backup.write(tmp_path / "all")
    make_account("later")
    after = everything()
    with pytest.raises(Conflict, match="not empty"):
        backup.restore(tmp_path / "all")
    assert everything() == after
    backup.restore(tmp_path / "all", force=True)
    assert everything() == before


def test_a_restore_that_fails_changes_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where it has taken everything away already."""
    backup.write(tmp_path / "all")
    before, fill = everything(), tables.fill

    def fail(table: str, *more: Any) -> int:
        if table == "member":
            raise IntegrityError("this one")
        return fill(table, *more)

    monkeypatch.setattr(tables, "fill", fail)
    with pytest.raises(IntegrityError):
        backup.restore(tmp_path / "all", force=True)
    assert everything() == before
    with db.connection(), pytest.raises(Exception, match="never"), db.transaction():
        EventSeal.delete().execute()  # the guards are back too


def test_a_backup_of_an_older_schema_is_migrated(database: None, other_url: Any, tmp_path: Path, config: Any) -> None:
    """Into a database without any schema: it gets the backup's, then the newest. Into another one it does not go."""
    names = [one.name for one in db.runner().migrations()]
    older = other_url(config.database_url.partition(":")[0])
    reopen(older)
    with db.connection():
        db.runner().up(target=names[-3])
        db.database.execute_sql("INSERT INTO job_run (name, due_at) VALUES ('mail', '2026-01-01T00:00:00.000000Z')")
    made = backup.write(tmp_path / "all")
    assert made.migrations == names[:-2]
    reopen(config.database_url)
    with pytest.raises(Conflict, match="another schema"):
        backup.restore(tmp_path / "all")
    reopen(other_url(config.database_url.partition(":")[0]))
    backup.restore(tmp_path / "all")
    with db.connection():
        assert db.pending_migrations() == []
        assert everything()["job_run"]
    reopen(config.database_url)


def test_a_backup_is_its_owners_alone_and_holds_no_key(world: World, tmp_path: Path) -> None:
    """Mode 0600 from its first octet on; nothing that is not whole has its name."""
    backup.write(tmp_path / "all")
    assert stat.S_IMODE((tmp_path / "all").stat().st_mode) == 0o600
    assert SECRET_KEY.encode() not in gzip.decompress((tmp_path / "all").read_bytes())
    with pytest.raises(Conflict, match="there already"):
        backup.write(tmp_path / "all")
    assert [path.name for path in tmp_path.iterdir() if "all" in path.name] == ["all"]


def test_a_backup_that_fails_leaves_no_file(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a backup looks like one."""

    def fail(*_: Any) -> Any:
        raise OSError("no space")

    monkeypatch.setattr(tables, "dump", fail)
    with pytest.raises(OSError, match="no space"):
        backup.write(tmp_path / "all")
    assert not [path.name for path in tmp_path.iterdir() if "all" in path.name]


def test_another_secret_key_is_told_before_anything_is_done(
    world: World, tmp_path: Path, other_url: Any, config: Any
) -> None:
    """Unless it is the one before, or by force."""
    backup.write(tmp_path / "all")
    reopen(other_url("sqlite"), key="another key, of 32 characters or more")
    with pytest.raises(Conflict, match="another IDP_BRIDGE_SECRET_KEY"):
        backup.restore(tmp_path / "all")
    keyring.unlock("another key, of 32 characters or more", SECRET_KEY)
    backup.restore(tmp_path / "all")
    reopen(config.database_url)


def test_a_damaged_backup_changes_nothing(world: World, tmp_path: Path) -> None:
    """A file that is cut, one bit that is another, a row that is missing, something behind it; and what is none."""
    path = tmp_path / "all"
    backup.write(path)
    before, raw = everything(), path.read_bytes()
    lines = gzip.decompress(raw).splitlines(keepends=True)
    damaged = {
        "cut": raw[: len(raw) // 2],
        "no end": gzip.compress(b"".join(lines[:-1])),
        "bit": raw[:60] + bytes([raw[60] ^ 1]) + raw[61:],
        "row": gzip.compress(b"".join(lines[:5] + lines[6:])),
        "more": gzip.compress(b"".join(lines) + b"[]\n"),
        "none": b"SQLite format 3\x00",
        "empty": b"",
        "text": gzip.compress(b"{}\n"),
    }
    for octets in damaged.values():
        path.write_bytes(octets)
        with pytest.raises(Invalid, match="Nothing was changed"):
            backup.restore(path, force=True)
    assert everything() == before


def test_there_may_be_no_such_file(database: None, tmp_path: Path) -> None:
    """A sentence, no traceback."""
    with pytest.raises(NotFound, match="no file"):
        backup.restore(tmp_path / "nothing")


def test_events_that_wait_still_wait(world: World, tmp_path: Path) -> None:
    """Those that were not sealed then are sealed afterwards, once."""
    waiting = EventPending.select().count()
    assert waiting
    backup.write(tmp_path / "all")
    backup.restore(tmp_path / "all", force=True)
    assert EventPending.select().count() == waiting
