"""SCIM tokens: what a provider's directory shows to be let in. Stored as a digest, shown once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp_bridge import clock, events, grants, ids, plans, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import IdentityProvider, ScimToken


@dataclass(frozen=True)
class Issued:
    """A new SCIM token; ``token`` is shown once."""

    row: ScimToken
    token: str


def of_provider(provider: IdentityProvider) -> Any:
    """The directory's tokens, as a query."""
    return ScimToken.select().where(ScimToken.identity_provider == provider)


def issue(
    actor: Actor, provider: IdentityProvider, *, description: str = "", expires_at: datetime | None = None
) -> Issued:
    """A bearer token for this provider's directory; several live side by side, so that rotation has no gap.
    Raises Forbidden (plan, rights), Invalid."""
    plans.require(actor.account, plans.Feature.SCIM)
    grants.check_decides(actor, provider)
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("expires_at lies in the past.", fields={"expires_at": ["in the past"]})
    token = tokens.new(tokens.Kind.SCIM_TOKEN)
    row = ScimToken.create(
        id=ids.new("tok"),
        identity_provider=provider,
        description=description,
        token_digest=tokens.digest(token),
        ends_with=token[-4:],
        created_at=clock.now(),
        expires_at=expires_at,
    )
    events.record(actor, Type.SCIM_TOKEN_CREATED, describe(row))
    return Issued(row, token)


def get(provider: IdentityProvider, token_id: str) -> ScimToken:
    """Raises NotFound."""
    row = of_provider(provider).where(ScimToken.id == token_id).get_or_none()
    if row is None:
        raise NotFound(f"There is no SCIM token {token_id} for this identity provider.")
    return row


def revoke(actor: Actor, row: ScimToken) -> None:
    """The token stops working at once."""
    row.delete_instance()
    events.record(actor, Type.SCIM_TOKEN_DELETED, describe(row))


def describe(row: ScimToken) -> dict[str, Any]:
    """The token as the API and events show it: how it ends, never itself."""
    return {
        "id": row.id,
        "identity_provider_id": row.identity_provider_id,
        "description": row.description,
        "ends_with": row.ends_with,
        "created_at": clock.rfc3339(row.created_at),
        "expires_at": clock.rfc3339(row.expires_at) if row.expires_at else None,
        "last_used_at": clock.rfc3339(row.last_used_at) if row.last_used_at else None,
    }
