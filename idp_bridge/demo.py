"""`idp-bridge demo`: the service with an account, two simulated identity providers and their people, on this machine.

The server and the simulator run as processes of their own; this one watches over them. What is shown is the product:
people and groups come over SCIM, sign-ins over SAML.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests
from rich.progress import BarColumn, Progress, TextColumn

from idp_bridge import accounts, actors, db, groups, idps, keyring, member_lifecycle, people, roles, scim_tokens
from idp_bridge.config import PREFIX, Config
from idp_bridge.errors import NotFound
from idp_bridge.models import Account, DirectoryUser
from idp_bridge.simulator import scim_push

SLUG = "acme"
ADMINISTRATOR = "ada@acme.test"
PASSWORD = "idp-bridge demo"  # noqa: S105 - printed on the screen; the demo listens on this machine only


@dataclass(frozen=True)
class Connection:
    """How a simulated provider's connection is set up, and which role each group of its directory gives."""

    title: str
    options: dict[str, Any]
    mappings: dict[str, str]


CONNECTIONS = {
    "okta": Connection(
        "Okta",
        {"join_policy": "jit", "allow_idp_initiated": True},
        {"Engineering": "developer", "Support": "viewer"},
    ),
    "entra": Connection("Entra ID", {"join_policy": "invite_only"}, {"Engineering": "developer", "Finance": "billing"}),
}

START_SECONDS = 30
STOP_SECONDS = 35  # the server gives requests in flight 30


@dataclass(frozen=True)
class Place:
    """Where the demo runs."""

    base_url: str
    server_url: str
    simulator_url: str
    state: Path


def run(config: Config, *, host: str, port: int) -> None:
    """Serve until Ctrl-C. Fills an empty database; one that has accounts is served as it is."""
    place = Place(
        base_url=config.base_url,
        server_url=f"http://{host}:{port}",
        simulator_url=f"http://127.0.0.1:{port + 1}",
        state=(config.sqlite_path or Path("var/demo")).with_name("simulator"),
    )
    for wanted in (port, port + 1):
        _check_free(host, wanted)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it ends its children too
    # Both start at once: most of the time goes into imports, and there are two cores on the smallest machine.
    with (
        _process("idp_bridge.simulator", "--port", str(port + 1), "--state", str(place.state), quiet=True) as simulator,
        _process(
            "idp_bridge.cli",
            "serve",
            "--host",
            host,
            "--port",
            str(port),
            base_url=config.base_url,
            log_level="warning",
        ) as server,
    ):
        _wait_until_ready(f"{place.server_url}/readyz", server, "server")
        _wait_until_ready(place.simulator_url, simulator, "simulator")
        db.open_database(config.database_url)
        keyring.unlock(config.secret_key, config.secret_key_previous)
        with db.connection():
            if not Account.select().exists():
                _fill(place)
            pushes = _connect(place)
            rows = _ways_in(place)
        db.disconnect()
        for name, token in pushes.items():
            _push(name, f"{place.server_url}/scim/v2", token)
        _show(rows)
        if server.wait() != 0:
            raise click.ClickException("The server has ended; its own message stands above.")


def _check_free(host: str, port: int) -> None:
    """Another server on the port would answer in our name."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Port {port} cannot be used ({error.strerror}). Try another: make run PORT=8123."
            ) from error


def _fill(place: Place) -> None:
    """The demo account with its administrator, providers and mappings."""
    with db.transaction():
        account = accounts.create(name="Acme", slug=SLUG, plan="enterprise")
        system = actors.operator(account)
        ada = people.create(ADMINISTRATOR)
        people.set_password(ada, PASSWORD)
        member_lifecycle.create(
            system, email=ADMINISTRATOR, name="Ada Admin", managed_by="local", person=ada, roles=[roles.ADMIN]
        )
        for name, connection in CONNECTIONS.items():
            provider = idps.create(
                system,
                name=connection.title,
                description=f"{connection.title} (simulated)",
                trust=_trust(place, name),
                **connection.options,
            )
            for group, role in connection.mappings.items():
                groups.map_role(system, provider, role=role, group_display_name=group)


def _connect(place: Place) -> dict[str, str]:
    """Bring the demo's connections and the simulator in line with the ports of this start; a SCIM token for each
    provider whose directory is still empty (a first start may have been stopped before its people were pushed)."""
    tokens: dict[str, str] = {}
    account = Account.get_or_none(Account.slug == SLUG)
    if account is None:
        return tokens
    for provider in idps.of_account(account):
        name = next((name for name, connection in CONNECTIONS.items() if connection.title == provider.name), None)
        if name is None:
            continue
        with db.transaction():
            system = actors.operator(account)
            idps.change(system, provider, trust=_trust(place, name))
            if not DirectoryUser.select().where(DirectoryUser.identity_provider == provider).exists():
                tokens[name] = scim_tokens.issue(system, provider, description="demo").token
            ours = idps.sp_metadata(provider, place.base_url)
        _fetch("PUT", f"{place.simulator_url}/{name}/apps/idp-bridge", ours)
    return tokens


def _trust(place: Place, name: str) -> idps.Trust:
    return idps.read_metadata(_fetch("GET", f"{place.simulator_url}/{name}/metadata"))


def _fetch(method: str, url: str, document: bytes | None = None) -> str:
    """One exchange of metadata with the simulator, which keeps what it is told beside its keys."""
    answer = requests.request(
        method, url, data=document, headers={"Content-Type": "application/samlmetadata+xml"}, timeout=10
    )
    answer.raise_for_status()
    return answer.text


def _ways_in(place: Place) -> list[tuple[str, str]]:
    """What the closing table says: where to go, and who can sign in there."""
    try:
        account = accounts.find(SLUG)
    except NotFound:
        return [("Sign in", f"{place.base_url}/login")]
    rows = [
        ("Administrator", f"{place.base_url}/login  {ADMINISTRATOR} with the password: {PASSWORD}"),
        ("Single sign-on", f"{place.base_url}/login/{SLUG}  as anybody whom the simulated provider lists"),
    ]
    titles = " and ".join(provider.name for provider in idps.of_account(account))
    return [
        *rows,
        (f"Simulated {titles}", place.simulator_url),
        ("API documentation", f"{place.base_url}/api/docs"),
    ]


@contextmanager
def _process(module: str, *arguments: str, quiet: bool = False, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A child of this Python, ended with us. It has a process group of its own: a terminal's Ctrl-C reaches only us,
    and we end the child by its SIGTERM, at which requests in flight finish."""
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module, *arguments],
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **{PREFIX + name.upper(): value for name, value in settings.items()},
        },
        stdout=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()


def _wait_until_ready(url: str, child: "subprocess.Popen[bytes]", name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise click.ClickException(f"The {name} did not start; its own message stands above.")
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.03)
    raise click.ClickException(f"The {name} was not ready within {START_SECONDS} seconds.")


def _push(name: str, scim_url: str, token: str) -> None:
    title = CONNECTIONS[name].title
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns) as bar:
        task = bar.add_task(f"{title} pushes its people and groups", total=None)
        report = scim_push.simulate(
            name,
            scim_url,
            token,
            leave_in_place=True,
            progress=lambda done, total, step: bar.update(task, completed=done, total=total),
        )
    told = f"{title}: {len(report.users)} people and {len(report.groups)} groups pushed"
    click.echo(f"{told}, {len(report.findings)} complaints" if report.findings else told)


def _show(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    click.echo()
    for name, value in rows:
        click.echo(f"  {name:<{width}}  {value}")
    click.echo("\nCtrl-C stops it.")
