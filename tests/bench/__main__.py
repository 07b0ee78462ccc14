"""``make bench``: everything in one run, candidates beside their floors."""

import json
import time
import warnings
from pathlib import Path

import click

# pysaml2's IdP side still names a mode that cryptography moved (docs/decisions/0002).
warnings.filterwarnings("ignore", "CFB has been moved")

from idp_bridge.simulator.serve import default_providers  # noqa: E402
from tests import postgres as pg  # noqa: E402
from tests.bench import event_cost, introspection, plot, report, shapes  # noqa: E402
from tests.bench.directory import Directory  # noqa: E402
from tests.bench.lanes import Figures  # noqa: E402
from tests.bench.servers import busy_seconds  # noqa: E402
from tests.bench.sign_in import SignIn, Verification, verifications  # noqa: E402
from tests.bench.stage import stage  # noqa: E402
from tests.bench.statements import Count, on_a_fresh_file  # noqa: E402

QUICK, THOROUGH = (5, 0.5), (9, 2.0)  # rounds, and seconds of a slice


@click.command()
@click.option("--quick/--thorough", default=True, help="About two minutes, or about twelve.")
@click.option(
    "--users", default=2_000, show_default=True, type=click.IntRange(1_000, 1_000_000), help="In the directory."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes of each server.")
@click.option("--postgres", "on_postgres", is_flag=True, help="Both sides on a PostgreSQL instead of SQLite files.")
@click.option("--shapes", "only_shapes", is_flag=True, help="Only cost against size, as docs/shapes.svg; SQLite.")
@click.option("--saml", "only_saml", is_flag=True, help="Only verifying SAML responses, in process.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep the figures here.")
def main(
    quick: bool,
    users: int,
    workers: int,
    on_postgres: bool,
    only_shapes: bool,
    only_saml: bool,
    json_file: Path | None,
) -> None:
    """Measure the served product against the least that the same libraries need, in one run."""
    if only_shapes:
        _draw_shapes()
        return
    if only_saml:
        okta = default_providers("http://127.0.0.1:1")["okta"]
        report.print_verifications(report.console(), verifications(okta, rounds=(QUICK if quick else THOROUGH)[0] * 4))
        return
    if on_postgres and (reason := pg.why_not()):
        raise click.ClickException(reason)
    console = report.console()
    rounds, seconds = QUICK if quick else THOROUGH
    with console.status("starting") as status:

        def say(what: str) -> None:
            status.update(what)

        rows: list[Figures] = []
        began, busy, own = time.monotonic(), busy_seconds(), time.process_time()
        with stage(on_postgres=on_postgres, size=users, workers=workers) as set_up:
            rows += Directory(set_up, rounds=rounds, seconds=seconds).run(say)
            say("signing in")
            rows += SignIn(set_up, rounds=rounds, seconds=seconds).run()
            size = set_up.size
            own = time.process_time() - own + set_up.product.cpu_seconds() + set_up.floor.cpu_seconds()
            others = (busy_seconds() - busy - own) / (time.monotonic() - began)
            say("verifying SAML responses")
            verified: list[Verification] = verifications(set_up.okta, rounds=rounds * 4)
        say("writing events")
        events = event_cost.measure()
        say("counting statements")
        counts: list[Count] = on_a_fresh_file()
    database = "PostgreSQL" if on_postgres else "SQLite"
    console.print(f"{database}, {size:,} users, {workers} process(es) a server, median of {rounds} × {seconds} s")
    console.print(f"Everybody else on this machine kept {others:.1f} of its {report.machine()['cores']} cores busy.")
    report.print_figures(console, rows)
    report.print_verifications(console, verified)
    report.print_events(console, events)
    report.print_counts(console, counts)
    if json_file:
        facts = {
            "database": database,
            "users": size,
            "workers": workers,
            "rounds": rounds,
            "seconds": seconds,
            "other_cores": others,
        }
        json_file.write_text(json.dumps(report.as_json(rows, verified, events, counts, **facts), indent=1) + "\n")


def _draw_shapes() -> None:
    """Every shape as a table, with the largest size against the smallest, and all as a plot."""
    by_users, by_group = shapes.measure(say=click.echo)
    by_credentials = [shapes.Shape(name, points) for name, points in introspection.shape(say=click.echo).items()]
    of_size = (("stored users", by_users), ("members of a group", by_group), ("stored credentials", by_credentials))
    panels = []
    for number, (title, lines) in enumerate(of_size):
        for line in lines:
            sizes = sorted(line.points)
            told = " · ".join(f"{size:,}: {line.points[size]:.3f}" for size in sizes)
            share = line.points[sizes[0]] / line.points[sizes[-1]]
            click.echo(f"{line.name:28} {told}   rate at the largest {share:.2f} of the smallest")
        named = {line.name: line.points for line in lines}
        panels.append(plot.panel(f"CPU ms of a request, by {title}", named, x=plot.place(number)))
    shapes.PLOT.write_text(plot.drawing(panels, legends=max(len(by_users), len(by_group))))


if __name__ == "__main__":
    main()
