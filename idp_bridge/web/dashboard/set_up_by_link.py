"""The set-up guide behind a link: for whoever runs the identity provider and has no account here.

GET only shows what the link does; the post opens it, once, and gives the browser a cookie that reaches the steps of
that one connection. No address here is sent on to another site, the link's own least of all.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, Response, current_app, g, redirect, render_template, request, url_for

from idp_bridge import db, set_up_links, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError
from idp_bridge.models import IdentityProvider, SetUpLink
from idp_bridge.providers.set_up_guides import JOINING, METADATA, TEST
from idp_bridge.rates import site
from idp_bridge.web import guard
from idp_bridge.web.dashboard import guide
from idp_bridge.web.dashboard.guide import Door
from idp_bridge.web.errors import STATUS, headers_of
from idp_bridge.web.guard import public

View = TypeVar("View", bound=Callable[..., Any])

blueprint = Blueprint("set_up", __name__, url_prefix="/set-up")


@blueprint.after_request
def _no_referrer(response: Response) -> Response:
    """The first address of all is a secret."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


# --- opening ----------------------------------------------------------------------------------------------------


@blueprint.get("/<token>")
@public
def opening(token: str) -> Any:
    """Say what the link does, with a button: mail scanners follow links, and must not use one up."""
    _count(site(request.remote_addr))
    link = set_up_links.peek(token)
    return render_template("dashboard/set_up/open.html", link=link, provider=link.identity_provider)


@blueprint.post("/<token>")
@public
def open_link(token: str) -> Any:
    """Open it, once, for this browser."""
    guard.csrf.protect()
    _count(site(request.remote_addr))
    with db.transaction():
        opened = set_up_links.open_link(token, address=request.remote_addr, request_id=g.request_id)
    provider = opened.link.identity_provider
    left = guide.left_at(_door(provider), provider)
    answer = redirect(url_for("set_up.set_up_step", provider_id=provider.id, step=left), 303)
    answer.set_cookie(
        _cookie_name(),
        opened.token,
        expires=opened.link.expires_at,
        httponly=True,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        samesite="Lax",
        path="/",
    )
    return answer


def _cookie_name() -> str:
    return "__Host-idp_bridge_set_up" if current_app.config["SESSION_COOKIE_SECURE"] else "idp_bridge_set_up"


def _count(*key: str) -> None:
    guard.rates().set_up.take(*key)


# --- the steps --------------------------------------------------------------------------------------------------


def _door(provider: IdentityProvider) -> Door:
    return Door(
        lambda endpoint, **more: url_for(f"set_up.{endpoint}", provider_id=provider.id, **more),
        by_link=True,
        hidden=frozenset({JOINING}),
    )


def _link(provider_id: str) -> SetUpLink:
    """The link that this browser opened, asked for anew each time. Raises Gone."""
    token = request.cookies.get(_cookie_name(), "")
    secret = token if tokens.kind_of(token) is tokens.Kind.SET_UP else None
    return set_up_links.of_browser(secret, provider_id)


def _acting(link: SetUpLink) -> Actor:
    return set_up_links.actor_of(link, address=request.remote_addr, request_id=g.request_id, began_at=g.get("began_at"))


def _changing(view: View) -> View:
    """A post by somebody with a link: the form is ours, and they do not come faster than people do."""

    @wraps(view)
    def checked(provider_id: str, **values: Any) -> Any:
        guard.csrf.protect()
        _count(_link(provider_id).id)
        return view(provider_id, **values)

    return cast(View, checked)


def _page(provider: IdentityProvider, step: str, *, refused: DomainError | None = None) -> Response:
    """A step; with the refusal where its form has just been refused."""
    if refused is not None:
        g.refusal = refused
    page = render_template(
        "dashboard/set_up/step.html", **guide.context(_door(provider), provider, step), account=provider.account
    )
    return Response(page, STATUS[type(refused)] if refused else 200, headers_of(refused))


@blueprint.get("/<provider_id>/<step>")
@public
def set_up_step(provider_id: str, step: str) -> Any:
    """One step."""
    return _page(_link(provider_id).identity_provider, step)


@blueprint.post("/<provider_id>/<step>/next")
@public
@_changing
def set_up_next(provider_id: str, step: str) -> Any:
    """That step is done."""
    with db.transaction():
        provider = _link(provider_id).identity_provider
        following = guide.go_on(_door(provider), provider, step)
    return redirect(url_for("set_up.set_up_step", provider_id=provider_id, step=following), 303)


@blueprint.post("/<provider_id>/metadata")
@public
@_changing
def set_up_metadata(provider_id: str) -> Any:
    """Read the metadata, trust what it says, and show that."""
    try:
        guide.take_metadata(
            lambda: _acting(_link(provider_id)), lambda: _link(provider_id).identity_provider, db.transaction
        )
    except DomainError as refused:
        return _page(_link(provider_id).identity_provider, METADATA, refused=refused)
    return redirect(url_for("set_up.set_up_step", provider_id=provider_id, step=METADATA), 303)


@blueprint.post("/<provider_id>/test")
@public
@_changing
def set_up_test(provider_id: str) -> Any:
    """Begin a test whose result is read on its step."""
    try:
        with db.transaction():
            provider = _link(provider_id).identity_provider
            start = guide.test(_door(provider), provider)
    except DomainError as refused:
        return _page(_link(provider_id).identity_provider, TEST, refused=refused)
    ends = url_for("set_up.set_up_step", provider_id=provider_id, step=TEST)
    return render_template("dashboard/set_up/to_provider.html", provider=provider, start=start, back=ends)


@blueprint.get("/<provider_id>/test/result")
@public
def set_up_result(provider_id: str) -> Any:
    """The result by itself, for the page that waits for it; nothing while nothing has changed."""
    provider = _link(provider_id).identity_provider
    found = guide.watched(_door(provider), provider)
    return ("", 204) if found is None else render_template("dashboard/set_up/_result.html", **found)
