"""Provisioning: the directories that push over SCIM, their tokens, and every request that they sent."""

import json
from datetime import timedelta
from typing import Any

from flask import request
from peewee import fn

from idp_bridge import clock, idps, spans
from idp_bridge.models import DirectoryGroup, IdentityProvider, ScimRequest, ScimToken
from idp_bridge.providers import catalogue
from idp_bridge.provisioning import request_log
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, base_url, guard

PAGE = 25  # rows of the log, each with up to two bodies of 16 KiB
FILTERS = ("status", "path", "cause")
CAUSES_OF = timedelta(days=1)


@blueprint.get("/provisioning", endpoint="provisioning")
@guard(Permission.IDPS_READ)
def provisioning_page() -> Any:
    """One card for each directory, and the log of the one that is asked for, else of the one last heard of."""
    providers = list(idps.of_account(actor().account).order_by(IdentityProvider.id))
    tokens: dict[str, list[ScimToken]] = {provider.id: [] for provider in providers}
    for token in ScimToken.select().where(ScimToken.identity_provider.in_(providers)).order_by(ScimToken.id.desc()):
        tokens[token.identity_provider_id].append(token)
    heard = {provider.id: _latest(tokens[provider.id]) for provider in providers}
    return render(
        "provisioning.html",
        providers=providers,
        tokens=tokens,
        heard=heard,
        users={provider.id: spans.find(provider.id, 0).total for provider in providers},
        groups=_groups(providers),
        base_url=f"{base_url()}/scim/v2",
        kinds=catalogue(),
        log=_log(providers),
    )


def _latest(tokens: list[ScimToken]) -> Any:
    return max((token.last_used_at for token in tokens if token.last_used_at), default=None)


def _groups(providers: list[IdentityProvider]) -> dict[str, int]:
    rows: Any = DirectoryGroup.select(DirectoryGroup.identity_provider, fn.COUNT(DirectoryGroup.id)).where(
        DirectoryGroup.identity_provider.in_(providers)
    )
    return dict(rows.group_by(DirectoryGroup.identity_provider).tuples())


# --- the log ----------------------------------------------------------------------------------------------------


def _log(providers: list[IdentityProvider]) -> dict[str, Any] | None:
    """What the page shows of the request log; None where nobody can have sent anything."""
    if not providers:
        return None
    if wanted_id := request.args.get("provider"):
        provider = idps.get(actor().account, wanted_id)
    else:
        provider = max(providers, key=lambda one: (request_log.latest(one) or "", one.id))
    wanted: dict[str, Any] = {name: value for name in FILTERS if (value := request.args.get(name, "").strip())}
    if wanted.get("status") not in (None, "failed"):
        del wanted["status"]
    found = request_log.of_directory(provider, **wanted)
    before = request.args.get("before")
    if before:
        found = found.where(ScimRequest.id < before)
    rows = list(found.order_by(ScimRequest.id.desc()).limit(PAGE + 1))
    return {
        "provider": provider,
        "wanted": wanted,
        "rows": [(row, *_result(row)) for row in rows[:PAGE]],
        "older": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "paged": before is not None,
        "causes": request_log.causes(provider, since=clock.now() - CAUSES_OF),
        "days": request_log.KEPT_FOR.days,
        "pretty": _pretty,
    }


def _result(row: ScimRequest) -> tuple[str, str]:
    """What came of a request, in a word, and how loudly it is said."""
    before, after = row.before or {}, row.after or {}
    table = (
        (row.status >= 500, "Failed", "bad"),
        (row.cause is not None, "Refused", "bad"),
        (row.before is None and row.after is None, "Read", ""),
        ("Operations" in after, "Bulk", "good"),
        (row.before is None, "Created", "good"),
        (row.after is None, "Deleted", "warn"),
        (before.get("active") != after.get("active") and after.get("active") is False, "Deactivated", "warn"),
        (before.get("active") != after.get("active") and after.get("active") is True, "Activated", "good"),
        (not before and not after, "No change", ""),
    )
    return next(((word, tone) for applies, word, tone in table if applies), ("Changed", "good"))


def _pretty(value: Any) -> str:
    """JSON with its lines; what was cut, or is none, as it is."""
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    return json.dumps(read, indent=2, ensure_ascii=False)
