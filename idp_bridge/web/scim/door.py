"""What stands before every view: a connection, and the token that opens one directory. Nothing is parsed before it."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from time import monotonic
from typing import Any, TypeVar, cast

from flask import Response, g, request

from idp_bridge import clock, db, last_uses, plans, schema_extensions, tokens
from idp_bridge.models import Account, IdentityProvider, ScimToken
from idp_bridge.plans import Feature
from idp_bridge.provisioning.directory import Directory
from idp_bridge.statement import Statement, parameter
from idp_bridge.web import guard
from idp_bridge.web.scim.blueprint import PREFIX, View
from scim import errors
from scim.schemas import MAX_PAYLOAD_BYTES, STANDARD, Catalogue

Result = TypeVar("Result")

LONG = 0.01  # seconds; what comes all at once is here before that

_WRONG_KIND = {
    tokens.Kind.API_KEY: "That is an API key, not a SCIM token.",
    tokens.Kind.AUTHTOKEN: "That is an authtoken, not a SCIM token.",
    tokens.Kind.OPERATOR_KEY: "That is an operator key, not a SCIM token.",
}
_WHERE = "Make a SCIM token on the account's Provisioning page, and paste all of it."


def authenticate() -> Directory:
    """The directory of the request's token. Raises Unauthorized, TooManyRequests, and Forbidden where the plan has no
    SCIM.

    A disabled identity provider signs nobody in, but its directory goes on: whoever is taken out of it meanwhile must
    be out here too.
    """
    token = _good_token()
    catalogue = _remember(token)
    guard.spend(guard.rates().scim, token.id)
    return _opened_by(token, catalogue)


def _good_token(statement: Statement | None = None) -> ScimToken:
    token = _token(statement or _TOKEN)
    if token is None or _expired(token, clock.now()):
        raise errors.Unauthorized(_complaint(expired=token is not None))
    return token


def _opened_by(token: ScimToken, catalogue: Catalogue) -> Directory:
    provider = token.identity_provider
    plans.require(provider.account, Feature.SCIM)
    last_uses.note(ScimToken, token.id)
    actor = guard.provider_actor(provider.account, provider, source="scim", credential_id=token.id)
    return Directory(provider, provider.account, actor, guard.base_url() + PREFIX, catalogue)


def catalogue() -> Catalogue:
    """The resource types of the token's directory, and the standard ones where no token comes. Raises what
    authenticate raises: who sends a token learns whether it is right."""
    if "Authorization" not in request.headers:
        return STANDARD
    with db.connection():
        return authenticate().catalogue


def remembered() -> ScimToken | None:
    """The token of a request that no view answers, where it is one that opens a directory; None where it is not."""
    token = _token()
    if token is None or _expired(token, clock.now()):
        return None
    _remember(token)
    return token


def _remember(token: ScimToken) -> Catalogue:
    """From here on the request is one of this directory, and its log's."""
    g.scim_token, g.scim_catalogue = token, schema_extensions.catalogue(token.identity_provider.account)
    return cast(Catalogue, g.scim_catalogue)


def _expired(token: ScimToken, moment: datetime) -> bool:
    return token.expires_at is not None and token.expires_at <= moment


def _bearer() -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


# Of the provider what provisioning reads, of the account everything: both are handed down to all that acts in them.
_OF_TOKEN: tuple[Any, ...] = (ScimToken.id, ScimToken.expires_at)
_OF_PROVIDER: tuple[Any, ...] = (
    IdentityProvider.id,
    IdentityProvider.name,
    IdentityProvider.default_roles,
    IdentityProvider.domains,
    IdentityProvider.may_grant_admin,
    IdentityProvider.trusted_with_administrators,
    IdentityProvider.strict_scim,
)
_ALL_OF_THEM = (*_OF_TOKEN, *_OF_PROVIDER, *Account._meta.sorted_fields)


def _of_digest() -> Any:
    query = ScimToken.select(*_ALL_OF_THEM).join(IdentityProvider).join(Account)
    return query.where(ScimToken.token_digest == parameter("digest"))


_TOKEN = Statement(_ALL_OF_THEM, _of_digest)
_TOKEN_KEPT = Statement(_ALL_OF_THEM, lambda: db.shared(_of_digest(), of=ScimToken))


def _token(statement: Statement = _TOKEN) -> ScimToken | None:
    bearer = _bearer() or ""
    found = statement.first(digest=tokens.digest(bearer)) if tokens.kind_of(bearer) is tokens.Kind.SCIM_TOKEN else None
    if found is None:
        return None
    token, provider, account = found
    token.identity_provider, provider.account = provider, account
    return cast(ScimToken, token)


def _complaint(*, expired: bool) -> str:
    bearer = _bearer()
    if bearer is None:
        return f"Send the header: Authorization: Bearer <SCIM token>. {_WHERE}"
    if expired:
        return f"This SCIM token has expired. {_WHERE}"
    wrong = _WRONG_KIND.get(tokens.kind_of(bearer))  # type: ignore[arg-type]  # None is in no table
    if tokens.is_id(bearer):
        wrong = "That is an id, not a SCIM token."
    return f"{wrong or 'Invalid SCIM token: it is mistyped, incomplete, or was deleted.'} {_WHERE}"


def opened(view: View) -> View:
    """The guard of this blueprint: a connection, then the token, then the view with the directory.

    Strangers are turned away before their body is read. Whoever takes long over it is asked for her token again, and
    what its provider is trusted with is read again: else a request that is held open would act on long after its token
    was deleted, or by domains that are its provider's no longer.
    """

    @wraps(view)
    def guarded(**values: Any) -> Response:
        request.max_content_length = MAX_PAYLOAD_BYTES
        with db.connection():
            g.commits = None if request.method in guard.READING else db.commits()
            directory = authenticate()
            if _took_long_to_come():
                g.commits = db.commits()
                token = _good_token()
                directory = _opened_by(token, _remember(token))
            return view(directory, **values)

    guarded.guard = "scim"  # type: ignore[attr-defined]  # tests walk all routes and read it
    return guarded


def repeated(directory: Directory, work: Callable[[], Result]) -> Result:
    """``work`` in a transaction, as often as it takes. Whoever wrote since the token was read may have deleted it, or
    changed what its provider is trusted with: then it is read again inside, and kept until the end."""

    def kept() -> Result:
        if db.moved(g.commits):
            _read_anew(directory)
        return work()

    return db.repeated(kept)


def _read_anew(directory: Directory) -> None:
    """Into the rows that were handed down. What the catalogue was read by stays: ``hold_catalogue`` compares it."""
    provider = _good_token(_TOKEN_KEPT).identity_provider
    plans.require(provider.account, Feature.SCIM)
    directory.identity_provider.__data__.update(provider.__data__)
    now = provider.account.__data__
    directory.account.__data__.update({name: now[name] for name in now if name != "extensions_version"})


def _took_long_to_come() -> bool:
    """Read the body, where there is one."""
    if request.method in guard.READING:
        return False
    begun = monotonic()
    request.get_data()
    return monotonic() - begun > LONG
