"""Credentials: authtokens, API keys and SSH public keys of members and bot users.

The owner is named at creation and never changes. A credential works while its owner is active: that is joined at each
use, so suspending an owner suspends every credential with it, and reviving revives exactly those. What was made in a
session that an identity provider opened is nobody's word but that provider's: while it is not trusted with
administrators, the credential holds the owner's roles without ``admin``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from peewee import JOIN, SQL

from idp_bridge import clock, db, events, ids, last_uses, member_roles, sign_in_mode, ssh_keys, tokens
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import (
    Account,
    BotUser,
    Credential,
    CredentialUse,
    IdentityLink,
    IdentityProvider,
    Member,
    RecoveryCode,
)
from idp_bridge.roles import Permission
from idp_bridge.statement import Statement, parameter


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

ACL_ENTRY = r"^bind:[!-~]{1,250}$"  # what a credential may start: endpoints under a name, ``*`` for any part of it
MOST_ACL_ENTRIES = 100

Owner = Member | BotUser


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
    """A new credential for ``owner``. Raises NotFound (an owner of another account), Forbidden (somebody else's, by
    others than administrators), Conflict (inactive owner; a public key registered already), Invalid."""
    if owner.account_id != actor.account.id:
        raise NotFound(f"There is no {owner.id} in this account.")
    check_owner(actor, owner.id)
    if not owner.active:
        raise Conflict(f"{owner.id} is not active; an inactive owner gets no credential.", code=Code.OWNER_INACTIVE)
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("expires_at lies in the past.", fields={"expires_at": ["in the past"]})
    _check_acl(acl)
    token = tokens.new(kind.secret) if kind.secret else None
    line, fingerprint = ssh_keys.read(public_key or "") if kind.secret is None else (None, None)
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
            made_through=actor.goes_back_to,
            token_digest=tokens.digest(token) if token else None,
            public_key=line,
            fingerprint=fingerprint,
            created_at=clock.now(),
            expires_at=expires_at,
        )
    events.record(actor, kind.created, describe(credential))
    return Issued(credential, token)


def _check_acl(acl: Sequence[str]) -> None:
    wrong = next((entry for entry in acl if not re.fullmatch(ACL_ENTRY[1:-1], entry)), None)
    if wrong is not None:
        raise Invalid(f"{wrong!r} is no entry of an acl; one is bind:NAME.", fields={"acl": ["bind:NAME"]})
    if len(acl) > MOST_ACL_ENTRIES:
        raise Invalid(f"An acl has at most {MOST_ACL_ENTRIES} entries.", fields={"acl": ["too many"]})


def check_owner(actor: Actor, owner_id: str) -> None:
    """A credential acts as its owner, also in what she or it will be allowed later on. So only an administrator, who
    may do everything already, makes one for somebody else: a member or a bot user. Raises Forbidden."""
    if owner_id != actor.id and not actor.administrator:
        raise Forbidden("Only an administrator may name another owner.", code=Code.ADMINISTRATORS_ONLY)


def _check_touch(actor: Actor, credential: Credential) -> None:
    """Only administrators touch what administrators own."""
    if credential.member_id is not None and credential.member_id != actor.id and not actor.administrator:
        member_roles.check_touch(actor, credential.member)


def _registered() -> Conflict:
    return Conflict("This SSH public key is registered already.", code=Code.KEY_TAKEN)


def of_kind(actor: Actor, kind: Kind) -> Any:
    """The credentials of that kind that the actor may see, as a query: all with ``credentials:all``, else her own."""
    query = Credential.select().where(Credential.kind == kind.name)
    if actor.may(Permission.CREDENTIALS_ALL):
        return query.where(Credential.account == actor.account)
    own = Credential.bot_user if actor.type == "bot_user" else Credential.member
    return query.where(own == actor.id, db.unindexed(Credential.account == actor.account))


def get(actor: Actor, kind: Kind, credential_id: str) -> Credential:
    """One that the actor may see. Raises NotFound."""
    credential = of_kind(actor, kind).where(Credential.id == credential_id).get_or_none()
    if credential is None:
        raise NotFound(f"There is no {kind.name} {credential_id} in this account.")
    return credential


def change(actor: Actor, credential: Credential, **fields: Any) -> None:
    """Set description, metadata or acl. No change, no event. Raises Forbidden (an administrator's), Invalid (acl),
    NotFound (deleted meanwhile)."""
    _hold(credential)
    _check_touch(actor, credential)
    _check_acl(fields.get("acl", ()))
    changed = {name: value for name, value in fields.items() if getattr(credential, name) != value}
    if not changed:
        return
    before = {name: getattr(credential, name) for name in changed}
    for name, value in changed.items():
        setattr(credential, name, value)
    credential.save(only=[getattr(Credential, name) for name in changed])
    events.record(actor, KINDS[credential.kind].updated, {**describe(credential), "before": before})


def delete(actor: Actor, credential: Credential) -> None:
    """Revoke for good. Raises Forbidden (an administrator's), NotFound (deleted meanwhile)."""
    _hold(credential)
    _check_touch(actor, credential)
    credential.delete_instance()
    events.record(actor, KINDS[credential.kind].deleted, describe(credential))


def _hold(credential: Credential) -> None:
    """As it is now, and so until the transaction ends: of two who delete it the second finds none. Raises NotFound."""
    now = db.locked(Credential.select().where(Credential.id == credential.id)).get_or_none()
    if now is None:
        raise NotFound(f"There is no {credential.kind} {credential.id} any more.")
    credential.__data__.update(now.__data__)


def check_missed(actor: Actor, credential: Credential) -> None:
    """Before a deletion of which nobody has said that she is sure. Raises Conflict where no next call could be made: of
    the credential that the actor shows, and of the last way in of the only administrator."""
    if is_last_way_in(credential):
        raise Conflict(
            "Nothing else lets the account's only administrator in: no password, no recovery code, no identity "
            "provider by which she has come in, no other API key. Give her another way in, or delete it by force.",
            code=Code.LAST_WAY_IN,
        )
    if credential.id == actor.credential_id:
        raise Conflict(
            "This is the key that you call with. Go on with another one, or delete it by force.",
            code=Code.CREDENTIAL_IN_USE,
        )


def is_last_way_in(credential: Credential) -> bool:
    """Whether it is all that the account's only administrator has: once it is gone no password, no identity provider,
    no recovery code and no other API key that works would let her in. A provider counts that has let her in before or
    whose directory has her: what has never worked is hope."""
    member = credential.member
    if credential.kind != API_KEY.name or member is None:
        return False
    if member_roles.administrators(credential.account) != {member.id}:
        return False
    if member.person.password_hash and sign_in_mode.of(credential.account) == sign_in_mode.MIXED:
        return False
    linked = IdentityLink.select(IdentityLink.identity_provider).where(IdentityLink.member == member)
    known = IdentityProvider.id.in_(linked)
    if member.managed_by == "scim":
        known |= IdentityProvider.id == member.identity_provider_id
    lives = Credential.expires_at.is_null() | (Credential.expires_at > clock.now())
    others: tuple[Any, ...] = (
        IdentityProvider.select().where(
            IdentityProvider.account == credential.account, IdentityProvider.enabled, known
        ),
        RecoveryCode.select().where(RecoveryCode.member == member, RecoveryCode.used_at.is_null()),
        Credential.select().where(
            Credential.member == member, Credential.kind == API_KEY.name, Credential.id != credential.id, lives
        ),
    )
    return not any(query.exists() for query in others)


def find(kind: Kind, token: str) -> Credential | None:
    """The live credential behind a secret, with ``account`` and its owner loaded, of both what says who acts, and what
    the owner may do; None where the secret is unknown or expired, or its owner not active. One statement."""
    found = _FIND.first(digest=tokens.digest(token), kind=kind.name)
    if found is None:
        return None
    credential, credential.account, credential.member, credential.bot_user, *credential.of_member = found
    if not owner_of(credential).active:
        return None
    if credential.expires_at is not None and credential.expires_at <= clock.now():
        return None
    return cast(Credential, credential)


_FOUND: tuple[Any, ...] = (
    *(Credential.id, Credential.account, Credential.kind, Credential.member, Credential.bot_user),
    *(Credential.acl, Credential.expires_at, Credential.made_through),
    *Account._meta.sorted_fields,
    *(Member.id, Member.account, Member.email, Member.name, Member.active),
    *(BotUser.id, BotUser.account, BotUser.name, BotUser.roles, BotUser.active),
)
_ROLES, _BELIEVED = SQL(""), SQL("")  # their places among the columns
_FIND = Statement(
    (*_FOUND, _ROLES, _BELIEVED),
    lambda: (
        Credential.select(
            *_FOUND, member_roles.names_of(Credential.member), member_roles.believed(Credential.made_through)
        )
        .join(Account)
        .switch(Credential)
        .join(Member, JOIN.LEFT_OUTER)
        .switch(Credential)
        .join(BotUser, JOIN.LEFT_OUTER)
        .where(Credential.token_digest == parameter("digest"), Credential.kind == parameter("kind"))
    ),
)


def hold(actor: Actor) -> None:
    """Until the transaction ends whoever acts stays what was just read of her: who suspends or demotes her, or deletes
    the key that she shows, waits, or has been waited for. SQLite's write transaction is alone already."""
    if not db.database.for_update:
        return
    if actor.credential_id is None:
        _HOLD_MEMBER.run(id=actor.id)
    else:
        (_HOLD_BOT_KEY if actor.type == "bot_user" else _HOLD_KEY).run(id=actor.credential_id)


def _key_and(owner: Any) -> Any:
    return db.shared(Credential.select(SQL("1")).join(owner).where(Credential.id == parameter("id")))


_HOLD_MEMBER = Statement((), lambda: db.shared(Member.select(SQL("1")).where(Member.id == parameter("id"))))
_HOLD_KEY = Statement((), lambda: _key_and(Member))
_HOLD_BOT_KEY = Statement((), lambda: _key_and(BotUser))


def owner_of(credential: Credential) -> Owner:
    """The member or the bot user."""
    owner: Owner = credential.member if credential.member_id else credential.bot_user
    return owner


def roles_of_owner(credential: Credential) -> tuple[str, ...]:
    """The names of the roles that the owner of one that ``find`` gave holds now, sorted."""
    owner = owner_of(credential)
    if isinstance(owner, BotUser):
        return tuple(owner.roles)
    names, believed = credential.of_member  # type: ignore[attr-defined]  # from find
    return member_roles.held(credential.account, names, believed=believed)


def used(credential: Credential, address: str | None) -> None:
    """Note a use."""
    last_uses.note(Credential, credential.id, address)


@dataclass(frozen=True)
class Uses:
    """A credential, and on which of the last days it was used, the newest first."""

    credential: Credential
    days: list[CredentialUse]

    @property
    def total(self) -> int:
        """How often in all of them."""
        return sum(day.number for day in self.days)


def uses(owner: Owner) -> list[Uses]:
    """What would break if the owner were off: each of its credentials, those used most before the others. Two
    statements."""
    of_owner = Credential.bot_user if isinstance(owner, BotUser) else Credential.member
    found = uses_of(list(Credential.select().where(of_owner == owner.id)))
    return sorted(found, key=lambda uses: (-uses.total, uses.credential.id))


def uses_of(found: Sequence[Credential]) -> list[Uses]:
    """The uses of each of these, in the same order."""
    days = last_uses.of_month(credential.id for credential in found)
    return [Uses(credential, days[credential.id]) for credential in found]


def describe(credential: Credential) -> dict[str, Any]:
    """The credential as events show it: never the secret."""
    facts = {
        "id": credential.id,
        "owner_id": credential.member_id or credential.bot_user_id,
        "description": credential.description,
        "metadata": credential.metadata,
        **({} if credential.kind == API_KEY.name else {"acl": list(credential.acl)}),
        "expires_at": clock.rfc3339(credential.expires_at) if credential.expires_at else None,
    }
    if credential.fingerprint:
        facts["fingerprint"] = credential.fingerprint
    return facts
