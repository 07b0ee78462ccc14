"""Invitations: an address asked to join, with the roles it will have.

An invitation is worth what its sender may do when it is accepted, not when it was sent: whoever was suspended or
removed, or has lost the right to give these roles, leaves no way in behind. What the command line or the service itself
sent is exempt. Sending it again is vouching for it anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import (
    clock,
    events,
    grants,
    ids,
    look_alikes,
    mail,
    member_lifecycle,
    member_roles,
    members,
    people,
    plans,
    roles,
    seats,
    tokens,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, DomainError, Gone, NotFound
from idp_bridge.events import Type
from idp_bridge.letters import Letter
from idp_bridge.models import Account, Invitation, Mail, Member, Person
from idp_bridge.roles import Permission
from idp_bridge.text import fold

LIFETIME = timedelta(days=7)

LETTER = Letter(
    "{inviter} invites you to {account}",
    ("{inviter} invites you to join {account} as {roles}.", "The invitation is for {email}, and ends on {ends}."),
    "Join {account}",
    ("If you do not know who that is, leave this mail alone: nothing happens.",),
)


@dataclass(frozen=True)
class Sent:
    """An invitation as it was sent; ``token`` is shown once, in the link. ``mailed``: it is on its way by mail."""

    invitation: Invitation
    token: str
    mailed: bool


class Lapsed(Gone):
    """The invitation is there, and whoever sent it may not give these roles any more."""

    def __init__(self) -> None:
        super().__init__("Whoever sent this invitation may not invite to this account any more. Ask for a new one.")


def pending(account: Account) -> Any:
    """The invitations that can still be accepted, as a query."""
    return Invitation.select().where(Invitation.account == account, Invitation.accepted_at.is_null(), not_expired())


def not_expired() -> Any:
    """The condition that its link is good still, if it was not used."""
    return Invitation.expires_at > clock.now()


def get(account: Account, invitation_id: str) -> Invitation:
    """One that can still be accepted. Raises NotFound."""
    invitation = pending(account).where(Invitation.id == invitation_id).get_or_none()
    if invitation is None:
        raise NotFound(f"There is no invitation {invitation_id} in this account.")
    return invitation


def create(actor: Actor, email: str, *, role_names: Sequence[str] = roles.DEFAULT) -> Sent:
    """Ask an address to join; reserves a seat. Raises Forbidden (plan, seats, rights), Conflict (a member, invited)."""
    account = actor.account
    plans.require(account, plans.Feature.INVITATIONS)
    granted = grants.check(actor, role_names)
    look_alikes.check(email)
    if members.passed_for(account, email):
        raise Conflict(f"{email} passes for the address of a member of this account. Type it instead of pasting it.")
    seats.check(account)
    if members.with_address(account, email):
        raise Conflict(f"{email} is a member of this account already.", code=Code.ALREADY_MEMBER)
    if pending(account).where(Invitation.email_key == fold(email)).exists():
        raise Conflict(
            f"{email} has an invitation already; send that one again, or cancel it.", code=Code.ALREADY_INVITED
        )
    token, moment = tokens.new(tokens.Kind.INVITATION), clock.now()
    invitation = Invitation.create(
        id=ids.new("inv"),
        account=account,
        email=email,
        email_key=fold(email),
        roles=list(granted),
        token_digest=tokens.digest(token),
        invited_by=actor.subject,
        invited_by_id=actor.id,
        expires_at=moment + LIFETIME,
        created_at=moment,
    )
    events.record(actor, Type.INVITATION_CREATED, describe(invitation))
    return Sent(invitation, token, _mail(invitation, token))


def resend(actor: Actor, invitation: Invitation) -> Sent:
    """The same invitation under a new link with a new end, now the actor's; the former link is dead. Raises Forbidden
    for a role that the actor could not promise, Gone where it was accepted meanwhile."""
    account = actor.account
    plans.require(account, plans.Feature.INVITATIONS)
    grants.check(actor, invitation.roles)
    seats.lock(account)  # the seat that it reserves must not have been given away since it ran out
    if invitation.invited_by_id and member_roles.acting_now(account, invitation.invited_by_id) is None:
        seats.check(account)  # since its sender was dismissed it has reserved none
    token, moment = tokens.new(tokens.Kind.INVITATION), clock.now()
    invitation.token_digest, invitation.expires_at = tokens.digest(token), moment + LIFETIME
    invitation.invited_by, invitation.invited_by_id = actor.subject, actor.id
    changed = ("token_digest", "expires_at", "invited_by", "invited_by_id")
    live = (Invitation.id == invitation.id) & Invitation.accepted_at.is_null() & (Invitation.expires_at > moment)
    if not Invitation.update({name: getattr(invitation, name) for name in changed}).where(live).execute():
        raise _gone()
    mail.take_back(invitation.id)
    events.record(actor, Type.INVITATION_RESENT, describe(invitation))
    return Sent(invitation, token, _mail(invitation, token))


def _mail(invitation: Invitation, token: str) -> bool:
    facts = {
        "inviter": invitation.invited_by,
        "account": invitation.account.name,
        "roles": invitation.roles,
        "email": invitation.email,
        "ends": f"{invitation.expires_at:%Y-%m-%d}",
    }
    return mail.post(
        "invitation",
        invitation.email,
        LETTER,
        path=f"/invitations/{token}",
        facts=facts,
        account=invitation.account,
        about=invitation.id,
        expires_at=invitation.expires_at,
    )


def mails(some: Iterable[Invitation]) -> dict[str, Mail]:
    """For each invitation that was mailed, the last mail: waiting, sent or given up."""
    return mail.last([invitation.id for invitation in some])


def cancel(actor: Actor, invitation: Invitation) -> None:
    """The link stops working and the seat is free. Raises Forbidden for a role that the actor could not promise."""
    roles.check_grant(actor.account.id, actor.permissions, invitation.roles, administrator=actor.administrator)
    invitation.delete_instance()
    mail.take_back(invitation.id)
    events.record(actor, Type.INVITATION_DELETED, describe(invitation))


def find(token: str) -> Invitation:
    """The pending invitation behind a link, with its account. Raises Gone."""
    invitation = (
        Invitation.select(Invitation, Account)
        .join(Account)
        .where(
            Invitation.token_digest == tokens.digest(token),
            Invitation.accepted_at.is_null(),
            Invitation.expires_at > clock.now(),
        )
        .get_or_none()
    )
    if invitation is None:
        raise _gone()
    return invitation


def standing(account: Account, email: str) -> Invitation | None:
    """The pending invitation of this address that is still vouched for."""
    invitation = pending(account).where(Invitation.email_key == fold(email)).get_or_none()
    return invitation if invitation and not lapsed(account, [invitation]) else None


def lapsed(account: Account, pending_ones: Iterable[Invitation]) -> set[str]:
    """The ids of those whose sender may not give their roles any more."""
    found = set()
    senders: dict[str, Actor | None] = {}
    for invitation in pending_ones:
        sender_id = invitation.invited_by_id
        if sender_id is None:  # the command line, the service itself
            continue
        if sender_id not in senders:
            senders[sender_id] = member_roles.acting_now(account, sender_id)
        if not _may_give(senders[sender_id], invitation.roles):
            found.add(invitation.id)
    return found


def _may_give(sender: Actor | None, role_names: Sequence[str]) -> bool:
    if sender is None or not sender.may(Permission.MEMBERS_WRITE):
        return False
    try:
        grants.check(sender, role_names)
    except DomainError:
        return False
    return True


def accept(actor: Actor, invitation: Invitation, person: Person, *, name: str = "") -> Member:
    """Join as the person who has proven the invited address. Raises Conflict, Forbidden (seats), Gone (lost a race)."""
    if person.email_key != invitation.email_key:
        raise Conflict(f"This invitation is for {invitation.email}; sign out and accept it as that person.")
    people.hold(person.id)
    if people.is_member(person, actor.account):
        raise _member_already(invitation)
    return join(actor, invitation, email=invitation.email, name=name, managed_by="invite", person=person)


def sent_at(invitation: Invitation) -> datetime:
    """When somebody last vouched for it: made it, or sent it again."""
    return max(invitation.created_at, invitation.expires_at - LIFETIME)


def outweighs(invitation: Invitation, deleted: Iterable[Member]) -> bool:
    """Whether it was sent since a directory deleted all of these: an administrator who invites a leaver means it, an
    invitation that was on its way when she left does not let her back in."""
    sent = sent_at(invitation)
    return all(member.removed_at is not None and sent > member.removed_at for member in deleted)


def is_outweighed(invitation: Invitation) -> bool:
    """Whether a directory has deleted a member with this address, or who signs in with it, since it was sent, and that
    can still be undone."""
    return not outweighs(invitation, members.deleted_under(invitation.account, invitation.email))


def join(actor: Actor, invitation: Invitation, **member: Any) -> Member:
    """Use the invitation up and make its member with the roles it carries. Of several at once, one succeeds. Raises
    Lapsed; a suspension or removal of the sender takes the same lock."""
    seats.lock_anew(actor.account)
    plans.require(actor.account, plans.Feature.INVITATIONS)  # else she would be an administrator by the plan
    if lapsed(actor.account, [invitation]):
        raise Lapsed
    if members.with_address(actor.account, invitation.email):
        raise _member_already(invitation)
    if is_outweighed(invitation):
        raise Gone("Your organisation's directory has removed you since this invitation was sent. Ask for a new one.")
    # The reservation is given up before the seat is taken, so that an account that is exactly full can be joined.
    _use_up(invitation)
    joined = member_lifecycle.create(actor, roles=invitation.roles, given_by=_inviting(invitation), **member)
    _accepted(actor, invitation, joined)
    return joined


def take_up(actor: Actor, email: str, *, admin: bool) -> Invitation | None:
    """A directory sends whom the account has invited: it is used up, and what it reserved is free for her. None where
    nobody vouches for one, and without ``admin`` of one to that role. The caller holds the account, and makes its
    member, to whom ``hold_promised`` gives its roles."""
    invitation = standing(actor.account, email)
    if invitation is None or (roles.ADMIN in invitation.roles and not admin):
        return None
    _use_up(invitation)
    mail.take_back(invitation.id)
    return invitation


def hold_promised(actor: Actor, invitation: Invitation, member: Member) -> None:
    """What was promised to somebody who came by her directory is hers, beside what she has already."""
    held = member_roles.roles_of(actor.account, member)
    missing = set(invitation.roles) - set(held)
    member_roles.give(actor, member, missing, source="hand", given_by=_inviting(invitation))
    _accepted(actor, invitation, member)


def _use_up(invitation: Invitation) -> None:
    moment = clock.now()
    unused = (Invitation.id == invitation.id) & Invitation.accepted_at.is_null() & (Invitation.expires_at > moment)
    if not Invitation.update(accepted_at=moment).where(unused).execute():
        raise _gone()


def _inviting(invitation: Invitation) -> tuple[str | None, str]:
    return (invitation.invited_by_id, invitation.invited_by)


def _accepted(actor: Actor, invitation: Invitation, member: Member) -> None:
    events.record(actor.joined_as(member.id), Type.INVITATION_ACCEPTED, {**describe(invitation), "user_id": member.id})


def _gone() -> Gone:
    return Gone("This invitation has been used, was cancelled or has expired. Ask for a new one.")


def _member_already(invitation: Invitation) -> Conflict:
    return Conflict(f"{invitation.email} is a member of this account already.", code=Code.ALREADY_MEMBER)


def describe(invitation: Invitation) -> dict[str, Any]:
    """The invitation as the API and events show it: never its token."""
    return {
        "id": invitation.id,
        "email": invitation.email,
        "roles": list(invitation.roles),
        "invited_by": invitation.invited_by,
        "expires_at": clock.rfc3339(invitation.expires_at),
        "created_at": clock.rfc3339(invitation.created_at),
    }
