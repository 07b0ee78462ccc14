"""The sample directory: the same people and groups in every run, so that a demo and a test can name them.

Everything here is derived from names; nothing is random and nothing is read from outside. Addresses lie under
the reserved `.test` domain (RFC 6761 section 6.2) and can never reach a person.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import NAMESPACE_URL, UUID, uuid5

DOMAIN = "acme.test"
# Each simulated provider has people of its own: one person belongs to one directory.
DOMAINS = {"okta": DOMAIN, "entra": "globex.test"}
_BASE62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Person:
    """One person as an identity provider knows her; `groups` are display names."""

    user_name: str
    given_name: str
    family_name: str
    title: str
    department: str
    locale: str
    groups: tuple[str, ...]

    @property
    def key(self) -> str:
        """The part of the address before the @; names the person on the sign-in page."""
        return self.user_name.partition("@")[0]

    @property
    def email(self) -> str:
        """User name and address are the same here, as in most Okta and Entra tenants."""
        return self.user_name

    @property
    def display_name(self) -> str:
        """Given name, then family name."""
        return f"{self.given_name} {self.family_name}"

    @property
    def okta_id(self) -> str:
        """Okta's user id: `00u` and 17 characters, sent as `externalId`."""
        return "00u" + _base62(f"okta-user:{self.user_name}", 17)

    @property
    def object_id(self) -> str:
        """Entra's object id, a GUID."""
        return _guid("user", self.user_name)

    @property
    def employee_number(self) -> str:
        """Four digits, stable for this person."""
        return str(1000 + int(sha256(self.user_name.encode()).hexdigest(), 16) % 9000)


@dataclass(frozen=True)
class Team:
    """A group of the directory and the user names of its members."""

    name: str
    members: tuple[str, ...]

    @property
    def object_id(self) -> str:
        """Entra names groups by GUID, in assertions and as `externalId`."""
        return group_guid(self.name)


_NAMED = (
    ("ana.souza", "Ana", "Souza", "Staff Engineer", "Engineering", "pt-BR", ("Engineering",)),
    ("bjorn.haakonsen", "Bjørn", "Håkonsen", "Support Lead", "Support", "nb-NO", ("Support",)),
    ("yoko.tanaka", "陽子", "田中", "Controller", "Finance", "ja-JP", ("Finance",)),
    ("olena.shevchenko", "Олена", "Шевченко", "Site Reliability Engineer", "Engineering", "uk-UA",
     ("Engineering", "Support")),
    ("maryam.alfarsi", "مريم", "الفارسي", "Data Engineer", "Engineering", "ar-OM", ("Engineering",)),
    ("zoe.obrien", "Zoë", "O'Brien-Müller", "Support Engineer", "Support", "en-IE", ("Support",)),
    ("neha.sharma", "नेहा", "शर्मा", "Finance Analyst", "Finance", "hi-IN", ("Finance",)),
    ("minh.le", "Minh", "Lê Thị", "Engineering Manager", "Engineering", "vi-VN", ("Engineering", "Finance")),
)  # fmt: skip
TEAM_NAMES = ("Engineering", "Support", "Finance")


def directory(count: int = len(_NAMED), *, domain: str = DOMAIN, prefix: str = "") -> tuple[Person, ...]:
    """The first `count` people: eight with names of their own, then numbered ones."""
    return tuple(person for person, _ in zip(_everybody(domain, prefix), range(count), strict=False))


def teams(people: Sequence[Person], count: int = len(TEAM_NAMES), *, prefix: str = "") -> tuple[Team, ...]:
    """The first `count` groups with those of `people` who belong to them."""
    names = [*TEAM_NAMES, *(f"Project {n}" for n in range(1, count - len(TEAM_NAMES) + 1))][:count]
    return tuple(
        Team(prefix + name, tuple(p.user_name for place, p in enumerate(people) if _belongs(p, name, place)))
        for name in names
    )


def group_guid(name: str) -> str:
    """The GUID that Entra uses for the group of this name."""
    return _guid("group", name)


def _everybody(domain: str, prefix: str) -> Iterator[Person]:
    for key, given, family, title, department, locale, groups in _NAMED:
        yield Person(f"{prefix}{key}@{domain}", given, family, title, department, locale, groups)
    number = len(_NAMED)
    while True:
        number += 1
        team = TEAM_NAMES[number % len(TEAM_NAMES)]
        address = f"{prefix}person-{number:04d}@{domain}"
        yield Person(address, "Person", f"Nº {number}", "Associate", team, "en-US", (team,))


def _belongs(person: Person, team: str, place: int) -> bool:
    if team in TEAM_NAMES:
        return team in person.groups
    return place % 2 == 0


def _guid(kind: str, name: str) -> str:
    return str(uuid5(UUID(str(uuid5(NAMESPACE_URL, f"https://simulator.test/{kind}"))), name))


def _base62(text: str, length: int) -> str:
    number = int(sha256(text.encode()).hexdigest(), 16)
    return "".join(_BASE62[number // 62**place % 62] for place in range(length))
