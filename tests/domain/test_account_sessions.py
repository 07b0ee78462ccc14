"""Sessions as an account ends them, and that what was ended stays dead, whatever happened in the same instant."""

from collections.abc import Callable
from functools import partial
from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest
import time_machine

from idp_bridge import account_sessions, clock, db, idps, member_lifecycle, plan_changes, sessions, tokens
from idp_bridge.errors import Forbidden, NotFound
from idp_bridge.models import Account, IdentityProvider, Member, Session
from idp_bridge.sessions import Came
from tests.conftest import World
from tests.domain import cast

ELSEWHERE = Came("198.51.100.7", "Lynx")

METHODS = ["saml", "password", "recovery_code", "break_glass"]


def _open(member: Member, method: str = "password", **options: object) -> str:
    with db.transaction():
        return sessions.open_session(member, method=method, **options).token  # type: ignore[arg-type]


def _row(token: str) -> Session:
    row: Session = Session.get_by_id(tokens.digest(token))
    return row


def _use(token: str, slug: str, came: Came = ELSEWHERE) -> bool:
    """Whether that is the first use of the session in that account."""
    (member,) = [member for member in sessions.memberships(token) if member.account.slug == slug]
    with db.transaction():
        return sessions.first_used(member, came)


def _reached(token: str) -> list[str]:
    return [member.account.slug for member in sessions.memberships(token)]


@pytest.fixture
def twice(acme: World) -> tuple[World, World, Member]:
    """acme's owner is a member of beta too, as the same person."""
    beta = cast.open_account("beta")
    return acme, beta, cast.join(beta, acme.owner.email, person=acme.owner.person)


def test_an_account_sees_its_own_reach_of_a_session(twice: tuple[World, World, Member]) -> None:
    """The one session of a password, under another id in each of her accounts; another account's not at all."""
    acme, _, there = twice
    assert _use(_open(acme.owner), "beta")
    _open(acme.owner, "saml")
    _open(there, "saml")
    here, elsewhere = account_sessions.of_member(acme.owner), account_sessions.of_member(there)
    assert [reach.session.method for reach in here] == ["saml", "password"]
    assert [reach.session.method for reach in elsewhere] == ["saml", "password"]
    assert here[1].session.digest == elsewhere[1].session.digest
    assert len({reach.id for reach in here + elsewhere}) == 4
    with pytest.raises(NotFound):
        account_sessions.get(acme.owner, elsewhere[0].id)


def test_a_session_ended_in_one_account_goes_on_in_the_other(twice: tuple[World, World, Member]) -> None:
    """An administrator of acme has no business with beta; what reaches nothing else is gone."""
    acme, _, there = twice
    both, only_here = _open(acme.owner), _open(acme.owner, "saml")
    assert _use(both, "beta")
    with db.transaction():
        for reach in account_sessions.of_member(acme.owner):
            account_sessions.end(acme.system, acme.owner, reach)
    assert (_reached(both), _reached(only_here)) == (["beta"], [])
    assert [reach.session.method for reach in account_sessions.of_member(there)] == ["password"]
    assert Session.select().count() == 1
    assert [event.object["reason"] for event in cast.happened(acme, "session_ended.v0")] == ["ended", "ended"]


def test_an_account_sees_nothing_of_a_session_before_it_is_used_there(twice: tuple[World, World, Member]) -> None:
    """And then from where and when it was used there, not from where and when it was opened in the other account, of
    which the end of a week would tell."""
    acme, beta, there = twice
    start = clock.now()
    token = _open(acme.owner, address="192.0.2.1", user_agent="Firefox")
    assert (account_sessions.of_member(there), sessions.number_by_password(beta.account)) == ([], 0)
    with time_machine.travel(start + sessions.IDLE / 2, tick=False):
        first = clock.now()
        assert _use(token, "beta")
        assert not _use(token, "beta", Came("203.0.113.9", "Chrome")), "the first is the first"
        (seen,) = account_sessions.of_member(there)
    assert (seen.address, seen.user_agent, seen.used_at, seen.seen_at) == ("198.51.100.7", "Lynx", first, first)
    assert account_sessions.ends_at(seen) == first + sessions.ABSOLUTE > seen.session.expires_at
    assert cast.again(there).last_login_at == first
    (own,) = account_sessions.of_member(acme.owner)
    assert (own.address, own.user_agent, own.used_at) == ("192.0.2.1", "Firefox", own.session.created_at)
    assert account_sessions.ends_at(own) == own.session.expires_at
    assert sessions.number_by_password(beta.account) == 1


def test_the_first_use_of_a_session_is_one_whoever_asks_at_once(twice: tuple[World, World, Member]) -> None:
    """So that one event tells of it."""
    acme, _, _ = twice
    for _ in range(4):
        (member,) = [m for m in sessions.memberships(_open(acme.owner)) if m.account.slug == "beta"]
        first = cast.at_once(*[partial(sessions.first_used, member, ELSEWHERE)] * 3)
        assert sorted(first) == [False, False, True]


def test_keeping_the_session_that_asks_lifts_nothing_of_hers(acme: World) -> None:
    """Who ends another's sessions everywhere, and is suspended in that instant, stays out when she is back."""
    other = cast.join(acme, "m@acme.test")
    token = _open(other)
    row = _row(token)
    with db.transaction():
        member_lifecycle.suspend(acme.system, cast.again(other))
    with db.transaction():
        account_sessions.end_everywhere(acme.system, acme.owner, keep=row)
    with db.transaction():
        member_lifecycle.unsuspend(acme.system, cast.again(other))
    assert _reached(token) == []


@pytest.mark.parametrize("method", METHODS)
def test_signing_out_everywhere_ends_all_but_the_one_that_asks(acme: World, method: str) -> None:
    """The event tells how many; a new sign-in is none of them."""
    others, own = [_open(acme.owner), _open(acme.owner, "saml")], _open(acme.owner, method)
    with db.transaction():
        assert account_sessions.end_everywhere(cast.acting(acme, acme.owner), acme.owner, keep=_row(own)) == 2
    assert [_reached(token) for token in [*others, own]] == [[], [], ["acme"]]
    assert _reached(_open(acme.owner)) == ["acme"]
    (event,) = cast.happened(acme, "session_ended.v0")
    assert event.object == {"id": acme.owner.id, "reason": "everywhere", "sessions_ended": 2}


def test_only_administrators_end_an_administrators_sessions(acme: World) -> None:
    """Hers she ends herself, whatever she may do."""
    manager = cast.join(acme, "m@acme.test", "team_manager")
    viewer = cast.join(acme, "v@acme.test", "viewer")
    for member in (acme.owner, manager, viewer):
        _open(member)
    (reach,) = account_sessions.of_member(acme.owner)
    for forbidden in (
        partial(account_sessions.end_everywhere, cast.acting(acme, manager), acme.owner),
        partial(account_sessions.end, cast.acting(acme, manager), acme.owner, reach),
    ):
        with pytest.raises(Forbidden), db.transaction():
            forbidden()
    with db.transaction():
        assert account_sessions.end_everywhere(cast.acting(acme, manager), viewer) == 1
        assert account_sessions.end_everywhere(cast.acting(acme, manager), manager) == 1
        assert account_sessions.end_everywhere(cast.acting(acme, acme.owner), acme.owner) == 1


def test_the_session_that_enforces_goes_on_for_a_while(twice: tuple[World, World, Member]) -> None:
    """In the account that it reaches by a password, no longer than until then; no other one does."""
    acme, _, _ = twice
    flips, other = _open(acme.owner), _open(acme.owner)
    until = clock.now() + sessions.IDLE / 24
    assert sessions.number_by_password(acme.account) == 2
    assert sessions.number_by_password(acme.account, besides=_row(flips)) == 1
    with db.transaction():
        Account.update(sso_mode="enforced", password_epoch=Account.password_epoch + 1).where(
            Account.id == acme.account.id
        ).execute()
        sessions.go_on(_row(flips), acme.account, until=until)
    assert (_reached(flips), _reached(other)) == (["acme", "beta"], ["beta"])
    assert sessions.number_by_password(acme.account) == 1
    assert _row(flips).expires_at == until


def test_a_session_that_was_ended_before_does_not_go_on_by_ending_others(acme: World) -> None:
    """Whoever was signed out while her request was under way is out."""
    token = _open(acme.owner)
    row = _row(token)
    with db.transaction():
        account_sessions.end_everywhere(acme.system, acme.owner)
        account_sessions.end_everywhere(acme.system, acme.owner, keep=row)
    assert _reached(token) == []


def test_another_password_ends_what_the_former_one_opened(acme: World) -> None:
    """But for the browser in which it was set; what a provider opened has nothing to do with it."""
    former, here, through = _open(acme.owner), _open(acme.owner), _open(acme.owner, "saml")
    with db.transaction():
        assert sessions.end_by_password(acme.owner.person_id, keep=_row(here)) == 1
    assert [_reached(token) for token in (former, here, through)] == [[], ["acme"], ["acme"]]


def test_whoever_is_out_opens_no_session(acme: World) -> None:
    """Whatever row the caller read before."""
    member = cast.join(acme, "a@acme.test")
    stale = cast.again(member)
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    for method in METHODS:
        with pytest.raises(Forbidden):
            _open(stale, method)


def test_sessions_that_are_over_are_forgotten(acme: World) -> None:
    """Past their end or a day without use; the others stay."""
    for _ in range(3):
        _open(acme.owner)
    over, idle, _ = Session.select()
    Session.update(expires_at=clock.now()).where(Session.digest == over.digest).execute()
    Session.update(seen_at=clock.now() - sessions.IDLE).where(Session.digest == idle.digest).execute()
    with db.transaction():
        assert sessions.clean_up() == 2
    assert len(account_sessions.of_member(acme.owner)) == 1


# --- in the same instant ----------------------------------------------------------------------------------------


def _suspended_and_back(world: World, member: Member) -> None:
    with db.transaction():
        member_lifecycle.suspend(world.system, cast.again(member))
    with db.transaction():
        member_lifecycle.unsuspend(world.system, cast.again(member))


def _out_and_in_by_directory(world: World, member: Member) -> None:
    for active in (False, True):
        with db.transaction():
            member_lifecycle.set_directory_active(world.system, member_lifecycle.hold(member.id), active)


def _signed_out(world: World, member: Member) -> None:
    with db.transaction():
        account_sessions.end_everywhere(world.system, cast.again(member))


def _enforced_and_back(world: World, member: Member) -> None:
    with db.transaction():
        Account.update(sso_mode="enforced", password_epoch=Account.password_epoch + 1).execute()
    with db.transaction():
        Account.update(sso_mode="mixed").execute()


ENDS = [
    *((ended, method) for ended in (_suspended_and_back, _out_and_in_by_directory, _signed_out) for method in METHODS),
    (_enforced_and_back, "password"),  # it ends nothing else
]


class Meanwhile:
    """Another process's work between two steps of a transaction that is open here."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._begun, self._work = Signal(), work
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        with db.connection():
            self._begun.set()
            self._work()
        db.database.close()

    def happens(self) -> None:
        """Here, or as far as it comes before it waits for us; on SQLite, whose writers come one after the other, as
        soon as this transaction is over."""
        self._thread.start()
        assert self._begun.wait(20)
        while db.database.for_update and self._thread.is_alive() and not self._waits():
            self._thread.join(0.01)

    def _waits(self) -> bool:
        """Whether anybody in this database waits for a lock (PostgreSQL, "pg_stat_activity")."""
        asked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return db.database.execute_sql(asked).fetchone() is not None

    def is_over(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.mark.parametrize(("ended", "method"), ENDS)
def test_a_session_opened_before_and_kept_after_its_end_is_dead(
    acme: World, monkeypatch: pytest.MonkeyPatch, ended: Callable[[World, Member], None], method: str
) -> None:
    """What has been read of her is written after her suspension, or the suspension waits for that: nothing of it comes
    back with the reactivation."""
    cast.connect(acme)
    member = cast.provisioned(acme, "a@acme.test")
    meanwhile = Meanwhile(lambda: ended(acme, member))
    read = sessions._reach

    def interrupted(*of: Any) -> dict[str, Any]:
        meanwhile.happens()
        return read(*of)

    monkeypatch.setattr(sessions, "_reach", interrupted)
    token = _open(cast.again(member), method)
    meanwhile.is_over()
    monkeypatch.undo()
    assert cast.again(member).active
    assert _reached(token) == []
    assert _reached(_open(cast.again(member), method)) == ["acme"]


def _switched_off(world: World, provider: IdentityProvider) -> None:
    idps.change(World(cast.again(world.account), world.owner, "").system, cast.again(provider), enabled=False)


def _without_the_plan(world: World, provider: IdentityProvider) -> None:
    plan_changes.set_plan(World(cast.again(world.account), world.owner, "").system, "pro")


@pytest.mark.parametrize("close", [_switched_off, _without_the_plan])
def test_no_session_outlives_the_provider_that_is_switched_off_meanwhile(
    acme: World, close: Callable[[World, IdentityProvider], None]
) -> None:
    """Either the sign-in is refused, or the session that it opened has ended; switched on again, nothing comes back."""
    provider = cast.connect(acme)

    def come() -> str:
        member = cast.again(acme.owner)
        return sessions.open_session(member, method="saml", identity_provider_id=provider.id).token

    for _ in range(6):
        IdentityProvider.update(enabled=True).execute()
        Account.update(plan="enterprise").execute()
        came, closed = cast.at_once(come, partial(close, acme, provider))
        assert not isinstance(closed, Exception), closed
        IdentityProvider.update(enabled=True).execute()
        assert isinstance(came, Forbidden) or _reached(came) == []
        assert Session.select().count() == 0
