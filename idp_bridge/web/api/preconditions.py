"""``ETag``, ``If-Match`` and ``If-None-Match`` (RFC 9110 sections 8.8.3 and 13) of single resources: of two who change
one at the same time, the second learns that it is not any more as she saw it.

An entity tag is strong: it is another one whenever one byte of the representation is. Its first half is of what
somebody sets, its second of all: ``If-Match`` compares the first only, because what the service itself notes, such as
when a key was last used, is no change that anybody could lose.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request
from peewee import Model

from idp_bridge import db, seats
from idp_bridge.db import encode
from idp_bridge.errors import Code, Invalid, PreconditionFailed
from idp_bridge.models import (
    Account,
    BotUser,
    Credential,
    IdentityProvider,
    Invitation,
    Member,
    Role,
    RoleMapping,
    SchemaExtension,
    ScimToken,
    ServiceProviderKey,
    Webhook,
)
from idp_bridge.web.guard import actor

READERS = frozenset({"GET", "HEAD"})
CHANGING = frozenset({"PATCH", "DELETE"})

_ENTITY_TAG = r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"'
IF_MATCH = rf"(\*|{_ENTITY_TAG}([ \t]*,[ \t]*{_ENTITY_TAG})*)?"  # RFC 9110 sections 8.8.3 and 13.1.1

#: What the service notes by itself.
NOTED = frozenset(
    {
        "last_used_at",
        "last_used_address",
        "last_login_at",
        "seats",
        "warnings",
        "metadata_checked_at",
        "metadata_error",
        "mailed",
        "failing_since",
    }
)

#: By the prefix of its id: the row that stands for a resource while it is compared and changed.
ROWS: Mapping[str, type[Model]] = {
    "ak": Credential,
    "bot": BotUser,
    "cr": Credential,
    "ext": SchemaExtension,
    "idp": IdentityProvider,
    "inv": Invitation,
    "map": RoleMapping,
    "role": Role,
    "spk": ServiceProviderKey,
    "sshcr": Credential,
    "tok": ScimToken,
    "usr": Member,
    "wh": Webhook,
}


def is_single(rule: str) -> bool:
    """Whether the path is one resource's, not a list's or a verb's."""
    return rule == "/api/account" or rule.endswith("<id:id>")


def check(read: Callable[..., Response] | None) -> None:
    """Before a change: what ``read`` answers must be what If-Match names, and stays so until the transaction ends.
    Raises Invalid, PreconditionFailed, and what ``read`` raises."""
    if read is None or "If-Match" not in request.headers:
        return
    if not re.fullmatch(IF_MATCH, request.headers["If-Match"]):
        raise Invalid(
            'If-Match must be * or entity tags in double quotes: "...".',
            code=Code.INVALID_PARAMETER,
            fields={"If-Match": ["malformed"]},
        )
    _lock(request.view_args or {})
    now = _settled(_tag(read(**(request.view_args or {}))))
    named = request.if_match
    if not (named.star_tag or now in {_settled(tag) for tag in named.as_set()}):
        raise PreconditionFailed(
            "Somebody has changed this since you read it. Read it again, and repeat the change with its new ETag."
        )


def tagged(answer: Response) -> Response:
    """The answer with its ETag; 304 without a body where that is what the reader has."""
    tag = _tag(answer)
    if request.method in READERS and request.if_none_match.contains_weak(tag):
        answer = Response(status=304)
    answer.set_etag(tag)
    return answer


def _lock(values: Mapping[str, Any]) -> None:
    """Nobody else changes it until the transaction ends; of a member nor her roles, which the account's lock guards."""
    account = actor().account
    model = ROWS.get(str(values.get("id", "")).partition("_")[0]) if values else Account
    if model is Account:
        now = db.locked(Account.select().where(Account.id == account.id)).get()
        account.__data__.update(now.__data__)  # it was read before the lock
    elif model is not None:
        if model is Member:
            seats.lock(account)
        db.locked(model.select(model.id).where(model.id == values["id"])).execute()  # type: ignore[attr-defined]


def _tag(answer: Response) -> str:
    body = answer.get_json()
    settled = {name: value for name, value in body.items() if name not in NOTED}
    return f"{_digest(encode(settled).encode())}-{_digest(answer.get_data())}"


def _settled(tag: str) -> str:
    return tag.partition("-")[0]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
