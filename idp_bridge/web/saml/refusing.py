"""A refusal: one event and one flow in a transaction of its own, and a page that tells the person what to do.

The page shows whose side it lies on, words of ours and the reference, which is the event's id; nothing of the message.
A test that is refused ends on its result instead, and is no event: nobody was kept out.

How many are written down is in budgets.py; past that the reference is the operation id, which the log has.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flask import g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from idp_bridge import (
    clock,
    db,
    events,
    flow_history,
    identity_conflicts,
    ids,
    metrics,
    rates,
    saml_messages,
    sign_in_flows,
    tokens,
)
from idp_bridge.errors import DomainError
from idp_bridge.events import Type
from idp_bridge.identity_conflicts import Case
from idp_bridge.models import IdentityProvider, SignInFlow
from idp_bridge.saml.errors import Check, NotSaml, Reason, Rejected
from idp_bridge.sign_in import Refused
from idp_bridge.sign_in_flows import IDP_INITIATED, SP_INITIATED, TEST, Caller, Ended
from idp_bridge.web import guard
from idp_bridge.web.next_path import safe
from idp_bridge.web.saml import budgets
from idp_bridge.web.saml.budgets import Budget

log = logging.getLogger(__name__)


class _Told(NamedTuple):
    """What is said of a refusal: ``facts`` to administrators, the rest to the person."""

    reason: str
    words: str
    facts: Mapping[str, str | None]
    status: int
    decision: str | None = None
    checks: Sequence[Check] = ()
    case: Case | None = None


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
    budget, payer = _paying(flow, kind, ended.name_id if verified else None)
    if budget.pays(provider, payer):
        with db.transaction():
            reference = _event(provider, told, flow_id, verified=verified)
            ended = replace(ended, event_id=reference)
            if flow is None:
                sign_in_flows.stray(
                    provider, flow_id=flow_id, kind=kind, caller=caller(), ended=ended, verified=verified
                )
            else:
                sign_in_flows.end(provider, flow, ended)
            saml_messages.keep(provider, flow_id, "response", document, verified=verified)
    metrics.instruments().sign_in("saml", told.reason)
    log.info(
        "sign-in refused", extra={"identity_provider_id": provider.id, "reason": told.reason, "reference": reference}
    )
    return _page(provider, told, reference)


def refuse_again(provider: IdentityProvider, flow: SignInFlow) -> Response:
    """What is over is over: the same browser is told so, and that is no refusal to write down. Its reference is the
    event that the sign-in ended in."""
    return _page(provider, _told(Rejected(Reason.REQUEST_UNKNOWN)), flow.event_id or g.request_id)


def to_result(provider: IdentityProvider, flow: SignInFlow) -> Response:
    """A test ends where whoever began it reads what came of it: on the step of a set-up, else on the flow's page."""
    page = url_for("dashboard.sign_in_flow", slug=provider.account.slug, provider_id=provider.id, flow_id=flow.id)
    wanted = safe(flow.next_path)
    return redirect(page if wanted in (None, "/") else str(wanted), 303)


def caller() -> Caller:
    """The browser of this request."""
    return Caller(request.remote_addr, request.headers.get("User-Agent", ""))


def _told(refusal: Rejected | DomainError) -> _Told:
    if isinstance(refusal, Rejected):
        status = 400 if isinstance(refusal, NotSaml) else 403
        return _Told(refusal.reason.value, refusal.text.public, refusal.facts, status, checks=refusal.checks)
    if isinstance(refusal, Refused):
        said = refusal.outcome.value
        check = Check("decision", False, said, "")
        return _Told(said, refusal.message, refusal.facts, 403, said, [check], refusal.case)
    return _Told(refusal.code.value, refusal.message, {}, 403)


def _paying(flow: SignInFlow | None, kind: str, name_id: str | None) -> tuple[Budget, str]:
    """The budget, and who pays. ``name_id``: whom a verified message is about."""
    if name_id is not None:
        return budgets.VERIFIED, tokens.digest(name_id)
    if flow is not None:
        return budgets.BEGUN, rates.site(flow.address)
    return budgets.BEGUN if kind == SP_INITIATED else budgets.STRAY, rates.site(request.remote_addr)


def _event(provider: IdentityProvider, told: _Told, flow_id: str, *, verified: bool) -> str:
    """Of a message that nothing vouches for, its provider has not said it."""
    account = provider.account
    actor = (
        guard.provider_actor(account, provider, source="saml") if verified else guard.stranger(account, source="saml")
    )
    facts = {name: value for name, value in told.facts.items() if value is not None}
    if told.case is not None:
        facts["identity_conflict_id"] = identity_conflicts.note(actor, provider, told.case)
    refused = {"id": provider.id, "reason": told.reason, "facts": facts, "flow_id": flow_id}
    return events.record(actor, Type.SIGN_IN_REFUSED, refused)


def _page(provider: IdentityProvider, told: _Told, reference: str) -> Response:
    page = render_template(
        "sign_in_refused.html",
        message=told.words,
        side=flow_history.side(told.reason),
        reference=reference,
        provider=provider,
        at=clock.now(),
    )
    return Response(page, told.status, mimetype="text/html")
