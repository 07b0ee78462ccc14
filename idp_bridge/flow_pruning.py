"""What of sign-in flows is thrown away: what is old, and what is more than one provider's strangers may leave behind.

Anybody can begin a sign-in and anybody can be refused. So of what did not succeed only the newest of each provider stay,
of each kind by itself: who fills one pushes nothing out of another. How fast refused ones come in is bounded where they
are written down (web/saml/budgets.py).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import clock, db, ids, saml_messages
from idp_bridge.models import IdentityProvider, SamlMessage, SignInFlow, UsedAssertion

KEPT_FOR = timedelta(days=90)
KEPT_ROWS = 100_000  # of one provider, like those of each kind
BATCH = 1_000  # rows that one transaction deletes: a few milliseconds of the write lock


def over() -> Any:
    """The condition that a flow did not end, and cannot any more."""
    return SignInFlow.finished_at.is_null() & (SignInFlow.expires_at <= clock.now())


_REFUSED = SignInFlow.reason.is_null(False)
_VERIFIED = SignInFlow.answered_at.is_null(False)
_BEGUN_HERE = SignInFlow.request_id.is_null(False) | (SignInFlow.kind != "idp_initiated")

#: Kind of what did not succeed -> how to tell it. Of a stray message nobody knows whose it was.
KINDS: Mapping[str, Callable[[], Any]] = {
    "unanswered": lambda: over() & ~_VERIFIED,
    "stray": lambda: _REFUSED & ~_VERIFIED & ~_BEGUN_HERE,
    "begun here": lambda: _REFUSED & ~_VERIFIED & _BEGUN_HERE,
    "verified": lambda: _REFUSED & _VERIFIED,
}
KEPT = {"unanswered": 1_000, "stray": 1_000, "begun here": 1_000, "verified": 10_000}


def prune(now: datetime) -> None:
    """Of every provider; a transaction for each batch, so that nobody waits long for the lock."""
    for provider_id in db.column(IdentityProvider.select(IdentityProvider.id)):
        _prune(provider_id, now)


def _prune(provider_id: str, now: datetime) -> None:
    beyond = db.column(_of(provider_id).order_by(SignInFlow.id.desc()).offset(KEPT_ROWS - 1).limit(1))
    first_kept = max([ids.earliest("flow", now - KEPT_FOR), *beyond])
    _delete_all(provider_id, _of(provider_id).where(SignInFlow.id < first_kept))
    for kind, condition in KINDS.items():
        of_kind = _of(provider_id).where(condition()).order_by(SignInFlow.id.desc())
        _delete_all(provider_id, of_kind.offset(KEPT[kind]))
    first_message = ids.earliest("flow", now - saml_messages.KEPT_FOR)
    own = SignInFlow.identity_provider == provider_id
    with db.transaction():
        SignInFlow.update(waiting=None).where(own, over(), SignInFlow.waiting.is_null(False)).execute()
        UsedAssertion.delete().where(
            UsedAssertion.identity_provider == provider_id, UsedAssertion.expires_at < now
        ).execute()
        SamlMessage.delete().where(
            SamlMessage.identity_provider == provider_id, SamlMessage.flow_id < first_message
        ).execute()


def _of(provider_id: str) -> Any:
    return SignInFlow.select(SignInFlow.id).where(SignInFlow.identity_provider == provider_id)


def _delete_all(provider_id: str, found: Any) -> None:
    while batch := db.column(found.limit(BATCH)):
        with db.transaction():
            _delete(provider_id, batch)


def _delete(provider_id: str, flow_ids: Sequence[str]) -> None:
    SamlMessage.delete().where(
        SamlMessage.identity_provider == provider_id, SamlMessage.flow_id.in_(flow_ids)
    ).execute()
    SignInFlow.delete().where(SignInFlow.identity_provider == provider_id, SignInFlow.id.in_(flow_ids)).execute()
