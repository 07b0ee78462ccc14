"""Who is this? The searches beyond the plain ones, and what stands against them."""

from typing import Any

import pytest

from idp_bridge import clock, db, identity_links, idps, invitations, member_lifecycle, sign_in
from idp_bridge.errors import Conflict, Invalid
from idp_bridge.models import DirectoryEmail, DirectoryUser, Member
from idp_bridge.sign_in import Found, Identity, Outcome, State
from scim.attributes import fold as coarse
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, refused, said


def who(world: World, identity: Identity) -> Found:
    assert world.provider is not None
    return sign_in.identify(world.account, world.provider, identity)


def recorded(world: World, user_name: str, *addresses: str, **record: Any) -> Member:
    """A member of the directory, by a userName that is no address, and addresses of which the first is hers."""
    assert world.provider is not None
    member = cast.join(world, addresses[0], managed_by="scim", identity_provider=world.provider)
    row = cast.record_of(world.provider, member, user_name=user_name, **record)
    emails = [{"value": address} for address in addresses]
    DirectoryUser.update(resource={"userName": user_name, "emails": emails}).where(DirectoryUser.id == row.id).execute()
    for address in addresses:
        DirectoryEmail.create(identity_provider=world.provider, value_key=coarse(address), user=row)
    return member


def test_the_records_addresses_are_hers(sso: World) -> None:
    """Each of them, also one by which the account does not know her."""
    member = recorded(sso, "ann", "ann@acme.test", "ann.lee@acme.test")
    assert who(sso, said("Ann.Lee@acme.test", "n-1")) == Found(State.ACTIVE, member)
    assert come(sso, said("Ann.Lee@acme.test", "n-1")) == member
    assert cast.again(member).email == "ann@acme.test"


def test_an_address_of_several_records_is_nobodys(sso: World) -> None:
    """Directories may give one address to several; the userName and the externalId tell them apart."""
    ann = recorded(sso, "ann", "ann@acme.test", "team@acme.test", external_id="x-1")
    bea = recorded(sso, "bea", "bea@acme.test", "team@acme.test")
    assert who(sso, said("team@acme.test", "n-1")) == Found(State.AMBIGUOUS, candidates=(ann.id, bea.id))
    assert who(sso, said("team@acme.test", "x-1")).member == ann
    assert who(sso, said("team@acme.test", "BEA")).member == bea


def test_a_record_is_found_by_no_other_letter(sso: World) -> None:
    """The index of addresses is coarser than we are."""
    recorded(sso, "ann", "ann@acme.test", "\N{KELVIN SIGN}im@acme.test")
    assert who(sso, said("kim@acme.test", "n-1")).state is State.UNKNOWN


def test_a_recorded_address_is_no_name(sso: World) -> None:
    """Whom this provider has called by another NameID, she is not."""
    member = recorded(sso, "ann", "ann@acme.test", "ann.lee@acme.test")
    come(sso, said("ann@acme.test", "n-1"))
    assert who(sso, said("ann.lee@acme.test", "n-2")) == Found(State.OTHERWISE, candidates=(member.id,))


def test_the_address_of_a_deleted_record_is_nobodys(sso: World) -> None:
    """She may have come back without the directory, under another."""
    recorded(sso, "ann", "ann@acme.test", "ann.lee@acme.test")
    DirectoryUser.update(deleted_at=clock.now()).execute()
    assert who(sso, said("ann.lee@acme.test", "n-1")).state is State.UNKNOWN


def test_a_link_decides_between_several(sso: World) -> None:
    """It was made by a sign-in or by an administrator; of two records with one externalId it says which."""
    assert sso.provider is not None
    ann = recorded(sso, "ann", "ann@acme.test", external_id="x-1")
    bea = recorded(sso, "bea", "bea@acme.test", external_id="x-1")
    identity = said("who@acme.test", "x-1")
    assert who(sso, identity) == Found(State.AMBIGUOUS, candidates=(ann.id, bea.id))
    with db.transaction():
        identity_links.remember(sso.provider, bea, name_id="x-1", name_id_format=identity.name_id_format)
    assert who(sso, identity) == Found(State.ACTIVE, bea, by_link=True)


def test_a_link_lets_in_past_another_provider(sso: World) -> None:
    """Made by an administrator, since no sign-in makes it; suspended is suspended all the same."""
    member = come(sso, said("ann@acme.test", "n-1"))
    second = cast.connect(sso, name="Entra", join_policy="jit")
    identity = said("ann@acme.test", "e-1")
    assert who(sso, identity) == Found(State.ELSEWHERE, member, candidates=(member.id,))
    with db.transaction():
        identity_links.remember(second, member, name_id="e-1", name_id_format=identity.name_id_format)
    assert come(sso, identity, second) == member
    with db.transaction():
        member_lifecycle.suspend(sso.system, cast.again(member))
    assert refused(sso, identity, second) is Outcome.SUSPENDED


def test_a_change_of_address_keeps_the_person(sso: World) -> None:
    """The NameID is hers; the address that she gave up is anybody's."""
    member = come(sso, said("ann@acme.test", "n-1"))
    assert come(sso, said("ann.lee@acme.test", "n-1")) == member
    assert come(sso, said("ann@acme.test", "n-2")).id != member.id


# --- look-alikes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["оwner@acme.test", "ownеr@acme.test", "ｏｗｎｅｒ@acme.test", "ann@аcme.test"])
def test_a_look_alike_is_neither_a_member_nor_made_one(sso: World, email: str) -> None:
    """Mixed scripts in a part of it, or another script's picture of a member's address; nor by an invitation to it."""
    assert refused(sso, said(email, "n-1")) is Outcome.LOOK_ALIKE
    with db.transaction():
        invitations.create(sso.system, "guest@acme.test")
    assert refused(sso, said("guеst@acme.test", "n-1")) is Outcome.LOOK_ALIKE


def test_whom_it_passes_for_is_said_to_administrators(sso: World) -> None:
    """And nobody is, where it only mixes scripts."""
    member = cast.join(sso, "copa@acme.test")
    assert who(sso, said("сора@acme.test", "n-1")) == Found(State.LOOK_ALIKE, candidates=(member.id,))
    assert who(sso, said("ваnn@acme.test", "n-1")) == Found(State.LOOK_ALIKE, candidates=())


@pytest.mark.parametrize("email", ["josé@acme.test", "анна@acme.test", "安娜ann@acme.test", "сора@acme.test"])
def test_another_script_is_as_good_as_latin(sso: World, email: str) -> None:
    """As long as nobody's address looks like it."""
    assert come(sso, said(email, "n-1")).email == email


def test_a_known_name_is_hers_whatever_the_address_looks_like(sso: World) -> None:
    """Her externalId, her NameID or her userName say who she is."""
    member = recorded(sso, "ann", "ann@acme.test", external_id="x-1")
    assert come(sso, said("аnn@acme.test", "x-1")) == member


def test_the_domains_of_a_provider_bound_every_search(sso: World) -> None:
    """What it may not assert it does not assert, also of somebody whom it has signed in before."""
    assert sso.provider is not None
    come(sso, said("ann@acme.test", "n-1"))
    recorded(sso, "bea", "bea@acme.test", external_id="x-1")
    with db.transaction():
        idps.change(sso.system, sso.provider, domains=["acme.test"])
    for name_id in ("n-1", "x-1", "n-9"):
        assert refused(sso, said("someone@evil.test", name_id)) is Outcome.ADDRESS_NOT_ALLOWED


def test_nobody_is_invited_under_an_address_that_passes_for_another(sso: World) -> None:
    """Whoever invites has pasted it, and did not see it."""
    cast.join(sso, "copa@acme.test")
    for email, refusal in (("guеst@acme.test", Invalid), ("сора@acme.test", Conflict)):
        with pytest.raises(refusal), db.transaction():
            invitations.create(sso.system, email)
    with db.transaction():
        invitations.create(sso.system, "анна@acme.test")
