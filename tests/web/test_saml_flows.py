"""What a sign-in leaves behind for administrators: one flow each, with every check, found by the person's reference."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, flow_history, flow_pruning, idps, ids, saml_messages, sign_in_flows
from idp_bridge.models import IdentityProvider, Member, SamlMessage, Session, SignInFlow, UsedAssertion
from idp_bridge.saml.checks import CHECKS
from idp_bridge.saml.redaction import MARK
from idp_bridge.web.saml import budgets
from tests.bench.statements import recorded
from tests.web.connections import Connection, events_of, failed_checks, flows_of, reference, session_of

AFTER_THE_DOOR = ("request", "replay", "email", "browser", "signer", "logout", "decision")


def messages_of(connection: Connection, flow: SignInFlow) -> dict[str, saml_messages.Kept]:
    with db.connection():
        return saml_messages.of_flow(connection.row, flow.id)


# --- a good one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cross_site", [False, True], ids=["same site", "cross-site"])
def test_a_sign_in_is_one_flow_from_request_to_session(
    okta: Connection, app: Flask, client: FlaskClient, cross_site: bool
) -> None:
    """Who, when, from where, every check that was made, both messages, and whether the session still lives."""
    response = okta.response(okta.start(client, "/accounts/acme/events"))
    answer = okta.post(app.test_client() if cross_site else client, response)
    if cross_site:
        answer = client.get(answer.headers["Location"], headers={"User-Agent": "another"})
    assert answer.headers["Location"] == "/accounts/acme/events"
    (flow,) = flows_of(okta)
    person = okta.provider.people[0]
    checks = sign_in_flows.checks(flow.checks)
    assert (flow.kind, flow.reason, flow.decision) == ("sp_initiated", None, "join")
    assert (flow.email, flow.name_id, flow.address) == (person.email, person.email, "127.0.0.1")
    assert flow.user_agent.startswith("Werkzeug")
    assert flow.started_at <= flow.answered_at <= flow.finished_at
    assert flow.waiting is None
    assert [check.name for check in checks][-len(AFTER_THE_DOOR) :] == list(AFTER_THE_DOOR)
    assert {check.name for check in checks} <= {*CHECKS, *AFTER_THE_DOOR}
    assert all(check.passed for check in checks)
    event = events_of(okta.world, "sign_in_succeeded.v0")[-1]
    assert (event.id, event.object["flow_id"]) == (flow.event_id, flow.id)
    with db.connection():
        assert Member.get_by_id(flow.member_id).email == person.email
        assert flow_history.session_is_live(flow)
        Session.delete().execute()
        assert flow_history.session_is_live(flow) is False
    kept = messages_of(okta, flow)
    assert flow.request_id in kept["request"].xml
    assert person.email in kept["response"].xml


def test_the_request_names_its_flow_and_nobody_can_guess_it(okta: Connection, client: FlaskClient) -> None:
    """The AuthnRequest's ID is an NCName that begins with the flow's and has 128 random bits more; RelayState fits in
    the 80 bytes of Bindings 3.4.3."""
    first, second = okta.start(client), okta.start(client)
    flow = flows_of(okta)[0]
    assert first.startswith(flow.id + "_")
    assert len(first) <= 80
    assert len(first.removeprefix(flow.id + "_")) == 32
    assert first[-32:] != second[-32:]


def test_a_flow_that_never_came_back_is_not_answered(okta: Connection, client: FlaskClient) -> None:
    """Somebody who gave up at the provider's page is pending first, and not answered after 15 minutes."""
    okta.start(client)
    (flow,) = flows_of(okta)
    assert flow_history.outcome(flow) == "pending"
    with time_machine.travel(clock.now() + sign_in_flows.REQUEST_LIFETIME + timedelta(seconds=1), tick=False):
        assert flow_history.outcome(flow) == "not_answered"
        assert okta.post(client, okta.response(flow.request_id)).status_code == 403


def test_a_flow_whose_browser_never_came_back_is_not_finished(
    okta: Connection, app: Flask, client: FlaskClient
) -> None:
    """The response came; what it said is gone once its time is over."""
    finish = okta.post(app.test_client(), okta.response(okta.start(client))).headers["Location"]
    with time_machine.travel(clock.now() + sign_in_flows.WAITING_LIFETIME + timedelta(seconds=1), tick=False):
        assert flow_history.outcome(flows_of(okta)[0]) == "not_finished"
        assert client.get(finish).status_code == 403
        with db.connection():
            flow_pruning.prune(clock.now())
    flow = flows_of(okta)[0]
    assert flow.waiting is None
    assert session_of(client) is None
    person = okta.provider.people[0]
    assert (flow.email, flow.name_id, failed_checks(flow)) == (person.email, person.email, [])
    assert [check.name for check in sign_in_flows.checks(flow.checks)][-1] == "email"
    with db.connection():
        assert [found.id for found in flow_history.of_provider(okta.row, email=person.email)] == [flow.id]
    assert flows_of(okta)[-1].reason == "request_unknown", "her own browser: it took too long"


# --- refused ----------------------------------------------------------------------------------------------------


def by_the_door(c: Connection, browser: FlaskClient, **changes: Any) -> Any:
    request_id = c.start(browser)
    return c.post(browser, c.response(request_id, **changes), RelayState=request_id)


def unsigned(c: Connection, browser: FlaskClient) -> Any:
    return by_the_door(c, browser, sign_response=False, sign_assertion=False)


def replayed(c: Connection, browser: FlaskClient) -> Any:
    response = c.response(c.start(browser))
    c.post(browser, response)
    return c.post(browser, response)


def of_unknown_request(c: Connection, browser: FlaskClient) -> Any:
    return c.post(browser, c.response("_a_request_that_nobody_sent"))


def by_the_table(c: Connection, browser: FlaskClient) -> Any:
    c.change(join_policy="invite_only")
    return c.sign_in(browser)


def without_address(c: Connection, browser: FlaskClient) -> Any:
    c.change(attribute_mapping={"email": "shoeSize"})
    return c.sign_in(browser, attributes={"mail": ["x@acme.test"]})


def as_another_browser(c: Connection, browser: FlaskClient) -> Any:
    response = c.response(c.start(browser))
    elsewhere = browser.application.test_client()
    c.start(elsewhere)
    return c.post(elsewhere, response)


#: How it is refused -> reason, the check that failed, whose side, whether the request is used up.
REFUSALS: dict[Callable[[Connection, FlaskClient], Any], tuple[str, str, str, bool]] = {
    lambda c, b: by_the_door(c, b, audience="https://other.test"): (
        "audience_mismatch", "audience", "identity_provider", False),
    lambda c, b: by_the_door(c, b, sign_response=False, sign_assertion=False): (
        "signature_missing", "assertion_signature", "identity_provider", False),
    without_address: ("email_missing", "email", "identity_provider", True),
    as_another_browser: ("other_browser", "browser", "person", True),
    by_the_table: ("invitation_needed", "decision", "administrator", True),
}  # fmt: skip


@pytest.mark.parametrize(("attempt", "told"), REFUSALS.items(), ids=[told[0] for told in REFUSALS.values()])
def test_a_refusal_ends_its_own_flow_and_says_why(
    okta: Connection,
    client: FlaskClient,
    attempt: Callable[[Connection, FlaskClient], Any],
    told: tuple[str, str, str, bool],
) -> None:
    """One row for the request and what came of it: the reference on the page finds it, and its last check failed."""
    answer = attempt(okta, client)
    reason, check, side, used = told
    with db.connection():
        flow = flow_history.of_provider(okta.row, event_id=reference(answer)).get()
    assert flow.id == flows_of(okta)[0].id
    assert (flow.reason, flow_history.side(flow.reason)) == (reason, side)
    assert flow_history.outcome(flow) == "refused"
    assert failed_checks(flow) == [check]
    assert sign_in_flows.checks(flow.checks)[-1].name == check
    assert (flow.answered_at is not None) == used
    assert "response" in messages_of(okta, flow)
    assert session_of(client) is None


@pytest.mark.parametrize("attempt", [without_address, as_another_browser, by_the_table], ids=lambda a: a.__name__)
def test_a_late_refusal_leaves_no_request_to_be_used(
    okta: Connection, client: FlaskClient, attempt: Callable[[Connection, FlaskClient], Any]
) -> None:
    """Whatever step refuses after the signature, the request is used up: a better response comes too late."""
    attempt(okta, client)
    flow = flows_of(okta)[0]
    okta.change(join_policy="jit", attribute_mapping={})
    assert okta.post(client, okta.response(flow.request_id)).status_code == 403
    assert flows_of(okta)[-1].reason == "request_unknown"


def test_a_replayed_assertion_uses_up_the_request_it_names(okta: Connection, client: FlaskClient) -> None:
    """An assertion that was seen before does not spare the request that comes with it."""
    request_id = okta.start(client)
    response = okta.response(request_id)
    assert okta.post(client, response).status_code == 303
    client.delete_cookie("idp_bridge_session")
    with db.connection(), db.transaction():  # as if the request's row alone had been brought back from a copy
        SignInFlow.update(answered_at=None, finished_at=None, expires_at=clock.now() + timedelta(minutes=1)).execute()
    assert okta.post(client, response).status_code == 403
    (flow,) = flows_of(okta)
    assert (flow.reason, flow.answered_at is not None) == ("assertion_replayed", True)


def test_a_message_that_is_refused_spares_the_request_it_claims_to_answer(
    okta: Connection, client: FlaskClient
) -> None:
    """Nothing unverified uses anything up: the real answer still comes through, and is what the flow ends in."""
    request_id = okta.start(client)
    forged = okta.response(request_id, sign_response=False, sign_assertion=False)
    assert okta.post(client, forged, RelayState=request_id).status_code == 403
    assert okta.post(client, okta.response(request_id), RelayState=request_id).status_code == 303
    (flow,) = flows_of(okta)
    assert (flow.reason, flow.decision, failed_checks(flow)) == (None, "join", [])


def test_a_refused_message_is_told_of_the_request_that_stands_in_it(okta: Connection, client: FlaskClient) -> None:
    """Where the provider forgot RelayState: InResponseTo, unverified as it is, finds the flow too."""
    forged = okta.response(okta.start(client), sign_response=False, sign_assertion=False)
    assert okta.post(client, forged).status_code == 403
    assert [flow.reason for flow in flows_of(okta)] == ["signature_missing"]


def test_a_late_message_does_not_undo_what_its_flow_ended_in(okta: Connection, client: FlaskClient) -> None:
    """What comes under the RelayState of a flow that is over is a flow of its own."""
    request_id = okta.start(client)
    assert okta.post(client, okta.response(request_id)).status_code == 303
    assert okta.post(client, "PGE+", RelayState=request_id).status_code == 400
    first, second = flows_of(okta)
    assert (first.reason, first.decision) == (None, "join")
    assert second.reason == "not_xml"


def test_an_older_sign_in_does_not_answer_force_authn(okta: Connection, client: FlaskClient) -> None:
    """Where a fresh sign-in was asked for, one from before the request is refused, and the request is used up."""
    okta.change(force_authn=True)
    request_id = okta.start(client)
    old = okta.response(request_id, authn_instant=clock.now() - timedelta(hours=1))
    assert okta.post(client, old).status_code == 403
    (flow,) = flows_of(okta)
    assert (flow.reason, failed_checks(flow)) == ("authentication_stale", ["freshness"])
    assert okta.sign_in(client).status_code == 303


# --- what is kept -----------------------------------------------------------------------------------------------


def test_redaction_leaves_the_structure_and_takes_the_values(okta: Connection, client: FlaskClient) -> None:
    """With the switch on, neither NameID nor attributes are in the flow or in the XML; ids and signatures are."""
    okta.change(redact_sign_in_flows=True)
    attributes = {"email": [okta.provider.people[0].email], "groups": ["Top secret"]}
    assert okta.sign_in(client, attributes=attributes).status_code == 303
    okta.change(join_policy="invite_only")
    client.delete_cookie("idp_bridge_session")
    assert okta.sign_in(client, person=1, attributes={"email": [okta.provider.people[1].email]}).status_code == 403
    for flow, person in zip(flows_of(okta), okta.provider.people, strict=False):
        response = messages_of(okta, flow)["response"]
        assert response.note == "redacted"
        assert (flow.email, flow.name_id) == (None, None)
        text = response.xml + str(flow.__data__)
        assert person.email not in text
        assert "Top secret" not in text
        assert MARK in response.xml
        assert "SignatureValue" in response.xml
        assert flow.request_id in response.xml


def test_what_cannot_be_redacted_is_not_kept(okta: Connection, client: FlaskClient) -> None:
    """A message that is no XML has values nobody can find."""
    okta.change(redact_sign_in_flows=True)
    okta.post(client, "bm8geG1sOiBqb2VAYWNtZS50ZXN0")
    (kept,) = messages_of(okta, flows_of(okta)[0]).values()
    assert kept == ("", "unreadable")


def test_strangers_cannot_fill_the_database(
    okta: Connection, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what they send only the newest is kept, with its message, and that is cut. What they send pushes out neither
    sign-ins nor refusals of what was begun here or verified, nor one of those the other."""
    monkeypatch.setattr(flow_pruning, "KEPT", dict.fromkeys(flow_pruning.KEPT, 3))
    monkeypatch.setattr(saml_messages, "UNVERIFIED_BYTES", 100)
    okta.sign_in(client)
    for attempt in (replayed, of_unknown_request, unsigned, without_address):
        assert attempt(okta, client).status_code == 403
    kept = [flow.reason for flow in flows_of(okta)]
    for _ in range(6):
        assert okta.post(client, "QUJD" * 1000).status_code == 400
    with db.connection():
        flow_pruning.prune(clock.now())
    flows = flows_of(okta)
    assert [flow.reason for flow in flows] == [*kept, *["not_xml"] * 3]
    with db.connection():
        assert {row.flow_id for row in SamlMessage.select()} == {flow.id for flow in flows}
    assert messages_of(okta, flows[-1])["response"] == (("ABC" * 1000)[:100], "cut")


BUDGETS_OF_REFUSALS = ("VERIFIED", "BEGUN", "STRAY", "LOGOUT")


def small(monkeypatch: pytest.MonkeyPatch, *, one: int, all: int) -> None:
    """Budgets of a size that a test can use up."""
    for name in BUDGETS_OF_REFUSALS:
        monkeypatch.setattr(budgets, name, budgets.budget(f"{name} in a test", one, all))


def junk(c: Connection, browser: FlaskClient) -> Any:
    """What anybody can post without knowing anything."""
    return c.post(browser, "QUJD")


def nothing(c: Connection, browser: FlaskClient) -> Any:
    """A form that has no response in it."""
    return browser.post(f"{c.path}/acs")


def logout(c: Connection, browser: FlaskClient) -> Any:
    """A logout message that is none."""
    return browser.get(f"{c.path}/slo")


def foreign(c: Connection, browser: FlaskClient) -> Any:
    """A link to a sign-in that waits elsewhere, or nowhere."""
    return browser.get(f"{c.path}/finish?flow=flow_00000000000000000000000000")


#: Who may use a budget up -> whose refusals are written down all the same.
APART = {
    junk: (unsigned, without_address, logout, foreign),
    nothing: (unsigned, without_address, logout),
    logout: (unsigned, without_address, junk),
    foreign: (without_address, logout, junk),
    unsigned: (without_address, logout, junk),
    of_unknown_request: (unsigned, logout, junk, foreign),
}


@pytest.mark.parametrize(("attempt", "others"), APART.items(), ids=[attempt.__name__ for attempt in APART])
def test_who_uses_up_a_budget_blinds_nobody_to_the_rest(
    okta: Connection,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    attempt: Callable[[Connection, FlaskClient], Any],
    others: tuple[Callable[[Connection, FlaskClient], Any], ...],
) -> None:
    """Past a budget a refusal leaves no row and no event, and its reference is the operation id, which the log knows;
    refusals of every other kind have their event still."""
    small(monkeypatch, one=2, all=9)
    answers = [attempt(okta, client) for _ in range(4)]
    shown = [answer.get_data(as_text=True) for answer in answers]
    assert ["ev_" in text for text in shown] == [True, True, False, False]
    assert answers[-1].headers["X-Request-Id"] in shown[-1]
    assert len(events_of(okta.world, "sign_in_refused.v0") + events_of(okta.world, "logout_refused.v0")) == 2
    for other in others:
        event = reference(other(okta, client))
        if other is not logout:
            with db.connection():
                assert flow_history.of_provider(okta.row, event_id=event).count() == 1


def test_who_uses_up_her_own_budget_takes_nothing_from_others(
    okta: Connection, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verified refusal is paid for by whom it is about, an unverified one by the address that it comes from; what
    they are refused takes nothing from the connection's."""
    small(monkeypatch, one=2, all=4)
    okta.change(join_policy="invite_only")
    for attempt in (okta.sign_in, lambda browser: junk(okta, browser)):
        assert ["ev_" in attempt(client).get_data(as_text=True) for _ in range(6)] == [True] * 2 + [False] * 4
    assert "ev_" in okta.sign_in(client, person=1).get_data(as_text=True)
    client.environ_base["REMOTE_ADDR"] = "192.0.2.9"
    assert ["ev_" in junk(okta, client).get_data(as_text=True) for _ in range(3)] == [True, True, False]
    client.environ_base["REMOTE_ADDR"] = "192.0.2.10"
    assert "ev_" not in junk(okta, client).get_data(as_text=True), "the connection's is used up"


def test_a_thousand_strays_blind_nobody(okta: Connection, client: FlaskClient) -> None:
    """With the budgets as they are: an hour's worth of junk, and the next person's refusal has its reference."""
    budget = budgets.STRAY
    with db.connection():
        paid = [budget.pays(okta.row, f"192.0.2.{address}") for address in range(3) for _ in range(600)]
    assert paid.count(True) == 1_000
    assert "ev_" not in junk(okta, client).get_data(as_text=True)
    with db.connection():
        event = reference(by_the_door(okta, client, audience="https://other.test"))
        assert flow_history.of_provider(okta.row, event_id=event).get().reason == "audience_mismatch"


def test_old_flows_and_older_messages_go(
    okta: Connection, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages after 30 days, flows after 90, replay memory once the assertion could not be accepted any more."""
    monkeypatch.setattr(ids, "_last", 0)  # other tests were in the future, and ids only ever go on
    okta.sign_in(client)
    kept = {}
    for days in (29, 31, 89, 91):
        with time_machine.travel(clock.now() + timedelta(days=days), tick=False), db.connection():
            flow_pruning.prune(clock.now())
            kept[days] = (SignInFlow.select().count(), SamlMessage.select().count(), UsedAssertion.select().count())
    assert kept == {29: (1, 2, 0), 31: (1, 0, 0), 89: (1, 0, 0), 91: (0, 0, 0)}


def test_messages_are_not_shown_after_their_time(okta: Connection, client: FlaskClient) -> None:
    """Also where nothing has pruned them yet."""
    okta.sign_in(client)
    (flow,) = flows_of(okta)
    with time_machine.travel(clock.now() + saml_messages.KEPT_FOR + timedelta(seconds=1), tick=False):
        assert messages_of(okta, flow) == {}


def test_unanswered_flows_are_bounded(okta: Connection, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can begin: of those who never came back the newest are kept; who may still come back all are."""
    monkeypatch.setitem(flow_pruning.KEPT, "unanswered", 2)
    for _ in range(5):
        okta.start(client)
    with db.connection():
        flow_pruning.prune(clock.now())
    assert len(flows_of(okta)) == 5
    with time_machine.travel(clock.now() + timedelta(hours=1), tick=False), db.connection():
        flow_pruning.prune(clock.now())
    assert len(flows_of(okta)) == 2


def test_flows_go_with_their_connection(okta: Connection, client: FlaskClient) -> None:
    """Deleting it takes what was kept of it along, and a response on its way finds nothing."""
    request_id = okta.start(client)
    response = okta.response(request_id)
    with db.connection(), db.transaction():
        idps.delete(okta.world.system, IdentityProvider.get_by_id(okta.row.id))
    assert okta.post(client, response).status_code == 404
    with db.connection():
        assert SignInFlow.select().count() == SamlMessage.select().count() == 0


#: The statements of each request of a sign-in by somebody who has been here before. A number may only fall. One of each
#: that lets in reads the connection once more, as it is by then (test_saml_held_open.py).
BUDGETS = {"start": 3, "acs": 17, "acs, cross-site": 6, "finish": 16}


def test_a_sign_in_keeps_within_its_statements(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """What no busy machine can blur: how often a sign-in asks the database."""
    okta.sign_in(client)
    counts: dict[str, int] = {}

    def counted(name: str, send: Callable[[], Any]) -> Any:
        with recorded(db.database.obj) as statements:
            answer = send()
        assert answer.status_code == 303
        counts[name] = len(statements)
        return answer

    first = okta.asked(counted("start", lambda: client.get(f"{okta.path}/start")))
    response = okta.response(first)
    counted("acs", lambda: okta.post(client, response))
    elsewhere = okta.response(okta.start(client))
    finish = counted("acs, cross-site", lambda: okta.post(app.test_client(), elsewhere)).headers["Location"]
    counted("finish", lambda: client.get(finish))
    assert {name: number for name, number in counts.items() if number > BUDGETS[name]} == {}
