"""Letting in: what the table says of somebody is asked here, whatever her way, and done.

An assertion never revives anybody: not a suspended member, not one whom her directory deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import (
    clock,
    db,
    enforcement,
    identity_links,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    plans,
    seats,
    sign_in_mode,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError, Forbidden
from idp_bridge.identity_conflicts import Case, Kind
from idp_bridge.models import Account, IdentityProvider, Invitation, Member, Person
from idp_bridge.roles import ADMIN
from idp_bridge.sign_in.claims import GROUPS_OVERAGE, claimed_roles, take_profile, take_roles
from idp_bridge.sign_in.identify import Found, Identity, identify, may_assert
from idp_bridge.sign_in.table import ADMITTING, IN_AN_EMERGENCY, PUBLIC, Outcome, Situation, State, Way, decide

OVERAGE_NOTED_EVERY = timedelta(hours=1)  # of a provider: each of its people with too many groups says the same

#: The refusals that an administrator can settle, as the question that waits for her.
QUESTIONS = {
    Outcome.AMBIGUOUS: Kind.AMBIGUOUS,
    Outcome.ELSEWHERE: Kind.ANOTHER_PROVIDER,
    Outcome.OTHERWISE: Kind.IDENTITY_CHANGED,
    Outcome.LOOK_ALIKE: Kind.LOOK_ALIKE,
}


class Refused(Forbidden):
    """Not let in. ``outcome`` is the reason, ``facts`` are for administrators.

    ``memberships``: those of somebody who has shown who she is, each with its own reason; empty where nobody has.
    ``case``: the question that whoever notes the refusal notes with it (identity_conflicts.py).
    """

    def __init__(
        self,
        outcome: Outcome,
        *,
        memberships: Sequence[tuple[Member, Outcome]] = (),
        case: Case | None = None,
        **facts: str | None,
    ) -> None:
        super().__init__(PUBLIC[outcome])
        self.outcome = outcome
        self.memberships = tuple(memberships)
        self.case = case
        self.facts = facts


# --- by assertion -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Admission:
    """Who was let in, by which row of the table. ``warnings`` are told wherever the sign-in is."""

    member: Member
    outcome: Outcome
    warnings: tuple[str, ...] = ()


def check_usable(provider: IdentityProvider) -> None:
    """Nobody is sent to a provider that would let in nobody, whatever it says. Raises Refused."""
    outcome = decide(_by_provider(provider, Way.SAML, State.ACTIVE))
    if outcome not in ADMITTING:
        raise Refused(outcome)


def by_assertion(
    actor: Actor,
    provider: IdentityProvider,
    identity: Identity,
    *,
    way: Way = Way.SAML,
    enabled: bool | None = None,
    began_at: datetime | None = None,
) -> Admission:
    """Let in, or make a member of, the person whom this provider's verified assertion names. ``enabled``: as if the
    provider were, or not. ``began_at``: when her sign-in began, if not now. Raises Refused, and what joining raises
    where the seats are full."""
    provider.account = actor.account
    found = identify(actor.account, provider, identity)
    outcome = _decided(provider, way, found, identity, enabled=enabled)
    if found.member is None and outcome in ADMITTING:
        # Whoever is about to join is looked for again, alone: a double click must not make two members, and what was
        # switched off meanwhile is off.
        seats.lock_anew(actor.account, provider)
        found = identify(actor.account, provider, identity)
        outcome = _decided(provider, way, found, identity, enabled=enabled)
    if outcome not in ADMITTING:
        domains = ", ".join(provider.domains) if outcome is Outcome.ADDRESS_NOT_ALLOWED else None
        raise Refused(
            outcome,
            case=_question(outcome, identity, found),
            name_id=identity.name_id,
            email=identity.email,
            domains=domains,
        )
    return _admit(actor, provider, identity, found, outcome, began_at=began_at or clock.now())


def _decided(
    provider: IdentityProvider, way: Way, found: Found, identity: Identity, *, enabled: bool | None
) -> Outcome:
    situation = _by_provider(provider, way, found.state, email=identity.email, enabled=enabled)
    if not situation.trusted:  # else nobody asks the database whether she is an administrator
        situation = replace(situation, administrator=_is_administrator(provider.account, found))
    return decide(situation)


def _is_administrator(account: Account, found: Found) -> bool:
    """Whether she is one, or is invited to be one."""
    if found.invitation is not None:
        return ADMIN in found.invitation.roles
    return found.member is not None and member_roles.is_administrator(account, found.member)


def _by_provider(
    provider: IdentityProvider, way: Way, state: State, *, email: str | None = None, enabled: bool | None = None
) -> Situation:
    account = provider.account
    return Situation(
        way=way,
        state=state,
        mode=sign_in_mode.of(account),
        policy=provider.join_policy,
        sso_in_plan=plans.has(account, plans.Feature.SSO),
        draft=idps.is_draft(provider),
        enabled=provider.enabled if enabled is None else enabled,
        idp_initiated_allowed=provider.allow_idp_initiated,
        address_allowed=email is None or may_assert(provider, email),
        trusted=provider.trusted_with_administrators,
    )


def _question(outcome: Outcome, identity: Identity, found: Found) -> Case | None:
    if outcome not in QUESTIONS:
        return None
    return Case(
        kind=QUESTIONS[outcome],
        email=identity.email,
        name_id=identity.name_id,
        name_id_format=identity.name_id_format,
        candidates=found.candidates,
    )


def _admit(
    actor: Actor,
    provider: IdentityProvider,
    identity: Identity,
    found: Found,
    outcome: Outcome,
    *,
    began_at: datetime,
) -> Admission:
    managed = found.member is not None and found.member.managed_by == "scim"
    mapped = None if identity.groups is None else claimed_roles(provider, identity.groups, managed=managed)
    member = found.member or _join(actor, provider, identity, invitation=found.invitation, mapped=mapped)
    member.account = actor.account
    if not found.by_link:
        identity_links.remember(provider, member, name_id=identity.name_id, name_id_format=identity.name_id_format)
    take_profile(actor, member, identity)
    warnings = take_roles(actor, member, mapped) if mapped is not None else ()
    held = member_roles.roles_of(actor.account, member)
    if not managed and mapped is not None and not held:
        member_roles.hold_default_roles(actor, member, provider.default_roles)
        held = tuple(provider.default_roles)
    if ADMIN in held:
        enforcement.administrator_came_in(actor, provider, member, began_at=began_at)
    if identity.groups_overage:
        _note_overage(provider)
        warnings = (*warnings, GROUPS_OVERAGE)
    return Admission(member, outcome, warnings)


def _join(
    actor: Actor,
    provider: IdentityProvider,
    identity: Identity,
    *,
    invitation: Invitation | None,
    mapped: dict[str, str] | None,
) -> Member:
    joining: dict[str, Any] = {
        "email": identity.email,
        "name": identity.name,
        "first_name": identity.first_name,
        "last_name": identity.last_name,
        "managed_by": "invite" if invitation else "jit",
        "identity_provider": provider,
    }
    if invitation:
        return invitations.join(actor, invitation, **joining)
    return member_lifecycle.create(
        actor, **joining, roles=() if mapped else provider.default_roles, role_source="default"
    )


def _note_overage(provider: IdentityProvider) -> None:
    """So that the connection warns of it (connection_warnings.py)."""
    moment = clock.now()
    if provider.groups_overage_at is None or moment - provider.groups_overage_at > OVERAGE_NOTED_EVERY:
        IdentityProvider.update(groups_overage_at=moment).where(IdentityProvider.id == provider.id).execute()


@dataclass(frozen=True)
class Rehearsal:
    """What a sign-in would come to. ``refusal`` None: she would be let in; ``member_id`` None: as a new member."""

    outcome: Outcome | None
    refusal: DomainError | None = None
    member_id: str | None = None
    roles: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Undo(Exception):
    """Carries the result out of a transaction that must not be."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self.rehearsal = rehearsal


def rehearse(actor: Actor, provider: IdentityProvider, identity: Identity) -> Rehearsal:
    """What ``by_assertion`` would do now, if the connection were on: done in a transaction, and undone."""
    known = identify(actor.account, provider, identity).member
    try:
        with db.transaction():
            admission = by_assertion(actor, provider, identity, enabled=True)
            held = member_roles.roles_of(actor.account, admission.member)
            done = Rehearsal(
                admission.outcome, member_id=known.id if known else None, roles=held, warnings=admission.warnings
            )
            raise _Undo(done)  # noqa: TRY301 - what leaves the transaction by raising is rolled back
    except _Undo as undone:
        return undone.rehearsal
    except DomainError as refusal:
        outcome = refusal.outcome if isinstance(refusal, Refused) else None
        return Rehearsal(outcome, refusal=refusal, member_id=known.id if known else None)


# --- by what she has herself ------------------------------------------------------------------------------------


def by_password(email: str, password: str, *, account: Account | None = None) -> Member:
    """The membership that the password opens: of ``account`` where one is named, else the first that can be entered.
    Its ``person`` is as she was when her password was found right.

    Raises Refused; the same for a wrong password and an unknown address.
    """
    refusals: list[tuple[Member, Outcome]] = []
    persons = {person.id: person for person in people.with_password(email, password)}
    for member in _memberships(list(persons.values()), account):
        member.person = persons[member.person_id]
        outcome = of_member(member, Way.PASSWORD)
        if outcome is Outcome.ADMIT:
            return member
        refusals.append((member, outcome))
    raise Refused(refusals[0][1] if refusals else Outcome.NOT_A_MEMBER, memberships=refusals, email=email)


def _memberships(persons: list[Person], account: Account | None) -> list[Member]:
    """Those that she has, before those that her directory has ended: she hears why, and the account that she came."""
    mine = Member.select(Member, Account).join(Account).where(Member.person.in_(persons), members.remembered())
    if account is not None:
        mine = mine.where(Member.account == account)
    first = (Member.removed_at.asc(nulls="first"), Member.active.desc(), Member.last_login_at.desc(nulls="last"))
    return list(mine.order_by(*first, Member.id))


def _state(member: Member) -> State:
    if member.removed_at is not None:
        return State.DEPROVISIONED
    return State.ACTIVE if member.active else State.SUSPENDED


def of_member(member: Member, way: Way) -> Outcome:
    """What becomes of a member, with her ``account``, who comes by this way and has shown who she is."""
    in_emergency = way in IN_AN_EMERGENCY  # elsewhere nobody asks the database whether she is an administrator
    return decide(
        Situation(
            way=way,
            state=_state(member),
            mode=sign_in_mode.of(member.account),
            sso_in_plan=plans.has(member.account, plans.Feature.SSO),
            administrator=in_emergency and member_roles.is_administrator(member.account, member),
        )
    )


def check_member(member: Member, way: Way, *, email: str | None = None) -> None:
    """The same where only one answer lets her in. Raises Refused."""
    outcome = of_member(member, way)
    if outcome not in ADMITTING:
        raise Refused(outcome, memberships=[(member, outcome)], email=email or member.email)


def check_invitation(invitation: Invitation, member: Member | None = None) -> None:
    """Whether an invitation, with its ``account``, can be accepted with a password by whoever holds its link;
    ``member`` is the one that she is already. Raises Refused."""
    if member is not None:
        return check_member(member, Way.INVITATION, email=invitation.email)
    situation = Situation(
        Way.INVITATION,
        State.DEPROVISIONED if invitations.is_outweighed(invitation) else State.INVITED,
        mode=sign_in_mode.of(invitation.account),
        invitations_in_plan=plans.has(invitation.account, plans.Feature.INVITATIONS),
    )
    if (outcome := decide(situation)) not in ADMITTING:
        raise Refused(outcome, email=invitation.email)
    return None
