"""/api/users/<id>/sessions: where a member is signed in to this account, and signing her out."""

from typing import Any

from flask import Response
from marshmallow import RAISE, Schema, fields, validate

from idp_bridge import account_sessions, members
from idp_bridge.models import Member, SessionReach
from idp_bridge.roles import Permission
from idp_bridge.sign_in import Way
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, shown
from idp_bridge.web.api.schemas import Answer, Instant, Uri, listing
from idp_bridge.web.guard import actor, guard, require, session

blueprint = Blueprint(
    "Sessions",
    __name__,
    "Browsers signed in to this account; one's own, and of whoever may change members everybody's.",
)


class Keeping(Schema):
    """The query of signing out everywhere."""

    class Meta:
        unknown = RAISE

    keep_current = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        load_default=False,
        metadata={"description": "Not the session that asks, where it is one of them."},
    )


class MemberSessionAnswer(Answer):
    """A browser that is signed in. Its id is this account's own; the session has others elsewhere."""

    id = fields.String()
    uri = Uri("/api/users/{user_id}/sessions/{id}")
    user_id = fields.String()
    method = fields.String(validate=validate.OneOf([way.value for way in Way]))
    identity_provider_id = fields.String(allow_none=True)
    address = fields.String(
        allow_none=True, metadata={"description": "That the sign-in came from, or its first use in this account."}
    )
    user_agent = fields.String(metadata={"description": "What the browser called itself then."})
    current = fields.Boolean(metadata={"description": "Whether this request comes by it."})
    created_at = Instant(metadata={"description": "The sign-in, or the session's first use in this account."})
    seen_at = Instant(metadata={"description": "Its last use in this account, to the minute."})
    expires_at = Instant(metadata={"description": "At the latest. Sooner, where it is not used for a day."})


def _shown(reach: SessionReach) -> dict[str, Any]:
    row, mine = reach.session, session()
    return {
        **{name: getattr(row, name) for name in ("method", "identity_provider_id")},
        **{name: getattr(reach, name) for name in ("id", "address", "user_agent", "seen_at")},
        "user_id": reach.member_id,
        "current": mine is not None and mine.digest == row.digest,
        "created_at": reach.used_at,
        "expires_at": account_sessions.ends_at(reach),
    }


def _member(id: str) -> Member:
    """Whoever is asked about; others than oneself by permission. Raises Forbidden, NotFound."""
    if id != actor().id:
        require(Permission.MEMBERS_WRITE)
    return members.get(actor().account, id)


@blueprint.get("/users/<id:id>/sessions")
@guard()
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("sessions", MemberSessionAnswer))
def list_sessions(asked: dict[str, Any], id: str) -> dict[str, Any]:
    """The live sessions that reach a member."""
    before = asked.get("before_id")
    found = [reach for reach in account_sessions.of_member(_member(id)) if before is None or reach.id < before]
    return shown("sessions", [_shown(reach) for reach in found[: asked["limit"] + 1]], asked)


@blueprint.get("/users/<id:id>/sessions/<id:session_id>")
@guard()
@blueprint.response(200, MemberSessionAnswer)
def get_session(id: str, session_id: str) -> dict[str, Any]:
    """One live session."""
    return _shown(account_sessions.get(_member(id), session_id))


@blueprint.delete("/users/<id:id>/sessions/<id:session_id>")
@guard()
@blueprint.response(204)
def delete_session(id: str, session_id: str) -> Response:
    """Sign a member out of this account in one browser."""
    member = _member(id)
    account_sessions.end(actor(), member, account_sessions.get(member, session_id))
    return no_content()


@blueprint.delete("/users/<id:id>/sessions")
@guard()
@blueprint.arguments(Keeping, location="query")
@blueprint.response(204)
def delete_sessions(asked: dict[str, Any], id: str) -> Response:
    """Sign a member out of this account everywhere. What is being opened at that moment does not survive it either."""
    account_sessions.end_everywhere(actor(), _member(id), keep=session() if asked["keep_current"] else None)
    return no_content()
