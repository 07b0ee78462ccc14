"""Setting up a connection, step by step, by an administrator: a page for each step, so that Back, reload and coming
again tomorrow work; and the link by which she lets somebody else do it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import redirect, request, url_for
from marshmallow import validate

from idp_bridge import clock, idps, providers, set_up_links
from idp_bridge.models import IdentityProvider
from idp_bridge.plans import Feature
from idp_bridge.providers.set_up_guides import DONE, JOINING, METADATA, TEST
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import guide
from idp_bridge.web.dashboard.connection import show
from idp_bridge.web.dashboard.guide import Door
from idp_bridge.web.dashboard.identity_providers import new_identity_provider
from idp_bridge.web.dashboard.members import role_names
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, base_url, guard, writing

_STEP = "/identity-providers/<provider_id>/setup/<step>"
_DOING = "/identity-providers/<provider_id>/setup"


class DraftForm(forms.Form):
    """A new draft."""

    kind = forms.Text(required=True, validate=validate.OneOf(providers.KINDS, error="Choose one of them."))
    name = forms.Text(required=True)


class LinkForm(forms.Form):
    """How long a set-up link lasts."""

    days = forms.Text(required=True, validate=validate.OneOf([str(days) for days in set_up_links.DAYS]))


def _door(provider: IdentityProvider) -> Door:
    return Door(lambda endpoint, **more: url_for(f"dashboard.{endpoint}", provider_id=provider.id, **more))


def _provider(provider_id: str) -> IdentityProvider:
    return idps.get(actor().account, provider_id)


# --- the steps --------------------------------------------------------------------------------------------------


@blueprint.post("/identity-providers/new/draft")
@refused_on(new_identity_provider)
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def begin_set_up() -> Any:
    """A draft: its addresses here are known from now on, and it lets nobody in."""
    form = forms.read(DraftForm)
    provider = idps.create(actor(), name=form["name"], trust=None, kind=form["kind"])
    return redirect(_door(provider).to("set_up_step", step=provider.set_up_step), 303)


@blueprint.get("/identity-providers/<provider_id>/setup")
@guard(Permission.IDPS_READ)
def set_up(provider_id: str) -> Any:
    """On to where the set-up was left."""
    provider = _provider(provider_id)
    left = guide.left_at(_door(provider), provider)
    return redirect(url_for("dashboard.set_up_step", provider_id=provider.id, step=left), 303)


@blueprint.get(_STEP)
@guard(Permission.IDPS_READ)
def set_up_step(provider_id: str, step: str) -> Any:
    """One step: what is done on that screen of the provider, or on ours."""
    provider = _provider(provider_id)
    more: dict[str, Any] = {"role_names": role_names(provider.account)} if step == JOINING else {}
    return render("set_up/step.html", **guide.context(_door(provider), provider, step), **more)


def _step_page(step: str) -> Callable[..., Any]:
    """The page of one step, for the forms that lead back to it when they are refused."""
    page: Callable[..., Any] = set_up_step
    return partial(page, step=step)


@blueprint.post(f"{_STEP}/next")
@guard(Permission.IDPS_WRITE)
def set_up_next(provider_id: str, step: str) -> Any:
    """That step is done."""
    provider = _provider(provider_id)
    return redirect(_door(provider).to("set_up_step", step=guide.go_on(_door(provider), provider, step)), 303)


@blueprint.post(f"{_DOING}/metadata")
@refused_on(_step_page(METADATA), "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
def set_up_metadata(provider_id: str) -> Any:
    """Read the metadata, trust what it says, and show that."""
    guide.take_metadata(actor, lambda: _provider(provider_id), writing)
    return done("The metadata is read. Look at it below.", "set_up_step", provider_id=provider_id, step=METADATA)


@blueprint.post(f"{_DOING}/joining")
@refused_on(_step_page(JOINING), "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def set_up_joining(provider_id: str) -> Any:
    """Save who may join, and go on."""
    provider = _provider(provider_id)
    guide.take_joining(actor(), provider)
    return redirect(_door(provider).to("set_up_step", step=guide.go_on(_door(provider), provider, JOINING)), 303)


@blueprint.post(f"{_DOING}/test")
@refused_on(_step_page(TEST), "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def set_up_test(provider_id: str) -> Any:
    """Begin a test whose result is read on its step."""
    provider = _provider(provider_id)
    door = _door(provider)
    start = guide.test(door, provider)
    return show("sign_in_test.html", provider, start=start, flow_page=door.to("set_up_step", step=TEST))


@blueprint.get(f"{_DOING}/test/result")
@guard(Permission.IDPS_READ)
def set_up_result(provider_id: str) -> Any:
    """The result by itself, for the page that waits for it; nothing while nothing has changed."""
    provider = _provider(provider_id)
    found = guide.watched(_door(provider), provider)
    return ("", 204) if found is None else render("set_up/_result.html", **found)


@blueprint.post(f"{_DOING}/enable")
@refused_on(_step_page(DONE), "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def set_up_enable(provider_id: str) -> Any:
    """The end of it: people may come in by it now, and by what they had before. Whoever enables what somebody else has
    set up says, where she is an administrator, that it speaks for administrators too."""
    provider = _provider(provider_id)
    seen, confirmed = request.form.get("digest", ""), "confirm" in request.form
    idps.enable(actor(), provider, seen=seen, confirmed=confirmed)
    return done(f"{provider.name} is enabled.", "set_up_step", provider_id=provider_id, step=DONE)


# --- the link for somebody else ---------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/setup-link", endpoint="set_up_link")
@guard(Permission.IDPS_READ)
def link_page(provider_id: str) -> Any:
    """The links of a connection, what became of each, and the form for a new one."""
    return _link_page(provider_id)


def _link_page(provider_id: str, issued: set_up_links.Issued | None = None) -> Any:
    provider = _provider(provider_id)
    now = clock.now()
    return render(
        "set_up/link.html",
        status=201 if issued else 200,
        provider=provider,
        being_set_up=set_up_links.is_being_set_up(provider),
        links=[(link, set_up_links.is_live(link, now)) for link in set_up_links.of_provider(provider)],
        days=set_up_links.DAYS,
        usual=set_up_links.USUAL_DAYS,
        address=base_url() + url_for("set_up.opening", token=issued.token) if issued else None,
    )


@blueprint.post("/identity-providers/<provider_id>/setup-link")
@refused_on(link_page, "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def make_set_up_link(provider_id: str) -> Any:
    """A link, shown this once; the former one stops working."""
    form = forms.read(LinkForm)
    return _link_page(provider_id, set_up_links.make(actor(), _provider(provider_id), days=int(form["days"])))


@blueprint.post("/identity-providers/<provider_id>/setup-link/revoke")
@refused_on(link_page, "provider_id")
@guard(Permission.IDPS_WRITE)
def revoke_set_up_link(provider_id: str) -> Any:
    """It stops working at once, opened or not."""
    stopped = set_up_links.revoke(actor(), _provider(provider_id))
    return done("The link is revoked." if stopped else "No link works.", "set_up_link", provider_id=provider_id)
