"""Grants: who may give which role away, to a member, an invited address, a bot user or a group, or as a default; and
who decides what a connection is trusted by, since that is whom it can sign in as.

Every door that gives a role asks ``check``, so that none of them has a rule of its own.
"""

from collections.abc import Iterable

from idp_bridge import db, plans, roles
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Forbidden
from idp_bridge.models import IdentityProvider, Role


def check(actor: Actor, names: Iterable[str]) -> tuple[str, ...]:
    """``names`` in order and without repetition, where the actor may give every one of them now. An own role among them
    stays as it is until the transaction ends, so that nobody holds one that is being deleted or renamed.

    Raises Invalid (no such role), Forbidden (own roles are not in the plan any more, above the actor's own rights).
    """
    wanted = set(names)
    own = wanted - roles.BUILT_IN.keys()
    if own:
        named = Role.select(Role.id).where(Role.account == actor.account, Role.name.in_(own))
        list(db.locked(named.order_by(Role.id)))
    known = roles.known(actor.account.id, wanted)
    if own:
        plans.require(actor.account, plans.Feature.OWN_ROLES)
    roles.check_grant(actor.account.id, actor.permissions, known, administrator=actor.administrator)
    return known


def check_decides(actor: Actor, provider: IdentityProvider) -> None:
    """Only administrators touch administrators, through a connection too: of one that is trusted with them, nobody else
    changes what it is trusted by. Raises Forbidden."""
    if provider.trusted_with_administrators and not actor.administrator:
        raise Forbidden(
            f"{provider.name} is trusted with administrators: only an administrator changes what it is trusted by and "
            "how it is asked, switches it on, makes tokens and keys for it, and forgets what it calls people.",
            code=Code.ADMINISTRATORS_ONLY,
        )


def open_to(actor: Actor, names: Iterable[str]) -> list[str]:
    """Those of these roles that ``check`` would let the actor give, in the same order: what a form offers her."""
    allowed = roles.allowed_by(actor.account.id, names)
    own = plans.has(actor.account, plans.Feature.OWN_ROLES)
    return [
        name
        for name, permissions in allowed.items()
        if (own or name in roles.BUILT_IN)
        and (actor.administrator or (name != roles.ADMIN and permissions & roles.ADMINISTRATIVE <= actor.permissions))
    ]
