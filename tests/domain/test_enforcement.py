"""Enforcing single sign-on: only where nobody is locked out, on trial where one likes, each step told."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import time_machine

from idp_bridge import (
    clock,
    db,
    enforcement,
    idps,
    jobs,
    mail,
    member_lifecycle,
    member_roles,
    plan_changes,
    recovery,
    sessions,
    sign_in,
    sign_in_mode,
)
from idp_bridge.config import Config
from idp_bridge.enforcement import Gap
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid
from idp_bridge.models import Account, IdentityLink, IdentityProvider, Mail, Member, RecoveryCode
from idp_bridge.notices import Notice
from idp_bridge.sessions import Opened
from idp_bridge.sign_in import Way
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said
from tests.saml import idp as signing_idp

MINUTE = timedelta(minutes=1)


def _ready(world: World) -> None:
    come(world, said(world.owner.email))
    RecoveryCode.create(member=world.owner, code_hash="x")


@pytest.fixture
def clocked() -> Iterator[time_machine.Traveller]:
    """A day on which the suite's certificate is good for months; it goes on when a test says so."""
    with time_machine.travel(signing_idp.NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def ready(clocked: time_machine.Traveller, sso: World) -> World:
    """acme, with nothing that stands against enforcing."""
    _ready(sso)
    clocked.shift(MINUTE)
    return sso


def enforce(world: World, **options: object) -> None:
    world.account = cast.again(world.account)
    with db.transaction():
        enforcement.enforce(world.system, **options)  # type: ignore[arg-type]


def mode(world: World) -> str:
    return sign_in_mode.of(cast.again(world.account))


def told(world: World) -> list[str]:
    """The reasons that the account's changes were told with, oldest first."""
    return [event.object.get("reason") for event in cast.happened(world, "account_updated.v0")]


# --- conditions -------------------------------------------------------------------------------------------------


def test_nothing_stands_against_a_proven_provider(ready: World) -> None:
    """An administrator came in through it, its certificate is good, and there are recovery codes."""
    assert enforcement.gaps(ready.account) == []
    enforce(ready)
    assert mode(ready) == "enforced"
    assert told(ready) == ["enforced"]


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


def _second_administrator(world: World) -> Member:
    """Who has come in by the provider, too."""
    other = cast.join(world, "second@acme.test", "admin")
    come(world, said(other.email))
    return other


def _code_of_a_former_administrator(world: World) -> None:
    other = _second_administrator(world)
    with db.transaction():
        member_roles.set_roles(cast.acting(world, other), world.owner, ["developer"])


def _code_of_a_suspended_one(world: World) -> None:
    _second_administrator(world)
    with db.transaction():
        member_lifecycle.suspend(world.system, world.owner)


@pytest.mark.parametrize(
    ("undo", "gap"),
    [
        (_no_provider, Gap.PROVIDER),
        (_off, Gap.PROVIDER),
        (_changed_since, Gap.PROOF),
        (_code_used, Gap.RECOVERY_CODES),
        (_code_of_a_former_administrator, Gap.RECOVERY_CODES),
        (_code_of_a_suspended_one, Gap.RECOVERY_CODES),
    ],
)
def test_each_missing_condition_is_named_and_refuses(ready: World, undo: Callable[[World], None], gap: Gap) -> None:
    """One that fails is enough; the mode stays as it was."""
    undo(ready)
    assert enforcement.gaps(ready.account) == [gap]
    with pytest.raises(Conflict, match=enforcement.GAPS[gap]) as caught:
        enforce(ready)
    assert caught.value.code is Code.ENFORCEMENT_CONDITIONS
    assert set(caught.value.fields) == {gap.value}
    assert mode(ready) == "mixed"


def test_a_sign_in_of_somebody_who_is_no_administrator_proves_nothing(
    clocked: time_machine.Traveller, sso: World
) -> None:
    """Nor does a password of an administrator."""
    come(sso, said("new@acme.test"))
    sessions.open_session(sso.owner, method="password")
    assert Gap.PROOF in enforcement.gaps(sso.account)


@pytest.mark.parametrize("leave", [member_lifecycle.suspend, member_lifecycle.remove])
def test_an_administrator_who_is_gone_proves_nothing(ready: World, leave: Callable[..., None]) -> None:
    """Nor one who is none any more: nobody who could mend the account is known to come in that way. Another who comes
    in proves it anew."""
    other = cast.join(ready, "second@acme.test", "admin")
    RecoveryCode.create(member=other, code_hash="x")
    assert enforcement.gaps(ready.account) == []
    with db.transaction():
        leave(ready.system, ready.owner)
    assert enforcement.gaps(ready.account) == [Gap.PROOF]
    come(ready, said(other.email))
    assert enforcement.gaps(ready.account) == []
    cast.join(ready, "third@acme.test", "admin")
    with db.transaction():
        member_roles.set_roles(ready.system, other, ["developer"])
    assert Gap.PROOF in enforcement.gaps(ready.account)


def test_a_certificate_good_for_fourteen_days_is_good_enough(ready: World, clocked: time_machine.Traveller) -> None:
    """To the second: less, and everybody may soon be locked out with it."""
    limit = signing_idp.idp().certificate.not_after - enforcement.CERTIFICATE_GOOD_FOR
    clocked.move_to(limit)
    assert enforcement.gaps(ready.account) == []
    clocked.move_to(limit + timedelta(seconds=1))
    assert enforcement.gaps(ready.account) == [Gap.CERTIFICATE]


def test_every_gap_is_named_at_once(acme: World) -> None:
    """An administrator mends them in one go."""
    assert enforcement.gaps(acme.account) == [Gap.PROVIDER, Gap.RECOVERY_CODES]


def test_enforcing_needs_the_plan(database: None) -> None:
    """Pro has no single sign-on to enforce."""
    with pytest.raises(Forbidden) as caught:
        enforce(cast.open_account("acme", "pro"))
    assert caught.value.code is Code.PLAN_REQUIRED


def test_going_back_to_mixed_asks_for_nothing(sso: World) -> None:
    """It locks nobody out."""
    Account.update(sso_mode="enforced").execute()
    sso.account = cast.again(sso.account)
    with db.transaction():
        enforcement.relax(sso.system)
        enforcement.relax(sso.system)
    assert mode(sso) == "mixed"
    assert told(sso) == ["mixed"]


# --- trust ------------------------------------------------------------------------------------------------------


def _trust(world: World, provider: IdentityProvider, *, on: bool) -> None:
    with db.transaction():
        idps.change(world.system, cast.again(provider), trusted_with_administrators=on)


def test_a_provider_that_is_not_trusted_with_administrators_is_no_proof(ready: World) -> None:
    """It would let none of them in. Trusted again, what was proven before is proven still."""
    assert ready.provider is not None
    _trust(ready, ready.provider, on=False)
    assert enforcement.gaps(ready.account) == [Gap.TRUST, Gap.PROOF]
    with pytest.raises(Conflict, match="no enabled identity provider is trusted with administrators"):
        enforce(ready)
    assert _unable(ready) == {"owner@acme.test"}
    come(ready, said("a@acme.test"))
    assert _unable(ready) == {"owner@acme.test"}, "whoever is no administrator comes in by it"
    _trust(ready, ready.provider, on=True)
    assert (enforcement.gaps(ready.account), _unable(ready)) == ([], set())


def _off_by_setting(world: World, provider: IdentityProvider) -> None:
    idps.change(world.system, provider, enabled=False)


def _untrusted(world: World, provider: IdentityProvider) -> None:
    idps.change(world.system, provider, trusted_with_administrators=False)


def _deleted(world: World, provider: IdentityProvider) -> None:
    idps.delete(world.system, provider)


@pytest.mark.parametrize("lose", [_off_by_setting, _untrusted, _deleted])
@pytest.mark.parametrize("beside", [None, "not trusted", "trusted"])
def test_the_last_provider_that_administrators_can_use_stays_under_enforcement(
    ready: World,
    clocked: time_machine.Traveller,
    beside: str | None,
    lose: Callable[[World, IdentityProvider], None],
) -> None:
    """Another one counts where it is proven, and trusted with them."""
    first = ready.provider
    assert first is not None
    if beside is not None:
        second = cast.connect(ready, name="Second")
        come(ready, said(ready.owner.email, "second"), second)
        ready.provider = first
        if beside == "not trusted":
            _trust(ready, second, on=False)
    clocked.shift(MINUTE)
    enforce(ready)
    if beside == "trusted":
        with db.transaction():
            lose(ready, cast.again(first))
        return
    with pytest.raises(Conflict) as caught, db.transaction():
        lose(ready, cast.again(first))
    assert caught.value.code is Code.LAST_IDENTITY_PROVIDER
    assert enforcement.gaps(ready.account) == []


# --- who is kept out --------------------------------------------------------------------------------------------


def _unable(world: World) -> set[str]:
    return {member.email for member in enforcement.unable_to_sign_in(world.account)}


def test_whom_enforcing_would_keep_out_is_listed(sso: World) -> None:
    """Active members whom no provider has signed in; a directory's people will come through it."""
    cast.join(sso, "b@acme.test", name="Bob")
    cast.provisioned(sso, "c@acme.test")
    come(sso, said("a@acme.test"))
    gone = cast.join(sso, "gone@acme.test")
    with db.transaction():
        member_lifecycle.suspend(sso.system, gone)
    assert _unable(sso) == {"owner@acme.test", "b@acme.test"}


def test_a_provider_that_is_off_lets_nobody_in(sso: World) -> None:
    """Neither whom it has signed in before, nor whom its directory has."""
    come(sso, said("a@acme.test"))
    cast.provisioned(sso, "c@acme.test")
    IdentityProvider.update(enabled=False).execute()
    assert _unable(sso) == {"owner@acme.test", "a@acme.test", "c@acme.test"}


def test_a_link_to_any_enabled_provider_lets_her_in(sso: World) -> None:
    """Whichever of them manages her: a link decides before all else."""
    second = cast.connect(sso, name="Second")
    member = cast.join(sso, "a@acme.test", managed_by="jit", identity_provider=sso.provider)
    assert "a@acme.test" in _unable(sso)
    IdentityLink.create(
        identity_provider=second, name_id_format="f", name_id="n", member=member, created_at=clock.now()
    )
    assert "a@acme.test" not in _unable(sso)


def test_whom_the_providers_domains_exclude_is_listed(sso: World) -> None:
    """As the sign-in would refuse her, whatever has let her in before; each provider speaks for its own domains."""
    for email in ("a@acme.test", "a@other.test", "a@notacme.test", "a@sub.acme.test"):
        come(sso, said(email))
    cast.provisioned(sso, "c@other.test")
    assert _unable(sso) == {"owner@acme.test"}
    IdentityProvider.update(domains=["acme.test", "second.test"]).execute()
    out = {"a@other.test", "a@notacme.test", "a@sub.acme.test", "c@other.test"}
    assert _unable(sso) == {"owner@acme.test", *out}
    second = cast.connect(sso, name="Second", domains=["other.test"])
    member = cast.join(sso, "b@other.test")
    for who in (member, Member.get(Member.email == "a@acme.test"), Member.get(Member.email == "a@other.test")):
        IdentityLink.create(
            identity_provider=second, name_id_format="f", name_id=who.id, member=who, created_at=clock.now()
        )
    assert _unable(sso) == {"owner@acme.test", *out} - {"a@other.test"}


def test_thousands_are_listed_by_two_statements(sso: World) -> None:
    """The providers with their domains, and the members; so are they counted."""
    for number in range(30):
        cast.join(sso, f"m{number}@acme.test")
    counted = _statements(lambda: enforcement.unable_to_sign_in(sso.account).count())
    listed = _statements(lambda: list(enforcement.unable_to_sign_in(sso.account).limit(100)))
    assert (counted, listed) == (2, 2)


def _statements(work: Callable[[], object]) -> int:
    made: list[str] = []
    real, execute = db.database.obj, db.database.obj.execute_sql
    real.execute_sql = lambda sql, *given, **named: (made.append(sql), execute(sql, *given, **named))[1]
    try:
        work()
    finally:
        del real.execute_sql
    return len(made)


# --- sessions ---------------------------------------------------------------------------------------------------


def _reaches(opened: Opened) -> bool:
    return bool(sessions.memberships(opened.token))


def test_enforcing_ends_every_other_password_session_at_once(ready: World, clocked: time_machine.Traveller) -> None:
    """Those by a provider or a recovery code go on; so does the one that flips the switch, for an hour."""
    other = cast.join(ready, "b@acme.test")
    mine, hers = (sessions.open_session(member, method="password") for member in (ready.owner, other))
    assert ready.provider is not None
    by_provider = sessions.open_session(other, method="saml", identity_provider_id=ready.provider.id)
    by_code = sessions.open_session(ready.owner, method="recovery_code")
    assert sessions.number_by_password(ready.account, besides=mine.session) == 1
    enforce(ready, session=mine.session)
    assert [_reaches(one) for one in (mine, hers, by_provider, by_code)] == [True, False, True, True]
    assert cast.happened(ready, "account_updated.v0")[-1].object["sessions_ended"] == 1
    clocked.shift(enforcement.SPARED_FOR)
    assert [_reaches(one) for one in (mine, by_provider)] == [False, True]


def test_what_enforcing_ended_stays_ended(ready: World) -> None:
    """Back in mixed mode, she signs in again."""
    opened = sessions.open_session(ready.owner, method="password")
    enforce(ready)
    with db.transaction():
        enforcement.relax(ready.system)
    assert not _reaches(opened)


def test_another_account_of_the_same_person_is_left_alone(ready: World) -> None:
    """Its mode is its own."""
    beta = cast.open_account("beta")
    there = cast.join(beta, "owner@beta.test", person=ready.owner.person)
    opened = sessions.open_session(ready.owner, method="password")
    enforce(ready)
    assert [member.id for member in sessions.memberships(opened.token)] == [there.id]


# --- on trial ---------------------------------------------------------------------------------------------------


def test_a_trial_ends_by_the_clock_and_by_nothing_else(ready: World, clocked: time_machine.Traveller) -> None:
    """At exactly that time the mode is mixed, though no job has run and the row says otherwise."""
    enforce(ready, fall_back_minutes=10)
    clocked.shift(10 * MINUTE - timedelta(microseconds=1))
    assert mode(ready) == "enforced"
    clocked.shift(timedelta(microseconds=1))
    assert mode(ready) == "mixed"
    assert cast.again(ready.account).sso_mode == "enforced"
    mixed = Account.select().where(sign_in_mode.is_mixed(clock.now()))
    assert [account.id for account in mixed] == [ready.account.id]
    assert _reaches(sessions.open_session(ready.owner, method="password"))


def test_the_job_writes_down_once_that_a_trial_is_over(ready: World, clocked: time_machine.Traveller) -> None:
    """With its event; before that time it does nothing."""
    (work,) = [job.work for job in jobs.JOBS if job.name == "enforcement_trials"]
    enforce(ready, fall_back_minutes=10)
    work(clock.now())
    clocked.shift(10 * MINUTE)
    at = clock.now()
    work(at)
    work(at)
    stored = cast.again(ready.account)
    assert (stored.sso_mode, stored.enforced_until) == ("mixed", None)
    assert told(ready) == ["enforced", "fell_back"]
    event = cast.happened(ready, "account_updated.v0")[-1]
    assert (event.principal_type, event.object["fell_back_at"]) == ("system", clock.rfc3339(at))
    assert event.object["before"] == {"sso_mode": "enforced", "sso_falls_back_at": clock.rfc3339(at)}


@pytest.mark.parametrize("who", ["owner@acme.test", "new@acme.test"])
def test_a_fresh_sign_in_of_an_administrator_confirms(ready: World, clocked: time_machine.Traveller, who: str) -> None:
    """Through an enabled provider of this account, after the switch; nobody else's does."""
    mine = sessions.open_session(ready.owner, method="password")
    enforce(ready, fall_back_minutes=10, session=mine.session)
    clocked.shift(5 * MINUTE)
    ready.account = cast.again(ready.account)
    come(ready, said(who))
    clocked.shift(5 * MINUTE)
    confirmed = who == ready.owner.email
    assert mode(ready) == ("enforced" if confirmed else "mixed")
    assert told(ready) == ["enforced", "confirmed"][: 1 + confirmed]
    assert _reaches(mine) is not confirmed


def test_a_sign_in_that_comes_too_late_confirms_nothing(ready: World, clocked: time_machine.Traveller) -> None:
    """The trial is over at that time."""
    enforce(ready, fall_back_minutes=10)
    ready.account = cast.again(ready.account)
    clocked.shift(10 * MINUTE)
    come(ready, said(ready.owner.email))
    assert mode(ready) == "mixed"
    assert told(ready) == ["enforced"]


def test_a_rehearsed_sign_in_confirms_nothing(ready: World) -> None:
    """A test sign-in is undone."""
    enforce(ready, fall_back_minutes=10)
    assert ready.provider is not None
    rehearsed = sign_in.rehearse(ready.system, cast.again(ready.provider), said(ready.owner.email))
    assert rehearsed.member_id == ready.owner.id
    assert cast.again(ready.account).enforced_until is not None


def test_a_trial_that_is_over_is_told_before_the_next_begins(ready: World, clocked: time_machine.Traveller) -> None:
    """Whoever enforces again finds mixed mode, job or no job."""
    enforce(ready, fall_back_minutes=10)
    clocked.shift(11 * MINUTE)
    enforce(ready, fall_back_minutes=10)
    assert told(ready) == ["enforced", "fell_back", "enforced"]
    assert mode(ready) == "enforced"


def test_enforcing_again_while_it_is_enforced_changes_the_trial_alone(
    ready: World, clocked: time_machine.Traveller
) -> None:
    """Without minutes nothing changes: a client that repeats what it wants must not confirm by it."""
    enforce(ready, fall_back_minutes=10)
    until = cast.again(ready.account).enforced_until
    enforce(ready)
    assert cast.again(ready.account).enforced_until == until
    clocked.shift(MINUTE)
    enforce(ready, fall_back_minutes=10)
    assert cast.again(ready.account).enforced_until == until + MINUTE
    assert told(ready) == ["enforced", "on_trial"]


def test_a_sign_in_that_began_before_the_switch_confirms_no_trial(
    ready: World, clocked: time_machine.Traveller
) -> None:
    """It shows nothing of what came after; nor does one begun before a change of the provider prove the change."""
    began = clock.now()
    clocked.shift(MINUTE)
    enforce(ready, fall_back_minutes=10)

    def come_since(moment: datetime) -> None:
        with db.transaction():
            provider = cast.again(ready.provider)
            sign_in.by_assertion(ready.system, provider, said(ready.owner.email), began_at=moment)

    ready.account = cast.again(ready.account)
    come_since(began)
    assert told(ready) == ["enforced"]
    come_since(clock.now())
    assert told(ready) == ["enforced", "confirmed"]
    clocked.shift(MINUTE)
    with db.transaction():
        idps.change(ready.system, cast.again(ready.provider), attribute_mapping={"email": "mail"})
    come_since(began)
    assert Gap.PROOF in enforcement.gaps(ready.account)


def test_who_began_before_a_change_undoes_no_proof_of_it(ready: World, clocked: time_machine.Traveller) -> None:
    """She took long at the provider, and somebody else has come in since; but where that one is no administrator any
    more, whoever began after the change is a proof."""
    began, other = clock.now(), cast.join(ready, "second@acme.test", "admin")

    def come_since(moment: datetime, member: Member) -> None:
        with db.transaction():
            provider = cast.again(ready.provider)
            sign_in.by_assertion(ready.system, provider, said(member.email), began_at=moment)

    clocked.shift(MINUTE)
    with db.transaction():
        idps.change(ready.system, cast.again(ready.provider), force_authn=True)
    assert enforcement.gaps(ready.account) == [Gap.PROOF]
    clocked.shift(MINUTE)
    between = clock.now()
    clocked.shift(MINUTE)
    come_since(clock.now(), other)
    come_since(began, ready.owner)
    assert enforcement.gaps(ready.account) == []
    with db.transaction():
        member_roles.set_roles(ready.system, other, ["viewer"])
    assert enforcement.gaps(ready.account) == [Gap.PROOF]
    come_since(between, ready.owner)
    assert enforcement.gaps(ready.account) == []


@pytest.mark.parametrize("minutes", [0, -1, 1441])
def test_a_trial_takes_a_minute_to_a_day(ready: World, minutes: int) -> None:
    """Longer is none."""
    with pytest.raises(Invalid) as caught:
        enforce(ready, fall_back_minutes=minutes)
    assert "sso_fallback_minutes" in caught.value.fields
    assert mode(ready) == "mixed"


# --- what administrators are told -------------------------------------------------------------------------------


@pytest.fixture
def mailing(config: Config) -> Iterator[None]:
    """An operator who has set a mail server; nothing is sent by it here."""
    mail.configure(replace(config, smtp_url="smtp://mail.example.test"))
    yield
    mail.configure(config)


def mails(kind: Notice) -> list[str]:
    return [row.recipient for row in Mail.select().where(Mail.kind == kind.value).order_by(Mail.recipient)]


def test_every_step_is_told_to_all_administrators(ready: World, clocked: time_machine.Traveller, mailing: None) -> None:
    """Switched on, fallen back, switched on again, confirmed, switched off: a mail each, and nothing to others."""
    cast.join(ready, "second@acme.test", "admin")
    cast.join(ready, "dev@acme.test")

    def fall_back() -> None:
        clocked.shift(10 * MINUTE)
        enforcement.settle_all(clock.now())

    def confirm() -> None:
        ready.account = cast.again(ready.account)
        come(ready, said(ready.owner.email))

    def relax() -> None:
        with db.transaction():
            enforcement.relax(ready.system)

    def enforce_on_trial() -> None:
        enforce(ready, fall_back_minutes=10)

    for number, step in enumerate((enforce_on_trial, fall_back, enforce_on_trial, confirm, relax), start=1):
        step()
        assert mails(Notice.ENFORCEMENT_CHANGED) == ["owner@acme.test"] * number + ["second@acme.test"] * number
    assert told(ready) == ["enforced", "fell_back", "enforced", "confirmed", "mixed"]


def test_leaving_the_plan_is_told_to_whoever_is_an_administrator_then(sso: World, mailing: None) -> None:
    """On the free plan that is everybody."""
    cast.join(sso, "dev@acme.test")
    with db.transaction():
        plan_changes.set_plan(sso.system, "free")
    assert mails(Notice.PLAN_LEFT_SSO) == ["dev@acme.test", "owner@acme.test"]


@pytest.mark.parametrize("way", [Way.RECOVERY_CODE, Way.BREAK_GLASS])
def test_each_emergency_way_in_is_an_event_and_a_mail(acme: World, mailing: None, way: Way) -> None:
    """To all administrators, the one who came among them."""
    cast.join(acme, "second@acme.test", "admin")
    with db.transaction():
        recovery.note_use(acme.system, acme.owner, way)
    assert len(cast.happened(acme, f"{way.value}_used.v0")) == 1
    assert mails(Notice(f"{way.value}_used")) == ["owner@acme.test", "second@acme.test"]
