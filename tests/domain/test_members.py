"""Members: who is in, what they may do and why, and the last administrator who cannot be lost."""

from collections.abc import Callable

import pytest

from idp_bridge import db, groups, idps, invitations, member_lifecycle, member_roles, members, people, seats
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.models import DirectoryUser, GroupMember, Member, Person
from idp_bridge.provisioning import groups as pushed_groups
from idp_bridge.provisioning import users as pushed_users
from idp_bridge.provisioning.directory import Directory
from scim.patch import parse_patch
from scim.schemas import GROUP_TYPE
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said


def _roles(world: World, member: Member) -> tuple[str, ...]:
    return member_roles.roles_of(world.account, member)


def _sources(world: World, member: Member) -> set[tuple[str, str]]:
    return {(source.role, source.source) for source in member_roles.role_sources(world.account, [member])[member.id]}


def _set(world: World, member: Member, *names: str) -> None:
    with db.transaction():
        member_roles.set_roles(world.system, member, names)


# --- finding ----------------------------------------------------------------------------------------------------


def test_a_member_of_another_account_or_one_removed_is_not_found(sso: World) -> None:
    """Neither by id nor by address."""
    there = cast.join(cast.open_account("other"), "a@acme.test")
    left = cast.provisioned(sso, "left@acme.test")
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
    for member in (there, left):
        with pytest.raises(NotFound):
            members.get(sso.account, member.id)
        assert members.with_address(sso.account, member.email) == []
    assert members.with_address(sso.account, "OWNER@acme.test") == [sso.owner]


def test_who_joins_without_a_proven_address_is_a_new_person(acme: World) -> None:
    """What a provider says of an address matches nobody's person."""
    one, other = cast.join(acme, "a@acme.test"), cast.join(cast.open_account("other"), "a@acme.test")
    assert one.person_id != other.person_id
    assert {one.person.email_key, other.person.email_key} == {None}


# --- roles ------------------------------------------------------------------------------------------------------


def test_on_the_free_plan_every_member_is_an_administrator(database: None) -> None:
    """Whatever she holds otherwise; that comes back with the plan."""
    world = cast.open_account("solo", "free", seats=3)
    member = cast.join(world, "a@solo.test", "viewer")
    assert _sources(world, member) == {("admin", "plan")}
    assert member_roles.administrators(world.account) == {world.owner.id, member.id}
    with pytest.raises(Forbidden, match="Pro"):
        _set(world, member, "developer")
    world.account.plan = "pro"
    world.account.save()
    assert _sources(world, member) == {("viewer", "hand")}
    assert member_roles.administrators(world.account) == {world.owner.id}


def test_roles_set_by_hand_replace_those_by_hand_and_by_default(acme: World) -> None:
    """And the event tells both lists."""
    member = cast.join(acme, "a@acme.test", "developer", role_source="default")
    _set(acme, member, "viewer", "billing", "viewer")
    assert _sources(acme, member) == {("billing", "hand"), ("viewer", "hand")}
    (event,) = cast.happened(acme, "user_updated.v0")
    assert (event.object["roles"], event.object["roles_before"]) == (["billing", "viewer"], ["developer"])
    _set(acme, member)
    assert _roles(acme, member) == ()


def test_setting_the_roles_held_already_changes_nothing(acme: World) -> None:
    """No event, and each keeps its reason."""
    member = cast.join(acme, "a@acme.test", "developer", role_source="default")
    _set(acme, member, "developer")
    assert _sources(acme, member) == {("developer", "default")}
    assert cast.happened(acme, "user_updated.v0") == []


def test_unknown_roles_and_roles_above_ones_own_are_refused(acme: World) -> None:
    """Taking away what one could not grant is allowed, except from an administrator."""
    manager = cast.join(acme, "m@acme.test", "team_manager")
    member = cast.join(acme, "a@acme.test", "billing")
    actor = cast.acting(acme, manager)
    with pytest.raises(Invalid, match="wizard"):
        _set(acme, member, "wizard")
    for names, code in ((["admin"], Code.ADMINISTRATORS_ONLY),):
        with pytest.raises(Forbidden) as caught, db.transaction():
            member_roles.set_roles(actor, member, names)
        assert caught.value.code is code
    with db.transaction():
        member_roles.set_roles(actor, member, ["developer"])
    with pytest.raises(Forbidden), db.transaction():
        member_roles.set_roles(actor, member, ["billing"])
    assert _roles(acme, member) == ("developer",)


@pytest.mark.parametrize(
    "act", [member_lifecycle.suspend, member_lifecycle.remove, lambda a, m: member_roles.set_roles(a, m, ["viewer"])]
)
def test_only_administrators_touch_administrators(acme: World, act: Callable[..., None]) -> None:
    """A team manager manages the others."""
    manager = cast.join(acme, "m@acme.test", "team_manager")
    second, plain = cast.join(acme, "b@acme.test", "admin"), cast.join(acme, "a@acme.test")
    actor = cast.acting(acme, manager)
    with pytest.raises(Forbidden) as caught, db.transaction():
        act(actor, second)
    assert caught.value.code is Code.ADMINISTRATORS_ONLY
    with db.transaction():
        act(actor, plain)


# --- roles by groups --------------------------------------------------------------------------------------------


def _map(world: World, role: str, row: object) -> object:
    assert world.provider is not None
    with db.transaction():
        return groups.map_role(world.system, world.provider, role=role, group_id=row.id)  # type: ignore[attr-defined]


def test_a_groups_members_have_its_role_while_they_are_in_it(sso: World) -> None:
    """From the row that says so, and no longer than that; two groups give it twice."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    one, two = cast.group(sso.provider, "One", [member]), cast.group(sso.provider, "Two")
    _map(sso, "billing", one)
    mapping = _map(sso, "billing", two)
    assert _sources(sso, member) == {("developer", "default"), ("billing", "group")}
    (why,) = [why for why in member_roles.explain(sso.account, member) if why["source"] == "group"]
    assert (why["group_id"], why["group_display_name"]) == (one.id, "One")
    cast.put_in(two, member)
    cast.take_out(one, member)
    assert _roles(sso, member) == ("billing", "developer")
    cast.take_out(two, member)
    assert _roles(sso, member) == ("developer",)
    cast.put_in(two, member)
    with db.transaction():
        groups.unmap(sso.system, mapping)
    assert _roles(sso, member) == ("developer",)


def test_a_deleted_group_takes_its_roles_with_it(sso: World) -> None:
    """The mapping waits for a group of that name."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    row = cast.group(sso.provider, "One", [member])
    _map(sso, "billing", row)
    row.delete_instance()
    assert _roles(sso, member) == ("developer",)
    again = cast.group(sso.provider, "ONE", [member])
    groups.bind_mappings(sso.provider.id, again)
    assert _roles(sso, member) == ("billing", "developer")


def test_a_deleted_record_gives_no_role(sso: World) -> None:
    """A leaver comes back without what her former groups gave."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    _map(sso, "billing", cast.group(sso.provider, "One", [member]))
    DirectoryUser.update(deleted_at=member.created_at).execute()
    assert _roles(sso, member) == ("developer",)
    assert GroupMember.select().count() == 1


def test_a_group_gives_admin_only_where_the_provider_may(sso: World) -> None:
    """At once when that is turned on, and no longer when it is turned off."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    _map(sso, "admin", cast.group(sso.provider, "Root", [member]))
    held = []
    for allowed in (False, True, False):
        with db.transaction():
            idps.change(sso.system, cast.again(sso.provider), may_grant_admin=allowed)
        held.append(("admin" in _roles(sso, member), member.id in member_roles.administrators(sso.account)))
    assert held == [(False, False), (True, True), (False, False)]


def test_what_a_group_or_claim_gives_cannot_be_taken_by_hand(sso: World) -> None:
    """409 that says where it comes from; adding to it is fine."""
    assert sso.provider is not None
    pushed = cast.provisioned(sso, "a@acme.test")
    _map(sso, "billing", cast.group(sso.provider, "One", [pushed]))
    claiming = come(sso, said("b@acme.test", groups=("One",)))
    for member in (pushed, claiming):
        with pytest.raises(Conflict, match="billing") as caught:
            _set(sso, member, "viewer")
        assert caught.value.code is Code.MANAGED_BY_DIRECTORY
        _set(sso, member, "viewer", "billing")
        assert _roles(sso, member) == ("billing", "viewer")


def test_a_role_held_by_hand_and_by_a_group_is_kept_by_hand_when_another_is_added(sso: World) -> None:
    """The group may go; the administrator's decision stands."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    _set(sso, member, "billing")
    row = cast.group(sso.provider, "One", [member])
    _map(sso, "billing", row)
    _set(sso, member, "billing", "viewer")
    cast.take_out(row, member)
    assert _roles(sso, member) == ("billing", "viewer")


def test_roles_of_many_members_take_two_statements(sso: World) -> None:
    """However long the list of members is."""
    assert sso.provider is not None
    many = [cast.provisioned(sso, f"m{number}@acme.test") for number in range(12)]
    _map(sso, "billing", cast.group(sso.provider, "One", many))
    statements: list[str] = []
    run = db.database.obj.execute_sql
    db.database.obj.execute_sql = lambda sql, *a, **k: (statements.append(sql), run(sql, *a, **k))[1]
    try:
        sources = member_roles.role_sources(sso.account, many)
    finally:
        del db.database.obj.execute_sql
    assert len(statements) == 2
    assert all({why.role for why in held} == {"developer", "billing"} for held in sources.values())


# --- the last administrator -------------------------------------------------------------------------------------


def _refuses(world: World, act: Callable[[], object]) -> None:
    """The act is a conflict and leaves the account as it was."""
    before = (member_roles.administrators(world.account), len(cast.happened(world)))
    assert before[0]
    with pytest.raises(Conflict) as caught, db.transaction():
        act()
    assert caught.value.code is Code.LAST_ADMINISTRATOR
    assert (member_roles.administrators(world.account), len(cast.happened(world))) == before


DOORS_BY_HAND: dict[str, Callable[[World], object]] = {
    "roles": lambda w: member_roles.set_roles(w.system, cast.again(w.owner), ["developer"]),
    "suspend": lambda w: member_lifecycle.suspend(w.system, cast.again(w.owner)),
    "remove": lambda w: member_lifecycle.remove(w.system, cast.again(w.owner)),
    "directory inactive": lambda w: member_lifecycle.set_directory_active(w.system, cast.again(w.owner), False),
    "directory delete": lambda w: member_lifecycle.deprovision(w.system, cast.again(w.owner)),
}


@pytest.mark.parametrize("door", DOORS_BY_HAND)
def test_the_last_administrator_by_hand_stays(sso: World, door: str) -> None:
    """Suspended administrators do not count; with another active one she may go."""
    act = DOORS_BY_HAND[door]
    held = cast.join(sso, "held@acme.test", "admin")
    with db.transaction():
        member_lifecycle.suspend(sso.system, held)
    _refuses(sso, lambda: act(sso))
    with db.transaction():
        member_lifecycle.unsuspend(sso.system, held)
        act(sso)
    assert member_roles.administrators(sso.account) == {held.id}


@pytest.mark.parametrize("plan", ["free", "pro"])
@pytest.mark.parametrize("door", ["suspend", "remove"])
def test_the_last_member_of_a_small_account_stays(database: None, plan: str, door: str) -> None:
    """On the free plan everybody is an administrator, so it is the last member."""
    world = cast.open_account("solo", plan)
    _refuses(world, lambda: DOORS_BY_HAND[door](world))


def _by_group(world: World) -> tuple[Directory, str, object]:
    """The only administrator is one by a group: (directory, group id, mapping)."""
    assert world.provider is not None
    with db.transaction():
        idps.change(world.system, world.provider, may_grant_admin=True)
    root = cast.provisioned(world, "root@acme.test")
    row = cast.group(world.provider, "Root", [root])
    mapping = _map(world, "admin", row)
    _set(world, world.owner, "developer")
    assert member_roles.administrators(world.account) == {root.id}
    directory = Directory(cast.again(world.provider), world.account, world.system, "https://b/scim/v2")
    return directory, row.id, mapping


def _patch(*operations: dict[str, object]) -> object:
    schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
    return parse_patch({"schemas": schemas, "Operations": list(operations)}, GROUP_TYPE)


DOORS_BY_GROUP: dict[str, Callable[[World, Directory, str, object], object]] = {
    "member removed": lambda w, d, g, m: pushed_groups.patch(d, g, _patch({"op": "remove", "path": "members"})),  # type: ignore[arg-type]
    "group replaced": lambda w, d, g, m: pushed_groups.replace(d, g, {"displayName": "Root"}),
    "group deleted": lambda w, d, g, m: pushed_groups.delete(d, g),
    "user deleted": lambda w, d, g, m: pushed_users.delete(d, DirectoryUser.get().id),
    "user inactive": lambda w, d, g, m: pushed_users.replace(
        d, DirectoryUser.get().id, {"userName": "root@acme.test", "active": False}
    ),
    "mapping deleted": lambda w, d, g, m: groups.unmap(w.system, m),  # type: ignore[arg-type]
    "mapping changed": lambda w, d, g, m: groups.change_mapping(w.system, m, "viewer"),  # type: ignore[arg-type]
    "provider may not": lambda w, d, g, m: idps.change(w.system, d.identity_provider, may_grant_admin=False),
    "provider deleted": lambda w, d, g, m: idps.delete(w.system, d.identity_provider),
}


@pytest.mark.parametrize("door", DOORS_BY_GROUP)
def test_the_last_administrator_by_a_group_stays(sso: World, door: str) -> None:
    """Through the directory, the mapping and the provider alike; with another administrator each door opens."""
    directory, group_id, mapping = _by_group(sso)
    act = DOORS_BY_GROUP[door]
    _refuses(sso, lambda: act(sso, directory, group_id, cast.again(mapping)))
    _set(sso, sso.owner, "admin")
    fresh = Directory(cast.again(sso.provider), sso.account, sso.system, directory.base_url)
    with db.transaction():
        act(sso, fresh, group_id, cast.again(mapping))
    assert member_roles.administrators(sso.account) == {sso.owner.id}


@pytest.mark.parametrize(
    "door", ["mapping deleted", "mapping changed", "provider may not", "provider deleted", "claim"]
)
def test_the_last_administrator_by_a_claim_stays(sso: World, door: str) -> None:
    """What an assertion gave counts while the mapping and the provider say so."""
    assert sso.provider is not None
    with db.transaction():
        idps.change(sso.system, sso.provider, may_grant_admin=True)
        mapping = groups.map_role(sso.system, sso.provider, role="admin", group_display_name="Root")
    root = come(sso, said("root@acme.test", groups=("Root",)))
    _set(sso, sso.owner, "developer")
    assert member_roles.administrators(sso.account) == {root.id}

    def act() -> None:
        provider = cast.again(sso.provider)
        if door == "claim":
            member_roles.set_claimed_roles(sso.system, root, {})
        else:
            DOORS_BY_GROUP[door](sso, Directory(provider, sso.account, sso.system, ""), "", cast.again(mapping))

    _refuses(sso, act)
    _set(sso, sso.owner, "admin")
    with db.transaction():
        act()
    assert member_roles.administrators(sso.account) == {sso.owner.id}


# --- states -----------------------------------------------------------------------------------------------------


def test_a_hold_is_not_lifted_by_the_directory(sso: World) -> None:
    """Only an administrator lifts it, and only while the directory says active."""
    member = cast.provisioned(sso, "a@acme.test")
    with db.transaction():
        member_lifecycle.suspend(sso.system, member)
        member_lifecycle.set_directory_active(sso.system, member, False)
        member_lifecycle.set_directory_active(sso.system, member, True)
    assert not cast.again(member).active
    with db.transaction():
        member_lifecycle.unsuspend(sso.system, member)
    assert cast.again(member).active
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, member, False)
    with pytest.raises(Conflict) as caught, db.transaction():
        member_lifecycle.unsuspend(sso.system, member)
    assert caught.value.code is Code.MANAGED_BY_DIRECTORY


def test_a_suspended_member_keeps_her_roles_on_the_list(acme: World) -> None:
    """They count again with her."""
    member = cast.join(acme, "a@acme.test", "billing")
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    assert _roles(acme, cast.again(member)) == ("billing",)


def test_suspending_twice_is_told_once(acme: World) -> None:
    """The second changes nothing."""
    member = cast.join(acme, "a@acme.test")
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
        member_lifecycle.suspend(acme.system, member)
        member_lifecycle.unsuspend(acme.system, member)
        member_lifecycle.unsuspend(acme.system, member)
    told = cast.happened(acme, "user_suspended.v0", "user_reactivated.v0")
    assert [event.type for event in told] == ["user_suspended.v0", "user_reactivated.v0"]


def test_a_provisioned_member_is_not_removed_by_hand(sso: World) -> None:
    """409: the next push would bring her back."""
    member = cast.provisioned(sso, "a@acme.test")
    with pytest.raises(Conflict) as caught, db.transaction():
        member_lifecycle.remove(sso.system, member)
    assert caught.value.code is Code.MANAGED_BY_DIRECTORY


def test_removing_erases_the_person_only_where_nothing_else_is_hers(acme: World) -> None:
    """One with a proven address or another membership stays."""
    other = cast.open_account("other")
    known = cast.join(other, acme.owner.email, person=acme.owner.person)
    unknown = cast.join(acme, "jit@acme.test", managed_by="jit")
    with db.transaction():
        member_lifecycle.remove(other.system, known)
        member_lifecycle.remove(acme.system, unknown)
    assert Person.select().where(Person.id == acme.owner.person_id).exists()
    assert not Person.select().where(Person.id == unknown.person_id).exists()


def test_a_leaver_comes_back_as_the_same_member(sso: World) -> None:
    """With a seat, under the directory that sent her; a hold outlasts it."""
    member, held = cast.provisioned(sso, "a@acme.test"), cast.provisioned(sso, "b@acme.test")
    assert sso.provider is not None
    with db.transaction():
        member_lifecycle.suspend(sso.system, held)
        for leaver in (member, held):
            member_lifecycle.deprovision(sso.system, leaver)
    assert seats.count(sso.account).used == 1
    with db.transaction():
        for leaver in (member, held):
            member_lifecycle.revive(sso.system, leaver, sso.provider)
    assert (cast.again(member).active, cast.again(held).active) == (True, False)
    assert members.get(sso.account, held.id).held


def test_a_directory_adopts_and_another_may_not(sso: World) -> None:
    """One directory speaks for a member, unless it is the same one again."""
    member, first = cast.join(sso, "a@acme.test"), sso.provider
    assert first is not None
    second = cast.connect(sso, name="Entra")
    with db.transaction():
        member_lifecycle.adopt(sso.system, member, first)
        member_lifecycle.adopt(sso.system, member, first)
    stored = cast.again(member)
    assert (stored.managed_by, stored.identity_provider_id) == ("scim", first.id)
    with pytest.raises(Conflict) as caught, db.transaction():
        member_lifecycle.adopt(sso.system, stored, second)
    assert caught.value.code is Code.MANAGED_BY_DIRECTORY


def test_a_profile_that_is_the_same_is_not_written(acme: World) -> None:
    """A sign-in with nothing new leaves no event; a change tells what was before."""
    member = cast.join(acme, "a@acme.test", name="Ann A", first_name="Ann", last_name="A")
    same = {"email": "a@acme.test", "name": "Ann A", "first_name": "Ann", "last_name": "A"}
    with db.transaction():
        members.update_profile(acme.system, member, **same)
        members.update_profile(acme.system, member, **{**same, "email": "B@acme.test"})
    (event,) = cast.happened(acme, "user_updated.v0")
    assert (event.object["email"], event.object["before"]["email"]) == ("B@acme.test", "a@acme.test")
    assert members.with_address(acme.account, "b@acme.test") == [member]


def test_a_team_manager_cannot_bring_an_administrator_back(sso: World) -> None:
    """Only administrators touch administrators, deleted by their directory or not."""
    manager = cast.join(sso, "m@acme.test", "team_manager")
    left = cast.provisioned(sso, "chief@acme.test")
    with db.transaction():
        member_roles.set_roles(sso.system, left, ["admin"])
        member_lifecycle.deprovision(sso.system, left)
    with pytest.raises(Forbidden) as caught, db.transaction():
        member_lifecycle.restore(cast.acting(sso, manager), cast.again(left))
    assert caught.value.code is Code.ADMINISTRATORS_ONLY
    assert cast.again(left).removed_at is not None


def test_restoring_does_not_make_two_members_of_one_person(sso: World) -> None:
    """Who was invited again since, and came with her password, would be let in by one when the other is suspended."""
    with db.transaction():
        person = people.create("ann@acme.test")
    left = cast.join(sso, "ann@acme.test", person=person, managed_by="scim", identity_provider=sso.provider)
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
        sent = invitations.create(sso.system, "ann@acme.test")
        invitations.accept(sso.system, sent.invitation, person)
    with pytest.raises(Conflict) as caught, db.transaction():
        member_lifecycle.restore(sso.system, cast.again(left))
    assert caught.value.code is Code.ALREADY_MEMBER
