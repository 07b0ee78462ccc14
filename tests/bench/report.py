"""A run's figures as tables for people and as JSON for a comparison between two runs."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.event_cost import MOST, Cost
from tests.bench.lanes import Figures
from tests.bench.marks import mark, verdict
from tests.bench.sign_in import Verification
from tests.bench.statements import Count

WIDTH = 140  # of a table where the output is no terminal


def console() -> Console:
    """Standard output, never so narrow that a row is folded."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDTH)


def print_figures(to: Console, rows: Sequence[Figures]) -> None:
    """One line for each kind of request."""
    table = Table(title="Requests", title_justify="left")
    table.add_column("request", no_wrap=True)
    for heading in ("conns", "per s", "p50 ms", "p99 ms", "CPU ms", "of floor", "by CPU"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("mark", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        wanted, said = mark(row), verdict(row, rows)
        table.add_row(
            row.name,
            str(row.connections),
            f"{row.rate:,.0f}",
            f"{row.latency_ms(0.5):.2f}",
            f"{row.latency_ms(0.99):.2f}",
            f"{row.cpu_ms:.2f}",
            _ratio(row.ratio),
            _ratio(row.cpu_ratio),
            str(wanted or ""),
            f"[red]{said}[/]" if said == "below" else said,
            style="dim" if row.name.startswith("floor") else None,
        )
    to.print(table)


def print_verifications(to: Console, rows: Sequence[Verification]) -> None:
    """One line for each kind of response."""
    table = Table(title="Verifying a SAML response (CPU time, in process)", title_justify="left")
    table.add_column("response")
    for heading in ("bytes", "ms", "times signxml alone", "mark: ms", ""):
        table.add_column(heading, justify="right")
    for row in rows:
        wanted = f"≤{row.limit:.2f}" if row.limit else ""
        table.add_row(row.name, f"{row.bytes:,}", f"{row.ms:.2f}", f"{row.multiple:.2f}", wanted, _kept(row))
    to.print(table)


def _kept(row: Verification) -> str:
    if row.limit is None:
        return ""
    return "ok" if row.ms <= row.limit else "[red]over[/]"


def print_events(to: Console, rows: Sequence[Cost]) -> None:
    """One line for each kind of request."""
    table = Table(title="What its event costs a request (CPU time, in process, SQLite)", title_justify="left")
    table.add_column("request")
    for heading in ("ms without", "ms with", "more", "mark", "", "ms to seal, afterwards"):
        table.add_column(heading, justify="right")
    for row in rows:
        said = "ok" if row.kept else "[red]over[/]"
        costs = (f"{row.without:.3f}", f"{row.with_event:.3f}", f"{row.share:.0%}", f"≤{MOST:.0%}")
        table.add_row(row.name, *costs, said, f"{row.sealing:.3f}")
    to.print(table)


def print_counts(to: Console, rows: Sequence[Count]) -> None:
    """One line for each kind of request."""
    table = Table(title="SQL statements of a request (BEGIN and COMMIT not counted)", title_justify="left")
    table.add_column("request")
    for heading in ("reads", "writes", "in all"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.name, str(row.reads), str(row.writes), str(row.total))
    to.print(table)


def as_json(
    rows: Sequence[Figures],
    verified: Sequence[Verification],
    events: Sequence[Cost],
    counts: Sequence[Count],
    **run: Any,
) -> dict[str, Any]:
    """Everything, with what it was measured on."""
    return {
        "run": {**run, **machine()},
        "requests": [
            {
                "name": row.name,
                "connections": row.connections,
                "rate": round(row.rate, 1),
                "rates": [round(load.rate, 1) for load in row.loads],
                "p50_ms": round(row.latency_ms(0.5), 3),
                "p99_ms": round(row.latency_ms(0.99), 3),
                "cpu_ms": round(row.cpu_ms, 4),
                "ratio": row.ratio and round(row.ratio, 3),
                "cpu_ratio": row.cpu_ratio and round(row.cpu_ratio, 3),
                "mark": str(mark(row) or ""),
                "verdict": verdict(row, rows),
            }
            for row in rows
        ],
        "saml": [
            {
                "name": row.name,
                "bytes": row.bytes,
                "ms": round(row.ms, 3),
                "multiple": round(row.multiple, 3),
                "mark_ms": row.limit and round(row.limit, 3),
            }
            for row in verified
        ],
        "events": [
            {"name": row.name, "without_ms": row.without, "with_ms": row.with_event, "sealing_ms": row.sealing}
            for row in events
        ],
        "statements": [{"name": row.name, "reads": row.reads, "writes": row.writes} for row in counts],
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
