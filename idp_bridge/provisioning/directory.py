"""Directory: one identity provider's tenant. Nothing outside it can be read or written through these functions."""

from dataclasses import dataclass
from datetime import datetime

from idp_bridge import clock
from idp_bridge.actors import Actor
from idp_bridge.models import Account, IdentityProvider
from scim.schemas import STANDARD, Catalogue


@dataclass(frozen=True)
class Directory:
    """The directory that a SCIM token opens, and who acts in it. ``base_url`` is that of SCIM, ``…/scim/v2``;
    ``catalogue`` holds the resource types with what the account has added to them."""

    identity_provider: IdentityProvider
    account: Account
    actor: Actor
    base_url: str
    catalogue: Catalogue = STANDARD

    @property
    def id(self) -> str:
        """The identity provider's id, by which every row of the directory is found."""
        return str(self.identity_provider.id)

    @property
    def strict(self) -> bool:
        """Whether unknown attributes are refused instead of passed over."""
        return bool(self.identity_provider.strict_scim)


def moment() -> datetime:
    """Now, to the millisecond: what ``meta`` shows is what is stored, so a filter by a value just read finds it."""
    now = clock.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
