"""Directory: one identity provider's tenant. Nothing outside it can be read or written through these functions."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp_bridge import clock
from idp_bridge.actors import Actor
from idp_bridge.db import database, encode, locked
from idp_bridge.models import Account, DirectoryGroup, DirectoryUser, GroupMember, IdentityProvider
from idp_bridge.statement import Statement, among, parameter
from idp_bridge.text import fold
from scim.errors import Conflict, InvalidValue, PayloadTooLarge
from scim.meta import location
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

    def hold_catalogue(self) -> None:
        """For a write, which was read by it: the account's extensions stay as they are until the transaction ends.
        Raises Conflict where they have changed meanwhile."""
        known = self.account.extensions_version
        if known and _VERSION.rows(account=self.account.id) != [(known,)]:
            raise Conflict("The account's schema extensions have just been changed; send this again.")

    def take_turn(self, ids: Collection[str]) -> None:
        """For many changes in one transaction: those of another such wait until this one ends, and the groups and users
        with these ids are nobody else's to change. All at once, in the order in which a single request takes them: in
        another two would wait for each other, and the database would end one of them."""
        _TURN.rows(directory=self.id)
        if database.for_update and ids:
            _GROUPS.rows(directory=self.id, ids=ids)
            _USERS.rows(directory=self.id, ids=ids)

    @property
    def groups_url(self) -> str:
        """What a reference to a group begins with."""
        return location(self.catalogue.group, "", base=self.base_url)

    @property
    def strict(self) -> bool:
        """Whether unknown attributes are refused instead of passed over."""
        return bool(self.identity_provider.strict_scim)


def _version() -> Any:
    query = Account.select(Account.extensions_version).where(Account.id == parameter("account"))
    # The lock that every event takes on its account; only who changes extensions waits for it, and we for her.
    return query.for_update("FOR KEY SHARE") if database.for_update else query  # type: ignore[arg-type]


_VERSION = Statement((Account.extensions_version,), _version)

_TURN = Statement(
    (IdentityProvider.id,),
    lambda: locked(IdentityProvider.select(IdentityProvider.id).where(IdentityProvider.id == parameter("directory"))),
)


def _held(model: Any, which: Callable[[], Any]) -> Statement:
    def query() -> Any:
        own = model.select(model.id).where(model.identity_provider == parameter("directory"), which())
        return locked(own.order_by(model.id))

    return Statement((model.id,), query)


# With the groups that a user is in, who leaves them where she is deleted.
_GROUPS = _held(
    DirectoryGroup,
    lambda: (
        among(DirectoryGroup.id, "ids")
        | DirectoryGroup.id.in_(GroupMember.select(GroupMember.group).where(among(GroupMember.user, "ids")))
    ),
)
_USERS = _held(DirectoryUser, lambda: among(DirectoryUser.id, "ids"))

LONGEST_KEY = 2_000  # bytes, as they are compared: an index of PostgreSQL takes 2,700, its other columns included
LARGEST_RESOURCE = 256 * 1024  # characters, without members: a page has a thousand, and is made in memory


def written(resource: Mapping[str, Any], **keys: str | None) -> str:
    """The resource as it is stored. What is looked up by an index must fit into it, and a page of such resources into
    memory. Raises InvalidValue naming the attribute, PayloadTooLarge."""
    text = encode(resource)
    if len(text) > LARGEST_RESOURCE:
        raise PayloadTooLarge(f"A resource has at most {LARGEST_RESOURCE // 1024} KiB.")
    for name, value in keys.items():
        if value is not None and len(value) * 4 > LONGEST_KEY and len(fold(value).encode()) > LONGEST_KEY:
            raise InvalidValue(f"{name} is longer than the {LONGEST_KEY} bytes that can be looked up.")
    return text


def moment() -> datetime:
    """Now, to the millisecond: what ``meta`` shows is what is stored, so a filter by a value just read finds it."""
    now = clock.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
