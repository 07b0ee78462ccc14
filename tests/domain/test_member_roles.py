"""What members may do and why, and the last administrator who cannot be lost."""

from collections.abc import Callable

import pytest

from idp_bridge import clock, db, groups, idps, invitations, member_lifecycle, member_roles, people, sign_in
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid
from idp_bridge.models import DirectoryUser, GroupMember, Member
from idp_bridge.provisioning import groups as pushed_groups
from idp_bridge.provisioning import users as pushed_users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.roles import BUILT_IN, Permission
from scim.patch import parse_patch
from scim.schemas import GROUP_TYPE
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_own_roles import make
from tests.domain.test_sign_in import come, said


def _roles(world: World, member: Member) -> tuple[str, ...]:
    return member_roles.roles_of(world.account, member)


def _sources(world: World, member: Member) -> set[tuple[str, str]]:
    return {(source.role, source.source) for source in member_roles.role_sources(world.account, [member])[member.id]}


def _set(world: World, member: Member, *names: str) -> None:
    with db.transaction():
        member_roles.set_roles(world.system, member, names)


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
    assert (event.object["roles"], event.object["before"]["roles"]) == (["billing", "viewer"], ["developer"])
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
    (why,) = [why for why in member_roles.explain(sso.account, member).sources if why.source == "group"]
    assert (why.group_id, why.group_display_name) == (one.id, "One")
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
    groups.bind_mappings(sso.system, sso.provider.id, again)
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
    assert _counting(lambda: member_roles.role_sources(sso.account, many)) == 2
    sources = member_roles.role_sources(sso.account, many)
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


# --- explaining -------------------------------------------------------------------------------------------------


def _counting(act: Callable[[], object]) -> int:
    """How many statements it takes."""
    statements: list[str] = []
    run = db.database.obj.execute_sql
    db.database.obj.execute_sql = lambda sql, *a, **k: (statements.append(sql), run(sql, *a, **k))[1]
    try:
        act()
    finally:
        del db.database.obj.execute_sql
    return len(statements)


def test_a_source_says_who_gave_it_and_when(sso: World) -> None:
    """By hand: whose hand. Invited: who asked her. By default, by a claim: which provider, by which mapping."""
    assert sso.provider is not None
    begun = clock.now()
    administrator = cast.acting(sso, sso.owner)
    with db.transaction():
        mapping = groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Money")
        invited = invitations.create(administrator, "ivy@acme.test", role_names=["viewer"]).invitation
        ivy = invitations.accept(sso.system, invited, people.create("ivy@acme.test"))
        member_roles.set_roles(administrator, ivy, ["viewer", "billing"])
        speaking = Actor(sso.account, "identity_provider", sso.provider.name, "saml", id=sso.provider.id)
        joined, claiming = (
            sign_in.by_assertion(speaking, sso.provider, identity).member
            for identity in (said("jo@acme.test"), said("kim@acme.test", groups=("Money",)))
        )
    told = {
        (source.role, source.source, source.given_by, source.given_by_id)
        for source in member_roles.role_sources(sso.account, [ivy])[ivy.id]
    }
    assert told == {
        ("viewer", "hand", "owner@acme.test", sso.owner.id),
        ("billing", "hand", "owner@acme.test", sso.owner.id),
    }
    (default,), (claim,) = member_roles.role_sources(sso.account, [joined, claiming]).values()
    provider = (sso.provider.id, sso.provider.name)
    assert (default.source, default.mapping_id) == ("default", None)
    assert (claim.source, claim.mapping_id, claim.group_display_name) == ("claim", mapping.id, "Money")
    for source in (default, claim):
        assert (source.identity_provider_id, source.identity_provider_name) == provider
        assert source.given_at is not None
        assert begun <= source.given_at <= clock.now()


def test_every_permission_is_explained_by_every_chain_that_gives_it(sso: World) -> None:
    """Role, source, group, mapping and provider; what she may not do is explained by nothing."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    row = cast.group(sso.provider, "Money", [member])
    mapping = _map(sso, "billing", row)
    explained = member_roles.explain(sso.account, member)
    assert set(explained.permissions) == BUILT_IN["developer"] | BUILT_IN["billing"]
    (why,) = explained.why(Permission.BILLING_WRITE)
    chain = (why.role, why.source, why.group_id, why.group_display_name, why.mapping_id, why.identity_provider_name)
    assert chain == ("billing", "group", row.id, "Money", mapping.id, "Okta")  # type: ignore[attr-defined]
    assert {why.source for why in explained.why(Permission.ACCOUNT_READ)} == {"default", "group"}
    assert explained.why(Permission.IDPS_WRITE) == []


def test_what_she_would_lose_is_what_nothing_else_gives(sso: World) -> None:
    """By leaving a group, by a mapping that goes: as it then is."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    one, two = (cast.group(sso.provider, name, [member]) for name in ("One", "Two"))
    _map(sso, "billing", one)
    mapping = _map(sso, "viewer", one)
    _map(sso, "viewer", two)
    explained = member_roles.explain(sso.account, member)
    lost = explained.without(group_id=one.id)
    assert lost.roles == ("billing",)
    assert set(lost.permissions) == {Permission.BILLING_READ, Permission.BILLING_WRITE}
    assert explained.without(mapping_id=mapping.id).roles == ()  # type: ignore[attr-defined]
    assert explained.without(group_id="grp_elsewhere").roles == ()
    cast.take_out(one, member)
    assert _roles(sso, member) == ("developer", "viewer")


def test_leaving_a_group_costs_what_its_claim_gave(sso: World) -> None:
    """The next sign-in will not name it any more."""
    assert sso.provider is not None
    row = cast.group(sso.provider, "Money")
    _map(sso, "billing", row)
    claiming = come(sso, said("kim@acme.test", groups=("Money",)))
    assert member_roles.explain(sso.account, claiming).without(group_id=row.id).roles == ("billing",)


def test_on_the_free_plan_the_plan_explains_all(database: None) -> None:
    """Every permission, by nothing that she could lose."""
    world = cast.open_account("solo", "free")
    explained = member_roles.explain(world.account, world.owner)
    assert set(explained.permissions) == set(Permission)
    assert [why.source for why in explained.why(Permission.IDPS_WRITE)] == ["plan"]
    assert explained.without(group_id="grp_x", mapping_id="map_x").roles == ()


def test_explaining_takes_three_statements(sso: World) -> None:
    """However many roles and groups, own ones among them."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    for number in range(6):
        make(sso, f"own {number}")
        _map(sso, f"own {number}", cast.group(sso.provider, f"G{number}", [member]))
    assert _counting(lambda: member_roles.explain(sso.account, member)) == 3


def test_members_are_counted_by_role_once_each(sso: World) -> None:
    """Whether a role is held by hand, by a group or by both; who has gone does not count."""
    assert sso.provider is not None
    both, by_group, left = (cast.provisioned(sso, f"{name}@acme.test") for name in ("a", "b", "c"))
    _map(sso, "billing", cast.group(sso.provider, "Money", [both, by_group, left]))
    _set(sso, both, "billing", "developer")
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
    assert member_roles.numbers(sso.account) == {"admin": 1, "developer": 2, "billing": 2}
    assert _counting(lambda: member_roles.numbers(sso.account)) == 1
