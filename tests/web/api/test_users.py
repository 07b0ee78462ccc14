"""Members, as the API tells of them."""

from typing import Any

import pytest

from idp_bridge import clock, db
from idp_bridge.models import IdentityLink, Member
from tests.web.api.conftest import Caller, member_with, push_group, push_user


@pytest.fixture
def directory(api: Caller, connection: dict[str, Any]) -> tuple[str, str]:
    """A provider's id and its SCIM token."""
    provider = api.post("identity_providers", connection)
    return provider["id"], api.post(f"identity_providers/{provider['id']}/scim_tokens", {})["token"]


def _member(api: Caller, address: str) -> Any:
    return next(row for row in api.get("users")["users"] if row["email"] == address)


def test_roles_are_set_with_their_reason(api: Caller) -> None:
    """A PATCH of roles replaces those held by hand."""
    dana, caller = member_with(api, "viewer")
    changed = api.patch(f"users/{dana}", {"roles": ["developer", "billing"]})
    assert changed["roles"] == ["billing", "developer"]
    assert {source["source"] for source in changed["role_sources"]} == {"hand"}
    assert caller.get("whoami")["roles"] == ["billing", "developer"]
    assert api.patch(f"users/{dana}", {"roles": ["emperor"]}, expect=400)["details"]["errors"].keys() == {"roles"}


def test_a_suspended_member_keeps_her_place_and_loses_her_key(api: Caller) -> None:
    """Inactive, her credentials sleep; active again, they work."""
    dana, caller = member_with(api, "developer")
    assert api.patch(f"users/{dana}", {"active": False})["active"] is False
    caller.get("account", expect=401)
    assert api.get(f"users/{dana}")["roles"] == ["developer"]
    assert api.patch(f"users/{dana}", {"active": True})["active"] is True
    caller.get("account")


def test_a_removed_member_is_gone_with_her_credentials(api: Caller) -> None:
    """204, then 404, and her key is dead."""
    dana, caller = member_with(api, "developer")
    api.delete(f"users/{dana}")
    api.get(f"users/{dana}", expect=404)
    caller.get("account", expect=401)


def test_what_providers_call_a_member_is_forgotten(api: Caller, connection: dict[str, Any]) -> None:
    """By her, or all that one provider has named; whoever may not edit members may not."""
    first, second = (api.post("identity_providers", {**connection, "name": name})["id"] for name in "AB")
    dana, caller = member_with(api, "viewer")
    for provider in (first, second):
        IdentityLink.create(
            identity_provider=provider, name_id_format="f", name_id="n", member=dana, created_at=clock.now()
        )
    caller.delete(f"users/{dana}/identity_links", expect=403)
    api.delete(f"identity_providers/{first}/identity_links")
    assert [link.identity_provider_id for link in IdentityLink.select()] == [second]
    api.delete(f"users/{dana}/identity_links")
    assert not IdentityLink.select().exists()


def test_the_last_administrator_stays(api: Caller) -> None:
    """She cannot be suspended, removed or stripped of her role, not by herself either."""
    me = api.get("whoami")["principal"]["id"]
    for refusal in (
        api.patch(f"users/{me}", {"active": False}, expect=409),
        api.patch(f"users/{me}", {"roles": ["viewer"]}, expect=409),
        api.delete(f"users/{me}", expect=409).json,
    ):
        assert refusal["error_code"] == "ERR_LAST_ADMINISTRATOR"
    assert api.get(f"users/{me}")["active"] is True


def test_a_manager_does_not_touch_administrators(api: Caller) -> None:
    """Nor make one, nor grant what she does not have."""
    me = api.get("whoami")["principal"]["id"]
    dana, manager = member_with(api, "team_manager")
    manager.patch(f"users/{me}", {"active": False}, expect=403)
    manager.delete(f"users/{me}", expect=403)
    manager.patch(f"users/{dana}", {"roles": ["admin"]}, expect=403)
    assert manager.patch(f"users/{dana}", {"roles": ["billing"]}, expect=403)["error_code"] == (
        "ERR_GRANT_ABOVE_OWN_RIGHTS"
    )


def test_a_group_gives_a_role_and_says_so(api: Caller, directory: tuple[str, str]) -> None:
    """Her role has the group as its source, and cannot be taken away by hand."""
    provider, token = directory
    pushed = push_user(api, token, "dana@acme.test")
    group = push_group(api, token, "Finance", pushed["id"])
    mapping = api.post(
        "role_mappings", {"identity_provider_id": provider, "group_display_name": "finance", "role": "billing"}
    )
    dana = _member(api, "dana@acme.test")
    assert (dana["managed_by"], dana["identity_provider_id"]) == ("scim", provider)
    assert {
        "role": "billing",
        "source": "group",
        "mapping_id": mapping["id"],
        "group_id": group["id"],
        "group_display_name": "Finance",
        "identity_provider_id": provider,
        "identity_provider_name": "Okta",
        "given_by_id": None,
        "given_by": None,
        "given_at": None,
    } in dana["role_sources"]
    refusal = api.patch(f"users/{dana['id']}", {"roles": []}, expect=409)
    assert refusal["error_code"] == "ERR_MANAGED_BY_DIRECTORY"


def test_a_directorys_delete_is_undone(api: Caller, directory: tuple[str, str]) -> None:
    """By hand she cannot be removed; deleted by her directory she is gone, and restored she is the same person."""
    _, token = directory
    scim = Caller(api.app, token)
    pushed = push_user(api, token, "dana@acme.test")
    dana = _member(api, "dana@acme.test")
    api.post(f"users/{dana['id']}/restore", None, expect=404)
    assert api.delete(f"users/{dana['id']}", expect=409).json["error_code"] == "ERR_MANAGED_BY_DIRECTORY"
    scim.call("DELETE", f"/scim/v2/Users/{pushed['id']}", expect=204)
    api.get(f"users/{dana['id']}", expect=404)
    restored = api.call("POST", f"users/{dana['id']}/restore", expect=200).json
    assert restored == dana
    assert scim.call("GET", f"/scim/v2/Users/{pushed['id']}", expect=200).get_json(force=True)["active"] is True


def test_a_restored_name_must_still_be_free(api: Caller, directory: tuple[str, str]) -> None:
    """Where her directory has made her anew, she is back already and there is nothing to undo."""
    _, token = directory
    pushed = push_user(api, token, "dana@acme.test")
    dana = _member(api, "dana@acme.test")
    Caller(api.app, token).call("DELETE", f"/scim/v2/Users/{pushed['id']}", expect=204)
    push_user(api, token, "dana@acme.test")
    assert _member(api, "dana@acme.test")["id"] == dana["id"]
    api.post(f"users/{dana['id']}/restore", None, expect=404)


def test_a_hold_is_shown_and_lifted_while_the_directory_says_inactive(api: Caller, directory: tuple[str, str]) -> None:
    """Inactive and not held is the directory's word; without a hold there is nothing to lift by hand."""
    _, token = directory
    pushed, path = push_user(api, token, "dana@acme.test"), f"users/{_member(api, 'dana@acme.test')['id']}"
    scim = Caller(api.app, token, {"Content-Type": "application/scim+json"})
    record = {"schemas": pushed["schemas"], "userName": "dana@acme.test", "active": False}
    assert api.patch(path, {"active": False})["held"] is True
    scim.call("PUT", f"/scim/v2/Users/{pushed['id']}", record, expect=200)
    lifted = api.patch(path, {"active": True})
    assert (lifted["held"], lifted["active"]) == (False, False)
    assert api.patch(path, {"active": True}, expect=409)["error_code"] == "ERR_MANAGED_BY_DIRECTORY"
    scim.call("PUT", f"/scim/v2/Users/{pushed['id']}", {**record, "active": True}, expect=200)
    assert api.get(path)["active"] is True


def test_the_list_is_narrowed_by_words_and_state(api: Caller, directory: tuple[str, str]) -> None:
    """By how a name or an address begins; whom a directory deleted only where they are asked for, to be restored."""
    _, token = directory
    dana, _ = member_with(api, "viewer")
    member_with(api, "viewer", email="100%@acme.test")
    left = push_user(api, token, "left@acme.test")
    Caller(api.app, token).call("DELETE", f"/scim/v2/Users/{left['id']}", expect=204)
    api.patch(f"users/{dana}", {"active": False})

    def listed(query: str) -> list[str]:
        return [row["email"] for row in api.get(f"users?{query}")["users"]]

    assert listed("q=DANA%40") == ["dana@acme.test"]
    assert listed("q=100%25") == ["100%@acme.test"]
    assert listed("q=%25") == []
    assert listed("q=acme.test") == []
    assert listed("q=Olive") == ["owner@acme.test"]
    assert listed("state=suspended") == ["dana@acme.test"]
    assert listed("state=active") == ["100%@acme.test", "owner@acme.test"]
    assert listed("state=deprovisioned") == ["left@acme.test"]
    assert "left@acme.test" not in listed("")
    member_with(api, "viewer", email="100@acme.test")
    assert "q=100" in api.get("users?q=100&limit=1")["next_page_uri"]
    api.get("users?state=gone", expect=400)


def test_why_she_may_do_this_and_what_she_would_lose(api: Caller, directory: tuple[str, str]) -> None:
    """The whole chain of one permission or of each; without the group, what only it gave."""
    provider, token = directory
    pushed = push_user(api, token, "dana@acme.test")
    group = push_group(api, token, "Finance", pushed["id"])
    body = {"identity_provider_id": provider, "group_id": group["id"], "role": "billing"}
    mapping = api.post("role_mappings", body)
    path = f"users/{_member(api, 'dana@acme.test')['id']}/explain"
    (one,) = api.get(f"{path}?permission=billing:write")["permissions"]
    (why,) = one["because"]
    assert (why["role"], why["source"], why["group_id"], why["mapping_id"], why["identity_provider_name"]) == (
        "billing", "group", group["id"], mapping["id"], "Okta",
    )  # fmt: skip
    whole = api.get(path)
    assert (whole["roles"], whole["would_lose"]) == (["billing", "developer"], None)
    both = next(one for one in whole["permissions"] if one["permission"] == "account:read")
    assert {why["source"] for why in both["because"]} == {"default", "group"}
    for query in (f"without_group={group['id']}", f"without_mapping={mapping['id']}"):
        lost = api.get(f"{path}?{query}")["would_lose"]
        assert (lost["roles"], lost["permissions"]) == (["billing"], ["billing:read", "billing:write"])
    (nothing,) = api.get(f"{path}?permission=idps:write")["permissions"]
    assert nothing == {"permission": "idps:write", "because": []}


@pytest.mark.parametrize(
    ("query", "status"),
    [("permission=idps:eat", 400), ("without=x", 400), ("without_group=grp_x", 404), ("without_mapping=map_x", 404)],
)
def test_a_question_about_what_is_not_there_is_refused(api: Caller, query: str, status: int) -> None:
    """An unknown word is 400, a group or mapping of nobody 404."""
    me = api.get("whoami")["principal"]["id"]
    api.get(f"users/{me}/explain?{query}", expect=status)


def test_a_list_costs_the_same_whatever_its_length(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The members come with their roles in a fixed number of statements."""

    def statements() -> int:
        counted: list[str] = []
        execute = db.database.obj.execute_sql
        with monkeypatch.context() as patch:
            patch.setattr(db.database.obj, "execute_sql", lambda sql, *rest: counted.append(sql) or execute(sql, *rest))
            api.get("users")
        return len(counted)

    api.get("users")
    few = statements()
    for number in range(8):
        member_with(api, "viewer", "developer", email=f"member{number}@acme.test")
    assert statements() == few


def test_a_name_is_ones_own(api: Caller, connection: dict[str, Any], directory: tuple[str, str]) -> None:
    """Everybody sets hers and nothing else; others' only who writes members, and an administrator's no team manager."""
    dana, viewer = member_with(api, "viewer")
    ann, manager = member_with(api, "team_manager", email="ann@acme.test")
    me = api.get("whoami")["principal"]["id"]
    assert viewer.patch(f"users/{dana}", {"name": "Dana Doe"})["name"] == "Dana Doe"
    for body in ({"name": "D", "roles": ["admin"]}, {"roles": ["viewer"]}, {"active": True}):
        viewer.patch(f"users/{dana}", body, expect=403)
    viewer.patch(f"users/{ann}", {"name": "Other"}, expect=403)
    assert manager.patch(f"users/{dana}", {"name": "Dana"})["name"] == "Dana"
    assert manager.patch(f"users/{me}", {"name": "Boss"}, expect=403)["error_code"] == "ERR_ADMINISTRATORS_ONLY"
    api.patch(f"users/{dana}", {"name": ""}, expect=400)
    api.patch(f"users/{dana}", {"email": "new@acme.test"}, expect=400)
    told = [event for event in api.get("events")["events"] if event["event_type"] == "user_updated.v0"]
    assert [event["object"]["before"]["name"] for event in told if "before" in event["object"]] == ["Dana Doe", "Dana"]


@pytest.mark.parametrize("owner", ["scim", "link", "jit"])
def test_a_name_that_a_directory_or_an_assertion_owns_is_not_changed_by_hand(
    api: Caller, directory: tuple[str, str], owner: str
) -> None:
    """By herself neither: 409 that says who owns it. Once the provider is off, an assertion owns it no more."""
    provider, _ = directory
    dana, caller = member_with(api, "viewer")
    if owner == "link":
        IdentityLink.create(
            identity_provider=provider, name_id_format="f", name_id="n", member=dana, created_at=clock.now()
        )
    else:
        Member.update(managed_by=owner, identity_provider=provider).where(Member.id == dana).execute()
    for by in (caller, api):
        refusal = by.patch(f"users/{dana}", {"name": "Other"}, expect=409)
        assert refusal["error_code"] == "ERR_MANAGED_BY_DIRECTORY"
        assert "Okta" in refusal["msg"]
    api.patch(f"identity_providers/{provider}", {"enabled": False})
    caller.patch(f"users/{dana}", {"name": "Other"}, expect=409 if owner == "scim" else 200)
