"""Letting somebody in, and noting who was not let in: what all ways in share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from flask import redirect, request, url_for
from peewee import fn

from idp_bridge import db, events, mail, metrics, people, rates, sessions
from idp_bridge.actors import Actor
from idp_bridge.events import Type
from idp_bridge.models import Account, Member
from idp_bridge.sessions import Opened
from idp_bridge.sign_in import Outcome, Refused, Way
from idp_bridge.web import cookies, guard


def attempt(way: str, email: str | None) -> None:
    """Count an attempt, before a secret is looked at. Raises TooManyRequests, whoever is meant, known here or not.

    ``way`` is a Way, or the name of another form; each has a count of its own."""
    guard.rates().attempt(request.remote_addr, str(way), email)


def count_invitation(email: str) -> None:
    """Count an invitation of the actor's, where it is mailed. Raises TooManyRequests."""
    if mail.enabled():
        guard.rates().invite(guard.actor().account.id, email)


@dataclass(frozen=True)
class Entered:
    """A session that was opened, and the event that says so."""

    member: Member
    opened: Opened
    event_id: str


def enter(
    member: Member, way: Way, target: str | None = None, *, facts: Mapping[str, Any] | None = None, **session: Any
) -> Any:
    """Open the session, in the caller's transaction, and lead to ``target`` or to the account's first page."""
    return lead(open_for(member, way, facts=facts, **session), target)


def open_for(member: Member, way: Way, *, facts: Mapping[str, Any] | None = None, **session: Any) -> Entered:
    """Open the session, in the caller's transaction.

    A session that this browser had before ends: nobody keeps a former person's. An event says so, unless it was this
    member's own, of whom the event of her new one tells. ``facts`` go into the event, ``session`` into the session's
    row (see sessions.open_session). By password, ``member.person`` is as she was when it was found right.
    """
    source = "saml" if way is Way.SAML else "dashboard"
    for former in (before := guard.signed_in())[:1]:
        sessions.end(former.session)
        others = [each for each in before if each.id != member.id]
        # The other's doing, who is nobody in that account, and not hers.
        tell_end("replaced", others, by=lambda each: guard.stranger(each.account, source=source))
    came: dict[str, Any] = {"address": request.remote_addr, "user_agent": request.user_agent.string}
    if way is Way.PASSWORD:
        came["password_hash"] = member.person.password_hash
    opened = sessions.open_session(member, method=way.value, **came, **session)
    db.after_commit(partial(metrics.instruments().sign_in, way.value))
    actor = guard.member_actor(member, source=source)
    told = {"id": member.id, "method": way.value, "email": member.email, **(facts or {})}
    return Entered(member, opened, events.record(actor, Type.SIGN_IN_SUCCEEDED, told))


def lead(entered: Entered, target: str | None = None) -> Any:
    """On to ``target``, or to the account's first page, with the session's cookie."""
    answer = redirect(landing(entered.member.account, target), 303)
    if entered.opened.session.identity_provider_id is not None:
        cookies.remember_account(answer, entered.member.account.slug)
    return cookies.sign_in(answer, entered.opened)


def landing(account: Account, target: str | None) -> str:
    """``target``, or the account's first page."""
    return target if target not in (None, "/") else url_for("dashboard.overview", slug=account.slug)


def note_refusal(known: Any, way: Way, refused: Refused) -> None:
    """An event in each account that refused her, with its own reason, which no other account learns. Where nobody has
    shown who she is, one in each account that has a member by the condition ``known``, in a transaction of its own.

    Of an attempt that several accounts are told of, none is told where it came from: anybody can have an account in
    which somebody else's address stands, and would read off where she is. An address that no account knows leaves no
    event, which would have no account to belong to, but takes as long.
    """
    metrics.instruments().sign_in(way.value, refused.outcome.value)
    told = refused.memberships or [(member, refused.outcome) for member in _one_in_each_account(known)]
    with db.transaction():
        for member, outcome in told:
            if refused.memberships:
                actor = guard.member_actor(member, source="dashboard")
            else:
                actor = guard.stranger(member.account, source="dashboard")
                actor = replace(actor, address=None) if len(told) > 1 else actor
            facts = {"id": member.id, "method": way.value, "reason": outcome.value, "facts": refused.facts}
            events.record(actor, Type.SIGN_IN_REFUSED, facts)
        if not told:
            rates.write_of_nobody()


def note_wrong_password(email: str, *, invited_to: Account | None = None) -> None:
    """A password was wrong elsewhere than at the login: it is a guess all the same. ``invited_to``: the account whose
    invitation's link whoever guessed has, and whose member she need not be."""
    note_refusal(
        Member.person.in_(people.with_address(email)), Way.PASSWORD, Refused(Outcome.NOT_A_MEMBER, email=email)
    )
    if invited_to is not None:
        facts = {"id": None, "method": Way.PASSWORD.value, "reason": Outcome.NOT_A_MEMBER.value}
        with db.transaction():
            actor = guard.stranger(invited_to, source="dashboard")
            events.record(actor, Type.SIGN_IN_REFUSED, {**facts, "facts": {"email": email, "at": "invitation"}})


def tell_end(reason: str, reached: Sequence[Any], *, by: Callable[[Any], Actor]) -> None:
    """A session that reached these memberships has ended: an event in each account in which it was used."""
    for member in reached:
        if member.reach.used_at is not None:
            told = {"id": member.id, "reason": reason, "session_id": member.reach.id}
            events.record(by(member), Type.SESSION_ENDED, told)


def _one_in_each_account(known: Any) -> list[Member]:
    """A directory may give one address to ever so many: they are told of once."""
    first = Member.select(fn.MIN(Member.id)).where(known, Member.removed_at.is_null()).group_by(Member.account)
    return list(Member.select(Member, Account).join(Account).where(Member.id.in_(first)))
