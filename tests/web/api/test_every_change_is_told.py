"""A walk over everything that changes something under /api: each leaves its event, and no event a secret."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from idp_bridge import db, identity_links
from idp_bridge.models import Event, IdentityProvider, Member
from tests.conftest import World
from tests.web.api.conftest import EXTENSION, SSH_KEY, Caller, furnish, member_with, push_user
from tests.web.api.test_routes import PUBLIC, _operations
from tests.web.pages import post, sign_in

ROOT = Path(__file__).parents[3]

#: Bodies, by method and the last word of the path.
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "account"): {"name": "Acme again"},
    ("PATCH", "users"): {"roles": ["developer"]},
    ("PATCH", "bot_users"): {"active": False},
    ("PATCH", "service_users"): {"active": False},
    ("PATCH", "credentials"): {"description": "changed"},
    ("PATCH", "api_keys"): {"description": "changed"},
    ("PATCH", "ssh_credentials"): {"description": "changed"},
    ("PATCH", "identity_providers"): {"description": "changed"},
    ("PATCH", "role_mappings"): {"role": "developer"},
    ("PATCH", "schema_extensions"): {"name": "changed"},
    ("PATCH", "roles"): {"description": "changed"},
    ("PATCH", "webhooks"): {"description": "changed"},
    ("POST", "bot_users"): {"name": "made by the walk"},
    ("POST", "service_users"): {"name": "made by the walk too"},
    ("POST", "credentials"): {},
    ("POST", "api_keys"): {},
    ("POST", "ssh_credentials"): {"public_key": SSH_KEY[:-4] + "AAAA"},
    ("POST", "invitations"): {"email": "walk@elsewhere.test"},
    ("POST", "roles"): {"name": "walker", "permissions": ["events:read"]},
    ("POST", "schema_extensions"): {**EXTENSION, "urn": "urn:acme:scim:walk:2.0:User"},
    ("POST", "scim_tokens"): {},
    ("POST", "webhooks"): {"url": "https://hooks.example.com/walk"},
}

#: What changes nothing of the account, and why; what needs a state of its own, and the test that looks at its event.
NOT_TOLD = {
    "POST /api/introspect": "it reads",
    "POST /api/usage": "it counts; what is over a limit is told",
    "POST /api/usage/batch": "it counts; what is over a limit is told",
    "POST /api/identity_providers/<id:provider_id>/sign_in_flows": "a sign-in that begins; its outcome is told",
    "POST /api/identity_providers/<id:id>/refresh_metadata": "it looks; what it finds is told",
}
TOLD_ELSEWHERE = {
    "POST /api/identity_providers/<id:id>/pending_trust/accept": (
        "tests/domain/test_metadata_refresh.py",
        "identity_provider_",
    ),
    "DELETE /api/identity_providers/<id:id>/pending_trust": (
        "tests/domain/test_metadata_refresh.py",
        "identity_provider_",
    ),
    "POST /api/users/<id:id>/password_setup": ("tests/domain/test_password_changes.py", "password_link_created"),
}

#: What an update says of the time before; of a secret that was replaced, that it was.
UPDATED = {"before", "secret"}

_SECRETS = re.compile(r"ib[a-z]{2}_[0-9A-Za-z]{49}|whsec_[0-9A-Za-z+/]+=*")


class Walk:
    """An account with one of everything, every operation on it, and the secrets that its answers showed."""

    def __init__(self, api: Caller, world: World, connection: dict[str, Any]) -> None:
        self.api, self.world, self.connection = api, world, connection
        self.secrets: set[str] = {api.key}
        self.ids = furnish(api, connection)
        self.ids["users"], self.dana = member_with(api, "viewer")
        self.provider = f"identity_providers/{self.ids['identity_providers']}"

    def address(self, rule: str) -> str:
        """The rule with ids in it, as this operation needs them."""
        parts = rule.removeprefix("/api/").split("/")
        for place, part in enumerate(parts):
            if part.startswith("<id:"):
                parts[place] = self.ids[parts[place - 1]]
        return "/".join(parts)

    def prepare(self, method: str, rule: str) -> None:
        """Bring about what the operation is there for."""
        for end, work in self._states.items():
            if f"{method} {rule}".endswith(end):
                work(self)

    def call(self, method: str, rule: str) -> Any:
        """The answer of the operation, which must be good."""
        last = [part for part in rule.split("/") if not part.startswith("<")][-1]
        body = BODIES.get((method, last))
        if (method, last) == ("POST", "identity_providers"):
            body = {**self.connection, "name": "Third", "entity_id": "https://third.example.test"}
        if (method, last) == ("POST", "role_mappings"):
            body = {"identity_provider_id": self.ids["identity_providers"], "group_display_name": "W", "role": "viewer"}
        if (method, last) == ("POST", "resolve"):
            body = {"member_id": self.quinn()}
        answer = self.api.call(method, self.address(rule), body)
        assert answer.status_code < 300, (method, rule, answer.status_code, answer.text)
        self.secrets |= set(_SECRETS.findall(answer.text))
        self.secrets |= set((answer.get_json(silent=True) or {}).get("recovery_codes", ()))
        return answer

    def quinn(self) -> str:
        """Whom the question is about."""
        conflict = self.api.get(f"identity_conflicts/{self.ids['identity_conflicts']}")
        return str(conflict["candidates"][0])

    def _signed_in(self) -> None:
        client = self.api.app.test_client()
        assert sign_in(client).status_code == 303
        me = self.api.get("whoami")["principal"]["id"]
        self.ids["users"] = me
        self.ids["sessions"] = self.api.get(f"users/{me}/sessions")["sessions"][0]["id"]

    def _linked(self) -> None:
        with db.connection(), db.transaction():
            provider = IdentityProvider.get_by_id(self.ids["identity_providers"])
            member = Member.get_by_id(self.ids["users"])
            identity_links.remember(provider, member, name_id="dana", name_id_format="x")

    def _deprovisioned(self) -> None:
        token = self.api.post(f"{self.provider}/scim_tokens", {})["token"]
        record = push_user(self.api, token, "leaver@acme.test")
        Caller(self.api.app, token).call("DELETE", f"/scim/v2/Users/{record['id']}", expect=204)
        found = self.api.get("users?state=deprovisioned")["users"]
        self.ids["users"] = found[0]["id"]

    def _no_next_key(self) -> None:
        self.api.delete(f"{self.provider}/service_provider_keys/{self.ids['service_provider_keys']}")

    def _next_key(self) -> None:
        self.ids["service_provider_keys"] = self.api.post(f"{self.provider}/service_provider_keys", None)["id"]

    def _take_next_key(self) -> None:
        keys = self.api.get(f"{self.provider}/service_provider_keys")["service_provider_keys"]
        self.ids["service_provider_keys"] = next(key["id"] for key in keys if key["state"] == "next")

    _states = {
        "POST /api/identity_providers/<id:provider_id>/service_provider_keys": _no_next_key,
        "/activate": _take_next_key,
        "DELETE /api/identity_providers/<id:provider_id>/service_provider_keys/<id:id>": _next_key,
        "DELETE /api/users/<id:id>/sessions": _signed_in,
        "DELETE /api/users/<id:id>/sessions/<id:session_id>": _signed_in,
        "/identity_links": _linked,
        "/restore": _deprovisioned,
    }


def _order(operation: tuple[str, str]) -> tuple[bool, bool, int, str]:
    """What deletes comes last, what hangs on something before that, and last of all what most hangs on."""
    method, rule = operation
    deletes = method == "DELETE"
    of_connection = rule == "/api/identity_providers/<id:id>"
    return deletes, deletes and of_connection, -rule.count("/") if deletes else 0, f"{method} {rule}"


def test_every_change_leaves_an_event_of_who_did_it(
    app: Flask, api: Caller, world: World, connection: dict[str, Any]
) -> None:
    """In her name, by her key, from her address, under the request's id; an update with what was before; and no event
    holds a secret."""
    walk, silent, bare = Walk(api, world, connection), [], []
    changing = [one for one in _operations(app) if one[0] != "GET" and one[1] not in PUBLIC]
    for method, rule in sorted(changing, key=_order):
        if f"{method} {rule}" in NOT_TOLD.keys() | TOLD_ELSEWHERE.keys():
            continue
        usual = walk.ids["users"]
        walk.prepare(method, rule)
        answer = walk.call(method, rule)
        with db.connection():
            told = list(Event.select().where(Event.request_id == answer.headers["X-Request-Id"]))
        mine = [one for one in told if (one.principal_type, one.source, one.address) == ("user", "api", "127.0.0.1")]
        if not mine or any(one.credential_id is None for one in mine):
            silent.append(f"{method} {rule}")
        updates = [one for one in mine if one.type.endswith("_updated.v0")]
        bare += [f"{method} {rule}: {one.type}" for one in updates if not UPDATED & one.object.keys()]
        walk.ids["users"] = usual
    assert silent == []
    assert bare == []
    with db.connection():
        written = "\n".join(str(row) for row in Event.select().dicts())
    assert len(walk.secrets) > 10
    assert [secret for secret in walk.secrets if secret in written] == []


def test_what_the_walk_leaves_out_is_there() -> None:
    """An operation that is gone needs no excuse; one that is told elsewhere is named in that file's events."""
    for operation, (path, event) in TOLD_ELSEWHERE.items():
        assert event in (ROOT / path).read_text(), operation


@pytest.mark.parametrize("operation", [*NOT_TOLD, *TOLD_ELSEWHERE])
def test_no_excuse_outlives_its_operation(app: Flask, operation: str) -> None:
    """Else it would excuse whatever comes there next."""
    assert tuple(operation.split(" ")) in _operations(app)


# --- by the pages, and by a directory ---------------------------------------------------------------------------

#: Forms of the pages in the order of a walk, with what each leaves. A page calls what the API calls; here is looked at
#: who is named, and where.
PAGES: list[tuple[str, dict[str, str], str]] = [
    ("bot-users", {"name": "by page"}, "bot_user_created"),
    ("bot-users/{bot_users}/edit", {"name": "edited", "roles": "developer"}, "bot_user_updated"),
    ("bot-users/{bot_users}/deactivate", {}, "bot_user_updated"),
    ("bot-users/{bot_users}/activate", {}, "bot_user_updated"),
    ("members/{users}/name", {"name": "Dana Again"}, "user_updated"),
    ("members/{users}/roles", {"roles": "developer"}, "user_updated"),
    ("members/{users}/suspend", {}, "user_suspended"),
    ("members/{users}/reactivate", {}, "user_reactivated"),
    ("members/invitations", {"email": "page@elsewhere.test"}, "invitation_created"),
    ("members/invitations/{invitations}/resend", {}, "invitation_resent"),
    ("members/invitations/{invitations}/cancel", {}, "invitation_deleted"),
    ("settings/name", {"name": "Acme by page"}, "account_updated"),
    ("settings/recovery-codes", {}, "recovery_codes_created"),
    ("webhooks", {"url": "https://hooks.example.com/page"}, "webhook_created"),
    ("webhooks/{webhooks}/edit", {"url": "https://hooks.example.com/other"}, "webhook_updated"),
    ("webhooks/{webhooks}/test", {}, "webhook_tested"),
    ("webhooks/{webhooks}/deliveries/{deliveries}/redeliver", {}, "webhook_delivery_resent"),
    ("webhooks/{webhooks}/rotate", {}, "webhook_updated"),
    ("webhooks/{webhooks}/off", {}, "webhook_updated"),
    ("identity-providers/{identity_providers}/scim-tokens", {"description": "x"}, "scim_token_created"),
    ("groups/mappings/{role_mappings}", {"role": "viewer"}, "role_mapping_updated"),
    ("groups/mappings/{role_mappings}/remove", {}, "role_mapping_deleted"),
]


def test_every_change_by_a_page_is_told_as_its_visitors(
    app: Flask, api: Caller, world: World, connection: dict[str, Any]
) -> None:
    """By the member whose session it is, from the dashboard, under the request's id and by no credential; an update
    with what was before."""
    walk, client, wrong = Walk(api, world, connection), app.test_client(), []
    assert sign_in(client).status_code == 303
    for path, form, told in PAGES:
        answer = post(client, f"/accounts/acme/{path.format(**walk.ids)}", page="/accounts/acme/members", **form)
        assert answer.status_code < 400, (path, answer.get_data(as_text=True))
        with db.connection():
            found = list(Event.select().where(Event.request_id == answer.headers["X-Request-Id"]))
        who = {(one.principal_id, one.principal_type, one.source, one.address, one.credential_id) for one in found}
        if told not in [one.type.removesuffix(".v0") for one in found]:
            wrong.append(f"{path}: {[one.type for one in found]}")
        if who != {(world.owner.id, "user", "dashboard", "127.0.0.1", None)}:
            wrong.append(f"{path}: {who}")
        if told.endswith("_updated") and not all(UPDATED & one.object.keys() for one in found):
            wrong.append(f"{path}: no before")
    assert wrong == []


def _scim(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}


_CORE = "urn:ietf:params:scim:schemas:core:2.0:"
_USER = {"schemas": [f"{_CORE}User"], "userName": "walk@acme.test"}
_GROUP = {"schemas": [f"{_CORE}Group"], "displayName": "Walkers"}

#: What a directory sends, in the order of a walk: method, path, body, what it leaves, and whether that tells of before.
SCIM: list[tuple[str, str, dict[str, Any] | None, str, bool]] = [
    ("POST", "/Users", _USER, "user_created", False),
    ("PUT", "/Users/{user}", {**_USER, "title": "Lead"}, "user_updated", True),
    ("PATCH", "/Users/{user}", _scim({"op": "replace", "value": {"displayName": "W"}}), "user_updated", True),
    ("PATCH", "/Users/{user}", _scim({"op": "replace", "value": {"active": False}}), "user_suspended", True),
    ("PATCH", "/Users/{user}", _scim({"op": "replace", "value": {"active": True}}), "user_reactivated", True),
    ("POST", "/Groups", _GROUP, "group_created", False),
    (
        "PATCH",
        "/Groups/{group}",
        _scim({"op": "add", "path": "members", "value": [{"value": "{user}"}]}),
        "group_updated",
        False,
    ),
    ("PUT", "/Groups/{group}", {**_GROUP, "externalId": "g-1"}, "group_updated", True),
    ("DELETE", "/Groups/{group}", None, "group_deleted", False),
    ("DELETE", "/Users/{user}", None, "user_deprovisioned", True),
]


def test_every_change_by_a_directory_is_told_as_its_own(
    api: Caller, app: Flask, world: World, connection: dict[str, Any]
) -> None:
    """By the provider, over SCIM, with its token, under the request's id; with what was before of what changed."""
    provider = api.post("identity_providers", connection)
    token = api.post(f"identity_providers/{provider['id']}/scim_tokens", {})
    directory, ids = Caller(app, token["token"]), {"user": "", "group": ""}
    for method, path, body, told, with_before in SCIM:
        written = json.dumps(body).replace("{user}", ids["user"])
        sent = None if body is None else json.loads(written)
        answer = directory.call(method, f"/scim/v2{path.format(**ids)}", sent)
        assert answer.status_code < 300, (method, path, answer.text)
        if method == "POST":
            ids[path.strip("/").lower()[:-1]] = answer.get_json(force=True)["id"]
        with db.connection():
            found = list(Event.select().where(Event.request_id == answer.headers["X-Request-Id"]))
        assert [one.type for one in found] == [f"{told}.v0"], (method, path)
        (one,) = found
        who = (one.principal_id, one.principal_type, one.source, one.credential_id, one.address)
        assert who == (provider["id"], "identity_provider", "scim", token["id"], "127.0.0.1")
        assert bool({"before", "record"} & one.object.keys()) is with_before, (method, path, one.object)
