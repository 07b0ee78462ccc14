"""/saml/<idp_id>/finish, the same-site half of a sign-in: the browser is compared, and the decision made.

Transactions: what a flow held is taken in one that commits alone; the decision and the session are one of their own; so
is a refusal.
"""

from datetime import datetime
from typing import Any

from flask import redirect, render_template, request
from peewee import IntegrityError
from werkzeug.wrappers import Response

from idp_bridge import db, idps, saml_messages, sign_in, sign_in_flows, single_logout
from idp_bridge.errors import DomainError, NotFound
from idp_bridge.models import IdentityProvider, Member, Session, SignInFlow
from idp_bridge.saml.checks import Checks
from idp_bridge.saml.errors import Check, Reason, Rejected
from idp_bridge.sign_in import Way
from idp_bridge.sign_in_flows import SP_INITIATED, TEST, Ended, Held, Said
from idp_bridge.web import cookies, guard
from idp_bridge.web.entering import Entered, landing, lead, open_for
from idp_bridge.web.guard import public
from idp_bridge.web.saml import refusing
from idp_bridge.web.saml.blueprint import blueprint


@blueprint.get("/finish")
@public
def finish(provider_id: str) -> Response:
    """Compare the browser, and let it in; or ask, where that would replace somebody or nobody knows who sent her."""
    provider = idps.with_account(provider_id)
    asked = request.args.get("flow", "")
    held = _held(provider, asked)
    if held is None:
        return _not_held(provider, asked)
    somebody = somebody_else(provider, held.flow, held.said)
    if somebody is None and not held.to_confirm:
        return _release(provider, held)
    page = render_template("sign_in_confirm.html", provider=provider, held=held, somebody=somebody)
    return Response(page, mimetype="text/html")


@blueprint.post("/finish")
@public
def confirm(provider_id: str) -> Response:
    """She said yes."""
    guard.csrf.protect()
    provider = idps.with_account(provider_id)
    asked = request.form.get("flow", "")
    held = _held(provider, asked)
    return _not_held(provider, asked) if held is None else _release(provider, held)


def _held(provider: IdentityProvider, flow_id: str) -> Held | None:
    return sign_in_flows.held(provider, flow_id, browsers=cookies.digests_for(flow_id))


def _not_held(provider: IdentityProvider, flow_id: str) -> Response:
    """Nothing waits here. Whoever has finished it already, and comes by the same link, is led on if that let her in."""
    flow = sign_in_flows.seen(provider, flow_id)
    has_its_session = flow is not None and flow.session_digest in {
        member.session.digest for member in guard.signed_in()
    }
    if flow is None or not (has_its_session or flow.browser_digest in cookies.digests_for(flow_id)):
        check = Check("browser", False, "", "the browser that it waits for")
        return refusing.refuse(provider, Rejected(Reason.OTHER_BROWSER), kind=SP_INITIATED, checks=[check])
    if has_its_session:
        return redirect(landing(provider.account, flow.next_path), 303)
    if flow.finished_at is None:
        check = Check("request", False, "", "one that is not over")
        return refusing.refuse(provider, Rejected(Reason.REQUEST_UNKNOWN), kind=SP_INITIATED, checks=[check])
    return refusing.to_result(provider, flow) if flow.kind == TEST else refusing.refuse_again(provider, flow)


def somebody_else(provider: IdentityProvider, flow: SignInFlow, said: Said) -> Member | None:
    """Who is signed in here, where it is not the person whom the response names: whoever began this, at a link of
    somebody's perhaps, she is asked before her session ends. A test ends none."""
    reached = guard.signed_in()
    if flow.kind == TEST or not reached:
        return None
    here: Member = reached[0]
    if _is_named_by(here.session, provider, said):  # type: ignore[attr-defined]  # see sessions.memberships
        return None
    named = sign_in.identify(provider.account, provider, said.identity).member
    return None if named is not None and named.person_id == here.person_id else here


def _is_named_by(session: Session, provider: IdentityProvider, said: Said) -> bool:
    """Whether the session was opened for the very NameID: what mostly is so asks the database nothing."""
    name = (session.identity_provider_id, session.name_id, session.name_id_format)
    return name == (provider.id, said.identity.name_id, said.identity.name_id_format)


def _release(provider: IdentityProvider, held: Held) -> Response:
    with db.transaction():
        taken = sign_in_flows.release(held.flow)
    if not taken:
        return _not_held(provider, held.flow.id)
    return finish_flow(provider, held.flow, held.said.checked(Check("browser", True, "", "")))


# --- the decision -----------------------------------------------------------------------------------------------


def finish_flow(provider: IdentityProvider, flow: SignInFlow, said: Said, document: bytes = b"") -> Response:
    """Ask what may be otherwise since the response was verified, decide, and open the session, in one transaction. It
    reads the provider and its account anew: what they are now decides. ``document``: the response, where it is not kept
    yet."""
    if flow.kind == TEST:
        return _finish_test(idps.with_account(provider.id), flow, said, document)
    asked = Checks()

    def work() -> Entered:
        nonlocal asked
        asked = Checks()  # of an attempt that was undone nothing is told
        return _let_in(idps.with_account(provider.id), flow, said, document=document, asked=asked)

    try:
        try:
            entered = db.repeated(work)
        except IntegrityError:  # she was removed at this moment, or what gave her a role was: it is decided anew
            entered = db.repeated(work)
    except NotFound:  # the connection was deleted, and with it whatever this could be written down with
        raise
    except (DomainError, Rejected) as refused:
        return refuse_flow(provider, refused, flow, said.checked(*asked.made), document)
    return cookies.unbind(lead(entered, flow.next_path), flow.id)


def _let_in(provider: IdentityProvider, flow: SignInFlow, said: Said, *, document: bytes, asked: Checks) -> Entered:
    _check_still(asked, provider, said)
    actor = guard.provider_actor(provider.account, provider, source="saml")
    way, began_at = _way(flow), _began_at(flow, said)
    admission = sign_in.by_assertion(actor, provider, said.identity, way=way, began_at=began_at)
    warnings = (*said.warnings, *admission.warnings)
    entered = open_for(
        admission.member,
        Way.SAML,
        facts=_facts(provider, flow, said, warnings),
        identity_provider_id=provider.id,
        **said.session,
    )
    ended = Ended(
        checks=said.checked(*asked.made, _decided(admission.outcome.value)).checks,
        event_id=entered.event_id,
        decision=admission.outcome.value,
        member_id=admission.member.id,
        session_digest=entered.opened.session.digest,
        email=said.identity.email,
        name_id=said.identity.name_id,
        warnings=warnings,
    )
    sign_in_flows.end(provider, flow, ended)
    saml_messages.keep(provider, flow.id, "response", document)
    return entered


def _check_still(asked: Checks, provider: IdentityProvider, said: Said) -> None:
    """Minutes may lie between the response and its browser: a key may have been given up, a person signed out."""
    asked.ask("signer", _pinned_still, provider, said.signed_by)
    ask_whether_ended(asked, provider, said)


def ask_whether_ended(asked: Checks, provider: IdentityProvider, said: Said) -> None:
    """Whether the provider has signed her out since it said this (see single_logout)."""
    asked.ask(
        "logout",
        single_logout.check_not_ended,
        provider,
        name_id=said.identity.name_id,
        session_index=said.session["session_index"],
        issued_at=said.issued_at,
    )


def _pinned_still(provider: IdentityProvider, signed_by: tuple[str, ...]) -> None:
    pinned = {certificate["fingerprint_sha256"] for certificate in provider.certificates}
    for fingerprint in signed_by:
        if fingerprint not in pinned:
            raise Rejected(Reason.SIGNATURE_INVALID, got=f"by {fingerprint[:16]}", want="a key that is pinned still")


def _way(flow: SignInFlow) -> Way:
    """A bounce answers a request of ours, whoever began it."""
    return Way.IDP_INITIATED if flow.request_id is None else Way.SAML


def _began_at(flow: SignInFlow, said: Said) -> datetime:
    """Since when the provider may have known what it says: since our request, by our clock, or since its own word where
    nobody asked."""
    return flow.started_at if flow.request_id is not None else min(flow.started_at, said.issued_at)


def _facts(provider: IdentityProvider, flow: SignInFlow, said: Said, warnings: tuple[str, ...]) -> dict[str, Any]:
    return {
        "identity_provider_id": provider.id,
        "email": said.identity.email,
        "name_id": said.identity.name_id,
        "warnings": list(warnings),
        "flow_id": flow.id,
    }


def refuse_flow(
    provider: IdentityProvider, refusal: Rejected | DomainError, flow: SignInFlow, said: Said, document: bytes
) -> Response:
    checks = said.checks if isinstance(refusal, Rejected) else said.checked(_decided(refusal)).checks
    return refusing.refuse(
        provider,
        refusal,
        flow=flow,
        checks=checks,
        document=document,
        verified=True,
        email=said.identity.email,
        name_id=said.identity.name_id,
        attributes=said.attributes,
        warnings=said.warnings,
    )


def _decided(outcome: str | DomainError) -> Check:
    """The decision table's answer as a check."""
    if isinstance(outcome, str):
        return Check("decision", True, outcome, "")
    reason = outcome.outcome.value if isinstance(outcome, sign_in.Refused) else outcome.code.value
    return Check("decision", False, reason, "")


def _finish_test(provider: IdentityProvider, flow: SignInFlow, said: Said, document: bytes) -> Response:
    """Rehearse the decision, and write down what would have come of it."""
    asked = Checks()
    try:
        _check_still(asked, provider, said)
    except Rejected as rejected:
        return refuse_flow(provider, rejected, flow, said.checked(*asked.made), document)
    actor = guard.provider_actor(provider.account, provider, source="saml")
    rehearsed = sign_in.rehearse(actor, provider, said.identity)
    decision = _decided(rehearsed.refusal or str(rehearsed.outcome))
    ended = Ended(
        checks=said.checked(*asked.made, decision).checks,
        reason=decision.got if rehearsed.refusal else None,
        decision=rehearsed.outcome,
        member_id=rehearsed.member_id,
        email=said.identity.email,
        name_id=said.identity.name_id,
        warnings=(*said.warnings, *rehearsed.warnings),
        attributes=said.attributes,
        groups=said.identity.groups,
        roles=rehearsed.roles,
    )
    with db.transaction():
        sign_in_flows.end(provider, flow, ended)
        saml_messages.keep(provider, flow.id, "response", document)
    return refusing.to_result(provider, flow)
