"""/api/identity_providers/{id}/scim_tokens: what a provider's directory shows to be let in."""

from typing import Any

from flask import Response
from marshmallow import fields

from idp_bridge import idps, scim_tokens
from idp_bridge.models import IdentityProvider, ScimToken
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import DESCRIPTION_BYTES, Answer, Body, Instant, Text, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("SCIM tokens", __name__, "Bearer tokens of a directory; several live side by side.")


class ScimTokenCreate(Body):
    """A new token for the provider's directory."""

    description = Text(most=DESCRIPTION_BYTES, lines=True)
    expires_at = Instant(allow_none=True)


class ScimTokenAnswer(Answer):
    """A SCIM token."""

    id = fields.String()
    uri = Uri("/api/identity_providers/{identity_provider_id}/scim_tokens/{id}")
    identity_provider_id = fields.String()
    description = fields.String()
    ends_with = fields.String()
    token = fields.String(
        allow_none=True, dump_default=None, metadata={"description": "In the answer to its creation, and never again."}
    )
    created_at = Instant()
    expires_at = Instant(allow_none=True)
    last_used_at = Instant(allow_none=True)


def _provider(provider_id: str) -> IdentityProvider:
    return idps.get(actor().account, provider_id)


@blueprint.get("/identity_providers/<id:provider_id>/scim_tokens")
@guard(Permission.IDPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("scim_tokens", ScimTokenAnswer))
def list_scim_tokens(asked: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """The tokens of the provider's directory."""
    return page("scim_tokens", scim_tokens.of_provider(_provider(provider_id)), ScimToken.id, asked)


@blueprint.post("/identity_providers/<id:provider_id>/scim_tokens")
@guard(Permission.IDPS_WRITE, feature=Feature.SCIM)
@blueprint.arguments(ScimTokenCreate)
@blueprint.response(201, ScimTokenAnswer)
def create_scim_token(body: dict[str, Any], provider_id: str) -> ScimToken:
    """Make a token; several may live side by side. The answer alone holds its secret."""
    issued = scim_tokens.issue(actor(), _provider(provider_id), **body)
    issued.row.token = issued.token  # type: ignore[attr-defined]  # for this one answer; no column holds it
    return issued.row


@blueprint.get("/identity_providers/<id:provider_id>/scim_tokens/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, ScimTokenAnswer)
def get_scim_token(provider_id: str, id: str) -> ScimToken:
    """One token: how it ends and when it was last used."""
    return scim_tokens.get(_provider(provider_id), id)


@blueprint.delete("/identity_providers/<id:provider_id>/scim_tokens/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def delete_scim_token(provider_id: str, id: str) -> Response:
    """Revoke a token at once."""
    scim_tokens.revoke(actor(), scim_tokens.get(_provider(provider_id), id))
    return no_content()
