"""The request log of a directory: its rows by filter; one request, what it changed, how it is mended; exports."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from flask import Response, request
from markupsafe import Markup

from idp_bridge import clock, idps, providers
from idp_bridge.models import DirectoryGroup, DirectoryUser, IdentityProvider, ScimRequest, ScimToken
from idp_bridge.providers import scim_guides
from idp_bridge.provisioning import log_export, request_log
from idp_bridge.provisioning.log_results import Change, Result, changes, result
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.advice import marked
from idp_bridge.web.dashboard.connection import kind_of, show, urls
from idp_bridge.web.dashboard.page import blueprint
from idp_bridge.web.guard import actor, guard

PAGE = 25
CAUSES_OF = timedelta(days=1)
NAMED = 500  # users of one request; the others are told by their ids alone

#: How loudly a result is said.
TONES: Mapping[Result, str] = {
    Result.FAILED: "bad",
    Result.REJECTED: "bad",
    Result.CREATED: "good",
    Result.ACTIVATED: "good",
    Result.UPDATED: "good",
    Result.BULK: "good",
    Result.DELETED: "warn",
    Result.DEACTIVATED: "warn",
}

STATUSES = {"failed": "Errors only", "2xx": "2xx: done", "4xx": "4xx: rejected", "5xx": "5xx: failed here"}
ABOUT = {"user": "Users", "group": "Groups"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PERIODS = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
}

SIDES = {
    "identity_provider": "Whoever runs the identity provider",
    "administrator": "You, in this account",
    "operator": "Whoever runs this service",
}

#: A filter of the page -> which of its values are heeded; another one is as good as none.
_HEEDED: Mapping[str, Callable[[str], bool]] = {
    "status": lambda value: re.fullmatch(r"[1-5][0-9]{2}|[1-5]xx|failed", value) is not None,
    "about": ABOUT.__contains__,
    "method": METHODS.__contains__,
    "period": PERIODS.__contains__,
    "path": lambda value: value.isprintable() and len(value) <= 255,
    "cause": lambda value: value.isprintable(),
}


# --- the rows ---------------------------------------------------------------------------------------------------


def shown(provider: IdentityProvider, tokens: list[ScimToken]) -> dict[str, Any]:
    """What the page shows of a directory's requests: those that fit its filters, and what fails again and again."""
    wanted = _wanted()
    found = request_log.short(request_log.of_directory(provider, **_conditions(wanted)))
    before = _before()
    if before:
        found = found.where(ScimRequest.id < before)
    rows = list(found.order_by(ScimRequest.id.desc()).limit(PAGE + 1))
    return {
        "wanted": wanted,
        "rows": [(row, result(row).value, TONES.get(result(row), "")) for row in rows[:PAGE]],
        "older": rows[PAGE - 1].id if len(rows) > PAGE else None,
        "paged": before is not None,
        "causes": request_log.causes(provider, since=clock.now() - CAUSES_OF),
        "ends": {token.id: token.ends_with for token in tokens},
        "days": request_log.KEPT_FOR.days,
        "most": log_export.MOST,
        "statuses": STATUSES,
        "about": ABOUT,
        "methods": METHODS,
        "periods": {name: label for name, (label, _) in PERIODS.items()},
    }


def _before() -> str | None:
    """The last row of the page before; what is no id of one is not heeded."""
    asked = request.args.get("before", "")
    return asked if re.fullmatch(r"sr_[0-9a-z]{26}", asked) else None


def _wanted() -> dict[str, str]:
    given = {name: request.args.get(name, "").strip() for name in _HEEDED}
    return {name: value for name, value in given.items() if value and _HEEDED[name](value)}


def _conditions(wanted: Mapping[str, str]) -> dict[str, Any]:
    """The filters of the page as those of the log."""
    asked: dict[str, Any] = {name: value for name, value in wanted.items() if name != "period"}
    if "period" in wanted:
        asked["since"] = clock.now() - PERIODS[wanted["period"]][1]
    return asked


# --- one of them ------------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/provisioning/requests/<request_id>")
@guard(Permission.IDPS_READ)
def scim_request(provider_id: str, request_id: str) -> Any:
    """What was sent and answered, what it changed, and what to do where it failed."""
    provider = idps.get(actor().account, provider_id)
    row = request_log.get(provider, request_id)
    came, made = result(row), changes(row)
    token = ScimToken.get_or_none((ScimToken.id == row.token_id) & (ScimToken.identity_provider == provider))
    return show(
        "provisioning_request.html",
        provider,
        row=row,
        result=came.value,
        tone=TONES.get(came, ""),
        changes=made,
        names=_names(provider, made),
        token=token,
        pretty=pretty,
        days=request_log.KEPT_FOR.days,
        **_about(provider, row),
        **_advice(provider, row),
    )


def _about(provider: IdentityProvider, row: ScimRequest) -> dict[str, Any]:
    """Whom or what it was about, where she or it is still here."""
    at = {"member_id": None, "group_id": None}
    if row.resource_id is None:
        return at
    for name, model, column in (
        ("member_id", DirectoryUser, DirectoryUser.member),
        ("group_id", DirectoryGroup, DirectoryGroup.id),
    ):
        own: Any = model
        found = own.select(column).where(own.id == row.resource_id, own.identity_provider == provider)
        at[name] = found.scalar()
    return at


def _names(provider: IdentityProvider, made: list[Change]) -> dict[str, str]:
    """What users are called whose ids came or went, as the members of a group do."""
    texts = {text for change in made for one in change.differences for text in (*one.before, *one.after)}
    ids = sorted(text for text in texts if text.startswith("du_"))[:NAMED]
    rows = DirectoryUser.select(DirectoryUser.id, DirectoryUser.user_name).where(
        DirectoryUser.identity_provider == provider, DirectoryUser.id.in_(ids)
    )
    return {row.id: row.user_name for row in rows} if ids else {}


def _advice(provider: IdentityProvider, row: ScimRequest) -> dict[str, Any]:
    """How an error is mended, and how often it came of late; nothing for what worked."""
    if row.cause is None:
        return {"problem": None}
    kind = kind_of(provider)
    found = scim_guides.problem(status=row.status, scim_type=row.scim_type, detail=row.error or "")
    return {
        "problem": found,
        "side": SIDES[found.side] if found else "",
        "fix": _said(scim_guides.fix(kind, found), provider) if found else None,
        "again": _said(scim_guides.guide(kind).again, provider),
        "times": request_log.times(provider, row.cause, since=clock.now() - CAUSES_OF),
        "told_by": [name for name in providers.catalogue() if found and found.name in scim_guides.guide(name).fixes],
    }


def _said(text: str, provider: IdentityProvider) -> Markup:
    return marked(text, urls(provider))


def pretty(value: str) -> str:
    """JSON with its lines; what was cut, or is none, as it is."""
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        return value


# --- to take away -----------------------------------------------------------------------------------------------


@blueprint.get("/identity-providers/<provider_id>/provisioning/requests.csv")
@guard(Permission.IDPS_READ)
def export_scim_requests_csv(provider_id: str) -> Response:
    """Those that fit the filters, without bodies, for a spreadsheet."""
    provider = idps.get(actor().account, provider_id)
    return _file(log_export.csv_lines(provider, **_conditions(_wanted())), provider, "csv", "text/csv")


@blueprint.get("/identity-providers/<provider_id>/provisioning/requests.jsonl")
@guard(Permission.IDPS_READ)
def export_scim_requests_json(provider_id: str) -> Response:
    """Those that fit the filters, with all that is kept, as JSON lines."""
    provider = idps.get(actor().account, provider_id)
    lines = log_export.json_lines(provider, **_conditions(_wanted()))
    return _file(lines, provider, "jsonl", "application/x-ndjson")


def _file(lines: Iterator[str], provider: IdentityProvider, ending: str, mimetype: str) -> Response:
    named = {"Content-Disposition": f'attachment; filename="scim-requests-{provider.id}.{ending}"'}
    return Response(lines, mimetype=mimetype, headers=named)
