"""/saml/<idp_id>: start, ACS, finish and our metadata.

The ACS post is cross-site, so the browser's SameSite=Lax cookie does not come with it. What a verified response says is
therefore kept in a one-time row, and a 303 leads to a same-site GET where the cookie does come and is compared with the
browser that began the request. Where the cookie came with the post already (a provider on our own site), or where no
request began it (IdP-initiated), that detour is not needed.

Transactions: the request id and the assertion id are used up in one that commits alone, so that nothing later can undo
it; the sign-in itself is a second; a refusal is an event in one of its own.
"""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from peewee import IntegrityError
from werkzeug.wrappers import Response

from idp_bridge import clock, db, events, idps, plans, sign_in, tokens
from idp_bridge.errors import DomainError, Invalid
from idp_bridge.events import Type
from idp_bridge.models import AuthnRequest, IdentityProvider, UsedAssertion, WaitingSignIn
from idp_bridge.saml import attributes, metadata
from idp_bridge.saml import request as authn
from idp_bridge.saml.certificate import parse_certificate
from idp_bridge.saml.errors import NotSaml, Reason, Rejected
from idp_bridge.saml.response import Assertion, ServiceProvider, Trust, verify
from idp_bridge.sign_in import Identity, Refused, Way
from idp_bridge.web import cookies, guard, headers
from idp_bridge.web.entering import enter
from idp_bridge.web.guard import public
from idp_bridge.web.next_path import safe

blueprint = Blueprint("saml", __name__, url_prefix="/saml/<provider_id>")

REQUEST_LIFETIME = timedelta(minutes=15)  # how long somebody may sit at the provider's own sign-in page
WAITING_LIFETIME = timedelta(minutes=2)  # a redirect takes a moment
LARGEST_POST = 256 * 1024


def register(app: Flask) -> None:
    """Mount the blueprint. The ACS takes cross-site posts: its proof is the signature, not a CSRF token."""
    app.register_blueprint(blueprint)


# --- starting ---------------------------------------------------------------------------------------------------


@blueprint.get("/start")
@public
def start(provider_id: str) -> Response:
    """SP-initiated: remember the request and this browser, and go to the provider."""
    provider = idps.with_account(provider_id)
    _check_usable(provider)
    relay_state = secrets.token_urlsafe(30)  # opaque to the provider; Bindings 3.4.3 allows 80 bytes
    sent = _authn_request(provider, relay_state)
    with db.transaction():
        AuthnRequest.create(
            id=sent.id,
            identity_provider=provider,
            relay_state=relay_state,
            browser_digest=cookies.mark_browser(),
            next_path=safe(request.args.get("next")) or "/",
            expires_at=clock.now() + REQUEST_LIFETIME,
        )
    if sent.method == "GET":
        return redirect(sent.url, 303)
    page = Response(
        render_template("saml_post.html", url=sent.url, fields=sent.fields, provider=provider), mimetype="text/html"
    )
    page.headers["Content-Security-Policy"] = headers.policy(form_action=sent.url)
    return page


def _check_usable(provider: IdentityProvider) -> None:
    plans.require(provider.account, plans.Feature.SSO)
    if not provider.enabled:
        raise Refused(sign_in.Outcome.PROVIDER_DISABLED)


# --- the response -----------------------------------------------------------------------------------------------


@blueprint.post("/acs")
@public
def acs(provider_id: str) -> Response:
    """Assertion consumer service, POST binding."""
    request.max_content_length = LARGEST_POST
    provider = idps.with_account(provider_id)
    message = request.form.get("SAMLResponse")
    if not message:
        raise Invalid("This address takes SAML responses only: the form has no SAMLResponse.")
    try:
        _check_usable(provider)
        assertion = verify(message, trust=_trust(provider), sp=_service_provider(provider), now=clock.now())
        facts = _facts(provider, assertion)
        began = _use_up(provider, assertion)
    except Rejected as rejected:
        return _refused_by_door(provider, rejected)
    except DomainError as refused:
        return _refused(provider, refused)
    if began is None:
        # Nobody began it: only where the provider's switch allows, and to a page of ours.
        return _finish(provider, facts, safe(request.form.get("RelayState")) or "/")
    here = cookies.browser_digest()
    if here is None:
        return _wait(provider, facts, began)
    if here != began.browser_digest:
        return _refused_by_door(provider, Rejected(Reason.OTHER_BROWSER))
    return _finish(provider, facts, began.next_path)


def _use_up(provider: IdentityProvider, assertion: Assertion) -> AuthnRequest | None:
    """Consume the request and the assertion id, once among all processes; committed alone. Raises Rejected."""
    began: AuthnRequest | None = None
    with db.transaction():
        if assertion.in_response_to is not None:
            began = _consume_request(provider, assertion.in_response_to)
        try:
            UsedAssertion.create(
                identity_provider=provider, assertion_id=assertion.id, expires_at=assertion.not_on_or_after
            )
        except IntegrityError:
            raise Rejected(Reason.ASSERTION_REPLAYED) from None
    return began


def _consume_request(provider: IdentityProvider, request_id: str) -> AuthnRequest:
    pending = (
        (AuthnRequest.id == request_id)
        & (AuthnRequest.identity_provider == provider)
        & AuthnRequest.used_at.is_null()
        & (AuthnRequest.expires_at > clock.now())
    )
    if not AuthnRequest.update(used_at=clock.now()).where(pending).execute():
        raise Rejected(Reason.REQUEST_UNKNOWN)
    return AuthnRequest.get_by_id(request_id)


def _wait(provider: IdentityProvider, facts: dict[str, Any], began: AuthnRequest) -> Response:
    ticket = tokens.new(tokens.Kind.ONE_TIME_LINK)
    with db.transaction():
        WaitingSignIn.create(
            digest=tokens.digest(ticket),
            identity_provider=provider,
            browser_digest=began.browser_digest,
            facts=facts,
            next_path=began.next_path,
            expires_at=clock.now() + WAITING_LIFETIME,
        )
    return redirect(url_for("saml.finish", provider_id=provider.id, ticket=ticket), 303)


@blueprint.get("/finish")
@public
def finish(provider_id: str) -> Response:
    """The same-site half: compare the browser, and let it in."""
    provider = idps.with_account(provider_id)
    digest = tokens.digest(request.args.get("ticket", ""))
    live = (
        (WaitingSignIn.digest == digest)
        & (WaitingSignIn.identity_provider == provider)
        & (WaitingSignIn.expires_at > clock.now())
        & (WaitingSignIn.browser_digest == (cookies.browser_digest() or ""))
    )
    with db.transaction():
        waiting = WaitingSignIn.get_or_none(live)
        taken = waiting is not None and WaitingSignIn.delete().where(live).execute()
    if waiting is None or not taken:
        return _refused_by_door(provider, Rejected(Reason.OTHER_BROWSER))
    return _finish(provider, waiting.facts, waiting.next_path)


def _finish(provider: IdentityProvider, facts: Mapping[str, Any], next_path: str) -> Response:
    """Decide, and open the session, in one transaction."""
    actor = guard.provider_actor(provider.account, provider, source="saml")
    identity = Identity(**{**facts["identity"], "groups": _tuple(facts["identity"]["groups"])})
    told = {
        "identity_provider_id": provider.id,
        "email": identity.email,
        "name_id": identity.name_id,
        "warnings": facts["warnings"],
    }
    try:
        with db.transaction():
            return enter(
                sign_in.by_assertion(actor, provider, identity),
                Way.SAML,
                next_path,
                facts=told,
                identity_provider_id=provider.id,
                not_after=clock.parse(facts["not_after"]) if facts["not_after"] else None,
                name_id=identity.name_id,
                session_index=facts["session_index"],
            )
    except DomainError as refused:
        return _refused(provider, refused, email=identity.email, name_id=identity.name_id)


# --- refusing ---------------------------------------------------------------------------------------------------


def _refused_by_door(provider: IdentityProvider, rejected: Rejected) -> Response:
    reference = _record_refusal(provider, rejected.reason.value, dict(rejected.facts))
    status = 400 if isinstance(rejected, NotSaml) else 403
    return _refusal_page(provider, rejected.text.public, rejected.text.side, reference, status)


def _refused(provider: IdentityProvider, refused: DomainError, **facts: str | None) -> Response:
    outcome = refused.outcome.value if isinstance(refused, Refused) else refused.code.value
    if isinstance(refused, Refused):
        facts = {**facts, **refused.facts}
    return _refusal_page(provider, refused.message, "administrator", _record_refusal(provider, outcome, facts), 403)


def _record_refusal(provider: IdentityProvider, reason: str, facts: Mapping[str, Any]) -> str:
    actor = guard.provider_actor(provider.account, provider, source="saml")
    told = {name: value for name, value in facts.items() if value is not None}
    with db.transaction():
        return events.record(actor, Type.SIGN_IN_REFUSED, {"id": provider.id, "reason": reason, "facts": told})


def _refusal_page(provider: IdentityProvider, message: str, side: str, reference: str, status: int) -> Response:
    page = render_template("sign_in_refused.html", message=message, side=side, reference=reference, provider=provider)
    return Response(page, status, mimetype="text/html")


# --- our side of the connection ---------------------------------------------------------------------------------


@blueprint.get("/metadata")
@public
def sp_metadata(provider_id: str) -> Response:
    """Our metadata for this connection; its URL is our entity ID there."""
    document = idps.sp_metadata(idps.with_account(provider_id), guard.base_url())
    return Response(document, mimetype="application/samlmetadata+xml")


def _trust(provider: IdentityProvider) -> Trust:
    return Trust(
        entity_id=provider.entity_id,
        certificates=idps.certificates(provider),
        allow_idp_initiated=provider.allow_idp_initiated,
        want_encrypted=provider.want_assertions_encrypted,
    )


def _service_provider(provider: IdentityProvider) -> ServiceProvider:
    urls = idps.urls(provider.id, guard.base_url())
    key = idps.signing_key(provider)
    return ServiceProvider(
        entity_id=urls["sp_entity_id"], acs_url=urls["acs_url"], decryption_keys=(key,) if key else ()
    )


def _authn_request(provider: IdentityProvider, relay_state: str) -> authn.AuthnRequest:
    urls = idps.urls(provider.id, guard.base_url())
    binding = metadata.POST if provider.sso_binding == "post" else metadata.REDIRECT
    key = idps.signing_key(provider) if provider.sign_authn_requests else None
    certificate = parse_certificate(provider.sp_certificate) if key and provider.sp_certificate else None
    return authn.authn_request(
        sp_entity_id=urls["sp_entity_id"],
        acs_url=urls["acs_url"],
        sso=metadata.Endpoint(binding, provider.sso_url),
        now=clock.now(),
        relay_state=relay_state,
        force_authn=provider.force_authn,
        signing_key=authn.SigningKey(key, certificate) if key and certificate else None,
    )


def _facts(provider: IdentityProvider, assertion: Assertion) -> dict[str, Any]:
    """What a sign-in needs of a verified assertion, as JSON."""
    claims = attributes.read(assertion, provider.attribute_mapping)
    if claims.email is None:
        raise Rejected(Reason.EMAIL_MISSING, got=", ".join(assertion.attributes))
    ends = assertion.session_not_on_or_after
    return {
        "identity": {
            "name_id": assertion.name_id,
            "name_id_format": assertion.name_id_format,
            "email": claims.email,
            "first_name": claims.first_name or "",
            "last_name": claims.last_name or "",
            "display_name": claims.display_name or "",
            # Entra sends a link instead of more than 150 groups: the roles held stay, and nobody loses any.
            "groups": None if claims.groups_overage else claims.groups,
        },
        "session_index": assertion.session_index,
        "warnings": list(assertion.warnings),
        "not_after": clock.rfc3339(ends) if ends else None,
    }


def _tuple(groups: list[str] | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return tuple(groups) if groups is not None else None
