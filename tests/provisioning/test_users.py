"""Users of a directory and the members behind them: joining, coming back, being taken over, leaving."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from idp_bridge import (
    clock,
    credentials,
    db,
    errors,
    events,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    seats,
    sessions,
)
from idp_bridge import groups as mappings
from idp_bridge.models import Account, DirectoryUser, Event, GroupMember, IdentityProvider, Member, Session
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.users import Profile, profile
from scim.errors import NotFound, PreconditionFailed, Uniqueness
from scim.paging import Page
from scim.patch import parse_patch
from scim.schemas import USER_TYPE
from tests.conftest import World
from tests.domain import cast
from tests.provisioning.conftest import rendered

PROFILES = [
    ({"userName": "ann"}, Profile("ann", "ann", "", "")),
    (
        {"userName": "u", "emails": [{"value": "a@x"}, {"value": "b@x", "type": "Work"}]},
        Profile("b@x", "u", "", ""),
    ),
    (
        {"userName": "u", "emails": [{"value": "w@x", "type": "work"}, {"value": "p@x", "primary": True}]},
        Profile("p@x", "u", "", ""),
    ),
    ({"userName": "u", "emails": [{"type": "work"}, {"value": "h@x", "type": "home"}]}, Profile("h@x", "u", "", "")),
    ({"userName": "u", "name": {"givenName": "Ann", "familyName": "Lee"}}, Profile("u", "Ann Lee", "Ann", "Lee")),
    ({"userName": "u", "name": {"formatted": "Dr. Lee", "givenName": "Ann"}}, Profile("u", "Dr. Lee", "Ann", "")),
    ({"userName": "u", "displayName": "Annie", "name": {"formatted": "Dr. Lee"}}, Profile("u", "Annie", "", "")),
]


@pytest.mark.parametrize(("resource", "known"), PROFILES)
def test_address_and_name_are_chosen_in_order(resource: dict[str, Any], known: Profile) -> None:
    """Address: primary, work, first e-mail, userName. Name: displayName, formatted, given and family, userName."""
    assert profile(resource) == known


def create(directory: Directory, user_name: str = "ann@acme.test", **attributes: Any) -> DirectoryUser:
    """A POST in a transaction of its own."""
    with db.transaction():
        return users.create(directory, {"userName": user_name, **attributes}).row


def patch(directory: Directory, row: DirectoryUser, **values: Any) -> DirectoryUser:
    """A PATCH that replaces these attributes."""
    operations = parse_patch({"Operations": [{"op": "replace", "value": values}]}, USER_TYPE)
    with db.transaction():
        return users.patch(directory, row.id, operations).row


def delete(directory: Directory, row: DirectoryUser) -> None:
    """A DELETE."""
    with db.transaction():
        users.delete(directory, row.id)


def member_of(row: DirectoryUser) -> Member:
    """The member behind a record, as she is now."""
    found: Member = Member.get_by_id(row.member_id)
    return found


def event_types(about: str) -> list[str]:
    """The events about an object, oldest first."""
    return [event.type for event in Event.select().where(Event.object_id == about).order_by(Event.id)]


def test_new_user_is_a_member_with_the_default_roles(directory: Directory) -> None:
    """POST makes an active member whom the directory manages, with the provider's default roles."""
    row = create(directory, emails=[{"value": "Ann@acme.test", "primary": True}], name={"givenName": "Ann"})
    member = member_of(row)
    assert (member.email, member.name, member.first_name) == ("Ann@acme.test", "Ann", "Ann")
    assert (member.managed_by, member.identity_provider_id) == ("scim", directory.id)
    assert (member.active, member_roles.roles_of(directory.account, member)) == (True, ("developer",))
    assert row.id.startswith("du_")
    assert event_types(member.id) == [events.Type.USER_CREATED]


def test_repeated_post_changes_nothing(directory: Directory) -> None:
    """Okta retries a POST whose answer it missed: 409, and neither record nor member is touched."""
    row = create(directory, title="Lead")
    with pytest.raises(Uniqueness):
        create(directory, "ANN@acme.test", title="Other", active=False)
    assert users.RECORDS.get(directory, row.id).resource == row.resource
    assert (Member.select().count(), member_of(row).active) == (2, True)


def test_user_names_of_two_directories_are_apart(directory: Directory, foreign: Directory) -> None:
    """The same userName may be in the directory of another account."""
    assert create(directory).id != create(foreign).id


def test_external_id_may_repeat(directory: Directory) -> None:
    """RFC 7643 §3.1: the server does not enforce uniqueness of externalId."""
    assert create(directory, "a@acme.test", externalId="x").id != create(directory, "b@acme.test", externalId="x").id


def test_inactive_user_takes_no_seat(directory: Directory) -> None:
    """PingOne provisions disabled accounts: a member without a seat, who takes one when activated."""
    directory.account.seats = 1  # the owner's
    directory.account.save()
    row = create(directory, active=False)
    assert not member_of(row).active
    with pytest.raises(errors.Forbidden, match="1 seats"):
        patch(directory, row, active=True)
    assert not users.RECORDS.get(directory, row.id).active


def test_over_the_seats_nothing_is_made(directory: Directory) -> None:
    """A full account refuses the POST and keeps no record of it."""
    directory.account.seats = 1
    directory.account.save()
    with pytest.raises(errors.Forbidden):
        create(directory)
    assert DirectoryUser.select().count() == 0


def test_deactivation_stops_everything_and_reactivation_brings_it_back(directory: Directory, acme: World) -> None:
    """``active=false`` ends sessions and frees the seat; memberships stay, since Entra does not send them again."""
    row = create(directory)
    with db.transaction():
        group = groups.create(directory, {"displayName": "Crew", "members": [{"value": row.id}]}).row
        sessions.open_session(member_of(row), method="saml")
    patch(directory, row, active=False)
    assert not member_of(row).active
    assert Session.select().count() == 0
    assert GroupMember.select().where(GroupMember.group == group.id).count() == 1
    assert users.RECORDS.find(directory, None, Page())[1] == 1
    patch(directory, row, active=True)
    assert member_of(row).active
    assert event_types(member_of(row).id)[1:] == [events.Type.USER_SUSPENDED, events.Type.USER_REACTIVATED]


def test_hold_of_an_administrator_is_not_lifted(directory: Directory, acme: World) -> None:
    """A member suspended by hand stays so, whatever her directory says."""
    row = create(directory)
    with db.transaction():
        member_lifecycle.suspend(acme.system, member_of(row))
    patch(directory, row, active=False)
    patch(directory, row, active=True)
    assert not member_of(row).active


def test_profile_follows_the_record(directory: Directory) -> None:
    """Another e-mail or name in the directory is another address or name of the member."""
    row = create(directory)
    patch(directory, row, displayName="Ann", emails=[{"value": "new@acme.test", "type": "work"}])
    assert (member_of(row).email, member_of(row).name) == ("new@acme.test", "Ann")
    assert event_types(str(row.member_id))[1:] == [events.Type.USER_UPDATED]


def test_other_change_is_an_event_too(directory: Directory) -> None:
    """Every write is audited, also where the account knows nothing of the attribute."""
    row = create(directory)
    patch(directory, row, title="Lead", externalId="x-1")
    told = Event.select().order_by(Event.id.desc()).get().object
    assert told == {
        "id": row.member_id,
        "record": {"id": row.id, "before": {}, "after": {"title": "Lead", "externalId": "x-1"}},
    }


def test_a_change_that_her_sign_in_has_made_already_is_an_event_too(directory: Directory) -> None:
    """The member stays as she is, and the record does not."""
    row = create(directory)
    Member.update(name="Bob Builder").execute()
    before = Event.select().count()
    patch(directory, row, displayName="Bob Builder", title="Lead")
    assert Event.select().count() == before + 1
    told = Event.select().order_by(Event.id.desc()).get()
    assert (told.type, told.object["id"]) == ("user_updated.v0", row.member_id)
    assert told.object["record"]["after"] == {"displayName": "Bob Builder", "title": "Lead"}


def test_one_event_tells_of_a_record_and_its_member(directory: Directory) -> None:
    """What of her changed, and every attribute that was written, in one place."""
    row = create(directory)
    before = Event.select().count()
    patch(directory, row, displayName="Bob", externalId="x-1")
    assert Event.select().count() == before + 1
    told = Event.select().order_by(Event.id.desc()).get().object
    assert (told["name"], set(told["before"])) == ("Bob", {"name"})
    assert told["record"]["after"] == {"displayName": "Bob", "externalId": "x-1"}


def test_what_nobody_stands_behind_is_told_under_its_own_id(directory: Directory) -> None:
    """A record of somebody whom another directory has taken over: its changes and its end."""
    row = create(directory)
    DirectoryUser.update(member=None).execute()
    patch(directory, row, title="Lead")
    with db.transaction():
        users.delete(directory, row.id)
    changed, gone = list(Event.select().order_by(Event.id.desc()).limit(2))[::-1]
    assert (changed.object_id, changed.object["record"]["after"]) == (row.id, {"title": "Lead"})
    assert (gone.object_id, gone.object["record"]["after"]) == (row.id, None)


def test_a_user_who_goes_leaves_each_of_her_groups_by_an_event(directory: Directory) -> None:
    """Whoever keeps the members of groups hears of it as of every other change."""
    row = create(directory)
    with db.transaction():
        crew = groups.create(directory, {"displayName": "Crew", "members": [{"value": row.id}]}).row
        other = groups.create(directory, {"displayName": "Other"}).row
    with db.transaction():
        users.delete(directory, row.id)
    told = [event for event in Event.select().order_by(Event.id) if event.type == "group_updated.v0"]
    assert [(event.object_id, event.object["removed"]) for event in told] == [(crew.id, [row.id])]
    assert other.id not in {event.object_id for event in told}


def test_no_event_of_a_record_holds_a_secret_or_a_book(directory: Directory) -> None:
    """As the request log keeps it; what is longer than anybody reads is left out."""
    row = create(directory)
    patch(directory, row, password="hunter2hunter2", profileUrl="https://x.test/" + "x" * 9_000)
    written = db.encode(Event.select().order_by(Event.id.desc()).get().object)
    assert "hunter2" not in written
    assert len(written) < 2_000
    assert "left out" in written


def test_no_change_is_no_version(directory: Directory, statements: Any) -> None:
    """A PATCH or PUT of what is there already writes nothing and leaves version and lastModified alone."""
    row = create(directory, title="Lead")
    with statements() as sent:
        same = patch(directory, row, title="Lead", active=True)
    assert (same.version, same.modified_at) == (1, row.modified_at)
    assert len(sent) == 1
    with db.transaction():
        put = users.replace(directory, row.id, {"userName": "ann@acme.test", "title": "Lead"}).row
    assert put.version == 1


def test_put_without_active_leaves_it(directory: Directory) -> None:
    """Silence about ``active`` must not let a suspended person in."""
    row = create(directory)
    patch(directory, row, active=False)
    with db.transaction():
        put = users.replace(directory, row.id, {"userName": "ann@acme.test", "title": "x"}).row
    assert put.resource == {"userName": "ann@acme.test", "title": "x", "active": False}
    assert not member_of(row).active


def test_rename_to_a_taken_name_is_refused_whole(directory: Directory) -> None:
    """409 and neither name nor title has changed."""
    create(directory, "ann@acme.test")
    row = create(directory, "bob@acme.test")
    with pytest.raises(Uniqueness, match=r"Ann@acme\.test"):
        patch(directory, row, userName="Ann@acme.test", title="x")
    assert users.RECORDS.get(directory, row.id).resource == row.resource


def test_address_of_another_member_is_refused(directory: Directory) -> None:
    """The sign-in of somebody for whom the directory does not speak must not become ambiguous."""
    row = create(directory)
    with pytest.raises(Uniqueness, match=r"owner@acme\.test"):
        patch(directory, row, emails=[{"value": "owner@acme.test"}])


def test_two_members_of_one_address_are_not_adopted(directory: Directory, acme: World) -> None:
    """An administrator must decide."""
    with db.transaction():
        for name in ("One", "Two"):
            member_lifecycle.create(acme.system, email="twin@acme.test", name=name, managed_by="local")
    with pytest.raises(errors.Conflict, match="2 members"):
        create(directory, "twin@acme.test")


def test_a_directory_may_give_one_address_to_several_records(directory: Directory) -> None:
    """``emails`` is not unique in SCIM: each record has a member of its own, also when one is renamed later."""
    first = create(directory)
    second = create(directory, "other", emails=[{"value": "ANN@acme.test"}])
    third = create(directory, "third")
    patch(directory, third, emails=[{"value": "ann@acme.test"}])
    assert len({first.member_id, second.member_id, third.member_id}) == 3
    assert {member_of(row).email_key for row in (first, second, third)} == {"ann@acme.test"}


def test_deleted_user_is_gone_and_her_name_free(directory: Directory) -> None:
    """After DELETE: 404 by id, in no list, in no group; the group is a new version; the member is out."""
    row = create(directory)
    with db.transaction():
        group = groups.create(directory, {"displayName": "Crew", "members": [{"value": row.id}]}).row
    delete(directory, row)
    for change in (lambda: users.RECORDS.get(directory, row.id), lambda: delete(directory, row)):
        with pytest.raises(NotFound, match=row.id):
            change()
    assert users.RECORDS.find(directory, None, Page()) == ([], 0)
    after = groups.RECORDS.get(directory, group.id)
    assert after.version == 2
    assert "members" not in rendered(groups.RECORDS, directory, [after])[0]
    assert (member_of(row).active, member_of(row).removed_at is None) == (False, False)
    assert event_types(str(row.member_id))[-1] == events.Type.USER_DEPROVISIONED


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"userName": "ann@acme.test"}, {"userName": "ANN@acme.test"}),
        ({"userName": "ann@acme.test", "externalId": "7"}, {"userName": "renamed@acme.test", "externalId": "7"}),
        ({"userName": "ann@acme.test", "externalId": "7"}, {"userName": "ann@acme.test"}),
        ({"userName": "ann@acme.test"}, {"userName": "ann@acme.test", "externalId": "7"}),
    ],
)
def test_leaver_comes_back_as_the_same_member(
    directory: Directory, acme: World, first: dict[str, Any], again: dict[str, Any]
) -> None:
    """A new SCIM id and the same member with her credentials; her groups do not come back by themselves."""
    with db.transaction():
        row = users.create(directory, first).row
        groups.create(directory, {"displayName": "Crew", "members": [{"value": row.id}]})
        credentials.issue(acme.system, credentials.AUTHTOKEN, member_of(row))
    delete(directory, row)
    with db.transaction():
        back = users.create(directory, again).row
    assert back.id != row.id
    assert back.member_id == row.member_id
    assert member_of(back).active
    assert member_of(back).email == again["userName"]
    assert member_roles.roles_of(directory.account, member_of(back)) == ("developer",)
    assert GroupMember.select().where(GroupMember.user == back.id).count() == 0


def test_two_external_ids_are_two_people(directory: Directory) -> None:
    """The userName of somebody who left is given to a new hire: neither her roles nor her keys are the new one's."""
    row = create(directory, "ann@acme.test", externalId="7")
    delete(directory, row)
    hired = create(directory, "ann@acme.test", externalId="8")
    assert hired.member_id != row.member_id
    assert member_of(row).removed_at is not None
    delete(directory, hired)
    assert create(directory, "ann@acme.test", externalId="7").member_id == row.member_id


@pytest.mark.parametrize(
    ("first", "again", "same"), [({}, {}, False), ({"externalId": "7"}, {}, False), ({"externalId": "7"}, None, True)]
)
def test_a_user_name_says_who_she_was_while_her_delete_can_be_undone(
    directory: Directory, first: dict[str, str], again: dict[str, str] | None, same: bool
) -> None:
    """Later it may be anybody's; an externalId is the same person's whenever it comes."""
    row = create(directory, "ann@acme.test", **first)
    delete(directory, row)
    long_ago = clock.now() - members.RESTORABLE
    with db.transaction():
        DirectoryUser.update(deleted_at=long_ago).execute()
        Member.update(removed_at=long_ago).where(Member.id == row.member_id).execute()
    back = create(directory, "ann@acme.test", **(first if again is None else again))
    assert (back.member_id == row.member_id) is same


@pytest.mark.parametrize("how", ["renamed", "sent again"])
def test_domains_bound_the_addresses_that_a_directory_gives(directory: Directory, how: str) -> None:
    """It gives nobody a mailbox outside of them, where they are set; the refusal says what to do."""
    row = create(directory, "ann@acme.test", externalId="7")
    IdentityProvider.update(domains=["acme.test"]).execute()
    directory.identity_provider.domains = ["acme.test"]
    if how == "sent again":
        delete(directory, row)
    outside = {"emails": [{"value": "mallory@evil.test"}]}
    rename: dict[str, Callable[[], Any]] = {
        "renamed": lambda: patch(directory, row, **outside),
        "sent again": lambda: create(directory, "ann@acme.test", externalId="7", **outside),
    }
    with pytest.raises(errors.Conflict, match=r"addresses of acme\.test, and mallory@evil\.test is none\. .* add the"):
        rename[how]()
    assert member_of(row).email == "ann@acme.test"
    if how == "renamed":
        for within in ("ann.lee@acme.test", "ann"):  # a userName that no mail goes to is of no domain
            patch(directory, row, emails=[{"value": within}])
            assert member_of(row).email == within


@pytest.mark.parametrize(
    ("change", "is_a_name"),
    [
        ({"title": "Engineer"}, False),
        ({"active": False}, False),
        ({"userName": "ann.lee@acme.test"}, True),
        ({"emails": [{"value": "ann.lee@acme.test"}]}, True),
        ({"emails": [{"value": "ANN@acme.test", "type": "work"}]}, False),
    ],
)
def test_only_a_name_that_is_given_is_younger_than_a_link(
    directory: Directory, change: dict[str, Any], is_a_name: bool
) -> None:
    """By when a record was given its names a sign-in tells whose they are (sign_in/identify.py); other changes of it
    make no question of what an administrator has decided."""
    row = create(directory)
    before = DirectoryUser.get_by_id(row.id).named_at
    with time_machine.travel(clock.now() + timedelta(minutes=1)):
        patch(directory, row, **change)
    after = DirectoryUser.get_by_id(row.id)
    assert after.modified_at > before
    assert (after.named_at > before) is is_a_name


def test_external_id_decides_between_two_leavers(directory: Directory) -> None:
    """externalId is the firmer name: it wins over a userName that somebody else had later."""
    first = create(directory, "ann@acme.test", externalId="7")
    delete(directory, first)
    other = create(directory, "other@acme.test", externalId="8")
    delete(directory, other)
    back = create(directory, "other@acme.test", externalId="7")
    assert back.member_id == first.member_id


def test_who_has_the_address_now_is_meant_before_a_leaver(directory: Directory, acme: World) -> None:
    """Somebody who left and was taken in by hand since is that new member: never two under one address."""
    left = create(directory)
    delete(directory, left)
    with db.transaction():
        by_hand = member_lifecycle.create(acme.system, email="ann@acme.test", managed_by="invite")
    assert create(directory).member_id == by_hand.id
    assert not member_of(left).active


def test_leaver_of_another_directory_does_not_come_back(directory: Directory, foreign: Directory) -> None:
    """What another directory deleted is none of ours."""
    row = create(directory)
    delete(directory, row)
    assert create(foreign).member_id != row.member_id


def test_leaver_comes_back_inactive(directory: Directory) -> None:
    """The directory may create her again without letting her in."""
    row = create(directory)
    delete(directory, row)
    assert not member_of(create(directory, active=False)).active


def test_existing_member_is_adopted(directory: Directory, acme: World) -> None:
    """A directory takes over who is a member already; roles by hand stay."""
    row = create(directory, "OWNER@acme.test", displayName="Olive")
    owner = member_of(row)
    assert owner.id == acme.owner.id
    assert (owner.managed_by, owner.name) == ("scim", "Olive")
    assert member_roles.roles_of(directory.account, owner) == ("admin",)


def test_an_adopted_members_claims_end(directory: Directory, acme: World) -> None:
    """Of the groups that it pushes her directory says who is in them; other claims stay until her next sign-in."""
    provider = directory.identity_provider
    with db.transaction():
        pushed = groups.create(directory, {"displayName": "Finance"}).row
        theirs = mappings.map_role(acme.system, provider, role="billing", group_id=pushed.id)
        waiting = mappings.map_role(acme.system, provider, role="viewer", group_display_name="Auditors")
    ann = cast.join(acme, "ann@acme.test", managed_by="jit", identity_provider=provider)
    with db.transaction():
        member_roles.set_claimed_roles(acme.system, ann, {theirs.id: "billing", waiting.id: "viewer"})
    assert member_of(create(directory)).id == ann.id
    assert member_roles.roles_of(acme.account, ann) == ("developer", "viewer")


def test_adopting_leaves_the_account_its_last_administrator(directory: Directory, acme: World) -> None:
    """409, where only a claim has made her one."""
    provider = directory.identity_provider
    with db.transaction():
        idps.change(acme.system, provider, may_grant_admin=True)
        pushed = groups.create(directory, {"displayName": "Admins"}).row
        theirs = mappings.map_role(acme.system, provider, role="admin", group_id=pushed.id)
    ann = cast.join(acme, "ann@acme.test", managed_by="jit", identity_provider=provider)
    with db.transaction():
        member_roles.set_claimed_roles(acme.system, ann, {theirs.id: "admin"})
        member_lifecycle.suspend(acme.system, acme.owner)
    with pytest.raises(errors.Conflict) as caught:
        create(directory)
    assert caught.value.code is errors.Code.LAST_ADMINISTRATOR
    assert cast.again(ann).managed_by == "jit"


# --- whom the account has invited -------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["nobody", "leaver"])
def test_whom_the_account_has_invited_her_directory_brings(directory: Directory, acme: World, before: str) -> None:
    """Her invitation is used up: its roles are hers, given by who invited, and the seat that it held, in a full account
    too. Its link opens nothing any more."""
    if before == "leaver":
        delete(directory, create(directory))
    with db.transaction():
        sent = invitations.create(acme.system, "ann@acme.test", role_names=["team_manager"])
    used = seats.count(acme.account).used
    Account.update(seats=used + 1).execute()
    directory.account.seats = acme.account.seats = used + 1
    member = member_of(create(directory))
    kept = {"leaver": ("developer", "team_manager"), "nobody": ("team_manager",)}
    assert member_roles.roles_of(acme.account, member) == kept[before]
    (given,) = [one for one in member_roles.role_sources(acme.account, [member])[member.id] if one.source == "hand"]
    assert (given.role, given.given_by) == ("team_manager", acme.system.subject)
    counted = seats.count(acme.account)
    assert (counted.used, counted.reserved) == (used + 1, 0)
    (accepted,) = cast.happened(acme, "invitation_accepted.v0")
    assert accepted.object["user_id"] == member.id
    with pytest.raises(errors.Gone):
        invitations.find(sent.token)


@pytest.mark.parametrize("why", ["domain", "sender"])
def test_an_invitation_that_a_directory_may_not_use_stays(directory: Directory, acme: World, why: str) -> None:
    """To an address that it may not speak for, and of somebody who may not invite any more."""
    manager = cast.join(acme, "m@acme.test", "team_manager")
    with db.transaction():
        invitations.create(cast.acting(acme, manager), "ann@acme.test", role_names=["viewer"])
    if why == "domain":
        directory.identity_provider.domains = ["elsewhere.test"]
    else:
        with db.transaction():
            member_lifecycle.suspend(acme.system, manager)
    assert member_roles.roles_of(acme.account, member_of(create(directory))) == ("developer",)
    assert invitations.pending(acme.account).count() == 1


def test_a_directory_that_no_administrator_has_confirmed_touches_none(directory: Directory, acme: World) -> None:
    """It neither adopts nor changes, deactivates or deletes one, nor uses an invitation to be one."""
    directory.identity_provider.trusted_with_administrators = False
    row = create(directory)
    with db.transaction():
        member_roles.set_roles(acme.system, member_of(row), ["admin"])
        invitations.create(acme.system, "chief@acme.test", role_names=["admin"])
    for attempt in (
        lambda: create(directory, "owner@acme.test"),
        lambda: patch(directory, row, active=False),
        lambda: patch(directory, row, userName="mallory@acme.test"),
        lambda: delete(directory, row),
    ):
        with pytest.raises(errors.Forbidden) as caught:
            attempt()
        assert caught.value.code is errors.Code.ADMINISTRATORS_ONLY
    assert member_roles.roles_of(acme.account, member_of(create(directory, "chief@acme.test"))) == ("developer",)
    directory.identity_provider.trusted_with_administrators = True
    assert member_of(create(directory, "owner@acme.test")).id == acme.owner.id
    patch(directory, row, active=False)


def test_adoption_needs_an_allowed_domain(directory: Directory) -> None:
    """Where the provider may speak for certain domains, it takes over nobody else's members."""
    directory.identity_provider.domains = ["elsewhere.test"]
    with pytest.raises(errors.Conflict, match="elsewhere"):
        create(directory, "owner@acme.test")
    directory.identity_provider.domains = ["acme.test"]
    assert create(directory, "owner@acme.test").id


def test_second_directory_does_not_take_over(directory: Directory, second: Directory) -> None:
    """Who belongs to one directory is not taken by another of the same account: 409."""
    row = create(directory)
    with pytest.raises(errors.Conflict, match="another directory"):
        create(second)
    assert member_of(row).identity_provider_id == directory.id


def test_last_administrator_can_be_neither_deactivated_nor_deleted(directory: Directory, acme: World) -> None:
    """409, and the record stays as it was."""
    row = create(directory, "owner@acme.test")
    with pytest.raises(errors.Conflict, match="administrator"):
        patch(directory, row, active=False)
    with pytest.raises(errors.Conflict, match="administrator"):
        delete(directory, row)
    assert users.RECORDS.get(directory, row.id).active
    assert member_of(row).active


def test_record_of_another_directory_is_not_found(directory: Directory, second: Directory, foreign: Directory) -> None:
    """404 for every id that is not this directory's, in the same account too."""
    row = create(directory)
    for other in (second, foreign):
        for change in (
            lambda d: users.RECORDS.get(d, row.id),
            lambda d: patch(d, row, active=False),
            lambda d: users.replace(d, row.id, {"userName": "x"}).row,
            lambda d: delete(d, row),
        ):
            with pytest.raises(NotFound):
                change(other)
    assert users.RECORDS.get(directory, row.id).version == 1


def test_stale_version_is_refused(directory: Directory) -> None:
    """If-Match on every change (RFC 7644 §3.14)."""
    row = create(directory)
    patch(directory, row, title="x")
    operations = parse_patch({"Operations": [{"op": "remove", "path": "title"}]}, USER_TYPE)
    for change in (
        lambda: users.patch(directory, row.id, operations, if_match='W/"1"').row,
        lambda: users.replace(directory, row.id, {"userName": "x"}, if_match='W/"1"').row,
        lambda: users.delete(directory, row.id, if_match='W/"1"'),
    ):
        with pytest.raises(PreconditionFailed), db.transaction():
            change()
    with db.transaction():
        assert users.patch(directory, row.id, operations, if_match='W/"2"').row.version == 3


def test_same_post_at_the_same_moment_makes_one_user(directory: Directory) -> None:
    """Whichever of eight identical requests comes second gets the 409, not a failure of the database."""
    answers: list[str] = []
    ready = threading.Barrier(8)

    def post() -> None:
        with db.connection():
            ready.wait()
            try:
                answers.append(create(directory).id)
            except Uniqueness:
                answers.append("taken")
        if not db.database.is_closed():
            db.database.close()

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[1:] == ["taken"] * 7
    assert Member.select().where(Member.email_key == "ann@acme.test").count() == 1


BUDGET = {"create": 10, "title": 3, "deactivate": 11, "activate": 6, "delete": 14}


def test_changes_keep_within_their_statements(directory: Directory, statements: Any) -> None:
    """How many statements each change may cost; more wants a reason."""
    create(directory, "warm@acme.test")
    counted = {}
    with statements() as sent:
        row = create(directory)
    counted["create"] = len(sent)
    for name, change in [
        ("title", lambda: patch(directory, row, title="x")),
        ("deactivate", lambda: patch(directory, row, active=False)),
        ("activate", lambda: patch(directory, row, active=True)),
        ("delete", lambda: delete(directory, row)),
    ]:
        with statements() as sent:
            change()
        counted[name] = len(sent)
    assert all(counted[name] <= allowed for name, allowed in BUDGET.items()), counted


# --- one person, one membership ---------------------------------------------------------------------------------


def _left_and_came_back(acme: World, directory: Directory) -> tuple[Member, Any]:
    """Ann, whom the directory pushed and deleted, who then has been invited under her own address; the invitation."""
    with db.transaction():
        person = people.create("ann@acme.test")
        member = member_lifecycle.create(acme.system, email="ann@acme.test", managed_by="local", person=person)
    delete(directory, create(directory, "ann@acme.test", externalId="00u1"))
    with db.transaction():
        return member, invitations.create(acme.system, "ann@acme.test").invitation


def _living(member: Member) -> list[Member]:
    return list(Member.select().where(Member.person == member.person_id, Member.removed_at.is_null()))


def test_who_joined_again_elsewhere_is_not_revived_under_another_address(acme: World, directory: Directory) -> None:
    """409 that says as whom she is here and what to do; sent with that address she is adopted."""
    left, invitation = _left_and_came_back(acme, directory)
    with db.transaction():
        here = invitations.accept(acme.system, invitation, left.person)
    with pytest.raises(errors.Conflict, match=r"again already, as ann@acme\.test") as caught:
        create(directory, "annette@acme.test", externalId="00u1")
    assert caught.value.code is errors.Code.ALREADY_MEMBER
    assert [member.id for member in _living(left)] == [here.id]
    assert not DirectoryUser.select().where(DirectoryUser.deleted_at.is_null()).exists()
    row = create(directory, "annette@acme.test", externalId="00u1", emails=[{"value": "ann@acme.test"}])
    assert row.member_id == here.id


def test_of_coming_back_both_ways_at_once_one_is_first(acme: World, directory: Directory) -> None:
    """She accepts while her directory sends her again under another address: never two memberships of one person."""
    left, invitation = _left_and_came_back(acme, directory)

    # repeated: on PostgreSQL the two may wait for each other in a circle, and one is begun anew
    def accept() -> Member:
        return db.repeated(lambda: invitations.accept(acme.system, invitation, left.person))

    def push() -> DirectoryUser:
        resource = {"userName": "annette@acme.test", "externalId": "00u1"}
        return db.repeated(lambda: users.create(directory, resource).row)

    answers = cast.at_once(accept, push, transaction=nullcontext)
    refused = [answer for answer in answers if isinstance(answer, errors.Conflict)]
    assert [refusal.code for refusal in refused] == [errors.Code.ALREADY_MEMBER]
    assert len(_living(left)) == 1


# --- names that her sign-in knows ---------------------------------------------------------------------------------


def test_what_a_record_says_nothing_of_stays_as_it_is_known(directory: Directory, acme: World) -> None:
    """Taken over, and changed in something else: names that her provider's assertions have said are not wiped. What it
    says from now on stands above them, and what it says no longer is gone."""
    ann = cast.join(acme, "ann@acme.test", name="Ann Lee", first_name="Ann", last_name="Lee")
    row = create(directory)

    def known() -> list[str]:
        return [getattr(cast.again(ann), name) for name in ("name", "first_name", "last_name")]

    assert (row.member_id, known()) == (ann.id, ["Ann Lee", "Ann", "Lee"])
    row = patch(directory, row, active=False)
    assert known() == ["Ann Lee", "Ann", "Lee"]
    row = patch(directory, row, name={"givenName": "Anna"}, displayName="Anna L.")
    assert known() == ["Anna L.", "Anna", "Lee"]
    patch(directory, row, name={"givenName": "", "familyName": "Li"})
    assert known() == ["Anna L.", "", "Li"]
