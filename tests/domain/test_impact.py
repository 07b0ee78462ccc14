"""What switching a connection off or deleting it does to people is said beforehand, and is what then happens."""

from typing import Any

import pytest

from idp_bridge import actors, clock, db, groups, idps, impact, member_lifecycle, sessions
from idp_bridge.errors import Conflict
from idp_bridge.models import (
    DirectoryUser,
    IdentityLink,
    IdentityProvider,
    Member,
    MemberRole,
    Person,
    RoleMapping,
    ScimToken,
    Session,
)
from tests.conftest import World
from tests.domain import cast


def link(provider: IdentityProvider, member: Member) -> None:
    """She has come in by this provider."""
    IdentityLink.create(
        identity_provider=provider, name_id_format="f", name_id=member.id, member=member, created_at=clock.now()
    )


def with_password(member: Member) -> None:
    Person.update(password_hash="set").where(Person.id == member.person_id).execute()


@pytest.fixture
def provider(sso: World) -> IdentityProvider:
    """acme's connection."""
    assert sso.provider is not None
    return cast.again(sso.provider)


@pytest.fixture
def second(sso: World, provider: IdentityProvider) -> IdentityProvider:
    """Another connection of acme."""
    made = cast.connect(sso, name="Second")
    sso.provider = provider
    return made


def locked_out(provider: IdentityProvider) -> int:
    return impact.of_disabling(actors.system(provider.account), cast.again(provider)).locked_out


def test_who_has_no_other_way_in_is_counted(sso: World, provider: IdentityProvider, second: IdentityProvider) -> None:
    """By a link or by the directory; not who has a password, another connection, or is not active."""
    by_link = cast.join(sso, "link@acme.test", managed_by="jit", identity_provider=provider)
    link(provider, by_link)
    cast.provisioned(sso, "pushed@acme.test")
    assert locked_out(provider) == 2
    with_password(by_link)
    assert locked_out(provider) == 1
    both = cast.join(sso, "both@acme.test")
    link(provider, both)
    assert locked_out(provider) == 2
    link(second, both)
    assert locked_out(provider) == 1
    elsewhere = cast.join(sso, "elsewhere@acme.test", managed_by="jit", identity_provider=second)
    link(provider, elsewhere)
    assert locked_out(provider) == 1
    suspended = cast.provisioned(sso, "off@acme.test")
    with db.transaction():
        member_lifecycle.suspend(sso.system, suspended)
    assert locked_out(provider) == 1


def test_a_password_is_no_way_in_under_enforcement(sso: World, provider: IdentityProvider) -> None:
    """Nor is a connection that is switched off."""
    member = cast.provisioned(sso, "a@acme.test")
    with_password(member)
    assert locked_out(provider) == 0
    sso.account.sso_mode = "enforced"
    sso.account.save()
    assert locked_out(provider) == 1
    other = cast.connect(sso, name="Off", enabled=False)
    link(other, member)
    assert locked_out(provider) == 1


def test_other_accounts_do_not_count(sso: World, provider: IdentityProvider) -> None:
    """Nor does a connection of theirs open this one."""
    member = cast.provisioned(sso, "a@acme.test")
    other = cast.open_account("other")
    theirs = cast.connect(other)
    cast.provisioned(other, "b@other.test")
    link(theirs, member)
    assert locked_out(provider) == 1


def test_what_is_said_is_what_happens(sso: World, provider: IdentityProvider) -> None:
    """Numbers before the deletion, and the rows that are gone after it."""
    member = cast.provisioned(sso, "a@acme.test")
    cast.group(provider, "Engineering", [member])
    with db.transaction():
        groups.map_role(sso.system, provider, role="viewer", group_display_name="Engineering")
        for _ in range(2):
            sessions.open_session(member, method="saml", identity_provider_id=provider.id)
        sessions.open_session(member, method="password")
    models: tuple[Any, ...] = (Session, ScimToken, DirectoryUser, RoleMapping)
    before = [model.select().count() for model in models]
    said = impact.of_deleting(actors.system(provider.account), provider)
    with db.transaction():
        idps.delete(sso.system, provider)
    gone = [count - model.select().count() for count, model in zip(before, models, strict=True)]
    assert (said.sessions_ended, said.scim_tokens_deleted, said.role_mappings_deleted) == (gone[0], gone[1], gone[3])
    assert (gone, said.groups_deleted, said.members_released) == ([2, 1, 1, 1], 1, 1)
    assert cast.again(member).active
    assert said.refused is None


def test_switching_off_keeps_the_directory(sso: World, provider: IdentityProvider) -> None:
    """Only the way in is closed, and the sessions that came by it end."""
    member = cast.provisioned(sso, "a@acme.test")
    with db.transaction():
        sessions.open_session(member, method="saml", identity_provider_id=provider.id)
    assert impact.of_disabling(actors.system(provider.account), provider) == impact.Impact(
        refused=None, sessions_ended=1, locked_out=1
    )
    with db.transaction():
        idps.change(sso.system, provider, enabled=False)
    assert Session.select().count() == 0
    assert ScimToken.select().count() == 1


def test_the_last_door_says_so_beforehand(sso: World, provider: IdentityProvider) -> None:
    """In the words that the refusal itself has."""
    sso.account.sso_mode = "enforced"
    sso.account.save()
    for said in (
        impact.of_disabling(actors.system(provider.account), cast.again(provider)),
        impact.of_deleting(actors.system(provider.account), cast.again(provider)),
    ):
        assert said.refused is not None
        assert "enforced" in said.refused


@pytest.mark.parametrize("by", ["claim", "group"])
def test_the_last_administrator_says_so_beforehand(sso: World, provider: IdentityProvider, by: str) -> None:
    """Who is one only by what the connection says of her is none without it; one by hand beside her is enough."""
    with db.transaction():
        idps.change(sso.system, provider, may_grant_admin=True)
        groups.map_role(sso.system, provider, role="admin", group_display_name="Admins")
    mapping = RoleMapping.get()
    if by == "group":
        pushed = cast.provisioned(sso, "a@acme.test")
        RoleMapping.update(group=cast.group(provider, "Admins", [pushed])).execute()
    else:
        come = cast.join(sso, "a@acme.test", managed_by="jit", identity_provider=provider)
        MemberRole.create(member=come, role="admin", source="claim", mapping_id=mapping.id, created_at=clock.now())
    assert impact.of_deleting(actors.system(provider.account), cast.again(provider)).refused is None
    with db.transaction():
        member_lifecycle.suspend(sso.system, cast.again(sso.owner))
    said = impact.of_deleting(actors.system(provider.account), cast.again(provider)).refused
    with pytest.raises(Conflict) as refused, db.transaction():
        idps.delete(sso.system, cast.again(provider))
    assert said == refused.value.message
    assert impact.of_disabling(actors.system(provider.account), cast.again(provider)).refused is None
