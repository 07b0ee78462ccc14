"""Groups of a directory: members as differences, roles that follow from them, and nothing lost between two writers."""

import contextlib
import threading
from typing import Any

import pytest

from idp_bridge import db, errors, events, groups, member_lifecycle, member_roles
from idp_bridge.models import DirectoryGroup, DirectoryUser, Event, GroupMember, IdentityProvider, Member, RoleMapping
from idp_bridge.provisioning import groups as scim_groups
from idp_bridge.provisioning import users
from idp_bridge.provisioning.directory import Directory
from scim.errors import InvalidValue, NotFound, PreconditionFailed, Uniqueness
from scim.patch import parse_patch
from scim.schemas import GROUP_TYPE
from tests.conftest import World
from tests.provisioning.conftest import rendered

RECORDS = scim_groups.RECORDS


@pytest.fixture
def people(directory: Directory) -> list[str]:
    """The ids of three users."""
    with db.transaction():
        return [users.create(directory, {"userName": f"{name}@acme.test"}).row.id for name in ("ann", "bob", "cy")]


def create(directory: Directory, name: str = "Crew", *ids: str, **attributes: Any) -> DirectoryGroup:
    """A POST in a transaction of its own."""
    with db.transaction():
        listed = [{"value": id} for id in ids]
        return scim_groups.create(directory, {"displayName": name, "members": listed, **attributes}).row


def patch(directory: Directory, group: DirectoryGroup, *operations: dict[str, Any]) -> DirectoryGroup:
    """A PATCH with these operations."""
    parsed = parse_patch({"Operations": list(operations)}, GROUP_TYPE)
    with db.transaction():
        return scim_groups.patch(directory, group.id, parsed).row


def op(verb: str, *ids: str) -> dict[str, Any]:
    """An operation on members."""
    return {"op": verb, "path": "members", "value": [{"value": id} for id in ids]}


def shown(directory: Directory, group: DirectoryGroup) -> list[dict[str, Any]]:
    """The members as a GET shows them."""
    row = RECORDS.get(directory, group.id)
    listed: list[dict[str, Any]] = rendered(RECORDS, directory, [row])[0].get("members", [])
    return listed


def ids(directory: Directory, group: DirectoryGroup) -> list[str]:
    """Their ids, in order."""
    return [member["value"] for member in shown(directory, group)]


CHANGES = [
    ("add one", [("add", "c")], "abc", 2),
    ("add one who is in", [("add", "a")], "ab", 1),
    ("remove one", [("remove", "a")], "b", 2),
    ("remove one who is not in", [("remove", "c")], "ab", 1),
    ("replace", [("replace", "cb")], "bc", 2),
    ("replace by the same", [("replace", "ba")], "ab", 1),
    ("replace by nobody", [("replace", "")], "", 2),
    ("add and remove the same", [("add", "c"), ("remove", "c")], "ab", 1),
    ("remove and add the same", [("remove", "a"), ("add", "a")], "ab", 1),
    ("several at once", [("remove", "a"), ("add", "c"), ("add", "a")], "abc", 2),
]


@pytest.mark.parametrize(("operations", "after", "version"), [row[1:] for row in CHANGES], ids=[r[0] for r in CHANGES])
def test_member_operations(
    directory: Directory, people: list[str], operations: list[tuple[str, str]], after: str, version: int
) -> None:
    """Adding who is there and removing who is not are successes without a change (RFC 7644 §3.5.2.1, §3.5.2.2)."""
    of = dict(zip("abc", people, strict=True))
    group = create(directory, "Crew", of["a"], of["b"])
    changed = patch(directory, group, *[op(verb, *[of[letter] for letter in who]) for verb, who in operations])
    assert sorted(ids(directory, group)) == sorted(of[letter] for letter in after)
    assert changed.version == version
    assert (changed.modified_at == group.modified_at) is (version == 1)


def test_members_are_answered_as_sent(directory: Directory, people: list[str]) -> None:
    """In the order pushed, nothing filled in: providers compare for equality."""
    sent = [{"value": people[1], "display": "Bob", "type": "User"}, {"value": people[0]}]
    with db.transaction():
        group = scim_groups.create(directory, {"displayName": "Crew", "members": sent}).row
    assert shown(directory, group) == sent


def test_unknown_member_undoes_the_whole_patch(directory: Directory, second: Directory, people: list[str]) -> None:
    """400 naming the id, also for a user of another directory and for one who was deleted."""
    with db.transaction():
        stranger = users.create(second, {"userName": "zoe@acme.test"}).row.id
        users.delete(directory, people[2])
    group = create(directory, "Crew", people[0])
    for unknown in ("no-such-id", stranger, people[2]):
        with pytest.raises(InvalidValue, match=unknown):
            patch(directory, group, {"op": "replace", "path": "displayName", "value": "New"}, op("add", unknown))
        with pytest.raises(InvalidValue, match=unknown):
            create(directory, "Other", people[0], unknown)
    assert (ids(directory, group), RECORDS.get(directory, group.id).display_name) == ([people[0]], "Crew")
    assert DirectoryGroup.select().count() == 1


def test_names_are_unique_in_the_directory(directory: Directory, second: Directory) -> None:
    """Without regard to case, for POST and rename; a change of case of its own name is fine."""
    group = create(directory, "Crew")
    deck = create(directory, "Deck")
    assert create(second, "Crew").id
    with pytest.raises(Uniqueness):
        create(directory, "CREW")
    with pytest.raises(Uniqueness):
        patch(directory, deck, {"op": "replace", "value": {"displayName": "cREW"}})
    assert patch(directory, group, {"op": "replace", "value": {"displayName": "CREW"}}).display_name == "CREW"


def test_put_replaces_members_and_attributes(directory: Directory, people: list[str]) -> None:
    """Okta's wizard apps send the whole group each time; the same again is no change."""
    group = create(directory, "Crew", people[0], externalId="e")
    resource = {"displayName": "Crew", "members": [{"value": people[1]}]}
    for _ in range(2):
        with db.transaction():
            row = scim_groups.replace(directory, group.id, resource).row
        assert (ids(directory, group), row.external_id, row.version) == ([people[1]], None, 2)
    with db.transaction():
        scim_groups.replace(directory, group.id, {"displayName": "Crew"})
    assert ids(directory, group) == []


def test_group_of_another_directory_is_not_found(
    directory: Directory, second: Directory, foreign: Directory, people: list[str]
) -> None:
    """404 for every id that is not this directory's."""
    group = create(directory, "Crew", people[0])
    for other in (second, foreign):
        for change in (
            lambda d: RECORDS.get(d, group.id),
            lambda d: patch(d, group, op("remove", people[0])),
            lambda d: scim_groups.replace(d, group.id, {"displayName": "x"}),
            lambda d: scim_groups.delete(d, group.id),
        ):
            with pytest.raises(NotFound):
                change(other)
    assert ids(directory, group) == [people[0]]


def test_stale_version_is_refused(directory: Directory, people: list[str]) -> None:
    """Membership is part of the version: If-Match of the time before is 412."""
    group = create(directory)
    patch(directory, group, op("add", people[0]))
    with pytest.raises(PreconditionFailed), db.transaction():
        scim_groups.delete(directory, group.id, if_match='W/"1"')


def test_deleted_group_is_gone_with_its_memberships(directory: Directory, people: list[str]) -> None:
    """DELETE is real, and users show the group no more."""
    group = create(directory, "Crew", people[0])
    (user,) = rendered(users.RECORDS, directory, [users.RECORDS.get(directory, people[0])])
    assert user["groups"] == [
        {
            "value": group.id,
            "$ref": f"http://localhost/scim/v2/Groups/{group.id}",
            "display": "Crew",
            "type": "direct",
        }
    ]
    with db.transaction():
        scim_groups.delete(directory, group.id)
    (user,) = rendered(users.RECORDS, directory, [users.RECORDS.get(directory, people[0])])
    assert "groups" not in user
    assert GroupMember.select().count() == 0
    assert create(directory, "Crew").id != group.id


def test_events_tell_who_came_and_went(directory: Directory, people: list[str]) -> None:
    """Ids up to a hundred, always the number."""
    group = create(directory, "Crew", people[0])
    patch(directory, group, op("remove", people[0]), op("add", people[1], people[2]))
    patch(directory, group, op("add", people[1]))
    with db.transaction():
        scim_groups.delete(directory, group.id)
    told = list(Event.select().where(Event.object_id == group.id).order_by(Event.id))
    assert [e.type for e in told] == [
        events.Type.GROUP_CREATED, events.Type.GROUP_UPDATED, events.Type.GROUP_DELETED
    ]  # fmt: skip
    assert (told[1].object["added"], told[1].object["removed"]) == (people[1:], [people[0]])
    assert (told[1].object["added_count"], told[1].object["removed_count"]) == (2, 1)


# --- roles ------------------------------------------------------------------------------------------------------


def test_events_tell_what_of_a_group_changed(directory: Directory, people: list[str]) -> None:
    """Its attributes before and after; and at its end who was in it."""
    row = create(directory, "Crew", *people[:2], externalId="g-1")
    patch(directory, row, {"op": "replace", "value": {"externalId": "g-2"}})
    told = Event.select().order_by(Event.id.desc()).get().object
    assert (told["external_id"], told["before"]) == ("g-2", {"external_id": "g-1"})
    with db.transaction():
        scim_groups.delete(directory, row.id)
    gone = Event.select().where(Event.type == "group_deleted.v0").get().object
    assert (gone["removed"], gone["removed_count"]) == (sorted(people[:2]), 2)


def test_events_tell_which_mapping_a_group_took_and_left(directory: Directory, acme: World) -> None:
    """One that waits, one that is renamed with its group, one that waits again."""
    with db.transaction():
        groups.map_role(acme.system, directory.identity_provider, role="viewer", group_display_name="Crew")
    row = create(directory, "Crew")
    patch(directory, row, {"op": "replace", "path": "displayName", "value": "Team"})
    with db.transaction():
        scim_groups.delete(directory, row.id)
    told = [event.object for event in Event.select().where(Event.type == "role_mapping_updated.v0").order_by(Event.id)]
    assert [one["before"] for one in told] == [
        {"group_id": None},
        {"group_display_name": "Crew"},
        {"group_id": row.id},
    ]
    assert [one["group_id"] for one in told] == [row.id, row.id, None]


def roles_of(directory: Directory, user_id: str) -> tuple[str, ...]:
    """The roles of the member behind a user."""
    member = Member.get_by_id(users.RECORDS.get(directory, user_id).member_id)
    return member_roles.roles_of(directory.account, member)


def test_role_comes_and_goes_with_the_membership(directory: Directory, acme: World, people: list[str]) -> None:
    """A mapping made before the group was pushed takes hold of it; a removed member loses the role at once."""
    with db.transaction():
        groups.map_role(acme.system, directory.identity_provider, role="billing", group_display_name="crew")
    group = create(directory, "Crew", people[0])
    assert roles_of(directory, people[0]) == ("billing", "developer")
    patch(directory, group, {"op": "replace", "path": "displayName", "value": "Renamed"})
    assert roles_of(directory, people[0]) == ("billing", "developer")
    patch(directory, group, op("remove", people[0]))
    assert roles_of(directory, people[0]) == ("developer",)


def test_renamed_group_meets_the_mapping_that_waits(directory: Directory, acme: World, people: list[str]) -> None:
    """A mapping waits for a name, whether the group is pushed under it or gets it later."""
    group = create(directory, "Old", people[0])
    with db.transaction():
        groups.map_role(acme.system, directory.identity_provider, role="billing", group_display_name="New")
    patch(directory, group, {"op": "replace", "value": {"id": group.id, "displayName": "New"}})
    assert RoleMapping.get().group_id == group.id
    assert roles_of(directory, people[0]) == ("billing", "developer")


def test_group_cannot_take_the_last_administrator(directory: Directory, acme: World, people: list[str]) -> None:
    """Where a group makes administrators, emptying, deleting, or deleting the user in it leaves one: 409."""
    IdentityProvider.update(may_grant_admin=True).where(IdentityProvider.id == directory.id).execute()
    group = create(directory, "Admins", people[0])
    with db.transaction():
        groups.map_role(acme.system, directory.identity_provider, role="admin", group_id=group.id)
        member_lifecycle.suspend(acme.system, acme.owner)
    for operation in (op("remove", people[0]), {"op": "remove", "path": "members"}):
        with pytest.raises(errors.Conflict, match="administrator"):
            patch(directory, group, operation)
    with pytest.raises(errors.Conflict, match="administrator"), db.transaction():
        scim_groups.delete(directory, group.id)
    with pytest.raises(errors.Conflict, match="administrator"), db.transaction():
        users.delete(directory, people[0])
    assert ids(directory, group) == [people[0]]
    patch(directory, group, op("remove", people[0]), op("add", people[1]))
    assert roles_of(directory, people[1]) == ("admin", "developer")


LARGE = 4_500


# --- many -------------------------------------------------------------------------------------------------------


def test_large_group_is_changed_without_being_read(directory: Directory, statements: Any) -> None:
    """However many members: five statements for one more, one less, and the members themselves are not selected."""
    member_ids = _many(directory, LARGE)
    with statements() as sent:
        group = create(directory, "All", *member_ids[:-1])
    assert len(sent) <= 8, sent
    assert len(ids(directory, group)) == LARGE - 1
    for operation, allowed in ((op("add", member_ids[-1]), 6), (op("remove", member_ids[0]), 6)):
        with statements() as sent:
            patch(directory, group, operation)
        reads = [sql for sql in sent if sql.startswith("SELECT") and '"group_member"' in sql]
        assert len(sent) <= allowed, sent
        assert all("IN (" in sql or "ANY(" in sql for sql in reads), reads
    with statements() as sent:
        rendered(RECORDS, directory, [RECORDS.get(directory, group.id)], excluded=("members",))
    assert len(sent) == 1
    patch(directory, group, op("replace", *member_ids[:2]))
    assert ids(directory, group) == [member_ids[1], member_ids[0]]


def _many(directory: Directory, number: int) -> list[str]:
    """Records without members behind them, made quickly."""
    row = create_user(directory)
    made = [f"du_{n:026d}" for n in range(number)]
    with db.transaction():
        for start in range(0, number, 1000):
            rows = [
                {
                    "id": id,
                    "identity_provider": directory.id,
                    "user_name": id,
                    "user_name_key": id,
                    "resource": {"userName": id},
                    "created_at": row.created_at,
                    "modified_at": row.modified_at,
                }
                for id in made[start : start + 1000]
            ]
            DirectoryUser.insert_many(rows).execute()
    return made


def create_user(directory: Directory) -> DirectoryUser:
    """One ordinary user."""
    with db.transaction():
        return users.create(directory, {"userName": "ann@acme.test"}).row


def test_eight_writers_lose_no_member(directory: Directory) -> None:
    """Eight connections add different members to one group at the same time: every one of them is in it."""
    with db.transaction():
        made = [users.create(directory, {"userName": f"u{n}@acme.test"}).row.id for n in range(40)]
    group = create(directory)
    ready = threading.Barrier(8)
    failures: list[Exception] = []

    def add(mine: list[str]) -> None:
        ready.wait()
        try:
            for user_id in mine:
                with db.connection():
                    patch(directory, group, op("add", user_id))
        except Exception as error:
            failures.append(error)
        finally:
            if not db.database.is_closed():
                db.database.close()

    threads = [threading.Thread(target=add, args=(made[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(ids(directory, group)) == sorted(made)
    assert RECORDS.get(directory, group.id).version == 41


def test_deletion_of_a_user_and_her_addition_leave_no_ghost(directory: Directory) -> None:
    """Whoever comes first: a deleted user is never left in a group."""
    group = create(directory)
    for round_ in range(10):
        with db.transaction():
            user_id = users.create(directory, {"userName": f"u{round_}@acme.test"}).row.id
        ready = threading.Barrier(2)

        def run(change: Any, ready: threading.Barrier = ready) -> None:
            with db.connection():
                ready.wait()
                with contextlib.suppress(InvalidValue):
                    change()
            if not db.database.is_closed():
                db.database.close()

        def remove(user_id: str = user_id) -> None:
            with db.transaction():
                users.delete(directory, user_id)

        adding = threading.Thread(target=run, args=(lambda u=user_id: patch(directory, group, op("add", u)),))
        deleting = threading.Thread(target=run, args=(remove,))
        adding.start()
        deleting.start()
        adding.join()
        deleting.join()
    assert ids(directory, group) == []
