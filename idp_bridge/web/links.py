"""Pages behind one-time links: setting a password, break-glass, accepting an invitation.

GET only shows what the link does: mail scanners follow links, and must not use one up.
"""

from typing import Any

from flask import Blueprint, Response, flash, render_template
from peewee import DoesNotExist

from idp_bridge import db, events, invitations, passwords, people, sign_in
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError, Invalid
from idp_bridge.events import Type
from idp_bridge.models import Account, Invitation, Member, OneTimeLink, Person
from idp_bridge.sign_in import Outcome, Refused, Situation, State, Way
from idp_bridge.web import forms, guard
from idp_bridge.web.entering import attempt, enter
from idp_bridge.web.errors import STATUS, headers_of
from idp_bridge.web.guard import public

blueprint = Blueprint("links", __name__)


class NewPasswordForm(forms.Form):
    """A password that is set."""

    password = forms.Secret(required=True)


class AcceptForm(forms.Form):
    """A new person gives her name; both kinds a password."""

    name = forms.Text(load_default="")
    password = forms.Secret(required=True)


# --- setting a password -----------------------------------------------------------------------------------------


@blueprint.get("/login/password/<token>")
@public
def password(token: str) -> Any:
    """The form for a first or a new password."""
    return _password_page(people.peek(token, people.PASSWORD_SETUP))


@blueprint.post("/login/password/<token>")
@public
def set_password(token: str) -> Any:
    """Set the password and sign in; whoever gives the password that she has here already is that person. A link alone
    never replaces a password."""
    guard.csrf.protect()
    link = people.peek(token, people.PASSWORD_SETUP)
    try:
        form = forms.read(NewPasswordForm)
        passwords.check(form["password"])
        _check(_member(link), Way.PASSWORD)  # before others' passwords are looked at: a wrong guess uses the link up
        if link.person.password_hash is not None:
            attempt(Way.PASSWORD, link.person.email)
        hers = people.with_password(link.person.email, form["password"])
        with db.transaction():
            people.use(token, people.PASSWORD_SETUP)
            member = _member(link)
            _prove(member, form["password"], hers)
            _check(member, Way.PASSWORD)
            return enter(member, Way.PASSWORD)
    except DomainError as refused:
        return _password_page(link, refused)


def _prove(member: Member, password: str, hers: list[Person]) -> None:
    """Whoever is one of those with that password is she; a membership whose person has another is not to be had."""
    if member.person in hers:
        return
    if member.person.password_hash is not None:
        raise Invalid("This is not the password that you have here already.", fields={"password": ["wrong"]})
    if hers:
        people.hand_over(member, hers[0])
    else:
        people.set_password(member.person, password)


def _password_page(link: OneTimeLink, refused: DomainError | None = None) -> Response:
    return _page("login/password.html", refused, email=link.person.email, account=link.account)


# --- break-glass ------------------------------------------------------------------------------------------------


@blueprint.get("/login/break-glass/<token>")
@public
def break_glass(token: str) -> Any:
    """Say what the link does, with a button."""
    return _break_glass_page(people.peek(token, people.BREAK_GLASS))


@blueprint.post("/login/break-glass/<token>")
@public
def use_break_glass(token: str) -> Any:
    """Sign in by the link, once."""
    guard.csrf.protect()
    link = people.peek(token, people.BREAK_GLASS)
    try:
        with db.transaction():
            people.use(token, people.BREAK_GLASS)
            member = _member(link)
            _check(member, Way.BREAK_GLASS)
            actor = guard.member_actor(member, source="dashboard")
            events.record(actor, Type.BREAK_GLASS_USED, {"id": member.id, "email": member.email})
            return enter(member, Way.BREAK_GLASS)
    except Refused as refused:
        return _break_glass_page(link, refused)


def _break_glass_page(link: OneTimeLink, refused: DomainError | None = None) -> Response:
    return _page("login/break_glass.html", refused, member=_member(link), account=link.account)


def _member(link: OneTimeLink) -> Member:
    """Whom the link is for. Raises Refused where she has left the account."""
    try:
        return (
            Member.select(Member, Account)
            .join(Account)
            .where(Member.person == link.person_id, Member.account == link.account_id, Member.removed_at.is_null())
            .get()
        )
    except DoesNotExist:
        raise Refused(Outcome.NOT_A_MEMBER) from None


def _check(member: Member, way: Way) -> None:
    state = State.ACTIVE if member.active else State.SUSPENDED
    outcome = sign_in.decide(Situation(way=way, state=state, mode=member.account.sso_mode))
    if outcome is not Outcome.ADMIT:
        raise Refused(outcome, email=member.email)


# --- invitations ------------------------------------------------------------------------------------------------


@blueprint.get("/invitations/<token>")
@public
def invitation(token: str) -> Any:
    """Who invites whom to what; a new person chooses a password, a known one gives hers."""
    return _invitation_page(invitations.find(token))


@blueprint.post("/invitations/<token>")
@public
def accept(token: str) -> Any:
    """Join the account and sign in. Under enforced single sign-on the provider is the only way."""
    guard.csrf.protect()
    found = invitations.find(token)
    try:
        if found.account.sso_mode == "enforced":
            raise Refused(Outcome.SSO_ENFORCED, email=found.email)
        form = forms.read(AcceptForm)
        attempt(Way.PASSWORD, found.email)
        hers = people.with_password(found.email, form["password"])
        with db.transaction():
            member = _join(found, hers, form)
            answer = enter(member, Way.PASSWORD)
    except DomainError as refused:
        return _invitation_page(found, refused)
    flash(f"Welcome to {found.account.name}.")
    return answer


def _join(found: Invitation, hers: list[Person], form: dict[str, Any]) -> Member:
    """As the person whose password was given, else as somebody new: whoever sent the invitation holds its link too,
    so it proves nothing about anybody who is here already."""
    person = hers[0] if hers else people.create(found.email)
    if not hers:
        people.set_password(person, form["password"])
    actor = Actor(account=found.account, type="user", subject=found.email, source="dashboard")
    return invitations.accept(actor, found, person, name=form["name"])


def _invitation_page(found: Invitation, refused: DomainError | None = None) -> Response:
    return _page("login/invitation.html", refused, invitation=found, account=found.account)


def _page(template: str, refused: DomainError | None = None, **context: Any) -> Response:
    status = STATUS[type(refused)] if refused else 200
    message = refused.message if refused else None
    return Response(render_template(template, refused=refused, message=message, **context), status, headers_of(refused))
