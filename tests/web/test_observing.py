"""What the operator learns of each request: one line in the log without anything that a client wrote, and metrics."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import OperationalError
from prometheus_client.parser import text_string_to_metric_families

from idp_bridge import clock, db, event_sealing, logs
from idp_bridge.app import create_app
from idp_bridge.config import Config
from idp_bridge.models import JobRun
from tests.conftest import PASSWORD, ScimClient, World

SCIM = {"Content-Type": "application/scim+json"}


@dataclass
class Log:
    """What this process logs, as a file that can be read meanwhile."""

    path: Path
    streams: list[IO[str]] = field(default_factory=list)

    def configure(self, log_format: str, level: str = "info") -> None:
        """From now on, in that form."""
        self.path.unlink(missing_ok=True)
        self.streams.append(self.path.open("a"))
        logs.configure(log_format, level, stream=self.streams[-1])

    def all(self) -> list[dict[str, Any]]:
        """Every line so far."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        """Those of requests."""
        return [line for line in self.all() if line["event"] == "request"]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """The log, as JSON; afterwards it is as it was."""
    root, made = logging.getLogger(), Log(tmp_path / "log")
    level = root.level
    made.configure("json")
    yield made
    logs._requests.render = None
    root.setLevel(level)
    root.handlers[:] = [one for one in root.handlers if getattr(one, "stream", None) not in made.streams]
    for stream in made.streams:
        stream.close()


def scraped(client: FlaskClient) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and the values of its labels, in the order of the labels' names."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def grown(client: FlaskClient, act: Callable[[], Any]) -> dict[tuple[str, tuple[str, ...]], float]:
    """By how much each sample grew: others of this process have counted before."""
    before = scraped(client)
    act()
    after = scraped(client)
    return {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name, 0.0)}


# --- the line ---------------------------------------------------------------------------------------------------


def test_a_request_has_one_line_with_the_ids_of_who_asked(log: Log, client: FlaskClient, world: World) -> None:
    """Method, route as declared, status, time, request id, account, principal, credential; nothing else."""
    answer = client.get(f"/api/users/{world.owner.id}", headers=world.headers)
    (line,) = log.requests()
    assert set(line) == {
        "event", "level", "timestamp", "method", "route", "status", "duration_ms", "request_id", "account_id",
        "principal_id", "credential_id",
    }  # fmt: skip
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/users/<id>", 200)
    assert (line["account_id"], line["principal_id"]) == (world.account.id, world.owner.id)
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    assert 0 < line["duration_ms"] < 60_000


def test_a_scim_line_names_directory_token_and_account(log: Log, scim_client: ScimClient) -> None:
    """And of a refusal its reason; a stranger's has no ids."""
    bearer = {"Authorization": f"Bearer {scim_client.token}"}
    scim_client.open("GET", "/Users/nobody", headers=bearer)
    scim_client.open("POST", "/Users", headers=bearer | SCIM, data=b"{}")
    scim_client.open("GET", "/Users")
    missing, invalid, stranger = log.requests()
    assert missing["route"] == "/scim/v2/Users/<id>"
    assert missing["account_id"] == scim_client.world.account.id
    assert scim_client.world.provider is not None
    assert missing["principal_id"] == scim_client.world.provider.id
    assert missing["credential_id"].startswith("tok_")
    assert (missing["outcome"], invalid["outcome"]) == ("ERR_NOT_FOUND", "invalidValue")
    assert not {"account_id", "principal_id", "credential_id"} & set(stranger)


def test_nothing_that_a_client_writes_is_in_a_line(log: Log, client: FlaskClient, world: World) -> None:
    """Not the path, the query, the body, a header, an address, a password, a cookie; and each line is JSON."""
    canary = 'canary"\\\n'
    client.get(f"/nowhere/{'canary'}?q=canary", headers={"User-Agent": "canary", "X-Request-Id": 'canary"x'})
    client.open("/login", method="CANARY")
    client.post(
        "/login", data={"email": "canary@acme.test", "password": canary}, headers={"X-Forwarded-For": "9.9.9.9"}
    )
    client.get("/api/users", headers={"Authorization": f"Bearer {canary.strip()}"})
    client.get("/api/users", headers={**world.headers, "X-Account": "canary"})
    found = log.requests()
    assert [line["status"] for line in found] == [404, 405, 403, 401, 200]
    assert (found[0]["route"], found[1]["method"]) == ("none", "other")
    told = json.dumps(found)
    assert "canary" not in told
    assert "9.9.9.9" not in told
    assert world.api_key not in told


def test_a_proxys_own_request_id_stands_beside_ours(log: Log, client: FlaskClient) -> None:
    """So that both logs can be laid side by side; ours is never one that was sent, in whatever form."""
    client.get("/healthz", headers={"X-Request-Id": "f0e1-77:9"})
    client.get("/healthz", headers={"X-Request-Id": "op_handed_on"})
    foreign, ours = log.requests()
    assert foreign["proxy_request_id"] == "f0e1-77:9"
    assert foreign["request_id"].startswith("op_")
    assert ours["request_id"].startswith("op_0")
    assert ours["proxy_request_id"] == "op_handed_on"


def test_at_level_warning_only_our_own_failures_have_a_line(
    log: Log, app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And they have level error."""
    log.configure("json", "warning")
    client.get("/healthz")
    client.get("/nowhere")
    monkeypatch.setitem(app.view_functions, "operations.healthz", lambda: 1 / 0)
    client.get("/healthz")
    assert [(line["status"], line["level"]) for line in log.requests()] == [(500, "error")]


def test_for_a_console_a_line_is_read_by_people(log: Log, client: FlaskClient) -> None:
    """One line, no JSON."""
    log.configure("console")
    client.get("/healthz")
    (line,) = log.path.read_text().splitlines()
    assert re.fullmatch(r"\S+Z \[info\] GET /healthz 200 [\d.]+ ms request_id=op_\w+", line)


def test_every_route_makes_a_line_that_is_json(app: Flask) -> None:
    """What is declared needs no quoting, which is why none is done."""
    for rule in app.url_map.iter_rules():
        line = {"route": rule.rule, "method": "GET", "status": 200, "duration_ms": 1.5}
        assert json.loads(logs._as_json("info", line))["route"] == rule.rule


# --- slow statements --------------------------------------------------------------------------------------------


def test_a_slow_statement_is_logged_without_its_values(log: Log, config: Config, world: World) -> None:
    """With the request that it is of; every statement is slow where the limit is next to nothing."""
    db.disconnect()
    slow = create_app(replace(config, slow_query_ms=1))
    db.watch(1e-9, db._slow.tell)  # a millisecond is more than some machines need
    answer = slow.test_client().get("/api/users", headers=world.headers)
    db.watch(None, db._slow.tell)
    assert log.requests()
    told = [line for line in log.all() if line["event"] == "slow query"]
    assert told
    assert all(line["request_id"] == answer.headers["X-Request-Id"] for line in told)
    assert any("SELECT" in line["statement"] for line in told)
    everything = json.dumps(told)
    assert world.account.id not in everything
    assert world.owner.email not in everything
    db.database.obj.close_all()


# --- metrics ----------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_route_and_class_of_status(client: FlaskClient, world: World) -> None:
    """Traffic, errors and latency in one; what is nowhere, and unheard-of methods, share one label."""

    def act() -> None:
        for number in range(3):
            client.get(f"/api/users/usr_{number}", headers=world.headers)
            client.get(f"/nowhere/{number}")
            client.open("/login", method=f"METHOD{number}")

    found = grown(client, act)
    count = "idp_bridge_request_duration_seconds_count"
    assert found[(count, ("GET", "/api/users/<id>", "4xx"))] == 3
    assert found[(count, ("GET", "none", "4xx"))] == 3
    assert found[(count, ("other", "none", "4xx"))] == 3
    assert found[("idp_bridge_request_duration_seconds_bucket", ("+Inf", "GET", "/api/users/<id>", "4xx"))] == 3


def test_scim_answers_are_counted_by_resource_and_reason(client: FlaskClient, scim_client: ScimClient) -> None:
    """A scimType where there is one, else the code."""
    bearer = {"Authorization": f"Bearer {scim_client.token}"}

    def act() -> None:
        scim_client.open("GET", "/Users", headers=bearer)
        scim_client.open("GET", "/Groups?filter=x", headers=bearer)
        scim_client.open("GET", "/Users/nobody", headers=bearer)
        scim_client.open("GET", "/Users")

    found = grown(client, act)
    assert {name[1]: value for name, value in found.items() if name[0] == "idp_bridge_scim_answers_total"} == {
        ("ok", "Users"): 1,
        ("invalidFilter", "Groups"): 1,
        ("ERR_NOT_FOUND", "Users"): 1,
        ("ERR_NOT_AUTHENTICATED", "Users"): 1,
    }


def test_sign_ins_are_counted_by_way_and_outcome(client: FlaskClient, world: World) -> None:
    """A good password, and a wrong one."""

    def act() -> None:
        for password in ("a wrong one that is long", PASSWORD):
            page = client.get("/login").text
            token = re.search(r'name="csrf_token" value="([^"]+)"', page)
            assert token is not None
            data = {"email": world.owner.email, "password": password, "csrf_token": token[1]}
            client.post("/login", data=data)

    found = grown(client, act)
    counted = {name[1]: value for name, value in found.items() if name[0] == "idp_bridge_sign_ins_total"}
    assert counted == {("not_a_member", "password"): 1, ("ok", "password"): 1}


def test_gauges_say_how_the_service_stands(client: FlaskClient, scim_client: ScimClient) -> None:
    """Seats by plan, certificates by side and time left, jobs, events that are not sealed, what waits."""
    with db.connection(), db.transaction():
        JobRun.insert(name="mail", due_at=clock.parse("2020-01-01T00:00:00Z")).execute()
        JobRun.insert(name="no job of ours", due_at=clock.now()).execute()
    found = scraped(client)
    assert found[("idp_bridge_database_up", ())] == 1
    assert found[("idp_bridge_accounts", ("enterprise",))] == found[("idp_bridge_seats_used", ("enterprise",))] == 1
    assert found[("idp_bridge_accounts_without_seats", ("enterprise",))] == 0
    sides = [value for name, value in found.items() if name[0] == "idp_bridge_certificates"]
    assert sum(sides) == 1
    assert found[("idp_bridge_job_lag_seconds", ("mail",))] > 100_000_000
    assert ("idp_bridge_job_lag_seconds", ("no job of ours",)) not in found
    assert found[("idp_bridge_events_unsealed", ())] > 0
    with db.connection():
        event_sealing.seal(clock.now())
    after = scraped(client)
    assert after[("idp_bridge_events_unsealed", ())] == after[("idp_bridge_webhook_deliveries_waiting", ())] == 0


def test_labels_come_from_no_client(client: FlaskClient) -> None:
    """However many addresses and methods are tried, there are no more series."""
    client.get("/nowhere")
    before = len(scraped(client))
    for number in range(50):
        client.get(f"/{number}", headers={"X-Request-Id": str(number)})
    assert len(scraped(client)) == before


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"])
def test_without_a_token_metrics_are_for_this_machine(client: FlaskClient, header: str) -> None:
    """A proxy on this machine has its address, and says that it passes somebody on."""
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "10.0.0.9"}).status_code == 403
    refused = client.get("/metrics", headers={header: "10.0.0.9"})
    assert (refused.status_code, "IDP_BRIDGE_METRICS_TOKEN" in refused.text) == (403, True)


def test_with_a_token_metrics_are_for_who_has_it(config: Config) -> None:
    """From anywhere; this machine needs it too."""
    token = "of the scraper, and long"
    client = create_app(replace(config, metrics_token=token)).test_client()
    anywhere = {"REMOTE_ADDR": "10.0.0.9"}
    good = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}, environ_base=anywhere)
    assert good.status_code == 200
    for wrong in ("", "Bearer", "Bearer of the scraper", f"Basic {token}", "Bearer ü"):
        refused = client.get("/metrics", headers={"Authorization": wrong.encode().decode("latin-1")})
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    db.database.obj.close_all()


# --- the database away ------------------------------------------------------------------------------------------


def test_with_the_database_away_the_process_is_alive_and_not_ready(
    client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/healthz 200, /readyz 503 with the reason, /metrics with what needs no database."""
    scraped(client)

    def away(*args: Any, **options: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(db.database.obj, "connect", away)
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["reason"]) == (503, "the database cannot be reached")
    found = scraped(client)
    assert found[("idp_bridge_database_up", ())] == 0
    assert not any(name[0] == "idp_bridge_accounts" for name in found)
