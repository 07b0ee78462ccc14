"""A directory with many users, written into the tables at once, as the product would have written them one by one."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from peewee import chunked

from idp_bridge import clock, db, ids
from idp_bridge.models import DirectoryEmail, DirectoryGroup, DirectorySpan, DirectoryUser, GroupMember
from idp_bridge.provisioning.directory import Directory

SPAN = 500
GROUP = 2


def fill(directory: Directory, number: int, *, analyzed: bool = True) -> list[str]:
    """Users ``u0`` and so on with three addresses, each in one group of two; one modified a second after the other.
    The ids of the users. ``analyzed``: PostgreSQL has statistics, as it has some minutes after a first import."""
    users = [ids.new("du") for _ in range(number)]
    with db.transaction():
        insert(DirectoryUser, (_user(directory, n, id) for n, id in enumerate(users)))
        emails = ((n, id, key) for n, id in enumerate(users) for key in (f"work{n}@x.test", f"home{n}@x.test"))
        of_directory = {"identity_provider": directory.id}
        insert(DirectoryEmail, ({**of_directory, "value_key": key, "user": id} for _, id, key in emails))
        insert(DirectorySpan, ({**of_directory, **span} for span in _spans(users)))
        groups = [ids.new("grp") for _ in range(0, number, GROUP)]
        insert(DirectoryGroup, (_group(directory, n, id) for n, id in enumerate(groups)))
        insert(GroupMember, ({"group": groups[n // GROUP], "user": id} for n, id in enumerate(users)))
    if db.database.for_update and analyzed:
        db.database.execute_sql("ANALYZE")
    return users


def insert(model: Any, rows: Iterator[dict[str, Any]]) -> None:
    for batch in chunked(rows, 500):
        model.insert_many(batch).execute()


def _times(n: int) -> dict[str, Any]:
    moment = clock.now() - timedelta(days=30) + timedelta(seconds=n)
    return {"version": 1, "created_at": moment, "modified_at": moment}


def _user(directory: Directory, n: int, id: str) -> dict[str, Any]:
    name = f"u{n}@x.test"
    emails = [
        {"value": name, "type": "other"},
        {"value": f"Work{n}@x.test", "type": "work", "primary": True},
        {"value": f"home{n}@x.test", "type": "home"},
    ]
    resource = {"userName": name, "externalId": f"e{n}", "active": True, "displayName": f"User {n}", "emails": emails}
    return {
        "id": id,
        "identity_provider": directory.id,
        "user_name": name,
        "user_name_key": name,
        "external_id": f"e{n}",
        "active": True,
        "resource": resource,
        **_times(n),
    }


def _group(directory: Directory, n: int, id: str) -> dict[str, Any]:
    return {
        "id": id,
        "identity_provider": directory.id,
        "display_name": f"g{n}",
        "display_name_key": f"g{n}",
        "external_id": f"e{n}",
        "resource": {"displayName": f"g{n}", "externalId": f"e{n}"},
        **_times(n),
    }


def _spans(users: list[str]) -> Iterator[dict[str, Any]]:
    for begin in range(0, len(users), SPAN):
        end = begin + SPAN
        yield {
            "first_id": users[begin] if begin else "",
            "next_id": users[end] if end < len(users) else None,
            "number": len(users[begin:end]),
        }
