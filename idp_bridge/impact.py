"""What switching a connection off, or deleting it, does to people: counted beforehand, so that nobody is surprised.

Numbers only, by a few statements however many people there are. What is refused anyway says so in the same words.
"""

from dataclasses import dataclass
from typing import Any

from idp_bridge import clock, db, enforcement, idps, member_roles, members, scim_tokens, sign_in_mode, spans
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict
from idp_bridge.models import (
    Account,
    DirectoryGroup,
    IdentityLink,
    IdentityProvider,
    Member,
    Person,
    RoleMapping,
    Session,
)
from idp_bridge.roles import ADMIN


@dataclass(frozen=True, kw_only=True)
class Impact:
    """Of one of the two. ``locked_out``: active members for whom there is no other way in."""

    refused: str | None
    """Why it cannot be done now; None where it can."""
    sessions_ended: int
    locked_out: int
    members_released: int = 0
    """They stay, and are managed by hand from then on."""
    scim_tokens_deleted: int = 0
    directory_users_deleted: int = 0
    groups_deleted: int = 0
    role_mappings_deleted: int = 0


def of_disabling(actor: Actor, provider: IdentityProvider) -> Impact:
    """Nobody comes in by it any more, and its sessions end. Its directory, mappings and members stay as they are."""
    return Impact(
        refused=_refused(actor, provider), sessions_ended=_sessions(provider), locked_out=_locked_out(provider)
    )


def of_deleting(actor: Actor, provider: IdentityProvider) -> Impact:
    """All that, and its directory goes with its tokens, groups and mappings."""
    its_groups = DirectoryGroup.select().where(DirectoryGroup.identity_provider == provider)
    mappings = RoleMapping.select().where(RoleMapping.identity_provider == provider)
    managed = members.of_account(provider.account).where(Member.identity_provider == provider)
    return Impact(
        refused=_refused(actor, provider) or _no_administrator_without(provider),
        sessions_ended=_sessions(provider),
        locked_out=_locked_out(provider),
        members_released=managed.count(),
        scim_tokens_deleted=scim_tokens.of_provider(provider).count(),
        directory_users_deleted=spans.find(provider.id, 0).total,
        groups_deleted=its_groups.count(),
        role_mappings_deleted=mappings.count(),
    )


def _refused(actor: Actor, provider: IdentityProvider) -> str | None:
    try:
        idps.check_reachable_without(actor, provider)
    except Conflict as refused:
        return refused.message
    return None


def _no_administrator_without(provider: IdentityProvider) -> str | None:
    """With its mappings goes what its groups and claims give; somebody must be administrator by something else."""
    account: Account = provider.account
    its_own = set(db.column(RoleMapping.select(RoleMapping.id).where(RoleMapping.identity_provider == provider)))
    administrators = list(Member.select().where(Member.id.in_(member_roles.administrators(account))))
    held = member_roles.role_sources(account, administrators).values()
    lasting = any(one.role == ADMIN and one.mapping_id not in its_own for sources in held for one in sources)
    return None if lasting else member_roles.NO_ADMINISTRATOR


def _sessions(provider: IdentityProvider) -> int:
    opened = (Session.identity_provider == provider) & (Session.expires_at > clock.now())
    return Session.select().where(opened).count()


def _locked_out(provider: IdentityProvider) -> int:
    """Who comes in by it, or is managed by it, and has neither another provider nor a password that counts."""
    account: Account = provider.account
    by_it = IdentityLink.select(IdentityLink.member).where(IdentityLink.identity_provider == provider)
    others = list(idps.of_account(account).where(IdentityProvider.id != provider.id, IdentityProvider.enabled))
    coming = (Member.identity_provider == provider) | Member.id.in_(by_it)
    # Without IS NOT NULL, NOT would leave out everybody whom no provider manages.
    managed_elsewhere = Member.identity_provider.is_null(False) & Member.identity_provider.in_(others)
    other_way: Any = managed_elsewhere | enforcement.known_to_let_in(others)
    if sign_in_mode.of(account) == sign_in_mode.MIXED:
        other_way |= Person.password_hash.is_null(False)
    return Member.select().join(Person).where(Member.account == account, Member.active, coming, ~other_way).count()
