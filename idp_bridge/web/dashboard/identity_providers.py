"""Identity providers: adding one, and the page where it is set up: values to copy, trust, switches, SCIM tokens."""

from typing import Any

from flask import request
from marshmallow import validate

from idp_bridge import groups, idps, members, plans, spans
from idp_bridge.errors import Invalid
from idp_bridge.models import DirectoryGroup, IdentityProvider, Member, RoleMapping, ScimToken
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.saml.metadata import MetadataError, check_url
from idp_bridge.web import forms
from idp_bridge.web.dashboard.members import confirm, role_names
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, base_url, guard

#: What each provider's own screens call our values, so that nobody has to guess (help.okta.com, learn.microsoft.com).
LABELS = {
    "okta": {
        "title": "Okta",
        "acs_url": "Single sign-on URL",
        "sp_entity_id": "Audience URI (SP Entity ID)",
        "sp_metadata_url": "Metadata URL (not asked for)",
        "start_url": "Login page URL",
        "scim_base_url": "SCIM connector base URL",
        "token": "HTTP Header · Authorization",
    },
    "entra": {
        "title": "Entra ID",
        "acs_url": "Reply URL (Assertion Consumer Service URL)",
        "sp_entity_id": "Identifier (Entity ID)",
        "sp_metadata_url": "Upload metadata file",
        "start_url": "Sign on URL",
        "scim_base_url": "Tenant URL",
        "token": "Secret Token",
    },
    "other": {
        "title": "Other",
        "acs_url": "ACS URL (Assertion Consumer Service)",
        "sp_entity_id": "SP entity ID (Audience)",
        "sp_metadata_url": "SP metadata URL",
        "start_url": "Start URL",
        "scim_base_url": "SCIM base URL",
        "token": "Bearer token",
    },
}


class TrustForm(forms.Form):
    """The provider's metadata, or the three values in it."""

    metadata_xml = forms.Text(longest=400_000, load_default="")
    entity_id = forms.Text(longest=1024, load_default="")
    sso_url = forms.Text(longest=2048, load_default="")
    certificates = forms.Text(longest=100_000, load_default="")


class NewForm(TrustForm):
    """A new connection."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")


class OptionsForm(forms.Form):
    """The switches of a connection."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")
    enabled = forms.Checkbox()
    allow_idp_initiated = forms.Checkbox()
    may_grant_admin = forms.Checkbox()
    join_policy = forms.Text(required=True, validate=validate.OneOf(["jit", "invite_only"]))
    domains = forms.Words(load_default=list)
    default_roles = forms.Several()


class TokenForm(forms.Form):
    """A new SCIM token."""

    description = forms.Text(load_default="")
    days = forms.Days(load_default=None)


def read_trust(form: dict[str, Any]) -> idps.Trust:
    """Metadata from a file or pasted, else the three values. Raises Invalid in plain words."""
    upload = request.files.get("metadata_file")
    document = upload.read().decode("utf-8", "replace") if upload and upload.filename else form["metadata_xml"]
    if document:
        return idps.read_metadata(document)
    missing = [name for name in ("entity_id", "sso_url", "certificates") if not form[name]]
    if missing:
        raise Invalid(
            "Give the provider's metadata, as a file or pasted, or its entity ID, sign-on URL and certificate.",
            fields={name: ["Fill this in."] for name in (missing if len(missing) < 3 else ["metadata_xml"])},
        )
    try:
        url = check_url(form["sso_url"], what="sign-on URL")
    except MetadataError as error:
        raise Invalid(error.detail, fields={"sso_url": [error.detail]}) from error
    return idps.Trust(entity_id=form["entity_id"], sso_url=url, certificates=_pems(form["certificates"]))


def _pems(text: str) -> list[str]:
    end = "-----END CERTIFICATE-----"
    return [part.strip() + f"\n{end}" for part in text.split(end) if part.strip()] if end in text else [text]


# --- adding -----------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/new")
@guard(Permission.IDPS_READ)
def new_identity_provider() -> Any:
    """The form, in the words of the provider that was chosen."""
    return render("identity_provider_new.html", labels=LABELS, kind=_kind(request.args.get("kind")))


@blueprint.post("/identity-providers/new")
@refused_on(new_identity_provider)
@guard(Permission.IDPS_WRITE)
def create_identity_provider() -> Any:
    """A new connection: the account stays in its mode, so nobody is locked out by it."""
    plans.require(actor().account, Feature.SSO)
    form = forms.read(NewForm)
    provider = idps.create(actor(), name=form["name"], description=form["description"], trust=read_trust(form))
    kind = _kind(request.form.get("kind"))
    return done(f"{provider.name} is added.", "identity_provider", provider_id=provider.id, kind=kind)


def _kind(wanted: str | None, *, hint: str = "") -> str:
    """Which provider's words to use: the one chosen, else the one that the connection looks like."""
    if wanted in LABELS:
        return str(wanted)
    looks = {"okta": "okta", "entra": "entra", "microsoft": "entra", "sts.windows.net": "entra"}
    return next((kind for part, kind in looks.items() if part in hint.lower()), "okta" if not hint else "other")


# --- the page of one connection ---------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>")
@guard(Permission.IDPS_READ)
def identity_provider(provider_id: str) -> Any:
    """Everything about one connection."""
    return _page(provider_id)


def _page(provider_id: str, *, issued: idps.IssuedToken | None = None) -> Any:
    account = actor().account
    provider = idps.get(account, provider_id)
    kind = _kind(request.args.get("kind"), hint=f"{provider.name} {provider.entity_id}")
    return render(
        "identity_provider.html",
        status=201 if issued else 200,
        provider=provider,
        urls=idps.urls(provider.id, base_url()),
        labels=LABELS,
        kind=kind,
        issued=issued,
        tokens=list(idps.scim_tokens(provider).order_by(ScimToken.id.desc())),
        role_names=role_names(account),
        counts=_counts(provider),
    )


def _counts(provider: IdentityProvider) -> dict[str, int]:
    given = groups.mappings(provider.account).where(RoleMapping.identity_provider == provider)
    return {
        "members": members.of_account(provider.account).where(Member.identity_provider == provider).count(),
        "users": spans.find(provider.id, 0).total,
        "groups": DirectoryGroup.select().where(DirectoryGroup.identity_provider == provider).count(),
        "mappings": given.count(),
    }


@blueprint.post("/identity-providers/<provider_id>/options")
@refused_on(identity_provider, "provider_id")
@guard(Permission.IDPS_WRITE)
def change_options(provider_id: str) -> Any:
    """Save name, description and switches."""
    provider = idps.get(actor().account, provider_id)
    idps.change(actor(), provider, **forms.read(OptionsForm))
    return done("The connection is saved.", "identity_provider", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/trust")
@refused_on(identity_provider, "provider_id")
@guard(Permission.IDPS_WRITE)
def change_trust(provider_id: str) -> Any:
    """Other metadata: another certificate, another address."""
    provider = idps.get(actor().account, provider_id)
    idps.change(actor(), provider, trust=read_trust(forms.read(TrustForm)))
    return done("The provider's metadata is saved.", "identity_provider", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/scim-tokens")
@refused_on(identity_provider, "provider_id")
@guard(Permission.IDPS_WRITE)
def create_scim_token(provider_id: str) -> Any:
    """A token for its directory, shown once."""
    provider = idps.get(actor().account, provider_id)
    form = forms.read(TokenForm)
    issued = idps.issue_scim_token(actor(), provider, description=form["description"], expires_at=form["days"])
    return _page(provider_id, issued=issued)


@blueprint.post("/identity-providers/<provider_id>/scim-tokens/<token_id>/revoke")
@refused_on(identity_provider, "provider_id")
@guard(Permission.IDPS_WRITE)
def revoke_scim_token(provider_id: str, token_id: str) -> Any:
    """The token stops working at once."""
    provider = idps.get(actor().account, provider_id)
    row = idps.scim_token(provider, token_id)
    idps.revoke_scim_token(actor(), row)
    return done(f"The token …{row.ends_with} is revoked.", "identity_provider", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/delete")
@refused_on(identity_provider, "provider_id")
@guard(Permission.IDPS_WRITE)
def delete_identity_provider(provider_id: str) -> Any:
    """The connection, its directory, tokens and mappings are gone; its members stay."""
    provider = idps.get(actor().account, provider_id)
    confirm(provider.name)
    idps.delete(actor(), provider)
    return done(f"{provider.name} is deleted.", "settings")
