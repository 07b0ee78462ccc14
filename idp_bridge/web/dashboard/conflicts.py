"""Identity conflicts: who is this? What waits for an administrator, and what was decided last."""

from typing import Any

from idp_bridge import identity_conflicts
from idp_bridge.errors import Invalid
from idp_bridge.identity_conflicts import OPEN, Kind
from idp_bridge.models import IdentityConflict, Member
from idp_bridge.roles import Permission
from idp_bridge.text import fold
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard

SHOWN = 100

#: Kind -> what is the matter, and what deciding for a member does.
WORDS = {
    Kind.AMBIGUOUS: (
        "Several members have this address",
        "The member that you choose is meant from now on, whenever the provider uses this name.",
    ),
    Kind.IDENTITY_CHANGED: (
        "A member's address under another name",
        "Is it the same person, made again or renamed at the provider? Then choose her: the name that the provider "
        "used before means her no longer. Is it somebody new with an address that was hers? Then dismiss it, and "
        "remove the former member.",
    ),
    Kind.ANOTHER_PROVIDER: (
        "A member of another identity provider",
        "Choose her to let her come in through this provider too. Whoever only chose the wrong button needs nothing.",
    ),
    Kind.SECOND_DIRECTORY: (
        "Another directory manages this member",
        "Choose her to let this directory take her over with its next request: the other one's record stands for "
        "nobody then, and gives her no role.",
    ),
    Kind.LOOK_ALIKE: (
        "The address passes for another",
        "It is written with letters of another script, or of several. Unless you know who that is, dismiss it and ask "
        "whoever runs the provider. Whom a directory has pushed is a member of her own meanwhile.",
    ),
}


class ChoiceForm(forms.Form):
    """Who it is: one of the candidates by id, or any member by her address."""

    member_id = forms.Text(load_default="")
    email = forms.Text(load_default="")


@blueprint.get("/conflicts", endpoint="conflicts")
@guard(Permission.IDPS_READ)
def conflicts_list() -> Any:
    """What waits, then what was decided."""
    account = actor().account
    waiting = list(identity_conflicts.of_account(account).order_by(IdentityConflict.seen_at.desc()).limit(SHOWN))
    rest = identity_conflicts.of_account(account, state=None).where(IdentityConflict.state != OPEN)
    decided = list(rest.order_by(IdentityConflict.decided_at.desc()).limit(SHOWN))
    return render(
        "conflicts.html",
        waiting=waiting,
        decided=decided,
        members=identity_conflicts.candidates([*waiting, *decided]),
        words=WORDS,
        is_to_choose=identity_conflicts.is_to_choose,
        most=SHOWN,
    )


@blueprint.post("/conflicts/<conflict_id>")
@refused_on(conflicts_list)
@guard(Permission.IDPS_WRITE)
def resolve_conflict(conflict_id: str) -> Any:
    """It is the member that was chosen."""
    row = identity_conflicts.get(actor().account, conflict_id)
    form = forms.read(ChoiceForm)
    member_id = form["member_id"] or _with_address(form["email"])
    identity_conflicts.resolve(actor(), row, member_id)
    return done(f"{row.email} is {row.member.email} from now on.", "conflicts")


def _with_address(email: str) -> str:
    found = Member.select(Member.id).where(
        Member.account == actor().account, Member.email_key == fold(email.strip()), Member.removed_at.is_null()
    )
    ids = [member.id for member in found.limit(2)]
    if len(ids) != 1:
        words = "Choose a member." if not email else f"{len(ids) or 'No'} members have the address {email}."
        raise Invalid(words, fields={"email": [words]})
    return str(ids[0])


@blueprint.post("/conflicts/<conflict_id>/dismiss")
@refused_on(conflicts_list)
@guard(Permission.IDPS_WRITE)
def dismiss_conflict(conflict_id: str) -> Any:
    """Nobody is meant."""
    row = identity_conflicts.get(actor().account, conflict_id)
    identity_conflicts.dismiss(actor(), row)
    return done("It is dismissed, and refused as before.", "conflicts")
