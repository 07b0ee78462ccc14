"""Who acts. The first argument of every function that changes something: its account is the only one in reach."""

from dataclasses import dataclass, field
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

    def may(self, permission: Permission) -> bool:
        """Whether the actor's roles, or its being the system itself, allow this."""
        return permission in self.permissions or self.type == "system"


def system(account: Account, *, source: str = "system", subject: str = "idp-bridge") -> Actor:
    """The service itself: the command line, background work."""
    return Actor(account=account, type="system", subject=subject, source=source, permissions=frozenset(Permission))
