"""/api/service_users: bot users under the name that ngrok gave them in 2025. The same things, with the same ids, by the
same rules; only ``uri`` and the key of the list go by the path that was asked."""

from typing import Any

from flask import Response

from idp_bridge import bots
from idp_bridge.models import BotUser
from idp_bridge.roles import Permission
from idp_bridge.web.api import bot_users
from idp_bridge.web.api.bot_users import BotUserAnswer, BotUserCreate, BotUserPatch
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Service users", __name__, "Bot users by their second name.")


class ServiceUserAnswer(BotUserAnswer):
    """A bot user."""

    uri = Uri("/api/service_users/{id}")


@blueprint.get("/service_users")
@guard(Permission.BOTS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("service_users", ServiceUserAnswer))
def list_service_users(asked: dict[str, Any]) -> dict[str, Any]:
    """The bot users of the account."""
    return page("service_users", bots.of_account(actor().account), BotUser.id, asked)


@blueprint.post("/service_users")
@guard(Permission.BOTS_WRITE)
@blueprint.arguments(BotUserCreate)
@blueprint.response(201, ServiceUserAnswer)
def create_service_user(body: dict[str, Any]) -> BotUser:
    """Make a bot user. Its name is unique in the account."""
    return bot_users.made(body)


@blueprint.get("/service_users/<id:id>")
@guard(Permission.BOTS_READ)
@blueprint.response(200, ServiceUserAnswer)
def get_service_user(id: str) -> BotUser:
    """One bot user."""
    return bots.get(actor().account, id)


@blueprint.patch("/service_users/<id:id>")
@guard(Permission.BOTS_WRITE)
@blueprint.arguments(BotUserPatch)
@blueprint.response(200, ServiceUserAnswer)
def update_service_user(body: dict[str, Any], id: str) -> BotUser:
    """Change a bot user. Inactive, its credentials stop working and are kept."""
    return bot_users.changed(id, body)


@blueprint.delete("/service_users/<id:id>")
@guard(Permission.BOTS_WRITE)
@blueprint.response(204)
def delete_service_user(id: str) -> Response:
    """Delete a bot user and revoke every credential that it owns, for good."""
    return bot_users.deleted(id)
