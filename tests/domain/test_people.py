"""People: who is the same by her password, and links that work once."""

from datetime import timedelta

import pytest
import time_machine

from idp_bridge import clock, db, people
from idp_bridge.errors import Gone, Invalid
from tests.conftest import PASSWORD, World
from tests.domain import cast


def test_an_owner_is_the_same_person_again_once_she_has_a_password(database: None) -> None:
    """Case does not matter; a look-alike letter does, and so does whether anybody has used the first link."""
    with db.transaction():
        ann = people.create("Ann@Example.test")
        assert people.create("ann@example.TEST") != ann
        people.set_password(ann, PASSWORD)
        assert people.create("ann@example.TEST") == ann
        assert people.create("\N{LATIN SMALL LETTER LONG S}ue@example.test") != people.create("sue@example.test")


def test_somebody_who_was_invited_owns_nothing_that_the_operator_makes(database: None) -> None:
    """Whoever sent the invitation could have accepted it herself."""
    with db.transaction():
        invited = people.create("ceo@corp.test")
        people.set_password(invited, PASSWORD)
        assert people.create("ceo@corp.test") != invited


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
