"""Who acts. The first argument of every function that changes something: its account is the only one in reach."""

import getpass
import os
from dataclasses import dataclass, field, replace
from datetime import datetime

from idp_bridge.models import Account
from idp_bridge.roles import ADMIN, Permission


@dataclass(frozen=True)
class Actor:
    """A principal at work in one account.

    ``type``: user, bot_user, identity_provider, operator or system. ``source``: dashboard, api, scim, saml, cli or
    system. ``subject`` is what a person reads in the event: an address, a bot's or a provider's name.
    ``identity_provider_id``: whose word opened the session that the actor works in; None for a key or a password.
    ``made_through``: of a key, whose word had opened the session that it was made in.
    """

    account: Account
    type: str
    subject: str
    source: str
    id: str | None = None
    credential_id: str | None = None
    roles: tuple[str, ...] = ()
    permissions: frozenset[Permission] = field(default=frozenset(), repr=False)
    identity_provider_id: str | None = None
    made_through: str | None = None
    address: str | None = None
    request_id: str | None = None
    began_at: datetime | None = None  # the request

    @property
    def administrator(self) -> bool:
        """Whether the actor is an administrator, or the system or operator itself."""
        return ADMIN in self.roles or self.type in {"system", "operator"}

    @property
    def goes_back_to(self) -> str | None:
        """The identity provider by whose word the actor is who it says it is; None where it needed none."""
        return self.identity_provider_id or self.made_through

    def joined_as(self, member_id: str) -> "Actor":
        """The same, where it is somebody who has just become that member herself: only now she has an id."""
        return replace(self, id=member_id) if self.type == "user" and self.id is None else self

    def may(self, permission: Permission) -> bool:
        """Whether the actor's roles, or its being the system itself, allow this."""
        return permission in self.permissions or self.type == "system"


def system(account: Account, *, source: str = "system", subject: str = "idp-bridge") -> Actor:
    """The service itself: background work."""
    return Actor(account=account, type="system", subject=subject, source=source, permissions=frozenset(Permission))


def operator(account: Account) -> Actor:
    """Whoever runs the service, at its command line: the user of that machine, as far as it says."""
    return Actor(account=account, type="operator", subject=_user(), source="cli", permissions=frozenset(Permission))


def _user() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number that has no name
        return "idp-bridge"
