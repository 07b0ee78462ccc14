"""How each directory of an account stands: its tokens, when it was last heard of and with what answer, how much is in
it, how much fails. In six statements, however many directories there are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import fn

from idp_bridge import clock, idps, scim_tokens
from idp_bridge.models import Account, DirectoryGroup, DirectorySpan, IdentityProvider, ScimRequest, ScimToken
from idp_bridge.provisioning import request_log

FAILURES_OF = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One directory. ``tokens`` from the newest to the oldest; ``last`` is the newest request that was kept."""

    provider: IdentityProvider
    tokens: list[ScimToken]
    last: ScimRequest | None
    users: int
    groups: int
    failed: int  # requests, of the last day

    @property
    def heard_at(self) -> datetime | None:
        """When a request of it last came; a read is not always kept, but its token's use is."""
        uses = [token.last_used_at for token in self.tokens]
        return max(filter(None, [*uses, self.last.timestamp if self.last else None]), default=None)

    @property
    def live(self) -> bool:
        """Whether it has a token that works."""
        return any(not scim_tokens.expired(token) for token in self.tokens)

    @property
    def rotation(self) -> scim_tokens.Rotation | None:
        """Where the change of its token stands; None where it has none that works."""
        return scim_tokens.rotation(self.tokens)

    @property
    def waiting(self) -> bool:
        """Whether a request is to come that has not: its first, or the first with a new token."""
        rotation = self.rotation
        if rotation is None:
            return False
        return self.heard_at is None or rotation.step is scim_tokens.Step.PASTE


def of_account(account: Account) -> list[Standing]:
    """Every directory of the account, the oldest first."""
    return _of(list(idps.of_account(account).order_by(IdentityProvider.id)))


def of_provider(provider: IdentityProvider) -> Standing:
    """That of one provider."""
    return _of([provider])[0]


def _of(providers: list[IdentityProvider]) -> list[Standing]:
    ids = [provider.id for provider in providers]
    tokens: dict[str, list[ScimToken]] = {id: [] for id in ids}
    for token in ScimToken.select().where(ScimToken.identity_provider.in_(ids)).order_by(ScimToken.id.desc()):
        tokens[token.identity_provider_id].append(token)
    last, failed = request_log.newest(ids), request_log.failures(ids, since=clock.now() - FAILURES_OF)
    users = _sums(DirectorySpan, fn.SUM(DirectorySpan.number), ids)
    groups = _sums(DirectoryGroup, fn.COUNT(DirectoryGroup.id), ids)
    return [
        Standing(
            provider=provider,
            tokens=tokens[provider.id],
            last=last.get(provider.id),
            users=users.get(provider.id, 0),
            groups=groups.get(provider.id, 0),
            failed=failed.get(provider.id, 0),
        )
        for provider in providers
    ]


def _sums(model: Any, number: Any, ids: Iterable[str]) -> dict[str, int]:
    rows = model.select(model.identity_provider, number).where(model.identity_provider.in_(ids))
    return {id: int(found) for id, found in rows.group_by(model.identity_provider).tuples()}
