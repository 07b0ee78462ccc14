"""/api/identity_providers: SAML connections, what they are trusted by, and what becomes of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response

from idp_bridge import connection_warnings, fetching, identity_links, idps, impact, metadata_refresh, plans, sp_keys
from idp_bridge.errors import Conflict, Invalid
from idp_bridge.idps import Trust
from idp_bridge.models import IdentityProvider
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.connection_schemas import (
    BY_HAND,
    NEEDED_BY_HAND,
    IdentityProviderAnswer,
    IdentityProviderCreate,
    IdentityProviderPatch,
    ImpactsAnswer,
    PendingTrustSeen,
)
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import listing
from idp_bridge.web.guard import actor, base_url, guard

blueprint = Blueprint("Identity providers", __name__, "SAML connections, and what each is trusted by.")


def _shown(provider: IdentityProvider) -> dict[str, Any]:
    stored = {name: getattr(provider, name) for name in IdentityProviderAnswer().fields if hasattr(provider, name)}
    waiting = metadata_refresh.waiting(provider)
    return {
        **stored,
        **_logout(stored | {name: getattr(provider, name) for name in _LOGOUT.values()}),
        **idps.urls(provider.id, base_url()),
        "state": idps.state(provider).value,
        "entity_id": provider.entity_id or None,
        "sso_url": provider.sso_url or None,
        "pending_trust": waiting and {**waiting, **_logout(waiting)},
        "service_provider_keys": [sp_keys.describe(row) for row in sp_keys.of_provider(provider)],
        "warnings": connection_warnings.of_provider(provider),
    }


#: The provider's own logout endpoint is answered under these names: ``slo_url`` is ours, as ``acs_url`` is.
_LOGOUT = {name: of_trust for name, of_trust in BY_HAND.items() if name.startswith("idp_")}


def _logout(trusted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: trusted[of_trust] for name, of_trust in _LOGOUT.items()}


# --- what a provider is trusted by ------------------------------------------------------------------------------


def _take_trust(body: dict[str, Any], provider: IdentityProvider | None = None) -> Trust | None:
    """The trust that ``body`` spells out, taken out of it; None where it only changes single values, or none.

    May fetch ``metadata_url``, so it is called before a transaction begins. Raises Invalid.
    """
    weak = body.get("allow_weak_signatures", provider.allow_weak_signatures if provider else False)
    if "metadata_xml" in body:
        body["metadata_url"] = None
        return _read(body, body.pop("metadata_xml"), allow_weak=weak)
    if body.get("metadata_url"):
        document = fetching.fetch(body["metadata_url"], field="metadata_url")
        try:
            return _read(body, document, allow_weak=weak)
        except Invalid as error:  # the document is at fault, but the field that was sent is this one
            wrong = {"metadata_url" if name == "metadata_xml" else name: said for name, said in error.fields.items()}
            raise Invalid(error.message, code=error.code, fields=wrong) from error
    if set(body) >= NEEDED_BY_HAND:
        return Trust(**_by_hand(body))
    return None


def _read(body: dict[str, Any], document: str, *, allow_weak: bool) -> Trust:
    """A document that comes together with a certificate for metadata must be signed by its key."""
    return idps.read_metadata(
        document,
        entity_id=body.pop("entity_id", None),
        vouched_by=body.get("metadata_certificate"),
        allow_weak=allow_weak,
    )


def _by_hand(body: dict[str, Any]) -> dict[str, Any]:
    return {of_trust: body.pop(name) for name, of_trust in BY_HAND.items() if name in body}


def _merge_trust(provider: IdentityProvider, body: dict[str, Any]) -> Trust | None:
    """What the provider is trusted by once the single values in ``body`` are set, which are taken out of it."""
    given = _by_hand(body)
    return replace(idps.trust_of(provider), **given) if given else None


def _take_new_trust(body: dict[str, Any], id: str) -> Trust | None:
    provider = idps.get(actor().account, id)  # nothing is fetched for an id that is not there
    if body.get("metadata_xml") or body.get("metadata_url"):  # nor for an account that may not use it
        plans.require(actor().account, Feature.SSO)
    return _take_trust(body, provider)


# --- connections ------------------------------------------------------------------------------------------------


@blueprint.get("/identity_providers")
@guard(Permission.IDPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("identity_providers", IdentityProviderAnswer))
def list_identity_providers(asked: dict[str, Any]) -> dict[str, Any]:
    """The connections of the account."""
    found = page("identity_providers", idps.of_account(actor().account), IdentityProvider.id, asked)
    return {**found, "identity_providers": [_shown(row) for row in found["identity_providers"]]}


@blueprint.post("/identity_providers")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
@blueprint.arguments(IdentityProviderCreate)
@blueprint.prepared(_take_trust)
@blueprint.response(201, IdentityProviderAnswer)
def create_identity_provider(trust: Trust | None, body: dict[str, Any]) -> dict[str, Any]:
    """Connect an identity provider, or make a draft. The account stays in its sign-in mode."""
    if (trust is None) != body.pop("draft", False):
        raise TypeError("the schema lets no body without a trust through, unless it is a draft's")
    return _shown(idps.create(actor(), name=body.pop("name"), trust=trust, **body))


@blueprint.get("/identity_providers/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, IdentityProviderAnswer)
def get_identity_provider(id: str) -> dict[str, Any]:
    """One connection."""
    return _shown(idps.get(actor().account, id))


@blueprint.patch("/identity_providers/<id:id>")
@guard(Permission.IDPS_WRITE, transaction=False)
@blueprint.arguments(IdentityProviderPatch)
@blueprint.prepared(_take_new_trust)
@blueprint.response(200, IdentityProviderAnswer)
def update_identity_provider(trust: Trust | None, body: dict[str, Any], id: str) -> dict[str, Any]:
    """Change a connection. What a sign-in rests on, once changed, must be proven again before enforcing. Without single
    sign-on in the plan it may be switched off, renamed and redacted."""
    provider = idps.get(actor().account, id)
    idps.change(actor(), provider, trust=trust or _merge_trust(provider, body), **body)
    return _shown(provider)


@blueprint.delete("/identity_providers/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def delete_identity_provider(id: str) -> Response:
    """Delete a connection with its directory, tokens, mappings and sessions. Its members stay."""
    idps.delete(actor(), idps.get(actor().account, id))
    return no_content()


@blueprint.get("/identity_providers/<id:id>/impact")
@guard(Permission.IDPS_READ)
@blueprint.response(200, ImpactsAnswer)
def get_identity_provider_impact(id: str) -> dict[str, Any]:
    """What switching the connection off, or deleting it, would do to people."""
    provider = idps.get(actor().account, id)
    return {"disable": impact.of_disabling(actor(), provider), "delete": impact.of_deleting(actor(), provider)}


# --- metadata that changes --------------------------------------------------------------------------------------


@blueprint.post("/identity_providers/<id:id>/refresh_metadata")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
@blueprint.response(200, IdentityProviderAnswer)
def refresh_identity_provider_metadata(id: str) -> dict[str, Any]:
    """Look at the document at ``metadata_url`` now. What came of it is in the answer; 409 where there is no URL."""
    if idps.get(actor().account, id).metadata_url is None:
        raise Conflict("This connection has no metadata_url to look at.")
    metadata_refresh.refresh(id, actor=actor())
    return _shown(idps.get(actor().account, id))


@blueprint.post("/identity_providers/<id:id>/pending_trust/accept")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
@blueprint.arguments(PendingTrustSeen)
@blueprint.response(200, IdentityProviderAnswer)
def accept_pending_trust(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Trust what waits. 409 where another change has come in since it was looked at."""
    provider = idps.get(actor().account, id)
    metadata_refresh.accept(actor(), provider, body["digest"])
    return _shown(provider)


@blueprint.delete("/identity_providers/<id:id>/pending_trust")
@guard(Permission.IDPS_WRITE)
@blueprint.arguments(PendingTrustSeen, location="query")
@blueprint.response(204)
def discard_pending_trust(asked: dict[str, Any], id: str) -> Response:
    """Do not trust what waits. It comes up again only when the metadata says something else. 409 where another change
    has come in since it was looked at."""
    metadata_refresh.discard(actor(), idps.get(actor().account, id), asked["digest"])
    return no_content()


# --- what it calls people ---------------------------------------------------------------------------------------


@blueprint.delete("/identity_providers/<id:id>/identity_links")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def delete_identity_provider_links(id: str) -> Response:
    """Forget what this provider calls anybody, for when it names everybody otherwise from now on: at the next sign-in
    each is found by her address again."""
    identity_links.forget_all(actor(), idps.get(actor().account, id))
    return no_content()
