"""Commands of whoever looks after the service: doctor, backup, restore, and the change of the secret key."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from idp_bridge import backup as backups
from idp_bridge import config, db, keyring, rotation
from idp_bridge.backup import Summary
from idp_bridge.config import Config, ConfigError
from idp_bridge.doctor import Finding, examine, exit_code


def _open() -> Config:
    settings = config.load(dotenv=True)
    db.open_database(settings.database_url)
    keyring.unlock(settings.secret_key, settings.secret_key_previous)
    return settings


@contextmanager
def _progress(words: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - it takes a tenth of a second
    from rich.progress import Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = TextColumn("{task.completed:,.0f} " + words), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda number: bar.advance(task, number)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def backup(file: Path, as_json: bool) -> None:
    """Write the whole database to FILE, while serving. The secret key is not in it: keep it elsewhere."""
    _open()
    with _progress("rows") as progress:
        made = backups.write(file, progress=progress)
    _say(made, as_json, f"{file}: {made.total:,} rows of {made.made_at}.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what the database holds; take a backup of another secret key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def restore(file: Path, force: bool, as_json: bool) -> None:
    """Put a backup into the database, all of it or nothing, while serving. Of SQLite or PostgreSQL, into either."""
    _open()
    with _progress("rows") as progress:
        made = backups.restore(file, force=force, progress=progress)
    _say(made, as_json, f"{made.total:,} rows of {made.made_at} are back. Prove them: idp-bridge events verify")


def _say(made: Summary, as_json: bool, words: str) -> None:
    click.echo(json.dumps({**asdict(made), "total": made.total}) if as_json else words)


@click.command("rotate-secret-key")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def rotate_secret_key(as_json: bool) -> None:
    """Seal under IDP_BRIDGE_SECRET_KEY what IDP_BRIDGE_SECRET_KEY_PREVIOUS has sealed, while serving."""
    settings = _open()
    if settings.secret_key_previous is None:
        raise click.ClickException("Set IDP_BRIDGE_SECRET_KEY_PREVIOUS to the key before this one first.")
    with db.connection():
        done = rotation.rotate()
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        for name, number in done.changed.items():
            click.echo(f"{name}: {number:,} sealed anew")
        for name in done.lost:
            click.echo(f"{name}: sealed under neither key", err=True)
    sys.exit(1 if done.lost else 0)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def doctor_command(as_json: bool) -> None:
    """Check configuration, database, clock, certificates and what else the service needs; say what to fix."""
    try:
        settings = config.load(dotenv=True, keep=False)
    except ConfigError as error:
        findings = [Finding("configuration", "fail", fault, "Set it right.") for fault in error.faults]
    else:
        findings = examine(settings)
    if as_json:
        click.echo(json.dumps({"checks": [asdict(found) for found in findings]}))
    else:
        for found in findings:
            click.echo(f"{found.state:4}  {found.name}: {found.words}" + (f" {found.fix}" if found.fix else ""))
    sys.exit(exit_code(findings))
