"""Lists: newest first, by key, with absolute addresses."""

import json
from typing import Any

import pytest
from peewee import SqliteDatabase

from idp_bridge import clock, db
from idp_bridge.models import BotUser, Credential, Event
from tests.web.api.conftest import Caller

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


MANY = 20_000  # rows of one account


def _furnish_many(account_id: str, owner_id: str) -> None:
    now = clock.now()
    base = {"account": account_id}
    bot = {"name": "", "roles": [], "created_at": now}
    token = {"kind": "authtoken", "member": owner_id, "acl": [], "created_at": now}
    told = {"type": "bot_user_created.v0", "timestamp": now, "principal_type": "system", "principal_subject": ""}
    told |= {"source": "system", "object": {}}
    with db.transaction():
        for first in range(0, MANY, 1000):
            numbers = range(first, first + 1000)
            BotUser.insert_many([{**base, **bot, "id": f"bot_{n:026}", "name_key": f"{n}"} for n in numbers]).execute()
            Credential.insert_many([{**base, **token, "id": f"cr_{n:026}"} for n in numbers]).execute()
            Event.insert_many([{**base, **told, "id": f"ev_{n:026}"} for n in numbers]).execute()
    db.database.execute_sql("ANALYZE")


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


def _rows_read(sql: str, parameters: Any) -> int:
    """How many rows PostgreSQL reads for a statement, in whatever step of its plan; for SQLite, which does not say,
    its steps must all be searches by an index, none a sort."""
    if isinstance(db.database.obj, SqliteDatabase):
        plan = [step for *_, step in db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()]
        assert all(step.startswith("SEARCH") for step in plan), plan
        return 0
    ((plan,),) = db.database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).fetchall()
    return _most(json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"])


def _most(step: dict[str, Any]) -> int:
    read = step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0)
    return int(max([read, *(_most(inner) for inner in step.get("Plans", []))]))


def test_a_late_page_costs_what_the_first_does(api: Caller, made: list[tuple[str, Any]]) -> None:
    """As many statements, and each reads the rows of its page by an index, wherever in the list it is."""
    who = api.get("whoami")
    with db.connection():
        _furnish_many(who["account"]["id"], who["principal"]["id"])
    for path, prefix in (("bot_users?", "bot"), ("credentials?", "cr"), ("events?", "ev"), (f"events?{TYPED}&", "ev")):
        costs = set()
        for number in (MANY, MANY // 2, 200):
            made.clear()
            page = api.get(f"{path}before_id={prefix}_{number:026}")
            assert [len(rows) for rows in page.values() if isinstance(rows, list)] == [100]
            costs.add(len(made))
            listing = [one for one in made if "LIMIT" in one[0] and one[1] and 101 in one[1]]
            assert listing, made
            with db.connection():
                assert max(_rows_read(*one) for one in listing) <= 2 * 101
        assert len(costs) == 1, path


TYPED = "type=bot_user_created.v0"
