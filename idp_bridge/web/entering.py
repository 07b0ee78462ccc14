"""Letting somebody in, and noting who was not let in: what all ways in share."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import redirect, request, url_for

from idp_bridge import db, events, sessions
from idp_bridge.events import Type
from idp_bridge.models import Member
from idp_bridge.sign_in import Refused, Way
from idp_bridge.web import cookies, guard


def attempt(way: Way, email: str | None) -> None:
    """Count an attempt, before a secret is looked at. Raises TooManyRequests, whoever is meant, known here or not."""
    guard.rates().attempt(request.remote_addr, way.value, email)


def enter(
    member: Member, way: Way, target: str | None = None, *, facts: Mapping[str, Any] | None = None, **session: Any
) -> Any:
    """Open the session, in the caller's transaction, and lead to ``target`` or to the account's first page.

    A session that this browser had before ends: nobody keeps a former person's. ``facts`` go into the event,
    ``session`` into the session's row (see sessions.open_session).
    """
    for former in guard.signed_in()[:1]:
        sessions.end(former.session)
    opened = sessions.open_session(member, method=way.value, **session)
    actor = guard.member_actor(member, source="saml" if way is Way.SAML else "dashboard")
    told = {"id": member.id, "method": way.value, "email": member.email, **(facts or {})}
    events.record(actor, Type.SIGN_IN_SUCCEEDED, told)
    target = target if target not in (None, "/") else url_for("dashboard.members", slug=member.account.slug)
    return cookies.sign_in(redirect(target, 303), opened)


def note_refusal(memberships: Iterable[Member], way: Way, refused: Refused) -> str | None:
    """An event in each account that knows the address, in a transaction of its own; the last one's id.

    An address that no account knows leaves no event: it would have no account to belong to.
    """
    reference = None
    with db.transaction():
        for member in memberships:
            actor = guard.member_actor(member, source="dashboard")
            facts = {"id": member.id, "method": way.value, "reason": refused.outcome.value, "facts": refused.facts}
            reference = events.record(actor, Type.SIGN_IN_REFUSED, facts)
    return reference
