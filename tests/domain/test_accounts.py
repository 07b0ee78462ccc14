"""Accounts: created, found and renamed."""

import pytest

from idp_bridge import accounts, db
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from tests.conftest import World
from tests.domain import cast


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a" * 64, "a b", "a\n", "recovery"])
def test_a_slug_is_a_host_label(database: None, slug: str) -> None:
    """It stands in URLs, so it is none of our own pages' names either."""
    with pytest.raises(Invalid) as caught, db.transaction():
        accounts.create(name="A", slug=slug)
    assert "slug" in caught.value.fields


@pytest.mark.parametrize(
    ("plan", "seats", "limit"), [("free", None, 1), ("pro", None, 10), ("enterprise", None, None), ("pro", 25, 25)]
)
def test_the_plan_brings_its_seats(database: None, plan: str, seats: int | None, limit: int | None) -> None:
    """Unless a number is named."""
    assert cast.open_account("acme", plan, seats=seats).account.seats == limit


def test_a_taken_slug_is_a_conflict_that_costs_nothing_else(acme: World) -> None:
    """The transaction goes on: PostgreSQL needs a savepoint for that."""
    with db.transaction():
        with pytest.raises(Conflict) as caught:
            accounts.create(name="Again", slug="acme")
        accounts.rename(acme.system, "Acme Inc")
    assert caught.value.code is Code.NAME_TAKEN
    assert cast.again(acme.account).name == "Acme Inc"


def test_an_account_is_found_by_slug_or_id(acme: World) -> None:
    """And by nothing else."""
    assert accounts.find("acme") == accounts.find(acme.account.id) == acme.account
    with pytest.raises(NotFound):
        accounts.find("Acme")


def test_a_change_is_told_with_what_was_before(acme: World) -> None:
    """No change, no event."""
    with db.transaction():
        accounts.rename(acme.system, "Acme")
        accounts.rename(acme.system, "Other")
    (event,) = cast.happened(acme, "account_updated.v0")
    assert (event.object["name"], event.object["before"]) == ("Other", {"name": "Acme"})
    assert event.object["seats"] == {"used": 1, "reserved": 0, "limit": None}
