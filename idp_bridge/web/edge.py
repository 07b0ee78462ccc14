"""The door of the product's own edge: what an operator key opens, in every account, beside what an API key opens in its
own."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import g, request

from idp_bridge import db, last_uses, operator_keys, tokens
from idp_bridge.errors import Unauthenticated
from idp_bridge.models import Account, OperatorKey
from idp_bridge.roles import CredentialKind, Permission, kinds_of
from idp_bridge.usage_reports import Reporter
from idp_bridge.web import bodies, guard

View = TypeVar("View", bound=Callable[..., Any])
Result = TypeVar("Result")


def edge(permission: Permission) -> Callable[[View], View]:
    """As ``guard``, and operator keys too. The view opens its own transaction where it writes, and asks ``reach()``
    whose things it may look at."""
    assert CredentialKind.OPERATOR_KEY in kinds_of(permission)  # noqa: S101 - of the code, not of a request

    def decorate(view: View) -> View:
        by_others = guard.guard(permission, transaction=False)(view)

        @wraps(view)
        def opened(*args: Any, **values: Any) -> Any:
            token = guard.bearer()
            if token is None or tokens.kind_of(token) is not tokens.Kind.OPERATOR_KEY:
                return by_others(*args, **values)
            bodies.read()  # as guard does
            with db.connection():
                _authenticate(token)
                return view(*args, **values)

        opened.guard = permission  # type: ignore[attr-defined]  # tests walk all routes and read it
        return cast(View, opened)

    return decorate


def reach() -> Account | None:
    """The only account that the caller may ask about; None for an operator key, which may ask about all."""
    return None if "operator_key" in g else guard.actor().account


def reporter() -> Reporter:
    """Who reports usage."""
    if "operator_key" not in g:
        who = guard.actor()
        came: dict[str, Any] = {
            "credential_id": who.credential_id,
            "address": who.address,
            "request_id": who.request_id,
        }
        return Reporter(who.id, who.type, who.subject, source=who.source, **came)
    key = g.operator_key
    came = {"credential_id": key, "address": request.remote_addr, "request_id": g.request_id}
    return Reporter(key, "operator", "operator key", **came)


def repeated(work: Callable[[], Result]) -> Result:
    """``work`` in a transaction, by whoever calls; an operator key has no owner who could be suspended."""
    return db.repeated(work) if "operator_key" in g else guard.repeated(work)


def _authenticate(token: str) -> None:
    key_id = operator_keys.find(token)
    if key_id is None:
        raise Unauthenticated("This operator key is not valid: it was deleted.")
    guard.spend(guard.rates().api, key_id)
    last_uses.note(OperatorKey, key_id, request.remote_addr)
    g.operator_key = key_id
