"""`idp-bridge simulate okta|entra`: the provisioning cycle on the command line, for people and for scripts.

Exit code 0 when the provider would be content, 1 when there are findings, 2 when the server cannot be asked.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from idp_bridge.simulator import scim_push
from idp_bridge.simulator.scim_push import PROVIDERS, Report
from idp_bridge.simulator.wire import Unauthorised, Unreachable

SCIM_PATH = "/scim/v2"


@click.command()
@click.argument("provider", type=click.Choice(list(PROVIDERS)))
@click.option("--base-url", required=True, help=f"The SCIM base URL; a bare origin gets {SCIM_PATH} appended.")
@click.option("--token", required=True, help="The bearer token that the provider would be given.")
@click.option("--users", default=10, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--groups", default=2, show_default=True, type=click.IntRange(0, 1_000))
@click.option(
    "--dialect",
    "dialects",
    multiple=True,
    type=click.Choice([cycle.dialect for cycles in PROVIDERS.values() for cycle in cycles]),
    help="Only this dialect of the provider; all of them by default.",
)
@click.option("--json", "as_json", is_flag=True, help="The reports as one JSON object on stdout.")
@click.pass_context
def simulate(
    context: click.Context,
    *,
    provider: str,
    base_url: str,
    token: str,
    users: int,
    groups: int,
    dialects: tuple[str, ...],
    as_json: bool,
) -> None:
    """Plays PROVIDER's real provisioning cycle against any SCIM server.

    Reports every answer that the provider would choke on. The people it provisions are made for the run, carry
    the prefix "simulated-", and are removed at its end.
    """
    url = scim_base(base_url)
    reports = []
    for dialect in _wanted(provider, dialects):
        try:
            with _progress(f"{provider} ({dialect})", quiet=as_json) as progress:
                report = scim_push.simulate(dialect, url, token, users=users, groups=groups, progress=progress)
        except (Unreachable, Unauthorised) as error:
            click.echo(f"Error: {error}", err=True)
            context.exit(2)
        reports.append(report)
        if not as_json:
            _print(report)
    if as_json:
        found = {"provider": provider, "clean": all(each.clean for each in reports)}
        click.echo(json.dumps(found | {"runs": [each.as_dict() for each in reports]}, ensure_ascii=False, indent=2))
    context.exit(0 if all(each.clean for each in reports) else 1)


def scim_base(url: str) -> str:
    """The SCIM base of what an administrator pasted; raises click.BadParameter where that is no http(s) URL.

    A query is dropped: Entra's tenant URL may carry `?aadOptscim062020`, which is a switch and not an address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise click.BadParameter(f"{url!r} is not an http:// or https:// URL.", param_hint="--base-url")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") or SCIM_PATH, "", ""))


def _wanted(provider: str, dialects: tuple[str, ...]) -> tuple[str, ...]:
    own = tuple(cycle.dialect for cycle in PROVIDERS[provider])
    if strangers := [each for each in dialects if each not in own]:
        raise click.BadParameter(
            f"{strangers[0]} is not a dialect of {provider}; it has {', '.join(own)}.", param_hint="--dialect"
        )
    return dialects or own


@contextmanager
def _progress(title: str, *, quiet: bool) -> Iterator[scim_push.Progress]:
    """A bar on a terminal; nothing in a pipe, where the report's own lines say it all."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, step="")
        yield lambda done, total, step: bar.update(task, completed=done, total=total, step=step)


def _print(report: Report) -> None:
    counts = ", ".join(f"{count} x {status}" for status, count in report.statuses.items())
    click.echo(f"{report.provider} ({report.dialect}): {report.requests} requests in {report.seconds:.1f} s ({counts})")
    for number, finding in enumerate(report.findings, 1):
        again = f" (and {finding.times - 1} more)" if finding.times > 1 else ""
        click.secho(f"  {number}. {finding.step}: {finding.request}{again}", bold=True)
        click.echo(f"     got:  {finding.got}\n     want: {finding.want}")
        if finding.consequence:
            click.echo(f"     so:   {finding.consequence}")
    verdict = "nothing it would choke on" if report.clean else f"{len(report.findings)} findings"
    click.secho(f"  {verdict}", fg="green" if report.clean else "red")
