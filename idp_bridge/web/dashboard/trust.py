"""What we trust of a provider, and what it is given of ours: metadata, and the certificates of both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import redirect, request, url_for
from marshmallow import validate

from idp_bridge import certificate_notices, clock, fetching, idps, metadata_refresh, sp_keys
from idp_bridge.errors import Invalid
from idp_bridge.models import IdentityProvider
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.saml.certificate import parse_certificate
from idp_bridge.saml.metadata import MetadataError, check_url
from idp_bridge.web import forms
from idp_bridge.web.dashboard.connection import show
from idp_bridge.web.dashboard.page import ago, blueprint, done, label, refused_on
from idp_bridge.web.guard import actor, guard, writing

_BINDINGS = validate.OneOf(["redirect", "post"])
_NEEDED_BY_HAND = ("entity_id", "sso_url", "certificates")

#: The addresses that are given by hand -> what a refusal calls them.
_ADDRESSES = {"sso_url": "sign-on URL", "slo_url": "logout URL", "slo_response_url": "address for logout answers"}


class TrustForm(forms.Form):
    """The provider's metadata, or the values in it by hand: the fields of ``idps.Trust``."""

    metadata_xml = forms.Text(longest=400_000, load_default="")
    metadata_entity_id = forms.Text(longest=1024, load_default="")
    entity_id = forms.Text(longest=1024, load_default="")
    sso_url = forms.Text(longest=2048, load_default="")
    sso_binding = forms.Text(load_default="redirect", validate=_BINDINGS)
    slo_url = forms.Text(longest=2048, load_default="")
    slo_binding = forms.Text(load_default="redirect", validate=_BINDINGS)
    slo_response_url = forms.Text(longest=2048, load_default="")
    certificates = forms.Text(longest=100_000, load_default="")


def read_trust(form: dict[str, Any], *, allow_weak: bool = False) -> idps.Trust:
    """Metadata from a file, from its URL or pasted, else the values by hand. Raises Invalid in plain words.

    May fetch, so it is called before a transaction begins.
    """
    if document := _document(form):
        return idps.read_metadata(document, entity_id=form["metadata_entity_id"] or None, allow_weak=allow_weak)
    missing = [name for name in _NEEDED_BY_HAND if not form[name]]
    if missing:
        raise Invalid(
            "Give the provider's metadata, by URL, as a file or pasted, or entity ID, sign-on URL and certificate.",
            fields={name: ["Fill this in."] for name in (missing if len(missing) < 3 else ["metadata_xml"])},
        )
    given: dict[str, Any] = {name: form[name] for name in metadata_refresh.OF_TRUST}
    given.update({name: _address(name, form[name]) for name in _ADDRESSES})
    return idps.Trust(**given, certificates=_pems(form["certificates"]))


def _address(name: str, url: str) -> str | None:
    try:
        return check_url(url, what=_ADDRESSES[name]) if url else None
    except MetadataError as error:
        raise Invalid(error.detail, fields={name: [error.detail]}) from error


def _document(form: dict[str, Any]) -> str:
    upload = request.files.get("metadata_file")
    if upload and upload.filename:
        return upload.read().decode("utf-8", "replace")
    if url := form.get("metadata_url"):
        return fetching.fetch(url, field="metadata_url")
    return str(form["metadata_xml"])


def _pems(text: str) -> list[str]:
    end = "-----END CERTIFICATE-----"
    return [part.strip() + f"\n{end}" for part in text.split(end) if part.strip()] if end in text else [text]


@dataclass(frozen=True)
class Shown:
    """A certificate as the page shows it; ``badge`` where its dates need a word."""

    fingerprint: str
    not_before: datetime
    not_after: datetime
    title: str = ""
    state: str = ""
    id: str = ""

    @property
    def badge(self) -> str:
        """What its dates mean today."""
        now = clock.now()
        if self.not_after <= now:
            return "Expired"
        return "Not valid yet" if self.not_before > now else "Ends soon" if self._near else ""

    @property
    def tone(self) -> str:
        """How loudly that is said."""
        return "bad" if self.not_after <= clock.now() else "warn"

    @property
    def _near(self) -> bool:
        return certificate_notices.distance(self.not_after, clock.now()) is not None


# --- the page ---------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/trust")
@guard(Permission.IDPS_READ)
def trust(provider_id: str) -> Any:
    """Their metadata and certificates, and ours."""
    provider = idps.get(actor().account, provider_id)
    theirs = their_certificates(provider)
    ours = [_ours(row) for row in sp_keys.of_provider(provider)]
    waiting = metadata_refresh.waiting(provider)
    return show(
        "identity_provider_trust.html",
        provider,
        theirs=theirs,
        theirs_urgent=_urgent("Their", theirs),
        ours=ours,
        ours_urgent=_urgent("Our", [one for one in ours if one.state != sp_keys.FORMER]),
        has_next=any(one.state == sp_keys.NEXT for one in ours),
        waiting=waiting,
        waiting_fields=_fields_compared(provider, waiting) if waiting else (),
        waiting_certificates=_compared(provider, waiting) if waiting else (),
        vouching=_pem(provider.metadata_certificate) if provider.metadata_certificate else None,
        refresh_hours=int(metadata_refresh.EVERY.total_seconds() // 3600),
    )


def their_certificates(provider: IdentityProvider) -> list[Shown]:
    """The certificates that a provider is trusted by."""
    return [_theirs(row) for row in provider.certificates]


def _theirs(row: Mapping[str, str], title: str = "") -> Shown:
    return Shown(row["fingerprint_sha256"], clock.parse(row["not_before"]), clock.parse(row["not_after"]), title=title)


def _ours(row: Any) -> Shown:
    certificate = parse_certificate(row.certificate)
    return Shown(
        certificate.fingerprint_sha256,
        certificate.not_before,
        certificate.not_after,
        title=f"Since {row.changed_at:%Y-%m-%d} · {certificate.fingerprint_sha256[:8]}…",
        state=row.state,
        id=row.id,
    )


def _pem(text: str) -> Shown:
    certificate = parse_certificate(text)
    return Shown(certificate.fingerprint_sha256, certificate.not_before, certificate.not_after)


def _urgent(whose: str, shown: Sequence[Shown]) -> str:
    """Whose certificate must be followed by another now; one that outlives it is enough to say nothing."""
    last = max(shown, key=lambda one: one.not_after, default=None)
    if last is None or not last.badge or last.not_before > clock.now():
        return ""
    return f"{whose} certificate {'ended' if last.badge == 'Expired' else 'ends'} {ago(last.not_after)}"


@dataclass(frozen=True)
class Compared:
    """One value as it is trusted now, and as it would be."""

    label: str
    now: str | None
    then: str | None


def _fields_compared(provider: IdentityProvider, waiting: Mapping[str, Any]) -> list[Compared]:
    """Everything beside the certificates that accepting takes: what is not shown must not change either."""
    fields = [Compared(label(name), getattr(provider, name), waiting[name]) for name in metadata_refresh.OF_TRUST]
    now = provider.metadata_valid_until
    return [*fields, Compared(label("valid_until"), clock.rfc3339(now) if now else None, waiting["valid_until"])]


def _compared(provider: IdentityProvider, waiting: Mapping[str, Any]) -> list[tuple[str, Shown]]:
    """Each certificate of now and of then, once, with what becomes of it."""
    now = {row["fingerprint_sha256"]: row for row in provider.certificates}
    then = {row["fingerprint_sha256"]: row for row in waiting["certificates"]}
    words = {(True, True): "Certificate that stays", (True, False): "Certificate that goes"}
    return [
        (words.get((name in now, name in then), "New certificate"), _theirs(row))
        for name, row in {**now, **then}.items()
    ]


# --- their side -------------------------------------------------------------------------------------------------


@blueprint.post("/identity-providers/<provider_id>/trust")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
def change_trust(provider_id: str) -> Any:
    """Other metadata: another certificate, another address. What is given by hand is not read from a URL any more."""
    provider = idps.get(actor().account, provider_id)
    given = read_trust(forms.read(TrustForm), allow_weak=provider.allow_weak_signatures)
    with writing():
        idps.change(actor(), provider, trust=given, metadata_url=None)
    return done("The provider's metadata is saved.", "trust", provider_id=provider_id)


class WatchForm(forms.Form):
    """Where the provider's metadata is read from, and whose signature on it is enough."""

    metadata_url = forms.Text(longest=2048, load_default="")
    metadata_certificate = forms.Text(longest=20_000, load_default="")


@blueprint.post("/identity-providers/<provider_id>/metadata-url")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO, transaction=False)
def watch_metadata(provider_id: str) -> Any:
    """Read the metadata from a URL from now on, and look at once: outside of a transaction, for it may take long."""
    provider = idps.get(actor().account, provider_id)
    form = forms.read(WatchForm)
    if form["metadata_url"] and not form["metadata_url"].startswith("https://"):
        words = "The URL must begin with https://."
        raise Invalid(words, fields={"metadata_url": [words]})
    with writing():
        idps.change(actor(), provider, **{name: value or None for name, value in form.items()})
    metadata_refresh.refresh(provider_id, actor=actor())
    return done("Saved, and looked at." if form["metadata_url"] else "Saved.", "trust", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/metadata/accept")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def accept_metadata(provider_id: str) -> Any:
    """Trust what a refresh found, if it is still what the page showed."""
    provider = idps.get(actor().account, provider_id)
    metadata_refresh.accept(actor(), provider, request.form.get("digest", ""))
    return done("The change is accepted.", "trust", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/metadata/discard")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE)
def discard_metadata(provider_id: str) -> Any:
    """Go on with what is trusted, if what waits is still what the page showed."""
    provider = idps.get(actor().account, provider_id)
    metadata_refresh.discard(actor(), provider, request.form.get("digest", ""))
    return done("The change is discarded.", "trust", provider_id=provider_id)


# --- our side ---------------------------------------------------------------------------------------------------


@blueprint.post("/identity-providers/<provider_id>/keys")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def prepare_key(provider_id: str) -> Any:
    """The next key pair of ours stands in our metadata from now on."""
    provider = idps.get(actor().account, provider_id)
    sp_keys.prepare(actor(), provider)
    return done("The certificate is in our metadata now.", "trust", provider_id=provider_id)


@dataclass(frozen=True)
class KeyStep:
    """Something that may be done to a key of ours: asked about first, since it cannot be undone."""

    heading: str
    button: str
    is_loss: bool = False


#: What is done, and in which state of the key.
_KEY_STEPS = {
    ("activate", sp_keys.NEXT): KeyStep("Activate the next key?", "Activate it"),
    ("delete", sp_keys.FORMER): KeyStep("Retire this former key?", "Retire it", is_loss=True),
    ("delete", sp_keys.NEXT): KeyStep("Give up the next key?", "Give it up", is_loss=True),
}


@blueprint.get("/identity-providers/<provider_id>/keys/<key_id>/<any(activate, delete):doing>")
@guard(Permission.IDPS_WRITE)
def ask_about_key(provider_id: str, key_id: str, doing: str) -> Any:
    """What it would do to people, said beforehand."""
    provider = idps.get(actor().account, provider_id)
    row = sp_keys.get(provider, key_id)
    step = _KEY_STEPS.get((doing, row.state))
    if step is None:  # done already, in another tab
        return redirect(url_for("dashboard.trust", provider_id=provider.id))
    return show(
        "identity_provider_key.html",
        provider,
        step=step,
        doing=doing,
        key=_ours(row),
        since=row.changed_at,
        current=next((_ours(one) for one in sp_keys.of_provider(provider) if one.state == sp_keys.CURRENT), None),
    )


@blueprint.post("/identity-providers/<provider_id>/keys/<key_id>/activate")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE, feature=Feature.SSO)
def activate_key(provider_id: str, key_id: str) -> Any:
    """It signs from now on; the former one still decrypts."""
    sp_keys.activate(actor(), idps.get(actor().account, provider_id), key_id)
    return done("The next key is the current one now.", "trust", provider_id=provider_id)


@blueprint.post("/identity-providers/<provider_id>/keys/<key_id>/delete")
@refused_on(trust, "provider_id")
@guard(Permission.IDPS_WRITE)
def delete_key(provider_id: str, key_id: str) -> Any:
    """Retire a former key, or give up the next."""
    sp_keys.delete(actor(), idps.get(actor().account, provider_id), key_id)
    return done("The key is gone.", "trust", provider_id=provider_id)
