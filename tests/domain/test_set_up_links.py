"""Set-up links: whoever opens one at the same moment as others, and what is trusted while one is about."""

import pytest

from idp_bridge import db, events, idps, set_up_links
from idp_bridge.errors import Conflict, Forbidden, Gone, Invalid
from idp_bridge.events import Type
from idp_bridge.models import IdentityProvider, SetUpLink
from idp_bridge.set_up_links import Issued
from tests.conftest import World
from tests.domain import cast


@pytest.fixture
def draft(acme: World) -> IdentityProvider:
    """A connection whose set-up has begun."""
    with db.transaction():
        return idps.create(cast.acting(acme, acme.owner), name="Okta", trust=None, kind="okta")


def made(acme: World, draft: IdentityProvider, *, days: int = 3) -> Issued:
    with db.transaction():
        return set_up_links.make(cast.acting(acme, acme.owner), draft, days=days)


def opening(token: str) -> Issued:
    return set_up_links.open_link(token, address="192.0.2.1", request_id="op_1")


def test_of_many_who_open_a_link_at_once_one_does(acme: World, draft: IdentityProvider) -> None:
    """The others are told that it is used; there is one event, and one browser that it works in."""
    token = made(acme, draft).token
    results = cast.at_once(*[lambda: opening(token)] * 6)
    opened = [result for result in results if isinstance(result, Issued)]
    assert len(opened) == 1
    assert all(isinstance(result, Gone) for result in results if result is not opened[0])
    assert events.of_account(acme.account, type=Type.SET_UP_LINK_OPENED).count() == 1
    assert set_up_links.of_browser(opened[0].token, draft.id).id == opened[0].link.id
    with pytest.raises(Gone):
        set_up_links.of_browser(token, draft.id)
    with pytest.raises(Gone):
        set_up_links.of_browser(None, draft.id)


def test_of_many_that_are_made_at_once_one_works(acme: World, draft: IdentityProvider) -> None:
    """A second link stops the first, whichever came first."""
    actor = cast.acting(acme, acme.owner)
    results = cast.at_once(*[lambda: set_up_links.make(actor, IdentityProvider.get_by_id(draft.id))] * 4)
    assert all(isinstance(result, Issued) for result in results), results
    assert SetUpLink.select().where(SetUpLink.revoked_at.is_null()).count() == 1


def test_whoever_holds_one_is_no_administrator(acme: World, draft: IdentityProvider) -> None:
    """In her name who made it, with the rights that the steps need and none of her roles: it makes no link, trusts
    nothing with administrators, and gives no role that is above them."""
    link = opening(made(acme, draft).token).link
    holder = set_up_links.actor_of(link, address=None, request_id=None)
    assert (holder.id, holder.subject, holder.credential_id) == (acme.owner.id, "owner@acme.test", link.id)
    assert (holder.roles, holder.administrator) == ((), False)
    row = IdentityProvider.get_by_id(draft.id)
    for changed in ({"trusted_with_administrators": True}, {"default_roles": ["admin"]}):
        with pytest.raises((Forbidden, Invalid)), db.transaction():
            idps.change(holder, IdentityProvider.get_by_id(row.id), **changed)
    with pytest.raises(Forbidden), db.transaction():
        set_up_links.make(holder, row)
    assert not IdentityProvider.get_by_id(row.id).trusted_with_administrators


def test_a_connection_that_may_grant_admin_gets_no_link(acme: World, draft: IdentityProvider) -> None:
    """It must be trusted with administrators, which what somebody else sets up is not."""
    with db.transaction():
        idps.change(cast.acting(acme, acme.owner), draft, may_grant_admin=True)
    with pytest.raises(Invalid, match="must be trusted with administrators"):
        made(acme, IdentityProvider.get_by_id(draft.id))
    assert SetUpLink.select().count() == 0


def test_one_that_is_not_being_set_up_gets_none(acme: World) -> None:
    """Nobody else is let in to change what people come in by."""
    provider = cast.connect(acme)
    with pytest.raises(Conflict, match="is not being set up"):
        made(acme, provider)
    developer = cast.acting(acme, cast.join(acme, "dev@acme.test", "developer"))
    with pytest.raises(Forbidden, match="Only an administrator"), db.transaction():
        set_up_links.make(developer, provider)
