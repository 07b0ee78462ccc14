"""The sign-ins of a connection: how each went, check by check, whose side must act, and what to do there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import redirect, request, url_for
from markupsafe import Markup

from idp_bridge import clock, flow_pruning, idps, ids, providers, saml_messages, sign_in_flows
from idp_bridge.models import IdentityProvider, Member, SignInFlow
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.saml.checks import CHECKS
from idp_bridge.saml.errors import REASONS, Check, Reason
from idp_bridge.saml.pinned import WARNINGS
from idp_bridge.sign_in import PUBLIC, Outcome
from idp_bridge.web.dashboard.advice import marked
from idp_bridge.web.dashboard.connection import kind_of, show, urls
from idp_bridge.web.dashboard.page import blueprint
from idp_bridge.web.guard import actor, guard

PAGE = 50
DEEPEST = 30  # a message may be nested as deep as it likes; its picture may not

KINDS = {
    sign_in_flows.SP_INITIATED: "Started here",
    sign_in_flows.IDP_INITIATED: "Started at the provider",
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

#: What the decision table said of somebody who comes in.
DECISIONS = {
    Outcome.ADMIT: "She is a member and comes in.",
    Outcome.ACCEPT_INVITATION: "Her invitation is accepted, and she comes in.",
    Outcome.JOIN: "She becomes a member just in time, and comes in.",
}

#: The checks that follow those of the door.
_LATER_CHECKS = {
    "request": "Answers a request of ours that waits for it",
    "replay": "Not used before",
    "freshness": "Signed in anew, as we asked",
    "email": "One usable e-mail address",
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
        return sign_in_flows.of_provider(provider, event_id=text)
    found = sign_in_flows.of_provider(provider, outcome=outcome)
    if text.startswith("flow_"):
        return found.where(SignInFlow.id == text)
    return found.where(SignInFlow.email.contains(text) | SignInFlow.name_id.contains(text)) if text else found


def _said_of(flow: SignInFlow) -> tuple[str, str]:
    """Its outcome in a word, and how loudly."""
    outcome = sign_in_flows.outcome(flow)
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
    request_id = sign_in_flows.new_request_id(flow_id)
    ends = url_for("dashboard.sign_in_flow", provider_id=provider.id, flow_id=flow_id)
    caller = sign_in_flows.Caller(request.remote_addr, request.headers.get("User-Agent", ""))
    sign_in_flows.begin(provider, request_id=request_id, kind=sign_in_flows.TEST, caller=caller, next_path=ends)
    start = url_for("saml.start", provider_id=provider.id, flow=request_id)
    return show("sign_in_test.html", provider, start=start, flow_page=ends)


# --- one flow ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A point on the time line. ``tone`` says how it went: good, bad, warn, or nothing yet."""

    title: str
    words: str
    tone: str = ""
    at: datetime | None = None


@blueprint.get("/identity-providers/<provider_id>/flows/<flow_id>", endpoint="sign_in_flow")
@guard(Permission.IDPS_READ)
def flow_page(provider_id: str, flow_id: str) -> Any:
    """Its time line, every check with what came and what was wanted, what to do, and its messages."""
    provider = idps.get(actor().account, provider_id)
    flow = sign_in_flows.get(provider, flow_id)
    checks = sign_in_flows.checks(flow.checks)
    word, tone = _said_of(flow)
    return show(
        "sign_in_flow.html",
        provider,
        flow=flow,
        word=word,
        tone=tone,
        outcome=sign_in_flows.outcome(flow),
        flow_kinds=KINDS,
        steps=_steps(flow, checks),
        checks=checks,
        check_words=CHECK_WORDS,
        warnings=[WARNINGS.get(warning, warning) for warning in flow.warnings or ()],
        refusal_words=_words(flow.reason) if flow.reason else "",
        side=SIDES[sign_in_flows.side(flow.reason)] if flow.reason else "",
        fix=_fix(provider, flow.reason, checks) if flow.reason else None,
        member=_member(provider, flow),
        is_test=flow.kind == sign_in_flows.TEST,
        decision=_decision(flow),
        by_decision=flow.reason is not None and sign_in_flows.side(flow.reason) == "administrator",
        messages=saml_messages.of_flow(provider, flow.id),
        messages_until=flow.started_at + saml_messages.KEPT_FOR,
        pretty=pretty,
    )


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


def _decision(flow: SignInFlow) -> str:
    """What the decision table said, in words."""
    if not flow.decision:
        return ""
    outcome = Outcome(flow.decision)
    return DECISIONS.get(outcome) or PUBLIC[outcome]


def _member(provider: IdentityProvider, flow: SignInFlow) -> Member | None:
    """Whom it is about, where she is still here."""
    if flow.member_id is None:
        return None
    return Member.get_or_none((Member.id == flow.member_id) & (Member.account == provider.account_id))


def _steps(flow: SignInFlow, checks: tuple[Check, ...]) -> list[Step]:
    return [_request_step(flow), _response_step(flow), _checks_step(checks), _decision_step(flow), _session_step(flow)]


def _request_step(flow: SignInFlow) -> Step:
    if flow.request_id is None:
        return Step("No request of ours", "It began with what came from the provider.", at=flow.started_at)
    asked = "A fresh sign-in was asked for." if flow.force_authn else "The browser was sent to the provider."
    return Step("Request sent", asked, "good", flow.started_at)


def _response_step(flow: SignInFlow) -> Step:
    if flow.answered_at is not None:
        return Step("Response received", "It was read and taken.", "good", flow.answered_at)
    if flow.finished_at is not None:
        return Step("Response received", "It was not taken.", "bad", flow.finished_at)
    if flow.expires_at > clock.now():
        return Step("Response", "It has not come yet.")
    return Step("No response", "The provider did not send the browser back in time, or she gave up there.", "warn")


def _checks_step(checks: tuple[Check, ...]) -> Step:
    failed = [check for check in checks if not check.passed]
    if not checks:
        return Step("Checks", "None was made.")
    if failed:
        return Step("Checks", f"{len(checks) - len(failed)} passed, then one failed.", "bad")
    return Step("Checks", f"All {len(checks)} passed.", "good")


def _decision_step(flow: SignInFlow) -> Step:
    if not flow.decision:
        return Step("Decision", "It did not come to one.")
    return Step("Decision", _decision(flow), "good" if Outcome(flow.decision) in DECISIONS else "bad")


def _session_step(flow: SignInFlow) -> Step:
    if flow.kind == sign_in_flows.TEST:
        return Step("No session", "A test creates nothing: no session, no member, no role.")
    live = sign_in_flows.session_is_live(flow)
    if live is None:
        return Step("No session", "None was opened.")
    return Step("Session", "It is open." if live else "It has ended.", "good", flow.finished_at)


# --- messages as text -------------------------------------------------------------------------------------------

_TAG = re.compile(r"(<[^<>]*>)")


def pretty(xml: str) -> str:
    """XML with its lines, as text. It is not parsed: what was refused may be no XML, or meant to harm a parser."""
    lines: list[str] = []
    depth = 0
    joined = False  # whether what follows belongs on the line of the tag before it
    for part in filter(str.strip, _TAG.split(xml)):
        tag, closing = part.startswith("<"), part.startswith("</")
        opening = tag and not closing and not part.endswith("/>") and part[1:2] not in "?!"
        depth = max(depth - closing, 0)
        if joined and (closing or not tag):
            lines[-1] += part.strip()
        else:
            lines.append("  " * min(depth, DEEPEST) + part.strip())
        depth += opening
        joined = opening or (joined and not tag)
    return "\n".join(lines)
