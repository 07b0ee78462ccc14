"""Inviting: several addresses at once, sending again, taking back. The list of members shows them all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import url_for
from marshmallow import ValidationError, fields, validate

from idp_bridge import invitations, roles
from idp_bridge.models import Invitation
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard import bulk, table
from idp_bridge.web.dashboard.bulk import Outcome, Several, Verb
from idp_bridge.web.dashboard.member_list import INVITATIONS, list_page, members_list, pending_steps
from idp_bridge.web.dashboard.page import blueprint, done, refused_on
from idp_bridge.web.entering import count_invitation
from idp_bridge.web.guard import actor, base_url, guard

MOST = 100  # addresses at once


class Addresses(fields.Field[list[str]]):
    """Addresses parted by commas, semicolons, spaces or lines; each once."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[str]:
        addresses = list(dict.fromkeys(str(value).replace(",", " ").replace(";", " ").split()))
        if not 0 < len(addresses) <= MOST:
            raise ValidationError(f"Write an address such as ana@example.com, or up to {MOST} of them.")
        for address in addresses:
            validate.Email(error=f"Write an address such as ana@example.com, which {address[:100]} is not.")(address)
        return addresses


class InviteForm(forms.Form):
    """Whom to invite, with the roles that all of them will have."""

    email = Addresses(required=True, error_messages={"required": "Fill this in."})
    roles = forms.Several()


@blueprint.post("/members/invitations")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def invite() -> Any:
    """Ask addresses to join, all of them or none. Where nothing is mailed, each link is shown once."""
    form = forms.read(InviteForm)
    names = form["roles"] or roles.DEFAULT
    for email in form["email"]:
        count_invitation(email)
    return list_page(invited=[invitations.create(actor(), email, role_names=names) for email in form["email"]])


@blueprint.post("/members/invitations/<invitation_id>/resend")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def resend_invitation(invitation_id: str) -> Any:
    """A new link with a new end; the former one is dead."""
    found = invitations.get(actor().account, invitation_id)
    count_invitation(found.email)
    return list_page(invited=[invitations.resend(actor(), found)])


@blueprint.post("/members/invitations/<invitation_id>/cancel")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def cancel_invitation(invitation_id: str) -> Any:
    """The link stops working, the seat is free."""
    found = invitations.get(actor().account, invitation_id)
    invitations.cancel(actor(), found)
    return done(f"The invitation of {found.email} is cancelled.", "members")


@blueprint.get("/invitations.csv")
@guard(Permission.MEMBERS_READ)
def export_invitations() -> Any:
    """All that are pending."""
    account, asked = actor().account, INVITATIONS.asked()

    def cells(rows: list[Invitation]) -> Iterator[Sequence[Any]]:
        return ((row.id, row.email, row.roles, row.invited_by, row.expires_at, row.created_at) for row in rows)

    head = ("id", "email", "roles", "invited_by", "expires_at", "created_at")
    return table.download(f"invitations-{account.slug}", head, pending_steps(account, asked), cells)


@blueprint.post("/members/invitations/bulk")
@refused_on(members_list)
@guard(Permission.MEMBERS_WRITE)
def change_invitations() -> Any:
    """Send those that were ticked again, or take them back."""
    action, page_url = url_for("dashboard.change_invitations"), url_for("dashboard.members")
    verbs = {"resend": Verb("Send again", _resend), "cancel": Verb("Cancel", _cancel)}
    return bulk.answer(Several("invitation", "ticked-invitations", action, page_url, INVITATIONS.id, verbs, _addresses))


def _addresses(ids: Sequence[str]) -> Mapping[str, str]:
    found: Any = invitations.pending(actor().account).select(Invitation.id, Invitation.email)
    return dict(found.where(Invitation.id.in_(list(ids))).tuples())


def _resend(invitation_id: str) -> Outcome:
    found = invitations.get(actor().account, invitation_id)
    count_invitation(found.email)
    sent = invitations.resend(actor(), found)
    if sent.mailed:
        return Outcome(found.email, "has a new link by mail")
    return Outcome(found.email, "has a new link, shown this once", link=f"{base_url()}/invitations/{sent.token}")


def _cancel(invitation_id: str) -> Outcome:
    found = invitations.get(actor().account, invitation_id)
    invitations.cancel(actor(), found)
    return Outcome(found.email, "is not invited any more")
