"""A database from before lookups were rows is brought to what the product would have written."""

from typing import Any

from idp_bridge import db
from idp_bridge.models import DirectoryEmail, DirectorySpan, DirectoryUser
from idp_bridge.provisioning import users
from idp_bridge.provisioning.directory import Directory
from tests.provisioning import crowd

ADDRESSES: list[list[dict[str, Any]]] = [
    [],
    [{"value": "u1"}],
    [{"value": "Work@x.test", "type": "work"}, {"value": "work@X.test", "type": "home"}, {"type": "other"}],
    [{"value": "\u212a@x.test"}, {"value": "x" * 1000}],
    [{"value": "gone@x.test"}],
]


def _emails() -> list[tuple[Any, ...]]:
    fields = (DirectoryEmail.identity_provider, DirectoryEmail.value_key, DirectoryEmail.user)
    return sorted(DirectoryEmail.select(*fields).tuples())


def _spans() -> list[tuple[Any, ...]]:
    fields = (DirectorySpan.first_id, DirectorySpan.next_id, DirectorySpan.number)
    return list(DirectorySpan.select(*fields).order_by(DirectorySpan.first_id).tuples())


def test_addresses_and_spans_are_filled_from_the_records(directory: Directory) -> None:
    """Down to the first schema and up again: the same addresses, and spans that hold everybody who is live."""
    crowd.fill(directory, 2 * crowd.SPAN)
    with db.transaction():
        rows = [users.create(directory, {"userName": f"u{n}", "emails": e}).row for n, e in enumerate(ADDRESSES)]
        users.delete(directory, rows[-1].id)
    emails, last = _emails(), _spans()[-1]
    runner = db.runner()
    while len(runner.applied()) > 1:
        runner.down()
    assert set(db.database.get_tables()) & {"directory_email", "directory_span"} == set()
    db.migrate()
    assert _emails() == emails
    live = DirectoryUser.select().where(DirectoryUser.deleted_at.is_null()).count()
    assert [number for *_, number in _spans()] == [crowd.SPAN, crowd.SPAN, live - 2 * crowd.SPAN]
    assert _spans()[0][0] == ""
    assert [after for _, after, _ in _spans()] == [*[first for first, *_ in _spans()[1:]], None]
    assert last[2] == live - crowd.SPAN
