"""Role mappings: a directory's group gives a role."""

import pytest

from idp_bridge import db, groups, member_roles
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.models import Account, Member, RoleMapping
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said


def _map(world: World, role: str = "billing", **group: str | None) -> RoleMapping:
    assert world.provider is not None
    with db.transaction():
        return groups.map_role(world.system, world.provider, role=role, **group)


def test_groups_are_listed_with_the_number_of_their_members(sso: World) -> None:
    """Of this account only."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    row, empty = cast.group(sso.provider, "One", [member]), cast.group(sso.provider, "Empty")
    theirs = cast.group(cast.connect(cast.open_account("other")), "Theirs")
    assert {group.id: group.member_count for group in groups.of_account(sso.account)} == {row.id: 1, empty.id: 0}
    assert groups.get(sso.account, row.id).member_count == 1
    with pytest.raises(NotFound):
        groups.get(sso.account, theirs.id)


def test_a_mapping_made_before_the_push_waits_under_its_name(sso: World) -> None:
    """And takes hold of the group of that name in its own directory."""
    assert sso.provider is not None
    waiting = _map(sso, group_display_name="Finance")
    assert waiting.group_id is None
    elsewhere = cast.connect(sso, name="Entra")
    groups.bind_mappings(sso.system, elsewhere.id, cast.group(elsewhere, "Finance"))
    assert cast.again(waiting).group_id is None
    row = cast.group(waiting.identity_provider, "FINANCE")
    groups.bind_mappings(sso.system, waiting.identity_provider_id, row)
    assert cast.again(waiting).group_id == row.id


def test_a_group_that_comes_has_in_it_whom_its_directory_says(sso: World) -> None:
    """What a sign-in claimed by the mapping that waited is gone, but of whom no directory manages. The last
    administrator's is refused."""
    assert sso.provider is not None
    sso.provider.may_grant_admin = True
    sso.provider.save()
    for role in ("billing", "admin"):
        _map(sso, role, group_display_name="Finance")
    managed = cast.provisioned(sso, "ann@acme.test")
    come(sso, said("ann@acme.test", groups=("Finance",)))
    alone = come(sso, said("bob@acme.test", groups=("Finance",)))
    assert member_roles.roles_of(sso.account, managed) == ("admin", "billing", "developer")
    Member.update(active=False).where(Member.id.in_([sso.owner.id, alone.id])).execute()
    row = cast.group(sso.provider, "Finance")
    with pytest.raises(Conflict) as caught, db.transaction():
        groups.bind_mappings(sso.system, sso.provider.id, row)
    assert caught.value.code is Code.LAST_ADMINISTRATOR
    Member.update(active=True).execute()
    with db.transaction():
        groups.bind_mappings(sso.system, sso.provider.id, row)
    assert member_roles.roles_of(sso.account, managed) == ("developer",)
    assert member_roles.roles_of(sso.account, alone) == ("admin", "billing")
    told = cast.happened(sso, "user_updated.v0")[-1]
    assert (told.object["id"], told.object["claimed_roles"]) == (managed.id, [])
    assert told.object["before"] == {"claimed_roles": ["admin", "billing"]}
    assert {event.object["before"]["group_id"] for event in cast.happened(sso, "role_mapping_updated.v0")} == {None}


def test_a_mapping_by_name_finds_a_group_that_is_there(sso: World) -> None:
    """Without regard to case, and shows the group's own spelling."""
    assert sso.provider is not None
    row = cast.group(sso.provider, "Finance")
    mapping = _map(sso, group_display_name="finance")
    assert mapping.group_id == row.id
    row.display_name = "Money"
    row.save()
    assert groups.describe_mapping(cast.again(mapping))["group_display_name"] == "Money"


@pytest.mark.parametrize("named", [{}, {"group_id": "g", "group_display_name": "n"}, {"group_display_name": ""}])
def test_a_mapping_names_its_group_in_one_way(sso: World, named: dict[str, str]) -> None:
    """By id or by name."""
    with pytest.raises(Invalid) as caught:
        _map(sso, **named)
    assert "group_id" in caught.value.fields


def test_a_group_of_another_directory_cannot_be_mapped(sso: World) -> None:
    """Of the same account or another: it is not in this directory."""
    row = cast.group(cast.connect(cast.open_account("other")), "Theirs")
    with pytest.raises(Invalid, match="no group"):
        _map(sso, group_id=row.id)


def test_a_group_has_a_role_once_and_may_have_several(sso: World) -> None:
    """By id and by name it is the same group; the transaction goes on after the refusal."""
    assert sso.provider is not None
    row = cast.group(sso.provider, "Finance")
    first, second = _map(sso, group_id=row.id), _map(sso, "viewer", group_id=row.id)
    with db.transaction():
        for act in (
            lambda: groups.map_role(sso.system, first.identity_provider, role="billing", group_display_name="FINANCE"),
            lambda: groups.change_mapping(sso.system, cast.again(second), "billing"),
        ):
            with pytest.raises(Conflict):
                act()
    assert {mapping.role for mapping in groups.mappings(sso.account)} == {"billing", "viewer"}


def test_a_new_group_with_a_renamed_ones_old_name_can_be_mapped(sso: World) -> None:
    """The mapping of the renamed group keeps to that group."""
    assert sso.provider is not None
    old = cast.group(sso.provider, "Finance")
    _map(sso, group_id=old.id)
    old.display_name, old.display_name_key = "Money", "money"
    old.save()
    groups.bind_mappings(sso.system, sso.provider.id, old)
    new = cast.group(sso.provider, "Finance")
    assert _map(sso, group_id=new.id).group_id == new.id


def test_nobody_maps_above_her_own_rights(sso: World) -> None:
    """A mapping grants to all who will ever be in the group."""
    assert sso.provider is not None
    actor = cast.acting(sso, cast.join(sso, "m@acme.test", "billing"))
    mapping = _map(sso, "viewer", group_display_name="A")
    with pytest.raises(Forbidden) as caught, db.transaction():
        groups.map_role(actor, sso.provider, role="admin", group_display_name="B")
    assert caught.value.code is Code.ADMINISTRATORS_ONLY
    with pytest.raises(Forbidden), db.transaction():
        groups.change_mapping(actor, mapping, "admin")
    with pytest.raises(Invalid):
        _map(sso, "wizard", group_display_name="B")


def test_a_change_of_the_role_counts_at_once_for_claims_too(sso: World) -> None:
    """Also for who signed in before; admin comes only where the provider may."""
    mapping = _map(sso, "billing", group_display_name="Finance")
    member = come(sso, said("a@acme.test", groups=("Finance",)))
    held = []
    for role in ("viewer", "admin", "billing"):
        with db.transaction():
            groups.change_mapping(sso.system, mapping, role)
        held.append(member_roles.roles_of(sso.account, member))
    assert held == [("viewer",), (), ()]
    come(sso, said("a@acme.test", groups=("Finance",)))
    assert member_roles.roles_of(sso.account, member) == ("billing",)
    with db.transaction():
        groups.unmap(sso.system, mapping)
    assert member_roles.roles_of(sso.account, member) == ()


def test_a_mapping_of_another_account_is_not_found(sso: World) -> None:
    """By its id, whatever the caller's rights."""
    other = cast.open_account("other")
    cast.connect(other)
    with pytest.raises(NotFound):
        groups.mapping(sso.account, _map(other, group_display_name="A").id)


def test_mappings_are_told(sso: World) -> None:
    """Created, changed with the role before, deleted."""
    mapping = _map(sso, group_display_name="A")
    with db.transaction():
        groups.change_mapping(sso.system, mapping, "viewer")
        groups.unmap(sso.system, mapping)
    told = [event for event in cast.happened(sso) if event.type.startswith("role_mapping")]
    assert [event.type for event in told] == [
        "role_mapping_created.v0",
        "role_mapping_updated.v0",
        "role_mapping_deleted.v0",
    ]
    assert told[1].object["before"]["role"] == "billing"


def test_a_mapping_is_made_and_changed_where_the_plan_has_single_sign_on(sso: World) -> None:
    """On the pages as over the API; what is there may be taken away on any plan."""
    assert sso.provider is not None
    with db.transaction():
        mapping = groups.map_role(sso.system, sso.provider, role="viewer", group_display_name="One")
    Account.update(plan="pro").where(Account.id == sso.account.id).execute()
    sso.account.plan = "pro"
    for act in (
        lambda: groups.map_role(sso.system, cast.again(sso.provider), role="viewer", group_display_name="Two"),
        lambda: groups.change_mapping(sso.system, mapping, "billing"),
    ):
        with pytest.raises(Forbidden, match="Enterprise") as caught, db.transaction():
            act()
        assert caught.value.code is Code.PLAN_REQUIRED
    with db.transaction():
        groups.unmap(sso.system, mapping)
