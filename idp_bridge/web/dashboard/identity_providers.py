"""Identity providers: adding one, and its pages for setting up (values to copy) and for its switches."""

from typing import Any

from flask import request
from marshmallow import validate

from idp_bridge import connection_warnings, groups, idps, impact, members, providers, scim_tokens, spans
from idp_bridge.impact import Impact
from idp_bridge.models import DirectoryGroup, IdentityProvider, Member, RoleMapping, ScimToken
from idp_bridge.plans import Feature
from idp_bridge.providers.set_up_guides import catalogue
from idp_bridge.roles import Permission
from idp_bridge.web import forms
from idp_bridge.web.dashboard.connection import show
from idp_bridge.web.dashboard.members import confirm, role_names
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.trust import TrustForm, read_trust
from idp_bridge.web.guard import actor, guard, writing

#: What a request may ask for as NameID: the shorter name that people know -> the format.
NAME_ID_FORMATS = {
    "emailAddress": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}


class NewForm(TrustForm):
    """A new connection."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")
    metadata_url = forms.Text(longest=2048, load_default="")


class OptionsForm(forms.Form):
    """The switches of a connection."""

    name = forms.Text(required=True)
    description = forms.Text(load_default="")
    enabled = forms.Checkbox()
    allow_idp_initiated = forms.Checkbox()
    bounce_idp_initiated = forms.Checkbox()
    may_grant_admin = forms.Checkbox()
    join_policy = forms.Text(required=True, validate=validate.OneOf(["jit", "invite_only"]))
    domains = forms.Words(load_default=list)
    default_roles = forms.Several()
    sign_authn_requests = forms.Checkbox()
    force_authn = forms.Checkbox()
    name_id_format = forms.Text(load_default="", validate=validate.OneOf(["", *NAME_ID_FORMATS.values()]))
    want_assertions_encrypted = forms.Checkbox()
    require_gcm = forms.Checkbox()
    allow_weak_signatures = forms.Checkbox()
    redact_sign_in_flows = forms.Checkbox()
    strict_scim = forms.Checkbox()


class AttributesForm(forms.Form):
    """Which attribute carries what; empty = the well-known names. The fields are those of idps.MAPPED_CLAIMS."""

    email = forms.Text(longest=1024, load_default="")
    first_name = forms.Text(longest=1024, load_default="")
    last_name = forms.Text(longest=1024, load_default="")
    groups = forms.Text(longest=1024, load_default="")


# --- adding -----------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/new")
@guard(Permission.IDPS_READ)
def new_identity_provider() -> Any:
    """The form, in the words of the provider that was chosen."""
    known = providers.catalogue()
    kind = request.values.get("kind", "")  # in the form too, which comes back here where it is refused
    kind = kind if kind in known else next(iter(known))
    return render("identity_provider_new.html", kinds=known, kind=kind, words=known[kind], guide=catalogue()[kind])


@blueprint.post("/identity-providers/new")
@refused_on(new_identity_provider)
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
def create_identity_provider() -> Any:
    """A new connection: the account stays in its mode, so nobody is locked out by it."""
    form = forms.read(NewForm)
    trust = read_trust(form)
    kind = request.form.get("kind")
    told = {
        "description": form["description"],
        "metadata_url": form["metadata_url"] or None,
        "kind": kind if kind in providers.catalogue() else None,
    }
    with writing():
        provider = idps.create(actor(), name=form["name"], trust=trust, **told)
    return done(f"{provider.name} is added.", "identity_provider", provider_id=provider.id, kind=kind)


# --- setting up -------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>")
@guard(Permission.IDPS_READ)
def identity_provider(provider_id: str) -> Any:
    """What is pasted at the provider, and whether it works."""
    provider = idps.get(actor().account, provider_id)
    return show(
        "identity_provider.html",
        provider,
        counts=_counts(provider),
        warnings=connection_warnings.of_provider(provider),
    )


def _counts(provider: IdentityProvider) -> dict[str, int]:
    given = groups.mappings(provider.account).where(RoleMapping.identity_provider == provider)
    return {
        "members": members.of_account(provider.account).where(Member.identity_provider == provider).count(),
        "users": spans.find(provider.id, 0).total,
        "groups": DirectoryGroup.select().where(DirectoryGroup.identity_provider == provider).count(),
        "mappings": given.count(),
    }


# --- its switches -----------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/options")
@guard(Permission.IDPS_READ)
def connection_settings(provider_id: str) -> Any:
    """Who may join, how strict we are, what is kept; and its end."""
    provider = idps.get(actor().account, provider_id)
    return show(
        "identity_provider_options.html",
        provider,
        role_names=role_names(provider.account),
        name_id_formats=NAME_ID_FORMATS,
        disabling=_told(impact.of_disabling(actor(), provider)),
        deleting=_told(impact.of_deleting(actor(), provider)),
        looked_at=idps.looked_at(provider),
        tokens=list(scim_tokens.of_provider(provider).order_by(ScimToken.id)),
    )


#: What is counted of an impact, as it is said of one and of several.
_COUNTED = {
    "sessions_ended": ("open session ends", "open sessions end"),
    "locked_out": ("member has no other way in", "members have no other way in"),
    "members_released": ("member stays and is managed by hand", "members stay and are managed by hand"),
    "scim_tokens_deleted": ("SCIM token is gone", "SCIM tokens are gone"),
    "directory_users_deleted": ("directory user is gone", "directory users are gone"),
    "groups_deleted": ("group is gone", "groups are gone"),
    "role_mappings_deleted": ("role mapping is gone", "role mappings are gone"),
}


def _told(found: Impact) -> str:
    """What it would do today, in a sentence; or why it cannot be done."""
    if found.refused:
        return f"Not possible now: {found.refused}"
    counted = [(getattr(found, name), words) for name, words in _COUNTED.items()]
    told = [f"{number} {words[number != 1]}" for number, words in counted if number]
    return f"Today: {', '.join(told)}." if told else "Today nobody would notice."


@blueprint.post("/identity-providers/<provider_id>/options")
@refused_on(connection_settings, "provider_id")
@guard(Permission.IDPS_WRITE)
def change_options(provider_id: str) -> Any:
    """Save name, description and switches."""
    provider = idps.get(actor().account, provider_id)
    form = forms.read(OptionsForm)
    if form["enabled"] == provider.enabled:  # the form has every switch: one that was not moved chooses nothing
        del form["enabled"]
    idps.change(actor(), provider, **{**form, "name_id_format": form["name_id_format"] or None})
    return done("The connection is saved.", "connection_settings", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/confirm")
@refused_on(connection_settings, "provider_id")
@guard(Permission.IDPS_WRITE)
def confirm_identity_provider(provider_id: str) -> Any:
    """An administrator stands behind what this page showed of it: it speaks for administrators too from now on."""
    provider = idps.get(actor().account, provider_id)
    idps.confirm(actor(), provider, seen=request.form.get("digest", ""))
    return done(f"{provider.name} is trusted with administrators.", "connection_settings", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/attributes")
@refused_on(connection_settings, "provider_id")
@guard(Permission.IDPS_WRITE)
def change_attributes(provider_id: str) -> Any:
    """Names of the provider's own for what the well-known ones do not cover."""
    provider = idps.get(actor().account, provider_id)
    idps.change(actor(), provider, attribute_mapping={n: v or None for n, v in forms.read(AttributesForm).items()})
    return done("The attribute names are saved.", "connection_settings", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/delete")
@refused_on(connection_settings, "provider_id")
@guard(Permission.IDPS_WRITE)
def delete_identity_provider(provider_id: str) -> Any:
    """The connection, its directory, tokens and mappings are gone; its members stay."""
    provider = idps.get(actor().account, provider_id)
    confirm(provider.name)
    idps.delete(actor(), provider)
    return done(f"{provider.name} is deleted.", "settings")
