"""/api/invitations: addresses asked to join. A pending one reserves a seat."""

from typing import Any

from flask import Response
from marshmallow import fields, validate

from idp_bridge import invitations, roles
from idp_bridge.models import Invitation
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import Answer, Body, Email, Instant, Names, Uri, listing
from idp_bridge.web.entering import count_invitation
from idp_bridge.web.guard import actor, base_url, guard

blueprint = Blueprint("Invitations", __name__, "Addresses asked to join; a pending one reserves a seat.")


class InvitationCreate(Body):
    """Whom to invite."""

    email = Email(required=True)
    roles = Names(load_default=lambda: list(roles.DEFAULT))


class InvitationAnswer(Answer):
    """A pending invitation."""

    id = fields.String()
    uri = Uri("/api/invitations/{id}")
    email = fields.String()
    roles = fields.List(fields.String())
    invited_by = fields.String()
    state = fields.String(
        validate=validate.OneOf(["pending", "lapsed"]),
        metadata={"description": "Lapsed: its sender may not give these roles any more. Send it again, or cancel it."},
    )
    mailed = fields.Boolean(metadata={"description": "Whether a mail with the link was sent, or is on its way."})
    accept_url = fields.String(
        allow_none=True,
        dump_default=None,
        metadata={"description": "In the answer to its creation or to sending it again, and never after."},
    )
    expires_at = Instant()
    created_at = Instant()


def _sent(sent: invitations.Sent) -> Invitation:
    sent.invitation.accept_url = f"{base_url()}/invitations/{sent.token}"  # type: ignore[attr-defined]  # no column
    _add_states([sent.invitation])
    return sent.invitation


def _add_states(rows: list[Invitation]) -> None:
    lapsed = invitations.lapsed(actor().account, rows)
    mails = invitations.mails(rows)
    for row in rows:
        row.state = "lapsed" if row.id in lapsed else "pending"  # type: ignore[attr-defined]
        row.mailed = row.id in mails and not mails[row.id].error  # type: ignore[attr-defined]


@blueprint.get("/invitations")
@guard(Permission.MEMBERS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("invitations", InvitationAnswer))
def list_invitations(asked: dict[str, Any]) -> dict[str, Any]:
    """The invitations that can still be accepted."""
    found = page("invitations", invitations.pending(actor().account), Invitation.id, asked)
    _add_states(found["invitations"])
    return found


@blueprint.post("/invitations")
@guard(Permission.MEMBERS_WRITE)
@blueprint.arguments(InvitationCreate)
@blueprint.response(201, InvitationAnswer)
def create_invitation(body: dict[str, Any]) -> Invitation:
    """Ask an address to join. The answer alone holds the link that accepts."""
    count_invitation(body["email"])
    return _sent(invitations.create(actor(), body["email"], role_names=body["roles"]))


@blueprint.get("/invitations/<id:id>")
@guard(Permission.MEMBERS_READ)
@blueprint.response(200, InvitationAnswer)
def get_invitation(id: str) -> Invitation:
    """One invitation."""
    found = invitations.get(actor().account, id)
    _add_states([found])
    return found


@blueprint.post("/invitations/<id:id>/resend")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(200, InvitationAnswer)
def resend_invitation(id: str) -> Invitation:
    """Send it again, from the caller now: a new link with a new end, and the former one is dead."""
    found = invitations.get(actor().account, id)
    count_invitation(found.email)
    return _sent(invitations.resend(actor(), found))


@blueprint.delete("/invitations/<id:id>")
@guard(Permission.MEMBERS_WRITE)
@blueprint.response(204)
def delete_invitation(id: str) -> Response:
    """Cancel an invitation: its link stops working and the seat is free."""
    invitations.cancel(actor(), invitations.get(actor().account, id))
    return no_content()
