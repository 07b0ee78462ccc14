"""/api/introspect: what is behind a credential that somebody showed to the product (RFC 7662)."""

from ipaddress import ip_address
from typing import Any

from flask import Response, request
from marshmallow import ValidationError, fields, validate

from idp_bridge import introspection
from idp_bridge.db import encode
from idp_bridge.introspection import Shown
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.schemas import Answer, Body, Text
from idp_bridge.web.edge import edge, reach

blueprint = Blueprint("Introspection", __name__, "What is behind a credential that was shown to the product.")


def _address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError as error:
        raise ValidationError("Must be an IPv4 or IPv6 address.") from error


class Introspection(Body):
    """What was shown, as RFC 7662 section 2.1 has it asked."""

    token = Text(
        most=introspection.LONGEST,
        least=1,
        required=True,
        lines=True,
        metadata={"description": "An authtoken, an API key, an OpenSSH public key line or its SHA256: fingerprint."},
    )
    token_type_hint = Text(
        most=255,
        metadata={"description": "authtoken, api_key or ssh_public_key. The form says it too, so it may be left out."},
    )
    client_address = Text(
        most=45,
        validate=_address,
        metadata={"description": "From where it was shown, for the owner's page; the caller's own address if absent."},
    )


class IntrospectionAnswer(Answer):
    """Whether the credential works. Where it does not, nothing else is told."""

    active = fields.Boolean()
    token_type = fields.String(validate=validate.OneOf(["authtoken", "api_key", "ssh_public_key"]))
    credential_id = fields.String()
    owner_id = fields.String()
    owner_type = fields.String(validate=validate.OneOf(["user", "bot_user"]))
    account_id = fields.String()
    roles = fields.List(fields.String())
    acl = fields.List(fields.String())
    sub = fields.String(metadata={"description": "The owner again, by RFC 7662's name."})
    iat = fields.Integer(metadata={"description": "When it was made, in seconds since 1970."})
    exp = fields.Integer(
        metadata={"description": "When it expires, in seconds since 1970; absent where it never does."}
    )

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Only ``active`` is always there."""
        field_obj.required = field_name == "active"


@blueprint.post("/introspect")
@edge(Permission.INTROSPECT)
@blueprint.arguments(Introspection, location="form")
@blueprint.response(200, IntrospectionAnswer)
def introspect(asked: dict[str, Any]) -> Response:
    """Look up a credential. Whatever does not work, and what another account has, is only not active."""
    address = asked.get("client_address") or request.remote_addr
    shown = introspection.introspect(asked["token"], account=reach(), address=address)
    told = {"active": False} if shown is None else _active(shown)
    return Response(encode(told), mimetype="application/json")  # the hot path: the schema only describes it


def _active(shown: Shown) -> dict[str, Any]:
    told = {
        "active": True,
        "token_type": shown.kind,
        "credential_id": shown.id,
        "owner_id": shown.owner_id,
        "owner_type": shown.owner_type,
        "account_id": shown.account_id,
        "roles": shown.roles,
        "acl": shown.acl,
        "sub": shown.owner_id,
        "iat": int(shown.created_at.timestamp()),
    }
    return told | ({"exp": int(shown.expires_at.timestamp())} if shown.expires_at else {})
