"""SCIM tokens: what a provider's directory shows to be let in. Stored as a digest, shown once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from idp_bridge import clock, events, grants, ids, plans, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, Event, IdentityProvider, ScimToken

ENDS_SOON = timedelta(days=14)


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


def makers(account: Account, rows: Sequence[ScimToken]) -> dict[str, str]:
    """Who made each of these tokens, as the event of its making tells: token id -> what a person reads of her."""
    made = events.of_account(account, type=Type.SCIM_TOKEN_CREATED).where(Event.object_id.in_([row.id for row in rows]))
    return {event.object_id: event.principal_subject for event in made} if rows else {}


# --- changing the token ----------------------------------------------------------------------------------------


def expired(row: ScimToken, now: datetime | None = None) -> bool:
    """Whether it opens nothing any more."""
    return row.expires_at is not None and row.expires_at <= (now or clock.now())


def ends_soon(row: ScimToken, now: datetime | None = None) -> bool:
    """Whether it works still, and not for long."""
    moment = now or clock.now()
    return row.expires_at is not None and moment < row.expires_at <= moment + ENDS_SOON


class Step(StrEnum):
    """What comes next in changing a directory's token without a gap."""

    MAKE = "make"  # a second one
    PASTE = "paste"  # it at the provider; its first use is awaited
    REVOKE = "revoke"  # the former ones


@dataclass(frozen=True)
class Rotation:
    """``former`` are to go, the oldest first; ``new`` takes over, None where it is still to be made."""

    step: Step
    former: tuple[ScimToken, ...]
    new: ScimToken | None

    @property
    def still_used(self) -> bool:
        """Whether a former one was shown after the new one last was: somebody has it yet."""
        return any(
            one.last_used_at and self.new and self.new.last_used_at and one.last_used_at > self.new.last_used_at
            for one in self.former
        )


def rotation(rows: Sequence[ScimToken], now: datetime | None = None) -> Rotation | None:
    """Where it stands, by the tokens that work; None where none does."""
    live = sorted((row for row in rows if not expired(row, now)), key=lambda row: row.id)
    if not live:
        return None
    if len(live) == 1:
        return Rotation(Step.MAKE, (live[0],), None)
    *former, new = live
    return Rotation(Step.PASTE if new.last_used_at is None else Step.REVOKE, tuple(former), new)


# --- how it is told --------------------------------------------------------------------------------------------


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
