"""Own roles: what an account on the enterprise plan makes beside the built-in ones. Ids ``role_``.

Members, role mappings, invitations, bot users and providers' default roles refer to a role by its name. So a new name
is carried over to all of them in one transaction, and a role that any of them holds cannot be deleted. What an own role
allows is never more than whoever makes or widens it may do herself.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from peewee import fn

from idp_bridge import clock, db, events, ids, plans
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, BotUser, IdentityProvider, Invitation, Member, MemberRole, Role, RoleMapping
from idp_bridge.roles import BUILT_IN, Permission
from idp_bridge.text import fold

#: ASCII, so that no name looks like another one's; safe in a page, a URL and a list of names.
NAME = r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?$"
NAME_WORDS = "1 to 64 letters a-z, digits, spaces and . _ - between letters or digits."
LONGEST_DESCRIPTION = 255

#: The built-in roles have an id too, by which they are read.
BUILT_IN_IDS = {f"role_{name}": name for name in BUILT_IN}

#: What holds roles as a list of names -> how a refusal names it.
_LISTS: dict[str, tuple[Any, Any]] = {
    "invitation": (Invitation, Invitation.roles),
    "bot user": (BotUser, BotUser.roles),
    "identity provider": (IdentityProvider, IdentityProvider.default_roles),
}


def of_account(account: Account) -> Any:
    """The account's own roles, as a query."""
    return Role.select().where(Role.account == account)


def get(account: Account, role_id: str) -> Role:
    """The own role of this account. Raises Conflict for a built-in one, which nobody changes, and NotFound."""
    if role_id in BUILT_IN_IDS:
        raise Conflict(
            f"{BUILT_IN_IDS[role_id]} is built in and cannot be changed or deleted. Make an own role instead.",
            code=Code.BUILT_IN_ROLE,
        )
    role = of_account(account).where(Role.id == role_id).get_or_none()
    if role is None:
        raise NotFound(f"There is no role {role_id} in this account.")
    return role


def create(actor: Actor, name: str, *, description: str = "", permissions: Iterable[str]) -> Role:
    """A new role that allows these permissions. Raises Forbidden (plan, more than the actor may), Conflict (name
    taken), Invalid."""
    plans.require(actor.account, plans.Feature.OWN_ROLES)
    allowed = _known(permissions)
    _check_within(actor, allowed)
    _check_name(name)
    with _unique_name(name):
        role = Role.create(
            id=ids.new("role"),
            account=actor.account,
            name=name,
            name_key=fold(name),
            description=description,
            permissions=sorted(allowed),
            created_at=clock.now(),
        )
    _forget(actor.account, name)
    events.record(actor, Type.ROLE_CREATED, describe(role))
    return role


def change(actor: Actor, role: Role, **fields: Any) -> None:
    """Set name, description or permissions; it counts for all who hold the role from their next request on. Raises
    Forbidden (plan, adding what the actor may not do), Conflict (name taken), Invalid, NotFound (deleted meanwhile)."""
    plans.require(actor.account, plans.Feature.OWN_ROLES)
    _hold(role)
    if "permissions" in fields:
        wanted = _known(fields["permissions"])
        _check_within(actor, wanted - {Permission(value) for value in role.permissions})
        fields["permissions"] = sorted(wanted)
    changed = {name: value for name, value in fields.items() if getattr(role, name) != value}
    if not changed:
        return
    before = {name: getattr(role, name) for name in changed}
    if "name" in changed:
        _check_name(changed["name"])
        changed["name_key"] = fold(changed["name"])
    for name, value in changed.items():
        setattr(role, name, value)
    with _unique_name(role.name):
        role.save(only=[getattr(Role, name) for name in changed])
    if "name" in changed:
        _carry_over(actor.account, before["name"], role.name)
    events.record(actor, Type.ROLE_UPDATED, {**describe(role), "before": before})


def delete(actor: Actor, role: Role) -> None:
    """Gone, where nothing holds it any more; also on a plan without own roles. Raises Conflict naming what does."""
    _hold(role)
    held = uses(actor.account).get(role.name)
    if held:
        told = ", ".join(f"{number} {what}{'' if number == 1 else 's'}" for what, number in held.items())
        raise Conflict(f"The role {role.name} is held by {told}. Give them another one first.", code=Code.ROLE_IN_USE)
    _forget(actor.account, role.name)
    role.delete_instance()
    events.record(actor, Type.ROLE_DELETED, describe(role))


def uses(account: Account) -> dict[str, Counter[str]]:
    """For each role that anything holds, of the built-in ones too: how many members (not those whom a group alone gives
    it), role mappings, pending invitations, bot users and providers' defaults do. Five statements."""
    found: dict[str, Counter[str]] = {}
    living = (Member.account == account) & Member.removed_at.is_null()
    holding: Any = MemberRole.select(MemberRole.role, fn.COUNT(MemberRole.member.distinct())).join(Member).where(living)
    mapping: Any = RoleMapping.select(RoleMapping.role, fn.COUNT(RoleMapping.id)).join(IdentityProvider)
    for what, query in (
        ("member", holding.group_by(MemberRole.role)),
        ("role mapping", mapping.where(IdentityProvider.account == account).group_by(RoleMapping.role)),
    ):
        for name, number in query.tuples():
            found.setdefault(name, Counter())[what] = number
    pending = Invitation.accepted_at.is_null() & (Invitation.expires_at > clock.now())
    for what, (model, names) in _LISTS.items():
        query = model.select(names).where(model.account == account, pending if model is Invitation else True)
        for name, number in Counter(name for listed in db.column(query) for name in set(listed)).items():
            found.setdefault(name, Counter())[what] = number
    return found


def describe(role: Role) -> dict[str, Any]:
    """The role as events tell of it."""
    return {
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "permissions": list(role.permissions),
    }


def _known(names: Iterable[str]) -> set[Permission]:
    wanted = set(names)
    unknown = sorted(wanted - set(Permission))
    if unknown:
        raise Invalid(
            f"There is no permission {', '.join(unknown)}.",
            fields={"permissions": [f"unknown permission {name!r}" for name in unknown]},
        )
    return {Permission(name) for name in wanted}


def _check_within(actor: Actor, wanted: set[Permission]) -> None:
    missing = sorted(wanted - actor.permissions)
    if missing:
        raise Forbidden(
            f"A role never allows more than whoever makes it may do; you do not have {', '.join(missing)}.",
            code=Code.GRANT_ABOVE_OWN_RIGHTS,
        )


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME[1:-1], name):
        raise Invalid(f"A role's name is {NAME_WORDS}", fields={"name": [NAME_WORDS]})
    if fold(name) in BUILT_IN:
        raise _taken(name)


@contextmanager
def _unique_name(name: str) -> Iterator[None]:
    with db.unique(Role, lambda: _taken(name)), db.savepoint():
        yield


def _taken(name: str) -> Conflict:
    return Conflict(
        f"This account has a role named {name!r} already.",
        code=Code.NAME_TAKEN,
        fields={"name": ["taken in this account"]},
    )


def _hold(role: Role) -> None:
    """The row as it is now: whoever grants the role waits for what happens to it, and this for whoever grants it."""
    now = db.locked(Role.select().where(Role.id == role.id)).first()
    if now is None:
        raise NotFound(f"There is no role {role.id} any more.")
    role.__data__.update(now.__data__)


def _carry_over(account: Account, before: str, after: str) -> None:
    """Whatever held the role by its former name holds it by the new one."""
    if fold(before) != fold(after):
        _forget(account, after)
    MemberRole.update(role=after).where(MemberRole.role == before, MemberRole.member.in_(_everybody(account))).execute()
    directories = IdentityProvider.select(IdentityProvider.id).where(IdentityProvider.account == account)
    RoleMapping.update(role=after).where(
        RoleMapping.role == before, RoleMapping.identity_provider.in_(directories)
    ).execute()
    for model, names in _LISTS.values():
        for key, listed in list(db.locked(model.select(model.id, names).where(model.account == account)).tuples()):
            if before in listed:
                renamed = sorted({after if name == before else name for name in listed})
                model.update({names: renamed}).where(model.id == key).execute()


def _forget(account: Account, name: str) -> None:
    """Nobody holds a role that is not there: not somebody whom her directory deleted, and not whoever was given it by
    what another transaction had read before it went. Else she would hold the next one of that name."""
    MemberRole.delete().where(MemberRole.role == name, MemberRole.member.in_(_everybody(account))).execute()


def _everybody(account: Account) -> Any:
    return Member.select(Member.id).where(Member.account == account)
