"""Changing the plan: what it takes away comes back with it, and somebody is always an administrator."""

from dataclasses import replace
from typing import Any

import pytest

from idp_bridge import (
    clock,
    db,
    enforcement,
    idps,
    invitations,
    mail,
    member_lifecycle,
    member_roles,
    people,
    plan_changes,
    seats,
    sessions,
)
from idp_bridge.config import Config
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid
from idp_bridge.models import Account, IdentityProvider, Mail, Member, Person, RecoveryCode, Session
from idp_bridge.notices import Notice
from idp_bridge.plan_changes import PlanChange
from tests.conftest import World
from tests.domain import cast


def change(world: World, plan: str, **options: Any) -> PlanChange:
    """As the product's billing does it, with the account as it is now."""
    world.account = cast.again(world.account)
    with db.transaction():
        return plan_changes.set_plan(world.system, plan, **options)


def stored(world: World) -> Account:
    account: Account = cast.again(world.account)
    return account


def enabled(world: World) -> list[str]:
    on = IdentityProvider.select().where(IdentityProvider.account == world.account, IdentityProvider.enabled)
    return [provider.name for provider in on.order_by(IdentityProvider.id)]


@pytest.fixture
def enforced(sso: World) -> World:
    """acme under enforcement, every condition of which holds."""
    RecoveryCode.create(member=sso.owner, code_hash="x")
    IdentityProvider.update(
        administrator_signed_in_at=clock.now(),
        proven_by=sso.owner.id,
        certificates=[{**one, "not_after": "2099-01-01T00:00:00Z"} for one in cast.again(sso.provider).certificates],
    ).execute()
    with db.transaction():
        enforcement.enforce(sso.system)
    return sso


@pytest.mark.parametrize("plan", ["free", "pro"])
def test_leaving_enterprise_turns_providers_off_and_lets_passwords_in(enforced: World, plan: str) -> None:
    """Nothing is deleted; what the providers opened ends, and each is told of."""
    assert enforced.provider is not None
    opened = sessions.open_session(enforced.owner, method="saml", identity_provider_id=enforced.provider.id)
    done = change(enforced, plan)
    account = stored(enforced)
    assert (account.plan, account.sso_mode, enabled(enforced)) == (plan, "mixed", [])
    assert not sessions.memberships(opened.token)
    assert (done.sessions_ended, done.sso_mode_before) == (1, "enforced")
    (off,) = cast.happened(enforced, "identity_provider_updated.v0")
    assert (off.object["enabled"], off.object["before"], off.object["reason"]) == (False, {"enabled": True}, "plan")
    told = cast.happened(enforced, "account_updated.v0")[-1].object
    assert told["before"] == {"plan": "enterprise", "seats": None, "sso_mode": "enforced"}
    assert told["identity_providers_disabled"] == [{"id": enforced.provider.id, "name": "Okta"}]


def test_coming_back_restores_what_the_plan_took(enforced: World) -> None:
    """The provider that was on, and enforcement; each is told of. What was off before stays off."""
    cast.connect(enforced, name="Retired", enabled=False)
    change(enforced, "free")
    change(enforced, "pro")
    done = change(enforced, "enterprise")
    assert enabled(enforced) == ["Okta"]
    assert [one["name"] for one in done.identity_providers_enabled] == ["Okta"]
    assert (stored(enforced).sso_mode, done.enforcement_missing) == ("enforced", ())
    reasons = [event.object.get("reason") for event in cast.happened(enforced, "account_updated.v0")]
    assert reasons == ["enforced", "plan", "plan", "plan", "restored"]
    (_, on) = cast.happened(enforced, "identity_provider_updated.v0")
    assert (on.object["enabled"], on.object["reason"]) == (True, "plan")


def test_enforcement_comes_back_only_where_its_conditions_hold(enforced: World) -> None:
    """Else the account is in mixed mode, and event and answer say why."""
    change(enforced, "pro")
    RecoveryCode.update(used_at=clock.now()).execute()
    done = change(enforced, "enterprise")
    assert (stored(enforced).sso_mode, enabled(enforced)) == ("mixed", ["Okta"])
    assert done.enforcement_missing == ("no_recovery_codes",)
    told = cast.happened(enforced, "account_updated.v0")[-1].object
    assert (told["reason"], told["missing"]) == ("not_restored", ["no_recovery_codes"])
    RecoveryCode.update(used_at=None).execute()
    change(enforced, "pro")
    change(enforced, "enterprise")
    assert stored(enforced).sso_mode == "mixed", "it was not enforced when it left this time"


def test_a_trial_that_nobody_confirmed_does_not_come_back(enforced: World) -> None:
    """Nothing has proven that it would have lasted."""
    with db.transaction():
        enforcement.relax(enforced.system)
        enforcement.enforce(enforced.system, fall_back_minutes=10)
    change(enforced, "pro")
    change(enforced, "enterprise")
    assert stored(enforced).sso_mode == "mixed"
    assert stored(enforced).enforced_until is None


def test_coming_back_ends_password_sessions_as_enforcing_does(enforced: World) -> None:
    """They were opened without single sign-on."""
    change(enforced, "pro")
    opened = sessions.open_session(enforced.owner, method="password")
    assert sessions.memberships(opened.token)
    change(enforced, "enterprise")
    assert not sessions.memberships(opened.token)


def test_leaving_enterprise_leaves_other_accounts_alone(sso: World) -> None:
    """Their providers stay on, and what those opened."""
    other = cast.open_account("other")
    provider = cast.connect(other)
    sessions.open_session(other.owner, method="saml", identity_provider_id=provider.id)
    change(sso, "free")
    assert cast.again(other.provider).enabled
    assert Session.select().count() == 1


def test_more_seats_on_the_same_plan_change_nothing_else(sso: World) -> None:
    """Only a plan without single sign-on turns providers off, and only what a plan turned off does one turn on."""
    IdentityProvider.update(enabled=False).execute()
    done = change(sso, "enterprise", seat_limit=5)
    assert (stored(sso).seats, enabled(sso)) == (5, [])
    assert done.told() == {**PlanChange(plan_before="enterprise", sso_mode_before="mixed").told()}


# --- administrators ---------------------------------------------------------------------------------------------


def _emails(found: tuple[dict[str, str], ...]) -> set[str]:
    return {member["email"] for member in found}


def test_the_free_plan_names_whom_it_makes_administrators(acme: World) -> None:
    """Every active member; returning gives the stored roles back."""
    developer = cast.join(acme, "dev@acme.test")
    suspended = cast.join(acme, "off@acme.test")
    with db.transaction():
        member_lifecycle.suspend(acme.system, suspended)
    done = change(acme, "free")
    assert _emails(done.administrators_added) == {"dev@acme.test"}
    assert member_roles.roles_of(stored(acme), developer) == ("admin",)
    told = cast.happened(acme, "account_updated.v0")[-1].object
    assert told["administrators_added"] == [{"id": developer.id, "email": "dev@acme.test", "name": ""}]
    back = change(acme, "pro")
    assert _emails(back.administrators_removed) == {"dev@acme.test"}
    assert member_roles.roles_of(stored(acme), developer) == ("developer",)


def _owner_left_on_free(acme: World) -> Member:
    """The one who had the role goes while everybody is an administrator by the plan."""
    developer: Member = cast.join(acme, "dev@acme.test")
    change(acme, "free")
    with db.transaction():
        member_lifecycle.suspend(acme.system, acme.owner)
    return developer


@pytest.mark.parametrize("plan", ["pro", "enterprise"])
def test_a_plan_change_never_leaves_an_account_without_an_administrator(acme: World, plan: str) -> None:
    """It is refused and changes nothing."""
    developer = _owner_left_on_free(acme)
    with pytest.raises(Conflict, match="--administrator") as caught:
        change(acme, plan)
    assert caught.value.code is Code.LAST_ADMINISTRATOR
    assert stored(acme).plan == "free"
    assert member_roles.administrators(stored(acme)) == {developer.id}


def test_whoever_changes_the_plan_can_name_an_administrator(acme: World) -> None:
    """She keeps the roles that she has."""
    developer = _owner_left_on_free(acme)
    done = change(acme, "pro", administrator=developer)
    assert member_roles.roles_of(stored(acme), developer) == ("admin", "developer")
    assert (done.administrators_added, done.administrators_removed) == ((), ())


def test_nobody_is_made_administrator_on_a_plan_without_roles(acme: World) -> None:
    """There everybody is one, and the refusal says so; nothing is changed."""
    with pytest.raises(Invalid, match="everybody is an administrator") as caught:
        change(acme, "free", administrator=acme.owner)
    assert list(caught.value.fields) == ["administrator"]
    assert cast.again(acme.account).plan == "enterprise"


# --- seats ------------------------------------------------------------------------------------------------------


def test_seats_over_the_limit_stay_taken_and_no_more_are_given(acme: World) -> None:
    """Nobody loses her place by a smaller plan."""
    joined = [cast.join(acme, f"m{number}@acme.test") for number in range(3)]
    done = change(acme, "pro", seat_limit=2)
    assert done.seats_over == 2
    assert seats.count(stored(acme)).used == 4
    with pytest.raises(Forbidden) as caught:
        cast.join(World(stored(acme), acme.owner, ""), "late@acme.test")
    assert caught.value.code is Code.SEATS_FULL
    assert Member.select().where(Member.id.in_([member.id for member in joined]), Member.active).count() == 3


def test_leaving_single_sign_on_says_where_no_administrator_has_a_password(sso: World) -> None:
    """Then nobody who is in can make anybody a link: the answer and the event say so. One who has is enough."""
    cast.join(sso, "sso@acme.test", managed_by="jit", identity_provider=sso.provider)
    done = change(sso, "pro")
    assert (done.members_without_password, done.no_administrator_has_password) == (2, True)
    told = cast.happened(sso, "account_updated.v0")[-1].object
    assert (told["members_without_password"], told["no_administrator_has_password"]) == (2, True)
    back = change(sso, "enterprise")
    assert (back.members_without_password, back.no_administrator_has_password) == (0, False)
    Person.update(password_hash="set").where(Person.id == sso.owner.person_id).execute()
    done = change(sso, "pro")
    assert (done.members_without_password, done.no_administrator_has_password) == (1, False)


def test_whoever_becomes_an_administrator_by_the_plan_is_named_by_mail(acme: World, config: Config) -> None:
    """Also where no provider was turned off, and nothing else is told of the plan."""
    cast.join(acme, "dev@acme.test")
    mail.configure(replace(config, smtp_url="smtp://mail.example.test"))
    try:
        change(acme, "pro")
        assert Mail.select().count() == 0
        change(acme, "free")
        mails = list(Mail.select().where(Mail.kind == Notice.ADMINISTRATORS_BY_PLAN))
    finally:
        mail.configure(config)
    assert {one.recipient for one in mails} == {"owner@acme.test", "dev@acme.test"}


def test_what_is_chosen_without_the_plan_stays_chosen(enforced: World) -> None:
    """A provider that an administrator leaves off, and mixed mode, are not undone by the plan that comes back."""
    change(enforced, "pro")
    enforced.account = stored(enforced)
    with db.transaction():
        idps.change(enforced.system, cast.again(enforced.provider), enabled=False)
        enforcement.relax(enforced.system)
    done = change(enforced, "enterprise")
    assert (enabled(enforced), done.identity_providers_enabled, stored(enforced).sso_mode) == ([], (), "mixed")
    assert done.enforcement_missing == ()


def test_a_name_that_is_changed_without_the_plan_chooses_nothing(enforced: World) -> None:
    """The connection comes back with it."""
    change(enforced, "pro")
    enforced.account = stored(enforced)
    with db.transaction():
        idps.change(enforced.system, cast.again(enforced.provider), name="Renamed")
    change(enforced, "enterprise")
    assert enabled(enforced) == ["Renamed"]


def test_who_has_no_password_after_leaving_is_found(sso: World) -> None:
    """Whoever came by single sign-on alone: a link lets her set one."""
    cast.join(sso, "sso@acme.test", managed_by="jit", identity_provider=sso.provider)
    change(sso, "pro")
    assert {member.email for member in plan_changes.without_password(stored(sso))} == {
        "owner@acme.test",
        "sso@acme.test",
    }


def test_an_invitation_waits_for_the_plan(acme: World) -> None:
    """On the free plan it would make an administrator of whoever was asked to be a viewer. Back, it is good again."""
    with db.transaction():
        sent = invitations.create(acme.system, "new@acme.test", role_names=["viewer"])
        person = people.create("new@acme.test")
    change(acme, "free", seat_limit=5)
    acme.account = stored(acme)
    with pytest.raises(Forbidden) as caught, db.transaction():
        invitations.accept(acme.system, sent.invitation, person)
    assert caught.value.code is Code.PLAN_REQUIRED
    change(acme, "pro")
    with db.transaction():
        member = invitations.accept(acme.system, sent.invitation, person)
    assert member_roles.roles_of(stored(acme), member) == ("viewer",)
