"""Events: what happened, by whom, written in the transaction of the change it tells. Append-only.

The type is ``<object>_<past verb>.v0``; ngrok's own names are kept where it has them
(https://ngrok.com/docs/obs/events/), so ``tunnel_credential`` is an authtoken and ``ssh_public_key`` an SSH key.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import reduce
from typing import Any

from peewee import SQL, Select, Value, fn

from idp_bridge import clock, db, ids
from idp_bridge.actors import Actor
from idp_bridge.errors import NotFound
from idp_bridge.models import Account, Event
from idp_bridge.statement import Table

PAGE = 500  # of an export, read at once
NAMED = 100  # ids that an event names at most where there may be many; it always has their number

written = threading.Event()  # this process has written some: the sealer looks at once instead of in a while


class Type(StrEnum):
    """Every event type there is; docs/events.md explains each."""

    ACCOUNT_CREATED = "account_created.v0"
    ACCOUNT_UPDATED = "account_updated.v0"
    USER_CREATED = "user_created.v0"
    USER_UPDATED = "user_updated.v0"
    USER_DELETED = "user_deleted.v0"
    USER_SUSPENDED = "user_suspended.v0"
    USER_REACTIVATED = "user_reactivated.v0"
    USER_DEPROVISIONED = "user_deprovisioned.v0"
    USER_RESTORED = "user_restored.v0"
    INVITATION_CREATED = "invitation_created.v0"
    INVITATION_RESENT = "invitation_resent.v0"
    INVITATION_ACCEPTED = "invitation_accepted.v0"
    INVITATION_REFUSED = "invitation_refused.v0"
    INVITATION_DELETED = "invitation_deleted.v0"
    BOT_USER_CREATED = "bot_user_created.v0"
    BOT_USER_UPDATED = "bot_user_updated.v0"
    BOT_USER_DELETED = "bot_user_deleted.v0"
    API_KEY_CREATED = "api_key_created.v0"
    API_KEY_UPDATED = "api_key_updated.v0"
    API_KEY_DELETED = "api_key_deleted.v0"
    AUTHTOKEN_CREATED = "tunnel_credential_created.v0"
    AUTHTOKEN_UPDATED = "tunnel_credential_updated.v0"
    AUTHTOKEN_DELETED = "tunnel_credential_deleted.v0"
    SSH_PUBLIC_KEY_CREATED = "ssh_public_key_created.v0"
    SSH_PUBLIC_KEY_UPDATED = "ssh_public_key_updated.v0"
    SSH_PUBLIC_KEY_DELETED = "ssh_public_key_deleted.v0"
    IDENTITY_PROVIDER_CREATED = "identity_provider_created.v0"
    IDENTITY_PROVIDER_UPDATED = "identity_provider_updated.v0"
    IDENTITY_PROVIDER_DELETED = "identity_provider_deleted.v0"
    IDENTITY_PROVIDER_CHANGE_PROPOSED = "identity_provider_change_proposed.v0"
    IDENTITY_PROVIDER_CHANGE_DISCARDED = "identity_provider_change_discarded.v0"
    IDENTITY_PROVIDER_CERTIFICATE_EXPIRING = "identity_provider_certificate_expiring.v0"
    SET_UP_LINK_CREATED = "set_up_link_created.v0"
    SET_UP_LINK_OPENED = "set_up_link_opened.v0"
    SET_UP_LINK_REVOKED = "set_up_link_revoked.v0"
    SERVICE_PROVIDER_KEY_CREATED = "service_provider_key_created.v0"
    SERVICE_PROVIDER_KEY_ACTIVATED = "service_provider_key_activated.v0"
    SERVICE_PROVIDER_KEY_DELETED = "service_provider_key_deleted.v0"
    SCIM_TOKEN_CREATED = "scim_token_created.v0"  # noqa: S105
    SCIM_TOKEN_DELETED = "scim_token_deleted.v0"  # noqa: S105
    SCHEMA_EXTENSION_CREATED = "schema_extension_created.v0"
    SCHEMA_EXTENSION_UPDATED = "schema_extension_updated.v0"
    SCHEMA_EXTENSION_DELETED = "schema_extension_deleted.v0"
    ROLE_CREATED = "role_created.v0"
    ROLE_UPDATED = "role_updated.v0"
    ROLE_DELETED = "role_deleted.v0"
    ROLE_MAPPING_CREATED = "role_mapping_created.v0"
    ROLE_MAPPING_UPDATED = "role_mapping_updated.v0"
    ROLE_MAPPING_DELETED = "role_mapping_deleted.v0"
    GROUP_CREATED = "group_created.v0"
    GROUP_UPDATED = "group_updated.v0"
    GROUP_DELETED = "group_deleted.v0"
    WEBHOOK_CREATED = "webhook_created.v0"
    WEBHOOK_UPDATED = "webhook_updated.v0"
    WEBHOOK_DELETED = "webhook_deleted.v0"
    WEBHOOK_TESTED = "webhook_tested.v0"
    WEBHOOK_DISABLED = "webhook_disabled.v0"
    WEBHOOK_DELIVERY_FAILED = "webhook_delivery_failed.v0"
    WEBHOOK_DELIVERY_RESENT = "webhook_delivery_resent.v0"
    USAGE_THRESHOLD_REACHED = "usage_threshold_reached.v0"
    MEMBER_DEPROVISIONED = "member_deprovisioned.v0"
    RECOVERY_CODES_CREATED = "recovery_codes_created.v0"
    RECOVERY_CODE_USED = "recovery_code_used.v0"
    BREAK_GLASS_CREATED = "break_glass_created.v0"
    BREAK_GLASS_USED = "break_glass_used.v0"
    PASSWORD_LINK_CREATED = "password_link_created.v0"  # noqa: S105
    PASSWORD_CHANGED = "password_changed.v0"  # noqa: S105
    SIGN_IN_SUCCEEDED = "sign_in_succeeded.v0"
    SIGN_IN_REFUSED = "sign_in_refused.v0"
    SESSION_ENDED = "session_ended.v0"
    LOGOUT_REFUSED = "logout_refused.v0"
    IDENTITY_CONFLICT_CREATED = "identity_conflict_created.v0"
    IDENTITY_CONFLICT_RESOLVED = "identity_conflict_resolved.v0"


#: What events are narrowed by, beside the time.
FILTERS = {
    "type": Event.type,
    "actor_id": Event.principal_id,
    "object_id": Event.object_id,
    "source": Event.source,
}

_APART = timedelta(hours=1)  # at most: an event's id and its time, where the clock was set back; ids never go back


def of_account(
    account: Account,
    *,
    type: str | None = None,
    actor_id: str | None = None,
    object_id: str | None = None,
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Any:
    """The account's events that fit all that is given, as a query; ``since`` is inclusive, ``until`` is not."""
    given = {"object_id": object_id, "actor_id": actor_id, "type": type, "source": source}
    narrowed = _narrowed({name: value for name, value in given.items() if value})
    query = Event.select().where(Event.account == account, *narrowed)
    if since is not None:  # by the id too, which an index knows
        query = query.where(Event.timestamp >= since, Event.id >= ids.earliest("ev", since - _APART))
    if until is not None:
        query = query.where(Event.timestamp < until, Event.id < ids.earliest("ev", until + _APART))
    return query


def _narrowed(given: Mapping[str, str]) -> list[Any]:
    """The conditions, one of which leads to the rows by its index. Fewest events tell of one thing, then are one's
    acts; but for a directory, whose acts may be most of all. SQLite has no statistics, and would take any."""
    by_directory = given.get("actor_id", "").startswith("idp_")
    order = ("object_id", "type", "actor_id") if by_directory else ("object_id", "actor_id", "type")
    leading = next((name for name in order if name in given), None)
    conditions = {name: FILTERS[name] == value for name, value in given.items()}
    return [one if name == leading else db.unindexed(one) for name, one in conditions.items()]


def concerning(account: Account, id: str, *, limit: int) -> list[Event]:
    """The newest events that tell of it, or that it has done; by two indexes, which no OR would use together."""
    found: dict[str, Event] = {}
    for column in (Event.object_id, Event.principal_id):
        query = Event.select().where(Event.account == account, column == id)
        found |= {event.id: event for event in query.order_by(Event.id.desc()).limit(limit)}
    return [found[id] for id in sorted(found, reverse=True)[:limit]]


def by_day(account: Account, type: Type, days: Sequence[date], *, most: int) -> dict[str, int]:
    """How many events of a type each of these days has (UTC, by their ids), of one day ``most`` at the most. One
    statement, by the index of the types."""
    parts = [_of_day(account, type, day, most) for day in days]
    counted: Any = reduce(lambda one, other: one.union_all(other), parts)
    return {day: number for day, number in counted.tuples() if number}


def _of_day(account: Account, type: Type, day: date, most: int) -> Any:
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ends = begins + timedelta(days=1)
    within = (Event.id >= ids.earliest("ev", begins)) & (Event.id < ids.earliest("ev", ends))
    some = Event.select(Event.id).where(Event.account == account, Event.type == type, within).limit(most).alias("some")
    return Select([some], [Value(day.isoformat()).cast("text"), fn.COUNT(SQL("*"))]).bind(db.database)


def get(account: Account, event_id: str) -> Event:
    """The event of this account. Raises NotFound."""
    event = of_account(account).where(Event.id == event_id).get_or_none()
    if event is None:
        raise NotFound(f"There is no event {event_id} in this account.")
    return event


def lines(account: Account, *, base_url: str, **filters: Any) -> Iterator[str]:
    """Those that fit, as JSON lines, oldest first, up to the newest that there is now; a page at a time, each read by
    key over a connection of its own, so that neither their number nor a slow reader holds anything."""
    with db.connection():
        last = of_account(account, **filters).select(fn.MAX(Event.id)).scalar()
    passed = ""
    while last is not None and passed < last:
        with db.connection():
            page = of_account(account, **filters).where(Event.id > passed, Event.id <= last)
            rows = list(page.order_by(Event.id).limit(PAGE))
        if not rows:
            return
        yield "".join(f"{db.encode(describe(row, base_url=base_url))}\n" for row in rows)
        passed = rows[-1].id


def describe(event: Event, *, base_url: str) -> dict[str, Any]:
    """The event as clients read it, at /api/events, in exports and in webhooks: one form."""
    return {
        "event_id": event.id,
        "uri": f"{base_url}/api/events/{event.id}",
        "event_type": event.type,
        "event_timestamp": clock.rfc3339(event.timestamp),
        "account_id": event.account_id,
        "principal": principal(
            event.principal_id,
            event.principal_type,
            event.principal_subject,
            event.source,
            event.credential_id,
            base_url=base_url,
        ),
        "object": event.object,
        "address": event.address,
        "request_id": event.request_id,
    }


#: Where a credential is found, by the prefix of its id.
_CREDENTIALS = {
    "ak": "/api/api_keys/{id}",
    "cr": "/api/credentials/{id}",
    "tok": "/api/identity_providers/{principal_id}/scim_tokens/{id}",
}


def principal(
    id: str | None, type: str, subject: str, source: str, credential_id: str | None, *, base_url: str
) -> dict[str, Any]:
    """Who acts, as events and whoami show it."""
    credential = None
    if credential_id:
        path = _CREDENTIALS.get(credential_id.partition("_")[0])
        uri = base_url + path.format(id=credential_id, principal_id=id) if path else None
        credential = {"id": credential_id, "uri": uri}
    return {"id": id, "type": type, "subject": subject, "source": source, "credential": credential}


def record(actor: Actor, type: Type, obj: Mapping[str, Any]) -> str:
    """Write one event; its id. ``obj`` is the thing as it is after the change, with its ``id`` and no secret."""
    event_id = ids.new("ev")
    _TABLE.insert(
        id=event_id,
        account=actor.account.id,
        type=type.value,
        timestamp=clock.now(),
        principal_id=actor.id,
        principal_type=actor.type,
        principal_subject=actor.subject,
        source=actor.source,
        credential_id=actor.credential_id,
        object_id=obj.get("id"),
        object=dict(obj),
        address=actor.address,
        request_id=actor.request_id,
    )
    db.after_commit(written.set)
    return event_id


def some(named: Collection[str]) -> dict[str, Any]:
    """Many ids, as an event tells of them: their number, and the first of them."""
    return {"count": len(named), "ids": sorted(named)[:NAMED]}


_TABLE = Table(Event)
