"""The guard before every view: authenticate, authorise, check the plan, then one transaction around the view.

``@guard`` stands outermost, so nothing of a request is parsed before its caller is known. It is only read: who she is
counts for the moment in which all of it is there, not for the one in which she began to send. Reads run without a
transaction; every other method runs inside one that commits when the view returns and rolls back when it raises, and
that is begun anew where PostgreSQL undid it because two waited for each other in a circle.

Strangers are turned away before a transaction begins. What was read of the caller then may be otherwise when it has
begun, since others wrote while it was waited for: then she is asked for again inside, and acts as what she is there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from itertools import count
from typing import Any, TypeVar, cast

from flask import abort, current_app, g, redirect, request, url_for
from flask_wtf.csrf import CSRFProtect

from idp_bridge import credentials, db, events, member_roles, plans, roles, sessions, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Forbidden, NotFound, Unauthenticated
from idp_bridge.events import Type
from idp_bridge.models import Account, BotUser, Credential, Member, Session
from idp_bridge.plans import Feature
from idp_bridge.rates import Limit, Rates
from idp_bridge.roles import CredentialKind, Permission
from idp_bridge.sessions import Came
from idp_bridge.web import bodies, cookies

View = TypeVar("View", bound=Callable[..., Any])
Result = TypeVar("Result")

csrf = CSRFProtect()

READING = frozenset({"GET", "HEAD", "OPTIONS"})

_WRONG_KIND = {
    tokens.Kind.AUTHTOKEN: "That is an authtoken, not an API key.",
    tokens.Kind.SCIM_TOKEN: "That is a SCIM token, not an API key; it opens /scim/v2 only.",
    tokens.Kind.OPERATOR_KEY: "That is an operator key; it may introspect and report usage, nothing else.",
}


def guard(
    permission: Permission | None = None, *, feature: Feature | None = None, transaction: bool = True
) -> Callable[[View], View]:
    """Let a caller through who holds ``permission`` (None: any caller) in an account whose plan has ``feature``.

    Under /accounts/<slug>/ the account is the path's, elsewhere the credential's or the session's. The view finds who
    acts with ``actor()``. A view that has slow work to do before it writes, such as fetching a document, takes
    ``transaction=False`` and opens its own after it (``writing``): SQLite has one write lock.
    """

    def decorate(view: View) -> View:
        def let_in(slug: str | None, *, again: bool = False) -> None:
            g.actor = _authenticate(slug, again=again)
            if permission is not None:
                require(permission)
            if feature is not None:
                plans.require(g.actor.account, feature)

        @wraps(view)
        def guarded(*args: Any, **values: Any) -> Any:
            slug = values.pop("slug", None)
            if request.method not in READING:
                bodies.read()  # all of it: nobody is let in now to act, or to hold a lock, until she pleases
            with db.connection():
                if request.method in READING:
                    let_in(slug)
                    return view(*args, **values)
                g.commits, g.let_in = db.commits(), partial(let_in, slug, again=True)
                let_in(slug)
                return repeated(lambda: view(*args, **values)) if transaction else view(*args, **values)

        guarded.guard = permission or "any"  # type: ignore[attr-defined]  # tests walk all routes and read it
        return cast(View, guarded)

    return decorate


def repeated(work: Callable[[], Result]) -> Result:
    """``work`` in a transaction, as often as it takes (db.repeated), each time by who its caller is in it."""
    rounds = count()

    def as_she_is() -> Result:
        _look_again(undone=next(rounds) > 0)
        return work()

    return db.repeated(as_she_is)


@contextmanager
def writing() -> Iterator[None]:
    """The transaction of a view whose guard opens none: who acts in it is who she is now, after what took so long."""
    with db.transaction():
        _look_again()
        yield


def _look_again(*, undone: bool = False) -> None:
    """First of all in a transaction: whoever wrote since the caller was let in may have suspended or demoted her, or
    deleted what she shows. ``undone``: what was read or changed of her in memory was undone with the rest."""
    if not (undone or db.moved(g.commits)):
        return
    credentials.hold(g.actor)
    g.pop("reached", None)
    g.let_in()


def open_to_all(view: View) -> View:
    """A view that needs neither a caller nor the database."""
    view.guard = "public"  # type: ignore[attr-defined]
    return view


def public(view: View) -> View:
    """A view for callers who are nobody yet. It opens its own transaction where it writes."""

    @wraps(view)
    def opened(*args: Any, **values: Any) -> Any:
        with db.connection():
            return view(*args, **values)

    opened.guard = "public"  # type: ignore[attr-defined]
    return cast(View, opened)


def actor() -> Actor:
    """Who acts in this request."""
    return cast(Actor, g.actor)


def session() -> Session | None:
    """The browser session of this request; None for an API key."""
    return cast(Session | None, g.get("session"))


def require(permission: Permission) -> None:
    """Raises Forbidden naming the roles, or the kinds of credential, that would do."""
    if not actor().may(permission):
        able = [name for name, allowed in roles.BUILT_IN.items() if permission in allowed]
        raise Forbidden(
            f"This needs the permission {permission.value}, which the role {' or '.join(able)} has. "
            "Ask an administrator to grant it."
        )
    allowed = roles.kinds_of(permission)
    if credential_kind() not in allowed:
        raise Forbidden(
            f"Your roles allow {permission.value}, but not with {credential_kind().value}: use {_either(allowed)}.",
            code=Code.CREDENTIAL_KIND_NOT_ALLOWED,
        )


def credential_kind() -> CredentialKind:
    """With what the caller of this request has shown who she is."""
    if session() is not None:
        return CredentialKind.SESSION
    return CredentialKind.BOT_API_KEY if actor().type == "bot_user" else CredentialKind.USER_API_KEY


def _either(kinds: frozenset[CredentialKind]) -> str:
    return " or ".join(kind.value for kind in CredentialKind if kind in kinds)


def _authenticate(slug: str | None, *, again: bool) -> Actor:
    """``again``: in the same request, which counts once."""
    token = bearer() if slug is None else None
    return _by_session(slug, again=again) if token is None else _by_api_key(token, again=again)


def bearer() -> str | None:
    """The token that the request shows; None where it shows none. Raises Unauthenticated for another scheme."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Authorization must be: Bearer <API key>.")
    return token.strip()


def _by_api_key(token: str, *, again: bool) -> Actor:
    kind = tokens.kind_of(token)
    if kind in _WRONG_KIND:
        raise Unauthenticated(_WRONG_KIND[kind], code=Code.WRONG_CREDENTIAL_KIND)
    if kind is None and (fault := tokens.fault(token)):
        raise Unauthenticated(fault, code=Code.WRONG_CREDENTIAL_KIND if tokens.is_id(token) else None)
    credential = credentials.find(credentials.API_KEY, token) if kind is tokens.Kind.API_KEY else None
    if credential is None:
        raise Unauthenticated("This API key is not valid: it is mistyped, was deleted, has expired or is suspended.")
    if not again:
        spend(rates().api, credential.id)
        credentials.used(credential, request.remote_addr)
    return _credential_actor(credential)


def _credential_actor(credential: Credential) -> Actor:
    owner = credentials.owner_of(credential)
    held = credentials.roles_of_owner(credential)
    return Actor(
        account=credential.account,
        id=owner.id,
        type="bot_user" if isinstance(owner, BotUser) else "user",
        subject=owner.name if isinstance(owner, BotUser) else owner.email,
        source="api",
        credential_id=credential.id,
        roles=held,
        permissions=roles.permissions_of(credential.account_id, held),
        made_through=credential.made_through,
        **_request_facts(),
    )


def _by_session(slug: str | None, *, again: bool) -> Actor:
    reached = signed_in()
    wanted = slug or request.headers.get("X-Account")
    chosen = [m for m in reached if wanted in (None, m.account.slug, m.account.id)]
    if not reached:
        raise Unauthenticated("Sign in first." if slug else "Send an API key, or sign in.")
    if not again:
        spend(rates().api, reached[0].session.digest)
    if not chosen:
        if slug and request.method in READING and _is_hers(reached[0], slug):
            abort(redirect(url_for("login.chooser", slug=slug, next=request.full_path.rstrip("?")), 303))
        raise NotFound(f"Your session does not reach an account {wanted}.")
    if request.method not in READING:
        csrf.protect()
    member = chosen[0]
    g.member, g.session = member, member.session
    held = member_roles.roles_of(member.account, member)
    acting = member_actor(member, source="dashboard" if slug else "api", held=held)
    if not again:
        _note_use(acting, member)
    return acting


def _is_hers(member: Member, slug: str) -> bool:
    """Whether the same person is a member there, by whatever way in: nobody else learns that the account exists."""
    there = Member.select().join(Account).where(Account.slug == slug, Member.removed_at.is_null())
    return bool(there.where(Member.person == member.person_id).exists())


def _note_use(acting: Actor, member: Any) -> None:
    """To an account that the session came to reach by a sign-in elsewhere, its first use there is the sign-in."""
    if member.reach.used_at is not None:
        return sessions.seen(member)
    with db.transaction():
        if sessions.first_used(member, Came(request.remote_addr, request.user_agent.string)):
            told = {"id": member.id, "method": member.session.method, "email": member.email}
            events.record(acting, Type.SIGN_IN_SUCCEEDED, told)
    return None


def signed_in() -> list[Any]:
    """The memberships that this browser's session reaches; empty where nobody is signed in."""
    token = cookies.session_token()
    if "reached" not in g:
        g.reached = sessions.memberships(token) if token else []
    return cast(list[Any], g.reached)


def member_actor(member: Member, *, source: str, held: tuple[str, ...] = ()) -> Actor:
    """A member acting in her account, at this request; by the provider that opened her session, if one did."""
    opened_by = session()
    return Actor(
        account=member.account,
        id=member.id,
        type="user",
        subject=member.email,
        source=source,
        roles=held,
        permissions=roles.permissions_of(member.account_id, held),
        identity_provider_id=opened_by.identity_provider_id if opened_by else None,
        **_request_facts(),
    )


def stranger(account: Account, *, source: str) -> Actor:
    """Somebody at an account's door who has not shown who she is: whomever she named, it is not that one's act."""
    return Actor(account=account, type="system", subject="unknown", source=source, **_request_facts())


def provider_actor(account: Account, provider: Any, *, source: str, credential_id: str | None = None) -> Actor:
    """An identity provider acting in its account: by an assertion or over SCIM."""
    return Actor(
        account=account,
        id=provider.id,
        type="identity_provider",
        subject=provider.name,
        source=source,
        credential_id=credential_id,
        **_request_facts(),
    )


def _request_facts() -> dict[str, Any]:
    return {"address": request.remote_addr, "request_id": g.get("request_id"), "began_at": g.get("began_at")}


def rates() -> Rates:
    """How often callers may come. They are taken after a credential was found good, so that bad ones count for none."""
    return cast(Rates, current_app.extensions["rates"])


def spend(limit: Limit, key: str) -> None:
    """One request more of the key; its answer says what is left (headers.py). Raises TooManyRequests."""
    try:
        limit.take(key)
    finally:
        g.rate = limit.left(key)


def base_url() -> str:
    """The public origin, without a slash at the end."""
    return cast(str, current_app.config["BASE_URL"])
