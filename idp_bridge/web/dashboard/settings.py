"""Settings: the account's name, its identity providers, the mode in which its members sign in, recovery codes."""

from dataclasses import dataclass
from typing import Any

from flask import g

from idp_bridge import accounts, enforcement, idps, recovery, sign_in_mode
from idp_bridge.models import IdentityProvider
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard.attention import Badge, badges
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.trust import Shown, their_certificates
from idp_bridge.web.guard import actor, guard, writing


class NameForm(forms.Form):
    """The account's name."""

    name = forms.Text(required=True)


@dataclass(frozen=True)
class Row:
    """A connection in the list: what is to be looked at, and its certificates, the first to end first."""

    provider: IdentityProvider
    state: str
    badges: list[Badge]
    certificates: list[Shown]


def _row(provider: IdentityProvider) -> Row:
    certificates = sorted(their_certificates(provider), key=lambda one: one.not_after)
    return Row(provider, idps.state(provider).value, badges(provider), certificates)


@blueprint.get("/settings", endpoint="settings")
@guard(Permission.ACCOUNT_READ)
def settings_page() -> Any:
    """Everything about the account itself."""
    return _page()


def _page(*, codes: list[str] | None = None) -> Any:
    account = actor().account
    mode = sign_in_mode.of(account)
    return render(
        "settings.html",
        status=201 if codes else 200,
        account=account,
        providers=[_row(provider) for provider in idps.of_account(account).order_by(IdentityProvider.id)],
        mode=mode,
        gaps=[enforcement.GAPS[gap] for gap in enforcement.gaps(account)] if mode == sign_in_mode.MIXED else [],
        codes=codes,
        codes_left=recovery.left(g.member),
        codes_number=recovery.NUMBER,
    )


@blueprint.post("/settings/name")
@refused_on(settings_page)
@guard(Permission.ACCOUNT_WRITE)
def rename() -> Any:
    """Give the account another name."""
    accounts.rename(actor(), forms.read(NameForm)["name"])
    return done("The name is saved.", "settings")


@blueprint.post("/settings/recovery-codes")
@refused_on(settings_page)
@guard(Permission.ACCOUNT_WRITE, transaction=False)
def make_recovery_codes() -> Any:
    """Ten new codes for the administrator herself, shown once."""
    hashes = recovery.hashed_codes(actor(), g.member)
    with writing():
        codes = recovery.replace_by(actor(), g.member, hashes)
    return _page(codes=codes)
