"""Spans of a directory: whatever happens, in whatever order, they say how many users it has and where a page is."""

import random
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from idp_bridge import clock, db, ids, member_lifecycle, spans
from idp_bridge.errors import Conflict, Invalid
from idp_bridge.models import DirectorySpan, DirectoryUser, IdentityProvider, Member
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from scim.paging import Page
from tests.domain import cast
from tests.provisioning import crowd


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are split as soon as they hold more than four."""
    monkeypatch.setattr(spans, "LARGEST", 4)


def live(directory: Directory) -> list[str]:
    """The ids of the directory's users, counted one by one."""
    found = DirectoryUser.select(DirectoryUser.id).where(users.RECORDS.live(directory.id))
    return db.column(found.order_by(DirectoryUser.id))


def rows(directory: Directory) -> list[DirectorySpan]:
    """The directory's spans, in order."""
    of_directory = DirectorySpan.identity_provider == directory.id
    return list(DirectorySpan.select().where(of_directory).order_by(DirectorySpan.first_id))


def check(directory: Directory) -> None:
    """Each span holds what it says, they follow each other without a gap, and every page is its slice of the whole."""
    everybody, cut = live(directory), rows(directory)
    assert [span.first_id for span in cut][:1] in ([], [""])
    for span, after in zip(cut, [*cut[1:], None], strict=True):
        assert span.next_id == (after.first_id if after else None)
        inside = [id for id in everybody if span.first_id <= id and (span.next_id is None or id < span.next_id)]
        assert span.number == len(inside) <= spans.LARGEST
    for count in (0, 1, 3, 100):
        for start in range(1, len(everybody) + 3):
            found, total = users.RECORDS.find(directory, None, Page(start, count))
            assert total == len(everybody)
            assert [row.id for row in found] == everybody[start - 1 : start - 1 + count], (start, count)


def create(directory: Directory, name: str, **attributes: Any) -> DirectoryUser:
    """A POST within a transaction."""
    row: DirectoryUser = users.create(directory, {"userName": name, **attributes}).row
    return row


def restore(directory: Directory, row: DirectoryUser) -> None:
    """An administrator undoes the DELETE."""
    member_lifecycle.restore(directory.actor, Member.get_by_id(row.member_id))


def test_numbers_are_exact_through_creates_deletes_and_restores(directory: Directory, second: Directory) -> None:
    """A hundred changes at random, some of them undone, in one directory; the one beside it is not touched."""
    dice = random.Random(1000)
    with db.transaction():
        create(second, "theirs")
    there: list[DirectoryUser] = []
    gone: list[DirectoryUser] = []
    for n in range(100):
        with db.transaction():
            match dice.choice(("create", "create", "delete", "restore", "fail")):
                case "delete" if there:
                    gone.append(there.pop(dice.randrange(len(there))))
                    users.delete(directory, gone[-1].id)
                case "restore" if gone:
                    there.append(gone.pop(dice.randrange(len(gone))))
                    restore(directory, there[-1])
                case "fail":
                    with suppress(Invalid), db.savepoint():
                        create(directory, f"u{n}")
                        raise Invalid("undone")
                case _:
                    there.append(create(directory, f"u{n}", active=dice.random() < 0.7))
        if n % 10 == 9:
            check(directory)
    assert len(rows(directory)) > 5
    assert len(live(directory)) == len(there) > 10
    check(second)


def test_who_comes_back_by_post_is_counted_once(directory: Directory) -> None:
    """Her old record stays deleted; the new one is live."""
    with db.transaction():
        users.delete(directory, create(directory, "ann", externalId="1").id)
        create(directory, "ann", externalId="1")
    check(directory)
    assert len(live(directory)) == 1


def test_a_second_restore_is_not_counted(directory: Directory) -> None:
    """Two administrators who undo the same DELETE bring back one user."""
    with db.transaction():
        row = create(directory, "ann")
        users.delete(directory, row.id)
    before = Member.get_by_id(row.member_id)
    with db.transaction():
        member_lifecycle.restore(directory.actor, before)
    with pytest.raises(Conflict), db.transaction():
        member_lifecycle.restore(directory.actor, before)
    check(directory)
    cast.at_once(*[lambda: users.delete(directory, row.id)] * 4)
    cast.at_once(*[lambda: restore(directory, row)] * 4)
    check(directory)


def added(directory: Directory, id: str) -> None:
    """A live row and its count, with an id of our choice."""
    now = clock.now()
    named = {"identity_provider": directory.id, "user_name": id, "user_name_key": id, "resource": {"userName": id}}
    DirectoryUser.create(id=id, **named, created_at=now, modified_at=now)
    spans.add(directory.id, id)


def shuffled(number: int) -> list[str]:
    """Ids in no order."""
    found = [ids.new("du") for _ in range(number)]
    random.Random(500).shuffle(found)
    return found


def test_ids_may_come_in_any_order(directory: Directory) -> None:
    """Clocks of several processes differ; a user belongs where her id sorts."""
    for id in shuffled(60):
        with db.transaction():
            added(directory, id)
    check(directory)
    assert len(rows(directory)) > 60 // spans.LARGEST


def test_spans_stay_exact_when_many_come_and_go_at_once(directory: Directory) -> None:
    """While one splits a span, others wait for it with users of either half, new ones and leaving ones."""
    everybody = shuffled(96)
    leaving, coming = everybody[:32], everybody[32:]
    for id in leaving:
        with db.transaction():
            added(directory, id)

    def work(place: int) -> None:
        for id in coming[place::8]:
            with db.transaction():
                added(directory, id)
        for id in leaving[place::8]:
            with db.transaction():
                DirectoryUser.update(deleted_at=clock.now()).where(DirectoryUser.id == id).execute()
                spans.subtract(directory.id, id)

    works = [lambda place=place: work(place) for place in range(8)]
    assert cast.at_once(*works, transaction=nullcontext) == [None] * 8
    check(directory)
    assert len(live(directory)) == 64


def test_posts_and_deletes_at_once_lock_nobody_out(directory: Directory) -> None:
    """Spans are touched last, so that no two requests wait for each other in a circle: active users, who take the
    account's row, inactive ones, who do not, and members of a group that changes meanwhile."""
    with db.transaction():
        old = [create(directory, f"old{n}") for n in range(8)]
        crew = groups.create(directory, {"displayName": "Crew", "members": [{"value": row.id} for row in old]}).row

    def work(place: int) -> None:
        mine = Directory(**{**vars(directory), "identity_provider": IdentityProvider.get_by_id(directory.id)})
        for n in range(4):
            with db.transaction():
                create(mine, f"new{place}-{n}", active=n % 2 == 0)
        with db.transaction():
            users.delete(mine, old[place].id)

    works = [lambda place=place: work(place) for place in range(8)]
    assert cast.at_once(*works, transaction=nullcontext) == [None] * 8
    check(directory)
    assert len(live(directory)) == 32
    assert groups.RECORDS.get(directory, crew.id).version > 1


def test_requests_of_many_operations_lock_nobody_out(directory: Directory) -> None:
    """A bulk request makes users, with and without the account's row, in one transaction, and lets some of them go."""

    def work(place: int) -> None:
        mine = Directory(**{**vars(directory), "identity_provider": IdentityProvider.get_by_id(directory.id)})
        for n in range(3):
            with db.transaction():
                made = [create(mine, f"u{place}-{n}-{m}", active=bool(m % 2)) for m in range(10)]
                users.delete(mine, made[0].id)

    works = [lambda place=place: work(place) for place in range(6)]
    assert cast.at_once(*works, transaction=nullcontext) == [None] * 6
    check(directory)
    assert len(live(directory)) == 6 * 3 * 9


def test_a_directory_that_goes_takes_its_spans_along(directory: Directory) -> None:
    """Spans hang on their provider, as its users do."""
    with db.transaction():
        create(directory, "ann")
    IdentityProvider.delete().where(IdentityProvider.id == directory.id).execute()
    assert rows(directory) == []


def test_a_crowd_is_what_the_product_would_have_written(directory: Directory) -> None:
    """The tests of plans and figures rest on it."""
    spans.LARGEST = crowd.SPAN
    crowd.fill(directory, 3 * crowd.SPAN // 2)
    assert [(span.number, span.next_id is None) for span in rows(directory)] == [(500, False), (250, True)]
    with db.transaction():
        create(directory, "ann")
    found, total = users.RECORDS.find(directory, None, Page(crowd.SPAN + 1, 1000))
    assert [row.id for row in found] == live(directory)[crowd.SPAN :]
    assert total == 751
