"""A model of membership that shares no code with the product: who is in, by which sources she holds which roles, what
her sessions reach, how many seats that takes; and for everything that can be done, what must stand against it. The
state machine compares the product with it at every step."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import count

ADMIN, DEFAULT = "admin", "developer"
MEMBERS_WRITE = "members:write"
ADMINISTRATIVE = {
    *("account:write", "billing:write", "bots:write", "credentials:all", "idps:read", "idps:write", "roles:write")
}
READING = {"account:read", "members:read", "groups:read", "events:read", "bots:read", "usage:read"}
BUILT_IN: dict[str, set[str]] = {
    ADMIN: {*ADMINISTRATIVE, *READING, MEMBERS_WRITE, "billing:read", "credentials:own", "introspect", "usage:write"},
    "team_manager": {"account:read", "members:read", "groups:read", "events:read", MEMBERS_WRITE},
    DEFAULT: {*READING, "credentials:own", "introspect", "usage:write"},
    "billing": {"account:read", "members:read", "usage:read", "billing:read", "billing:write"},
    "viewer": READING,
}

#: The service itself, among those who act: a member by her id, or a bot user by its.
SYSTEM = ""

Given = tuple[str, str, str]  # role, hand | default | claim, mapping


@dataclass
class Provider:
    """An identity provider with its directory."""

    enabled: bool = True
    off_by_plan: bool = False
    may_grant_admin: bool = False
    proven_by: str | None = None  # who signed in by it last as an administrator


@dataclass
class Mapping:
    """Group of a provider -> role. ``group`` None: it waits under ``name``."""

    provider: str
    name: str
    role: str
    group: str | None = None


@dataclass
class Group:
    """Of a provider's directory."""

    provider: str
    name: str


@dataclass
class OwnRole:
    """Of the account."""

    name: str
    permissions: set[str]


@dataclass
class Invitation:
    """``sent``: when somebody last vouched for it."""

    email: str
    roles: set[str]
    sender: str
    sent: int


@dataclass
class Place:
    """A member."""

    email: str
    keys: list[str]  # her API keys
    given: set[Given] = field(default_factory=set)
    held: bool = False
    directory_active: bool = True
    removed: int = 0  # when her directory deleted her
    provider: str | None = None
    by_directory: bool = False
    record: str | None = None  # of her directory, alive
    record_active: bool = True
    left: dict[str, int] = field(default_factory=dict)  # directory -> when it last deleted a record of hers
    links: set[str] = field(default_factory=set)  # the providers that have signed her in
    groups: set[str] = field(default_factory=set)

    @property
    def active(self) -> bool:
        """Whether she may come in, works through her credentials, and has a seat."""
        return not self.held and self.directory_active and not self.removed


@dataclass
class Signed:
    """A session: how it was opened, by which provider, and whom it reaches."""

    method: str
    provider: str | None
    reach: set[str]


@dataclass
class Account:
    """One account with all that hangs on it."""

    plan: str = "enterprise"
    limit: int | None = None
    mode: str = "mixed"
    places: dict[str, Place] = field(default_factory=dict)
    bots: dict[str, set[str]] = field(default_factory=dict)  # id -> roles
    invitations: dict[str, Invitation] = field(default_factory=dict)
    providers: dict[str, Provider] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    mappings: dict[str, Mapping] = field(default_factory=dict)
    sessions: dict[str, Signed] = field(default_factory=dict)
    own_roles: dict[str, OwnRole] = field(default_factory=dict)
    ticks: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def used(self) -> int:
        """Seats of active members."""
        return sum(place.active for place in self.places.values())

    @property
    def reserved(self) -> int:
        """Seats of invitations, but for those whose sender is out."""
        return sum(self.is_in(one.sender) for one in self.invitations.values())

    @property
    def taken(self) -> int:
        """Seats used and reserved."""
        return self.used + self.reserved

    def is_in(self, sender: str) -> bool:
        """Whether a sender still acts here: the service always does."""
        return sender == SYSTEM or sender in self.bots or (sender in self.places and self.places[sender].active)

    def living(self) -> dict[str, Place]:
        """Who is not removed."""
        return {key: place for key, place in self.places.items() if not place.removed}

    def at(self, email: str) -> list[str]:
        """The living members with that address."""
        return [key for key, place in self.living().items() if place.email == email]

    def roles_of(self, key: str) -> set[str]:
        """From every source she has."""
        if self.plan == "free":
            return {ADMIN}
        place = self.places[key]
        held = {role for role, _, _ in place.given}
        if place.record is not None:
            held |= {mapping.role for mapping in self.mappings.values() if self._gives(mapping, place)}
        return held

    def _gives(self, mapping: Mapping, place: Place) -> bool:
        return mapping.group in place.groups and self._may_give(mapping)

    def _may_give(self, mapping: Mapping) -> bool:
        return mapping.role != ADMIN or self.providers[mapping.provider].may_grant_admin

    def not_by_hand(self, key: str) -> set[str]:
        """The roles that a group or a claim gives her."""
        place = self.places[key]
        by_groups = {mapping.role for mapping in self.mappings.values() if self._gives(mapping, place)}
        return {role for role, source, _ in place.given if source == "claim"} | (by_groups if place.record else set())

    def administrators(self) -> set[str]:
        """Who is one and active."""
        return {key for key, place in self.places.items() if place.active and ADMIN in self.roles_of(key)}

    def proven(self, provider: str) -> bool:
        """Whether somebody who is an administrator has come in by it."""
        return self.providers[provider].proven_by in self.administrators()

    def holds(self, role: str) -> bool:
        """Whether anything refers to a role by its name."""
        return (
            any(role in {given[0] for given in place.given} for place in self.living().values())
            or any(mapping.role == role for mapping in self.mappings.values())
            or any(role in invitation.roles for invitation in self.invitations.values())
            or any(role in held for held in self.bots.values())
        )

    # --- who may what ---------------------------------------------------------------------------------------------

    def is_administrator(self, caller: str) -> bool:
        """A bot user never is."""
        return caller == SYSTEM or (caller in self.places and ADMIN in self.roles_of(caller))

    def rights(self, caller: str) -> set[str]:
        """What the caller's roles allow."""
        if caller == SYSTEM:
            return BUILT_IN[ADMIN]
        held = self.bots[caller] if caller in self.bots else self.roles_of(caller)
        return set().union(*(self.allowed_by(role) for role in held))

    def allowed_by(self, role: str) -> set[str]:
        """By a built-in role or an own one."""
        own = {one.name: one.permissions for one in self.own_roles.values()}
        return BUILT_IN.get(role) or own.get(role, set())

    def against_granting(self, caller: str, roles: Set[str]) -> set[str]:
        """What stands against the caller's giving these roles."""
        own = {one.name for one in self.own_roles.values()}
        found = set()
        if roles - BUILT_IN.keys() - own:
            found.add("ERR_INVALID_BODY")
        if roles & own and self.plan != "enterprise":
            found.add("ERR_PLAN_REQUIRED")
        return found | self.against_promising(caller, roles)

    def against_promising(self, caller: str, roles: Iterable[str]) -> set[str]:
        """The same, but for what the plan has."""
        found, administrator, rights = set(), self.is_administrator(caller), self.rights(caller)
        for role in roles:
            if role == ADMIN and not administrator:
                found.add("ERR_ADMINISTRATORS_ONLY")
            if (self.allowed_by(role) & ADMINISTRATIVE) - rights:
                found.add("ERR_GRANT_ABOVE_OWN_RIGHTS")
        return found

    def against_touching(self, caller: str, key: str) -> set[str]:
        """Only administrators touch administrators."""
        untouchable = ADMIN in self.roles_of(key) and not self.is_administrator(caller)
        return {"ERR_ADMINISTRATORS_ONLY"} if untouchable else set()

    def against_one_more(self, *, besides: int = 0) -> set[str]:
        """Whether the seats are full, once ``besides`` reservations are given up."""
        full = self.limit is not None and self.taken - besides >= self.limit
        return {"ERR_SEATS_FULL"} if full else set()

    def without_plan(self, *plans: str) -> set[str]:
        """What only these plans have."""
        return set() if self.plan in plans else {"ERR_PLAN_REQUIRED"}

    # --- invitations ----------------------------------------------------------------------------------------------

    def vouched(self, invitation: Invitation) -> bool:
        """Whether its sender may still promise what it promises."""
        sender = invitation.sender
        if sender == SYSTEM or not self.is_in(sender):
            return sender == SYSTEM
        return MEMBERS_WRITE in self.rights(sender) and not self.against_granting(sender, invitation.roles)

    def standing(self, email: str) -> str | None:
        """The invitation that counts where somebody comes by another way."""
        found = [key for key, one in self.invitations.items() if one.email == email and self.vouched(one)]
        return found[0] if found else None

    def outweighed(self, invitation: Invitation) -> bool:
        """Whether a directory has deleted somebody of that address since it was sent."""
        return any(place.removed > invitation.sent for place in self.places.values() if place.email == invitation.email)

    def against_accepting(self, key: str) -> set[str]:
        """What stands against using an invitation up by its link."""
        invitation = self.invitations[key]
        found = self.without_plan("pro", "enterprise") | self.against_one_more(besides=self.is_in(invitation.sender))
        if not self.vouched(invitation) or self.outweighed(invitation):
            found.add("ERR_GONE")
        if self.at(invitation.email):
            found.add("ERR_ALREADY_MEMBER")
        return found

    # --- ways in --------------------------------------------------------------------------------------------------

    def against_signing_in(self, provider: str, email: str) -> set[str]:
        """What stands against an assertion, by the reason of the refusal or the code."""
        if self.plan != "enterprise":
            return {"sso_not_in_plan"}
        if not self.providers[provider].enabled:
            return {"provider_disabled"}
        for key in self.at(email):
            place = self.places[key]
            if provider not in place.links and place.provider not in (None, provider):
                return {"identity_of_another_provider"}
            return set() if place.active else {"member_suspended"}
        if self.invited(email) is not None:
            return self.against_one_more(besides=1)
        if any(place.email == email for place in self.places.values()):
            return {"member_deprovisioned"}
        return self.against_one_more()

    def invited(self, email: str) -> str | None:
        """The invitation that a sign-in takes up."""
        key = self.standing(email)
        return None if key is None or self.outweighed(self.invitations[key]) else key

    def leaver(self, provider: str, email: str) -> str | None:
        """Whom this directory's next POST of the address brings back, where nobody has it."""
        left = {
            place.left[provider]: key
            for key, place in self.places.items()
            if place.email == email and provider in place.left and place.record is None
        }
        return left[max(left)] if left else None

    def against_pushing(self, provider: str, email: str, *, active: bool) -> set[str]:
        """What stands against a directory's POST, but for the last administrator."""
        for key in self.at(email):
            place = self.places[key]
            if place.record is not None and place.provider == provider:
                return {"uniqueness"}
            return {"ERR_MANAGED_BY_DIRECTORY"} if place.by_directory else set()
        leaver = self.leaver(provider, email)
        seated = active and not (leaver and self.places[leaver].held)
        return self.against_one_more(besides=self.standing(email) is not None) if seated else set()

    # --- what happens ---------------------------------------------------------------------------------------------

    def settle(self, key: str) -> None:
        """Whoever is not active any more has no session."""
        if not self.places[key].active:
            self.sign_out(key)

    def sign_out(self, key: str, *, keep: str | None = None) -> None:
        """Everywhere, but for ``keep``."""
        for token, session in self.sessions.items():
            if token != keep:
                session.reach.discard(key)

    def end_by_password(self, *, keep: str | None = None) -> None:
        """As enforcing does."""
        for token, session in self.sessions.items():
            if session.method == "password" and token != keep:
                session.reach -= self.places.keys()

    def end_by_provider(self, provider: str) -> None:
        """As switching it off does."""
        for session in self.sessions.values():
            if session.provider == provider:
                session.reach.clear()

    def link(self, provider: str, key: str) -> None:
        """What the provider calls her means her alone."""
        for place in self.places.values():
            if place.email == self.places[key].email:
                place.links.discard(provider)
        self.places[key].links.add(provider)

    def claimed(self, provider: str, names: set[str], *, managed: bool) -> dict[str, str]:
        """What the groups of an assertion give: mapping -> role."""
        return {
            key: mapping.role
            for key, mapping in self.mappings.items()
            if mapping.provider == provider
            and (mapping.name if mapping.group is None else self.groups[mapping.group].name) in names
            and self._may_give(mapping)
            and not (managed and mapping.group is not None)
        }

    def bind(self, group: str) -> None:
        """A group has come, or got another name: its mappings follow, those that wait under it take hold."""
        name, provider = self.groups[group].name, self.groups[group].provider
        its = [mapping for mapping in self.mappings.values() if mapping.provider == provider]
        there = {mapping.role for mapping in its if mapping.name == name}
        for mapping in its:
            if mapping.group == group and mapping.role not in there:
                mapping.name = name
        for mapping in its:
            if mapping.group is None and mapping.name == name:
                mapping.group = group

    def rename_role(self, before: str, after: str) -> None:
        """Whatever held it by the former name holds it by the new one."""
        for place in self.places.values():
            place.given = {(after if one[0] == before else one[0], *one[1:]) for one in place.given}
        for mapping in self.mappings.values():
            mapping.role = after if mapping.role == before else mapping.role
        for names in (*(one.roles for one in self.invitations.values()), *self.bots.values()):
            if before in names:
                names.remove(before)
                names.add(after)
