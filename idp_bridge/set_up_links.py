"""Set-up links: somebody without an account, who runs the identity provider, sets one connection up.

An administrator makes the link, and it is shown once. It opens once, in one browser, which may then do the steps of the
set-up of that connection and nothing else, in the administrator's name, until the link expires or is revoked, until the
connection is enabled, or until she who made it is an administrator no more. Events name her, and the link as what was
used.

Whoever sets up what a connection is trusted by decides whom it can speak as. So one that is set up by link is not
trusted with administrators until an administrator says so, having looked at it, and only an administrator enables it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from idp_bridge import clock, events, idps, ids, member_roles, plans, seats, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Gone
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityProvider, Member, SetUpLink
from idp_bridge.roles import Permission

DAYS = (1, 3, 7, 14)  # that a link may last
USUAL_DAYS = 3

#: What its holder may do, of the one connection: what the steps ask for.
_PERMISSIONS = frozenset({Permission.IDPS_READ, Permission.IDPS_WRITE})


@dataclass(frozen=True)
class Issued:
    """A link and its secret, which is never shown again."""

    link: SetUpLink
    token: str


def make(actor: Actor, provider: IdentityProvider, *, days: int = USUAL_DAYS) -> Issued:
    """A link for a connection that is being set up; one that it had before stops working. The connection is not trusted
    with administrators from now on. Raises Forbidden, Conflict (it is not being set up), Invalid (it may grant admin),
    NotFound (deleted meanwhile)."""
    if not actor.administrator or actor.id is None:
        raise Forbidden("Only an administrator lets somebody else set up a connection.", code=Code.ADMINISTRATORS_ONLY)
    plans.require(actor.account, plans.Feature.SSO)
    seats.lock_anew(actor.account, provider)
    if not is_being_set_up(provider):
        raise Conflict("This connection is not being set up: it was enabled, or its set-up is over.")
    idps.change(actor, provider, trusted_with_administrators=False)
    revoke(actor, provider)
    moment, token = clock.now(), tokens.new(tokens.Kind.ONE_TIME_LINK)
    link = SetUpLink.create(
        id=ids.new("sul"),
        identity_provider=provider,
        made_by=actor.id,
        digest=tokens.digest(token),
        created_at=moment,
        expires_at=moment + timedelta(days=days),
    )
    events.record(actor, Type.SET_UP_LINK_CREATED, describe(link))
    return Issued(link, token)


def revoke(actor: Actor, provider: IdentityProvider) -> int:
    """The connection's link stops working at once, opened or not; how many there were."""
    rows = list(_live(clock.now()).where(SetUpLink.identity_provider == provider))
    for link in rows:
        link.revoked_at = clock.now()
        link.save(only=[SetUpLink.revoked_at])
        events.record(actor, Type.SET_UP_LINK_REVOKED, describe(link))
    return len(rows)


def of_provider(provider: IdentityProvider) -> list[SetUpLink]:
    """Its links with who made them, the newest first."""
    found = SetUpLink.select(SetUpLink, Member).join(Member).where(SetUpLink.identity_provider == provider)
    return list(found.order_by(SetUpLink.id.desc()))


def peek(token: str) -> SetUpLink:
    """The link of this secret, with its connection and its account, where it can be opened still. Raises Gone."""
    return _working(
        (SetUpLink.digest == tokens.digest(token)) & SetUpLink.opened_at.is_null(),
        "This set-up link has expired, was used, or was revoked. Ask whoever sent it for another one.",
    )


def open_link(token: str, *, address: str | None, request_id: str | None) -> Issued:
    """Open the link, once; what the browser shows from then on. Raises Gone."""
    link, secret = peek(token), tokens.new(tokens.Kind.SET_UP)
    opening = SetUpLink.update(opened_at=clock.now(), browser_digest=tokens.digest(secret))
    if not opening.where(SetUpLink.id == link.id, SetUpLink.opened_at.is_null(), _not_revoked()).execute():
        raise Gone("This set-up link was used at this moment. Ask whoever sent it for another one.")
    actor = actor_of(link, address=address, request_id=request_id)
    events.record(actor, Type.SET_UP_LINK_OPENED, describe(link))
    return Issued(link, secret)


def of_browser(secret: str | None, provider_id: str) -> SetUpLink:
    """The link that this browser has opened for that connection, while it works. Raises Gone."""
    return _working(
        (SetUpLink.browser_digest == tokens.digest(secret or "")) & (SetUpLink.identity_provider == provider_id),
        "This set-up is not open in this browser: its link has expired, was revoked, or the connection is in use by "
        "now. Ask whoever sent the link.",
    )


def actor_of(
    link: SetUpLink, *, address: str | None, request_id: str | None, began_at: datetime | None = None
) -> Actor:
    """Whoever holds the link: in the name of the administrator who made it, with none of her roles."""
    return Actor(
        account=link.identity_provider.account,
        id=link.made_by_id,
        type="user",
        subject=link.made_by.email,
        source="dashboard",
        credential_id=link.id,
        permissions=_PERMISSIONS,
        address=address,
        request_id=request_id,
        began_at=began_at,
    )


def describe(link: SetUpLink) -> Mapping[str, Any]:
    """The link as events tell of it."""
    return {
        "id": link.id,
        "identity_provider_id": link.identity_provider_id,
        "made_by_id": link.made_by_id,
        "expires_at": clock.rfc3339(link.expires_at),
    }


def is_live(link: SetUpLink, now: datetime) -> bool:
    """Whether it has not run out of itself; what it hangs on is asked when it is used."""
    return link.revoked_at is None and link.expires_at > now


def is_being_set_up(provider: IdentityProvider) -> bool:
    """Whether its set-up has begun, and nobody has enabled it yet."""
    return provider.set_up_step is not None and not provider.enabled


def _not_revoked() -> Any:
    return SetUpLink.revoked_at.is_null()


def _live(now: datetime) -> Any:
    return SetUpLink.select().where(_not_revoked(), SetUpLink.expires_at > now)


def _working(which: Any, refusal: str) -> SetUpLink:
    """The one link that fits, with all that it hangs on as it is now: nothing of it is copied."""
    link: SetUpLink | None = (
        SetUpLink.select(SetUpLink, IdentityProvider, Account, Member)
        .join(IdentityProvider)
        .join(Account)
        .switch(SetUpLink)
        .join(Member)
        .where(which, _not_revoked(), SetUpLink.expires_at > clock.now(), Member.active, Member.removed_at.is_null())
        .get_or_none()
    )
    if link is None or not _allowed(link):
        raise Gone(refusal)
    return link


def _allowed(link: SetUpLink) -> bool:
    provider: IdentityProvider = link.identity_provider
    return (
        is_being_set_up(provider)
        and plans.has(provider.account, plans.Feature.SSO)
        and member_roles.is_administrator(provider.account, link.made_by)
    )
