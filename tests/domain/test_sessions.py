"""Sessions: what one reaches, and what ends it."""

from datetime import timedelta

import pytest
import time_machine

from idp_bridge import clock, db, enforcement, idps, member_lifecycle, plan_changes, sessions, tokens
from idp_bridge.models import Account, Member, Session
from tests.conftest import World
from tests.domain import cast


def _open(member: Member, method: str = "password", **options: object) -> str:
    with db.transaction():
        return sessions.open_session(member, method=method, **options).token  # type: ignore[arg-type]


def _reached(token: str) -> list[str]:
    return [member.account.slug for member in sessions.memberships(token)]


def _enforce(world: World) -> None:
    """As enforcing does, without what it asks for."""
    changed = Account.update(sso_mode="enforced", password_epoch=Account.password_epoch + 1)
    assert changed.where(Account.id == world.account.id).execute() == 1
    world.account = cast.again(world.account)


@pytest.fixture
def twice(acme: World) -> tuple[World, World, Member]:
    """acme's owner is a member of beta too, as the same person."""
    beta = cast.open_account("beta")
    return acme, beta, cast.join(beta, acme.owner.email, person=acme.owner.person)


def test_a_password_reaches_every_mixed_account_of_the_person(twice: tuple[World, World, Member]) -> None:
    """The one signed in to comes first."""
    acme, _, there = twice
    assert _reached(_open(acme.owner)) == ["acme", "beta"]
    assert _reached(_open(there)) == ["beta", "acme"]


@pytest.mark.parametrize("method", ["saml", "recovery_code", "break_glass"])
def test_any_other_way_reaches_its_account_alone(twice: tuple[World, World, Member], method: str) -> None:
    """A provider's word counts in its own account."""
    acme, _, _ = twice
    assert _reached(_open(acme.owner, method)) == ["acme"]


def test_an_account_that_enforces_is_beyond_a_passwords_reach(twice: tuple[World, World, Member]) -> None:
    """At once, also for sessions opened before; a session by the provider goes on."""
    acme, _, _ = twice
    by_password, by_provider = _open(acme.owner), _open(acme.owner, "saml")
    _enforce(acme)
    assert _reached(by_password) == ["beta"]
    assert _reached(by_provider) == ["acme"]


def test_password_sessions_ended_by_enforcing_stay_dead_in_mixed_mode(twice: tuple[World, World, Member]) -> None:
    """Going back lets new ones in, not old ones."""
    acme, _, _ = twice
    old = _open(acme.owner)
    with db.transaction():
        _enforce(acme)
        enforcement.relax(acme.system)
    assert _reached(old) == ["beta"]
    assert _reached(_open(acme.owner)) == ["acme", "beta"]


def test_suspension_ends_a_password_session_in_its_account_only(twice: tuple[World, World, Member]) -> None:
    """And it stays ended after reactivation; the other account never noticed."""
    acme, beta, there = twice
    old = _open(there)
    with db.transaction():
        member_lifecycle.suspend(beta.system, there)
    assert _reached(old) == ["acme"]
    with db.transaction():
        member_lifecycle.unsuspend(beta.system, there)
    assert _reached(old) == ["acme"]
    assert _reached(_open(there)) == ["beta", "acme"]
    assert acme.owner.active


@pytest.mark.parametrize("method", ["saml", "password", "recovery_code", "break_glass"])
@pytest.mark.parametrize("end", ["suspend", "directory", "deprovision", "remove"])
def test_whoever_is_out_has_no_session(sso: World, method: str, end: str) -> None:
    """Whatever ended it, and with the row that says so."""
    member = cast.provisioned(sso, "a@acme.test") if end in {"directory", "deprovision"} else cast.join(sso, "a@b.test")
    token = _open(member, method)
    assert _reached(token) == ["acme"]
    with db.transaction():
        if end == "suspend":
            member_lifecycle.suspend(sso.system, member)
        elif end == "directory":
            member_lifecycle.set_directory_active(sso.system, member, False)
        elif end == "deprovision":
            member_lifecycle.deprovision(sso.system, member)
        else:
            member_lifecycle.remove(sso.system, member)
    assert _reached(token) == []


@pytest.mark.parametrize("method", ["saml", "password"])
def test_a_dead_session_stays_dead_after_the_directory_reactivates(sso: World, method: str) -> None:
    """She signs in again."""
    member = cast.provisioned(sso, "a@acme.test")
    token = _open(member, method)
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, member, False)
        member_lifecycle.set_directory_active(sso.system, member, True)
    assert cast.again(member).active
    assert _reached(token) == []


def test_the_suspension_event_tells_how_many_sessions_it_ended(acme: World) -> None:
    """All that reached the membership."""
    member = cast.join(acme, "a@acme.test")
    _open(member)
    _open(member, "saml")
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    (event,) = cast.happened(acme, "user_suspended.v0")
    assert event.object["sessions_ended"] == 2


def test_a_session_ends_after_idling_and_after_its_life(acme: World) -> None:
    """24 hours without use; 7 days however much it is used."""
    token, start = _open(acme.owner), clock.now()
    with time_machine.travel(start + sessions.IDLE - timedelta(minutes=1)):
        (member,) = sessions.memberships(token)
        sessions.seen(member)
    with time_machine.travel(start + sessions.IDLE + timedelta(minutes=1)):
        assert _reached(token) == ["acme"]
    with time_machine.travel(start + 2 * sessions.IDLE):
        assert _reached(token) == []
    for day in range(1, 8):
        Session.update(seen_at=start + timedelta(days=day)).execute()
    with time_machine.travel(start + sessions.ABSOLUTE - timedelta(minutes=1)):
        assert _reached(token) == ["acme"]
    with time_machine.travel(start + sessions.ABSOLUTE + timedelta(minutes=1)):
        assert _reached(token) == []


def test_a_provider_may_shorten_a_session_and_never_lengthen_it(acme: World) -> None:
    """SessionNotOnOrAfter (SAML core 2.7.2) against our own week."""
    start = clock.now()
    _open(acme.owner, "saml", not_after=start + timedelta(hours=1))
    _open(acme.owner, "saml", not_after=start + timedelta(days=365))
    short, full = sorted(row.expires_at for row in Session.select())
    assert short == start + timedelta(hours=1)
    assert full < start + sessions.ABSOLUTE + timedelta(minutes=1)


def test_a_use_is_written_once_a_minute(acme: World) -> None:
    """A page with ten requests is no ten writes."""
    token, start = _open(acme.owner), clock.now()
    (member,) = sessions.memberships(token)
    opened = cast.again(member.session).seen_at
    sessions.seen(member)
    assert [cast.again(row).seen_at for row in (member.session, member.reach)] == [opened, opened]
    with time_machine.travel(start + timedelta(minutes=2)):
        sessions.seen(member)
    assert all(cast.again(row).seen_at > opened for row in (member.session, member.reach))


def test_signing_out_ends_this_session_only(acme: World) -> None:
    """The other browser stays signed in."""
    one, other = _open(acme.owner), _open(acme.owner)
    (member,) = sessions.memberships(one)
    with db.transaction():
        sessions.end(member.session)
    assert (_reached(one), _reached(other)) == ([], ["acme"])
    assert [reach.session.digest for reach in sessions.of_member(acme.owner)] == [tokens.digest(other)]


def test_switching_a_provider_off_ends_what_it_opened(sso: World) -> None:
    """And nothing else."""
    assert sso.provider is not None
    through = _open(sso.owner, "saml", identity_provider_id=sso.provider.id)
    by_password = _open(sso.owner)
    with db.transaction():
        idps.change(sso.system, sso.provider, enabled=False)
    assert (_reached(through), _reached(by_password)) == ([], ["acme"])


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ({"name_id": "ann"}, ["bob"]),
        ({"name_id": "Ann"}, ["ann", "ann", "ann", "bob"]),
        ({"name_id": "ann", "name_id_format": "email"}, ["ann", "bob"]),
        ({"name_id": "ann", "name_id_format": "persistent"}, ["ann", "bob"]),
        ({"name_id": "ann", "session_indexes": ["_1"]}, ["ann", "bob"]),
        ({"name_id": "ann", "session_indexes": ["_2", "_3"]}, ["ann", "bob"]),
        ({"name_id": "ann", "session_indexes": ["_9"]}, ["ann", "ann", "bob"]),
        ({"name_id": "bob", "session_indexes": ["_1"]}, ["ann", "ann", "ann"]),
    ],
)
def test_a_provider_ends_what_it_names(sso: World, words: dict[str, object], left: list[str]) -> None:
    """By NameID, exactly; a format or an index that a session does not have is no objection to its end."""
    assert sso.provider is not None
    mine = {"method": "saml", "identity_provider_id": sso.provider.id}
    _open(sso.owner, **mine, name_id="ann", name_id_format="email", session_index="_1")
    _open(sso.owner, **mine, name_id="ann", name_id_format="persistent", session_index="_2")
    _open(sso.owner, **mine, name_id="ann")
    _open(sso.owner, **mine, name_id="bob", session_index="_1")
    cast.connect(sso, name="another")
    _open(sso.owner, "saml", identity_provider_id=sso.provider.id, name_id="ann", session_index="_1")
    _open(sso.owner)
    with db.transaction():
        ended = sessions.end_named(mine["identity_provider_id"], **words)  # type: ignore[arg-type]
    still = [row.name_id for row in Session.select() if row.identity_provider_id == mine["identity_provider_id"]]
    assert sorted(still) == left
    assert [member.id for member in ended] == [sso.owner.id] * (4 - len(left))
    assert Session.select().count() == len(left) + 2


def test_a_session_that_had_run_out_is_not_said_to_have_ended(sso: World) -> None:
    """It goes with the others; no event tells of it."""
    assert sso.provider is not None
    _open(sso.owner, "saml", identity_provider_id=sso.provider.id, name_id="ann", not_after=clock.now())
    with db.transaction():
        assert sessions.end_named(sso.provider.id, name_id="ann") == []
    assert Session.select().count() == 0


def test_leaving_single_sign_on_behind_ends_what_providers_opened(sso: World) -> None:
    """A plan without it has no such session either."""
    assert sso.provider is not None
    through = _open(sso.owner, "saml", identity_provider_id=sso.provider.id)
    with db.transaction():
        plan_changes.set_plan(sso.system, "pro")
    assert _reached(through) == []


def test_an_unknown_token_reaches_nothing(acme: World) -> None:
    """Nor does the digest that is stored."""
    token = _open(acme.owner)
    assert _reached("ibse_" + "0" * 49) == []
    assert _reached(Session.get().digest) == []
    assert token not in Session.get().digest
