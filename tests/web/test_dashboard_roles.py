"""The pages of roles, and of a member: why she may do what she may, and what stops or comes back with her."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import bots, clock, db, groups, idps, invitations, member_lifecycle, member_roles, own_roles
from idp_bridge.models import Account, IdentityLink, IdentityProvider, Member, Role
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.roles import MEANINGS
from tests.conftest import World
from tests.web.pages import post, sign_in
from tests.web.test_dashboard import BASE, add_member, push_group, submit, text_of


@pytest.fixture
def dana(world: World, provider: IdentityProvider) -> Member:
    """A member whom Okta's directory pushed, a biller by its group Finance."""
    member = add_member(world, "dana@acme.test", managed_by="scim", identity_provider=provider)
    group = push_group(provider, "Finance", member)
    with db.connection(), db.transaction():
        groups.map_role(world.system, provider, role="billing", group_id=group.id)
    return member


def _own(world: World, name: str = "auditor", *permissions: Permission) -> Role:
    with db.connection(), db.transaction():
        return own_roles.create(world.system, name, permissions=permissions or (Permission.EVENTS_READ,))


def _again(row: Any) -> Any:
    with db.connection():
        return type(row).get_by_id(row._pk)


# --- roles ------------------------------------------------------------------------------------------------------


def test_every_permission_has_its_words() -> None:
    """Whoever makes a role reads what she gives away."""
    assert set(MEANINGS) == set(Permission)


def test_a_role_is_made_changed_and_deleted_on_its_pages(signed_in: FlaskClient, world: World) -> None:
    """Each step is one form; the role's page lists who holds it, and deleting wants its name typed."""
    made = submit(signed_in, "roles", page="roles", name="Auditor", description="Reads", permissions=["events:read"])
    assert made.status_code == 303
    with db.connection():
        role = own_roles.of_account(world.account).get()
    assert role.permissions == ["events:read"]
    add_member(world, "ann@acme.test", role="Auditor")
    assert "ann@acme.test" in text_of(signed_in, f"roles/{role.id}")
    fields = {"name": "Inspector", "description": "", "permissions": ["events:read", "bots:read"]}
    assert submit(signed_in, f"roles/{role.id}", page=f"roles/{role.id}", **fields).status_code == 303
    assert _again(role).permissions == ["bots:read", "events:read"]
    refused = submit(signed_in, f"roles/{role.id}/delete", confirm="Inspector")
    assert refused.status_code == 409
    assert "is held by 1 member" in refused.get_data(as_text=True)
    with db.connection(), db.transaction():
        member = Member.get(Member.email == "ann@acme.test")
        member_roles.set_roles(world.system, member, ["viewer"])
    assert submit(signed_in, f"roles/{role.id}/delete", confirm="inspector").status_code == 400
    assert submit(signed_in, f"roles/{role.id}/delete", confirm="Inspector").status_code == 303
    assert signed_in.get(f"{BASE}/roles/{role.id}").status_code == 404


def test_all_roles_stand_side_by_side(signed_in: FlaskClient, world: World) -> None:
    """The matrix has a column for each, own ones too; a built-in one has a page and no form."""
    role = _own(world)
    page = text_of(signed_in, "roles")
    assert page.partition('class="matrix"')[2].count('<th scope="col">') == 1 + 5 + 1
    assert f'href="{BASE}/roles/{role.id}"' in page
    built_in = text_of(signed_in, "roles/role_billing")
    assert "Built in" in built_in
    assert "Save the role" not in built_in
    assert submit(signed_in, "roles/role_billing", name="x").status_code == 409


def test_a_refused_role_comes_back_with_what_was_typed(signed_in: FlaskClient) -> None:
    """The field is marked, and what was ticked is ticked."""
    answer = submit(signed_in, "roles", name="<b>", description="kept", permissions=["bots:read"])
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert 'value="&lt;b&gt;"' in page
    assert 'value="kept"' in page
    assert 'value="bots:read" checked' in page


def test_own_roles_are_explained_where_the_plan_has_none(signed_in: FlaskClient, world: World) -> None:
    """Those that are there are shown with who holds them, and can only be deleted."""
    role = _own(world)
    with db.connection():
        Account.update(plan="pro").where(Account.id == world.account.id).execute()
    page = text_of(signed_in, "roles")
    assert "Own roles needs the Enterprise plan" in page
    assert "Make a role" not in page
    assert "Save the role" not in text_of(signed_in, f"roles/{role.id}")
    assert submit(signed_in, f"roles/{role.id}", name="x").status_code == 403
    assert submit(signed_in, f"roles/{role.id}/delete", confirm="auditor").status_code == 303


def test_a_role_page_tells_no_more_than_its_reader_may_know(client: FlaskClient, world: World) -> None:
    """Somebody who sees no bot users does not learn of them by a role."""
    with db.connection(), db.transaction():
        bots.create(world.system, "secret-bot", role_names=["developer"])
    add_member(world, "bill@acme.test", role="billing", password=True)
    sign_in(client, email="bill@acme.test")
    assert "secret-bot" not in text_of(client, "roles/role_developer")


# --- a member ---------------------------------------------------------------------------------------------------


def test_a_members_page_tells_why_and_what_would_be_lost(signed_in: FlaskClient, dana: Member) -> None:
    """The chain of each permission down to the provider; without the group, what only it gives."""
    page = text_of(signed_in, f"members/{dana.id}")
    why = page.partition('id="may"')[2].partition("</article>")[0]
    writing = why.partition("<code>billing:write</code>")[2].partition("</tr>")[0]
    assert "Finance</a> of Okta (mapping <code>map_" in writing
    lost = page.partition('id="losses"')[2].partition("</article>")[0]
    assert "the group Finance" in lost
    assert "billing:read, billing:write" in lost
    assert "given by idp-bridge" in page


def test_a_suspension_by_hand_is_lifted_while_the_directory_says_inactive(
    signed_in: FlaskClient, world: World, dana: Member
) -> None:
    """The page says which of the two keeps her out, and what lifting does."""
    with db.connection(), db.transaction():
        member_lifecycle.set_directory_active(world.system, member_lifecycle.hold(dana.id), False)
        member_lifecycle.suspend(world.system, Member.get_by_id(dana.id))
    assert "stays inactive until it says active" in text_of(signed_in, f"members/{dana.id}")
    submit(signed_in, f"members/{dana.id}/reactivate")
    assert "inactive by the directory" in text_of(signed_in, f"members/{dana.id}")
    assert (_again(dana).held, _again(dana).active) == (False, False)


def test_a_deleted_member_is_listed_apart_and_restored(signed_in: FlaskClient, world: World, dana: Member) -> None:
    """For thirty days, by one button; she is on no other list meanwhile."""
    with db.connection(), db.transaction():
        member_lifecycle.deprovision(world.system, member_lifecycle.hold(dana.id))
    assert "dana@acme.test" not in text_of(signed_in, "members")
    assert "Restore dana@acme.test" in text_of(signed_in, "members?state=deprovisioned")
    assert submit(signed_in, f"members/{dana.id}/restore").status_code == 303
    assert _again(dana).removed_at is None
    assert "dana@acme.test" in text_of(signed_in, "members")


def test_the_list_shows_how_each_comes_in_and_what_was_counted(
    signed_in: FlaskClient, world: World, provider: IdentityProvider, dana: Member
) -> None:
    """By password, by which provider, or by nothing yet; seats in a sentence."""
    with db.connection(), db.transaction():
        IdentityLink.create(
            identity_provider=provider, name_id_format="f", name_id="n", member=dana, created_at=clock.now()
        )
        member_lifecycle.suspend(world.system, Member.get_by_id(dana.id))
    page = text_of(signed_in, "members")
    rows = page.partition("<tbody>")[2].split("<tr>")
    told = {address: row for row in rows for address in (dana.email, world.owner.email) if address in row}
    assert "In by Okta<" in told[dana.email]
    assert "In by Password<" in told[world.owner.email]
    for kind, words in (
        ("Active members", "1, one seat each"),
        ("Pending invitations", "0, each reserves a seat"),
        ("Suspended or inactive members", "1, not counted"),
        ("Bot users", "0, never counted"),
    ):
        assert f"<dt>{kind}</dt><dd>{words}</dd>" in page


def test_a_password_link_is_shown_once(signed_in: FlaskClient, world: World, app: Flask) -> None:
    """Made by an administrator for a member who has no other way in; opened, it is the form to set a password."""
    member = add_member(world, "ann@acme.test")
    answer = submit(signed_in, f"members/{member.id}/password-link")
    assert answer.status_code == 201
    link = answer.get_data(as_text=True).partition('id="password-link" value="http://localhost')[2].partition('"')[0]
    assert link.startswith("/login/password/")
    assert link not in text_of(signed_in, f"members/{member.id}")
    assert app.test_client().get(link).status_code == 200


def test_a_team_manager_makes_no_password_link(client: FlaskClient, world: World) -> None:
    """It would let her come in as somebody else; the button is not there either."""
    add_member(world, "mo@acme.test", role="team_manager", password=True)
    member = add_member(world, "ann@acme.test")
    sign_in(client, email="mo@acme.test")
    assert "Make a link" not in text_of(client, f"members/{member.id}")
    answer = post(client, f"{BASE}/members/{member.id}/password-link", page=f"{BASE}/members")
    assert answer.status_code == 403


def test_who_may_not_make_administrators_takes_none_away_with_a_connection(
    client: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """Whoever writes connections by an own role does not delete one that makes administrators."""
    _own(world, "connector", *(P for P in Permission if P.value.startswith("idps:")), Permission.MEMBERS_READ)
    add_member(world, "con@acme.test", role="connector", password=True)
    with db.connection(), db.transaction():
        idps.change(world.system, provider, may_grant_admin=True)
    sign_in(client, email="con@acme.test")
    path = f"{BASE}/identity-providers/{provider.id}"
    answer = post(client, f"{path}/delete", page=f"{BASE}/members", confirm=provider.name)
    assert answer.status_code == 403
    assert _again(provider).may_grant_admin


# --- what a reader may do ---------------------------------------------------------------------------------------

FORMS = ("roles", "name", "suspend", "remove", "sessions/end", "unlink")


def _posts(page: str) -> set[str]:
    """The addresses that the forms of the page's content post to."""
    main = page.partition('<main class="page"')[2].partition("</main>")[0]
    return set(re.findall(r'method="post" action="([^"]+)"', main))


def test_a_page_offers_a_team_manager_only_what_she_may_do(client: FlaskClient, world: World) -> None:
    """An administrator's page has no form for her and says why; a developer's has them, with the roles she may give."""
    plain = add_member(world, "ann@acme.test")
    add_member(world, "mo@acme.test", role="team_manager", password=True)
    sign_in(client, email="mo@acme.test")
    page = text_of(client, f"members/{world.owner.id}")
    assert not _posts(page)
    assert "only an administrator changes roles, name or state here" in page
    offered = text_of(client, f"members/{plain.id}")
    shown = {f"{BASE}/members/{plain.id}/{form}" for form in FORMS if form != "unlink"}
    assert shown <= _posts(offered)
    assert set(re.findall(r'name="roles" value="(\w+)"', offered)) == {"team_manager", "developer", "viewer"}


def test_an_administrator_is_offered_all_of_it(signed_in: FlaskClient, world: World) -> None:
    """On her own page too, where only what she does to herself elsewhere is missing."""
    page = text_of(signed_in, f"members/{world.owner.id}")
    shown = {f"{BASE}/members/{world.owner.id}/{form}" for form in ("roles", "name", "suspend", "remove")}
    assert shown <= _posts(page)
    assert "only an administrator" not in page


def test_only_an_administrator_is_offered_an_invitation_to_admin(client: FlaskClient, world: World) -> None:
    """Whoever could not promise its roles neither sends it again nor takes it back."""
    add_member(world, "mo@acme.test", role="team_manager", password=True)
    with db.connection(), db.transaction():
        for name in ("admin", "viewer"):
            invitations.create(world.system, f"{name}@acme.test", role_names=[name])
    sign_in(client, email="mo@acme.test")
    page = text_of(client, "members")
    assert "Cancel the invitation of viewer@acme.test" in page
    assert "Cancel the invitation of admin@acme.test" not in page
    assert "Promises more than you may give." in page


def test_only_an_administrator_is_offered_a_credential_of_a_bot(client: FlaskClient, world: World) -> None:
    """Whoever makes bot users by an own role makes no key that acts as one, by the page neither."""
    _own(world, "keeper", *(P for P in Permission if P is not Permission.BILLING_WRITE))
    add_member(world, "kim@acme.test", role="keeper", password=True)
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci", role_names=["viewer"])
    sign_in(client, email="kim@acme.test")
    assert "only an administrator makes one" in text_of(client, f"bot-users/{bot.id}")
    answer = submit(client, f"bot-users/{bot.id}/credentials", page=f"bot-users/{bot.id}", kind="api_key")
    assert answer.status_code == 403
    assert "Only an administrator may name another owner." in answer.get_data(as_text=True)


# --- names ------------------------------------------------------------------------------------------------------


def test_everybody_names_herself(client: FlaskClient, world: World) -> None:
    """Without any permission; the address stays, and the page says why."""
    member = add_member(world, "bill@acme.test", role="billing", password=True)
    sign_in(client, email="bill@acme.test")
    assert "would have to be proven" in text_of(client, "profile")
    assert submit(client, "profile", page="profile", name=" Bill Ing ").status_code == 303
    assert (_again(member).name, _again(member).email) == ("Bill Ing", "bill@acme.test")
    assert submit(client, "profile", page="profile", name="  ").status_code == 400
    assert submit(client, f"members/{world.owner.id}/name", page="profile", name="Mine").status_code == 403


def test_the_profile_tells_by_which_ways_one_comes_in(
    signed_in: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """What identity providers call her, her password, and why there is none under enforced single sign-on."""
    assert "Change your password" in text_of(signed_in, "profile")
    with db.connection(), db.transaction():
        IdentityLink.create(
            identity_provider=provider, name_id_format="f", name_id="n-17", member=world.owner, created_at=clock.now()
        )
    assert "<dt>Okta</dt><dd><code>n-17</code></dd>" in text_of(signed_in, "profile")
    with db.connection():
        Account.update(sso_mode="enforced", enforced_at=clock.now()).where(Account.id == world.account.id).execute()
    page = text_of(signed_in, "profile")
    assert "takes single sign-on only" in page
    assert "Change your password" not in page


def test_a_name_that_a_directory_owns_is_read_only(signed_in: FlaskClient, dana: Member) -> None:
    """On her page, and by the form that is not there."""
    page = text_of(signed_in, f"members/{dana.id}")
    assert "It comes from the directory of Okta" in page
    assert f"{BASE}/members/{dana.id}/name" not in _posts(page)
    refused = submit(signed_in, f"members/{dana.id}/name", page="members", name="Other")
    assert refused.status_code == 409
    assert "comes from the directory of Okta" in refused.get_data(as_text=True)
    assert _again(dana).name == dana.name
