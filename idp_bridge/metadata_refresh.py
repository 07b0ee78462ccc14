"""Metadata that is kept fresh: the documents at the providers' URLs, looked at again and again by a job.

What a pinned key vouches for is taken, unless it goes back behind what was taken before: a document stays signed for
ever, and an old one would bring back a key that the provider has given up. Anything else that differs from what is
trusted waits for an administrator, a certificate that is gone as well as one that is new: else whoever gets hold of the
URL could sign people in, or keep them out. Meanwhile sign-ins go on with what is trusted, so a roll-over has no outage
as long as the provider publishes both certificates for a while.
"""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import actors, clock, db, events, fetching, idps, seats
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.idps import Trust
from idp_bridge.models import Account, IdentityProvider
from idp_bridge.roles import ADMIN, Permission

log = logging.getLogger(__name__)

EVERY = timedelta(hours=6)
MOST_AT_ONCE = 500  # connections in one run of the job; what is left is due in the next one

#: What is trusted beside the certificates: an administrator is shown all of it, and accepts no more.
OF_TRUST = tuple(field.name for field in fields(Trust) if field.name not in {"valid_until", "certificates"})


@dataclass(frozen=True)
class Found:
    """What a fetched document says. ``not_vouched_for``: why it needs an administrator, None where it does not."""

    trust: Trust
    not_vouched_for: str | None


def run(now: datetime) -> None:
    """Look again at every document that was last looked at long ago; each once among all processes."""
    for provider_id in db.column(_due(now).select(IdentityProvider.id).limit(MOST_AT_ONCE)):
        with db.transaction():
            claimed = IdentityProvider.update(metadata_checked_at=now).where(
                IdentityProvider.id == provider_id, _is_due(now)
            )
            if not claimed.execute():
                continue
        try:
            refresh(provider_id)
        except NotFound:  # deleted since
            continue
        except Exception:  # a document that nobody foresaw must not keep the others waiting
            log.exception("metadata could not be refreshed", extra={"identity_provider_id": provider_id})


def refresh(provider_id: str, *, actor: Actor | None = None) -> None:
    """Fetch the document, and take it, let it wait, or note what is wrong with it. Raises NotFound, TooManyRequests.

    ``actor``: who asked for it, and waits; without one it is the job's."""
    provider = idps.with_account(provider_id)
    asked, url = _asked(provider), provider.metadata_url
    if url is None:
        return
    found: Found | str
    try:
        found = _read(provider, fetching.fetch(url, field="metadata_url", background=actor is None))
    except Invalid as error:
        found = error.message
    with db.transaction(), suppress(NotFound):  # deleted or changed meanwhile: the answer fits no more
        seats.lock_anew(provider.account, provider)
        if _asked(provider) == asked:
            provider.metadata_checked_at = clock.now()
            if isinstance(found, str):
                _note_error(provider, found)
            else:
                _settle(actor or _system(provider), provider, found)


def accept(actor: Actor, provider: IdentityProvider, digest: str) -> None:
    """Trust what waits, if it is still what the administrator was shown. Raises NotFound, Conflict, Invalid."""
    idps.change(actor, provider, trust=_as_trust(_seen(actor, provider, digest)))


def discard(actor: Actor, provider: IdentityProvider, digest: str) -> None:
    """Do not trust what waits, if it is still what the administrator was shown. It comes up again only when the
    document says something else. Raises NotFound, Conflict."""
    waiting = _seen(actor, provider, digest)
    provider.pending_trust = {**waiting, "discarded_at": clock.rfc3339(clock.now())}
    provider.save(only=[IdentityProvider.pending_trust])
    events.record(actor, Type.IDENTITY_PROVIDER_CHANGE_DISCARDED, _told(provider, waiting))


def waiting(provider: IdentityProvider) -> dict[str, Any] | None:
    """What a refresh found and an administrator has yet to decide: a trust with its ``digest`` and ``reason``."""
    found: dict[str, Any] | None = provider.pending_trust
    return None if found is None or found.get("discarded_at") else found


def waits_in(account: Account) -> bool:
    """Whether a change waits for an administrator of this account, at any of its providers."""
    proposed = idps.of_account(account).select(IdentityProvider.pending_trust)
    return any(map(waiting, proposed.where(IdentityProvider.pending_trust.is_null(False))))


# --- what was found ---------------------------------------------------------------------------------------------


def _due(now: datetime) -> Any:
    longest_ago = IdentityProvider.metadata_checked_at.asc(nulls="FIRST")
    return IdentityProvider.select().where(_is_due(now)).order_by(longest_ago)


def _is_due(now: datetime) -> Any:
    long_ago = IdentityProvider.metadata_checked_at.is_null() | (IdentityProvider.metadata_checked_at <= now - EVERY)
    return IdentityProvider.metadata_url.is_null(False) & IdentityProvider.enabled & long_ago


def _asked(provider: IdentityProvider) -> tuple[Any, ...]:
    """What decides which document is looked at, and how."""
    return (
        provider.metadata_url,
        provider.metadata_certificate,
        provider.entity_id,
        provider.allow_weak_signatures,
    )


def _read(provider: IdentityProvider, document: str) -> Found:
    """Read the document as vouched for by the pinned key; else only as somebody's word. Raises Invalid."""
    weak = provider.allow_weak_signatures
    why_not = "No certificate is pinned for the provider's metadata, so nothing vouches for the change."
    if provider.metadata_certificate:
        try:
            pinned = provider.metadata_certificate
            read = idps.read_metadata(document, entity_id=provider.entity_id, vouched_by=pinned, allow_weak=weak)
            return Found(read, None)
        except Invalid as error:
            if "metadata_certificate" not in error.fields:
                raise
            why_not = error.message
    return Found(idps.read_metadata(document, entity_id=provider.entity_id, allow_weak=weak), why_not)


def _settle(actor: Actor, provider: IdentityProvider, found: Found) -> None:
    """Nothing new, or vouched for, or it waits."""
    same = _same(found.trust, idps.trust_of(provider))
    why_not = found.not_vouched_for or (None if same else _goes_back(provider, found.trust))
    if same:
        _withdraw(actor, provider)
    elif why_not is None:
        idps.change(_as_vouched(actor), provider, trust=found.trust)
        return
    else:
        _propose(actor, provider, found.trust, why_not)
    pinned = provider.metadata_certificate is not None
    provider.metadata_error = why_not if pinned else None
    if why_not is None or not pinned:  # else it says nothing about how long what is trusted may be used either
        provider.metadata_valid_until = found.trust.valid_until
    provider.save(only=provider.dirty_fields)


def _withdraw(actor: Actor, provider: IdentityProvider) -> None:
    """The document says again what is trusted: there is nothing to decide any more."""
    if found := waiting(provider):
        told = {**_told(provider, found), "reason": "The metadata says again what is trusted."}
        events.record(actor, Type.IDENTITY_PROVIDER_CHANGE_DISCARDED, told)
    provider.pending_trust = None


def _goes_back(provider: IdentityProvider, trust: Trust) -> str | None:
    """Why a document that is vouched for may still be one that the provider has replaced since; None where it is not.

    By its date where there is one (SAML metadata 2.0 has no number of a version), and by what it changes back, which
    the events of the connection tell.
    """
    known = provider.metadata_valid_until
    if known is not None and (trust.valid_until is None or trust.valid_until < known):
        return "The pinned key signed it, but it is valid for less long than the metadata before: it may be an old one."
    if back := _changed_back(provider, trust):
        return f"The pinned key signed it, but it may be an old one: it brings back {', '.join(back)} given up before."
    return None


def _changed_back(provider: IdentityProvider, trust: Trust) -> list[str]:
    """What of ``trust`` is not trusted now, and was before, in words."""
    told = events.of_account(provider.account, type=Type.IDENTITY_PROVIDER_UPDATED, object_id=provider.id)
    before = [event.object.get("before") or {} for event in told]  # not every event of it is about what is trusted
    given_up = {_fingerprint(one) for values in before for one in values.get("certificates", ())}
    trusted = {one["fingerprint_sha256"] for one in provider.certificates}
    new = {one["fingerprint_sha256"] for one in idps.pinned(trust.certificates)} - trusted
    back = ["a certificate"] if new & given_up else []
    for name in OF_TRUST:
        value = getattr(trust, name)
        if value != getattr(provider, name) and any(name in values and values[name] == value for values in before):
            back.append(f"the {name}")
    return back


def _fingerprint(told: Any) -> str:
    """Of a certificate as an event tells of it; those of before November 2026 have it whole."""
    return str(told["fingerprint_sha256"] if isinstance(told, dict) else told)


def _propose(actor: Actor, provider: IdentityProvider, trust: Trust, reason: str) -> None:
    proposed = _as_json(trust)
    digest = _digest(proposed)
    if provider.pending_trust and provider.pending_trust["digest"] == digest:
        return
    provider.pending_trust = {
        **proposed,
        "digest": digest,
        "reason": reason,
        "found_at": clock.rfc3339(clock.now()),
    }
    events.record(actor, Type.IDENTITY_PROVIDER_CHANGE_PROPOSED, _told(provider, provider.pending_trust))


def _note_error(provider: IdentityProvider, words: str) -> None:
    provider.metadata_error = words
    provider.save(only=provider.dirty_fields)


def _same(one: Trust, other: Trust) -> bool:
    """Whether they trust the same: dates, and the order of certificates, are none of it."""
    return set(one.certificates) == set(other.certificates) and all(
        getattr(one, name) == getattr(other, name) for name in OF_TRUST
    )


def _as_json(trust: Trust) -> dict[str, Any]:
    told = {**asdict(trust), "certificates": idps.pinned(trust.certificates)}
    return {**told, "valid_until": clock.rfc3339(trust.valid_until) if trust.valid_until else None}


def _as_trust(waiting: Mapping[str, Any]) -> Trust:
    return Trust(
        **{name: waiting[name] for name in OF_TRUST},
        certificates=[certificate["pem"] for certificate in waiting["certificates"]],
        valid_until=clock.parse(waiting["valid_until"]) if waiting["valid_until"] else None,
    )


def _digest(proposed: Mapping[str, Any]) -> str:
    said = [proposed[name] for name in OF_TRUST]
    return hashlib.sha256(
        db.encode([said, sorted(one["pem"] for one in proposed["certificates"])]).encode()
    ).hexdigest()


def _seen(actor: Actor, provider: IdentityProvider, digest: str) -> dict[str, Any]:
    """What waits, held for the rest of the transaction, if it is what ``digest`` says. Raises NotFound, Conflict."""
    seats.lock_anew(actor.account, provider)
    found = waiting(provider)
    if found is None:
        raise NotFound("Nothing waits to be accepted for this identity provider.")
    if found["digest"] != digest:
        raise Conflict("Another change has come in since. Look at it again before you decide.")
    return found


def _told(provider: IdentityProvider, proposed: Mapping[str, Any]) -> dict[str, Any]:
    """The connection as it is, beside what is proposed for it."""
    said = {name: proposed[name] for name in OF_TRUST}
    fingerprints = [certificate["fingerprint_sha256"] for certificate in proposed["certificates"]]
    return {
        **idps.describe(provider),
        "proposed": {**said, "certificates": fingerprints, "digest": proposed["digest"]},
        "reason": proposed["reason"],
    }


def _as_vouched(actor: Actor) -> Actor:
    """Whoever asked for it did no more than look: what is taken, the pinned key vouches for, as in the job."""
    return replace(actor, roles=(*actor.roles, ADMIN), permissions=frozenset(Permission))


def _system(provider: IdentityProvider) -> Actor:
    account: Account = provider.account
    return actors.system(account, subject="metadata refresh")
