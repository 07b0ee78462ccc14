"""Certificates that run out are told of in time: either side's, at each distance once."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp_bridge import certificate_notices, clock, db, idps, sp_keys
from idp_bridge.models import Event, IdentityProvider
from tests.conftest import World
from tests.domain import cast
from tests.saml import idp as signing_idp

DAY = timedelta(days=1)
END = signing_idp.idp().certificate.not_after
EXPIRING = "identity_provider_certificate_expiring.v0"


@pytest.fixture
def provider(sso: World) -> IdentityProvider:
    """acme's connection."""
    assert sso.provider is not None
    return cast.again(sso.provider)


def told(world: World) -> list[tuple[str, int]]:
    return [(event.object["whose"], event.object["days"]) for event in cast.happened(world, EXPIRING)]


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (61 * DAY, None),
        (60 * DAY, 60),
        (31 * DAY, 60),
        (30 * DAY, 30),
        (8 * DAY, 30),
        (7 * DAY, 7),
        (DAY, 1),
        (timedelta(seconds=1), 1),
        (timedelta(0), None),
        (-DAY, None),
    ],
)
def test_the_nearest_distance_counts(left: timedelta, days: int | None) -> None:
    """Nothing is said of what is far, and nothing any more of what is past."""
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert certificate_notices.distance(now + left, now) == days


def test_each_distance_is_told_once(sso: World, provider: IdentityProvider) -> None:
    """However often the job runs; the event says whose certificate it is, and when it ends."""
    for days in (61, 60, 59, 30, 30, 6, 1, 0.5, -1):
        certificate_notices.run(END - days * DAY)
    assert told(sso) == [("identity_provider", days) for days in (60, 30, 7, 1)]
    event: Any = cast.happened(sso, EXPIRING)[0]
    assert event.object["fingerprint_sha256"] == signing_idp.idp().certificate.fingerprint_sha256
    assert event.object["not_after"] == clock.rfc3339(END)
    assert (event.object["id"], event.principal_type) == (provider.id, "system")


def test_a_late_start_tells_the_nearest_distance_only(sso: World) -> None:
    """A connection that is made a week before the end is not told of sixty days."""
    certificate_notices.run(END - 5 * DAY)
    assert told(sso) == [("identity_provider", 7)]


def test_our_own_certificates_are_told_of_too(sso: World, provider: IdentityProvider) -> None:
    """The current and the next; a former one is nothing that a provider holds us by."""
    with db.transaction():
        end = sp_keys.signing(provider).certificate.not_after
        following = sp_keys.prepare(sso.system, provider)
        sp_keys.activate(sso.system, provider, following.id)
    certificate_notices.run(end - 60 * DAY)
    (event,) = cast.happened(sso, EXPIRING)
    assert (event.object["whose"], event.object["days"]) == ("service_provider", 60)
    assert event.object["fingerprint_sha256"] == sp_keys.certificate(following).fingerprint_sha256


def test_each_connection_is_told_of_its_own(sso: World) -> None:
    """The same certificate in two accounts is two notices."""
    other = cast.open_account("other")
    cast.connect(other)
    certificate_notices.run(END - DAY)
    assert told(sso) == told(other) == [("identity_provider", 1)]


def test_a_new_certificate_begins_anew(sso: World, provider: IdentityProvider) -> None:
    """Each has its own distances."""
    certificate_notices.run(END - DAY)
    trust = idps.trust_of(provider)
    attacker = signing_idp.attacker().certificate
    with db.transaction():
        idps.change(sso.system, provider, trust=idps.Trust(trust.entity_id, trust.sso_url, [attacker.pem]))
    certificate_notices.run(attacker.not_after - DAY)
    assert told(sso) == [("identity_provider", 1)] * 2


def test_nothing_is_said_of_a_connection_that_is_off(sso: World, provider: IdentityProvider) -> None:
    """Until it is switched on again."""
    with db.transaction():
        idps.change(sso.system, provider, enabled=False)
    certificate_notices.run(END - 5 * DAY)
    assert told(sso) == []
    with db.transaction():
        idps.change(sso.system, cast.again(provider), enabled=True)
    certificate_notices.run(END - 5 * DAY)
    assert told(sso) == [("identity_provider", 7)]


def test_many_processes_tell_it_once(sso: World) -> None:
    """The notice is a row that one of them writes."""
    cast.at_once(*[lambda: certificate_notices.run(END - DAY)] * 4, transaction=nullcontext)
    assert Event.select().where(Event.type == EXPIRING).count() == 1
