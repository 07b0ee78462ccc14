"""/api/whoami: who the bearer or the session is, and what she may do."""

from typing import Any

from flask_wtf.csrf import generate_csrf
from marshmallow import fields, validate

from idp_bridge import accounts
from idp_bridge.web.api.account import AccountAnswer
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.events import PrincipalAnswer, principal
from idp_bridge.web.api.schemas import Answer
from idp_bridge.web.guard import actor, guard, session

blueprint = Blueprint("Who am I", __name__, "Who calls, and what she may do.")


class AuthenticationAnswer(Answer):
    """How the caller has proven who she is."""

    method = fields.String(validate=validate.OneOf(["saml", "password", "recovery_code", "break_glass", "api_key"]))
    identity_provider_id = fields.String(allow_none=True)


class WhoamiAnswer(Answer):
    """The caller."""

    account = fields.Nested(AccountAnswer)
    principal = fields.Nested(PrincipalAnswer)
    roles = fields.List(fields.String())
    permissions = fields.List(fields.String())
    authentication = fields.Nested(AuthenticationAnswer)
    csrf_token = fields.String(
        allow_none=True, metadata={"description": "For X-CSRF-Token; null for an API key, which needs none."}
    )


@blueprint.get("/whoami")
@guard()
@blueprint.response(200, WhoamiAnswer)
def whoami() -> dict[str, Any]:
    """Who calls."""
    me, browser = actor(), session()
    return {
        "account": accounts.describe(me.account),
        "principal": principal(me.id, me.type, me.subject, me.source, me.credential_id),
        "roles": sorted(me.roles),
        "permissions": sorted(me.permissions),
        "authentication": {
            "method": browser.method if browser else "api_key",
            "identity_provider_id": browser.identity_provider_id if browser else None,
        },
        "csrf_token": generate_csrf() if browser else None,
    }
