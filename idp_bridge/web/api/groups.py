"""/api/groups: what the directories have pushed. Read only; groups change at the identity provider."""

from typing import Any

from marshmallow import fields

from idp_bridge import groups
from idp_bridge.models import DirectoryGroup
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, merged
from idp_bridge.web.api.schemas import Answer, Instant, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Groups", __name__, "Directory groups, as the identity providers push them.")


class GroupAnswer(Answer):
    """A directory group."""

    id = fields.String()
    uri = Uri("/api/groups/{id}")
    display_name = fields.String()
    external_id = fields.String(allow_none=True)
    identity_provider_id = fields.String()
    member_count = fields.Integer()
    created_at = Instant()
    modified_at = Instant()


@blueprint.get("/groups")
@guard(Permission.GROUPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("groups", GroupAnswer))
def list_groups(asked: dict[str, Any]) -> dict[str, Any]:
    """The groups of all directories of the account, with the number of their members."""
    account = actor().account
    parts = groups.of_each_provider(account, groups.of_account(account))
    return merged("groups", parts, DirectoryGroup.id, asked)


@blueprint.get("/groups/<id:id>")
@guard(Permission.GROUPS_READ)
@blueprint.response(200, GroupAnswer)
def get_group(id: str) -> DirectoryGroup:
    """One group."""
    return groups.get(actor().account, id)
