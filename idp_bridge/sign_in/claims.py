"""What an assertion may change of a member, attribute by attribute: what her directory says stands above it, and it
stands above what was done by hand (docs/sign-in.md)."""

from collections.abc import Mapping
from typing import Any

from idp_bridge import db, look_alikes, member_roles, members
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict
from idp_bridge.models import DirectoryGroup, DirectoryUser, IdentityProvider, Member, MemberRole, RoleMapping
from idp_bridge.roles import ADMIN
from idp_bridge.sign_in.identify import Identity
from idp_bridge.statement import Statement, parameter
from idp_bridge.text import fold

KEPT_LAST_ADMINISTRATOR, GROUPS_OVERAGE = "kept_last_administrator", "groups_overage"

#: Of a sign-in that was let in all the same: what an administrator reads.
WARNINGS: Mapping[str, str] = {
    KEPT_LAST_ADMINISTRATOR: "Her groups no longer make her an administrator. She is the last one, so she stays one: "
    "make somebody else an administrator, or put her into the group again.",
    GROUPS_OVERAGE: "The provider sent a link instead of her groups, as Entra ID does where they are more than 150. "
    "She keeps the roles that she had.",
}


def claimed_roles(provider: IdentityProvider, claimed: tuple[str, ...], *, managed: bool = False) -> dict[str, str]:
    """The roles that the groups of a claim give: mapping id -> role. Okta names groups, Entra sends their object ids,
    which are the externalIds of the pushed ones.

    ``managed``: her directory manages her. Of the groups that it pushes it says who is in them, and no claim does.
    """
    names = {fold(group) for group in claimed}
    return {
        mapping.id: mapping.role
        for mapping, group in _MAPPINGS.instances(provider=provider.id)
        if (_key(mapping, group) in names or (group is not None and group.external_id in claimed))
        and (mapping.role != ADMIN or provider.may_grant_admin)
        and (group is None or not managed)
    }


_MAPPINGS: Statement = Statement(
    (*RoleMapping._meta.sorted_fields, *DirectoryGroup._meta.sorted_fields),
    lambda: (
        RoleMapping.select(*_MAPPINGS.columns)
        .left_outer_join(DirectoryGroup)
        .where(RoleMapping.identity_provider == parameter("provider"))
    ),
)


def _key(mapping: RoleMapping, group: DirectoryGroup | None) -> str:
    """The group's name as it is now; before it is pushed, the one the mapping waits under."""
    return mapping.group_key if group is None else group.display_name_key


def take_profile(actor: Actor, member: Member, identity: Identity) -> None:
    """Her address and names, but for those that a directory owns. Writes only a change."""
    said = {
        "email": identity.email,
        "name": identity.name,
        "first_name": identity.first_name,
        "last_name": identity.last_name,
    }
    changed = {name for name, value in said.items() if value and value != getattr(member, name)}
    if changed and member.managed_by == "scim":
        changed -= _owned_by_directory(member)
    if "email" in changed and not _is_free(actor, member, identity.email):
        changed -= {"email"}
    if changed:
        now: dict[str, Any] = {name: said[name] if name in changed else getattr(member, name) for name in said}
        members.update_profile(actor, member, **now)


def _is_free(actor: Actor, member: Member, email: str) -> bool:
    """An address that another member has stays hers: two under one could not be told apart when they sign in. Nobody
    gets one that passes for another either."""
    if look_alikes.is_disguised(email) or members.passed_for(actor.account, email):
        return False
    return all(other.id == member.id for other in members.with_address(actor.account, email))


def _owned_by_directory(member: Member) -> set[str]:
    """What her record says, and so nobody else: the address always, a name where there is one in it."""
    owned = {"email"}
    for (resource,) in _RECORDS.rows(member=member.id):
        name = resource.get("name") or {}
        first, last = name.get("givenName"), name.get("familyName")
        says = {
            "name": resource.get("displayName") or name.get("formatted") or first or last,
            "first_name": first,
            "last_name": last,
        }
        owned |= {attribute for attribute, value in says.items() if value}
    return owned


_RECORDS = Statement(
    (DirectoryUser.resource,),
    lambda: DirectoryUser.select(DirectoryUser.resource).where(
        DirectoryUser.member == parameter("member"), DirectoryUser.deleted_at.is_null()
    ),
)


def take_roles(actor: Actor, member: Member, mapped: Mapping[str, str]) -> tuple[str, ...]:
    """The roles that this assertion's groups give, in place of what the last one's gave; warnings.

    Where that would leave the account without an administrator, she comes in and keeps the role: refused, nobody could
    mend the account or the claim. Every such sign-in says so.
    """
    former = dict(_CLAIMED.rows(member=member.id))
    if former == mapped:
        return ()
    losing = {} if ADMIN in mapped.values() else {key: role for key, role in former.items() if role == ADMIN}
    if not losing:
        member_roles.set_claimed_roles(actor, member, dict(mapped))
        return ()
    try:
        with db.savepoint():
            member_roles.set_claimed_roles(actor, member, dict(mapped))
    except Conflict as refused:
        if refused.code is not Code.LAST_ADMINISTRATOR:
            raise
        member_roles.set_claimed_roles(actor, member, {**mapped, **losing})
        return (KEPT_LAST_ADMINISTRATOR,)
    return ()


_CLAIMED = Statement(
    (MemberRole.mapping_id, MemberRole.role),
    lambda: MemberRole.select(MemberRole.mapping_id, MemberRole.role).where(
        MemberRole.member == parameter("member"), MemberRole.source == "claim"
    ),
)
