"""Where an administrator is needed, in a word or two: a connection's warnings as badges, and the mark at a page that
has something to decide."""

from collections.abc import Mapping
from dataclasses import dataclass

from idp_bridge import connection_warnings, metadata_refresh
from idp_bridge.actors import Actor
from idp_bridge.models import IdentityProvider
from idp_bridge.roles import Permission

WAITS = "Waits for you"

#: Code of a warning -> its words in a list, and how loudly they are said. The sentence is on the connection's page.
BADGES: Mapping[str, tuple[str, str]] = {
    "pending_trust": (WAITS, "warn"),
    "metadata_error": ("Metadata not refreshed", "bad"),
    "metadata_expired": ("Metadata expired", "warn"),
    "certificate_unusable": ("Unusable certificate", "warn"),
    "certificate_expiring": ("Certificate runs out", "warn"),
    "own_certificate_expiring": ("Our certificate runs out", "warn"),
    "weak_signatures_allowed": ("Weak signatures", "warn"),
}


@dataclass(frozen=True)
class Badge:
    """Words of at most three, and their tone."""

    words: str
    tone: str


def badges(provider: IdentityProvider) -> list[Badge]:
    """What holds of a connection now, each kind of warning once, in the order of their table."""
    codes = dict.fromkeys(warned.code for warned in connection_warnings.of_provider(provider))
    return [Badge(*BADGES[code]) for code in codes]


def marked_pages(actor: Actor) -> frozenset[str]:
    """The pages of the navigation where something waits for whoever is looking: endpoints."""
    waits = actor.may(Permission.IDPS_READ) and metadata_refresh.waits_in(actor.account)
    return frozenset({"dashboard.settings"} if waits else ())
