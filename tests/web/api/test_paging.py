"""Lists: newest first, by key, with absolute addresses."""

from typing import Any

import pytest

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
