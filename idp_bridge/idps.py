"""Identity providers: the SAML connections of an account and the SCIM tokens of their directories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from idp_bridge import clock, events, groups, ids, keyring, members, plans, roles, sessions, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityProvider, ScimToken
from idp_bridge.saml import metadata
from idp_bridge.saml.certificate import Certificate, MetadataError, parse_certificate

MAPPED_CLAIMS = ("email", "first_name", "last_name", "groups")

#: A change of one of these makes an earlier sign-in no proof that the next one works.
_TRUST = {
    "entity_id",
    "sso_url",
    "sso_binding",
    "certificates",
    "domains",
    "attribute_mapping",
    "want_assertions_encrypted",
}


@dataclass(frozen=True)
class Trust:
    """Where and as whom the provider speaks; ``certificates`` are PEM texts."""

    entity_id: str
    sso_url: str
    certificates: Sequence[str]
    sso_binding: str = "redirect"
    slo_url: str | None = None


def of_account(account: Account) -> Any:
    """The account's identity providers, as a query."""
    return IdentityProvider.select().where(IdentityProvider.account == account)


def get(account: Account, provider_id: str) -> IdentityProvider:
    """The provider of this account. Raises NotFound."""
    provider = of_account(account).where(IdentityProvider.id == provider_id).get_or_none()
    if provider is None:
        raise NotFound(f"There is no identity provider {provider_id} in this account.")
    return provider


def with_account(provider_id: str) -> IdentityProvider:
    """The provider that a /saml URL names, with its account. Raises NotFound."""
    provider = (
        IdentityProvider.select(IdentityProvider, Account)
        .join(Account)
        .where(IdentityProvider.id == provider_id)
        .get_or_none()
    )
    if provider is None:
        raise NotFound("There is no such identity provider.")
    return provider


def read_metadata(document: str) -> Trust:
    """A provider's metadata XML -> what is trusted of it. Raises Invalid in plain words."""
    try:
        read = metadata.read_idp_metadata(document, now=clock.now())
    except MetadataError as error:
        raise Invalid(
            f"The metadata cannot be used: {error}", code=Code.INVALID_METADATA, fields={"metadata_xml": [str(error)]}
        ) from error
    first = read.sso[0]
    return Trust(
        entity_id=read.entity_id,
        sso_url=first.url,
        sso_binding="post" if first.binding == metadata.POST else "redirect",
        slo_url=read.slo[0].url if read.slo else None,
        certificates=[certificate.pem for certificate in read.certificates],
    )


def create(actor: Actor, *, name: str, trust: Trust, **options: Any) -> IdentityProvider:
    """A new connection; the account stays in its mode. Raises Forbidden (plan, rights), Invalid, Conflict."""
    account = actor.account
    plans.require(account, plans.Feature.SSO)
    moment = clock.now()
    provider = IdentityProvider(
        id=ids.new("idp"),
        account=account,
        name=name,
        certificates=[],
        default_roles=list(roles.DEFAULT),
        domains=[],
        attribute_mapping=dict.fromkeys(MAPPED_CLAIMS),
        created_at=moment,
        changed_at=moment,
    )
    _apply(actor, provider, {**_trusted(trust), **options})
    provider.save(force_insert=True)
    events.record(actor, Type.IDENTITY_PROVIDER_CREATED, describe(provider))
    return provider


def change(actor: Actor, provider: IdentityProvider, *, trust: Trust | None = None, **options: Any) -> None:
    """Set any of the connection's fields. Raises Invalid, Forbidden, Conflict (last one under enforcement)."""
    wanted = {**(_trusted(trust) if trust else {}), **options}
    before = {name: getattr(provider, name) for name in wanted}
    _apply(actor, provider, wanted)
    changed = {name for name, value in before.items() if getattr(provider, name) != value}
    if not changed:
        return
    if changed & _TRUST:
        provider.changed_at = clock.now()
    if "enabled" in changed and not provider.enabled:
        _stays_reachable(provider)
        sessions.end_all_by(provider.id)
    with groups.keeping_an_administrator(actor.account):
        provider.save(only=provider.dirty_fields)
        if "may_grant_admin" in changed and not provider.may_grant_admin:
            groups.forget_claims(provider, role=roles.ADMIN)
    events.record(
        actor, Type.IDENTITY_PROVIDER_UPDATED, {**describe(provider), "before": {n: before[n] for n in sorted(changed)}}
    )


def delete(actor: Actor, provider: IdentityProvider) -> None:
    """The connection, its directory, tokens, mappings and sessions are gone; its members stay and are managed by
    hand. Raises Conflict."""
    _stays_reachable(provider)
    with groups.keeping_an_administrator(actor.account):
        groups.forget_claims(provider)
        members.let_go(provider)
        provider.delete_instance()
    events.record(actor, Type.IDENTITY_PROVIDER_DELETED, describe(provider))


def _stays_reachable(provider: IdentityProvider) -> None:
    """Under enforcement the last enabled provider that an administrator has come in through is the only door there
    is known to be."""
    others = of_account(provider.account).where(
        IdentityProvider.id != provider.id,
        IdentityProvider.enabled,
        IdentityProvider.administrator_signed_in_at >= IdentityProvider.changed_at,
    )
    if provider.account.sso_mode == "enforced" and not others.exists():
        raise Conflict(
            "Single sign-on is enforced, and no administrator has signed in through another enabled identity provider. "
            "Go back to mixed mode first, or sign in through another one.",
            code=Code.LAST_IDENTITY_PROVIDER,
        )


def _apply(actor: Actor, provider: IdentityProvider, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(provider, name, value)
    if "default_roles" in fields:
        granted = roles.known(actor.account.id, provider.default_roles)
        roles.check_grant(actor.account.id, actor.permissions, granted, administrator=actor.administrator)
        provider.default_roles = list(granted)
    if roles.ADMIN in provider.default_roles and not provider.may_grant_admin:
        raise Invalid(
            "admin cannot be a default role while the identity provider may not grant it (may_grant_admin).",
            fields={"default_roles": ["admin needs may_grant_admin"]},
        )
    if "domains" in fields:
        provider.domains = sorted({domain.strip().lower().lstrip("@") for domain in provider.domains})
    if "attribute_mapping" in fields:
        provider.attribute_mapping = _mapping(provider.attribute_mapping)
    if (provider.sign_authn_requests or provider.want_assertions_encrypted) and provider.sp_key is None:
        provider.sp_key, provider.sp_certificate = _own_key(provider)


def _mapping(wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    unknown = set(wanted) - set(MAPPED_CLAIMS)
    if unknown:
        raise Invalid(
            f"attribute_mapping knows {', '.join(MAPPED_CLAIMS)}; not {', '.join(sorted(unknown))}.",
            fields={"attribute_mapping": [f"unknown: {name}" for name in sorted(unknown)]},
        )
    return {name: wanted.get(name) or None for name in MAPPED_CLAIMS}


def _trusted(trust: Trust) -> dict[str, Any]:
    if not trust.certificates:
        raise Invalid("An identity provider needs a signing certificate.", fields={"certificates": ["required"]})
    return {
        "entity_id": trust.entity_id,
        "sso_url": _endpoint("sso_url", trust.sso_url),
        "sso_binding": trust.sso_binding,
        "slo_url": _endpoint("slo_url", trust.slo_url) if trust.slo_url else None,
        "certificates": [_certificate(text) for text in trust.certificates],
    }


def _endpoint(field: str, url: str) -> str:
    try:
        return metadata.check_url(url, what=field)
    except MetadataError as error:
        raise Invalid(str(error), code=Code.INVALID_METADATA, fields={field: [str(error)]}) from error


def _certificate(text: str) -> dict[str, str]:
    try:
        certificate = parse_certificate(text)
    except MetadataError as error:
        raise Invalid(
            f"A certificate cannot be used: {error}",
            code=Code.INVALID_METADATA,
            fields={"certificates": [str(error)]},
        ) from error
    return {
        "pem": certificate.pem,
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "not_before": clock.rfc3339(certificate.not_before),
        "not_after": clock.rfc3339(certificate.not_after),
    }


def certificates(provider: IdentityProvider) -> tuple[Certificate, ...]:
    """The pinned signing certificates, parsed."""
    return tuple(parse_certificate(certificate["pem"]) for certificate in provider.certificates)


def describe(provider: IdentityProvider) -> dict[str, Any]:
    """The connection as events tell of it: no key."""
    return {
        "id": provider.id,
        "name": provider.name,
        "entity_id": provider.entity_id,
        "sso_url": provider.sso_url,
        "certificates": [certificate["fingerprint_sha256"] for certificate in provider.certificates],
        "enabled": provider.enabled,
        "allow_idp_initiated": provider.allow_idp_initiated,
        "join_policy": provider.join_policy,
        "may_grant_admin": provider.may_grant_admin,
    }


def urls(provider_id: str, base_url: str) -> dict[str, str]:
    """What is pasted at the provider: fixed by the connection's id, so known before it is configured."""
    saml = f"{base_url}/saml/{provider_id}"
    return {
        "sp_entity_id": f"{saml}/metadata",
        "sp_metadata_url": f"{saml}/metadata",
        "acs_url": f"{saml}/acs",
        "start_url": f"{saml}/start",
        "scim_base_url": f"{base_url}/scim/v2",
    }


def sp_metadata(provider: IdentityProvider, base_url: str) -> bytes:
    """Our metadata for this connection; its URL is our entity ID there."""
    own = (parse_certificate(provider.sp_certificate),) if provider.sp_certificate else ()
    ours = urls(provider.id, base_url)
    return metadata.sp_metadata(
        metadata.SpConfig(
            entity_id=ours["sp_entity_id"],
            acs_url=ours["acs_url"],
            sign_authn_requests=provider.sign_authn_requests,
            signing_certificates=own if provider.sign_authn_requests else (),
            encryption_certificates=own,
        )
    )


# --- our own key for one connection -----------------------------------------------------------------------------


def signing_key(provider: IdentityProvider) -> rsa.RSAPrivateKey | None:
    """Our private key for this connection, for signing requests and for decrypting; None where none was asked for."""
    if provider.sp_key is None:
        return None
    key = serialization.load_pem_private_key(keyring.unseal(provider.sp_key).encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("our own keys are RSA")
    return key


def own_certificate(provider: IdentityProvider) -> x509.Certificate | None:
    """The certificate that carries our public key in this connection's metadata."""
    return x509.load_pem_x509_certificate(provider.sp_certificate.encode()) if provider.sp_certificate else None


def _own_key(provider: IdentityProvider) -> tuple[str, str]:
    """A fresh RSA key, sealed, and the self-signed certificate that carries it in our metadata."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"idp-bridge {provider.id}")])
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today)
        .not_valid_after(today + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return keyring.seal(pem.decode()), certificate.public_bytes(serialization.Encoding.PEM).decode()


# --- SCIM tokens ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IssuedToken:
    """A new SCIM token; ``token`` is shown once."""

    row: ScimToken
    token: str


def scim_tokens(provider: IdentityProvider) -> Any:
    """The directory's tokens, as a query."""
    return ScimToken.select().where(ScimToken.identity_provider == provider)


def issue_scim_token(
    actor: Actor, provider: IdentityProvider, *, description: str = "", expires_at: datetime | None = None
) -> IssuedToken:
    """A bearer token for this provider's directory; several live side by side, so that rotation has no gap."""
    plans.require(actor.account, plans.Feature.SCIM)
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("expires_at lies in the past.", fields={"expires_at": ["in the past"]})
    token = tokens.new(tokens.Kind.SCIM_TOKEN)
    row = ScimToken.create(
        id=ids.new("tok"),
        identity_provider=provider,
        description=description,
        token_digest=tokens.digest(token),
        ends_with=token[-4:],
        created_at=clock.now(),
        expires_at=expires_at,
    )
    events.record(actor, Type.SCIM_TOKEN_CREATED, describe_token(row))
    return IssuedToken(row, token)


def scim_token(provider: IdentityProvider, token_id: str) -> ScimToken:
    """Raises NotFound."""
    row = scim_tokens(provider).where(ScimToken.id == token_id).get_or_none()
    if row is None:
        raise NotFound(f"There is no SCIM token {token_id} for this identity provider.")
    return row


def revoke_scim_token(actor: Actor, row: ScimToken) -> None:
    """The token stops working at once."""
    row.delete_instance()
    events.record(actor, Type.SCIM_TOKEN_DELETED, describe_token(row))


def describe_token(row: ScimToken) -> dict[str, Any]:
    """The token as the API and events show it: how it ends, never itself."""
    return {
        "id": row.id,
        "identity_provider_id": row.identity_provider_id,
        "description": row.description,
        "ends_with": row.ends_with,
        "created_at": clock.rfc3339(row.created_at),
        "expires_at": clock.rfc3339(row.expires_at) if row.expires_at else None,
        "last_used_at": clock.rfc3339(row.last_used_at) if row.last_used_at else None,
    }
