"""The cookies. The session cookie is opaque and looked up; the browser cookie is Flask's signed one and holds only what
an anonymous browser needs: the CSRF secret and the nonce that ties a SAML request to the browser that began it. A
sign-in that began at the provider has a short-lived one of its own."""

import secrets
from datetime import timedelta

from flask import Flask, Request, current_app, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.wrappers import Response

from idp_bridge import tokens
from idp_bridge.sessions import ABSOLUTE, Opened

_NONCE = "saml_nonce"
_LAST_ACCOUNT = "idp_bridge_account"
_REMEMBERED = timedelta(days=365)


class BrowserCookie(SecureCookieSessionInterface):
    """Flask's signed cookie, for browsers: a request that brings its own proof and no cookie has none to be read, and
    looking would cost it a tenth of its time. It must not begin one either, which Flask's null session sees to."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """None where it is a machine that calls."""
        surface = request.path.split("/", 2)[1:2]
        if surface == ["scim"] or (surface == ["api"] and "Authorization" in request.headers):
            return None
        return super().open_session(app, request)


def browser_cookie_name(*, secure: bool) -> str:
    """``__Host-`` here too: the CSRF secret and the nonce are worth nothing where another host can plant its own."""
    return "__Host-idp_bridge_browser" if secure else "idp_bridge_browser"


def session_cookie_name() -> str:
    """``__Host-`` where browsers allow it: no other host of the domain can set such a cookie."""
    return "__Host-idp_bridge" if current_app.config["SESSION_COOKIE_SECURE"] else "idp_bridge_session"


def session_token() -> str | None:
    """The session token of this request, if it has the form of one."""
    token = request.cookies.get(session_cookie_name(), "")
    return token if tokens.kind_of(token) is tokens.Kind.SESSION else None


def sign_in(response: Response, opened: Opened) -> Response:
    """Give the browser its session. A token that it had before is not kept: the cookie is always a new one."""
    response.set_cookie(
        session_cookie_name(),
        opened.token,
        max_age=int(ABSOLUTE.total_seconds()),
        httponly=True,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        samesite="Lax",
        path="/",
    )
    return response


def sign_out(response: Response) -> Response:
    """Take the session cookie away."""
    response.delete_cookie(
        session_cookie_name(),
        httponly=True,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        samesite="Lax",
        path="/",
    )
    return response


def remember_account(response: Response, slug: str) -> Response:
    """The account that this browser entered by single sign-on: the sign-in page offers it the next time."""
    response.set_cookie(
        _LAST_ACCOUNT,
        slug,
        max_age=int(_REMEMBERED.total_seconds()),
        httponly=True,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        samesite="Lax",
        path="/login",
    )
    return response


def last_account() -> str | None:
    """What it says; the browser's word, which anybody can write."""
    return request.cookies.get(_LAST_ACCOUNT)


def browser_digest() -> str | None:
    """The digest of this browser's nonce; None where the cookie did not come (a cross-site POST)."""
    nonce = session.get(_NONCE)
    return tokens.digest(nonce) if nonce else None


def mark_browser() -> str:
    """The digest of this browser's nonce, which is made where there is none. One serves all its tabs."""
    if _NONCE not in session:
        session[_NONCE] = secrets.token_urlsafe(32)
    return tokens.digest(session[_NONCE])


def came() -> bool:
    """Whether this browser's cookies came with the request: they do not with a cross-site post."""
    return browser_digest() is not None or session_token() is not None


def new_nonce() -> str:
    """A nonce for one flow that began without this browser's cookie: at the provider."""
    return secrets.token_urlsafe(32)


def bind(response: Response, flow_id: str, nonce: str, *, lifetime: timedelta) -> Response:
    """Give the browser the nonce of one flow. A cookie of its own: the answer to a cross-site post must not replace the
    browser's cookie, which did not come with it and belongs to its other tabs too."""
    response.set_cookie(
        _flow_cookie_name(flow_id),
        nonce,
        max_age=int(lifetime.total_seconds()),
        httponly=True,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        samesite="Lax",
        path="/",
    )
    return response


def unbind(response: Response, flow_id: str) -> Response:
    """The flow is over."""
    if _flow_cookie_name(flow_id) in request.cookies:
        response.delete_cookie(
            _flow_cookie_name(flow_id),
            httponly=True,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            samesite="Lax",
            path="/",
        )
    return response


def digests_for(flow_id: str) -> list[str]:
    """What this browser may be known as to that flow."""
    nonce = request.cookies.get(_flow_cookie_name(flow_id))
    known = (browser_digest(), tokens.digest(nonce) if nonce else None)
    return [digest for digest in known if digest]


def _flow_cookie_name(flow_id: str) -> str:
    return f"__Host-{flow_id}" if current_app.config["SESSION_COOKIE_SECURE"] else flow_id
