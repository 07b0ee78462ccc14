"""The SCIM request log, as the API tells of it."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.web.api.conftest import Caller, member_with, push_group, push_user


@pytest.fixture
def log(api: Caller, connection: dict[str, Any]) -> str:
    """The address of a log with three changes and a refusal in it."""
    provider = api.post("identity_providers", connection)["id"]
    token = api.post(f"identity_providers/{provider}/scim_tokens", {})["token"]
    push_user(api, token, "ann@acme.test")
    push_user(api, token, "bob@acme.test")
    push_group(api, token, "Engineering")
    directory = Caller(api.app, token, {"Content-Type": "application/scim+json"})
    directory.call("POST", "/scim/v2/Users", {"userName": "ann@acme.test", "password": "hunter2-1Zq"}, expect=409)
    return f"identity_providers/{provider}/scim_requests"


def test_a_request_tells_what_was_sent_and_answered(api: Caller, log: str) -> None:
    """The newest first; secrets masked."""
    refused, group, bob, ann = api.get(log)["scim_requests"]
    assert (refused["method"], refused["path"], refused["status"]) == ("POST", "/Users", 409)
    assert (refused["scim_type"], refused["resource_name"]) == ("uniqueness", "ann@acme.test")
    assert "exists in this directory already" in refused["error"]
    assert json.loads(refused["request_body"]) == {"userName": "ann@acme.test", "password": "(masked)"}
    assert refused["ms"] > 0
    assert (group["after"]["displayName"], group["before"], group["error"]) == ("Engineering", None, None)
    assert [row["resource_name"] for row in (bob, ann)] == ["bob@acme.test", "ann@acme.test"]
    assert ann["resource_id"].startswith("du_")
    assert api.get(ann["uri"].removeprefix("http://localhost")) == ann
    assert ann["uri"] == f"http://localhost/api/{log}/{ann['id']}"


def test_filters_narrow_and_pages_keep_them(api: Caller, log: str) -> None:
    """All that are given must fit; next_page_uri carries them on."""

    def names(query: str) -> list[str]:
        return [row["resource_name"] for row in api.get(f"{log}?{query}")["scim_requests"]]

    assert names("status=409") == names("status=4xx") == names("status=failed") == ["ann@acme.test"]
    assert names("status=5xx") == []
    assert names("path=%2FGroups") == ["Engineering"]
    assert names("path=bob@") == ["bob@acme.test"]
    assert names("error=ALREADY&method=POST") == ["ann@acme.test"]
    assert names("method=DELETE") == []
    instant = api.get(log)["scim_requests"][1]["timestamp"]
    assert names(f"since={quote(instant)}") == ["ann@acme.test", "Engineering"]
    page = api.get(f"{log}?path=%2FUsers&status=201&limit=1")
    following = api.get(page["next_page_uri"].removeprefix("http://localhost"))
    assert [row["resource_name"] for row in following["scim_requests"]] == ["ann@acme.test"]
    assert following["next_page_uri"] is None


@pytest.mark.parametrize("query", ["status=4", "status=600", "status=ok", "method=get", "since=today", "colour=red"])
def test_a_filter_that_means_nothing_is_refused(api: Caller, log: str, query: str) -> None:
    """It would else answer something that nobody asked for."""
    api.get(f"{log}?{query}", expect=400)


def test_whoever_may_not_see_identity_providers_may_not_see_their_requests(api: Caller, log: str) -> None:
    """403 without idps:read; 404 under another provider of the account."""
    _, developer = member_with(api, "developer")
    developer.get(log, expect=403)
    one = api.get(f"{log}?limit=1")["scim_requests"][0]["id"]
    api.get(f"{log}/{one}")
    api.get(f"{log}/sr_nobody", expect=404)
    api.get(f"identity_providers/idp_nobody/scim_requests/{one}", expect=404)
