"""/api/bot_users: service accounts, on every plan."""

from typing import Any

from flask import Response
from marshmallow import fields

from idp_bridge import bots, credentials
from idp_bridge.models import BotUser
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import (
    DESCRIPTION_BYTES,
    METADATA_BYTES,
    Answer,
    Body,
    Flag,
    Instant,
    Name,
    Names,
    NullIsAbsent,
    Patch,
    Text,
    Uri,
    listing,
)
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Bot users", __name__, "Service accounts: they own credentials, cannot sign in and take no seat.")


class _BotUserFields(NullIsAbsent, Body):
    active = Flag(allow_none=True)
    description = Text(most=DESCRIPTION_BYTES, allow_none=True, lines=True)
    metadata = Text(most=METADATA_BYTES, allow_none=True, lines=True)
    roles = Names(allow_none=True)


class BotUserPatch(_BotUserFields, Patch):
    """What may be set of a bot user."""

    name = Name(allow_none=True)


class BotUserCreate(_BotUserFields):
    """A new bot user."""

    name = Name(required=True)


class BotUserAnswer(Answer):
    """A bot user."""

    id = fields.String()
    uri = Uri("/api/bot_users/{id}")
    name = fields.String()
    active = fields.Boolean()
    description = fields.String()
    metadata = fields.String()
    roles = fields.List(fields.String())
    created_at = Instant()


class DayAnswer(Answer):
    """The uses of one day, in UTC."""

    day = fields.String(metadata={"format": "date"})
    number = fields.Integer()
    address = fields.String(allow_none=True, metadata={"description": "Of the last of them."})


class UsesAnswer(Answer):
    """How a credential was used in the last 30 days."""

    credential_id = fields.String(attribute="credential.id")
    kind = fields.String(attribute="credential.kind")
    description = fields.String(attribute="credential.description")
    last_used_at = Instant(attribute="credential.last_used_at", allow_none=True)
    last_used_address = fields.String(attribute="credential.last_used_address", allow_none=True)
    total = fields.Integer()
    days = fields.List(fields.Nested(DayAnswer), metadata={"description": "Those with uses, the newest first."})


class BotUserUsesAnswer(Answer):
    """What would break if the bot user were off."""

    uses = fields.List(fields.Nested(UsesAnswer))


BotUserList = listing("bot_users", BotUserAnswer)


def made(body: dict[str, Any]) -> BotUser:
    """A new one, as the body says."""
    if "roles" in body:
        body["role_names"] = body.pop("roles")
    return bots.create(actor(), body.pop("name"), **body)


def changed(id: str, body: dict[str, Any]) -> BotUser:
    """That one, as the body says."""
    bot = bots.get(actor().account, id)
    bots.change(actor(), bot, **body)
    return bot


def deleted(id: str) -> Response:
    """That one is gone."""
    bots.delete(actor(), bots.get(actor().account, id))
    return no_content()


@blueprint.get("/bot_users")
@guard(Permission.BOTS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, BotUserList)
def list_bot_users(asked: dict[str, Any]) -> dict[str, Any]:
    """The bot users of the account."""
    return page("bot_users", bots.of_account(actor().account), BotUser.id, asked)


@blueprint.post("/bot_users")
@guard(Permission.BOTS_WRITE)
@blueprint.arguments(BotUserCreate)
@blueprint.response(201, BotUserAnswer)
def create_bot_user(body: dict[str, Any]) -> BotUser:
    """Make a bot user. Its name is unique in the account."""
    return made(body)


@blueprint.get("/bot_users/<id:id>")
@guard(Permission.BOTS_READ)
@blueprint.response(200, BotUserAnswer)
def get_bot_user(id: str) -> BotUser:
    """One bot user."""
    return bots.get(actor().account, id)


@blueprint.get("/bot_users/<id:id>/uses")
@guard(Permission.BOTS_READ)
@blueprint.response(200, BotUserUsesAnswer)
def get_bot_user_uses(id: str) -> dict[str, Any]:
    """What would break if it were off: the uses of the last 30 days, by credential."""
    return {"uses": credentials.uses(bots.get(actor().account, id))}


@blueprint.patch("/bot_users/<id:id>")
@guard(Permission.BOTS_WRITE)
@blueprint.arguments(BotUserPatch)
@blueprint.response(200, BotUserAnswer)
def update_bot_user(body: dict[str, Any], id: str) -> BotUser:
    """Change a bot user. Inactive, its credentials stop working and are kept."""
    return changed(id, body)


@blueprint.delete("/bot_users/<id:id>")
@guard(Permission.BOTS_WRITE)
@blueprint.response(204)
def delete_bot_user(id: str) -> Response:
    """Delete a bot user and revoke every credential that it owns, for good."""
    return deleted(id)
