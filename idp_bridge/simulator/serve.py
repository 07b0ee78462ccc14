"""Serves the simulated identity providers on this machine. A test instrument; never for the open network."""

import signal
import socket
from ipaddress import ip_address
from pathlib import Path

import click
import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from idp_bridge.simulator.crypto import kept_key_pair, make_key_pair
from idp_bridge.simulator.flavours import ENTRA_TENANT, FLAVOURS
from idp_bridge.simulator.people import DOMAINS, directory
from idp_bridge.simulator.saml_idp import Provider, Refused
from idp_bridge.simulator.site import create_site

# The issuers that the real products use: Okta's is one per app, Entra's one per tenant.
ENTITY_IDS = {
    "okta": "http://www.okta.com/exksimulated00000001",
    "entra": f"https://sts.windows.net/{ENTRA_TENANT}/",
}


def default_providers(origin: str, *, state: Path | None = None) -> dict[str, Provider]:
    """One provider of each flavour under `origin`; with `state` their keys and apps outlive a restart."""
    return {
        name: Provider(
            name=name,
            flavour=name,
            entity_id=ENTITY_IDS[name],
            sso_url=f"{origin}/{name}/sso",
            people=directory(domain=DOMAINS[name]),
            keys=kept_key_pair(state, name) if state else make_key_pair(f"{name} (simulated)"),
            apps_file=state / f"{name}.apps.json" if state else None,
        )
        for name in FLAVOURS
    }


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Keeps keys and apps here.")
@click.option(
    "--app",
    "apps",
    multiple=True,
    metavar="PROVIDER/NAME=METADATA",
    help="Registers a service provider from the URL or file of its metadata. Repeatable.",
)
def main(host: str, port: int, state: Path | None, apps: tuple[str, ...]) -> None:
    """Serves simulated identity providers (Okta, Entra ID) for demos and tests."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise click.ClickException(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
    with listener:
        origin = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        providers = _providers(origin, state, apps)
        site = create_site(providers.values(), loopback_only=_is_loopback(host))
        server = make_server(host, port, site, threaded=True, request_handler=_QuietHandler, fd=listener.fileno())
        # SIGTERM ends it as Ctrl-C does: serve_forever closes the socket and returns.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        click.echo(f"Simulated identity providers (a test instrument, no passwords): {origin}")
        server.serve_forever()


def _providers(origin: str, state: Path | None, apps: tuple[str, ...]) -> dict[str, Provider]:
    try:
        providers = default_providers(origin, state=state)
        for app in apps:
            _register(providers, app)
    except (Refused, requests.RequestException, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    return providers


def _register(providers: dict[str, Provider], app: str) -> None:
    place, _, source = app.partition("=")
    name, _, slug = place.partition("/")
    if name not in providers or not slug or not source:
        raise click.BadParameter(f"{app!r} is not PROVIDER/NAME=METADATA with a provider of {', '.join(providers)}.")
    providers[name].register_sp(_metadata(source), app=slug)


def _metadata(source: str) -> str:
    if source.startswith(("http://", "https://")):
        answer = requests.get(source, timeout=10)
        answer.raise_for_status()
        return answer.text
    return Path(source).read_text()


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ip_address(host).is_loopback


class _QuietHandler(WSGIRequestHandler):
    """Writes no line per request: those would bury the demo's own output."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""
