"""The command line. Commands stay thin: they read the configuration, open the database and call the domain.

The server, the demo and the simulator are imported by the commands that run them, since they cost a second that
`create-account` should not pay.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
    events,
    keyring,
    logs,
    member_lifecycle,
    member_roles,
    members,
    people,
    roles,
)
from idp_bridge.config import Config, ConfigError
from idp_bridge.errors import Conflict, DomainError, NotFound
from idp_bridge.models import Account, Member
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


main.add_command(simulate)


def _settings() -> Config:
    return config.load(dotenv=True)


@contextmanager
def _domain() -> Iterator[Config]:
    """An open, migrated database, and one transaction around the command."""
    settings = _settings()
    db.open_database(settings.database_url)
    keyring.unlock(settings.secret_key)
    _check_schema(settings)
    with db.connection(), db.transaction():
        yield settings


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
    logs.configure(settings.log_format)
    Server(settings, host=host, port=port, workers=workers).run()


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
        system = actors.system(account, source="cli")
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
@click.option("--seats", type=click.IntRange(1))
@_json_option
def set_plan(slug: str, plan: str, seats: int | None, as_json: bool) -> None:
    """Change an account's plan or seats, as the product's billing does."""
    with _domain():
        account = accounts.find(slug)
        accounts.set_plan(actors.system(account, source="cli"), plan, seat_limit=seats)
        made = accounts.describe(account)
    _print(made, as_json, ("plan", "seats"))


@main.command("break-glass")
@click.option("--account", "slug", required=True)
@click.option("--email", required=True)
def break_glass(slug: str, email: str) -> None:
    """Print a one-time sign-in link for an administrator, good for 15 minutes. Its use is an event."""
    with _domain() as settings:
        account = accounts.find(slug)
        member = _administrator(account, email)
        link = people.one_time_link(member.person, account, people.BREAK_GLASS)
        events.record(
            actors.system(account, source="cli"), events.Type.BREAK_GLASS_CREATED, {"id": member.id, "email": email}
        )
    click.echo(f"{settings.base_url}/login/break-glass/{link}")


def _administrator(account: Account, email: str) -> Member:
    found = members.with_address(account, email)
    if not found:
        raise NotFound(f"{email} is not a member of {account.slug}.")
    active = member_roles.administrators(account)
    for member in found:
        if member.id in active:
            return member
    raise Conflict(f"{email} is not an active administrator of {account.slug}.")


def _print(made: dict[str, Any], as_json: bool, shown: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps(made))
        return
    for name in shown:
        click.echo(f"{name}: {made[name]}")


if __name__ == "__main__":
    main()
