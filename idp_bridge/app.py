"""The application: the one file that knows every part."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from idp_bridge import db, keyring, mail, webhook_delivery
from idp_bridge.config import Config
from idp_bridge.rates import Rates
from idp_bridge.web import api, cookies, dashboard, errors, guard, headers, login, observing, operations, saml, scim

LARGEST_BODY = 8 * 1024 * 1024  # SCIM's; the other parts set their own, smaller one


class _Application(Flask):
    """Flask asks of each function at each call whether it is a coroutine; none of ours is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(config: Config) -> Flask:
    """A WSGI application on this configuration. Opens the database, and leaves its schema alone."""
    app = _Application("idp_bridge", root_path=str(db.MIGRATIONS.parent / "web"), static_folder="static")
    configure(app, config)
    app.session_interface = cookies.BrowserCookie()
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # the router's redirect from // to / is a page, under /api too
    if config.trusted_proxies:
        hops = config.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    guard.csrf.init_app(app)
    observing.watch_queries(config.slow_query_ms)
    observing.register(app)
    headers.register(app)
    errors.register(app)
    for part in (operations, scim, saml, login, dashboard, api):
        part.register(app)
    return app


def configure(app: Flask, config: Config) -> None:
    """Everything but the routes, the origin in the API's description and the trusted proxies, which an application has
    from its beginning: what the tests put on another database is a whole one, and made once."""
    db.open_database(config.database_url)
    keyring.unlock(config.secret_key, config.secret_key_previous)
    mail.configure(config)
    webhook_delivery.configure(config)
    app.config.update(
        BASE_URL=config.base_url,
        SECRET_KEY=config.secret_key,
        SECRET_KEY_FALLBACKS=[config.secret_key_previous] if config.secret_key_previous else [],
        SESSION_COOKIE_NAME=cookies.browser_cookie_name(secure=config.secure),
        SESSION_COOKIE_SECURE=config.secure,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        METRICS_TOKEN=config.metrics_token,
        MAX_CONTENT_LENGTH=LARGEST_BODY,
        WTF_CSRF_CHECK_DEFAULT=False,  # guard.py and login.py check where a cookie is what lets somebody in
        WTF_CSRF_SECRET_KEY=[
            key for key in (config.secret_key_previous, config.secret_key) if key
        ],  # the last one signs
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as the browser's cookie
        WTF_CSRF_SSL_STRICT=False,  # the token is the proof; a missing Referer is none
    )
    app.extensions["rates"] = Rates.of(config)
