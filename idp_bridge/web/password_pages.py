"""Pages for another password: asking for one that is forgotten, choosing it behind the mailed link, changing it."""

from typing import Any

from flask import Blueprint, Response, flash, redirect, request, url_for

from idp_bridge import db, mail, password_changes
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError, Invalid
from idp_bridge.models import Member, PasswordReset, Person, Session
from idp_bridge.sign_in import Way
from idp_bridge.web import forms, guard
from idp_bridge.web.entering import attempt, note_wrong_password
from idp_bridge.web.errors import form_page
from idp_bridge.web.guard import public

blueprint = Blueprint("passwords", __name__)


class ForgotForm(forms.Form):
    """Whose password is forgotten."""

    email = forms.Email(required=True)


class ResetForm(forms.Form):
    """The new password; and whose, where several sign in with the address."""

    person = forms.Text(load_default=None)
    password = forms.Secret(required=True)


class ChangeForm(forms.Form):
    """The present password and the new one."""

    present = forms.Secret(required=True)
    password = forms.Secret(required=True)


# --- forgotten --------------------------------------------------------------------------------------------------


@blueprint.get("/login/forgot")
@public
def forgot() -> Any:
    """Where to send the link; where this service sends no mail, whom to ask."""
    return form_page("login/forgot.html", mailing=mail.enabled(), email=request.args.get("email", ""))


@blueprint.post("/login/forgot")
@public
def submit_forgot() -> Any:
    """Write down that somebody asked. The answer is made before that, and says the same whoever is meant."""
    guard.csrf.protect()
    try:
        if not mail.enabled():
            raise Invalid("This service sends no mail. Ask an administrator of your account for a link.")
        form = forms.read(ForgotForm)
        attempt("password_reset", form["email"])
    except DomainError as refused:
        return form_page("login/forgot.html", refused, mailing=mail.enabled(), email=request.form.get("email", ""))
    page = form_page("login/forgot_sent.html", email=form["email"])
    with db.transaction():
        password_changes.ask(form["email"])
    return page


@blueprint.get("/login/reset/<token>")
@public
def reset(token: str) -> Any:
    """Whose password it may be, and a field for the new one."""
    return _reset_page(password_changes.peek_reset(token))


@blueprint.post("/login/reset/<token>")
@public
def submit_reset(token: str) -> Any:
    """Set the password, and ask for it: signing in decides anew who may come in, and where."""
    guard.csrf.protect()
    found = password_changes.peek_reset(token)
    try:
        form = forms.read(ResetForm)
        attempt("password_reset_link", None)
        with db.transaction():
            password_changes.reset(token, form["person"], form["password"], actor_of=_acting)
    except DomainError as refused:
        return _reset_page(found, refused)
    flash("Your new password is saved, and every session that was open is ended. Sign in with it.")
    return redirect(url_for("login.login"), 303)


def _reset_page(found: PasswordReset, refused: DomainError | None = None) -> Response:
    choices = password_changes.choices(found.email)
    return form_page(
        "login/reset.html",
        refused,
        email=found.email,
        choices=[one for one in choices if not one.single_sign_on],
        elsewhere=[one for one in choices if one.single_sign_on],
    )


# --- changed ----------------------------------------------------------------------------------------------------


@blueprint.get("/password")
@public
def change() -> Any:
    """The present password and the new one; who has none is told why."""
    signed_in = _signed_in()
    return _to_login() if signed_in is None else _change_page(signed_in[0])


@blueprint.post("/password")
@public
def submit_change() -> Any:
    """Take another password; every other session of hers ends."""
    guard.csrf.protect()
    signed_in = _signed_in()
    if signed_in is None:
        return _to_login()
    person, session = signed_in
    try:
        form = forms.read(ChangeForm)
        attempt(Way.PASSWORD, person.email)
        with db.transaction():
            password_changes.change(person, form["present"], form["password"], keep=session, actor_of=_acting)
    except DomainError as refused:
        if refused.fields.get("present") == ["wrong"] and person.email:
            note_wrong_password(person.email)
        return _change_page(person, refused)
    flash("Your password is changed. Every other session of yours is ended.")
    return redirect(url_for("login.home"), 303)


def _signed_in() -> tuple[Person, Session] | None:
    return next(((member.person, member.session) for member in guard.signed_in()), None)


def _change_page(person: Person, refused: DomainError | None = None) -> Response:
    return form_page("login/change.html", refused, email=person.email, has_one=person.password_hash is not None)


def _to_login() -> Any:
    return redirect(url_for("login.login", next=url_for("passwords.change")), 303)


def _acting(member: Member) -> Actor:
    return guard.member_actor(member, source="dashboard")
