"""Invitations: an address asked to join, with the roles it will have. Accepting proves the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from idp_bridge import clock, events, ids, member_lifecycle, members, people, plans, roles, seats, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Gone, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, Invitation, Member, Person
from idp_bridge.text import fold

LIFETIME = timedelta(days=7)


@dataclass(frozen=True)
class Sent:
    """A new invitation; ``token`` is shown once, in the link."""

    invitation: Invitation
    token: str


def pending(account: Account) -> Any:
    """The invitations that can still be accepted, as a query."""
    return Invitation.select().where(
        Invitation.account == account, Invitation.accepted_at.is_null(), Invitation.expires_at > clock.now()
    )


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
    granted = roles.known(account.id, role_names)
    roles.check_grant(account.id, actor.permissions, granted, administrator=actor.administrator)
    seats.check(account)
    if members.with_address(account, email):
        raise Conflict(f"{email} is a member of this account already.", code=Code.ALREADY_MEMBER)
    if pending(account).where(Invitation.email_key == fold(email)).exists():
        raise Conflict(f"{email} has an invitation already; cancel it to send another.", code=Code.ALREADY_INVITED)
    token = tokens.new(tokens.Kind.INVITATION)
    moment = clock.now()
    invitation = Invitation.create(
        id=ids.new("inv"),
        account=account,
        email=email,
        email_key=fold(email),
        roles=list(granted),
        token_digest=tokens.digest(token),
        invited_by=actor.subject,
        expires_at=moment + LIFETIME,
        created_at=moment,
    )
    events.record(actor, Type.INVITATION_CREATED, describe(invitation))
    return Sent(invitation, token)


def cancel(actor: Actor, invitation: Invitation) -> None:
    """The link stops working and the seat is free. Raises Forbidden for a role that the actor could not promise."""
    roles.check_grant(actor.account.id, actor.permissions, invitation.roles, administrator=actor.administrator)
    invitation.delete_instance()
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
        raise Gone("This invitation has been used, was cancelled or has expired. Ask for a new one.")
    return invitation


def accept(actor: Actor, invitation: Invitation, person: Person, *, name: str = "") -> Member:
    """Join as the person who has proven the invited address. Raises Conflict, Forbidden (seats), Gone (lost a race)."""
    if person.email_key != invitation.email_key:
        raise Conflict(f"This invitation is for {invitation.email}; sign out and accept it as that person.")
    people.hold(person.id)
    if people.is_member(person, actor.account):
        raise _member_already(invitation)
    return join(actor, invitation, email=invitation.email, name=name, managed_by="invite", person=person)


def join(actor: Actor, invitation: Invitation, **member: Any) -> Member:
    """Use the invitation up and make its member with the roles it carries. Of several at once, one succeeds."""
    seats.lock(actor.account)
    if members.with_address(actor.account, invitation.email):
        raise _member_already(invitation)
    moment = clock.now()
    unused = (Invitation.id == invitation.id) & Invitation.accepted_at.is_null() & (Invitation.expires_at > moment)
    # The reservation is given up before the seat is taken, so that an account that is exactly full can be joined.
    if not Invitation.update(accepted_at=moment).where(unused).execute():
        raise Gone("This invitation has been used, was cancelled or has expired. Ask for a new one.")
    joined = member_lifecycle.create(actor, roles=invitation.roles, **member)
    events.record(actor, Type.INVITATION_ACCEPTED, {**describe(invitation), "user_id": joined.id})
    return joined


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
