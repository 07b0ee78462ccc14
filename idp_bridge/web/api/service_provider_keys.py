"""/api/identity_providers/{id}/service_provider_keys: our own keys of a connection, and their roll-over."""

from typing import Any

from flask import Response
from marshmallow import fields, validate

from idp_bridge import idps, sp_keys
from idp_bridge.models import IdentityProvider, ServiceProviderKey
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import Answer, Instant, Uri, listing
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Service provider keys", __name__, "Our key pairs of a connection; the private halves stay here.")


class ServiceProviderKeyAnswer(Answer):
    """A key pair of ours, by its certificate. ``next`` is published, ``current`` signs, ``former`` still decrypts."""

    id = fields.String()
    uri = Uri("/api/identity_providers/{identity_provider_id}/service_provider_keys/{id}")
    identity_provider_id = fields.String()
    state = fields.String(validate=validate.OneOf(sp_keys.STATES))
    certificate = fields.String(metadata={"description": "PEM."})
    fingerprint_sha256 = fields.String()
    not_before = Instant()
    not_after = Instant()
    created_at = Instant()
    changed_at = Instant(metadata={"description": "When it came into its state."})


def _provider(provider_id: str) -> IdentityProvider:
    return idps.get(actor().account, provider_id)


@blueprint.get("/identity_providers/<id:provider_id>/service_provider_keys")
@guard(Permission.IDPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("service_provider_keys", ServiceProviderKeyAnswer))
def list_service_provider_keys(asked: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """The keys of the connection; none until one is first needed."""
    rows = ServiceProviderKey.select().where(ServiceProviderKey.identity_provider == _provider(provider_id))
    found = page("service_provider_keys", rows, ServiceProviderKey.id, asked)
    return {**found, "service_provider_keys": [sp_keys.describe(row) for row in found["service_provider_keys"]]}


@blueprint.post("/identity_providers/<id:provider_id>/service_provider_keys")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
@blueprint.response(201, ServiceProviderKeyAnswer)
def create_service_provider_key(provider_id: str) -> dict[str, Any]:
    """Prepare the next key: it stands in our metadata beside the current one from now on. 409 where one is waiting."""
    return sp_keys.describe(sp_keys.prepare(actor(), _provider(provider_id)))


@blueprint.get("/identity_providers/<id:provider_id>/service_provider_keys/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, ServiceProviderKeyAnswer)
def get_service_provider_key(provider_id: str, id: str) -> dict[str, Any]:
    """One key."""
    return sp_keys.describe(sp_keys.get(_provider(provider_id), id))


@blueprint.post("/identity_providers/<id:provider_id>/service_provider_keys/<id:id>/activate")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
@blueprint.response(200, ServiceProviderKeyAnswer)
def activate_service_provider_key(provider_id: str, id: str) -> dict[str, Any]:
    """Sign with the next key from now on. The one before becomes a former one, and still decrypts."""
    return sp_keys.describe(sp_keys.activate(actor(), _provider(provider_id), id))


@blueprint.delete("/identity_providers/<id:provider_id>/service_provider_keys/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def delete_service_provider_key(provider_id: str, id: str) -> Response:
    """Retire a former key, or give up the next one. The current one is 409."""
    sp_keys.delete(actor(), _provider(provider_id), id)
    return no_content()
