"""Credentials: authtokens, API keys and SSH public keys of members and bot users.

The owner is named at creation and never changes. A credential works while its owner is active: that is joined at each
use, so suspending an owner suspends every credential with it, and reviving revives exactly those.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from peewee import JOIN

from idp_bridge import clock, db, events, ids, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, BotUser, Credential, Member
from idp_bridge.roles import Permission
from idp_bridge.statement import Statement, Table, parameter


@dataclass(frozen=True)
class Kind:
    """A kind of credential: id prefix, secret form (None: a public key) and its events."""

    name: str
    id_prefix: str
    secret: tokens.Kind | None
    created: Type
    updated: Type
    deleted: Type


AUTHTOKEN = Kind(
    "authtoken", "cr", tokens.Kind.AUTHTOKEN, Type.AUTHTOKEN_CREATED, Type.AUTHTOKEN_UPDATED, Type.AUTHTOKEN_DELETED
)
API_KEY = Kind("api_key", "ak", tokens.Kind.API_KEY, Type.API_KEY_CREATED, Type.API_KEY_UPDATED, Type.API_KEY_DELETED)
SSH_PUBLIC_KEY = Kind(
    "ssh_public_key",
    "sshcr",
    None,
    Type.SSH_PUBLIC_KEY_CREATED,
    Type.SSH_PUBLIC_KEY_UPDATED,
    Type.SSH_PUBLIC_KEY_DELETED,
)
KINDS = {kind.name: kind for kind in (AUTHTOKEN, API_KEY, SSH_PUBLIC_KEY)}

USED_STEP = timedelta(minutes=1)  # how exactly the last use is kept: a write a minute, not one a request

Owner = Member | BotUser

_TABLE = Table(Credential)


@dataclass(frozen=True)
class Issued:
    """A new credential; ``token`` is shown once (None for a public key)."""

    credential: Credential
    token: str | None


def issue(
    actor: Actor,
    kind: Kind,
    owner: Owner,
    *,
    description: str = "",
    metadata: str = "",
    acl: Sequence[str] = (),
    expires_at: datetime | None = None,
    public_key: str | None = None,
) -> Issued:
    """A new credential for ``owner``. Raises NotFound (an owner of another account), Forbidden (somebody else's, not
    an administrator), Conflict (inactive owner; a public key registered already), Invalid."""
    if owner.account_id != actor.account.id:
        raise NotFound(f"There is no {owner.id} in this account.")
    if owner.id != actor.id and not actor.may(Permission.CREDENTIALS_ALL):
        raise Forbidden("Only an administrator may name another owner.", code=Code.ADMINISTRATORS_ONLY)
    if not owner.active:
        raise Conflict(f"{owner.id} is not active; an inactive owner gets no credential.", code=Code.OWNER_INACTIVE)
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("expires_at lies in the past.", fields={"expires_at": ["in the past"]})
    token = tokens.new(kind.secret) if kind.secret else None
    line, fingerprint = read_public_key(public_key or "") if kind.secret is None else (None, None)
    with db.unique(Credential, _registered), db.savepoint():
        credential = Credential.create(
            id=ids.new(kind.id_prefix),
            account=actor.account,
            kind=kind.name,
            member=owner.id if isinstance(owner, Member) else None,
            bot_user=owner.id if isinstance(owner, BotUser) else None,
            description=description,
            metadata=metadata,
            acl=list(acl),
            token_digest=tokens.digest(token) if token else None,
            public_key=line,
            fingerprint=fingerprint,
            created_at=clock.now(),
            expires_at=expires_at,
        )
    events.record(actor, kind.created, describe(credential))
    return Issued(credential, token)


def _registered() -> Conflict:
    return Conflict("This SSH public key is registered already.", code=Code.KEY_TAKEN)


def of_kind(actor: Actor, kind: Kind) -> Any:
    """The credentials of that kind that the actor may see, as a query: all for an administrator, else her own."""
    query = Credential.select().where(Credential.account == actor.account, Credential.kind == kind.name)
    if actor.may(Permission.CREDENTIALS_ALL):
        return query
    return query.where((Credential.member == actor.id) | (Credential.bot_user == actor.id))


def get(actor: Actor, kind: Kind, credential_id: str) -> Credential:
    """One that the actor may see. Raises NotFound."""
    credential = of_kind(actor, kind).where(Credential.id == credential_id).get_or_none()
    if credential is None:
        raise NotFound(f"There is no {kind.name} {credential_id} in this account.")
    return credential


def change(actor: Actor, credential: Credential, **fields: Any) -> None:
    """Set description, metadata or acl. No change, no event."""
    changed = {name: value for name, value in fields.items() if getattr(credential, name) != value}
    if not changed:
        return
    for name, value in changed.items():
        setattr(credential, name, value)
    credential.save(only=[getattr(Credential, name) for name in changed])
    events.record(actor, KINDS[credential.kind].updated, describe(credential))


def delete(actor: Actor, credential: Credential) -> None:
    """Revoke for good."""
    credential.delete_instance()
    events.record(actor, KINDS[credential.kind].deleted, describe(credential))


def find(kind: Kind, token: str) -> Credential | None:
    """The live credential behind a secret, with ``account`` and its owner loaded, of both what says who acts; None
    where the secret is unknown or expired, or its owner not active. One statement."""
    found = _FIND.first(digest=tokens.digest(token), kind=kind.name)
    if found is None:
        return None
    credential, credential.account, credential.member, credential.bot_user = found
    if not owner_of(credential).active:
        return None
    if credential.expires_at is not None and credential.expires_at <= clock.now():
        return None
    return cast(Credential, credential)


_FOUND: tuple[Any, ...] = (
    *(Credential.id, Credential.account, Credential.kind, Credential.member, Credential.bot_user),
    *(Credential.acl, Credential.expires_at, Credential.last_used_at),
    *Account._meta.sorted_fields,
    *(Member.id, Member.account, Member.email, Member.name, Member.active),
    *(BotUser.id, BotUser.account, BotUser.name, BotUser.roles, BotUser.active),
)
_FIND = Statement(
    _FOUND,
    lambda: (
        Credential.select(*_FOUND)
        .join(Account)
        .switch(Credential)
        .join(Member, JOIN.LEFT_OUTER)
        .switch(Credential)
        .join(BotUser, JOIN.LEFT_OUTER)
        .where(Credential.token_digest == parameter("digest"), Credential.kind == parameter("kind"))
    ),
)


def owner_of(credential: Credential) -> Owner:
    """The member or the bot user."""
    owner: Owner = credential.member if credential.member_id else credential.bot_user
    return owner


def used(credential: Credential, address: str | None) -> None:
    """Note a use."""
    moment = clock.now()
    if credential.last_used_at is None or moment - credential.last_used_at > USED_STEP:
        _TABLE.update(credential.id, last_used_at=moment, last_used_address=address)


def describe(credential: Credential) -> dict[str, Any]:
    """The credential as events show it: never the secret."""
    facts = {
        "id": credential.id,
        "owner_id": credential.member_id or credential.bot_user_id,
        "description": credential.description,
        "metadata": credential.metadata,
        "expires_at": clock.rfc3339(credential.expires_at) if credential.expires_at else None,
    }
    if credential.fingerprint:
        facts["fingerprint"] = credential.fingerprint
    return facts


# --- SSH public keys --------------------------------------------------------------------------------------------

_SSH_TYPES = {
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
}


def read_public_key(text: str) -> tuple[str, str]:
    """An OpenSSH public key line -> (``type base64``, fingerprint as ssh-keygen prints it). Raises Invalid.

    The fingerprint is taken of the decoded blob: the library loses the application string of sk-* keys.
    """
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise _bad_key("This is a private key. Keep it secret, and paste the .pub file instead.")
    if "\n" in line or "\r" in line:
        raise _bad_key("A public key is one line.")
    kind, blob_text, *_ = [*line.split(maxsplit=2), "", ""]
    if kind not in _SSH_TYPES:
        raise _bad_key(f"{kind or 'Nothing'} is no accepted key type; use ed25519, ecdsa, RSA of 2048 bits or sk-*.")
    try:
        blob = base64.b64decode(blob_text, validate=True)
        key = load_ssh_public_key(f"{kind} {blob_text}".encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key("This is not a whole OpenSSH public key.") from error
    inner = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    if inner != kind:
        raise _bad_key(f"The key says {kind} outside and {inner} inside.")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        raise _bad_key(f"This RSA key has {key.key_size} bits; 2048 is the least.")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"{kind} {blob_text}", f"SHA256:{digest}"


def _bad_key(message: str) -> Invalid:
    return Invalid(message, code=Code.INVALID_PUBLIC_KEY, fields={"public_key": [message]})
