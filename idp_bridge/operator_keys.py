"""Keys of the product's own edge: they may introspect credentials and report usage, for every account, nothing else.

They belong to no account, so no account's events tell of them. The record of them is the row itself, which stays when a
key is deleted and says when that was.
"""

from dataclasses import dataclass
from typing import Any

from idp_bridge import clock, ids, tokens
from idp_bridge.errors import Invalid, NotFound
from idp_bridge.models import OperatorKey
from idp_bridge.statement import Statement, parameter

LONGEST_NAME = 255


@dataclass(frozen=True)
class Issued:
    """A new operator key; ``token`` is shown once."""

    row: OperatorKey
    token: str


def issue(name: str) -> Issued:
    """A new key. The name tells the operator where it is used. Raises Invalid."""
    name = name.strip()
    if not name or len(name.encode()) > LONGEST_NAME or not name.isprintable():
        raise Invalid(f"A name has 1 to {LONGEST_NAME} printable bytes.", fields={"name": ["not a name"]})
    token = tokens.new(tokens.Kind.OPERATOR_KEY)
    row = OperatorKey.create(id=ids.new("op"), name=name, token_digest=tokens.digest(token), created_at=clock.now())
    return Issued(row, token)


def all_keys() -> Any:
    """Every key that there ever was, newest first, as a query."""
    return OperatorKey.select().order_by(OperatorKey.id.desc())


def delete(key_id: str) -> OperatorKey:
    """It works no more from this commit on, in every process. Raises NotFound."""
    living = all_keys().where(OperatorKey.deleted_at.is_null())
    row: OperatorKey | None = living.where(OperatorKey.id == key_id).get_or_none()
    if row is None:
        raise NotFound(f"There is no operator key {key_id}.")
    row.deleted_at = clock.now()
    row.save(only=[OperatorKey.deleted_at])
    return row


def find(token: str) -> str | None:
    """The id of the living key behind a secret. One statement."""
    found = _FIND.one(digest=tokens.digest(token))
    return found[0] if found else None


_FIND = Statement(
    (OperatorKey.id,),
    lambda: OperatorKey.select(OperatorKey.id).where(
        OperatorKey.token_digest == parameter("digest"), OperatorKey.deleted_at.is_null()
    ),
)


def describe(row: OperatorKey) -> dict[str, Any]:
    """The key as the command line shows it: never the secret."""
    return {
        "id": row.id,
        "name": row.name,
        "created_at": clock.rfc3339(row.created_at),
        "last_used_at": clock.rfc3339(row.last_used_at) if row.last_used_at else None,
        "deleted_at": clock.rfc3339(row.deleted_at) if row.deleted_at else None,
    }
