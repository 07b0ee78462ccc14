"""Our own keys, as the API tells of them and rolls them over."""

from typing import Any

import pytest

from tests.web.api.conftest import Caller, member_with


@pytest.fixture
def keys(api: Caller, connection: dict[str, Any]) -> str:
    """The address of a connection's keys."""
    return f"identity_providers/{api.post('identity_providers', connection)['id']}/service_provider_keys"


def states(api: Caller, keys: str) -> dict[str, str]:
    return {row["id"]: row["state"] for row in api.get(keys)["service_provider_keys"]}


def test_a_key_is_rolled_over(api: Caller, keys: str) -> None:
    """Prepare, activate, retire; the connection's own answer shows the same keys, current first."""
    assert states(api, keys) == {}
    following = api.post(keys, None)
    assert following["state"] == "next"
    (first,) = states(api, keys).keys() - {following["id"]}
    assert api.get(f"{keys}/{following['id']}") == following
    refusal = api.post(keys, None, expect=409)
    assert "prepared already" in refusal["msg"]
    active = api.post(f"{keys}/{following['id']}/activate", None, expect=200)
    assert (active["state"], active["fingerprint_sha256"]) == ("current", following["fingerprint_sha256"])
    assert states(api, keys) == {following["id"]: "current", first: "former"}
    shown = api.get(keys.rpartition("/")[0])["service_provider_keys"]
    assert [(row["id"], row["state"]) for row in shown] == [(following["id"], "current"), (first, "former")]
    api.delete(f"{keys}/{following['id']}", expect=409)
    api.delete(f"{keys}/{first}")
    assert states(api, keys) == {following["id"]: "current"}


def test_the_private_half_is_nowhere(api: Caller, keys: str) -> None:
    """The certificate is all that anybody needs."""
    made = api.post(keys, None)
    assert made["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    for answer in (made, api.get(keys), api.get("identity_providers"), api.get("events")):
        assert "PRIVATE" not in str(answer)
        assert "private_key" not in str(answer)


def test_only_administrators_roll_keys_over(api: Caller, keys: str) -> None:
    """As with everything of a connection."""
    _, developer = member_with(api, "developer", "team_manager", "billing", "viewer")
    developer.get(keys, expect=403)
    developer.post(keys, None, expect=403)
