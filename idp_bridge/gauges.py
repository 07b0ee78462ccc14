"""How the service stands, read from its database when Prometheus asks: seats, certificates, jobs and what waits.

Each is a number of the whole service, by words of our own: one for each account would be as many as there are accounts.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from peewee import PeeweeException, fn
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from idp_bridge import clock, db, jobs, plans, sp_keys, webhooks
from idp_bridge.models import (
    Account,
    Event,
    EventPending,
    IdentityProvider,
    JobRun,
    Mail,
    SeatCount,
    ServiceProviderKey,
    WebhookDelivery,
)
from idp_bridge.saml.certificate import parse_certificate

#: Days until a certificate runs out -> the word for it; what is further away is "later".
WINDOWS = ((0, "expired"), (1, "1d"), (7, "7d"), (30, "30d"), (60, "60d"))
LATER = "later"

Family = GaugeMetricFamily


class State(Collector):
    """All gauges. Where the database is away there is the one that says so."""

    def collect(self) -> Iterator[Family]:
        """Read them now."""
        now, found = clock.now(), list[Family]()
        try:
            with db.connection():
                for gauge in (_seats, _certificates, _jobs, _events, _deliveries, _mail):
                    found += gauge(now)
        except PeeweeException:
            found.clear()
        yield Family("idp_bridge_database_up", "Whether the database can be read.", value=bool(found))
        yield from found


def _seats(now: datetime) -> Iterator[Family]:
    """Used and full, by plan: an account that is full lets nobody more in."""
    rows: list[Any] = list(Account.select(Account.plan, Account.seats, SeatCount.used).join(SeatCount).tuples())
    accounts, used, full = Counter[str](), Counter[str](), Counter[str]()
    for plan, limit, number in rows:
        accounts[plan] += 1
        used[plan] += number
        full[plan] += limit is not None and number >= limit
    for name, words, counted in (
        ("accounts", "Accounts by plan.", accounts),
        ("seats_used", "Active members by plan.", used),
        ("accounts_without_seats", "Accounts whose seats are all used, by plan.", full),
    ):
        yield _by("plan", name, words, {plan: counted[plan] for plan in plans.PLANS})


def _certificates(now: datetime) -> Iterator[Family]:
    """Of both sides, of connections that are on."""
    enabled = IdentityProvider.select(IdentityProvider.certificates).where(IdentityProvider.enabled)
    ours = (
        ServiceProviderKey.select(ServiceProviderKey.certificate)
        .join(IdentityProvider)
        .where(IdentityProvider.enabled, ServiceProviderKey.state != sp_keys.FORMER)
    )
    ends = {
        "identity_provider": [clock.parse(one["not_after"]) for row in enabled for one in row.certificates],
        "service_provider": [parse_certificate(row.certificate).not_after for row in ours],
    }
    family = Family(
        "idp_bridge_certificates",
        "Certificates of connections that are on, by side and by the time that is left.",
        labels=["side", "left"],
    )
    for side, times in ends.items():
        counted = Counter(window(time, now) for time in times)
        for word in (*(word for _, word in WINDOWS), LATER):
            family.add_metric([side, word], counted[word])
    yield family


def window(not_after: datetime, now: datetime) -> str:
    """The nearest of WINDOWS that the end has come within."""
    left = not_after - now
    return next((word for days, word in WINDOWS if left <= timedelta(days=days)), LATER)


def _jobs(now: datetime) -> Iterator[Family]:
    """How late each is. One that nobody runs grows, and so does one that hangs."""
    due = {row.name: row.due_at for row in JobRun.select()}
    late = {job.name: _seconds(now - due[job.name]) for job in jobs.JOBS if job.name in due}
    yield _by("job", "job_lag_seconds", "How long a background job has been due without being run.", late)


def _events(now: datetime) -> Iterator[Family]:
    """Those that no link of the chain names yet."""
    oldest = Event.select(Event.timestamp).join(EventPending, on=EventPending.event_id == Event.id)
    row = oldest.order_by(EventPending.number).first()
    yield _one("events_unsealed", "Events that are not in the chain yet.", EventPending.select().count())
    age = _seconds(now - row.timestamp) if row else 0.0
    yield _one("events_unsealed_age_seconds", "Age of the one that has waited longest.", age)


def _deliveries(now: datetime) -> Iterator[Family]:
    waiting = WebhookDelivery.state == webhooks.WAITING
    number, since = (
        WebhookDelivery.select(fn.COUNT(WebhookDelivery.id), fn.MIN(WebhookDelivery.created_at))
        .where(waiting)
        .tuples()[0]
    )
    yield _one("webhook_deliveries_waiting", "Deliveries to webhooks that are to be made.", number)
    yield _one("webhook_deliveries_waiting_age_seconds", "Age of the oldest of them.", _age(since, now))


def _mail(now: datetime) -> Iterator[Family]:
    waiting = Mail.sealed.is_null(False)
    number, since = Mail.select(fn.COUNT(Mail.id), fn.MIN(Mail.created_at)).where(waiting).tuples()[0]
    yield _one("mail_waiting", "Mails that are to be sent.", number)
    yield _one("mail_waiting_age_seconds", "Age of the oldest of them.", _age(since, now))


def _one(name: str, words: str, value: float) -> Family:
    return Family(f"idp_bridge_{name}", words, value=value)


def _by(label: str, name: str, words: str, values: dict[str, Any]) -> Family:
    family = Family(f"idp_bridge_{name}", words, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else _seconds(now - since)


def _seconds(span: timedelta) -> float:
    return max(0.0, span.total_seconds())
