"""Directory groups and the role mappings that hang on them.

A mapping refers to a group by id and shows its name, so a rename breaks nothing; a mapping made before the group was
pushed waits under its name and takes hold when it comes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from peewee import JOIN, fn

from idp_bridge import clock, db, events, grants, ids, member_roles, plans
from idp_bridge.actors import Actor
from idp_bridge.db import column
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, DirectoryGroup, GroupMember, IdentityProvider, Member, MemberRole, RoleMapping
from idp_bridge.roles import ADMIN
from idp_bridge.statement import Statement, parameter
from idp_bridge.text import fold


def keeping_an_administrator(account: Account) -> AbstractContextManager[None]:
    """Around a change of groups, memberships or mappings: see member_roles.keeping_an_administrator."""
    return member_roles.keeping_an_administrator(account)


def of_account(account: Account) -> Any:
    """The directory groups of the account's providers, as a query; each row has ``member_count``."""
    members_counted = GroupMember.select(fn.COUNT(GroupMember.id)).where(GroupMember.group == DirectoryGroup.id)
    return (
        DirectoryGroup.select(DirectoryGroup, members_counted.alias("member_count"))
        .join(IdentityProvider)
        .where(IdentityProvider.account == account)
    )


def of_each_provider(account: Account, found: Any) -> list[Any]:
    """What ``of_account`` or ``mappings`` finds, as a query for each of the account's providers: only within one are
    the rows in the order of an index."""
    providers = IdentityProvider.select(IdentityProvider.id).where(IdentityProvider.account == account)
    own = found.model.identity_provider
    return [found.where(own == id) for id in column(providers)]


def get(account: Account, group_id: str) -> DirectoryGroup:
    """The group of this account, with ``member_count``. Raises NotFound."""
    group = of_account(account).where(DirectoryGroup.id == group_id).get_or_none()
    if group is None:
        raise NotFound(f"There is no group {group_id} in this account.")
    return group


def gives_admin(group_id: str) -> bool:
    """Whether this group's members are administrators by it."""
    return _GIVES_ADMIN.one(group=group_id) is not None


_GIVES_ADMIN = Statement(
    (RoleMapping.id,),
    lambda: (
        RoleMapping.select(RoleMapping.id)
        .join(IdentityProvider)
        .where(RoleMapping.group == parameter("group"), RoleMapping.role == ADMIN, IdentityProvider.may_grant_admin)
    ),
)


def bind_mappings(
    actor: Actor, identity_provider_id: str, group: DirectoryGroup, *, former_name: str | None = None
) -> None:
    """After a group came or was renamed: its mappings follow its name, and one that waits under it takes hold."""
    named = (RoleMapping.identity_provider == identity_provider_id) & (RoleMapping.group_key == group.display_name_key)
    there = column(RoleMapping.select(RoleMapping.role).where(named))
    renamed = RoleMapping.update(group_key=group.display_name_key, group_display_name=group.display_name).where(
        RoleMapping.group == group, RoleMapping.role.not_in(there)
    )
    _tell_of(actor, renamed.returning(RoleMapping).execute(), group, before={"group_display_name": former_name})
    bound = RoleMapping.update(group=group).where(named, RoleMapping.group.is_null()).returning(RoleMapping)
    if _tell_of(actor, bound.execute(), group, before={"group_id": None}):
        _leave_to_directory(actor, identity_provider_id, group)


def _tell_of(actor: Actor, rows: Iterable[RoleMapping], group: DirectoryGroup | None, *, before: Any) -> bool:
    """An event of each of these mappings, which follow a group of the directory; whether there are any."""
    changed = list(rows)
    for row in changed:
        row.group = group
        events.record(actor, Type.ROLE_MAPPING_UPDATED, {**describe_mapping(row), "before": before})
    return bool(changed)


def release_mappings(actor: Actor, group: DirectoryGroup) -> None:
    """Before a group goes: its mappings wait under its name again."""
    released = RoleMapping.update(group=None).where(RoleMapping.group == group).returning(RoleMapping)
    _tell_of(actor, released.execute(), None, before={"group_id": group.id})


def _leave_to_directory(actor: Actor, identity_provider_id: str, group: DirectoryGroup) -> None:
    """A group that is pushed has in it whom its directory says: what sign-ins of those whom it manages have claimed by
    the mappings that waited for it is gone. Raises Conflict for the last administrator."""
    managed = Member.select(Member.id).where(
        Member.identity_provider == identity_provider_id, Member.managed_by == "scim"
    )
    mapped = RoleMapping.select(RoleMapping.id).where(RoleMapping.group == group)
    claims = MemberRole.mapping_id.in_(mapped) & MemberRole.member.in_(managed)
    if not MemberRole.select().where(claims).exists():
        return
    with keeping_an_administrator(actor.account):
        gone = defaultdict(list)
        deleted: Any = MemberRole.delete().where(claims).returning(MemberRole.member, MemberRole.role)
        for member_id, role in deleted.tuples().execute():
            gone[member_id].append(role)
    left = defaultdict(list)
    claimed = (MemberRole.source == "claim") & MemberRole.member.in_(list(gone))
    kept: Any = MemberRole.select(MemberRole.member, MemberRole.role).where(claimed)
    for member_id, role in kept.tuples():
        left[member_id].append(role)
    for member in Member.select().where(Member.id.in_(list(gone))).order_by(Member.id):
        after = left[member.id]
        member_roles.told_claims(actor, member, before=[*after, *gone[member.id]], after=after)


# --- role mappings ----------------------------------------------------------------------------------------------


def mappings(account: Account) -> Any:
    """The role mappings of the account, as a query; each with its group loaded."""
    return (
        RoleMapping.select(RoleMapping, DirectoryGroup)
        .join(IdentityProvider)
        .switch(RoleMapping)
        .join(DirectoryGroup, JOIN.LEFT_OUTER, on=(RoleMapping.group == DirectoryGroup.id))
        .where(IdentityProvider.account == account)
    )


def mapping(account: Account, mapping_id: str) -> RoleMapping:
    """The mapping of this account. Raises NotFound."""
    found = mappings(account).where(RoleMapping.id == mapping_id).get_or_none()
    if found is None:
        raise NotFound(f"There is no role mapping {mapping_id} in this account.")
    return found


def map_role(
    actor: Actor,
    identity_provider: IdentityProvider,
    *,
    role: str,
    group_id: str | None = None,
    group_display_name: str | None = None,
) -> RoleMapping:
    """Give the members of a directory's group a role, by the group's id or by a name it may get later.

    Raises NotFound, Conflict (mapped already), Forbidden (plan, above the actor's rights).
    """
    plans.require(actor.account, plans.Feature.SSO)
    grants.check(actor, [role])
    group = _group(identity_provider, group_id, group_display_name)
    name = group.display_name if group else (group_display_name or "")
    with _unique():
        row = RoleMapping.create(
            id=ids.new("map"),
            identity_provider=identity_provider,
            group=group,
            group_display_name=name,
            group_key=fold(name),
            role=role,
            created_at=clock.now(),
        )
    events.record(actor, Type.ROLE_MAPPING_CREATED, describe_mapping(row))
    return row


def change_mapping(actor: Actor, row: RoleMapping, role: str) -> None:
    """Let the mapping give another role. Raises Forbidden, Conflict (the last administrator, mapped already)."""
    plans.require(actor.account, plans.Feature.SSO)
    with keeping_an_administrator(actor.account):
        grants.check(actor, [role])
        _change(actor, row, role)


def _change(actor: Actor, row: RoleMapping, role: str) -> None:
    _check_taking(actor, row)
    before, row.role = row.role, role
    with _unique():
        row.save(only=[RoleMapping.role])
        claims = MemberRole.mapping_id == row.id
        if role == ADMIN and not row.identity_provider.may_grant_admin:
            MemberRole.delete().where(claims).execute()
        else:
            MemberRole.update(role=role).where(claims).execute()
    events.record(actor, Type.ROLE_MAPPING_UPDATED, {**describe_mapping(row), "before": {"role": before}})


def unmap(actor: Actor, row: RoleMapping) -> None:
    """The mapping is gone, and with it what only it gave. Raises Conflict for the last administrator, Forbidden for
    others'."""
    _check_taking(actor, row)
    with keeping_an_administrator(actor.account):
        MemberRole.delete().where(MemberRole.mapping_id == row.id).execute()
        row.delete_instance()
    events.record(actor, Type.ROLE_MAPPING_DELETED, describe_mapping(row))


def _check_taking(actor: Actor, row: RoleMapping) -> None:
    """Only administrators touch administrators: not by taking away the mapping that makes them so either."""
    if row.role == ADMIN and not actor.administrator:
        raise Forbidden("Only an administrator may change a mapping to admin.", code=Code.ADMINISTRATORS_ONLY)


def forget_claims(identity_provider: IdentityProvider, *, role: str | None = None) -> set[str]:
    """What assertions of this provider gave is gone: every role, or just this one; the ids of those who had it."""
    mapped = RoleMapping.select(RoleMapping.id).where(RoleMapping.identity_provider == identity_provider)
    claims = MemberRole.mapping_id.in_(mapped)
    gone = MemberRole.delete().where(claims if role is None else claims & (MemberRole.role == role))
    return set(column(gone.returning(MemberRole.member)))


def describe_mapping(row: RoleMapping) -> dict[str, Any]:
    """The mapping as the API and events show it."""
    return {
        "id": row.id,
        "identity_provider_id": row.identity_provider_id,
        "group_id": row.group_id,
        "group_display_name": row.group.display_name if row.group_id else row.group_display_name,
        "role": row.role,
    }


def _group(
    identity_provider: IdentityProvider, group_id: str | None, display_name: str | None
) -> DirectoryGroup | None:
    if (group_id is None) == (not display_name):
        raise Invalid(
            "A role mapping names its group by group_id or by group_display_name, not both.",
            fields={"group_id": ["one of group_id and group_display_name"]},
        )
    in_directory = DirectoryGroup.identity_provider == identity_provider
    if group_id is None:
        return DirectoryGroup.get_or_none(in_directory, DirectoryGroup.display_name_key == fold(display_name or ""))
    group = DirectoryGroup.get_or_none(in_directory, DirectoryGroup.id == group_id)
    if group is None:
        raise Invalid(
            f"This provider's directory has no group {group_id}.", fields={"group_id": ["not in this directory"]}
        )
    return group


@contextmanager
def _unique() -> Iterator[None]:
    with db.unique(RoleMapping, _taken), db.savepoint():  # PostgreSQL does nothing more after a failed statement
        yield


def _taken() -> Conflict:
    return Conflict("This group has that role already.", code=Code.NAME_TAKEN)
