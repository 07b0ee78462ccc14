"""Webhooks: URLs of an account's own that are told of its events, as https://www.standardwebhooks.com describes.

Here is what they are, and which deliveries follow from an event; webhook_delivery.py sends them.
"""

import re
import secrets
import threading
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from peewee import chunked

from idp_bridge import actors, clock, db, events, ids, keyring
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.fetching import where_to
from idp_bridge.keyring import Purpose, WrongSecretKey
from idp_bridge.models import Account, Event, Webhook, WebhookDelivery

MOST = 20  # of one account
OVERLAP = timedelta(hours=24)  # both secrets sign for so long after a new one was made
PATIENCE = timedelta(days=1)  # a delivery is tried for so long
ROWS = 500  # of one statement: databases have a limit of parameters
WAITING, DELIVERED, GIVEN_UP = "waiting", "delivered", "given_up"
FAILING, GONE = "failing", "gone"  # why we switch one off

#: What a URL may be: a name and ASCII, as every reader of JSON takes it for a URI.
URL = (
    r"^https://[A-Za-z0-9._~-]+(:[0-9]{1,5})?"
    r"([/?]([A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?$"
)

arrived = threading.Event()  # deliveries of this process wait: the job looks at once instead of in a while


def of_account(account: Account) -> Any:
    """The account's webhooks, as a query."""
    return Webhook.select().where(Webhook.account == account)


def get(account: Account, webhook_id: str) -> Webhook:
    """The webhook of this account. Raises NotFound."""
    found: Webhook | None = of_account(account).where(Webhook.id == webhook_id).get_or_none()
    if found is None:
        raise NotFound(f"There is no webhook {webhook_id} in this account.")
    return found


def create(
    actor: Actor, url: str, *, events: Sequence[str] = ("*",), description: str = "", active: bool = True
) -> tuple[Webhook, str]:
    """A new webhook, and its secret. Raises Invalid, Conflict where the account has many already."""
    if of_account(actor.account).count() >= MOST:
        raise Conflict(f"An account has {MOST} webhooks at most.")
    moment, secret = clock.now(), _new_secret()
    made = Webhook.create(
        id=ids.new("wh"),
        account=actor.account,
        url=_checked_url(url),
        events=_checked_types(events),
        description=description,
        active=active,
        secret=keyring.seal(secret, Purpose.WEBHOOKS),
        busy_until=moment,
        created_at=moment,
    )
    _told(actor, Type.WEBHOOK_CREATED, made)
    return made, secret


def change(actor: Actor, webhook: Webhook, **values: Any) -> None:
    """Change url, events, description or active. Switched on again it begins anew. Raises Invalid."""
    before, known_as = describe(webhook), in_events(webhook)
    if "url" in values:
        values["url"] = _checked_url(values["url"])
    if "events" in values:
        values["events"] = _checked_types(values["events"])
    if values.get("active"):
        values |= {"failing_since": None, "disabled_reason": ""}
    for name, value in values.items():
        setattr(webhook, name, value)
    webhook.save(only=[Webhook._meta.fields[name] for name in values])
    now = describe(webhook)
    changed = {name: known_as[name] for name, value in before.items() if now[name] != value}
    if changed:
        _told(actor, Type.WEBHOOK_UPDATED, webhook, before=changed)
    db.after_commit(arrived.set)


def rotate(actor: Actor, webhook: Webhook) -> str:
    """A new secret. The one before signs too, for a day, so that no receiver has to change at that very moment; an
    older one signs no more, nor one that cannot be opened any more."""
    secret = _new_secret()
    still = _opened(webhook.secret) is not None
    webhook.previous_secret = webhook.secret if still else None
    webhook.previous_until = clock.now() + OVERLAP if still else None
    webhook.secret = keyring.seal(secret, Purpose.WEBHOOKS)
    webhook.save(only=[Webhook.previous_secret, Webhook.previous_until, Webhook.secret])
    _told(actor, Type.WEBHOOK_UPDATED, webhook, secret="replaced")  # noqa: S106 - a word
    return secret


def delete(actor: Actor, webhook: Webhook) -> None:
    """Gone, with its log; what waited is never told."""
    webhook.delete_instance()
    _told(actor, Type.WEBHOOK_DELETED, webhook)


def switch_off(webhook: Webhook, reason: str) -> None:
    """Its receiver has failed for long, or says that it is gone. What waits is told if it is switched on in time."""
    webhook.active, webhook.disabled_reason = False, reason
    webhook.save(only=[Webhook.active, Webhook.disabled_reason])
    _told(actors.system(webhook.account, subject="webhooks"), Type.WEBHOOK_DISABLED, webhook)


def test(actor: Actor, webhook: Webhook) -> WebhookDelivery:
    """Tell this webhook, and no other, that somebody tests it: an event like others. Raises Conflict where it is
    off."""
    _check_on(webhook)
    event_id = _told(actor, Type.WEBHOOK_TESTED, webhook)
    db.written()
    made = _delivery(webhook, event_id, clock.now())
    WebhookDelivery.insert(made).execute()
    db.after_commit(arrived.set)
    return WebhookDelivery.get_by_id(made["id"])


def describe(webhook: Webhook) -> dict[str, Any]:
    """What administrators are told of it. Events tell of its URL where it leads, and no more (``in_events``)."""
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": webhook.events,
        "description": webhook.description,
        "active": webhook.active,
        "disabled_reason": webhook.disabled_reason or None,
    }


def live_secrets(webhook: Webhook, now: datetime) -> list[str]:
    """Those that sign at this time, the newest first. Raises WrongSecretKey."""
    live = [keyring.unseal(webhook.secret, Purpose.WEBHOOKS)]
    if webhook.previous_secret and webhook.previous_until > now:
        previous = _opened(webhook.previous_secret)
        live += [previous] if previous else []
    return live


def _opened(sealed: str) -> str | None:
    """None where it was sealed under another SECRET_KEY: it signs nothing any more, and keeps nobody from a new one."""
    try:
        return keyring.unseal(sealed, Purpose.WEBHOOKS)
    except WrongSecretKey:
        return None


def in_events(webhook: Webhook) -> dict[str, Any]:
    """What events tell of it, to whoever may read those and to other webhooks."""
    return {**describe(webhook), "url": where_to(webhook.url)}


def in_trouble(account: Account) -> Any:
    """Those of the account that have failed for a while, or were switched off for it, as a query."""
    troubled = (Webhook.disabled_reason != "") | (Webhook.failing_since < clock.now() - timedelta(hours=1))
    return of_account(account).where(troubled)


def failing(account: Account) -> bool:
    """Whether there is one in trouble."""
    return bool(in_trouble(account).exists())


# --- deliveries -------------------------------------------------------------------------------------------------


def deliveries(webhook: Webhook) -> Any:
    """What it was told and is to be told, as a query."""
    return WebhookDelivery.select().where(WebhookDelivery.webhook == webhook)


def delivery(webhook: Webhook, delivery_id: str) -> WebhookDelivery:
    """One delivery of this webhook. Raises NotFound."""
    found: WebhookDelivery | None = deliveries(webhook).where(WebhookDelivery.id == delivery_id).get_or_none()
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id} of this webhook.")
    return found


def redeliver(actor: Actor, row: WebhookDelivery) -> None:
    """Try it at once, with the same webhook-id. One that waits keeps its place; one that was done with is tried for a
    day again, by itself and so in no order. Raises Conflict where the webhook is off."""
    _check_on(row.webhook)
    moment = clock.now()
    anew = {"state": WAITING, "expires_at": moment + PATIENCE, "finished_at": None, "ordered_by": None, "position": 0}
    again = {"due_at": moment, **({} if row.state == WAITING else anew)}
    WebhookDelivery.update(again).where(WebhookDelivery.id == row.id).execute()
    told = {"delivery_id": row.id, "event_id": row.event_id}
    _told(actor, Type.WEBHOOK_DELIVERY_RESENT, row.webhook, **told)
    db.after_commit(arrived.set)


def _check_on(webhook: Webhook) -> None:
    if not webhook.active:
        raise Conflict("This webhook is off, so nothing is sent to it. Switch it on first.")


def fan_out(account: Account, happened: Sequence[Event], *, position: int, now: datetime) -> None:
    """Who is told of these events, which the chain has from ``position`` on: in the transaction that seals them."""
    listening = list(of_account(account).where(Webhook.active))
    wanted = [
        _delivery(webhook, event.id, now, ordered_by=event.object_id, position=place)
        for place, event in enumerate(happened, position)
        for webhook in listening
        if _wants(webhook, event)
    ]
    for part in chunked(wanted, ROWS):
        WebhookDelivery.insert_many(part).execute()
    if wanted:
        db.after_commit(arrived.set)


def _wants(webhook: Webhook, event: Event) -> bool:
    """What was before it is none of its business; its own test is told by hand; of its own failure it is not told,
    which would never end."""
    if event.timestamp < webhook.created_at:
        return False
    if event.type == Type.WEBHOOK_TESTED or (event.object_id == webhook.id and event.type in _OF_FAILURE):
        return False
    return any(matches(pattern, event.type) for pattern in webhook.events)


_OF_FAILURE = frozenset({Type.WEBHOOK_DISABLED, Type.WEBHOOK_DELIVERY_FAILED})


def matches(pattern: str, type: str) -> bool:
    """Whether a type is meant: it itself, or what its ``*`` at the end stands for."""
    return type.startswith(pattern[:-1]) if pattern.endswith("*") else type == pattern


def _delivery(
    webhook: Webhook, event_id: str, now: datetime, *, ordered_by: str | None = None, position: int = 0
) -> dict[str, Any]:
    return {
        "id": ids.new("whd"),
        "webhook": webhook.id,
        "event": event_id,
        "state": WAITING,
        "ordered_by": ordered_by,
        "position": position,
        "attempts": [],
        "due_at": now,
        "expires_at": now + PATIENCE,
        "created_at": now,
    }


# --- the parts --------------------------------------------------------------------------------------------------


def _new_secret() -> str:
    """As Standard Webhooks writes one: 256 random bits."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def _checked_url(url: str) -> str:
    """Raises Invalid. Where it leads is looked at with every delivery, since names change (fetching.py)."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise Invalid("url must be an absolute https:// URL.", fields={"url": ["Must be an https:// URL."]})
    if parts.username is not None or parts.password is not None or parts.fragment:
        words = "Must have no user, password or fragment: the signature says who sends."
        raise Invalid(f"url: {words}", fields={"url": [words]})
    if not re.fullmatch(URL, url):
        words = "Must lead to a server by its name, and have no spaces and nothing but ASCII in it."
        raise Invalid(f"url: {words}", fields={"url": [words]})
    return url


def _checked_types(patterns: Sequence[str]) -> list[str]:
    """Without repetition. Raises Invalid for one that means no type there is."""
    for pattern in patterns:
        if not any(matches(pattern, type) for type in Type):
            words = f"{pattern!r} is no event type, and begins none."
            raise Invalid(f"events: {words}", fields={"events": [words]})
    return sorted(set(patterns))


def _told(actor: Actor, type: Type, webhook: Webhook, **more: Any) -> str:
    return events.record(actor, type, {**in_events(webhook), **more})
