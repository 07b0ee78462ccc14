"""/api/identity_providers: SAML connections, and the SCIM tokens of their directories."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from marshmallow import ValidationError, fields, validate, validates_schema

from idp_bridge import db, fetching, idps
from idp_bridge.errors import Invalid
from idp_bridge.idps import Trust
from idp_bridge.models import IdentityProvider, ScimToken
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import (
    DESCRIPTION_BYTES,
    Answer,
    Body,
    Flag,
    Instant,
    Names,
    Patch,
    Text,
    Uri,
    listing,
)
from idp_bridge.web.guard import actor, base_url, guard

blueprint = Blueprint("Identity providers", __name__, "SAML connections and their SCIM tokens.")

LARGEST_METADATA = 512 * 1024
JOIN_POLICIES = ("jit", "invite_only")

#: What the provider is trusted by, in the three ways to say it.
_TRUST = {"entity_id", "sso_url", "slo_url", "certificates"}
_SOURCES = ("metadata_xml", "metadata_url")


# --- bodies -----------------------------------------------------------------------------------------------------


class AttributeMapping(Body):
    """Which attribute carries what: a name, ``"NameID"``, or null for the well-known names."""

    email = Text(least=1, most=1024, allow_none=True)
    first_name = Text(least=1, most=1024, allow_none=True)
    last_name = Text(least=1, most=1024, allow_none=True)
    groups = Text(least=1, most=1024, allow_none=True)


class _Connection(Body):
    description = Text(most=DESCRIPTION_BYTES, metadata={"description": "The words in the chooser at sign-in."})
    metadata_xml = Text(least=1, most=LARGEST_METADATA, lines=True)
    metadata_url = Text(least=1, most=2048)
    entity_id = Text(least=1, most=1024)
    sso_url = Text(least=1, most=2048)
    slo_url = Text(least=1, most=2048, allow_none=True, metadata={"description": "The provider's own."})
    certificates = fields.List(Text(least=1, most=16_384, lines=True), validate=validate.Length(min=1, max=10))
    enabled = Flag()
    allow_idp_initiated = Flag()
    join_policy = fields.String(validate=validate.OneOf(JOIN_POLICIES))
    default_roles = Names()
    domains = Names(each=253, pattern=r"^@?([^\x00-\x20@.,:;/\x7f-\xa0]{1,63}\.)+[^\x00-\x20@.,:;/\x7f-\xa0]{1,63}$")
    attribute_mapping = fields.Nested(AttributeMapping)
    may_grant_admin = Flag()
    strict_scim = Flag()
    sign_authn_requests = Flag()
    want_assertions_encrypted = Flag()
    force_authn = Flag()

    @validates_schema
    def _said_once(self, data: Mapping[str, Any], **_: Any) -> None:
        """Two documents, or a document and single values, could contradict each other."""
        ways = [name for name in _SOURCES if name in data]
        if len(ways) > 1 or (ways and _TRUST & set(data)):
            raise ValidationError("Give metadata_xml, or metadata_url, or entity_id with sso_url and certificates.")


class IdentityProviderCreate(_Connection):
    """A new connection, from exactly one of ``metadata_xml``, ``metadata_url`` or ``entity_id`` with ``sso_url`` and
    ``certificates``."""

    name = Text(least=1, most=255, required=True)

    @validates_schema
    def _said_at_all(self, data: Mapping[str, Any], **_: Any) -> None:
        if not any(name in data for name in _SOURCES):
            missing = {"entity_id", "sso_url", "certificates"} - set(data)
            if missing:
                raise ValidationError({name: ["Needed where there is no metadata."] for name in sorted(missing)})


class IdentityProviderPatch(_Connection, Patch):
    """What may be set of a connection."""

    name = Text(least=1, most=255)


class ScimTokenCreate(Body):
    """A new token for the provider's directory."""

    description = Text(most=DESCRIPTION_BYTES, lines=True)
    expires_at = Instant(allow_none=True)


# --- answers ----------------------------------------------------------------------------------------------------


class CertificateAnswer(Answer):
    """A signing certificate of the provider."""

    fingerprint_sha256 = fields.String()
    not_before = Instant()
    not_after = Instant()


class AttributeMappingAnswer(Answer):
    """Which attribute carries what; null = the well-known names."""

    email = fields.String(allow_none=True)
    first_name = fields.String(allow_none=True)
    last_name = fields.String(allow_none=True)
    groups = fields.String(allow_none=True)


class IdentityProviderAnswer(Answer):
    """A connection: its settings, what it is trusted by, and what is pasted at the provider."""

    id = fields.String()
    uri = Uri("/api/identity_providers/{id}")
    name = fields.String()
    description = fields.String()
    entity_id = fields.String()
    sso_url = fields.String()
    sso_binding = fields.String(validate=validate.OneOf(["redirect", "post"]))
    slo_url = fields.String(allow_none=True, metadata={"description": "The provider's own."})
    metadata_url = fields.String(allow_none=True)
    certificates = fields.List(fields.Nested(CertificateAnswer))
    enabled = fields.Boolean()
    allow_idp_initiated = fields.Boolean()
    join_policy = fields.String(validate=validate.OneOf(JOIN_POLICIES))
    default_roles = fields.List(fields.String())
    domains = fields.List(fields.String())
    attribute_mapping = fields.Nested(AttributeMappingAnswer)
    may_grant_admin = fields.Boolean()
    strict_scim = fields.Boolean()
    sign_authn_requests = fields.Boolean()
    want_assertions_encrypted = fields.Boolean()
    force_authn = fields.Boolean()
    sp_entity_id = fields.String()
    sp_metadata_url = fields.String()
    acs_url = fields.String()
    start_url = fields.String()
    scim_base_url = fields.String()
    created_at = Instant()


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


def _shown(provider: IdentityProvider) -> dict[str, Any]:
    urls = idps.urls(provider.id, base_url())
    stored = {name: getattr(provider, name) for name in IdentityProviderAnswer().fields if hasattr(provider, name)}
    return {**stored, **urls}


# --- what a provider is trusted by ------------------------------------------------------------------------------


def _take_trust(body: dict[str, Any]) -> Trust | None:
    """The trust that ``body`` spells out, taken out of it; None where it only changes single values, or none.

    May fetch ``metadata_url``, so it is called before a transaction begins. Raises Invalid.
    """
    if "metadata_xml" in body:
        body["metadata_url"] = None
        return idps.read_metadata(body.pop("metadata_xml"))
    if "metadata_url" in body:
        try:
            return idps.read_metadata(fetching.fetch(body["metadata_url"], field="metadata_url"))
        except Invalid as error:  # the document is at fault, but the field that was sent is this one
            raise Invalid(error.message, code=error.code, fields={"metadata_url": [error.message]}) from error
    if {"entity_id", "sso_url", "certificates"} <= set(body):
        return Trust(**{name: body.pop(name) for name in _TRUST & set(body)})
    return None


def _merge_trust(provider: IdentityProvider, body: dict[str, Any]) -> Trust | None:
    """What the provider is trusted by once the single values in ``body`` are set, which are taken out of it."""
    given = {name: body.pop(name) for name in _TRUST & set(body)}
    if not given:
        return None
    stored = {
        "entity_id": provider.entity_id,
        "sso_url": provider.sso_url,
        "sso_binding": provider.sso_binding,
        "slo_url": provider.slo_url,
        "certificates": [certificate["pem"] for certificate in provider.certificates],
    }
    return Trust(**{**stored, **given})


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
@blueprint.response(201, IdentityProviderAnswer)
def create_identity_provider(body: dict[str, Any]) -> dict[str, Any]:
    """Connect an identity provider. The account stays in its sign-in mode."""
    trust = _take_trust(body)
    if trust is None:
        raise TypeError("the schema lets no body without a trust through")
    with db.transaction():
        return _shown(idps.create(actor(), name=body.pop("name"), trust=trust, **body))


@blueprint.get("/identity_providers/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, IdentityProviderAnswer)
def get_identity_provider(id: str) -> dict[str, Any]:
    """One connection."""
    return _shown(idps.get(actor().account, id))


@blueprint.patch("/identity_providers/<id:id>")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
@blueprint.arguments(IdentityProviderPatch)
@blueprint.response(200, IdentityProviderAnswer)
def update_identity_provider(body: dict[str, Any], id: str) -> dict[str, Any]:
    """Change a connection. What a sign-in rests on, once changed, must be proven again before enforcing."""
    idps.get(actor().account, id)  # nothing is fetched for an id that is not there
    trust = _take_trust(body)
    with db.transaction():
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


# --- SCIM tokens ------------------------------------------------------------------------------------------------


@blueprint.get("/identity_providers/<id:provider_id>/scim_tokens")
@guard(Permission.IDPS_READ)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("scim_tokens", ScimTokenAnswer))
def list_scim_tokens(asked: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """The tokens of the provider's directory."""
    return page("scim_tokens", idps.scim_tokens(idps.get(actor().account, provider_id)), ScimToken.id, asked)


@blueprint.post("/identity_providers/<id:provider_id>/scim_tokens")
@guard(Permission.IDPS_WRITE, feature=Feature.SCIM)
@blueprint.arguments(ScimTokenCreate)
@blueprint.response(201, ScimTokenAnswer)
def create_scim_token(body: dict[str, Any], provider_id: str) -> ScimToken:
    """Make a token; several may live side by side. The answer alone holds its secret."""
    issued = idps.issue_scim_token(actor(), idps.get(actor().account, provider_id), **body)
    issued.row.token = issued.token  # type: ignore[attr-defined]  # for this one answer; no column holds it
    return issued.row


@blueprint.get("/identity_providers/<id:provider_id>/scim_tokens/<id:id>")
@guard(Permission.IDPS_READ)
@blueprint.response(200, ScimTokenAnswer)
def get_scim_token(provider_id: str, id: str) -> ScimToken:
    """One token: how it ends and when it was last used."""
    return idps.scim_token(idps.get(actor().account, provider_id), id)


@blueprint.delete("/identity_providers/<id:provider_id>/scim_tokens/<id:id>")
@guard(Permission.IDPS_WRITE)
@blueprint.response(204)
def delete_scim_token(provider_id: str, id: str) -> Response:
    """Revoke a token at once."""
    idps.revoke_scim_token(actor(), idps.scim_token(idps.get(actor().account, provider_id), id))
    return no_content()
