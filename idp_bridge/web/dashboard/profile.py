"""One's own profile: what one is called here, and who says so."""

from typing import Any

from flask import g

from idp_bridge import member_lifecycle, members
from idp_bridge.web import forms
from idp_bridge.web.dashboard.members import NameForm
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard


@blueprint.get("/profile", endpoint="profile")
@guard()
def own_profile() -> Any:
    """Name and address in this account."""
    return render("profile.html", member=g.member, name_owner=members.name_owner(g.member))


@blueprint.post("/profile")
@refused_on(own_profile)
@guard()
def change_profile() -> Any:
    """Another name, where no directory and no provider says it."""
    member_lifecycle.rename(actor(), members.get(actor().account, g.member.id), forms.read(NameForm)["name"])
    return done("Your name is saved.", "profile")
