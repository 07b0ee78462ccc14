"""What an administrator should know of a connection that works today: a table of conditions, each with its words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from idp_bridge import certificate_notices, clock, idps, metadata_refresh, sp_keys
from idp_bridge.models import IdentityProvider


@dataclass(frozen=True)
class Warned:
    """``code`` is stable; ``message`` says what to do."""

    code: str
    message: str


def of_provider(provider: IdentityProvider, now: datetime | None = None) -> list[Warned]:
    """The warnings that hold now, in the order of the table."""
    moment = now or clock.now()
    return [Warned(code, words) for code, says in _TABLE for words in says(provider, moment)]


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


#: Each row yields the words of its warning, once for each thing that it is about.
_TABLE: tuple[tuple[str, Callable[[IdentityProvider, datetime], Iterator[str]]], ...] = (
    ("pending_trust", _pending_trust),
    ("metadata_error", _metadata_error),
    ("metadata_expired", _metadata_expired),
    ("certificate_unusable", _weak_keys),
    ("certificate_expiring", _certificates),
    ("own_certificate_expiring", _own_keys),
    ("weak_signatures_allowed", _weak_signatures),
)
