"""/api/introspect: what works is told with whose it is, whatever else is only not active."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from idp_bridge import clock, db, last_uses, operator_keys, scim_tokens, ssh_keys, tokens
from idp_bridge.models import Credential
from tests.bench.statements import recorded
from tests.conftest import World, add_provider
from tests.web.api.conftest import SSH_KEY, Caller, member_with

INACTIVE = {"active": False}
PATH = {"authtoken": "credentials", "api_key": "api_keys", "ssh_public_key": "ssh_credentials"}


def issue_operator_key() -> str:
    """As the command line makes one."""
    with db.connection(), db.transaction():
        return operator_keys.issue("edge").token


@pytest.fixture
def edge(app: Flask) -> Caller:
    """The product's own edge."""
    return Caller(app, issue_operator_key())


def ask(caller: Caller, token: str, *, expect: int = 200, **fields: str) -> Any:
    """The answer's JSON."""
    return caller.call("POST", "introspect", data={"token": token, **fields}, expect=expect).get_json()


def issue(api: Caller, kind: str, **body: Any) -> tuple[dict[str, Any], str]:
    """One of that kind: as it was answered, and what is shown of it."""
    if kind == "ssh_public_key":
        body["public_key"] = SSH_KEY
    made = api.post(PATH[kind], body)
    return made, SSH_KEY if kind == "ssh_public_key" else made["token"]


@pytest.mark.parametrize("kind", PATH)
def test_what_works_is_told_with_whose_it_is(api: Caller, edge: Caller, kind: str) -> None:
    """Every field of the contract, by an operator key and by an API key of the account alike, under no cache."""
    acl = {} if kind == "api_key" else {"acl": ["bind:*.acme.test"]}
    bot = api.post("bot_users", {"name": "deploy", "roles": ["viewer", "developer"]})
    expiry = clock.now().replace(microsecond=0) + timedelta(days=1)
    made, shown = issue(api, kind, owner_id=bot["id"], expires_at=clock.rfc3339(expiry), **acl)
    made_at = clock.parse(made["created_at"])
    for caller in (edge, api):
        answer = caller.call("POST", "introspect", data={"token": shown, "token_type_hint": kind}, expect=200)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.mimetype == "application/json"
        assert answer.get_json() == {
            "active": True,
            "token_type": kind,
            "credential_id": made["id"],
            "owner_id": bot["id"],
            "owner_type": "bot_user",
            "account_id": api.get("account")["id"],
            "roles": ["developer", "viewer"],
            "acl": acl.get("acl", []),
            "sub": bot["id"],
            "iat": int(made_at.timestamp()),
            "exp": int(expiry.timestamp()),
        }


def test_a_member_s_roles_are_those_that_she_holds_now(api: Caller, edge: Caller) -> None:
    """And what never expires has no exp (RFC 7662 section 2.2: an integer where there is one)."""
    member, dana = member_with(api, "developer", "billing")
    told = ask(edge, dana.key)
    assert (told["owner_id"], told["owner_type"], told["roles"]) == (member, "user", ["billing", "developer"])
    assert "exp" not in told
    api.patch(f"users/{member}", {"roles": ["viewer"]})
    assert ask(edge, dana.key)["roles"] == ["viewer"]


def test_an_ssh_key_is_named_by_its_line_or_its_fingerprint(api: Caller, edge: Caller) -> None:
    """The edge has the blob of the handshake; an old one only the digest. A hint is not needed, and not believed."""
    made, _ = issue(api, "ssh_public_key")
    for shown in (SSH_KEY, SSH_KEY + " ann@laptop\n", made["fingerprint"]):
        for hint in ({}, {"token_type_hint": "ssh_public_key"}, {"token_type_hint": "access_token"}):
            assert ask(edge, shown, **hint)["credential_id"] == made["id"]


def _not_active(world: World, api: Caller, certificate: str) -> dict[str, str]:
    """What must not be told from each other."""
    with db.connection():
        provider = add_provider(world, certificate)
        with db.transaction():
            scim_token = scim_tokens.issue(world.system, provider).token
    _, token = issue(api, "authtoken")
    deleted, gone = issue(api, "api_key")
    api.delete(f"api_keys/{deleted['id']}")
    expired, late = issue(api, "authtoken")
    with db.connection():
        past = clock.now() - timedelta(seconds=1)
        Credential.update(expires_at=past).where(Credential.id == expired["id"]).execute()
    bot = api.post("bot_users", {"name": "off"})
    _, suspended = issue(api, "authtoken", owner_id=bot["id"])
    api.patch(f"bot_users/{bot['id']}", {"active": False})
    return {
        "unknown": tokens.new(tokens.Kind.AUTHTOKEN),
        "mistyped": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "an id": expired["id"],
        "its digest": tokens.digest(token),
        "deleted": gone,
        "expired": late,
        "owner inactive": suspended,
        "SCIM token": scim_token,
        "operator key": issue_operator_key(),
        "session": tokens.new(tokens.Kind.SESSION),
        "unregistered SSH key": ssh_keys.read(SSH_KEY).fingerprint,
        "words": "hello",
        "one byte": "x",
        "not ASCII": "schlüssel",
    }


def test_whatever_does_not_work_is_only_not_active(
    api: Caller, edge: Caller, world: World, idp_certificate: str
) -> None:
    """One answer for all of them, to an operator key and to an API key alike; and it counts as no use."""
    shown = _not_active(world, api, idp_certificate)
    last_uses.write()
    before = _uses()
    for caller in (edge, api):
        told = {name: ask(caller, token) for name, token in shown.items()}
        assert told == dict.fromkeys(shown, INACTIVE)
    last_uses.write()
    after = {id: at for id, at in _uses().items() if before[id] != at}
    assert set(after) <= {key for key, kind in _kinds().items() if kind == "api_key"}, "the caller's own, at most"


def _uses() -> dict[str, Any]:
    with db.connection():
        return {row.id: row.last_used_at for row in Credential.select()}


def _kinds() -> dict[str, str]:
    with db.connection():
        return {row.id: row.kind for row in Credential.select()}


def test_an_api_key_sees_its_own_account_only(api: Caller, edge: Caller, other: Caller) -> None:
    """Somebody else's live credential is as one that is not; the product's edge sees both."""
    for kind in PATH:
        made, shown = issue(other, kind)
        assert ask(api, shown) == INACTIVE
        assert ask(other, shown)["credential_id"] == ask(edge, shown)["credential_id"] == made["id"]


def test_who_may_not_ask(api: Caller, app: Flask, edge: Caller) -> None:
    """401 without a credential, or with a wrong one; 403 with one that has not the permission; nothing is parsed
    before."""
    _, shown = issue(api, "authtoken")
    _, viewer = member_with(api, "viewer")
    answer = app.test_client().post("/api/introspect", data={"token": shown})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert app.test_client().post("/api/introspect", json={}).status_code == 401
    assert "authtoken" in ask(Caller(app, shown), shown, expect=401)["msg"]
    assert "introspect" in ask(viewer, shown, expect=403)["msg"]
    with db.connection(), db.transaction():
        operator_keys.delete(operator_keys.all_keys().get().id)
    assert "operator key" in ask(edge, shown, expect=401)["msg"]
    answer = edge.call("POST", "introspect", data=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_an_operator_key_does_nothing_else(app: Flask, edge: Caller) -> None:
    """Whatever else it is shown to says what it is for."""
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/") or rule.rule in {"/api/openapi.json", "/api/docs"}:
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if rule.rule == "/api/introspect" or (rule.rule.startswith("/api/usage") and method == "POST"):
                continue
            answer = edge.call(method, rule.rule.replace("<id:", "").replace(">", ""), expect=401).get_json()
            assert "operator key" in answer["msg"], (method, rule.rule)
    assert edge.call("GET", "/scim/v2/Users").status_code == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"token": "x"}}, 415),
        ({"data": b"token=x", "content_type": "text/plain"}, 415),
        ({"data": {}, "content_type": "application/x-www-form-urlencoded"}, 400),
        ({"data": {"token": ""}}, 400),
        ({"data": {"token": "x" * 16_385}}, 400),
        ({"data": {"token": "a\x00b"}}, 400),
        ({"data": {"token": "x", "secret": "y"}}, 400),
        ({"data": {"token": ["x", "y"]}}, 400),
        ({"data": {"token": "x", "client_address": "nowhere"}}, 400),
    ],
)
def test_the_form_is_read_strictly(edge: Caller, api: Caller, sent: dict[str, Any], status: int) -> None:
    """A form with each field once, and none that is unknown; in the API's own form of errors."""
    for caller in (edge, api):
        answer = caller.call("POST", "introspect", **sent)
        assert answer.status_code == status
        assert answer.get_json()["status_code"] == status


def test_a_use_is_noted_with_the_client_s_address(api: Caller, edge: Caller) -> None:
    """RFC 7662 section 2.1 lets the caller tell it; else it is the caller's own."""
    for told, address in (({"client_address": "2001:db8::1"}, "2001:db8::1"), ({}, "127.0.0.1")):
        made, shown = issue(api, "authtoken")
        ask(edge, shown, **told)
        last_uses.write()
        row = api.get(f"credentials/{made['id']}")
        assert (row["last_used_address"], row["last_used_at"] is None) == (address, False)


def test_introspection_reads_once_for_the_key_and_once_for_what_it_asks(api: Caller, edge: Caller) -> None:
    """Neither a transaction nor a write."""
    _, shown = issue(api, "authtoken")
    for caller in (edge, api):
        ask(caller, shown)
        with recorded(db.database.obj) as statements:
            ask(caller, shown)
        assert [statement[:6] for statement in statements] == ["SELECT", "SELECT"], statements
