"""Own roles: never above their maker, unique by name, carried over when renamed, kept while anything holds them."""

from collections.abc import Callable
from contextlib import nullcontext
from threading import Event
from typing import Any

import pytest

from idp_bridge import bots, db, grants, groups, idps, invitations, member_lifecycle, member_roles, own_roles, roles
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, DomainError, Forbidden, Invalid, NotFound
from idp_bridge.models import Account, BotUser, IdentityProvider, Invitation, Member, MemberRole, Role, RoleMapping
from idp_bridge.roles import Permission as P
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said


def make(world: World, name: str = "auditor", *permissions: P, actor: Actor | None = None) -> Role:
    """An own role; by the service itself unless an actor is named."""
    with db.transaction():
        return own_roles.create(actor or world.system, name, permissions=permissions or (P.EVENTS_READ,))


def change(world: World, role: Role, *, actor: Actor | None = None, **fields: Any) -> None:
    """A change in a transaction of its own."""
    with db.transaction():
        own_roles.change(actor or world.system, role, **fields)


def _refused(code: Code, act: Callable[[], object]) -> DomainError:
    with pytest.raises(DomainError) as caught, db.transaction():
        act()
    assert caught.value.code is code, caught.value.message
    return caught.value


def _keeper(world: World, *permissions: P) -> tuple[Member, Actor]:
    """A member who may write roles, and is no administrator."""
    make(world, "role keeper", P.ROLES_WRITE, P.ACCOUNT_READ, *permissions)
    member = cast.join(world, "keeper@acme.test", "role keeper")
    return member, cast.acting(world, member)


# --- names ------------------------------------------------------------------------------------------------------

GOOD_NAMES = ["a", "Auditor", "release manager", "read-only", "ops_2", "v1.2", "x" * 64]
BAD_NAMES = [
    "",
    " ",
    "a ",
    " a",
    "-a",
    "a-",
    "x" * 65,
    "a\nb",
    "a,b",
    "<b>",
    "rôle",
    "\u0430udit\u043er",
    "a\x00b",
    "a/b",
    'a"b',
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_plain_name_is_taken(acme: World, name: str) -> None:
    """As it was written."""
    assert make(acme, name).name == name


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_mislead_is_refused(acme: World, name: str) -> None:
    """Also when it comes by a change."""
    role = make(acme)
    for act in (
        lambda: own_roles.create(acme.system, name, permissions=[]),
        lambda: own_roles.change(acme.system, role, name=name),
    ):
        assert "name" in _refused(Code.INVALID_BODY, act).fields


@pytest.mark.parametrize("taken", ["Auditor", "AUDITOR", "Admin", "team_manager", "VIEWER"])
def test_a_name_is_unique_without_regard_to_case_and_none_of_the_built_in(acme: World, taken: str) -> None:
    """In its account; elsewhere the same name is another role."""
    make(acme, "auditor")
    other = make(acme, "other")
    _refused(Code.NAME_TAKEN, lambda: own_roles.create(acme.system, taken, permissions=[]))
    _refused(Code.NAME_TAKEN, lambda: own_roles.change(acme.system, other, name=taken))
    assert make(cast.open_account("umbrella"), "auditor").account_id != acme.account.id


def test_a_role_may_be_spelled_otherwise(acme: World) -> None:
    """Its own name is not taken by itself."""
    role = make(acme, "auditor")
    member = cast.join(acme, "a@acme.test", "auditor")
    change(acme, role, name="Auditor")
    assert member_roles.roles_of(acme.account, member) == ("Auditor",)


# --- never above their maker ------------------------------------------------------------------------------------


def test_unknown_permissions_are_refused(acme: World) -> None:
    """Naming each; nothing is made."""
    refusal = _refused(
        Code.INVALID_BODY, lambda: own_roles.create(acme.system, "x", permissions=["events:read", "events:eat"])
    )
    assert refusal.fields == {"permissions": ["unknown permission 'events:eat'"]}
    assert not own_roles.of_account(acme.account).exists()


@pytest.mark.parametrize("permission", P)
def test_a_role_allows_no_more_than_its_maker_may(acme: World, permission: P) -> None:
    """Every permission, administrative or not, at its making and when it is widened."""
    _, actor = _keeper(acme, P.EVENTS_READ)
    role = make(acme, "mine", P.EVENTS_READ, actor=actor)
    makes = lambda: own_roles.create(actor, "more", permissions=[permission])  # noqa: E731
    widens = lambda: own_roles.change(actor, role, permissions=[P.EVENTS_READ, permission])  # noqa: E731
    for act in (makes, widens):
        if permission in actor.permissions:
            with db.transaction():
                act()
        else:
            _refused(Code.GRANT_ABOVE_OWN_RIGHTS, act)


def test_nobody_raises_herself_by_a_role_that_she_holds(acme: World) -> None:
    """To widen it, to make another and take that, or to be given admin's own list: each is refused."""
    keeper, actor = _keeper(acme)
    held = own_roles.of_account(acme.account).where(Role.name == "role keeper").get()
    wider = [P.ROLES_WRITE, P.ACCOUNT_READ, P.MEMBERS_WRITE]
    _refused(Code.GRANT_ABOVE_OWN_RIGHTS, lambda: own_roles.change(actor, held, permissions=wider))
    _refused(Code.GRANT_ABOVE_OWN_RIGHTS, lambda: own_roles.create(actor, "root", permissions=list(P)))
    assert set(cast.acting(acme, keeper).permissions) == {P.ROLES_WRITE, P.ACCOUNT_READ}


def test_what_a_role_allows_already_may_stay_beyond_its_changers_rights(acme: World) -> None:
    """She narrows or describes it without giving anything."""
    _, actor = _keeper(acme)
    role = make(acme, "operations", P.IDPS_READ, P.IDPS_WRITE)
    change(acme, role, actor=actor, description="The night shift", permissions=[P.IDPS_READ])
    assert cast.again(role).permissions == ["idps:read"]
    _refused(
        Code.GRANT_ABOVE_OWN_RIGHTS, lambda: own_roles.change(actor, role, permissions=[P.IDPS_READ, P.IDPS_WRITE])
    )


def test_all_permissions_make_no_administrator(acme: World) -> None:
    """The last administrator stays one, whoever else may do as much; and only administrators touch her."""
    make(acme, "root", *P)
    deputy = cast.join(acme, "deputy@acme.test", "root")
    actor = cast.acting(acme, deputy)
    assert member_roles.administrators(acme.account) == {acme.owner.id}
    _refused(Code.LAST_ADMINISTRATOR, lambda: member_lifecycle.suspend(acme.system, cast.again(acme.owner)))
    for act in (
        lambda: member_lifecycle.suspend(actor, cast.again(acme.owner)),
        lambda: member_roles.set_roles(actor, cast.again(acme.owner), []),
        lambda: member_roles.set_roles(actor, deputy, ["admin"]),
    ):
        _refused(Code.ADMINISTRATORS_ONLY, act)


# --- a change counts at once ------------------------------------------------------------------------------------


def test_a_change_counts_for_whoever_holds_the_role(acme: World) -> None:
    """From the row that changes; the event tells what was before."""
    role = make(acme, "auditor", P.EVENTS_READ)
    member = cast.join(acme, "a@acme.test", "auditor")
    change(acme, role, permissions=["members:read", "events:read", "events:read"])
    assert cast.acting(acme, member).permissions == {P.EVENTS_READ, P.MEMBERS_READ}
    change(acme, role, permissions=["events:read", "members:read"])
    made, changed = cast.happened(acme, "role_created.v0", "role_updated.v0")
    assert (made.object["id"], made.object["permissions"]) == (role.id, ["events:read"])
    assert changed.object["before"] == {"permissions": ["events:read"]}


# --- whatever holds it ------------------------------------------------------------------------------------------


def _give_everywhere(world: World, name: str) -> dict[str, Any]:
    """Everything that can hold a role holds this one."""
    provider = cast.connect(world, join_policy="jit", default_roles=[name], entity_id=f"https://{world.account.slug}")
    with db.transaction():
        mapping = groups.map_role(world.system, provider, role=name, group_display_name="One")
        bot = bots.create(world.system, "ci", role_names=["developer", name])
        invited = invitations.create(world.system, "ivy@acme.test", role_names=[name, "viewer"]).invitation
    by_hand = cast.join(world, "hand@acme.test", name, "developer")
    claiming = come(world, said("claim@acme.test", groups=("One",)))
    return {
        "provider": provider, "mapping": mapping, "bot": bot, "invited": invited, "hand": by_hand, "claim": claiming,
    }  # fmt: skip


def _held(world: World, holders: dict[str, Any]) -> dict[str, Any]:
    return {
        "provider": IdentityProvider.get_by_id(holders["provider"].id).default_roles,
        "mapping": RoleMapping.get_by_id(holders["mapping"].id).role,
        "bot": BotUser.get_by_id(holders["bot"].id).roles,
        "invited": Invitation.get_by_id(holders["invited"].id).roles,
        "hand": member_roles.roles_of(world.account, holders["hand"]),
        "claim": member_roles.roles_of(world.account, holders["claim"]),
    }


def test_a_new_name_is_carried_over_to_whatever_holds_the_role(acme: World) -> None:
    """And to nothing of another account that has a role of that name."""
    umbrella = cast.open_account("umbrella")
    role, _ = make(acme, "auditor"), make(umbrella, "auditor")
    ours, theirs = _give_everywhere(acme, "auditor"), _give_everywhere(umbrella, "auditor")
    change(acme, role, name="zz controller")
    assert _held(acme, ours) == {
        "provider": ["zz controller"],
        "mapping": "zz controller",
        "bot": ["developer", "zz controller"],
        "invited": ["viewer", "zz controller"],
        "hand": ("developer", "zz controller"),
        "claim": ("zz controller",),
    }
    assert _held(umbrella, theirs)["hand"] == ("auditor", "developer")
    assert _held(umbrella, theirs)["bot"] == ["auditor", "developer"]


def test_a_role_that_is_held_is_not_deleted(acme: World) -> None:
    """The refusal counts what of each; freed of all it goes, and its event tells."""
    role = make(acme, "auditor")
    ours = _give_everywhere(acme, "auditor")
    told = _refused(Code.ROLE_IN_USE, lambda: own_roles.delete(acme.system, role)).message
    for part in ("2 members", "1 role mapping", "1 invitation", "1 bot user", "1 identity provider"):
        assert part in told
    with db.transaction():
        idps.change(acme.system, cast.again(ours["provider"]), default_roles=["viewer"])
        groups.unmap(acme.system, cast.again(ours["mapping"]))
        bots.change(acme.system, ours["bot"], roles=["developer"])
        invitations.cancel(acme.system, ours["invited"])
        member_roles.set_roles(acme.system, ours["hand"], ["developer"])
    assert own_roles.uses(acme.account).get("auditor") is None
    with db.transaction():
        own_roles.delete(acme.system, role)
    (event,) = cast.happened(acme, "role_deleted.v0")
    assert event.object["name"] == "auditor"
    assert not own_roles.of_account(acme.account).exists()


def test_whom_her_directory_deleted_does_not_hold_the_next_role_of_that_name(sso: World) -> None:
    """She stands against no deletion, and comes back without it."""
    role = make(sso, "auditor", P.EVENTS_READ)
    left = cast.provisioned(sso, "left@acme.test")
    with db.transaction():
        member_roles.set_roles(sso.system, left, ["auditor", "viewer"])
        member_lifecycle.deprovision(sso.system, left)
        own_roles.delete(sso.system, role)
    make(sso, "auditor", *P)
    with db.transaction():
        member_lifecycle.restore(sso.system, cast.again(left))
    assert member_roles.roles_of(sso.account, left) == ("viewer",)


def test_a_name_left_behind_by_a_race_is_nobodys_when_it_is_made_again(acme: World) -> None:
    """Made, or given by a new name: either way nobody holds a role that she was not given."""
    member = cast.join(acme, "a@acme.test", "viewer")
    for name in ("auditor", "keeper"):
        MemberRole.create(member=member, role=name, source="default", created_at=member.created_at)
    make(acme, "auditor", *P)
    change(acme, make(acme, "other", *P), name="keeper")
    assert member_roles.roles_of(acme.account, member) == ("viewer",)


def test_a_role_is_not_deleted_while_it_is_being_given(acme: World) -> None:
    """Of both at once one is first: nobody ends up with a role that is not there."""
    for number in range(8):
        role = make(acme, f"r{number}")
        member = cast.join(acme, f"m{number}@acme.test", "viewer")
        given, deleted = cast.at_once(
            lambda member=member, role=role: member_roles.set_roles(acme.system, cast.again(member), [role.name]),
            lambda role=role: own_roles.delete(acme.system, cast.again(role)),
        )
        held = member_roles.roles_of(acme.account, member)
        if deleted is None:
            assert isinstance(given, Invalid)
            assert held == ("viewer",)
        else:
            assert (deleted.code, given) == (Code.ROLE_IN_USE, None)
            assert held == (role.name,)


def test_a_role_that_is_being_widened_is_given_by_what_it_will_allow(acme: World) -> None:
    """Whoever gives it meanwhile waits for the change that is held open, and is then above her own rights."""
    role = make(acme, "auditor", P.EVENTS_READ)
    member, manager = cast.join(acme, "a@acme.test", "viewer"), cast.join(acme, "m@acme.test", "team_manager")
    actor, widened, asking = cast.acting(acme, manager), Event(), Event()

    def widen() -> None:
        own_roles.change(acme.system, cast.again(role), permissions=[P.EVENTS_READ, P.BILLING_WRITE])
        widened.set()
        assert asking.wait(timeout=20)

    def give() -> None:
        assert widened.wait(timeout=20)
        asking.set()
        with db.transaction():
            member_roles.set_roles(actor, cast.again(member), ["auditor"])

    first, then = cast.at_once(lambda: _in_transaction(widen), give, transaction=nullcontext)
    assert first is None
    assert isinstance(then, Forbidden)
    assert then.code is Code.GRANT_ABOVE_OWN_RIGHTS
    assert member_roles.roles_of(acme.account, member) == ("viewer",)


def _in_transaction(work: Callable[[], None]) -> None:
    with db.transaction():
        work()


def test_a_role_is_widened_or_given_first(acme: World) -> None:
    """At the same moment: done in either order, or refused because the role allows more by then; never stuck."""
    manager = cast.acting(acme, cast.join(acme, "m@acme.test", "team_manager"))
    for number in range(8):
        role, member = make(acme, f"r{number}", P.EVENTS_READ), cast.join(acme, f"m{number}@acme.test", "viewer")
        given, widened = cast.at_once(
            lambda member=member, role=role: member_roles.set_roles(manager, cast.again(member), [role.name]),
            lambda role=role: own_roles.change(acme.system, cast.again(role), permissions=[P.BILLING_WRITE]),
        )
        assert widened is None
        assert given is None or given.code is Code.GRANT_ABOVE_OWN_RIGHTS
        assert member_roles.roles_of(acme.account, member) == ((role.name,) if given is None else ("viewer",))


def test_two_who_make_the_same_role_make_one(acme: World) -> None:
    """The other is told that the name is taken."""
    answers = cast.at_once(*[lambda: own_roles.create(acme.system, "auditor", permissions=[])] * 4)
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(refused) == 3
    assert {refusal.code for refusal in refused} == {Code.NAME_TAKEN}


# --- plans, accounts, built-in ----------------------------------------------------------------------------------


def _on(world: World, plan: str) -> None:
    Account.update(plan=plan).where(Account.id == world.account.id).execute()
    world.account.plan = plan


def test_after_leaving_enterprise_own_roles_work_and_none_is_given_or_changed(acme: World) -> None:
    """Nobody loses anything; what is held may be kept beside another role, taken away, and the role deleted."""
    role = make(acme, "auditor", P.EVENTS_READ)
    holder, another = cast.join(acme, "a@acme.test", "auditor"), cast.join(acme, "b@acme.test")
    _on(acme, "pro")
    assert cast.acting(acme, holder).permissions == {P.EVENTS_READ}
    for act in (
        lambda: own_roles.create(acme.system, "x", permissions=[]),
        lambda: own_roles.change(acme.system, role, description="x"),
        lambda: member_roles.set_roles(acme.system, another, ["auditor"]),
        lambda: invitations.create(acme.system, "ivy@acme.test", role_names=["auditor"]),
        lambda: bots.create(acme.system, "ci", role_names=["auditor"]),
    ):
        assert "Enterprise" in _refused(Code.PLAN_REQUIRED, act).message
    with db.transaction():
        member_roles.set_roles(acme.system, holder, ["auditor", "viewer"])
    assert member_roles.roles_of(acme.account, holder) == ("auditor", "viewer")
    with db.transaction():
        member_roles.set_roles(acme.system, holder, ["viewer"])
        own_roles.delete(acme.system, role)
    _on(acme, "enterprise")
    make(acme, "auditor")


@pytest.mark.parametrize("id", own_roles.BUILT_IN_IDS)
def test_built_in_roles_are_nobodys_to_change(acme: World, id: str) -> None:
    """Not an administrator's either, with an answer of its own."""
    _refused(Code.BUILT_IN_ROLE, lambda: own_roles.get(acme.account, id))


def test_a_role_of_another_account_is_not_there(acme: World) -> None:
    """Nor one that has gone meanwhile."""
    role = make(acme)
    with pytest.raises(NotFound):
        own_roles.get(cast.open_account("umbrella").account, role.id)
    with db.transaction():
        own_roles.delete(acme.system, cast.again(role))
    for act in (lambda: own_roles.change(acme.system, role, name="x"), lambda: own_roles.delete(acme.system, role)):
        with pytest.raises(NotFound), db.transaction():
            act()


def test_giving_asks_for_the_administrative_permissions_of_an_own_role(acme: World) -> None:
    """As for a built-in one: the others may be given by who manages members."""
    make(acme, "operations", P.IDPS_WRITE)
    make(acme, "auditor", P.EVENTS_READ, P.BILLING_READ)
    manager = cast.acting(acme, cast.join(acme, "m@acme.test", "team_manager"))
    with db.transaction():
        assert grants.check(manager, ["auditor", "viewer", "auditor"]) == ("auditor", "viewer")
        with pytest.raises(Forbidden) as caught:
            grants.check(manager, ["operations"])
        assert caught.value.code is Code.GRANT_ABOVE_OWN_RIGHTS
        with pytest.raises(Invalid):
            grants.check(manager, ["gone"])
    assert roles.permissions_of(acme.account.id, ["auditor"]) == {P.EVENTS_READ, P.BILLING_READ}
