"""Giving and taking roles through every door: never above one's own rights, and never an administrator's by others.

Whoever acts here may do all but one thing, by an own role, and is no administrator: what a built-in role would stop
earlier must be stopped by the guards themselves.
"""

from collections.abc import Callable
from typing import Any

import pytest

from idp_bridge import (
    account_sessions,
    bots,
    credentials,
    db,
    groups,
    identity_links,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    own_roles,
    password_changes,
    people,
    sessions,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Forbidden
from idp_bridge.models import Credential, Event, IdentityProvider, Member, RoleMapping
from idp_bridge.roles import Permission as P
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_introspection import SSH_KEY


def deputy(world: World, *, without: P | None = None) -> Actor:
    """Somebody with every permission but one, who is no administrator."""
    allowed = [permission for permission in P if permission is not without]
    with db.transaction():
        own_roles.create(world.system, "deputy", permissions=allowed)
    cast.join(world, "plain@acme.test")
    return cast.acting(world, cast.join(world, "deputy@acme.test", "deputy"))


def _refuses(act: Callable[[], object], code: Code, world: World) -> None:
    """Forbidden with that code, and nothing has happened."""
    before = [event.id for event in cast.happened(world)]
    with pytest.raises(Forbidden) as caught, db.transaction():
        act()
    assert caught.value.code is code, caught.value.message
    assert [event.id for event in cast.happened(world)] == before


# --- giving -----------------------------------------------------------------------------------------------------


def _provider(world: World) -> IdentityProvider:
    assert world.provider is not None
    return IdentityProvider.get_by_id(world.provider.id)


def _plain() -> Member:
    return Member.get(Member.email == "plain@acme.test")  # type: ignore[no-any-return]


def _mapping(world: World) -> RoleMapping:
    return groups.map_role(world.system, _provider(world), role="viewer", group_display_name="Known")


#: Every way in which somebody can be given a role.
GIVING: dict[str, Callable[[World, Actor, str], object]] = {
    "to a member": lambda w, a, role: member_roles.set_roles(a, _plain(), ["developer", role]),
    "to herself": lambda w, a, role: member_roles.set_roles(a, Member.get_by_id(a.id), ["deputy", role]),
    "by an invitation": lambda w, a, role: invitations.create(a, "ivy@acme.test", role_names=[role]),
    "to a new bot user": lambda w, a, role: bots.create(a, "ci", role_names=[role]),
    "to a bot user": lambda w, a, role: bots.change(a, bots.create(w.system, "ci"), roles=[role]),
    "by a new mapping": lambda w, a, role: groups.map_role(a, _provider(w), role=role, group_display_name="Any"),
    "by a mapping": lambda w, a, role: groups.change_mapping(a, _mapping(w), role),
    "as a default": lambda w, a, role: idps.change(a, _provider(w), default_roles=[role]),
    "as a new default": lambda w, a, role: idps.create(
        a, name="B", trust=idps.trust_of(_provider(w)), default_roles=[role]
    ),
}  # fmt: skip


@pytest.mark.parametrize("door", GIVING)
def test_nobody_gives_what_she_does_not_have(sso: World, door: str) -> None:
    """The role billing allows billing:write; whoever has all but that gives it to nobody, by no door."""
    actor = deputy(sso, without=P.BILLING_WRITE)
    with pytest.raises(Forbidden) as caught, db.transaction():
        GIVING[door](sso, actor, "billing")
    assert caught.value.code is Code.GRANT_ABOVE_OWN_RIGHTS
    assert "billing:write" in caught.value.message


@pytest.mark.parametrize("door", [door for door in GIVING if "bot user" not in door])
def test_only_an_administrator_gives_admin(sso: World, door: str) -> None:
    """Every permission together does not make up for it."""
    actor = deputy(sso)
    with pytest.raises(Forbidden) as caught, db.transaction():
        GIVING[door](sso, actor, "admin")
    assert caught.value.code is Code.ADMINISTRATORS_ONLY


@pytest.mark.parametrize("door", GIVING)
def test_what_she_has_she_gives(sso: World, door: str) -> None:
    """Each door opens: the two tests above were not refused for something else."""
    actor = deputy(sso)
    with db.transaction():
        GIVING[door](sso, actor, "billing")


# --- touching ---------------------------------------------------------------------------------------------------


def _credential_of(world: World, member: Member) -> Credential:
    return credentials.issue(world.system, credentials.API_KEY, member).credential


def _left(world: World, member: Member) -> Member:
    member_lifecycle.deprovision(world.system, member_lifecycle.hold(member.id))
    return cast.again(member)  # type: ignore[no-any-return]


def _signed_in(member: Member) -> Member:
    sessions.open_session(member, method="password")
    return member


def _invited(world: World) -> Any:
    return invitations.create(world.system, "ivy@acme.test", role_names=["admin"]).invitation


def _admin_mapping(world: World) -> RoleMapping:
    return groups.map_role(world.system, _provider(world), role="admin", group_display_name="Root")


def _granting(world: World) -> IdentityProvider:
    provider = _provider(world)
    idps.change(world.system, provider, may_grant_admin=True)
    return provider


#: Every way to touch an administrator: (the preparation, in a transaction of its own, and the act on what it made).
TOUCHING: dict[str, tuple[Callable[[World, Member], Any], Callable[[Actor, Any], object]]] = {
    "her roles": (lambda w, m: m, lambda a, m: member_roles.set_roles(a, m, ["viewer"])),
    "suspended": (lambda w, m: m, member_lifecycle.suspend),
    "reactivated": (lambda w, m: member_lifecycle.suspend(w.system, m) or m, member_lifecycle.unsuspend),
    "removed": (lambda w, m: m, member_lifecycle.remove),
    "restored": (_left, member_lifecycle.restore),
    "her links forgotten": (lambda w, m: m, identity_links.forget),
    "her sessions ended": (lambda w, m: _signed_in(m), account_sessions.end_everywhere),
    "a password link": (lambda w, m: m, password_changes.setup_link),
    "an invitation cancelled": (lambda w, m: _invited(w), invitations.cancel),
    "a key made for her": (lambda w, m: m, lambda a, m: credentials.issue(a, credentials.API_KEY, m)),
    "an authtoken made for her": (lambda w, m: m, lambda a, m: credentials.issue(a, credentials.AUTHTOKEN, m)),
    "her key changed": (_credential_of, lambda a, c: credentials.change(a, c, description="mine")),
    "her key revoked": (_credential_of, credentials.delete),
    "a mapping removed": (lambda w, m: _admin_mapping(w), groups.unmap),
    "a mapping changed": (lambda w, m: _admin_mapping(w), lambda a, r: groups.change_mapping(a, r, "viewer")),
    "the switch on": (lambda w, m: _provider(w), lambda a, p: idps.change(a, p, may_grant_admin=True)),
    "the switch off": (lambda w, m: _granting(w), lambda a, p: idps.change(a, p, may_grant_admin=False)),
    "its provider deleted": (lambda w, m: _granting(w), idps.delete),
}


@pytest.mark.parametrize("door", TOUCHING)
def test_only_administrators_touch_administrators(sso: World, door: str) -> None:
    """By no door, whatever else the actor may do; an administrator may."""
    prepare, act = TOUCHING[door]
    actor, chief = deputy(sso), cast.join(sso, "chief@acme.test", "admin", person=_person("chief@acme.test"))
    with db.transaction():
        made = prepare(sso, chief)
    _refuses(lambda: act(actor, cast.again(made)), Code.ADMINISTRATORS_ONLY, sso)
    with db.transaction():
        act(cast.acting(sso, sso.owner), cast.again(made))
    assert Event.select().count()


def _person(email: str) -> Any:
    with db.transaction():
        return people.create(email)


# --- credentials of others --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", credentials.KINDS.values(), ids=credentials.KINDS)
@pytest.mark.parametrize("allowed", [list(P), [P.ACCOUNT_READ, P.MEMBERS_READ, P.CREDENTIALS_OWN, P.CREDENTIALS_ALL]])
def test_only_an_administrator_makes_a_credential_for_somebody_else(
    sso: World, kind: credentials.Kind, allowed: list[P]
) -> None:
    """It acts as its owner, today and after she was promoted: whatever the maker may do, and however little the owner.
    To see, to describe and to revoke it is what credentials:all is for."""
    with db.transaction():
        own_roles.create(sso.system, "keeper", permissions=allowed)
        robot = bots.create(sso.system, "ci", role_names=["viewer"])
    manager, plain = cast.join(sso, "m@acme.test", "team_manager"), cast.join(sso, "v@acme.test", "viewer")
    keeper, chief = cast.acting(sso, cast.join(sso, "k@acme.test", "keeper")), cast.acting(sso, sso.owner)
    key = {"public_key": SSH_KEY} if kind is credentials.SSH_PUBLIC_KEY else {}
    for owner in (manager, plain, robot):
        _refuses(lambda owner=owner: credentials.issue(keeper, kind, owner, **key), Code.ADMINISTRATORS_ONLY, sso)
        with db.transaction():
            made = credentials.issue(chief, kind, owner, **key).credential
        with db.transaction():
            found = credentials.get(keeper, kind, made.id)
            credentials.change(keeper, found, description="whose is this?")
            credentials.delete(keeper, found)
    with db.transaction():
        assert credentials.issue(keeper, kind, Member.get_by_id(keeper.id), **key).credential.member_id == keeper.id


# --- what the directory may -------------------------------------------------------------------------------------


def test_a_connection_grants_admin_only_where_an_administrator_said_so(sso: World) -> None:
    """Off by default, at its making too."""
    provider, actor = _provider(sso), deputy(sso)
    assert provider.may_grant_admin is False
    _refuses(
        lambda: idps.create(actor, name="B", trust=idps.trust_of(provider), may_grant_admin=True),
        Code.ADMINISTRATORS_ONLY,
        sso,
    )
    with db.transaction():
        idps.change(actor, provider, description="Sign in with your work account")
