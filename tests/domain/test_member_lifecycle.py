"""How members come, stop and go, and come again: holds, directories, removal, restoring."""

from dataclasses import replace

import pytest

from idp_bridge import (
    clock,
    db,
    event_sealing,
    groups,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    receipts,
    seats,
)
from idp_bridge.errors import Code, Conflict, Forbidden
from idp_bridge.models import Member, Person
from tests.conftest import World
from tests.domain import cast


def _roles(world: World, member: Member) -> tuple[str, ...]:
    return member_roles.roles_of(world.account, member)


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


def test_whoever_stays_out_is_neither_suspended_nor_reactivated_again(sso: World) -> None:
    """A webhook that lets people in must not take the directory's word for an administrator's; and only what stops
    something has a receipt."""
    member = cast.provisioned(sso, "a@acme.test")
    with db.transaction():
        member_lifecycle.suspend(sso.system, member)
        for active in (False, True):
            assert member_lifecycle.set_directory_active(sso.system, member, active)
        member_lifecycle.deprovision(sso.system, member)
    told = [event for event in cast.happened(sso) if event.object_id == member.id and "created" not in event.type]
    assert [(event.type, event.object["before"]) for event in told] == [
        ("user_suspended.v0", {"held": False, "active": True}),
        ("user_updated.v0", {"directory_active": True}),
        ("user_updated.v0", {"directory_active": False}),
        ("user_deprovisioned.v0", {"active": False}),
    ]
    assert [event.object["directory_active"] for event in told[1:3]] == [False, True]
    assert ["credentials" in event.object for event in told] == [True, False, False, False]
    event_sealing.seal(clock.now())
    receipts.write(clock.now())
    (receipt,) = cast.happened(sso, "member_deprovisioned.v0")
    assert receipt.object["event_id"] == told[0].id


def test_a_hold_is_lifted_while_the_directory_says_inactive(sso: World) -> None:
    """She stays inactive until her directory says active, and then comes in; a hold is one of both, and told apart."""
    member = cast.provisioned(sso, "a@acme.test")
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, member, False)
        member_lifecycle.suspend(sso.system, member)
        member_lifecycle.unsuspend(sso.system, member)
    lifted = cast.again(member)
    assert (lifted.held, lifted.active) == (False, False)
    assert seats.count(sso.account).used == 1
    told = [(event.object["active"], event.object["before"]) for event in cast.happened(sso, "user_updated.v0")]
    assert told == [(False, {"held": False}), (False, {"held": True})]
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, lifted, True)
    assert cast.again(member).active
    assert seats.count(sso.account).used == 2


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


def test_restoring_does_not_make_two_members_of_one_address(sso: World) -> None:
    """Who was invited again, and came as somebody new, has the address now; gone again, she may be restored."""
    left = cast.provisioned(sso, "ann@acme.test")
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
        sent = invitations.create(sso.system, "ann@acme.test")
        again = invitations.accept(sso.system, sent.invitation, people.create("ann@acme.test"))
    with pytest.raises(Conflict) as caught, db.transaction():
        member_lifecycle.restore(sso.system, cast.again(left))
    assert caught.value.code is Code.ALREADY_MEMBER
    with db.transaction():
        member_lifecycle.remove(sso.system, cast.again(again))
        member_lifecycle.restore(sso.system, cast.again(left))
    assert cast.again(left).active


def test_a_name_is_not_longer_than_is_shown(sso: World) -> None:
    """Whoever says it; events repeat it."""
    member = cast.join(sso, "ann@acme.test", name="x" * 100_000, first_name="y" * 300)
    assert (len(member.name), len(member.first_name)) == (members.LONGEST_NAME, members.LONGEST_NAME)
    with db.transaction():
        said = {"email": "ann@acme.test", "name": "z" * 100_000, "first_name": "", "last_name": "w" * 256}
        members.update_profile(sso.system, member, **said)
    assert (cast.again(member).name, len(cast.again(member).last_name)) == ("z" * 255, 255)
    told = cast.happened(sso, "user_created.v0", "user_updated.v0")
    assert all(len(str(event.object)) < 5_000 for event in told)


def test_one_person_has_one_living_membership(acme: World) -> None:
    """Whoever brings her a second time, and whatever she looked up before: the database has the last word."""
    with db.transaction():
        person = people.create("ann@acme.test")
    ways = [lambda: member_lifecycle.create(acme.system, email="ann@acme.test", managed_by="invite", person=person)] * 4
    answers = cast.at_once(*ways)
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(refused) == 3
    assert {refusal.code for refusal in refused} == {Code.ALREADY_MEMBER}
    assert seats.count(acme.account).used == 2


def test_a_leaver_who_has_joined_again_under_another_address_is_not_revived(sso: World) -> None:
    """The one who is here now stays; the directory is told as whom, and what to do."""
    assert sso.provider is not None
    with db.transaction():
        person = people.create("ann@acme.test")
    left = cast.join(sso, "ann@acme.test", person=person, managed_by="scim", identity_provider=sso.provider)
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
    here = cast.join(sso, "ann@private.test", person=person)
    with pytest.raises(Conflict, match=r"ann@private\.test") as caught, db.transaction():
        member_lifecycle.revive(sso.system, cast.again(left), sso.provider)
    assert caught.value.code is Code.ALREADY_MEMBER
    with db.transaction():
        member_lifecycle.remove(sso.system, here)
        member_lifecycle.revive(sso.system, cast.again(left), sso.provider)
    assert members.get(sso.account, left.id).active


def test_what_has_stopped_is_told_with_the_roles_held_until_then(sso: World) -> None:
    """By hand and by groups, whichever way she went; and when it was asked for."""
    assert sso.provider is not None
    member = cast.provisioned(sso, "a@acme.test")
    row = cast.group(sso.provider, "Money", [member])
    begun = clock.now()
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_id=row.id)
        member_lifecycle.suspend(replace(sso.system, began_at=begun), member)
        member_lifecycle.unsuspend(sso.system, member)
        member_lifecycle.deprovision(sso.system, member)
    told = [event.object for event in cast.happened(sso, "user_suspended.v0", "user_deprovisioned.v0")]
    assert [one["roles"] for one in told] == [["billing", "developer"]] * 2
    assert told[0]["requested_at"] == clock.rfc3339(begun)
    assert told[1]["requested_at"] > told[0]["requested_at"]
