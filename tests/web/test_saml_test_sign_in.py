"""A test sign-in: the whole door and the whole decision, told to an administrator, and nothing created."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, flow_history, groups, plan_changes
from idp_bridge.models import (
    Event,
    IdentityLink,
    IdentityProvider,
    Invitation,
    Member,
    MemberRole,
    SeatCount,
    Session,
    SignInFlow,
)
from tests.web.connections import Connection, failed_checks, flows_of, session_of
from tests.web.pages import sign_in


def begin(connection: Connection) -> Any:
    """By the API, as an administrator; the flow."""
    answer = connection.world_client().post(
        f"/api/identity_providers/{connection.row.id}/sign_in_flows",
        json={"kind": "test"},
        headers=connection.world.headers,
    )
    assert answer.status_code == 201
    return answer.get_json()


def shown(connection: Connection, flow_id: str) -> Any:
    """The flow as the API tells it."""
    path = f"/api/identity_providers/{connection.row.id}/sign_in_flows/{flow_id}"
    return connection.world_client().get(path, headers=connection.world.headers).get_json()


def run(connection: Connection, browser: FlaskClient, **changes: Any) -> tuple[Any, Any]:
    """Begin, go to the provider and come back; where the browser is led, and the flow."""
    flow = begin(connection)
    answer = browser.get(flow["start_url"].removeprefix("http://localhost"))
    request_id = connection.asked(answer)
    landing = connection.post(browser, connection.response(request_id, **changes), RelayState=request_id)
    return landing, shown(connection, flow["id"])


def everything() -> dict[str, Any]:
    """What a sign-in may change."""
    tables = (Member, MemberRole, IdentityLink, Session, Invitation, SeatCount, Event)
    with db.connection():
        rows = {table.__name__: sorted(map(str, table.select().tuples())) for table in tables}
        provider = IdentityProvider.get()
        return {**rows, "provider": (provider.administrator_signed_in_at, provider.enabled)}


def as_it_is(c: Connection) -> None:
    """A connection through which people join."""


def switched_off(c: Connection) -> None:
    c.change(enabled=False)


def known_as_administrator(c: Connection) -> None:
    with db.connection(), db.transaction():
        Member.update(email=c.provider.people[0].email, email_key=c.provider.people[0].email).execute()


@pytest.mark.parametrize("prepare", [as_it_is, switched_off, known_as_administrator], ids=lambda p: p.__name__)
def test_a_test_creates_nothing(okta: Connection, client: FlaskClient, prepare: Callable[[Connection], None]) -> None:
    """No member, link, role, seat, session or event; and it proves to nobody that an administrator can sign in."""
    prepare(okta)
    sign_in(client)
    before, cookie = everything(), session_of(client)
    landing, flow = run(okta, client)
    assert landing.status_code == 303
    assert landing.headers["Location"].endswith(f"/accounts/acme/identity-providers/{okta.row.id}/flows/{flow['id']}")
    assert flow["outcome"] == "succeeded"
    assert session_of(client) == cookie
    assert everything() == before


def test_it_tells_who_it_would_be(okta: Connection, client: FlaskClient) -> None:
    """The attributes that came, the groups, the roles that they give, the row of the decision table."""
    person = okta.provider.people[0]
    with db.connection(), db.transaction():
        groups.map_role(okta.world.system, okta.row, role="billing", group_display_name="Engineering")
    _, flow = run(okta, client, attributes={"email": [person.email], "groups": ["Engineering", "Support"]})
    assert flow["decision"] == "join"
    assert (flow["email"], flow["name_id"], flow["member_id"]) == (person.email, person.email, None)
    assert flow["attributes"] == {"email": [person.email], "groups": ["Engineering", "Support"]}
    assert (flow["groups"], flow["roles"]) == (["Engineering", "Support"], ["billing"])
    assert flow["session"] is None
    assert all(check["passed"] for check in flow["checks"])
    assert person.email in flow["response"]["xml"]


def test_it_tells_who_is_a_member_already(okta: Connection, client: FlaskClient, app: Flask) -> None:
    """Whose account it would be."""
    okta.sign_in(app.test_client())
    _, flow = run(okta, client)
    with db.connection():
        member = Member.get(Member.email == okta.provider.people[0].email)
    assert (flow["decision"], flow["member_id"]) == ("admit", member.id)


def no_seat(c: Connection) -> None:
    with db.connection(), db.transaction():
        plan_changes.set_plan(c.world.system, "enterprise", seat_limit=1)


def nobody_invited(c: Connection) -> None:
    c.change(join_policy="invite_only")


@pytest.mark.parametrize(
    ("prepare", "reason", "decision"),
    [(nobody_invited, "invitation_needed", "invitation_needed"), (no_seat, "ERR_SEATS_FULL", None)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_it_tells_why_she_would_be_refused(
    okta: Connection, client: FlaskClient, prepare: Callable[[Connection], None], reason: str, decision: str | None
) -> None:
    """By the decision table, or by what joining runs into; on the result's page, not on the person's."""
    prepare(okta)
    before = everything()
    landing, flow = run(okta, client)
    assert landing.status_code == 303
    assert (flow["outcome"], flow["reason"], flow["decision"]) == ("refused", reason, decision)
    assert flow["event_id"] is None
    assert everything() == before


def test_it_tells_what_the_door_refused(okta: Connection, client: FlaskClient) -> None:
    """The check that failed, and the message."""
    landing, flow = run(okta, client, audience="https://other.test")
    assert landing.status_code == 303
    assert (flow["outcome"], flow["reason"], flow["side"]) == ("refused", "audience_mismatch", "identity_provider")
    assert failed_checks(flows_of(okta)[0]) == ["audience"]
    assert flow["response"]["xml"].startswith("<")


def test_a_test_is_begun_once_by_whoever_has_its_url(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """Its URL cannot be guessed, and works in one browser; the API shows it until then."""
    flow = begin(okta)
    assert flow["outcome"] == "pending"
    path = flow["start_url"].removeprefix("http://localhost")
    assert client.get(path[:-1] + ("0" if path[-1] != "0" else "1")).status_code == 403
    assert shown(okta, flow["id"])["start_url"] == flow["start_url"]
    assert client.get(path).status_code == 303
    assert shown(okta, flow["id"])["start_url"] is None
    assert app.test_client().get(path).status_code == 403


def test_a_test_is_finished_by_the_browser_that_began_it(okta: Connection, app: Flask, client: FlaskClient) -> None:
    """As a sign-in is."""
    flow = begin(okta)
    request_id = okta.asked(client.get(flow["start_url"].removeprefix("http://localhost")))
    held = okta.post(app.test_client(), okta.response(request_id)).headers["Location"]
    assert app.test_client().get(held).status_code == 403
    assert client.get(held).headers["Location"].endswith(flow["id"])


def test_a_real_sign_in_does_not_come_of_a_test(okta: Connection, client: FlaskClient) -> None:
    """The answer to a test's request opens no session, whatever comes with it."""
    _, flow = run(okta, client)
    assert session_of(client) is None
    with db.connection():
        assert Session.select().count() == 0
        assert SignInFlow.get().session_digest is None
        assert flow_history.outcome(SignInFlow.get()) == flow["outcome"] == "succeeded"
