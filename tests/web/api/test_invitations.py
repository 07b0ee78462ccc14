"""Invitations, as their API tells of them."""

from flask import Flask

from idp_bridge import db
from tests.conftest import make_account
from tests.web.api.conftest import Caller, member_with


def test_an_invitation_is_made_read_and_cancelled(api: Caller) -> None:
    """The link that accepts is in the answer to its creation and never again; it opens a page."""
    made = api.post("invitations", {"email": "Ivy@Elsewhere.test", "roles": ["viewer"]})
    assert made["accept_url"].startswith("http://localhost/invitations/ibin_")
    assert made["invited_by"] == "owner@acme.test"
    read = {**made, "accept_url": None}
    assert api.get(f"invitations/{made['id']}") == read
    assert api.get("invitations")["invitations"] == [read]
    assert api.app.test_client().get(made["accept_url"]).status_code == 200
    api.delete(f"invitations/{made['id']}")
    api.get(f"invitations/{made['id']}", expect=404)
    assert api.app.test_client().get(made["accept_url"]).status_code == 410


def test_roles_are_developer_where_nothing_is_said(api: Caller) -> None:
    """The default of the contract."""
    assert api.post("invitations", {"email": "ivy@elsewhere.test"})["roles"] == ["developer"]


def test_nobody_is_invited_twice_or_as_a_member(api: Caller) -> None:
    """409 with the code that says which."""
    api.post("invitations", {"email": "ivy@elsewhere.test"})
    for email, code in (("IVY@elsewhere.test", "ERR_ALREADY_INVITED"), ("owner@acme.test", "ERR_ALREADY_MEMBER")):
        assert api.post("invitations", {"email": email}, expect=409)["error_code"] == code


def test_a_full_account_invites_nobody(app: Flask) -> None:
    """403 with the limit named; a cancelled invitation gives its seat back."""
    with db.connection():
        small = Caller(app, make_account("small", plan="pro", seats=2).api_key)
    first = small.post("invitations", {"email": "one@elsewhere.test"})
    refusal = small.post("invitations", {"email": "two@elsewhere.test"}, expect=403)
    assert refusal["error_code"] == "ERR_SEATS_FULL"
    assert "2 seats" in refusal["msg"]
    small.delete(f"invitations/{first['id']}")
    small.post("invitations", {"email": "two@elsewhere.test"})


def test_an_invitation_gives_nothing_above_the_inviter(api: Caller) -> None:
    """A team manager invites, but neither administrators nor those who pay."""
    _, manager = member_with(api, "team_manager")
    manager.post("invitations", {"email": "one@elsewhere.test"})
    for role in ("admin", "billing"):
        manager.post("invitations", {"email": "two@elsewhere.test", "roles": [role]}, expect=403)
