"""POST /saml/<idp_id>/acs: a response comes in, is verified and used up, and waits for the browser that it is for.

The ACS post is cross-site, so the browser's SameSite=Lax cookies do not come with it. What a verified response says is
therefore held in its flow, and a 303 leads to a same-site GET where they do: there the browser that began the request
is compared. What began at the provider has no such browser. It is bound to the one that posted the response, by a
cookie that the post's answer sets, so that a link to /finish opens nothing elsewhere; and /finish asks first where
somebody else is signed in, or where the response was not posted from the provider's own page. Where the cookies came
with the post already (a provider on our own site), that detour is not needed.

Request and assertion are used up in a transaction that commits whatever comes next.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from idp_bridge import clock, db, idps, ids, saml_messages, sign_in_flows, sp_keys, tokens
from idp_bridge.models import IdentityProvider, SignInFlow
from idp_bridge.saml import attributes, profile
from idp_bridge.saml.attributes import Claims
from idp_bridge.saml.checks import Checks
from idp_bridge.saml.errors import Check, NotSaml, Reason, Rejected
from idp_bridge.saml.response import Assertion, ServiceProvider, Trust, verify
from idp_bridge.sign_in import Identity, Outcome, Refused
from idp_bridge.sign_in_flows import IDP_INITIATED, SP_INITIATED, WAITING_LIFETIME, Said, Used
from idp_bridge.web import cookies, guard
from idp_bridge.web.guard import public
from idp_bridge.web.next_path import safe
from idp_bridge.web.saml import refusing
from idp_bridge.web.saml.blueprint import blueprint
from idp_bridge.web.saml.finishing import ask_whether_ended, finish_flow, refuse_flow, somebody_else

LARGEST_POST = 256 * 1024

Next = Callable[[], Response]
"""What is done once the transaction has committed."""


@blueprint.post("/acs")
@public
def acs(provider_id: str) -> Response:
    """Assertion consumer service, POST binding. The provider is read when all of the response is here: what it was
    trusted by when somebody began to send is nothing to go by."""
    request.max_content_length = LARGEST_POST
    message = request.form.get("SAMLResponse", "")
    provider = idps.with_account(provider_id)
    document = saml_messages.decoded(message)
    if idps.is_draft(provider):  # nothing is trusted that a message could be held against
        return refusing.refuse(provider, Refused(Outcome.PROVIDER_DRAFT), document=document)
    try:
        if not message:
            raise NotSaml(Reason.NOT_A_RESPONSE, got="no SAMLResponse in the form")
        assertion = verify(message, trust=_trust(provider), sp=_service_provider(provider, document), now=clock.now())
    except Rejected as rejected:
        # Nothing of this was verified: it finds the flow that this is told of, and uses nothing up.
        asked = sign_in_flows.named(provider, request.form.get("RelayState"))
        flow = asked or sign_in_flows.named_within(provider, document)
        return refusing.refuse(provider, rejected, flow=flow, document=document)
    with db.transaction():
        go_on = _take_in(provider, assertion, document)
    return go_on()


@blueprint.get("/acs")
@public
def acs_by_hand(provider_id: str) -> Response:
    """A bookmark, or the way back: nobody posts anything there, so on to where a sign-in begins."""
    provider = idps.with_account(provider_id)
    return redirect(url_for("login.chooser", slug=provider.account.slug), 303)


def _take_in(provider: IdentityProvider, assertion: Assertion, document: bytes) -> Next:
    """Use request and assertion up, and see what comes next. Nothing is raised: it would undo the former."""
    used = sign_in_flows.use_up(provider, assertion)
    asked = Checks()
    try:
        _check_use(asked, assertion, used)
        said = _said(asked, provider, assertion)
        if not cookies.came():  # it waits for them, and is asked again then: what is over already need not wait
            ask_whether_ended(asked, provider, said)
        if used.flow is not None:
            return _answered(provider, used.flow, said, document)
        return _unsolicited(provider, said, document)
    except Rejected as rejected:
        refusal = rejected  # the name of an except clause is gone after it
        return lambda: refusing.refuse(
            provider,
            refusal,
            flow=used.flow,
            kind=SP_INITIATED if assertion.in_response_to else IDP_INITIATED,
            checks=(*assertion.checks, *asked.made),
            document=document,
            verified=True,
            name_id=assertion.name_id,
            attributes=assertion.attributes,
            warnings=assertion.warnings,
        )


def _check_use(asked: Checks, assertion: Assertion, used: Used) -> None:
    """What the door cannot know: the request is ours, the assertion new, the sign-in as fresh as we asked for."""
    if assertion.in_response_to is not None:
        asked.ask("request", _known, used, assertion.in_response_to)
    asked.ask("replay", _new, used, assertion.id)
    if used.flow is not None and used.flow.force_authn:
        instant, asked_at = assertion.authn_instant, used.flow.started_at
        asked.ask("freshness", profile.check_fresh, instant, asked_at=asked_at, now=clock.now())


def _known(used: Used, request_id: str) -> str:
    if used.flow is None:
        raise Rejected(Reason.REQUEST_UNKNOWN, got=request_id)
    return request_id


def _new(used: Used, assertion_id: str) -> str:
    if not used.is_new:
        raise Rejected(Reason.ASSERTION_REPLAYED, got=assertion_id)
    return assertion_id


# --- what we asked for ------------------------------------------------------------------------------------------


def _answered(provider: IdentityProvider, flow: SignInFlow, said: Said, document: bytes) -> Next:
    here = cookies.browser_digest()
    # Whoever caused a bounce knows its request, and could have its answer posted from a page of her own.
    to_confirm = flow.kind == IDP_INITIATED and not _is_from(provider)
    if here is None or to_confirm or somebody_else(provider, flow, said):
        return _hold(provider, flow, said, document, to_confirm=to_confirm)
    same = said.checked(Check("browser", here == flow.browser_digest, "", ""))
    if here == flow.browser_digest:
        return lambda: finish_flow(provider, flow, same, document)
    return lambda: refuse_flow(provider, Rejected(Reason.OTHER_BROWSER), flow, same, document)


def _hold(
    provider: IdentityProvider, flow: SignInFlow, said: Said, document: bytes, *, to_confirm: bool = False
) -> Next:
    sign_in_flows.hold(provider, flow, said, to_confirm=to_confirm)
    saml_messages.keep(provider, flow.id, "response", document)
    return lambda: redirect(url_for("saml.finish", provider_id=provider.id, flow=flow.id), 303)


# --- what began at the provider ---------------------------------------------------------------------------------


def _unsolicited(provider: IdentityProvider, said: Said, document: bytes) -> Next:
    target = safe(request.form.get("RelayState")) or "/"
    # ForceAuthn asks for a sign-in newer than the request. Where there is none, only one of ours can say what is new.
    if provider.bounce_idp_initiated or provider.force_authn:
        return _bounce(provider, said, document, target)
    from_provider = _is_from(provider)
    if from_provider and cookies.came() and not guard.signed_in():
        flow = sign_in_flows.unsolicited(
            provider, caller=refusing.caller(), next_path=target, browser_digest=cookies.browser_digest()
        )
        return lambda: finish_flow(provider, flow, said, document)
    nonce = cookies.new_nonce()
    flow = sign_in_flows.unsolicited(
        provider, caller=refusing.caller(), next_path=target, browser_digest=tokens.digest(nonce)
    )
    leads = _hold(provider, flow, said, document, to_confirm=not from_provider)
    return lambda: cookies.bind(leads(), flow.id, nonce, lifetime=WAITING_LIFETIME)


def _bounce(provider: IdentityProvider, said: Said, document: bytes, target: str) -> Next:
    """Only the request that we send ourselves signs anybody in: nothing of this response is used but that the provider
    sent it. It is verified all the same, so that a connection that would be refused says so instead of going round."""
    if sign_in_flows.bounced_in_vain(provider, said.identity.name_id):
        raise Rejected(Reason.REQUEST_NOT_NAMED)
    flow = sign_in_flows.begin(
        provider,
        request_id=sign_in_flows.new_request_id(ids.new("flow")),
        kind=IDP_INITIATED,
        caller=refusing.caller(),
        next_path=target,
        bounced=said.identity.name_id,
    )
    return lambda: redirect(url_for("saml.start", provider_id=provider.id, flow=flow.request_id), 303)


def _is_from(provider: IdentityProvider) -> bool:
    """Whether the provider's own page posted this, or ours. Browsers send Origin with every cross-site post; a client
    that sends none is no browser that anybody could be lured with."""
    origin = request.headers.get("Origin")
    return origin is None or origin in {_origin(provider.sso_url), _origin(guard.base_url())}


def _origin(url: str) -> str:
    """As a browser says it (RFC 6454 section 6.2): without the scheme's own port."""
    parts = urlsplit(url)
    port = parts.port if parts.port != {"https": 443, "http": 80}.get(parts.scheme) else None
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


# --- what the door is told, and what it tells -------------------------------------------------------------------


def _trust(provider: IdentityProvider) -> Trust:
    return Trust(
        entity_id=provider.entity_id,
        certificates=idps.certificates(provider),
        allow_idp_initiated=provider.allow_idp_initiated or provider.bounce_idp_initiated,
        want_encrypted=provider.want_assertions_encrypted,
        require_gcm=provider.require_gcm,
        allow_weak_signatures=provider.allow_weak_signatures,
    )


def _service_provider(provider: IdentityProvider, document: bytes) -> ServiceProvider:
    """Ourselves. Our keys are fetched where there is something to decrypt: in a document that the door takes, the name
    of an element cannot be written in another way."""
    urls = idps.urls(provider.id, guard.base_url())
    keys = sp_keys.decryption(provider) if b"Encrypted" in document else ()
    return ServiceProvider(entity_id=urls["sp_entity_id"], acs_url=urls["acs_url"], decryption_keys=keys)


def _said(asked: Checks, provider: IdentityProvider, assertion: Assertion) -> Said:
    """What a sign-in needs of a verified assertion."""
    claims = asked.ask("email", _claims, provider, assertion)
    identity = Identity(
        name_id=assertion.name_id,
        name_id_format=assertion.name_id_format,
        email=claims.email or "",
        first_name=claims.first_name or "",
        last_name=claims.last_name or "",
        display_name=claims.display_name or "",
        # Entra sends a link instead of more than 150 groups: the roles held stay, and nobody loses any.
        groups=None if claims.groups_overage else claims.groups,
        groups_overage=claims.groups_overage,
    )
    session = {
        "not_after": assertion.session_not_on_or_after,
        "name_id": assertion.name_id,
        "name_id_format": assertion.name_id_format,
        "name_qualifier": assertion.name_qualifier,
        "sp_name_qualifier": assertion.sp_name_qualifier,
        "session_index": assertion.session_index,
    }
    return Said(
        identity=identity,
        session=session,
        attributes=assertion.attributes,
        issued_at=assertion.issue_instant,
        signed_by=assertion.signed_by,
        checks=(*assertion.checks, *asked.made, *([_OVERAGE] if claims.groups_overage else [])),
        warnings=assertion.warnings,
    )


_OVERAGE = Check("groups", True, "a link to them: the roles held stay", "the groups themselves")


def _claims(provider: IdentityProvider, assertion: Assertion) -> Claims:
    claims = attributes.read(assertion, provider.attribute_mapping)
    if claims.email is None:
        raise Rejected(Reason.EMAIL_MISSING, got=", ".join(assertion.attributes))
    return claims
