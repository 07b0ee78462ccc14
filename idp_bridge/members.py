"""Members: who is in an account, what they may do, and what a directory, an invitation or an assertion may change.

Roles are joined, not copied: ``role_sources`` gives each role with the reason it is held. What a directory owns (name,
address, active, roles by group) is read-only by hand and says so. Whatever could take the last administrator away runs
inside ``keeping_an_administrator``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from peewee import SQL, fn

from idp_bridge import clock, db, events, ids, people, plans, roles, seats, sessions, spans
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, NotFound
from idp_bridge.events import Type
from idp_bridge.models import (
    Account,
    Credential,
    DirectoryUser,
    GroupMember,
    IdentityProvider,
    Member,
    MemberRole,
    Person,
    RoleMapping,
    Session,
)
from idp_bridge.roles import ADMIN
from idp_bridge.statement import Statement, Table, among, parameter
from idp_bridge.text import fold

_TABLE, _ROLES, _PEOPLE = Table(Member), Table(MemberRole), Table(Person)

RESTORABLE = timedelta(days=30)  # how long a directory's DELETE can be undone


@dataclass(frozen=True)
class RoleSource:
    """Why a member holds a role. ``source``: plan, hand, default, claim or group."""

    role: str
    source: str
    mapping_id: str | None = None
    group_id: str | None = None
    group_display_name: str | None = None
    identity_provider_id: str | None = None


def get(account: Account, member_id: str) -> Member:
    """The live member of this account. Raises NotFound."""
    member = Member.get_or_none(Member.id == member_id, Member.account == account, Member.removed_at.is_null())
    if member is None:
        raise NotFound(f"There is no member {member_id} in this account.")
    return member


def of_account(account: Account) -> Any:
    """The live members of the account, as a query."""
    return Member.select().where(Member.account == account, Member.removed_at.is_null())


def deprovisioned(account: Account, member_id: str) -> Member:
    """A member whom her directory deleted not too long ago to undo it. Raises NotFound."""
    since = clock.now() - RESTORABLE
    member = Member.get_or_none(Member.id == member_id, Member.account == account, Member.removed_at > since)
    if member is None:
        raise NotFound(f"There is no member {member_id} whom a directory deleted in the last {RESTORABLE.days} days.")
    return member


def with_address(account: Account, email: str) -> list[Member]:
    """Every live member of this account with that address."""
    return [member for (member,) in _WITH_ADDRESS.instances(account=account.id, email_key=fold(email))]


def at_address(*columns: Any) -> Any:
    """The query behind it, of these columns; its parameters are ``account`` and ``email_key``."""
    return Member.select(*columns).where(
        Member.account == parameter("account"),
        Member.email_key == parameter("email_key"),
        Member.removed_at.is_null(),
    )


_WITH_ADDRESS = Statement(Member._meta.sorted_fields, at_address)


# --- roles ------------------------------------------------------------------------------------------------------


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


def _holds_admin() -> Any:
    """The condition on a member to be an administrator."""
    own = MemberRole.select(SQL("1")).where(MemberRole.member == Member.id, MemberRole.role == ADMIN)
    by_group = _by_groups(SQL("1")).where(DirectoryUser.member == Member.id, RoleMapping.role == ADMIN)
    return fn.EXISTS(own) | fn.EXISTS(by_group)


# By whether the plan has roles; without them everybody is an administrator.
_ADMINISTRATORS = {
    False: Statement((Member.id,), _active),
    True: Statement((Member.id,), lambda: _active().where(_holds_admin())),
}
_ANY_ADMINISTRATOR = {
    False: Statement((Member.id,), lambda: _active().limit(1)),
    True: Statement((Member.id,), lambda: _active().where(_holds_admin()).limit(1)),
}
_IS_ADMINISTRATOR = Statement(
    (Member.id,), lambda: Member.select(Member.id).where(Member.id == parameter("member"), _holds_admin())
)


def is_administrator(account: Account, member: Member) -> bool:
    """Whether she holds ``admin``, active or not."""
    if not plans.has(account, plans.Feature.ROLES):
        return True
    if member.holds_admin is not None:
        return member.holds_admin
    return _IS_ADMINISTRATOR.one(member=member.id) is not None


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
        _hold(member, wanted - current, source="hand")
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
    _hold(member, names, source="default")


def _hold(member: Member, names: Iterable[str], *, source: str) -> None:
    moment = clock.now()
    for name in sorted(names):
        _ROLES.insert(member=member.id, role=name, source=source, created_at=moment)


# --- joining and leaving ----------------------------------------------------------------------------------------


def create(
    actor: Actor,
    *,
    email: str,
    name: str = "",
    first_name: str = "",
    last_name: str = "",
    managed_by: str,
    person: Person | None = None,
    identity_provider: IdentityProvider | None = None,
    roles: Iterable[str] = (),
    role_source: str = "hand",
    active: bool = True,
) -> Member:
    """A new member of the actor's account; takes a seat where active.

    ``person`` is somebody who has proven the address herself. Without one a new person is made who can only come in
    through this account's identity provider: nobody is matched by what a provider says. Raises Forbidden when the
    seats are full.
    """
    if active:
        seats.take(actor.account)
    moment = clock.now()
    if person is None:
        person = Person(id=ids.new("per"), created_at=moment)
        _PEOPLE.add(person)
    member = Member(
        id=ids.new("usr"),
        account=actor.account,
        person=person,
        email=email,
        email_key=fold(email),
        name=name,
        first_name=first_name,
        last_name=last_name,
        managed_by=managed_by,
        identity_provider=identity_provider,
        active=active,
        directory_active=active,
        sessions_after=moment,
        created_at=moment,
    )
    _TABLE.add(member)
    granted = sorted(set(roles))
    _hold(member, granted, source=role_source)
    events.record(actor, Type.USER_CREATED, {**describe(member), "roles": granted})
    return member


def adopt(actor: Actor, member: Member, identity_provider: IdentityProvider) -> None:
    """A directory takes over somebody who is a member already. Raises Conflict where another directory has her."""
    if member.managed_by == "scim" and member.identity_provider_id != identity_provider.id:
        raise Conflict(
            f"{member.email} is managed by another directory of this account; remove her there first, "
            "or ask an administrator which one is to keep her.",
            code=Code.MANAGED_BY_DIRECTORY,
        )
    member.managed_by, member.identity_provider = "scim", identity_provider
    _TABLE.save(member, "managed_by", "identity_provider")
    events.record(actor, Type.USER_UPDATED, describe(member))


def revive(actor: Actor, member: Member, identity_provider: IdentityProvider, *, active: bool = True) -> None:
    """A leaver whom her directory sends again is the same member again, with her credentials; a seat only if active.
    The caller holds her row."""
    member.managed_by, member.identity_provider, member.removed_at = "scim", identity_provider, None
    member.directory_active = active
    _settle_active(member, actor.account, "managed_by", "identity_provider", "removed_at", "directory_active")
    events.record(actor, Type.USER_RESTORED, describe(member))


def restore(actor: Actor, member: Member) -> None:
    """Undo her directory's DELETE by hand: she and her directory record are back, memberships of groups are not.

    Raises Forbidden (seats), Conflict where she has joined again or the directory has given her userName to another
    record.
    """
    check_touch(actor, member)
    _hold_again(member)
    people.hold(member.person_id)
    if people.is_member(member.person, actor.account):
        raise Conflict("She is a member of this account again already.", code=Code.ALREADY_MEMBER)
    deleted = (DirectoryUser.member == member.id) & DirectoryUser.deleted_at.is_null(False)
    record = DirectoryUser.select().where(deleted).order_by(DirectoryUser.deleted_at.desc()).first()
    if record is not None:
        namesake = DirectoryUser.select().where(
            DirectoryUser.identity_provider == record.identity_provider_id,
            DirectoryUser.user_name_key == record.user_name_key,
            DirectoryUser.deleted_at.is_null(),
        )
        if namesake.exists():
            raise Conflict(f"Her directory has another record named {record.user_name} now.", code=Code.NAME_TAKEN)
        back = DirectoryUser.update(deleted_at=None).where(deleted, DirectoryUser.id == record.id).execute()
    member.removed_at, member.directory_active = None, record is None or record.active
    _settle_active(member, actor.account, "removed_at", "directory_active")
    events.record(actor, Type.USER_RESTORED, describe(member))
    if record is not None and back:
        spans.add(record.identity_provider_id, record.id)


def deprovision(actor: Actor, member: Member) -> None:
    """A directory's DELETE: out of the account, sessions ended, credentials dead; undoable for 30 days. The caller
    holds her row."""
    with _guarding(actor.account, member):
        member.removed_at = clock.now()
        _settle_active(member, actor.account, "removed_at")
    events.record(actor, Type.USER_DEPROVISIONED, {**describe(member), **_stop(member)})


def remove(actor: Actor, member: Member) -> None:
    """Out of the account by hand, with everything she owned here. Raises Conflict where a directory owns her."""
    check_touch(actor, member)
    _hold_again(member)
    if member.managed_by == "scim":
        raise _owned_by_directory(member, "removed")
    people.hold(member.person_id)
    with _guarding(actor.account, member):
        gone = {**describe(member), **_stop(member)}
        member.delete_instance()
        if member.active:
            seats.free(actor.account)
    people.forget_unless_member(member.person_id)
    events.record(actor, Type.USER_DELETED, gone)


def let_go(identity_provider: IdentityProvider) -> None:
    """A provider that goes leaves its members to be managed by hand. Whom its directory kept out stays out until an
    administrator lifts that."""
    its_own = (Member.account == identity_provider.account_id) & (Member.identity_provider == identity_provider)
    Member.update(held=True, directory_active=True).where(its_own, ~Member.directory_active).execute()
    Member.update(managed_by="local").where(its_own, Member.managed_by == "scim").execute()


# --- the state --------------------------------------------------------------------------------------------------


def suspend(actor: Actor, member: Member) -> None:
    """An administrator's hold: sessions end, credentials stop, the seat is free; no directory lifts it."""
    check_touch(actor, member)
    _hold_again(member)
    if member.held:
        return
    member.held = True
    _change_active(actor, member, Type.USER_SUSPENDED, "held")


def unsuspend(actor: Actor, member: Member) -> None:
    """Lift the hold. Raises Forbidden when the seats are full, Conflict where the directory says inactive."""
    check_touch(actor, member)
    _hold_again(member)
    if not member.directory_active:
        raise _owned_by_directory(member, "reactivated")
    if not member.held:
        return
    member.held = False
    _change_active(actor, member, Type.USER_REACTIVATED, "held")


def set_directory_active(actor: Actor, member: Member, active: bool) -> None:
    """What the directory says of her, whose row the caller holds. On False everything stops in this transaction; True
    needs a seat."""
    if member.directory_active == active:
        return
    member.directory_active = active
    _change_active(actor, member, Type.USER_REACTIVATED if active else Type.USER_SUSPENDED, "directory_active")


def update_profile(actor: Actor, member: Member, *, email: str, name: str, first_name: str, last_name: str) -> None:
    """The name and address that count in this account, from her directory or assertion. Writes only a change."""
    new = {"email": email, "email_key": fold(email), "name": name, "first_name": first_name, "last_name": last_name}
    changed = [field for field, value in new.items() if getattr(member, field) != value]
    if not changed:
        return
    before = describe(member)
    for field in changed:
        setattr(member, field, new[field])
    _TABLE.save(member, *changed)
    events.record(actor, Type.USER_UPDATED, {**describe(member), "before": before})


def _change_active(actor: Actor, member: Member, type: Type, changed: str) -> None:
    """Bring ``active`` in line after ``held`` or ``directory_active`` changed, with all that follows."""
    stopped = {} if _is_to_be_active(member) else _stop(member)
    with _guarding(actor.account, member):
        _settle_active(member, actor.account, changed)
    events.record(actor, type, {**describe(member), **stopped})


def _settle_active(member: Member, account: Account, *changed: str) -> None:
    """Write what changed and the ``active`` that follows from it, with the seat; once she is not, no session reaches
    her. The caller holds her row, so that a seat is never taken or freed twice."""
    was_active, member.active = member.active, _is_to_be_active(member)
    if not member.active:
        member.sessions_after = clock.now()
    _TABLE.save(member, "active", *changed, *(() if member.active else ("sessions_after",)))
    if member.active and not was_active:
        seats.take(account)
    elif was_active and not member.active:
        seats.free(account)


def _is_to_be_active(member: Member) -> bool:
    return not member.held and member.directory_active and not member.removed_at


def hold(member_id: str) -> Member:
    """Her row as it is now, nobody else's to change until the transaction ends. Raises NotFound where it is gone."""
    found = _HELD.first(id=member_id)
    if found is None:
        raise NotFound(f"There is no member {member_id} any more.")
    member: Member = found[0]
    member.holds_admin = bool(found[1])
    return member


_HELD = Statement(
    (*Member._meta.sorted_fields, SQL("")),
    lambda: db.locked(Member.select(*Member._meta.sorted_fields, _holds_admin()).where(Member.id == parameter("id"))),
)


def _hold_again(member: Member) -> None:
    """The same for one who was read before."""
    member.__data__.update(hold(member.id).__data__)


@contextmanager
def _guarding(account: Account, member: Member) -> Iterator[None]:
    """The last-administrator guard, paid for only where the member is an administrator."""
    if member.active and is_administrator(account, member):
        with keeping_an_administrator(account):
            yield
    else:
        yield


# --- what others see --------------------------------------------------------------------------------------------


def describe(member: Member) -> dict[str, Any]:
    """The member as events tell of her: no secret, no role."""
    return {
        "id": member.id,
        "email": member.email,
        "name": member.name,
        "active": member.active,
        "held": member.held,
        "managed_by": member.managed_by,
        "identity_provider_id": member.identity_provider_id,
    }


def explain(account: Account, member: Member) -> list[dict[str, Any]]:
    """Why does she have this role: each role with its source."""
    return [asdict(source) for source in role_sources(account, [member])[member.id]]


def _stop(member: Member) -> dict[str, Any]:
    """End the sessions that reached her membership, and tell what has stopped with it: those, and her credentials."""
    now = clock.now()
    found: dict[str, list[tuple[str, str | None]]] = {"session": [], "credential": []}
    for kind, key, reach in _STOPPING.rows(
        person=member.person_id, account=member.account_id, now=now, member=member.id
    ):
        found[kind].append((key, reach))
    sessions.end_found(found["session"])
    return {"sessions_ended": len(found["session"]), "credentials": sorted(key for key, _ in found["credential"])}


def _stopping() -> Any:
    credentials = Credential.select(SQL("'credential'"), Credential.id, SQL("NULL"))
    reaching = sessions.reaching(SQL("'session'"), Session.digest, Session.reach)
    return reaching.union_all(credentials.where(Credential.member == parameter("member")))


_STOPPING = Statement((SQL(""), SQL(""), SQL("")), _stopping)


def check_touch(actor: Actor, member: Member) -> None:
    """Only administrators touch administrators. Raises Forbidden."""
    if not actor.administrator and is_administrator(actor.account, member):
        raise Forbidden("Only an administrator may change an administrator.", code=Code.ADMINISTRATORS_ONLY)


def _owned_by_directory(member: Member, verb: str) -> Conflict:
    return Conflict(
        f"{member.email} is managed by a directory and can only be {verb} at the identity provider.",
        code=Code.MANAGED_BY_DIRECTORY,
    )
