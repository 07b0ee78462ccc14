"""Members: who is in an account, and under which name and address."""

import pytest

from idp_bridge import db, member_lifecycle, members
from idp_bridge.errors import NotFound
from tests.conftest import World
from tests.domain import cast


def test_a_member_of_another_account_or_one_removed_is_not_found(sso: World) -> None:
    """Neither by id nor by address."""
    there = cast.join(cast.open_account("other"), "a@acme.test")
    left = cast.provisioned(sso, "left@acme.test")
    with db.transaction():
        member_lifecycle.deprovision(sso.system, left)
    for member in (there, left):
        with pytest.raises(NotFound):
            members.get(sso.account, member.id)
        assert members.with_address(sso.account, member.email) == []
    assert members.with_address(sso.account, "OWNER@acme.test") == [sso.owner]


def test_who_joins_without_a_proven_address_is_a_new_person(acme: World) -> None:
    """What a provider says of an address matches nobody's person."""
    one, other = cast.join(acme, "a@acme.test"), cast.join(cast.open_account("other"), "a@acme.test")
    assert one.person_id != other.person_id
    assert {one.person.email_key, other.person.email_key} == {None}


def test_a_profile_that_is_the_same_is_not_written(acme: World) -> None:
    """A sign-in with nothing new leaves no event; a change tells what was before."""
    member = cast.join(acme, "a@acme.test", name="Ann A", first_name="Ann", last_name="A")
    same = {"email": "a@acme.test", "name": "Ann A", "first_name": "Ann", "last_name": "A"}
    with db.transaction():
        members.update_profile(acme.system, member, **same)
        members.update_profile(acme.system, member, **{**same, "email": "B@acme.test"})
    (event,) = cast.happened(acme, "user_updated.v0")
    assert (event.object["email"], event.object["before"]["email"]) == ("B@acme.test", "a@acme.test")
    assert members.with_address(acme.account, "b@acme.test") == [member]
