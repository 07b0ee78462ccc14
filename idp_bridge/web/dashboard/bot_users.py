"""Bot users: service accounts with credentials of their own. Two verbs that are easily mixed up stand side by side:
deactivating suspends the credentials, deleting revokes them for good."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from peewee import fn

from idp_bridge import bots, credentials, events, members, roles
from idp_bridge.db import column
from idp_bridge.events import Type
from idp_bridge.models import Account, BotUser, Credential, Event
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import issuing, table
from idp_bridge.web.dashboard.members import confirm, grantable
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.table import Asked, Column, Filter, Steps, Table
from idp_bridge.web.guard import actor, base_url, guard

LATEST_EVENTS = 10


class BotForm(forms.Form):
    """Name, description and roles of a bot user."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")
    roles = forms.Several()


def _grantable(held: Iterable[str] = ()) -> list[str]:
    return [name for name in grantable(held=held) if name != roles.ADMIN]


BOTS = Table(
    "dashboard.bot_users",
    "bot user",
    (
        Column("name", "Name", (BotUser.name_key,)),
        Column("state", "State"),
        Column("roles", "Roles"),
        *(Column(kind, f"{label}s") for kind, (label, _) in issuing.KINDS.items()),
        Column("used", "Last used"),
        Column("by", "Made by"),
        Column("made", "Made"),
    ),
    (
        Filter("q", "Search by name", type="search", placeholder="ci…, bot_…"),
        Filter("state", "State", {"": "All", "active": "Active", "inactive": "Inactive"}),
    ),
    export="dashboard.export_bot_users",
    hint="The search finds how a name begins, whatever its case, and an id.",
)


@dataclass
class Facts:
    """What the list says of a bot user beside its own row."""

    credentials: dict[str, int] = field(default_factory=dict)  # kind -> number
    last_used_at: datetime | None = None
    made_by: str = ""


@blueprint.get("/bot-users", endpoint="bot_users")
@guard(Permission.BOTS_READ)
def bot_list() -> Any:
    """The account's bot users."""
    account, asked = actor().account, BOTS.asked()
    listing = table.page(asked, _steps(account, asked))
    return render(
        "bot_users.html",
        bots=listing,
        facts=_facts(account, listing.rows),
        kinds=issuing.KINDS,
        role_names=_grantable(),
        base_url=base_url(),
    )


@blueprint.get("/bot-users.csv")
@guard(Permission.BOTS_READ)
def export_bot_users() -> Any:
    """All bot users that the filter leaves."""
    account, asked = actor().account, BOTS.asked()

    def cells(rows: list[BotUser]) -> Iterator[Sequence[Any]]:
        facts = _facts(account, rows)
        for row in rows:
            of = facts[row.id]
            numbers = [of.credentials.get(kind, 0) for kind in issuing.KINDS]
            about = (row.id, row.name, row.description, row.active, row.roles)
            yield (*about, *numbers, of.last_used_at, of.made_by, row.created_at)

    head = ("id", "name", "description", "active", "roles", *issuing.KINDS, "last_used_at", "created_by", "created_at")
    return table.download(f"bot-users-{account.slug}", head, _steps(account, asked), cells)


def _steps(account: Account, asked: Asked) -> Steps:
    text, state = asked.wanted.get("q", ""), asked.wanted.get("state")
    found, within = bots.of_account(account), None
    if text.startswith("bot_"):
        found = found.where(BotUser.id == text)
    elif text:
        within = members.beginning(text)
    sparse = [BotUser.active == (state == "active")] if state else []
    by, descending = asked.column.by, asked.descending
    return lambda after, limit: table.step(
        found, by, after=after, limit=limit, descending=descending, within=within, sparse=sparse
    )


def _facts(account: Account, shown: Sequence[BotUser]) -> dict[str, Facts]:
    """Of those that are shown; two statements."""
    found = {bot.id: Facts() for bot in shown}
    owned: Any = Credential.select(
        Credential.bot_user, Credential.kind, fn.COUNT(Credential.id), fn.MAX(Credential.last_used_at)
    ).where(Credential.bot_user.in_(list(found)))
    for bot_id, kind, number, used in owned.group_by(Credential.bot_user, Credential.kind).tuples():
        of, moment = found[bot_id], Credential.last_used_at.python_value(used)
        of.credentials[kind] = number
        of.last_used_at = max((one for one in (of.last_used_at, moment) if one), default=None)
    made: Any = Event.select(Event.object_id, Event.principal_subject).where(
        Event.account == account, Event.object_id.in_(list(found)), Event.type == Type.BOT_USER_CREATED
    )
    for bot_id, subject in made.tuples():
        found[bot_id].made_by = subject
    return found


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
    return render(
        "bot_user.html",
        status=201 if issued else 200,
        bot=bot,
        credentials=issuing.listing(issuing.OF_BOT.asked(bot_id=bot.id), Credential.bot_user == bot.id),
        uses=uses,
        kinds=issuing.KINDS,
        issued=issued,
        role_names=_grantable(bot.roles),
        events=events.concerning(account, bot.id, limit=LATEST_EVENTS),
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
