"""/api/identity_providers/{id}/sign_in_flows: the list with its filters, one flow with its messages, a test."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from idp_bridge import db
from idp_bridge.models import SignInFlow
from idp_bridge.simulator.saml_idp import Provider
from tests.conftest import World
from tests.web.api.conftest import Caller, member_with
from tests.web.connections import Connection, connect, flows_of, reference


@pytest.fixture
def okta(app: Flask, world: World, simulated: dict[str, Provider]) -> Connection:
    """A just-in-time connection with a sign-in, a refusal, one that was begun, and a test."""
    connection = connect(app, world, simulated["okta"])
    connection.sign_in(app.test_client(), person=0)
    connection.change(join_policy="invite_only")
    connection.sign_in(app.test_client(), person=1)
    connection.start(app.test_client())
    Caller(app, world.api_key).post(_path(connection), {"kind": "test"})
    return connection


def _path(connection: Connection) -> str:
    return f"identity_providers/{connection.row.id}/sign_in_flows"


def test_lists_newest_first_in_pages(api: Caller, okta: Connection) -> None:
    """As every list here."""
    first = api.get(f"{_path(okta)}?limit=3")
    assert [(flow["kind"], flow["outcome"]) for flow in first["sign_in_flows"]] == [
        ("test", "pending"),
        ("sp_initiated", "pending"),
        ("sp_initiated", "refused"),
    ]
    following = api.get(first["next_page_uri"].removeprefix("http://localhost"))
    assert [flow["outcome"] for flow in following["sign_in_flows"]] == ["succeeded"]
    assert following["next_page_uri"] is None


def test_one_flow_has_checks_session_and_messages(api: Caller, okta: Connection) -> None:
    """All that is known of it, in the API's words."""
    listed = api.get(_path(okta))["sign_in_flows"][-1]
    flow = api.get(f"{_path(okta)}/{listed['id']}")
    assert {name: value for name, value in flow.items() if name not in ("request", "response")} == listed
    assert flow["uri"].endswith(f"/api/{_path(okta)}/{flow['id']}")
    assert flow["session"] == {"live": True}
    assert (flow["reason"], flow["side"], flow["decision"]) == (None, None, "join")
    assert {"name": "issuer", "passed": True, "got": okta.provider.entity_id, "want": okta.provider.entity_id} in flow[
        "checks"
    ]
    assert flow["request_id"] in flow["request"]["xml"]
    assert flow["request_id"] in flow["response"]["xml"]
    assert flow["start_url"] is None


FILTERS: dict[str, Callable[[Connection], str]] = {
    "by outcome": lambda c: "outcome=refused",
    "by address": lambda c: f"email={c.provider.people[1].email[:8]}",
    "by name_id": lambda c: f"name_id={c.provider.people[1].email}",
    "by reference": lambda c: f"event_id={flows_of(c)[1].event_id}",
    "by all": lambda c: f"kind=sp_initiated&outcome=refused&email={c.provider.people[1].email}",
}


@pytest.mark.parametrize("query", FILTERS.values(), ids=FILTERS.keys())
def test_filters_find_the_refused_one(api: Caller, okta: Connection, query: Callable[[Connection], str]) -> None:
    """By what an administrator knows of it: her address, her NameID, or the reference that she sent."""
    (flow,) = api.get(f"{_path(okta)}?{query(okta)}")["sign_in_flows"]
    assert flow["id"] == flows_of(okta)[1].id
    assert (flow["reason"], flow["side"]) == ("invitation_needed", "administrator")


@pytest.mark.parametrize(
    ("query", "number"),
    [("kind=test", 1), ("kind=idp_initiated", 0), ("outcome=pending", 2), ("outcome=not_answered", 0),
     ("outcome=not_finished", 0), ("outcome=succeeded", 1), ("event_id=ev_nothing", 0),
     ("since=2000-01-01T00:00:00Z", 4), ("since=2999-01-01T00:00:00Z", 0)],
)  # fmt: skip
def test_filters_count(api: Caller, okta: Connection, query: str, number: int) -> None:
    """Each alone."""
    assert len(api.get(f"{_path(okta)}?{query}")["sign_in_flows"]) == number


@pytest.mark.parametrize("query", ["outcome=lost", "kind=real", "since=yesterday", "email=", "colour=red"])
def test_a_filter_that_is_none_is_refused(api: Caller, okta: Connection, query: str) -> None:
    """400, not a list of something else."""
    api.get(f"{_path(okta)}?{query}", expect=400)


def test_the_reference_on_the_persons_page_finds_the_flow(app: Flask, api: Caller, okta: Connection) -> None:
    """From her page to the row, and nobody else's event finds one."""
    page = okta.sign_in(app.test_client(), person=2)
    (flow,) = api.get(f"{_path(okta)}?event_id={reference(page)}")["sign_in_flows"]
    assert flow["email"] == okta.provider.people[2].email


@pytest.mark.parametrize("body", [{}, {"kind": "sp_initiated"}, {"kind": "test", "enabled": True}])
def test_only_a_test_can_be_made(api: Caller, okta: Connection, body: dict[str, Any]) -> None:
    """Sign-ins are made by signing in."""
    api.post(_path(okta), body, expect=400)


def test_a_test_starts_at_its_url(app: Flask, api: Caller, okta: Connection) -> None:
    """One row, which waits for its browser."""
    flow = api.post(_path(okta), {"kind": "test"})
    assert flow["outcome"] == "pending"
    assert flow["start_url"].startswith(f"http://localhost/saml/{okta.row.id}/start?flow={flow['id']}_")
    assert app.test_client().get(flow["start_url"].removeprefix("http://localhost")).status_code == 303


@pytest.mark.parametrize(("role", "reading", "testing"), [("admin", 200, 201), ("team_manager", 403, 403)])
def test_whoever_may_see_connections_sees_their_flows(
    api: Caller, okta: Connection, role: str, reading: int, testing: int
) -> None:
    """What is in them is personal."""
    _, caller = member_with(api, role)
    caller.get(_path(okta), expect=reading)
    caller.post(_path(okta), {"kind": "test"}, expect=testing)


def test_a_list_takes_as_many_statements_as_a_row(app: Flask, api: Caller, okta: Connection) -> None:
    """Whether sessions live is asked once for all of them."""
    with db.connection():
        assert SignInFlow.select().count() == 4
    counts = []
    for limit in (1, 4):
        seen: list[str] = []
        hook = lambda event: seen.append(event.sql)  # noqa: B023, E731
        db.database.obj.query_hooks.append(hook)
        api.get(f"{_path(okta)}?outcome=succeeded&limit={limit}")
        db.database.obj.query_hooks.remove(hook)
        counts.append(len(seen))
        okta.change(join_policy="jit")
        okta.sign_in(app.test_client(), person=3)
    assert counts[0] == counts[1]
