"""A sign-in flow as a time line: request, response, checks, decision, session, each in a sentence."""

from dataclasses import dataclass
from datetime import datetime

from idp_bridge import clock, flow_history, sign_in_flows
from idp_bridge.models import SignInFlow
from idp_bridge.saml.errors import Check
from idp_bridge.sign_in import PUBLIC, Outcome

#: What the decision table said of somebody who comes in.
DECISIONS = {
    Outcome.ADMIT: "She is a member and comes in.",
    Outcome.ACCEPT_INVITATION: "Her invitation is accepted, and she comes in.",
    Outcome.JOIN: "She becomes a member just in time, and comes in.",
}


@dataclass(frozen=True)
class Step:
    """A point on the time line. ``tone`` says how it went: good, bad, warn, or nothing yet."""

    title: str
    words: str
    tone: str = ""
    at: datetime | None = None


def decision(flow: SignInFlow) -> str:
    """What the decision table said, in words."""
    if not flow.decision:
        return ""
    outcome = Outcome(flow.decision)
    return DECISIONS.get(outcome) or PUBLIC[outcome]


def steps(flow: SignInFlow, checks: tuple[Check, ...]) -> list[Step]:
    """The five points, whether it came to them or not."""
    return [
        _request_step(flow, checks),
        _response_step(flow),
        _checks_step(checks),
        _decision_step(flow),
        _session_step(flow),
    ]


#: Checks that nobody but the provider passes.
_PROVE_THE_PROVIDER = frozenset({"response_signature", "assertion_signature", "decryption"})


def _request_step(flow: SignInFlow, checks: tuple[Check, ...]) -> Step:
    if flow.request_id is None:
        proven = flow.answered_at or any(check.passed and check.name in _PROVE_THE_PROVIDER for check in checks)
        whence = "from the provider" if proven else "from somebody: it is not proven that the provider sent it"
        return Step("No request of ours", f"It began with what came {whence}.", at=flow.started_at)
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
    return Step("Decision", decision(flow), "good" if Outcome(flow.decision) in DECISIONS else "bad")


def _session_step(flow: SignInFlow) -> Step:
    if flow.kind == sign_in_flows.TEST:
        return Step("No session", "A test creates nothing: no session, no member, no role.")
    live = flow_history.session_is_live(flow)
    if live is None:
        return Step("No session", "None was opened.")
    return Step("Session", "It is open." if live else "It has ended.", "good", flow.finished_at)
