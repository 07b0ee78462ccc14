"""The sign-ins of a connection: how each went, check by check, whose side must act, and what to do there."""

from collections.abc import Mapping
from typing import Any

from flask import redirect, request, url_for
from markupsafe import Markup

from idp_bridge import flow_history, flow_pruning, idps, ids, providers, saml_messages, sign_in_flows
from idp_bridge.models import IdentityProvider, Member, SignInFlow
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.saml import pinned
from idp_bridge.saml.checks import CHECKS
from idp_bridge.saml.errors import REASONS, Check, Reason
from idp_bridge.sign_in import PUBLIC, WARNINGS, Outcome
from idp_bridge.web.dashboard import time_line
from idp_bridge.web.dashboard.advice import marked
from idp_bridge.web.dashboard.connection import kind_of, show, urls
from idp_bridge.web.dashboard.page import blueprint
from idp_bridge.web.dashboard.xml_lines import pretty
from idp_bridge.web.guard import actor, guard

PAGE = 50

_WARNINGS = {**pinned.WARNINGS, **WARNINGS}

KINDS = {
    sign_in_flows.SP_INITIATED: "Started here",
    sign_in_flows.IDP_INITIATED: "Not started here",
    sign_in_flows.TEST: "Test",
}

#: Outcome -> its word, and how loudly it is said.
OUTCOMES = {
    "succeeded": ("Signed in", "good"),
    "refused": ("Refused", "bad"),
    "pending": ("Under way", ""),
    "not_answered": ("No answer", "warn"),
    "not_finished": ("Not finished", "warn"),
}

SIDES = {
    "identity_provider": "Whoever runs the identity provider",
    "service_provider": "You, on this connection",
    "administrator": "You, in this account",
    "person": "The person herself",
}

#: The checks that follow those of the door.
_LATER_CHECKS = {
    "request": "Answers a request of ours that waits for it",
    "replay": "Not used before",
    "freshness": "Signed in anew, as we asked",
    "signer": "By a key that is pinned still",
    "logout": "Not signed out at the identity provider meanwhile",
    "email": "One usable e-mail address",
    "groups": "The groups themselves, where it speaks of groups",
    "browser": "In the browser that began it",
    "decision": "May come in",
}
CHECK_WORDS: Mapping[str, str] = {**CHECKS, **_LATER_CHECKS}


# --- the list ---------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/flows", endpoint="sign_in_flows")
@guard(Permission.IDPS_READ)
def flow_list(provider_id: str) -> Any:
    """The newest first, by outcome, by who it was; a reference leads straight to its flow."""
    provider = idps.get(actor().account, provider_id)
    wanted = {name: value for name in ("outcome", "q") if (value := request.args.get(name, "").strip())}
    if wanted.get("outcome") not in OUTCOMES:
        wanted.pop("outcome", None)
    found = _searched(provider, wanted)
    if "q" in wanted and wanted["q"].startswith(("ev_", "flow_")) and (flow := found.get_or_none()):
        return redirect(url_for("dashboard.sign_in_flow", provider_id=provider.id, flow_id=flow.id))
    before = request.args.get("before")
    if before:
        found = found.where(SignInFlow.id < before)
    rows = list(found.order_by(SignInFlow.id.desc()).limit(PAGE + 1))
    return show(
        "sign_in_flows.html",
        provider,
        flows=[(row, *_said_of(row)) for row in rows[:PAGE]],
        older=rows[PAGE - 1].id if len(rows) > PAGE else None,
        wanted=wanted,
        paged=before is not None,
        outcomes=OUTCOMES,
        flow_kinds=KINDS,
        days=flow_pruning.KEPT_FOR.days,
    )


def _searched(provider: IdentityProvider, wanted: Mapping[str, str]) -> Any:
    text, outcome = wanted.get("q", ""), wanted.get("outcome")
    if text.startswith("ev_"):
        return flow_history.of_provider(provider, event_id=text)
    found = flow_history.of_provider(provider, outcome=outcome)
    if text.startswith("flow_"):
        return found.where(SignInFlow.id == text)
    return found.where(SignInFlow.email.contains(text) | SignInFlow.name_id.contains(text)) if text else found


def _said_of(flow: SignInFlow) -> tuple[str, str]:
    """Its outcome in a word, and how loudly."""
    outcome = flow_history.outcome(flow)
    if outcome == "succeeded" and flow.kind == sign_in_flows.TEST:
        return "Passed", "good"
    return OUTCOMES[outcome]


# --- a test -----------------------------------------------------------------------------------------------------


@blueprint.post("/identity-providers/<provider_id>/test")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def test_sign_in(provider_id: str) -> Any:
    """Begin a sign-in that goes through everything and creates nothing; also where the connection is disabled.

    The answer is a page that goes on by itself, no redirect: the content security policy holds redirects after a form
    post to our own origin.
    """
    provider = idps.get(actor().account, provider_id)
    flow_id = ids.new("flow")
    ends = url_for("dashboard.sign_in_flow", provider_id=provider.id, flow_id=flow_id)
    start = begin_test(provider, flow_id, ends=ends)
    return show("sign_in_test.html", provider, start=start, flow_page=ends)


def begin_test(provider: IdentityProvider, flow_id: str, *, ends: str) -> str:
    """A test whose result is read on the page ``ends``; where its browser goes first. Raises Conflict for a draft."""
    request_id = sign_in_flows.new_request_id(flow_id)
    caller = sign_in_flows.Caller(request.remote_addr, request.headers.get("User-Agent", ""))
    sign_in_flows.begin(provider, request_id=request_id, kind=sign_in_flows.TEST, caller=caller, next_path=ends)
    return url_for("saml.start", provider_id=provider.id, flow=request_id)


# --- one flow ---------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/flows/<flow_id>", endpoint="sign_in_flow")
@guard(Permission.IDPS_READ)
def flow_page(provider_id: str, flow_id: str) -> Any:
    """Its time line, every check with what came and what was wanted, what to do, and its messages."""
    provider = idps.get(actor().account, provider_id)
    flow = flow_history.get(provider, flow_id)
    return show(
        "sign_in_flow.html",
        provider,
        **told_of(provider, flow),
        flow_kinds=KINDS,
        steps=time_line.steps(flow, sign_in_flows.checks(flow.checks)),
        has_words=any(
            flow.reason in one.fixes for one in providers.catalogue().values() if one.kind != providers.OTHER
        ),
        is_test=flow.kind == sign_in_flows.TEST,
        messages=saml_messages.of_flow(provider, flow.id),
        messages_until=flow.started_at + saml_messages.KEPT_FOR,
        pretty=pretty,
    )


def told_of(provider: IdentityProvider, flow: SignInFlow) -> dict[str, Any]:
    """What is told of a flow wherever its result is read: each check, who it would be, why not, and what to do."""
    checks = sign_in_flows.checks(flow.checks)
    word, tone = _said_of(flow)
    return {
        "flow": flow,
        "word": word,
        "tone": tone,
        "outcome": flow_history.outcome(flow),
        "checks": checks,
        "check_words": CHECK_WORDS,
        "warnings": [_WARNINGS.get(warning, warning) for warning in flow.warnings or ()],
        "refusal_words": _words(flow.reason) if flow.reason else "",
        "side": SIDES[flow_history.side(flow.reason)] if flow.reason else "",
        "fix": _fix(provider, flow.reason, checks) if flow.reason else None,
        "member": _member(provider, flow),
        "decision": time_line.decision(flow),
        "by_decision": flow.reason is not None and flow_history.side(flow.reason) == "administrator",
    }


def _words(reason: str) -> str:
    """The sentence that the person read."""
    if reason in REASONS:
        return REASONS[Reason(reason)].public
    return PUBLIC.get(Outcome(reason), "") if reason in set(Outcome) else ""


def _fix(provider: IdentityProvider, reason: str, checks: tuple[Check, ...]) -> Markup | None:
    text = providers.fix(kind_of(provider), reason)
    if text is None:
        return None
    failed = next((check for check in reversed(checks) if not check.passed), None)
    facts = {"got": failed.got, "want": failed.want} if failed else {}
    return marked(text, {**urls(provider), **facts})


def _member(provider: IdentityProvider, flow: SignInFlow) -> Member | None:
    """Whom it is about, where she is still here."""
    if flow.member_id is None:
        return None
    return Member.get_or_none((Member.id == flow.member_id) & (Member.account == provider.account_id))
