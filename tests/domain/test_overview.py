"""What an account's first page tells: what is set up, what runs out, who was refused."""

from datetime import timedelta

import pytest

from idp_bridge import actors, bots, clock, db, events, groups, idps, overview, sp_keys
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityProvider, RecoveryCode
from idp_bridge.overview import Task
from tests.conftest import World, make_account


def tasks(world: World) -> dict[Task, bool]:
    """As they stand now."""
    account = Account.get_by_id(world.account.id)
    return overview.done(account, overview.connections(account), overview.counted(account))


def test_every_task_is_answered(sso: World) -> None:
    """In their order; a provider that is given is one that is behind."""
    found = tasks(sso)
    assert list(found) == list(Task)
    assert [task for task, behind in found.items() if behind] == [Task.PROVIDER]


def test_a_draft_is_no_provider_yet(sso: World) -> None:
    """Nothing is trusted of it: there is nothing to be tested."""
    IdentityProvider.update(entity_id="").execute()
    assert idps.is_draft(IdentityProvider.get())
    assert not tasks(sso)[Task.PROVIDER]


def test_what_another_account_has_is_nothing_of_this_one(sso: World) -> None:
    """Neither its bots, codes or mappings, nor whom it refused."""
    other = make_account("other")
    with db.transaction():
        bots.create(other.system, "ci")
        RecoveryCode.create(member=other.owner, code_hash="x")
        events.record(other.system, Type.SIGN_IN_REFUSED, {"id": other.owner.id})
    found = tasks(sso)
    assert not any(found[task] for task in (Task.BOTS, Task.RECOVERY_CODES, Task.MAPPING))
    assert overview.refusals(sso.account).number == 0
    assert tasks(other)[Task.BOTS]


def test_codes_count_while_an_administrator_holds_them(sso: World) -> None:
    """Those that are used up are none."""
    code = RecoveryCode.create(member=sso.owner, code_hash="x")
    assert tasks(sso)[Task.RECOVERY_CODES]
    RecoveryCode.update(used_at=clock.now()).where(RecoveryCode.id == code.id).execute()
    assert not tasks(sso)[Task.RECOVERY_CODES]


def test_a_mapping_and_an_enforced_mode_are_seen(sso: World) -> None:
    """Enforcing on trial counts until the trial is over."""
    assert sso.provider is not None
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="viewer", group_display_name="Staff")
    Account.update(sso_mode="enforced", enforced_until=clock.now() + timedelta(hours=1)).execute()
    assert tasks(sso)[Task.MAPPING]
    assert tasks(sso)[Task.ENFORCE]
    Account.update(enforced_until=clock.now() - timedelta(seconds=1)).execute()
    assert not tasks(sso)[Task.ENFORCE]


@pytest.mark.parametrize(("days_left", "told"), [(61, False), (59, True), (1, True), (-1, True)])
@pytest.mark.parametrize("whose", ["identity_provider", "service_provider"])
def test_certificates_of_either_side_are_told_in_time(sso: World, whose: str, days_left: int, told: bool) -> None:
    """Within the distances at which administrators are told by mail, and for as long as one is past its end."""
    provider = sso.provider
    assert provider is not None
    with db.transaction():
        sp_keys.signing(provider)
    (key,) = sp_keys.of_provider(provider)
    ours = whose == "service_provider"
    end = sp_keys.certificate(key).not_after if ours else clock.parse(provider.certificates[0]["not_after"])
    found = overview.ending_certificates([provider], now=end - timedelta(days=days_left))
    assert [one.not_after for one in found if one.whose == whose] == ([end] if told else [])


def test_a_disabled_provider_warns_of_no_certificate(sso: World) -> None:
    """Nobody comes in by it."""
    provider = sso.provider
    assert provider is not None
    provider.enabled = False
    end = clock.parse(provider.certificates[0]["not_after"])
    assert overview.ending_certificates([provider], now=end) == []


def test_refusals_are_those_of_the_last_day(sso: World) -> None:
    """All are counted, the newest five shown."""
    actor = actors.system(sso.account)
    with db.transaction():
        for number in range(7):
            events.record(actor, Type.SIGN_IN_REFUSED, {"id": f"usr_{number}"})
        events.record(actor, Type.SIGN_IN_SUCCEEDED, {"id": "usr_9"})
    found = overview.refusals(sso.account)
    assert found.number == 7
    assert [event.object_id for event in found.newest] == [f"usr_{number}" for number in (6, 5, 4, 3, 2)]
    assert overview.refusals(sso.account, now=clock.now() + timedelta(days=2)).number == 0
