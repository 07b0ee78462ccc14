"""/api/account: the account itself, its plan and seats, and the mode in which its members sign in."""

from typing import Any

from marshmallow import fields, validate

from idp_bridge import accounts
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.schemas import Answer, Instant, Patch, Text, Uri
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Account", __name__, "The account: plan, seats and sign-in mode.")


class AccountPatch(Patch):
    """What an administrator may set of the account."""

    name = Text(least=1, most=255)
    sso_mode = fields.String(validate=validate.OneOf(accounts.MODES))


class SeatsAnswer(Answer):
    """Full when used + reserved = limit; ``limit`` null = no limit."""

    used = fields.Integer()
    reserved = fields.Integer()
    limit = fields.Integer(allow_none=True)


class AccountAnswer(Answer):
    """The account."""

    id = fields.String()
    uri = Uri("/api/account")
    slug = fields.String()
    name = fields.String()
    plan = fields.String()
    sso_mode = fields.String(validate=validate.OneOf(accounts.MODES))
    seats = fields.Nested(SeatsAnswer)
    created_at = Instant()


@blueprint.get("/account")
@guard(Permission.ACCOUNT_READ)
@blueprint.response(200, AccountAnswer)
def get_account() -> dict[str, Any]:
    """The caller's account."""
    return accounts.describe(actor().account)


@blueprint.patch("/account")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.arguments(AccountPatch)
@blueprint.response(200, AccountAnswer)
def update_account(body: dict[str, Any]) -> dict[str, Any]:
    """Rename the account, or change its sign-in mode; 409 names what still stands against enforcing."""
    if "name" in body:
        accounts.rename(actor(), body["name"])
    if "sso_mode" in body:
        accounts.set_sso_mode(actor(), body["sso_mode"])
    return accounts.describe(actor().account)
