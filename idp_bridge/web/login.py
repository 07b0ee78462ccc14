"""/login: the address first, then the password or single sign-on; the chooser of an account; recovery codes; /logout.

Who gives an address alone is asked how she signs in, and nobody is looked up for it: each gets the same page. The
account that this browser entered last is offered, which tells nobody else. An unknown account answers as one that has
no identity provider, and an unknown address as a wrong password: no list of customers or of people can be read off. A
refused form answers 403, as a refused SAML response does; 401 would have to name an HTTP authentication scheme (RFC
9110 section 15.5.2), and a form has none.
"""

import re
from typing import Any

from flask import Blueprint, Flask, Response, flash, redirect, request, url_for
from marshmallow import validate

from idp_bridge import db, idps, people, plans, recovery, sessions, sign_in, sign_in_mode, single_logout
from idp_bridge.errors import DomainError, Invalid
from idp_bridge.models import Account, IdentityProvider, Member, Session
from idp_bridge.sign_in import Outcome, Refused, Way
from idp_bridge.web import cookies, forms, guard, handover, headers, links, password_pages
from idp_bridge.web.entering import attempt, enter, note_refusal, tell_end
from idp_bridge.web.errors import form_page
from idp_bridge.web.guard import public
from idp_bridge.web.next_path import safe

blueprint = Blueprint("login", __name__)

WRONG_PASSWORD = "The e-mail address or the password is wrong."  # noqa: S105 - words, not a password
WRONG_CODE = "The e-mail address or the recovery code is wrong, or the code has been used."

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def register(app: Flask) -> None:
    """Mount the pages for people who are nobody yet."""
    app.register_blueprint(blueprint)
    app.register_blueprint(links.blueprint)
    app.register_blueprint(password_pages.blueprint)


class PasswordForm(forms.Form):
    """What the login forms send."""

    email = forms.Text(required=True)
    password = forms.Secret(load_default="")


class RecoveryForm(forms.Form):
    """What the recovery form sends."""

    email = forms.Text(required=True)
    code = forms.Text(required=True, validate=validate.Length(max=64))


@blueprint.get("/")
@public
def home() -> Any:
    """The account's overview where somebody is signed in, else the login page."""
    reached = guard.signed_in()
    if reached:
        return redirect(url_for("dashboard.overview", slug=reached[0].account.slug), 303)
    return redirect(url_for("login.login"), 303)


@blueprint.get("/login")
@public
def login() -> Any:
    """E-mail and password, or the name of an account for its single sign-on (``?account=``)."""
    wanted = request.args.get("account")
    if wanted is None:
        return _login_page()
    slug = wanted.strip().lower()
    if not _SLUG.fullmatch(slug):
        return _login_page(
            Invalid("An account name has lower-case letters, digits and hyphens.", fields={"account": []})
        )
    return redirect(url_for("login.chooser", slug=slug, next=_next()), 303)


@blueprint.post("/login")
@public
def submit() -> Any:
    """Sign in by password, to the account that she was in last; with an address alone, go on to the ways in."""
    guard.csrf.protect()
    try:
        form = forms.read(PasswordForm)
        return _by_password(None, form) if form["password"] else _ways_page(form["email"])
    except DomainError as refused:
        return _login_page(refused)


@blueprint.get("/login/<slug>")
@public
def chooser(slug: str) -> Any:
    """The ways into one account: its enabled providers, and the password in mixed mode."""
    return _chooser_page(slug)


@blueprint.post("/login/<slug>")
@public
def submit_to_account(slug: str) -> Any:
    """Sign in to this account by password."""
    guard.csrf.protect()
    try:
        form = forms.read(PasswordForm)
        if not form["password"]:
            raise Invalid("Give your password.", fields={"password": ["Fill this in."]})
        return _by_password(slug, form)
    except DomainError as refused:
        return _chooser_page(slug, refused)


def _by_password(slug: str | None, form: dict[str, Any]) -> Any:
    attempt(Way.PASSWORD, form["email"])
    account = Account.get_or_none(Account.slug == slug) if slug is not None else None
    try:
        member = _member(slug, account, form)
    except Refused as refused:
        known = Member.person.in_(people.with_address(form["email"]))
        note_refusal(known if slug is None else known & (Member.account == account), Way.PASSWORD, refused)
        raise
    with db.transaction():
        return enter(member, Way.PASSWORD, _next())


def _member(slug: str | None, account: Account | None, form: dict[str, Any]) -> Member:
    if slug is not None and account is None:
        people.with_password(form["email"], form["password"])  # for the time that it takes
        raise Refused(Outcome.NOT_A_MEMBER, email=form["email"])
    return sign_in.by_password(form["email"], form["password"], account=account)


@blueprint.get("/login/recovery")
@public
def recover() -> Any:
    """The form for a recovery code."""
    return _page("login/recovery.html")


@blueprint.post("/login/recovery")
@public
def submit_recovery() -> Any:
    """Sign in by a recovery code, which is used up by it. For administrators, enforced single sign-on or not."""
    guard.csrf.protect()
    email = ""
    try:
        form = forms.read(RecoveryForm)
        email = form["email"]
        attempt(Way.RECOVERY_CODE, None)  # nobody guesses 99 bits, and a stranger who knows her address could shut it
        found = recovery.find(email, form["code"])
        with db.transaction():
            member = recovery.use(found, email)
            recovery.note_use(guard.member_actor(member, source="dashboard"), member, Way.RECOVERY_CODE)
            left = recovery.left(member)
            answer = enter(member, Way.RECOVERY_CODE)
    except Refused as refused:
        note_refusal(recovery.has_address(email), Way.RECOVERY_CODE, refused)
        return _page("login/recovery.html", refused)
    except DomainError as refused:
        return _page("login/recovery.html", refused)
    flash(f"Signed in by a recovery code. {left} of them are left.")
    return answer


@blueprint.get("/logout")
@public
def logout() -> Any:
    """Ask first: a link or an image on another site must not sign anybody out."""
    signed_in = guard.signed_in()[:1]
    provider = single_logout.told(signed_in[0].session) if signed_in else None
    page = _page("login/logout.html", signed_in=signed_in, provider=provider)
    if provider is not None:  # the answer to the form leads there, which is the form's business too
        page.headers["Content-Security-Policy"] = headers.policy(form_action=provider.slo_url)
    return page


@blueprint.post("/logout")
@public
def submit_logout() -> Any:
    """End this browser's session; then, and only then, go on to the provider that opened it, where there is a way."""
    guard.csrf.protect()
    ended = _end_here(guard.signed_in())
    provider = single_logout.told(ended[0]) if ended and request.form.get("only") != "here" else None
    if provider is not None:
        return cookies.sign_out(_end_there(provider, ended[0]))
    flash("You are signed out.")
    return cookies.sign_out(redirect(url_for("login.login"), 303))


def _end_here(reached: list[Any]) -> list[Session]:
    """In a transaction of its own: what comes after it can fail, and she is signed out all the same."""
    for member in reached[:1]:
        with db.transaction():
            sessions.end(member.session)
            tell_end("signed_out", reached, by=lambda each: guard.member_actor(each, source="dashboard"))
    return [member.session for member in reached[:1]]


def _end_there(provider: IdentityProvider, session: Session) -> Any:
    browser = cookies.mark_browser()
    with db.transaction():
        sent = single_logout.begin(provider, session, browser_digest=browser, base_url=guard.base_url())
    name = provider.description or provider.name
    return handover.carry(sent, to=name, words=f"You are signed out here. {name} is told to sign you out as well.")


# --- pages ------------------------------------------------------------------------------------------------------


def _login_page(refused: DomainError | None = None) -> Response:
    last = _last_account()
    return _page("login/login.html", refused, next=_next(), signed_in=guard.signed_in()[:1], last=last)


def _ways_page(email: str) -> Response:
    return _page("login/ways.html", next=_next(), email=email, last=_last_account())


def _last_account() -> str | None:
    """The account that this browser entered last by single sign-on."""
    slug = cookies.last_account()
    return slug if slug and _SLUG.fullmatch(slug) else None


def _chooser_page(slug: str, refused: DomainError | None = None) -> Response:
    account = Account.get_or_none(Account.slug == slug)
    providers = _providers(account) if account else []
    return _page(
        "login/chooser.html",
        refused,
        next=_next(),
        slug=slug,
        providers=providers,
        # A name is told only where the providers' buttons tell it anyway.
        name=account.name if account and providers else slug,
        mixed=account is None or sign_in_mode.of(account) == sign_in_mode.MIXED,
    )


def _providers(account: Account) -> list[IdentityProvider]:
    if not plans.has(account, plans.Feature.SSO):
        return []
    return list(idps.of_account(account).where(IdentityProvider.enabled).order_by(IdentityProvider.id))


def _page(template: str, refused: DomainError | None = None, **context: Any) -> Response:
    return form_page(template, refused, message=_words(refused), **context)


def _words(refused: DomainError | None) -> str | None:
    if isinstance(refused, Refused) and refused.outcome is Outcome.NOT_A_MEMBER:
        return WRONG_CODE if request.path == url_for("login.recover") else WRONG_PASSWORD
    return refused.message if refused else None


def _next() -> str | None:
    return safe(request.values.get("next"))
