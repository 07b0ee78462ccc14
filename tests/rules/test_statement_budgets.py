"""How many SQL statements a request may take, on both databases: a figure that no busy machine can blur.

A number may only fall. Whoever raises one says in docs/performance.md, which holds the same table, what it buys.
"""

import re
from pathlib import Path

from flask import Flask

from tests.bench.statements import LARGE, SMALL, Count, Walk
from tests.conftest import ScimClient

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"

BUDGETS = {
    "GET /Users/{id}": 2,
    "filter userName eq": 2,
    "filter externalId eq": 2,
    "filter emails.value eq": 3,
    "list count=100": 4,
    "list count=100, deep page": 4,
    "POST /Users": 11,
    "POST /Users, userName no address": 12,
    "PATCH active=false": 10,
    "PATCH active=true": 8,
    "PATCH title": 5,
    "PATCH group add one": 7,
    "PATCH group remove one": 8,
    "GET group without members": 2,
    "DELETE /Users/{id}": 14,
    "GET /api/whoami by API key": 2,
    "POST /api/introspect by operator key": 2,
    "POST /api/introspect by API key": 2,
    "GET overview page": 20,
}


def _kind(count: Count) -> str:
    return count.name.partition(", of ")[0]


def test_no_request_exceeds_its_budget(app: Flask, scim_client: ScimClient) -> None:
    """Every measured request has a budget, keeps within it, and a group's size makes no difference."""
    counts = Walk(app, scim_token=scim_client.token, api_key=scim_client.world.api_key).run()
    assert {_kind(count) for count in counts} == set(BUDGETS)
    over = {count.name: count.statements for count in counts if count.total > BUDGETS[_kind(count)]}
    assert not over
    by_size = {
        size: {_kind(count): count.statements for count in counts if count.name.endswith(f", of {size}")}
        for size in (SMALL, LARGE)
    }
    assert by_size[SMALL], "the walk measures groups of two sizes"
    assert by_size[SMALL] == by_size[LARGE]


def test_the_performance_page_shows_the_budgets() -> None:
    """The table that people read is the one that is enforced."""
    section = PAGE.read_text().partition("## SQL statements of a request")[2].partition("\n## ")[0]
    shown = dict(re.findall(r"^\| `([^`]+)` \| (\d+) \|", section, flags=re.MULTILINE))
    assert shown == {name: str(budget) for name, budget in BUDGETS.items()}
