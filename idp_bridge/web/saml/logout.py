"""/saml/<idp_id>/slo: the provider signs somebody out here, or answers that it has signed her out there.

Both come from the provider's page, so no cookie need come with them, and none is looked at: the signature is the proof.
A request ends the sessions that it names, in whatever browser they are. A response only tells: the session here had
ended before the provider was asked, and its words wait for the browser that asked, as sign-ins do.
"""

import logging
from typing import Any

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from idp_bridge import clock, db, events, idps, rates, single_logout
from idp_bridge.events import Type
from idp_bridge.models import IdentityProvider
from idp_bridge.saml import logout
from idp_bridge.saml.errors import NotSaml, Rejected
from idp_bridge.saml.logout import LogoutRequest, LogoutResponse
from idp_bridge.web import cookies, guard, handover
from idp_bridge.web.guard import public
from idp_bridge.web.saml import budgets
from idp_bridge.web.saml.blueprint import blueprint

log = logging.getLogger(__name__)


@blueprint.get("/slo")
@public
def slo(provider_id: str) -> Any:
    """By HTTP-Redirect."""
    provider = idps.with_account(provider_id)
    try:
        message = logout.from_query(request.query_string, **_expected(provider))
        return _take(provider, message)
    except Rejected as rejected:
        return _refused(provider, rejected)


@blueprint.post("/slo")
@public
def slo_by_post(provider_id: str) -> Any:
    """By HTTP-POST. The provider is read when all of the message is here, as for sign-ins."""
    request.max_content_length = 2 * logout.LARGEST_POST  # percent-encoded, beside a RelayState
    fields = request.form
    provider = idps.with_account(provider_id)
    try:
        message = logout.from_form(fields, **_expected(provider))
        return _take(provider, message)
    except Rejected as rejected:
        return _refused(provider, rejected)


@blueprint.get("/slo/done")
@public
def slo_done(provider_id: str) -> Response:
    """Where the browser's cookie does come: to the login page, with words for the browser that signed out."""
    provider = idps.with_account(provider_id)
    with db.transaction():
        complete = single_logout.outcome(
            provider, request.args.get("request", ""), browser_digest=cookies.browser_digest()
        )
    name = provider.description or provider.name
    if complete is not None:
        flash(f"You are signed out here and at {name}." if complete else _INCOMPLETE.format(name=name))
    return redirect(url_for("login.login"), 303)


_INCOMPLETE = "You are signed out here. {name} did not confirm that it has signed you out everywhere else."


def _expected(provider: IdentityProvider) -> dict[str, Any]:
    return {
        "trust": single_logout.trust(provider),
        "slo_url": idps.urls(provider.id, guard.base_url())["slo_url"],
        "now": clock.now(),
    }


def _take(provider: IdentityProvider, message: LogoutRequest | LogoutResponse) -> Response:
    if isinstance(message, LogoutResponse):
        with db.transaction():
            single_logout.note(provider, message)
        return redirect(url_for("saml.slo_done", provider_id=provider.id, request=message.in_response_to), 303)
    actor = guard.provider_actor(provider.account, provider, source="saml")
    with db.transaction():
        single_logout.obey(actor, provider, message)
    with db.transaction():  # one of its own: the sessions are over whether an answer can be made or not
        answer = single_logout.answer(provider, message, base_url=guard.base_url())
    name = provider.description or provider.name
    if answer is None:
        return Response(render_template("login/logout.html", signed_in=[]), mimetype="text/html")
    # Some providers sign out of all applications at once, in hidden frames of their own page.
    return handover.carry(
        answer, to=name, words=f"You are signed out here. {name} is told so.", framed_by=provider.slo_url
    )


def _refused(provider: IdentityProvider, rejected: Rejected) -> Response:
    actor = guard.stranger(provider.account, source="saml")  # in its name only
    told = {"id": provider.id, "reason": rejected.reason.value, "facts": dict(rejected.facts)}
    reference = g.request_id
    if budgets.LOGOUT.pays(provider, rates.site(request.remote_addr)):
        with db.transaction():
            reference = events.record(actor, Type.LOGOUT_REFUSED, told)
    log.info(
        "logout refused",
        extra={"identity_provider_id": provider.id, "reason": rejected.reason.value, "reference": reference},
    )
    page = render_template("logout_refused.html", provider=provider, reference=reference)
    return Response(page, 400 if isinstance(rejected, NotSaml) else 403, mimetype="text/html")
