"""The simulated provisioning: silent on an honest server, and plain about each lie of a wrong one."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from idp_bridge.simulator import people as sample
from idp_bridge.simulator.scim_push import DIALECTS, PROVIDERS, Report, simulate
from idp_bridge.simulator.wire import Unauthorised, Unreachable

TOKEN = "test-token"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ALL_DIALECTS = [cycle.dialect for cycles in PROVIDERS.values() for cycle in cycles]
OKTA = ["wizard", "catalogue"]
ENTRA = ["default", "aadOptscim062020"]


def run(dialect: str, server: Any, **options: Any) -> Report:
    return simulate(dialect, server.url, TOKEN, **{"users": 3, "groups": 2, **options})


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_an_honest_server_gives_no_findings_and_is_left_clean(dialect: str, scim_server: Any) -> None:
    """Nothing is found, every person and group was made, and all of them are gone at the end."""
    report = run(dialect, scim_server)
    assert report.findings == []
    assert report.clean
    assert (len(report.users), len(report.groups)) == (3, 2)
    assert report.requests == sum(report.statuses.values()) == len(scim_server.log)
    assert scim_server.names("Users") == scim_server.names("Groups") == set()


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_leave_in_place_leaves_the_directory_with_its_memberships(dialect: str, scim_server: Any) -> None:
    """The sample people stay, active, in just the groups that the directory says."""
    report = simulate(dialect, scim_server.url, TOKEN, leave_in_place=True)
    assert report.findings == []
    people = sample.directory(domain=sample.DOMAINS[DIALECTS[dialect].provider])
    assert scim_server.names("Users") == {person.user_name for person in people}
    assert all(each["active"] is True for each in scim_server.resources["Users"].values())
    for team in sample.teams(people):
        group = scim_server.resources["Groups"][report.groups[team.name]]
        members = {each["value"] for each in group["members"]}
        assert members == {report.users[name] for name in team.members}


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_a_second_run_matches_instead_of_creating(dialect: str, scim_server: Any) -> None:
    """Whoever is there already is found by lookup and linked: same ids, no 409, nothing found wrong."""
    first = run(dialect, scim_server, leave_in_place=True)
    scim_server.log.clear()
    second = run(dialect, scim_server, leave_in_place=True)
    assert second.findings == []
    assert second.users == first.users
    assert second.groups == first.groups
    assert not any(each.method == "POST" for each in scim_server.log)


def test_a_run_over_real_people_takes_nobody_away(scim_server: Any) -> None:
    """People who were there before a run are still there after it; only what the run made is removed."""
    before = run("wizard", scim_server, users=2, leave_in_place=True)
    run("default", scim_server, people=sample.directory(3))
    assert set(scim_server.resources["Users"]) == set(before.users.values())
    run("catalogue", scim_server)
    assert set(scim_server.resources["Users"]) == set(before.users.values())


@pytest.mark.parametrize("dialect", OKTA)
def test_okta_sends_what_okta_sends(dialect: str, scim_server: Any) -> None:
    """A password and empty groups on create; PATCH only from a catalogue app; no DELETE but for cleaning up."""
    run(dialect, scim_server)
    created = next(each for each in scim_server.log if (each.method, each.path) == ("POST", "/Users"))
    assert created.body["groups"] == []
    assert created.body["password"]
    assert len(created.body["externalId"]) == 20
    assert created.headers["user-agent"] == "Okta SCIM Client 1.0.0"
    patched = any(each.method == "PATCH" for each in scim_server.log)
    assert patched is (dialect == "catalogue")
    put_user = next(each for each in scim_server.log if each.method == "PUT" and "/Users/" in each.path)
    assert put_user.body["groups"] == []
    assert put_user.body["id"]


@pytest.mark.parametrize("dialect", ENTRA)
def test_entra_sends_what_entra_sends(dialect: str, scim_server: Any) -> None:
    """No User-Agent, plus signs in filters, nulls on create, and each dialect's own spelling of operations."""
    run(dialect, scim_server)
    assert not any("user-agent" in each.headers for each in scim_server.log)
    query = scim_server.log[0].headers["raw-query"]
    assert query.startswith("filter=userName+eq+%22")
    created = next(each for each in scim_server.log if (each.method, each.path) == ("POST", "/Users"))
    assert created.body["addresses"] is None
    operations = [op for each in scim_server.log if each.method == "PATCH" for op in each.body["Operations"]]
    states = {json.dumps(op["value"]) for op in operations if op.get("path") == "active"}
    if dialect == "default":
        assert {op["op"] for op in operations} == {"Add", "Replace", "Remove"}
        assert states == {'"True"', '"False"'}
        assert {"op": "Remove", "path": "members"}.items() <= _removal(operations).items()
    else:
        assert {op["op"] for op in operations} == {"add", "replace", "remove"}
        assert states == {"true", "false"}
        assert _removal(operations)["path"].startswith("members[value eq ")
        assert any("path" not in op and "name.familyName" in op["value"] for op in operations)


def _removal(operations: list[dict[str, Any]]) -> dict[str, Any]:
    return next(op for op in operations if op["op"].lower() == "remove")


def not_found_on_filter(exchange: Any) -> None:
    if exchange.is_filter and exchange.status == 200 and not exchange.answer["Resources"]:
        exchange.status, exchange.answer = 404, {"detail": "nobody"}


def no_total(exchange: Any) -> None:
    if exchange.is_filter and exchange.answer:
        exchange.answer.pop("totalResults", None)


def total_as_text(exchange: Any) -> None:
    if exchange.answer and "totalResults" in exchange.answer:
        exchange.answer["totalResults"] = str(exchange.answer["totalResults"])


def members_although_excluded(exchange: Any) -> None:
    if exchange.query.get("excludedAttributes") == "members" and exchange.answer:
        for each in exchange.answer.get("Resources", [exchange.answer]):
            each.setdefault("members", [])


def empty_body_after_create(exchange: Any) -> None:
    if (exchange.method, exchange.path, exchange.status) == ("POST", "/Users", 201):
        exchange.answer = None


def no_id_after_create(exchange: Any) -> None:
    if (exchange.method, exchange.path, exchange.status) == ("POST", "/Users", 201):
        exchange.answer = {key: value for key, value in exchange.answer.items() if key != "id"}


def plain_error(exchange: Any) -> None:
    if exchange.status >= 400:
        exchange.answer = {"error": "no"}


def numeric_error_status(exchange: Any) -> None:
    if exchange.status >= 400:
        exchange.answer["status"] = exchange.status


def html(exchange: Any) -> None:
    exchange.media_type = "text/html"


def echoes_password(exchange: Any) -> None:
    if (exchange.method, exchange.path, exchange.status) == ("POST", "/Users", 201):
        exchange.answer = {**exchange.answer, "password": exchange.body.get("password", "x")}


def accepts_duplicates(exchange: Any) -> None:
    if exchange.status == 409 and exchange.path == "/Users":
        exchange.status, exchange.answer = 201, {**exchange.body, "id": "x"}


def hides_the_inactive(exchange: Any) -> None:
    if exchange.is_filter and exchange.path == "/Users" and exchange.status == 200:
        shown = [each for each in exchange.answer["Resources"] if each.get("active")]
        exchange.answer |= {"Resources": shown, "totalResults": len(shown)}


def stays_active(exchange: Any) -> None:
    if exchange.answer and "active" in exchange.answer:
        exchange.answer = {**exchange.answer, "active": True}


def short_pages(exchange: Any) -> None:
    if "startIndex" in exchange.query and not exchange.is_filter and exchange.status == 200:
        exchange.answer["Resources"] = exchange.answer["Resources"][:1]
        exchange.answer["totalResults"] = 1


def no_members_ever(exchange: Any) -> None:
    if exchange.answer and exchange.path.startswith("/Groups/"):
        exchange.answer = {**exchange.answer, "members": []}


def membership_filter_lies(exchange: Any) -> None:
    if "members eq" in exchange.query.get("filter", ""):
        exchange.answer |= {"totalResults": 0, "Resources": []}


def refuses_patch(exchange: Any) -> None:
    if exchange.method == "PATCH":
        exchange.status, exchange.answer = 501, None


def empty_200_after_patch(exchange: Any) -> None:
    if exchange.method == "PATCH":
        exchange.answer = None


def delete_answers_200(exchange: Any) -> None:
    if exchange.method == "DELETE" and exchange.status == 204:
        exchange.status, exchange.answer = 200, {}


def null_in_schemas(exchange: Any) -> None:
    if exchange.path == "/Schemas":
        exchange.answer["Resources"][0]["description"] = None


def no_group_schema(exchange: Any) -> None:
    if exchange.path == "/Schemas":
        exchange.answer["Resources"].pop()


def manager_stays(exchange: Any) -> None:
    extension = (exchange.answer or {}).get(ENTERPRISE)
    if exchange.method == "GET" and isinstance(extension, dict):
        exchange.answer = {**exchange.answer, ENTERPRISE: {**extension, "manager": {"value": "somebody"}}}


FAULTS = [
    (not_found_on_filter, OKTA, "look up user", "200", "whether the person exists"),
    (not_found_on_filter, ENTRA, "test connection", "200", "quarantine"),
    (no_total, OKTA, "look up user", "totalResults as a JSON number", "whether the person exists"),
    (no_total, ENTRA, "look up user", "totalResults as a JSON number", "quarantine"),
    (total_as_text, ALL_DIALECTS, "test connection", "totalResults as a JSON number", "fails"),
    (members_although_excluded, ENTRA, "read group", "no members", "large groups"),
    (empty_body_after_create, OKTA, "create user", "id as a string", "returned empty user"),
    (no_id_after_create, ENTRA, "create user", "id as a string", "failed create"),
    (plain_error, ALL_DIALECTS, "wrong token", "schemas with", ""),
    (numeric_error_status, ALL_DIALECTS, "wrong token", "status '401'", ""),
    (html, ALL_DIALECTS, "test connection", "application/scim+json", ""),
    (echoes_password, OKTA, "create user", "no password", "Okta"),
    (accepts_duplicates, OKTA, "repeated create", "409", "exists twice"),
    (accepts_duplicates, ENTRA, "duplicate user", "409", "validator"),
    (hides_the_inactive, OKTA, "look up after deactivate", "totalResults 1", "whether the person exists"),
    (hides_the_inactive, ENTRA, "look up after disable user", "totalResults 1", "keeps her access"),
    (stays_active, OKTA, "read after deactivate", "active False", "another state"),
    (stays_active, ENTRA, "read after disable user", "active False", "keeps her access"),
    (short_pages, OKTA, "import", "all 3 in the pages", "import misses"),
    (no_members_ever, OKTA, "read after push", "members", "push group"),
    (membership_filter_lies, ENTRA, "read after addition", "totalResults 1", "membership"),
    (membership_filter_lies, ENTRA, "membership after enable", "totalResults 1", "does not resend"),
    (refuses_patch, ["catalogue"], "deactivate", "200 or 204", "another state"),
    (refuses_patch, ENTRA, "disable user", "200 or 204", "keeps her access"),
    (empty_200_after_patch, ENTRA, "update user", "the whole resource", "failed update"),
    (delete_answers_200, ENTRA, "delete user", "204", "repeats the deletion"),
    (null_in_schemas, ENTRA, "read schemas", "null", "validator"),
    (no_group_schema, ENTRA, "read schemas", "the schemas", "validator"),
    (manager_stays, ENTRA, "read after remove manager", "manager None", "old value"),
]


@pytest.mark.parametrize(
    ("dialect", "fault", "step", "want", "consequence"),
    [
        pytest.param(dialect, fault, *rest, id=f"{dialect}-{fault.__name__}-{rest[0].replace(' ', '-')}")
        for fault, dialects, *rest in FAULTS
        for dialect in dialects
    ],
)
def test_each_fault_is_found_and_named(
    scim_server: Any,
    *,
    dialect: str,
    fault: Callable[[Any], None],
    step: str,
    want: str,
    consequence: str,
) -> None:
    """The finding stands at the step where the provider meets it, and says what follows for that provider."""
    scim_server.faults.append(fault)
    found = [each for each in run(dialect, scim_server).findings if each.step == step]
    assert any(want in each.want and consequence in each.consequence for each in found), found


ODD_BODIES = [
    [],
    "text",
    7,
    {},
    {"schemas": None, "totalResults": None},
    {"schemas": 5, "id": 5, "Resources": {"a": 1}, "totalResults": 1},
    {"schemas": [LIST], "totalResults": 1, "Resources": [1, None, {"id": None}], "members": "x", "emails": [1]},
    {"id": "x", "schemas": {}, "name": [], "emails": {"type": 1}, ENTERPRISE: [], "members": [1, {"value": []}]},
]


@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_no_answer_breaks_the_simulator(dialect: str, body: Any, scim_server: Any) -> None:
    """Whatever JSON comes back, the run goes to its end and tells what was wrong."""
    scim_server.faults.append(lambda exchange: setattr(exchange, "answer", body))
    assert run(dialect, scim_server, users=2, groups=1).findings


def test_the_same_finding_is_counted_and_not_repeated(scim_server: Any) -> None:
    """Three people refused in the same way are one finding with a number."""

    def no_creates(exchange: Any) -> None:
        if exchange.method == "POST" and exchange.path == "/Users":
            exchange.status, exchange.answer = 500, None

    scim_server.faults.append(no_creates)
    creates = [each for each in run("default", scim_server).findings if each.step == "create user"]
    assert [(each.times, each.got) for each in creates] == [(3, "500")]


def test_throttling_is_waited_out(scim_server: Any) -> None:
    """429 with whole seconds is no finding: the provider waits and comes again."""

    def once(exchange: Any) -> None:
        if len(scim_server.log) == 1:
            exchange.status, exchange.answer, exchange.extra = 429, None, {"Retry-After": "0"}

    scim_server.faults.append(once)
    report = run("wizard", scim_server)
    assert report.findings == []
    assert report.statuses[429] == 1


def test_a_date_in_retry_after_is_a_finding(scim_server: Any) -> None:
    """Okta honours Retry-After as whole seconds only and waits five minutes else."""

    def once(exchange: Any) -> None:
        if len(scim_server.log) == 1:
            exchange.status, exchange.answer = 429, None
            exchange.extra = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}

    scim_server.faults.append(once)
    (finding,) = run("wizard", scim_server, users=1, groups=0).findings
    assert "whole seconds" in finding.want
    assert "five minutes" in finding.consequence


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
def test_a_refused_token_ends_the_run(dialect: str, scim_server: Any) -> None:
    """There is no report without a token: one clear error, after one request."""
    with pytest.raises(Unauthorised):
        simulate(dialect, scim_server.url, "stale")
    assert len(scim_server.log) <= 1


def test_nobody_at_home_is_unreachable() -> None:
    """A closed port raises, with the reason in words."""
    with pytest.raises(Unreachable, match="Connection refused"):
        simulate("wizard", "http://127.0.0.1:9/scim/v2", TOKEN)


def test_a_broken_connection_midway_keeps_the_report(scim_server: Any) -> None:
    """What was found before the server went away is not lost."""

    class Breaks(requests.Session):
        def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
            if method == "POST":
                raise requests.ConnectionError("the line is cut")
            return super().request(method, url, *args, **kwargs)

    with Breaks() as session:
        session.trust_env = False
        (finding,) = run("wizard", scim_server, session=session).findings
    assert finding.step.startswith("assign simulated-")
    assert "the line is cut" in finding.got


def test_progress_counts_to_the_end(scim_server: Any) -> None:
    """The callback sees every step and a total that never changes."""
    seen: list[tuple[int, int, str]] = []
    run("default", scim_server, progress=lambda done, total, step: seen.append((done, total, step)))
    assert [done for done, _, _ in seen] == list(range(len(seen)))
    assert {total for _, total, _ in seen} == {len(seen) - 1}


def test_report_is_json(scim_server: Any) -> None:
    """The report survives a round trip through JSON."""
    report = run("wizard", scim_server, users=1)
    again = json.loads(json.dumps(report.as_dict()))
    assert again["dialect"] == "wizard"
    assert again["statuses"]["200"] == report.statuses[200]


def test_providers_can_be_named_for_their_usual_dialect() -> None:
    """`okta` and `entra` stand for the dialect most tenants use."""
    assert (DIALECTS["okta"].dialect, DIALECTS["entra"].dialect) == ("wizard", "default")
