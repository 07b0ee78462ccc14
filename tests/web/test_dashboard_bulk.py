"""Several members or invitations at once: each for itself, named with what became of it."""

import html
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from idp_bridge import credentials, db, invitations
from idp_bridge.models import Credential, Event, Invitation, Member
from idp_bridge.web.dashboard import bulk
from tests.conftest import World, make_account
from tests.smtp import Mailbox
from tests.web.pages import csrf_of, sign_in
from tests.web.test_dashboard import BASE, add_member, submit

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Current-URL": f"http://localhost{BASE}/members?q=m"}


def send(client: FlaskClient, do: str, *who: str, path: str = "members/bulk", **fields: Any) -> Any:
    """A plain post of the ticked ones."""
    return submit(client, path, page="members", do=do, id=list(who), **fields)


def step(client: FlaskClient, fields: dict[str, Any], path: str = "members/bulk") -> str:
    """What htmx posts, and the part of the page that it is answered with."""
    data = {"csrf_token": csrf_of(client, f"{BASE}/members"), **fields}
    answer = client.post(f"{BASE}/{path}", data=data, headers=PARTIAL)
    assert answer.status_code == 200
    text = str(answer.get_data(as_text=True))
    assert "<html" not in text
    return text


def results(text: str) -> list[str]:
    """The lines of the list."""
    lines = re.findall(r"<li>(.*?)</li>", text.partition('class="outcomes"')[2] or text, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", line)).split()) for line in lines]


def fields_of(text: str) -> dict[str, Any]:
    """What the form in a part of the page would send."""
    found: dict[str, Any] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text):
        if name == "id":
            found.setdefault("id", []).append(value)
        elif name != "csrf_token":
            found[name] = value
    return found


def test_a_plain_post_does_it_to_all_and_says_what_became_of_each(signed_in: FlaskClient, world: World) -> None:
    """What is refused for one is done for the others; the events are those of the single buttons."""
    ann, bo = add_member(world, "ann@acme.test"), add_member(world, "bo@acme.test")
    done = send(signed_in, "suspend", ann.id, bo.id, world.owner.id, "usr_nobody")
    assert done.status_code == 200
    assert results(done.get_data(as_text=True)) == [
        "Done ann@acme.test is suspended",
        "Done bo@acme.test is suspended",
        "Refused owner@acme.test That is you. Do it on your own page, where you see what it does.",
        "Refused usr_nobody There is no member usr_nobody in this account.",
    ]
    again = results(send(signed_in, "suspend", ann.id).get_data(as_text=True))
    assert again == ["Done ann@acme.test was suspended already"]
    back = results(send(signed_in, "reactivate", ann.id, bo.id).get_data(as_text=True))
    assert back == ["Done ann@acme.test is active again", "Done bo@acme.test is active again"]
    with db.connection():
        assert Member.select().where(Member.active).count() == 3
        assert Event.select().where(Event.type == "user_suspended.v0").count() == 2


def test_removal_is_asked_back(signed_in: FlaskClient, world: World) -> None:
    """With everybody's address, and the word to type."""
    ann, bo = add_member(world, "ann@acme.test"), add_member(world, "bo@acme.test", managed_by="scim")
    with db.connection(), db.transaction():
        credentials.issue(world.system, credentials.API_KEY, ann)
    asked = send(signed_in, "remove", ann.id, bo.id).get_data(as_text=True)
    assert "Remove 2 members?" in asked
    assert "ann@acme.test" in asked
    assert "Type remove to confirm" in asked
    assert "Type exactly: remove" in send(signed_in, "remove", ann.id, confirm="yes").get_data(as_text=True)
    with db.connection():
        assert Member.select().count() == 3
    done = results(send(signed_in, "remove", ann.id, bo.id, confirm="remove").get_data(as_text=True))
    assert done[0] == "Done ann@acme.test is removed"
    assert done[1].startswith("Refused bo@acme.test bo@acme.test is managed by a directory")
    with db.connection():
        assert Member.get_or_none(Member.id == ann.id) is None
        assert Credential.select().where(Credential.member == ann.id).count() == 0


def test_a_page_that_can_goes_on_a_few_at_a_time(
    signed_in: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer is the next lines, how far it is, and the form for the rest; the last leads back to the same list."""
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    who = [add_member(world, f"m{number}@acme.test").id for number in range(5)]
    fields: dict[str, Any] = {"do": "suspend", "id": who}
    seen, far = [], []
    for _ in range(3):
        text = step(signed_in, fields)
        seen += results(text)
        far += re.findall(r"(\d of \d)", text)
        fields = fields_of(text)
    assert seen == [f"Done m{number}@acme.test is suspended" for number in range(5)]
    assert far == ["2 of 5", "4 of 5", "5 of 5"]
    assert not fields
    assert f'href="{BASE}/members?q=m"' in text
    with db.connection():
        assert Member.select().where(Member.held).count() == 5


def test_the_way_back_is_to_our_own_list_only(signed_in: FlaskClient, world: World) -> None:
    """Whatever the browser says where it is."""
    ann = add_member(world, "ann@acme.test")
    data = {"csrf_token": csrf_of(signed_in, f"{BASE}/members"), "do": "suspend", "id": ann.id}
    elsewhere = {**PARTIAL, "HX-Current-URL": "https://evil.test/x?y=z"}
    text = signed_in.post(f"{BASE}/members/bulk", data=data, headers=elsewhere).get_data(as_text=True)
    assert "evil" not in text
    assert f'href="{BASE}/members"' in text


def test_nothing_ticked_is_said(signed_in: FlaskClient) -> None:
    """And what cannot be done is refused."""
    assert "None was ticked" in send(signed_in, "suspend").get_data(as_text=True)
    assert "None was ticked" in step(signed_in, {"do": "remove"})
    assert send(signed_in, "promote", "usr_x").status_code == 400
    assert send(signed_in, "suspend", *(f"usr_{number}" for number in range(201))).status_code == 400


def test_others_are_not_touched(client: FlaskClient, world: World) -> None:
    """Not an administrator by a team manager, nor anybody of another account."""
    with db.connection():
        other = make_account("globex")
    add_member(world, "mo@acme.test", role="team_manager", password=True)
    sign_in(client, email="mo@acme.test")
    done = results(send(client, "suspend", world.owner.id, other.owner.id).get_data(as_text=True))
    assert done == [
        "Refused owner@acme.test Only an administrator may change an administrator.",
        f"Refused {other.owner.id} There is no member {other.owner.id} in this account.",
    ]
    with db.connection():
        assert Member.select().where(~Member.active).count() == 0


def test_a_viewer_does_nothing_to_several_either(client: FlaskClient, world: World) -> None:
    """No boxes, and the post is refused."""
    ann = add_member(world, "ann@acme.test")
    add_member(world, "vi@acme.test", role="viewer", password=True)
    sign_in(client, email="vi@acme.test")
    assert 'type="checkbox"' not in client.get(f"{BASE}/members").get_data(as_text=True)
    assert send(client, "suspend", ann.id).status_code == 403


def test_the_last_administrator_stays(client: FlaskClient, world: World) -> None:
    """Two of them at once are not both suspended by somebody who may."""
    second = add_member(world, "second@acme.test", role="admin", password=True)
    sign_in(client, email="second@acme.test")
    done = results(send(client, "suspend", second.id, world.owner.id).get_data(as_text=True))
    assert [line.split()[0] for line in done] == ["Refused", "Done"]
    with db.connection():
        assert Member.get_by_id(second.id).active


def test_invitations_are_sent_again_and_taken_back_together(signed_in: FlaskClient, world: World) -> None:
    """Where nothing is mailed, each new link is shown once, and works."""
    with db.connection(), db.transaction():
        made = [invitations.create(world.system, f"i{number}@acme.test").invitation.id for number in range(3)]
    path = "members/invitations/bulk"
    text = send(signed_in, "resend", *made[:2], path=path).get_data(as_text=True)
    links = re.findall(r'value="(http://localhost/invitations/[^"]+)"', text)
    assert len(links) == 2
    assert [signed_in.get(link).status_code for link in links] == [200, 200]
    done = results(send(signed_in, "cancel", *made[1:], "inv_nobody", path=path).get_data(as_text=True))
    assert done == [
        "Done i1@acme.test is not invited any more",
        "Done i2@acme.test is not invited any more",
        "Refused inv_nobody There is no invitation inv_nobody in this account.",
    ]
    with db.connection():
        assert [row.id for row in Invitation.select()] == made[:1]


def test_invitations_are_mailed_again(signed_in: FlaskClient, world: World, mailbox: Mailbox) -> None:
    """Then no link is on the page."""
    with db.connection(), db.transaction():
        made = invitations.create(world.system, "i@acme.test").invitation.id
    text = send(signed_in, "resend", made, path="members/invitations/bulk").get_data(as_text=True)
    assert results(text) == ["Done i@acme.test has a new link by mail"]
    assert "/invitations/ibin" not in text
