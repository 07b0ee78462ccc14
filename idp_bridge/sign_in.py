"""Signing in: who this is, and whether she may come in. One decision table for every way in.

``identify`` finds the member behind an assertion, in this account only; ``decide`` is pure; ``by_assertion`` and
``by_password`` do what was decided. An assertion never revives anybody: not a suspended member, not one whom her
directory deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from idp_bridge import (
    clock,
    db,
    identity_links,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    plans,
    seats,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError, Forbidden
from idp_bridge.models import (
    Account,
    DirectoryGroup,
    DirectoryUser,
    IdentityLink,
    IdentityProvider,
    Invitation,
    Member,
    Person,
    RoleMapping,
)
from idp_bridge.roles import ADMIN
from idp_bridge.statement import Statement, among, parameter
from idp_bridge.text import fold


class Way(StrEnum):
    """How somebody comes in."""

    SAML = "saml"
    PASSWORD = "password"  # noqa: S105
    RECOVERY_CODE = "recovery_code"
    BREAK_GLASS = "break_glass"


class State(StrEnum):
    """What the account knows of her."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEPROVISIONED = "deprovisioned"  # deleted by her directory, within its 30 days
    INVITED = "invited"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"  # several could be meant; nobody is adopted silently
    ELSEWHERE = "elsewhere"  # another provider of this account speaks for her
    OTHERWISE = "otherwise"  # has the address of somebody whom this provider has called by another NameID


class Outcome(StrEnum):
    """What happens; every value but the first three is a refusal, and a reason in the events."""

    ADMIT = "admit"
    ACCEPT_INVITATION = "accept_invitation"
    JOIN = "join"
    SSO_NOT_IN_PLAN = "sso_not_in_plan"
    PROVIDER_DISABLED = "provider_disabled"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    SUSPENDED = "member_suspended"
    DEPROVISIONED = "member_deprovisioned"
    AMBIGUOUS = "identity_ambiguous"
    ELSEWHERE = "identity_of_another_provider"
    OTHERWISE = "identity_changed"
    INVITATION_NEEDED = "invitation_needed"
    SSO_ENFORCED = "sso_enforced"
    NOT_A_MEMBER = "not_a_member"


@dataclass(frozen=True)
class Situation:
    """The facts that decide."""

    way: Way
    state: State
    mode: str = "mixed"  # mixed | enforced
    policy: str = "invite_only"  # jit | invite_only
    sso_in_plan: bool = True
    enabled: bool = True


#: The first row all of whose facts hold decides; a fact that a row does not name may be anything.
TABLE: tuple[tuple[Mapping[str, Any], Outcome], ...] = (
    ({"way": Way.SAML, "sso_in_plan": False}, Outcome.SSO_NOT_IN_PLAN),
    ({"way": Way.SAML, "enabled": False}, Outcome.PROVIDER_DISABLED),
    ({"state": State.SUSPENDED}, Outcome.SUSPENDED),
    ({"state": State.DEPROVISIONED}, Outcome.DEPROVISIONED),
    ({"state": State.AMBIGUOUS}, Outcome.AMBIGUOUS),
    ({"state": State.ELSEWHERE}, Outcome.ELSEWHERE),
    ({"state": State.OTHERWISE}, Outcome.OTHERWISE),
    ({"way": Way.SAML, "state": State.ACTIVE}, Outcome.ADMIT),
    ({"way": Way.SAML, "state": State.INVITED}, Outcome.ACCEPT_INVITATION),
    ({"way": Way.SAML, "state": State.UNKNOWN, "policy": "jit"}, Outcome.JOIN),
    ({"way": Way.SAML, "state": State.UNKNOWN, "policy": "invite_only"}, Outcome.INVITATION_NEEDED),
    ({"way": Way.PASSWORD, "mode": "enforced"}, Outcome.SSO_ENFORCED),
    ({"way": Way.PASSWORD, "state": State.ACTIVE}, Outcome.ADMIT),
    ({"way": Way.RECOVERY_CODE, "state": State.ACTIVE}, Outcome.ADMIT),
    ({"way": Way.BREAK_GLASS, "state": State.ACTIVE}, Outcome.ADMIT),
    ({}, Outcome.NOT_A_MEMBER),
)

ADMITTING = frozenset({Outcome.ADMIT, Outcome.ACCEPT_INVITATION, Outcome.JOIN})

#: What the person reads. An administrator finds the facts by the reference beside it.
PUBLIC = {
    Outcome.SSO_NOT_IN_PLAN: "Single sign-on is not part of this account's plan. Ask an administrator.",
    Outcome.PROVIDER_DISABLED: "This identity provider is switched off. Ask an administrator of the account.",
    Outcome.ADDRESS_NOT_ALLOWED: "Your identity provider may not speak for that address here. Ask an administrator.",
    Outcome.SUSPENDED: "Your membership is suspended. Ask an administrator of the account to lift that.",
    Outcome.DEPROVISIONED: "Your organisation's directory has removed you. Ask whoever runs the directory.",
    Outcome.AMBIGUOUS: "More than one member could be meant by that sign-in. Ask an administrator of the account.",
    Outcome.ELSEWHERE: "You belong to another identity provider of this account. Sign in through that one.",
    Outcome.OTHERWISE: "Your identity provider calls you otherwise than the member who has your address. Ask an "
    "administrator.",
    Outcome.INVITATION_NEEDED: "You are not a member of this account yet. Ask an administrator to invite you.",
    Outcome.SSO_ENFORCED: "This account takes single sign-on only. Choose your identity provider.",
    Outcome.NOT_A_MEMBER: "You are not a member of an account that can be entered this way.",
}


class Refused(Forbidden):
    """Not let in. ``outcome`` is the reason, ``facts`` are for administrators.

    ``memberships``: those of somebody who has shown who she is, each with its own reason; empty where nobody has.
    """

    def __init__(
        self, outcome: Outcome, *, memberships: Sequence[tuple[Member, Outcome]] = (), **facts: str | None
    ) -> None:
        super().__init__(PUBLIC[outcome])
        self.outcome = outcome
        self.memberships = tuple(memberships)
        self.facts = facts


def decide(situation: Situation) -> Outcome:
    """The outcome of the first row of the table that fits."""
    for facts, outcome in TABLE:
        if all(getattr(situation, name) == value for name, value in facts.items()):
            return outcome
    raise AssertionError("the last row fits everything")


# --- by assertion -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """What a verified assertion says of somebody: SAML's NameID and the claims that were mapped.

    ``groups`` None: the assertion said nothing of groups, or only how many there are (Entra's overage); the roles
    held stay.
    """

    name_id: str
    name_id_format: str
    email: str
    first_name: str = ""
    last_name: str = ""
    display_name: str = ""
    groups: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The name to show."""
        return self.display_name or " ".join(part for part in (self.first_name, self.last_name) if part)


@dataclass(frozen=True)
class Found:
    """Who it is, as far as this account knows."""

    state: State
    member: Member | None = None
    invitation: Invitation | None = None
    by_link: bool = False  # the one that another link would be


@dataclass(frozen=True)
class Admission:
    """Who was let in, by which row of the table."""

    member: Member
    outcome: Outcome


def by_assertion(actor: Actor, provider: IdentityProvider, identity: Identity) -> Admission:
    """Let in, or make a member of, the person whom this provider's verified assertion names. Raises Refused."""
    account = actor.account
    _check_address(provider, identity)
    found = identify(account, provider, identity)
    if found.member is None:
        # Whoever is about to join is looked for again, alone: a double click must not make two members.
        seats.lock(account)
        found = identify(account, provider, identity)
    outcome = decide(
        Situation(
            way=Way.SAML,
            state=found.state,
            mode=account.sso_mode,
            policy=provider.join_policy,
            sso_in_plan=plans.has(account, plans.Feature.SSO),
            enabled=provider.enabled,
        )
    )
    if outcome not in ADMITTING:
        raise Refused(outcome, name_id=identity.name_id, email=identity.email)
    mapped = claimed_roles(provider, identity.groups) if identity.groups is not None else None
    member = found.member or _join(actor, provider, identity, invitation=found.invitation, mapped=mapped)
    member.account = account
    if not found.by_link:
        identity_links.remember(provider, member, name_id=identity.name_id, name_id_format=identity.name_id_format)
    own = member.managed_by != "scim"  # what a directory says of her stands above what an assertion says
    if own:
        _take_claims(actor, provider, member, identity, mapped)
    held = member_roles.roles_of(account, member)
    if own and mapped is not None and not held:
        member_roles.hold_default_roles(member, provider.default_roles)
        held = tuple(provider.default_roles)
    if ADMIN in held:
        IdentityProvider.update(administrator_signed_in_at=clock.now()).where(
            IdentityProvider.id == provider.id
        ).execute()
    return Admission(member, outcome)


@dataclass(frozen=True)
class Rehearsal:
    """What a sign-in would come to. ``refusal`` None: she would be let in; ``member_id`` None: as a new member."""

    outcome: Outcome | None
    refusal: DomainError | None = None
    member_id: str | None = None
    roles: tuple[str, ...] = ()


class _Undo(Exception):
    """Carries the result out of a transaction that must not be."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self.rehearsal = rehearsal


def rehearse(actor: Actor, provider: IdentityProvider, identity: Identity) -> Rehearsal:
    """What ``by_assertion`` would do now, if the connection were on: done in a transaction, and undone."""
    known = identify(actor.account, provider, identity).member
    provider.enabled = True  # of this instance, which nobody saves
    try:
        with db.transaction():
            admission = by_assertion(actor, provider, identity)
            held = member_roles.roles_of(actor.account, admission.member)
            done = Rehearsal(admission.outcome, member_id=known.id if known else None, roles=held)
            raise _Undo(done)  # noqa: TRY301 - what leaves the transaction by raising is rolled back
    except _Undo as undone:
        return undone.rehearsal
    except DomainError as refusal:
        outcome = refusal.outcome if isinstance(refusal, Refused) else None
        return Rehearsal(outcome, refusal=refusal, member_id=known.id if known else None)


def identify(account: Account, provider: IdentityProvider, identity: Identity) -> Found:
    """Who is this, in this account: the first of these that knows her decides.

    1. this provider's directory, by externalId; 2. a link made before; 3. this provider's directory, by userName;
    4. a member of the account with the address; 5. an invitation to it. An address may have been somebody else's once:
    whom this provider knows by another NameID, she is not.
    """
    asked = {
        "account": account.id,
        "provider": provider.id,
        "name_id": identity.name_id,
        "name_id_format": identity.name_id_format,
        "user_names": sorted({fold(identity.name_id), fold(identity.email)}),
        "email_key": fold(identity.email),
    }
    left: list[Member] = []
    for search in _SEARCHES:
        candidates = [member for (member,) in search.instances(**asked)]
        live = [member for member in candidates if member.removed_at is None]
        if live:
            found = _live(live, provider, by_link=search is _BY_LINK)
            return _unless_known_otherwise(found, provider, identity) if search is _BY_ADDRESS else found
        left += candidates
    return _absent(account, identity.email, left)


_COLUMNS = tuple(Member._meta.sorted_fields)


def _in_directory(condition: Any) -> Any:
    return (
        Member.select(*_COLUMNS)
        .join(DirectoryUser, on=(DirectoryUser.member == Member.id))
        .where(
            DirectoryUser.identity_provider == parameter("provider"), Member.account == parameter("account"), condition
        )
        .distinct()
    )


def _linked() -> Any:
    return (
        Member.select(*_COLUMNS)
        .join(IdentityLink, on=(IdentityLink.member == Member.id))
        .where(
            IdentityLink.identity_provider == parameter("provider"),
            IdentityLink.name_id_format == parameter("name_id_format"),
            IdentityLink.name_id == parameter("name_id"),
            Member.account == parameter("account"),
        )
    )


def _at_address() -> Any:
    return Member.select(*_COLUMNS).where(
        Member.account == parameter("account"), Member.email_key == parameter("email_key")
    )


_BY_LINK, _BY_ADDRESS = Statement(_COLUMNS, _linked), Statement(_COLUMNS, _at_address)
_SEARCHES = (
    Statement(_COLUMNS, lambda: _in_directory(DirectoryUser.external_id == parameter("name_id"))),
    _BY_LINK,
    Statement(_COLUMNS, lambda: _in_directory(among(DirectoryUser.user_name_key, "user_names"))),
    _BY_ADDRESS,
)


def _live(found: list[Member], provider: IdentityProvider, *, by_link: bool) -> Found:
    if len(found) > 1:
        return Found(State.AMBIGUOUS)
    member = found[0]
    if member.identity_provider_id not in (None, provider.id):
        return Found(State.ELSEWHERE, member)
    return Found(State.ACTIVE if member.active else State.SUSPENDED, member, by_link=by_link)


def _unless_known_otherwise(found: Found, provider: IdentityProvider, identity: Identity) -> Found:
    if found.member is None or not identity_links.known_otherwise(provider, found.member, name_id=identity.name_id):
        return found
    return Found(State.OTHERWISE)


def _absent(account: Account, address: str, left: list[Member]) -> Found:
    """Nobody who is a member now. An invitation made since her directory deleted her counts for more than that; past
    the days in which the DELETE can be undone she is somebody new."""
    since = clock.now() - members.RESTORABLE
    deleted = [member for member in left if member.removed_at is not None and member.removed_at > since]
    invitation = invitations.pending(account).where(Invitation.email_key == fold(address)).get_or_none()
    if invitation and all(invitation.created_at > member.removed_at for member in deleted):
        return Found(State.INVITED, invitation=invitation)
    return Found(State.DEPROVISIONED, deleted[0]) if deleted else Found(State.UNKNOWN)


def _check_address(provider: IdentityProvider, identity: Identity) -> None:
    domain = fold(identity.email.rpartition("@")[2])  # lower() would read the Kelvin sign as a k
    if provider.domains and domain not in provider.domains:
        raise Refused(Outcome.ADDRESS_NOT_ALLOWED, email=identity.email, domains=", ".join(provider.domains))


def claimed_roles(provider: IdentityProvider, claimed: tuple[str, ...]) -> dict[str, str]:
    """The roles that the groups of a claim give: mapping id -> role. Okta names groups, Entra sends their object ids,
    which are the externalIds of the pushed ones."""
    names = {fold(group) for group in claimed}
    return {
        mapping.id: mapping.role
        for mapping, group in _MAPPINGS.instances(provider=provider.id)
        if (_key(mapping, group) in names or (group is not None and group.external_id in claimed))
        and (mapping.role != ADMIN or provider.may_grant_admin)
    }


_MAPPINGS: Statement = Statement(
    (*RoleMapping._meta.sorted_fields, *DirectoryGroup._meta.sorted_fields),
    lambda: (
        RoleMapping.select(*_MAPPINGS.columns)
        .left_outer_join(DirectoryGroup)
        .where(RoleMapping.identity_provider == parameter("provider"))
    ),
)


def _key(mapping: RoleMapping, group: DirectoryGroup | None) -> str:
    """The group's name as it is now; before it is pushed, the one the mapping waits under."""
    return mapping.group_key if group is None else group.display_name_key


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


def _take_claims(
    actor: Actor, provider: IdentityProvider, member: Member, identity: Identity, mapped: dict[str, str] | None
) -> None:
    # An address that another member has stays hers: two under one could not be told apart when they sign in.
    changed = identity.email != member.email
    others = changed and any(other.id != member.id for other in members.with_address(actor.account, identity.email))
    members.update_profile(
        actor,
        member,
        email=member.email if others else identity.email,
        name=identity.name or member.name,
        first_name=identity.first_name or member.first_name,
        last_name=identity.last_name or member.last_name,
    )
    if mapped is not None:
        member_roles.set_claimed_roles(actor, member, mapped)


# --- by password ------------------------------------------------------------------------------------------------


def by_password(email: str, password: str, *, account: Account | None = None) -> Member:
    """The membership that the password opens: of ``account`` where one is named, else the first that can be entered.

    Raises Refused; the same for a wrong password and an unknown address.
    """
    refusals: list[tuple[Member, Outcome]] = []
    for member in _memberships(people.with_password(email, password), account):
        outcome = decide(Situation(way=Way.PASSWORD, state=_state(member), mode=member.account.sso_mode))
        if outcome is Outcome.ADMIT:
            return member
        refusals.append((member, outcome))
    raise Refused(refusals[0][1] if refusals else Outcome.NOT_A_MEMBER, memberships=refusals, email=email)


def _memberships(persons: list[Person], account: Account | None) -> list[Member]:
    mine = Member.select(Member, Account).join(Account).where(Member.person.in_(persons), Member.removed_at.is_null())
    if account is not None:
        mine = mine.where(Member.account == account)
    return list(mine.order_by(Member.active.desc(), Member.last_login_at.desc(nulls="last"), Member.id))


def _state(member: Member) -> State:
    return State.ACTIVE if member.active else State.SUSPENDED
