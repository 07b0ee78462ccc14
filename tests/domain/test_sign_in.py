"""Signing in: the decision table, who an assertion means, and what comes of it."""

from datetime import timedelta
from typing import Any

import pytest

from idp_bridge import (
    clock,
    db,
    groups,
    identity_links,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    people,
    seats,
    sign_in,
)
from idp_bridge.errors import Forbidden
from idp_bridge.models import Event, IdentityLink, IdentityProvider, Member
from idp_bridge.sign_in import Identity, Outcome, Refused, State
from tests.conftest import PASSWORD, World
from tests.domain import cast

EMAIL_FORMAT = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
FORMATS = [EMAIL_FORMAT, "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified", PERSISTENT]


def said(email: str, name_id: str | None = None, **claims: Any) -> Identity:
    """What a verified assertion says of somebody."""
    return Identity(**{"name_id": name_id or email, "name_id_format": EMAIL_FORMAT, "email": email, **claims})


def come(world: World, identity: Identity, provider: IdentityProvider | None = None) -> Member:
    """Sign in by an assertion of the account's provider."""
    provider = provider or world.provider
    assert provider is not None
    with db.transaction():
        return sign_in.by_assertion(world.system, cast.again(provider), identity).member


def refused(world: World, identity: Identity, provider: IdentityProvider | None = None) -> Outcome:
    """Why an assertion does not let in."""
    with pytest.raises(Refused) as caught:
        come(world, identity, provider)
    return caught.value.outcome


# --- who it is --------------------------------------------------------------------------------------------------


def _who(world: World, identity: Identity) -> sign_in.Found:
    assert world.provider is not None
    return sign_in.identify(world.account, world.provider, identity)


def test_the_first_search_that_knows_her_decides(sso: World) -> None:
    """externalId before link before userName before address before invitation: each is somebody else here."""
    assert sso.provider is not None
    by_external_id = cast.provisioned(sso, "one@acme.test", external_id="n-1")
    by_link = cast.join(sso, "two@acme.test")
    by_user_name = cast.join(sso, "three@acme.test", managed_by="scim", identity_provider=sso.provider)
    record = cast.record_of(sso.provider, by_user_name, user_name="N-1")
    by_address = cast.join(sso, "four@acme.test")
    with db.transaction():
        invitation = invitations.create(sso.system, "five@acme.test").invitation
    IdentityLink.create(
        identity_provider=sso.provider,
        name_id_format=PERSISTENT,
        name_id="n-1",
        member=by_link,
        created_at=clock.now(),
    )
    identity = said("four@acme.test", "n-1", name_id_format=PERSISTENT)
    found = []
    for forget in (
        by_external_id.delete_instance,
        lambda: IdentityLink.delete().execute(),
        record.delete_instance,
        by_address.delete_instance,
    ):
        found.append(_who(sso, identity).member)
        forget()
    assert found == [by_external_id, by_link, by_user_name, by_address]
    assert _who(sso, identity) == sign_in.Found(State.UNKNOWN)
    assert _who(sso, said("FIVE@acme.test")) == sign_in.Found(State.INVITED, invitation=invitation)


def test_a_link_is_of_one_name_id_format(sso: World) -> None:
    """The same text in another format is somebody else."""
    come(sso, said("a@acme.test", "123", name_id_format=PERSISTENT))
    assert _who(sso, said("b@acme.test", "123", name_id_format=PERSISTENT)).state is State.ACTIVE
    assert _who(sso, said("b@acme.test", "123", name_id_format=EMAIL_FORMAT)).state is State.UNKNOWN


def test_another_account_is_never_matched(sso: World) -> None:
    """Neither by its directory, its links, its members' addresses nor its invitations; with the same entity id too."""
    other = cast.open_account("other")
    cast.connect(other, join_policy="jit")
    assert other.provider is not None
    assert sso.provider is not None
    assert other.provider.entity_id == sso.provider.entity_id
    cast.provisioned(other, "one@acme.test", external_id="n-1")
    cast.join(other, "two@acme.test")
    come(other, said("three@acme.test", "n-3"))
    with db.transaction():
        invitations.create(other.system, "four@acme.test")
    for identity in (
        said("one@acme.test", "n-1"),
        said("two@acme.test"),
        said("three@acme.test", "n-3"),
        said("four@acme.test"),
        said(other.owner.email),
    ):
        assert _who(sso, identity).state is State.UNKNOWN


def test_the_same_person_joins_two_accounts_as_two_members(sso: World) -> None:
    """Each account's provider speaks for its own account, and no person is shared by what they say."""
    other = cast.open_account("other")
    cast.connect(other, join_policy="jit")
    here, there = come(sso, said("a@acme.test")), come(other, said("a@acme.test"))
    assert here.account_id != there.account_id
    assert here.person_id != there.person_id


def test_two_members_of_one_address_are_never_adopted_silently(sso: World) -> None:
    """An administrator must decide who is meant."""
    cast.join(sso, "twin@acme.test")
    cast.join(sso, "TWIN@acme.test")
    assert refused(sso, said("twin@acme.test")) is Outcome.AMBIGUOUS


def test_another_providers_member_comes_through_that_one(sso: World) -> None:
    """Two providers of one account do not speak for each other's people."""
    first = sso.provider
    member = come(sso, said("a@acme.test"))
    second = cast.connect(sso, name="Entra", join_policy="jit")
    assert refused(sso, said("a@acme.test"), second) is Outcome.ELSEWHERE
    assert come(sso, said("a@acme.test"), first) == member


def test_whoever_got_a_members_address_is_not_her(sso: World) -> None:
    """An address may be given to two people, one after the other; an administrator may forget the first."""
    old, new = (said("a@acme.test", name_id, name_id_format=PERSISTENT) for name_id in ("p-1", "p-2"))
    member = come(sso, old)
    assert refused(sso, new) is Outcome.OTHERWISE
    assert come(sso, old) == member
    with db.transaction():
        identity_links.forget(sso.system, cast.again(member))
    assert come(sso, new) == member
    assert refused(sso, old) is Outcome.OTHERWISE


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_an_address_is_no_name_whatever_the_formats_are(sso: World, first: str, second: str) -> None:
    """Of a person whom this provider has named, nobody else with her address becomes another sign-in. The same name, in
    another case or labelled otherwise, is hers."""
    member = come(sso, said("a@acme.test", "ann@acme.test", name_id_format=first))
    assert refused(sso, said("a@acme.test", "eve@acme.test", name_id_format=second)) is Outcome.OTHERWISE
    assert come(sso, said("a@acme.test", "Ann@acme.test", name_id_format=second)) == member


def test_a_provider_that_names_everybody_otherwise_is_listened_to_again(sso: World) -> None:
    """Once an administrator has had all its names forgotten; another provider's stay."""
    assert sso.provider is not None
    ann, bea = (come(sso, said(f"{name}@acme.test", f"{name}-1")) for name in ("ann", "bea"))
    with db.transaction():
        assert identity_links.forget_all(sso.system, cast.again(sso.provider)) == 2
    assert come(sso, said("ann@acme.test", "ann-2")) == ann
    assert come(sso, said("bea@acme.test", "bea-2")) == bea


def test_forgetting_what_providers_call_her_is_told_once(sso: World) -> None:
    """With what was forgotten; where there is nothing to forget there is nothing to tell."""
    member = come(sso, said("a@acme.test", "p-1", name_id_format=PERSISTENT))
    for _ in range(2):
        with db.transaction():
            identity_links.forget(sso.system, cast.again(member))
    told = [event.object["before"]["links"] for event in Event.select() if "links" in event.object]
    assert [[link["name_id"] for link in links] for links in told] == [["p-1"]]


# --- coming in --------------------------------------------------------------------------------------------------


def test_jit_makes_a_member_with_the_providers_default_roles(sso: World) -> None:
    """With the claims as her name, and remembered by her NameID."""
    member = come(sso, said("new@acme.test", "n-1", first_name="Nora", last_name="New"))
    assert (member.managed_by, member.identity_provider_id) == ("jit", sso.provider.id if sso.provider else None)
    assert (member.name, member.first_name, member.last_name) == ("Nora New", "Nora", "New")
    sources = member_roles.role_sources(sso.account, [member])[member.id]
    assert [(source.role, source.source) for source in sources] == [("developer", "default")]
    assert come(sso, said("renamed@acme.test", "n-1")) == member
    assert cast.again(member).email == "renamed@acme.test"
    assert cast.again(member).name == "Nora New"


def test_claimed_groups_give_the_mapped_roles_and_no_default_ones(sso: World) -> None:
    """Okta's claim names groups, in any case; Entra's names the object ids of pushed ones."""
    assert sso.provider is not None
    pushed = cast.group(sso.provider, "Auditors", external_id="8f0c")
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Finance")
        groups.map_role(sso.system, sso.provider, role="viewer", group_id=pushed.id)
    member = come(sso, said("new@acme.test", groups=("FINANCE", "8f0c", "Everyone")))
    assert member_roles.roles_of(sso.account, member) == ("billing", "viewer")
    assert {source.source for source in member_roles.role_sources(sso.account, [member])[member.id]} == {"claim"}


def test_a_renamed_group_is_claimed_by_its_new_name(sso: World) -> None:
    """A mapping refers to the group, not to what it was called."""
    assert sso.provider is not None
    pushed = cast.group(sso.provider, "Finance")
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_id=pushed.id)
    pushed.display_name, pushed.display_name_key = "Money", "money"
    pushed.save()
    assert member_roles.roles_of(sso.account, come(sso, said("a@acme.test", groups=("Money",)))) == ("billing",)


def test_the_next_assertion_replaces_what_the_last_one_claimed(sso: World) -> None:
    """Saying nothing of groups leaves what is held; saying none takes it away; roles by hand stay."""
    assert sso.provider is not None
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Finance")
    member = come(sso, said("new@acme.test", groups=("Finance",)))
    with db.transaction():
        member_roles.set_roles(sso.system, member, ["billing", "viewer"])
    come(sso, said("new@acme.test", groups=None))
    assert member_roles.roles_of(sso.account, member) == ("billing", "viewer")
    come(sso, said("new@acme.test", groups=()))
    assert member_roles.roles_of(sso.account, member) == ("viewer",)


@pytest.mark.parametrize(("may_grant_admin", "held"), [(False, ("developer",)), (True, ("admin",))])
def test_a_claim_gives_admin_only_where_the_provider_may(
    sso: World, may_grant_admin: bool, held: tuple[str, ...]
) -> None:
    """Off by default: whoever runs the provider does not become administrator here by it."""
    assert sso.provider is not None
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="admin", group_display_name="Root")
        idps.change(sso.system, sso.provider, may_grant_admin=may_grant_admin)
    member = come(sso, said("new@acme.test", groups=("Root",)))
    assert member_roles.roles_of(sso.account, member) == held


def test_an_invited_person_joins_with_the_invitations_roles(sso: World) -> None:
    """The provider's word accepts it; afterwards the link is used up."""
    assert sso.provider is not None
    with db.transaction():
        idps.change(sso.system, sso.provider, join_policy="invite_only")
        sent = invitations.create(sso.system, "guest@acme.test", role_names=["viewer"])
    member = come(sso, said("Guest@acme.test"))
    assert member.managed_by == "invite"
    assert member_roles.roles_of(sso.account, member) == ("viewer",)
    assert seats.count(sso.account).reserved == 0
    assert cast.again(sent.invitation).accepted_at is not None
    assert refused(sso, said("stranger@acme.test")) is Outcome.INVITATION_NEEDED


def test_an_assertion_never_revives_anybody(sso: World) -> None:
    """Not a suspended member, not one whom her directory set inactive, not one whom it deleted; nor by another
    NameID, nor does a claim change them."""
    held, off = cast.join(sso, "held@acme.test"), cast.provisioned(sso, "off@acme.test", external_id="x-1")
    left = cast.provisioned(sso, "left@acme.test", external_id="x-2")
    with db.transaction():
        member_lifecycle.suspend(sso.system, held)
        member_lifecycle.set_directory_active(sso.system, off, False)
        member_lifecycle.deprovision(sso.system, left)
    assert refused(sso, said("held@acme.test")) is Outcome.SUSPENDED
    assert refused(sso, said("off@acme.test")) is Outcome.SUSPENDED
    assert refused(sso, said("other@acme.test", "x-1")) is Outcome.SUSPENDED
    assert refused(sso, said("left@acme.test")) is Outcome.DEPROVISIONED
    assert refused(sso, said("other@acme.test", "x-2")) is Outcome.DEPROVISIONED
    assert [cast.again(member).active for member in (held, off, left)] == [False] * 3
    assert IdentityLink.select().count() == 0


def test_an_invitation_after_the_deletion_lets_her_in_again(sso: World) -> None:
    """Somebody who is a member now, or was asked in since, is not the one whom the directory deleted."""
    former = cast.provisioned(sso, "left@acme.test", external_id="x-2")
    come(sso, said("left@acme.test", "x-2"))
    with db.transaction():
        member_lifecycle.deprovision(sso.system, former)
        invitations.create(sso.system, "left@acme.test", role_names=["viewer"])
    member = come(sso, said("left@acme.test", "x-2"))
    assert (member.id != former.id, member_roles.roles_of(sso.account, member)) == (True, ("viewer",))
    assert come(sso, said("left@acme.test", "x-2")).id == member.id


def test_an_assertion_cannot_take_another_members_address(sso: World) -> None:
    """Whoever may edit her own address at the provider must not make the administrator's sign-in ambiguous."""
    mallory = come(sso, said("mallory@acme.test", "m-1"))
    again = come(sso, said(sso.owner.email, "m-1"))
    assert (again.id, again.email) == (mallory.id, "mallory@acme.test")
    assert come(sso, said(sso.owner.email, "o-1")).id == sso.owner.id


def test_the_roles_that_a_sign_in_gives_back_are_told(sso: World) -> None:
    """Whom an administrator has left without any gets the provider's default ones at her next sign-in, and an event
    says so."""
    member = come(sso, said("a@acme.test"))
    with db.transaction():
        member_roles.set_roles(sso.system, member, [])
    before = {event.id for event in cast.happened(sso)}
    come(sso, said("a@acme.test", groups=("Unmapped",)))
    come(sso, said("a@acme.test", groups=("Unmapped",)))
    (told,) = [event for event in cast.happened(sso, "user_updated.v0") if event.id not in before]
    assert (told.object["id"], told.object["roles"]) == (member.id, ["developer"])
    assert told.object["before"] == {"roles": []}


def test_losing_the_last_claimed_role_leaves_the_default_ones(sso: World) -> None:
    """She is a member still, and a member without any role could open no page."""
    assert sso.provider is not None
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="viewer", group_display_name="Claims")
    member = come(sso, said("a@acme.test", groups=("Claims",)))
    assert member_roles.roles_of(sso.account, member) == ("viewer",)
    come(sso, said("a@acme.test", groups=("other",)))
    assert member_roles.roles_of(sso.account, member) == ("developer",)


def test_one_deleted_long_ago_joins_again_as_a_new_member(sso: World) -> None:
    """Past the days in which her directory's DELETE can be undone, the NameID means the new member."""
    former = cast.provisioned(sso, "left@acme.test", external_id="x-2")
    come(sso, said("left@acme.test", "x-2"))
    with db.transaction():
        member_lifecycle.deprovision(sso.system, former)
        long_ago = clock.now() - members.RESTORABLE - timedelta(seconds=1)
        Member.update(removed_at=long_ago).where(Member.id == former.id).execute()
    member = come(sso, said("left@acme.test", "x-2"))
    assert member.id != former.id
    assert IdentityLink.get(IdentityLink.name_id == "x-2").member_id == member.id
    assert come(sso, said("left@acme.test", "x-2")).id == member.id


def test_one_removed_by_hand_joins_again_as_a_new_member(sso: World) -> None:
    """Nothing of the former membership comes back."""
    former = come(sso, said("a@acme.test", "n-1"))
    with db.transaction():
        member_roles.set_roles(sso.system, former, ["billing"])
        member_lifecycle.remove(sso.system, former)
    member = come(sso, said("a@acme.test", "n-1"))
    assert member.id != former.id
    assert member_roles.roles_of(sso.account, member) == ("developer",)


@pytest.mark.parametrize(
    ("domains", "email", "allowed"),
    [
        ([], "a@anywhere.test", True),
        (["acme.test"], "a@ACME.test", True),
        (["@Acme.test"], "a@acme.test", True),
        (["acme.test"], "a@evil.test", False),
        (["acme.test"], "a@sub.acme.test", False),
        (["acme.test"], "a@notacme.test", False),
        (["acme.test"], "a@acme.test@evil.test", False),
        (["kent.test"], "a@\N{KELVIN SIGN}ent.test", False),
    ],
)
def test_a_provider_asserts_addresses_of_its_domains_only(
    sso: World, domains: list[str], email: str, allowed: bool
) -> None:
    """Whole domains, without regard to case; none named means any."""
    assert sso.provider is not None
    with db.transaction():
        idps.change(sso.system, sso.provider, domains=domains)
    if allowed:
        assert come(sso, said(email)).email == email
    else:
        assert refused(sso, said(email)) is Outcome.ADDRESS_NOT_ALLOWED


def test_an_administrators_sign_in_proves_the_provider(sso: World) -> None:
    """What enforcement waits for; anybody else's proves nothing."""
    assert sso.provider is not None
    come(sso, said("a@acme.test"))
    assert cast.again(sso.provider).administrator_signed_in_at is None
    come(sso, said(sso.owner.email))
    assert cast.again(sso.provider).administrator_signed_in_at is not None


def test_a_full_account_refuses_to_be_joined(sso: World) -> None:
    """And who is a member already comes in as ever."""
    member = come(sso, said("a@acme.test"))
    sso.account.seats = 2
    sso.account.save()
    with pytest.raises(Forbidden, match="All 2 seats"):
        come(sso, said("b@acme.test"))
    assert come(sso, said("a@acme.test")) == member


@pytest.mark.parametrize(
    ("change", "outcome"),
    [({"enabled": False}, Outcome.PROVIDER_DISABLED), ({"plan": "pro"}, Outcome.SSO_NOT_IN_PLAN)],
)
def test_a_provider_that_is_off_lets_nobody_in(sso: World, change: dict[str, Any], outcome: Outcome) -> None:
    """Also not the administrator."""
    assert sso.provider is not None
    row = sso.account if "plan" in change else sso.provider
    for name, value in change.items():
        setattr(row, name, value)
    row.save()
    assert refused(sso, said(sso.owner.email)) is outcome


# --- by password ------------------------------------------------------------------------------------------------


def _with_password(world: World) -> None:
    with db.transaction():
        people.set_password(world.owner.person, PASSWORD)


def test_a_password_opens_the_membership_asked_for(acme: World) -> None:
    """Of one account where it is named, else of one that can be entered."""
    _with_password(acme)
    other = cast.open_account("other")
    there = cast.join(other, acme.owner.email, person=acme.owner.person)
    assert sign_in.by_password(acme.owner.email, PASSWORD, account=other.account) == there
    with db.transaction():
        member_lifecycle.suspend(other.system, there)
    assert sign_in.by_password(acme.owner.email, PASSWORD) == acme.owner
    with pytest.raises(Refused) as caught:
        sign_in.by_password(acme.owner.email, PASSWORD, account=other.account)
    assert caught.value.outcome is Outcome.SUSPENDED


def test_a_wrong_password_and_an_unknown_address_are_refused_alike(acme: World) -> None:
    """Nobody learns who has an account."""
    _with_password(acme)
    answers = set()
    for email in (acme.owner.email, "nobody@acme.test"):
        with pytest.raises(Refused) as caught:
            sign_in.by_password(email, "a wrong password altogether")
        answers.add((caught.value.outcome, caught.value.message))
    assert answers == {(Outcome.NOT_A_MEMBER, sign_in.PUBLIC[Outcome.NOT_A_MEMBER])}


def test_the_refusal_tells_what_the_person_can_do(acme: World) -> None:
    """That one account enforces single sign-on, rather than that another has suspended her."""
    _with_password(acme)
    other = cast.open_account("other")
    there = cast.join(other, acme.owner.email, person=acme.owner.person)
    acme.account.sso_mode = "enforced"
    acme.account.save()
    with db.transaction():
        member_lifecycle.suspend(other.system, there)
    with pytest.raises(Refused) as caught:
        sign_in.by_password(acme.owner.email, PASSWORD)
    assert caught.value.outcome is Outcome.SSO_ENFORCED


def test_under_enforcement_a_password_opens_nothing(acme: World) -> None:
    """Not for the owner either; she has recovery codes."""
    _with_password(acme)
    acme.account.sso_mode = "enforced"
    acme.account.save()
    with pytest.raises(Refused) as caught:
        sign_in.by_password(acme.owner.email, PASSWORD)
    assert caught.value.outcome is Outcome.SSO_ENFORCED
