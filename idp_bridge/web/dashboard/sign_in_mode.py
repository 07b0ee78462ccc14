"""Sign-in mode: what enforcing single sign-on would do, and to whom by name; then doing it, on trial or for good."""

from typing import Any

from flask import request
from marshmallow import validate
from peewee import fn

from idp_bridge import enforcement, idps, plans, sessions, sign_in_mode
from idp_bridge.models import Account, IdentityProvider, Member
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard, session

PAGE = 100

_LEAST, _MOST = enforcement.TRIAL


class ModeForm(forms.Form):
    """mixed or enforced; without minutes it does not fall back by itself."""

    sso_mode = forms.Text(required=True, validate=validate.OneOf(sign_in_mode.MODES))
    sso_fallback_minutes = forms.Number(least=_LEAST, most=_MOST, load_default=None)


@blueprint.get("/settings/sign-in-mode", endpoint="sign_in_mode")
@guard(Permission.ACCOUNT_WRITE)
def sign_in_mode_page() -> Any:
    """The mode, what stands against enforcing, whom it would keep out, and the switch."""
    account = actor().account
    has_plan = plans.has(account, plans.Feature.SSO)
    return render(
        "sign_in_mode.html",
        account=account,
        mode=sign_in_mode.of(account),
        has_plan=has_plan,
        gaps=[(gap.value, enforcement.GAPS[gap]) for gap in enforcement.gaps(account)] if has_plan else [],
        doors=_doors(account),
        sessions_ended=sessions.number_by_password(account, besides=session()),
        spared_minutes=int(enforcement.SPARED_FOR.total_seconds() // 60),
        **_unable(account),
    )


def _doors(account: Account) -> list[IdentityProvider]:
    """Where an administrator can prove that single sign-on works."""
    return list(idps.of_account(account).where(IdentityProvider.enabled).order_by(IdentityProvider.id))


def _unable(account: Account) -> dict[str, Any]:
    """One page of those whom no enabled provider is known to let in."""
    query = enforcement.unable_to_sign_in(account)
    total = query.count()
    pages = max(-(-total // PAGE), 1)
    number = min(max(request.args.get("page", 1, type=int), 1), pages)
    shown = query.order_by(fn.LOWER(Member.name), Member.email_key, Member.id).paginate(number, PAGE)
    return {"unable": list(shown), "total": total, "pages": pages, "number": number}


@blueprint.post("/settings/sign-in-mode")
@refused_on(sign_in_mode_page)
@guard(Permission.ACCOUNT_WRITE)
def set_mode() -> Any:
    """Mixed, or single sign-on only."""
    form = forms.read(ModeForm)
    if form["sso_mode"] == sign_in_mode.ENFORCED:
        enforcement.enforce(actor(), fall_back_minutes=form["sso_fallback_minutes"], session=session())
    else:
        enforcement.relax(actor())
    return done(_MODE_SET[actor().account.sso_mode], "settings")


_MODE_SET = {
    sign_in_mode.MIXED: "Members may sign in by password again.",
    sign_in_mode.ENFORCED: "Single sign-on is enforced. Other sessions that were opened by password have ended.",
}
