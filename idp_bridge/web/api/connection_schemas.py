"""The bodies and answers of /api/identity_providers."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from idp_bridge.idps import State
from idp_bridge.web.api.schemas import DESCRIPTION_BYTES, Answer, Body, Flag, Instant, Name, Names, Patch, Text, Uri
from idp_bridge.web.api.service_provider_keys import ServiceProviderKeyAnswer

LARGEST_METADATA = 512 * 1024
JOIN_POLICIES = ("jit", "invite_only")
BINDINGS = ("redirect", "post")
NAME_ID_FORMATS = (
    "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
)

#: What the provider is trusted by where there is no metadata: field of the body -> field of ``Trust``.
BY_HAND = {
    "entity_id": "entity_id",
    "sso_url": "sso_url",
    "sso_binding": "sso_binding",
    "slo_url": "slo_url",
    "idp_slo_url": "slo_url",
    "idp_slo_binding": "slo_binding",
    "idp_slo_response_url": "slo_response_url",
    "certificates": "certificates",
}
NEEDED_BY_HAND = frozenset({"entity_id", "sso_url", "certificates"})
_SOURCES = ("metadata_xml", "metadata_url")
_PEM_BYTES = 16_384
_LABEL_OF_DOMAIN = r"[^\x00-\x20@.,:;/\x7f-\xa0]{1,63}"
_DOMAIN = rf"^@?({_LABEL_OF_DOMAIN}\.)+{_LABEL_OF_DOMAIN}$"


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
    metadata_url = Text(
        least=1,
        most=2048,
        allow_none=True,
        metadata={"description": "https. Looked at again every six hours; null stops that and keeps what is trusted."},
    )
    metadata_certificate = Text(
        least=1,
        most=_PEM_BYTES,
        lines=True,
        allow_none=True,
        metadata={"description": "PEM. Changes of metadata that its key signed are taken without asking."},
    )
    entity_id = Text(
        least=1, most=1024, metadata={"description": "Beside metadata: which of the identity providers in it."}
    )
    sso_url = Text(least=1, most=2048)
    sso_binding = fields.String(validate=validate.OneOf(BINDINGS))
    slo_url = Text(least=1, most=2048, allow_none=True, metadata={"description": "The provider's: as idp_slo_url."})
    idp_slo_url = Text(least=1, most=2048, allow_none=True)
    idp_slo_binding = fields.String(validate=validate.OneOf(BINDINGS))
    idp_slo_response_url = Text(least=1, most=2048, allow_none=True)
    certificates = fields.List(Text(least=1, most=_PEM_BYTES, lines=True), validate=validate.Length(min=1, max=10))
    enabled = Flag()
    allow_idp_initiated = Flag()
    bounce_idp_initiated = Flag(
        metadata={
            "description": "A sign-in that the provider begins only starts one of our own. With force_authn each does."
        }
    )
    join_policy = fields.String(validate=validate.OneOf(JOIN_POLICIES))
    default_roles = Names()
    domains = Names(each=253, pattern=_DOMAIN, words="Must be a domain such as example.com.")
    attribute_mapping = fields.Nested(AttributeMapping)
    name_id_format = fields.String(
        validate=validate.OneOf(NAME_ID_FORMATS),
        allow_none=True,
        metadata={"description": "What our requests ask for; null = nothing, and the provider decides."},
    )
    may_grant_admin = Flag()
    trusted_with_administrators = Flag(
        metadata={"description": "An administrator stands behind what it is trusted by. Only administrators set it."}
    )
    strict_scim = Flag()
    sign_authn_requests = Flag()
    want_assertions_encrypted = Flag()
    require_gcm = Flag(metadata={"description": "Assertions encrypted with AES-CBC are refused."})
    allow_weak_signatures = Flag(metadata={"description": "SHA-1, and RSA keys under 2048 bits. Leave it off."})
    force_authn = Flag(
        metadata={"description": "Who signs in proves anew who she is. What the provider begins only starts a request."}
    )
    redact_sign_in_flows = Flag(
        metadata={"description": "The messages of sign-ins are kept without what they say of people."}
    )

    @validates_schema
    def _said_once(self, data: Mapping[str, Any], **_: Any) -> None:
        """Two documents, or a document and single values, could contradict each other."""
        ways = [name for name in _SOURCES if data.get(name)]
        by_hand = (set(BY_HAND) - {"entity_id"}) & set(data)
        if len(ways) > 1 or (ways and by_hand):
            raise ValidationError("Give metadata_xml, or metadata_url, or entity_id with sso_url and certificates.")
        if "slo_url" in data and data.get("idp_slo_url", data["slo_url"]) != data["slo_url"]:
            raise ValidationError({"idp_slo_url": ["slo_url is the same thing, and says something else."]})


class IdentityProviderCreate(_Connection):
    """A new connection, from exactly one of ``metadata_xml``, ``metadata_url`` or ``entity_id`` with ``sso_url`` and
    ``certificates``; or a ``draft``, from none of them."""

    name = Name(required=True)
    draft = Flag(
        metadata={
            "description": "Only make its addresses, to be pasted at the provider; its metadata comes by PATCH, then "
            "enabled. Until then nobody can sign in by it."
        }
    )

    @validates_schema
    def _said_at_all(self, data: Mapping[str, Any], **_: Any) -> None:
        if data.get("draft"):
            said = sorted(name for name in (*_SOURCES, *BY_HAND, "enabled") if data.get(name))
            if said:
                raise ValidationError({name: ["A draft has none yet."] for name in said})
        elif not any(data.get(name) for name in _SOURCES):
            missing = NEEDED_BY_HAND - set(data)
            if missing:
                raise ValidationError({name: ["Needed where there is no metadata."] for name in sorted(missing)})


class IdentityProviderPatch(_Connection, Patch):
    """What may be set of a connection."""

    name = Name()


class PendingTrustSeen(Body):
    """Which change is accepted or discarded: the one that was looked at."""

    digest = Text(
        least=64,
        most=64,
        required=True,
        pattern=r"^[0-9a-f]{64}$",
        words="Must be the digest of what pending_trust shows.",
    )


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


class PendingTrustAnswer(Answer):
    """What the provider's metadata says now, and nothing vouches for."""

    digest = fields.String(
        metadata={"description": "Accepting or discarding names it, so that nothing unseen is decided."}
    )
    reason = fields.String()
    found_at = Instant()
    entity_id = fields.String()
    sso_url = fields.String()
    sso_binding = fields.String(validate=validate.OneOf(BINDINGS))
    idp_slo_url = fields.String(allow_none=True)
    idp_slo_binding = fields.String(validate=validate.OneOf(BINDINGS))
    idp_slo_response_url = fields.String(allow_none=True)
    certificates = fields.List(fields.Nested(CertificateAnswer))


class WarningAnswer(Answer):
    """What an administrator should know of a connection that works today."""

    code = fields.String()
    message = fields.String()


class IdentityProviderAnswer(Answer):
    """A connection: its settings, what it is trusted by, and what is pasted at the provider."""

    id = fields.String()
    uri = Uri("/api/identity_providers/{id}")
    name = fields.String()
    description = fields.String()
    state = fields.String(
        validate=validate.OneOf([state.value for state in State]),
        metadata={"description": "testing: no draft any more, and not enabled yet for the first time."},
    )
    entity_id = fields.String(allow_none=True, metadata={"description": "null of a draft, as is sso_url."})
    sso_url = fields.String(allow_none=True)
    sso_binding = fields.String(validate=validate.OneOf(BINDINGS))
    idp_slo_url = fields.String(allow_none=True)
    idp_slo_binding = fields.String(validate=validate.OneOf(BINDINGS))
    idp_slo_response_url = fields.String(allow_none=True)
    certificates = fields.List(fields.Nested(CertificateAnswer))
    metadata_url = fields.String(allow_none=True)
    metadata_certificate = fields.String(allow_none=True)
    metadata_checked_at = Instant(allow_none=True)
    metadata_valid_until = Instant(allow_none=True)
    metadata_error = fields.String(allow_none=True)
    pending_trust = fields.Nested(PendingTrustAnswer, allow_none=True)
    enabled = fields.Boolean()
    allow_idp_initiated = fields.Boolean()
    bounce_idp_initiated = fields.Boolean()
    join_policy = fields.String(validate=validate.OneOf(JOIN_POLICIES))
    default_roles = fields.List(fields.String())
    domains = fields.List(fields.String())
    attribute_mapping = fields.Nested(AttributeMappingAnswer)
    name_id_format = fields.String(allow_none=True)
    may_grant_admin = fields.Boolean()
    trusted_with_administrators = fields.Boolean()
    strict_scim = fields.Boolean()
    sign_authn_requests = fields.Boolean()
    want_assertions_encrypted = fields.Boolean()
    require_gcm = fields.Boolean()
    allow_weak_signatures = fields.Boolean()
    force_authn = fields.Boolean()
    redact_sign_in_flows = fields.Boolean()
    sp_entity_id = fields.String()
    sp_metadata_url = fields.String()
    acs_url = fields.String()
    start_url = fields.String()
    slo_url = fields.String(metadata={"description": "Ours; the provider's is idp_slo_url."})
    scim_base_url = fields.String()
    service_provider_keys = fields.List(fields.Nested(ServiceProviderKeyAnswer))
    warnings = fields.List(fields.Nested(WarningAnswer))
    created_at = Instant()


class ImpactAnswer(Answer):
    """What one of the two does. ``refused`` says why it cannot be done now."""

    refused = fields.String(allow_none=True)
    sessions_ended = fields.Integer()
    locked_out = fields.Integer(metadata={"description": "Active members for whom there is no other way in."})
    members_released = fields.Integer(metadata={"description": "They stay, and are managed by hand from then on."})
    scim_tokens_deleted = fields.Integer()
    directory_users_deleted = fields.Integer()
    groups_deleted = fields.Integer()
    role_mappings_deleted = fields.Integer()


class ImpactsAnswer(Answer):
    """What happens to people, said beforehand."""

    disable = fields.Nested(ImpactAnswer)
    delete = fields.Nested(ImpactAnswer)
