"""Bot users: they own credentials, are never a seat and never an administrator."""

from dataclasses import replace

import pytest

from idp_bridge import bots, credentials, db, invitations, seats
from idp_bridge.credentials import API_KEY, AUTHTOKEN, SSH_PUBLIC_KEY
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.models import BotUser, Credential
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_credentials import _key


def _bot(world: World, name: str = "deployer", **options: object) -> BotUser:
    with db.transaction():
        return bots.create(world.system, name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", ["free", "pro", "enterprise"])
def test_every_plan_has_bot_users_and_none_is_a_seat(database: None, plan: str) -> None:
    """Also in an account whose seats are all taken."""
    world = cast.open_account("acme", plan, seats=1)
    bot = _bot(world)
    assert (bot.active, bot.roles) == (True, ["developer"])
    assert seats.count(world.account).used == 1


def _invited_by(world: World, bot: BotUser, email: str) -> None:
    actor = replace(world.system, id=bot.id, type="bot_user")
    with db.transaction():
        invitations.create(actor, email)


def test_a_bot_comes_back_where_there_are_seats_for_whom_it_has_invited(database: None) -> None:
    """Its invitations have no sender while it is off, and somebody else is invited; both could not come then."""
    world = cast.open_account("acme", "pro", seats=2)
    bot = _bot(world)
    _invited_by(world, bot, "x@acme.test")
    with db.transaction():
        bots.change(world.system, bot, active=False)
        assert seats.count(world.account).reserved == 0
        invitation = invitations.create(world.system, "y@acme.test").invitation
    with pytest.raises(Forbidden) as caught, db.transaction():
        bots.change(world.system, cast.again(bot), active=True)
    assert (caught.value.code, "All 2 seats" in caught.value.message) == (Code.SEATS_FULL, True)
    assert not cast.again(bot).active
    with db.transaction():
        bots.change(world.system, cast.again(bot), name="renamed")
        invitations.cancel(world.system, invitation)
        bots.change(world.system, cast.again(bot), active=True)
    assert (seats.count(world.account).used, seats.count(world.account).reserved) == (1, 1)


def test_a_bot_that_has_invited_nobody_comes_back_whatever_the_seats(database: None) -> None:
    """It is none itself."""
    world = cast.open_account("acme", "pro", seats=1)
    bot = _bot(world)
    with db.transaction():
        bots.change(world.system, bot, active=False)
        bots.change(world.system, bot, active=True)
    assert cast.again(bot).active


def test_a_name_is_unique_in_its_account(acme: World) -> None:
    """Without regard to case; the transaction goes on after the refusal."""
    other, bot = cast.open_account("other"), _bot(acme, "Deployer")
    second = _bot(acme, "second")
    with db.transaction():
        with pytest.raises(Conflict) as caught:
            bots.create(acme.system, "deployer")
        with pytest.raises(Conflict):
            bots.change(acme.system, cast.again(second), name="DEPLOYER")
        bots.change(acme.system, bot, name="deployer")
    assert caught.value.code is Code.NAME_TAKEN
    assert "name" in caught.value.fields
    assert {row.name for row in bots.of_account(acme.account)} == {"deployer", "second"}
    assert _bot(other, "deployer").account == other.account


def test_a_deleted_bots_name_is_free_and_its_credentials_are_erased(acme: World) -> None:
    """A new bot of the same name has none of them."""
    bot = _bot(acme)
    with db.transaction():
        made = [
            credentials.issue(acme.system, AUTHTOKEN, bot),
            credentials.issue(acme.system, API_KEY, bot),
            credentials.issue(acme.system, SSH_PUBLIC_KEY, bot, public_key=_key()),
        ]
        bots.delete(acme.system, bot)
    assert Credential.select().count() == 0
    (event,) = cast.happened(acme, "bot_user_deleted.v0")
    assert set(event.object["credentials"]) == {issued.credential.id for issued in made}
    assert _bot(acme).id != bot.id


def test_a_bot_is_never_an_administrator(acme: World) -> None:
    """Neither when made nor later, whoever asks."""
    bot = _bot(acme)
    for grant in (
        lambda: bots.create(acme.system, "root", role_names=["admin"]),
        lambda: bots.change(acme.system, bot, roles=["viewer", "admin"]),
    ):
        with pytest.raises(Invalid) as caught, db.transaction():
            grant()
        assert "roles" in caught.value.fields
    assert cast.again(bot).roles == ["developer"]


def test_a_bot_gets_no_role_above_its_makers_rights(acme: World) -> None:
    """Else a bot would be a way around one's own role."""
    actor = cast.acting(acme, cast.join(acme, "d@acme.test", "developer"))
    with pytest.raises(Forbidden) as caught, db.transaction():
        bots.create(actor, "biller", role_names=["billing"])
    assert caught.value.code is Code.GRANT_ABOVE_OWN_RIGHTS
    with pytest.raises(Invalid), db.transaction():
        bots.create(actor, "wizard", role_names=["wizard"])


def test_a_change_is_told_with_what_was_before_and_no_change_is_not(acme: World) -> None:
    """One event for both fields."""
    bot = _bot(acme)
    with db.transaction():
        bots.change(acme.system, bot, name="deployer", active=True)
        bots.change(acme.system, bot, active=False, description="asleep")
    (event,) = cast.happened(acme, "bot_user_updated.v0")
    assert event.object["before"] == {"active": True, "description": ""}
    assert not cast.again(bot).active


def test_a_bot_of_another_account_is_not_found(acme: World) -> None:
    """Whatever the caller's rights."""
    with pytest.raises(NotFound):
        bots.get(acme.account, _bot(cast.open_account("other")).id)
