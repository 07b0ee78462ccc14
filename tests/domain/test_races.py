"""Several at once, in real threads and transactions: a rule that counts before it writes must hold the count."""

from collections.abc import Callable
from functools import partial
from itertools import count
from threading import Barrier

import pytest

from idp_bridge import (
    clock,
    db,
    enforcement,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    plan_changes,
    seats,
    sessions,
    sign_in,
)
from idp_bridge.errors import Code, Conflict, Forbidden, Gone, NotFound
from idp_bridge.models import Account, IdentityProvider, Member, Person, RecoveryCode
from idp_bridge.provisioning import users
from idp_bridge.provisioning.directory import Directory
from tests.conftest import World, counted_seats, seat_counts
from tests.domain import cast
from tests.domain.test_sign_in import said


def _fresh(world: World) -> World:
    """The account as a request of its own reads it."""
    return World(account=Account.get_by_id(world.account.id), owner=world.owner, api_key="")


def test_the_last_seat_is_taken_once(acme: World) -> None:
    """Eight join, by hand and by invitation; one of them fits in."""
    acme.account.seats = 2
    acme.account.save()
    number = count()

    def by_hand() -> Member:
        return member_lifecycle.create(_fresh(acme).system, email=f"m{next(number)}@acme.test", managed_by="local")

    def by_invitation() -> object:
        return invitations.create(_fresh(acme).system, f"m{next(number)}@acme.test")

    results = cast.at_once(*[by_hand, by_invitation] * 4)
    refused = [result for result in results if isinstance(result, Forbidden)]
    assert [error.code for error in refused] == [Code.SEATS_FULL] * 7
    counted = seats.count(acme.account)
    assert counted.used + counted.reserved == 2


def test_a_seat_is_freed_once(acme: World) -> None:
    """Several who suspend or remove the same member, each with what she read before: the count is what there is."""
    acme.account.seats = 50
    acme.account.save()
    for n in range(4):
        member = cast.join(acme, f"m{n}@acme.test")
        stale = [cast.again(member) for _ in range(4)]
        cast.at_once(
            lambda: member_lifecycle.suspend(_fresh(acme).system, stale[0]),  # noqa: B023 - run before the next round
            lambda: member_lifecycle.suspend(_fresh(acme).system, stale[1]),  # noqa: B023
            lambda: member_lifecycle.remove(_fresh(acme).system, stale[2]),  # noqa: B023
            lambda: member_lifecycle.remove(_fresh(acme).system, stale[3]),  # noqa: B023
        )
        assert seat_counts() == counted_seats() == {acme.account.id: 1}


def test_two_administrators_who_suspend_each_other_leave_one(acme: World) -> None:
    """Whoever comes second finds herself the last."""
    second = cast.join(acme, "b@acme.test", "admin")
    results = cast.at_once(
        lambda: member_lifecycle.suspend(_fresh(acme).system, cast.again(second)),
        lambda: member_lifecycle.suspend(_fresh(acme).system, cast.again(acme.owner)),
    )
    (refused,) = [result for result in results if result is not None]
    assert isinstance(refused, Conflict)
    assert refused.code is Code.LAST_ADMINISTRATOR
    assert len(member_roles.administrators(acme.account)) == 1


def test_two_administrators_who_demote_each_other_leave_one(acme: World) -> None:
    """The same by their roles."""
    second = cast.join(acme, "b@acme.test", "admin")
    results = cast.at_once(
        lambda: member_roles.set_roles(_fresh(acme).system, cast.again(second), ["viewer"]),
        lambda: member_lifecycle.remove(_fresh(acme).system, cast.again(acme.owner)),
    )
    (refused,) = [result for result in results if result is not None]
    assert isinstance(refused, Conflict)
    assert len(member_roles.administrators(acme.account)) == 1


def test_an_invitation_is_accepted_by_one_of_eight(acme: World) -> None:
    """A double click, eight times over."""
    with db.transaction():
        sent = invitations.create(acme.system, "new@acme.test")
        person = people.create("new@acme.test")
    results = cast.at_once(*[lambda: invitations.accept(_fresh(acme).system, sent.invitation, person)] * 8)
    assert len([result for result in results if isinstance(result, Member)]) == 1
    assert len([result for result in results if isinstance(result, Gone | Conflict)]) == 7
    assert len(members.with_address(acme.account, "new@acme.test")) == 1


def test_one_person_who_signs_in_twice_at_once_joins_once(sso: World) -> None:
    """Two tabs, one new member."""
    assert sso.provider is not None
    provider_id = sso.provider.id

    def come() -> Member:
        provider = IdentityProvider.get_by_id(provider_id)
        return sign_in.by_assertion(_fresh(sso).system, provider, said("new@acme.test")).member

    results = cast.at_once(*[come] * 4)
    assert {type(result) for result in results} == {Member}
    assert len({result.id for result in results}) == 1
    assert len(members.with_address(sso.account, "new@acme.test")) == 1


def test_changes_that_first_tell_and_then_count_do_not_lock_each_other_out(sso: World) -> None:
    """An event refers to its account, so both hold a share of the row that both then want for themselves."""
    pushed = [cast.provisioned(sso, f"m{number}@acme.test") for number in range(6)]
    with db.transaction():
        for member in pushed:
            member_lifecycle.set_directory_active(sso.system, member, False)

    def follow(member: Member) -> None:
        actor = _fresh(sso).system
        row = cast.again(member)
        members.update_profile(actor, row, email=row.email, name="New Name", first_name="", last_name="")
        meeting.wait(timeout=20)
        member_lifecycle.set_directory_active(actor, row, True)

    meeting = Barrier(len(pushed) if db.database.for_update else 1)
    results = cast.at_once(*[lambda member=member: follow(member) for member in pushed])
    assert results == [None] * 6
    assert seats.count(sso.account).used == 7


@pytest.mark.parametrize("name", ["new@acme.test"])
def test_one_address_is_invited_once(acme: World, name: str) -> None:
    """Two administrators with the same idea."""
    results = cast.at_once(*[lambda: invitations.create(_fresh(acme).system, name)] * 4)
    assert len([result for result in results if isinstance(result, invitations.Sent)]) == 1
    assert {r.code for r in results if isinstance(r, Conflict)} == {Code.ALREADY_INVITED}


def test_somebody_who_joins_while_she_leaves_elsewhere_stays_a_member(acme: World) -> None:
    """With her last membership the person goes too, and whatever is hers: not one that she has just been given."""
    beta = cast.open_account("beta")
    for n in range(8):
        with db.transaction():
            person = people.create(f"m{n}@acme.test")
            sent = invitations.create(beta.system, f"m{n}@acme.test")
        there = cast.join(acme, f"m{n}@acme.test", person=person)
        left, joined = cast.at_once(
            lambda: member_lifecycle.remove(_fresh(acme).system, cast.again(there)),  # noqa: B023 - run before the next round
            lambda: invitations.accept(_fresh(beta).system, sent.invitation, person),  # noqa: B023
        )
        assert left is None
        stayed = Person.select().where(Person.id == person.id).exists()
        assert isinstance(joined, Member if stayed else Gone), joined
        assert members.of_account(beta.account).where(Member.person == person).exists() is stayed
        assert seat_counts() == counted_seats()


def test_whoever_leaves_her_last_two_accounts_at_once_is_nobody(acme: World) -> None:
    """Neither of the two takes the other's membership for one that is left."""
    beta = cast.open_account("beta")
    for n in range(8):
        with db.transaction():
            person = people.create(f"m{n}@acme.test")
        here, there = (cast.join(world, f"m{n}@acme.test", person=person) for world in (acme, beta))
        results = cast.at_once(
            lambda: member_lifecycle.remove(_fresh(acme).system, cast.again(here)),  # noqa: B023 - run before the next round
            lambda: member_lifecycle.remove(_fresh(beta).system, cast.again(there)),  # noqa: B023
        )
        assert results == [None, None]
        assert not Person.select().where(Person.id == person.id).exists()


def test_a_first_sign_in_and_the_directorys_post_make_one_member(sso: World) -> None:
    """Whichever comes second finds the other: two members would leave one whom the directory cannot take out."""
    assert sso.provider is not None
    provider_id = sso.provider.id

    def fresh() -> tuple[IdentityProvider, World]:
        provider = IdentityProvider.get_by_id(provider_id)
        return provider, _fresh(sso)

    def signed_in(email: str) -> Member:
        provider, world = fresh()
        return sign_in.by_assertion(world.system, provider, said(email)).member

    def posted(email: str) -> object:
        provider, world = fresh()
        directory = Directory(provider, world.account, world.system, "https://sso.test/scim/v2")
        return users.create(directory, {"userName": email})

    for n in range(10):
        email = f"n{n}@acme.test"
        results = cast.at_once(partial(signed_in, email), partial(posted, email))
        assert len(members.with_address(sso.account, email)) == 1, results


# --- the last way in --------------------------------------------------------------------------------------------


def _proven(world: World, name: str) -> IdentityProvider:
    """A connection that an administrator has come in through."""
    made = cast.connect(world, name=name)
    IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=world.owner.id).where(
        IdentityProvider.id == made.id
    ).execute()
    return cast.again(made)


def _switch_off(world: World, row: IdentityProvider) -> None:
    idps.change(_fresh(world).system, row, enabled=False)


def _delete(world: World, row: IdentityProvider) -> None:
    idps.delete(_fresh(world).system, row)


def _locked_out(world: World) -> bool:
    """Enforced, and no enabled provider."""
    enabled = idps.of_account(world.account).where(IdentityProvider.enabled).exists()
    return bool(cast.again(world.account).sso_mode == "enforced" and not enabled)


@pytest.mark.parametrize(("first", "second"), [(_switch_off, _switch_off), (_switch_off, _delete), (_delete, _delete)])
def test_two_that_close_the_last_two_ways_in_leave_one(
    acme: World, first: Callable[..., None], second: Callable[..., None]
) -> None:
    """Each looks whether the other provider is there before it closes its own."""
    for n in range(4):
        IdentityProvider.delete().execute()
        rows = [_proven(acme, f"{name}{n}") for name in "ab"]
        Account.update(sso_mode="enforced").execute()
        results = cast.at_once(partial(first, acme, rows[0]), partial(second, acme, rows[1]))
        (refused,) = [result for result in results if result is not None]
        assert isinstance(refused, Conflict)
        assert refused.code is Code.LAST_IDENTITY_PROVIDER
        assert not _locked_out(acme)
        Account.update(sso_mode="mixed").execute()


@pytest.mark.parametrize("close", [_switch_off, _delete])
def test_whoever_enforces_while_the_only_way_in_is_closed_locks_nobody_out(
    acme: World, close: Callable[..., None]
) -> None:
    """Whichever comes second is refused."""
    for n in range(4):
        IdentityProvider.delete().execute()
        RecoveryCode.delete().execute()
        RecoveryCode.create(member=acme.owner, code_hash="hash")
        row = _proven(acme, f"a{n}")
        results = cast.at_once(partial(close, acme, row), lambda: enforcement.enforce(_fresh(acme).system))
        (refused,) = [result for result in results if result is not None]
        assert isinstance(refused, Conflict)
        assert not _locked_out(acme)
        Account.update(sso_mode="mixed").execute()


def test_whoever_enforces_while_the_plan_is_lost_locks_nobody_out(acme: World) -> None:
    """The plan's end switches the providers off and goes back to mixed mode."""
    for n in range(4):
        Account.update(plan="enterprise", sso_mode="mixed").execute()
        IdentityProvider.delete().execute()
        RecoveryCode.delete().execute()
        RecoveryCode.create(member=acme.owner, code_hash="hash")
        _proven(acme, f"a{n}")
        cast.at_once(
            lambda: plan_changes.set_plan(_fresh(acme).system, "pro"),
            lambda: enforcement.enforce(_fresh(acme).system),
        )
        assert cast.again(acme.account).sso_mode == "mixed"


def test_a_plan_that_goes_while_somebody_signs_in_leaves_no_session_of_its_providers(sso: World) -> None:
    """Whoever comes second finds the other: refused, or signed out again."""
    assert sso.provider is not None
    provider_id = sso.provider.id

    def sign_in_by_it() -> sessions.Opened:
        provider = IdentityProvider.get_by_id(provider_id)
        member = sign_in.by_assertion(_fresh(sso).system, provider, said("owner@acme.test")).member
        return sessions.open_session(member, method="saml", identity_provider_id=provider_id)

    for _ in range(6):
        opened, left = cast.at_once(sign_in_by_it, lambda: plan_changes.set_plan(_fresh(sso).system, "pro"))
        assert isinstance(left, plan_changes.PlanChange), left
        assert isinstance(opened, Forbidden) or not sessions.memberships(opened.token), opened
        with db.transaction():
            plan_changes.set_plan(_fresh(sso).system, "enterprise")
        assert isinstance(opened, Forbidden) or not sessions.memberships(opened.token), "it came back with the plan"


def _on_trial(world: World) -> None:
    """Enforced on trial, by a provider that an administrator has come in through before."""
    RecoveryCode.delete().execute()
    RecoveryCode.create(member=world.owner, code_hash="hash")
    IdentityProvider.update(enabled=True, administrator_signed_in_at=clock.now(), proven_by=world.owner.id).execute()
    with db.transaction():
        enforcement.enforce(_fresh(world).system, fall_back_minutes=10)


def _come(world: World) -> None:
    provider = IdentityProvider.get(IdentityProvider.account == world.account)
    sign_in.by_assertion(_fresh(world).system, provider, said("owner@acme.test"))


def test_a_trial_is_confirmed_once_by_several_who_come_at_once(sso: World) -> None:
    """Nobody waits for another for ever, and one event tells of it."""
    for n in range(1, 5):
        _on_trial(sso)
        results = cast.at_once(*[lambda: _come(sso)] * 3)
        assert results == [None] * 3
        assert cast.again(sso.account).enforced_until is None
        reasons = [event.object["reason"] for event in cast.happened(sso, "account_updated.v0")]
        assert reasons.count("confirmed") == n
        with db.transaction():
            enforcement.relax(_fresh(sso).system)


def test_a_trial_that_is_confirmed_while_the_plan_goes_leaves_no_enforcement(sso: World) -> None:
    """Both want the account and the provider, in the same order."""
    for _ in range(6):
        _on_trial(sso)
        came, left = cast.at_once(lambda: _come(sso), lambda: plan_changes.set_plan(_fresh(sso).system, "pro"))
        assert came is None or isinstance(came, Forbidden), came
        assert isinstance(left, plan_changes.PlanChange), left
        stored = cast.again(sso.account)
        assert (stored.plan, stored.sso_mode, stored.enforced_until) == ("pro", "mixed", None)
        with db.transaction():
            plan_changes.set_plan(_fresh(sso).system, "enterprise")
            enforcement.relax(_fresh(sso).system)


def test_a_trial_that_is_over_is_written_down_once(sso: World) -> None:
    """By the job of every process at the same moment, and by whoever changes the mode."""
    _on_trial(sso)
    Account.update(enforced_until=clock.now()).execute()
    results = cast.at_once(*[_settle] * 3, lambda: enforcement.relax(_fresh(sso).system))
    assert results == [None] * 4
    reasons = [event.object["reason"] for event in cast.happened(sso, "account_updated.v0")]
    assert reasons == ["enforced", "fell_back"]


def _settle() -> None:
    for account in list(Account.select()):
        seats.lock_anew(account)
        enforcement.settle(account)


def test_a_plan_change_and_the_last_administrators_end_leave_one(acme: World) -> None:
    """On the free plan everybody is one, so she may go; back on another the stored roles count, so she must not."""
    cast.join(acme, "dev@acme.test")
    for _ in range(4):
        with db.transaction():
            plan_changes.set_plan(_fresh(acme).system, "free", seat_limit=9)
        results = cast.at_once(
            lambda: plan_changes.set_plan(_fresh(acme).system, "pro"),
            lambda: member_lifecycle.suspend(_fresh(acme).system, cast.again(acme.owner)),
        )
        (refused,) = [result for result in results if isinstance(result, Conflict)]
        assert refused.code is Code.LAST_ADMINISTRATOR
        assert member_roles.administrators(cast.again(acme.account))
        with db.transaction():
            member_lifecycle.unsuspend(_fresh(acme).system, cast.again(acme.owner))


def test_a_connection_is_deleted_once(acme: World) -> None:
    """Whoever comes second hears that it is gone, and tells no event of it; nor does a change bring it back."""
    made = cast.connect(acme)
    stale = [cast.again(made) for _ in range(3)]
    results = cast.at_once(
        partial(_delete, acme, stale[0]), partial(_delete, acme, stale[1]), partial(_switch_off, acme, stale[2])
    )
    assert sum(isinstance(result, NotFound) for result in results) in (1, 2), results
    assert len(cast.happened(acme, "identity_provider_deleted.v0")) == 1
    assert not idps.of_account(acme.account).exists()
