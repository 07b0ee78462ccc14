"""What an administrator should know of a connection that works today: a table of conditions, each with its words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp_bridge import certificate_notices, clock, idps, metadata_refresh, sp_keys
from idp_bridge.models import IdentityProvider

OVERAGE_TOLD_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Warned:
    """``code`` is stable; ``message`` says what to do."""

    code: str
    message: str


#: A code, and what yields the words of its warning, once for each thing that it is about.
_Row = tuple[str, Callable[[IdentityProvider, datetime], Iterator[str]]]


def of_provider(provider: IdentityProvider, now: datetime | None = None) -> list[Warned]:
    """The warnings that hold now, in the order of the table."""
    return _said(_TABLE, provider, now or clock.now())


def under_enforcement(provider: IdentityProvider) -> list[Warned]:
    """Those for whoever is about to change what everybody comes in by."""
    return _said(_UNDER_ENFORCEMENT, provider, clock.now())


def _said(rows: tuple[_Row, ...], provider: IdentityProvider, now: datetime) -> list[Warned]:
    return [Warned(code, words) for code, says in rows for words in says(provider, now)]


def _certificates(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    for certificate in provider.certificates:
        short, end = certificate["fingerprint_sha256"][:16], clock.parse(certificate["not_after"])
        if end <= now:
            yield (
                f"The provider's certificate {short}… ran out on {end:%Y-%m-%d}. Sign-ins go on; ask whether "
                "another one signs by now, and remove this one."
            )
        elif certificate_notices.distance(end, now) is not None:
            yield f"The provider's certificate {short}… runs out on {end:%Y-%m-%d}. Add its successor before that."


def _own_keys(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    for row in sp_keys.of_provider(provider):
        end = sp_keys.certificate(row).not_after
        if row.state == sp_keys.CURRENT and (end <= now or certificate_notices.distance(end, now) is not None):
            yield (
                f"The certificate of our own key runs out on {end:%Y-%m-%d}. Prepare the next key, give the "
                "provider our metadata again, then activate it."
            )


def _weak_signatures(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    if provider.allow_weak_signatures:
        yield (
            "Signatures with SHA-1 or an RSA key under 2048 bits are accepted, and those can be forged at a price. Let "
            "the provider sign with SHA-256, then switch allow_weak_signatures off."
        )


def _weak_keys(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    for certificate in idps.certificates(provider):
        if not certificate.usable and not (certificate.weak and provider.allow_weak_signatures):
            yield (
                f"The provider's certificate {certificate.fingerprint_sha256[:16]}… has a key that is too weak or of "
                "an unknown kind: nothing that it signs is accepted."
            )


def _pending_trust(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    if metadata_refresh.waiting(provider):
        yield "The provider's metadata has changed, and nothing vouches for the change. Accept it or discard it."


def _metadata_error(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    if provider.metadata_error:
        yield f"The provider's metadata could not be refreshed: {provider.metadata_error}"


def _metadata_expired(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    end = provider.metadata_valid_until
    if end and end <= now:
        yield (
            f"The provider's metadata was valid until {end:%Y-%m-%d}. Sign-ins go on with what is trusted; give its "
            "metadata again."
        )


def _groups_overage(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    last = provider.groups_overage_at
    if last and now - last < OVERAGE_TOLD_FOR:
        yield (
            f"Of somebody who signed in on {last:%Y-%m-%d} the provider sent a link instead of her groups, as Entra ID "
            "does where they are more than 150. Such people keep the roles that they have, and their groups change "
            'nothing. Let the provider send only "Groups assigned to the application", or push groups over SCIM.'
        )


def _only_way_in(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    if idps.only_way_in(provider) and idps.is_proven(provider):
        yield (
            "Single sign-on is enforced, and this is the only connection that is known to work: a wrong value in its "
            "metadata, certificates or attribute names locks everybody out. Keep your recovery codes at hand, stay "
            "signed in, and sign in anew in another browser after each change."
        )


def _unproven(provider: IdentityProvider, now: datetime) -> Iterator[str]:
    if idps.only_way_in(provider) and not idps.is_proven(provider):
        yield (
            "Single sign-on is enforced, and no administrator has come in by this connection since its last change, "
            "nor by another. Sign in by it in another browser before you sign out here, or go back to mixed mode."
        )


#: What is said on every page on which a connection is changed.
_UNDER_ENFORCEMENT: tuple[_Row, ...] = (("unproven_under_enforcement", _unproven), ("only_way_in", _only_way_in))

_TABLE: tuple[_Row, ...] = (
    *_UNDER_ENFORCEMENT,
    ("pending_trust", _pending_trust),
    ("metadata_error", _metadata_error),
    ("metadata_expired", _metadata_expired),
    ("certificate_unusable", _weak_keys),
    ("certificate_expiring", _certificates),
    ("own_certificate_expiring", _own_keys),
    ("weak_signatures_allowed", _weak_signatures),
    ("groups_overage", _groups_overage),
)
