"""Questions of who somebody is: one row each, bounded, and what an administrator's answer does."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from idp_bridge import clock, db, identity_conflicts, identity_links, mail, member_roles, own_roles
from idp_bridge.config import Config
from idp_bridge.errors import Code, Forbidden, Invalid, NotFound
from idp_bridge.identity_conflicts import DISMISSED, OPEN, RESOLVED, Case, Kind
from idp_bridge.models import IdentityConflict, IdentityLink, IdentityProvider, Mail, Member
from idp_bridge.roles import Permission
from idp_bridge.sign_in import Outcome, Refused
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import EMAIL_FORMAT, come, refused, said


def ask(world: World, case: Case, provider: IdentityProvider | None = None) -> str:
    provider = provider or world.provider
    assert provider is not None
    with db.transaction():
        return identity_conflicts.note(world.system, provider, case)


def asked_by(world: World, name_id: str, email: str = "ann@acme.test", provider: IdentityProvider | None = None) -> str:
    """The question that this sign-in raises, written down as the edge does it."""
    with pytest.raises(Refused) as caught:
        come(world, said(email, name_id), provider)
    assert caught.value.case is not None
    return ask(world, caught.value.case, provider)


def resolve(world: World, conflict_id: str, member: Member) -> None:
    with db.transaction():
        identity_conflicts.resolve(world.system, identity_conflicts.get(world.account, conflict_id), member.id)


def dismiss(world: World, conflict_id: str) -> None:
    with db.transaction():
        identity_conflicts.dismiss(world.system, identity_conflicts.get(world.account, conflict_id))


CASE = Case(Kind.AMBIGUOUS, "ann@acme.test", name_id="n-1", name_id_format=EMAIL_FORMAT)


def test_the_same_question_is_one_row(sso: World) -> None:
    """However often it comes up: counted, and told of once."""
    ids = {ask(sso, CASE) for _ in range(3)}
    (row,) = IdentityConflict.select()
    assert ({row.id}, row.occurrences, row.state) == (ids, 3, OPEN)
    assert row.seen_at > row.created_at
    (event,) = cast.happened(sso, "identity_conflict_created.v0")
    assert (event.object["id"], event.object["kind"]) == (row.id, "ambiguous")


def test_another_name_is_another_question(sso: World) -> None:
    """So are another format, kind and provider."""
    first, second = sso.provider, cast.connect(sso, name="Entra")
    others = [
        Case(Kind.AMBIGUOUS, "ann@acme.test", name_id="n-2", name_id_format=EMAIL_FORMAT),
        Case(Kind.AMBIGUOUS, "ann@acme.test", name_id="n-1", name_id_format="other"),
        Case(Kind.LOOK_ALIKE, "ann@acme.test", name_id="n-1", name_id_format=EMAIL_FORMAT),
        Case(Kind.AMBIGUOUS, "ann@acme.test", user_name="n-1"),
    ]
    ids = [ask(sso, case, first) for case in (CASE, *others)] + [ask(sso, CASE, second)]
    assert len(set(ids)) == 6
    assert ask(sso, Case(Kind.AMBIGUOUS, "other@acme.test", user_name="N-1"), first) == ids[4]


def test_many_at_once_ask_once(sso: World) -> None:
    """Of several processes too."""
    assert sso.provider is not None
    work = partial(identity_conflicts.note, sso.system, sso.provider, CASE)
    ids = cast.at_once(*[work] * 6)
    (row,) = IdentityConflict.select()
    assert (set(ids), row.occurrences) == ({row.id}, 6)
    assert len(cast.happened(sso, "identity_conflict_created.v0")) == 1


def test_no_provider_fills_the_table(sso: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, those that are decided before those that wait."""
    monkeypatch.setattr(identity_conflicts, "KEPT", 3)
    ids = [ask(sso, Case(Kind.LOOK_ALIKE, "a@acme.test", name_id=f"n-{number}")) for number in range(3)]
    dismiss(sso, ids[2])
    ids += [ask(sso, Case(Kind.LOOK_ALIKE, "a@acme.test", name_id=f"n-{number}")) for number in (3, 4)]
    assert {row.id for row in IdentityConflict.select()} == {ids[1], ids[3], ids[4]}


def test_what_is_dismissed_stays_so(sso: World) -> None:
    """It is refused as before, counted, and waits no longer."""
    conflict_id = ask(sso, CASE)
    assert identity_conflicts.any_open(sso.account)
    dismiss(sso, conflict_id)
    assert ask(sso, CASE) == conflict_id
    row = identity_conflicts.get(sso.account, conflict_id)
    assert (row.state, row.occurrences, row.decided_by) == (DISMISSED, 2, sso.system.subject)
    assert not identity_conflicts.any_open(sso.account)


def test_another_account_sees_none_of_it(sso: World) -> None:
    """Neither the list nor the row, and none of its members is an answer."""
    other = cast.open_account("other")
    conflict_id = ask(sso, CASE)
    assert list(identity_conflicts.of_account(other.account, state=None)) == []
    with pytest.raises(NotFound):
        identity_conflicts.get(other.account, conflict_id)
    with pytest.raises(NotFound):
        resolve(sso, conflict_id, other.owner)


def test_administrators_hear_of_the_first_question_of_a_day(
    sso: World, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that renames everybody raises many; of a wrong button nobody hears."""
    monkeypatch.setattr(mail, "_service", mail._Service())
    mail.configure(replace(config, smtp_url="smtp://localhost"))
    ask(sso, Case(Kind.ANOTHER_PROVIDER, "ann@acme.test", name_id="n-0"))
    assert Mail.select().count() == 0
    for number in range(3):
        ask(sso, Case(Kind.IDENTITY_CHANGED, "ann@acme.test", name_id=f"n-{number}"))
    (told,) = Mail.select()
    assert (told.kind, told.recipient) == ("identity_conflict", sso.owner.email)
    IdentityConflict.update(created_at=clock.now() - identity_conflicts.MAILED_EVERY).execute()
    ask(sso, Case(Kind.IDENTITY_CHANGED, "ann@acme.test", name_id="n-9"))
    assert Mail.select().count() == 2


# --- what an answer does --------------------------------------------------------------------------------------------


def _twins(world: World) -> tuple[Member, Member]:
    return cast.join(world, "ann@acme.test"), cast.join(world, "ANN@acme.test")


def test_of_several_the_one_who_was_chosen_comes_in(sso: World) -> None:
    """By that NameID, and by no other."""
    first, second = _twins(sso)
    conflict_id = asked_by(sso, "n-1")
    row = identity_conflicts.get(sso.account, conflict_id)
    assert (row.kind, sorted(row.candidates)) == ("ambiguous", sorted([first.id, second.id]))
    resolve(sso, conflict_id, second)
    assert come(sso, said("ann@acme.test", "n-1")) == second
    assert refused(sso, said("ann@acme.test", "n-2")) is Outcome.AMBIGUOUS


def test_a_name_is_taken_from_an_administrator_by_an_administrator_alone(sso: World) -> None:
    """Whoever decides for another member shuts out whom the name has meant so far."""
    developer = cast.join(sso, "dev@acme.test")
    assert come(sso, said("owner@acme.test", "n-1")) == sso.owner
    case = Case(Kind.AMBIGUOUS, "owner@acme.test", name_id="n-1", name_id_format=EMAIL_FORMAT)
    row = identity_conflicts.get(sso.account, ask(sso, case))
    with db.transaction():
        own_roles.create(sso.system, "connector", permissions=[Permission.IDPS_WRITE, Permission.CREDENTIALS_OWN])
    connector = cast.acting(sso, cast.join(sso, "c@acme.test", "connector", "developer"))
    with pytest.raises(Forbidden) as caught, db.transaction():
        identity_conflicts.resolve(connector, row, developer.id)
    assert caught.value.code is Code.ADMINISTRATORS_ONLY
    assert come(sso, said("owner@acme.test", "n-1")) == sso.owner
    resolve(sso, row.id, developer)
    assert come(sso, said("owner@acme.test", "n-1")) == developer


def test_whom_the_provider_calls_otherwise_now_is_she_again(sso: World) -> None:
    """Under the new name alone: the former may be somebody else's one day."""
    member = come(sso, said("ann@acme.test", "n-1"))
    conflict_id = asked_by(sso, "n-2")
    assert identity_conflicts.get(sso.account, conflict_id).kind == "identity_changed"
    resolve(sso, conflict_id, member)
    assert come(sso, said("ann@acme.test", "n-2")) == member
    assert [link.name_id for link in IdentityLink.select()] == ["n-2"]


def test_a_second_provider_may_speak_for_a_member_where_that_was_decided(sso: World) -> None:
    """The first one goes on to."""
    first = sso.provider
    member = come(sso, said("ann@acme.test", "n-1"))
    second = cast.connect(sso, name="Entra", join_policy="jit")
    conflict_id = asked_by(sso, "e-1", provider=second)
    assert identity_conflicts.get(sso.account, conflict_id).kind == "another_provider"
    resolve(sso, conflict_id, member)
    assert come(sso, said("ann@acme.test", "e-1"), second) == member
    assert come(sso, said("ann@acme.test", "n-1"), first) == member


def test_a_look_alike_is_whom_an_administrator_says(sso: World) -> None:
    """Any member; her address stays what it was."""
    member = cast.join(sso, "copa@acme.test")
    conflict_id = asked_by(sso, "n-1", "сора@acme.test")
    row = identity_conflicts.get(sso.account, conflict_id)
    assert (row.kind, row.candidates) == ("look_alike", [member.id])
    resolve(sso, conflict_id, member)
    assert come(sso, said("сора@acme.test", "n-1")) == member
    assert cast.again(member).email == "copa@acme.test"


def test_an_answer_that_no_longer_holds_is_asked_for_again(sso: World) -> None:
    """The link was forgotten since."""
    first, _ = _twins(sso)
    conflict_id = asked_by(sso, "n-1")
    resolve(sso, conflict_id, first)
    with db.transaction():
        identity_links.forget(sso.system, cast.again(first))
    assert asked_by(sso, "n-1") == conflict_id
    assert identity_conflicts.get(sso.account, conflict_id).state == OPEN


def test_the_answer_is_told(sso: World) -> None:
    """Who decided, and what."""
    first, _ = _twins(sso)
    conflict_id = asked_by(sso, "n-1")
    resolve(sso, conflict_id, first)
    dismiss(sso, conflict_id)
    told = [event.object for event in cast.happened(sso, "identity_conflict_resolved.v0")]
    assert [(one["resolution"], one["user_id"]) for one in told] == [(RESOLVED, first.id), (DISMISSED, None)]


def test_a_directory_takes_over_nobody_but_who_has_the_address(sso: World) -> None:
    """Whoever decides cannot hand it another member."""
    ann, bea = cast.join(sso, "ann@acme.test"), cast.join(sso, "bea@acme.test")
    case = Case(Kind.SECOND_DIRECTORY, "ann@acme.test", user_name="ann", candidates=(ann.id,))
    conflict_id = ask(sso, case)
    with pytest.raises(Invalid) as caught:
        resolve(sso, conflict_id, bea)
    assert set(caught.value.fields) == {"member_id"}
    assert identity_conflicts.decided(cast.again(sso.provider), case) is None
    resolve(sso, conflict_id, ann)
    assert identity_conflicts.decided(cast.again(sso.provider), case) == ann.id


def test_of_two_directories_the_one_counts_that_was_named_last(sso: World) -> None:
    """Else they would take her from each other for ever."""
    ann, first = cast.join(sso, "ann@acme.test"), sso.provider
    second = cast.connect(sso, name="Entra")
    case = Case(Kind.SECOND_DIRECTORY, "ann@acme.test", user_name="ann", candidates=(ann.id,))
    for provider, other in ((first, second), (second, first)):
        resolve(sso, ask(sso, case, provider), ann)
        assert identity_conflicts.decided(provider, case) == ann.id
        assert identity_conflicts.decided(other, case) is None


def test_whom_a_directory_pushed_under_a_look_alike_is_somebody_already(sso: World) -> None:
    """There is nothing to choose; it can be dismissed."""
    conflict_id = ask(sso, Case(Kind.LOOK_ALIKE, "сора@acme.test", user_name="сора@acme.test"))
    with pytest.raises(Invalid, match="member of her own"):
        resolve(sso, conflict_id, sso.owner)
    dismiss(sso, conflict_id)


# --- who may answer -------------------------------------------------------------------------------------------------


def _keeper(world: World) -> Member:
    """Somebody who sees to providers, and is no administrator."""
    with db.transaction():
        own_roles.create(world.system, "keeper", permissions=["idps:read", "idps:write"])
    return cast.join(world, "keeper@acme.test", "keeper")


@pytest.mark.parametrize(
    ("whom", "code"),
    [
        (lambda world: world.owner, Code.ADMINISTRATORS_ONLY),
        (lambda world: cast.join(world, "biller@acme.test", "billing"), Code.GRANT_ABOVE_OWN_RIGHTS),
    ],
)
def test_nobody_opens_a_place_above_her_own(sso: World, whom: Callable[[World], Member], code: Code) -> None:
    """A name that is linked to a member comes in as she; an administrator's is an administrator's to give."""
    keeper, member = _keeper(sso), whom(sso)
    conflict = identity_conflicts.get(sso.account, ask(sso, CASE))
    with pytest.raises(Forbidden) as caught, db.transaction():
        identity_conflicts.resolve(cast.acting(sso, keeper), conflict, member.id)
    assert caught.value.code is code
    assert IdentityLink.select().count() == 0
    equal = cast.join(sso, "equal@acme.test", "developer")
    with db.transaction():
        identity_conflicts.resolve(cast.acting(sso, keeper), conflict, equal.id)
    assert come(sso, said("ann@acme.test", "n-1")) == equal
    assert member_roles.roles_of(sso.account, equal) == ("developer",)
