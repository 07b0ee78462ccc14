"""The command line. Commands stay thin: they read the configuration, open the database and call the domain.

The server, the demo and the simulator are imported by the commands that run them, since they cost a second that
`create-account` should not pay.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click
from marshmallow import ValidationError, validate
from peewee import PeeweeException

from idp_bridge import (
    accounts,
    actors,
    config,
    credentials,
    db,
    event_chain,
    events,
    keyring,
    logs,
    mail,
    member_lifecycle,
    members,
    operator_keys,
    people,
    plan_changes,
    recovery,
    roles,
    sign_in_mode,
    upkeep,
)
from idp_bridge.config import Config, ConfigError
from idp_bridge.errors import DomainError, NotFound
from idp_bridge.models import Account, Member
from idp_bridge.plan_changes import PlanChange
from idp_bridge.plans import PLANS
from idp_bridge.simulator.cli import simulate


class _Commands(click.Group):
    """Turns what the domain refuses into one line and exit code 1, a wrong configuration into exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except DomainError as error:
            raise click.ClickException(error.message) from error
        except PeeweeException as error:
            raise click.ClickException(f"The database cannot be used: {error}") from error
        except ConfigError as error:
            click.echo("The configuration is wrong:", err=True)
            for fault in error.faults:
                click.echo(f"  {fault}", err=True)
            context.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="idp-bridge", prog_name="idp-bridge")
def main() -> None:
    """SAML single sign-on, SCIM provisioning, roles, seats and bot users in front of your product."""


for _command in (simulate, upkeep.backup, upkeep.restore, upkeep.rotate_secret_key, upkeep.doctor_command):
    main.add_command(_command)


def _settings() -> Config:
    return config.load(dotenv=True)


@contextmanager
def _domain() -> Iterator[Config]:
    """An open, migrated database, and one transaction around the command."""
    settings = _settings()
    db.open_database(settings.database_url)
    keyring.unlock(settings.secret_key, settings.secret_key_previous)
    mail.configure(settings)
    _check_schema(settings)
    with db.connection(), db.transaction():
        yield settings


@contextmanager
def _reading() -> Iterator[Config]:
    """An open, migrated database to read, for as long as it takes: no lock keeps anybody from writing."""
    settings = _settings()
    db.open_database(settings.database_url)
    keyring.unlock(settings.secret_key, settings.secret_key_previous)
    _check_schema(settings)
    with db.connection():
        yield settings


@contextmanager
def _proving() -> Iterator[None]:
    """The database as it is: what proves something makes, migrates and writes nothing. Raises ClickException."""
    settings = config.load(dotenv=True, keep=False)
    path = settings.sqlite_path
    if path is not None and not path.is_file():
        raise click.ClickException(f"there is no database at {path}")
    if path is not None and not settings.secret_key:
        raise click.ClickException(f"the secret key of this database is not there: {config.secret_path(path)}")
    db.open_database(settings.database_url)
    keyring.unlock(settings.secret_key, settings.secret_key_previous)
    with db.connection():
        if db.pending_migrations():
            raise click.ClickException("the database is not migrated: run `idp-bridge migrate` first")
        yield


def _check_schema(settings: Config) -> None:
    """SQLite is migrated on the way; PostgreSQL, which others may be using at this moment, only by its own command."""
    if settings.sqlite_path is not None:
        db.migrate()
    with db.connection():
        pending = db.pending_migrations()
    if pending:
        raise click.ClickException(f"The database needs {len(pending)} migrations: run `idp-bridge migrate` first.")


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(command)


# --- serving ----------------------------------------------------------------------------------------------------


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; by default one a core, four at most.")
def serve(host: str, port: int, workers: int | None) -> None:
    """Run the production server. Migrates first on SQLite; refuses to start on an unmigrated PostgreSQL."""
    from idp_bridge.server import Server

    settings = _settings()
    db.open_database(settings.database_url)
    _check_schema(settings)
    logs.configure(settings.log_format, settings.log_level)
    Server(settings, host=host, port=port, workers=workers, read=_settings).run()


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    db.open_database(_settings().database_url)
    applied = db.migrate()
    click.echo("\n".join(f"applied {name}" for name in applied) or "The schema is the newest already.")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65534))
def demo(host: str, port: int) -> None:
    """Serve a demo account with two simulated identity providers, on this machine."""
    from idp_bridge import demo as stage

    settings = _settings()
    if settings.base_url == config.DEFAULT_BASE_URL:
        settings = replace(settings, base_url=f"http://127.0.0.1:{port}")
    try:
        stage.run(settings, host=host, port=port)
    except KeyboardInterrupt:
        click.echo("Stopped.")
        sys.exit(0)


def _address(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        validate.Email()(value)
    except ValidationError as error:
        raise click.BadParameter("this is no e-mail address.") from error
    return value


# --- accounts ---------------------------------------------------------------------------------------------------


@main.command("create-account")
@click.option("--name", required=True)
@click.option("--slug", required=True)
@click.option("--owner", "email", required=True, callback=_address, help="The first administrator's e-mail address.")
@click.option("--plan", default="free", show_default=True, type=click.Choice(list(PLANS)))
@click.option("--seats", type=click.IntRange(1), help="By default the plan's.")
@_json_option
def create_account(name: str, slug: str, email: str, plan: str, seats: int | None, as_json: bool) -> None:
    """Make an account with its first administrator, her API key and a link to set her password."""
    with _domain() as settings:
        account = accounts.create(name=name, slug=slug, plan=plan, seats=seats)
        system = actors.operator(account)
        person = people.create(email)
        owner = member_lifecycle.create(
            system, email=email, managed_by="local", person=person, roles=[roles.ADMIN], role_source="hand"
        )
        key = credentials.issue(system, credentials.API_KEY, owner, description="made by create-account").token
        link = people.one_time_link(person, account, people.PASSWORD_SETUP)
        made = {
            "account": accounts.describe(account),
            "owner": {**members.describe(owner), "roles": [roles.ADMIN]},
            "api_key": key,
            "password_setup_url": f"{settings.base_url}/login/password/{link}",
        }
    _print(made, as_json, ("api_key", "password_setup_url"))


@main.command("set-plan")
@click.option("--account", "slug", required=True)
@click.option("--plan", required=True, type=click.Choice(list(PLANS)))
@click.option("--seats", type=click.IntRange(1), help="By default the plan's.")
@click.option("--administrator", "email", help="A member who becomes an administrator by it, where nobody would be.")
@_json_option
def set_plan(slug: str, plan: str, seats: int | None, email: str | None, as_json: bool) -> None:
    """Change an account's plan or seats, as the product's billing does; prints what that did to people and ways in."""
    with _domain():
        account = accounts.find(slug)
        administrator = _member(account, email) if email else None
        system = actors.operator(account)
        done = plan_changes.set_plan(system, plan, seat_limit=seats, administrator=administrator)
        made = {**accounts.describe(account), "changes": done.told()}
    _print(made, as_json, ("plan", "seats", "sso_mode"))
    if not as_json:
        click.echo("".join(f"{line}\n" for line in _told(done, account)), nl=False)


def _member(account: Account, email: str) -> Member:
    for member in members.with_address(account, email):
        if member.active:
            return member
    raise NotFound(f"{email} is not an active member of {account.slug}.")


#: What a change of plan tells of, and in which words; what is empty is left out.
_PLAN_LINES = {
    "identity_providers_disabled": "identity providers turned off",
    "identity_providers_enabled": "identity providers turned on",
    "sessions_ended": "sessions ended",
    "enforcement_missing": "single sign-on is not enforced again, because of",
    "administrators_added": "administrators now",
    "administrators_removed": "administrators no more",
    "seats_over": "members above the seats, who stay while nobody more can join",
    "members_without_password": "active members without a password, who cannot sign in before they have set one",
}


def _told(done: PlanChange, account: Account) -> Iterator[str]:
    mode = sign_in_mode.of(account)
    if mode != done.sso_mode_before:
        yield f"sign-in mode: {mode}, before that {done.sso_mode_before}"
    for name, value in done.told().items():
        if value and name in _PLAN_LINES:
            yield f"{_PLAN_LINES[name]}: {_listed(value) if isinstance(value, list) else value}"
    if done.no_administrator_has_password:
        break_glass = f"idp-bridge break-glass --account {account.slug} --email ..."
        yield f"no administrator has a password: {break_glass} lets one in"


def _listed(found: list[Any]) -> str:
    return ", ".join(
        one if isinstance(one, str) else one.get("email") or f"{one['name']} ({one['id']})" for one in found
    )


@main.command("break-glass")
@click.option("--account", "slug", required=True)
@click.option("--email", required=True)
def break_glass(slug: str, email: str) -> None:
    """Print a one-time sign-in link for an administrator, good for 15 minutes. Its use is an event."""
    with _domain() as settings:
        link = recovery.make_break_glass(actors.operator(accounts.find(slug)), email)
    click.echo(f"{settings.base_url}/login/break-glass/{link}")


# --- events -----------------------------------------------------------------------------------------------------


@main.group("events")
def event_commands() -> None:
    """What happened in an account: proven, and exported."""


def _head(context: click.Context, parameter: click.Parameter, value: str | None) -> event_chain.Head | None:
    try:
        return event_chain.Head.parse(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@event_commands.command("verify")
@click.option("--account", "slug", help="One account; by default every one.")
@click.option("--head", callback=_head, help="NUMBER:DIGEST that an earlier run printed for this account.")
@_json_option
@click.pass_context
def verify_events(context: click.Context, slug: str | None, head: event_chain.Head | None, as_json: bool) -> None:
    """Prove the chain of events; exit code 1 where a link is broken, which is named, 2 where it could not be proven."""
    if head is not None and slug is None:
        raise click.UsageError("--head is one account's: give --account too.")
    try:
        with _proving(), db.snapshot(), _progress(hidden=as_json) as progress:
            chosen = [accounts.find(slug)] if slug else Account.select().order_by(Account.slug)
            proofs = [event_chain.verify(account, expected=head, progress=progress) for account in chosen]
            if not proofs:
                raise click.ClickException("there is no account")  # noqa: TRY301 - told as all that cannot be proven
    except (DomainError, PeeweeException, click.ClickException) as error:
        click.echo(f"Error: nothing could be proven: {error}", err=True)
        context.exit(2)
    if as_json:
        click.echo(json.dumps({"accounts": [asdict(proof) for proof in proofs]}))
    else:
        click.echo("\n".join(map(_proven, proofs)))
    context.exit(1 if any(proof.broken for proof in proofs) else 0)


@event_commands.command("export")
@click.option("--account", "slug", required=True)
@click.option("--type", "kind", help="Only events of this type.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="Inclusive, in UTC.")
def export_events(slug: str, kind: str | None, since: datetime | None) -> None:
    """Prints an account's events as JSON lines, oldest first."""
    with _reading() as settings:
        account = accounts.find(slug)
        since = since.replace(tzinfo=UTC) if since else None
        for lines in events.lines(account, base_url=settings.base_url, type=kind, since=since):
            click.echo(lines, nl=False)


def _proven(proof: event_chain.Proof) -> str:
    counted = f"{proof.slug}: {proof.events:,} events in {proof.seals:,} links"
    if proof.broken is not None:
        seal = f"link {proof.broken.seal}: " if proof.broken.seal else ""
        which = f" ({proof.broken.event_id})" if proof.broken.event_id else ""
        return f"{counted} hold, then BROKEN: {seal}{proof.broken.what}{which}"
    waiting = f"; {proof.pending:,} not sealed yet" if proof.pending else ""
    return f"{counted} hold{waiting}; head {proof.head or 'none'}"


@contextmanager
def _progress(*, hidden: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=hidden or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("events", total=None)
        yield lambda number: bar.advance(task, number)


# --- operator keys ----------------------------------------------------------------------------------------------


@main.command("create-operator-key")
@click.option("--name", required=True, help="Where it is used; shown by operator-keys.")
@_json_option
def create_operator_key(name: str, as_json: bool) -> None:
    """Make a key for the product's own edge: it may introspect and report usage for every account, nothing else."""
    with _domain():
        issued = operator_keys.issue(name)
    _print({"id": issued.row.id, "token": issued.token}, as_json, ("id", "token"))


@main.command("operator-keys")
@_json_option
def list_operator_keys(as_json: bool) -> None:
    """List the operator keys: when each was made and used last, and when one was deleted."""
    with _domain():
        found = [operator_keys.describe(row) for row in operator_keys.all_keys()]
    if as_json:
        click.echo(json.dumps(found))
        return
    for key in found:
        ended = f", deleted {key['deleted_at']}" if key["deleted_at"] else ""
        used = key["last_used_at"] or "never"
        click.echo(f"{key['id']}  {key['name']}  made {key['created_at']}, used {used}{ended}")


@main.command("delete-operator-key")
@click.argument("key_id", metavar="ID")
def delete_operator_key(key_id: str) -> None:
    """Delete an operator key. It stops working at once, in every process."""
    with _domain():
        name = operator_keys.delete(key_id).name
    click.echo(f"{key_id} ({name}) is deleted.")


def _print(made: dict[str, Any], as_json: bool, shown: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps(made))
        return
    for name in shown:
        click.echo(f"{name}: {made[name]}")


if __name__ == "__main__":
    main()
