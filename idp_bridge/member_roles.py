"""What members may do, and why: each role with what gives it, and the guards around whatever takes one away.

Roles are joined, not copied: ``role_sources`` gives each role with the reason it is held. Whatever could take the last
administrator away runs inside ``keeping_an_administrator``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import JOIN, SQL, Case, fn

from idp_bridge import clock, db, events, grants, plans, roles, seats
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, NotFound
from idp_bridge.events import Type
from idp_bridge.members import describe
from idp_bridge.models import (
    Account,
    BotUser,
    DirectoryUser,
    IdentityProvider,
    Member,
    MemberRole,
    RoleMapping,
)
from idp_bridge.roles import ADMIN, Permission
from idp_bridge.statement import Statement, Table, among, gathered, parameter, texts

_ROLES = Table(MemberRole)


@dataclass(frozen=True)
class RoleSource:
    """Why a member holds a role. ``source``: plan, hand, default, claim or group.

    ``given_by`` and ``given_at`` tell who gave what is stored, and when; a group gives while she is in it.
    """

    role: str
    source: str
    mapping_id: str | None = None
    group_id: str | None = None
    group_display_name: str | None = None
    identity_provider_id: str | None = None
    identity_provider_name: str | None = None
    given_by_id: str | None = None
    given_by: str | None = None
    given_at: datetime | None = None


def role_sources(account: Account, members: Sequence[Member]) -> dict[str, list[RoleSource]]:
    """For each member id, every role held and why. Two statements however many members."""
    held: dict[str, list[RoleSource]] = {member.id: [] for member in members}
    if not plans.has(account, plans.Feature.ROLES):
        return {member_id: [RoleSource(ADMIN, "plan")] for member_id in held}
    for member_id, role, source, mapping_id, *where, giver_id, giver, moment in _OWN.rows(members=held):
        told = {**dict(zip(_WHERE_NAMES, where, strict=True)), "given_by_id": giver_id, "given_by": giver or None}
        held[member_id].append(RoleSource(role, source, mapping_id or None, **told, given_at=moment))
    for member_id, role, mapping_id, *where in _BY_GROUPS.rows(members=held):
        told = dict(zip(_WHERE_NAMES, where, strict=True))
        held[member_id].append(RoleSource(role, "group", mapping_id, **told))
    return held


def roles_of(account: Account, member: Member) -> tuple[str, ...]:
    """The names of the roles held now, sorted, each once."""
    if not plans.has(account, plans.Feature.ROLES):
        return (ADMIN,)
    return tuple(sorted({role for (role,) in _NAMES.rows(member=member.id)}))


def acting_now(account: Account, id: str) -> Actor | None:
    """The member or bot user with this id, with what they may do now: by which whatever they left behind, an invitation
    or a link, is judged. None for whoever is suspended or gone."""
    kind: Any = BotUser if id.startswith("bot_") else Member
    row = kind.get_or_none(kind.id == id, kind.account == account, kind.active)
    if row is None:
        return None
    held = tuple(row.roles) if kind is BotUser else roles_of(account, row)
    return Actor(
        account=account,
        id=id,
        type="bot_user" if kind is BotUser else "user",
        subject="",
        source="system",
        roles=held,
        permissions=roles.permissions_of(account.id, held),
    )


def holding(account: Account, role: str) -> Any:
    """The members who hold this role, for whatever reason, as a query."""
    living = Member.select().where(Member.account == account, Member.removed_at.is_null())
    if not plans.has(account, plans.Feature.ROLES):
        return living if role == ADMIN else living.where(SQL("1 = 0"))
    stored = MemberRole.select(MemberRole.member).where(MemberRole.role == role)
    by_groups = roles.given_by_groups(DirectoryUser.member)
    by_groups = by_groups.where(RoleMapping.role == role, DirectoryUser.member.is_null(False))
    return living.where(Member.id.in_(stored) | Member.id.in_(by_groups))


def numbers(account: Account) -> dict[str, int]:
    """How many members hold each role, for whatever reason. One statement."""
    if not plans.has(account, plans.Feature.ROLES):
        living = Member.select().where(Member.account == account, Member.removed_at.is_null())
        return {ADMIN: living.count()}
    return dict(_NUMBERS.rows(account=account.id))


# Where a role came from: the group, the mapping's provider or, of a default role, the one that gave it.
_WHERE = (RoleMapping.group, RoleMapping.group_display_name, IdentityProvider.id, IdentityProvider.name)
_WHERE_NAMES = ("group_id", "group_display_name", "identity_provider_id", "identity_provider_name")
_GIVEN = (MemberRole.given_by_id, MemberRole.given_by, MemberRole.created_at)

_OWN: Statement = Statement(
    (MemberRole.member, MemberRole.role, MemberRole.source, MemberRole.mapping_id, *_WHERE, *_GIVEN),
    lambda: (
        MemberRole.select(*_OWN.columns)
        .join(RoleMapping, JOIN.LEFT_OUTER, on=(RoleMapping.id == MemberRole.mapping_id))
        .join(
            IdentityProvider,
            JOIN.LEFT_OUTER,
            on=(IdentityProvider.id == fn.COALESCE(RoleMapping.identity_provider, MemberRole.given_by_id)),
        )
        .where(among(MemberRole.member, "members"))
        .order_by(MemberRole.created_at, MemberRole.role)
    ),
)


_BY_GROUPS: Statement = Statement(
    (
        DirectoryUser.member,
        RoleMapping.role,
        RoleMapping.id,
        *_WHERE,
    ),
    lambda: roles.given_by_groups(*_BY_GROUPS.columns).where(among(DirectoryUser.member, "members")),
)


def stored_and_by_groups(*before: Any) -> Any:
    """The query of the names of the roles of a member, the parameter ``member``; after what else a row begins with."""
    stored = MemberRole.select(*before, MemberRole.role).where(MemberRole.member == parameter("member"))
    return stored.union_all(
        roles.given_by_groups(*before, RoleMapping.role).where(DirectoryUser.member == parameter("member"))
    )


_NAMES = Statement((MemberRole.role,), stored_and_by_groups)


def named(account: Account, names: Iterable[str]) -> list[str]:
    """The roles that these names come to under the account's plan, sorted, each once."""
    return sorted(set(names)) if plans.has(account, plans.Feature.ROLES) else [ADMIN]


def names_of(member: Any) -> Any:
    """The names of the roles that are stored for a member or given by her groups, as an expression (statement.gathered)
    to be read along with a row that names her in the column ``member``."""
    stored = MemberRole.select(MemberRole.role).where(MemberRole.member == member)
    by_groups = roles.given_by_groups(RoleMapping.role).where(DirectoryUser.member == member)
    return gathered(stored.union_all(by_groups), "role")


def believed(provider_id: Any) -> Any:
    """Whether what goes back to the word of the provider in this column may speak for an administrator, as an
    expression to be read along with ``names_of``: so where there was none, or it is trusted with them."""
    trusted = IdentityProvider.select(SQL("1")).where(
        IdentityProvider.id == provider_id, IdentityProvider.trusted_with_administrators
    )
    return Case(None, ((provider_id.is_null() | fn.EXISTS(trusted), 1),), 0)


def held(account: Account, names: str | None, *, believed: int) -> tuple[str, ...]:
    """What ``names_of`` and ``believed`` have read, as ``roles_of`` would give it; without ``admin``, also where the
    plan makes everybody one, for whom nobody vouches who is trusted with that."""
    if not believed:
        return tuple(sorted(set(texts(names)) - {ADMIN}))
    return tuple(sorted(set(texts(names)))) if plans.has(account, plans.Feature.ROLES) else (ADMIN,)


def _living(column: Any) -> Any:
    """The condition that this is a member of the account."""
    mine = Member.select(Member.id).where(Member.account == parameter("account"), Member.removed_at.is_null())
    return column.in_(mine)


def _everybodys() -> Any:
    stored = MemberRole.select(MemberRole.role, MemberRole.member).where(_living(MemberRole.member))
    by_groups = roles.given_by_groups(RoleMapping.role, DirectoryUser.member).where(_living(DirectoryUser.member))
    each = stored.union(by_groups).alias("held")  # a union: each pair once
    return MemberRole.select(each.c.role, fn.COUNT(SQL("*"))).from_(each).group_by(each.c.role)


_NUMBERS = Statement((SQL(""), SQL("")), _everybodys)


def administrators(account: Account) -> set[str]:
    """The ids of the active administrators."""
    by_role = plans.has(account, plans.Feature.ROLES)
    return {member_id for (member_id,) in _ADMINISTRATORS[by_role].rows(account=account.id)}


def _active() -> Any:
    living = (Member.account == parameter("account")) & Member.removed_at.is_null()  # the words of an index
    return Member.select(Member.id).where(living, Member.active)


# By whether the plan has roles; without them everybody is an administrator.
_ADMINISTRATORS = {
    False: Statement((Member.id,), _active),
    True: Statement((Member.id,), lambda: _active().where(roles.holds_admin())),
}


_ANY_ADMINISTRATOR = {
    False: Statement((Member.id,), lambda: _active().order_by(Member.id).limit(1)),
    True: Statement((Member.id,), lambda: _active().where(roles.holds_admin()).order_by(Member.id).limit(1)),
}


_IS_ADMINISTRATOR = Statement(
    (Member.id,), lambda: Member.select(Member.id).where(Member.id == parameter("member"), roles.holds_admin())
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
    Forbidden, Invalid, NotFound (removed meanwhile)."""
    account = actor.account
    # She is held first, as by whoever suspends her: nothing that she does meanwhile goes by what she may no longer do.
    if not list(db.locked(Member.select(Member.id).where(Member.id == member.id))):
        raise NotFound(f"There is no member {member.id} any more.")
    seats.lock(account)  # of two who set her roles, the second sees what the first has made of them
    plans.require(account, plans.Feature.ROLES)
    check_touch(actor, member)
    wanted = set(names)
    sources = role_sources(account, [member])[member.id]
    current = {source.role for source in sources}
    owned = {source.role for source in sources if source.source in {"group", "claim"}}
    if owned - wanted:
        raise Conflict(
            f"{', '.join(sorted(owned - wanted))} comes from a directory group; take the member out of that group "
            "at the identity provider, or change the role mapping.",
            code=Code.MANAGED_BY_DIRECTORY,
        )
    grants.check(actor, wanted - current)
    if wanted == current:
        return
    with keeping_an_administrator(account):
        mine = MemberRole.member == member.id
        by_hand = MemberRole.source.in_(["hand", "default"])
        MemberRole.delete().where(mine, by_hand, MemberRole.role.not_in(wanted)).execute()
        give(actor, member, wanted - current, source="hand")
    events.record(
        actor, Type.USER_UPDATED, {**describe(member), "roles": sorted(wanted), "before": {"roles": sorted(current)}}
    )


def set_claimed_roles(actor: Actor, member: Member, mapped: dict[str, str]) -> None:
    """What the group claim of an assertion gives: mapping id -> role, in place of what the last one gave."""
    claimed = (MemberRole.member == member.id) & (MemberRole.source == "claim")
    before = {row.mapping_id: row.role for row in MemberRole.select().where(claimed)}
    if before == mapped:
        return
    with keeping_an_administrator(actor.account):
        MemberRole.delete().where(claimed).execute()
        rows = [
            {**_row(actor, member, role, source="claim"), "mapping_id": mapping_id}
            for mapping_id, role in mapped.items()
        ]
        if rows:
            MemberRole.insert_many(rows).execute()
    told_claims(actor, member, before=before.values(), after=mapped.values())


def told_claims(actor: Actor, member: Member, *, before: Iterable[str], after: Iterable[str]) -> None:
    """An event of what the groups in her assertions give her, and gave her until now."""
    claims = {"claimed_roles": sorted(set(after)), "before": {"claimed_roles": sorted(set(before))}}
    events.record(actor, Type.USER_UPDATED, {**describe(member), **claims})


def leave_to_directory(actor: Actor, member: Member, identity_provider: IdentityProvider) -> None:
    """Of the groups that her directory pushes it says from now on who is in them: what a sign-in claimed by one is
    gone. Raises Conflict for the last administrator."""
    claimed = dict(_CLAIMED.rows(member=member.id))
    pushed = RoleMapping.select(RoleMapping.id).where(
        RoleMapping.id.in_(list(claimed)),
        RoleMapping.identity_provider == identity_provider,
        RoleMapping.group.is_null(False),
    )
    if claimed and (theirs := set(db.column(pushed))):
        set_claimed_roles(actor, member, {key: role for key, role in claimed.items() if key not in theirs})


_CLAIMED = Statement(
    (MemberRole.mapping_id, MemberRole.role),
    lambda: MemberRole.select(MemberRole.mapping_id, MemberRole.role).where(
        MemberRole.member == parameter("member"), MemberRole.source == "claim"
    ),
)


def forget_default(identity_provider: IdentityProvider, role: str) -> set[str]:
    """What this provider gave by its default roles is gone; the ids of those who had it."""
    gone = MemberRole.delete().where(
        MemberRole.source == "default", MemberRole.role == role, MemberRole.given_by_id == identity_provider.id
    )
    return set(db.column(gone.returning(MemberRole.member)))


def hold_default_roles(actor: Actor, member: Member, names: Iterable[str]) -> None:
    """What her provider gives to whom nothing else gives a role; also where she comes in twice at one moment."""
    rows = [_row(actor, member, name, source="default") for name in sorted(names)]
    if not rows:
        return
    given = MemberRole.insert_many(rows).on_conflict_ignore().returning(MemberRole.role)
    if held := sorted(db.column(given)):
        told = {**describe(member), "roles": held, "before": {"roles": []}}
        events.record(actor, Type.USER_UPDATED, told)


def give(
    actor: Actor,
    member: Member,
    names: Iterable[str],
    *,
    source: str,
    given_by: tuple[str | None, str] | None = None,
) -> None:
    """She holds these roles from now on. ``given_by``: whose word it is, where the actor only carries it out."""
    for name in sorted(names):
        _ROLES.insert(**_row(actor, member, name, source=source, given_by=given_by))


def _row(
    actor: Actor, member: Member, role: str, *, source: str, given_by: tuple[str | None, str] | None = None
) -> dict[str, Any]:
    giver_id, giver = given_by or (actor.id, actor.subject)
    told = {"given_by_id": giver_id, "given_by": giver}
    return {"member": member.id, "role": role, "source": source, **told, "created_at": clock.now()}


# --- explaining -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """What a member would no longer hold, and no longer be allowed."""

    roles: tuple[str, ...]
    permissions: tuple[Permission, ...]


@dataclass(frozen=True)
class Explanation:
    """Why a member may do what she may: every source of every role, and what each of the roles allows."""

    sources: tuple[RoleSource, ...]
    allowed: Mapping[str, frozenset[Permission]]

    @property
    def permissions(self) -> list[Permission]:
        """What she may do, in the order of the table."""
        held = frozenset().union(*self.allowed.values())
        return [permission for permission in Permission if permission in held]

    def why(self, permission: Permission) -> list[RoleSource]:
        """Every chain that gives her this permission: role, source, group, mapping, provider. Empty: she has it not."""
        return [source for source in self.sources if permission in self.allowed[source.role]]

    def without(self, *, group_id: str | None = None, mapping_id: str | None = None) -> Loss:
        """What only this group or mapping gives her: what would be gone with it. What a sign-in claimed by a group
        counts as given by it, since the next sign-in will not name it any more."""
        left = {
            source.role
            for source in self.sources
            if not (group_id and source.group_id == group_id) and not (mapping_id and source.mapping_id == mapping_id)
        }
        still = frozenset().union(*(self.allowed[role] for role in left))
        lost = tuple(permission for permission in self.permissions if permission not in still)
        return Loss(tuple(sorted(self.allowed.keys() - left)), lost)


def explain(account: Account, member: Member) -> Explanation:
    """Why may she do this, and what would she lose? At most three statements, however many roles."""
    sources = tuple(role_sources(account, [member])[member.id])
    return Explanation(sources, roles.allowed_by(account.id, {source.role for source in sources}))
