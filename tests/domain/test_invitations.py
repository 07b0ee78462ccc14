"""Invitations: an address asked to join, once."""

from datetime import timedelta

import pytest
import time_machine

from idp_bridge import clock, db, invitations, member_lifecycle, member_roles, members, people
from idp_bridge.errors import Code, Conflict, Forbidden, Gone, Invalid, NotFound
from idp_bridge.models import Invitation, Person
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said


def _invite(world: World, email: str = "new@acme.test", **options: object) -> invitations.Sent:
    with db.transaction():
        return invitations.create(world.system, email, **options)  # type: ignore[arg-type]


def _person(email: str) -> Person:
    with db.transaction():
        return people.create(email)


def test_accepting_makes_a_member_with_the_invitations_roles(acme: World) -> None:
    """Of the person who proved the address, whatever case it is in."""
    sent = _invite(acme, "New@acme.test", role_names=["viewer", "billing"])
    person = _person("new@ACME.test")
    with db.transaction():
        member = invitations.accept(acme.system, invitations.find(sent.token), person, name="Nora")
    assert (member.person, member.managed_by, member.name) == (person, "invite", "Nora")
    assert member_roles.roles_of(acme.account, member) == ("billing", "viewer")
    assert member.active
    accepted = cast.happened(acme, "invitation_accepted.v0")
    assert [event.object["user_id"] for event in accepted] == [member.id]


def test_an_invitation_is_accepted_once(acme: World) -> None:
    """By the link and by a row that was read before."""
    sent, person = _invite(acme), _person("new@acme.test")
    with db.transaction():
        member = invitations.accept(acme.system, sent.invitation, person)
        member_lifecycle.remove(acme.system, member)
    with pytest.raises(Gone):
        invitations.find(sent.token)
    with pytest.raises(Gone), db.transaction():
        invitations.accept(acme.system, sent.invitation, person)


def test_the_wrong_person_cannot_accept(acme: World) -> None:
    """Nor one whose address nobody has proven; the invitation stays good."""
    sent = _invite(acme)
    for person in (_person("other@acme.test"), Person(id="per_x", email=None, email_key=None)):
        with pytest.raises(Conflict, match=r"new@acme\.test"), db.transaction():
            invitations.accept(acme.system, sent.invitation, person)
    assert invitations.find(sent.token) == sent.invitation


def test_somebody_who_became_a_member_meanwhile_does_not_become_two(sso: World) -> None:
    """Her directory may push her while the mail lies unread."""
    sent = _invite(sso)
    cast.provisioned(sso, "NEW@acme.test")
    with pytest.raises(Conflict) as caught, db.transaction():
        invitations.accept(sso.system, sent.invitation, _person_now("new@acme.test"))
    assert caught.value.code is Code.ALREADY_MEMBER
    assert len(members.with_address(sso.account, "new@acme.test")) == 1


def _person_now(email: str) -> Person:
    return people.create(email)


def test_a_person_who_is_a_member_under_another_address_does_not_become_two(sso: World) -> None:
    """Her provider may have renamed her."""
    sent, person = _invite(sso, "old@acme.test"), _person("old@acme.test")
    with db.transaction():
        invitations.accept(sso.system, sent.invitation, person)
    come(sso, said("old@acme.test", "n-1"))
    come(sso, said("renamed@acme.test", "n-1"))
    again = _invite(sso, "old@acme.test")
    with pytest.raises(Conflict) as caught, db.transaction():
        invitations.accept(sso.system, again.invitation, person)
    assert caught.value.code is Code.ALREADY_MEMBER


def test_an_invitation_expires(acme: World) -> None:
    """After a week it opens nothing, and the address can be invited again."""
    sent, person = _invite(acme), _person("new@acme.test")
    with time_machine.travel(clock.now() + invitations.LIFETIME + timedelta(seconds=1)):
        with pytest.raises(Gone):
            invitations.find(sent.token)
        with pytest.raises(Gone), db.transaction():
            invitations.accept(acme.system, sent.invitation, person)
        _invite(acme)


def test_a_cancelled_invitation_opens_nothing(acme: World) -> None:
    """Also for who has the page open."""
    sent, person = _invite(acme), _person("new@acme.test")
    with db.transaction():
        invitations.cancel(acme.system, sent.invitation)
    with pytest.raises(Gone):
        invitations.find(sent.token)
    with pytest.raises(Gone), db.transaction():
        invitations.accept(acme.system, sent.invitation, person)


def test_members_and_the_invited_are_not_invited_again(acme: World) -> None:
    """Without regard to case; each refusal has its own code."""
    _invite(acme)
    for email, code in (("OWNER@acme.test", Code.ALREADY_MEMBER), ("NEW@acme.test", Code.ALREADY_INVITED)):
        with pytest.raises(Conflict) as caught:
            _invite(acme, email)
        assert caught.value.code is code


def test_the_same_address_may_be_invited_by_two_accounts(acme: World) -> None:
    """One person, two memberships."""
    other, person = cast.open_account("other"), _person("new@acme.test")
    with db.transaction():
        for world in (acme, other):
            sent = invitations.create(world.system, "new@acme.test")
            invitations.accept(world.system, sent.invitation, person)
    assert len({member.account_id for member in person.member_set}) == 2


def test_the_free_plan_invites_nobody(database: None) -> None:
    """The refusal names the plan that does."""
    with pytest.raises(Forbidden, match="Pro"):
        _invite(cast.open_account("solo", "free", seats=5))


@pytest.mark.parametrize(
    ("inviter", "role", "code"),
    [
        ("team_manager", "developer", None),
        ("team_manager", "admin", Code.ADMINISTRATORS_ONLY),
        ("team_manager", "billing", Code.GRANT_ABOVE_OWN_RIGHTS),
        ("admin", "admin", None),
    ],
)
def test_nobody_invites_above_her_own_rights(acme: World, inviter: str, role: str, code: Code | None) -> None:
    """An invitation grants as surely as a hand does."""
    actor = cast.acting(acme, cast.join(acme, "m@acme.test", inviter))
    if code is None:
        with db.transaction():
            assert invitations.create(actor, "new@acme.test", role_names=[role]).invitation.roles == [role]
        return
    with pytest.raises(Forbidden) as caught, db.transaction():
        invitations.create(actor, "new@acme.test", role_names=[role])
    assert caught.value.code is code


def test_unknown_roles_are_invalid(acme: World) -> None:
    """Before anything is written."""
    with pytest.raises(Invalid, match="wizard"):
        _invite(acme, role_names=["wizard"])
    assert Invitation.select().count() == 0


def test_an_invitation_of_another_account_is_not_found(acme: World) -> None:
    """By its id; the link is the only way in."""
    other = cast.open_account("other")
    with pytest.raises(NotFound):
        invitations.get(acme.account, _invite(other).invitation.id)


def test_sending_again_makes_a_new_link_with_a_new_end(acme: World) -> None:
    """From whoever sends it now; the former link is dead. What has run out, or was accepted, is not sent again."""
    first = _invite(acme)
    admin = cast.join(acme, "second@acme.test", "admin")
    with time_machine.travel(clock.now() + timedelta(days=6)):
        with db.transaction():
            second = invitations.resend(cast.acting(acme, admin), cast.again(first.invitation))
        assert second.invitation.expires_at == pytest.approx(
            clock.now() + invitations.LIFETIME, abs=timedelta(seconds=9)
        )
        with pytest.raises(Gone):
            invitations.find(first.token)
        found = invitations.find(second.token)
        assert (found.id, found.invited_by, found.invited_by_id) == (first.invitation.id, admin.email, admin.id)
    with time_machine.travel(clock.now() + timedelta(days=14)), pytest.raises(Gone), db.transaction():
        invitations.resend(acme.system, second.invitation)
    person = _person("new@acme.test")
    with db.transaction():
        invitations.accept(acme.system, second.invitation, person)
    with pytest.raises(Gone), db.transaction():
        invitations.resend(acme.system, second.invitation)


def test_nobody_sends_again_what_she_could_not_send(acme: World) -> None:
    """Else a team manager would take over an administrator's promise."""
    manager = cast.join(acme, "m@acme.test", "team_manager")
    with db.transaction():
        sent = invitations.create(acme.system, "chief@acme.test", role_names=["admin"])
    with pytest.raises(Forbidden), db.transaction():
        invitations.resend(cast.acting(acme, manager), sent.invitation)


@pytest.mark.parametrize("lost", ["suspended", "removed", "demoted", "role", "nothing"])
def test_an_invitation_lapses_with_its_senders_rights(acme: World, lost: str) -> None:
    """By password and by single sign-on; reactivated, she vouches again."""
    sender, person = cast.join(acme, "second@acme.test", "admin"), _person("new@acme.test")
    with db.transaction():
        sent = invitations.create(cast.acting(acme, sender), "new@acme.test", role_names=["billing"])
    with db.transaction():
        if lost == "suspended":
            member_lifecycle.suspend(acme.system, sender)
        elif lost == "removed":
            member_lifecycle.remove(acme.system, sender)
        elif lost in ("demoted", "role"):
            member_roles.set_roles(acme.system, sender, ["viewer" if lost == "demoted" else "team_manager"])
    gone = lost != "nothing"
    assert invitations.lapsed(acme.account, [sent.invitation]) == ({sent.invitation.id} if gone else set())
    assert (invitations.standing(acme.account, "new@acme.test") is None) == gone
    if gone:
        with pytest.raises(invitations.Lapsed), db.transaction():
            invitations.accept(acme.system, sent.invitation, person)
    if lost == "suspended":
        with db.transaction():
            member_lifecycle.unsuspend(acme.system, cast.again(sender))
        gone = False
    if not gone:
        with db.transaction():
            invitations.accept(acme.system, sent.invitation, person)


def test_what_the_service_itself_sent_does_not_lapse(acme: World) -> None:
    """The command line has no rights to lose."""
    assert invitations.lapsed(acme.account, [_invite(acme).invitation]) == set()


def test_a_team_manager_cannot_cancel_an_administrators_invitation(acme: World) -> None:
    """Who could not promise the role cannot take the promise back."""
    manager = cast.join(acme, "m@acme.test", "team_manager")
    with db.transaction():
        sent = invitations.create(acme.system, "chief@acme.test", role_names=["admin"])
    with pytest.raises(Forbidden), db.transaction():
        invitations.cancel(cast.acting(acme, manager), sent.invitation)
    assert Invitation.select().where(Invitation.id == sent.invitation.id).exists()
