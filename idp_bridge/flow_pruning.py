"""What of sign-in flows is thrown away: what is old, and what is more than one provider's strangers may leave behind.

Anybody can begin a sign-in and anybody can be refused. So of what did not succeed only the newest of each provider
stay, of each kind by itself: who fills one pushes nothing out of another. How fast refused ones come in is bounded
where they are written down (web/saml/budgets.py).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from peewee import fn

from idp_bridge import clock, db, ids, saml_messages
from idp_bridge.models import IdentityProvider, SamlMessage, SignInFlow, UsedAssertion

KEPT_FOR = timedelta(days=90)
KEPT_ROWS = 100_000  # of one provider, like those of each kind; unanswered ones are not counted among them
KEPT_OF_SITE = 10_000  # unanswered ones of one provider that one network address began: an office at nine, ten times
KEPT_UNDER_WAY = 100_000  # unanswered ones of one provider, whoever began them
BATCH = 1_000  # rows that one transaction deletes: a few milliseconds of the write lock


def over() -> Any:
    """The condition that a flow did not end, and cannot any more."""
    return SignInFlow.finished_at.is_null() & (SignInFlow.expires_at <= clock.now())


def unanswered() -> Any:
    """The condition that no response has come, in the words of their index."""
    return SignInFlow.answered_at.is_null() & SignInFlow.finished_at.is_null()


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


def bound_site(provider: IdentityProvider, site: str) -> None:
    """Of what one network address began and nobody answered only the newest, in the caller's transaction."""
    beyond = db.column(_of_site(provider.id, site).offset(KEPT_OF_SITE).limit(BATCH))
    if beyond:
        _delete(provider.id, beyond)


def _prune(provider_id: str, now: datetime) -> None:
    _delete_all(provider_id, _of(provider_id).where(SignInFlow.id < ids.earliest("flow", now - KEPT_FOR)))
    _bound_unanswered(provider_id)
    answered = _of(provider_id).where(~unanswered()).order_by(SignInFlow.id.desc())
    for kind, condition in KINDS.items():
        of_kind = _of(provider_id).where(condition()).order_by(SignInFlow.id.desc())
        _delete_all(provider_id, of_kind.offset(KEPT[kind]))
    _delete_all(provider_id, answered.offset(KEPT_ROWS))
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


def _bound_unanswered(provider_id: str) -> None:
    """Of each network address, so that a client that begins without end pushes out its own alone; then of all."""
    under_way = _of(provider_id).where(unanswered())
    crowded = under_way.select(SignInFlow.site).group_by(SignInFlow.site).having(fn.COUNT(SignInFlow.id) > KEPT_OF_SITE)
    for site in db.column(crowded):
        _delete_all(provider_id, _of_site(provider_id, site).offset(KEPT_OF_SITE))
    _delete_all(provider_id, under_way.order_by(SignInFlow.id.desc()).offset(KEPT_UNDER_WAY))


def _of_site(provider_id: str, site: str) -> Any:
    return _of(provider_id).where(SignInFlow.site == site, unanswered()).order_by(SignInFlow.id.desc())


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
