"""How members come, stop and go: joining, suspension, what their directory says, and leaving for good.

What a directory owns is read-only by hand and says so. Each change runs inside the guards of member_roles.py, takes or
frees the seat, and ends the sessions that no longer reach anything, in one transaction.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

from peewee import SQL

from idp_bridge import clock, db, events, ids, member_roles, members, people, seats, sessions, spans
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, NotFound
from idp_bridge.events import Type
from idp_bridge.member_roles import check_touch, is_administrator, keeping_an_administrator
from idp_bridge.members import describe, name_owner, update_profile
from idp_bridge.models import Account, Credential, DirectoryUser, IdentityProvider, Member, Person, Session
from idp_bridge.roles import holds_admin
from idp_bridge.statement import Statement, Table, parameter
from idp_bridge.text import fold

_TABLE, _PEOPLE = Table(Member), Table(Person)


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
    given_by: tuple[str | None, str] | None = None,
    active: bool = True,
) -> Member:
    """A new member of the actor's account; takes a seat where active. ``given_by``: who promised her the roles, by id
    and as a person reads it, where that is not the actor.

    ``person`` is somebody who has proven the address herself. Without one a new person is made who can only come in
    through this account's identity provider: nobody is matched by what a provider says. Raises Forbidden when the
    seats are full, Conflict where that person is a member already.
    """
    if active:
        seats.take(actor.account)
    moment = clock.now()
    known = person is not None
    person_id = person.id if person is not None else ids.new("per")
    if not known:
        _PEOPLE.insert(id=person_id, created_at=moment)
    member = Member(
        id=ids.new("usr"),
        account=actor.account,
        person=person_id,
        email=email,
        email_key=fold(email),
        name=name[: members.LONGEST_NAME],
        name_key=members.listed_under(name[: members.LONGEST_NAME], email),
        first_name=first_name[: members.LONGEST_NAME],
        last_name=last_name[: members.LONGEST_NAME],
        managed_by=managed_by,
        identity_provider=identity_provider,
        active=active,
        directory_active=active,
        created_at=moment,
    )
    with _one_living_membership() if known else nullcontext():
        _TABLE.add(member)
    granted = sorted(set(roles))
    member_roles.give(actor, member, granted, source=role_source, given_by=given_by)
    events.record(actor.joined_as(member.id), Type.USER_CREATED, {**describe(member), "roles": granted})
    return member


def adopt(actor: Actor, member: Member, identity_provider: IdentityProvider) -> None:
    """A directory takes over somebody who is a member already. Raises Conflict where another directory has her, and for
    the last administrator where only a claim of a group that this one pushes has made her so."""
    if member.managed_by == "scim" and member.identity_provider_id != identity_provider.id:
        raise Conflict(
            f"{member.email} is managed by another directory of this account; remove her there first, "
            "or ask an administrator which one is to keep her.",
            code=Code.MANAGED_BY_DIRECTORY,
        )
    before = _managed(member)
    member.managed_by, member.identity_provider = "scim", identity_provider
    _TABLE.save(member, "managed_by", "identity_provider")
    if before != _managed(member):
        events.record(actor, Type.USER_UPDATED, {**describe(member), "before": before})
    member_roles.leave_to_directory(actor, member, identity_provider)


def revive(actor: Actor, member: Member, identity_provider: IdentityProvider, *, active: bool = True) -> None:
    """A leaver whom her directory sends again is the same member again, with her credentials; a seat only if active.
    The caller holds her row. Raises Conflict where the same person has joined again under another address: which of
    the two memberships is to stay is for an administrator to say, and one person never has both."""
    again = Member.get_or_none(
        Member.person == member.person_id, Member.account == actor.account, Member.removed_at.is_null()
    )
    if again is not None:
        raise Conflict(
            f"This person is a member of the account again already, as {again.email}. Send her with that address, or "
            "let an administrator remove that member first.",
            code=Code.ALREADY_MEMBER,
        )
    before = {**_managed(member), "active": member.active}
    member.managed_by, member.identity_provider, member.removed_at = "scim", identity_provider, None
    member.directory_active = active
    with _one_living_membership():
        _settle_active(member, actor.account, "managed_by", "identity_provider", "removed_at", "directory_active")
    events.record(actor, Type.USER_RESTORED, {**describe(member), "before": before})


def restore(actor: Actor, member: Member) -> None:
    """Undo her directory's DELETE by hand: she and her directory record are back, memberships of groups are not.

    Raises Forbidden (seats), Conflict where she has joined again or the directory has given her userName to another
    record.
    """
    check_touch(actor, member)
    _hold_again(member)
    people.hold(member.person_id)
    seats.lock(actor.account)  # nobody joins under her address meanwhile
    if people.is_member(member.person, actor.account) or _is_anothers(actor.account, member):
        raise _member_again()
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
    before = {"active": member.active}
    member.removed_at, member.directory_active = None, record is None or record.active
    with _one_living_membership():
        _settle_active(member, actor.account, "removed_at", "directory_active")
    events.record(actor, Type.USER_RESTORED, {**describe(member), "before": before})
    if record is not None and back:
        spans.add(record.identity_provider_id, record.id)


def deprovision(actor: Actor, member: Member, *, told: Mapping[str, Any] = MappingProxyType({})) -> None:
    """A directory's DELETE: out of the account, sessions ended, credentials dead; undoable for 30 days. Of one who was
    not active all that had stopped before. The caller holds her row. ``told`` goes into the event."""
    before = {"active": member.active}
    stopped = _stop(actor, member) if member.active else {}
    with _guarding(actor.account, member):
        member.removed_at = clock.now()
        _settle_active(member, actor.account, "removed_at")
    events.record(actor, Type.USER_DEPROVISIONED, {**describe(member), **stopped, "before": before, **told})


def remove(actor: Actor, member: Member) -> None:
    """Out of the account by hand, with everything she owned here. Raises Conflict where a directory owns her."""
    check_touch(actor, member)
    _hold_again(member)
    if member.managed_by == "scim":
        raise _owned_by_directory(member, "removed")
    people.hold(member.person_id)
    with _guarding(actor.account, member):
        gone = {**describe(member), **_stop(actor, member)}
        member.delete_instance()
        if member.active:
            seats.free(actor.account)
    people.forget_unless_member(member.person_id)
    events.record(actor, Type.USER_DELETED, gone)


def let_go(identity_provider: IdentityProvider) -> dict[str, Any]:
    """A provider that goes leaves its members to be managed by hand; who they are, for its event. Whom its directory
    kept out stays out until an administrator lifts that. A credential made by its word is an administrator's for good
    where it was trusted with them, and else never: nothing is left that could come to be."""
    its_own = (Member.account == identity_provider.account_id) & (Member.identity_provider == identity_provider)
    held = Member.update(held=True, directory_active=True).where(its_own, ~Member.directory_active)
    left = Member.update(managed_by="local").where(its_own, Member.managed_by == "scim")
    told = {
        "members_held": events.some(db.column(held.returning(Member.id))),
        "members_left": events.some(db.column(left.returning(Member.id))),
    }
    if identity_provider.trusted_with_administrators:
        made = (Credential.account == identity_provider.account_id) & (Credential.made_through == identity_provider.id)
        Credential.update(made_through=None).where(made).execute()
    return told


def suspend(actor: Actor, member: Member) -> None:
    """An administrator's hold: sessions end, credentials stop, the seat is free; no directory lifts it."""
    check_touch(actor, member)
    _hold_again(member)
    if member.held:
        return
    _change_active(actor, member, "held", True)


def unsuspend(actor: Actor, member: Member) -> None:
    """Lift the hold. Where her directory says inactive she stays inactive until it says active, and without a hold
    there is nothing to lift: then it raises Conflict. Raises Forbidden when the seats are full."""
    check_touch(actor, member)
    _hold_again(member)
    if not member.held:
        if not member.directory_active:
            raise _owned_by_directory(member, "reactivated")
        return
    _change_active(actor, member, "held", False)


def rename(actor: Actor, member: Member, name: str) -> None:
    """A new name by hand, by herself or by somebody else. Raises Conflict where a directory or a provider's assertions
    own it. An address is not changed by hand: nobody has proven the new one."""
    if member.id != actor.id:
        check_touch(actor, member)
    _hold_again(member)
    if owner := name_owner(member):
        raise Conflict(
            f"The name of {member.email} comes from {owner}: change it at the identity provider.",
            code=Code.MANAGED_BY_DIRECTORY,
        )
    first, last = member.first_name, member.last_name
    update_profile(actor, member, email=member.email, name=name, first_name=first, last_name=last)


def set_directory_active(
    actor: Actor, member: Member, active: bool, *, told: Mapping[str, Any] = MappingProxyType({})
) -> bool:
    """What the directory says of her, whose row the caller holds; whether that is another thing than before. On False
    everything stops in this transaction; True needs a seat. ``told`` goes into the event."""
    if member.directory_active == active:
        return False
    _change_active(actor, member, "directory_active", active, told=told)
    return True


def _change_active(
    actor: Actor, member: Member, name: str, value: bool, *, told: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Set ``held`` or ``directory_active``, and ``active`` that follows from both, with all that follows from that.

    Where the other one keeps her out, or in, nothing stops and nothing comes back: then it is an update like others,
    and whoever hears of it must not take it for more."""
    before = {name: getattr(member, name), "active": member.active}
    setattr(member, name, value)
    to_be = _is_to_be_active(member)
    stopped = _stop(actor, member) if member.active and not to_be else {}
    with _guarding(actor.account, member):
        _settle_active(member, actor.account, name)
    if to_be == before["active"]:
        type, before = Type.USER_UPDATED, {name: before[name]}
    else:
        type = Type.USER_REACTIVATED if to_be else Type.USER_SUSPENDED
    events.record(actor, type, {**describe(member), name: value, **stopped, "before": before, **told})


def _managed(member: Member) -> dict[str, Any]:
    return {"managed_by": member.managed_by, "identity_provider_id": member.identity_provider_id}


def _settle_active(member: Member, account: Account, *changed: str) -> None:
    """Write what changed and the ``active`` that follows from it, with the seat; once she is not, no session reaches
    her. The caller holds her row, so that a seat is never taken or freed twice."""
    was_active, member.active = member.active, _is_to_be_active(member)
    if not member.active:
        member.session_epoch += 1
    _TABLE.save(member, "active", *changed, *(() if member.active else ("session_epoch",)))
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
    lambda: db.locked(Member.select(*Member._meta.sorted_fields, holds_admin()).where(Member.id == parameter("id"))),
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
        return
    if member.active:
        _stays_none(account, member)
    yield


def _stays_none(account: Account, member: Member) -> None:
    """Make sure that she was not made an administrator since her row was read, by somebody or by another plan. Whoever
    takes that from the others holds the account: so they see that she goes, or we that she may be the last. Raises
    Conflict then: two who share the account and both want it alone would wait for each other for ever."""
    seats.share(account)
    if db.database.for_update:  # else nobody but us has written since
        member.holds_admin = None
    if is_administrator(account, member):
        raise Conflict(f"{member.email} was made an administrator at this moment. Send it again.")


def _stop(actor: Actor, member: Member) -> dict[str, Any]:
    """End the sessions that reached her membership, and tell what has stopped with it: those, her credentials, and what
    she was allowed until then by which roles."""
    found: dict[str, list[str]] = {"session": [], "credential": [], "role": []}
    for kind, key in _STOPPING.rows(member=member.id, **sessions.moments()):
        found[kind].append(key)
    sessions.end_reaching(member.id, found["session"])
    return {
        "requested_at": clock.rfc3339(actor.began_at or clock.now()),
        "sessions_ended": len(found["session"]),
        "credentials": sorted(found["credential"]),
        "roles": member_roles.named(actor.account, found["role"]),
    }


def _stopping() -> Any:
    credentials = Credential.select(SQL("'credential'"), Credential.id)
    reaching = sessions.reaching(SQL("'session'"), Session.digest)
    hers = credentials.where(Credential.member == parameter("member"))
    return reaching.union_all(hers).union_all(member_roles.stored_and_by_groups(SQL("'role'")))


_STOPPING = Statement((SQL(""), SQL("")), _stopping)


def _one_living_membership() -> AbstractContextManager[None]:
    """Whoever else brings this person here at the same moment may have been first."""
    return db.unique(Member, _member_again)


def _member_again() -> Conflict:
    return Conflict("She is a member of this account again already.", code=Code.ALREADY_MEMBER)


def _is_anothers(account: Account, member: Member) -> bool:
    """Whether somebody has joined under her address: two could not be told apart when they sign in. Her directory
    itself may give one address to several of its records."""
    others = members.with_address(account, member.email)
    return any(
        other.managed_by != "scim" or other.identity_provider_id != member.identity_provider_id for other in others
    )


def _owned_by_directory(member: Member, verb: str) -> Conflict:
    return Conflict(
        f"{member.email} is managed by a directory and can only be {verb} at the identity provider.",
        code=Code.MANAGED_BY_DIRECTORY,
    )
