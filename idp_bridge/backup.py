"""Backup and restore of the whole database, in a format of our own (docs/decisions/0015).

A backup is one compressed file of JSON lines: what it is, then each table with its rows, then how many those were and
the digest of all before. It is of one moment, taken while others write, and holds no secret key. It is put back in one
transaction, into a database of either kind: while others are served they see all that was before, then all of it.
"""

import base64
import gzip
import hashlib
import importlib.metadata
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from idp_bridge import clock, db, keyring, tables
from idp_bridge.errors import Conflict, Invalid, NotFound

FORMAT = 1
EVERY = 1000  # rows between two words of progress

#: Tables whose rows a database without any data may have: what every serving process writes by itself.
OF_ITSELF = frozenset({"job_run", "rate_count"})

#: A trigger would note events as new that were sealed long ago, or refuse that they are taken away.
GUARDED = ("event", "event_seal")

_VOUCHED = "idp-bridge backup"  # under the secret key: whether two are the same is told without one

Progress = Callable[[int], None]


@dataclass
class Summary:
    """What a backup holds: when and by what it was made, and how many rows of each table."""

    made_at: str
    version: str
    migrations: list[str]
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


# --- writing ----------------------------------------------------------------------------------------------------


def write(path: Path, *, progress: Progress = lambda _: None) -> Summary:
    """Write a backup to a new file, which is its owner's alone, and is there only when it is whole. Raises Conflict
    where there is one already."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        _new(path).close()  # the name is ours from now on
    except FileExistsError as error:
        raise Conflict(f"{path} is there already. Give another name, or remove it.") from error
    try:
        with _new(part) as file:
            summary = _write(file, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return summary


def _new(path: Path) -> IO[bytes]:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write(file: IO[bytes], progress: Progress) -> Summary:
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=5, mtime=0) as packed, db.connection(), db.snapshot():
        made = Summary(clock.rfc3339(clock.now()), importlib.metadata.version("idp-bridge"), _applied())
        out = _Out(packed)
        out.line(
            {
                "idp_bridge_backup": FORMAT,
                "made_at": made.made_at,
                "version": made.version,
                "migrations": made.migrations,
                "secret_key": keyring.vouch(_VOUCHED),
            }
        )
        for table in tables.tables():
            names = tables.columns(table)
            out.line({"table": table, "columns": names})
            made.rows[table] = 0
            for row in tables.dump(table, names):
                out.line([_as_json(value) for value in row])
                made.rows[table] += 1
                if made.rows[table] % EVERY == 0:
                    progress(EVERY)
        out.line({"rows": made.rows, "sha256": out.digest.hexdigest()})
    return made


class _Out:
    """JSON lines, and the digest of those so far."""

    def __init__(self, file: Any) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def line(self, value: Any) -> None:
        text = db.encode(value).encode("utf-8", "surrogatepass") + b"\n"
        self.digest.update(text)
        self._file.write(text)


def _applied() -> list[str]:
    return [one.name for one in db.runner().status() if one.applied]


def _as_json(value: Any) -> Any:
    return {"base64": base64.b64encode(bytes(value)).decode()} if isinstance(value, bytes | memoryview) else value


def _from_json(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


# --- reading ----------------------------------------------------------------------------------------------------


def check(path: Path) -> Summary:
    """Read a backup to its end. Raises Invalid where it is none, or not whole, NotFound where there is no such file."""
    try:
        return _check(path)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.") from error
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{path} is no backup, or is damaged: {error}. Nothing was changed.") from error


def _check(path: Path) -> Summary:
    digest = hashlib.sha256()
    rows: dict[str, int] = {}
    table, last = "", {}
    with gzip.open(path, "rb") as file:
        text = file.readline()
        first = json.loads(text)
        if first["idp_bridge_backup"] != FORMAT:
            raise ValueError("it is of another version of the format")
        digest.update(text)
        for text in file:
            value = json.loads(text)
            if isinstance(value, dict) and "sha256" in value:
                last = value
                break
            digest.update(text)
            if isinstance(value, dict):
                table = value["table"]
                rows[table] = 0
            else:
                rows[table] += 1
        if file.read(1):
            raise ValueError("something follows its end")
    if last.get("sha256") != digest.hexdigest() or last.get("rows") != rows:
        raise ValueError("its digest is not that of what it holds")
    return Summary(first["made_at"], first["version"], first["migrations"], rows)


def same_key(path: Path) -> bool:
    """Whether the backup was made under this SECRET_KEY, or the one before."""
    with gzip.open(path, "rb") as file:
        return keyring.vouched(_VOUCHED, json.loads(file.readline())["secret_key"])


# --- putting back -----------------------------------------------------------------------------------------------


def restore(path: Path, *, force: bool = False, progress: Progress = lambda _: None) -> Summary:
    """Put a backup into the database, in one transaction. Raises what ``check`` raises; Conflict where the database is
    not empty, the secret key another or the schema newer than the backup's, the first two not with ``force``.

    A database without any schema gets the backup's, and then the newest."""
    summary = check(path)
    if not force and not same_key(path):
        raise Conflict(
            "The backup was made under another IDP_BRIDGE_SECRET_KEY: connections with keys of ours, webhooks and the "
            "proof of events would not work. Set that key, or IDP_BRIDGE_SECRET_KEY_PREVIOUS to it; or --force."
        )
    with db.connection():
        _make_schema(summary)
        with db.transaction():
            _put_back(path, summary, force=force, progress=progress)
    db.migrate()
    return summary


def _make_schema(summary: Summary) -> None:
    runner = db.runner()
    known = {one.name for one in runner.migrations()}
    if not summary.migrations or set(summary.migrations) - known:
        raise Conflict(
            f"The backup was made by version {summary.version}, which is newer than this one: install that version."
        )
    applied = _applied()
    if not applied:
        runner.up(target=summary.migrations[-1])
    elif applied != summary.migrations:
        raise Conflict(
            f"The backup was made by version {summary.version} and has another schema than this database. Restore it "
            "into a database that is not there yet: that is brought to the backup's schema first, then to the newest."
        )


def _put_back(path: Path, summary: Summary, *, force: bool, progress: Progress) -> None:
    names = tables.tables()
    if set(names) != set(summary.rows):
        raise Conflict("The backup has other tables than this database.")
    with tables.without_triggers(*GUARDED):
        full = [name for name in names if name not in OF_ITSELF and tables.has_rows(name)]
        if full and not force:
            raise Conflict(
                f"The database is not empty ({', '.join(full[:3])}{', …' if len(full) > 3 else ''}). "
                "With --force all that it holds is replaced by the backup."
            )
        tables.empty(names)
        for table, columns, rows in _tables_of(path):
            number = tables.fill(table, columns, _told(rows, progress))
            if number != summary.rows[table]:
                raise Invalid(f"{path} changed while it was read. Nothing was changed.")
    tables.count_on()


def _told(rows: Iterator[Sequence[Any]], progress: Progress) -> Iterator[Sequence[Any]]:
    for number, row in enumerate(rows, 1):
        if number % EVERY == 0:
            progress(EVERY)
        yield row


def _tables_of(path: Path) -> Iterator[tuple[str, list[str], Iterator[Sequence[Any]]]]:
    """Each table's name, columns and rows, which are to be read before the next is asked for."""
    with gzip.open(path, "rb") as file:
        file.readline()
        head = json.loads(file.readline())
        while "table" in head:
            after: list[Any] = []
            yield head["table"], head["columns"], _rows_of(file, after)
            (head,) = after


def _rows_of(file: Any, after: list[Any]) -> Iterator[Sequence[Any]]:
    """Rows up to the next line that is none, which goes into ``after``."""
    for text in file:
        value = json.loads(text)
        if isinstance(value, dict):
            after.append(value)
            return
        yield [_from_json(one) for one in value]
