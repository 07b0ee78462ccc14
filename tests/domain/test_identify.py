"""Who is this? The searches beyond the plain ones, and what stands against them."""

from dataclasses import replace
from typing import Any

import pytest

from idp_bridge import (
    clock,
    db,
    identity_links,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    own_roles,
    sign_in,
)
from idp_bridge.errors import Conflict, Invalid
from idp_bridge.models import DirectoryEmail, DirectoryUser, Member
from idp_bridge.sign_in import Found, Identity, Outcome, State
from idp_bridge.text import fold
from scim.attributes import fold as coarse
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import EMAIL_FORMAT, come, refused, said


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


def renamed(member: Member, user_name: str) -> None:
    """Her directory gives her another userName and address."""
    named = {"user_name": user_name, "user_name_key": fold(user_name), "modified_at": clock.now()}
    DirectoryUser.update(**named).where(DirectoryUser.member == member).execute()
    Member.update(email=user_name, email_key=fold(user_name)).where(Member.id == member.id).execute()


def test_an_address_that_was_given_to_somebody_else_is_a_question(sso: World) -> None:
    """A NameID that is an address was linked; since then the directory has renamed her, and given it to a new hire."""
    assert sso.provider is not None
    ann = cast.provisioned(sso, "ann@acme.test", external_id="00u1")
    assert come(sso, said("ann@acme.test")) == ann
    renamed(ann, "ann.lee@acme.test")
    assert come(sso, said("ann.lee@acme.test")) == ann
    hired = cast.provisioned(sso, "ann@acme.test", external_id="00u2")
    assert who(sso, said("ann@acme.test")) == Found(State.AMBIGUOUS, candidates=tuple(sorted([ann.id, hired.id])))
    assert refused(sso, said("ann@acme.test")) is Outcome.AMBIGUOUS
    for meant in (ann, hired):  # an administrator has said whose it is
        with db.transaction():
            identity_links.remember(sso.provider, meant, name_id="ann@acme.test", name_id_format=EMAIL_FORMAT)
        assert come(sso, said("ann@acme.test")) == meant
    renamed(hired, "other@acme.test")
    renamed(ann, "ann@acme.test")
    assert refused(sso, said("ann@acme.test")) is Outcome.AMBIGUOUS


def addressed(member: Member, address: str) -> None:
    """Her directory gives her another address, and leaves her userName, which is none."""
    row = DirectoryUser.get(DirectoryUser.member == member)
    resource = {"userName": row.user_name, "emails": [{"value": address}]}
    DirectoryUser.update(resource=resource, modified_at=clock.now()).where(DirectoryUser.id == row.id).execute()
    DirectoryEmail.delete().where(DirectoryEmail.user == row).execute()
    DirectoryEmail.create(identity_provider=row.identity_provider_id, value_key=coarse(address), user=row)
    Member.update(email=address, email_key=fold(address)).where(Member.id == member.id).execute()


def test_an_address_that_is_given_away_is_a_question_whatever_the_user_name(sso: World) -> None:
    """The provider sends the address as NameID, and the directory a login as userName: the new hire is not taken for
    her who had it, nor she for the new hire."""
    ann = recorded(sso, "ann", "ann@acme.test", external_id="00u1")
    assert come(sso, said("ann@acme.test")) == ann
    addressed(ann, "ann.lee@acme.test")
    assert come(sso, said("ann@acme.test")) == ann
    hired = recorded(sso, "bob", "ann@acme.test", external_id="00u2")
    assert who(sso, said("ann@acme.test")) == Found(State.AMBIGUOUS, candidates=tuple(sorted([ann.id, hired.id])))
    assert refused(sso, said("ann@acme.test")) is Outcome.AMBIGUOUS


def test_an_administrators_answer_outlasts_other_changes_of_the_heirs_record(sso: World) -> None:
    """What counts is when the name was given to her, not when anything of her was changed last."""
    ann = cast.provisioned(sso, "ann@acme.test", external_id="00u1")
    come(sso, said("ann@acme.test"))
    renamed(ann, "ann.lee@acme.test")
    hired = cast.provisioned(sso, "ann@acme.test", external_id="00u2", named_at=clock.now())
    assert refused(sso, said("ann@acme.test")) is Outcome.AMBIGUOUS
    with db.transaction():  # the administrator says that it is Ann all the same
        identity_links.remember(sso.provider, ann, name_id="ann@acme.test", name_id_format=EMAIL_FORMAT)
    DirectoryUser.update(modified_at=clock.now(), version=2).where(DirectoryUser.member == hired).execute()
    assert come(sso, said("ann@acme.test")) == ann


def test_an_address_in_other_letters_gives_nothing_away(sso: World) -> None:
    """The index of addresses is coarser than we are: no Kelvin sign makes a question of somebody's link."""
    kim = recorded(sso, "kim", "kim.lee@acme.test")
    with db.transaction():
        identity_links.remember(sso.provider, kim, name_id="kim@acme.test", name_id_format=EMAIL_FORMAT)
    recorded(sso, "other", "other@acme.test", "\N{KELVIN SIGN}im@acme.test")
    assert come(sso, said("kim@acme.test")) == kim


def test_the_external_id_of_a_former_record_is_not_hers_who_came_again(sso: World) -> None:
    """Her directory has deleted the record and sent her again without it: that name is anybody's, or nobody's."""
    member = cast.provisioned(sso, "ann@acme.test", external_id="00u1")
    assert who(sso, said("x@acme.test", "00u1")).member == member
    DirectoryUser.update(deleted_at=clock.now()).execute()
    cast.record_of(sso.provider, member, user_name="ann@acme.test")  # type: ignore[arg-type]  # there is one
    assert who(sso, said("x@acme.test", "00u1")).state is State.UNKNOWN
    with db.transaction():
        member_lifecycle.deprovision(sso.system, cast.again(member))
    assert who(sso, said("x@acme.test", "00u1")).state is State.DEPROVISIONED


def test_a_user_name_that_was_given_up_is_nobodys(sso: World) -> None:
    """A record that was deleted names its member only while she is gone with it."""
    assert sso.provider is not None
    ann = cast.provisioned(sso, "ann@acme.test", external_id="00u1")
    DirectoryUser.update(deleted_at=clock.now()).execute()
    cast.record_of(sso.provider, ann, user_name="ann.lee@acme.test")
    Member.update(email="ann.lee@acme.test", email_key="ann.lee@acme.test").where(Member.id == ann.id).execute()
    assert who(sso, said("ann@acme.test")).state is State.UNKNOWN


def test_an_address_that_is_her_user_name_is_still_an_address(sso: World) -> None:
    """Whom this provider has called by another NameID she is not, wherever her directory has her address."""
    ann = cast.provisioned(sso, "ann@acme.test")
    assert come(sso, said("ann@acme.test", "persist-ann")) == ann
    assert who(sso, said("ann@acme.test", "persist-mallory")) == Found(State.OTHERWISE, candidates=(ann.id,))
    assert come(sso, said("ann@acme.test")) == ann  # the NameID itself is her userName


# --- through whom -----------------------------------------------------------------------------------------------------


@pytest.fixture
def untrusted(sso: World) -> World:
    """The account, whose provider somebody has made who is no administrator."""
    with db.transaction():
        role = own_roles.create(sso.system, "connector", permissions=["idps:read", "idps:write"])
    maker = cast.acting(sso, cast.join(sso, "maker@acme.test", role.name, "developer"))
    assert sso.provider is not None
    trust = replace(idps.trust_of(sso.provider), entity_id="https://own.example.test/")
    with db.transaction():
        sso.provider = idps.create(maker, name="Own", trust=trust, join_policy="jit")
    return sso


def test_an_administrator_does_not_come_in_by_what_none_has_confirmed(untrusted: World) -> None:
    """Found by her address, her link or an invitation to be one; confirmed, it speaks for all."""
    assert untrusted.provider is not None
    assert refused(untrusted, said("owner@acme.test", "n-1")) is Outcome.NOT_TRUSTED
    ann = come(untrusted, said("ann@acme.test", "n-2"))
    with db.transaction():
        member_roles.set_roles(untrusted.system, cast.again(ann), ["admin"])
        invitations.create(untrusted.system, "chief@acme.test", role_names=["admin"])
        invitations.create(untrusted.system, "dev@acme.test")
    assert refused(untrusted, said("ann@acme.test", "n-2")) is Outcome.NOT_TRUSTED
    assert refused(untrusted, said("chief@acme.test", "n-3")) is Outcome.NOT_TRUSTED
    assert come(untrusted, said("dev@acme.test", "n-4")).email == "dev@acme.test"
    with db.transaction():
        idps.change(untrusted.system, untrusted.provider, trusted_with_administrators=True)
    assert come(untrusted, said("ann@acme.test", "n-2")) == ann
    assert come(untrusted, said("owner@acme.test", "n-1")) == untrusted.owner
    assert come(untrusted, said("chief@acme.test", "n-3")).email == "chief@acme.test"


# --- look-alikes ----------------------------------------------------------------------------------------------------


ODD = ["own\u200ber@acme.test", "own\u00ader@acme.test", "own\u0337er@acme.test", "new\u034f@acme.test"]


@pytest.mark.parametrize("email", ["оwner@acme.test", "ownеr@acme.test", "ｏｗｎｅｒ@acme.test", "ann@аcme.test", *ODD])
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
