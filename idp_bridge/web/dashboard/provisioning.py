"""Provisioning: a directory's base URL, its tokens and how they are changed, how it is set up at the provider, whether
it is heard of."""

import time
from typing import Any

from flask import render_template, request, url_for

from idp_bridge import clock, idps, providers, scim_tokens
from idp_bridge.providers import scim_guides
from idp_bridge.provisioning import standing
from idp_bridge.provisioning.standing import Standing
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import provisioning_log
from idp_bridge.web.dashboard.connection import kind_of, urls
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard

WATCHED_FOR = 30 * 60  # seconds: a page that lies open does not ask for ever


class TokenForm(forms.Form):
    """A new SCIM token."""

    description = forms.Text(load_default="")
    days = forms.Days(load_default=None)


@blueprint.get("/provisioning", endpoint="provisioning")
@guard(Permission.IDPS_READ)
def provisioning_page() -> Any:
    """Every directory in a line; then all of the one that is asked for, else of the one last heard of."""
    return _page(request.args.get("provider"))


@blueprint.get("/identity-providers/<provider_id>/provisioning")
@guard(Permission.IDPS_READ)
def provisioning_of(provider_id: str) -> Any:
    """The same of one provider, under an address of its own: a refused form comes back there."""
    return _page(provider_id)


@blueprint.get("/identity-providers/<provider_id>/provisioning/state")
@guard(Permission.IDPS_READ)
def provisioning_state(provider_id: str) -> Any:
    """The part of the page that waits for the provider, by itself; nothing where it says what it said before, so that
    nobody who listens to the page is told the same every few seconds."""
    shown = standing.of_provider(idps.get(actor().account, provider_id))
    until = min(request.args.get("until", 0, type=int), _watched_until())
    state = _state(shown, until)
    if state["again"] and request.args.get("said") == _said(shown):
        return "", 204
    return render_template("dashboard/_scim_state.html", alone=True, **state)


@blueprint.post("/identity-providers/<provider_id>/scim-tokens")
@refused_on(provisioning_of, "provider_id")
@guard(Permission.IDPS_WRITE)
def create_scim_token(provider_id: str) -> Any:
    """A token for its directory, shown once."""
    provider = idps.get(actor().account, provider_id)
    form = forms.read(TokenForm)
    issued = scim_tokens.issue(actor(), provider, description=form["description"], expires_at=form["days"])
    return _page(provider_id, issued=issued)


@blueprint.post("/identity-providers/<provider_id>/scim-tokens/<token_id>/revoke")
@refused_on(provisioning_of, "provider_id")
@guard(Permission.IDPS_WRITE)
def revoke_scim_token(provider_id: str, token_id: str) -> Any:
    """The token stops working at once."""
    provider = idps.get(actor().account, provider_id)
    row = scim_tokens.get(provider, token_id)
    scim_tokens.revoke(actor(), row)
    return done(f"The token …{row.ends_with} is revoked.", "provisioning", provider=provider_id, _anchor="tokens")


# --- the page ---------------------------------------------------------------------------------------------------


def _page(provider_id: str | None, *, issued: scim_tokens.Issued | None = None) -> Any:
    account = actor().account
    directories = standing.of_account(account)
    shown = _chosen(directories, provider_id)
    return render(
        "provisioning.html",
        status=201 if issued else 200,
        directories=directories,
        issued=issued,
        **({} if shown is None else _of(shown)),
    )


def _chosen(directories: list[Standing], provider_id: str | None) -> Standing | None:
    """The one that is asked for, else the one last heard of. Raises NotFound for what the account does not have."""
    if provider_id:
        wanted = idps.get(actor().account, provider_id)
        return next(one for one in directories if one.provider.id == wanted.id)
    return max(directories, key=lambda one: (one.last.id if one.last else "", one.provider.id), default=None)


def _of(shown: Standing) -> dict[str, Any]:
    """All that the page says of one directory."""
    provider, known = shown.provider, providers.catalogue()
    return {
        **_state(shown, _watched_until()),
        "kinds": known,
        "words": known[kind_of(provider)],
        "facts": urls(provider),
        "makers": scim_tokens.makers(provider.account, shown.tokens),
        "expired": scim_tokens.expired,
        "ends_soon": scim_tokens.ends_soon,
        "log": provisioning_log.shown(provider, shown.tokens),
    }


def _state(shown: Standing, until: int) -> dict[str, Any]:
    """What may change while one looks: whether it was heard of, and how far the change of its token is."""
    kind = kind_of(shown.provider)
    return {
        "shown": shown,
        "provider": shown.provider,
        "kind": kind,
        "guide": scim_guides.guide(kind),
        "rotation": shown.rotation,
        "again": _again(shown, kind, until) if shown.waiting and until > time.time() else None,
    }


def _again(shown: Standing, kind: str, until: int) -> str:
    """Where the waiting part is asked for anew."""
    said = _said(shown)
    return url_for("dashboard.provisioning_state", provider_id=shown.provider.id, kind=kind, until=until, said=said)


def _said(shown: Standing) -> str:
    """What tells one thing that the waiting part says from another: the request last heard, and the newest token."""
    return f"{clock.rfc3339(shown.heard_at) if shown.heard_at else ''},{shown.tokens[0].id if shown.tokens else ''}"


def _watched_until() -> int:
    return int(time.time()) + WATCHED_FOR
