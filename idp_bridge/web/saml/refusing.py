"""A refusal: one event and one flow in a transaction of its own, and a page that tells the person what to do.

The page shows whose side it lies on, words of ours and the reference, which is the event's id; nothing of the message.
A test that is refused ends on its result instead, and is no event: nobody was kept out.

Anybody may post anything here. So of each connection only so many refusals an hour are written down; past that the
reference is the operation id, which the log has.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flask import g, redirect, render_template, request, url_for
from limits import RateLimitItemPerHour
from werkzeug.wrappers import Response

from idp_bridge import clock, db, events, ids, saml_messages, sign_in_flows
from idp_bridge.errors import DomainError, TooManyRequests
from idp_bridge.events import Type
from idp_bridge.models import IdentityProvider, SignInFlow
from idp_bridge.rates import Limit
from idp_bridge.saml.errors import Check, NotSaml, Rejected
from idp_bridge.sign_in import Refused
from idp_bridge.sign_in_flows import IDP_INITIATED, TEST, Caller, Ended
from idp_bridge.web import guard

log = logging.getLogger(__name__)

KEPT_AN_HOUR = 1_000  # refusals of one connection that are written down

_kept = Limit(RateLimitItemPerHour(KEPT_AN_HOUR, namespace="refused sign-ins"), "not kept")


class _Told(NamedTuple):
    """What is said of a refusal: ``facts`` to administrators, the rest to the person."""

    reason: str
    words: str
    facts: Mapping[str, str | None]
    status: int
    decision: str | None = None
    checks: Sequence[Check] = ()


def refuse(
    provider: IdentityProvider,
    refusal: Rejected | DomainError,
    *,
    flow: SignInFlow | None = None,
    kind: str = IDP_INITIATED,
    checks: Sequence[Check] = (),
    document: bytes = b"",
    verified: bool = False,
    **who: Any,
) -> Response:
    """Write it down and answer. ``flow`` None: it belongs to none of ours, and ``kind`` is what it looks like;
    ``who``: email, name_id, attributes and so on of a verified assertion (see sign_in_flows.Ended)."""
    told = _told(refusal)
    ended = Ended(reason=told.reason, decision=told.decision, checks=checks or told.checks, **who)
    if flow is not None and flow.kind == TEST:
        with db.transaction():
            sign_in_flows.end(provider, flow, ended)
            saml_messages.keep(provider, flow.id, "response", document, verified=verified)
        return to_result(provider, flow)
    flow_id = flow.id if flow else ids.new("flow")
    reference = g.request_id
    if is_kept(provider):
        with db.transaction():
            reference = _event(provider, told, flow_id)
            ended = replace(ended, event_id=reference)
            if flow is None:
                sign_in_flows.stray(provider, flow_id=flow_id, kind=kind, caller=caller(), ended=ended)
            else:
                sign_in_flows.end(provider, flow, ended)
            saml_messages.keep(provider, flow_id, "response", document, verified=verified)
    log.info(
        "sign-in refused", extra={"identity_provider_id": provider.id, "reason": told.reason, "reference": reference}
    )
    return _page(provider, told, reference)


def to_result(provider: IdentityProvider, flow: SignInFlow) -> Response:
    """A test ends on the page that tells an administrator what came of it."""
    page = url_for("dashboard.sign_in_flow", slug=provider.account.slug, provider_id=provider.id, flow_id=flow.id)
    return redirect(page, 303)


def caller() -> Caller:
    """The browser of this request."""
    return Caller(request.remote_addr, request.headers.get("User-Agent", ""))


def _told(refusal: Rejected | DomainError) -> _Told:
    if isinstance(refusal, Rejected):
        status = 400 if isinstance(refusal, NotSaml) else 403
        return _Told(refusal.reason.value, refusal.text.public, refusal.facts, status, checks=refusal.checks)
    if isinstance(refusal, Refused):
        return _Told(refusal.outcome.value, refusal.message, refusal.facts, 403, decision=refusal.outcome.value)
    return _Told(refusal.code.value, refusal.message, {}, 403)


def is_kept(provider: IdentityProvider) -> bool:
    """Whether one more refusal of this connection, of whatever message, is written down."""
    try:
        _kept.take(provider.id)
    except TooManyRequests:
        return False
    return True


def _event(provider: IdentityProvider, told: _Told, flow_id: str) -> str:
    actor = guard.provider_actor(provider.account, provider, source="saml")
    facts = {name: value for name, value in told.facts.items() if value is not None}
    refused = {"id": provider.id, "reason": told.reason, "facts": facts, "flow_id": flow_id}
    return events.record(actor, Type.SIGN_IN_REFUSED, refused)


def _page(provider: IdentityProvider, told: _Told, reference: str) -> Response:
    page = render_template(
        "sign_in_refused.html",
        message=told.words,
        side=sign_in_flows.side(told.reason),
        reference=reference,
        provider=provider,
        at=clock.now(),
    )
    return Response(page, told.status, mimetype="text/html")
