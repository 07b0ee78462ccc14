"""What an assertion may change, attribute by attribute: SCIM's word stands above it, and it above what is by hand."""

from typing import Any

import pytest

from idp_bridge import clock, connection_warnings, db, groups, idps, member_lifecycle, member_roles, sign_in
from idp_bridge.models import DirectoryUser, Member
from idp_bridge.sign_in import GROUPS_OVERAGE, KEPT_LAST_ADMINISTRATOR, Admission, Identity
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said

NAMES = ("name", "first_name", "last_name", "email")
CLAIMS = {"display_name": "Eve Claimed", "first_name": "Eve", "last_name": "Claimed"}


def admit(world: World, identity: Identity) -> Admission:
    """Sign in by an assertion; all that came of it."""
    assert world.provider is not None
    with db.transaction():
        return sign_in.by_assertion(world.system, cast.again(world.provider), identity)


def _known(member: Member) -> tuple[str, ...]:
    again = cast.again(member)
    return tuple(getattr(again, name) for name in NAMES)


def _provisioned(world: World, **resource: Any) -> Member:
    """A member whose record says this of her, and so does she."""
    member = cast.provisioned(world, "ann@acme.test", external_id="n-1")
    document = {"userName": "ann@acme.test", "active": True, **resource}
    DirectoryUser.update(resource=document).where(DirectoryUser.member == member).execute()
    name = resource.get("name", {})
    member.first_name, member.last_name = name.get("givenName", ""), name.get("familyName", "")
    member.name = resource.get("displayName") or name.get("formatted") or "ann@acme.test"
    member.save()
    return member


@pytest.mark.parametrize(
    ("resource", "known"),
    [
        ({}, ("Eve Claimed", "Eve", "Claimed")),
        ({"displayName": "Ann"}, ("Ann", "Eve", "Claimed")),
        ({"name": {"formatted": "Ann Lee"}}, ("Ann Lee", "Eve", "Claimed")),
        ({"displayName": "Ann", "name": {"givenName": "Ann"}}, ("Ann", "Ann", "Claimed")),
        ({"displayName": "Ann", "name": {"familyName": "Lee"}}, ("Ann", "Eve", "Lee")),
        ({"displayName": "Ann", "name": {"givenName": "Ann", "familyName": "Lee"}}, ("Ann", "Ann", "Lee")),
    ],
)
def test_what_her_record_says_no_assertion_changes(
    sso: World, resource: dict[str, Any], known: tuple[str, ...]
) -> None:
    """Each attribute by itself; her address is always her directory's. What it says nothing of, the assertion may."""
    member = _provisioned(sso, **resource)
    come(sso, said("other@acme.test", "n-1", **CLAIMS))
    assert _known(member) == (*known, "ann@acme.test")


def test_what_no_directory_manages_follows_every_assertion(sso: World) -> None:
    """Also what was typed here by hand; what an assertion leaves out stays."""
    member = cast.join(sso, "ann@acme.test", name="Typed By Hand", first_name="Typed")
    come(sso, said("ann@acme.test", "n-1", **CLAIMS))
    assert _known(member) == ("Eve Claimed", "Eve", "Claimed", "ann@acme.test")
    come(sso, said("renamed@acme.test", "n-1"))
    assert _known(member) == ("Eve Claimed", "Eve", "Claimed", "renamed@acme.test")


def test_a_stale_assertion_changes_no_state(sso: World) -> None:
    """Whom her directory set inactive it does not let in, nor make active."""
    member = _provisioned(sso)
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, member, False)
    with pytest.raises(sign_in.Refused):
        come(sso, said("ann@acme.test", "n-1"))
    assert not cast.again(member).active


def test_a_claim_names_no_group_that_the_directory_pushes(sso: World) -> None:
    """Who is in a pushed group its directory says; a group that it does not push may be claimed. Of a member whom no
    directory manages both may."""
    assert sso.provider is not None
    pushed = cast.group(sso.provider, "Finance", external_id="8f0c")
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_id=pushed.id)
        groups.map_role(sso.system, sso.provider, role="viewer", group_display_name="Auditors")
    managed = _provisioned(sso)
    claims = ("Finance", "8f0c", "Auditors")
    come(sso, said("ann@acme.test", "n-1", groups=claims))
    assert member_roles.roles_of(sso.account, managed) == ("developer", "viewer")
    assert member_roles.roles_of(sso.account, come(sso, said("new@acme.test", groups=claims))) == ("billing", "viewer")


def test_a_stale_claim_gives_back_no_group_that_was_taken(sso: World) -> None:
    """She left the group at the directory, and the assertion still names it."""
    assert sso.provider is not None
    managed = _provisioned(sso)
    pushed = cast.group(sso.provider, "Finance", [managed])
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_id=pushed.id)
    come(sso, said("ann@acme.test", "n-1", groups=("Finance",)))
    assert member_roles.roles_of(sso.account, managed) == ("billing", "developer")
    cast.take_out(pushed, managed)
    come(sso, said("ann@acme.test", "n-1", groups=("Finance",)))
    assert member_roles.roles_of(sso.account, managed) == ("developer",)


# --- an address ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["оwner@acme.test", "ｏｗｎｅｒ@acme.test", "annа@acme.test"])
def test_nobody_is_given_an_address_that_passes_for_another(sso: World, email: str) -> None:
    """She comes in, since her NameID says who she is, and keeps the address that she had."""
    member = come(sso, said("ann@acme.test", "n-1"))
    assert come(sso, said(email, "n-1")) == member
    assert cast.again(member).email == "ann@acme.test"


# --- the last administrator ----------------------------------------------------------------------------------------


def _by_claim_alone(world: World) -> Member:
    """An administrator by a claim, and no other there is."""
    assert world.provider is not None
    with db.transaction():
        groups.map_role(world.system, world.provider, role="admin", group_display_name="Root")
        idps.change(world.system, world.provider, may_grant_admin=True)
    member = come(world, said("ann@acme.test", groups=("Root",)))
    with db.transaction():
        member_lifecycle.remove(world.system, world.owner)
    return member


def test_a_claim_that_would_take_the_last_administrator_lets_her_in_as_one(sso: World) -> None:
    """Refused, nobody could mend the account any more. Each such sign-in says so; once there is another administrator
    the claim counts again."""
    member = _by_claim_alone(sso)
    for _ in range(2):
        admission = admit(sso, said("ann@acme.test", groups=("Sales",)))
        assert (admission.member, admission.warnings) == (member, (KEPT_LAST_ADMINISTRATOR,))
        assert member_roles.roles_of(sso.account, member) == ("admin",)
    cast.join(sso, "second@acme.test", "admin")
    assert admit(sso, said("ann@acme.test", groups=("Sales",))).warnings == ()
    assert member_roles.roles_of(sso.account, member) == ("developer",)


def test_what_else_the_claim_changes_is_done_all_the_same(sso: World) -> None:
    """Only the one role stays."""
    assert sso.provider is not None
    member = _by_claim_alone(sso)
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Finance")
    assert admit(sso, said("ann@acme.test", groups=("Finance",))).warnings == (KEPT_LAST_ADMINISTRATOR,)
    assert member_roles.roles_of(sso.account, member) == ("admin", "billing")


# --- too many groups ----------------------------------------------------------------------------------------------


def test_a_link_instead_of_groups_keeps_the_roles_and_is_told(sso: World) -> None:
    """In the sign-in's warnings and at the connection, for as long as it is news."""
    assert sso.provider is not None
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Finance")
    member = come(sso, said("ann@acme.test", groups=("Finance",)))
    admission = admit(sso, said("ann@acme.test", groups=None, groups_overage=True))
    assert admission.warnings == (GROUPS_OVERAGE,)
    assert member_roles.roles_of(sso.account, member) == ("billing",)
    provider = cast.again(sso.provider)
    told = {warned.code for warned in connection_warnings.of_provider(provider)}
    later = clock.now() + connection_warnings.OVERAGE_TOLD_FOR
    assert "groups_overage" in told
    assert "groups_overage" not in {warned.code for warned in connection_warnings.of_provider(provider, later)}
