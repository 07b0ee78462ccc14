"""SCIM tokens: several at once, each dies alone, shown once."""

from datetime import timedelta

import pytest

from idp_bridge import clock, db, plan_changes, scim_tokens
from idp_bridge.errors import Forbidden, Invalid, NotFound
from tests.conftest import World


def test_tokens_live_side_by_side_and_die_alone(sso: World) -> None:
    """So that one can be replaced without a gap."""
    assert sso.provider is not None
    with db.transaction():
        second = scim_tokens.issue(sso.system, sso.provider, description="new")
    assert scim_tokens.of_provider(sso.provider).count() == 2
    assert second.row.ends_with == second.token[-4:]
    with db.transaction():
        scim_tokens.revoke(sso.system, scim_tokens.get(sso.provider, second.row.id))
    assert scim_tokens.of_provider(sso.provider).count() == 1
    with pytest.raises(NotFound):
        scim_tokens.get(sso.provider, second.row.id)


def test_a_token_is_not_born_expired(sso: World) -> None:
    """Nor shown again."""
    assert sso.provider is not None
    with pytest.raises(Invalid, match="past"), db.transaction():
        scim_tokens.issue(sso.system, sso.provider, expires_at=clock.now() - timedelta(seconds=1))
    row = scim_tokens.of_provider(sso.provider).get()
    assert sso.scim_token not in str(scim_tokens.describe(row))
    assert row.token_digest != sso.scim_token


def test_a_token_needs_the_plan(sso: World) -> None:
    """An account that left enterprise gets no new one."""
    assert sso.provider is not None
    with db.transaction():
        plan_changes.set_plan(sso.system, "pro")
    with pytest.raises(Forbidden), db.transaction():
        scim_tokens.issue(sso.system, sso.provider)
