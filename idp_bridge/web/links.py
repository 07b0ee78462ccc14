"""Pages behind one-time links: setting a password, break-glass, accepting an invitation.

GET only shows what the link does: mail scanners follow links, and must not use one up.
"""

from typing import Any

from flask import Blueprint, Response, flash, g, request

from idp_bridge import (
    db,
    events,
    invitations,
    members,
    password_changes,
    passwords,
    people,
    recovery,
    sessions,
    sign_in,
    sign_in_mode,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict, DomainError, Invalid
from idp_bridge.events import Type
from idp_bridge.models import Account, Invitation, Member, OneTimeLink, Person
from idp_bridge.sign_in import Outcome, Refused, Way
from idp_bridge.text import fold
from idp_bridge.web import cookies, forms, guard
from idp_bridge.web.entering import attempt, enter, note_refusal, note_wrong_password
from idp_bridge.web.errors import form_page
from idp_bridge.web.guard import public

blueprint = Blueprint("links", __name__)

WRONG = ["wrong"]  # what the refusal says of the field of a password that is not hers


class NewPasswordForm(forms.Form):
    """A password that is set."""

    password = forms.Secret(required=True)


class AcceptForm(forms.Form):
    """A new person gives her name; both kinds a password, unless she is signed in by hers. ``email`` is shown by the
    page, and is nobody's to change. ``known``: she says that she has that password here already."""

    name = forms.Text(load_default="")
    email = forms.Text(load_default=None)
    password = forms.Secret(load_default="")
    known = forms.Checkbox()


# --- setting a password -----------------------------------------------------------------------------------------


@blueprint.get("/login/password/<token>")
@public
def password(token: str) -> Any:
    """The form for a first or a new password."""
    return _password_page(password_changes.peek_setup(token))


@blueprint.post("/login/password/<token>")
@public
def set_password(token: str) -> Any:
    """Set the password and sign in; whoever gives the password that she has here already is that person. A link alone
    never replaces a password."""
    guard.csrf.protect()
    link = password_changes.peek_setup(token)
    try:
        form = forms.read(NewPasswordForm)
        member = _member(link)
        _count(member)
        if member.person.password_hash is None:
            passwords.check(form["password"])  # a guess at others' passwords uses the link up
        sign_in.check_member(member, Way.PASSWORD)  # before others' passwords are tried: a guess uses the link up
        hers = people.with_password(_address(member), form["password"])
        with db.transaction():
            password_changes.use_setup(token)
            member = _member(link)
            _prove(member, form["password"], hers)
            sign_in.check_member(member, Way.PASSWORD)
            return enter(member, Way.PASSWORD)
    except DomainError as refused:
        if refused.fields.get("password") == WRONG:
            note_wrong_password(_address(_member(link)))
        return _password_page(link, refused)


def _count(member: Member) -> None:
    """A first password has a count of its own: whoever guesses at the login must not shut the link as well."""
    if member.person.password_hash is None:
        guard.rates().try_for("password_link", _address(member))
    else:
        attempt(Way.PASSWORD, _address(member))


def _prove(member: Member, password: str, hers: list[Person]) -> None:
    """Whoever is one of those with that password is she; a membership whose person has another is not to be had."""
    for person in hers:
        if person.id == member.person_id:
            member.person = person  # as she was when the password was found right
            return
    if member.person.password_hash is not None:
        raise Invalid("This is not the password that you have here already.", fields={"password": WRONG})
    if hers:
        _hand_over(member, hers[0])
        return
    if provider := password_changes.provider_of(member):  # it is on again since the link was made
        raise Conflict(f"You sign in through {provider.name}, and need no password.")
    if member.person.email is None:  # only a provider has spoken of her until now
        people.give_address(member.person, member.email)
    people.set_password(member.person, password, about=password_changes.names([member]))
    password_changes.told([member], how="link", actor_of=_acting)


def _hand_over(member: Member, person: Person) -> None:
    """The membership is hers from now on: who signs in with that password has another person's no more."""
    former = member.person_id
    people.hand_over(member, person)
    told = {**members.describe(member), "person_id": person.id, "before": {"person_id": former}}
    events.record(_acting(member), Type.USER_UPDATED, told)


def _acting(member: Member) -> Actor:
    return guard.member_actor(member, source="dashboard")


def _address(member: Member) -> str:
    """What she signs in with, or will."""
    return member.person.email or member.email


def _password_page(link: OneTimeLink, refused: DomainError | None = None) -> Response:
    return form_page("login/password.html", refused, email=_address(_member(link)), account=link.account)


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
            member = recovery.use_break_glass(token)
            recovery.note_use(_acting(member), member, Way.BREAK_GLASS)
            return enter(member, Way.BREAK_GLASS)
    except Refused as refused:
        hers = (Member.person == link.person_id) & (Member.account == link.account_id)
        note_refusal(hers, Way.BREAK_GLASS, refused)
        return _break_glass_page(link, refused)


def _break_glass_page(link: OneTimeLink, refused: DomainError | None = None) -> Response:
    return form_page("login/break_glass.html", refused, member=_member(link), account=link.account)


def _member(link: OneTimeLink) -> Member:
    """Whom the link is for. Raises Refused where she has left the account: by her directory's word, says why."""
    member = recovery.holder(link)
    if member.removed_at is not None:
        sign_in.check_member(member, Way.BREAK_GLASS)
    return member


# --- invitations ------------------------------------------------------------------------------------------------


@blueprint.get("/invitations/<token>")
@public
def invitation(token: str) -> Any:
    """Who invites whom to what; a new person chooses a password, a known one gives hers."""
    found = invitations.find(token)
    if invitations.lapsed(found.account, [found]):
        raise invitations.Lapsed
    try:
        sign_in.check_invitation(found)
    except Refused as refused:  # under enforcement the page leads to the provider
        return _invitation_page(found, None if refused.outcome is Outcome.SSO_ENFORCED else refused)
    return _invitation_page(found)


@blueprint.post("/invitations/<token>")
@public
def accept(token: str) -> Any:
    """Join the account and sign in. Under enforced single sign-on the provider is the only way."""
    guard.csrf.protect()
    found = invitations.find(token)
    try:
        sign_in.check_invitation(found)
        form = forms.read(AcceptForm)
        _check_address(found, form["email"])
        herself = _herself(found)
        hers = [herself] if herself else _by_password(found, form["password"])
        if form["known"] and not hers:  # the same whether anybody is known here, whom the inviter must not find out
            raise Invalid(
                f"Nobody here has {found.email} and this password. Type it again; or, if you are new here, say so: "
                "leave out the tick.",
                fields={"password": WRONG},
            )
        with db.transaction():
            member = _join(found, hers, form)
            _check_still_open(herself)
            answer = enter(member, Way.PASSWORD)
    except invitations.Lapsed as refused:
        with db.transaction():
            events.record(_invited(found), Type.INVITATION_REFUSED, invitations.describe(found))
        return _invitation_page(found, refused)
    except DomainError as refused:
        if refused.fields.get("password") == WRONG:
            note_wrong_password(found.email, invited_to=found.account)
        return _invitation_page(found, refused)
    flash(f"Welcome to {found.account.name}.")
    return answer


def _check_still_open(herself: Person | None) -> None:
    """Her session's word counts while it is there: whoever changes her password ends it, and was waited for."""
    if herself is not None and not sessions.memberships(cookies.session_token() or ""):
        raise Conflict("Your session has ended at this moment. Sign in again.")


def _check_address(found: Invitation, sent: str | None) -> None:
    """Nobody accepts for another address than the invited one. Raises Conflict."""
    other = sent if sent is not None and fold(sent) != found.email_key else _somebody_else(found)
    if other is not None:
        raise Conflict(
            f"This invitation is for {found.email}, and you are {other}. Sign out, and accept it as {found.email}; or "
            f"ask for an invitation of {other}."
        )


def _somebody_else(found: Invitation) -> str | None:
    """The address of whoever is signed in here, where it is not the invited one."""
    for member in guard.signed_in()[:1]:
        if found.email_key not in (member.email_key, member.person.email_key):
            return str(member.email)
    return None


def _herself(found: Invitation) -> Person | None:
    """The invited person, where her own password has opened this browser's session."""
    for member in guard.signed_in()[:1]:
        if member.session.method == Way.PASSWORD and member.person.email_key == found.email_key:
            person: Person = member.person
            return person
    return None


def _by_password(found: Invitation, password: str) -> list[Person]:
    attempt(Way.PASSWORD, found.email)
    return people.with_password(found.email, password)


def _join(found: Invitation, hers: list[Person], form: dict[str, Any]) -> Member:
    """As the person whose password was given, else as somebody new: whoever sent the invitation may hold its link too,
    so it proves nothing about anybody who is here already."""
    person = hers[0] if hers else people.create(found.email)
    sign_in.check_invitation(found, _membership(person, found.account) if hers else None)
    if not hers:
        people.set_password(person, form["password"], about=[found.account.name, found.account.slug])
    return invitations.accept(_invited(found), found, person, name=form["name"])


def _membership(person: Person, account: Account) -> Member | None:
    return next((member for member in people.memberships(person) if member.account == account), None)


def _invited(found: Invitation) -> Actor:
    return Actor(
        account=found.account,
        type="user",
        subject=found.email,
        source="dashboard",
        address=request.remote_addr,
        request_id=g.get("request_id"),
    )


#: Why nobody accepts an invitation, whoever she is.
_CLOSED = frozenset({Outcome.DEPROVISIONED, Outcome.INVITATIONS_NOT_IN_PLAN})


def _invitation_page(found: Invitation, refused: DomainError | None = None) -> Response:
    return form_page(
        "login/invitation.html",
        refused,
        invitation=found,
        account=found.account,
        enforced=sign_in_mode.of(found.account) == sign_in_mode.ENFORCED,
        closed=isinstance(refused, Refused) and refused.outcome in _CLOSED,
        herself=_herself(found),
        somebody_else=_somebody_else(found),
    )
