"""Spans: the live users of each directory, in the order of their ids, are cut into spans of at most ``LARGEST``, and a
row for each says how many it holds. So the total of a directory is a sum of few numbers, and the start of a page is
found by walking over them, at any size.

A user is in the span with the greatest ``first_id`` that is not above her id; only a split changes which one that is.
Whoever makes a user live, or ends that, says so here in the same transaction, once for each row that really changed.
That makes the numbers exact at every commit.

Locks: the counting waits for the end of the transaction (``db.at_end``), when all other rows have been touched, and
goes in the order of the ids. So two that want the same spans come one after the other, and no circle can close.
"""

from dataclasses import dataclass
from typing import Any

from peewee import fn

from idp_bridge.db import at_end
from idp_bridge.models import DirectorySpan, DirectoryUser
from idp_bridge.statement import Statement, parameter

#: A span that grows beyond this is split into halves.
LARGEST = 1000


@dataclass(frozen=True)
class Place:
    """A position among a directory's users: ``skip`` users on from the first one whose id is not below ``first_id``.
    ``total`` is how many users there are."""

    first_id: str
    skip: int
    total: int


def add(directory: str, user_id: str) -> None:
    """A user has become live."""
    at_end(_count, (directory, user_id, 1))


def subtract(directory: str, user_id: str) -> None:
    """A user is no longer live."""
    at_end(_count, (directory, user_id, -1))


def find(directory: str, offset: int) -> Place:
    """The place of the user who has that many before her; past all users where there are not that many."""
    spans = _SPANS.rows(directory=directory)
    total = sum([number for _, number in spans])
    skip = offset
    for first_id, number in spans:
        if skip < number:
            return Place(first_id, skip, total)
        skip -= number
    return Place("", offset, total)


def _count(changes: list[tuple[str, str, int]]) -> None:
    """All that a transaction changes, and then the splits: a split looks at rows, and those of our own that are not
    counted yet would mislead it. An empty span stays, since it bounds the one before it."""
    spans = [_change(directory, user_id, by=by) for directory, user_id, by in sorted(changes)]
    for span in {(span.identity_provider_id, span.first_id): span for span in spans}.values():
        _split(span)


def _change(directory: str, user_id: str, *, by: int) -> DirectorySpan:
    """Count in her span; the span as it is then, nobody else's until the transaction ends.

    Nothing is changed where the directory has no span yet, and where the one that was found was split while we waited
    for it: PostgreSQL compares ``next_id`` again once it has the lock, but looks for no other row. Then once more.
    """
    while not (changed := _CHANGE.instances(directory=directory, id=user_id, by=by)):
        _BEGIN.run(directory=directory)
    span: DirectorySpan = changed[0][0]
    return span


def _split(span: DirectorySpan) -> None:
    """The upper half of a span that is too large becomes one of its own.

    Everybody else who counted in the span has committed, since its row is ours now: so the rows that we see are those
    that were counted, in whatever order their ids came.
    """
    if span.number <= LARGEST:
        return
    kept = span.number // 2
    ((middle,),) = _NEXT.rows(directory=span.identity_provider_id, first_id=span.first_id, skip=kept)
    upper = DirectorySpan.create(
        identity_provider=span.identity_provider_id, first_id=middle, next_id=span.next_id, number=span.number - kept
    )
    span.number, span.next_id = kept, middle
    span.save()
    _split(span)
    _split(upper)


def _of(query: Any) -> Any:
    return query.where(DirectorySpan.identity_provider == parameter("directory"))


def _changing() -> Any:
    other = DirectorySpan.alias()
    found = other.select(fn.MAX(other.first_id)).where(
        other.identity_provider == parameter("directory"), other.first_id <= parameter("id")
    )
    holds = DirectorySpan.next_id.is_null() | (DirectorySpan.next_id > parameter("id"))
    counted = DirectorySpan.update(number=DirectorySpan.number + parameter("by"))
    return _of(counted).where(DirectorySpan.first_id == found, holds).returning(*_CHANGE.columns)


def _beginning() -> Any:
    whole = {"identity_provider": parameter("directory"), "first_id": "", "number": 0}
    return DirectorySpan.insert(whole).on_conflict_ignore()


def _next() -> Any:
    ids: Any = DirectoryUser.select(DirectoryUser.id).where(
        DirectoryUser.identity_provider == parameter("directory"),
        DirectoryUser.deleted_at.is_null(),
        DirectoryUser.id >= parameter("first_id"),
    )
    return ids.order_by(DirectoryUser.id).limit(1).offset(parameter("skip"))


_SPANS: Statement = Statement(
    (DirectorySpan.first_id, DirectorySpan.number),
    lambda: _of(DirectorySpan.select(*_SPANS.columns)).order_by(DirectorySpan.first_id),
)
_CHANGE = Statement(DirectorySpan._meta.sorted_fields, _changing, apart=True)
_BEGIN = Statement((), _beginning)
_NEXT = Statement((DirectoryUser.id,), _next)
