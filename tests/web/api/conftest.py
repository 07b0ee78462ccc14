"""Fixtures of the API's tests: a caller that speaks JSON, and a second account with one of everything in it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from idp_bridge import db
from tests.conftest import World, make_account

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2gWYKeLJKPOJ7CKmXk0mP0XJmQ0PtwUkTFz0pXW9hN"


EXTENSION = {
    "urn": "urn:acme:scim:2.0:User",
    "name": "Acme",
    "attributes": [{"name": "costCode"}, {"name": "badge", "type": "integer"}],
}


@dataclass
class Caller:
    """Calls /api with a key and JSON; ``expect`` is the status that the answer must have."""

    app: Flask
    key: str
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, *, expect: int | None = None, **options: Any) -> Any:
        """The answer as a whole."""
        if body is not None:
            options["json"] = body
        headers = {"Authorization": f"Bearer {self.key}", **self.headers, **options.pop("headers", {})}
        path = path if path.startswith("/") else f"/api/{path}"
        answer = self.app.test_client().open(path, method=method, headers=headers, **options)
        assert expect in (None, answer.status_code), (method, path, answer.status_code, answer.text)
        return answer

    def get(self, path: str, expect: int = 200) -> Any:
        """The JSON at a path."""
        return self.call("GET", path, expect=expect).get_json()

    def post(self, path: str, body: Any, expect: int = 201) -> Any:
        """The JSON of what was made."""
        return self.call("POST", path, body, expect=expect).get_json()

    def patch(self, path: str, body: Any, expect: int = 200) -> Any:
        """The JSON of what was changed."""
        return self.call("PATCH", path, body, expect=expect).get_json()

    def delete(self, path: str, expect: int = 204) -> Any:
        """The answer to a DELETE."""
        return self.call("DELETE", path, expect=expect)


@pytest.fixture
def api(app: Flask, world: World) -> Caller:
    """The administrator of acme."""
    return Caller(app, world.api_key)


@pytest.fixture
def other(app: Flask) -> Caller:
    """The administrator of another account."""
    with db.connection():
        return Caller(app, make_account("umbrella").api_key)


@pytest.fixture
def connection(idp_certificate: str) -> dict[str, Any]:
    """The body that makes an identity provider."""
    return {
        "name": "Okta",
        "entity_id": "https://idp.example.test/metadata",
        "sso_url": "https://idp.example.test/sso",
        "certificates": [idp_certificate],
    }


def member_with(api: Caller, *roles: str, email: str = "dana@acme.test") -> tuple[str, Caller]:
    """A member who holds these roles and nothing else: her id, and she as a caller."""
    from idp_bridge import accounts, actors, member_lifecycle, people

    account = api.get("account")
    with db.connection(), db.transaction():
        system = actors.system(accounts.find(account["id"]))
        member = member_lifecycle.create(
            system, email=email, name="Dana", managed_by="local", person=people.create(email), roles=roles
        )
    key = api.post("api_keys", {"owner_id": member.id})["token"]
    return member.id, Caller(api.app, key)


def push(api: Caller, token: str, kind: str, body: dict[str, Any]) -> Any:
    """What a directory pushes over SCIM: the created resource."""
    directory = Caller(api.app, token, {"Content-Type": "application/scim+json"})
    return directory.call("POST", f"/scim/v2/{kind}", body, expect=201).get_json(force=True)


def push_user(api: Caller, token: str, address: str) -> Any:
    """A user as a directory pushes her."""
    return push(api, token, "Users", user(address))


def user(address: str) -> dict[str, Any]:
    """A SCIM User with this address."""
    schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"]
    emails = [{"value": address, "type": "work", "primary": True}]
    return {"schemas": schemas, "userName": address, "emails": emails, "active": True}


def push_group(api: Caller, token: str, name: str, *members: str) -> Any:
    """A group as a directory pushes it."""
    schemas = ["urn:ietf:params:scim:schemas:core:2.0:Group"]
    return push(
        api, token, "Groups", {"schemas": schemas, "displayName": name, "members": [{"value": id} for id in members]}
    )


def question(api: Caller, connection: dict[str, Any], token: str) -> str:
    """Somebody whom two directories of the account push: the id of the question whose she is."""
    push_user(api, token, "quinn@acme.test")
    second = api.post(
        "identity_providers", {**connection, "name": "Second", "entity_id": "https://second.example.test"}
    )
    its_token = api.post(f"identity_providers/{second['id']}/scim_tokens", {})["token"]
    directory = Caller(api.app, its_token, {"Content-Type": "application/scim+json"})
    directory.call("POST", "/scim/v2/Users", user("quinn@acme.test"), expect=409)
    return str(api.get("identity_conflicts")["identity_conflicts"][0]["id"])


def furnish(api: Caller, connection: dict[str, Any]) -> dict[str, str]:
    """One of everything in the caller's account: collection -> id."""
    provider = api.post("identity_providers", connection)
    token = api.post(f"identity_providers/{provider['id']}/scim_tokens", {})
    group = push_group(api, token["token"], "Engineering")
    flow = api.post(f"identity_providers/{provider['id']}/sign_in_flows", {"kind": "test"})
    webhook = api.post("webhooks", {"url": "https://hooks.example.com/acme"})
    mapping = {"identity_provider_id": provider["id"], "group_id": group["id"], "role": "viewer"}
    return {
        "bot_users": api.post("bot_users", {"name": "deploy"})["id"],
        "service_users": api.post("service_users", {"name": "release"})["id"],
        "credentials": api.post("credentials", {})["id"],
        "api_keys": api.post("api_keys", {})["id"],
        "ssh_credentials": api.post("ssh_credentials", {"public_key": SSH_KEY})["id"],
        "users": api.get("whoami")["principal"]["id"],
        "invitations": api.post("invitations", {"email": "ivy@elsewhere.test"})["id"],
        "identity_providers": provider["id"],
        "scim_tokens": token["id"],
        "service_provider_keys": api.post(f"identity_providers/{provider['id']}/service_provider_keys", None)["id"],
        "scim_requests": api.get(f"identity_providers/{provider['id']}/scim_requests")["scim_requests"][0]["id"],
        "sign_in_flows": flow["id"],
        "identity_conflicts": question(api, connection, token["token"]),
        "groups": group["id"],
        "role_mappings": api.post("role_mappings", mapping)["id"],
        "roles": api.post("roles", {"name": "auditor", "permissions": ["events:read"]})["id"],
        "schema_extensions": api.post("schema_extensions", EXTENSION)["id"],
        "webhooks": webhook["id"],
        "deliveries": api.post(f"webhooks/{webhook['id']}/test", None)["id"],
        "events": api.get("events?limit=1")["events"][0]["event_id"],
    }
