"""Our own key pairs, a set for each connection: they sign what we send and open what is encrypted to us.

The first is made when it is first needed. A roll-over has no outage because it overlaps: ``next`` is published beside
``current`` until every provider knows it; then it is made current and signs; the ``former`` one still decrypts until
it is deleted. What is at rest is sealed (keyring.py), and no key is shared by two connections.
"""

from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from idp_bridge import actors, clock, db, events, grants, ids, keyring
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict, NotFound
from idp_bridge.events import Type
from idp_bridge.models import IdentityProvider, ServiceProviderKey
from idp_bridge.saml.certificate import Certificate, parse_certificate
from idp_bridge.saml.sending import SigningKey
from idp_bridge.statement import Statement, parameter

NEXT, CURRENT, FORMER = STATES = ("next", "current", "former")
BITS = 2048
VALIDITY = timedelta(days=3650)

#: What may happen to a key in each state: refused in these words where there are some.
_WHY_NOT_ACTIVATED = {
    CURRENT: "This key is the current one already.",
    FORMER: "A former key does not come back. Prepare a new one.",
}
_WHY_NOT_DELETED = {CURRENT: "The current key is in use. Prepare the next one and activate it first."}


def signing(provider: IdentityProvider) -> SigningKey:
    """The key that signs what we send; made where there is none yet, in the caller's transaction."""
    row = _first(provider, CURRENT) or _make_first(provider)
    return SigningKey(_private_key(row), certificate(row))


def decryption(provider: IdentityProvider) -> tuple[rsa.RSAPrivateKey, ...]:
    """Every key that a message may be encrypted to, the current one first: metadata is cached for days."""
    return tuple(_private_key(row) for row in of_provider(provider))


def published(provider: IdentityProvider) -> tuple[Certificate, ...]:
    """The certificates in our metadata: current, then next. Nothing new is to be encrypted to a former one."""
    return tuple(certificate(row) for row in of_provider(provider) if row.state != FORMER)


def certificate(row: ServiceProviderKey) -> Certificate:
    """The certificate that carries the public key."""
    return parse_certificate(row.certificate)


def of_provider(provider: IdentityProvider) -> list[ServiceProviderKey]:
    """The keys of a connection: current, next, then former ones, the newest first."""
    rows = [row for (row,) in _OF_PROVIDER.instances(provider=provider.id)]
    return sorted(rows, key=lambda row: _ORDER.index(row.state))


_ORDER = (CURRENT, NEXT, FORMER)
_OF_PROVIDER = Statement(
    ServiceProviderKey._meta.sorted_fields,
    lambda: (
        ServiceProviderKey.select()
        .where(ServiceProviderKey.identity_provider == parameter("provider"))
        .order_by(ServiceProviderKey.id.desc())
    ),
)


def get(provider: IdentityProvider, key_id: str) -> ServiceProviderKey:
    """Raises NotFound."""
    row = ServiceProviderKey.get_or_none(
        (ServiceProviderKey.identity_provider == provider) & (ServiceProviderKey.id == key_id)
    )
    if row is None:
        raise NotFound(f"There is no key {key_id} of ours for this identity provider.")
    return row


# --- roll-over --------------------------------------------------------------------------------------------------


def prepare(actor: Actor, provider: IdentityProvider) -> ServiceProviderKey:
    """The next key: published from now on, used once it is activated. Raises Forbidden, Conflict (one waits)."""
    grants.check_decides(actor, provider)
    _lock(provider)
    if _first(provider, NEXT):
        raise Conflict("The next key is prepared already. Activate it, or delete it, before preparing another.")
    if _first(provider, CURRENT) is None:
        _make(actors.system(actor.account), provider, CURRENT)
    return _make(actor, provider, NEXT)


def activate(actor: Actor, provider: IdentityProvider, key_id: str) -> ServiceProviderKey:
    """The next key signs from now on; the one before is a former one, and decrypts. Raises Forbidden, Conflict."""
    grants.check_decides(actor, provider)
    _lock(provider)
    row = get(provider, key_id)
    if why_not := _WHY_NOT_ACTIVATED.get(row.state):
        raise Conflict(why_not)
    before = _first(provider, CURRENT)
    if before is not None:
        _enter(before, FORMER)
    _enter(row, CURRENT)
    if provider.sign_authn_requests:  # the provider may not know this key yet: a sign-in has to prove it anew
        IdentityProvider.update(changed_at=clock.now()).where(IdentityProvider.id == provider.id).execute()
    events.record(actor, Type.SERVICE_PROVIDER_KEY_ACTIVATED, describe(row))
    return row


def delete(actor: Actor, provider: IdentityProvider, key_id: str) -> None:
    """Retire a former key: what is still encrypted to it is not read any more. Or give up the next. Raises Conflict,
    Forbidden."""
    grants.check_decides(actor, provider)
    _lock(provider)
    row = get(provider, key_id)
    if why_not := _WHY_NOT_DELETED.get(row.state):
        raise Conflict(why_not)
    row.delete_instance()
    events.record(actor, Type.SERVICE_PROVIDER_KEY_DELETED, describe(row))


def describe(row: ServiceProviderKey) -> dict[str, Any]:
    """The key as the API and events show it: its certificate, never itself."""
    carried = certificate(row)
    return {
        "id": row.id,
        "identity_provider_id": row.identity_provider_id,
        "state": row.state,
        "certificate": carried.pem,
        "fingerprint_sha256": carried.fingerprint_sha256,
        "not_before": clock.rfc3339(carried.not_before),
        "not_after": clock.rfc3339(carried.not_after),
        "created_at": clock.rfc3339(row.created_at),
        "changed_at": clock.rfc3339(row.changed_at),
    }


# --- rows and keys ----------------------------------------------------------------------------------------------


def _lock(provider: IdentityProvider) -> None:
    """Two that change the keys of one connection come one after the other."""
    db.locked(IdentityProvider.select(IdentityProvider.id).where(IdentityProvider.id == provider.id)).execute()


def _first(provider: IdentityProvider, state: str) -> ServiceProviderKey | None:
    return next((row for row in of_provider(provider) if row.state == state), None)


def _make_first(provider: IdentityProvider) -> ServiceProviderKey:
    _lock(provider)
    return _first(provider, CURRENT) or _make(actors.system(provider.account), provider, CURRENT)


def _make(actor: Actor, provider: IdentityProvider, state: str) -> ServiceProviderKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    moment = clock.now()
    row = ServiceProviderKey.create(
        id=ids.new("spk"),
        identity_provider=provider,
        state=state,
        private_key=keyring.seal(pem.decode()),
        certificate=_self_signed(key, provider),
        created_at=moment,
        changed_at=moment,
    )
    events.record(actor, Type.SERVICE_PROVIDER_KEY_CREATED, describe(row))
    return row


def _enter(row: ServiceProviderKey, state: str) -> None:
    row.state, row.changed_at = state, clock.now()
    row.save(only=[ServiceProviderKey.state, ServiceProviderKey.changed_at])


def _self_signed(key: rsa.RSAPrivateKey, provider: IdentityProvider) -> str:
    """The certificate that carries the public key; it says nothing that a provider would have to believe."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"idp-bridge {provider.id}")])
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today)
        .not_valid_after(today + VALIDITY)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _private_key(row: ServiceProviderKey) -> rsa.RSAPrivateKey:
    pem = keyring.unseal(row.private_key).encode()
    # We made it, and its seal shows that nobody changed it; to prove the primes again costs more than a decryption.
    key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("our own keys are RSA")
    return key
