"""What is behind a credential that somebody has shown, for the product that it was shown to (RFC 7662).

Asked of the database each time, in one statement: what a transaction has committed, a suspended owner for one, counts
from that moment on in every process. Of a credential that does not work nothing is told, not even that it exists.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import JOIN, SQL

from idp_bridge import clock, last_uses, member_roles, ssh_keys, tokens
from idp_bridge.models import Account, BotUser, Credential, Member
from idp_bridge.statement import Statement, parameter

LONGEST = 16_384  # bytes of what is shown: an RSA key's line is the longest


@dataclass(frozen=True)
class Shown:
    """A credential that works, and on whose behalf."""

    id: str
    kind: str
    account_id: str
    owner_id: str
    owner_type: str  # user | bot_user
    roles: tuple[str, ...]
    acl: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None


def introspect(text: str, *, account: Account | None, address: str | None) -> Shown | None:
    """The live credential behind a secret, an SSH public key's line or its fingerprint; None for whatever else it may
    be. ``account``: only one of this account; None looks in all. It counts as a use, from ``address``.

    What it is shows its form, so no hint is needed to find it (RFC 7662 section 2.1 lets a server do without).
    """
    found = _find(text.strip())
    if found is None:
        return None
    credential, its_account, member, bot, names, believed = found
    owner = member or bot
    if account is not None and credential.account_id != account.id:
        return None
    if not owner.active or (credential.expires_at is not None and credential.expires_at <= clock.now()):
        return None
    last_uses.note(Credential, credential.id, address)
    return Shown(
        id=credential.id,
        kind=credential.kind,
        account_id=credential.account_id,
        owner_id=owner.id,
        owner_type="user" if member else "bot_user",
        roles=member_roles.held(its_account, names, believed=believed) if member else tuple(bot.roles),
        acl=tuple(credential.acl),
        created_at=credential.created_at,
        expires_at=credential.expires_at,
    )


def _find(text: str) -> tuple[Any, ...] | None:
    kind = tokens.kind_of(text)
    if kind in _SECRETS:
        return _BY_DIGEST.first(shown=tokens.digest(text))
    fingerprint = ssh_keys.fingerprint_of(text) if kind is None else None
    return _BY_FINGERPRINT.first(shown=fingerprint) if fingerprint else None


_SECRETS = frozenset({tokens.Kind.AUTHTOKEN, tokens.Kind.API_KEY})

_COLUMNS: tuple[Any, ...] = (
    *(Credential.id, Credential.account, Credential.kind, Credential.acl, Credential.created_at, Credential.expires_at),
    *(Account.id, Account.plan),
    *(Member.id, Member.active),
    *(BotUser.id, BotUser.active, BotUser.roles),
)


def _by(column: Any) -> Statement:
    return Statement(
        (*_COLUMNS, SQL(""), SQL("")),
        lambda: (
            Credential.select(
                *_COLUMNS, member_roles.names_of(Credential.member), member_roles.believed(Credential.made_through)
            )
            .join(Account)
            .switch(Credential)
            .join(Member, JOIN.LEFT_OUTER)
            .switch(Credential)
            .join(BotUser, JOIN.LEFT_OUTER)
            .where(column == parameter("shown"))
        ),
    )


_BY_DIGEST, _BY_FINGERPRINT = _by(Credential.token_digest), _by(Credential.fingerprint)
