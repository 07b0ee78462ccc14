"""Roles and permissions: the contract's table, and nobody grants above her own rights."""

import pytest

from idp_bridge import clock, db, ids, roles
from idp_bridge.errors import Code, Forbidden, Invalid
from idp_bridge.models import Role
from idp_bridge.roles import BUILT_IN, Permission
from tests.conftest import World

#: permission -> admin, team_manager, developer, billing, viewer.
TABLE = """
account:read     x x x x x
members:read     x x x x x
groups:read      x x x - x
events:read      x x x - x
bots:read        x - x - x
usage:read       x - x x x
members:write    x x - - -
credentials:own  x - x - -
introspect       x - x - -
usage:write      x - x - -
billing:read     x - - x -
billing:write    x - - x -
account:write    x - - - -
idps:read        x - - - -
idps:write       x - - - -
roles:write      x - - - -
bots:write       x - - - -
credentials:all  x - - - -
"""
NAMES = ("admin", "team_manager", "developer", "billing", "viewer")
ROWS = {row.split()[0]: row.split()[1:] for row in TABLE.strip().splitlines()}


def _own_role(world: World, name: str, *permissions: Permission) -> None:
    with db.transaction():
        Role.create(
            id=ids.new("role"),
            account=world.account,
            name=name,
            name_key=name,
            permissions=[str(permission) for permission in permissions],
            created_at=clock.now(),
        )


def test_the_table_is_the_contract() -> None:
    """Every permission of every built-in role, no more and no less."""
    assert set(ROWS) == {str(permission) for permission in Permission}
    assert tuple(BUILT_IN) == NAMES
    for index, name in enumerate(NAMES):
        assert {str(p) for p in BUILT_IN[name]} == {p for p, marks in ROWS.items() if marks[index] == "x"}, name


def test_administrative_permissions_are_those_of_the_contract() -> None:
    """Who grants a role must hold each of these that is in it."""
    assert {str(permission) for permission in roles.ADMINISTRATIVE} == {
        "billing:write", "account:write", "idps:read", "idps:write", "roles:write", "bots:write", "credentials:all",
    }  # fmt: skip


def test_several_roles_allow_what_any_allows(acme: World) -> None:
    """A union; a role that is gone allows nothing."""
    allowed = roles.permissions_of(acme.account.id, ["billing", "developer", "gone"])
    assert allowed == BUILT_IN["billing"] | BUILT_IN["developer"]


def test_an_own_role_counts_in_its_account_only(acme: World) -> None:
    """The same name elsewhere means nothing."""
    from tests.domain import cast

    other = cast.open_account("other")
    _own_role(acme, "auditor", Permission.EVENTS_READ)
    assert roles.permissions_of(acme.account.id, ["auditor"]) == {Permission.EVENTS_READ}
    assert roles.permissions_of(other.account.id, ["auditor"]) == frozenset()
    assert roles.known(acme.account.id, ["viewer", "auditor", "viewer"]) == ("auditor", "viewer")
    with pytest.raises(Invalid, match="auditor"):
        roles.known(other.account.id, ["auditor"])


@pytest.mark.parametrize("holder", NAMES)
@pytest.mark.parametrize("granted", NAMES)
def test_nobody_grants_above_her_own_rights(holder: str, granted: str, acme: World) -> None:
    """Admin by an administrator; billing by who has billing:write; the others hold nothing administrative."""
    allowed = holder == "admin" or granted in {"team_manager", "developer", "viewer"} or holder == granted == "billing"

    def grant() -> None:
        roles.check_grant(acme.account.id, BUILT_IN[holder], [granted], administrator=holder == "admin")

    if allowed:
        grant()
        return
    with pytest.raises(Forbidden) as caught:
        grant()
    assert caught.value.code is (Code.ADMINISTRATORS_ONLY if granted == "admin" else Code.GRANT_ABOVE_OWN_RIGHTS)


def test_an_own_role_is_granted_by_who_holds_its_administrative_permissions(acme: World) -> None:
    """Holding every administrative permission still makes nobody an administrator."""
    _own_role(acme, "operations", *roles.ADMINISTRATIVE)
    with pytest.raises(Forbidden, match=r"idps:write"):
        roles.check_grant(acme.account.id, BUILT_IN["billing"], ["operations"], administrator=False)
    roles.check_grant(acme.account.id, roles.ADMINISTRATIVE, ["operations"], administrator=False)
    with pytest.raises(Forbidden, match="Only an administrator"):
        roles.check_grant(acme.account.id, frozenset(Permission), ["admin"], administrator=False)
