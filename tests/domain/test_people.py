"""People: who is the same by her password, and links that work once."""

from datetime import timedelta

import pytest
import time_machine

from idp_bridge import clock, db, passwords, people
from idp_bridge.errors import Code, Conflict, Gone, Invalid
from idp_bridge.models import Person
from tests.conftest import PASSWORD, World
from tests.domain import cast


def test_an_address_is_meant_in_any_case_and_by_no_look_alike(database: None) -> None:
    """Whoever gives the Kelvin sign or a long s for a letter is somebody else."""
    with db.transaction():
        ann, sue = people.create("Ann@Example.test"), people.create("sue@kent.test")
        look_alikes = ("\N{LATIN SMALL LETTER LONG S}ue@kent.test", "sue@\N{KELVIN SIGN}ent.test")
        alike = [people.create(email) for email in look_alikes]
    assert people.with_address("ann@example.TEST") == [ann]
    assert people.with_address("SUE@kent.test") == [sue]
    assert [people.with_address(one.email) for one in alike] == [[one] for one in alike]


def test_a_password_is_tried_once_however_many_have_the_address(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time would tell an inviter whether she is known elsewhere, and he could lengthen it as he likes."""
    with db.transaction():
        many = [people.create("ann@example.test") for _ in range(5)]
        for number, person in enumerate(many[:4]):
            people.set_password(person, f"{PASSWORD} {number % 3}")
    tried: list[str] = []

    def counted(password: str, like: str) -> str | None:
        tried.append(password)
        return hashed(password, like)

    hashed = passwords._hashed
    monkeypatch.setattr(passwords, "_hashed", counted)
    assert people.with_password("ann@example.test", f"{PASSWORD} 0") == [many[0], many[3]]
    assert people.with_password("ann@example.test", f"{PASSWORD} 1") == [many[1]]
    assert people.with_password("ann@example.test", PASSWORD) == []
    assert people.with_password("eve@example.test", PASSWORD) == []
    assert len(tried) == 4


def test_a_membership_is_handed_over_with_all_that_hangs_on_it(acme: World) -> None:
    """To who has shown that it is hers; whom it stood for is nobody any more. Not twice into one account."""
    beta = cast.open_account("beta")
    stood, person = beta.owner.person_id, acme.owner.person
    with db.transaction():
        people.hand_over(beta.owner, person)
    assert (cast.again(beta.owner).person_id, Person.get_or_none(Person.id == stood)) == (person.id, None)
    second = cast.join(beta, "b@beta.test")
    with pytest.raises(Conflict) as caught, db.transaction():
        people.hand_over(second, person)
    assert caught.value.code is Code.ALREADY_MEMBER


def test_somebody_only_a_provider_speaks_of_has_no_proven_address(sso: World) -> None:
    """Her member has the address; the person behind has none, so no other account can match her by it."""
    member = cast.join(sso, "jit@acme.test", managed_by="jit", identity_provider=sso.provider)
    assert member.person.email is None
    assert people.with_address("jit@acme.test") == []


def test_a_password_opens_for_its_address_only(database: None) -> None:
    """Unknown address, wrong password, no password at all: nobody."""
    with db.transaction():
        ann = people.create("ann@example.test")
        assert people.with_password("ann@example.test", PASSWORD) == []
        people.set_password(ann, PASSWORD)
        people.create("bob@example.test")
    assert people.with_password("ANN@example.test", PASSWORD) == [ann]
    assert people.with_password("ann@example.test", PASSWORD + "x") == []
    assert people.with_password("bob@example.test", PASSWORD) == []
    assert people.with_password("eve@example.test", PASSWORD) == []
    with pytest.raises(Invalid):
        people.set_password(ann, "short")


@pytest.mark.parametrize("purpose", [people.PASSWORD_SETUP, people.BREAK_GLASS])
def test_a_link_works_once_and_for_its_purpose(acme: World, purpose: str) -> None:
    """Looking at it does not use it up; a mail scanner may look."""
    other = people.BREAK_GLASS if purpose == people.PASSWORD_SETUP else people.PASSWORD_SETUP
    with db.transaction():
        token = people.one_time_link(acme.owner.person, acme.account, purpose)
    with pytest.raises(Gone):
        people.use(token, other)
    assert people.peek(token, purpose).person == acme.owner.person
    with db.transaction():
        assert people.use(token, purpose).account == acme.account
    for again in (people.peek, people.use):
        with pytest.raises(Gone):
            again(token, purpose)


@pytest.mark.parametrize("purpose", people.LIFETIME)
def test_a_link_expires(acme: World, purpose: str) -> None:
    """A quarter of an hour for break-glass, a week for setting a password."""
    with db.transaction():
        token = people.one_time_link(acme.owner.person, acme.account, purpose)
    end = clock.now() + people.LIFETIME[purpose]
    with time_machine.travel(end - timedelta(seconds=5)):
        people.peek(token, purpose)
    with time_machine.travel(end + timedelta(seconds=1)), pytest.raises(Gone):
        people.use(token, purpose)


def test_a_link_is_stored_as_a_digest(acme: World) -> None:
    """A copy of the database opens nothing."""
    with db.transaction():
        token = people.one_time_link(acme.owner.person, acme.account, people.BREAK_GLASS)
    assert people.peek(token, people.BREAK_GLASS).digest != token
