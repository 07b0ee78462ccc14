"""The request log to take away: as CSV for a spreadsheet, without bodies, or as JSON lines with all that is kept.

Newest first, ``MOST`` at the most; a page at a time, each read by key over a connection of its own, so that neither
their number nor a slow reader holds anything.
"""

from collections.abc import Iterator
from typing import Any

from idp_bridge import clock, db, spreadsheets
from idp_bridge.models import IdentityProvider, ScimRequest
from idp_bridge.provisioning import request_log
from idp_bridge.provisioning.log_results import result

MOST = 10_000
PAGE = 200  # rows read at once: with bodies up to seven megabytes

#: The columns of the CSV.
COLUMNS = (
    *("timestamp", "id", "method", "path", "query", "status", "ms", "result", "resource_id", "resource_name"),
    *("error", "scim_type", "skipped", "token_id", "address", "user_agent", "request_id"),
)


def json_lines(provider: IdentityProvider, **wanted: Any) -> Iterator[str]:
    """Those that fit (request_log.of_directory), one JSON object a line."""
    for rows in _pages(provider, wanted, bodies=True):
        yield "".join(f"{db.encode(describe(row))}\n" for row in rows)


def csv_lines(provider: IdentityProvider, **wanted: Any) -> Iterator[str]:
    """Those that fit as CSV (RFC 4180), with a line of names."""
    yield spreadsheets.lines([COLUMNS])
    for rows in _pages(provider, wanted, bodies=False):
        told = [describe(row) for row in rows]
        yield spreadsheets.lines([[one[name] for name in COLUMNS] for one in told])


def describe(row: ScimRequest) -> dict[str, Any]:
    """The request as the API shows it, and what came of it in a word."""
    return {
        "id": row.id,
        "identity_provider_id": row.identity_provider_id,
        "token_id": row.token_id,
        "timestamp": clock.rfc3339(row.timestamp),
        "method": row.method,
        "path": row.path,
        "query": row.query,
        "status": row.status,
        "ms": row.microseconds / 1000,
        "result": result(row).value,
        "resource_id": row.resource_id,
        "resource_name": row.resource_name,
        "error": row.error,
        "scim_type": row.scim_type,
        "before": row.before,
        "after": row.after,
        "request_body": row.request_body,
        "response_body": row.response_body,
        "skipped": row.skipped,
        "address": row.address,
        "user_agent": row.user_agent,
        "request_id": row.request_id,
    }


def _pages(provider: IdentityProvider, wanted: dict[str, Any], *, bodies: bool) -> Iterator[list[ScimRequest]]:
    before, left = "", MOST
    while left > 0:
        with db.connection():
            found = request_log.of_directory(provider, **wanted)
            found = found if bodies else request_log.short(found)
            if before:
                found = found.where(ScimRequest.id < before)
            rows = list(found.order_by(ScimRequest.id.desc()).limit(min(PAGE, left)))
        if not rows:
            return
        yield rows
        before, left = rows[-1].id, left - len(rows)
