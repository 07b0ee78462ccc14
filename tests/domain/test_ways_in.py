"""The table's cells, brought about in a database and tried by every way: what happens is what the table says."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from idp_bridge import (
    clock,
    db,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    passwords,
    people,
    recovery,
    sign_in,
    sign_in_mode,
)
from idp_bridge.errors import Gone
from idp_bridge.models import Account, IdentityProvider, Member, Person, RecoveryCode
from idp_bridge.sign_in import ADMITTING, Identity, Outcome, Refused, Situation, State, Way
from tests.conftest import PASSWORD, World
from tests.domain import cast
from tests.domain.test_sign_in import come, refused, said

ANN = said("ann@acme.test", "n-1")
CODE = f"0{20 * 'a'}"


def _active(world: World) -> Identity:
    cast.join(world, ANN.email)
    return ANN


def _suspended(world: World) -> Identity:
    member = cast.join(world, ANN.email)
    with db.transaction():
        member_lifecycle.suspend(world.system, member)
    return ANN


def _deprovisioned(world: World) -> Identity:
    member = cast.provisioned(world, ANN.email)
    with db.transaction():
        member_lifecycle.deprovision(world.system, member)
    return ANN


def _invited(world: World) -> Identity:
    with db.transaction():
        invitations.create(world.system, ANN.email)
    return ANN


def _ambiguous(world: World) -> Identity:
    cast.join(world, ANN.email)
    cast.join(world, ANN.email.upper())
    return ANN


def _elsewhere(world: World) -> Identity:
    own = world.provider
    cast.join(world, ANN.email, managed_by="jit", identity_provider=cast.connect(world, name="Entra"))
    world.provider = own
    return ANN


def _otherwise(world: World) -> Identity:
    come(world, replace(ANN, name_id="n-0"))
    return ANN


#: State -> how somebody comes to be in it, and what the provider says of her then.
STATES: Mapping[State, Callable[[World], Identity]] = {
    State.ACTIVE: _active,
    State.SUSPENDED: _suspended,
    State.DEPROVISIONED: _deprovisioned,
    State.INVITED: _invited,
    State.UNKNOWN: lambda world: ANN,
    State.AMBIGUOUS: _ambiguous,
    State.ELSEWHERE: _elsewhere,
    State.OTHERWISE: _otherwise,
    State.LOOK_ALIKE: lambda world: said("оwner@acme.test", "n-1"),
}

#: What may be otherwise of a provider -> how, and the fact of the table.
PROVIDERS: Mapping[str, tuple[type, dict[str, object], dict[str, object]]] = {
    "jit": (IdentityProvider, {"join_policy": "jit"}, {"policy": "jit"}),
    "invite only": (IdentityProvider, {"join_policy": "invite_only"}, {"policy": "invite_only"}),
    "no plan": (Account, {"plan": "pro"}, {"policy": "jit", "sso_in_plan": False}),
    "disabled": (IdentityProvider, {"enabled": False}, {"policy": "jit", "enabled": False}),
    "other domains": (IdentityProvider, {"domains": ["other.test"]}, {"policy": "jit", "address_allowed": False}),
    "may begin": (
        IdentityProvider,
        {"allow_idp_initiated": True},
        {"policy": "jit", "idp_initiated_allowed": True},
    ),
    "enforced": (Account, {"sso_mode": "enforced"}, {"policy": "jit", "mode": "enforced"}),
}


def _outcome(let_in: Callable[[], object]) -> Outcome | None:
    """Why somebody was refused; None where she was let in."""
    try:
        with db.transaction():
            let_in()
    except Refused as refused:
        return refused.outcome
    return None


def _by_assertion(world: World, identity: Identity, way: Way) -> Outcome:
    try:
        with db.transaction():
            return sign_in.by_assertion(world.system, cast.again(world.provider), identity, way=way).outcome
    except Refused as refused:
        return refused.outcome


@pytest.mark.parametrize("way", [Way.SAML, Way.IDP_INITIATED])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("state", State)
def test_a_provider_lets_in_whom_the_table_says(sso: World, state: State, provider: str, way: Way) -> None:
    """And a refusal leaves the account as it was."""
    identity = STATES[state](sso)
    model, columns, facts = PROVIDERS[provider]
    model.update(**columns).execute()  # type: ignore[attr-defined]
    world = replace(sso, account=cast.again(sso.account))
    before = list(Member.select().order_by(Member.id).dicts())
    expected = sign_in.decide(Situation(way=way, state=state, **facts))  # type: ignore[arg-type]
    assert _by_assertion(world, identity, way) is expected
    if expected not in ADMITTING:
        assert list(Member.select().order_by(Member.id).dicts()) == before


# --- by what she has herself ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hashes() -> tuple[str, str]:
    """A password's, and a recovery code's: slow, so made once."""
    return passwords.hash_password(PASSWORD), passwords.hash_password(CODE, salt=recovery._SALT)


def _member(world: World, state: State, *, administrator: bool, password_hash: str) -> Member:
    person = Person.create(
        id="per_1", email=ANN.email, email_key=ANN.email, password_hash=password_hash, created_at=world.owner.created_at
    )
    member = cast.join(world, ANN.email, "admin" if administrator else "developer", person=person)
    end = {State.SUSPENDED: member_lifecycle.suspend, State.DEPROVISIONED: member_lifecycle.deprovision}.get(state)
    if end is not None:
        with db.transaction():
            end(world.system, member)
    return member


@pytest.mark.parametrize("mode", ["mixed", "enforced"])
@pytest.mark.parametrize("administrator", [True, False])
@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.DEPROVISIONED])
@pytest.mark.parametrize("way", [Way.PASSWORD, Way.RECOVERY_CODE, Way.BREAK_GLASS, Way.INVITATION])
def test_a_member_comes_in_by_herself_where_the_table_says(
    acme: World, hashes: tuple[str, str], way: Way, state: State, administrator: bool, mode: str
) -> None:
    """By her password, a code that is left from when she was an administrator, a link, an invitation."""
    member = _member(acme, state, administrator=administrator, password_hash=hashes[0])
    RecoveryCode.create(member=member, code_hash=hashes[1])
    with db.transaction():
        link = people.one_time_link(member.person, acme.account, people.BREAK_GLASS)
        invitation = invitations.create(acme.system, "other@acme.test").invitation
    Account.update(sso_mode=mode).execute()
    member.account = invitation.account = cast.again(acme.account)
    let_in: dict[Way, Callable[[], object]] = {
        Way.PASSWORD: lambda: sign_in.by_password(ANN.email, PASSWORD),
        Way.RECOVERY_CODE: lambda: recovery.use(recovery.find(ANN.email, CODE), ANN.email),
        Way.BREAK_GLASS: lambda: recovery.use_break_glass(link),
        Way.INVITATION: lambda: sign_in.check_invitation(invitation, cast.again(member)),
    }
    expected = sign_in.decide(Situation(way=way, state=state, mode=mode, administrator=administrator))
    assert _outcome(let_in[way]) is (None if expected in ADMITTING else expected)


@pytest.mark.parametrize("plan", ["enterprise", "pro", "free"])
@pytest.mark.parametrize("mode", ["mixed", "enforced"])
def test_an_invited_stranger_accepts_where_the_table_says(acme: World, mode: str, plan: str) -> None:
    """Under enforcement through a provider only, on a plan without invitations not at all, and she is told."""
    with db.transaction():
        invitation = invitations.create(acme.system, "new@acme.test").invitation
    Account.update(sso_mode=mode, plan=plan).execute()
    invitation.account = cast.again(acme.account)
    situation = Situation(
        Way.INVITATION, State.INVITED, mode=sign_in_mode.of(invitation.account), invitations_in_plan=plan != "free"
    )
    expected = sign_in.decide(situation)
    refused = _outcome(lambda: sign_in.check_invitation(invitation))
    assert refused is (None if expected in ADMITTING else expected)


def test_whom_her_directory_deleted_long_ago_nobody_knows(acme: World, hashes: tuple[str, str]) -> None:
    """Past the days in which that can be undone her password opens nothing, and tells nothing."""
    member = _member(acme, State.DEPROVISIONED, administrator=True, password_hash=hashes[0])
    RecoveryCode.create(member=member, code_hash=hashes[1])
    with db.transaction():
        link = people.one_time_link(member.person, acme.account, people.BREAK_GLASS)
    Member.update(removed_at=clock.now() - members.RESTORABLE).where(Member.id == member.id).execute()
    heard = {
        _outcome(lambda: sign_in.by_password(ANN.email, PASSWORD)),
        _outcome(lambda: recovery.find(ANN.email, CODE)),
        _outcome(lambda: recovery.use_break_glass(link)),
    }
    assert heard == {Outcome.NOT_A_MEMBER}


def test_a_refused_code_is_not_used_up(acme: World, hashes: tuple[str, str]) -> None:
    """Her directory has deleted her, and may send her again."""
    member = _member(acme, State.DEPROVISIONED, administrator=True, password_hash=hashes[0])
    code = RecoveryCode.create(member=member, code_hash=hashes[1])
    assert _outcome(lambda: recovery.use(code, ANN.email)) is Outcome.DEPROVISIONED
    assert cast.again(code).used_at is None


def test_an_invitation_from_before_a_directorys_word_lets_nobody_back_in(sso: World) -> None:
    """Her directory has deleted her since it was sent. Sent again it counts: somebody has vouched for her anew."""
    with db.transaction():
        sent = invitations.create(sso.system, "ann@acme.test")
    left = cast.provisioned(sso, "ann@acme.test")
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
    assert _outcome(lambda: sign_in.check_invitation(sent.invitation)) is Outcome.DEPROVISIONED
    assert refused(sso, said("ann@acme.test")) is Outcome.DEPROVISIONED
    with pytest.raises(Gone), db.transaction():  # deleted between the check and the account's lock
        invitations.accept(sso.system, sent.invitation, people.create("ann@acme.test"))
    with db.transaction():
        again = invitations.resend(sso.system, cast.again(sent.invitation)).invitation
    assert _outcome(lambda: sign_in.check_invitation(again)) is None
    with db.transaction():
        member = invitations.accept(sso.system, again, people.create("ann@acme.test"))
    assert member.id != left.id


def test_an_invitation_from_before_lets_nobody_back_in_whatever_she_was_called(sso: World) -> None:
    """She signs in with the address that was invited; her directory had renamed her when it deleted her."""
    person = people.create("ann@acme.test")
    left = cast.join(sso, "ann@acme.test", managed_by="scim", identity_provider=sso.provider, person=person)
    Member.update(email="ann.lee@acme.test", email_key="ann.lee@acme.test").where(Member.id == left.id).execute()
    with db.transaction():
        sent = invitations.create(sso.system, "ann@acme.test").invitation
    with db.transaction():
        member_lifecycle.deprovision(sso.system, cast.again(left))
    assert _outcome(lambda: sign_in.check_invitation(sent)) is Outcome.DEPROVISIONED
    with pytest.raises(Gone), db.transaction():
        invitations.accept(sso.system, sent, person)
    with db.transaction():
        again = invitations.resend(sso.system, cast.again(sent)).invitation
    with db.transaction():
        assert invitations.accept(sso.system, again, person).id != left.id


@pytest.mark.parametrize("mode", ["mixed", "enforced"])
def test_a_stranger_hears_the_same_in_either_mode(acme: World, hashes: tuple[str, str], mode: str) -> None:
    """An unknown address, a wrong password, a code that is none."""
    _member(acme, State.ACTIVE, administrator=True, password_hash=hashes[0])
    Account.update(sso_mode=mode).execute()
    heard = {
        _outcome(lambda: sign_in.by_password("nobody@acme.test", PASSWORD)),
        _outcome(lambda: sign_in.by_password(ANN.email, "a wrong password altogether")),
        _outcome(lambda: recovery.find("nobody@acme.test", CODE)),
        _outcome(lambda: recovery.find(ANN.email, CODE.replace("a", "b"))),
    }
    assert heard == {Outcome.NOT_A_MEMBER}


def test_whoever_is_let_in_by_a_code_is_an_administrator(acme: World, hashes: tuple[str, str]) -> None:
    """She who made it may be one no longer."""
    member = _member(acme, State.ACTIVE, administrator=True, password_hash=hashes[0])
    code = RecoveryCode.create(member=member, code_hash=hashes[1])
    with db.transaction():
        member_roles.set_roles(acme.system, member, ["viewer"])
    assert _outcome(lambda: recovery.use(code, ANN.email)) is Outcome.NOT_AN_ADMINISTRATOR
