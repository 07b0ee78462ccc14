"""/api/account: the account itself, its plan and seats, and the mode in which its members sign in."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from idp_bridge import accounts, enforcement, sessions, sign_in_mode
from idp_bridge.models import Member
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import Answer, Instant, Name, Patch, Uri
from idp_bridge.web.guard import actor, guard, session

blueprint = Blueprint("Account", __name__, "The account: plan, seats and sign-in mode.")

_LEAST, _MOST = enforcement.TRIAL


class AccountPatch(Patch):
    """What an administrator may set of the account. ``sso_fallback_minutes`` goes with ``sso_mode`` enforced: back to
    mixed by itself after so many, unless an administrator signs in through an enabled provider before. Only that ends
    the trial: enforced once more, without minutes, leaves ``sso_falls_back_at`` as it is."""

    name = Name()
    sso_mode = fields.String(validate=validate.OneOf(sign_in_mode.MODES))
    sso_fallback_minutes = fields.Integer(strict=True, validate=validate.Range(min=_LEAST, max=_MOST))

    @validates_schema
    def _on_trial(self, data: dict[str, Any], **_: Any) -> None:
        if "sso_fallback_minutes" in data and data.get("sso_mode") != sign_in_mode.ENFORCED:
            raise ValidationError("Goes with sso_mode enforced only.", "sso_fallback_minutes")


class SeatsAnswer(Answer):
    """Full when used + reserved = limit; ``limit`` null = no limit."""

    used = fields.Integer()
    reserved = fields.Integer()
    limit = fields.Integer(allow_none=True)


class AccountAnswer(Answer):
    """The account. ``sso_falls_back_at``: from then on ``sso_mode`` is mixed again, unless it is confirmed before; null
    where it does not fall back."""

    id = fields.String()
    uri = Uri("/api/account")
    slug = fields.String()
    name = fields.String()
    plan = fields.String()
    sso_mode = fields.String(validate=validate.OneOf(sign_in_mode.MODES))
    sso_falls_back_at = Instant(allow_none=True)
    seats = fields.Nested(SeatsAnswer)
    created_at = Instant()


class GapAnswer(Answer):
    """A condition of enforcing that does not hold: its stable name, and what it says."""

    code = fields.String(validate=validate.OneOf([gap.value for gap in enforcement.Gap]))
    message = fields.String()


class UnableAnswer(Answer):
    """A member whom no enabled provider is known to let in."""

    id = fields.String()
    email = fields.String()
    name = fields.String()


class EnforcementAnswer(Answer):
    """What enforcing single sign-on would do now. ``unable_to_sign_in`` is a page of the ``unable_total`` there are;
    ``sessions_ended`` counts those by password, without the caller's own."""

    sso_mode = fields.String(validate=validate.OneOf(sign_in_mode.MODES))
    sso_falls_back_at = Instant(allow_none=True)
    missing = fields.List(fields.Nested(GapAnswer))
    sessions_ended = fields.Integer()
    unable_total = fields.Integer()
    unable_to_sign_in = fields.List(fields.Nested(UnableAnswer))
    uri = fields.String()
    next_page_uri = fields.String(allow_none=True)


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
    """Rename the account, or change its sign-in mode; 409 names what still stands against enforcing, by its stable name
    in details.errors."""
    if "name" in body:
        accounts.rename(actor(), body["name"])
    if body.get("sso_mode") == sign_in_mode.ENFORCED:
        enforcement.enforce(actor(), fall_back_minutes=body.get("sso_fallback_minutes"), session=session())
    elif "sso_mode" in body:
        enforcement.relax(actor())
    return accounts.describe(actor().account)


@blueprint.get("/account/enforcement")
@guard(Permission.ACCOUNT_WRITE)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, EnforcementAnswer)
def get_account_enforcement(asked: dict[str, Any]) -> dict[str, Any]:
    """What stands against enforcing single sign-on, whom it would keep out, by name, and how many sessions it ends."""
    account = actor().account
    unable = enforcement.unable_to_sign_in(account)
    shown = accounts.describe(account)
    return {
        "sso_mode": shown["sso_mode"],
        "sso_falls_back_at": shown["sso_falls_back_at"],
        "missing": [{"code": gap.value, "message": enforcement.GAPS[gap]} for gap in enforcement.gaps(account)],
        "sessions_ended": sessions.number_by_password(account, besides=session()),
        "unable_total": unable.count(),
        **page("unable_to_sign_in", unable, Member.id, asked),
    }
