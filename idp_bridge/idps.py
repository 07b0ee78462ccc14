"""Identity providers: the SAML connections of an account, each with a directory of its own."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from idp_bridge import (
    clock,
    events,
    grants,
    groups,
    ids,
    member_lifecycle,
    member_roles,
    plans,
    roles,
    scim_tokens,
    seats,
    sessions,
    sign_in_mode,
    sp_keys,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityProvider
from idp_bridge.providers import set_up_guides
from idp_bridge.saml import metadata, own_metadata
from idp_bridge.saml.certificate import Certificate, MetadataError, parse_certificate
from idp_bridge.saml.metadata import NotVouchedFor
from idp_bridge.saml.own_metadata import SpConfig
from idp_bridge.statement import Statement, parameter

_BINDING_NAMES = {metadata.REDIRECT: "redirect", metadata.POST: "post"}

MAPPED_CLAIMS = ("email", "first_name", "last_name", "groups")

#: A change of one of these makes an earlier sign-in no proof that the next one works.
_TRUST = {
    "entity_id",
    "sso_url",
    "sso_binding",
    "certificates",
    "domains",
    "attribute_mapping",
    "sign_authn_requests",
    "want_assertions_encrypted",
    "require_gcm",
    "allow_weak_signatures",
    "name_id_format",
    "force_authn",
}

#: What others than administrators set of a connection that is trusted with them, beside switching it off. All else
#: decides whom it can speak as, who cannot come in any more, or where what we say of people goes.
_LEFT_TO_OTHERS = {"name", "description", "kind", "set_up_step", "join_policy", "default_roles", "off_by_plan"}

#: What an account that has lost single sign-on may still set of a connection, beside switching it off.
_WITHOUT_PLAN = {"name", "description", "enabled", "off_by_plan", "redact_sign_in_flows"}


class State(StrEnum):
    """What a connection is ready for."""

    DRAFT = "draft"  # nothing is trusted of it
    TESTING = "testing"  # being set up: it can be tested, and is not enabled yet
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Trust:
    """Where and as whom the provider speaks; ``certificates`` are PEM texts, ``valid_until`` that of its metadata."""

    entity_id: str
    sso_url: str
    certificates: Sequence[str]
    sso_binding: str = "redirect"
    slo_url: str | None = None
    slo_binding: str = "redirect"
    slo_response_url: str | None = None
    valid_until: datetime | None = None


def of_account(account: Account) -> Any:
    """The account's identity providers, as a query."""
    return IdentityProvider.select().where(IdentityProvider.account == account)


def get(account: Account, provider_id: str) -> IdentityProvider:
    """The provider of this account. Raises NotFound."""
    provider = of_account(account).where(IdentityProvider.id == provider_id).get_or_none()
    if provider is None:
        raise NotFound(f"There is no identity provider {provider_id} in this account.")
    return provider


def is_draft(provider: IdentityProvider) -> bool:
    """Whether nothing is trusted of it yet: it has its addresses here, and nobody can come in by it."""
    return not provider.entity_id


def state(provider: IdentityProvider) -> State:
    """Where it stands: a draft is never enabled, and one that is being set up is tried before it is."""
    if is_draft(provider):
        return State.DRAFT
    if provider.enabled:
        return State.ENABLED
    return State.DISABLED if provider.set_up_step is None else State.TESTING


def with_account(provider_id: str) -> IdentityProvider:
    """The provider that a /saml URL names, with its account. Raises NotFound."""
    found = _WITH_ACCOUNT.first(id=provider_id)
    if found is None:
        raise NotFound("There is no such identity provider.")
    provider: IdentityProvider = found[0]
    provider.account = found[1]
    return provider


_WITH_ACCOUNT: Statement = Statement(
    (*IdentityProvider._meta.sorted_fields, *Account._meta.sorted_fields),
    lambda: IdentityProvider.select(*_WITH_ACCOUNT.columns).join(Account).where(IdentityProvider.id == parameter("id")),
)


def read_metadata(
    document: str, *, entity_id: str | None = None, vouched_by: str | None = None, allow_weak: bool = False
) -> Trust:
    """A provider's metadata XML -> what is trusted of it, the provider named ``entity_id`` where it holds several.

    With ``vouched_by``, a PEM certificate, only what its key signed. Raises Invalid in plain words.
    """
    pinned = (_parsed(vouched_by, "metadata_certificate"),) if vouched_by else ()
    try:
        read = metadata.read_idp_metadata(
            document, now=clock.now(), entity_id=entity_id, vouched_by=pinned, allow_weak=allow_weak
        )
    except MetadataError as error:
        field = "metadata_certificate" if isinstance(error, NotVouchedFor) else "metadata_xml"
        raise Invalid(
            f"The metadata cannot be used: {error}", code=Code.INVALID_METADATA, fields={field: [str(error)]}
        ) from error
    sso, slo = read.sso[0], read.slo[0] if read.slo else None
    return Trust(
        entity_id=read.entity_id,
        sso_url=sso.url,
        sso_binding=_BINDING_NAMES[sso.binding],
        slo_url=slo.url if slo else None,
        slo_binding=_BINDING_NAMES[slo.binding] if slo else "redirect",
        slo_response_url=slo.response_url if slo else None,
        certificates=[certificate.pem for certificate in read.certificates],
        valid_until=read.valid_until,
    )


def create(actor: Actor, *, name: str, trust: Trust | None, **options: Any) -> IdentityProvider:
    """A new connection; the account stays in its mode. Without ``trust`` it is a draft, which has its addresses here,
    so that they can be pasted at the provider before anything is known of it, and lets nobody in: its set-up begins.

    Raises Forbidden (plan, rights), Invalid, Conflict (a draft that should be enabled).
    """
    account = actor.account
    plans.require(account, plans.Feature.SSO)
    moment = clock.now()
    provider = IdentityProvider(
        id=ids.new("idp"),
        account=account,
        name=name,
        entity_id="",
        sso_url="",
        certificates=[],
        enabled=trust is not None,
        default_roles=list(roles.DEFAULT),
        domains=[],
        attribute_mapping=dict.fromkeys(MAPPED_CLAIMS),
        trusted_with_administrators=actor.administrator,
        created_at=moment,
        changed_at=moment,
    )
    _apply(actor, provider, {**(_trusted(trust) if trust else {}), **options})
    if provider.may_grant_admin or provider.trusted_with_administrators:
        _check_makes_administrators(actor)
    _check_trusted(provider)
    _check_ready(provider)
    _settled(provider, trust)
    if trust is None:
        provider.set_up_step = set_up_guides.catalogue()[kind_of(provider)].steps[0].name
    provider.save(force_insert=True)
    events.record(actor, Type.IDENTITY_PROVIDER_CREATED, describe(provider))
    return provider


def change(actor: Actor, provider: IdentityProvider, *, trust: Trust | None = None, **options: Any) -> None:
    """Set any of the connection's fields. Raises Invalid, Forbidden (plan, rights), Conflict (last one under
    enforcement), NotFound (deleted meanwhile)."""
    seats.lock_anew(actor.account, provider)
    wanted = {**(_trusted(trust) if trust else {}), **options}
    if "enabled" in wanted:  # whoever says so has chosen: a plan that comes back does not choose otherwise
        wanted["off_by_plan"] = False
    before, was_trusted = {name: getattr(provider, name) for name in wanted}, provider.trusted_with_administrators
    _apply(actor, provider, wanted)
    changed = {name for name, value in before.items() if getattr(provider, name) != value}
    if changed & {"may_grant_admin", "trusted_with_administrators"}:
        _check_makes_administrators(actor)
    _check_trusted(provider)
    _check_ready(provider)
    going = "enabled" in changed and not provider.enabled
    if was_trusted and changed - _LEFT_TO_OTHERS - ({"enabled"} if going else set()):
        grants.check_decides(actor, provider)
    if changed - _WITHOUT_PLAN or ("enabled" in changed and provider.enabled):
        plans.require(actor.account, plans.Feature.SSO)
    if trust is not None or "metadata_url" in changed:
        _settled(provider, trust)
    if not changed:
        if trust is not None:
            provider.save(only=provider.dirty_fields)
        return
    if changed & _TRUST:
        provider.changed_at = clock.now()
    if provider.enabled:
        provider.set_up_step = None
    if going or ("trusted_with_administrators" in changed and was_trusted and provider.enabled):
        check_reachable_without(actor, provider)
    told: dict[str, Any] = {}
    with groups.keeping_an_administrator(actor.account):
        provider.save(only=provider.dirty_fields)
        if "may_grant_admin" in changed and not provider.may_grant_admin:
            lost = groups.forget_claims(provider, role=roles.ADMIN)
            lost |= member_roles.forget_default(provider, roles.ADMIN)
            told["administrators_by_it"] = events.some(lost)
    if going:  # not before the row says so, which is what a sign-in that comes at this moment asks
        told["sessions_ended"] = sessions.end_all_by(provider.id)
    before = {name: _in_events(name, before[name]) for name in sorted(changed)}
    events.record(actor, Type.IDENTITY_PROVIDER_UPDATED, {**describe(provider), "before": before, **told})


def looked_at(provider: IdentityProvider) -> str:
    """The digest of all that an administrator stands behind who confirms the connection: its settings, and the tokens
    that open its directory."""
    tokens = sorted(row.id for row in scim_tokens.of_provider(provider))
    said = json.dumps([describe(provider), tokens], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def confirm(actor: Actor, provider: IdentityProvider, *, seen: str) -> None:
    """Trust it with administrators, if it still is what its ``looked_at`` said when she was shown it: whoever set it up
    may have put in another certificate or token since. Raises Conflict, Forbidden."""
    _check_seen(actor, provider, seen)
    change(actor, provider, trusted_with_administrators=True)


def enable(actor: Actor, provider: IdentityProvider, *, seen: str, confirmed: bool = False) -> None:
    """End the set-up: people may come in by it, and its administrators too where it is ``confirmed``; of exactly what
    its ``looked_at`` said when she was shown it. Raises Conflict, Forbidden."""
    _check_seen(actor, provider, seen)
    trusted: dict[str, Any] = {"trusted_with_administrators": True} if confirmed else {}
    change(actor, provider, enabled=True, **trusted)


def _check_seen(actor: Actor, provider: IdentityProvider, seen: str) -> None:
    seats.lock_anew(actor.account, provider)
    if seen != looked_at(provider):
        raise Conflict(f"{provider.name} has been changed since this page was shown. Look at it again first.")


def kind_of(provider: IdentityProvider) -> str:
    """The product that it was said to be, else the one that it looks like (providers/)."""
    return set_up_guides.kind_of(
        provider.kind, name=provider.name, entity_id=provider.entity_id, sso_url=provider.sso_url
    )


def note_step(provider: IdentityProvider, step: str) -> None:
    """Her set-up goes on here, when somebody comes back to it. It is no change of the connection, and one whose set-up
    is over stays as it is."""
    being_set_up = (IdentityProvider.id == provider.id) & IdentityProvider.set_up_step.is_null(False)
    IdentityProvider.update(set_up_step=step).where(being_set_up).execute()


def delete(actor: Actor, provider: IdentityProvider) -> None:
    """The connection, its directory, tokens, mappings and sessions are gone; its members stay and are managed by
    hand. Raises Conflict, NotFound (deleted meanwhile)."""
    seats.lock_anew(actor.account, provider)
    check_reachable_without(actor, provider)
    if provider.may_grant_admin:
        _check_makes_administrators(actor)
    with groups.keeping_an_administrator(actor.account):
        told = {"claims_lost_by": events.some(groups.forget_claims(provider)), **member_lifecycle.let_go(provider)}
        provider.delete_instance()
    events.record(actor, Type.IDENTITY_PROVIDER_DELETED, {**describe(provider), **told})


def switch_by_plan(actor: Actor, provider: IdentityProvider, *, on: bool) -> int:
    """Off with a plan that has no single sign-on, and on again with one that has it; how many sessions ended. The
    caller holds the account."""
    provider.enabled, provider.off_by_plan = on, not on
    provider.save(only=[IdentityProvider.enabled, IdentityProvider.off_by_plan])
    ended = 0 if on else sessions.end_all_by(provider.id)
    told = {**describe(provider), "sessions_ended": ended, "before": {"enabled": not on}, "reason": "plan"}
    events.record(actor, Type.IDENTITY_PROVIDER_UPDATED, told)
    return ended


def is_proven(provider: IdentityProvider) -> bool:
    """Whether somebody who is an active administrator now has come in by it since it was last changed, and it is
    trusted with her still."""
    came = provider.administrator_signed_in_at
    if came is None or came < provider.changed_at or not provider.trusted_with_administrators:
        return False
    return provider.proven_by in member_roles.administrators(provider.account)


def check_reachable_without(actor: Actor, provider: IdentityProvider) -> None:
    """Under enforcement the last enabled provider that an administrator has come in through is the only door there
    is known to be, and nobody shuts the one behind herself. Raises Conflict. Who acts on the answer holds the account:
    of two who each look at the other's, both would go."""
    if sign_in_mode.of(actor.account) == sign_in_mode.MIXED:
        return
    others = of_account(actor.account).where(IdentityProvider.id != provider.id, IdentityProvider.enabled)
    if not any(is_proven(other) for other in others):
        raise Conflict(
            "Single sign-on is enforced, and no administrator has signed in through another enabled identity provider "
            "that is trusted with administrators. Go back to mixed mode first, or sign in through another one.",
            code=Code.LAST_IDENTITY_PROVIDER,
        )
    if actor.identity_provider_id == provider.id:
        raise Conflict(
            "Single sign-on is enforced, and you came in through this identity provider. Sign in through another one, "
            "or let another administrator do it.",
            code=Code.OWN_IDENTITY_PROVIDER,
        )


def only_way_in(provider: IdentityProvider) -> bool:
    """Whether single sign-on is enforced, and a change of what this provider is trusted by would leave no other that
    is known to work."""
    account: Account = provider.account
    if sign_in_mode.of(account) == sign_in_mode.MIXED or not provider.enabled:
        return False
    others = of_account(account).where(IdentityProvider.id != provider.id, IdentityProvider.enabled)
    return not any(is_proven(other) for other in others)


def _check_makes_administrators(actor: Actor) -> None:
    """A provider that may grant admin makes administrators, and takes them away when it may no longer; one that is
    trusted with them speaks for those that there are."""
    if not actor.administrator:
        raise Forbidden(
            "Only an administrator decides whether an identity provider may grant admin, or is trusted with "
            "administrators.",
            code=Code.ADMINISTRATORS_ONLY,
        )


def _check_trusted(provider: IdentityProvider) -> None:
    """Who makes administrators is trusted with those that there are."""
    if provider.may_grant_admin and not provider.trusted_with_administrators:
        raise Invalid(
            "An identity provider that may grant admin must be trusted with administrators.",
            fields={"may_grant_admin": ["needs trusted_with_administrators"]},
        )


def _check_ready(provider: IdentityProvider) -> None:
    """A draft would only look like a way in."""
    if provider.enabled and is_draft(provider):
        raise Conflict(
            "This connection is a draft: nothing is known of the identity provider yet. Give its metadata, then "
            "enable it.",
            code=Code.DRAFT_CONNECTION,
        )


def _apply(actor: Actor, provider: IdentityProvider, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(provider, name, value)
    if "default_roles" in fields:
        provider.default_roles = list(grants.check(actor, provider.default_roles))
    if roles.ADMIN in provider.default_roles and not provider.may_grant_admin:
        raise Invalid(
            "admin cannot be a default role while the identity provider may not grant it (may_grant_admin).",
            code=Code.PROVIDER_MAY_NOT_GRANT_ADMIN,
            fields={"default_roles": ["admin needs may_grant_admin"]},
        )
    if "domains" in fields:
        provider.domains = sorted({domain.strip().lower().lstrip("@") for domain in provider.domains})
    if "attribute_mapping" in fields:
        provider.attribute_mapping = _mapping(provider.attribute_mapping)
    if provider.metadata_certificate and "metadata_certificate" in fields:
        provider.metadata_certificate = _pinned(provider.metadata_certificate)
    if "certificates" in fields:
        _check_usable(provider)


def _check_usable(provider: IdentityProvider) -> None:
    """At least one key can sign somebody in; else the connection would only look configured."""
    if not usable_certificates(provider):
        raise Invalid(
            "No certificate of the provider can be used: each has a key that is too weak or of another kind.",
            code=Code.INVALID_METADATA,
            fields={"certificates": ["RSA from 2048 bits or ECDSA from 256 bits is needed."]},
        )


def _pinned(text: str) -> str:
    """The certificate whose key vouches for metadata; a weak one is never asked for anything."""
    certificate = _parsed(text, "metadata_certificate")
    if not certificate.usable:
        words = "RSA from 2048 bits or ECDSA from 256 bits is needed."
        raise Invalid(words, code=Code.INVALID_METADATA, fields={"metadata_certificate": [words]})
    return certificate.pem


def _mapping(wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    unknown = set(wanted) - set(MAPPED_CLAIMS)
    if unknown:
        raise Invalid(
            f"attribute_mapping knows {', '.join(MAPPED_CLAIMS)}; not {', '.join(sorted(unknown))}.",
            fields={"attribute_mapping": [f"unknown: {name}" for name in sorted(unknown)]},
        )
    return {name: wanted.get(name) or None for name in MAPPED_CLAIMS}


def _trusted(trust: Trust) -> dict[str, Any]:
    if not trust.entity_id:
        raise Invalid("An identity provider needs an entity ID.", fields={"entity_id": ["required"]})
    if not trust.certificates:
        raise Invalid("An identity provider needs a signing certificate.", fields={"certificates": ["required"]})
    return {
        "entity_id": trust.entity_id,
        "sso_url": _endpoint("sso_url", trust.sso_url),
        "sso_binding": trust.sso_binding,
        "slo_url": _endpoint("slo_url", trust.slo_url) if trust.slo_url else None,
        "slo_binding": trust.slo_binding,
        "slo_response_url": _endpoint("slo_response_url", trust.slo_response_url) if trust.slo_response_url else None,
        "certificates": pinned(trust.certificates),
    }


def _settled(provider: IdentityProvider, trust: Trust | None) -> None:
    """What is trusted is decided anew: nothing else waits to be accepted, and no refresh has failed."""
    provider.metadata_valid_until = trust.valid_until if trust else None
    provider.metadata_checked_at = clock.now() if provider.metadata_url else None
    provider.metadata_error = None
    provider.pending_trust = None


def _endpoint(field: str, url: str) -> str:
    try:
        return metadata.check_url(url, what=field)
    except MetadataError as error:
        raise Invalid(str(error), code=Code.INVALID_METADATA, fields={field: [str(error)]}) from error


def _certificate(text: str) -> dict[str, str]:
    certificate = _parsed(text, "certificates")
    return {
        "pem": certificate.pem,
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "not_before": clock.rfc3339(certificate.not_before),
        "not_after": clock.rfc3339(certificate.not_after),
    }


def _parsed(text: str, field: str) -> Certificate:
    try:
        return parse_certificate(text)
    except MetadataError as error:
        raise Invalid(
            f"A certificate cannot be used: {error}", code=Code.INVALID_METADATA, fields={field: [str(error)]}
        ) from error


def pinned(pems: Sequence[str]) -> list[dict[str, str]]:
    """Certificates as they are stored, the same one once. Raises Invalid."""
    return list({one["pem"]: one for one in map(_certificate, pems)}.values())


def trust_of(provider: IdentityProvider) -> Trust:
    """What the provider is trusted by now."""
    stored = {field.name: getattr(provider, field.name) for field in fields(Trust) if hasattr(provider, field.name)}
    pems = [certificate["pem"] for certificate in provider.certificates]
    return Trust(**{**stored, "certificates": pems, "valid_until": provider.metadata_valid_until})


def certificates(provider: IdentityProvider) -> tuple[Certificate, ...]:
    """The pinned signing certificates, parsed."""
    return tuple(parse_certificate(certificate["pem"]) for certificate in provider.certificates)


def usable_certificates(provider: IdentityProvider) -> list[Certificate]:
    """Those whose signatures are accepted."""
    weak_too = provider.allow_weak_signatures
    return [one for one in certificates(provider) if one.usable or (weak_too and one.weak)]


def describe(provider: IdentityProvider) -> dict[str, Any]:
    """The connection as events tell of it: no key."""
    return {
        **{name: getattr(provider, name) for name in _TOLD},
        "certificates": [certificate["fingerprint_sha256"] for certificate in provider.certificates],
    }


def _in_events(name: str, value: Any) -> Any:
    """A setting as it was, in the form that ``describe`` gives it."""
    return [certificate["fingerprint_sha256"] for certificate in value] if name == "certificates" else value


#: What events tell of a connection beside its certificates: every setting, so that a change shows what became of it.
_TOLD = (
    *("id", "name", "description", "entity_id", "sso_url", "sso_binding", "slo_url", "slo_binding", "slo_response_url"),
    *("metadata_url", "metadata_certificate", "enabled", "allow_idp_initiated", "bounce_idp_initiated", "join_policy"),
    *("default_roles", "domains", "attribute_mapping", "name_id_format", "may_grant_admin", "strict_scim"),
    "trusted_with_administrators",
    *("sign_authn_requests", "want_assertions_encrypted", "require_gcm", "allow_weak_signatures", "force_authn"),
    *("redact_sign_in_flows", "kind"),
)


def urls(provider_id: str, base_url: str) -> dict[str, str]:
    """What is pasted at the provider: fixed by the connection's id, so known before it is configured."""
    saml = f"{base_url}/saml/{provider_id}"
    return {
        "sp_entity_id": f"{saml}/metadata",
        "sp_metadata_url": f"{saml}/metadata",
        "acs_url": f"{saml}/acs",
        "start_url": f"{saml}/start",
        "slo_url": f"{saml}/slo",
        "scim_base_url": f"{base_url}/scim/v2",
    }


def sp_metadata(provider: IdentityProvider, base_url: str) -> bytes:
    """Our metadata for this connection, signed; its URL is our entity ID there.

    The first key is made here, if no other need of it came before: then it wants a transaction.
    """
    signing_key = sp_keys.signing(provider)
    own, ours = sp_keys.published(provider), urls(provider.id, base_url)
    config = SpConfig(
        entity_id=ours["sp_entity_id"],
        acs_url=ours["acs_url"],
        slo_url=ours["slo_url"],
        sign_authn_requests=provider.sign_authn_requests,
        signing_certificates=own,
        encryption_certificates=own,
        name_id_formats=(provider.name_id_format,) if provider.name_id_format else (),
    )
    return own_metadata.sp_metadata(config, signing_key=signing_key)
