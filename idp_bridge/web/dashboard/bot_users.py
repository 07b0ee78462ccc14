"""Bot users: service accounts with credentials of their own. Two verbs that are easily mixed up stand side by side:
deactivating suspends the credentials, deleting revokes them for good."""

from collections.abc import Iterable
from typing import Any

from peewee import fn

from idp_bridge import bots, credentials, roles
from idp_bridge.db import column
from idp_bridge.models import BotUser, Credential, Event
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import issuing
from idp_bridge.web.dashboard.members import confirm, grantable
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard

LATEST_EVENTS = 10


class BotForm(forms.Form):
    """Name, description and roles of a bot user."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")
    roles = forms.Several()


def _grantable(held: Iterable[str] = ()) -> list[str]:
    return [name for name in grantable(held=held) if name != roles.ADMIN]


@blueprint.get("/bot-users", endpoint="bot_users")
@guard(Permission.BOTS_READ)
def bot_list() -> Any:
    """The account's bot users."""
    account = actor().account
    rows = list(bots.of_account(account).order_by(BotUser.name_key))
    counted: Any = (
        Credential.select(Credential.bot_user, Credential.kind, fn.COUNT(Credential.id))
        .where(Credential.account == account, Credential.bot_user.is_null(False))
        .group_by(Credential.bot_user, Credential.kind)
    )
    owned: dict[str, dict[str, int]] = {}
    for bot_id, kind, number in counted.tuples():
        owned.setdefault(bot_id, {})[kind] = number
    return render("bot_users.html", bots=rows, owned=owned, kinds=issuing.KINDS, role_names=_grantable())


@blueprint.post("/bot-users")
@refused_on(bot_list)
@guard(Permission.BOTS_WRITE)
def create_bot_user() -> Any:
    """A new bot user."""
    form = forms.read(BotForm)
    bot = bots.create(actor(), form["name"], description=form["description"], role_names=form["roles"] or roles.DEFAULT)
    return done(f"The bot user {bot.name} is made. Give it a credential.", "bot_user", bot_id=bot.id)


@blueprint.get("/bot-users/<bot_id>")
@guard(Permission.BOTS_READ)
def bot_user(bot_id: str) -> Any:
    """One bot user with its credentials."""
    return _page(bot_id)


def _page(bot_id: str, *, issued: credentials.Issued | None = None) -> Any:
    account = actor().account
    bot = bots.get(account, bot_id)
    uses = credentials.uses(bot)
    mine = Event.account == account
    about = (Event.principal_id == bot.id) | (Event.object_id == bot.id)
    return render(
        "bot_user.html",
        status=201 if issued else 200,
        bot=bot,
        credentials=sorted((of.credential for of in uses), key=lambda row: row.id, reverse=True),
        uses=uses,
        kinds=issuing.KINDS,
        issued=issued,
        role_names=_grantable(bot.roles),
        events=list(Event.select().where(mine, about).order_by(Event.id.desc()).limit(LATEST_EVENTS)),
    )


@blueprint.post("/bot-users/<bot_id>/edit")
@refused_on(bot_user, "bot_id")
@guard(Permission.BOTS_WRITE)
def edit_bot_user(bot_id: str) -> Any:
    """Save name, description and roles."""
    bots.change(actor(), bots.get(actor().account, bot_id), **forms.read(BotForm))
    return done("The bot user is saved.", "bot_user", bot_id=bot_id)


@blueprint.post("/bot-users/<bot_id>/deactivate")
@refused_on(bot_user, "bot_id")
@guard(Permission.BOTS_WRITE)
def deactivate_bot_user(bot_id: str) -> Any:
    """Its credentials are suspended until it is activated again."""
    bots.change(actor(), bots.get(actor().account, bot_id), active=False)
    return done("The bot user is inactive; its credentials do not work.", "bot_user", bot_id=bot_id)


@blueprint.post("/bot-users/<bot_id>/activate")
@refused_on(bot_user, "bot_id")
@guard(Permission.BOTS_WRITE)
def activate_bot_user(bot_id: str) -> Any:
    """Its credentials work again."""
    bots.change(actor(), bots.get(actor().account, bot_id), active=True)
    return done("The bot user is active; its credentials work again.", "bot_user", bot_id=bot_id)


@blueprint.post("/bot-users/<bot_id>/delete")
@refused_on(bot_user, "bot_id")
@guard(Permission.BOTS_WRITE)
def delete_bot_user(bot_id: str) -> Any:
    """Gone with every credential it owns."""
    bot = bots.get(actor().account, bot_id)
    confirm(bot.name)
    bots.delete(actor(), bot)
    return done(f"{bot.name} is deleted, with its credentials.", "bot_users")


@blueprint.post("/bot-users/<bot_id>/credentials")
@refused_on(bot_user, "bot_id")
@guard(Permission.BOTS_WRITE)
def create_bot_credential(bot_id: str) -> Any:
    """A credential that the bot user owns; its secret is shown once."""
    return _page(bot_id, issued=issuing.issue(actor(), bots.get(actor().account, bot_id)))


@blueprint.post("/bot-users/<bot_id>/credentials/<credential_id>/delete")
@refused_on(bot_user, "bot_id")
@guard(Permission.BOTS_WRITE)
def delete_bot_credential(bot_id: str, credential_id: str) -> Any:
    """Revoke one credential for good; asked back where that would be felt."""
    bot = bots.get(actor().account, bot_id)
    kinds = column(Credential.select(Credential.kind).where(Credential.id == credential_id, Credential.bot_user == bot))
    found = credentials.get(actor(), issuing.kind_of(kinds[0] if kinds else ""), credential_id)
    if asked := issuing.revoke(actor(), found):
        return asked
    return done(f"{credential_id} is revoked.", "bot_user", bot_id=bot_id)
