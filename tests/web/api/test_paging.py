"""Lists: newest first, by key, with absolute addresses."""

import json
from datetime import timedelta
from typing import Any

import pytest
from peewee import SqliteDatabase

from idp_bridge import clock, db
from idp_bridge.models import BotUser, Credential, Event, Invitation, Member, Person
from tests.web.api.conftest import Caller, member_with

BASE = "http://localhost"


def _follow(api: Caller, page: dict[str, Any], plural: str) -> list[str]:
    ids = [row["id"] for row in page[plural]]
    while page["next_page_uri"]:
        assert page["next_page_uri"].startswith(BASE)
        page = api.get(page["next_page_uri"].removeprefix(BASE))
        ids += [row["id"] for row in page[plural]]
    return ids


def test_pages_hold_everything_once_newest_first(api: Caller) -> None:
    """Following next_page_uri shows each thing once, in the reverse of the order they were made in."""
    made = [api.post("bot_users", {"name": f"bot {number}"})["id"] for number in range(7)]
    page = api.get("bot_users?limit=3")
    assert page["uri"] == f"{BASE}/api/bot_users"
    assert len(page["bot_users"]) == 3
    assert _follow(api, page, "bot_users") == made[::-1]


def test_a_full_last_page_has_no_next(api: Caller) -> None:
    """next_page_uri is null exactly where nothing follows."""
    for number in range(4):
        api.post("bot_users", {"name": f"bot {number}"})
    first = api.get("bot_users?limit=2")
    assert api.get(first["next_page_uri"].removeprefix(BASE))["next_page_uri"] is None


def test_a_page_goes_on_after_its_row_is_gone(api: Caller) -> None:
    """before_id is a place in the order, not a row."""
    made = [api.post("bot_users", {"name": f"bot {number}"})["id"] for number in range(4)]
    page = api.get("bot_users?limit=2")
    api.delete(f"bot_users/{made[2]}")
    assert _follow(api, page, "bot_users") == made[::-1]


def test_roles_page_like_everything_else(api: Caller) -> None:
    """The built-in ones too."""
    assert _follow(api, api.get("roles?limit=2"), "roles") == [
        f"role_{name}" for name in ("viewer", "team_manager", "developer", "billing", "admin")
    ]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=-1", "limit=ten", "limit=", "limit=1.5", "limit=1e1"])
def test_a_limit_outside_1_to_100_is_refused(api: Caller, query: str) -> None:
    """400, and the parameter is named."""
    refusal = api.get(f"bot_users?{query}", expect=400)
    assert refusal["error_code"] == "ERR_INVALID_PARAMETER"
    assert list(refusal["details"]["errors"]) == ["limit"]


@pytest.mark.parametrize(("query", "wrong"), [("before_id=%00", "before_id"), ("filter=x", "filter"), ("q=", "q")])
def test_a_parameter_that_is_not_understood_is_refused(api: Caller, query: str, wrong: str) -> None:
    """A filter that were ignored would answer another question."""
    assert list(api.get(f"api_keys?{query}", expect=400)["details"]["errors"]) == [wrong]


def test_a_parameter_is_given_once_and_only_where_there_is_one(api: Caller) -> None:
    """Not in a list only: a single resource, a POST, a change and a deletion have none that is not documented."""
    bot = api.post("bot_users", {"name": "ci"})["id"]
    for method, path, body in (
        ("GET", "bot_users?limit=1&limit=200", None),
        ("GET", f"bot_users/{bot}?x=1", None),
        ("HEAD", f"bot_users/{bot}?x=1", None),
        ("POST", "bot_users?x=1", {"name": "two"}),
        ("PATCH", f"bot_users/{bot}?x=1", {"name": "two"}),
        ("DELETE", f"bot_users/{bot}?x=1", None),
        ("POST", "recovery_codes?x=1", None),
    ):
        answer = api.call(method, path, body, expect=400)
        if method != "HEAD":
            assert answer.get_json()["error_code"] == "ERR_INVALID_PARAMETER"
            assert list(answer.get_json()["details"]["errors"]) == ["limit" if "limit" in path else "x"]
    answer = api.call("POST", "introspect?x=1", data={"token": "a"}, expect=400)
    assert list(answer.get_json()["details"]["errors"]) == ["x"]
    assert [row["name"] for row in api.get("bot_users")["bot_users"]] == ["ci"]
    api.call("HEAD", "bot_users?limit=1", expect=200)


@pytest.mark.parametrize(
    ("path", "plural"),
    [(name, name) for name in ("bot_users", "credentials", "ssh_credentials", "users", "invitations", "groups")]
    + [(name, name) for name in ("identity_providers", "role_mappings", "roles", "events")]
    + [("api_keys", "keys")],
)
def test_every_list_has_the_same_form(api: Caller, path: str, plural: str) -> None:
    """The plural, uri and next_page_uri; API keys are listed under ``keys``."""
    page = api.get(path)
    assert set(page) == {plural, "uri", "next_page_uri"}
    assert page["uri"] == f"{BASE}/api/{path}"


def test_a_place_of_another_kind_is_only_a_place(api: Caller) -> None:
    """``before_id`` is compared, not looked up: an id of another kind sorts before all, or after all."""
    made = api.post("bot_users", {"name": "deploy"})["id"]
    assert [row["id"] for row in api.get("bot_users?before_id=usr_1")["bot_users"]] == [made]
    assert api.get("bot_users?before_id=acct_1")["bot_users"] == []


# --- what a page costs -----------------------------------------------------------------------------------------------

MANY = 5_000  # rows of one account, of each kind
TYPED = "type=bot_user_created.v0"

#: Every list -> what else it may be asked for.
LISTS: dict[str, tuple[str, ...]] = {
    "account/enforcement": (),
    "api_keys": (),
    "bot_users": (),
    "credentials": (),
    "events": (TYPED, "actor_id=usr_1", "object_id=bot_1", "since=2020-01-01T00:00:00Z"),
    "groups": (),
    "identity_conflicts": ("state=all", "state=resolved"),
    "identity_providers": (),
    "identity_providers/{idp}/scim_requests": (),
    "identity_providers/{idp}/scim_tokens": (),
    "identity_providers/{idp}/service_provider_keys": (),
    "identity_providers/{idp}/sign_in_flows": ("outcome=refused", "kind=test"),
    "invitations": (),
    "role_mappings": (),
    "roles": (),
    "schema_extensions": (),
    "service_users": (),
    "ssh_credentials": (),
    "users": ("state=active", "state=suspended", "state=deprovisioned"),
    "webhooks": (),
    "webhooks/{wh}/deliveries": (),
}
#: One answers sums of all that was used, the other the few sessions of one person, which are read whole.
NOT_BY_KEY = {"usage", "users/{id}/sessions"}


@pytest.fixture
def made(api: Caller, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The statements that are made from here on."""
    statements: list[tuple[str, Any]] = []
    real = type(db.database.obj).execute_sql

    def execute_sql(database: Any, sql: str, params: Any = None) -> Any:
        statements.append((sql, params))
        return real(database, sql, params)

    monkeypatch.setattr(type(db.database.obj), "execute_sql", execute_sql)
    return statements


def _listing(made: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Those that read a page of 100 and the row behind it."""
    found = [(sql, parameters) for sql, parameters in made if "LIMIT" in sql and parameters and 101 in parameters]
    assert found, made
    return found


def _plan(sql: str, parameters: Any, *, analyze: bool = False) -> list[dict[str, Any]]:
    """The steps of PostgreSQL's plan."""
    options = "ANALYZE, FORMAT JSON" if analyze else "FORMAT JSON"
    ((plan,),) = db.database.execute_sql(f"EXPLAIN ({options}) {sql}", parameters).fetchall()
    waiting, steps = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]], []
    while waiting:
        steps.append(waiting.pop())
        waiting += steps[-1].get("Plans", [])
    return steps


def _unordered(sql: str, parameters: Any) -> list[str]:
    """What of the plan sorts, or reads a whole table. PostgreSQL prefers either while tables are as small as here, and
    is asked what it can do without."""
    if isinstance(db.database.obj, SqliteDatabase):
        plan = [step for *_, step in db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()]
        return [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step]
    with db.transaction():
        for what in ("sort", "seqscan", "bitmapscan"):
            db.database.execute_sql(f"SET LOCAL enable_{what} = off")
        return [step["Node Type"] for step in _plan(sql, parameters) if "Sort" in step["Node Type"]]


def test_every_list_is_looked_at_here(api: Caller) -> None:
    """What takes ``before_id`` in the documentation is in the table above."""
    paths = api.get("openapi.json")["paths"]
    lists = {
        path.removeprefix("/api/")
        for path, operations in paths.items()
        if any(one.get("name") == "before_id" for one in operations.get("get", {}).get("parameters", []))
    }
    ours = {path.format(idp="{provider_id}", wh="{webhook_id}") for path in LISTS}
    assert lists == ours | NOT_BY_KEY


def test_a_page_of_a_list_is_read_in_the_order_of_an_index(
    api: Caller, made: list[tuple[str, Any]], connection: dict[str, Any]
) -> None:
    """Page 1,000 costs what page 1 does: no rows are sorted, on a database as the product makes it."""
    provider = api.post("identity_providers", connection)["id"]
    webhook = api.post("webhooks", {"url": "https://hooks.example.com/acme"})["id"]
    unordered = {}
    for path, query in [(one, query) for one, queries in LISTS.items() for query in ("", *queries)]:
        made.clear()
        api.get(f"{path.format(idp=provider, wh=webhook)}?before_id=zz&{query}")
        with db.connection():
            if steps := [step for one in _listing(made) for step in _unordered(*one)]:
                unordered[f"{path}?{query}"] = steps
    assert unordered == {}


def _furnish_many(account_id: str, owner_id: str) -> None:
    now = clock.now()
    base = {"account": account_id}
    bot = {"name": "", "roles": [], "created_at": now}
    token = {"kind": "authtoken", "member": owner_id, "acl": [], "created_at": now}
    told = {"type": "bot_user_created.v0", "timestamp": now, "principal_type": "system", "principal_subject": ""}
    told |= {"source": "system", "object": {}}
    member = {"email": "", "managed_by": "local", "active": False, "held": True, "created_at": now}
    asked = {"email": "", "roles": [], "invited_by": "", "expires_at": now + timedelta(days=1), "created_at": now}
    with db.transaction():
        for first in range(0, MANY, 1000):
            numbers = range(first, first + 1000)
            BotUser.insert_many([{**base, **bot, "id": f"bot_{n:026}", "name_key": f"{n}"} for n in numbers]).execute()
            Credential.insert_many([{**base, **token, "id": f"cr_{n:026}"} for n in numbers]).execute()
            Event.insert_many([{**base, **told, "id": f"ev_{n:026}"} for n in numbers]).execute()
            Person.insert_many([{"id": f"p_{n}", "created_at": now} for n in numbers]).execute()
            Member.insert_many(
                [{**base, **member, "id": f"usr_{n:026}", "person": f"p_{n}", "email_key": f"{n}"} for n in numbers]
            ).execute()
            Invitation.insert_many(
                [{**base, **asked, "id": f"inv_{n:026}", "email_key": f"{n}", "token_digest": f"{n}"} for n in numbers]
            ).execute()
    if db.database.for_update:
        db.database.execute_sql("ANALYZE")  # as its autovacuum does by itself a minute later


def _rows_read(sql: str, parameters: Any) -> int:
    """The most that PostgreSQL reads in one step; SQLite does not say, and its plan alone is looked at above."""
    if isinstance(db.database.obj, SqliteDatabase):
        return 0
    steps = _plan(sql, parameters, analyze=True)
    return int(
        max(step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0) for step in steps)
    )


def test_a_late_page_costs_what_the_first_does(api: Caller, made: list[tuple[str, Any]]) -> None:
    """As many statements, and each reads the rows of its page by an index, wherever in the list it is."""
    who = api.get("whoami")
    with db.connection():
        _furnish_many(who["account"]["id"], who["principal"]["id"])
    for path, prefix in (
        ("bot_users?", "bot"),
        ("credentials?", "cr"),
        ("events?", "ev"),
        (f"events?{TYPED}&", "ev"),
        ("invitations?", "inv"),
        ("users?", "usr"),
        ("users?state=suspended&", "usr"),
    ):
        costs = set()
        for number in (MANY, MANY // 2, 200):
            made.clear()
            page = api.get(f"{path}before_id={prefix}_{number:026}")
            assert [len(rows) for rows in page.values() if isinstance(rows, list)] == [100]
            costs.add(len(made))
            with db.connection():
                assert max(_rows_read(*one) for one in _listing(made)) <= 2 * 101, path
        assert len(costs) == 1, path


def test_whoever_sees_her_own_credentials_reads_no_others(api: Caller, made: list[tuple[str, Any]]) -> None:
    """A developer's are found by their owner, however many the account has; a bot user's own too."""
    id, dana = member_with(api, "developer")
    bot = api.post("bot_users", {"name": "ci"})["id"]
    robot = Caller(api.app, api.post("api_keys", {"owner_id": bot})["token"])
    who = api.get("whoami")
    with db.connection():
        _furnish_many(who["account"]["id"], who["principal"]["id"])
    for caller, owner in ((dana, id), (robot, bot)):
        mine = caller.post("credentials", {})["id"]
        made.clear()
        assert [(row["id"], row["owner_id"]) for row in caller.get("credentials")["credentials"]] == [(mine, owner)]
        ((sql, parameters),) = _listing(made)
        with db.connection():
            assert _rows_read(sql, parameters) <= 2
            if isinstance(db.database.obj, SqliteDatabase):
                plan = str(db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
                assert f"{'bot_user' if owner == bot else 'member'}_id=?" in plan


def test_lists_of_several_directories_are_one(api: Caller, connection: dict[str, Any]) -> None:
    """Mappings of two providers come in the order in which they were made, over pages."""
    providers = [
        api.post("identity_providers", {**connection, "name": name, "entity_id": f"https://{name}.test"})["id"]
        for name in ("one", "two")
    ]
    made = [
        api.post(
            "role_mappings",
            {"identity_provider_id": providers[number % 2], "group_display_name": f"g{number}", "role": "viewer"},
        )["id"]
        for number in range(7)
    ]
    assert _follow(api, api.get("role_mappings?limit=3"), "role_mappings") == made[::-1]
