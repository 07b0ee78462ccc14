"""Pages of a list: newest first, by key. ``before_id`` is a place in the order, so it works on after its row is gone
and no row is shown twice or left out while others come and go."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flask import request
from marshmallow import RAISE, Schema, ValidationError, fields

from idp_bridge.web.api.schemas import ID, Text
from idp_bridge.web.guard import base_url

LARGEST = 100


class _Limit(fields.Integer):
    """1 to 100, as digits."""

    def __init__(self) -> None:
        super().__init__(load_default=LARGEST, metadata={"minimum": 1, "maximum": LARGEST})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= LARGEST:
            raise ValidationError(f"Must be a number from 1 to {LARGEST}.")
        return int(value)


class Page(Schema):
    """The query of every list. An unknown parameter is refused: a filter that is ignored answers something else."""

    class Meta:
        unknown = RAISE

    limit = _Limit()
    before_id = Text(
        most=64, pattern=ID, metadata={"description": "Only what is older than this id: the last one of a page."}
    )


def page(plural: str, query: Any, key: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """One page of ``query``, ordered by ``key``, the column of the ids; one statement."""
    return merged(plural, [query], key, asked)


def merged(plural: str, queries: Sequence[Any], key: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """The same of several queries that have no row in common, each of which an index answers in the order of ``key``;
    one statement for each."""
    rows: list[Any] = []
    for query in queries:
        older = query.where(key < asked["before_id"]) if "before_id" in asked else query
        rows.extend(older.order_by(key.desc()).limit(asked["limit"] + 1))
    return shown(plural, sorted(rows, key=_id, reverse=True)[: asked["limit"] + 1], asked)


def shown(plural: str, rows: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
    """The answer for ``rows``, of which one more was read than asked for where there are more."""
    here, limit = base_url() + request.path, asked["limit"]
    following = None
    if len(rows) > limit:
        following = f"{here}?{urlencode({**request.args.to_dict(), 'limit': limit, 'before_id': _id(rows[limit - 1])})}"
    return {plural: rows[:limit], "uri": here, "next_page_uri": following}


def _id(row: Any) -> str:
    identity: str = row["id"] if isinstance(row, dict) else row.id
    return identity
