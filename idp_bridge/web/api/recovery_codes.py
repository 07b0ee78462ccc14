"""/api/recovery_codes: an administrator's ten ways in when single sign-on is broken."""

from typing import Any

from marshmallow import fields

from idp_bridge import members, recovery
from idp_bridge.errors import Code, Forbidden
from idp_bridge.models import Member
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.schemas import Answer
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Recovery codes", __name__, "One-time codes for when single sign-on is broken.")


class RecoveryCodesAnswer(Answer):
    """The codes, shown once."""

    recovery_codes = fields.List(fields.String())


def _hashed() -> dict[str, str]:
    me = actor()
    if me.type != "user":
        raise Forbidden("Recovery codes are made by an administrator for herself.", code=Code.ADMINISTRATORS_ONLY)
    return recovery.hashed_codes(me, _herself())


def _herself() -> Member:
    return members.get(actor().account, str(actor().id))


@blueprint.post("/recovery_codes")
@guard(transaction=False)
@blueprint.prepared(_hashed)
@blueprint.response(201, RecoveryCodesAnswer)
def create_recovery_codes(hashes: dict[str, str]) -> dict[str, Any]:
    """Ten new codes for the calling administrator; her former ones die."""
    return {"recovery_codes": recovery.replace_by(actor(), _herself(), hashes)}
