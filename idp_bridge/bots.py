"""Bot users: service accounts that own credentials. They belong to one account, cannot sign in and are never a seat.

Deactivating suspends every credential and keeps it; deleting revokes and erases them for good.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from idp_bridge import clock, db, events, grants, ids, roles, seats
from idp_bridge.actors import Actor
from idp_bridge.db import column
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, BotUser, Credential
from idp_bridge.text import fold


def of_account(account: Account) -> Any:
    """The account's bot users, as a query."""
    return BotUser.select().where(BotUser.account == account)


def get(account: Account, bot_id: str) -> BotUser:
    """The bot user of this account. Raises NotFound."""
    bot = of_account(account).where(BotUser.id == bot_id).get_or_none()
    if bot is None:
        raise NotFound(f"There is no bot user {bot_id} in this account.")
    return bot


def create(
    actor: Actor,
    name: str,
    *,
    active: bool = True,
    description: str = "",
    metadata: str = "",
    role_names: Sequence[str] = roles.DEFAULT,
) -> BotUser:
    """A new bot user. Raises Conflict (name taken), Invalid or Forbidden (roles)."""
    granted = _granted(actor, role_names)
    with _unique_name(name):
        bot = BotUser.create(
            id=ids.new("bot"),
            account=actor.account,
            name=name,
            name_key=fold(name),
            description=description,
            metadata=metadata,
            roles=granted,
            active=active,
            created_at=clock.now(),
        )
    events.record(actor, Type.BOT_USER_CREATED, describe(bot))
    return bot


def change(actor: Actor, bot: BotUser, **fields: Any) -> None:
    """Set name, active, description, metadata or roles. Raises Conflict, Invalid, Forbidden (rights; the seats of the
    invitations that it has sent, which count again once it is active)."""
    _hold(bot)
    if "roles" in fields:
        fields["roles"] = _granted(actor, fields["roles"])
    changed = {name: value for name, value in fields.items() if getattr(bot, name) != value}
    if not changed:
        return
    before = {name: getattr(bot, name) for name in changed}
    if "name" in changed:
        changed["name_key"] = fold(changed["name"])
    for name, value in changed.items():
        setattr(bot, name, value)
    returns = changed.get("active", False)
    with _unique_name(bot.name), seats.reviving(actor.account) if returns else nullcontext():
        bot.save(only=[getattr(BotUser, name) for name in changed])
    told = {"credentials": _credentials(bot)} if "active" in changed else {}  # which stop, or work again
    events.record(actor, Type.BOT_USER_UPDATED, {**describe(bot), **told, "before": before})


def delete(actor: Actor, bot: BotUser) -> None:
    """Gone, with every credential it owned. Raises NotFound (deleted meanwhile)."""
    _hold(bot)
    gone = {**describe(bot), "credentials": _credentials(bot)}
    bot.delete_instance()
    events.record(actor, Type.BOT_USER_DELETED, gone)


def _credentials(bot: BotUser) -> list[str]:
    return column(Credential.select(Credential.id).where(Credential.bot_user == bot).order_by(Credential.id))


def _hold(bot: BotUser) -> None:
    """As it is now, and so until the transaction ends: of two who delete it the second finds none. Raises NotFound."""
    now = db.locked(BotUser.select().where(BotUser.id == bot.id)).get_or_none()
    if now is None:
        raise NotFound(f"There is no bot user {bot.id} any more.")
    bot.__data__.update(now.__data__)


def describe(bot: BotUser) -> dict[str, Any]:
    """The bot user as events show it."""
    return {
        "id": bot.id,
        "name": bot.name,
        "active": bot.active,
        "description": bot.description,
        "metadata": bot.metadata,
        "roles": list(bot.roles),
    }


def _granted(actor: Actor, names: Sequence[str]) -> list[str]:
    if roles.ADMIN in names:
        raise Invalid("A bot user is never an administrator.", fields={"roles": ["admin is for people"]})
    return list(grants.check(actor, names))


@contextmanager
def _unique_name(name: str) -> Iterator[None]:
    with db.unique(BotUser, lambda: _taken(name)), db.savepoint():
        yield


def _taken(name: str) -> Conflict:
    return Conflict(
        f"This account has a bot user named {name!r} already.",
        code=Code.NAME_TAKEN,
        fields={"name": ["taken in this account"]},
    )
