"""Where an administrator is needed, in a word or two: a connection's warnings as badges, and the mark at a page that
has something to decide. And what every page says: banners."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from idp_bridge import (
    connection_warnings,
    identity_conflicts,
    idps,
    metadata_refresh,
    plan_changes,
    plans,
    sign_in_mode,
    webhooks,
)
from idp_bridge.actors import Actor
from idp_bridge.models import Account, IdentityProvider
from idp_bridge.roles import Permission

WAITS = "Waits for you"

#: Code of a warning -> its words in a list, and how loudly they are said. The sentence is on the connection's page.
BADGES: Mapping[str, tuple[str, str]] = {
    "unproven_under_enforcement": ("Not proven", "bad"),
    "only_way_in": ("Only way in", "warn"),
    "pending_trust": (WAITS, "warn"),
    "metadata_error": ("Metadata not refreshed", "bad"),
    "metadata_expired": ("Metadata expired", "warn"),
    "certificate_unusable": ("Unusable certificate", "warn"),
    "certificate_expiring": ("Certificate runs out", "warn"),
    "own_certificate_expiring": ("Our certificate runs out", "warn"),
    "weak_signatures_allowed": ("Weak signatures", "warn"),
    "groups_overage": ("Groups left out", "warn"),
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
    if not actor.may(Permission.IDPS_READ):
        return frozenset()
    return frozenset(page for page, waits in _WAITING.items() if waits(actor.account))


_WAITING: Mapping[str, Callable[[Account], bool]] = {
    "dashboard.settings": metadata_refresh.waits_in,
    "dashboard.conflicts": identity_conflicts.any_open,
    "dashboard.webhooks": webhooks.failing,
}


@dataclass(frozen=True)
class Banner:
    """What an administrator should hear of on every page, and the page where she acts on it: an endpoint."""

    title: str
    words: str
    endpoint: str
    label: str


def banners(actor: Actor) -> list[Banner]:
    """What holds of the account now."""
    if not actor.may(Permission.ACCOUNT_WRITE):
        return []
    return [banner for says in (_on_trial, _without_single_sign_on) if (banner := says(actor.account)) is not None]


def _on_trial(account: Account) -> Banner | None:
    until = account.enforced_until
    if until is None or sign_in_mode.of(account) == sign_in_mode.MIXED:
        return None
    return Banner(
        "Single sign-on is enforced on trial",
        f"At {until:%H:%M} UTC the account falls back to mixed mode, unless an administrator signs in through an "
        "enabled identity provider before.",
        "dashboard.sign_in_mode",
        "Confirm it, or go back now",
    )


def _without_single_sign_on(account: Account) -> Banner | None:
    if plans.has(account, plans.Feature.SSO):
        return None
    off = idps.of_account(account).where(IdentityProvider.off_by_plan).count()
    if not off:
        return None
    passwordless = plan_changes.without_password(account).count()
    return Banner(
        f"Single sign-on is off with the {account.plan.capitalize()} plan",
        f"{off} identity provider{' is' if off == 1 else 's are'} switched off, and members sign in by password. "
        f"{passwordless} of them {'has' if passwordless == 1 else 'have'} none yet: they set one by Forgot password, "
        "or by a link that an administrator makes for them. Nothing is deleted; the plan brings all of it back.",
        "dashboard.members",
        "Team members",
    )
