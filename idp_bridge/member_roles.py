"""What members may do, and why: each role with what gives it, and the guards around whatever takes one away.

Roles are joined, not copied: ``role_sources`` gives each role with the reason it is held. Whatever could take the last
administrator away runs inside ``keeping_an_administrator``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from peewee import SQL, fn

from idp_bridge import clock, events, plans, roles, seats
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden
from idp_bridge.events import Type
from idp_bridge.members import describe
from idp_bridge.models import Account, DirectoryUser, GroupMember, IdentityProvider, Member, MemberRole, RoleMapping
from idp_bridge.roles import ADMIN
from idp_bridge.statement import Statement, Table, among, parameter

_ROLES = Table(MemberRole)


@dataclass(frozen=True)
class RoleSource:
    """Why a member holds a role. ``source``: plan, hand, default, claim or group."""

    role: str
    source: str
    mapping_id: str | None = None
    group_id: str | None = None
    group_display_name: str | None = None
    identity_provider_id: str | None = None


def role_sources(account: Account, members: Sequence[Member]) -> dict[str, list[RoleSource]]:
    """For each member id, every role held and why. Two statements however many members."""
    held: dict[str, list[RoleSource]] = {member.id: [] for member in members}
    if not plans.has(account, plans.Feature.ROLES):
        return {member_id: [RoleSource(ADMIN, "plan")] for member_id in held}
    for member_id, role, source, mapping_id in _OWN.rows(members=held):
        held[member_id].append(RoleSource(role, source, mapping_id=mapping_id or None))
    for member_id, role, mapping_id, group_id, name, provider_id in _BY_GROUPS.rows(members=held):
        held[member_id].append(RoleSource(role, "group", mapping_id, group_id, name, provider_id))
    return held


def roles_of(account: Account, member: Member) -> tuple[str, ...]:
    """The names of the roles held now, sorted, each once."""
    if not plans.has(account, plans.Feature.ROLES):
        return (ADMIN,)
    return tuple(sorted({role for (role,) in _NAMES.rows(member=member.id)}))


def explain(account: Account, member: Member) -> list[dict[str, Any]]:
    """Why does she have this role: each role with its source."""
    return [asdict(source) for source in role_sources(account, [member])[member.id]]


def _by_groups(*columns: Any) -> Any:
    """The join that gives roles by directory groups; ``admin`` only where the provider may grant it."""
    return (
        GroupMember.select(*columns)
        .join(DirectoryUser, on=(GroupMember.user == DirectoryUser.id))
        .switch(GroupMember)
        .join(RoleMapping, on=(RoleMapping.group == GroupMember.group))
        .join(IdentityProvider, on=(RoleMapping.identity_provider == IdentityProvider.id))
        .where(DirectoryUser.deleted_at.is_null(), (RoleMapping.role != ADMIN) | IdentityProvider.may_grant_admin)
    )


_OWN: Statement = Statement(
    (MemberRole.member, MemberRole.role, MemberRole.source, MemberRole.mapping_id),
    lambda: MemberRole.select(*_OWN.columns).where(among(MemberRole.member, "members")).order_by(MemberRole.created_at),
)


_BY_GROUPS: Statement = Statement(
    (
        DirectoryUser.member,
        RoleMapping.role,
        RoleMapping.id,
        RoleMapping.group,
        RoleMapping.group_display_name,
        RoleMapping.identity_provider,
    ),
    lambda: _by_groups(*_BY_GROUPS.columns).where(among(DirectoryUser.member, "members")),
)


_NAMES = Statement(
    (MemberRole.role,),
    lambda: (
        MemberRole.select(MemberRole.role)
        .where(MemberRole.member == parameter("member"))
        .union_all(_by_groups(RoleMapping.role).where(DirectoryUser.member == parameter("member")))
    ),
)


def administrators(account: Account) -> set[str]:
    """The ids of the active administrators."""
    by_role = plans.has(account, plans.Feature.ROLES)
    return {member_id for (member_id,) in _ADMINISTRATORS[by_role].rows(account=account.id)}


def _active() -> Any:
    return Member.select(Member.id).where(Member.account == parameter("account"), Member.active)


def holds_admin() -> Any:
    """The condition on a member to be an administrator."""
    own = MemberRole.select(SQL("1")).where(MemberRole.member == Member.id, MemberRole.role == ADMIN)
    by_group = _by_groups(SQL("1")).where(DirectoryUser.member == Member.id, RoleMapping.role == ADMIN)
    return fn.EXISTS(own) | fn.EXISTS(by_group)


# By whether the plan has roles; without them everybody is an administrator.
_ADMINISTRATORS = {
    False: Statement((Member.id,), _active),
    True: Statement((Member.id,), lambda: _active().where(holds_admin())),
}


_ANY_ADMINISTRATOR = {
    False: Statement((Member.id,), lambda: _active().limit(1)),
    True: Statement((Member.id,), lambda: _active().where(holds_admin()).limit(1)),
}


_IS_ADMINISTRATOR = Statement(
    (Member.id,), lambda: Member.select(Member.id).where(Member.id == parameter("member"), holds_admin())
)


def is_administrator(account: Account, member: Member) -> bool:
    """Whether she holds ``admin``, active or not."""
    if not plans.has(account, plans.Feature.ROLES):
        return True
    if member.holds_admin is not None:
        return member.holds_admin
    return _IS_ADMINISTRATOR.one(member=member.id) is not None


def check_touch(actor: Actor, member: Member) -> None:
    """Only administrators touch administrators. Raises Forbidden."""
    if not actor.administrator and is_administrator(actor.account, member):
        raise Forbidden("Only an administrator may change an administrator.", code=Code.ADMINISTRATORS_ONLY)


NO_ADMINISTRATOR = (
    "This would leave the account without an active administrator. Make somebody else an administrator first."
)


@contextmanager
def keeping_an_administrator(account: Account) -> Iterator[None]:
    """Around a change that may cost an account its last administrator. Raises Conflict after such a change, which
    the transaction then undoes."""
    seats.lock(account)
    yield
    if _ANY_ADMINISTRATOR[plans.has(account, plans.Feature.ROLES)].one(account=account.id) is None:
        raise Conflict(NO_ADMINISTRATOR, code=Code.LAST_ADMINISTRATOR)


def set_roles(actor: Actor, member: Member, names: Iterable[str]) -> None:
    """Make the member's roles those. What a group or claim gives cannot be taken away by hand. Raises Conflict,
    Forbidden, Invalid."""
    account = actor.account
    plans.require(account, plans.Feature.ROLES)
    check_touch(actor, member)
    wanted = set(roles.known(account.id, names))
    sources = role_sources(account, [member])[member.id]
    current = {source.role for source in sources}
    owned = {source.role for source in sources if source.source in {"group", "claim"}}
    if owned - wanted:
        raise Conflict(
            f"{', '.join(sorted(owned - wanted))} comes from a directory group; take the member out of that group "
            "at the identity provider, or change the role mapping.",
            code=Code.MANAGED_BY_DIRECTORY,
        )
    roles.check_grant(account.id, actor.permissions, wanted - current, administrator=actor.administrator)
    if wanted == current:
        return
    with keeping_an_administrator(account):
        mine = MemberRole.member == member.id
        by_hand = MemberRole.source.in_(["hand", "default"])
        MemberRole.delete().where(mine, by_hand, MemberRole.role.not_in(wanted)).execute()
        give(member, wanted - current, source="hand")
    events.record(
        actor, Type.USER_UPDATED, {**describe(member), "roles": sorted(wanted), "roles_before": sorted(current)}
    )


def set_claimed_roles(actor: Actor, member: Member, mapped: dict[str, str]) -> None:
    """What the group claim of an assertion gives: mapping id -> role, in place of what the last one gave."""
    claimed = (MemberRole.member == member.id) & (MemberRole.source == "claim")
    before = {row.mapping_id: row.role for row in MemberRole.select().where(claimed)}
    if before == mapped:
        return
    with keeping_an_administrator(actor.account):
        MemberRole.delete().where(claimed).execute()
        moment = clock.now()
        rows = [
            {"member": member.id, "role": role, "source": "claim", "mapping_id": mapping_id, "created_at": moment}
            for mapping_id, role in mapped.items()
        ]
        if rows:
            MemberRole.insert_many(rows).execute()
    events.record(actor, Type.USER_UPDATED, {**describe(member), "claimed_roles": sorted(set(mapped.values()))})


def hold_default_roles(member: Member, names: Iterable[str]) -> None:
    """What her provider gives to whom nothing else gives a role."""
    give(member, names, source="default")


def give(member: Member, names: Iterable[str], *, source: str) -> None:
    moment = clock.now()
    for name in sorted(names):
        _ROLES.insert(member=member.id, role=name, source=source, created_at=moment)
