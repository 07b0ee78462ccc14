"""Provisioning: the directories that push over SCIM, with their tokens and when each was last heard of."""

from typing import Any

from peewee import fn

from idp_bridge import idps
from idp_bridge.models import DirectoryGroup, DirectoryUser, IdentityProvider, ScimToken
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.identity_providers import LABELS
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, base_url, guard


@blueprint.get("/provisioning", endpoint="provisioning")
@guard(Permission.IDPS_READ)
def provisioning_page() -> Any:
    """One card for each directory."""
    providers = list(idps.of_account(actor().account).order_by(IdentityProvider.id))
    tokens: dict[str, list[ScimToken]] = {provider.id: [] for provider in providers}
    for token in ScimToken.select().where(ScimToken.identity_provider.in_(providers)).order_by(ScimToken.id.desc()):
        tokens[token.identity_provider_id].append(token)
    live = DirectoryUser.deleted_at.is_null()
    return render(
        "provisioning.html",
        providers=providers,
        tokens=tokens,
        heard={provider.id: _latest(tokens[provider.id]) for provider in providers},
        users=_counted(DirectoryUser, providers, live),
        groups=_counted(DirectoryGroup, providers),
        base_url=f"{base_url()}/scim/v2",
        labels=LABELS,
    )


def _latest(tokens: list[ScimToken]) -> Any:
    return max((token.last_used_at for token in tokens if token.last_used_at), default=None)


def _counted(model: Any, providers: list[IdentityProvider], *conditions: Any) -> dict[str, int]:
    rows = model.select(model.identity_provider, fn.COUNT(model.id)).where(
        model.identity_provider.in_(providers), *conditions
    )
    return dict(rows.group_by(model.identity_provider).tuples())
