"""A third party's opinion: scim2-tester discovers the server and tries every attribute that it advertises."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import CheckResult, Status, check_server

from idp_bridge import db, schema_extensions
from scim.attributes import Attribute, AttributeType

WRONG = {Status.ERROR, Status.CRITICAL, Status.DEVIATION}
EXPECTED: dict[tuple[str, str], str] = {}
"""(check, part of its reason) -> why we answer otherwise. Nothing so far."""

#: Attributes of an account's own: each type (but decimal and dateTime, for which the tester makes up words), one value
#: and several, and an immutable and a writeOnly one under a URN of their own.
SIMPLE: tuple[AttributeType, ...] = ("string", "boolean", "integer", "binary")
OWN = {
    "plain": (
        *(Attribute(f"one{type}", type) for type in SIMPLE),
        *(Attribute(f"many{type}", type, multi_valued=True) for type in SIMPLE if type != "boolean"),
        Attribute("link", "reference", reference_types=("external",), case_exact=True),
        Attribute("size", canonical_values=("S", "M", "L"), case_exact=True),
        Attribute("car", "complex", sub_attributes=(Attribute("plate"), Attribute("doors", "integer"))),
        Attribute(
            "desks", "complex", multi_valued=True, sub_attributes=(Attribute("value"), Attribute("level", "integer"))
        ),
    ),
    "strict": (
        Attribute("serial", mutability="immutable"),
        Attribute("pin", mutability="writeOnly", returned="never"),
    ),
}

_APPENDED = "it has added the whole extension before, and `add` to a list appends (RFC 7644 §3.5.2.1)"
_AS_BYTES = "it compares base64 with the bytes that it made of the answer"
_GIVEN = "it has added the whole extension before, and an immutable value cannot be another (RFC 7643 §7)"
_UNSEEN = "it compares the whole extension, of which the writeOnly `pin` is not returned"
EXPECTED_OF_OWN = {
    ("check_add_attribute", ":many"): _APPENDED,
    ("check_add_attribute", ":desks"): _APPENDED,
    ("check_add_attribute", "onebinary'"): _AS_BYTES,
    ("check_replace_attribute", "binary'"): _AS_BYTES,
    ("check_add_attribute", ":serial"): _GIVEN,
    ("check_remove_attribute", ":serial is immutable"): _GIVEN,
    ("check_add_attribute", ":strict:2.0:User'"): _UNSEEN,
    ("check_add_attribute", ":strict:2.0:Group'"): _UNSEEN,
    ("check_replace_attribute", ":strict:2.0:User'"): _UNSEEN,
    ("check_replace_attribute", ":strict:2.0:Group'"): _UNSEEN,
}


def results_of(scim_client: Any) -> list[CheckResult]:
    """One whole run, in-process over WSGI, against a fresh directory."""
    client = WSGISCIMClient(
        scim_client.app,
        base_url="http://localhost/scim/v2",
        headers={"Authorization": f"Bearer {scim_client.token}"},
    )
    return check_server(client)


@pytest.fixture
def results(scim_client: Any) -> list[CheckResult]:
    """A run against the standard schemas."""
    return results_of(scim_client)


def unexpected(results: list[CheckResult], expected: Mapping[tuple[str, str], str] = EXPECTED) -> Iterator[str]:
    """Every finding that no row of the table explains, in words."""
    for result in results:
        known = any(result.title == check and part in (result.reason or "") for check, part in expected)
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


def test_attributes_of_ones_own_pass_its_checks(scim_client: Any) -> None:
    """RFC 7643 §3.3: an account's extensions are found under /Schemas and hold what their attributes say."""
    with db.connection(), db.transaction():
        for kind in ("User", "Group"):
            for name, attributes in OWN.items():
                urn = f"urn:ietf:params:scim:schemas:extension:{name}:2.0:{kind}"
                schema_extensions.create(
                    scim_client.world.system, urn=urn, name=name + kind, resource_type=kind, attributes=attributes
                )
    results = results_of(scim_client)
    assert list(unexpected(results, EXPECTED_OF_OWN)) == []
    tried = {
        result.reason
        for result in results
        if result.status == Status.SUCCESS and "attribute 'urn" in str(result.reason)
    }
    assert all(any(f":{own.name}'" in str(reason) for reason in tried) for own in OWN["plain"])
