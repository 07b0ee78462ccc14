"""The guards around roles: each has an error code of its own, by which a program knows which one it met."""

import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from idp_bridge import (
    credentials,
    db,
    groups,
    idps,
    member_lifecycle,
    member_roles,
    own_roles,
    plan_changes,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, DomainError, Forbidden, Invalid
from idp_bridge.models import IdentityProvider, Member, Role
from tests.conftest import World
from tests.domain import cast

TABLE = Path(__file__).parents[2].joinpath("docs/roles.md").read_text().partition("## What is always refused")[2]
STATUS = {Invalid: HTTPStatus.BAD_REQUEST, Forbidden: HTTPStatus.FORBIDDEN, Conflict: HTTPStatus.CONFLICT}

#: What the web layer refuses: tests/web/test_guard.py.
AT_THE_DOOR = {Code.CREDENTIAL_KIND_NOT_ALLOWED}


def _manager(world: World) -> Actor:
    return cast.acting(world, cast.join(world, "manager@acme.test", "team_manager"))


def _somebody(world: World, *role_names: str) -> Member:
    return cast.join(world, "somebody@acme.test", *role_names)


def _provider(world: World, **options: Any) -> IdentityProvider:
    assert world.provider is not None
    if options:
        with db.transaction():
            idps.change(world.system, world.provider, **options)
    return world.provider


def _in_group(world: World) -> Member:
    """A viewer by her directory's group."""
    member = cast.provisioned(world, "dana@acme.test")
    provider = _provider(world)
    group = cast.group(provider, "Devs", [member])
    with db.transaction():
        groups.map_role(world.system, provider, role="viewer", group_id=group.id)
    return member


def _own_role(world: World) -> Role:
    with db.transaction():
        return own_roles.create(world.system, "auditor", permissions=["events:read"])


def _held_role(world: World) -> Role:
    role = _own_role(world)
    _somebody(world, role.name)
    return role


def _without_own_roles(world: World) -> Actor:
    """The system, once an account with an own role has left the plan for it."""
    _own_role(world)
    with db.transaction():
        plan_changes.set_plan(world.system, "pro", seat_limit=10)
    world.account = cast.again(world.account)
    return world.system


#: Guard -> ways to run into it: each prepares what it needs and gives the act.
GUARDS: dict[Code, dict[str, Callable[[World], Callable[[], object]]]] = {
    Code.LAST_ADMINISTRATOR: {
        "suspended": lambda w: partial(member_lifecycle.suspend, w.system, w.owner),
        "removed": lambda w: partial(member_lifecycle.remove, w.system, w.owner),
        "demoted": lambda w: partial(member_roles.set_roles, w.system, w.owner, ["viewer"]),
    },
    Code.GRANT_ABOVE_OWN_RIGHTS: {
        "a role": lambda w: partial(member_roles.set_roles, _manager(w), _somebody(w), ["billing"]),
        "an own role": lambda w: partial(own_roles.create, _manager(w), "mine", permissions=["usage:read"]),
    },
    Code.ADMINISTRATORS_ONLY: {
        "admin granted": lambda w: partial(member_roles.set_roles, _manager(w), _somebody(w), ["admin"]),
        "one touched": lambda w: partial(member_lifecycle.suspend, _manager(w), w.owner),
        "acting as another": lambda w: partial(credentials.issue, _manager(w), credentials.API_KEY, _somebody(w)),
        "the switch": lambda w: partial(idps.change, _manager(w), _provider(w), may_grant_admin=True),
    },
    Code.PROVIDER_MAY_NOT_GRANT_ADMIN: {
        "a default": lambda w: partial(idps.change, w.system, _provider(w), default_roles=["admin"]),
        "a new one's default": lambda w: partial(
            idps.create, w.system, name="B", trust=idps.trust_of(_provider(w)), default_roles=["admin"]
        ),
        "off with such a default": lambda w: partial(
            idps.change, w.system, _provider(w, may_grant_admin=True, default_roles=["admin"]), may_grant_admin=False
        ),
    },
    Code.MANAGED_BY_DIRECTORY: {
        "removed": lambda w: partial(member_lifecycle.remove, w.system, cast.provisioned(w, "dana@acme.test")),
        "a role by group": lambda w: partial(member_roles.set_roles, w.system, _in_group(w), ["developer"]),
        "named": lambda w: partial(member_lifecycle.rename, w.system, cast.provisioned(w, "dana@acme.test"), "Dana"),
    },
    Code.BUILT_IN_ROLE: {"by its id": lambda w: partial(own_roles.get, w.account, "role_admin")},
    Code.ROLE_IN_USE: {"by a member": lambda w: partial(own_roles.delete, w.system, _held_role(w))},
    Code.PLAN_REQUIRED: {
        "made": lambda w: partial(own_roles.create, _without_own_roles(w), "new", permissions=["events:read"]),
        "given": lambda w: partial(member_roles.set_roles, _without_own_roles(w), _somebody(w), ["auditor"]),
    },
}


def _rows() -> dict[str, tuple[str, int]]:
    found = re.findall(r"^\| ([^|]+) \| `(ERR_\w+)` \| (\d+) \|", TABLE, flags=re.MULTILINE)
    return {rule: (code, int(status)) for rule, code, status in found}


def test_each_guard_of_the_table_has_a_code_of_its_own() -> None:
    """No two share one, none is the code of a body that is merely wrong, and each is tried here or at its door."""
    codes = [code for code, _ in _rows().values()]
    assert len(codes) == len(set(codes)) > 8
    assert set(codes) == {code.value for code in GUARDS} | {code.value for code in AT_THE_DOOR}


@pytest.mark.parametrize(("code", "way"), [(code, way) for code, ways in GUARDS.items() for way in ways])
def test_a_guard_answers_its_code(sso: World, code: Code, way: str) -> None:
    """With the status that the table names, and nothing has changed."""
    act = GUARDS[code][way](sso)
    before = [event.id for event in cast.happened(sso)]
    with pytest.raises(DomainError) as caught, db.transaction():
        act()
    assert [event.id for event in cast.happened(sso)] == before
    assert caught.value.code is code, caught.value.message
    assert (code.value, STATUS[type(caught.value)]) in _rows().values()
