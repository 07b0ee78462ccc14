"""/api/recovery_codes: an administrator's ten ways in when single sign-on is broken."""

from typing import Any

from marshmallow import fields

from idp_bridge import members, recovery
from idp_bridge.errors import Code, Forbidden
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.schemas import Answer
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Recovery codes", __name__, "One-time codes for when single sign-on is broken.")


class RecoveryCodesAnswer(Answer):
    """The codes, shown once."""

    recovery_codes = fields.List(fields.String())


@blueprint.post("/recovery_codes")
@guard(transaction=False)
@blueprint.response(201, RecoveryCodesAnswer)
def create_recovery_codes() -> dict[str, Any]:
    """Ten new codes for the calling administrator; her former ones die."""
    me = actor()
    if me.type != "user" or me.id is None:
        raise Forbidden("Recovery codes are made by an administrator for herself.", code=Code.ADMINISTRATORS_ONLY)
    return {"recovery_codes": recovery.make(me, members.get(me.account, me.id))}
