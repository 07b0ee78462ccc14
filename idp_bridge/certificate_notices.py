"""Certificates that run out, told in time: the provider's and our own, at fixed distances, each once.

Nothing stops at the date here (a certificate is a bag around a key), but providers do look at ours, and an expired one
of theirs usually means that a new one is about to sign.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from idp_bridge import actors, clock, db, events, idps, notices, sp_keys
from idp_bridge.events import Type
from idp_bridge.models import Account, CertificateNotice, IdentityProvider, ServiceProviderKey
from idp_bridge.notices import Notice
from idp_bridge.saml.certificate import Certificate, parse_certificate

DAYS = (60, 30, 7, 1)

Side = Literal["identity_provider", "service_provider"]


@dataclass(frozen=True)
class Expiring:
    """A certificate within one of the distances; ``days`` is the nearest one."""

    whose: Side
    certificate: Certificate
    days: int


def run(now: datetime) -> None:
    """An event, and mail to administrators, for each certificate that has come within a distance since last time."""
    soon = now + timedelta(days=max(DAYS))
    enabled = IdentityProvider.select(IdentityProvider, Account).join(Account).where(IdentityProvider.enabled)
    for provider in list(enabled):
        for found in _of_provider(provider, now, soon):
            with db.transaction():
                if _first_time(provider, found, now):
                    actor = actors.system(provider.account, subject="certificate notices")
                    events.record(actor, Type.IDENTITY_PROVIDER_CERTIFICATE_EXPIRING, _told(provider, found))
                    notices.to_administrators(provider.account, Notice.CERTIFICATE_EXPIRING, **_mailed(provider, found))


def distance(not_after: datetime, now: datetime) -> int | None:
    """The nearest distance, in days, that the end has come within; None where it is far, or past."""
    if not_after <= now:
        return None
    return min((days for days in DAYS if not_after - now <= timedelta(days=days)), default=None)


def _of_provider(provider: IdentityProvider, now: datetime, soon: datetime) -> Iterator[Expiring]:
    theirs = [one["pem"] for one in provider.certificates if clock.parse(one["not_after"]) <= soon]
    rows = ServiceProviderKey.select().where(
        ServiceProviderKey.identity_provider == provider, ServiceProviderKey.state != sp_keys.FORMER
    )
    ours = [row.certificate for row in rows]
    sides: tuple[tuple[Side, list[str]], ...] = (("identity_provider", theirs), ("service_provider", ours))
    for whose, pems in sides:
        for certificate in map(parse_certificate, pems):
            days = distance(certificate.not_after, now)
            if days is not None:
                yield Expiring(whose, certificate, days)


def _first_time(provider: IdentityProvider, found: Expiring, now: datetime) -> bool:
    told: Any = CertificateNotice.insert(
        identity_provider=provider,
        fingerprint_sha256=found.certificate.fingerprint_sha256,
        days=found.days,
        noticed_at=now,
    ).on_conflict_ignore()
    return bool(told.as_rowcount().execute())


def _told(provider: IdentityProvider, found: Expiring) -> dict[str, Any]:
    return {
        **idps.describe(provider),
        "whose": found.whose,
        "fingerprint_sha256": found.certificate.fingerprint_sha256,
        "not_after": clock.rfc3339(found.certificate.not_after),
        "days": found.days,
    }


_CERTIFICATES: dict[Side, str] = {
    "identity_provider": "The certificate with which the provider signs",
    "service_provider": "Our own certificate",
}


def _mailed(provider: IdentityProvider, found: Expiring) -> dict[str, Any]:
    return {
        "provider": provider.name,
        "provider_id": provider.id,
        "certificate": _CERTIFICATES[found.whose],
        "days": found.days,
        "not_after": f"{found.certificate.not_after:%Y-%m-%d %H:%M} UTC",
    }
