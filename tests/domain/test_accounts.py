"""Accounts: created, renamed, moved between plans, and enforced only where nobody is locked out."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine

from idp_bridge import accounts, clock, db, idps, member_lifecycle, member_roles
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.models import Account, IdentityProvider, RecoveryCode
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said
from tests.saml import idp as signing_idp


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a" * 64, "a b", "a\n", "recovery"])
def test_a_slug_is_a_host_label(database: None, slug: str) -> None:
    """It stands in URLs, so it is none of our own pages' names either."""
    with pytest.raises(Invalid) as caught, db.transaction():
        accounts.create(name="A", slug=slug)
    assert "slug" in caught.value.fields


@pytest.mark.parametrize(
    ("plan", "seats", "limit"), [("free", None, 1), ("pro", None, 10), ("enterprise", None, None), ("pro", 25, 25)]
)
def test_the_plan_brings_its_seats(database: None, plan: str, seats: int | None, limit: int | None) -> None:
    """Unless a number is named."""
    assert cast.open_account("acme", plan, seats=seats).account.seats == limit


def test_a_taken_slug_is_a_conflict_that_costs_nothing_else(acme: World) -> None:
    """The transaction goes on: PostgreSQL needs a savepoint for that."""
    with db.transaction():
        with pytest.raises(Conflict) as caught:
            accounts.create(name="Again", slug="acme")
        accounts.rename(acme.system, "Acme Inc")
    assert caught.value.code is Code.NAME_TAKEN
    assert cast.again(acme.account).name == "Acme Inc"


def test_an_account_is_found_by_slug_or_id(acme: World) -> None:
    """And by nothing else."""
    assert accounts.find("acme") == accounts.find(acme.account.id) == acme.account
    with pytest.raises(NotFound):
        accounts.find("Acme")


def test_a_change_is_told_with_what_was_before(acme: World) -> None:
    """No change, no event."""
    with db.transaction():
        accounts.rename(acme.system, "Acme")
        accounts.rename(acme.system, "Other")
    (event,) = cast.happened(acme, "account_updated.v0")
    assert (event.object["name"], event.object["before"]) == ("Other", {"name": "Acme"})
    assert event.object["seats"] == {"used": 1, "reserved": 0, "limit": None}


def test_leaving_enterprise_turns_providers_off_and_lets_passwords_in(sso: World) -> None:
    """Nothing is deleted; coming back, the administrator turns the provider on again."""
    sso.account.sso_mode = "enforced"
    sso.account.save()
    with db.transaction():
        accounts.set_plan(sso.system, "pro")
    stored = cast.again(sso.account)
    assert (stored.plan, stored.seats, stored.sso_mode) == ("pro", 10, "mixed")
    assert not cast.again(sso.provider).enabled
    with db.transaction():
        accounts.set_plan(sso.system, "enterprise", seat_limit=50)
    assert (cast.again(sso.account).seats, cast.again(sso.provider).enabled) == (50, False)


def test_leaving_enterprise_leaves_other_accounts_alone(sso: World) -> None:
    """Their providers stay on."""
    other = cast.open_account("other")
    cast.connect(other)
    with db.transaction():
        accounts.set_plan(sso.system, "free")
    assert cast.again(other.provider).enabled


def test_going_from_pro_to_enterprise_keeps_providers_as_they_are(sso: World) -> None:
    """Only a plan without single sign-on turns them off."""
    with db.transaction():
        accounts.set_plan(sso.system, "enterprise", seat_limit=5)
    assert cast.again(sso.provider).enabled


# --- enforcing --------------------------------------------------------------------------------------------------


def _codes(world: World) -> None:
    RecoveryCode.create(member=world.owner, code_hash="x")


def _ready(world: World) -> None:
    come(world, said(world.owner.email))
    _codes(world)


def _gap_words(world: World) -> list[str]:
    words = ("no enabled", "no administrator has signed in", "certificate expires", "recovery codes")
    gaps = accounts.enforcement_gaps(world.account)
    found = [word for word in words if any(word in gap for gap in gaps)]
    assert len(found) == len(gaps)
    return found


@pytest.fixture
def then() -> object:
    """A day on which the suite's certificate is good for months."""
    with time_machine.travel(signing_idp.NOW) as traveller:
        yield traveller


def test_nothing_stands_against_a_proven_provider(then: object, sso: World) -> None:
    """An administrator came in through it, its certificate is good, and there are recovery codes."""
    _ready(sso)
    assert _gap_words(sso) == []
    with db.transaction():
        accounts.set_sso_mode(sso.system, "enforced")
    stored = cast.again(sso.account)
    assert stored.sso_mode == "enforced"
    assert stored.password_sessions_after is not None


def _no_provider(world: World) -> None:
    IdentityProvider.delete().execute()


def _off(world: World) -> None:
    IdentityProvider.update(enabled=False).execute()


def _changed_since(world: World) -> None:
    assert world.provider is not None
    with db.transaction():
        idps.change(world.system, cast.again(world.provider), attribute_mapping={"email": "mail"})


def _code_used(world: World) -> None:
    RecoveryCode.update(used_at=clock.now()).execute()


def _code_of_a_former_administrator(world: World) -> None:
    other = cast.join(world, "second@acme.test", "admin")
    with db.transaction():
        member_roles.set_roles(cast.acting(world, other), world.owner, ["developer"])


def _code_of_a_suspended_one(world: World) -> None:
    cast.join(world, "second@acme.test", "admin")
    with db.transaction():
        member_lifecycle.suspend(world.system, world.owner)


@pytest.mark.parametrize(
    ("undo", "gap"),
    [
        (_no_provider, "no enabled"),
        (_off, "no enabled"),
        (_changed_since, "no administrator has signed in"),
        (_code_used, "recovery codes"),
        (_code_of_a_former_administrator, "recovery codes"),
        (_code_of_a_suspended_one, "recovery codes"),
    ],
)
def test_each_missing_condition_is_named_and_refuses(
    then: object, sso: World, undo: Callable[[World], None], gap: str
) -> None:
    """One that fails is enough; the mode stays as it was."""
    _ready(sso)
    undo(sso)
    assert _gap_words(sso) == [gap]
    with pytest.raises(Conflict, match=gap) as caught, db.transaction():
        accounts.set_sso_mode(sso.system, "enforced")
    assert caught.value.code is Code.ENFORCEMENT_CONDITIONS
    assert cast.again(sso.account).sso_mode == "mixed"


def test_a_certificate_about_to_expire_refuses(then: object, sso: World) -> None:
    """Else everybody is locked out with it."""
    _ready(sso)
    end = signing_idp.idp().certificate.not_after
    with time_machine.travel(end - accounts.CERTIFICATE_GOOD_FOR + timedelta(minutes=1)):
        assert _gap_words(sso) == ["certificate expires"]
    with time_machine.travel(end - accounts.CERTIFICATE_GOOD_FOR - timedelta(minutes=1)):
        assert _gap_words(sso) == []


def test_every_gap_is_named_at_once(acme: World) -> None:
    """An administrator mends them in one go."""
    assert _gap_words(acme) == ["no enabled", "recovery codes"]


def test_enforcing_needs_the_plan_and_a_mode_that_exists(database: None) -> None:
    """Pro has no single sign-on to enforce."""
    world = cast.open_account("acme", "pro")
    with pytest.raises(Forbidden), db.transaction():
        accounts.set_sso_mode(world.system, "enforced")
    with pytest.raises(Invalid), db.transaction():
        accounts.set_sso_mode(world.system, "off")


def test_going_back_to_mixed_asks_for_nothing(sso: World) -> None:
    """It locks nobody out."""
    Account.update(sso_mode="enforced").execute()
    sso.account.sso_mode = "enforced"
    with db.transaction():
        accounts.set_sso_mode(sso.system, "mixed")
    assert cast.again(sso.account).sso_mode == "mixed"


def test_whom_enforcing_would_keep_out_is_listed(sso: World) -> None:
    """Members without a sign-in through a provider; a directory's people will come through it."""
    cast.join(sso, "b@acme.test", name="Bob")
    cast.provisioned(sso, "c@acme.test")
    come(sso, said("a@acme.test"))
    assert {member.email for member in accounts.without_single_sign_on(sso.account)} == {
        "owner@acme.test",
        "b@acme.test",
    }
