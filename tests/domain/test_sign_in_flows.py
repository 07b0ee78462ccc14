"""The rows of sign-ins: each step happens once among all who try at the same time, and what ended stays ended."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from idp_bridge import clock, db, ids, saml_messages, sign_in, sign_in_flows
from idp_bridge.models import IdentityLink, IdentityProvider, Member, SamlMessage, SignInFlow, UsedAssertion
from idp_bridge.saml.errors import Check
from idp_bridge.saml.redaction import MARK
from idp_bridge.saml.response import Assertion
from idp_bridge.sign_in import Identity
from idp_bridge.sign_in_flows import SP_INITIATED, TEST, Caller, Ended, Said
from tests.conftest import World
from tests.domain.cast import again, at_once

MANY = 16  # the pool has 20 connections, one of them the test's own
CALLER = Caller("192.0.2.7", "a browser")
IDENTITY = Identity(name_id="ann", name_id_format="persistent", email="ann@acme.test", groups=("Engineering",))
SAID = Said(
    identity=IDENTITY,
    session={"not_after": None, "name_id": "ann", "session_index": "s1"},
    attributes={"mail": ("ann@acme.test",)},
    issued_at=clock.now().replace(microsecond=0),
    signed_by=("0" * 64,),
    checks=(Check("issuer", True, "https://idp", "https://idp"),),
    warnings=("certificate_expired",),
)


@pytest.fixture
def provider(sso: World) -> IdentityProvider:
    """Acme's identity provider."""
    assert sso.provider is not None
    return sso.provider


def begin(provider: IdentityProvider, kind: str = SP_INITIATED, **options: Any) -> SignInFlow:
    """A flow whose request is on its way."""
    request_id = sign_in_flows.new_request_id(ids.new("flow"))
    with db.transaction():
        return sign_in_flows.begin(provider, request_id=request_id, kind=kind, caller=CALLER, **options)


def assertion(request_id: str | None, id: str = "_assertion") -> Assertion:
    """A verified one that answers this request."""
    moment = clock.now()
    return Assertion(
        id=id,
        issuer="https://idp",
        name_id="ann",
        name_id_format="persistent",
        name_qualifier=None,
        sp_name_qualifier=None,
        session_index=None,
        attributes={},
        in_response_to=request_id,
        issue_instant=moment,
        not_on_or_after=moment + timedelta(minutes=5),
        session_not_on_or_after=None,
        authn_instant=moment,
        authn_context=None,
        warnings=(),
    )


def used(provider: IdentityProvider, said: Assertion) -> tuple[bool, bool]:
    """Use it up: whether its request waited, and whether the assertion was new."""
    with db.transaction():
        found = sign_in_flows.use_up(provider, said)
    return found.flow is not None, found.is_new


# --- once -------------------------------------------------------------------------------------------------------


def _use_up(provider: IdentityProvider) -> Callable[[], Any]:
    said = assertion(begin(provider).request_id)
    return lambda: sign_in_flows.use_up(provider, said).flow is not None


def _remember(provider: IdentityProvider) -> Callable[[], Any]:
    said = assertion(None)
    return lambda: sign_in_flows.use_up(provider, said).is_new


def _release(provider: IdentityProvider) -> Callable[[], Any]:
    flow = begin(provider)
    with db.transaction():
        sign_in_flows.hold(provider, flow, SAID)
    return lambda: sign_in_flows.release(flow)


def _claim(provider: IdentityProvider) -> Callable[[], Any]:
    request_id = begin(provider, TEST).request_id
    return lambda: sign_in_flows.claim(provider, request_id, browser_digest=ids.new("x"), caller=CALLER) is not None


@pytest.mark.parametrize("step", [_use_up, _remember, _release, _claim], ids=lambda step: step.__name__)
def test_of_many_at_once_one_succeeds(
    provider: IdentityProvider, step: Callable[[IdentityProvider], Callable[[], Any]]
) -> None:
    """The request, the assertion, what waits for a browser, what waits to be started: each is for one."""
    work = step(provider)
    results = at_once(*[work] * MANY)
    assert sorted(results) == [False] * (MANY - 1) + [True]


@pytest.mark.parametrize(
    ("known", "fresh", "expected"),
    [(True, True, (True, True)), (True, False, (True, False)), (False, True, (False, True))],
)
def test_whatever_is_wrong_both_are_used_up(
    provider: IdentityProvider, known: bool, fresh: bool, expected: tuple[bool, bool]
) -> None:
    """An assertion seen before uses up its request all the same, and an unknown request its assertion."""
    flow = begin(provider)
    if not fresh:
        used(provider, assertion(None))
    said = assertion(flow.request_id if known else "_somebody_elses")
    assert used(provider, said) == expected
    assert used(provider, replace(said, id="_another"))[0] is False
    assert used(provider, replace(said, in_response_to=None))[1] is False


def other_id(request_id: str) -> str:
    return request_id[:-1] + ("0" if request_id[-1] != "0" else "1")


def upper(request_id: str) -> str:
    return request_id.upper()


def bare(request_id: str) -> str:
    return sign_in_flows.flow_id_of(request_id)


def longer(request_id: str) -> str:
    return request_id + "_"


@pytest.mark.parametrize(
    "changed", [other_id, upper, bare, longer, lambda _: "", lambda _: "_", lambda request_id: request_id + "\0"]
)
def test_a_request_is_named_exactly(provider: IdentityProvider, changed: Callable[[str], str]) -> None:
    """The flow's id alone is no name of its request, nor is anything like it."""
    request_id = str(begin(provider).request_id)
    assert used(provider, assertion(changed(request_id)))[0] is False
    assert sign_in_flows.named(provider, changed(request_id)) is None
    assert used(provider, assertion(request_id, "_second")) == (True, True)


def test_a_request_waits_for_its_own_provider(sso: World, provider: IdentityProvider) -> None:
    """Two connections of one account to the same provider: neither answers for the other."""
    from tests.domain import cast

    flow = begin(provider)
    second = cast.connect(sso, name="Second")
    assert used(second, assertion(flow.request_id)) == (False, True)
    assert used(provider, assertion(flow.request_id)) == (True, True)


def test_what_waits_is_for_its_browser(provider: IdentityProvider) -> None:
    """Whoever else asks finds nothing, and takes nothing."""
    flow = begin(provider, browser_digest="hers")
    used(provider, assertion(flow.request_id))
    with db.transaction():
        sign_in_flows.hold(provider, flow, SAID)
    assert sign_in_flows.held(provider, flow.id, browsers=[]) is None
    assert sign_in_flows.held(provider, flow.id, browsers=["his"]) is None
    found = sign_in_flows.held(provider, flow.id, browsers=["his", "hers"])
    assert found is not None
    assert (found.flow.id, found.said.identity) == (flow.id, IDENTITY)


def test_what_is_held_is_read_as_it_was(provider: IdentityProvider) -> None:
    """Through JSON and back; groups that were not spoken of stay so."""
    for groups in (None, (), ("A", "B")):
        for not_after in (None, clock.now().replace(microsecond=0)):
            said = replace(
                SAID,
                identity=replace(IDENTITY, groups=groups),
                session={**SAID.session, "not_after": not_after},
                attributes={"mail": ["ann@acme.test"]},
            )
            flow = begin(provider, browser_digest="hers")
            used(provider, assertion(flow.request_id))
            with db.transaction():
                sign_in_flows.hold(provider, flow, said)
            held = sign_in_flows.held(provider, flow.id, browsers=["hers"])
            assert held is not None
            assert held.said == said


@pytest.mark.parametrize("redacts", [False, True], ids=["kept", "redacted"])
def test_what_waits_is_told_already(provider: IdentityProvider, redacts: bool) -> None:
    """Who it is, the checks and the warnings are in the row before its browser comes, for it may never come; what was
    refused before, unverified, is not what the flow came to."""
    provider.redact_sign_in_flows = redacts
    flow = begin(provider)
    with db.transaction():
        sign_in_flows.end(provider, flow, Ended(reason="signature_missing", event_id="ev_1", attributes={"x": ("y",)}))
    used(provider, assertion(flow.request_id))
    said = SAID.checked(Check("email", True, "ann@acme.test", ""))
    with db.transaction():
        sign_in_flows.hold(provider, flow, said)
    row = SignInFlow.get(SignInFlow.id == flow.id)
    assert (row.email, row.name_id) == ((None, None) if redacts else ("ann@acme.test", "ann"))
    assert row.checks[-1] == ["email", True, MARK if redacts else "ann@acme.test", ""]
    assert row.warnings == ["certificate_expired"]
    assert (row.reason, row.event_id, row.finished_at, row.attributes) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "found"), [("{}", True), ("<Response InResponseTo='{}'/>", True), ("a{}", False), ("{}0", False)]
)
def test_a_request_is_found_in_a_document(provider: IdentityProvider, text: str, found: bool) -> None:
    """By its whole id, which nobody can guess."""
    flow = begin(provider)
    document = text.format(flow.request_id).encode()
    assert sign_in_flows.named_within(provider, document) == (flow if found else None)


# --- how it ended -----------------------------------------------------------------------------------------------


def test_a_refusal_that_comes_late_does_not_end_what_was_answered_well(provider: IdentityProvider) -> None:
    """Whoever read the flow before the good answer came finds it changed."""
    stale = begin(provider)
    used(provider, assertion(stale.request_id))
    with db.transaction():
        sign_in_flows.end(provider, stale, Ended(reason="signature_missing"))
    assert SignInFlow.get(SignInFlow.id == stale.id).reason is None


def test_redaction_takes_what_persons_are(provider: IdentityProvider) -> None:
    """Values of NameID and attributes, also where a check got them; what was checked and how many there were stays."""
    provider.redact_sign_in_flows = True
    flow = begin(provider)
    ended = Ended(
        checks=[Check("email", True, "ann@acme.test", ""), Check("issuer", True, "https://idp", "https://idp")],
        email="ann@acme.test",
        name_id="ann",
        attributes={"mail": ("ann@acme.test",), "groups": ("A", "B")},
        groups=("A", "B"),
    )
    with db.transaction():
        sign_in_flows.end(provider, flow, ended)
    row = SignInFlow.get(SignInFlow.id == flow.id)
    assert (row.email, row.name_id, row.groups) == (None, None, [MARK, MARK])
    assert row.attributes == {"mail": [MARK], "groups": [MARK, MARK]}
    assert row.checks == [["email", True, MARK, ""], ["issuer", True, "https://idp", "https://idp"]]


def test_the_last_message_of_a_direction_stays(provider: IdentityProvider) -> None:
    """A refused answer and then a good one: the good one is what the flow ended in."""
    flow = begin(provider)
    for text in (b"<first/>", b"<second/>"):
        with db.transaction():
            saml_messages.keep(provider, flow.id, "response", text)
    assert saml_messages.of_flow(provider, flow.id) == {"response": saml_messages.Kept("<second/>", None)}
    assert SamlMessage.select().count() == 1


# --- rehearsing -------------------------------------------------------------------------------------------------


def test_a_rehearsal_does_everything_and_leaves_nothing(sso: World, provider: IdentityProvider) -> None:
    """Who it would be, with which roles, by which row of the table; and the database is what it was."""
    before = [table.select().count() for table in (Member, IdentityLink, UsedAssertion)]
    rehearsed = sign_in.rehearse(sso.system, again(provider), IDENTITY)
    assert (rehearsed.outcome, rehearsed.refusal, rehearsed.member_id) == (sign_in.Outcome.JOIN, None, None)
    assert rehearsed.roles == ("developer",)
    assert [table.select().count() for table in (Member, IdentityLink, UsedAssertion)] == before
    with db.transaction():
        admission = sign_in.by_assertion(sso.system, provider, IDENTITY)
    known = sign_in.rehearse(sso.system, again(provider), IDENTITY)
    assert (known.outcome, known.member_id) == (sign_in.Outcome.ADMIT, admission.member.id)


def test_a_rehearsal_at_the_same_time_as_the_sign_in_hinders_nobody(sso: World, provider: IdentityProvider) -> None:
    """It waits for locks as a sign-in does, and gives them back."""

    def sign_in_for_real() -> Any:
        with db.transaction():
            return sign_in.by_assertion(sso.system, again(provider), IDENTITY).member.id

    def rehearse() -> Any:
        return sign_in.rehearse(sso.system, again(provider), IDENTITY).outcome

    results = at_once(*[sign_in_for_real, rehearse] * 3, transaction=nullcontext)
    assert len(set(results[::2])) == 1
    assert set(results[1::2]) <= {sign_in.Outcome.JOIN, sign_in.Outcome.ADMIT}
    assert Member.select().where(Member.email == IDENTITY.email).count() == 1
