"""Whatever can let somebody in, or take an administrator away, all at once: real threads and transactions."""

from collections.abc import Callable, Sequence

import pytest

from idp_bridge import (
    db,
    groups,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    plan_changes,
    seats,
    sign_in,
)
from idp_bridge.errors import Code, DomainError
from idp_bridge.models import Account, DirectoryUser, IdentityProvider, Member
from idp_bridge.provisioning import groups as scim_groups
from idp_bridge.provisioning import users
from idp_bridge.provisioning.directory import Directory
from scim.errors import ScimError
from scim.patch import Operation, parse_patch
from scim.schemas import GROUP_TYPE, USER_TYPE
from tests.conftest import World, counted_seats, seat_counts
from tests.domain import cast
from tests.domain.test_sign_in import said


def _fresh(world: World) -> World:
    """The account as a request of its own reads it."""
    return World(account=Account.get_by_id(world.account.id), owner=world.owner, api_key="")


# --- every door at once -----------------------------------------------------------------------------------------


def _pushed(world: World, email: str) -> DirectoryUser:
    """A record with its member, as the directory makes them."""
    with db.transaction():
        row: DirectoryUser = users.create(_directory(world), {"userName": email}).row
    return row


def _directory(world: World) -> Directory:
    """The account's directory, as a request of its own opens it."""
    assert world.provider is not None
    provider = IdentityProvider.get_by_id(world.provider.id)
    return Directory(provider, _fresh(world).account, _fresh(world).system, "https://sso.test/scim/v2")


def _active(value: bool) -> Sequence[Operation]:
    return parse_patch({"Operations": [{"op": "replace", "path": "active", "value": value}]}, USER_TYPE)


def _doors(world: World, n: int) -> list[Callable[[], object]]:
    """One somebody before each door, all but the door itself done."""
    held = cast.join(world, f"held{n}@acme.test")
    off, left, gone = (_pushed(world, f"{name}{n}@acme.test") for name in ("off", "left", "gone"))
    with db.transaction():
        member_lifecycle.suspend(world.system, held)
        users.patch(_directory(world), off.id, _active(False))
        users.delete(_directory(world), left.id)
        users.delete(_directory(world), gone.id)
        sent = invitations.create(world.system, f"asked{n}@acme.test")
        person = people.create(f"asked{n}@acme.test")

    def by_assertion() -> object:
        assert world.provider is not None
        provider = IdentityProvider.get_by_id(world.provider.id)
        return sign_in.by_assertion(_fresh(world).system, provider, said(f"jit{n}@acme.test"))

    return [
        lambda: member_lifecycle.create(_fresh(world).system, email=f"hand{n}@acme.test", managed_by="local"),
        lambda: invitations.create(_fresh(world).system, f"new{n}@acme.test"),
        lambda: invitations.resend(_fresh(world).system, cast.again(sent.invitation)),
        lambda: invitations.accept(_fresh(world).system, cast.again(sent.invitation), person),
        by_assertion,
        lambda: users.create(_directory(world), {"userName": f"post{n}@acme.test"}),
        lambda: users.patch(_directory(world), off.id, _active(True)),
        lambda: users.create(_directory(world), {"userName": f"left{n}@acme.test"}),
        lambda: member_lifecycle.restore(_fresh(world).system, Member.get_by_id(gone.member_id)),
        lambda: member_lifecycle.unsuspend(_fresh(world).system, cast.again(held)),
    ]


def _taken(world: World) -> int:
    counted = seats.count(_fresh(world).account)
    return counted.used + counted.reserved


@pytest.mark.parametrize("free", [0, 1, 3])
def test_all_doors_at_once_let_in_as_many_as_there_are_seats(sso: World, free: int) -> None:
    """By hand, invitation, acceptance, assertion, a directory's POST, PATCH and POST again, restoring, lifting a hold,
    two before each: what is refused says so, and what is taken is what there was."""
    doors = _doors(sso, 0) + _doors(sso, 1)[2:]  # no more than there are connections
    limit = _taken(sso) + free
    Account.update(seats=limit).execute()
    results = cast.at_once(*doors)
    refused = [result for result in results if isinstance(result, Exception)]
    assert {getattr(one, "code", one) for one in refused} <= {Code.SEATS_FULL, Code.GONE}, refused
    assert all(f"All {limit} seats" in str(one) for one in refused if one.code is Code.SEATS_FULL)  # type: ignore[attr-defined]
    assert _taken(sso) == limit
    assert seat_counts() == counted_seats()


def test_a_limit_that_comes_meanwhile_counts_for_whoever_comes_after(sso: World) -> None:
    """Nobody joins under the former one once the change was answered: who was before it, it has counted."""
    for n in range(3):
        Account.update(seats=None).execute()
        doors = _doors(sso, n)
        limit = _taken(sso) + 2
        *results, change = cast.at_once(
            *doors,
            lambda: plan_changes.set_plan(_fresh(sso).system, "enterprise", seat_limit=limit),  # noqa: B023
        )
        assert isinstance(change, plan_changes.PlanChange), change
        assert seats.count(_fresh(sso).account).used <= limit + change.seats_over
        refused = [result for result in results if isinstance(result, Exception)]
        assert {getattr(one, "code", one) for one in refused} <= {Code.SEATS_FULL, Code.GONE}, refused


# --- the last administrator -------------------------------------------------------------------------------------


def _administrators_by_all_sources(world: World, n: int) -> list[Callable[[], object]]:
    """Administrators by hand, by a group and by a claim, and whatever may take that from one of them."""
    assert world.provider is not None
    by_hand = [cast.join(world, f"hand{n}{m}@acme.test", "admin") for m in range(2)]
    records = [_pushed(world, f"group{n}{m}@acme.test") for m in range(2)]
    with db.transaction():
        idps.change(_fresh(world).system, _provider(world), may_grant_admin=True)
        entries = [{"value": row.id} for row in records]
        group = scim_groups.create(_directory(world), {"displayName": f"Admins {n}", "members": entries}).row
        mapping = groups.map_role(_fresh(world).system, _provider(world), role="admin", group_id=group.id)
        claimed = _claiming(world, n, f"Admins {n}")
        member_roles.set_roles(_fresh(world).system, _member(world, world.owner), ["viewer"])
    operation = {"op": "remove", "path": "members", "value": [{"value": records[1].id}]}
    leaving = parse_patch({"Operations": [operation]}, GROUP_TYPE)
    return [
        lambda: member_roles.set_roles(_fresh(world).system, _member(world, by_hand[0]), ["viewer"]),
        lambda: member_lifecycle.suspend(_fresh(world).system, _member(world, by_hand[1])),
        lambda: member_lifecycle.remove(_fresh(world).system, _member(world, by_hand[0])),
        lambda: users.patch(_directory(world), records[0].id, _active(False)),
        lambda: users.delete(_directory(world), records[1].id),
        lambda: scim_groups.patch(_directory(world), group.id, leaving),
        lambda: groups.change_mapping(_fresh(world).system, groups.mapping(world.account, mapping.id), "viewer"),
        lambda: groups.unmap(_fresh(world).system, groups.mapping(world.account, mapping.id)),
        lambda: idps.change(_fresh(world).system, _provider(world), may_grant_admin=False),
        lambda: _claiming(world, n),
        lambda: member_lifecycle.suspend(_fresh(world).system, _member(world, claimed)),
        lambda: member_roles.set_roles(_fresh(world).system, _member(world, world.owner), ["admin"]),
        lambda: member_roles.set_roles(_fresh(world).system, _member(world, world.owner), ["viewer"]),
        lambda: member_lifecycle.suspend(_fresh(world).system, _member(world, world.owner)),
    ]


def _member(world: World, member: Member) -> Member:
    """As a request of its own finds her."""
    return members.get(_fresh(world).account, member.id)


def _provider(world: World) -> IdentityProvider:
    assert world.provider is not None
    provider: IdentityProvider = cast.again(world.provider)
    provider.account = _fresh(world).account
    return provider


def _claiming(world: World, n: int, *names: str) -> Member:
    """Somebody comes in whose assertion names these groups."""
    identity = said(f"claim{n}@acme.test", groups=names)
    return sign_in.by_assertion(_fresh(world).system, _provider(world), identity).member


@pytest.mark.parametrize("last", ["enterprise", "pro", "free"])
def test_whatever_comes_at_once_leaves_an_administrator(sso: World, last: str) -> None:
    """Demoting, suspending, removing, the directory's word on a person and a group, a mapping, a switch, a claim and a
    plan: who would be the last stays, and nothing fails in another way."""
    for n in range(4):
        works = _administrators_by_all_sources(sso, n)
        works += [lambda: plan_changes.set_plan(_fresh(sso).system, last, seat_limit=50), lambda: _back(sso)]
        results = cast.at_once(*works)
        assert member_roles.administrators(_fresh(sso).account), results
        refused = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(one, DomainError | ScimError) for one in refused), refused
        with db.transaction():
            member_lifecycle.unsuspend(_fresh(sso).system, _member(sso, sso.owner))
            plan_changes.set_plan(_fresh(sso).system, "enterprise", administrator=_member(sso, sso.owner))


def _back(world: World) -> object:
    return plan_changes.set_plan(_fresh(world).system, "enterprise")
