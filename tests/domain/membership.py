"""A model of membership that shares no code with the product: who is in, by which sources she holds which roles, what
her sessions reach, and how many seats that takes. The state machine compares the product with it after every step."""

from collections.abc import Iterator
from dataclasses import dataclass, field

ADMIN = "admin"


@dataclass
class Mapping:
    """Group -> role. ``group`` None: it waits under ``name``."""

    name: str
    role: str
    group: str | None = None


@dataclass
class Place:
    """A member."""

    email: str
    key: str  # her API key
    given: set[tuple[str, str, str]] = field(default_factory=set)  # (role, hand | default | claim, mapping)
    held: bool = False
    directory_active: bool = True
    removed: bool = False
    by_directory: bool = False
    record: str | None = None  # of her directory, alive
    record_active: bool = True
    groups: set[str] = field(default_factory=set)

    @property
    def active(self) -> bool:
        """Whether she may come in, works through her credentials, and has a seat."""
        return not self.held and self.directory_active and not self.removed


@dataclass
class Signed:
    """A session: how it was opened, and whom it reaches."""

    method: str
    provider: bool
    reach: set[str]


@dataclass
class Account:
    """One account with all that hangs on it."""

    plan: str = "enterprise"
    limit: int | None = None
    mode: str = "mixed"
    places: dict[str, Place] = field(default_factory=dict)
    invitations: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)  # id -> address, roles
    groups: dict[str, str] = field(default_factory=dict)  # id -> name
    mappings: dict[str, Mapping] = field(default_factory=dict)
    sessions: dict[str, Signed] = field(default_factory=dict)
    own_roles: dict[str, str] = field(default_factory=dict)  # id -> name
    provider_enabled: bool = True
    may_grant_admin: bool = False

    @property
    def used(self) -> int:
        """Seats of active members."""
        return sum(place.active for place in self.places.values())

    @property
    def taken(self) -> int:
        """Seats used and reserved."""
        return self.used + len(self.invitations)

    @property
    def full(self) -> bool:
        """Whether nobody more fits in."""
        return self.limit is not None and self.taken >= self.limit

    def living(self) -> dict[str, Place]:
        """Who is not removed."""
        return {key: place for key, place in self.places.items() if not place.removed}

    def roles_of(self, key: str) -> set[str]:
        """From every source she has."""
        if self.plan == "free":
            return {ADMIN}
        place = self.places[key]
        held = {role for role, _, _ in place.given}
        if place.record is not None:
            held |= {
                mapping.role
                for mapping in self.mappings.values()
                if mapping.group in place.groups and (mapping.role != ADMIN or self.may_grant_admin)
            }
        return held

    def not_by_hand(self, key: str) -> set[str]:
        """The roles that a group or a claim gives her."""
        mine = {given for given in self.places[key].given if given[1] != "claim"}
        kept, self.places[key].given = self.places[key].given, self.places[key].given - mine
        try:
            return self.roles_of(key)
        finally:
            self.places[key].given = kept

    def administrators(self) -> set[str]:
        """Who is one and active."""
        return {key for key, place in self.places.items() if place.active and ADMIN in self.roles_of(key)}

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

    def end_by_provider(self) -> None:
        """As switching it off does."""
        for session in self.sessions.values():
            if session.provider:
                session.reach.clear()

    def claimed(self, names: set[str], *, managed: bool) -> dict[str, str]:
        """What the groups of an assertion give: mapping -> role."""
        return {
            key: mapping.role
            for key, mapping in self.mappings.items()
            if (mapping.name if mapping.group is None else self.groups[mapping.group]) in names
            and (mapping.role != ADMIN or self.may_grant_admin)
            and not (managed and mapping.group is not None)
        }

    def bind(self, group: str) -> None:
        """A group has come, or got another name: its mappings follow, those that wait under it take hold."""
        name = self.groups[group]
        there = {mapping.role for mapping in self.mappings.values() if mapping.name == name}
        for mapping in self.mappings.values():
            if mapping.group == group and mapping.role not in there:
                mapping.name = name
        for mapping in self.mappings.values():
            if mapping.group is None and mapping.name == name:
                mapping.group = group

    def holders(self, role: str) -> Iterator[str]:
        """Whatever holds an own role by its name, by word."""
        yield from (key for key, place in self.living().items() if role in {given[0] for given in place.given})
        yield from (key for key, mapping in self.mappings.items() if mapping.role == role)
        yield from (key for key, (_, names) in self.invitations.items() if role in names)
