"""One's own profile: what one is called here and who says so, and by which ways one comes in."""

from typing import Any

from flask import g

from idp_bridge import identity_links, member_lifecycle, members, sign_in_mode
from idp_bridge.web import forms
from idp_bridge.web.dashboard.members import NameForm
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard, signed_in


@blueprint.get("/profile", endpoint="profile")
@guard()
def own_profile() -> Any:
    """Name and address in this account, what identity providers call one, and how one comes in."""
    return render(
        "profile.html",
        member=g.member,
        name_owner=members.name_owner(g.member),
        links=list(identity_links.of_member(g.member)),
        by_password=signed_in()[0].session.method == "password",
        enforced=sign_in_mode.of(actor().account) != sign_in_mode.MIXED,
    )


@blueprint.post("/profile")
@refused_on(own_profile)
@guard()
def change_profile() -> Any:
    """Another name, where no directory and no provider says it."""
    member_lifecycle.rename(actor(), members.get(actor().account, g.member.id), forms.read(NameForm)["name"])
    return done("Your name is saved.", "profile")
