"""Who acts, and what that allows."""

import pytest

from idp_bridge import actors
from idp_bridge.actors import Actor
from idp_bridge.roles import Permission
from tests.conftest import World


def test_the_system_may_do_everything_in_its_account(acme: World) -> None:
    """The command line and background work ask no role."""
    system = actors.system(acme.account, source="cli")
    assert system.administrator
    assert all(system.may(permission) for permission in Permission)
    assert (system.type, system.source, system.id) == ("system", "cli", None)


@pytest.mark.parametrize(
    ("type", "roles", "administrator"),
    [
        ("user", ("admin",), True),
        ("user", ("developer", "admin"), True),
        ("user", ("team_manager",), False),
        ("bot_user", ("developer",), False),
        ("identity_provider", (), False),
        ("operator", (), True),
    ],
)
def test_who_is_an_administrator(acme: World, type: str, roles: tuple[str, ...], administrator: bool) -> None:
    """By the role, not by the sum of permissions."""
    actor = Actor(account=acme.account, type=type, subject="x", source="api", roles=roles)
    assert actor.administrator is administrator


def test_a_principal_may_what_its_permissions_say(acme: World) -> None:
    """Nothing is implied; an operator has no permission of its own."""
    actor = Actor(
        account=acme.account, type="user", subject="x", source="api", permissions=frozenset({Permission.BOTS_READ})
    )
    assert actor.may(Permission.BOTS_READ)
    assert not actor.may(Permission.BOTS_WRITE)
    assert not Actor(account=acme.account, type="operator", subject="x", source="api").may(Permission.ACCOUNT_READ)
