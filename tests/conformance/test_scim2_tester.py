"""A third party's opinion: scim2-tester discovers the server and tries every attribute that it advertises."""

from collections.abc import Iterator
from typing import Any

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import CheckResult, Status, check_server

WRONG = {Status.ERROR, Status.CRITICAL, Status.DEVIATION}
EXPECTED: dict[tuple[str, str], str] = {}
"""(check, part of its reason) -> why we answer otherwise. Nothing so far."""


@pytest.fixture
def results(scim_client: Any) -> list[CheckResult]:
    """One whole run, in-process over WSGI, against a fresh directory."""
    client = WSGISCIMClient(
        scim_client.app,
        base_url="http://localhost/scim/v2",
        headers={"Authorization": f"Bearer {scim_client.token}"},
    )
    return check_server(client)


def unexpected(results: list[CheckResult]) -> Iterator[str]:
    """Every finding that no row of EXPECTED explains, in words."""
    for result in results:
        known = any(result.title == check and part in (result.reason or "") for check, part in EXPECTED)
        if result.status in WRONG and not known:
            yield f"{result.status.name} {result.resource_type or ''} {result.title}: {result.reason}"


def test_no_check_of_scim2_tester_fails(results: list[CheckResult]) -> None:
    """RFC 7643 and 7644 as an independent implementation reads them."""
    assert list(unexpected(results)) == []


def test_both_resource_types_are_checked_through(results: list[CheckResult]) -> None:
    """A tester that gave up after discovery would find nothing wrong either."""
    passed = {
        (result.resource_type, tag) for result in results if result.status == Status.SUCCESS for tag in result.tags
    }
    wanted = {(kind, f"crud:{verb}") for kind in ("User", "Group") for verb in ("create", "read", "update", "delete")}
    assert wanted <= passed
