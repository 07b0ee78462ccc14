"""Seats: one count, and every door asks it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine

from idp_bridge import bots, clock, db, invitations, member_lifecycle, people, seats, sign_in
from idp_bridge.errors import Code, Forbidden
from idp_bridge.models import Account, Invitation, Member
from idp_bridge.provisioning import users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.seats import Seats
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import said


def test_active_members_use_and_invitations_reserve(acme: World) -> None:
    """Suspended, directory-inactive and removed members and bot users are no seat."""
    cast.connect(acme)
    held = cast.join(acme, "held@acme.test")
    left = cast.provisioned(acme, "left@acme.test")
    cast.join(acme, "off@acme.test", active=False)
    with db.transaction():
        member_lifecycle.suspend(acme.system, held)
        member_lifecycle.deprovision(acme.system, left)
        bots.create(acme.system, "deployer")
        invitations.create(acme.system, "new@acme.test")
    assert seats.count(acme.account) == Seats(used=1, reserved=1, limit=None)


def test_an_expired_or_cancelled_invitation_reserves_nothing(acme: World) -> None:
    """The seat is free again without anybody cleaning up."""
    with db.transaction():
        invitations.create(acme.system, "late@acme.test")
        cancelled = invitations.create(acme.system, "no@acme.test").invitation
        invitations.cancel(acme.system, cancelled)
    assert seats.count(acme.account).reserved == 1
    with time_machine.travel(clock.now() + invitations.LIFETIME + timedelta(seconds=1)):
        assert seats.count(acme.account).reserved == 0


def test_an_invitation_of_somebody_dismissed_reserves_nothing(acme: World) -> None:
    """Nobody can accept it; whoever sends it again needs a free seat for it."""
    sender = cast.join(acme, "boss@acme.test", "admin")
    with db.transaction():
        sent = invitations.create(cast.acting(acme, sender), "new@acme.test").invitation
        assert seats.count(acme.account).reserved == 1
        member_lifecycle.suspend(acme.system, sender)
    assert seats.count(acme.account).reserved == 0
    Account.update(seats=1).where(Account.id == acme.account.id).execute()
    with pytest.raises(Forbidden) as caught, db.transaction():
        invitations.resend(cast.acting(acme, acme.owner), cast.again(sent))
    assert caught.value.code is Code.SEATS_FULL
    Account.update(seats=2).where(Account.id == acme.account.id).execute()
    with db.transaction():
        invitations.resend(cast.acting(acme, acme.owner), cast.again(sent))
    assert seats.count(acme.account).reserved == 1


@pytest.mark.parametrize(
    ("used", "reserved", "limit", "full"),
    [(0, 0, 0, True), (1, 0, 1, True), (1, 1, 2, True), (3, 0, 2, True), (1, 0, 2, False), (9, 9, None, False)],
)
def test_full_is_used_and_reserved_at_the_limit(used: int, reserved: int, limit: int | None, full: bool) -> None:
    """Above the limit too: a plan may have shrunk."""
    assert Seats(used, reserved, limit).full is full


def _by_hand(world: World) -> None:
    member_lifecycle.create(world.system, email="a@acme.test", managed_by="local")


def _by_invitation(world: World) -> None:
    invitations.create(world.system, "a@acme.test")


def _by_assertion(world: World) -> None:
    assert world.provider is not None
    sign_in.by_assertion(world.system, world.provider, said("a@acme.test"))


def _by_reactivation(world: World) -> None:
    member_lifecycle.unsuspend(world.system, Member.get(Member.email == "held@acme.test"))


def _by_directory(world: World) -> None:
    member_lifecycle.set_directory_active(world.system, Member.get(Member.email == "off@acme.test"), True)


def _by_return(world: World) -> None:
    assert world.provider is not None
    member_lifecycle.revive(world.system, Member.get(Member.email == "left@acme.test"), world.provider)


def _by_restoring(world: World) -> None:
    member_lifecycle.restore(world.system, Member.get(Member.email == "left@acme.test"))


def _by_post(world: World) -> None:
    assert world.provider is not None
    directory = Directory(world.provider, world.account, world.system, "https://sso.test/scim/v2")
    users.create(directory, {"userName": "a@acme.test"})


def _by_acceptance(world: World) -> None:
    invitation = Invitation.get(Invitation.email == "asked@acme.test")
    invitations.accept(world.system, invitation, people.create("asked@acme.test"))


def _by_accepting_through_the_provider(world: World) -> None:
    assert world.provider is not None
    sign_in.by_assertion(world.system, world.provider, said("asked@acme.test"))


DOORS = [
    *(_by_hand, _by_invitation, _by_assertion, _by_reactivation, _by_directory, _by_return),
    *(_by_restoring, _by_post, _by_acceptance, _by_accepting_through_the_provider),
]


@pytest.mark.parametrize("door", DOORS)
def test_every_door_is_shut_at_the_limit(sso: World, door: Callable[[World], None]) -> None:
    """403 naming the limit, and nothing half done."""
    held, left = cast.join(sso, "held@acme.test"), cast.provisioned(sso, "left@acme.test")
    off = cast.provisioned(sso, "off@acme.test")
    with db.transaction():
        member_lifecycle.suspend(sso.system, held)
        member_lifecycle.deprovision(sso.system, left)
        member_lifecycle.set_directory_active(sso.system, off, False)
        invitations.create(sso.system, "asked@acme.test")
    sso.account.seats = 1
    sso.account.save()
    before = len(cast.happened(sso))
    with pytest.raises(Forbidden, match="All 1 seats") as caught, db.transaction():
        door(sso)
    assert caught.value.code is Code.SEATS_FULL
    assert seats.count(sso.account).used == 1
    assert len(cast.happened(sso)) == before


def test_an_account_that_is_exactly_full_can_be_joined_by_its_invitation(acme: World) -> None:
    """The reservation becomes the seat."""
    acme.account.seats = 2
    acme.account.save()
    with db.transaction():
        sent = invitations.create(acme.system, "new@acme.test")
    assert seats.count(acme.account).full
    with db.transaction():
        invitations.accept(acme.system, sent.invitation, people.create("new@acme.test"))
    assert seats.count(acme.account) == Seats(used=2, reserved=0, limit=2)


def test_the_limit_that_counts_is_the_stored_one(acme: World) -> None:
    """An account that was read before the plan shrank must not let one more in."""
    Account.update(seats=1).where(Account.id == acme.account.id).execute()
    with pytest.raises(Forbidden), db.transaction():
        member_lifecycle.create(acme.system, email="a@acme.test", managed_by="local")


def test_members_past_a_lowered_limit_stay(acme: World) -> None:
    """Only joining is refused."""
    cast.join(acme, "a@acme.test")
    acme.account.seats = 1
    acme.account.save()
    assert seats.count(acme.account) == Seats(used=2, reserved=0, limit=1)
