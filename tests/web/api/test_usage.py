"""/api/usage: reported by the product's edge or with usage:write, counted once, answered with the plan's limits."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from idp_bridge import accounts, db, operator_keys, usage
from idp_bridge.models import Account, UsageReport
from idp_bridge.plans import Metric
from idp_bridge.usage_reports import LARGEST
from tests.conftest import World, make_account
from tests.web.api.conftest import Caller, member_with


@pytest.fixture
def edge(app: Flask) -> Caller:
    """The product's own edge."""
    with db.connection(), db.transaction():
        return Caller(app, operator_keys.issue("edge").token)


def body(
    owner_id: str | None, key: str = "a", amount: int = 5, metric: str = "sessions", **more: Any
) -> dict[str, Any]:
    """A report."""
    named = {} if owner_id is None else {"owner_id": owner_id}
    return {**named, "metric": metric, "amount": amount, "idempotency_key": key, **more}


def me(caller: Caller) -> str:
    """The caller's own id."""
    return str(caller.get("whoami")["principal"]["id"])


def amounts(caller: Caller, query: str = "") -> dict[str, int]:
    """The account's totals by metric."""
    return {one["metric"]: one["amount"] for one in caller.get(f"usage{query}")["metrics"]}


def test_a_report_is_made_once_and_answered_alike_again(api: Caller, edge: Caller) -> None:
    """201, then 200 with the same answer, by whoever may report."""
    bot = api.post("bot_users", {"name": "deploy"})
    first = edge.post("usage", body(bot["id"]))
    assert first == {
        "idempotency_key": "a",
        "account_id": api.get("account")["id"],
        "owner_id": bot["id"],
        "credential_id": None,
        "metric": "sessions",
        "amount": 5,
        "day": usage.today().isoformat(),
        "created_at": first["created_at"],
    }
    for caller in (edge, api):
        assert caller.post("usage", body(bot["id"]), expect=200) == first
    assert amounts(api) == {"bandwidth_bytes": 0, "sessions": 5, "endpoints": 0}


def test_a_batch_is_201_where_any_of_it_is_new(api: Caller, edge: Caller) -> None:
    """Its reports are answered in their order; of an owner and of a credential alike, up to a thousand."""
    bot = api.post("bot_users", {"name": "deploy"})
    key = api.post("credentials", {"owner_id": bot["id"]})
    reports = [body(None, "k", 7, "endpoints", credential_id=key["id"]), body(bot["id"], "a")]
    made = edge.post("usage/batch", {"reports": reports})["reports"]
    assert [(one["owner_id"], one["credential_id"]) for one in made] == [(bot["id"], key["id"]), (bot["id"], None)]
    assert edge.post("usage/batch", {"reports": reports}, expect=200)["reports"] == made
    many = [body(bot["id"], f"{n}", 1) for n in range(999)]
    answered = edge.post("usage/batch", {"reports": [*many, reports[0]]})["reports"]
    assert (len(answered), answered[-1]) == (1000, made[0])
    assert amounts(api) == {"bandwidth_bytes": 0, "sessions": 1004, "endpoints": 7}
    edge.post("usage/batch", {"reports": [*many, *reports]}, expect=400)


def test_a_key_with_another_body_is_409(api: Caller) -> None:
    """Named in the body's own words."""
    api.post("usage", body(me(api)))
    refused = api.post("usage", body(me(api), amount=6), expect=409)
    assert refused["error_code"] == "ERR_IDEMPOTENCY_KEY_REUSED"
    assert list(refused["details"]["errors"]) == ["idempotency_key"]
    batch = api.post("usage/batch", {"reports": [body(me(api), "b"), body(me(api), amount=6)]}, expect=409)
    assert list(batch["details"]["errors"]) == ["reports.1.idempotency_key"]
    assert amounts(api)["sessions"] == 5


def test_who_is_not_there_is_404_and_nothing_is_counted(api: Caller, other: Caller, edge: Caller) -> None:
    """Nor is somebody of another account, but to the edge; each is named."""
    theirs = me(other)
    unknown = "bot_01jd00000000000000000000zz"
    assert list(api.post("usage", body(theirs), expect=404)["details"]["errors"]) == ["owner_id"]
    reports = [body(theirs, "1"), body(me(api), "2"), body(None, "3", credential_id=unknown)]
    assert set(api.post("usage/batch", {"reports": reports}, expect=404)["details"]["errors"]) == {
        "reports.0.owner_id",
        "reports.2.credential_id",
    }
    assert list(edge.post("usage/batch", {"reports": reports}, expect=404)["details"]["errors"]) == [
        "reports.2.credential_id"
    ]
    assert amounts(api)["sessions"] == amounts(other)["sessions"] == 0
    edge.post("usage/batch", {"reports": reports[:2]})
    assert amounts(api)["sessions"] == amounts(other)["sessions"] == 5


def test_who_may_report_and_who_may_look(api: Caller, app: Flask, edge: Caller) -> None:
    """A developer does both, billing and a viewer look only; a bot user's key reports; an operator key only reports."""
    _, viewer = member_with(api, "viewer")
    _, billing = member_with(api, "billing", email="bo@acme.test")
    _, manager = member_with(api, "team_manager", email="mo@acme.test")
    bot = api.post("bot_users", {"name": "deploy"})
    by_bot = Caller(app, api.post("api_keys", {"owner_id": bot["id"]})["token"])
    by_bot.post("usage", body(bot["id"]))
    for reader in (viewer, billing, by_bot):
        assert amounts(reader)["sessions"] == 5
    manager.get("usage", expect=403)
    for one in (viewer, billing, manager):
        assert "usage:write" in one.post("usage", body(bot["id"]), expect=403)["msg"]
    assert "operator key" in edge.get("usage", expect=401)["msg"]


def test_every_plan_may_report_and_look(app: Flask, edge: Caller) -> None:
    """And sees its own limits; what is over them is told."""
    with db.connection():
        world = make_account("small", plan="free")
    small = Caller(app, world.api_key)
    edge.post("usage", body(world.owner.id, amount=20_500))
    told = {one["metric"]: one for one in small.get("usage")["metrics"]}
    assert told["sessions"] == {
        "metric": "sessions",
        "amount": 20_500,
        "month": usage.month_of(usage.today().isoformat()),
        "month_amount": 20_500,
        "limit": 20_000,
        "percent": 102,
        "overage": 500,
    }
    events = small.get("events?type=usage_threshold_reached.v0")["events"]
    assert [event["object"]["percent"] for event in events] == [100, 80]


def test_a_limit_that_is_passed_names_who_reported_it(app: Flask, edge: Caller) -> None:
    """With the credential and the request, as every event does; and so does the row of the report."""
    with db.connection():
        world = make_account("small", plan="free")
    small = Caller(app, world.api_key)
    small.post("usage", body(world.owner.id, amount=16_000))
    edge.post("usage", body(world.owner.id, "b", amount=4_000))
    by_operator, by_owner = small.get("events?type=usage_threshold_reached.v0")["events"]
    assert (by_owner["principal"]["id"], by_owner["principal"]["type"]) == (world.owner.id, "user")
    assert by_operator["principal"]["type"] == "operator"
    for event, key in ((by_owner, "ak_"), (by_operator, "op_")):
        assert event["principal"]["credential"]["id"].startswith(key)
        assert (event["principal"]["source"], event["address"]) == ("api", "127.0.0.1")
        assert event["request_id"].startswith("op_")
    with db.connection():
        rows = {row.key: (row.reported_by, row.reported_with) for row in UsageReport.select()}
    assert rows["a"] == (world.owner.id, by_owner["principal"]["credential"]["id"])
    assert rows["b"] == (by_operator["principal"]["id"],) * 2


def test_only_the_operator_takes_back_what_was_reported(api: Caller, edge: Caller) -> None:
    """Counted once like every report; no more than there is."""
    api.post("usage", body(me(api), amount=LARGEST))
    refused = api.post("usage", body(me(api), "b", amount=-LARGEST), expect=403)
    assert list(refused["details"]["errors"]) == ["amount"]
    taken = body(me(api), "b", amount=5 - LARGEST)
    for status in (201, 200):
        edge.post("usage", taken, expect=status)
    assert amounts(api)["sessions"] == 5
    edge.post("usage", body(me(api), "c", amount=-6), expect=409)
    assert amounts(api)["sessions"] == 5


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -LARGEST - 1}, "amount"),
        ({"amount": LARGEST + 1}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": None}, "amount"),
        ({"metric": "bytes"}, "metric"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "a b"}, "idempotency_key"),
        ({"idempotency_key": "a" * 256}, "idempotency_key"),
        ({"credential_id": "ak_1"}, "owner_id"),
        ({"day": "2026-02-30"}, "day"),
        ({"day": "yesterday"}, "day"),
        ({"day": "2001-01-01"}, "day"),
        ({"at": "now"}, "at"),
    ],
)
def test_a_wrong_report_is_refused_by_its_field(api: Caller, wrong: dict[str, Any], named: str) -> None:
    """Alone and in a batch, where its place is named."""
    report = {**body(me(api)), **wrong}
    assert list(api.post("usage", report, expect=400)["details"]["errors"]) == [named]
    batch = {"reports": [body(me(api), "good"), report]}
    assert list(api.post("usage/batch", batch, expect=400)["details"]["errors"]) == [f"reports.1.{named}"]
    assert amounts(api)["sessions"] == 0


@pytest.mark.parametrize("sent", [{}, {"reports": []}, {"reports": [{}]}, {"reports": None}, {"metric": "sessions"}])
def test_a_body_without_a_report_is_refused(api: Caller, sent: Any) -> None:
    """Nothing, an empty batch, an empty report, half of one."""
    for path in ("usage", "usage/batch"):
        assert api.post(path, sent, expect=400)["details"]["errors"]


def test_usage_is_asked_by_days_owner_and_metric(api: Caller) -> None:
    """All that are given must fit; the limit is the whole account's all the same."""
    today = usage.today()
    yesterday = today - timedelta(days=1)
    bot = api.post("bot_users", {"name": "deploy"})
    days = {"old": yesterday, "new": today}
    for key, day in days.items():
        api.post("usage", body(bot["id"], key, 3, day=day.isoformat()))
    api.post("usage", body(me(api), "mine", 10, "bandwidth_bytes"))
    whole = f"?from={yesterday}&to={today}"
    assert amounts(api, whole) == {"bandwidth_bytes": 10, "sessions": 6, "endpoints": 0}
    assert amounts(api, f"?from={today}") == {"bandwidth_bytes": 10, "sessions": 3, "endpoints": 0}
    asked = api.get(f"usage{whole}&owner_id={bot['id']}&metric=sessions")
    assert (asked["from"], asked["to"], asked["plan"]) == (str(yesterday), str(today), "enterprise")
    assert [(one["metric"], one["amount"], one["limit"]) for one in asked["metrics"]] == [("sessions", 6, None)]
    assert asked["days"] == [{"day": str(day), "metric": "sessions", "amount": 3} for day in (yesterday, today)]
    (owner,) = asked["owners"]
    assert (owner["owner_id"], owner["name"], owner["amounts"]["sessions"]) == (bot["id"], "deploy", 6)


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("?from=2026-02-30", "from"),
        ("?from=2026-03-02&to=2026-03-01", "to"),
        ("?from=2024-01-01&to=2026-01-01", "from"),
        ("?metric=bytes", "metric"),
        ("?owner=x", "owner"),
        ("?limit=0", "limit"),
    ],
)
def test_a_wrong_question_is_refused_by_its_parameter(api: Caller, query: str, wrong: str) -> None:
    """An unknown one too."""
    refused = api.get(f"usage{query}", expect=400)
    assert (refused["error_code"], list(refused["details"]["errors"])) == ("ERR_INVALID_PARAMETER", [wrong])


def test_owners_come_in_pages(api: Caller) -> None:
    """By next_page_uri, each once, with the credentials that they have now."""
    made = [api.post("bot_users", {"name": f"bot {n}"})["id"] for n in range(3)]
    api.post("usage/batch", {"reports": [body(id, id) for id in made]})
    api.post("credentials", {"owner_id": made[0]})
    seen, path = [], "/api/usage?limit=2"
    while path:
        page = api.get(path)
        assert len(page["owners"]) <= 2
        seen += page["owners"]
        path = (page["next_page_uri"] or "").removeprefix("http://localhost")
    assert [one["owner_id"] for one in seen] == [me(api), *reversed(made)]
    assert seen[-1]["credentials"] == {"authtoken": 1, "api_key": 0, "ssh_public_key": 0}
    assert seen[0]["credentials"]["api_key"] == 1


def test_the_reader_s_account_alone_is_told(api: Caller, other: Caller, edge: Caller, world: World) -> None:
    """Somebody else's owner is as one who has used nothing."""
    edge.post("usage", body(me(other), metric=Metric.ENDPOINTS))
    assert api.get(f"usage?owner_id={me(other)}")["owners"] == []
    assert amounts(api)["endpoints"] == 0
    with db.connection():
        assert Account.select().count() == 2
        assert accounts.find("acme").id == world.account.id
