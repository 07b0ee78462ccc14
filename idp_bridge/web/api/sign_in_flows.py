"""/api/identity_providers/{id}/sign_in_flows: how each sign-in through a connection went; and a test of it."""

from collections.abc import Sequence
from typing import Any

from flask import request
from marshmallow import fields, validate

from idp_bridge import clock, flow_history, idps, ids, saml_messages, sign_in_flows
from idp_bridge.flow_history import OUTCOMES
from idp_bridge.models import IdentityProvider, SignInFlow
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.sign_in_flows import KINDS, TEST, Caller
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import ID, Answer, Body, Instant, Text, Uri, listing
from idp_bridge.web.guard import actor, base_url, guard

blueprint = Blueprint("Sign-in flows", __name__, "Sign-ins through identity providers, check by check, and tests.")

FILTERS = ("outcome", "kind", "since", "email", "name_id", "event_id")
SIDES = ("identity_provider", "service_provider", "person", "administrator")


class SignInFlowPage(Page):
    """The filters of the list; all that are given must fit."""

    outcome = fields.String(validate=validate.OneOf(OUTCOMES))
    kind = fields.String(validate=validate.OneOf(KINDS))
    since = Instant(metadata={"description": "Inclusive."})
    email = Text(least=1, most=254, metadata={"description": "A part of the address."})
    name_id = Text(least=1, most=255, metadata={"description": "A part of the NameID."})
    event_id = Text(most=64, pattern=ID, metadata={"description": "The reference on the page of a refused person."})


class SignInFlowCreate(Body):
    """A test sign-in."""

    kind = fields.String(required=True, validate=validate.OneOf([TEST]))


class CheckAnswer(Answer):
    """One check, in the order made."""

    name = fields.String()
    passed = fields.Boolean()
    got = fields.String()
    want = fields.String()


class SessionAnswer(Answer):
    """The session that was opened."""

    live = fields.Boolean(metadata={"description": "Whether it still lets somebody in."})


class MessageAnswer(Answer):
    """A message of the flow."""

    xml = fields.String()
    note = fields.String(
        allow_none=True,
        validate=validate.OneOf([saml_messages.CUT, saml_messages.REDACTED, saml_messages.UNREADABLE]),
        metadata={"description": "What became of the rest; unreadable: it could not be redacted, and is not kept."},
    )


class SignInFlowAnswer(Answer):
    """One sign-in, from its request to its outcome."""

    id = fields.String()
    uri = Uri("/api/identity_providers/{identity_provider_id}/sign_in_flows/{id}")
    identity_provider_id = fields.String()
    kind = fields.String(validate=validate.OneOf(KINDS))
    outcome = fields.String(
        validate=validate.OneOf(OUTCOMES),
        metadata={"description": "not_answered: no response came; not_finished: the browser did not come back."},
    )
    reason = fields.String(allow_none=True, metadata={"description": "Why it was refused."})
    side = fields.String(allow_none=True, validate=validate.OneOf(SIDES), metadata={"description": "Who must act."})
    decision = fields.String(allow_none=True, metadata={"description": "What the decision table said."})
    started_at = Instant()
    answered_at = Instant(allow_none=True)
    finished_at = Instant(allow_none=True)
    expires_at = Instant(metadata={"description": "Till when its next step can come."})
    start_url = fields.String(
        allow_none=True,
        metadata={"format": "uri", "description": "Of a test that waits for its browser: opened once, in any browser."},
    )
    event_id = fields.String(allow_none=True)
    member_id = fields.String(allow_none=True)
    session = fields.Nested(SessionAnswer, allow_none=True)
    email = fields.String(allow_none=True)
    name_id = fields.String(allow_none=True)
    address = fields.String(allow_none=True)
    user_agent = fields.String()
    request_id = fields.String(allow_none=True, metadata={"description": "The ID of our AuthnRequest."})
    force_authn = fields.Boolean()
    next = fields.String(metadata={"description": "The page of ours that was asked for."})
    warnings = fields.List(fields.String())
    checks = fields.List(fields.Nested(CheckAnswer))
    attributes = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        allow_none=True,
        metadata={"description": "What the assertion said: of a test, and of what was refused after it was verified."},
    )
    groups = fields.List(fields.String(), allow_none=True, metadata={"description": "Of a test."})
    roles = fields.List(
        fields.String(), allow_none=True, metadata={"description": "Of a test: those that she would have."}
    )


class SignInFlowWithMessages(SignInFlowAnswer):
    """One sign-in with its messages, which are kept for 30 days."""

    request = fields.Nested(MessageAnswer, allow_none=True)
    response = fields.Nested(MessageAnswer, allow_none=True)


def _provider(provider_id: str) -> IdentityProvider:
    return idps.get(actor().account, provider_id)


def _all_shown(flows: Sequence[SignInFlow]) -> list[dict[str, Any]]:
    live = flow_history.live_sessions(flows)
    return [_shown(flow, live) for flow in flows]


def _shown(flow: SignInFlow, live: frozenset[str]) -> dict[str, Any]:
    stored = {name: getattr(flow, name) for name in SignInFlowAnswer().fields if hasattr(flow, name)}
    return {
        **stored,
        "outcome": flow_history.outcome(flow),
        "side": flow_history.side(flow.reason) if flow.reason else None,
        "start_url": _start_url(flow),
        "session": {"live": flow.session_digest in live} if flow.session_digest else None,
        "next": flow.next_path,
        "warnings": flow.warnings or [],
        "checks": sign_in_flows.checks(flow.checks),
    }


def _start_url(flow: SignInFlow) -> str | None:
    waits = flow.kind == TEST and flow.browser_digest is None and flow.expires_at > clock.now()
    start = idps.urls(flow.identity_provider_id, base_url())["start_url"]
    return f"{start}?flow={flow.request_id}" if waits else None


@blueprint.get("/identity_providers/<id:provider_id>/sign_in_flows")
@guard(Permission.IDPS_READ)
@blueprint.arguments(SignInFlowPage, location="query")
@blueprint.response(200, listing("sign_in_flows", SignInFlowAnswer))
def list_sign_in_flows(asked: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """The sign-ins through the provider, newest first."""
    wanted = {name: asked[name] for name in FILTERS if name in asked}
    flows = flow_history.of_provider(_provider(provider_id), **wanted)
    found = page("sign_in_flows", flows, SignInFlow.id, asked)
    return {**found, "sign_in_flows": _all_shown(found["sign_in_flows"])}


@blueprint.post("/identity_providers/<id:provider_id>/sign_in_flows")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
@blueprint.arguments(SignInFlowCreate)
@blueprint.response(201, SignInFlowAnswer)
def create_sign_in_flow(asked: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """A test, also of a connection that is off: open its ``start_url`` in a browser. It creates nothing."""
    caller = Caller(request.remote_addr, request.headers.get("User-Agent", ""))
    request_id = sign_in_flows.new_request_id(ids.new("flow"))
    provider = _provider(provider_id)
    flow = sign_in_flows.begin(provider, request_id=request_id, kind=asked["kind"], caller=caller)
    return _all_shown([flow])[0]


@blueprint.get("/identity_providers/<id:provider_id>/sign_in_flows/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, SignInFlowWithMessages)
def get_sign_in_flow(provider_id: str, id: str) -> dict[str, Any]:
    """One sign-in with its messages."""
    provider = _provider(provider_id)
    kept = saml_messages.of_flow(provider, id)
    (shown,) = _all_shown([flow_history.get(provider, id)])
    return {**shown, "request": kept.get("request"), "response": kept.get("response")}
