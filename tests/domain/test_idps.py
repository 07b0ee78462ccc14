"""Identity providers: what is trusted, what a change undoes, and what may not be taken away."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from idp_bridge import clock, db, groups, idps, member_lifecycle, member_roles, own_roles, scim_tokens
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.models import IdentityLink, IdentityProvider, Member, RoleMapping, ScimToken
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said
from tests.saml import idp as signing_idp

PEM = signing_idp.idp().certificate.pem


def _trust(**changes: Any) -> idps.Trust:
    return idps.Trust(
        **{"entity_id": "https://idp.test", "sso_url": "https://idp.test/sso", "certificates": [PEM], **changes}
    )


def _change(world: World, **options: Any) -> IdentityProvider:
    assert world.provider is not None
    provider = cast.again(world.provider)
    with db.transaction():
        idps.change(world.system, provider, **options)
    return cast.again(provider)


def test_a_new_provider_is_careful(acme: World) -> None:
    """Nobody joins by it uninvited, nobody becomes administrator by it, no response comes unasked."""
    provider = cast.again(cast.connect(acme))
    assert provider.enabled
    assert provider.join_policy == "invite_only"
    assert not provider.may_grant_admin
    assert not provider.allow_idp_initiated
    assert provider.default_roles == ["developer"]
    assert provider.domains == []
    assert provider.attribute_mapping == {"email": None, "first_name": None, "last_name": None, "groups": None}
    assert [c["fingerprint_sha256"] for c in provider.certificates] == [
        signing_idp.idp().certificate.fingerprint_sha256
    ]
    assert provider.administrator_signed_in_at is None


@pytest.mark.parametrize("plan", ["free", "pro"])
def test_single_sign_on_needs_enterprise(database: None, plan: str) -> None:
    """The refusal names the plan."""
    world = cast.open_account("acme", plan)
    with pytest.raises(Forbidden, match="Enterprise"), db.transaction():
        idps.create(world.system, name="Okta", trust=_trust())


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"trust": _trust(certificates=[])}, "certificates"),
        (
            {"trust": _trust(certificates=["-----BEGIN CERTIFICATE-----\nnope\n-----END CERTIFICATE-----"])},
            "certificates",
        ),
        ({"default_roles": ["wizard"]}, "roles"),
        ({"attribute_mapping": {"phone": "tel"}}, "attribute_mapping"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(sso: World, options: dict[str, Any], field: str) -> None:
    """At creation and at a change alike."""
    with pytest.raises(Invalid) as caught:
        _change(sso, **options)
    assert field in caught.value.fields
    with pytest.raises(Invalid), db.transaction():
        idps.create(sso.system, name="B", **{"trust": _trust(), **options})
    assert IdentityProvider.select().count() == 1


def test_metadata_that_cannot_be_used_is_refused_in_plain_words() -> None:
    """With the field that a form marks."""
    with pytest.raises(Invalid) as caught:
        idps.read_metadata("<html/>")
    assert caught.value.code is Code.INVALID_METADATA
    assert "metadata_xml" in caught.value.fields


@pytest.mark.parametrize(
    ("options", "resets"),
    [
        ({"trust": _trust(entity_id="https://other.test")}, True),
        ({"trust": _trust(sso_url="https://other.test/sso")}, True),
        ({"trust": _trust(certificates=[signing_idp.attacker().certificate.pem])}, True),
        ({"attribute_mapping": {"email": "mail"}}, True),
        ({"want_assertions_encrypted": True}, True),
        ({"domains": ["acme.test"]}, True),
        ({"name": "Other"}, False),
        ({"join_policy": "invite_only"}, False),
        ({"default_roles": ["viewer"]}, False),
    ],
)
def test_a_change_of_what_a_sign_in_rests_on_takes_the_proof_away(
    acme: World, options: dict[str, Any], resets: bool
) -> None:
    """An administrator must come in through it again before it can be enforced."""
    cast.connect(acme, entity_id="https://idp.test", sso_url="https://idp.test/sso", join_policy="jit")
    come(acme, said(acme.owner.email))
    provider = _change(acme, **options)
    assert (provider.changed_at > provider.administrator_signed_in_at) is resets


def test_the_same_values_again_change_nothing(sso: World) -> None:
    """Neither the proof nor the events."""
    assert sso.provider is not None
    before = cast.again(sso.provider)
    _change(sso, name=before.name, domains=[], attribute_mapping=dict.fromkeys(idps.MAPPED_CLAIMS))
    assert cast.again(sso.provider).changed_at == before.changed_at
    assert cast.happened(sso, "identity_provider_updated.v0") == []


def test_a_change_of_the_name_leaves_a_sign_in_that_came_between(sso: World) -> None:
    """Only what changed is written."""
    assert sso.provider is not None
    open_in_a_form = cast.again(sso.provider)
    come(sso, said(sso.owner.email))
    with db.transaction():
        idps.change(sso.system, open_in_a_form, name="Other")
    stored = cast.again(sso.provider)
    assert stored.name == "Other"
    assert stored.administrator_signed_in_at is not None


def test_default_roles_are_not_above_the_actors_rights(sso: World) -> None:
    """Else the next one to join would have more than who allowed it."""
    assert sso.provider is not None
    actor = cast.acting(sso, cast.join(sso, "d@acme.test"))
    with pytest.raises(Forbidden), db.transaction():
        idps.change(actor, cast.again(sso.provider), default_roles=["billing"])


def _enforce(world: World) -> None:
    world.account.sso_mode = "enforced"
    world.account.save()


@pytest.mark.parametrize("end", ["off", "delete"])
def test_the_last_enabled_provider_stays_under_enforcement(sso: World, end: str) -> None:
    """It is the only door there is; with a second one that an administrator has come in through it may go."""
    _enforce(sso)

    def take_away() -> None:
        assert sso.provider is not None
        with db.transaction():
            provider = idps.get(sso.account, first)
            idps.change(sso.system, provider, enabled=False) if end == "off" else idps.delete(sso.system, provider)

    assert sso.provider is not None
    first = sso.provider.id
    with pytest.raises(Conflict) as caught:
        take_away()
    assert caught.value.code is Code.LAST_IDENTITY_PROVIDER
    cast.connect(sso, name="Entra", enabled=False)
    with pytest.raises(Conflict):
        take_away()
    _change(sso, enabled=True)
    with pytest.raises(Conflict):
        take_away()
    IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=sso.owner.id).where(
        IdentityProvider.id != first
    ).execute()
    take_away()
    assert IdentityProvider.select().where(IdentityProvider.enabled).count() == 1


def test_deleting_a_provider_keeps_its_members_and_frees_them_of_it(sso: World) -> None:
    """They are managed by hand from then on: whoever was active stays so, whom the directory kept out stays out until
    an administrator lifts it, and each can be removed."""
    on, off = cast.provisioned(sso, "on@acme.test"), cast.provisioned(sso, "off@acme.test")
    jit = come(sso, said("jit@acme.test"))
    assert sso.provider is not None
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, off, False)
        idps.delete(sso.system, cast.again(sso.provider))
    on, off, jit = cast.again(on), cast.again(off), cast.again(jit)
    assert [member.active for member in (on, off, jit)] == [True, False, True]
    assert {member.identity_provider_id for member in (on, off, jit)} == {None}
    with db.transaction():
        member_lifecycle.unsuspend(sso.system, off)
        member_lifecycle.remove(sso.system, on)
    assert cast.again(off).active
    assert [model.select().count() for model in (ScimToken, RoleMapping, IdentityLink)] == [0, 0, 0]


def test_deleting_a_provider_takes_what_its_claims_gave(sso: World) -> None:
    """The mappings are gone, and so are the roles that only they gave."""
    assert sso.provider is not None
    with db.transaction():
        groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Finance")
    member = come(sso, said("a@acme.test", groups=("Finance",)))
    with db.transaction():
        idps.delete(sso.system, cast.again(sso.provider))
    assert member_roles.roles_of(sso.account, cast.again(member)) == ()


def test_what_may_grant_admin_no_longer_has_made_no_administrator(sso: World) -> None:
    """By its default roles too; whom a person has made one stays one."""
    provider = sso.provider
    assert provider is not None
    _change(sso, may_grant_admin=True, default_roles=["admin"])
    spoken = replace(sso.system, type="identity_provider", id=provider.id)
    joining: dict[str, Any] = {"managed_by": "jit", "identity_provider": provider, "roles": ["admin"]}
    with db.transaction():
        by_default = member_lifecycle.create(spoken, email="a@acme.test", role_source="default", **joining)
        by_hand = member_lifecycle.create(sso.system, email="b@acme.test", **joining)
    _change(sso, may_grant_admin=False, default_roles=["developer"])
    assert member_roles.roles_of(sso.account, by_default) == ()
    assert member_roles.roles_of(sso.account, by_hand) == ("admin",)


def test_what_is_trusted_with_administrators_only_they_decide(sso: World) -> None:
    """Its keys, domains, tokens and that it is on; somebody else's own connection is not trusted so, until one says."""
    theirs = sso.provider
    assert theirs is not None
    with db.transaction():
        own_roles.create(sso.system, "connector", permissions=["idps:read", "idps:write"])
    maker = cast.acting(sso, cast.join(sso, "maker@acme.test", "connector", "developer"))
    trust = _trust(entity_id="https://own.example.test/")
    with db.transaction():
        own = idps.create(maker, name="Own", trust=trust)
        scim_tokens.issue(maker, own)
        idps.change(maker, own, domains=["acme.test"])
        idps.change(maker, theirs, name="Renamed", enabled=False)
    assert (cast.again(own).trusted_with_administrators, theirs.trusted_with_administrators) == (False, True)
    refused: list[Callable[[], object]] = [
        lambda: idps.change(maker, cast.again(theirs), trust=trust),
        lambda: idps.change(maker, cast.again(theirs), domains=["evil.test"]),
        lambda: idps.change(maker, cast.again(theirs), attribute_mapping={"email": "nickname"}),
        lambda: idps.change(maker, cast.again(theirs), metadata_url="https://evil.test/"),
        lambda: idps.change(maker, cast.again(theirs), enabled=True),
        lambda: idps.change(maker, cast.again(theirs), trusted_with_administrators=False),
        lambda: scim_tokens.issue(maker, cast.again(theirs)),
        lambda: idps.change(maker, cast.again(own), trusted_with_administrators=True),
        lambda: idps.create(maker, name="Own", trust=trust, trusted_with_administrators=True),
    ]
    for attempt in refused:
        with pytest.raises(Forbidden) as caught, db.transaction():
            attempt()
        assert caught.value.code is Code.ADMINISTRATORS_ONLY
    with pytest.raises(Invalid, match="trusted with administrators"), db.transaction():
        idps.change(sso.system, cast.again(own), may_grant_admin=True)
    with db.transaction():
        idps.change(sso.system, cast.again(own), may_grant_admin=True, trusted_with_administrators=True)
    with pytest.raises(Forbidden), db.transaction():
        scim_tokens.issue(maker, cast.again(own))


def test_a_provider_of_another_account_is_not_found(sso: World) -> None:
    """Though its sign-in URL finds it with its account."""
    other = cast.open_account("other")
    theirs = cast.connect(other)
    with pytest.raises(NotFound):
        idps.get(sso.account, theirs.id)
    assert idps.with_account(theirs.id).account == other.account
    with pytest.raises(NotFound):
        idps.with_account("idp_nobody")


def test_two_accounts_and_two_connections_may_name_one_entity(sso: World) -> None:
    """Entra has one entity id for all applications of a tenant: each of our connections has ids and URLs of its own."""
    second = cast.connect(sso, name="Second")
    third = cast.connect(cast.open_account("other"))
    assert second.entity_id == third.entity_id
    assert idps.urls(second.id, "https://b")["acs_url"] != idps.urls(third.id, "https://b")["acs_url"]


def test_a_directory_has_members_of_its_own_account_only(sso: World) -> None:
    """What was provisioned names its provider."""
    member = cast.provisioned(sso, "a@acme.test")
    assert Member.get_by_id(member.id).identity_provider_id == (sso.provider.id if sso.provider else None)


def test_what_a_provider_leaves_behind_is_told_with_its_end(sso: World) -> None:
    """Who is managed by hand from now on, who stays out, and whose roles are gone: nobody has to find that out."""
    assert sso.provider is not None
    stays, held = cast.provisioned(sso, "ann@acme.test"), cast.provisioned(sso, "bob@acme.test")
    with db.transaction():
        member_lifecycle.set_directory_active(sso.system, held, False)
        mapping = groups.map_role(sso.system, sso.provider, role="billing", group_display_name="Finance")
        member_roles.set_claimed_roles(sso.system, stays, {mapping.id: "billing"})
        idps.delete(sso.system, cast.again(sso.provider))
    (told,) = cast.happened(sso, "identity_provider_deleted.v0")
    assert told.object["claims_lost_by"] == {"count": 1, "ids": [stays.id]}
    assert told.object["members_held"] == {"count": 1, "ids": [held.id]}
    assert told.object["members_left"] == {"count": 2, "ids": sorted([stays.id, held.id])}


def test_whom_a_provider_made_an_administrator_is_told_when_it_may_no_more(sso: World) -> None:
    """By the setting's own event, with its certificates as they are told everywhere."""
    assert sso.provider is not None
    member = cast.join(sso, "ann@acme.test", "viewer")
    with db.transaction():
        idps.change(sso.system, sso.provider, may_grant_admin=True)
        mapping = groups.map_role(sso.system, sso.provider, role="admin", group_display_name="Root")
        member_roles.set_claimed_roles(sso.system, member, {mapping.id: "admin"})
        idps.change(sso.system, sso.provider, may_grant_admin=False)
    told = cast.happened(sso, "identity_provider_updated.v0")[-1]
    assert told.object["administrators_by_it"] == {"count": 1, "ids": [member.id]}
    assert told.object["before"] == {"may_grant_admin": True}
