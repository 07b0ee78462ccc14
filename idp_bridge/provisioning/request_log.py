"""The request log of a directory: what its provider sent, what it was answered, why it failed, what it changed.

Here a row is made, found and thrown away; when one is kept is decided at the edge (web/scim/request_log.py). Nothing
secret is in it (masking.py), nothing in it is longer than what is said here, and what is old goes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from peewee import SQL, fn

from idp_bridge import clock, db, ids
from idp_bridge.errors import NotFound
from idp_bridge.models import IdentityProvider, ScimRequest
from idp_bridge.provisioning.masking import PLAIN, Masking
from idp_bridge.statement import Table

KEPT_FOR = timedelta(days=30)
KEPT_ROWS = 100_000  # of one directory
BATCH = 1_000  # rows that one transaction of pruning deletes: a few milliseconds of the write lock

BODY_BYTES = 16 * 1024
READ_ANSWER_BYTES = 4 * 1024  # of a list one wants to see how it begins
SHORT_BYTES = 1024  # path and error
QUERY_BYTES = 4 * 1024  # the longest filter that is read
LISTED = 100  # entries of one attribute in `before` and `after`: a group may have 100,000 members

#: What a request may be about -> how its path begins.
ABOUT = {"user": "/Users", "group": "/Groups"}

#: What of an error is of one request only: what it quotes, ids, addresses, numbers.
_OWN = re.compile(r"'[^']*'|\"[^\"]*\"|\b[a-z]{2,6}_[0-9a-z]{26}\b|[^\s@<>()]+@[^\s@<>()]+\b|\d+")


class Sent(NamedTuple):
    """As the edge read it. ``is_json``: the body was read, and as JSON. ``masking``: what is secret in it."""

    directory_id: str
    token_id: str
    timestamp: datetime
    method: str
    path: str
    query: bytes
    body: bytes
    is_json: bool
    resource_id: str | None
    address: str | None
    user_agent: str
    request_id: str | None
    masking: Masking = PLAIN


class Answered(NamedTuple):
    """What it was answered, and how long after it came."""

    status: int
    body: bytes
    microseconds: int

    @property
    def failed(self) -> bool:
        """Whether the provider was told that it did not work."""
        return self.status >= 400


def record(
    sent: Sent,
    answered: Answered,
    *,
    name: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    skipped: int = 0,
) -> None:
    """Write one row; ``name`` is that of what the request was about, where it is at hand, ``error`` the SCIM Error that
    is in the answer, where it is not the answer itself."""
    body = sent.masking.document(sent.body, is_json=sent.is_json)
    answer = sent.masking.document(answered.body, is_json=True)
    changed = before is not None or after is not None
    if error is None and answered.failed:
        error = _read(answered.body)
    row = {
        **_facts(sent),
        "status": answered.status,
        "microseconds": answered.microseconds,
        "resource_name": _clipped(name or _name_in(body), 255),
        "request_body": _clipped(body, BODY_BYTES),
        "response_body": _clipped(answer, BODY_BYTES if changed or answered.failed else READ_ANSWER_BYTES),
    }
    # Only what there is: each column costs a change about a microsecond.
    if changed:
        row |= {"before": _part(before, sent.masking), "after": _part(after, sent.masking)}
    if error is not None:
        row |= _reason(error, answered.status, sent.masking)
    if skipped:
        row["skipped"] = skipped
    _TABLE.insert(**row)


_TABLE = Table(ScimRequest)


def _facts(sent: Sent) -> dict[str, Any]:
    return {
        "identity_provider": sent.directory_id,
        "id": ids.new("sr"),
        "token_id": sent.token_id,
        "timestamp": sent.timestamp,
        "method": sent.method,
        "path": _clipped(sent.path, SHORT_BYTES),
        "query": _clipped(sent.masking.query(sent.query), QUERY_BYTES) if sent.query else "",
        "resource_id": _clipped(sent.resource_id, 64),
        "address": sent.address,
        "user_agent": _clipped(sent.user_agent, 255),
        "request_id": sent.request_id,
    }


def _clipped(text: Any, most: int) -> str | None:
    """At most so many bytes, with a mark where some are missing; storable on both databases."""
    if not isinstance(text, str):
        return None
    if len(text) <= most and text.isascii() and "\0" not in text:
        return text
    data = text.replace("\0", "\ufffd").encode("utf-8", "replace")  # lone surrogates: JSON can write them
    if len(data) <= most:
        return data.decode()
    return f"{data[:most].decode('utf-8', 'ignore')}… ({len(data)} bytes in all)"


def _part(resource: Mapping[str, Any] | None, masking: Masking) -> str | None:
    return None if resource is None else masking.text(_shortened(resource))


def _reason(error: Mapping[str, Any], status: int, masking: Masking) -> dict[str, Any]:
    detail = _clipped(masking.words(str(error.get("detail") or "")), SHORT_BYTES) or str(status)
    return {"error": detail, "cause": _OWN.sub("…", detail), "scim_type": error.get("scimType")}


def _shortened(held: Any) -> Any:
    if isinstance(held, dict):
        return {name: entry if type(entry) is str else _shortened(entry) for name, entry in held.items()}
    if not isinstance(held, list):
        return held
    more = [f"… and {len(held) - LISTED} more"] if len(held) > LISTED else []
    return [*map(_shortened, held[:LISTED]), *more]


def _name_in(body: str | None) -> Any:
    """What the provider itself called it."""
    if body is None or len(body) > BODY_BYTES or not body.startswith("{"):
        return None
    sent = _read(body)
    return sent.get("userName") or sent.get("displayName")


def _read(document: str | bytes) -> Mapping[str, Any]:
    found = json.loads(document or b"{}")
    return found if isinstance(found, dict) else {}


# --- reading ----------------------------------------------------------------------------------------------------

#: What a list shows of a row: all that is short.
_BODIES = {"request_body", "response_body"}
_SHORT = tuple(column for column in ScimRequest._meta.sorted_fields if column.name not in _BODIES)


def short(query: Any) -> Any:
    """A query of requests, without the bodies, of which a page of rows may have a megabyte."""
    return query.select(*_SHORT)


def newest(directory_ids: Sequence[str]) -> dict[str, ScimRequest]:
    """The newest request of each of these directories that has one, without its bodies, in one statement; ids sort by
    time."""
    other: Any = ScimRequest.alias()
    own = other.select(other.id).where(other.identity_provider == IdentityProvider.id)
    last = IdentityProvider.select(own.order_by(other.id.desc()).limit(1))
    found = ScimRequest.select(*_SHORT).where(
        ScimRequest.identity_provider.in_(directory_ids),
        ScimRequest.id.in_(last.where(IdentityProvider.id.in_(directory_ids))),
    )
    return {row.identity_provider_id: row for row in found}


def failures(directory_ids: Sequence[str], *, since: datetime) -> dict[str, int]:
    """How many requests of each of these directories failed since then; none where none did."""
    rows: Any = ScimRequest.select(ScimRequest.identity_provider, fn.COUNT(SQL("*"))).where(
        ScimRequest.identity_provider.in_(directory_ids), _since(since), ScimRequest.cause.is_null(False)
    )
    return dict(rows.group_by(ScimRequest.identity_provider).tuples())


def of_directory(
    provider: IdentityProvider,
    *,
    status: str | None = None,
    method: str | None = None,
    path: str | None = None,
    resource_id: str | None = None,
    error: str | None = None,
    cause: str | None = None,
    about: str | None = None,
    since: datetime | None = None,
) -> Any:
    """The requests of a provider's directory that fit all that is given, as a query; ``since`` is inclusive.

    ``status`` is one (``409``), a class (``4xx``) or ``failed``; ``path`` and ``error`` are parts of what stands
    there, ``path`` also of the resource's name, or all of its id; ``about`` is one of ``ABOUT``.
    """
    found = ScimRequest.select().where(ScimRequest.identity_provider == provider)
    if about:
        found = found.where(ScimRequest.path.startswith(ABOUT[about]))
    for column, value in ((ScimRequest.method, method), (ScimRequest.resource_id, resource_id)):
        found = found.where(column == value) if value else found
    if status:
        found = found.where(_status(status))
    if path:
        named = ScimRequest.resource_name.contains(path) | (ScimRequest.resource_id == path)
        found = found.where(ScimRequest.path.contains(path) | named)
    if error:
        found = found.where(ScimRequest.cause.is_null(False), ScimRequest.error.contains(error))
    if cause:
        found = found.where(ScimRequest.cause.is_null(False), ScimRequest.cause == cause)
    return found if since is None else found.where(_since(since))


def _since(instant: datetime) -> Any:
    """A row's id is made after its request came, so the key narrows what the exact instant decides."""
    return (ScimRequest.id >= ids.earliest("sr", instant)) & (ScimRequest.timestamp >= instant)


def _status(wanted: str) -> Any:
    if wanted == "failed":
        return ScimRequest.cause.is_null(False)
    if wanted.endswith("xx"):
        lowest = int(wanted[0]) * 100
        return ScimRequest.status.between(lowest, lowest + 99)
    return ScimRequest.status == int(wanted)


def get(provider: IdentityProvider, request_id: str) -> ScimRequest:
    """One request of this provider's directory. Raises NotFound."""
    found = of_directory(provider).where(ScimRequest.id == request_id).get_or_none()
    if found is None:
        raise NotFound(f"There is no SCIM request {request_id} in this directory; they are kept for 30 days.")
    return found


@dataclass(frozen=True)
class Cause:
    """An error that came once or more: how often, and the newest request that met it."""

    cause: str
    times: int
    latest: ScimRequest


def causes(provider: IdentityProvider, *, since: datetime, most: int = 10) -> list[Cause]:
    """Why requests failed since then, the most frequent first."""
    times = fn.COUNT(SQL("*"))
    grouped: Any = (
        ScimRequest.select(ScimRequest.cause, times, fn.MAX(ScimRequest.id))
        .where(
            ScimRequest.identity_provider == provider,
            _since(since),
            ScimRequest.cause.is_null(False),
        )
        .group_by(ScimRequest.cause)
        .order_by(times.desc(), fn.MAX(ScimRequest.id).desc())
        .limit(most)
        .tuples()
    )
    counted = list(grouped)
    last = short(of_directory(provider)).where(ScimRequest.id.in_([latest_id for _, _, latest_id in counted]))
    rows = {row.id: row for row in last} if counted else {}
    return [Cause(cause, times, rows[id]) for cause, times, id in counted if id in rows]


def times(provider: IdentityProvider, cause: str, *, since: datetime) -> int:
    """How often requests failed for this cause since then."""
    return int(of_directory(provider, cause=cause, since=since).count())


# --- throwing away ----------------------------------------------------------------------------------------------


def prune(directory_id: str | None = None, *, now: datetime | None = None) -> int:
    """Delete what is older than ``KEPT_FOR`` or beyond the newest ``KEPT_ROWS``, of one directory or of all; how many
    rows that were. A transaction for each batch, so that nobody waits long for the lock."""
    directories = [directory_id] if directory_id else db.column(IdentityProvider.select(IdentityProvider.id))
    return sum(_prune(directory, now or clock.now()) for directory in directories)


def _prune(directory_id: str, now: datetime) -> int:
    own = ScimRequest.identity_provider == directory_id
    listed = ScimRequest.select(ScimRequest.id).where(own)
    beyond = db.column(listed.order_by(ScimRequest.id.desc()).offset(KEPT_ROWS - 1).limit(1))
    first_kept = max([ids.earliest("sr", now - KEPT_FOR), *beyond])
    old = listed.where(ScimRequest.id < first_kept).order_by(ScimRequest.id).limit(BATCH)
    deleted = 0
    while batch := db.column(old):
        with db.transaction():
            deleted += ScimRequest.delete().where(own, ScimRequest.id <= batch[-1]).execute()
    return deleted
