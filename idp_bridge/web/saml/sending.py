"""GET /saml/<idp_id>/start: an AuthnRequest on its way, bound to the browser that goes with it."""

from flask import request
from werkzeug.wrappers import Response

from idp_bridge import clock, db, flow_pruning, idps, ids, saml_messages, sign_in, sign_in_flows, sp_keys
from idp_bridge.errors import TooManyRequests
from idp_bridge.models import IdentityProvider, SignInFlow
from idp_bridge.rates import MINUTE, SECOND, Limit, site
from idp_bridge.saml import metadata
from idp_bridge.saml.errors import Reason, Rejected
from idp_bridge.saml.request import authn_request
from idp_bridge.saml.sending import Sent
from idp_bridge.sign_in import Refused
from idp_bridge.sign_in_flows import SP_INITIATED, TEST
from idp_bridge.web import cookies, guard, handover
from idp_bridge.web.guard import public
from idp_bridge.web.next_path import safe
from idp_bridge.web.saml import refusing
from idp_bridge.web.saml.blueprint import blueprint

_BRISK = Limit("sign-ins begun", 1_000, MINUTE)  # more than people begin
_ROOM = Limit("room made", 1, SECOND)


@blueprint.get("/start")
@public
def start(provider_id: str) -> Response:
    """SP-initiated: remember the request and this browser, and go to the provider. ``flow``: a request that was
    prepared, by an administrator's test or by what began at the provider, and waits for its browser."""
    provider = idps.with_account(provider_id)
    prepared = request.args.get("flow")
    return _begin(provider) if prepared is None else _go_on(provider, prepared)


def _begin(provider: IdentityProvider) -> Response:
    try:
        sign_in.check_usable(provider)
    except Refused as refused:
        return refusing.refuse(provider, refused, kind=SP_INITIATED)
    request_id = sign_in_flows.new_request_id(ids.new("flow"))
    is_crowded = _is_crowded(provider)
    with db.transaction():
        if is_crowded:
            flow_pruning.bound_site(provider, site(request.remote_addr))
        sign_in_flows.begin(
            provider,
            request_id=request_id,
            kind=SP_INITIATED,
            caller=refusing.caller(),
            next_path=safe(request.args.get("next")) or "/",
            browser_digest=cookies.mark_browser(),
        )
        sent = _send(provider, request_id)
    return _hand_over(provider, sent)


def _is_crowded(provider: IdentityProvider) -> bool:
    """Whether room is to be made: more begin from this network address than people do, and for a second none was made.
    Nobody is refused for it: an office must not be shut out by one of its programs."""
    key = (provider.id, site(request.remote_addr))
    return not _is_within(_BRISK, *key) and _is_within(_ROOM, *key)


def _is_within(limit: Limit, *key: str) -> bool:
    try:
        limit.take(*key)
    except TooManyRequests:
        return False
    return True


def _go_on(provider: IdentityProvider, request_id: str) -> Response:
    flow = None
    try:
        with db.transaction():
            flow = _claimed(provider, request_id)
            if flow.kind != TEST or idps.is_draft(provider):
                sign_in.check_usable(provider)
            sent = _send(provider, request_id)
    except (Refused, Rejected) as refusal:
        return refusing.refuse(provider, refusal, flow=flow, kind=SP_INITIATED)
    return _hand_over(provider, sent)


def _claimed(provider: IdentityProvider, request_id: str) -> SignInFlow:
    flow = sign_in_flows.claim(provider, request_id, browser_digest=cookies.mark_browser(), caller=refusing.caller())
    if flow is None:
        raise Rejected(Reason.REQUEST_UNKNOWN)
    return flow


def _send(provider: IdentityProvider, request_id: str) -> Sent:
    urls = idps.urls(provider.id, guard.base_url())
    binding = metadata.POST if provider.sso_binding == "post" else metadata.REDIRECT
    sent = authn_request(
        sp_entity_id=urls["sp_entity_id"],
        acs_url=urls["acs_url"],
        sso=metadata.Endpoint(binding, provider.sso_url),
        now=clock.now(),
        identifier=request_id,
        relay_state=request_id,
        force_authn=provider.force_authn,
        name_id_format=provider.name_id_format,
        signing_key=sp_keys.signing(provider) if provider.sign_authn_requests else None,
    )
    saml_messages.keep(provider, sign_in_flows.flow_id_of(request_id), "request", sent.document)
    return sent


def _hand_over(provider: IdentityProvider, sent: Sent) -> Response:
    return handover.carry(sent, to=provider.description or provider.name, words="You sign in there and come back here.")
