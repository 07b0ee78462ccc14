"""The pages under /accounts/<slug>/: what they show, what their forms do, and who may do what."""

import io
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import (
    bots,
    clock,
    credentials,
    db,
    groups,
    idps,
    ids,
    invitations,
    last_uses,
    member_lifecycle,
    member_roles,
    people,
    recovery,
)
from idp_bridge.models import (
    Account,
    Credential,
    DirectoryGroup,
    DirectoryUser,
    Event,
    GroupMember,
    IdentityProvider,
    Invitation,
    Member,
    Person,
    RoleMapping,
)
from idp_bridge.text import fold
from tests.conftest import PASSWORD, World, add_provider, make_account
from tests.web.pages import post, sign_in

BASE = "/accounts/acme"
PAGES = (
    "overview",
    "members",
    "groups",
    "roles",
    "settings",
    "settings/sign-in-mode",
    "identity-providers/new",
    "bot-users",
    "credentials",
    "events",
    "provisioning",
    "usage",
)


def submit(client: FlaskClient, path: str, *, page: str = "usage", **fields: Any) -> Any:
    """Post a form under the account."""
    return post(client, f"{BASE}/{path}", page=f"{BASE}/{page}", **fields)


def text_of(client: FlaskClient, path: str) -> str:
    answer = client.get(f"{BASE}/{path}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def add_member(world: World, email: str, *, role: str = "developer", password: bool = False, **options: Any) -> Member:
    with db.connection(), db.transaction():
        person = people.create(email) if password else None
        if person is not None:
            people.set_password(person, PASSWORD)
        options = {"managed_by": "local", "name": email.partition("@")[0].capitalize(), **options}
        return member_lifecycle.create(world.system, email=email, person=person, roles=[role], **options)


def push_group(provider: IdentityProvider, name: str, *who: Member) -> DirectoryGroup:
    moment = clock.now()
    with db.connection(), db.transaction():
        group = DirectoryGroup.create(
            id=ids.new("grp"),
            identity_provider=provider,
            display_name=name,
            display_name_key=fold(name),
            resource={},
            created_at=moment,
            modified_at=moment,
        )
        for member in who:
            user = DirectoryUser.create(
                id=ids.new("du"),
                identity_provider=provider,
                member=member,
                user_name=member.email,
                user_name_key=fold(member.email),
                resource={},
                created_at=moment,
                modified_at=moment,
            )
            GroupMember.create(group=group, user=user)
    return group


@pytest.fixture
def provider(world: World, idp_certificate: str) -> IdentityProvider:
    """Okta, with a SCIM token."""
    with db.connection():
        return add_provider(world, idp_certificate)


# --- the frame --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("plan", ["free", "enterprise"])
def test_every_page_is_shown_on_every_plan(client: FlaskClient, app: Flask, page: str, plan: str) -> None:
    """What the plan does not have is explained there, not hidden (test_gated_pages.py)."""
    with db.connection():
        make_account("acme", plan=plan)
    sign_in(client)
    text = text_of(client, page)
    assert text.count("<h1") == 1
    assert 'name="csrf-token"' in text


@pytest.mark.parametrize("page", PAGES)
def test_pages_carry_no_inline_script_or_style(signed_in: FlaskClient, page: str) -> None:
    """The content security policy would refuse them."""
    text = text_of(signed_in, page)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)


@pytest.mark.parametrize("page", [*PAGES, "members/usr_x", "identity-providers/idp_x", "bot-users/bot_x"])
def test_another_account_is_not_found(signed_in: FlaskClient, app: Flask, page: str) -> None:
    """Whether or not it exists."""
    with db.connection():
        make_account("globex")
    for slug in ("globex", "no-such-account"):
        assert signed_in.get(f"/accounts/{slug}/{page}").status_code == 404


def test_what_belongs_to_another_account_is_not_found(signed_in: FlaskClient, app: Flask, idp_certificate: str) -> None:
    """Ids of elsewhere under one's own address, to look at and to change."""
    with db.connection():
        other = make_account("globex")
        theirs = add_provider(other, idp_certificate)
        with db.transaction():
            bot = bots.create(other.system, "ci")
    for path in (f"members/{other.owner.id}", f"identity-providers/{theirs.id}", f"bot-users/{bot.id}"):
        assert signed_in.get(f"{BASE}/{path}").status_code == 404
    for path in (
        f"members/{other.owner.id}/suspend",
        f"identity-providers/{theirs.id}/delete",
        f"bot-users/{bot.id}/delete",
    ):
        assert submit(signed_in, path, confirm="ci").status_code == 404
    with db.connection():
        assert Member.get_by_id(other.owner.id).active


MAY = {
    "viewer": {"overview", "members", "groups", "roles", "settings", "bot-users", "events", "usage"},
    "billing": {"overview", "members", "roles", "settings", "usage"},
    "team_manager": {"overview", "members", "groups", "roles", "settings", "events"},
    "developer": {"overview", "members", "groups", "roles", "settings", "bot-users", "credentials", "events", "usage"},
}


@pytest.mark.parametrize("role", MAY)
def test_a_role_opens_its_pages_and_the_navigation_offers_just_those(
    client: FlaskClient, world: World, role: str
) -> None:
    """403 elsewhere, as a page that says which role would do."""
    add_member(world, "mo@acme.test", role=role, password=True)
    sign_in(client, email="mo@acme.test")
    navigation = text_of(client, "members").partition("<nav")[2].partition("</nav>")[0]
    for page in PAGES:
        answer = client.get(f"{BASE}/{page}")
        assert answer.status_code == (200 if page in MAY[role] else 403), page
        if page != "identity-providers/new":
            assert (f'href="{BASE}/{page}"' in navigation) == (page in MAY[role]), page


def test_a_viewer_changes_nothing(client: FlaskClient, world: World) -> None:
    """The form is not shown, and posting it anyway is refused."""
    add_member(world, "vi@acme.test", role="viewer", password=True)
    sign_in(client, email="vi@acme.test")
    assert "Make bot user" not in text_of(client, "bot-users")
    assert submit(client, "bot-users", name="mine").status_code == 403
    assert submit(client, "settings/name", name="Mine").status_code == 403
    assert submit(client, "members/invitations", email="x@acme.test").status_code == 403
    with db.connection():
        assert not bots.of_account(world.account).exists()
        assert Account.get_by_id(world.account.id).name == "Acme"


# --- members ----------------------------------------------------------------------------------------------------


def test_an_invitation_shows_its_link_once(signed_in: FlaskClient, world: World) -> None:
    """And the link works."""
    answer = submit(signed_in, "members/invitations", email="gil@acme.test", roles=["viewer", "billing"])
    assert answer.status_code == 201
    link = re.search(r'value="(http://localhost/invitations/[^"]+)"', answer.get_data(as_text=True))
    assert link
    assert signed_in.get(link.group(1)).status_code == 200
    page = text_of(signed_in, "members")
    assert "gil@acme.test" in page
    assert "/invitations/ibin" not in page
    with db.connection():
        invitation = Invitation.get()
        assert invitation.roles == ["billing", "viewer"]
    assert submit(signed_in, f"members/invitations/{invitation.id}/cancel").status_code == 303
    assert signed_in.get(link.group(1)).status_code == 410


@pytest.mark.parametrize(
    ("email", "status", "words"),
    [
        ("owner@acme.test", 409, "is a member of this account already"),
        ("nonsense", 400, "Write an address such as"),
        ("", 400, "Write an address such as"),
    ],
)
def test_a_refused_form_comes_back_with_what_was_typed(
    signed_in: FlaskClient, email: str, status: int, words: str
) -> None:
    """The page, a summary, the value; the status of the error."""
    answer = submit(signed_in, "members/invitations", email=email, roles=["viewer"])
    text = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert 'id="problem"' in text
    assert words in text
    assert "<title>Error: Team members" in text
    assert f'type="email" value="{email}"' in text
    assert re.search(r'value="viewer" checked', text)
    assert not re.search(r'value="developer" checked', text)


def test_seats_and_plan_are_named_where_they_refuse(signed_in: FlaskClient, world: World) -> None:
    """The domain refuses, the page explains."""
    with db.connection():
        Account.update(seats=1).execute()
    full = submit(signed_in, "members/invitations", email="gil@acme.test")
    assert full.status_code == 403
    assert "All 1 seats" in full.get_data(as_text=True)
    with db.connection():
        Account.update(plan="free").execute()
    free = submit(signed_in, "members/invitations", email="gil@acme.test")
    assert free.status_code == 403
    assert "needs the Pro plan" in free.get_data(as_text=True)


def test_roles_are_changed_by_ticking(signed_in: FlaskClient, world: World) -> None:
    """What is ticked is held afterwards; the last administrator stays one."""
    member = add_member(world, "mo@acme.test")
    assert submit(signed_in, f"members/{member.id}/roles", roles=["billing", "viewer"]).status_code == 303
    with db.connection():
        assert member_roles.roles_of(world.account, member) == ("billing", "viewer")
    last = submit(signed_in, f"members/{world.owner.id}/roles", roles=["viewer"])
    assert last.status_code == 409
    assert "without an active administrator" in last.get_data(as_text=True)
    with db.connection():
        assert member_roles.roles_of(world.account, world.owner) == ("admin",)


def test_suspending_and_reactivating(signed_in: FlaskClient, world: World) -> None:
    """Both by a button on the member's page."""
    member = add_member(world, "mo@acme.test")
    submit(signed_in, f"members/{member.id}/suspend")
    assert "Reactivate" in text_of(signed_in, f"members/{member.id}")
    assert "Suspended" in text_of(signed_in, "members?state=suspended")
    submit(signed_in, f"members/{member.id}/reactivate")
    with db.connection():
        assert Member.get_by_id(member.id).active


def test_removal_wants_the_address_typed(signed_in: FlaskClient, world: World) -> None:
    """Anything else removes nobody."""
    member = add_member(world, "mo@acme.test")
    assert submit(signed_in, f"members/{member.id}/remove", confirm="mo").status_code == 400
    assert submit(signed_in, f"members/{member.id}/remove", confirm="mo@acme.test").status_code == 303
    with db.connection():
        assert Member.get_or_none(Member.id == member.id) is None


def test_a_team_manager_does_not_touch_administrators(client: FlaskClient, world: World) -> None:
    """She may manage the others."""
    add_member(world, "tim@acme.test", role="team_manager", password=True)
    other = add_member(world, "mo@acme.test")
    sign_in(client, email="tim@acme.test")
    assert submit(client, f"members/{world.owner.id}/suspend", page="members").status_code == 403
    assert submit(client, f"members/{other.id}/suspend", page="members").status_code == 303


# --- groups and mappings ----------------------------------------------------------------------------------------


def test_a_preview_tells_who_gains_and_saves_nothing(
    signed_in: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """The change is made and rolled back: no mapping, no event."""
    member = add_member(world, "mo@acme.test", managed_by="scim", identity_provider=provider)
    push_group(provider, "Platform", member)
    query = f"identity_provider_id={provider.id}&group_display_name=platform&role=billing"
    with db.connection():
        before = Event.select().count()
    text = text_of(signed_in, f"groups/mappings/new?{query}")
    assert "+ billing" in text
    assert "mo@acme.test" in text
    with db.connection():
        assert RoleMapping.select().count() == 0
        assert Event.select().count() == before


def test_a_mapping_is_added_changed_and_removed(
    signed_in: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """The roles of the group's members follow at once."""
    member = add_member(world, "mo@acme.test", managed_by="scim", identity_provider=provider)
    push_group(provider, "Platform", member)

    def held() -> tuple[str, ...]:
        with db.connection():
            return member_roles.roles_of(world.account, member)

    submit(
        signed_in, "groups/mappings", identity_provider_id=provider.id, group_display_name="Platform", role="billing"
    )
    assert held() == ("billing", "developer")
    with db.connection():
        mapping = RoleMapping.get()
    assert "− billing" in text_of(signed_in, f"groups/mappings/{mapping.id}/change?role=viewer")
    submit(signed_in, f"groups/mappings/{mapping.id}", role="viewer")
    assert held() == ("developer", "viewer")
    assert "− viewer" in text_of(signed_in, f"groups/mappings/{mapping.id}/remove")
    submit(signed_in, f"groups/mappings/{mapping.id}/remove")
    assert held() == ("developer",)


def test_a_preview_says_when_the_change_would_be_refused(
    signed_in: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """Removing the mapping that makes the last administrator one."""
    member = add_member(world, "mo@acme.test", managed_by="scim", identity_provider=provider)
    group = push_group(provider, "Admins", member)
    with db.connection(), db.transaction():
        idps.change(world.system, provider, may_grant_admin=True)
        mapping = groups.map_role(world.system, provider, role="admin", group_id=group.id)
        member_lifecycle.suspend(world.system, world.owner)
        Member.update(active=True, held=False).where(Member.id == world.owner.id).execute()
        member_roles.set_roles(world.system, world.owner, ["viewer"])
        member_roles.set_roles(world.system, world.owner, ["viewer", "admin"])
    sign_in(signed_in)
    assert "would be refused" not in text_of(signed_in, f"groups/mappings/{mapping.id}/remove")
    with db.connection():
        Member.update(active=False, directory_active=False).where(Member.id == world.owner.id).execute()
        person = people.create("second@acme.test")
        people.set_password(person, PASSWORD)
        Member.update(person=person, email="second@acme.test").where(Member.id == member.id).execute()
    sign_in(signed_in, email="second@acme.test")
    text = text_of(signed_in, f"groups/mappings/{mapping.id}/remove")
    assert "would be refused" in text
    assert "Remove the mapping" not in text


def test_a_mapping_of_a_group_not_pushed_yet_waits(signed_in: FlaskClient, provider: IdentityProvider) -> None:
    """The page says so before and after."""
    wanted = {"identity_provider_id": provider.id, "group_display_name": "Later", "role": "viewer"}
    asked = signed_in.get(f"{BASE}/groups/mappings/new", query_string=wanted).get_data(as_text=True)
    assert "No group of that name" in asked
    assert submit(signed_in, "groups/mappings", **wanted).status_code == 303
    assert "Not pushed yet" in text_of(signed_in, "groups")
    twice = submit(signed_in, "groups/mappings", **wanted)
    assert twice.status_code == 409
    assert "has that role already" in twice.get_data(as_text=True)


# --- settings and identity providers ----------------------------------------------------------------------------


def test_the_account_is_renamed(signed_in: FlaskClient, world: World) -> None:
    """An empty name is refused."""
    assert submit(signed_in, "settings/name", name="  Acme Ltd ").status_code == 303
    assert "Acme Ltd" in text_of(signed_in, "settings")
    assert submit(signed_in, "settings/name", name=" ").status_code == 400
    assert submit(signed_in, "settings/name", name="a\x00b").status_code == 400


def test_enforcing_says_what_is_missing_and_works_when_nothing_is(
    signed_in: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """The conditions stand on the page; the password session that flips the switch goes on for a while."""
    text = text_of(signed_in, "settings")
    assert "No administrator has made recovery codes" in text
    assert submit(signed_in, "settings/sign-in-mode", sso_mode="enforced").status_code == 409
    made = submit(signed_in, "settings/recovery-codes")
    assert made.status_code == 201
    assert len(re.findall(r"^\d-(?:\w{5}-?){4}$", made.get_data(as_text=True).replace('codes">', '">\n'), re.M)) >= 9
    with db.connection():
        assert recovery.left(world.owner) == 10
        IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=world.owner.id).execute()
    assert submit(signed_in, "settings/sign-in-mode", sso_mode="enforced").status_code == 303
    with db.connection():
        assert Account.get_by_id(world.account.id).sso_mode == "enforced"
    assert signed_in.get(f"{BASE}/settings").status_code == 200


def metadata(certificate: str) -> str:
    body = "".join(certificate.strip().splitlines()[1:-1])
    return (
        '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.acme.test/meta">'
        '<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        '<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data>'
        f"<X509Certificate>{body}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
        '<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
        'Location="https://idp.acme.test/sso"/></IDPSSODescriptor></EntityDescriptor>'
    )


@pytest.mark.parametrize("way", ["pasted", "file", "values"])
def test_a_provider_is_added_by_metadata_or_by_its_values(
    signed_in: FlaskClient, world: World, idp_certificate: str, way: str
) -> None:
    """All three ways lead to the page with the values to copy."""
    document = metadata(idp_certificate)
    given: dict[str, dict[str, Any]] = {
        "pasted": {"metadata_xml": document},
        "file": {"metadata_file": (io.BytesIO(document.encode()), "metadata.xml")},
        "values": {
            "entity_id": "https://idp.acme.test/meta",
            "sso_url": "https://idp.acme.test/sso",
            "certificates": f"{idp_certificate}\n{idp_certificate}",
        },
    }
    answer = submit(
        signed_in, "identity-providers/new", name="Our Okta", description="Acme login", kind="okta", **given[way]
    )
    assert answer.status_code == 303, answer.get_data(as_text=True)
    with db.connection():
        added = IdentityProvider.get()
        assert (added.entity_id, added.sso_url) == ("https://idp.acme.test/meta", "https://idp.acme.test/sso")
    text = signed_in.get(answer.location).get_data(as_text=True)
    for value in idps.urls(added.id, "http://localhost").values():
        assert f'value="{value}"' in text
    assert "Single sign-on URL" in text
    assert "Tenant URL" in text_of(signed_in, f"identity-providers/{added.id}?kind=entra")
    assert "Acme login" in signed_in.get("/login/acme").get_data(as_text=True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "as a file or pasted"),
        ({"metadata_xml": "<html></html>"}, "The metadata cannot be used"),
        ({"entity_id": "x"}, "as a file or pasted"),
        ({"entity_id": "x", "sso_url": "http://idp.acme.test", "certificates": "y"}, "must begin with https://"),
        ({"entity_id": "x", "sso_url": "https://idp.acme.test", "certificates": "y"}, "A certificate cannot be used"),
    ],
)
def test_a_provider_that_cannot_work_is_refused_in_words(
    signed_in: FlaskClient, world: World, fields: dict[str, str], words: str
) -> None:
    """The form comes back with the name typed, and nothing is saved."""
    answer = submit(signed_in, "identity-providers/new", name="Typed name", **fields)
    assert answer.status_code == 400
    text = answer.get_data(as_text=True)
    assert words in text
    assert 'value="Typed name"' in text
    with db.connection():
        assert IdentityProvider.select().count() == 0


def test_switches_are_saved_as_they_are_ticked(signed_in: FlaskClient, provider: IdentityProvider) -> None:
    """An unticked box is off, not unchanged."""
    answer = submit(
        signed_in,
        f"identity-providers/{provider.id}/options",
        name="Okta",
        enabled="on",
        join_policy="jit",
        domains="@Acme.test, example.org",
        default_roles=["viewer"],
    )
    assert answer.status_code == 303
    with db.connection():
        saved = IdentityProvider.get_by_id(provider.id)
    assert (saved.enabled, saved.allow_idp_initiated, saved.may_grant_admin) == (True, False, False)
    assert (saved.join_policy, saved.domains, saved.default_roles) == ("jit", ["acme.test", "example.org"], ["viewer"])
    wrong = submit(signed_in, f"identity-providers/{provider.id}/options", name="Okta", join_policy="everybody")
    assert wrong.status_code == 400


def test_other_metadata_replaces_the_trust(
    signed_in: FlaskClient, provider: IdentityProvider, idp_certificate: str
) -> None:
    """The values to copy stay."""
    path = f"identity-providers/{provider.id}/trust"
    assert submit(signed_in, path, metadata_xml=metadata(idp_certificate)).status_code == 303
    with db.connection():
        assert IdentityProvider.get_by_id(provider.id).entity_id == "https://idp.acme.test/meta"
    assert submit(signed_in, path, metadata_xml="nonsense").status_code == 400


def test_a_provider_is_deleted_by_typing_its_name(signed_in: FlaskClient, provider: IdentityProvider) -> None:
    """Its own page is gone then, the settings say so."""
    path = f"identity-providers/{provider.id}/delete"
    assert submit(signed_in, path, confirm="okta").status_code == 400
    assert submit(signed_in, path, confirm="Okta").location == f"{BASE}/settings"
    assert "Okta is deleted." in text_of(signed_in, "settings")


# --- bot users and credentials ----------------------------------------------------------------------------------


def test_a_bot_user_gets_a_key_that_is_shown_once(signed_in: FlaskClient, world: World) -> None:
    """And the key works, until the bot is deactivated."""
    made = submit(signed_in, "bot-users", name="ci", description="Builds", roles=["developer"])
    assert made.status_code == 303
    bot_id = made.location.rpartition("/")[2]
    key_page = submit(signed_in, f"bot-users/{bot_id}/credentials", kind="api_key", description="pipeline")
    assert key_page.status_code == 201
    key = re.search(r'value="(ibak_[^"]+)"', key_page.get_data(as_text=True))
    assert key
    assert key.group(1) not in text_of(signed_in, f"bot-users/{bot_id}")

    def works() -> bool:
        with db.connection():
            return credentials.find(credentials.API_KEY, key.group(1)) is not None

    assert works()
    submit(signed_in, f"bot-users/{bot_id}/deactivate")
    assert not works()
    submit(signed_in, f"bot-users/{bot_id}/activate")
    assert works()
    assert submit(signed_in, f"bot-users/{bot_id}/delete", confirm="wrong").status_code == 400
    assert submit(signed_in, f"bot-users/{bot_id}/delete", confirm="ci").status_code == 303
    assert not works()


def test_a_bot_user_is_never_an_administrator(signed_in: FlaskClient) -> None:
    """Not offered, and refused where it is sent anyway."""
    assert 'value="admin"' not in text_of(signed_in, "bot-users")
    answer = submit(signed_in, "bot-users", name="ci", roles=["admin"])
    assert answer.status_code == 400
    assert "never an administrator" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("kind", "fields", "shown"),
    [("api_key", {}, "ibak_"), ("authtoken", {"acl": "bind:a.test, bind:b.test"}, "ibat_")],
)
def test_ones_own_credentials_are_made_and_revoked(
    signed_in: FlaskClient, world: World, kind: str, fields: dict[str, str], shown: str
) -> None:
    """The owner is the one who is signed in."""
    made = submit(signed_in, "credentials", kind=kind, description="laptop", days="7", **fields)
    assert made.status_code == 201
    assert f'value="{shown}' in made.get_data(as_text=True)
    with db.connection():
        row = Credential.get(Credential.description == "laptop")
        assert row.member_id == world.owner.id
        assert row.acl == (["bind:a.test", "bind:b.test"] if kind == "authtoken" else [])
        assert row.expires_at is not None
    assert submit(signed_in, f"credentials/{kind}/{row.id}/delete").status_code == 303
    with db.connection():
        assert Credential.get_or_none(Credential.id == row.id) is None


def test_revoking_what_is_used_is_asked_back(signed_in: FlaskClient, world: World) -> None:
    """With who used it last, and from where; a bot user's page tells it before anything is touched."""
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci")
        used, unused = (
            credentials.issue(world.system, credentials.AUTHTOKEN, bot, description=name).credential
            for name in ("pipeline", "spare")
        )
    for _ in range(3):
        credentials.used(used, "192.0.2.44")
    last_uses.write()
    page = text_of(signed_in, f"bot-users/{bot.id}").partition("What would break if it were off")[2]
    assert page.index("pipeline") < page.index("spare")
    assert "192.0.2.44" in page
    path = f"bot-users/{bot.id}/credentials"
    assert submit(signed_in, f"{path}/{unused.id}/delete").status_code == 303
    asked = submit(signed_in, f"{path}/{used.id}/delete")
    assert asked.status_code == 200
    assert "3 times in the last 30 days" in asked.get_data(as_text=True)
    assert "192.0.2.44" in asked.get_data(as_text=True)
    assert "last way in" not in asked.get_data(as_text=True)
    with db.connection():
        assert Credential.get_or_none(Credential.id == used.id) is not None
    assert submit(signed_in, f"{path}/{used.id}/delete", sure="yes").status_code == 303
    with db.connection():
        assert Credential.get_or_none(Credential.id == used.id) is None


def test_revoking_the_last_way_in_is_asked_back(signed_in: FlaskClient, world: World) -> None:
    """Of the only administrator, who has no password by now and nothing else; a second key is one more way."""
    with db.connection():
        Person.update(password_hash=None).execute()
        (key,) = Credential.select()
    path = f"credentials/api_key/{key.id}/delete"
    asked = submit(signed_in, path)
    assert "the last way in" in asked.get_data(as_text=True)
    with db.connection(), db.transaction():
        credentials.issue(world.system, credentials.API_KEY, world.owner)
    assert submit(signed_in, path).status_code == 303


def test_a_private_key_is_sent_back_with_a_warning(signed_in: FlaskClient) -> None:
    """Pasted by mistake, it is not stored."""
    answer = submit(signed_in, "credentials", kind="ssh_public_key", public_key="-----BEGIN OPENSSH PRIVATE KEY-----")
    assert answer.status_code == 400
    assert "This is a private key" in answer.get_data(as_text=True)
    assert submit(signed_in, "credentials", kind="password").status_code == 400


def test_a_developer_sees_and_revokes_her_own_only(client: FlaskClient, world: World) -> None:
    """Somebody else's credential is not found."""
    add_member(world, "dev@acme.test", password=True)
    sign_in(client, email="dev@acme.test")
    with db.connection():
        theirs = Credential.get(Credential.member == world.owner.id)
    assert theirs.id not in text_of(client, "credentials?of=all")
    assert submit(client, f"credentials/api_key/{theirs.id}/delete").status_code == 404


def test_an_administrator_sees_everybodys_credentials(signed_in: FlaskClient, world: World) -> None:
    """With their owners."""
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci-robot")
        credentials.issue(world.system, credentials.API_KEY, bot, description="pipeline")
    assert "ci-robot" not in text_of(signed_in, "credentials").partition("<main")[2]
    assert "ci-robot" in text_of(signed_in, "credentials?of=all")


# --- events, provisioning, usage --------------------------------------------------------------------------------


def test_events_are_filtered_and_paged(signed_in: FlaskClient, world: World) -> None:
    """By type, by who, by what; older ones on the next page."""
    with db.connection(), db.transaction():
        for number in range(55):
            bots.create(world.system, f"bot {number}")
        last = bots.create(world.system, "the last <one>")
    page = text_of(signed_in, "events?type=bot_user_created.v0")
    assert page.count("<summary>bot_user_created.v0") == 50
    older = re.search(rf'href="({BASE}/events\?[^"]*after=[^"#]+)#list"', page)
    assert older
    second = signed_in.get(older.group(1).replace("&amp;", "&")).get_data(as_text=True)
    assert second.count("<summary>bot_user_created.v0") == 6
    about = text_of(signed_in, f"events?object_id={last.id}")
    assert about.count("<summary>") == 1
    assert "the last &lt;one&gt;" in about
    assert "No such event" in text_of(signed_in, "events?actor_id=usr_nobody")


def test_the_seat_meter_says_what_counts(signed_in: FlaskClient, world: World) -> None:
    """Active members and invitations do; suspended members and bot users do not."""
    member = add_member(world, "mo@acme.test")
    add_member(world, "bo@acme.test")
    with db.connection(), db.transaction():
        member_lifecycle.suspend(world.system, member)
        invitations.create(world.system, "gil@acme.test")
        bots.create(world.system, "ci")
        Account.update(seats=5).execute()
    text = text_of(signed_in, "usage")
    assert "3 of 5 seats" in text
    assert "1, not counted" in text
    assert "1, never counted" in text
