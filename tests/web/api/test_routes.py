"""A walk over every route under /api: guarded, in the caller's account only, documented, and never HTML."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from idp_bridge.roles import CredentialKind, Permission, kinds_of
from idp_bridge.web.api.idempotent import INDIFFERENT
from tests.conftest import World
from tests.web.api.conftest import Caller, furnish

PUBLIC = {"/api/openapi.json", "/api/docs"}

#: A body that an operation takes, where its address must be what is wrong.
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "users"): {"roles": ["viewer"]},
    ("PATCH", "bot_users"): {"active": False},
    ("PATCH", "service_users"): {"active": False},
    ("PATCH", "credentials"): {"description": "mine now"},
    ("PATCH", "api_keys"): {"description": "mine now"},
    ("PATCH", "ssh_credentials"): {"description": "mine now"},
    ("PATCH", "identity_providers"): {"enabled": False},
    ("PATCH", "role_mappings"): {"role": "viewer"},
    ("PATCH", "schema_extensions"): {"name": "Mine now"},
    ("PATCH", "webhooks"): {"active": False},
    ("PATCH", "roles"): {"description": "mine now"},
    ("POST", "scim_tokens"): {},
    ("POST", "sign_in_flows"): {"kind": "test"},
    ("POST", "accept"): {"digest": "0" * 64},
    ("POST", "resolve"): {"member_id": "usr_00000000000000000000000000"},
}


def _operations(app: Flask) -> list[tuple[str, str]]:
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api")]
    return sorted((method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"})


#: What an operation must be told in its query.
QUERIES = {("DELETE", "pending_trust"): f"?digest={'0' * 64}"}


def _query(method: str, rule: str) -> str:
    return QUERIES.get((method, rule.rpartition("/")[2]), "")


def _address(rule: str, ids: dict[str, str]) -> str:
    """``/api/bot_users/<id:id>`` -> with the id of that collection in ``ids``."""
    parts = rule.split("/")
    for place, part in enumerate(parts):
        if part.startswith("<id:"):
            parts[place] = ids.get(parts[place - 1], "nothing_01")
    return "/".join(parts)


def _body(method: str, rule: str) -> Any:
    collection = [part for part in rule.split("/") if not part.startswith("<")][-1]
    return BODIES.get((method, collection))


def test_every_operation_wants_a_credential(app: Flask, world: World) -> None:
    """Without one it is 401 in the API's form before anything of the request is read."""
    operations = [(method, rule) for method, rule in _operations(app) if rule not in PUBLIC]
    assert len(operations) > 40
    for method, rule in operations:
        answer = app.test_client().open(_address(rule, {}), method=method, data=b"{", content_type="text/plain")
        assert answer.status_code == 401, (method, rule)
        assert answer.json["error_code"] == "ERR_NOT_AUTHENTICATED"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_every_view_is_guarded_or_public_on_purpose(app: Flask) -> None:
    """The only public addresses are the documentation's."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api"):
            guard = getattr(app.view_functions[rule.endpoint], "guard", None)
            assert guard is not None, rule.rule
            assert (guard == "public") == (rule.rule in PUBLIC), rule.rule


def test_every_operation_is_documented(app: Flask) -> None:
    """openapi.json and the routes name the same operations, each with an operationId of its own and an answer."""
    document = app.test_client().get("/api/openapi.json").get_json()
    documented = {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    served = {
        (method, rule.replace("<id:", "{").replace(">", "}")) for method, rule in _operations(app) if rule not in PUBLIC
    }
    assert set(documented) == served
    ids = [operation["operationId"] for operation in documented.values()]
    assert len(set(ids)) == len(ids)
    assert all(operation["summary"] and "default" in operation["responses"] for operation in documented.values())


def test_who_may_call_and_what_the_headers_say_is_documented(app: Flask, api: Caller) -> None:
    """An API key, a session with its CSRF token where it writes, an operator key where the edge has a door; the rate in
    every answer, when to come back, and whether an answer was given before."""
    document = api.get("openapi.json")
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "session", "csrfToken", "operatorKey"}
    permissions = {
        (method, rule.rule.replace("<id:", "{").replace(">", "}")): getattr(
            app.view_functions[rule.endpoint], "guard", None
        )
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, method, operation in _documented(document):
        permission = permissions[method.upper(), path]
        edge = isinstance(permission, Permission) and CredentialKind.OPERATOR_KEY in kinds_of(permission)
        writing = {} if method == "get" else {"csrfToken": []}
        assert operation["security"] == [{"apiKey": []}, {"session": [], **writing}, *([{"operatorKey": []}] * edge)]
        assert "X-Account" in [one["name"] for one in operation["parameters"]], path
        answers = operation["responses"]
        assert {"401", "403", "429"} | ({"409"} if writing else set()) <= set(answers), path
        rate = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
        assert all(rate <= set(answer["headers"]) for status, answer in answers.items() if status != "401"), path
        assert "Retry-After" in answers["429"]["headers"]
        replayed = [status for status, answer in answers.items() if "Idempotent-Replayed" in answer["headers"]]
        kept = method == "post" and operation["operationId"] not in INDIFFERENT
        assert replayed == [status for status in answers if kept and status.startswith("2")], path


def _documented(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                yield path, method, operation


def test_where_nothing_is_served_no_credential_is_looked_at(api: Caller) -> None:
    """Every other answer to a known one says how many requests it has left."""
    for method, path, known in (
        ("GET", "account", True),
        ("PATCH", "account", True),
        ("GET", "bot_users/nobody", True),
        ("PUT", "account", False),
        ("GET", "nothing", False),
    ):
        assert ("RateLimit-Remaining" in api.call(method, path).headers) == known, (method, path)


def test_nothing_of_another_account_is_found(
    app: Flask, api: Caller, other: Caller, connection: dict[str, Any]
) -> None:
    """Every operation on an id of another account is 404, and so is one on an id that nobody has."""
    theirs = furnish(other, connection)
    for method, rule in _operations(app):
        if "<id:" not in rule:
            continue
        for ids in (theirs, {}):
            answer = api.call(method, _address(rule, ids) + _query(method, rule), _body(method, rule))
            assert answer.status_code == 404, (method, rule, ids and "theirs", answer.text)
            assert answer.json["error_code"] == "ERR_NOT_FOUND"
    assert furnish_still_there(other, theirs)


def furnish_still_there(other: Caller, ids: dict[str, str]) -> bool:
    """Whether the other account has kept everything."""
    provider = f"identity_providers/{ids['identity_providers']}/"
    below = {"scim_requests", "scim_tokens", "service_provider_keys", "sign_in_flows"}
    for collection, id in ids.items():
        above = f"webhooks/{ids['webhooks']}/" if collection == "deliveries" else provider
        other.get(f"{above if collection in below | {'deliveries'} else ''}{collection}/{id}")
    return True


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api", 404),
        ("GET", "/api/", 404),
        ("GET", "/api/nothing", 404),
        ("POST", "/api/nothing", 404),
        ("GET", "/api//account", 404),
        ("GET", "/api/bot_users/%00", 404),
        ("GET", "/api/bot_users/a%2Fb", 404),
        ("GET", "/api/bot_users/" + "x" * 65, 404),
        ("PUT", "/api/account", 405),
        ("DELETE", "/api/account", 405),
        ("POST", "/api/openapi.json", 405),
    ],
)
def test_errors_of_the_router_have_the_form_of_the_api(api: Caller, method: str, path: str, status: int) -> None:
    """What no view answers is still JSON of the documented form, with Allow where it is 405."""
    answer = api.call(method, path, expect=status)
    assert set(answer.json) == {"error_code", "status_code", "msg", "details"}
    assert answer.json["status_code"] == status
    assert answer.json["details"]["operation_id"].startswith("op_")
    assert ("Allow" in answer.headers) == (status == 405)


def test_answers_without_a_body_have_no_type(api: Caller) -> None:
    """OPTIONS and 204 say nothing, so they do not claim to say it in HTML."""
    bot = api.post("bot_users", {"name": "deploy"})
    for answer in (api.call("OPTIONS", "account", expect=200), api.delete(f"bot_users/{bot['id']}")):
        assert answer.data == b""
        assert "Content-Type" not in answer.headers


def test_a_method_that_is_not_there_is_405_with_those_that_are(app: Flask, api: Caller) -> None:
    """RFC 9110 section 15.5.6, at every address: Allow names what the documentation names."""
    served: dict[str, set[str]] = {}
    for method, rule in _operations(app):
        served.setdefault(_address(rule, {}), set()).add(method)
    for address, methods in served.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - methods:
            answer = api.call(method, address, expect=405)
            allowed = set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"}
            assert (answer.json["error_code"], allowed) == ("ERR_METHOD_NOT_ALLOWED", methods), (method, address)


#: Strings that no field of a body may have: control characters, half a character, a name that is none of ours.
STRANGE = ({"name": "a\u0000"}, {"description": "a\u001b"}, {"nothing_of_ours": 1})


def test_every_body_is_json_of_known_fields(app: Flask, api: Caller, connection: dict[str, Any]) -> None:
    """At each operation with a body: another media type is 415, what is no JSON object, a control character and a field
    that is not known are 400."""
    document = app.test_client().get("/api/openapi.json").get_json()
    ids = furnish(api, connection)
    tried = 0
    for path, operations in document["paths"].items():
        for method in {"post", "patch"} & set(operations):
            content = operations[method].get("requestBody", {}).get("content", {})
            if "application/json" not in content:
                continue
            address = _address(path.replace("{", "<id:").replace("}", ">"), ids)
            tried += 1
            api.call(method.upper(), address, data=b"a=b", content_type="text/plain", expect=415)
            for data in (b"", b"[]", b"{", b"\xff"):
                api.call(method.upper(), address, data=data, content_type="application/json", expect=400)
            for body in STRANGE:
                refused = api.call(method.upper(), address, body, expect=400)
                assert refused.json["details"]["errors"], (method, path)
    assert tried > 20


def test_every_post_that_makes_something_takes_a_key(app: Flask) -> None:
    """Idempotency-Key is documented at every POST but those that are named with a reason; If-Match at every single
    resource that can be read and changed."""
    document = app.test_client().get("/api/openapi.json").get_json()
    without = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            headers = {header["name"] for header in operation.get("parameters", []) if header.get("in") == "header"}
            if method == "post" and "Idempotency-Key" not in headers:
                without.add(operation["operationId"])
            if method == "patch":
                assert "If-Match" in headers, path
                assert "412" in operation["responses"], path
    assert without <= set(INDIFFERENT)
