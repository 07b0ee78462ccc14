"""SCIM tokens: several at once, each dies alone, shown once."""

from datetime import timedelta

import pytest

from idp_bridge import clock, db, plan_changes, scim_tokens
from idp_bridge.errors import Forbidden, Invalid, NotFound
from idp_bridge.models import ScimToken
from idp_bridge.scim_tokens import Step, ends_soon, expired, rotation
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


def test_who_made_a_token_is_told_by_its_event(sso: World) -> None:
    """It stays known when she goes."""
    assert sso.provider is not None
    rows = list(scim_tokens.of_provider(sso.provider))
    assert scim_tokens.makers(sso.account, rows) == {rows[0].id: sso.system.subject}
    assert scim_tokens.makers(sso.account, []) == {}


# --- changing the token -----------------------------------------------------------------------------------------

NOW = clock.now()


def token(number: int, *, used: float | None = None, expires: float | None = None) -> ScimToken:
    """The ``number``-th that was made; used so many minutes ago, expiring in so many days."""
    return ScimToken(
        id=f"tok_{number}",
        last_used_at=None if used is None else NOW - timedelta(minutes=used),
        expires_at=None if expires is None else NOW + timedelta(days=expires),
    )


@pytest.mark.parametrize(
    ("tokens", "step", "former", "new"),
    [
        ([token(1)], Step.MAKE, ["tok_1"], None),
        ([token(1, used=5)], Step.MAKE, ["tok_1"], None),
        ([token(1, used=5), token(2)], Step.PASTE, ["tok_1"], "tok_2"),
        ([token(2), token(1, used=5)], Step.PASTE, ["tok_1"], "tok_2"),
        ([token(1, used=5), token(2, used=1)], Step.REVOKE, ["tok_1"], "tok_2"),
        ([token(1, used=5), token(2, used=1), token(3)], Step.PASTE, ["tok_1", "tok_2"], "tok_3"),
        ([token(1, used=5, expires=-1), token(2)], Step.MAKE, ["tok_2"], None),
        ([token(1, used=5), token(2, expires=-1)], Step.MAKE, ["tok_1"], None),
    ],
)
def test_the_next_step_follows_from_the_tokens_that_work(
    tokens: list[ScimToken], step: Step, former: list[str], new: str | None
) -> None:
    """Make a second, see its first use, revoke the former: an expired one is none."""
    found = rotation(tokens, NOW)
    assert found is not None
    assert (found.step, [one.id for one in found.former], found.new and found.new.id) == (step, former, new)


def test_without_a_token_that_works_there_is_nothing_to_change() -> None:
    """Neither none nor an expired one."""
    assert rotation([], NOW) is None
    assert rotation([token(1, expires=-1)], NOW) is None


@pytest.mark.parametrize(("former", "new", "still"), [(5, 1, False), (1, 5, True), (None, 1, False), (1, None, False)])
def test_a_former_token_that_is_still_shown_is_noticed(former: float | None, new: float | None, still: bool) -> None:
    """Used after the new one last was: somebody has it yet."""
    found = rotation([token(1, used=former), token(2, used=new)], NOW)
    assert found is not None
    assert found.still_used is still


@pytest.mark.parametrize(
    ("days", "over", "soon"),
    [(None, False, False), (30, False, False), (14, False, True), (1, False, True), (0, True, False)],
)
def test_a_token_says_when_it_ends(days: float | None, over: bool, soon: bool) -> None:
    """Two weeks before, so that its successor is made in time."""
    row = token(1, expires=days)
    assert (expired(row, NOW), ends_soon(row, NOW)) == (over, soon)
