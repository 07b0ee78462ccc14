"""What the operator learns of each request: one line in the log, and what is counted (metrics.py).

Neither holds what a client wrote: of the address the route as it is declared, of the caller the ids that were found to
be hers. A proxy's own request id is kept beside ours, so that both logs can be laid side by side.
"""

import logging
import re
from collections.abc import Mapping
from functools import cache
from time import perf_counter
from typing import Any

from flask import Flask, Request, Response, g, has_request_context, request

from idp_bridge import db, logs, metrics
from idp_bridge.metrics import METHODS, NO_ROUTE, OTHER

LONGEST_STATEMENT = 2000

log = logging.getLogger(__name__)

_SCIM = "/scim/v2/"
_RESOURCES = frozenset({"Users", "Groups", "Bulk", "Me", "ServiceProviderConfig", "ResourceTypes", "Schemas"})
_ANY = re.compile(r"<any\([^)]*\):(?P<name>\w+)>")
_CONVERTER = re.compile(r"<[^<>:]+:")
_FOREIGN_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


def register(app: Flask) -> None:
    """Stand around every request: first to see it, last to see its answer."""
    app.before_request(_begin)
    app.after_request(_end)
    app.wsgi_app = _counted(app.wsgi_app)  # type: ignore[method-assign]


def watch_queries(milliseconds: int) -> None:
    """Log each statement that takes so long, without its values; 0: none."""
    db.watch(milliseconds / 1000 if milliseconds else None, _slow_query)


def _slow_query(sql: str, seconds: float) -> None:
    metrics.instruments().slow_query()
    told = {"statement": sql[:LONGEST_STATEMENT], "duration_ms": round(seconds * 1000, 1)}
    if has_request_context():
        told["request_id"] = g.get("request_id")
    log.warning("slow query", extra=told)


def outcome(reason: str) -> None:
    """Why this request is refused: a word of ours, from one of its tables."""
    g.outcome = reason


def _counted(wsgi_app: Any) -> Any:
    """How many requests are under way: no error, and no client that goes away, is forgotten."""
    counting = metrics.instruments()
    begin, end = counting.begin, counting.end

    def call(environ: Any, start_response: Any) -> Any:
        begin()
        try:
            return wsgi_app(environ, start_response)
        finally:
            end()

    return call


def _begin() -> None:
    g.began = perf_counter()


def _end(response: Response) -> Response:
    # Taken out of their proxies once: every look through one costs as much as a line of the rest.
    asked, facts = request._get_current_object(), g._get_current_object().__dict__  # type: ignore[attr-defined]
    seconds = perf_counter() - facts["began"]
    route, status = _route(asked), response.status_code
    counting = metrics.instruments()
    if route.startswith(_SCIM):
        outcome = "ok" if status < 400 else facts.get("outcome", "error")
        counting.request(asked.method, route, status, seconds, _resource(route), outcome)
    else:
        counting.request(asked.method, route, status, seconds)
    logs.request(_line, asked, facts, route, status, seconds, failed=status >= 500)
    return response


def _route(asked: Request) -> str:
    """The address as it is declared; where it is declared for a few words, with the word."""
    rule = asked.url_rule
    if rule is None:
        return NO_ROUTE
    name = _choice(rule.rule)
    return _declared(rule.rule, (asked.view_args or {}).get(name) if name else None)


@cache
def _choice(rule: str) -> str | None:
    found = _ANY.search(rule)
    return found["name"] if found else None


@cache
def _declared(rule: str, word: str | None) -> str:
    return _CONVERTER.sub("<", rule if word is None else _ANY.sub(word, rule))


@cache
def _resource(route: str) -> str:
    name = route[len(_SCIM) :].partition("/")[0]
    return name if name in _RESOURCES else OTHER


def _line(asked: Request, facts: Mapping[str, Any], route: str, status: int, seconds: float) -> dict[str, Any]:
    line = {
        "timestamp": facts["began_at"].isoformat(timespec="microseconds")[:-6] + "Z",
        "method": asked.method if asked.method in METHODS else OTHER,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "request_id": facts["request_id"],
        **_who(facts),
    }
    if status >= 400 and "outcome" in facts:
        line["outcome"] = facts["outcome"]
    theirs = asked.environ.get("HTTP_X_REQUEST_ID")
    if theirs and theirs != line["request_id"] and _FOREIGN_ID.fullmatch(theirs):
        line["proxy_request_id"] = theirs
    return line


def _who(facts: Mapping[str, Any]) -> dict[str, str]:
    """The ids of whoever was found to be calling."""
    token = facts.get("scim_token")
    if token is not None:
        provider = token.identity_provider
        return {"account_id": provider.account.id, "principal_id": provider.id, "credential_id": token.id}
    actor = facts.get("actor")
    if actor is not None:
        found = {"account_id": actor.account.id, "principal_id": actor.id, "credential_id": actor.credential_id}
        return {name: value for name, value in found.items() if value}
    key = facts.get("operator_key")
    return {} if key is None else {"credential_id": key}
