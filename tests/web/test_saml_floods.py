"""Whoever begins sign-ins without end pushes out her own: no history, and nobody else's sign-in that is under way."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, flow_pruning, ids
from idp_bridge.models import SamlMessage, SignInFlow
from idp_bridge.rates import MINUTE, Limit
from idp_bridge.web.saml import sending
from tests.web.connections import Connection, flows_of, session_of

FLOODER, OFFICE = "203.0.113.9", "198.51.100.4"


def browser(app: Flask, address: str) -> FlaskClient:
    """A browser at this address."""
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = address
    return client


def flood(connection: Connection, number: int, site: str = FLOODER) -> None:
    """So many visits to /start that never come back, as they would be written."""
    moment = clock.now()
    row = {"identity_provider": connection.row.id, "kind": "sp_initiated", "started_at": moment, "site": site}
    until = moment + timedelta(minutes=15)
    with db.connection(), db.transaction():
        for _ in range(0, number, 500):
            rows = [{**row, "id": ids.new("flow"), "expires_at": until} for _ in range(500)]
            SignInFlow.insert_many(rows).execute()


def prune() -> None:
    with db.connection():
        flow_pruning.prune(clock.now())


def of_site(connection: Connection, site: str) -> int:
    return sum(flow.site == site for flow in flows_of(connection))


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can reach."""
    monkeypatch.setattr(flow_pruning, "KEPT_OF_SITE", 3)
    monkeypatch.setattr(sending, "_BRISK", Limit("test", 4, MINUTE))


def test_a_flood_of_starts_pushes_out_no_history(okta: Connection, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests that nobody answers than rows are kept: the sign-ins of the last 90 days stay, and so does the one
    that is under way."""
    monkeypatch.setattr(flow_pruning, "KEPT_ROWS", 1_000)
    monkeypatch.setattr(flow_pruning, "KEPT_OF_SITE", 700)
    okta.sign_in(browser(app, OFFICE))
    hers = browser(app, OFFICE)
    response = okta.response(okta.start(hers))
    flood(okta, 3_000)
    prune()
    with db.connection():
        assert SignInFlow.select().where(SignInFlow.decision == "join").count() == 1
        assert SignInFlow.select().where(SignInFlow.site == FLOODER).count() == flow_pruning.KEPT_OF_SITE
    assert okta.post(hers, response).status_code == 303
    assert session_of(hers)


def test_only_answered_flows_count_as_history(okta: Connection, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past so many the oldest of those go, with what came of them; who may still come back is not touched."""
    monkeypatch.setattr(flow_pruning, "KEPT_ROWS", 2)
    waiting = browser(app, OFFICE)
    response = okta.response(okta.start(waiting))
    for _ in range(4):
        okta.sign_in(browser(app, OFFICE))
    prune()
    flows = flows_of(okta)
    assert [flow.decision is not None for flow in flows] == [False, True, True]
    assert okta.post(waiting, response).status_code == 303


@pytest.mark.usefixtures("low")
def test_who_begins_too_many_makes_room(okta: Connection, app: Flask) -> None:
    """Past a rate that people do not reach the oldest of that address, and their messages, make room, once a second;
    nobody is refused. Who begins elsewhere loses nothing."""
    hers = browser(app, OFFICE)
    response = okta.response(okta.start(hers))
    flooder = browser(app, FLOODER)
    for _ in range(10):
        assert flooder.get(f"{okta.path}/start").status_code == 303
    with time_machine.travel(clock.now() + timedelta(seconds=1.1), tick=False):
        assert flooder.get(f"{okta.path}/start").status_code == 303
    assert of_site(okta, FLOODER) == flow_pruning.KEPT_OF_SITE + 1
    assert of_site(okta, OFFICE) == 1
    with db.connection():
        assert SamlMessage.select().count() == SignInFlow.select().count()
    assert okta.post(hers, response).status_code == 303


@pytest.mark.usefixtures("low")
def test_an_office_that_signs_in_is_no_flood(okta: Connection, app: Flask) -> None:
    """However many come from one address at nine: an answered request makes room by itself."""
    for person in (0, 1) * 4:
        hers = browser(app, OFFICE)
        assert okta.sign_in(hers, person).status_code == 303
        assert session_of(hers)
    assert len(flows_of(okta)) == 8


@pytest.mark.usefixtures("low")
def test_a_client_that_changes_its_ipv6_address_is_one(okta: Connection, app: Flask) -> None:
    """The last 64 bits are its own to choose: they make nobody else of it."""
    browser(app, "2001:db8:1:3::1").get(f"{okta.path}/start")
    for number in range(10):
        browser(app, f"2001:db8:1:2::{number:x}").get(f"{okta.path}/start")
    prune()
    assert [flow.site for flow in flows_of(okta)] == ["2001:db8:1:3::/64", *["2001:db8:1:2::/64"] * 3]


def test_many_addresses_together_are_bounded_as_well(
    okta: Connection, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what a whole botnet begins the newest stay; what was answered is none of it."""
    monkeypatch.setattr(flow_pruning, "KEPT_UNDER_WAY", 5)
    okta.sign_in(browser(app, OFFICE))
    for number in range(9):
        browser(app, f"203.0.113.{number}").get(f"{okta.path}/start")
    prune()
    flows = flows_of(okta)
    assert [flow.decision for flow in flows] == ["join", *[None] * 5]
    assert flows[-1].site == "203.0.113.8"


def test_who_never_came_back_is_told_of_for_a_while(
    okta: Connection, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unanswered ones whose time is over are few; the others are not counted with them."""
    monkeypatch.setitem(flow_pruning.KEPT, "unanswered", 2)
    for _ in range(5):
        okta.start(browser(app, OFFICE))
    with time_machine.travel(clock.now() + timedelta(minutes=16), tick=False):
        last: Any = browser(app, OFFICE)
        request_id = okta.start(last)
        prune()
        assert len(flows_of(okta)) == 3
        assert okta.post(last, okta.response(request_id)).status_code == 303
