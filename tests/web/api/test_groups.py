"""Directory groups and role mappings, as the API tells of them."""

from typing import Any

import pytest

from tests.web.api.conftest import Caller, push_group, push_user


@pytest.fixture
def directory(api: Caller, connection: dict[str, Any]) -> tuple[str, str]:
    """A provider's id and its SCIM token."""
    provider = api.post("identity_providers", connection)
    return provider["id"], api.post(f"identity_providers/{provider['id']}/scim_tokens", {})["token"]


def test_groups_are_listed_with_their_members_counted(api: Caller, directory: tuple[str, str]) -> None:
    """Newest first; an empty one has none."""
    provider, token = directory
    user = push_user(api, token, "dana@acme.test")
    push_group(api, token, "Engineering", user["id"])
    push_group(api, token, "Empty")
    listed = api.get("groups")["groups"]
    assert [(row["display_name"], row["member_count"]) for row in listed] == [("Empty", 0), ("Engineering", 1)]
    assert api.get(f"groups/{listed[1]['id']}") == listed[1]
    assert listed[1]["identity_provider_id"] == provider


def test_a_mapping_is_made_read_changed_and_deleted(api: Caller, directory: tuple[str, str]) -> None:
    """By the group's id; its name is shown."""
    provider, token = directory
    group = push_group(api, token, "Engineering")
    made = api.post("role_mappings", {"identity_provider_id": provider, "group_id": group["id"], "role": "viewer"})
    assert (made["group_id"], made["group_display_name"]) == (group["id"], "Engineering")
    assert api.get(f"role_mappings/{made['id']}") == made
    changed = api.patch(f"role_mappings/{made['id']}", {"role": "developer"})
    assert changed == {**made, "role": "developer"}
    assert api.get("role_mappings")["role_mappings"] == [changed]
    api.delete(f"role_mappings/{made['id']}")
    api.get(f"role_mappings/{made['id']}", expect=404)


def test_a_mapping_waits_for_its_group(api: Caller, directory: tuple[str, str]) -> None:
    """Made by a name that nobody has pushed yet, it takes hold when the group comes."""
    provider, token = directory
    made = api.post(
        "role_mappings", {"identity_provider_id": provider, "group_display_name": "Later", "role": "viewer"}
    )
    assert made["group_id"] is None
    group = push_group(api, token, "LATER")
    assert api.get(f"role_mappings/{made['id']}")["group_id"] == group["id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"group_display_name": "A", "role": "emperor"}, 400),
        ({"role": "viewer"}, 400),
        ({"group_id": None, "group_display_name": None, "role": "viewer"}, 400),
        ({"group_id": "grp_01", "group_display_name": "A", "role": "viewer"}, 400),
        ({"group_id": "grp_01", "role": "viewer"}, 400),
        ({"group_display_name": "A"}, 400),
        ({"identity_provider_id": "idp_01", "group_display_name": "A", "role": "viewer"}, 404),
    ],
)
def test_a_mapping_names_one_group_and_one_role(
    api: Caller, directory: tuple[str, str], body: dict[str, Any], status: int
) -> None:
    """Anything else is refused."""
    api.post("role_mappings", {"identity_provider_id": directory[0], **body}, expect=status)


def test_the_same_mapping_is_made_once(api: Caller, directory: tuple[str, str]) -> None:
    """A second one is 409."""
    body = {"identity_provider_id": directory[0], "group_display_name": "Engineering", "role": "viewer"}
    api.post("role_mappings", body)
    api.post("role_mappings", {**body, "group_display_name": "ENGINEERING"}, expect=409)
